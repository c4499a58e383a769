"use strict";
(() => {
  const NARROW = 620;
  const tip = document.getElementById("tip");
  const boxes = [...document.querySelectorAll("[data-shows]")];
  const figures = [...document.querySelectorAll("[data-chart]")];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const onDark = JSON.parse(document.getElementById("on-dark").textContent);
  const views = new Map();

  // The charts: each is declared once, and fitted here to the room, the colour scheme and the scale that was chosen.
  function specificationOf(figure, width) {
    const text = figure.querySelector(".specification").textContent;
    const spec = JSON.parse(text, (key, value) => (dark.matches && typeof value === "string" && onDark[value]) || value);
    delete spec.title;
    // The feet of letters reach below the last title.
    Object.assign(spec, { background: null, padding: { left: 0, right: 0, top: 0, bottom: 5 } });
    spec.params.find((param) => param.name === "hidden").value = hidden();
    if ("switched" in figure.dataset && scale() === "linear") makeLinear(spec);
    const narrow = figure.clientWidth < (figure.dataset.narrow ?? NARROW);
    if (narrow) {
      // There is no room beside the chart: lines are named in a legend below it.
      nameInLegend(spec);
      // Names that would be cut to the same beginning have a line each.
      const long = Object.values(spec.datasets).flat().some((row) => row.name?.length > 20);
      const room = long ? { columns: 1, labelLimit: 300 } : { columns: 2, labelLimit: 130 };
      spec.config.legend = { ...spec.config.legend, ...room, orient: "bottom", offset: 12 };
    }
    for (const view of spec.vconcat ?? [spec.spec ?? spec]) {
      view.width = width;
      if (!narrow) continue;
      // A line is then picked by the legend, in the layer that is left on top.
      const gone = view.layer.filter((layer) => layer.name?.startsWith("beside"));
      view.layer = view.layer.filter((layer) => !gone.includes(layer));
      const top = view.layer.at(-1);
      for (const param of gone.flatMap((layer) => layer.params ?? [])) top.params = [{ ...param, bind: "legend" }];
      for (const param of spec.params.filter((one) => one.select)) Object.assign(param, { bind: "legend", views: [top.name] });
      for (const { encoding } of view.layer) {
        if (encoding?.color?.legend?.columns) encoding.color.legend.columns = 2;
      }
    }
    return spec;
  }
  function nameInLegend(part) {
    if (part === null || typeof part !== "object") return;
    if (part.field === "name" && part.legend === null) part.legend = { title: null, symbolOpacity: 1 };
    Object.entries(part).forEach(([key, value]) => key !== "datasets" && nameInLegend(value));
  }
  const scale = () => document.querySelector("[name=scale]:checked").value;
  const hidden = () => boxes.filter((box) => !box.checked).map((box) => box.dataset.shows);

  // Sizes stay logarithmic, to the base of two: they are asked for that way.
  function makeLinear(part) {
    if (part === null || typeof part !== "object") return;
    if (part.scale?.type === "log" && !part.scale.base) {
      part.scale = { ...part.scale, type: "linear", domain: [0, part.scale.domain[1]] };
      if (part.axis) delete part.axis.values;
    }
    // Names stand apart on either scale.
    if (part.field === "at") part.field = "flat";
    Object.entries(part).forEach(([key, value]) => key !== "datasets" && makeLinear(value));
  }

  async function draw(figure) {
    const turn = (figure.turn = (figure.turn ?? 0) + 1);
    const room = figure.clientWidth;
    const plot = figure.querySelector(".plot");
    // What stands beside the plot is measured, and the chart drawn again where it does not fit.
    for (let beside = figure.beside ?? 90, tries = 0; tries < 3; tries += 1) {
      const fresh = document.createElement("div");
      const { view } = await vegaEmbed(fresh, specificationOf(figure, Math.max(120, room - beside)), {
        mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false, tooltip: tell,
      });
      if (figure.turn !== turn) { view.finalize(); return; }
      views.get(figure)?.finalize();
      views.set(figure, view);
      plot.replaceChildren(fresh);
      figure.classList.add("live");
      const over = fresh.querySelector("svg").getBoundingClientRect().width - room;
      if (over <= 0 && over > -24) break;
      beside += over + 4;
      figure.beside = beside;
    }
  }
  function drawAll(which = figures) {
    // What is folded away has no width; it is drawn when it is opened. A chart that cannot be drawn leaves its picture
    // standing.
    const seen = which.filter((figure) => figure.clientWidth > 0);
    return Promise.all(seen.map((figure) => draw(figure).catch((error) => console.error(error))));
  }

  // What is folded away opens where a link leads into it.
  for (const folded of document.querySelectorAll("details")) {
    folded.addEventListener("toggle", () => {
      if (folded.open) drawAll(figures.filter((figure) => folded.contains(figure) && !views.has(figure)));
    });
  }
  function unfold() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let place = target; place; place = place.parentElement) if (place.tagName === "DETAILS") place.open = true;
    target.scrollIntoView();
  }
  addEventListener("hashchange", unfold);
  // A link that is followed again changes nothing in the address.
  document.addEventListener("click", (event) => {
    if (event.target.closest("a")?.hash === location.hash) unfold();
  });

  // A line to paste is copied by a button. Where a browser has no clipboard for this page, its selection is copied.
  for (const button of document.querySelectorAll(".copy")) {
    const code = button.parentElement.querySelector("code");
    button.hidden = false;
    button.addEventListener("click", async () => {
      let copied = true;
      try {
        await navigator.clipboard.writeText(code.textContent);
      } catch {
        getSelection().selectAllChildren(code);
        copied = document.execCommand("copy");
      }
      button.textContent = copied ? "Copied" : "Press Ctrl+C";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  // Lines that are shown or not, by backend and by library.
  function mark(library) {
    const mine = [...library.querySelectorAll("[data-shows]")];
    const all = library.querySelector("[data-library]");
    all.checked = mine.some((box) => box.checked);
    all.indeterminate = all.checked && !mine.every((box) => box.checked);
  }
  function show() {
    document.querySelectorAll(".library").forEach(mark);
    for (const view of views.values()) view.signal("hidden", hidden()).runAsync();
  }
  for (const box of boxes) box.addEventListener("change", show);
  for (const all of document.querySelectorAll("[data-library]")) {
    all.addEventListener("change", () => {
      for (const box of all.closest(".library").querySelectorAll("[data-shows]")) box.checked = all.checked;
      show();
    });
  }
  for (const choice of document.querySelectorAll("[name=scale]")) {
    choice.addEventListener("change", () => drawAll(figures.filter((figure) => "switched" in figure.dataset)));
  }
  dark.addEventListener("change", () => drawAll());
  let width = innerWidth;
  let waiting;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(() => { for (const figure of figures) delete figure.beside; drawAll(); }, 150);
  });

  // The values at the pointer. They are set as text: nothing in a name is markup.
  function tell(_handler, event, _item, values) {
    tip.classList.toggle("on", Boolean(values));
    if (!values) return;
    tip.replaceChildren(...Object.entries(values).map(([name, value]) => {
      const line = document.createElement("div");
      const term = document.createElement("span");
      term.textContent = `${name} `;
      line.append(term, value);
      return line;
    }));
    const left = Math.min(event.clientX + 14, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const above = event.clientY - tip.offsetHeight - 12;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above < 4 ? event.clientY + 16 : above}px`;
  }
  addEventListener("scroll", () => tip.classList.remove("on"), { passive: true });

  // Without this script the controls would do nothing.
  document.querySelector(".controls")?.removeAttribute("hidden");
  // A browser may restore what was chosen before the page was loaded again.
  document.querySelectorAll(".library").forEach(mark);
  drawAll().then(() => { document.documentElement.dataset.drawn = ""; });
  unfold();
})();
