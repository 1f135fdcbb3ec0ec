//! The page in a real browser, headless: drawn as promised, quiet console, no network, no script from a name.

// Helpers fail the test they are called from, and say on the terminal what is skipped.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;
#[path = "common/curvature.rs"]
mod curvature;

use quadric_report::{
    Case, Comparison, Contender, Report, Trial, render, render_comparison, render_curvature,
    render_evolution,
};
use std::path::Path;
use std::process::Command;

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// What the browser made of a page.
struct Seen {
    dom: String,
    console: Vec<String>,
}

/// The browser's name; `None` if there is none, which is a failure where everything must be tested.
fn browser() -> Option<&'static str> {
    let runs = |name: &&&str| {
        let version = Command::new(name).arg("--version").output();
        version.is_ok_and(|o| o.status.success())
    };
    let found = BROWSERS.iter().find(runs).copied();
    if found.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "no browser found (tried {BROWSERS:?}); CI must have one: apt-get install chromium"
        );
        eprintln!(
            "skipped: no browser found (tried {BROWSERS:?}); to run this test: apt-get install chromium"
        );
    }
    found
}

/// Opens the page with `driver`, a script that runs after the page's own and leaves what it saw in the document.
fn open(browser: &str, html: &str, driver: &str) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    let end = html.rfind("</body>").unwrap();
    let driven = format!("{}<script>{driver}</script>{}", &html[..end], &html[end..]);
    std::fs::write(&path, driven).unwrap();
    run(browser, folder.path(), &path)
}

fn run(browser: &str, folder: &Path, page: &Path) -> Seen {
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    let address = format!("file://{}", page.display());
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-quic",
            "--window-size=1300,1700",
            "--virtual-time-budget=6000",
            "--enable-logging=stderr",
            "--dump-dom",
        ])
        .args([&profile, &address])
        .output()
        .unwrap();
    assert!(output.status.success(), "{browser}: {}", output.status);
    let console = String::from_utf8_lossy(&output.stderr);
    Seen {
        dom: String::from_utf8_lossy(&output.stdout).into_owned(),
        console: console
            .lines()
            .filter(|l| l.contains("CONSOLE"))
            .map(str::to_owned)
            .collect(),
    }
}

/// Leaves the result of the function body `look` as JSON in an attribute of the document.
fn driver(look: &str) -> String {
    format!(
        "addEventListener('load', () => setTimeout(() => {{
           const plots = [...document.querySelectorAll('.plot')];
           const entries = [...document.querySelectorAll('.entry')];
           const see = () => {{ {look} }};
           document.documentElement.dataset.seen = JSON.stringify(see());
         }}, 500));"
    )
}

impl Seen {
    /// What the driver left.
    fn value(&self) -> serde_json::Value {
        let (_, rest) = self
            .dom
            .split_once("data-seen=\"")
            .expect("the driver script ran to its end");
        let (text, _) = rest.split_once('"').unwrap();
        let text = text
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        serde_json::from_str(&text).unwrap()
    }

    #[track_caller]
    fn quiet(&self) -> &Self {
        assert!(self.console.is_empty(), "{:#?}", self.console);
        self
    }
}

