"use strict";
(() => {
  const figures = document.getElementById("figures");
  const tip = document.getElementById("tip");
  const boxes = [...document.querySelectorAll("[data-shows]")];

  // Lines that are shown or not, by backend and by library.
  function show(box) {
    for (const drawn of document.querySelectorAll(`[data-key="${box.dataset.shows}"]`)) {
      drawn.classList.toggle("off", !box.checked);
    }
    const library = box.closest(".library");
    const mine = [...library.querySelectorAll("[data-shows]")];
    const all = library.querySelector("[data-library]");
    all.checked = mine.some((other) => other.checked);
    all.indeterminate = all.checked && !mine.every((other) => other.checked);
  }
  for (const box of boxes) box.addEventListener("change", () => show(box));
  for (const all of document.querySelectorAll("[data-library]")) {
    all.addEventListener("change", () => {
      const shown = all.checked;
      for (const box of all.closest(".library").querySelectorAll("[data-shows]")) {
        box.checked = shown;
        show(box);
      }
    });
  }
  for (const choice of document.querySelectorAll("[name=scale]")) {
    choice.addEventListener("change", () => { figures.dataset.scale = choice.value; });
  }
  // A browser may restore what was chosen before the page was loaded again.
  for (const box of boxes) show(box);
  const chosen = document.querySelector("[name=scale]:checked");
  if (chosen) figures.dataset.scale = chosen.value;

  // The value at the pointer, or at the point that the arrow keys have reached.
  let told = null;
  function tell(dot) {
    if (told) mark(false);
    told = dot;
    tip.classList.toggle("on", Boolean(dot));
    if (!dot) return;
    mark(true);
    tip.textContent = dot.getAttribute("aria-label");
    place();
  }
  // The point and its line's interval stand out.
  function mark(on) {
    told.classList.toggle("told", on);
    const key = told.parentNode.dataset.key;
    if (told.parentNode.matches(".thin, .faint")) return;
    for (const band of told.closest(".chart").querySelectorAll(`.band[data-key="${key}"]`)) band.classList.toggle("own", on);
  }
  function place() {
    if (!told) return;
    const dot = told.getBoundingClientRect();
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    const left = dot.left + dot.width / 2 - tip.offsetWidth / 2;
    const above = dot.top - tip.offsetHeight - 10;
    tip.style.left = `${Math.max(8, Math.min(left, room))}px`;
    tip.style.top = `${above < 4 ? dot.bottom + 10 : above}px`;
  }
  const dotsOf = (chart) => [...chart.querySelectorAll(".line:not(.off) .dot")];
  const REACH = 28;
  for (const chart of document.querySelectorAll("svg.chart")) {
    chart.addEventListener("pointermove", (event) => {
      const away = (dot) => {
        const place = dot.getBoundingClientRect();
        return Math.hypot(place.left + place.width / 2 - event.clientX, place.top + place.height / 2 - event.clientY);
      };
      const [distance, nearest] = dotsOf(chart).map((dot) => [away(dot), dot])
        .reduce((best, one) => (one[0] < best[0] ? one : best), [REACH, null]);
      if (distance >= REACH) tell(null);
      else if (nearest !== told) tell(nearest);
    });
    chart.addEventListener("pointerleave", () => tell(null));
    chart.addEventListener("focusin", (event) => {
      if (event.target.classList.contains("dot")) tell(event.target);
    });
    chart.addEventListener("focusout", () => tell(null));
    chart.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { chart.focus(); return; }
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: "line", ArrowUp: "-line", Home: "first", End: "last" }[event.key];
      const dots = dotsOf(chart);
      if (step === undefined || !dots.length) return;
      event.preventDefault();
      const at = dots.indexOf(document.activeElement);
      let next = at + step;
      if (at < 0 || step === "first") next = 0;
      else if (step === "last") next = dots.length - 1;
      else if (typeof step === "string") next = beside(dots, at, step === "line");
      dots[Math.max(0, Math.min(next, dots.length - 1))].focus();
    });
  }
  // The point of the next or the last line that stands nearest below or above.
  function beside(dots, at, forward) {
    const lines = [...new Set(dots.map((dot) => dot.parentNode))];
    const line = lines[lines.indexOf(dots[at].parentNode) + (forward ? 1 : -1)];
    if (!line) return at;
    const x = (dot) => Number(dot.getAttribute("x"));
    const mine = dots.filter((dot) => dot.parentNode === line);
    const nearest = mine.reduce((best, dot) => (Math.abs(x(dot) - x(dots[at])) < Math.abs(x(best) - x(dots[at])) ? dot : best));
    return dots.indexOf(nearest);
  }
  addEventListener("scroll", place, { passive: true });
  // What was folded away has to be on paper.
  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details:not([open])")) { folded.open = true; folded.dataset.printed = ""; }
  });
  addEventListener("afterprint", () => {
    for (const folded of document.querySelectorAll("details[data-printed]")) { folded.open = false; delete folded.dataset.printed; }
  });
})();
