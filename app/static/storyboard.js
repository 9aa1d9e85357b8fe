/* The film of a strip: one transport for both videos, the image that is playing marked, and arrow keys on the strip. */
(() => {
  "use strict";
  const { keep, say, attribute, property, share } = window.stepping;
  const $ = (query, from = document) => from.querySelector(query);
  const all = (query, from = document) => [...from.querySelectorAll(query)];
  const clock = (time) => `${Math.floor(time / 60)}:${(time % 60).toFixed(1).padStart(4, "0")}`;
  let playing = false, rate = 1, source = null, marked = null;

  const reel = () => {
    const section = $(".cinema[data-seconds]");
    const restored = section && $(".restored video", section);
    return restored ? { section, restored, original: $(".original video", section), total: +section.dataset.seconds } : null;
  };
  const seek = (time, r = reel()) => {
    if (!r) return;
    for (const video of [r.restored, r.original]) if (video) video.currentTime = Math.min(Math.max(time, 0), r.total);
  };

  const tick = () => {
    const r = reel();
    if (!r) return false;
    const { section, restored, original, total } = r;
    if (source !== restored.src) { source = restored.src; playing = false; marked = null; }
    const seen = section.offsetParent !== null;
    if (playing && restored.ended) playing = false;
    for (const video of [restored, original]) {
      if (!video) continue;
      video.playbackRate = rate;
      if (playing && seen && video.paused && !video.ended) { video.muted = true; video.play().catch(() => {}); }
      if (!(playing && seen) && !video.paused) video.pause();
    }
    if (original && Math.abs(original.currentTime - restored.currentTime) > 0.12 * rate && !original.seeking && !restored.ended)
      original.currentTime = restored.currentTime;

    const time = restored.currentTime, at = share(Math.min(time, total), total);
    const button = $("[data-reel=play]", section), range = $("input", section);
    button.classList.toggle("playing", playing);
    attribute(button, "aria-label", playing ? "Pause" : "Play the whole film");
    if (playing || document.activeElement !== range) range.value = time;
    property(range, "--done", at);
    attribute(range, "aria-valuetext", clock(time));
    say($("output", section), `${clock(time)} / ${clock(total)}`);
    say($("[data-reel=rate]", section), `${rate}×`);
    const head = $(".loss .playhead");
    if (head) property(head, "--at", at);
    mark(time);
    return playing && seen;
  };

  /* Mark the image that is playing; scroll the strip to it, never the page. */
  const mark = (time) => {
    const tiles = all(".storyline .tile");
    const now = tiles.findLast((tile) => time >= +tile.dataset.start - 0.01);
    if (!now || (now === marked && now.classList.contains("now"))) return;
    for (const tile of tiles) tile.classList.toggle("now", tile === now), $(".seek", tile).removeAttribute("aria-current");
    $(".seek", now).setAttribute("aria-current", "true");
    marked = now;
    const box = now.parentElement, top = now.offsetTop - box.offsetTop;
    if (playing && (top < box.scrollTop || top + now.offsetHeight > box.scrollTop + box.clientHeight)) box.scrollTop = top - 4;
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-reel]"), r = reel();
    if (button?.dataset.reel === "play" && r) {
      if (r.restored.ended) seek(0, r);
      playing = !playing;
    }
    if (button?.dataset.reel === "rate") rate = rate < 8 ? rate * 2 : 1;
    const tile = event.target.closest(".tile .seek")?.parentElement;
    if (tile && r) { seek(+tile.dataset.start + 0.02, r); playing = true; }
    const area = event.target.closest(".loss .area");
    if (area && r) {
      const box = area.getBoundingClientRect();
      seek(((event.clientX - box.left) / box.width) * r.total, r);
    }
  });
  document.addEventListener("input", (event) => {
    if (event.target.matches(".cinema .controls input")) seek(+event.target.value);
  });
  document.addEventListener("keydown", (event) => {
    const here = event.target.closest?.(".tile .seek");
    if (!here) return;
    const buttons = all(".storyline .seek"), at = buttons.indexOf(here);
    const row = buttons.filter((b) => b.getBoundingClientRect().top === buttons[0].getBoundingClientRect().top).length;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + row, ArrowUp: at - row, Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = buttons[Math.min(Math.max(to, 0), buttons.length - 1)];
    here.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  keep(tick);
})();