#[test]
fn a_race_is_drawn_with_axes_and_legend() {
    let Some(browser) = browser() else { return };
    let report = common::race();
    let look = "
        const texts = (plot, selector) => [...plot.querySelectorAll(selector)].map((e) => e.textContent.replaceAll('\\u200b', ''));
        return {
          plots: plots.map((plot) => ({
            id: plot.id,
            lines: [...plot.querySelectorAll('.scatterlayer .trace .lines path')].length,
            x: texts(plot, '.xtitle').join(), y: texts(plot, '.ytitle').join(),
            ticks: texts(plot, '.ytick text'), xticks: texts(plot, '.xtick text'),
            raised: [...plot.querySelectorAll('.ytick text')].filter((e) => e.querySelector('tspan[dy^=\"-\"]')).length,
            references: plot.querySelectorAll('.shapelayer path').length,
            inside: plot.querySelector('.main-svg').getBoundingClientRect().right <= innerWidth,
          })),
          legend: entries.map((e) => e.textContent),
          buttons: [...document.querySelectorAll('.modebar-btn')].map((b) => b.dataset.title),
          requests: performance.getEntriesByType('resource').map((r) => r.name).filter((n) => /^https?:/.test(n)),
          downloads: ['csv', 'json'].map((id) => document.getElementById(id).href.slice(0, 5)),
          remarks: document.getElementById('remarks').textContent,
        };";
    let seen = open(browser, &render(&report).unwrap(), &driver(look));
    let value = seen.quiet().value();
    let plots = value["plots"].as_array().unwrap();
    let titles: Vec<_> = plots
        .iter()
        .map(|p| (p["y"].as_str().unwrap(), p["x"].as_str().unwrap()))
        .collect();
    let (f, g) = ("Relative suboptimality", "Gradient norm (largest entry)");
    let (t, p) = ("Time (s)", "Passes over the data");
    assert_eq!(titles, [(f, t), (f, p), (g, t), (g, p)]);
    for plot in plots {
        assert_eq!(plot["lines"], report.runs.len(), "{plot}");
        assert_eq!(plot["inside"], true, "{plot}");
        let ticks = plot["ticks"].as_array().unwrap();
        assert!(ticks.iter().any(|t| t == "10−8"), "{ticks:?}");
        assert!(ticks.iter().any(|t| t == "1"), "{ticks:?}");
        // The exponent is raised, not written behind the ten.
        let raised = plot["raised"].as_u64().unwrap();
        assert!(raised >= 6, "{plot}");
        let wanted = if plot["y"] == f { 3 } else { 0 };
        assert_eq!(plot["references"], wanted, "{plot}");
    }
    let mut legend: Vec<_> = report.runs.iter().map(|r| r.method.as_str()).collect();
    legend.sort_unstable();
    let mut shown: Vec<_> = value["legend"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e.as_str().unwrap())
        .collect();
    shown.sort_unstable();
    assert_eq!(shown, legend);
    let buttons = value["buttons"].to_string();
    assert!(buttons.contains("Zoom"), "{buttons}");
    for word in ["Share", "cloud", "Plotly"] {
        assert!(!buttons.contains(word), "{buttons}");
    }
    assert_eq!(value["requests"], serde_json::json!([]));
    assert_eq!(value["downloads"], serde_json::json!(["blob:", "blob:"]));
    let remarks = value["remarks"].as_str().unwrap();
    assert!(remarks.contains("drawn at 10⁻¹⁶"), "{remarks}");
}

#[test]
fn the_legend_and_the_switches_act_on_all_plots() {
    let Some(browser) = browser() else { return };
    let report = common::race();
    let look = "
        const drawn = () => plots.map((plot) => plot.querySelectorAll('.scatterlayer .trace .lines path').length);
        const entry = entries.find((e) => e.textContent === 'l-bfgs');
        const out = { before: drawn(), legendCount: entries.length };
        entry.click();
        out.hidden = drawn();
        out.pressed = entry.getAttribute('aria-pressed');
        out.gone = plots.map((plot) => plot.data.filter((t) => t.name === 'l-bfgs' && t.visible).length);
        entry.click();
        out.again = drawn();
        entry.dispatchEvent(new MouseEvent('dblclick', { bubbles: true }));
        out.alone = drawn();
        entry.dispatchEvent(new MouseEvent('dblclick', { bubbles: true }));
        out.all = drawn();
        const types = () => plots.map((plot) => plot._fullLayout.xaxis.type);
        out.log = types();
        document.querySelector('input[name=seconds][value=linear]').click();
        out.linear = types();
        out.zero = plots[0]._fullLayout.xaxis.range[0] <= 0 && plots[0].data[0].x[0] < 0.001;
        return out;";
    let seen = open(browser, &render(&report).unwrap(), &driver(look));
    let value = seen.quiet().value();
    let n = report.runs.len();
    let four = |k: usize| serde_json::json!([k, k, k, k]);
    assert_eq!(value["before"], four(n));
    assert_eq!(value["hidden"], four(n - 1));
    assert_eq!(value["pressed"], "false");
    assert_eq!(value["gone"], four(0));
    assert_eq!(value["again"], four(n));
    assert_eq!(value["alone"], four(1));
    assert_eq!(value["all"], four(n));
    assert_eq!(
        value["log"],
        serde_json::json!(["log", "log", "log", "log"])
    );
    let switched = serde_json::json!(["linear", "log", "linear", "log"]);
    assert_eq!(value["linear"], switched);
    assert_eq!(value["zero"], true);
}

