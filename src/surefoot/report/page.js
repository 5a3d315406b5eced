"use strict";
// Draws the figures of the data in #data. Untrusted names are escaped: they reach the page as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");
const printing = matchMedia("print");
let onPaper = printing.matches;
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const alpha = (hex, share) => `rgba(${[1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)).join(",")},${share})`;
let view = null;
const nameOf = (label) => view.names[label].label;
const about = (label) => `${wrapped(nameOf(label), 40)}<br>${wrapped(view.names[label].settings, 40)}`;
// Nothing on the page leads to a server: Plotly would offer to upload a chart.
const options = { displaylogo: false, showSendToCloud: false, showEditInChartStudio: false, showLink: false, plotlyServerURL: "",
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "sendChartToCloud", "sendDataToCloud", "editInChartStudio"] };
const narrowest = 700, letter = 6.4, around = 48, legendRow = 19, paperHeight = 960;

function look() {
  const night = dark.matches && !onPaper;
  return { ink: night ? "#e6edf3" : "#1b1f24", grid: night ? "#2a313a" : "#e4e8ec", grey: night ? "#8b949e" : "#7d858e",
    ground: night ? "#0d1117" : "#ffffff" };
}

function axis(title, more) {
  const style = look();
  return Object.assign({ title: { text: title, standoff: 8 }, gridcolor: style.grid, linecolor: style.grey, showline: true,
    zeroline: false, automargin: true, ticks: "outside", tickcolor: style.grey }, more);
}

function layout(x, y, more) {
  const style = look();
  return Object.assign({ paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: style.ink, size: 12 },
    margin: { l: 60, r: 15, t: 28, b: 50 }, hovermode: "closest", showlegend: false,
    hoverlabel: { bgcolor: style.ground, font: { color: style.ink } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: style.grey, activecolor: style.ink },
    xaxis: axis(x), yaxis: axis(y) }, more);
}

// Before printing, only the window can be measured; an A4 or letter page has 690 pixels between its margins.
const widthOf = (id) => !onPaper ? byId(id).clientWidth : byId(id).closest(".pair") ? 335 : 690;
const isNarrow = (id) => onPaper || widthOf(id) < narrowest;

