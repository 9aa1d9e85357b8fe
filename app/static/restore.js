/* The easel of Restore: paints on the image at its own size, and sends it to the server with a `painted` event (a PNG address;
   empty: untouched). Tool, brush and colour are kept when the easel is replaced, as it is for each image. */
(() => {
  "use strict";
  const DEPTH = 40; // strokes that can be taken back
  const choice = { tool: "paint", brush: 10, colour: "#c8321e" };
  let work = null; // { easel, address, canvas, pen, image, mean, past, at }

  /* Return the easel on the page, with its image drawn; null until that has loaded. */
  const current = () => {
    const easel = document.querySelector(".easel[data-image]");
    if (!easel) return null;
    const address = easel.dataset.image;
    if (work?.easel === easel && work.address === address) return work.image.complete && work.drawn ? work : null;
    const canvas = easel.querySelector("canvas");
    const image = new Image();
    const mine = { easel, address, canvas, pen: canvas.getContext("2d", { willReadFrequently: true }), image, past: [], at: null };
    work = mine;
    image.onload = () => { mine.pen.drawImage(image, 0, 0); mine.mean = meanColour(mine); mine.drawn = true; };
    for (const button of easel.querySelectorAll("[data-undo], [data-reset]")) button.disabled = true;
    image.src = address;
    for (const button of easel.querySelectorAll("[data-tool]"))
      button.setAttribute("aria-pressed", button.dataset.tool === choice.tool);
    for (const button of easel.querySelectorAll("[data-brush]"))
      button.setAttribute("aria-pressed", +button.dataset.brush === choice.brush);
    easel.querySelector("input[type=color]").value = choice.colour;
    return null;
  };

  const meanColour = ({ pen, canvas }) => {
    const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
    const sum = [0, 0, 0];
    for (let i = 0; i < data.length; i += 4) for (let c = 0; c < 3; c++) sum[c] += data[i + c];
    return `rgb(${sum.map((value) => Math.round((4 * value) / data.length)).join(",")})`;
  };

  const remember = (w) => {
    w.past.push(w.pen.getImageData(0, 0, w.canvas.width, w.canvas.height));
    if (w.past.length > DEPTH + 1) w.past.splice(1, 1); // the first is the image itself
  };

  const tell = (w) => {
    for (const query of ["[data-undo]", "[data-reset]"]) w.easel.querySelector(query).disabled = !w.past.length;
    const detail = w.past.length ? w.canvas.toDataURL("image/png") : "";
    document.querySelector(".ink").dispatchEvent(new CustomEvent("painted", { bubbles: true, detail }));
  };

  const spot = (w, event) => {
    const box = w.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * w.canvas.width, ((event.clientY - box.top) / box.height) * w.canvas.height];
  };

  const stroke = (w, from, to) => {
    w.pen.strokeStyle = choice.tool === "erase" ? w.mean : choice.colour;
    w.pen.lineWidth = choice.brush;
    w.pen.lineCap = w.pen.lineJoin = "round";
    w.pen.beginPath();
    w.pen.moveTo(...from);
    w.pen.lineTo(to[0] + 0.01, to[1]); // a click is a dot
    w.pen.stroke();
  };

  document.addEventListener("pointerdown", (event) => {
    const w = event.target.closest(".board") && event.button === 0 && current();
    if (!w) return;
    event.preventDefault();
    w.easel.querySelector(".fed").hidden = true; // what is painted must be seen
    remember(w);
    w.at = spot(w, event);
    stroke(w, w.at, w.at);
    w.canvas.setPointerCapture(event.pointerId);
  });
  document.addEventListener("pointermove", (event) => {
    if (!work?.at) return;
    const to = spot(work, event);
    stroke(work, work.at, to);
    work.at = to;
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    document.addEventListener(kind, () => {
      if (!work?.at) return;
      work.at = null;
      tell(work);
    });
  }

  const presets = {
    middle(w) {
      const { width, height } = w.canvas;
      w.pen.fillStyle = w.mean;
      w.pen.fillRect(Math.round(width / 3), Math.round(height / 3), Math.round(width / 3), Math.round(height / 3));
    },
    still(w) {
      const [top, left, height, width] = w.easel.dataset.moving.split(" ").map(Number);
      w.pen.fillStyle = w.mean;
      w.pen.fillRect(left, top, width, height);
    },
    /* Copy the moving part into the other half of the image, by a multiple of 8 pixels: the encoder's grid. */
    paste(w) {
      const [top, left, height, width] = w.easel.dataset.moving.split(" ").map(Number);
      const room = w.canvas.width - width;
      const to = left + width / 2 < w.canvas.width / 2 ? room : 0;
      const aligned = left + Math.round((to - left) / 8) * 8;
      w.pen.drawImage(w.image, left, top, width, height, aligned, top, width, height);
    },
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest(".easel button");
    const w = button && current();
    if (!w) return;
    const { tool, brush, preset } = button.dataset;
    const choose = (query) => {
      for (const other of w.easel.querySelectorAll(query)) other.setAttribute("aria-pressed", other === button);
    };
    if (tool) { choice.tool = tool; choose("[data-tool]"); }
    if (brush) { choice.brush = +brush; choose("[data-brush]"); }
    if (preset) { remember(w); presets[preset](w); tell(w); }
    if ("undo" in button.dataset && w.past.length) { w.pen.putImageData(w.past.pop(), 0, 0); tell(w); }
    if ("reset" in button.dataset && w.past.length) { w.pen.putImageData(w.past[0], 0, 0); w.past = []; tell(w); }
  });
  document.addEventListener("input", (event) => {
    if (!event.target.matches(".easel input[type=color]")) return;
    choice.colour = event.target.value;
    choice.tool = "paint";
    for (const button of document.querySelectorAll(".easel [data-tool]"))
      button.setAttribute("aria-pressed", button.dataset.tool === "paint");
  });

  /* Pieces are replaced at any time: show again the image that the decoder gets, and mark the sliders in the curves. */
  setInterval(() => {
    const w = current();
    if (w && !w.at) {
      const fed = document.querySelector(".fed-now")?.dataset.fed || "";
      const shown = w.easel.querySelector(".fed");
      if (shown.getAttribute("src") !== fed) { if (fed) shown.setAttribute("src", fed); else shown.removeAttribute("src"); }
      shown.hidden = !fed;
    }
    const left = document.querySelector(".closeness[data-now]");
    for (const plot of document.querySelectorAll(".curve")) {
      const { kind, start, end, low, high } = plot.dataset;
      const dot = plot.querySelector(".dot");
      dot.hidden = !left || !plot.querySelector("polyline.made").getAttribute("points").trim();
      if (dot.hidden) continue;
      const x = (left.dataset[kind] - start) / (end - start);
      const y = (high - left.dataset.now) / (high - low);
      dot.style.left = `${100 * Math.min(Math.max(x, 0), 1)}%`;
      dot.style.top = `${100 * Math.min(Math.max(y, 0), 1)}%`;
    }
  }, 200);
})();