#[test]
fn hostile_names_stay_text() {
    let Some(browser) = browser() else { return };
    let report = common::hostile();
    // The hover box is the one place where a name passes through the chart library's own mark-up.
    let look = "
        const hover = [0, 1, 2].map((i) => {
          Plotly.Fx.hover(plots[i], [{ curveNumber: i, pointNumber: 3 }]);
          return plots[i].querySelector('.hoverlayer').textContent.replaceAll('\\u200b', '');
        });
        return {
          lines: plots.map((plot) => plot.querySelectorAll('.scatterlayer .trace .lines path').length),
          hover,
          links: [...document.querySelectorAll('a')].filter((a) => /evil/.test(a.href?.baseVal ?? a.href)).length,
          images: document.images.length,
          scripts: document.scripts.length,
          title: document.title,
          names: entries.map((e) => e.textContent),
          longest: Math.max(...entries.map((e) => e.textContent.length)),
        };";
    let seen = open(browser, &render(&report).unwrap(), &driver(look));
    let value = seen.quiet().value();
    assert_eq!(value["lines"], serde_json::json!([5, 5, 5, 5]));
    assert_eq!(value["links"], 0);
    assert_eq!(value["images"], 0);
    assert_eq!(value["scripts"], 4, "three of the page and the driver");
    assert_eq!(value["title"], report.title);
    assert_eq!(value["names"][0], report.runs[0].method);
    assert_eq!(value["names"][3], "rtl[31mnew line");
    assert_eq!(value["longest"], 60);
    for i in [0, 1, 2] {
        let hover = value["hover"][i].as_str().unwrap();
        assert!(hover.starts_with(&report.runs[i].method), "{hover}");
        assert!(hover.contains("iteration 3"), "{hover}");
    }
}

#[test]
fn only_plots_with_something_to_show() {
    let Some(browser) = browser() else { return };
    let look =
        "return plots.map((plot) => [plot.id, plot.querySelectorAll('.lines path').length]);";
    let mut report = common::race();
    report.runs.truncate(1);
    for point in &mut report.runs[0].points {
        point.suboptimality = None;
    }
    let one = open(browser, &render(&report).unwrap(), &driver(look));
    let wanted = serde_json::json!([
        ["plot-gradient_norm-seconds", 1],
        ["plot-gradient_norm-passes", 1]
    ]);
    assert_eq!(one.quiet().value(), wanted);

    report.runs[0].points.clear();
    let none = open(browser, &render(&report).unwrap(), &driver(look));
    assert_eq!(none.quiet().value(), serde_json::json!([]));
    assert!(none.dom.contains("<table"));

    let empty = open(browser, &render(&Report::default()).unwrap(), &driver(look));
    assert_eq!(empty.quiet().value(), serde_json::json!([]));

    // A run that diverges, up to values that are not finite, leaves the others readable.
    let mut report = common::race();
    for (i, p) in report.runs[5].points.iter_mut().enumerate() {
        p.suboptimality = Some((i as f64).exp());
        p.gradient_norm = Some((0.5 * i as f64).exp());
    }
    let look = "return plots.map((plot) => plot._fullLayout.yaxis.range.map(Math.round));";
    let diverged = open(browser, &render(&report).unwrap(), &driver(look));
    for range in diverged.quiet().value().as_array().unwrap() {
        assert!(range[1].as_f64().unwrap() <= 4.0, "{range}");
        assert!(range[0].as_f64().unwrap() <= -15.0, "{range}");
    }
}

