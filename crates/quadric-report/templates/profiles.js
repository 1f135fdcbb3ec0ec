"use strict";
(() => {
  const block = document.getElementById("data").textContent;
  const data = JSON.parse(block);
  const methods = data.comparison.contenders;
  const shown = methods.map(() => true);
  const COLOURS = 8;
  const DASHES = { FirstOrder: "dot", QuasiNewton: "dash", SecondOrder: "solid" };
  const PLOTS = [
    { id: "by_evaluations", steps: data.by_evaluations, title: "Factor of the fewest evaluations", ratio: true },
    { id: "by_seconds", steps: data.by_seconds, title: "Factor of the shortest time", ratio: true },
    { id: "data_profile", steps: data.data, title: "Evaluations", ratio: false },
  ].map((p) => ({ ...p, place: document.getElementById(p.id) })).filter((p) => p.place);

  const theme = () => {
    const style = getComputedStyle(document.documentElement);
    return (name) => style.getPropertyValue("--" + name).trim();
  };

  // Chart texts know a few HTML tags; a name must not become one.
  const literal = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const short = (v) => String(Number(v.toPrecision(3)));

  // Steps are drawn on a logarithmic scale of base 2 (factors) or 10 (evaluations).
  const place = (plot, x) => (plot.ratio ? x : Math.log10(x));
  const reach = (plot) => {
    const ends = plot.steps.flatMap((s) => s.map(([x]) => place(plot, x)));
    return ends.reduce((a, b) => Math.max(a, b), 1) * 1.02;
  };

  function traces(plot, colour) {
    const end = reach(plot);
    return methods.map((m, i) => {
      const xs = [0];
      const ys = [0];
      for (const [x, y] of plot.steps[i]) {
        xs.push(place(plot, x));
        ys.push(y);
      }
      xs.push(end);
      ys.push(ys[ys.length - 1]);
      const what = (x) => (plot.ratio ? "factor " + short(2 ** x) : short(10 ** x) + " evaluations");
      return {
        type: "scatter",
        mode: "lines",
        name: literal(data.labels[i]),
        x: xs,
        y: ys,
        line: { shape: "hv", color: colour("c" + (i % COLOURS)), width: 2.2 / (1 + Math.floor(i / COLOURS)), dash: DASHES[m.family] },
        text: xs.map((x, k) => `${what(x)}: ${(100 * ys[k]).toFixed(1)} % solved`),
        hovertemplate: "<b>%{fullData.name}</b><br>%{text}<extra></extra>",
        visible: shown[i],
      };
    });
  }

  // At most about eight labels: powers of the base.
  function ticks(plot) {
    const end = reach(plot);
    const step = Math.max(1, Math.ceil(end / 8));
    const at = [];
    for (let k = 0; k <= end; k += step) at.push(k);
    return { tickvals: at, ticktext: at.map((k) => (plot.ratio ? short(2 ** k) : short(10 ** k))) };
  }

  function layout(plot, colour) {
    const axis = {
      color: colour("soft"), gridcolor: colour("grid"), linecolor: colour("line"), showline: true, zeroline: false,
      ticks: "outside", ticklen: 4, tickcolor: colour("line"), tickfont: { size: 11.5 }, automargin: true,
    };
    const title = (text) => ({ text, font: { size: 14, color: colour("fg") }, standoff: 10 });
    return {
      autosize: true,
      margin: { l: 64, r: 14, t: 10, b: 48 },
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("fg") },
      paper_bgcolor: colour("bg"),
      plot_bgcolor: colour("bg"),
      showlegend: false,
      hovermode: "closest",
      hoverlabel: { bgcolor: colour("panel"), bordercolor: colour("line"), font: { color: colour("fg"), size: 13 }, align: "left" },
      xaxis: { ...axis, ...ticks(plot), range: [-0.01 * reach(plot), reach(plot)], title: title(plot.title) },
      yaxis: { ...axis, range: [0, 1.02], tickformat: ".0%", title: title("Problems solved") },
    };
  }

  // The library offers to upload the chart to its vendor unless told otherwise.
  const settings = {
    displaylogo: false,
    showSendToCloud: false,
    plotlyServerURL: "",
    modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
  };

  function draw() {
    const colour = theme();
    for (const plot of PLOTS) {
      const image = { toImageButtonOptions: { format: "svg", filename: plot.id } };
      Plotly.react(plot.place, traces(plot, colour), layout(plot, colour), { ...settings, ...image });
    }
  }

  const entries = [...document.querySelectorAll(".entry")];

  function show() {
    for (const button of entries) {
      button.setAttribute("aria-pressed", String(shown[Number(button.dataset.run)]));
    }
    for (const plot of PLOTS) Plotly.restyle(plot.place, { visible: [...shown] });
  }

  function alone(run) {
    const already = shown.every((on, i) => on === (i === run));
    shown.forEach((_, i) => { shown[i] = already || i === run; });
    show();
  }

  for (const button of entries) {
    const run = Number(button.dataset.run);
    button.addEventListener("click", (event) => {
      if (event.shiftKey) return alone(run);
      shown[run] = !shown[run];
      show();
    });
    button.addEventListener("dblclick", () => alone(run));
  }

  document.getElementById("json").href = URL.createObjectURL(new Blob([block], { type: "application/json" }));

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  const observer = new ResizeObserver((changes) => {
    for (const change of changes) Plotly.Plots.resize(change.target);
  });
  for (const plot of PLOTS) observer.observe(plot.place);
  // On paper: white, and as wide as a page.
  const redraw = (width, height) => {
    for (const plot of PLOTS) Object.assign(plot.place.style, { width, height });
    draw();
    for (const plot of PLOTS) Plotly.Plots.resize(plot.place);
  };
  addEventListener("beforeprint", () => redraw("660px", "300px"));
  addEventListener("afterprint", () => redraw("", ""));
})();
