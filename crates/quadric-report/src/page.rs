//! The page: what the template needs, worked out from the numbers.

use crate::format::{clean, list, number, power, precise};
use crate::frame::{COLOURS, Frame, NAME, fill};
use crate::summary::{FLOOR, summary, summary_html, words};
use crate::table::{Cell, Verdict, certificate, thresholds, times, verdict};
use crate::{Family, Point, Report, Run};
use askama::Template;
use quadric_core::Result;
use serde::Serialize;

const SCRIPT: &str = include_str!("../templates/report.js");

/// Points of a curve on the page; longer traces are thinned.
const POINTS: usize = 3000;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    frame: Frame,
    report: &'a Report,
    thresholds: Vec<String>,
    rows: Vec<Row>,
    legend: Vec<Group>,
    plots: Vec<Plot>,
    has_seconds: bool,
    has_passes: bool,
    has_suboptimality: bool,
    has_objective: bool,
    reasons: Vec<(String, String)>,
    notes: Vec<String>,
}

struct Row {
    index: usize,
    name: String,
    full: String,
    colour: usize,
    again: bool,
    dash: &'static str,
    family: &'static str,
    status: String,
    verdict: &'static str,
    iterations: String,
    passes: String,
    seconds: String,
    objective: String,
    times: Vec<Cell>,
    certificate: String,
}

struct Group {
    family: &'static str,
    entries: Vec<Row>,
}

struct Plot {
    y: &'static str,
    x: &'static str,
    heading: String,
}

/// The numbers of the page; points by column, which is a third of the size.
#[derive(Serialize)]
struct Data<'a> {
    schema: u32,
    title: &'a str,
    subtitle: &'a str,
    summary: &'a str,
    floor: f64,
    thresholds: Vec<f64>,
    facts: &'a [(String, String)],
    notes: &'a [String],
    config: &'a Option<serde_json::Value>,
    runs: Vec<DataRun<'a>>,
}

#[derive(Serialize)]
struct DataRun<'a> {
    method: &'a str,
    label: String,
    family: Family,
    status: &'a str,
    reason: &'a Option<String>,
    iterations: u64,
    passes: f64,
    seconds: f64,
    objective: Option<f64>,
    certificate: &'a Option<(String, f64)>,
    time_to: &'a [(f64, Option<f64>)],
    points: Columns,
}

#[derive(Default, Serialize)]
struct Columns {
    iteration: Vec<u64>,
    seconds: Vec<f64>,
    passes: Vec<f64>,
    suboptimality: Vec<Option<f64>>,
    gradient_norm: Vec<Option<f64>>,
}

/// One HTML page that needs nothing else: chart library, numbers, styles and script are inside.
///
/// Every text of `report` is escaped; the page forbids itself all requests. Traces longer than 3000 points are thinned,
/// which the page says.
///
/// # Errors
/// `Internal` if the template or the numbers cannot be written as text.
pub fn render(report: &Report) -> Result<String> {
    let summary = summary(report);
    let has = |f: fn(&Point) -> bool| report.runs.iter().any(|r| r.points.iter().any(f));
    let has_seconds = has(|p| p.seconds > 0.0);
    let has_passes = has(|p| p.passes > 0.0);
    let has_suboptimality = has(|p| p.suboptimality.is_some_and(f64::is_finite));
    let has_gradient = has(|p| p.gradient_norm.is_some_and(f64::is_finite));
    let mut plots = Vec::new();
    for (y, yes, y_words) in [
        ("suboptimality", has_suboptimality, "Relative suboptimality"),
        ("gradient_norm", has_gradient, "Gradient norm"),
    ] {
        for (x, also, x_words) in [
            ("seconds", has_seconds, "time"),
            ("passes", has_passes, "passes over the data"),
        ] {
            if yes && also {
                let heading = format!("{y_words} against {x_words}");
                plots.push(Plot { y, x, heading });
            }
        }
    }
    let (data, mut notes) = data(report, &summary);
    notes.splice(0..0, report.notes.iter().cloned());
    let frame = Frame::new(
        &report.title,
        &report.subtitle,
        summary_html(report),
        report.config.as_ref(),
        &data,
        SCRIPT,
    )?;
    fill(&Page {
        frame,
        report,
        thresholds: thresholds(report).iter().map(|&t| power(t)).collect(),
        rows: rows(report),
        legend: legend(report),
        has_seconds: has_seconds && !plots.is_empty(),
        has_passes: has_passes && !plots.is_empty(),
        has_suboptimality,
        has_objective: report.runs.iter().any(|r| r.objective.is_some()),
        reasons: reasons(report),
        notes,
        plots,
    })
}