#[test]
fn a_curvature_page_is_drawn() {
    let Some(browser) = browser() else { return };
    let report = curvature::analysis();
    let look = "
        const by = Object.fromEntries(plots.map((plot) => [plot.id, plot]));
        const marks = (plot, kind) => plot.querySelectorAll(kind).length;
        const out = {
          ids: plots.map((plot) => plot.id),
          inside: plots.every((plot) => plot.querySelector('.main-svg').getBoundingClientRect().right <= innerWidth),
          bars: marks(by.eigenvalues, '.bars .point'),
          errors: marks(by.eigenvalues, 'path.yerror'),
          striped: marks(by.eigenvalues, 'pattern'),
          hollow: by.density.data.flatMap((t) => t.marker?.symbol ?? []).filter((s) => s === 'diamond-open').length,
          curves: marks(by.density, '.scatterlayer .trace .lines path.js-line'),
          intervals: marks(by.layers, 'path.xerror'),
          names: by.layers._fullLayout.yaxis.ticktext.length,
          loss: by.lines.data.filter((t) => t.line.dash !== 'dash').length,
          models: by.lines.data.filter((t) => t.line.dash === 'dash').length,
          contours: marks(by.plane, '.contourlayer .contour'),
          gaps: by.plane.data[0].z.flat().filter((v) => v === null).length,
          requests: performance.getEntriesByType('resource').map((r) => r.name).filter((n) => /^https?:/.test(n)),
          download: document.getElementById('json').href.slice(0, 5),
        };
        entries[0].click();
        out.hidden = marks(by.eigenvalues, '.bars .point');
        entries[0].click();
        const ticks = () => by.density._fullLayout.xaxis.tickvals?.length ?? 0;
        out.linear = ticks();
        document.querySelector('input[name=eigenvalues][value=log]').click();
        out.log = ticks();
        document.querySelector('input[name=layers][value=mean]').click();
        out.title = by.layers.querySelector('.xtitle').textContent;
        out.mean = by.layers.data[0].x[0];
        return out;";
    let html = render_curvature(&report).unwrap();
    let seen = open(browser, &html, &driver(look));
    let value = seen.quiet().value();
    assert_eq!(
        value["ids"],
        serde_json::json!(["density", "eigenvalues", "lines", "plane", "layers"])
    );
    assert_eq!(value["inside"], true);
    let matrices = [&report.hessian, &report.ggn, &report.covariance];
    let matrices: Vec<_> = matrices.into_iter().flatten().collect();
    let count: usize = matrices.iter().map(|m| m.top.len() + m.bottom.len()).sum();
    let layers: usize = matrices.iter().map(|m| m.layers.len()).sum();
    assert_eq!(
        (&value["bars"], &value["errors"]),
        (&count.into(), &count.into())
    );
    assert_eq!(
        (&value["striped"], &value["hollow"]),
        (&2.into(), &2.into())
    );
    // For each matrix the density and the two edges of its band.
    assert_eq!(value["curves"], 9);
    assert_eq!(value["intervals"], layers);
    assert_eq!(value["names"], 22);
    assert_eq!((&value["loss"], &value["models"]), (&4.into(), &4.into()));
    assert!(value["contours"].as_u64().unwrap() > 0);
    assert!(value["gaps"].as_u64().unwrap() > 0);
    assert_eq!(value["requests"], serde_json::json!([]));
    assert_eq!(value["download"], "blob:");
    assert_eq!(value["hidden"], count - 15);
    assert_eq!(value["linear"], 0);
    assert!(value["log"].as_u64().unwrap() >= 5);
    assert_eq!(value["title"], "Trace of the block per parameter");
    let first = &matrices[0].layers[0];
    let mean = first.trace / first.parameters as f64;
    assert!((value["mean"].as_f64().unwrap() - mean).abs() < 1e-12 * mean);
}

