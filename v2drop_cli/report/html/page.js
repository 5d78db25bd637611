"use strict";
// Nothing here is needed to read the page: tables sort, and the slider shows one drop at a time.

// A line without a number, or without text, comes last whichever way round.
function compared(a, b, at, way) {
  const [left, right] = [a, b].map((row) => row.cells[at]);
  const numbers = [left, right].map((cell) => cell.dataset.value);
  if (numbers.every((each) => each === undefined)) {
    return way * left.textContent.localeCompare(right.textContent);
  }
  const missing = numbers.map((each) => each === undefined);
  if (missing[0] || missing[1]) return missing[0] - missing[1];
  return way * (Number(numbers[0]) - Number(numbers[1]));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "↕";
    button.setAttribute("aria-label", "sort by " + (head.textContent || "name"));
    button.addEventListener("click", () => {
      const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
      body.append(...[...body.rows].sort((a, b) => compared(a, b, at, way)));
    });
    head.append(button);
  });
}

for (const box of document.querySelectorAll(".slides")) {
  const slider = box.querySelector("input[type=range]");
  const shown = box.querySelector("output");
  const show = () => {
    for (const slide of box.querySelectorAll("[data-slide]")) {
      slide.classList.toggle("away", slide.dataset.slide !== slider.value);
      slide.querySelector("figcaption").classList.add("away"); // the slider says it
    }
    const names = box.querySelectorAll("[data-slide] figcaption");
    shown.textContent = names.length ? names[Number(slider.value)].textContent : "";
  };
  slider.hidden = false;
  slider.addEventListener("input", show);
  show();
}
