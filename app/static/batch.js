/* Inspect many: a clip that opens in Explore is seen from the top. */
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-open]")) scrollTo({ top: 0 });
});
