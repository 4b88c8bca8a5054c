// The stage: a state of the page that `?present=1` or the button sets, and the keys that belong to it.
window.stage = (() => {
  const root = document.documentElement, query = new URLSearchParams(location.search);
  const click = (id) => document.getElementById(id)?.click();
  let speaker = null, page = null, turns = 0;

  if (query.get("present") === "1") root.dataset.present = "on";
  root.dataset.hall = query.get("hall") ?? localStorage.getItem("hall") ??
    (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "bright");

  const fit = () => { root.dataset.format = innerWidth < 1.5 * innerHeight ? "narrow" : "wide"; };
  addEventListener("resize", fit);
  fit();

  // What Gradio draws itself follows its own class, which the stage lends from the page and gives back.
  const paint = () => {
    const body = document.body.classList;
    page ??= body.contains("dark");
    body.toggle("dark", root.dataset.present ? root.dataset.hall === "dark" : page);
    if (!root.dataset.present) page = null;
  };

  const turning = { "stage-next": 1, "stage-previous": -1 };
  document.addEventListener("click", (event) => {
    turns += turning[event.target.closest("button")?.id] ?? 0;
  }, true);

  const stage = {
    // By how many slides to turn since this was asked last.
    turns() {
      const counted = turns;
      turns = 0;
      return counted;
    },
    // Once the page is there: the first slide, unless the visitor has not come for the stage.
    begin() {
      if (!root.dataset.present) return;
      paint();
      click("stage-first");
    },
    enter() {
      root.dataset.present = "on";
      paint();
      document.querySelector("#tabs button[role=tab]")?.click();
      click(document.querySelector("#question textarea")?.value ? "stage-entered" : "stage-first");
    },
    leave() {
      delete root.dataset.present;
      paint();
      speaker?.close();
    },
    hall() {
      root.dataset.hall = root.dataset.hall === "dark" ? "bright" : "dark";
      localStorage.setItem("hall", root.dataset.hall);
      paint();
    },
    // The switch of the tab Compare, which the stage hides.
    recover() { document.querySelector("#recover input")?.click(); },
    // In a window of its own, for the speaker's screen; where that is blocked, on the page.
    notes() {
      const source = document.getElementById("stage-notes");
      speaker = window.open("", "speaker", "popup,width=640,height=420");
      if (!speaker) { root.toggleAttribute("data-notes"); return; }
      const write = () => {
        if (speaker.closed) return;
        speaker.document.documentElement.lang = root.lang;
        speaker.document.body.innerHTML = source.innerHTML;
      };
      speaker.document.head.innerHTML = `<style>body { font: 22px/1.5 system-ui; padding: 1em; }
        html[lang="en"] .said:not([lang="en"]), html[lang="zh"] .said:not([lang="zh"]) { display: none; }</style>`;
      write();
      new MutationObserver(write).observe(source, { childList: true, subtree: true });
    },
    fullscreen() { document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen(); },
  };

  const keys = {
    ArrowRight: () => click("stage-next"), PageDown: () => click("stage-next"),
    ArrowLeft: () => click("stage-previous"), PageUp: () => click("stage-previous"),
    " ": () => click("stage-run"), p: () => click("stage-play"), s: () => click("stage-stop"),
    r: stage.recover, d: stage.hall, n: stage.notes, f: stage.fullscreen, Escape: stage.leave,
  };
  // A pace that is pointed at must not keep the arrows from the slides; one that is reached by Tab has them.
  let pointed = false;
  document.addEventListener("pointerdown", (event) => { pointed = Boolean(event.target.closest("#stage-pace")); });
  document.addEventListener("focusin", (event) => {
    if (pointed && root.dataset.present && event.target.closest("#stage-pace")) event.target.blur();
  });
  document.addEventListener("keydown", (event) => {
    pointed = false;
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    const elsewhere = event.target.closest("input, textarea, select, #preview");
    if (!root.dataset.present || !act || elsewhere || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }, true);
  return stage;
})();
