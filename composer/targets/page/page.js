"use strict";
// Without this script the page shows all drawings and, below them, all parts.

const root = document.documentElement;
const panel = document.getElementById("panel");
const stage = document.getElementById("drawings");
const stacks = stage.dataset.stacks.split(" ");
const choices = [...document.querySelectorAll("#depths input")];
const SVG = "http://www.w3.org/2000/svg";
const drawings = [...document.querySelectorAll(".view")];
const sections = [...panel.querySelectorAll("section")];
const STEP = 1.25;
const MOST = 20;

let opener = null; // the part whose section is open
let shown = null; // the drawing that is seen
let levels = []; // the depth of each stack in it

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

function show(drawing) {
  for (const other of drawings) other.hidden = other !== drawing;
  shown = drawing;
  levels = levelsOf(drawing);
  for (const choice of choices) choice.checked = choice.value === drawing.dataset.depth;
  fit();
  addButtons(drawing);
}

function showDepth(depth) {
  show(drawings.find((drawing) => drawing.dataset.depth === depth));
}

function levelsOf(drawing) {
  return drawing.dataset.levels.split(" ").map(Number);
}

// Of the drawings in which a stack has that depth, the one in which the others change least.
function showStack(stack, level) {
  const index = stacks.indexOf(stack);
  const able = drawings.filter((drawing) => levelsOf(drawing)[index] === level);
  const changes = (drawing) =>
    levelsOf(drawing).reduce((sum, other, i) => sum + Math.abs(other - levels[i]), 0);
  show(able.reduce((best, other) => (changes(other) < changes(best) ? other : best)));
}

// Each stack has a button for more of it, and one for less, in a corner of its block.
function addButtons(drawing) {
  if (drawing.dataset.ready) return;
  drawing.dataset.ready = "yes";
  for (const group of drawing.querySelectorAll("[data-stack]")) {
    const stack = group.dataset.stack;
    const level = levels[stacks.indexOf(stack)];
    const border = group.querySelector("path, polygon").getBBox();
    const sides = [["-", level - 1, "Fold"], ["+", level + 1, "Unfold"]];
    let x = border.x + 4;
    for (const [sign, next, verb] of sides) {
      if (next < 0 || next > 2) continue;
      group.after(button(sign, `${verb} ${stack}`, x, border.y + 4, () => showStack(stack, next)));
      x += SIDE + 3;
    }
  }
}

const SIDE = 15;

function button(sign, label, x, y, act) {
  const made = document.createElementNS(SVG, "g");
  const box = document.createElementNS(SVG, "rect");
  const text = document.createElementNS(SVG, "text");
  const about = document.createElementNS(SVG, "title");
  for (const [name, value] of Object.entries({ x, y, width: SIDE, height: SIDE, rx: 4 }))
    box.setAttribute(name, value);
  text.setAttribute("x", x + SIDE / 2);
  text.setAttribute("y", y + SIDE / 2 + 4);
  text.textContent = sign;
  about.textContent = label;
  made.append(about, box, text);
  made.setAttribute("class", "fold");
  made.setAttribute("role", "button");
  made.setAttribute("tabindex", "0");
  made.setAttribute("aria-label", label);
  made.act = act;
  return made;
}

function foldOf(target) {
  return target instanceof Element ? target.closest(".fold") : null;
}

// A fold by the keyboard leaves the focus where it can go on.
function fold(made) {
  const [verb, stack] = made.getAttribute("aria-label").split(" ");
  const focused = made === document.activeElement;
  close();
  made.act();
  if (!focused) return;
  const names = [verb, verb === "Fold" ? "Unfold" : "Fold"].map((word) => `${word} ${stack}`);
  const found = names.map((name) => shown.querySelector(`.fold[aria-label="${name}"]`));
  found.find((other) => other !== null)?.focus();
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
  tell();
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
  const chosen = foldOf(event.target);
  if (chosen !== null && (event.key === "Enter" || event.key === " ")) {
    fold(chosen);
    event.preventDefault();
    return;
  }
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
  const chosen = foldOf(event.target);
  const part = partOf(event.target);
  if (clicked && chosen !== null) fold(chosen);
  else if (clicked && part !== null) open(part);
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
  tell();
});
for (const choice of choices)
  choice.addEventListener("change", () => {
    close();
    showDepth(choice.value);
  });

// A frame around the page, as that of `composer watch`, keeps what is chosen for the next page.

function tell() {
  if (parent === window) return;
  const near = svg().getAttribute("viewBox") !== svg().dataset.whole;
  const box = near ? view() : null;
  parent.postMessage({ levels: shown.dataset.levels, box, theme: root.dataset.theme ?? null }, "*");
}

function restore({ levels: wanted, box, theme }) {
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const found = drawings.find((drawing) => drawing.dataset.levels === wanted);
  if (found !== undefined) show(found);
  if (found !== undefined && Array.isArray(box) && box.length === 4 && box.every(Number.isFinite))
    look(box);
}

window.addEventListener("message", (event) => {
  if (parent !== window && event.source === parent) restore(event.data);
});

root.classList.add("live");
panel.hidden = true;
showDepth(stage.dataset.shown);
