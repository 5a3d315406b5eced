"use strict";
// Draws what #data holds. Every text that came from a file reaches the page as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");
const printing = matchMedia("print");
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function look() {
  const night = dark.matches && !printing.matches;
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: night ? "#e6edf3" : "#1b1f24", size: 12 },
    grid: night ? "#2a313a" : "#e4e8ec", grey: night ? "#8b949e" : "#8c959f",
  };
}

function layout(x, y, more) {
  const style = look();
  const axis = { gridcolor: style.grid, zeroline: false, automargin: true };
  return Object.assign({
    paper_bgcolor: style.paper_bgcolor, plot_bgcolor: style.plot_bgcolor, font: style.font,
    margin: { l: 60, r: 15, t: 15, b: 50 }, hovermode: "closest",
    legend: { orientation: "h", y: -0.22, font: { size: 11 } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: style.grey, activecolor: style.font.color },
    xaxis: Object.assign({ title: { text: x } }, axis), yaxis: Object.assign({ title: { text: y } }, axis),
  }, more || {});
}

const options = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
const alpha = (hex, share) => `rgba(${[1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)).join(",")},${share})`;

function traces(line, x, hover) {
  const style = data.styles[line.label];
  const shared = { x: x, legendgroup: line.label, hoverinfo: "skip", line: { width: 0 }, mode: "lines", showlegend: false };
  return [
    Object.assign({ y: line.high }, shared),
    Object.assign({ y: line.low, fill: "tonexty", fillcolor: alpha(style.colour, 0.15) }, shared),
    { x: x, y: line.value, name: plain(line.label), legendgroup: line.label, mode: "lines+markers",
      line: { color: style.colour, dash: style.dash, width: 2 }, marker: { symbol: style.marker, size: 6, color: style.colour,
      maxdisplayed: 14 }, customdata: line.low.map((low, i) => [low, line.high[i], line.runs ? line.runs[i] : line.seeds]),
      hovertemplate: hover },
  ];
}

function drawCurves() {
  const view = data.views[byId("view").value];
  const wall = byId("axis").value === "wall";
  const hover = "%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<br>%{x:,.4~f}, %{customdata[2]} runs<extra>%{fullData.name}</extra>";
  const drawn = view.lines.flatMap((l) => traces(l, wall ? l.wall_seconds.map((s) => s / 60) : l.env_steps, hover));
  const last = Math.max(0, ...view.lines.map((l) => l.env_steps[l.env_steps.length - 1] || 0));
  if (!wall && byId("published").checked) {
    const dashes = ["dot", "dash", "dashdot", "longdash", "longdashdot"];
    view.published.forEach((curve, i) => {
      const near = curve.env_steps.filter((step) => step <= last * 1.001).length;
      drawn.push({ x: curve.env_steps.slice(0, near), y: curve.score.slice(0, near), name: plain(curve.label), mode: "lines+markers",
        line: { color: look().grey, width: 1, dash: dashes[i % 5] }, marker: { size: 4, symbol: i, color: look().grey },
        legendgroup: "published", legendgrouptitle: i ? undefined : { text: "published, other protocols" },
        hovertemplate: `%{y:.3f} at %{x:,}<br>${curve.num_seeds} seeds, ${plain(curve.source)}<extra>%{fullData.name}</extra>` });
    });
  }
  Plotly.react("curves", drawn, layout(wall ? "wall-clock, minutes" : "env steps", "score"), options);
  const counts = view.lines.map((l) => `${l.label}: ${l.seeds} seed${l.seeds === "1" ? "" : "s"}`).join("; ");
  byId("curves-caption").textContent = `${view.title}. IQM over all runs, ${data.interval}. ${counts}.` +
    (view.published.length && !wall ? ` ${data.caveat[0].toUpperCase()}${data.caveat.slice(1)}.` : "");
  byId("bars-caption").textContent = `IQM at the last evaluation that all runs of an algorithm have, ${data.interval}. ${counts}.`;
  byId("profile-caption").textContent = `Performance profile over all runs, at the last evaluation that all algorithms have, ${data.interval}. ${counts}.`;
  drawBars(view);
  drawProfiles(view);
  document.querySelectorAll("[data-view]").forEach((part) => { part.hidden = part.dataset.view !== view.name; });
}

