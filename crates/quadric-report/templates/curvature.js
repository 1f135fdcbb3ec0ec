(() => {
  const { literal, digits } = page;
  const { least, most } = spectrum;
  const data = JSON.parse(page.block);
  const report = data.report;
  const matrices = data.matrices.map((m) => ({ ...m, ...report[m.key] }));
  const shown = matrices.map(() => true);
  const choice = { eigenvalues: "linear", layers: "trace" };
  const COLOURS = 8;
  const paint = (colour, i) => colour("c" + (i % COLOURS));
  const visible = () => matrices.map((m, i) => ({ m, i })).filter(({ i }) => shown[i]);
  const remarks = { layers: "" };

  // ---- distribution of the eigenvalues -----------------------------------------------------------------------------

  const computed = (m) => [...m.top, ...m.bottom];

  function density(colour) {
    const places = matrices.flatMap((m) => [...(m.density?.grid ?? []), ...(m.density?.nodes ?? []), ...computed(m).map((e) => e.value)]);
    const { map, axis } = spectrum.scale(choice.eigenvalues, places);
    const floor = spectrum.floorOf(matrices.map((m) => m.density?.pdf ?? []));
    const rows = matrices.length;
    const traces = visible().flatMap(({ m, i }) => {
      const name = literal(m.name);
      const ink = paint(colour, i);
      const row = rows - 1 - i;
      const all = m.density?.grid.length ? spectrum.curves(m.density, map, floor, ink, name) : [];
      const nodes = (m.density?.nodes ?? []).map((v, k) => ({ v, w: m.density.weights[k] })).filter(({ w }) => w > 0);
      all.push({
        type: "scatter", mode: "markers", yaxis: "y2", x: nodes.map(({ v }) => map(v)), y: nodes.map(() => row - 0.2),
        marker: { color: ink, opacity: 0.45, size: nodes.map(({ w }) => Math.max(3, 22 * Math.sqrt(w))), line: { width: 0 } },
        text: nodes.map(({ v, w }) => `${digits(100 * w)} % of the eigenvalues<br>near ${digits(v)}`),
        hovertemplate: `<b>${name}</b><br>%{text}<extra></extra>`,
      });
      const list = computed(m);
      all.push({
        type: "scatter", mode: "markers", yaxis: "y2", x: list.map((e) => map(e.value)), y: list.map(() => row + 0.25),
        marker: { color: ink, size: 8, symbol: list.map((e) => (e.converged ? "diamond" : "diamond-open")), line: { color: ink, width: 1.2 } },
        text: list.map((e) => `${digits(e.value)} ± ${digits(e.residual)}${e.converged ? "" : ", not converged"}`),
        hovertemplate: `<b>${name}</b><br>eigenvalue %{text}<extra></extra>`,
      });
      return all;
    });
    const share = Math.min(0.1 + 0.06 * rows, 0.4);
    const base = page.axis(colour);
    return {
      traces,
      layout: {
        xaxis: { ...base, ...axis, title: page.title(colour, "Eigenvalue"), anchor: "y2" },
        yaxis: { ...base, ...spectrum.densityAxis(floor), domain: [share + 0.02, 1], title: page.title(colour, "Density") },
        yaxis2: {
          ...base, domain: [0, share], range: [-0.7, rows - 0.3], showgrid: false, ticks: "", fixedrange: true,
          tickvals: matrices.map((_, i) => rows - 1 - i), ticktext: matrices.map((m) => literal(m.name)),
        },
      },
    };
  }

  // ---- eigenvalues with their errors -------------------------------------------------------------------------------

  function eigenvalues(colour) {
    const tops = most(matrices.map((m) => m.top.length));
    const bottoms = most(matrices.map((m) => m.bottom.length));
    const gap = tops && bottoms ? 1 : 0;
    const places = [];
    for (let k = 0; k < tops; k++) places.push({ x: k, text: "+" + (k + 1) });
    for (let k = bottoms - 1; k >= 0; k--) places.push({ x: tops + gap + bottoms - 1 - k, text: "\u2212" + (k + 1) });
    const traces = visible().map(({ m, i }) => {
      const list = [
        ...m.top.map((e, k) => ({ e, x: k, rank: "+" + (k + 1) })),
        ...m.bottom.map((e, k) => ({ e, x: tops + gap + bottoms - 1 - k, rank: "\u2212" + (k + 1) })),
      ];
      const ink = paint(colour, i);
      return {
        type: "bar", name: literal(m.name), x: list.map(({ x }) => x), y: list.map(({ e }) => e.value),
        marker: {
          color: ink, line: { color: ink, width: 1.2 },
          pattern: { shape: list.map(({ e }) => (e.converged ? "" : "/")), fgcolor: ink, bgcolor: colour("bg"), size: 6, solidity: 0.35 },
        },
        error_y: { type: "data", array: list.map(({ e }) => e.residual), color: colour("fg"), thickness: 1.3, width: 3 },
        text: list.map(({ e, rank }) => `rank ${rank}: ${digits(e.value)} ± ${digits(e.residual)}${e.converged ? "" : "<br>not converged"}`),
        textposition: "none",
        hovertemplate: "<b>%{fullData.name}</b><br>%{text}<extra></extra>",
      };
    });
    const every = Math.ceil(places.length / 24);
    const ticks = places.filter((_, k) => k % every === 0);
    const base = page.axis(colour);
    return {
      traces,
      layout: {
        barmode: "group",
        bargap: 0.25,
        xaxis: { ...base, tickvals: ticks.map((p) => p.x), ticktext: ticks.map((p) => p.text), range: [-0.7, tops + gap + bottoms - 0.3], showgrid: false, title: page.title(colour, "Rank from the largest (+) and from the smallest (\u2212)") },
        yaxis: { ...base, zeroline: true, zerolinecolor: colour("reference"), title: page.title(colour, "Eigenvalue") },
      },
    };
  }

  // ---- layers ------------------------------------------------------------------------------------------------------

  const WORDS = { trace: "Trace of the block", mean: "Trace of the block per parameter", top: "Largest eigenvalue of the block" };

  function block(l, parameters) {
    if (!l) return null;
    if (choice.layers === "top") return l.top === undefined ? null : { value: l.top, low: l.top, high: l.top };
    const by = choice.layers === "mean" ? Math.max(parameters, 1) : 1;
    return { value: l.trace / by, low: l.low / by, high: l.high / by };
  }

  function layers(colour) {
    const rows = data.layers.length;
    const all = visible().map(({ m, i }, k, list) => ({
      m, i,
      offset: list.length > 1 ? 0.5 * (k / (list.length - 1) - 0.5) : 0,
      points: data.layers.map((row, r) => ({ row, r, v: block(row.blocks[i], row.parameters) })).filter(({ v }) => v),
    }));
    const values = all.flatMap(({ points }) => points.map(({ v }) => v));
    const log = values.length > 0 && values.every((v) => v.low > 0) && most(values.map((v) => v.value)) > 30 * least(values.map((v) => v.value));
    const decades = log ? Math.log10(most(values.map((v) => v.high)) / least(values.map((v) => v.low))) : 0;
    const traces = all.map(({ m, i, offset, points }) => ({
      type: "scatter", mode: "markers", name: literal(m.name),
      x: points.map(({ v }) => v.value), y: points.map(({ r }) => rows - 1 - r - offset),
      marker: { color: paint(colour, i), size: 9 },
      error_x: {
        type: "data", symmetric: false, array: points.map(({ v }) => v.high - v.value), arrayminus: points.map(({ v }) => v.value - v.low),
        color: paint(colour, i), thickness: 1.6, width: 4,
      },
      text: points.map(({ row, v }) => `${literal(row.label)}, ${row.parameters} parameters<br>${digits(v.value)}` +
        (v.low < v.high ? `, ${digits(v.low)} to ${digits(v.high)}` : "")),
      hovertemplate: "<b>%{fullData.name}</b><br>%{text}<extra></extra>",
    }));
    const base = page.axis(colour);
    const none = values.length === 0;
    remarks.layers = none && shown.some(Boolean) ? "The largest eigenvalues of single layers were not computed." : "";
    return {
      traces,
      layout: {
        xaxis: { ...base, type: log ? "log" : "linear", ...(log ? { dtick: decades > 1.6 ? 1 : "D2" } : {}), zeroline: !log, zerolinecolor: colour("reference"), title: page.title(colour, WORDS[choice.layers]) },
        yaxis: { ...base, tickvals: data.layers.map((_, r) => rows - 1 - r), ticktext: data.layers.map((row) => literal(row.label)), range: [-0.7, rows - 0.3] },
      },
    };
  }

  // ---- diagonals -----------------------------------------------------------------------------------------------------

  const rowOf = new Map(data.quantiles.map(({ name }, r) => [name, r]));

  function diagonals(colour) {
    const rows = data.quantiles.length;
    const values = matrices.flatMap((m) => (m.diagonal?.layers ?? []).flatMap((l) => [l.min, l.max]));
    const { map, axis } = spectrum.scale(choice.eigenvalues, values);
    const list = visible().filter(({ m }) => m.diagonal);
    const traces = list.flatMap(({ m, i }, k) => {
      const offset = list.length > 1 ? 0.5 * (k / (list.length - 1) - 0.5) : 0;
      const all = m.diagonal.layers;
      const y = all.map((l) => rows - 1 - rowOf.get(l.name) - offset);
      const ink = paint(colour, i);
      const bar = (low, high, thickness, width) => ({
        type: "scatter", mode: "markers", x: all.map((l) => map(l.median)), y, hoverinfo: "skip", marker: { color: ink, size: 1 },
        error_x: {
          type: "data", symmetric: false, array: all.map((l) => map(l[high]) - map(l.median)), arrayminus: all.map((l) => map(l.median) - map(l[low])),
          color: ink, thickness, width,
        },
      });
      return [bar("min", "max", 1, 4), bar("q05", "q95", 4, 0), {
        type: "scatter", mode: "markers", name: literal(m.name), x: all.map((l) => map(l.median)), y,
        marker: { color: colour("bg"), size: 8, line: { color: ink, width: 2 } },
        text: all.map((l) => `${literal(data.quantiles[rowOf.get(l.name)].label)}, ${l.parameters} parameters<br>median ${digits(l.median)}<br>5 % to 95 %: ${digits(l.q05)} to ${digits(l.q95)}` +
          `<br>all: ${digits(l.min)} to ${digits(l.max)}` + (m.diagonal.exact ? "" : `<br>error of an entry ±${digits(l.error)}`)),
        hovertemplate: "<b>%{fullData.name}</b><br>%{text}<extra></extra>",
      }];
    });
    const base = page.axis(colour);
    return {
      traces,
      layout: {
        xaxis: { ...base, ...axis, title: page.title(colour, "Entry of the diagonal") },
        yaxis: { ...base, tickvals: data.quantiles.map((_, r) => rows - 1 - r), ticktext: data.quantiles.map(({ label }) => literal(label)), range: [-0.7, rows - 0.3] },
      },
    };
  }

  // ---- shapes ----------------------------------------------------------------------------------------------------------

  function shapes(colour) {
    const there = (m) => (m.shapes ?? []).filter((s) => s.error);
    const traces = visible().filter(({ m }) => there(m).length > 0).map(({ m, i }) => {
      const list = there(m);
      const ink = paint(colour, i);
      const side = ["middle right", "middle left", "top center", "bottom center"][i % 4];
      return {
        type: "scatter", mode: "markers+text", name: literal(m.name), x: list.map((s) => s.numbers), y: list.map((s) => 100 * s.error.value),
        text: list.map((s) => literal(s.shape)), textposition: side, textfont: { color: ink, size: 12 }, cliponaxis: false,
        marker: { color: ink, size: 10 },
        error_y: {
          type: "data", symmetric: false, array: list.map((s) => 100 * (s.error.high - s.error.value)), arrayminus: list.map((s) => 100 * (s.error.value - s.error.low)),
          color: ink, thickness: 1.6, width: 4,
        },
        customdata: list.map((s) => `${s.numbers} numbers, ${digits(s.gradients)} gradients<br>error ${digits(100 * s.error.value)} %` +
          (s.error.level < 1 ? `, ${digits(100 * s.error.low)} to ${digits(100 * s.error.high)} %` : "") + (s.cosine === undefined ? "" : `<br>cosine ${digits(s.cosine)}`)),
        hovertemplate: "<b>%{fullData.name}, %{text}</b><br>%{customdata}<extra></extra>",
      };
    });
    const all = matrices.flatMap(there);
    const [low, high] = all.length ? [least(all.map((s) => s.numbers)), most(all.map((s) => s.numbers))].map((n) => Math.log10(n)) : [0, 1];
    const margin = 0.08 * (high - low || 1);
    const tallest = all.length ? most(all.map((s) => 100 * s.error.high)) : 100;
    const base = page.axis(colour);
    return {
      traces,
      layout: {
        xaxis: { ...base, type: "log", range: [low - margin, high + margin], dtick: high - low > 1.6 ? 1 : "D2", title: page.title(colour, "Numbers that the shape consists of") },
        yaxis: { ...base, range: [-0.12 * tallest, 1.12 * tallest], zeroline: true, zerolinecolor: colour("reference"), title: page.title(colour, "Error in the Frobenius norm, %") },
      },
    };
  }

  // ---- the loss along directions -----------------------------------------------------------------------------------

  function lines(colour) {
    const all = report.landscape.lines;
    const losses = all.flatMap((l) => l.values).filter(page.finite);
    const traces = all.flatMap((line, i) => {
      const ink = paint(colour, i);
      const name = literal(data.lines[i]);
      const text = line.steps.map((s, k) => `step ${digits(s)}<br>loss ${digits(line.values[k])}` + (line.model.length ? `<br>quadratic model ${digits(line.model[k])}` : ""));
      const hovertemplate = `<b>${name}</b><br>%{text}<extra></extra>`;
      const own = { type: "scatter", x: line.steps, y: line.values, mode: line.steps.length > 60 ? "lines" : "lines+markers", name, legendgroup: String(i), line: { color: ink, width: 2 }, marker: { color: ink, size: 5 }, text, hovertemplate };
      if (!line.model.length) return [own];
      return [own, { ...own, y: line.model, mode: "lines", showlegend: false, line: { color: ink, width: 1.6, dash: "dash" } }];
    });
    const base = page.axis(colour);
    const [low, high] = losses.length ? [least(losses), most(losses)] : [0, 1];
    const margin = 0.06 * (high - low || Math.abs(high) || 1);
    return {
      traces,
      layout: {
        showlegend: true,
        legend: page.below(colour),
        xaxis: { ...base, zeroline: true, zerolinecolor: colour("reference"), title: page.title(colour, "Step along the direction") },
        yaxis: { ...base, range: [low - margin, high + margin], title: page.title(colour, "Loss") },
      },
    };
  }

  function plane(colour) {
    const { first, second, values } = report.landscape.plane;
    const all = values.flat().filter(page.finite);
    const log = all.length > 0 && least(all) > 0 && most(all) > 100 * least(all);
    const base = page.axis(colour);
    const bar = log ? "log<sub>10</sub> of the loss" : "Loss";
    return {
      traces: [
        {
          type: "contour", x: first, y: second, z: values.map((row) => row.map((v) => (v === null ? null : log ? Math.log10(v) : v))),
          customdata: values, colorscale: "Viridis", ncontours: 24, connectgaps: false, contours: { coloring: "heatmap" }, line: { width: 0.6, color: "#00000066" },
          colorbar: { thickness: 12, outlinewidth: 0, tickfont: { color: colour("soft"), size: 11.5 }, title: { text: bar, side: "right", font: { color: colour("fg"), size: 13 } } },
          hovertemplate: "(%{x:.3g}, %{y:.3g})<br>loss %{customdata:.4g}<extra></extra>",
        },
        { type: "scatter", mode: "markers", x: [0], y: [0], marker: { symbol: "x", size: 11, color: "#ffffff", line: { color: "#000000", width: 1.5 } }, hovertemplate: "the point itself<extra></extra>" },
      ],
      layout: {
        xaxis: { ...base, title: page.title(colour, literal(data.plane[0])) },
        yaxis: { ...base, title: page.title(colour, literal(data.plane[1])) },
      },
    };
  }

  // ---- start -------------------------------------------------------------------------------------------------------

  const PLOTS = { density, eigenvalues, layers, diagonals, shapes, lines, plane };
  const plots = [...document.querySelectorAll(".plot")];
  const height = (rows) => Math.min(Math.max(240, 90 + 24 * rows), 2400) + "px";
  const tall = document.getElementById("layers");
  if (tall) tall.style.height = height(data.layers.length);
  const quantile = document.getElementById("diagonals");
  if (quantile) quantile.style.height = height(data.quantiles.length);

  function draw() {
    const colour = page.theme();
    for (const plot of plots) {
      const { traces, layout } = PLOTS[plot.id](colour);
      Plotly.react(plot, traces, { ...page.layout(colour, 32), ...layout }, page.settings(plot.id));
    }
    const box = document.getElementById("remarks");
    if (box) box.textContent = remarks.layers;
  }

  page.legend(shown, draw);
  for (const input of document.querySelectorAll(".axes input")) {
    input.addEventListener("change", () => {
      choice[input.name] = input.value;
      draw();
    });
  }
  page.offer("json", JSON.stringify(report, null, 1), "application/json");
  page.start(plots, draw);
})();
