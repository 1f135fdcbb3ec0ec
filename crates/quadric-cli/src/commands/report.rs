//! `quadric report`: traces as one HTML page.

use crate::args::{Global, ReportArgs};
use crate::console;
use quadric::core::{Result, Trace, read_file, read_trace};
use quadric::opt::registry;
use quadric::report::{self, Family, Point, Report, Run};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn run(a: &ReportArgs, global: &Global) -> Result<ExitCode> {
    let mut traces = Vec::new();
    for path in &a.traces {
        let bytes = read_file(path)?;
        traces.push((
            path,
            read_trace(bytes.as_slice(), &path.display().to_string())?,
        ));
    }
    let values = traces
        .iter()
        .flat_map(|(_, t)| t.records.iter().filter_map(|r| r.f));
    let best = values.filter(|v| v.is_finite()).min_by(f64::total_cmp);
    let same = traces
        .windows(2)
        .all(|w| w[0].1.header.problem == w[1].1.header.problem);
    let report = Report {
        title: "Traces".into(),
        subtitle: traces
            .iter()
            .map(|(p, _)| p.display().to_string())
            .collect::<Vec<_>>()
            .join(", "),
        facts: Vec::new(),
        runs: traces
            .iter()
            .map(|(path, t)| lap(path, t, best.filter(|_| same)))
            .collect(),
        notes: vec![match (best, same) {
            (Some(f), true) => {
                format!("Suboptimality is measured from the lowest value of all traces, {f:.15e}.")
            }
            _ => "The traces are of different problems: only gradients are comparable.".into(),
        }],
        config: Some(json!(
            traces
                .iter()
                .map(|(_, t)| &t.header.config)
                .collect::<Vec<_>>()
        )),
    };
    report::write(&a.output, &report, a.force)?;
    if global.json {
        console::print_json(&json!({ "report": a.output, "runs": report.runs.len() }))?;
    } else if !global.quiet {
        console::note(&format!("wrote {}", a.output.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn lap(path: &Path, t: &Trace, best: Option<f64>) -> Run {
    let method = t.header.config["method"].as_str().unwrap_or("run");
    let family = match registry::find(method).map(|e| e.family) {
        Ok(registry::Family::SecondOrder) => Family::SecondOrder,
        Ok(registry::Family::QuasiNewton) => Family::QuasiNewton,
        _ => Family::FirstOrder,
    };
    let relative = |f: f64| best.map(|b| (f - b) / b.abs().max(f64::MIN_POSITIVE));
    let points: Vec<Point> = t
        .records
        .iter()
        .map(|r| Point {
            iteration: r.it,
            seconds: r.t,
            passes: r.passes,
            suboptimality: r.f.and_then(relative).filter(|s| *s > 0.0),
            gradient_norm: r.opt,
        })
        .collect();
    let last = t.records.last();
    Run {
        method: format!(
            "{method} ({})",
            path.file_stem().unwrap_or_default().to_string_lossy()
        ),
        family,
        status: t
            .end
            .as_ref()
            .map_or_else(|| "unfinished".into(), |e| e.status.name().into()),
        reason: t.end.as_ref().and_then(|e| e.reason.clone()),
        iterations: last.map_or(0, |r| r.it),
        passes: last.map_or(0.0, |r| r.passes),
        seconds: last.map_or(0.0, |r| r.t),
        objective: last.and_then(|r| r.f),
        certificate: t.end.as_ref().and_then(|e| {
            e.certificate
                .as_ref()
                .map(|c| (c.kind.to_string(), c.value))
        }),
        time_to: crate::race::TARGETS
            .map(|target| (target, report::time_to(&points, target)))
            .to_vec(),
        points,
    }
}
