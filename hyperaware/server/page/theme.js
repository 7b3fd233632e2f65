// Sets the colours before anything is drawn: those that were chosen, or the system's.
{
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const chosen = localStorage.getItem("hyperaware.theme") ?? "auto";
    const dark = chosen === "auto" ? system.matches : chosen === "dark";
    Object.assign(document.documentElement.dataset, { chosen, theme: dark ? "dark" : "light" });
    dispatchEvent(new Event("themechange"));
  };
  system.addEventListener("change", apply);
  addEventListener("themechosen", apply);
  apply();
}
