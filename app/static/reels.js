/* Reels: clips as sheets of frames, drawn tile by tile, all of a group at the same frame under one transport. Pieces of
   the page are replaced at any time: kept beyond that are a group's current frame, and each reel's last sheet until the
   next one is loaded. */
(() => {
  "use strict";
  const { keep, say, attribute, property, share } = window.stepping;
  const REST = 350; // milliseconds on the last frame
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const groups = new Map();

  const stateOf = (section) => {
    const name = section.dataset.group;
    if (!groups.has(name)) groups.set(name, { playing: !still, index: 0, begun: null, pictures: new Map() });
    return groups.get(name);
  };

  /* A new piece may come as new elements or as new attributes of old ones: compare the addresses. */
  const fetchSheet = (canvas, state) => {
    const { sheet, reel } = canvas.dataset;
    if (!sheet || canvas.fetched === sheet) return;
    canvas.fetched = sheet;
    const picture = new Image();
    picture.src = sheet;
    picture.decode().then(() => { if (canvas.fetched === sheet) state.pictures.set(reel, picture); }, () => {});
  };

  const draw = (canvas, state, index) => {
    fetchSheet(canvas, state);
    const picture = state.pictures.get(canvas.dataset.reel);
    if (!picture || (canvas.drawnPicture === picture && canvas.drawnIndex === index)) return;
    const { width, height } = canvas;
    const columns = +canvas.dataset.columns;
    canvas.getContext("2d").drawImage(
      picture, (index % columns) * width, Math.floor(index / columns) * height, width, height, 0, 0, width, height);
    canvas.drawnPicture = picture;
    canvas.drawnIndex = index;
  };

  const tick = (now) => {
    let plays = false;
    for (const section of document.querySelectorAll(".reels[data-group]")) {
      if (!section.offsetParent) continue;
      const state = stateOf(section);
      const frames = +section.dataset.frames;
      const length = (1000 * frames) / +section.dataset.fps;
      if (state.playing) {
        state.begun ??= now - (state.index * length) / frames;
        if (now - state.begun > length + REST) state.begun = now;
        state.index = Math.floor(((now - state.begun) * frames) / length);
      } else state.begun = null;
      state.index = Math.min(Math.max(state.index, 0), frames - 1);
      for (const canvas of section.querySelectorAll(".reel")) draw(canvas, state, state.index);
      show(section, state, frames);
      plays ||= state.playing;
    }
    return plays;
  };

  const show = (section, state, frames) => {
    const play = section.querySelector(".play");
    say(section.querySelector("output"), `${state.index + 1} / ${frames}`);
    play.classList.toggle("playing", state.playing);
    attribute(play, "aria-label", state.playing ? "Pause" : "Play");
    const where = section.querySelector(".where");
    where.value = state.index;
    attribute(where, "aria-valuetext", `frame ${state.index + 1} of ${frames}`);
    property(where, "--done", share(state.index, Math.max(frames - 1, 1)));
    for (const head of section.querySelectorAll(".head")) property(head, "--at", share(state.index + 0.5, frames));
  };

  const seek = (section, index) => {
    const state = stateOf(section);
    state.playing = false;
    state.index = Math.min(Math.max(index, 0), +section.dataset.frames - 1);
  };

  document.addEventListener("click", (event) => {
    const section = event.target.closest(".reels");
    if (!section) return;
    if (event.target.closest("[data-reels=play]")) {
      const state = stateOf(section);
      state.playing = !state.playing;
      if (state.playing && state.index === +section.dataset.frames - 1) state.index = 0;
    }
    const area = event.target.closest(".moments");
    if (area) {
      const box = area.getBoundingClientRect();
      seek(section, Math.floor(((event.clientX - box.left) / box.width) * +section.dataset.frames));
    }
  });
  document.addEventListener("input", (event) => {
    if (event.target.matches(".reels .where")) seek(event.target.closest(".reels"), +event.target.value);
  });
  keep(tick);
})();
