// Sets the chosen colours before anything is drawn. "auto" follows the system.
document.documentElement.dataset.theme = localStorage.getItem("hyperaware.theme") ?? "auto";