function wrapped(text, letters) {
  const lines = [""];
  for (const word of String(text).split(" ")) {
    const last = lines[lines.length - 1];
    if (last && last.length + word.length >= letters) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  return lines.map(plain).join("<br>");
}

// Puts the legend in columns below a figure whose axes are `plot` pixels high, and returns the figure's height.
function legendBelow(id, drawn, shape, plot) {
  const own = drawn.filter((trace) => trace.showlegend !== false);
  const room = widthOf(id) - 30;
  own.forEach((trace) => { trace.name = wrapped(trace.label, (room - around) / letter); });
  const lines = own.map((trace) => trace.name.split("<br>"));
  const longest = letter * Math.max(1, ...lines.flat().map((line) => line.length));
  const columns = Math.max(1, Math.min(own.length, Math.floor(room / (longest + around))));
  let rows = 0;
  for (let i = 0; i < own.length; i += columns) rows += Math.max(...lines.slice(i, i + columns).map((line) => line.length));
  const below = 58, top = shape.margin.t;
  Object.assign(shape.margin, { b: below + 12 + legendRow * rows });
  Object.assign(shape, { showlegend: true, legend: { orientation: "h", x: -shape.margin.l / (widthOf(id) - shape.margin.l - shape.margin.r), xanchor: "left",
    y: -below / plot, yanchor: "top", font: { size: 11 }, bgcolor: "rgba(0,0,0,0)", tracegroupgap: 0, entrywidth: Math.floor(room / columns) - around, maxheight: 9999 } });
  return top + plot + shape.margin.b;
}

// Labels of algorithms on a vertical axis, and the height of all of them.
function rowLabels(id, labels) {
  const texts = labels.map((label) => wrapped(label, onPaper ? 20 : 28));
  const lines = Math.max(1, ...texts.map((text) => text.split("<br>").length));
  return { texts: texts, size: onPaper ? 9 : 11, height: labels.length * (11 + 14 * lines) };
}

// A curve and its interval toggle together, by the name in the legend.
function traces(label, x, band, custom, hover, more) {
  const style = data.styles[label];
  const edge = { x: x, legendgroup: label, hoverinfo: "skip", line: { width: 0 }, mode: "lines", showlegend: false };
  const curve = { x: x, y: band.value, name: plain(nameOf(label)), meta: about(label), label: nameOf(label), legendgroup: label, mode: "lines+markers",
    line: { color: style.colour, dash: style.dash, width: 2 },
    marker: { symbol: style.marker, size: 6, color: style.colour, maxdisplayed: 12 },
    customdata: custom, hovertemplate: hover };
  return [Object.assign({ y: band.high }, edge, more),
    Object.assign({ y: band.low, fill: "tonexty", fillcolor: alpha(style.colour, Math.min(0.15, 1 / Object.keys(view.names).length)) }, edge, more),
    Object.assign(curve, more)];
}

// A new plot each time: an existing one would keep its size, and margins for the legend it had.
function draw(id, drawn, shape, height) {
  const high = onPaper ? Math.min(height, paperHeight) : height;
  byId(id).style.height = `${high}px`;
  Plotly.newPlot(id, drawn, Object.assign(shape, { height: high, width: widthOf(id) }), options);
}

function drawCurves() {
  const wall = byId("axis").value === "wall";
  const name = byId("aggregate").value;
  const hover = "%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<br>%{x:,.4~f}, %{customdata[2]} runs<extra>%{fullData.meta}</extra>";
  const drawn = view.lines.flatMap((line) => {
    const band = line.curves[name];
    const custom = band.low.map((low, i) => [low, band.high[i], line.runs[i]]);
    return traces(line.label, wall ? line.wall_seconds.map((s) => s / 60) : line.env_steps, band, custom, hover);
  });
  const shown = !wall && byId("published").checked ? view.published : [];
  const last = Math.max(0, ...view.lines.map((line) => line.env_steps[line.env_steps.length - 1] || 0));
  const dashes = ["dot", "dash", "dashdot", "longdash", "longdashdot"];
  shown.forEach((curve, i) => {
    const near = curve.env_steps.filter((step) => step <= last * 1.001).length;
    drawn.push({ x: curve.env_steps.slice(0, near), y: curve.score.slice(0, near), name: plain(curve.label), meta: wrapped(`${curve.label}, published`, 40), label: curve.label,
      mode: "lines+markers", line: { color: look().grey, width: 1, dash: dashes[i % 5] },
      marker: { size: 4, symbol: i, color: look().grey, maxdisplayed: 8 }, opacity: 0.8, legend: isNarrow("curves") ? "legend" : "legend2",
      hovertemplate: `%{y:.3f} at %{x:,}<br>${curve.num_seeds} seeds, ${plain(curve.source)}<extra>%{fullData.meta}</extra>` });
  });
  const style = look();
  const shape = layout(wall ? "wall-clock of a run, minutes" : "env steps", `score, ${name}`, { showlegend: true });
  let height = Math.max(460, 110 + 19 * (view.lines.length + shown.length + 2));
  const legend = { x: 1.01, xanchor: "left", font: { size: 11 }, bgcolor: "rgba(0,0,0,0)", tracegroupgap: 0 };
  shape.legend = Object.assign({ y: 1, yanchor: "top" }, legend);
  shape.legend2 = Object.assign({ y: 0, yanchor: "bottom", title: { text: "published; protocols differ", font: { color: style.grey, size: 11 } } },
    legend, { font: { size: 10, color: style.grey } });
  if (isNarrow("curves")) height = legendBelow("curves", drawn, shape, 320);
  draw("curves", drawn, shape, height);
  byId("curves-caption").textContent = `${view.title}. ${name === "IQM" ? "IQM" : "Mean"}, ${data.interval}; ${view.seeds.curves}.` +
    (shown.length ? ` Thin and grey: IQM of published curves. ${data.caveat[0].toUpperCase()}${data.caveat.slice(1)}.` : "");
}

function errors(rows, more) {
  return Object.assign({ type: "data", symmetric: false, thickness: 1.5, array: rows.map((r) => r.score.high - r.score.value),
    arrayminus: rows.map((r) => r.score.value - r.score.low) }, more);
}

const scoreOf = "%{customdata[0]:.3f} [%{customdata[1]:.3f}, %{customdata[2]:.3f}]";
const custom = (rows) => rows.map((r) => [r.score.value, r.score.low, r.score.high, about(r.label)]);

function drawFinals() {
  // Hidden first, so that the others are drawn at their final width.
  byId("utd-box").hidden = !view.families.length;
  byId("profile-box").hidden = !view.profiles.length;
  byId("improvement-box").hidden = !view.improvement.labels.length;
  const rows = view.finals.slice().reverse();
  const labels = rowLabels("bars", rows.map((r) => nameOf(r.label)));
  const bars = { type: "bar", orientation: "h", y: labels.texts, x: rows.map((r) => r.score.value),
    error_x: errors(rows, { color: look().ink }), marker: { color: rows.map((r) => data.styles[r.label].colour), opacity: 0.85 },
    customdata: custom(rows), hovertemplate: `${scoreOf}<extra>%{customdata[3]}</extra>` };
  const shape = layout("score, IQM", "", { bargap: 0.35 });
  Object.assign(shape.yaxis, { ticks: "", showgrid: false, tickfont: { size: labels.size } });
  draw("bars", [bars], shape, Math.max(220, 90 + labels.height));
  if (view.families.length) drawUtd();
  const hover = "%{y:.0%} of runs score above %{x:.2f}<extra>%{fullData.meta}</extra>";
  if (view.profiles.length) {
    const drawn = view.profiles.flatMap((own) => traces(own.label, data.thresholds, own, null, hover));
    const shape = layout("score", "fraction of runs above it");
    draw("profile", drawn, shape, legendBelow("profile", drawn, shape, 250));
  }
  if (view.improvement.labels.length) drawImprovement(view.improvement);
  byId("finals-caption").textContent = `${view.title}, at the last evaluation that an algorithm's runs have in common. ` +
    `IQM, ${data.interval}; ${view.seeds.finals}.` +
    (view.improvement.labels.length ? ` Performance profile and probability of improvement are at env step ${view.compared.toLocaleString("en")}, the last that these evaluations of all algorithms have in common (${view.seeds.compared}); the latter is the probability that a run of the row's algorithm scores more than one of the column's on the same task.` : "");
}

function drawUtd() {
  const drawn = view.families.map((family) => {
    const rows = view.finals.filter((final) => view.names[final.label].family === family).sort((a, b) => a.utd - b.utd);
    const style = data.styles[rows[0].label];
    return { x: rows.map((r) => r.utd), y: rows.map((r) => r.score.value), name: plain(family), meta: plain(family), label: family, mode: "lines+markers",
      error_y: errors(rows, { color: style.colour }), line: { color: style.colour, dash: style.dash, width: 2 },
      marker: { symbol: style.marker, size: 9, color: style.colour }, customdata: custom(rows),
      hovertemplate: `${scoreOf} at UTD %{x}<extra>%{fullData.meta}</extra>` };
  });
  const ticks = [...new Set(drawn.flatMap((line) => line.x))].sort((a, b) => a - b);
  const shape = layout("", "score, IQM");
  shape.xaxis = axis("updates per agent step (UTD)", { type: "log", tickvals: ticks, ticktext: ticks.map(String) });
  draw("utd", drawn, shape, legendBelow("utd", drawn, shape, 250));
}

function drawImprovement(own) {
  const rows = rowLabels("improvement", own.labels);
  const names = rows.texts;
  const below = own.labels.map((label) => wrapped(label, 20));
  const cell = (widthOf("improvement") - 140) / names.length;
  const value = own.matrix.map((row) => row.map((cell) => cell[0]));
  const shown = value.map((row) => row.map((v) => (v === null ? "" : v.toFixed(2))));
  const drawn = { type: "heatmap", x: names, y: names, z: value, zmin: 0, zmax: 1, text: shown, texttemplate: cell < 20 ? "" : "%{text}", textfont: { size: cell < 32 ? 9 : 12 },
    customdata: own.matrix, colorscale: [[0, "#d55e00"], [0.5, dark.matches && !onPaper ? "#30363d" : "#f6f8fa"], [1, "#0072b2"]],
    showscale: false, xgap: 1, ygap: 1, hoverongaps: false,
    hovertemplate: "P(%{y} > %{x}) = %{z:.3f} [%{customdata[1]:.3f}, %{customdata[2]:.3f}]<extra></extra>" };
  const shape = layout("", "");
  Object.assign(shape.xaxis, { showgrid: false, tickangle: -90, ticks: "", tickvals: names, ticktext: below, tickfont: { size: rows.size } });
  Object.assign(shape.yaxis, { showgrid: false, autorange: "reversed", ticks: "", tickfont: { size: rows.size } });
  draw("improvement", [drawn], shape, Math.max(260, 150 + rows.height));
}

function drawClock() {
  const one = (key, unit, at) => view.finals.map((final) => ({ x: [key(final)], y: [final.score.value], name: plain(nameOf(final.label)), meta: about(final.label), label: nameOf(final.label),
    error_y: errors([final], { color: data.styles[final.label].colour }), mode: "markers", customdata: custom([final]),
    legendgroup: final.label, showlegend: !at, xaxis: `x${at}`, yaxis: `y${at}`,
    marker: { color: data.styles[final.label].colour, symbol: data.styles[final.label].marker, size: 11 },
    hovertemplate: `${scoreOf}<br>%{x:,.4~g} ${unit}<extra>%{fullData.meta}</extra>` }));
  const stacked = widthOf("clock") < narrowest - 100;
  const shape = layout("", "score, IQM", { showlegend: true,
    grid: Object.assign({ pattern: "independent" }, stacked ? { rows: 2, columns: 1, ygap: 0.3 } : { rows: 1, columns: 2, xgap: 0.14 }),
    legend: { x: 1.01, xanchor: "left", font: { size: 11 }, bgcolor: "rgba(0,0,0,0)", tracegroupgap: 0 } });
  shape.xaxis = axis("wall-clock of a run, minutes", { rangemode: "tozero" });
  shape.xaxis2 = axis("env steps per second, all seeds of a run", { rangemode: "tozero" });
  shape.yaxis2 = axis(stacked ? "score, IQM" : "", { matches: "y" });
  const drawn = one((f) => f.wall_seconds / 60, "min", "").concat(one((f) => f.env_steps_per_second, "env steps/s", "2"));
  const height = Math.max(340, 90 + 20 * view.finals.length);
  draw("clock", drawn, shape, isNarrow("clock") ? legendBelow("clock", drawn, shape, stacked ? 480 : 250) : height);
  byId("clock-caption").textContent = `${view.title}. IQM, ${data.interval}; ${view.seeds.finals}. Times are means over runs, evaluations included; ` +
    "a run trains its seeds together. Machines differ: see the device in the tables.";
}

function drawDiagnostics() {
  const own = view.diagnostics;
  byId("diagnostics-box").hidden = !own.length;
  byId("layers-box").hidden = !view.layers.length;
  if (!own.length) return;
  drawPanels("diagnostics", own);
  if (byId("layers-box").open && view.layers.length) drawPanels("layers", view.layers);
  byId("diagnostics-caption").textContent = `${view.title}, over env steps. Mean${view.suite ? " over tasks and seeds" : " over seeds"}; shaded: lowest to highest ` +
    `seed; ${view.seeds.diagnostics}.`;
}

// Ticks at 1, 2 and 5 times powers of ten, or at powers only; Plotly would print every digit of a decade.
function logTicks(lines) {
  const low = Math.min(...lines.flatMap((line) => line.low)), high = Math.max(...lines.flatMap((line) => line.high));
  const steps = high > 1000 * low ? [1] : [1, 2, 5];
  const powers = Array.from({ length: Math.ceil(Math.log10(high / low)) + 2 }, (_, i) => 10 ** (Math.floor(Math.log10(low)) + i));
  const ticks = powers.flatMap((power) => steps.map((step) => step * power)).filter((tick) => tick >= low && tick <= high);
  return ticks.length > 1 ? { tickvals: ticks, ticktext: ticks.map((tick) => String(Number(tick.toPrecision(1)))) } : {};
}

// On paper, a figure has the panels of at most one page.
function drawPanels(id, own) {
  const size = onPaper ? 9 : own.length;
  document.querySelectorAll(`[data-continues="${id}"]`).forEach((part) => { Plotly.purge(part); part.remove(); });
  for (let start = 0; start < own.length; start += size) {
    if (start) {
      const part = document.createElement("div");
      Object.assign(part, { id: `${id}-${start}`, className: "figure" });
      part.dataset.continues = id;
      (document.querySelector(`[data-continues="${id}"]:last-of-type`) || byId(id)).after(part);
    }
    drawPanel(start ? `${id}-${start}` : id, own.slice(start, start + size));
  }
}

function drawPanel(id, own) {
  const columns = Math.min(own.length, onPaper || widthOf(id) > 900 ? 3 : widthOf(id) > 560 ? 2 : 1);
  const rows = Math.ceil(own.length / columns);
  const shape = layout("", "", { annotations: [], margin: { l: 45, r: 15, t: 48, b: 40 },
    grid: { rows: rows, columns: columns, pattern: "independent", xgap: 0.16, ygap: 0.32 } });
  const seen = new Set();
  const hover = "%{y:.4g} [%{customdata[0]:.4g}, %{customdata[1]:.4g}]<br>%{x:,}<extra>%{fullData.meta}</extra>";
  const drawn = own.flatMap((panel, i) => {
    const at = i ? String(i + 1) : "";
    shape[`xaxis${at}`] = axis("", {});
    shape[`yaxis${at}`] = axis("", panel.logarithmic ? { type: "log", nticks: 5, ...logTicks(panel.lines) } : { nticks: 5 });
    shape.annotations.push({ text: `<b>${plain(panel.title)}</b>`, xref: `x${at} domain`, yref: `y${at} domain`, x: 0, y: 1.03, yanchor: "bottom",
      xanchor: "left", showarrow: false, font: { size: onPaper ? 10 : 12 } });
    return panel.lines.flatMap((line) => {
      const first = !seen.has(line.label);
      seen.add(line.label);
      const made = traces(line.label, line.env_steps, line, line.low.map((low, k) => [low, line.high[k]]), hover, { xaxis: `x${at}`, yaxis: `y${at}` });
      Object.assign(made[2], { showlegend: first, line: Object.assign({}, made[2].line, { width: 1.5 }) });
      made[2].marker.size = 4;
      return made;
    });
  });
  draw(id, drawn, shape, legendBelow(id, drawn, shape, 230 * rows));
}

function drawAll() {
  view = data.views[byId("view").value];
  document.querySelectorAll("[data-view]").forEach((part) => { part.hidden = part.dataset.view !== view.name; });
  document.querySelectorAll(".of").forEach((part) => { part.textContent = ` · ${view.title}`; });
  document.querySelectorAll(".scores").forEach((part) => { part.hidden = !view.lines.length; });
  if (view.lines.length) {
    drawCurves();
    drawFinals();
    drawClock();
  }
  drawDiagnostics();
}

byId("view").addEventListener("change", drawAll);
["axis", "aggregate", "published"].forEach((id) => byId(id).addEventListener("change", drawAll));
byId("layers-box").addEventListener("toggle", drawAll);
dark.addEventListener("change", drawAll);

function print(now) {
  if (now === onPaper) return;
  onPaper = now;
  if (now) document.querySelectorAll("details:not(.settings)").forEach((part) => { part.open = true; });
  drawAll();
}
printing.addEventListener("change", () => print(printing.matches));
addEventListener("beforeprint", () => print(true));
addEventListener("afterprint", () => print(false));

let resized = 0;
let wide = document.body.clientWidth;
addEventListener("resize", () => {
  if (document.body.clientWidth === wide) return;
  wide = document.body.clientWidth;
  clearTimeout(resized);
  resized = setTimeout(drawAll, 150);
});

drawAll();
document.body.dataset.ready = "yes";
