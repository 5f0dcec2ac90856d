"use strict";

const problems = document.getElementById("problems");
const model = document.getElementById("model");
const news = new EventSource("events");

news.addEventListener("message", (event) => {
  const told = JSON.parse(event.data);
  problems.textContent = told.problems;
  problems.hidden = told.problems === "";
  model.classList.toggle("stale", told.problems !== "");
  if (told.problems === "") model.src = `model?${told.number}`;
  else if (told.drawn && !model.src) model.src = "model";
});

news.addEventListener("error", () => {
  problems.textContent = "composer watch has stopped.";
  problems.hidden = false;
});
