(() => {
  const { literal } = page;
  const data = JSON.parse(page.block);
  const methods = data.comparison.contenders;
  const shown = methods.map(() => true);
  const COLOURS = 8;
  const DASHES = { FirstOrder: "dot", QuasiNewton: "dash", SecondOrder: "solid" };
  const PLOTS = [
    { id: "by_evaluations", steps: data.by_evaluations, title: "Factor of the fewest evaluations", ratio: true },
    { id: "by_seconds", steps: data.by_seconds, title: "Factor of the shortest time", ratio: true },
    { id: "data_profile", steps: data.data, title: "Evaluations", ratio: false },
  ].map((p) => ({ ...p, place: document.getElementById(p.id) })).filter((p) => p.place);

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
    const axis = page.axis(colour);
    const title = (text) => page.title(colour, text);
    return {
      ...page.layout(colour),
      xaxis: { ...axis, ...ticks(plot), range: [-0.01 * reach(plot), reach(plot)], title: title(plot.title) },
      yaxis: { ...axis, range: [0, 1.02], tickformat: ".0%", title: title("Problems solved") },
    };
  }

  function draw() {
    const colour = page.theme();
    for (const plot of PLOTS) {
      Plotly.react(plot.place, traces(plot, colour), layout(plot, colour), page.settings(plot.id));
    }
  }

  page.legend(shown, () => {
    for (const plot of PLOTS) Plotly.restyle(plot.place, { visible: [...shown] });
  });
  page.offer("json", page.block, "application/json");
  page.start(PLOTS.map((plot) => plot.place), draw);
})();
