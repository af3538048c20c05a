// Draws the charts with uPlot when they come into view, in the colours of the page.
"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("chart-values").textContent);
  const COLOURS = 6;
  // A line is told from others by colour and dashes: lines 6 to 11 have the colours of 0 to 5, dashed.
  const DASHES = [[], [8, 5], [2, 4]];
  const marked = {}; // by picker: names of coloured lines, null where a place is free
  const drawn = new Map(); // figure -> uPlot

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = (place) => style(`--series-${place % COLOURS}`);
  const dash = (place) => DASHES[Math.floor(place / COLOURS) % DASHES.length];
  const number = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: 4 }));

  function placeOf(chart, name) {
    return chart.picker ? marked[chart.picker].indexOf(name) : 0;
  }

  // Grey lines come first, so that coloured ones are drawn over them.
  function ordered(chart) {
    const grey = chart.series.filter((line) => placeOf(chart, line.name) < 0);
    return [...grey, ...chart.series.filter((line) => placeOf(chart, line.name) >= 0)];
  }

  function draw(figure) {
    const chart = charts[figure.dataset.chart];
    const box = figure.querySelector(".plot");
    const readout = figure.querySelector(".readout");
    const lines = ordered(chart).filter((line) => line.x.length);
    if (!lines.length) return;
    drawn.get(figure)?.destroy();
    const axis = { stroke: style("--quiet"), grid: { stroke: style("--rule"), width: 1 }, ticks: { stroke: style("--rule"), width: 1 }, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", labelSize: 22 };
    const scale = chart.logarithmic ? { distr: 3, log: 2 } : {};
    const bars = chart.kind === "bars" ? uPlot.paths.bars({ size: [0.9, 60] }) : undefined;
    const xs = lines[0].x;
    const gap = xs.length > 1 ? xs[1] - xs[0] : 1;
    const options = {
      width: Math.max(240, box.clientWidth),
      height: 256,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { time: false, ...scale, ...(bars && { range: (u, low, high) => [low - gap, high + gap] }) }, y: bars ? { range: (u, low, high) => [0, high * 1.05 || 1] } : scale },
      axes: [{ ...axis, label: chart.x, size: 32 }, { ...axis, label: chart.y, size: 58 }],
      series: [{}, ...lines.map((line) => {
        const place = placeOf(chart, line.name);
        return {
          label: line.name,
          stroke: place < 0 ? style("--unmarked") : colour(place),
          fill: bars && colour(place),
          width: bars ? 0 : place < 0 ? 1 : 2,
          dash: place < 0 ? [] : dash(place),
          points: { show: false },
          spanGaps: true,
          paths: bars,
        };
      })],
      hooks: {
        setCursor: [(u) => {
          const at = u.cursor.idx;
          if (at === null || at === undefined) { readout.textContent = ""; return; }
          const named = lines.map((line, place) => [line, u.data[place + 1][at]]).filter(([line, value]) => placeOf(chart, line.name) >= 0 && value !== null && value !== undefined);
          readout.textContent = `${chart.x.split(",")[0]} ${number(u.data[0][at])}: ${named.map(([line, value]) => `${line.name} ${number(value)}`).join(", ")}`;
        }],
      },
    };
    const data = uPlot.join(lines.map((line) => [line.x, line.y]));
    box.textContent = "";
    drawn.set(figure, new uPlot(options, data, box));
    figure.dataset.drawn = "yes";
  }

  // The numbers of the coloured lines as a table, made when somebody opens it.
  function tabulate(figure) {
    const chart = charts[figure.dataset.chart];
    const lines = chart.series.filter((line) => placeOf(chart, line.name) >= 0);
    const [xs, ...columns] = lines.length ? uPlot.join(lines.map((line) => [line.x, line.y])) : [[]];
    const table = document.createElement("table");
    const row = (cells, parent, tag) => {
      const made = parent.insertRow();
      for (const [place, text] of cells.entries()) {
        const cell = document.createElement(place ? tag : "th");
        cell.textContent = text;
        cell.className = "number";
        if (cell.tagName === "TH") cell.scope = tag === "th" ? "col" : "row";
        made.append(cell);
      }
    };
    row([chart.x, ...lines.map((line) => (chart.kind === "bars" ? chart.y : line.name))], table.createTHead(), "th");
    const body = table.createTBody();
    xs.forEach((x, at) => row([number(x), ...columns.map((column) => number(column[at]))], body, "td"));
    figure.querySelector(".figures .scroll").replaceChildren(table);
  }

  function refresh(figure) {
    if (drawn.has(figure)) draw(figure);
    if (figure.querySelector(".figures").open) tabulate(figure);
  }

  const figures = [...document.querySelectorAll("figure.chart")];
  const ofPicker = (picker) => figures.filter((figure) => charts[figure.dataset.chart].picker === picker);

  for (const box of document.querySelectorAll(".picker")) {
    const picker = box.dataset.picker;
    const lines = charts[ofPicker(picker)[0].dataset.chart].series;
    marked[picker] = lines.filter((line) => line.shown).map((line) => line.name);
    const swatches = new Map();
    const paint = () => {
      for (const [name, swatch] of swatches) {
        const place = marked[picker].indexOf(name);
        swatch.style.borderTopColor = place < 0 ? "" : colour(place);
        swatch.style.borderTopStyle = place < 0 || !dash(place).length ? "solid" : dash(place)[0] > 4 ? "dashed" : "dotted";
      }
    };
    for (const { name } of [...lines].sort((a, b) => a.name.localeCompare(b.name, "en"))) {
      const label = document.createElement("label");
      const check = Object.assign(document.createElement("input"), { type: "checkbox", checked: marked[picker].includes(name) });
      const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
      swatches.set(name, swatch);
      check.addEventListener("change", () => {
        const free = marked[picker].indexOf(null);
        if (!check.checked) marked[picker][marked[picker].indexOf(name)] = null;
        else if (free >= 0) marked[picker][free] = name;
        else marked[picker].push(name);
        paint();
        ofPicker(picker).forEach(refresh);
      });
      label.append(check, swatch, name);
      box.append(label);
    }
    box.hidden = false;
    paint();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  }

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      draw(entry.target);
      sizes.observe(entry.target.querySelector(".plot"));
    }
  }, { rootMargin: "300px" });
  const sizes = new ResizeObserver((entries) => {
    for (const entry of entries) {
      const plot = drawn.get(entry.target.closest("figure"));
      const width = Math.max(240, Math.floor(entry.contentRect.width));
      if (plot && plot.width !== width) plot.setSize({ width, height: plot.height });
    }
  });
  for (const figure of figures) {
    seen.observe(figure);
    figure.querySelector(".figures").addEventListener("toggle", () => refresh(figure));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => figures.forEach(refresh));
})();
