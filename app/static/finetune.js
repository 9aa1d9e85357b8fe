/* Fine-tune: the scale of the plot (kept on the root element, as plots are replaced), a button that copies the command,
   and a Delete that needs two clicks. */
(() => {
  "use strict";
  const { attribute } = window.stepping;
  const root = document.documentElement;
  const restate = () => {
    for (const button of document.querySelectorAll("[data-tune=plain], [data-tune=log]"))
      attribute(button, "aria-pressed", `${(button.dataset.tune === "log") === root.classList.contains("tune-log-scale")}`);
  };
  const copy = async (button) => {
    const text = button.parentElement.querySelector("pre").textContent;
    try { await navigator.clipboard.writeText(text); } catch {  // there is none without a secure connection
      const box = Object.assign(document.createElement("textarea"), { value: text });
      button.after(box); box.select(); document.execCommand("copy"); box.remove(); button.focus();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  };
  /* Deleting is final, checkpoint included: the first click only asks, and does not reach Gradio. */
  document.addEventListener("click", (event) => {
    const button = event.target.closest("#tune-delete");
    if (!button || "armed" in button.dataset) return;
    event.stopPropagation();
    event.preventDefault();
    const words = button.textContent;
    button.dataset.armed = "";
    button.textContent = "Delete for good?";
    setTimeout(() => { delete button.dataset.armed; button.textContent = words; }, 4000);
  }, true);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-tune]");
    if (!button) return;
    if (button.dataset.tune === "copy") copy(button);
    else root.classList.toggle("tune-log-scale", button.dataset.tune === "log");
    restate();
  });
  setInterval(restate, 500);
})();
