//! An analysis as text for a terminal.

use super::findings::{accuracy, findings};
use super::shapes::{cells, quantile_cells, remarks, with};
use super::{Curvature, Eigenvalue, MATRICES, Spectrum};
use crate::format::{clean, measured, number, precise, seconds};
use crate::grid::{Grid, paint};
use crate::table::WIDTH;

/// Layers and eigenvalues that are listed; the page and the document have all of them.
const ROWS: usize = 30;

/// An analysis as text of at most `width` columns (100 if `None`): the findings, then tables of all matrices, their
/// eigenvalues, layers, diagonals and shapes. Eigenvalues that have not converged carry a `~`. Names lose control characters.
///
/// # Errors
/// As [`Curvature::check`].
pub fn curvature_text(
    c: &Curvature,
    width: Option<usize>,
    colour: bool,
) -> quadric_core::Result<String> {
    c.check()?;
    let width = width.unwrap_or(WIDTH).max(40);
    let [model, point] = heading(c);
    let mut out = paint(&clean(&model, width), "1", colour);
    out.push('\n');
    out.push_str(&clean(&point, width));
    out.push('\n');
    for finding in findings(c) {
        out.push_str(&wrap(&finding, width));
    }
    if c.main().is_some() {
        out.push('\n');
        out.push_str(&matrices(c, width, colour));
    }
    let eigenvalues = eigenvalues(c, width, colour);
    let mut tables = vec![
        damped(c, width, colour),
        eigenvalues,
        layers(c, width, colour),
    ];
    for (name, m) in with(c, |m| m.diagonal.is_some()) {
        tables.push(diagonal(name, m, width, colour));
    }
    for (name, m) in with(c, |m| !m.shapes.is_empty()) {
        tables.push(shapes(name, m, width, colour));
    }
    for table in tables {
        if !table.is_empty() {
            out.push('\n');
            out.push_str(&table);
        }
    }
    let cost = format!(
        "\nCost: {} gradients, {}.\n",
        number(c.gradient_equivalents),
        seconds(c.seconds)
    );
    out.push_str(&cost);
    Ok(out)
}

/// The model and the point in a line each.
fn heading(c: &Curvature) -> [String; 2] {
    let (model, parameters, examples) = (clean(&c.model, 60), c.parameters, c.examples);
    let accuracy = c
        .accuracy
        .map_or_else(String::new, |a| format!(", accuracy {}", accuracy(a)));
    let (loss, gradient) = (precise(c.loss), number(c.gradient_norm));
    [
        format!("{model}: {parameters} parameters, {examples} examples"),
        format!("loss {loss}{accuracy}, gradient norm {gradient}"),
    ]
}

/// A sentence as an indented item, broken at blanks.
pub(super) fn wrap(sentence: &str, width: usize) -> String {
    let (mut out, mut line) = (String::new(), "-".to_owned());
    for word in sentence.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > width && line.trim() != "-" {
            out.push_str(line.trim_end());
            out.push('\n');
            line = " ".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&clean(&line, width.max(40)));
    out.push('\n');
    out
}

/// The ends of an interval.
pub(super) fn interval(low: f64, high: f64) -> String {
    match low < high {
        true => format!("{} to {}", number(low), number(high)),
        false => "exact".to_owned(),
    }
}

fn optional(v: Option<f64>) -> String {
    v.map_or_else(|| "-".to_owned(), number)
}

/// Errors below this share of an eigenvalue are not worth a column of a terminal.
const EXACT: f64 = 1e-10;

/// An eigenvalue with its error, and a mark if it has not converged.
pub(super) fn value(e: Option<&Eigenvalue>) -> String {
    e.map_or_else(
        || "-".to_owned(),
        |e| {
            let mark = if e.converged { "" } else { "~" };
            match e.residual < EXACT * e.value.abs() {
                true => format!("{mark}{}", precise(e.value)),
                false => format!("{mark}{}", measured(e.value, e.residual, number)),
            }
        },
    )
}

fn matrices(c: &Curvature, width: usize, colour: bool) -> String {
    let mut grid = Grid::new(&[
        ("matrix", true),
        ("largest", false),
        ("smallest", false),
        ("trace", false),
        ("interval", false),
    ]);
    for (i, m) in c.matrices() {
        let trace = m.trace.map(|t| t.value);
        let ends = m
            .trace
            .map_or_else(|| "-".to_owned(), |t| interval(t.low, t.high));
        let row = vec![
            MATRICES[i].1.to_owned(),
            value(m.top.first()),
            value(m.bottom.first()),
            optional(trace),
            ends,
        ];
        grid.row("", row);
    }
    grid.text(width, colour)
}

