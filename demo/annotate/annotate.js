// The tab Annotate in the browser: the verdict that the form says, its keys, the picture enlarged and moved.
(name, key) => {
  const byId = (id) => document.getElementById(id);
  const form = () => byId("verdict");
  const view = { scale: 1, x: 0, y: 0 };

  const number = (input) => (input?.value ? Number(input.value) : null);
  const valueOf = (name) => number(form().elements[`value ${name}`]);

  function collect() {
    const verdict = { marks: {}, intensities: {}, missed: {} };
    if (!form()) return null;
    for (const type of form().querySelectorAll(".type")) {
      const name = type.dataset.type, mark = type.querySelector("input:checked")?.value, own = valueOf(name);
      verdict.marks[name] = mark;
      if (own !== null && (mark === "weak" || mark === "strong")) verdict.intensities[name] = own;
    }
    for (const box of form().querySelectorAll("[name=missed]:checked")) verdict.missed[box.value] = valueOf(box.value);
    for (const name of ["influence", "reasoning", "answer"])
      verdict[name] = { yes: true, no: false }[form().elements[name].value] ?? null;
    verdict.correct_answer = verdict.answer === false ? form().elements.correct_answer.value : "";
    verdict.comment = form().elements.comment.value;
    return { item: Number(form().dataset.item), revision: Number(form().dataset.revision), verdict };
  }

  function show() {
    const canvas = document.querySelector("#annotate-viewer .canvas");
    if (canvas) canvas.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  }
  function zoom(factor, event) {
    const viewer = document.querySelector("#annotate-viewer .viewer");
    if (!viewer) return;
    const box = viewer.getBoundingClientRect(), before = view.scale;
    view.scale = factor ? Math.min(12, Math.max(1, view.scale * factor)) : 1;
    const x = (event?.clientX ?? box.left + box.width / 2) - box.left, y = (event?.clientY ?? box.top + box.height / 2) - box.top;
    view.x = x - (x - view.x) * (view.scale / before);
    view.y = y - (y - view.y) * (view.scale / before);
    move(0, 0);
  }
  function move(x, y) {
    const box = document.querySelector("#annotate-viewer .viewer")?.getBoundingClientRect();
    if (!box) return;
    view.x = Math.min(0, Math.max(box.width * (1 - view.scale), view.x + x));
    view.y = Math.min(0, Math.max(box.height * (1 - view.scale), view.y + y));
    show();
  }
  // Another picture in the place of the degraded one: the clean one or the recovered one, one at a time.
  function compare(kind) {
    const viewer = document.querySelector("#annotate-viewer .viewer");
    if (!viewer || !document.querySelector(`[data-other=${kind}]`)) return;
    const on = !viewer.classList.contains(`shows-${kind}`);
    for (const button of document.querySelectorAll("[data-other]")) {
      const pressed = on && button.dataset.other === kind;
      viewer.classList.toggle(`shows-${button.dataset.other}`, pressed);
      button.setAttribute("aria-pressed", pressed);
    }
  }
  window.annotate = { collect, fit: () => zoom(0), view };

  // Gradio makes a tab's elements anew when it is chosen: so the document listens, and nothing is held on to.
  const tab = () => byId("tab-annotate");
  const here = (handler) => (event) => { if (tab()?.contains(event.target)) handler(event); };
  document.addEventListener("click", here((event) => {
    const button = event.target.closest?.("[data-zoom], [data-other]");
    if (button?.dataset.zoom) zoom({ in: 1.5, out: 1 / 1.5, fit: 0 }[button.dataset.zoom]);
    else if (button) compare(button.dataset.other);
  }));
  document.addEventListener("submit", here((event) => event.preventDefault()), true);
  document.addEventListener("input", here((event) => {
    // A number for a type that was missed says that it was; a number for a predicted one, which way it is off.
    const name = event.target.name ?? "";
    if (!name.startsWith("value ") || !event.target.value) return;
    const type = event.target.closest(".type"), box = event.target.closest(".miss")?.querySelector("[name=missed]");
    if (box) box.checked = true;
    if (type) {
      const off = Number(event.target.value) - Number(type.dataset.predicted);
      const mark = off > 0 ? "weak" : off < 0 ? "strong" : "right";
      type.querySelector(`[value=${mark}]`).checked = true;
    }
  }));
  document.addEventListener("wheel", here((event) => {
    if (!event.target.closest?.(".viewer") || !(event.ctrlKey || event.metaKey || view.scale > 1)) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event);
  }), { passive: false });
  let held = null;
  document.addEventListener("pointerdown", here((event) => {
    if (event.target.closest?.(".viewer")) held = [event.clientX, event.clientY];
  }));
  window.addEventListener("pointermove", (event) => {
    if (held && view.scale > 1) move(event.clientX - held[0], event.clientY - held[1]);
    if (held) held = [event.clientX, event.clientY];
  });
  window.addEventListener("pointerup", () => { held = null; });

  function step(by) {
    const rows = [...form().querySelectorAll(".type, .said-by-model")];
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const next = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by))];
    (next?.querySelector("input[type=radio]:checked") ?? next?.querySelector("input"))?.focus();
  }
  function pick(index) {
    const row = document.activeElement?.closest(".type, .said-by-model") ?? form().querySelector(".type");
    const choice = row?.querySelectorAll("input[type=radio]")[index];
    if (choice) { choice.checked = true; choice.focus(); }
  }
  function toggle(question) {
    const choices = form().querySelectorAll(`[data-question=${question}] input[type=radio]`);
    const at = [...choices].findIndex((choice) => choice.checked);
    choices[(at + 1) % choices.length].checked = true;
    choices[(at + 1) % choices.length].focus();
  }
  function ownValue() {
    const row = document.activeElement?.closest(".type, .miss") ?? form().querySelector(".type, .miss");
    row?.querySelector("input[type=number]")?.focus();
  }
  const press = (id) => byId(id)?.click();
  const keys = {
    ArrowDown: () => step(1), ArrowUp: () => step(-1),
    1: () => pick(0), 2: () => pick(1), 3: () => pick(2), 4: () => pick(3),
    v: ownValue, m: () => form().querySelector("[name=missed]")?.focus(),
    i: () => toggle("influence"), r: () => toggle("reasoning"), a: () => toggle("answer"),
    c: () => form().elements.comment.focus(),
    o: () => compare("clean"), x: () => compare("recovered"), "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: () => zoom(0),
    Enter: () => press("annotate-save"), s: () => press("annotate-skip"), u: () => press("annotate-undo"),
    b: () => press("annotate-back"),
  };
  document.addEventListener("keydown", (event) => {
    if (!tab()?.offsetParent || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const target = event.target, inForm = form()?.contains(target) || target.closest?.(".viewer") || target === document.body;
    const typing = target.matches?.("textarea, select, input:not([type=radio], [type=checkbox])");
    const own = target.closest?.("#annotate-go"), letter = event.key.toLowerCase();
    // A key that is held down must not judge pictures that nobody has seen; in a text it repeats as always.
    const held = event.repeat && (letter === "enter" ? !target.matches?.("textarea") : !typing && "sub".includes(letter));
    if (held && (inForm || own)) {
      event.preventDefault();
      return;
    }
    if (event.key === "Enter" && target.matches?.("summary")) return; // opens what it names
    if (event.key === "Escape" && typing && form()?.contains(target)) {
      // Back to the question that the text belongs to, so that arrows go on from there.
      const row = target.closest(".type, .miss, .said-by-model");
      const place = row?.querySelector("input[type=radio]:checked, input[type=checkbox]");
      (place ?? document.querySelector("#annotate-viewer .viewer")).focus({ preventScroll: !place });
      return;
    }
    if (typing && event.key === "Enter" && target.matches("input") && form()?.contains(target)) {
      event.preventDefault();
      press("annotate-save");
      return;
    }
    // Undo, back and skip work from their own buttons, too; elsewhere on the page keys mean what they always mean.
    if (typing || !(inForm || (own && event.key !== "Enter"))) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = keys[key];
    if (!action || (!form() && !["u", "b"].includes(key))) return;
    event.preventDefault();
    action();
  });

  // A new item begins unenlarged, and with the keys at hand.
  new MutationObserver(() => {
    const shown = form() && `${form().dataset.item} ${form().dataset.revision}`;
    if (window.annotate.shown === shown) return;
    window.annotate.shown = shown;
    // Gradio changes the elements that are there, which would go on saying what was said about the item before.
    form()?.reset();
    Object.assign(view, { scale: 1, x: 0, y: 0 });
    show();
    const away = document.activeElement && !tab()?.contains(document.activeElement) && document.activeElement !== document.body;
    if (form() && tab()?.offsetParent && !away) document.querySelector("#annotate-viewer .viewer")?.focus({ preventScroll: true });
  }).observe(document.body, { childList: true, subtree: true, attributeFilter: ["data-item", "data-revision"] });

  // Who it was last time, or whom the link names; what stands behind the # never leaves the browser by itself.
  const link = new URLSearchParams(location.hash.slice(1));
  if (link.has("annotator")) {
    sessionStorage.setItem("annotator", link.get("annotator"));
    sessionStorage.setItem("annotator-key", link.get("key") ?? "");
    history.replaceState(null, "", location.pathname + location.search);
  }
  return [
    name || (sessionStorage.getItem("annotator") ?? ""), // what was typed while the page loaded stays
    key || (sessionStorage.getItem("annotator-key") ?? ""),
  ];
}
