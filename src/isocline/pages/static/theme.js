/* Light and dark theme: the reader's choice, kept in this browser, or else the system's.

   Loaded in the head, before anything is drawn. A button with the attribute data-theme-toggle goes
   through system, light and dark. `isocline.colour("--tier-1")` gives colours to canvases; the event
   "isocline:theme" is dispatched to the document when they have changed. */
"use strict";

window.isocline = window.isocline || {};

(() => {
  const KEY = "isocline-theme";
  const CHOICES = ["system", "light", "dark"];
  const root = document.documentElement;

  const stored = () => {
    try {
      const found = localStorage.getItem(KEY);
      return CHOICES.includes(found) ? found : "system";
    } catch {
      return "system"; // no storage, for instance in a file or a private window
    }
  };

  let choice = stored();

  const apply = () => {
    if (choice === "system") root.removeAttribute("data-theme");
    else root.dataset.theme = choice;
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      button.textContent = { system: "◐ System", light: "☀ Light", dark: "☾ Dark" }[choice];
      button.setAttribute("aria-label", `Theme: ${choice}. Change`);
    }
    document.dispatchEvent(new CustomEvent("isocline:theme"));
  };

  apply();
  document.addEventListener("DOMContentLoaded", apply);
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("[data-theme-toggle]")) return;
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // kept for as long as the page is open
    }
    apply();
  });
  for (const query of ["(prefers-color-scheme: dark)", "print"]) {
    matchMedia(query).addEventListener("change", apply);
  }

  let probe = null;
  /** Present value of a colour token as rgb(), since custom properties do not resolve light-dark(). */
  window.isocline.colour = (token) => {
    if (!probe) {
      probe = document.createElement("span");
      probe.hidden = true;
      document.body.append(probe);
    }
    probe.style.color = `var(${token})`;
    return getComputedStyle(probe).color;
  };
})();
