"use strict";

const problems = document.getElementById("problems");
const model = document.getElementById("model");
let kept = null; // what is chosen in the page: depths, zoom, theme
const news = new EventSource("events");

news.addEventListener("message", (event) => {
  const told = JSON.parse(event.data);
  problems.textContent = told.problems;
  problems.hidden = told.problems === "";
  model.classList.toggle("stale", told.problems !== "");
  loaded &&= told.problems !== "";
  if (told.problems === "") model.src = `model?${told.number}`;
  else if (told.drawn && !model.src) model.src = "model";
});

// The page is sandboxed and keeps nothing itself; a new one is told what was chosen in the last.
// What it tells before it is loaded is how it opens, and no choice.
let loaded = false;
window.addEventListener("message", (event) => {
  if (loaded && event.source === model.contentWindow) kept = event.data;
});
model.addEventListener("load", () => {
  loaded = true;
  if (kept !== null) model.contentWindow.postMessage(kept, "*");
});

news.addEventListener("error", () => {
  problems.textContent = "composer watch has stopped.";
  problems.hidden = false;
});
