/* What the page does without asking the server: one transport for both videos and the plots, and a few switches.
   Pieces of the page are replaced at any time, so everything is delegated from the document, and what a visitor chose
   (strength, pixels, measure) lives on the root element, where no replacement reaches it. */

/* For whatever plays: to write is to lay the page out and to paint it again, so nothing is written that stands there
   already, and where nothing plays hardly anything is done. */
window.stepping = {
  /* `step(now)` is called thirty times a second while it returns true (something plays), else ten times, and at once
     after whatever a visitor does. */
  keep(step) {
    let timer;
    const tick = () => {
      clearTimeout(timer);
      timer = setTimeout(tick, 100);
      if (document.hidden || !step(performance.now())) return;
      clearTimeout(timer);
      timer = setTimeout(tick, 33);
    };
    for (const kind of ["click", "input"]) addEventListener(kind, tick);
    tick();
  },
  say(element, text) { if (element.textContent !== text) element.textContent = text; },
  attribute(element, name, value) { if (element.getAttribute(name) !== value) element.setAttribute(name, value); },
  property(element, name, value) {
    if (element.style.getPropertyValue(name) !== value) element.style.setProperty(name, value);
  },
  share: (part, whole) => `${((100 * part) / whole).toFixed(2)}%`,
};

(() => {
  "use strict";
  const { keep, say, attribute, property, share } = window.stepping;
  const root = document.documentElement;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const transport = { playing: !still, rest: 0 };
  const $ = (query, from = document) => from.querySelector(query);
  const all = (query, from = document) => [...from.querySelectorAll(query)];

  /* The visible stage and its videos, the first of which leads the others; null while one is missing. */
  const parts = () => {
    const stage = all(".stage").find((one) => one.offsetParent);
    const videos = stage ? all("video", stage) : [];
    if (!videos.length || $(".waiting", stage)) return null;
    return { stage, videos, leader: videos[0], frames: +stage.dataset.frames, fps: +stage.dataset.fps };
  };

  const seek = (index) => {
    const p = parts();
    if (!p) return;
    transport.playing = false;
    const time = (Math.min(Math.max(index, 0), p.frames - 1) + 0.5) / p.fps;
    for (const video of p.videos) { video.pause(); video.currentTime = time; }
  };

  /* Keep them together, start again after a short rest, move the playheads. */
  const tick = (now) => {
    const p = parts();
    if (!p) return false;
    const { leader, videos } = p;
    if (transport.playing && videos.every((video) => video.readyState > 1)) {
      if (leader.ended) {
        transport.rest ||= now + 350;
        if (now > transport.rest) { for (const video of videos) video.currentTime = 0; transport.rest = 0; }
      } else {
        transport.rest = 0;
        for (const video of videos) {
          if (Math.abs(leader.currentTime - video.currentTime) > 0.6 / p.fps && !video.seeking)
            video.currentTime = leader.currentTime;
          if (video.paused && !video.ended) { video.muted = true; video.play().catch(() => {}); }
        }
      }
    } else for (const video of videos) if (!video.paused) video.pause();

    const index = Math.min(Math.floor(leader.currentTime * p.fps + 1e-3), p.frames - 1);
    const play = $("[data-act=play]", p.stage);
    play.classList.toggle("playing", transport.playing);
    attribute(play, "aria-label", transport.playing ? "Pause" : "Play");
    const scrub = $(".scrub", p.stage);
    if (transport.playing || document.activeElement !== scrub) scrub.value = index;
    attribute(scrub, "aria-valuetext", `frame ${index + 1} of ${p.frames}`);
    property(scrub, "--done", share(index, Math.max(p.frames - 1, 1)));
    say($("output", p.stage), `${index + 1} / ${p.frames}`);
    for (const plot of all(".timeline")) property($(".playhead", plot), "--at", share(index + 0.5, p.frames));
    readout(transport.playing ? null : index);
    return transport.playing;
  };

  /* Show in the legend the values of the frame, while the clip stands still, or else of the whole clip. */
  let shownValues = null;
  const readout = (index) => {
    const plots = all(".timeline");
    const key = plots.length && index !== null ? `${index}|${plots[0].dataset.values}` : null;
    if (key === shownValues) return;
    shownValues = key;
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
      if (p && p.leader.ended) for (const video of p.videos) video.currentTime = 0;
      transport.playing = !transport.playing;
    },
    preview(button) {
      const video = $("video", button);
      if (video.paused) video.play().catch(() => {}); else video.pause();
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
  /* The filmstrip: from and to, in seconds; `--from` and `--to` place the handles. */
  const SHORTEST = 0.1;
  const choose = (trim, from, to, shown) => {
    const data = trim.dataset, total = +data.total;
    const tenth = (value) => Math.round(10 * value) / 10;
    from = Math.min(Math.max(tenth(from), 0), tenth(total - SHORTEST));
    to = Math.min(Math.max(tenth(to), tenth(from + SHORTEST)), tenth(total) || SHORTEST);
    [data.from, data.to] = [from.toFixed(1), to.toFixed(1)];
    for (const side of ["from", "to"]) {
      trim.style.setProperty(`--${side}`, `${Math.min((100 * data[side]) / total, 100)}%`);
      const handle = $(`.handle.${side}`, trim), box = $(`input[data-side=${side}]`, trim);
      handle.setAttribute("aria-valuenow", data[side]);
      handle.setAttribute("aria-valuetext", `${data[side]} seconds`);
      if (box !== document.activeElement) box.value = data[side];
    }
    $("[data-act=distill]", trim).disabled = data.from === data.start && data.to === data.end;
    const preview = $("#preview video"); // shows where the part begins, or the end that is being moved
    if (preview && preview.readyState) { preview.pause(); preview.currentTime = shown === "to" ? to : from; }
  };
  /* Move a handle, or the whole part; neither handle passes the other. */
  const move = (trim, side, at, length) => {
    const from = +trim.dataset.from, to = +trim.dataset.to, total = +trim.dataset.total;
    if (side === "from") choose(trim, Math.min(at, to - SHORTEST), to, side);
    else if (side === "to") choose(trim, from, Math.max(at, from + SHORTEST), side);
    else { const start = Math.min(Math.max(at, 0), total - length); choose(trim, start, start + length, side); }
  };
  let drag = null;
  const at = (event, trim) => {
    const box = $(".strip", trim).getBoundingClientRect();
    return ((event.clientX - box.left) / box.width) * trim.dataset.total;
  };
  document.addEventListener("pointerdown", (event) => {
    const strip = event.target.closest?.(".trim .strip:not(.waiting)");
    if (!strip || event.button) return;
    const trim = strip.parentElement, from = +trim.dataset.from, length = trim.dataset.to - from;
    const handle = event.target.closest(".handle"), side = handle ? handle.dataset.side : "both";
    // A press beside the chosen part moves it there; a press in it drags it from that point.
    const hold = handle ? 0 : event.target.closest(".chosen") ? at(event, trim) - from : length / 2;
    drag = { trim, side, hold, length };
    event.preventDefault();
    handle?.focus();
    if (side === "both") move(trim, side, at(event, trim) - hold, length);
  });
  document.addEventListener("pointermove", (event) => {
    if (drag) move(drag.trim, drag.side, at(event, drag.trim) - drag.hold, drag.length);
  });
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => { drag = null; });
  document.addEventListener("keydown", (event) => {
    const handle = event.target.closest?.(".trim .handle");
    if (!handle) return;
    const trim = handle.closest(".trim"), side = handle.dataset.side, large = event.shiftKey ? 1 : 0.1;
    const step = { ArrowLeft: -large, ArrowDown: -large, ArrowRight: large, ArrowUp: large, PageUp: 1, PageDown: -1,
      Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    move(trim, side, +trim.dataset[side] + step);
  });
  document.addEventListener("change", (event) => {
    const box = event.target.closest?.(".trim input[data-side]");
    if (!box) return;
    box.blur();
    const trim = box.closest(".trim");
    move(trim, box.dataset.side, Number.isFinite(box.valueAsNumber) ? box.valueAsNumber : +trim.dataset[box.dataset.side]);
  });
  document.addEventListener("click", (event) => {
    const preset = event.target.closest(".trim [data-window]");
    if (preset) choose(preset.closest(".trim"), ...preset.dataset.window.split(" ").map(Number));
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

  /* Set the buttons of a piece that was replaced to what is chosen. */
  const restate = () => {
    for (const b of all("[data-act=pixels]")) attribute(b, "aria-pressed", `${root.classList.contains("pixels")}`);
    for (const b of all("[data-act=metric]"))
      attribute(b, "aria-pressed", `${(b.value === "ssim") === root.classList.contains("show-ssim")}`);
  };
  document.addEventListener("click", restate);
  setInterval(restate, 500);
  keep(tick);
})();