#[test]
fn diagonals_and_shapes_are_drawn() {
    let Some(browser) = browser() else { return };
    let report = curvature::granular();
    let look = "
        const by = Object.fromEntries(plots.map((plot) => [plot.id, plot]));
        const named = (plot) => plot.data.filter((t) => t.name);
        const out = {
          ids: plots.map((plot) => plot.id),
          inside: plots.every((plot) => plot.querySelector('.main-svg').getBoundingClientRect().right <= innerWidth),
          layers: by.diagonals._fullLayout.yaxis.ticktext.length,
          medians: named(by.diagonals).map((t) => t.x[0]),
          labels: [...by.shapes.querySelectorAll('.textpoint text')].map((t) => t.textContent),
          errors: by.shapes.querySelectorAll('path.yerror').length,
          heights: by.shapes.data.map((t) => t.y[0]),
          numbers: by.shapes.data.map((t) => t.x[0]),
        };
        entries[0].click();
        out.alone = [by.diagonals, by.shapes].map((plot) => named(plot).length);
        entries[0].click();
        document.querySelector('input[name=eigenvalues][value=log]').click();
        out.moved = named(by.diagonals).map((t) => t.x[0]);
        return out;";
    let html = render_curvature(&report).unwrap();
    let value = open(browser, &html, &driver(look)).quiet().value();
    let ids = serde_json::json!([
        "density",
        "eigenvalues",
        "lines",
        "plane",
        "layers",
        "diagonals",
        "shapes"
    ]);
    assert_eq!((&value["ids"], &value["inside"]), (&ids, &true.into()));
    assert_eq!(value["layers"], 22);
    for (i, m) in [&report.hessian, &report.ggn].into_iter().enumerate() {
        let m = m.as_ref().unwrap();
        let median = m.diagonal.as_ref().unwrap().layers[0].median;
        let found = value["medians"][i].as_f64().unwrap();
        assert!((found - median).abs() < 1e-12 * median);
        assert_ne!(value["moved"][i], value["medians"][i]);
        let layers = &m.shapes[1];
        let error = 100.0 * layers.error.unwrap().value;
        assert!((value["heights"][i].as_f64().unwrap() - error).abs() < 1e-9);
        assert_eq!(value["numbers"][i].as_u64(), layers.numbers);
    }
    let labels = ["layers", "kronecker", "diagonal", "low-rank"];
    assert_eq!(
        value["labels"],
        serde_json::json!([labels, labels].concat())
    );
    assert_eq!(value["errors"], 8);
    assert_eq!(value["alone"], serde_json::json!([1, 1]));
}

#[test]
fn hostile_names_of_layers_stay_text() {
    let Some(browser) = browser() else { return };
    let look = "
        return {
          links: [...document.querySelectorAll('a')].filter((a) => /evil/.test(a.href?.baseVal ?? a.href)).length,
          images: document.images.length,
          scripts: document.scripts.length,
          ticks: [...document.querySelectorAll('#layers .ytick text')].map((t) => t.textContent).filter((t) => t.includes('<')).length,
          rows: document.querySelectorAll('table').length,
        };";
    let html = render_curvature(&curvature::hostile()).unwrap();
    let value = open(browser, &html, &driver(look));
    let value = value.quiet().value();
    assert_eq!((&value["links"], &value["images"]), (&0.into(), &0.into()));
    assert_eq!(value["scripts"], 4, "three of the page and the driver");
    assert_eq!(
        value["ticks"], 3,
        "the names that look like markup are shown as they are"
    );
    // Those of the matrices and the layers, and two of diagonals and shapes each.
    assert_eq!(value["rows"], 8);
}

