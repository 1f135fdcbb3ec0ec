// Eigenvalues on axes that are linear, or logarithmic to both sides of zero.
const spectrum = (() => {
  const least = (list) => list.reduce((a, b) => Math.min(a, b), Infinity);
  const most = (list) => list.reduce((a, b) => Math.max(a, b), -Infinity);

  // A map of eigenvalues to an axis, its range, and labels at round numbers. Within ±c the logarithmic one is nearly linear.
  function scale(kind, values) {
    const size = most(values.map(Math.abs));
    if (kind === "linear" || !(size > 0)) {
      const [low, high] = [least(values), most(values)];
      const margin = 0.04 * (high - low || Math.abs(high) || 1);
      return { map: (v) => v, axis: { type: "linear", range: [low - margin, high + margin] } };
    }
    const c = size * 1e-5;
    const map = (v) => Math.sign(v) * Math.log10(1 + Math.abs(v) / c);
    const at = [0];
    for (let k = Math.ceil(Math.log10(10 * c)); 10 ** k <= 1.0001 * size; k++) {
      for (const sign of [1, -1]) if (values.some((v) => sign * v >= 10 ** k)) at.push(sign * 10 ** k);
    }
    at.sort((a, b) => a - b);
    const text = (v) => {
      if (v === 0) return "0";
      const k = Math.round(Math.log10(Math.abs(v)));
      const sign = v < 0 ? "\u2212" : "";
      return sign + (k === 0 ? "1" : k === 1 ? "10" : `10<sup>${String(k).replace("-", "\u2212")}</sup>`);
    };
    const [low, high] = [map(least(values)), map(most(values))];
    const margin = 0.04 * (high - low || 1);
    return {
      map,
      axis: { type: "linear", range: [low - margin, high + margin], tickvals: at.map(map), ticktext: at.map(text) },
    };
  }

  // The lowest density that is drawn: so many decades below the highest one.
  const DECADES = 7;
  const floorOf = (pdfs) => {
    const peak = most(pdfs.flat());
    return (peak > 0 && Number.isFinite(peak) ? peak : 1) * 10 ** -DECADES;
  };

  // A density as curves: its band, if it has one, and itself. What is lower than `floor` is drawn there.
  function curves(density, map, floor, paint, name) {
    const x = density.grid.map(map);
    const y = (list) => list.map((v) => Math.max(v, floor));
    const all = [];
    if (density.low.length) {
      const edge = { type: "scatter", mode: "lines", x, line: { width: 0, color: paint }, hoverinfo: "skip", showlegend: false };
      all.push({ ...edge, y: y(density.low) });
      all.push({ ...edge, y: y(density.high), fill: "tonexty", fillcolor: paint + "33" });
    }
    all.push({
      type: "scatter", mode: "lines", name, x, y: y(density.pdf), line: { color: paint, width: 2 },
      text: density.grid.map((v, i) => `eigenvalue ${page.digits(v)}<br>density ${page.digits(density.pdf[i])}`),
      hovertemplate: `<b>${name}</b><br>%{text}<extra></extra>`,
    });
    return all;
  }

  const densityAxis = (floor) => {
    const low = Math.log10(floor);
    return { type: "log", range: [low - 0.1, low + DECADES + 0.4], dtick: 1 };
  };

  return { least, most, scale, floorOf, curves, densityAxis };
})();
