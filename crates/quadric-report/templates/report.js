(() => {
  const { theme, literal, finite, digits } = page;
  const data = JSON.parse(page.block);
  const runs = data.runs;
  const plots = [...document.querySelectorAll(".plot")];
  const scale = { seconds: "log", passes: "log" };
  const shown = runs.map(() => true);
  const MARKERS = ["circle", "square", "diamond", "triangle-up"];
  const COLOURS = 8;
  const DASHES = { FirstOrder: "dot", QuasiNewton: "dash", SecondOrder: "solid" };
  const TITLES = {
    seconds: "Time (s)",
    passes: "Passes over the data",
    suboptimality: "Relative suboptimality",
    gradient_norm: "Gradient norm (largest entry)",
  };
  const UNITS = { seconds: "s", passes: "passes" };

  // ---- ranges ------------------------------------------------------------------------------------------------------

  const values = (key) => runs.flatMap((r) => r.points[key].filter(finite));
  const least = (list) => list.reduce((a, b) => Math.min(a, b), Infinity);
  const most = (list) => list.reduce((a, b) => Math.max(a, b), -Infinity);

  // Values at or below the floor are rounding: relative to the optimum, or to the largest gradient of a start.
  const starts = (key) => runs.map((r) => r.points[key].find(finite)).filter(finite);
  function floorOf(key) {
    const top = key === "suboptimality" ? 1 : most(starts(key));
    return top > 0 ? Math.max(top * data.floor, Number.MIN_VALUE) : data.floor;
  }
  const floors = { suboptimality: floorOf("suboptimality"), gradient_norm: floorOf("gradient_norm") };
  const clipped = { suboptimality: 0, gradient_norm: 0 };
  for (const key of ["suboptimality", "gradient_norm"]) {
    clipped[key] = values(key).filter((v) => v <= floors[key]).length;
  }

  // A logarithmic axis starts at half the end of the earliest first step; what lies before is drawn on that edge.
  function edgeOf(key) {
    const ends = runs.flatMap((r) => {
      const i = r.points.iteration.findIndex((k, j) => k > 0 && r.points[key][j] > 0);
      return i < 0 ? [] : [r.points[key][i]];
    });
    const edge = least(ends.length ? ends : values(key).filter((v) => v > 0));
    return Number.isFinite(edge) ? edge / 2 : 1;
  }
  const edges = { seconds: edgeOf("seconds"), passes: edgeOf("passes") };
  const ends = { seconds: most(values("seconds")), passes: most(values("passes")) };

  function xRange(key) {
    if (scale[key] === "linear") return [-0.015 * ends[key], 1.03 * ends[key]];
    const low = Math.log10(edges[key]);
    const high = Math.max(Math.log10(ends[key]), low + 0.5);
    const margin = 0.025 * (high - low);
    return [low - 0.3 * margin, high + margin];
  }

  // A run that diverges does not squeeze the others: the view ends a thousand times above the highest start.
  function yRange(key) {
    const all = values(key).map((v) => Math.max(v, floors[key]));
    const top = Math.log10(Math.min(most(all), Math.max(most(starts(key)), floors[key]) * 1e3));
    const bottom = Math.log10(least(all));
    return [Math.min(Math.floor(bottom), Math.ceil(top) - 1) - 0.25, Math.ceil(top) + 0.25];
  }

  // ---- traces ------------------------------------------------------------------------------------------------------

  function traces(plot, colour) {
    const { x, y } = plot.dataset;
    const edge = scale[x] === "log" ? edges[x] : 0;
    const curves = [];
    const tips = [];
    runs.forEach((run, i) => {
      const p = run.points;
      const xs = p[x].map((v) => (finite(v) ? Math.max(v, edge) : null));
      const ys = p[y].map((v) => (finite(v) ? Math.max(v, floors[y]) : null));
      const few = xs.length <= 60;
      const round = Math.floor(i / COLOURS);
      const paint = colour("c" + (i % COLOURS));
      const symbol = MARKERS[round % MARKERS.length];
      curves.push({
        type: "scatter",
        name: literal(run.label),
        x: xs,
        y: ys,
        mode: few ? "lines+markers" : "lines",
        connectgaps: false,
        line: { color: paint, width: (few ? 2.4 : 2) / (1 + round), dash: DASHES[run.family] },
        marker: { color: paint, size: 5.5, symbol },
        text: p.iteration.map((k, j) =>
          `iteration ${k}<br>${digits(p.seconds[j])} s, ${digits(p.passes[j])} passes<br>` +
          `${TITLES[y].toLowerCase()} ${digits(p[y][j])}`),
        hovertemplate: "<b>%{fullData.name}</b><br>%{text}<extra></extra>",
        visible: shown[i],
      });
      const last = ys.findLastIndex((v) => v !== null);
      const converged = run.status === "converged" || run.status === "finished";
      tips.push({
        type: "scatter",
        x: last < 0 ? [] : [xs[last]],
        y: last < 0 ? [] : [ys[last]],
        mode: "markers",
        marker: { color: paint, size: converged ? 10 : 9, symbol: converged ? "circle" : "x", line: { color: colour("bg"), width: 1.2 } },
        hoverinfo: "skip",
        cliponaxis: false,
        visible: shown[i],
      });
    });
    return curves.concat(tips);
  }

  // ---- layout ------------------------------------------------------------------------------------------------------

  function layout(plot, colour) {
    const { x, y } = plot.dataset;
    const axis = page.axis(colour);
    const title = (text) => page.title(colour, text);
    const xr = xRange(x);
    const yr = yRange(y);
    const lines = y === "suboptimality" ? data.thresholds : [];
    const decades = yr[1] - yr[0];
    return {
      ...page.layout(colour),
      xaxis: { ...axis, type: scale[x], range: xr, ...(scale[x] === "log" ? { dtick: xr[1] - xr[0] > 1.6 ? 1 : "D2" } : {}), title: title(TITLES[x]) },
      yaxis: { ...axis, type: "log", range: yr, dtick: decades > 20 ? 4 : decades > 8 ? 2 : 1, title: title(TITLES[y]) },
      shapes: lines.map((v) => ({
        type: "line", xref: "paper", x0: 0, x1: 1, y0: v, y1: v, layer: "above", opacity: 0.75,
        line: { color: colour("reference"), width: 1.3, dash: "6px,4px" },
      })),
    };
  }

  function draw() {
    const colour = theme();
    for (const plot of plots) {
      Plotly.react(plot, traces(plot, colour), layout(plot, colour), page.settings(plot.id));
    }
  }

  // ---- controls ----------------------------------------------------------------------------------------------------

  page.legend(shown, () => {
    for (const plot of plots) Plotly.restyle(plot, { visible: shown.concat(shown) });
  });

  for (const input of document.querySelectorAll(".axes input")) {
    input.addEventListener("change", () => {
      scale[input.name] = input.value;
      remark();
      draw();
    });
  }

  // ---- remarks and downloads ---------------------------------------------------------------------------------------

  function remark() {
    const box = document.getElementById("remarks");
    if (!box) return;
    const texts = [];
    if (clipped.suboptimality) {
      texts.push("Relative suboptimality at or below 10\u207b\u00b9\u2076 is rounding and is drawn at 10\u207b\u00b9\u2076.");
    }
    if (clipped.gradient_norm) {
      texts.push("Gradient norms at or below 10\u207b\u00b9\u2076 of the largest start are drawn at that value.");
    }
    const early = ["seconds", "passes"].some((key) => scale[key] === "log" && least(values(key)) < edges[key]);
    if (early) texts.push("On a logarithmic axis the starting points are drawn at its left end.");
    box.textContent = texts.join(" ");
  }

  // Spreadsheets run a cell that starts like a formula.
  const cell = (v) => {
    if (v === null || v === undefined) return "";
    if (typeof v === "number") return String(v);
    return '"' + v.replace(/^[=+\-@\t\r]/, "'$&").replace(/"/g, '""') + '"';
  };

  function csv() {
    const keys = ["iteration", "seconds", "passes", "suboptimality", "gradient_norm"];
    const lines = [["method", "family", ...keys].join(",")];
    for (const run of runs) {
      run.points.iteration.forEach((_, j) => {
        lines.push([run.label, run.family, ...keys.map((k) => run.points[k][j])].map(cell).join(","));
      });
    }
    return lines.join("\r\n") + "\r\n";
  }

  page.offer("csv", csv(), "text/csv");
  page.offer("json", page.block, "application/json");

  // ---- start -------------------------------------------------------------------------------------------------------

  remark();
  page.start(plots, draw);
})();
