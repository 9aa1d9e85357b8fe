/* The browser's half of app/shell.py: stored settings, an address that follows what is shown, a link to copy, a zip to
   save. What is stored may be outdated or wrong: it is checked here, and names again by the server. */
(() => {
  "use strict";
  const root = document.documentElement, KEY = "avd-settings", VISITOR = "avd-visitor";
  const OURS = ["example", "checkpoint", "start", "seconds", "whole", "tab"];
  const attempt = (act, otherwise) => { try { return act(); } catch { return otherwise; } };  // storage may be forbidden
  const read = () => attempt(() => {
    const stored = JSON.parse(localStorage.getItem(KEY));
    return stored && typeof stored === "object" && !Array.isArray(stored) ? stored : {};
  }, {});
  const keep = (name, value) => attempt(() => localStorage.setItem(KEY, JSON.stringify({ ...read(), [name]: value })));
  const strength = () => { const value = read().strength; return Number.isFinite(value) && value >= 0 && value <= 100 ? value : null; };

  /* A random name for each browser tab; a reload keeps it, closing the tab removes it. */
  const visitor = () => attempt(() => {
    const old = sessionStorage.getItem(VISITOR);
    if (/^[0-9a-f]{32}$/.test(old)) return old;
    const made = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    sessionStorage.setItem(VISITOR, made);
    return made;
  }, null);

  /* Before anything is drawn, and after Gradio has set the system's theme (6.31); `__theme` in the address comes first. */
  const theme = read().theme;
  if (["light", "dark"].includes(theme) && !new URLSearchParams(location.search).has("__theme"))
    document.body.classList.toggle("dark", theme === "dark");
  if (strength() !== null) root.style.setProperty("--strength", strength() / 100);
  root.classList.toggle("show-ssim", read().metric === "ssim");

  /* The query of the address: from the server what is shown, null until then; from the page which tab is open. */
  let shown = null;
  /* Read from the page: Gradio's event of a tab may come after another tab has been opened. */
  const open = () => document.querySelector("#tabs [role=tab][aria-selected=true]")?.id.replace(/-tab-button$/, "");
  const link = (whole) => {
    const params = new URLSearchParams(location.search);
    OURS.forEach((name) => params.delete(name));
    if (!whole) params.delete("__theme");
    new URLSearchParams(shown || "").forEach((value, name) => params.set(name, value));
    const tab = open();
    if (tab && tab !== "explore") params.set("tab", tab);
    const query = params.toString();
    return `${location.pathname}${query ? `?${query}` : ""}${location.hash}`;
  };
  const follow = () => { if (shown !== null) history.replaceState(history.state, "", link(true)); };

  const copy = async (button) => {
    const text = new URL(link(false), location.href).href;
    try { await navigator.clipboard.writeText(text); } catch {  // there is none without a secure connection
      const box = Object.assign(document.createElement("textarea"), { value: text });
      button.after(box); box.select(); document.execCommand("copy"); box.remove(); button.focus();
    }
    const words = button.textContent;
    const own = document.querySelector("#address [data-own]");
    button.textContent = own ? "Copied, without your own clip" : "Copied";
    setTimeout(() => { button.textContent = words; }, own ? 3000 : 1500);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act], [data-export]");
    if (!button) return;
    if (button.dataset.act === "theme") keep("theme", document.body.classList.contains("dark") ? "dark" : "light");
    if (button.dataset.act === "metric") keep("metric", button.value);
    if (button.dataset.act === "copy-link") copy(button);
    if ("export" in button.dataset) { button.dataset.words ||= button.textContent; button.textContent = "Packing…"; }
  });
  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-act=strength]")) keep("strength", +event.target.value);
  });

  /* Pieces are replaced at any time: set each new one to what is chosen. */
  let fetched = null;
  const watch = () => {
    const slider = document.querySelector("[data-act=strength]");
    if (slider && strength() !== null && +slider.value !== strength() && slider !== document.activeElement) slider.value = strength();
    const query = document.querySelector("#address [data-query]")?.dataset.query ?? null;
    if (query !== shown) { shown = query; follow(); }
    const bundle = document.querySelector("#bundle a");
    if (bundle && bundle.dataset.number !== fetched) { fetched = bundle.dataset.number; bundle.click(); exported(); }
    const problem = document.querySelector("#message .problem");
    if (problem) exported();
  };
  const exported = () => {
    for (const button of document.querySelectorAll("[data-export][data-words]")) {
      button.textContent = button.dataset.words;
      delete button.dataset.words;
    }
  };
  new MutationObserver(watch).observe(root, { childList: true, subtree: true });

  window.shell = {
    keep,
    follow,
    settings() {
      const { checkpoint, classifier, method } = read();
      return { checkpoint, classifier, method, visitor: visitor() };
    },
  };
})();