#[test]
fn only_what_was_computed_is_drawn() {
    let Some(browser) = browser() else { return };
    let look = "return plots.map((plot) => plot.id);";
    let ids = |c: &quadric_report::Curvature| {
        let seen = open(browser, &render_curvature(c).unwrap(), &driver(look));
        seen.quiet().value()
    };
    assert_eq!(
        ids(&quadric_report::Curvature::default()),
        serde_json::json!([])
    );
    let mut c = curvature::analysis();
    (c.ggn, c.covariance, c.landscape) = (None, None, None);
    let hessian = c.hessian.as_mut().unwrap();
    (hessian.density, hessian.trace) = (None, None);
    hessian.layers.clear();
    assert_eq!(ids(&c), serde_json::json!(["eigenvalues"]));
    // A matrix of zeros.
    let zero = quadric_report::Eigenvalue {
        converged: true,
        ..Default::default()
    };
    c.hessian = Some(quadric_report::Spectrum {
        top: vec![zero; 2],
        density: Some(quadric_report::Density {
            nodes: vec![0.0],
            weights: vec![1.0],
            ..Default::default()
        }),
        ..Default::default()
    });
    assert_eq!(ids(&c), serde_json::json!(["density", "eigenvalues"]));
}

#[test]
fn an_evolution_is_drawn() {
    let Some(browser) = browser() else { return };
    let mut e = curvature::training();
    let look = "
        const by = Object.fromEntries(plots.map((plot) => [plot.id, plot]));
        return {
          ids: plots.map((plot) => plot.id),
          points: by.extremes.querySelectorAll('.scatterlayer .point').length,
          x: by.extremes.data[0].x,
          title: by.extremes.querySelector('.xtitle')?.textContent ?? null,
          ticks: [...by.extremes.querySelectorAll('.xtick text')].map((t) => t.textContent),
          curves: by.densities.data.length,
          cells: by.layers.data[0].z.flat().length,
        };";
    let seen = open(browser, &render_evolution(&e).unwrap(), &driver(look));
    let value = seen.quiet().value();
    assert_eq!(
        value["ids"],
        serde_json::json!(["extremes", "trace", "loss", "densities", "layers"])
    );
    // Both ends of the Hessian, the upper end of the other matrix.
    assert_eq!(value["points"], 18);
    assert_eq!(value["x"], serde_json::json!([0, 5, 15, 30, 60, 90]));
    assert_eq!(value["title"], "epoch");
    assert_eq!(
        (&value["curves"], &value["cells"]),
        (&6.into(), &(6 * 22).into())
    );
    // Without numbers the checkpoints stand side by side, under their names.
    e.checkpoints[1].step = None;
    let seen = open(browser, &render_evolution(&e).unwrap(), &driver(look));
    let value = seen.quiet().value();
    assert_eq!(value["x"], serde_json::json!([0, 1, 2, 3, 4, 5]));
    let ticks = value["ticks"].to_string();
    assert!(ticks.contains("epoch 15"), "{ticks}");
}

#[test]
fn a_comparison_is_drawn() {
    let Some(browser) = browser() else { return };
    let contender = |name: &str, factor: u64| Contender {
        name: name.to_owned(),
        trials: (1..=4)
            .map(|i| Trial {
                status: "converged".to_owned(),
                evaluations: Some(factor * i),
                seconds: Some(1e-3 * factor as f64),
                ..Trial::default()
            })
            .collect(),
        ..Contender::default()
    };
    let comparison = Comparison {
        title: "Problems".to_owned(),
        problems: vec![Case::default(); 4],
        contenders: vec![contender("one", 10), contender("two", 30)],
        ..Comparison::default()
    };
    let look = "
        const lines = () => plots.map((plot) => plot.querySelectorAll('.scatterlayer .trace .lines path').length);
        const out = { ids: plots.map((plot) => plot.id), before: lines(), download: document.getElementById('json').href.slice(0, 5) };
        entries[1].click();
        out.hidden = lines();
        return out;";
    let html = render_comparison(&comparison).unwrap();
    let value = open(browser, &html, &driver(look));
    let value = value.quiet().value();
    assert_eq!(
        value["ids"],
        serde_json::json!(["by_evaluations", "by_seconds", "data_profile"])
    );
    assert_eq!(value["before"], serde_json::json!([2, 2, 2]));
    assert_eq!(value["hidden"], serde_json::json!([1, 1, 1]));
    assert_eq!(value["download"], "blob:");
}
