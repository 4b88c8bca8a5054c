// Which language the page speaks: the link's, the one chosen last time, or the browser's.
{
  const root = document.documentElement;
  const asked = new URLSearchParams(location.search).get("lang") ?? localStorage.getItem("language");
  root.dataset.language = (asked ?? navigator.language).startsWith("zh") ? "zh" : "en";
  // Gradio writes its own language there, which is always the browser's.
  const keep = () => {
    if (root.lang !== root.dataset.language) root.lang = root.dataset.language;
  };
  new MutationObserver(keep).observe(root, { attributeFilter: ["lang", "data-language"] });
  keep();
}