/// Runs with the same reason share a line.
fn reasons(report: &Report) -> Vec<(String, String)> {
    let mut lines: Vec<(Vec<String>, &str)> = Vec::new();
    for run in &report.runs {
        let Some(reason) = &run.reason else { continue };
        let name = clean(&run.method, NAME);
        match lines.iter_mut().find(|(_, r)| r == reason) {
            Some((names, _)) => names.push(name),
            None => lines.push((vec![name], reason)),
        }
    }
    let line = |(names, reason): (Vec<String>, &str)| (list(&names), clean(reason, 500));
    lines.into_iter().map(line).collect()
}

/// The dash of a family, as a class of the style sheet.
pub(crate) fn dash(family: Family) -> &'static str {
    match family {
        Family::FirstOrder => "dot",
        Family::QuasiNewton => "dash",
        Family::SecondOrder => "solid",
    }
}

fn row(report: &Report, index: usize, times: Vec<Cell>) -> Row {
    let run = &report.runs[index];
    Row {
        index,
        name: clean(&run.method, NAME),
        full: clean(&run.method, 1000),
        colour: index % COLOURS,
        again: index >= COLOURS,
        dash: dash(run.family),
        family: run.family.name(),
        status: words(&run.status),
        verdict: match verdict(&run.status) {
            Verdict::Good => "good",
            Verdict::Partial => "partial",
            Verdict::Bad => "bad",
        },
        iterations: run.iterations.to_string(),
        passes: number(run.passes),
        seconds: number(run.seconds),
        objective: run.objective.map_or_else(|| "-".to_owned(), precise),
        times,
        certificate: certificate(run),
    }
}

fn rows(report: &Report) -> Vec<Row> {
    let mut columns: Vec<_> = thresholds(report)
        .iter()
        .map(|&t| times(report, t).into_iter())
        .collect();
    (0..report.runs.len())
        .map(|i| {
            row(
                report,
                i,
                columns.iter_mut().filter_map(Iterator::next).collect(),
            )
        })
        .collect()
}

/// The methods by family, those with curvature first.
fn legend(report: &Report) -> Vec<Group> {
    let families = [Family::SecondOrder, Family::QuasiNewton, Family::FirstOrder];
    let group = |family: Family| Group {
        family: family.name(),
        entries: (0..report.runs.len())
            .filter(|&i| report.runs[i].family == family)
            .map(|i| row(report, i, Vec::new()))
            .collect(),
    };
    let groups = families.into_iter().map(group);
    groups.filter(|g| !g.entries.is_empty()).collect()
}

/// The numbers of the page, and what has to be said about thinned traces.
fn data<'a>(report: &'a Report, summary: &'a str) -> (Data<'a>, Vec<String>) {
    let mut remarks = Vec::new();
    let runs = report.runs.iter().map(|run| {
        let kept = thin(&run.points);
        if kept.len() < run.points.len() {
            remarks.push(format!(
                "The trace of {} has {} points; the page holds {} of them.",
                clean(&run.method, NAME),
                run.points.len(),
                kept.len()
            ));
        }
        data_run(run, &kept)
    });
    let data = Data {
        schema: 1,
        title: &report.title,
        subtitle: &report.subtitle,
        summary,
        floor: FLOOR,
        thresholds: thresholds(report),
        facts: &report.facts,
        notes: &report.notes,
        config: &report.config,
        runs: runs.collect(),
    };
    (data, remarks)
}

fn data_run<'a>(run: &'a Run, kept: &[usize]) -> DataRun<'a> {
    let mut points = Columns::default();
    for p in kept.iter().map(|&i| &run.points[i]) {
        points.iteration.push(p.iteration);
        points.seconds.push(p.seconds);
        points.passes.push(p.passes);
        points.suboptimality.push(p.suboptimality);
        points.gradient_norm.push(p.gradient_norm);
    }
    DataRun {
        method: &run.method,
        label: clean(&run.method, NAME),
        family: run.family,
        status: &run.status,
        reason: &run.reason,
        iterations: run.iterations,
        passes: run.passes,
        seconds: run.seconds,
        objective: run.objective,
        certificate: &run.certificate,
        time_to: &run.time_to,
        points,
    }
}

/// Indices of at most [`POINTS`] points: half of them even in the number of the point, half even in its logarithm, so that
/// both linear and logarithmic axes look as with all of them. First and last stay.
fn thin(points: &[Point]) -> Vec<usize> {
    let n = points.len();
    if n <= POINTS {
        return (0..n).collect();
    }
    let half = POINTS / 2;
    let last = (n - 1) as f64;
    let step = |i: usize| i as f64 / (half - 1) as f64;
    let even = (0..half).map(|i| (step(i) * last).round() as usize);
    let logarithmic = (0..half).map(|i| ((n as f64).powf(step(i)).round() as usize) - 1);
    let mut kept: Vec<usize> = even.chain(logarithmic).collect();
    kept.sort_unstable();
    kept.dedup();
    kept
}
