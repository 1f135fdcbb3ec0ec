"use strict";
// What the scripts of all pages share.
const page = (() => {
  const block = document.getElementById("data").textContent;

  const theme = () => {
    const style = getComputedStyle(document.documentElement);
    return (name) => style.getPropertyValue("--" + name).trim();
  };

  // Chart texts know a few HTML tags; a name must not become one.
  const literal = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  const finite = (v) => typeof v === "number" && Number.isFinite(v);

  const digits = (v) => {
    if (!finite(v)) return "unknown";
    if (v === 0 || (Math.abs(v) >= 1e-3 && Math.abs(v) < 1e6)) return String(Number(v.toPrecision(4)));
    return v.toExponential(2).replace("-", "\u2212");
  };

  const axis = (colour) => ({
    color: colour("soft"), gridcolor: colour("grid"), linecolor: colour("line"), showline: true, zeroline: false,
    ticks: "outside", ticklen: 4, tickcolor: colour("line"), tickfont: { size: 11.5 }, exponentformat: "power", automargin: true,
  });

  const title = (colour, text) => ({ text, font: { size: 14, color: colour("fg") }, standoff: 10 });

  const layout = (colour, top = 10) => ({
    autosize: true,
    margin: { l: 64, r: 14, t: top, b: 48 },
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("fg") },
    paper_bgcolor: colour("bg"),
    plot_bgcolor: colour("bg"),
    showlegend: false,
    hovermode: "closest",
    hoverlabel: { bgcolor: colour("panel"), bordercolor: colour("line"), font: { color: colour("fg"), size: 13 }, align: "left" },
  });

  // A legend below the horizontal axis.
  const below = (colour) => ({ orientation: "h", x: 0, y: 0, yref: "container", yanchor: "bottom", font: { size: 12, color: colour("fg") } });

  // The library offers to upload the chart to its vendor unless told otherwise.
  const settings = (name) => ({
    displaylogo: false,
    showSendToCloud: false,
    plotlyServerURL: "",
    modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
    toImageButtonOptions: { format: "svg", filename: name },
  });

  // The buttons that hide and show what belongs to entry i; `changed` is called when `shown` has changed.
  function legend(shown, changed) {
    const entries = [...document.querySelectorAll(".entry")];
    const show = () => {
      for (const button of entries) {
        button.setAttribute("aria-pressed", String(shown[Number(button.dataset.run)]));
      }
      changed();
    };
    const alone = (i) => {
      const already = shown.every((on, k) => on === (k === i));
      shown.forEach((_, k) => { shown[k] = already || k === i; });
      show();
    };
    for (const button of entries) {
      const i = Number(button.dataset.run);
      button.addEventListener("click", (event) => {
        if (event.shiftKey) return alone(i);
        shown[i] = !shown[i];
        show();
      });
      button.addEventListener("dblclick", () => alone(i));
    }
  }

  const offer = (id, text, type) => {
    document.getElementById(id).href = URL.createObjectURL(new Blob([text], { type }));
  };

  // Draws, and draws again for other colours and sizes. On paper: white, and as wide as a page; a plot with a height of its
  // own keeps it.
  function start(plots, draw) {
    draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    const observer = new ResizeObserver((changes) => {
      for (const change of changes) Plotly.Plots.resize(change.target);
    });
    for (const plot of plots) observer.observe(plot);
    const redraw = (width, height) => {
      for (const plot of plots) {
        plot.style.width = width;
        if (!plot.classList.contains("tall")) plot.style.height = height;
      }
      draw();
      for (const plot of plots) Plotly.Plots.resize(plot);
    };
    addEventListener("beforeprint", () => redraw("660px", "300px"));
    addEventListener("afterprint", () => redraw("", ""));
  }

  return { block, theme, literal, finite, digits, axis, title, layout, below, settings, legend, offer, start };
})();
