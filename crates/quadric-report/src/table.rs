//! The race as a table: one definition of the columns for the terminal and the page.

use crate::format::{clean, number, threshold};
use crate::grid::{self, join, length, paint};
use crate::summary::words;
use crate::{Report, Run};
use std::fmt::Write;

/// Columns of a terminal when nobody says how many.
pub(crate) const WIDTH: usize = 100;

/// A cell, and whether it holds the best time of its column.
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) best: bool,
}

/// All relative suboptimalities that the runs were timed to, the largest first.
pub(crate) fn thresholds(report: &Report) -> Vec<f64> {
    let mut all: Vec<f64> = report
        .runs
        .iter()
        .flat_map(|r| r.time_to.iter().map(|(t, _)| *t))
        .filter(|t| t.is_finite() && *t > 0.0)
        .collect();
    all.sort_by(|a, b| b.total_cmp(a));
    all.dedup();
    all
}

/// Seconds of a run to `target`; `None` if it never gets there.
pub(crate) fn time(run: &Run, target: f64) -> Option<f64> {
    let hit = run.time_to.iter().find(|(t, _)| *t == target);
    hit.and_then(|(_, s)| *s).filter(|s| s.is_finite())
}

/// Seconds to `target` of every run, with the best ones marked when there is someone to beat.
pub(crate) fn times(report: &Report, target: f64) -> Vec<Cell> {
    let best = report
        .runs
        .iter()
        .filter_map(|r| time(r, target))
        .reduce(f64::min);
    let cell = |run| match time(run, target) {
        Some(s) => Cell {
            text: number(s),
            best: report.runs.len() > 1 && Some(s) == best,
        },
        None => Cell {
            text: "-".to_owned(),
            best: false,
        },
    };
    report.runs.iter().map(cell).collect()
}

/// The certificate in short words: `gap 3.20e-13`, `gradient 1.00e-9`.
pub(crate) fn certificate(run: &Run) -> String {
    run.certificate.as_ref().map_or_else(
        || "-".to_owned(),
        |(kind, value)| {
            let kind = clean(kind, 24);
            let short = match kind.as_str() {
                "gap_bound" => "gap",
                "gradient_norm" => "gradient",
                other => other,
            };
            format!("{} {}", short.replace('_', " "), number(*value))
        },
    )
}

/// How good a status is, for its colour.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Partial,
    Bad,
}

