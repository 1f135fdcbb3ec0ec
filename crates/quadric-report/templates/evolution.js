(() => {
  const { literal, digits } = page;
  const { least, most } = spectrum;
  const data = JSON.parse(page.block);
  const points = data.evolution.checkpoints;
  const matrices = data.matrices;
  const shown = matrices.map(() => true);
  const choice = { eigenvalues: "linear" };
  const COLOURS = 8;
  const paint = (colour, i) => colour("c" + (i % COLOURS));
  const labels = data.labels.map(literal);

  // Numbers where every checkpoint has one, else side by side.
  const numbered = points.every((p) => page.finite(p.step));
  const place = (i) => (numbered ? points[i].step : i);
  const places = points.map((_, i) => place(i));
  const [from, to] = [least(places), most(places)];
  const margin = 0.05 * (to - from || 1);

  function along(colour) {
    const base = { ...page.axis(colour), range: [from - margin, to + margin] };
    return numbered ? { ...base, title: page.title(colour, literal(data.axis)) } : { ...base, tickvals: places, ticktext: labels };
  }

  const visible = () => matrices.map((m, i) => ({ ...m, i })).filter(({ i }) => shown[i]);

  function extremes(colour) {
    const traces = visible().flatMap(({ key, name, i }) => ["top", "bottom"].map((end) => {
      const list = points.map((p, k) => ({ e: p.report[key]?.[end][0], k })).filter(({ e }) => e);
      const ink = paint(colour, i);
      return {
        type: "scatter", mode: "lines+markers", name: literal(name),
        x: list.map(({ k }) => place(k)), y: list.map(({ e }) => e.value),
        error_y: { type: "data", array: list.map(({ e }) => e.residual), color: ink, thickness: 1.2, width: 3 },
        line: { color: ink, width: 2, dash: end === "top" ? "solid" : "dot" },
        marker: { color: ink, size: 7, symbol: list.map(({ e }) => (e.converged ? "circle" : "circle-open")) },
        text: list.map(({ e, k }) => `${labels[k]}<br>${digits(e.value)} ± ${digits(e.residual)}${e.converged ? "" : "<br>not converged"}`),
        hovertemplate: `<b>%{fullData.name}, ${end === "top" ? "largest" : "smallest"}</b><br>%{text}<extra></extra>`,
      };
    }));
    const axis = page.axis(colour);
    return { traces, layout: { xaxis: along(colour), yaxis: { ...axis, zeroline: true, zerolinecolor: colour("reference"), title: page.title(colour, "Eigenvalue") } } };
  }

  function trace(colour) {
    const traces = visible().map(({ key, name, i }) => {
      const list = points.map((p, k) => ({ t: p.report[key]?.trace, k })).filter(({ t }) => t);
      const ink = paint(colour, i);
      return {
        type: "scatter", mode: "lines+markers", name: literal(name),
        x: list.map(({ k }) => place(k)), y: list.map(({ t }) => t.value),
        error_y: { type: "data", symmetric: false, array: list.map(({ t }) => t.high - t.value), arrayminus: list.map(({ t }) => t.value - t.low), color: ink, thickness: 1.2, width: 3 },
        line: { color: ink, width: 2 }, marker: { color: ink, size: 7 },
        text: list.map(({ t, k }) => `${labels[k]}<br>${digits(t.value)}, ${digits(t.low)} to ${digits(t.high)}`),
        hovertemplate: "<b>%{fullData.name}</b><br>%{text}<extra></extra>",
      };
    });
    return { traces, layout: { xaxis: along(colour), yaxis: { ...page.axis(colour), zerolinecolor: colour("reference"), title: page.title(colour, "Trace") } } };
  }

  function loss(colour) {
    const list = points.map((p, k) => ({ p, k }));
    const right = list.filter(({ p }) => page.finite(p.report.accuracy));
    const own = (name, ink, entries, value, text) => ({
      type: "scatter", mode: "lines+markers", name, x: entries.map(({ k }) => place(k)), y: entries.map(({ p }) => value(p.report)),
      line: { color: ink, width: 2 }, marker: { color: ink, size: 7 }, text: entries.map(({ p, k }) => `${labels[k]}<br>${text(p.report)}`),
      hovertemplate: `<b>${name}</b><br>%{text}<extra></extra>`,
    });
    const traces = [own("Loss", paint(colour, 4), list, (r) => r.loss, (r) => digits(r.loss))];
    const axis = page.axis(colour);
    const layout = {
      showlegend: right.length > 0,
      legend: page.below(colour),
      margin: { l: 64, r: 64, t: 32, b: 48 },
      xaxis: along(colour), yaxis: { ...axis, rangemode: "tozero", title: page.title(colour, "Loss") },
    };
    if (right.length) {
      traces.push({ ...own("Accuracy", paint(colour, 5), right, (r) => r.accuracy, (r) => (100 * r.accuracy).toFixed(2) + " %"), yaxis: "y2" });
      traces[1].line.dash = "dash";
      layout.yaxis2 = { ...axis, overlaying: "y", side: "right", showgrid: false, tickmode: "auto", range: [0, 1.03], tickformat: ".0%", title: page.title(colour, "Accuracy") };
    }
    return { traces, layout };
  }

  // From the first colour of the palette to the second, in their order.
  function shade(colour, share) {
    const parts = (c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16));
    const [a, b] = [parts(colour("c6")), parts(colour("c5"))];
    const hex = (v) => Math.round(v).toString(16).padStart(2, "0");
    return "#" + a.map((v, i) => hex(v + share * (b[i] - v))).join("");
  }

  function densities(colour) {
    const list = points.map((p, k) => ({ d: p.report[data.main]?.density, k })).filter(({ d }) => d?.grid.length);
    const { map, axis } = spectrum.scale(choice.eigenvalues, list.flatMap(({ d }) => d.grid));
    const floor = spectrum.floorOf(list.map(({ d }) => d.pdf));
    const traces = list.flatMap(({ d, k }, n) => {
      const share = list.length > 1 ? n / (list.length - 1) : 0;
      return spectrum.curves({ ...d, low: [], high: [] }, map, floor, shade(colour, share), labels[k]);
    });
    const base = page.axis(colour);
    return {
      traces,
      layout: {
        showlegend: true,
        legend: page.below(colour),
        xaxis: { ...base, ...axis, title: page.title(colour, "Eigenvalue") },
        yaxis: { ...base, ...spectrum.densityAxis(floor), title: page.title(colour, "Density") },
      },
    };
  }

  function layers(colour) {
    const all = data.layers.flatMap((l) => l.traces).filter(page.finite);
    const log = all.length > 0 && least(all) > 0 && most(all) > 30 * least(all);
    const rows = [...data.layers].reverse();
    const base = page.axis(colour);
    return {
      traces: [{
        type: "heatmap", x: points.map((_, k) => k), y: rows.map((_, r) => r), z: rows.map((l) => l.traces.map((v) => (v === null ? null : log ? Math.log10(v) : v))),
        customdata: rows.map((l) => l.traces.map((v, k) => `${literal(l.label)}, ${labels[k]}<br>trace ${digits(v)}`)),
        colorscale: "Viridis", xgap: 1, ygap: 1, hoverongaps: false,
        colorbar: { thickness: 12, outlinewidth: 0, tickfont: { color: colour("soft"), size: 11.5 }, title: { text: log ? "log<sub>10</sub> of the trace" : "Trace", side: "right", font: { color: colour("fg"), size: 13 } } },
        hovertemplate: "%{customdata}<extra></extra>",
      }],
      layout: {
        xaxis: { ...base, showgrid: false, tickvals: points.map((_, k) => k), ticktext: labels },
        yaxis: { ...base, showgrid: false, tickvals: rows.map((_, r) => r), ticktext: rows.map((l) => literal(l.label)) },
      },
    };
  }

  const PLOTS = { extremes, trace, loss, densities, layers };
  const plots = [...document.querySelectorAll(".plot")];
  const tall = document.getElementById("layers");
  if (tall) tall.style.height = Math.min(Math.max(240, 90 + 22 * data.layers.length), 2400) + "px";

  function draw() {
    const colour = page.theme();
    for (const plot of plots) {
      const { traces, layout } = PLOTS[plot.id](colour);
      Plotly.react(plot, traces, { ...page.layout(colour, 32), ...layout }, page.settings(plot.id));
    }
  }

  page.legend(shown, draw);
  for (const input of document.querySelectorAll(".axes input")) {
    input.addEventListener("change", () => {
      choice[input.name] = input.value;
      draw();
    });
  }
  page.offer("json", JSON.stringify(data.evolution, null, 1), "application/json");
  page.start(plots, draw);
})();
