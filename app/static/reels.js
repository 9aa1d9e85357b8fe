/* Reels: clips as sheets of frames, drawn tile by tile, all of a group at the same frame under one transport. Pieces of
   the page are replaced at any time: kept beyond that are a group's current frame, and each reel's last sheet until the
   next one is loaded. */
(() => {
  "use strict";
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
    requestAnimationFrame(tick);
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
    }
  };

  const show = (section, state, frames) => {
    const play = section.querySelector(".play");
    const words = `${state.index + 1} / ${frames}`;
    const left = `${((100 * (state.index + 0.5)) / frames).toFixed(2)}%`;
    const output = section.querySelector("output");
    const heads = [...section.querySelectorAll(".head")];
    if (output.textContent === words && play.classList.contains("playing") === state.playing
      && heads.every((head) => head.dataset.left === left && head.style.left)) return;
    output.textContent = words;
    play.classList.toggle("playing", state.playing);
    play.setAttribute("aria-label", state.playing ? "Pause" : "Play");
    const where = section.querySelector(".where");
    where.value = state.index;
    where.setAttribute("aria-valuetext", `frame ${state.index + 1} of ${frames}`);
    where.style.setProperty("--done", `${(100 * state.index) / Math.max(frames - 1, 1)}%`);
    for (const head of heads) { head.dataset.left = left; head.style.left = left; }
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
  requestAnimationFrame(tick);
})();
