// Which language the page speaks: the link's, the one chosen last time, or the browser's.
{
  const asked = new URLSearchParams(location.search).get("lang") ?? localStorage.getItem("language");
  document.documentElement.lang = (asked ?? navigator.language).startsWith("zh") ? "zh" : "en";
}
