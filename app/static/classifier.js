/* The frames under their heat maps play in step with the stage's videos; their button and slider move both. */
(() => {
  "use strict";
  const all = (query, from = document) => [...from.querySelectorAll(query)];

  const { keep, say, attribute, property, share } = window.stepping;

  const follow = () => {
    const place = all(".over-time").find((one) => one.offsetParent);
    const leader = all(".stage video").find((one) => one.offsetParent);
    if (!place || !leader) return false;
    const frames = +place.dataset.frames, fps = +place.dataset.fps;
    for (const video of all("video", place)) {
      const apart = Math.abs(video.currentTime - leader.currentTime);
      if (apart > (leader.paused ? 0.01 : 0.6 / fps) && !video.seeking) video.currentTime = leader.currentTime;
      if (leader.paused) video.pause();
      else if (video.paused && video.readyState > 1) { video.muted = true; video.play().catch(() => {}); }
    }
    const index = Math.min(Math.floor(leader.currentTime * fps + 1e-3), frames - 1);
    const playing = !leader.paused || leader.ended, play = place.querySelector(".play"), scrub = place.querySelector(".scrub");
    play.classList.toggle("playing", playing);
    attribute(play, "aria-label", playing ? "Pause" : "Play");
    if (document.activeElement !== scrub || playing) scrub.value = index;
    property(scrub, "--done", share(index, Math.max(frames - 1, 1)));
    say(place.querySelector("output"), `${index + 1} / ${frames}`);
    all(".probabilities i", place).forEach((bar, number) => bar.classList.toggle("now", number === index));
    const [figure, words] = place.querySelectorAll(".figure > *");
    say(figure, playing ? figure.dataset.whole : JSON.parse(place.dataset.values)[index]);
    say(words, playing ? words.dataset.whole : `in frame ${index + 1}`);
    return playing;
  };
  keep(follow);

  /* Select the text on focus, so that typing replaces it. */
  document.addEventListener("focusin", (event) => {
    if (event.target.matches("#target input")) setTimeout(() => event.target.select());
  });

  document.addEventListener("click", (event) => {
    const bars = event.target.closest(".probabilities div");
    if (!bars) return;
    const box = bars.getBoundingClientRect(), scrub = bars.closest(".over-time").querySelector(".scrub");
    scrub.value = Math.floor(((event.clientX - box.left) / box.width) * bars.children.length);
    scrub.dispatchEvent(new Event("input", { bubbles: true }));
  });
})();