/// The verdict on a status name of the driver.
pub(crate) fn verdict(status: &str) -> Verdict {
    match status {
        "converged" | "finished" => Verdict::Good,
        "non_finite" | "unbounded" | "failed" => Verdict::Bad,
        _ => Verdict::Partial,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Method,
    Status,
    Iterations,
    Passes,
    Seconds,
    Time,
    Certificate,
}

struct Column {
    kind: Kind,
    head: String,
    cells: Vec<Cell>,
}

impl Column {
    fn width(&self) -> usize {
        let cells = self
            .cells
            .iter()
            .map(|c| length(&c.text))
            .max()
            .unwrap_or(0);
        // One more than a time needs: the place of the mark.
        let mark = usize::from(self.cells.iter().any(|c| c.best));
        length(&self.head).max(cells + mark)
    }

    fn left(&self) -> bool {
        matches!(self.kind, Kind::Method | Kind::Status | Kind::Certificate)
    }
}

/// The race as an aligned table of at most `width` columns (100 if `None`), a line of key and the reasons of runs that
/// have one. The best time of a column carries a `*`. Names lose control characters.
///
/// When the table is too wide it gives up, in this order: the total time, the ends of long names, the certificate, the
/// passes, the iterations, more of long names, the status, and the largest thresholds.
pub fn text_table(report: &Report, width: Option<usize>, colour: bool) -> String {
    let width = width.unwrap_or(WIDTH).max(20);
    let columns = fit(columns(report), width);
    let mut out = String::new();
    let heads = columns.iter().map(|c| pad(&c.head, c));
    out.push_str(&paint(&join(heads), "1", colour));
    out.push('\n');
    for row in 0..report.runs.len() {
        let cells = columns.iter().map(|c| {
            let style = match c.kind {
                Kind::Status => match verdict(&report.runs[row].status) {
                    Verdict::Good => "32",
                    Verdict::Partial => "33",
                    Verdict::Bad => "31",
                },
                _ if c.cells[row].best => "1;32",
                _ => "",
            };
            paint(&marked(&c.cells[row], c), style, colour)
        });
        out.push_str(&join(cells));
        out.push('\n');
    }
    let timed = columns.iter().any(|c| c.kind == Kind::Time);
    if timed {
        let best = columns.iter().flat_map(|c| &c.cells).any(|c| c.best);
        let best = if best { "* is the best, " } else { "" };
        let key = format!("Times in seconds to a relative suboptimality; {best}- means never.");
        out.push_str(&paint(&clean(&key, width), "2", colour));
        out.push('\n');
    }
    for run in &report.runs {
        if let Some(reason) = &run.reason {
            let line = format!("{}: {reason}", clean(&run.method, 24));
            let _ = writeln!(out, "{}", clean(&line, width));
        }
    }
    out
}

fn columns(report: &Report) -> Vec<Column> {
    let plain = |kind, head: &str, text: &dyn Fn(&Run) -> String| Column {
        kind,
        head: head.to_owned(),
        cells: report
            .runs
            .iter()
            .map(|r| Cell {
                text: text(r),
                best: false,
            })
            .collect(),
    };
    let mut all = vec![
        plain(Kind::Method, "method", &|r| clean(&r.method, 32)),
        plain(Kind::Status, "status", &|r| words(&r.status)),
        plain(Kind::Iterations, "iterations", &|r| {
            r.iterations.to_string()
        }),
        plain(Kind::Passes, "passes", &|r| number(r.passes)),
        plain(Kind::Seconds, "seconds", &|r| number(r.seconds)),
    ];
    for target in thresholds(report) {
        all.push(Column {
            kind: Kind::Time,
            head: format!("to {}", threshold(target)),
            cells: times(report, target),
        });
    }
    all.push(plain(Kind::Certificate, "certificate", &certificate));
    all
}

/// Narrows the table until it fits.
fn fit(mut columns: Vec<Column>, width: usize) -> Vec<Column> {
    let total = |c: &[Column]| {
        c.iter()
            .map(|c| c.width() + 2)
            .sum::<usize>()
            .saturating_sub(2)
    };
    let drop = |columns: &mut Vec<Column>, kind| {
        if total(columns) > width {
            columns.retain(|c| c.kind != kind);
        }
    };
    drop(&mut columns, Kind::Seconds);
    shorten(&mut columns, Kind::Method, 16, width, &total);
    for kind in [Kind::Certificate, Kind::Passes, Kind::Iterations] {
        drop(&mut columns, kind);
    }
    shorten(&mut columns, Kind::Method, 8, width, &total);
    drop(&mut columns, Kind::Status);
    while total(&columns) > width
        && let Some(i) = columns.iter().position(|c| c.kind == Kind::Time)
    {
        columns.remove(i);
    }
    columns
}

/// Cuts the cells of a column, down to `least` characters, by what the table is too wide.
fn shorten(
    columns: &mut [Column],
    kind: Kind,
    least: usize,
    width: usize,
    total: &dyn Fn(&[Column]) -> usize,
) {
    let excess = total(columns).saturating_sub(width);
    if let Some(column) = columns.iter_mut().find(|c| c.kind == kind)
        && excess > 0
    {
        let limit = column.width().saturating_sub(excess).max(least);
        for cell in &mut column.cells {
            cell.text = clean(&cell.text, limit);
        }
    }
}

fn pad(text: &str, column: &Column) -> String {
    grid::pad(text, column.width(), column.left())
}

/// A cell with its mark; the numbers of a column stay aligned.
fn marked(cell: &Cell, column: &Column) -> String {
    if !column.cells.iter().any(|c| c.best) {
        return pad(&cell.text, column);
    }
    let mark = if cell.best { '*' } else { ' ' };
    pad(&format!("{}{mark}", cell.text), column)
}