function drawBars(view) {
  const rows = view.bars.slice().reverse();
  const trace = { type: "bar", orientation: "h", y: rows.map((r) => plain(r.label)), x: rows.map((r) => r.value),
    error_x: { type: "data", symmetric: false, array: rows.map((r) => r.high - r.value), arrayminus: rows.map((r) => r.value - r.low) },
    marker: { color: rows.map((r) => data.styles[r.label].colour), pattern: { shape: rows.map((r, i) => ["", "/", "x", "\\", "-", "|", "+"][i % 7]),
    fgopacity: 0.35 } }, hovertemplate: "%{x:.3f}<extra>%{y}</extra>" };
  Plotly.react("bars", [trace], layout("score, IQM", "", { showlegend: false, margin: { l: 10, r: 15, t: 15, b: 45 } }), options);
}

function drawProfiles(view) {
  byId("profile-box").hidden = !view.profiles.length;
  if (!view.profiles.length) return;
  const drawn = view.profiles.flatMap((l) => traces(l, data.thresholds, "%{y:.0%} of runs score above %{x:.2f}<extra>%{fullData.name}</extra>"));
  Plotly.react("profile", drawn, layout("score", "share of runs above it"), options);
}

function drawDiagnostics() {
  const task = byId("diagnostic-task").value;
  const view = data.diagnostics.find((v) => v.task === task && v.column === byId("diagnostic").value);
  const lines = view ? view.lines : [];
  const hover = "%{y:.4g} [%{customdata[0]:.4g}, %{customdata[1]:.4g}]<br>%{x:,}<extra>%{fullData.name}</extra>";
  const scale = view && view.logarithmic ? { yaxis: { type: "log" } } : {};
  const shape = layout("env steps", view ? view.title : "");
  Object.assign(shape.yaxis, scale.yaxis || {});
  Plotly.react("diagnostics", lines.flatMap((l) => traces(l, l.env_steps, hover)), shape, options);
  byId("diagnostics-caption").textContent = view ? `${view.title} on ${task}. Mean over seeds, lowest to highest seed. ` +
    lines.map((l) => `${l.label}: ${l.seeds} seed${l.seeds === "1" ? "" : "s"}`).join("; ") + "." : "This task's runs did not measure it.";
}

function drawWallClock() {
  const drawn = data.clock.map((own) => ({ x: own.minutes, y: own.score, text: own.run.map(plain), name: plain(own.label), mode: "markers",
    marker: { color: data.styles[own.label].colour, symbol: data.styles[own.label].marker, size: 9 },
    hovertemplate: "%{text}<br>%{y:.3f} after %{x:.1f} min<extra>%{fullData.name}</extra>" }));
  Plotly.react("clock", drawn, layout("wall-clock, minutes", "score at the last evaluation"), options);
  const speed = data.clock.map((own) => ({ x: own.speed, y: own.score, text: own.run.map(plain), name: plain(own.label), mode: "markers",
    marker: { color: data.styles[own.label].colour, symbol: data.styles[own.label].marker, size: 9 }, showlegend: false,
    hovertemplate: "%{text}<br>%{y:.3f} at %{x:,.0f} env steps/s<extra>%{fullData.name}</extra>" }));
  const shape = layout("env steps per second, all seeds of a run", "score at the last evaluation");
  shape.xaxis.type = "log";
  Plotly.react("throughput", speed, shape, options);
}

function drawAll() { drawCurves(); if (data.diagnostics.length) drawDiagnostics(); drawWallClock(); }

["view", "axis", "published"].forEach((id) => byId(id).addEventListener("change", drawCurves));
["diagnostic", "diagnostic-task"].forEach((id) => byId(id) && byId(id).addEventListener("change", drawDiagnostics));
dark.addEventListener("change", drawAll);
printing.addEventListener("change", drawAll);
drawAll();
document.body.dataset.ready = "yes";
