/* Inspect many: scroll to the top when a clip opens in Explore. */
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-open]")) scrollTo({ top: 0 });
});
