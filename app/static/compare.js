/* Compare: three clips in step under one transport. The original leads; the others follow it. Events are
   delegated from the document, as the piece of the page is replaced whenever another pair is chosen. */
(() => {
  "use strict";
  const { keep, say, attribute, property, share } = window.stepping;
  let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const block = () => document.querySelector(".duel");
  const clips = (duel) => {
    const lead = duel.querySelector(".real video");
    return lead && [lead, ...[...duel.querySelectorAll("video")].filter((video) => video !== lead)];
  };

  const tick = () => {
    const duel = block();
    const videos = duel && clips(duel);
    if (!videos) return false;
    const [lead, ...others] = videos;
    const fps = +duel.dataset.fps, frames = +duel.dataset.frames;
    if (playing && videos.every((video) => video.readyState > 1)) {
      if (lead.ended) for (const video of videos) video.currentTime = 0;
      for (const video of others)
        if (Math.abs(video.currentTime - lead.currentTime) > 0.6 / fps && !video.seeking && !video.ended)
          video.currentTime = lead.currentTime;
      for (const video of videos)
        if (video.paused && !video.ended) { video.muted = true; video.play().catch(() => {}); }
    } else for (const video of videos) if (!video.paused) video.pause();

    const index = Math.min(Math.floor(lead.currentTime * fps + 1e-3), frames - 1);
    const play = duel.querySelector("[data-duel=play]"), scrub = duel.querySelector("[data-duel=scrub]");
    play.classList.toggle("playing", playing);
    attribute(play, "aria-label", playing ? "Pause" : "Play");
    if (playing || document.activeElement !== scrub) scrub.value = index;
    attribute(scrub, "aria-valuetext", `frame ${index + 1} of ${frames}`);
    property(scrub, "--done", share(index, Math.max(frames - 1, 1)));
    say(duel.querySelector("output"), `${index + 1} / ${frames}`);
    property(duel.querySelector(".playhead"), "--at", share(index + 0.5, frames));
    return playing;
  };

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-duel=play]")) playing = !playing;
  });
  document.addEventListener("input", (event) => {
    const duel = event.target.matches("[data-duel=scrub]") && block();
    if (!duel) return;
    playing = false;
    for (const video of clips(duel)) { video.pause(); video.currentTime = (+event.target.value + 0.5) / +duel.dataset.fps; }
  });
  keep(tick);
})();
