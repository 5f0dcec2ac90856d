"use strict";
// Without this script the page shows all drawings and, below them, all parts.

const root = document.documentElement;
const panel = document.getElementById("panel");
const drawings = [...document.querySelectorAll(".view")];
const sections = [...panel.querySelectorAll("section")];
const STEP = 1.25;
const MOST = 20;

let opener = null; // the part whose section is open
let shown = null; // the drawing that is seen

// Parts

function open(part) {
  close();
  opener = part;
  for (const section of sections) section.hidden = section.id !== part.dataset.part;
  for (const other of document.querySelectorAll("[data-part]"))
    other.classList.toggle("chosen", other.dataset.part === part.dataset.part);
  panel.hidden = false;
  panel.scrollTop = 0;
}

function close() {
  panel.hidden = true;
  for (const other of document.querySelectorAll(".chosen")) other.classList.remove("chosen");
  if (opener !== null && shown.contains(opener)) opener.focus();
  opener = null;
}

function partOf(target) {
  return target instanceof Element ? target.closest("[data-part]") : null;
}

// Depth

function show(depth) {
  for (const drawing of drawings) drawing.hidden = drawing.dataset.depth !== depth;
  shown = drawings.find((drawing) => !drawing.hidden);
  fit();
}

// Zoom and pan: the part of the drawing that is seen is its view box.

function svg() {
  return shown.querySelector("svg");
}

function whole(image) {
  if (!image.dataset.whole) {
    image.dataset.whole = image.getAttribute("viewBox");
    image.removeAttribute("width");
    image.removeAttribute("height");
  }
  return image.dataset.whole.split(" ").map(Number);
}

function view() {
  whole(svg());
  return svg().getAttribute("viewBox").split(" ").map(Number);
}

function look(box) {
  svg().setAttribute("viewBox", box.join(" "));
}

function fit() {
  look(whole(svg()));
}

function zoom(factor, x = 0.5, y = 0.5) {
  const [left, top, width, height] = view();
  const full = whole(svg());
  const wide = Math.min(Math.max(width / factor, full[2] / MOST), full[2] * 2);
  const scale = wide / width;
  look([left + width * (1 - scale) * x, top + height * (1 - scale) * y, wide, height * scale]);
}

function move(dx, dy) {
  const [left, top, width, height] = view();
  look([left + dx, top + dy, width, height]);
}

function unitsPerPixel() {
  const [, , width, height] = view();
  const area = svg().getBoundingClientRect();
  return Math.max(width / area.width, height / area.height);
}

// Keys and pointers

const KEYS = {
  "+": () => zoom(STEP),
  "=": () => zoom(STEP),
  "-": () => zoom(1 / STEP),
  0: fit,
  ArrowLeft: () => move(-40 * unitsPerPixel(), 0),
  ArrowRight: () => move(40 * unitsPerPixel(), 0),
  ArrowUp: () => move(0, -40 * unitsPerPixel()),
  ArrowDown: () => move(0, 40 * unitsPerPixel()),
  Escape: close,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const part = partOf(event.target);
  if (part !== null && (event.key === "Enter" || event.key === " ")) {
    open(part);
    panel.focus();
    event.preventDefault();
    return;
  }
  const arrows = event.key.startsWith("Arrow");
  if (arrows && (panel.contains(event.target) || event.target.type === "radio")) return;
  if (event.key in KEYS) {
    KEYS[event.key]();
    event.preventDefault();
  }
});

const stage = document.getElementById("drawings");
let from = null; // where a drag began, and whether it has moved

stage.addEventListener("pointerdown", (event) => {
  if (event.button === 0) from = { x: event.clientX, y: event.clientY, moved: false };
});

window.addEventListener("pointermove", (event) => {
  if (from === null) return;
  const dx = event.clientX - from.x;
  const dy = event.clientY - from.y;
  if (!from.moved && Math.hypot(dx, dy) < 4) return;
  const units = unitsPerPixel();
  move(-dx * units, -dy * units);
  from = { x: event.clientX, y: event.clientY, moved: true };
});

window.addEventListener("pointerup", (event) => {
  const clicked = from !== null && !from.moved;
  from = null;
  const part = partOf(event.target);
  if (clicked && part !== null) open(part);
});

stage.addEventListener(
  "wheel",
  (event) => {
    const area = svg().getBoundingClientRect();
    const x = (event.clientX - area.left) / area.width;
    const y = (event.clientY - area.top) / area.height;
    zoom(event.deltaY < 0 ? STEP : 1 / STEP, x, y);
    event.preventDefault();
  },
  { passive: false },
);

document.getElementById("close").addEventListener("click", close);
document.getElementById("zoom-in").addEventListener("click", () => zoom(STEP));
document.getElementById("zoom-out").addEventListener("click", () => zoom(1 / STEP));
document.getElementById("zoom-fit").addEventListener("click", fit);
document.getElementById("theme").addEventListener("click", () => {
  const asked = root.dataset.theme;
  const dark = asked ? asked === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
for (const choice of document.querySelectorAll("#depths input"))
  choice.addEventListener("change", () => {
    close();
    show(choice.value);
  });

root.classList.add("live");
panel.hidden = true;
show(stage.dataset.shown);
document.querySelector(`#depths input[value="${stage.dataset.shown}"]`).checked = true;
