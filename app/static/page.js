/* What the page does without asking the server: one transport for both videos and the plots, and a few switches.
   Pieces of the page are replaced at any time, so everything is delegated from the document, and what a visitor chose
   (strength, pixels, measure) lives on the root element, where no replacement reaches it. */
(() => {
  "use strict";
  const root = document.documentElement;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const transport = { playing: !still, rest: 0 };
  const $ = (query, from = document) => from.querySelector(query);
  const all = (query, from = document) => [...from.querySelectorAll(query)];

  const parts = () => {
    const stage = $(".stage");
    const [original, restored] = stage ? ["video.original", "video.restored"].map((q) => $(q, stage)) : [];
    if (!original || !restored) return null;
    return { stage, original, restored, frames: +stage.dataset.frames, fps: +stage.dataset.fps };
  };

  const seek = (index) => {
    const p = parts();
    if (!p) return;
    transport.playing = false;
    const time = (Math.min(Math.max(index, 0), p.frames - 1) + 0.5) / p.fps;
    for (const video of [p.original, p.restored]) { video.pause(); video.currentTime = time; }
  };

  /* Every animation frame: keep the two together, start again after a short rest, move the playheads. */
  const tick = (now) => {
    requestAnimationFrame(tick);
    const p = parts();
    if (!p) return;
    const { original, restored } = p;
    const ready = original.readyState > 1 && restored.readyState > 1;
    if (transport.playing && ready && !document.hidden) {
      if (original.ended) {
        transport.rest ||= now + 350;
        if (now > transport.rest) { original.currentTime = restored.currentTime = 0; transport.rest = 0; }
      } else {
        transport.rest = 0;
        if (Math.abs(original.currentTime - restored.currentTime) > 0.6 / p.fps && !restored.seeking)
          restored.currentTime = original.currentTime;
        for (const video of [original, restored])
          if (video.paused && !video.ended) { video.muted = true; video.play().catch(() => {}); }
      }
    } else for (const video of [original, restored]) if (!video.paused) video.pause();

    const index = Math.min(Math.floor(original.currentTime * p.fps + 1e-3), p.frames - 1);
    const play = $("[data-act=play]", p.stage);
    play.classList.toggle("playing", transport.playing);
    play.setAttribute("aria-label", transport.playing ? "Pause" : "Play");
    const scrub = $(".scrub", p.stage);
    if (transport.playing || document.activeElement !== scrub) scrub.value = index;
    scrub.setAttribute("aria-valuetext", `frame ${index + 1} of ${p.frames}`);
    scrub.style.setProperty("--done", `${(100 * index) / Math.max(p.frames - 1, 1)}%`);
    $("output", p.stage).textContent = `${index + 1} / ${p.frames}`;
    for (const plot of all(".timeline")) {
      $(".playhead", plot).style.left = `${(100 * (index + 0.5)) / p.frames}%`;
    }
    readout(transport.playing ? null : index);
  };

  /* While the clip stands still, the legend tells that frame's values; while it plays, the whole clip's. */
  let told = null;
  const readout = (index) => {
    const plots = all(".timeline");
    const key = plots.length && index !== null ? `${index}|${plots[0].dataset.values}` : null;
    if (key === told) return;
    told = key;
    for (const plot of plots) {
      const values = JSON.parse(plot.dataset.values);
      const legend = $(".legend", plot.parentElement);
      if (key) legend.dataset.at = `frame ${index + 1}`; else delete legend.dataset.at;
      for (const item of all("[data-line]", legend)) {
        const number = $("b", item);
        number.dataset.whole ||= number.textContent;
        const value = key ? values[item.dataset.line || "restored"][index] : undefined;
        number.textContent = key ? (value == null ? "identical" : value.toFixed(plot.dataset.unit ? 1 : 3) + plot.dataset.unit) : number.dataset.whole;
      }
    }
  };

  const acts = {
    play() {
      const p = parts();
      if (p && p.original.ended) p.original.currentTime = p.restored.currentTime = 0;
      transport.playing = !transport.playing;
    },
    pixels(button) { button.setAttribute("aria-pressed", root.classList.toggle("pixels")); },
    metric(button) { root.classList.toggle("show-ssim", button.value === "ssim"); },
    dismiss(button) { button.closest(".problem").hidden = true; },
    theme() { document.body.classList.toggle("dark"); },
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    if (button && acts[button.dataset.act]) acts[button.dataset.act](button);
    const area = event.target.closest(".timeline .area");
    const p = area && parts();
    if (p) {
      const box = area.getBoundingClientRect();
      seek(Math.floor(((event.clientX - box.left) / box.width) * p.frames));
    }
  });
  document.addEventListener("input", (event) => {
    if (event.target.matches(".scrub")) seek(+event.target.value);
    if (event.target.matches("[data-act=strength]")) root.style.setProperty("--strength", event.target.value / 100);
  });
  const hover = (on) => (event) => {
    const video = event.target.closest?.("[data-example]")?.querySelector("video");
    if (!video) return;
    if (on && !still) video.play().catch(() => {}); else video.pause();
  };
  document.addEventListener("pointerover", hover(true));
  document.addEventListener("pointerout", hover(false));
  document.addEventListener("focusin", hover(true));
  document.addEventListener("focusout", hover(false));

  /* After a piece was replaced its buttons say again what is chosen. */
  const restate = () => {
    for (const b of all("[data-act=pixels]")) b.setAttribute("aria-pressed", root.classList.contains("pixels"));
    for (const b of all("[data-act=metric]"))
      b.setAttribute("aria-pressed", (b.value === "ssim") === root.classList.contains("show-ssim"));
  };
  document.addEventListener("click", restate);
  setInterval(restate, 500);
  requestAnimationFrame(tick);
})();