/// Dampings and what depends on them.
fn damped(c: &Curvature, width: usize, colour: bool) -> String {
    let mut grid = Grid::new(&[
        ("matrix A", true),
        ("damping δ", false),
        ("eff. dim.", false),
        ("condition of A + δI", false),
        ("condition of A", false),
    ]);
    let mut is_empty = true;
    for (i, m) in c.matrices() {
        let damped = m.damped_condition.map(|d| d.spelled(number));
        if damped.is_none() && m.effective_dimension.is_none() && m.condition.is_none() {
            continue;
        }
        is_empty = false;
        let row = vec![
            MATRICES[i].1.to_owned(),
            optional(m.damping),
            optional(m.effective_dimension),
            damped.unwrap_or_else(|| "-".to_owned()),
            optional(m.condition),
        ];
        grid.row("", row);
    }
    match is_empty {
        true => String::new(),
        false => grid.text(width, colour),
    }
}

/// Top and bottom of all matrices side by side.
fn eigenvalues(c: &Curvature, width: usize, colour: bool) -> String {
    let matrices: Vec<(usize, &Spectrum)> = c.matrices().collect();
    let mut heads = vec![("eigenvalue", true)];
    heads.extend(matrices.iter().map(|(i, _)| (MATRICES[*i].1, false)));
    let mut grid = Grid::new(&heads);
    let ranks = super::page::ranks(c);
    for rank in ranks.iter().take(ROWS) {
        let cells: Vec<Option<&Eigenvalue>> = matrices.iter().map(|(_, m)| rank.of(m)).collect();
        let open = cells.iter().flatten().any(|e| !e.converged);
        let mut row = vec![rank.label()];
        row.extend(cells.into_iter().map(value));
        grid.row(if open { "33" } else { "" }, row);
    }
    if ranks.is_empty() {
        return String::new();
    }
    let mut text = grid.text(width, colour);
    if ranks.len() > ROWS {
        text.push_str(&format!("... and {} more\n", ranks.len() - ROWS));
    }
    if c.matrices().any(|(_, m)| m.open().0 > 0) {
        text.push_str("~ has not converged\n");
    }
    text
}

/// The layers of the first matrix that has them, by trace.
fn layers(c: &Curvature, width: usize, colour: bool) -> String {
    let Some((i, m)) = c.matrices().find(|(_, m)| !m.layers.is_empty()) else {
        return String::new();
    };
    let head = format!("layer ({})", MATRICES[i].1);
    let mut grid = Grid::new(&[
        (&head, true),
        ("parameters", false),
        ("trace", false),
        ("interval", false),
        ("per parameter", false),
        ("largest", false),
    ]);
    for l in super::findings::by_trace(m).into_iter().take(ROWS) {
        grid.row(
            "",
            vec![
                clean(&l.name, 32),
                l.parameters.to_string(),
                number(l.trace),
                interval(l.low, l.high),
                number(l.trace / l.parameters.max(1) as f64),
                optional(l.top),
            ],
        );
    }
    let mut text = grid.text(width, colour);
    if m.layers.len() > ROWS {
        text.push_str(&format!("... and {} more\n", m.layers.len() - ROWS));
    }
    text
}

/// The diagonal of a matrix, layer by layer.
fn diagonal(name: &str, m: &Spectrum, width: usize, colour: bool) -> String {
    let Some(d) = &m.diagonal else {
        return String::new();
    };
    let head = format!("diagonal ({name})");
    let mut grid = Grid::new(&[
        (&head, true),
        ("parameters", false),
        ("smallest", false),
        ("5 %", false),
        ("median", false),
        ("95 %", false),
        ("largest", false),
        ("error", false),
    ]);
    for l in d.layers.iter().take(ROWS) {
        let mut row = vec![clean(&l.name, 32)];
        row.extend(quantile_cells(l, d.exact, number));
        grid.row("", row);
    }
    let mut text = grid.text(width, colour);
    if d.layers.len() > ROWS {
        text.push_str(&format!("... and {} more\n", d.layers.len() - ROWS));
    }
    if !d.exact {
        let note = "Entries are estimates; the error is the median of theirs in the layer.";
        text.push_str(&wrap(note, width));
    }
    text
}

/// The shapes of a matrix.
fn shapes(name: &str, m: &Spectrum, width: usize, colour: bool) -> String {
    let mut grid = Grid::new(&[
        ("shape", true),
        ("numbers", false),
        ("gradients", false),
        ("trace", false),
        ("largest", false),
        ("log det", false),
        ("error", false),
        ("interval", false),
        ("cosine", false),
    ]);
    for s in m.shapes.iter().filter(|s| s.absent.is_none()) {
        let mut row = vec![clean(&s.shape, 20)];
        row.extend(cells(s, number, "-"));
        grid.row("", row);
    }
    let mut text = paint(&format!("Shapes of the {name} matrix"), "1", colour);
    text.push('\n');
    text.push_str(&grid.text(width, colour));
    for remark in remarks(m) {
        text.push_str(&wrap(&remark, width));
    }
    text
}
