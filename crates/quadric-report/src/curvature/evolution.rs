//! Several analyses along a training, or of several models.

use super::check::finite;
use super::findings::{accuracy, by_trace, percent, with_error};
use super::page::{Cell, Name, matrices, matrix_names};
use super::{Curvature, Eigenvalue, MATRICES, Spectrum};
use crate::format::{clean, escape, list, number, number_raised, precise, ratio};
use crate::frame::{Frame, NAME, fill};
use crate::grid::{Grid, paint};
use crate::table::WIDTH;
use askama::Template;
use quadric_core::Result;
use serde::{Deserialize, Serialize};

const SCRIPT: &str = concat!(
    include_str!("../../templates/spectrum.js"),
    include_str!("../../templates/evolution.js")
);

/// Analyses of one model along its training, or of several models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Evolution {
    /// Heading of the page.
    pub title: String,
    /// What is compared, in plain words.
    pub subtitle: String,
    /// What [`Checkpoint::step`] counts, such as `epoch`.
    pub axis: String,
    /// The analyses, in their order.
    pub checkpoints: Vec<Checkpoint>,
}

/// An analysis and its place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Its name, such as `epoch 10`.
    pub name: String,
    /// Its place on the horizontal axis, such as the number of the epoch. Unless every checkpoint has one, they are drawn
    /// side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// What was found.
    pub report: Curvature,
}

#[derive(Template)]
#[template(path = "evolution.html")]
struct Page {
    frame: Frame,
    findings: Vec<String>,
    names: Vec<(usize, &'static str)>,
    rows: Vec<Row>,
    tables: Vec<(&'static str, Vec<MatrixRow>)>,
    main: &'static str,
    has_density: bool,
    has_layers: bool,
    has_trace: bool,
}

struct Row {
    name: String,
    cells: Vec<String>,
}

struct MatrixRow {
    name: String,
    extremes: [Cell; 2],
    cells: Vec<String>,
}

/// What the script reads.
#[derive(Serialize)]
struct Data<'a> {
    schema: u32,
    evolution: &'a Evolution,
    axis: String,
    labels: Vec<String>,
    matrices: Vec<Name>,
    /// The field of the matrix whose densities and layers are shown.
    main: &'static str,
    layers: Vec<Layers>,
}

/// The traces of a layer at all checkpoints.
#[derive(Serialize)]
struct Layers {
    label: String,
    traces: Vec<Option<f64>>,
}

impl Evolution {
    /// Checks the numbers of all checkpoints.
    ///
    /// # Errors
    /// As [`Curvature::check`], with the name of the checkpoint.
    pub fn check(&self) -> Result<()> {
        for c in &self.checkpoints {
            let place = || format!("checkpoint `{}`", clean(&c.name, NAME));
            finite("step", c.step).map_err(|e| e.context(place()))?;
            c.report.check().map_err(|e| e.context(place()))?;
        }
        Ok(())
    }

    /// The indices of the matrices that occur.
    fn kinds(&self) -> Vec<usize> {
        let of = |i: &usize| {
            self.checkpoints
                .iter()
                .any(|c| spectrum(&c.report, *i).is_some())
        };
        (0..MATRICES.len()).filter(of).collect()
    }

    /// A matrix at all checkpoints that have it.
    fn course(&self, kind: usize) -> Vec<(&Checkpoint, &Spectrum)> {
        let all = self.checkpoints.iter();
        all.filter_map(|c| Some((c, spectrum(&c.report, kind)?)))
            .collect()
    }
}

fn spectrum(c: &Curvature, kind: usize) -> Option<&Spectrum> {
    c.matrices().find(|(i, _)| *i == kind).map(|(_, m)| m)
}

/// What the analyses say together: how the extremes, the trace and the sharpest layer change from the first to the last.
fn course(e: &Evolution) -> Vec<String> {
    let Some(kind) = e.kinds().first().copied() else {
        return vec!["No matrix was analysed.".to_owned()];
    };
    let (name, all) = (MATRICES[kind].1, e.course(kind));
    let mut found = Vec::new();
    let top = |m: &&Spectrum| m.top.first().copied();
    let bottom = |m: &&Spectrum| m.bottom.first().copied();
    found.extend(change(
        &all,
        &format!("largest eigenvalue of the {name}"),
        top,
        true,
    ));
    let stable = all
        .iter()
        .filter_map(|(c, m)| Some((*c, m.largest_step()?)));
    if let Some((c, step)) = stable.reduce(|a, b| if b.1 < a.1 { b } else { a }) {
        found.push(format!(
            "The smallest of the largest stable steps, 2/λ₁ = {}, is at {}.",
            number_raised(step),
            clean(&c.name, NAME)
        ));
    }
    found.extend(change(
        &all,
        &format!("smallest eigenvalue of the {name}"),
        bottom,
        false,
    ));
    let sharpest = |m: &Spectrum| by_trace(m).first().map(|l| clean(&l.name, 40));
    if let (Some((_, first)), Some((_, last))) = (all.first(), all.last())
        && let (Some(first), Some(last)) = (sharpest(first), sharpest(last))
    {
        found.push(match first == last {
            true => format!("The layer of the largest trace is {first}, at first and at last."),
            false => {
                format!("The layer of the largest trace is {first} at first and {last} at last.")
            }
        });
    }
    let open: Vec<String> = e
        .checkpoints
        .iter()
        .filter(|c| c.report.matrices().any(|(_, m)| m.open().0 > 0))
        .map(|c| clean(&c.name, 40))
        .collect();
    found.push(match open.len() {
        0 => "All eigenvalues have converged.".to_owned(),
        1..=4 => format!(
            "Eigenvalues at {} have not all converged; they are marked.",
            list(&open)
        ),
        n => format!("At {n} checkpoints eigenvalues have not all converged; they are marked."),
    });
    found
}

/// How an eigenvalue changes from the first to the last checkpoint that has it, and where it is largest in between.
fn change(
    all: &[(&Checkpoint, &Spectrum)],
    what: &str,
    pick: impl Fn(&&Spectrum) -> Option<Eigenvalue>,
    rises: bool,
) -> Option<String> {
    let values: Vec<(&Checkpoint, Eigenvalue)> = all
        .iter()
        .filter_map(|(c, m)| Some((*c, pick(m)?)))
        .collect();
    let ((first, a), (last, b)) = (values.first()?, values.last()?);
    if values.len() == 1 {
        return Some(format!("The {what} is {}.", with_error(a)));
    }
    let factor = match b.value / a.value {
        f if rises && f.is_finite() && f >= 1.05 => format!(", {} times as much", ratio(f)),
        f if rises && f.is_finite() && f > 0.0 && f <= 1.0 / 1.05 => {
            format!(", {} times less", ratio(1.0 / f))
        }
        _ => String::new(),
    };
    let extreme = values
        .iter()
        .copied()
        .reduce(|x, y| match rises == (y.1.value > x.1.value) {
            true => y,
            false => x,
        })?;
    let between = extreme.0.name != first.name && extreme.0.name != last.name;
    let peak = match between {
        true => format!(
            "; it is {} at {} ({})",
            if rises { "largest" } else { "smallest" },
            clean(&extreme.0.name, NAME),
            number_raised(extreme.1.value)
        ),
        false => String::new(),
    };
    Some(format!(
        "From {} to {} the {what} goes from {} to {}{factor}{peak}.",
        clean(&first.name, NAME),
        clean(&last.name, NAME),
        with_error(a),
        with_error(b)
    ))
}

/// One HTML page for several analyses, like [`render_curvature`](crate::render_curvature).
///
/// # Errors
/// As [`Evolution::check`]; `Internal` if the page cannot be written as text.
pub fn render_evolution(e: &Evolution) -> Result<String> {
    e.check()?;
    let kinds = e.kinds();
    let main = kinds.first().copied().unwrap_or(0);
    let data = Data {
        schema: 1,
        evolution: e,
        axis: Some(&e.axis)
            .filter(|a| !a.is_empty())
            .map_or_else(String::new, |a| clean(a, NAME)),
        labels: e.checkpoints.iter().map(|c| clean(&c.name, NAME)).collect(),
        matrices: matrix_names(&kinds),
        main: MATRICES[main].0,
        layers: layers(e, main),
    };
    let all = course(e);
    let (lead, rest) = all.split_at(all.len().min(2));
    let frame = Frame::new(
        &e.title,
        &e.subtitle,
        escape(&lead.join(" ")),
        None,
        &data,
        SCRIPT,
    )?;
    let has = |test: fn(&Spectrum) -> bool| {
        e.checkpoints
            .iter()
            .any(|c| c.report.matrices().any(|(_, m)| test(m)))
    };
    fill(&Page {
        frame,
        findings: rest.to_vec(),
        names: kinds
            .iter()
            .enumerate()
            .map(|(order, i)| (order, MATRICES[*i].1))
            .collect(),
        rows: e.checkpoints.iter().map(row).collect(),
        tables: kinds
            .iter()
            .map(|i| (MATRICES[*i].1, matrix_rows(e, *i)))
            .collect(),
        main: MATRICES[main].1,
        has_density: e
            .course(main)
            .iter()
            .any(|(_, m)| m.density.as_ref().is_some_and(|d| !d.grid.is_empty())),
        has_layers: !data.layers.is_empty(),
        has_trace: has(|m| m.trace.is_some()),
    })
}

/// The layers of a matrix at all checkpoints, in the order in which they occur.
fn layers(e: &Evolution, kind: usize) -> Vec<Layers> {
    let mut names: Vec<&str> = Vec::new();
    for (_, m) in e.course(kind) {
        for layer in &m.layers {
            if !names.contains(&layer.name.as_str()) {
                names.push(&layer.name);
            }
        }
    }
    let trace = |c: &Checkpoint, name: &str| {
        let layers = &spectrum(&c.report, kind)?.layers;
        layers.iter().find(|l| l.name == name).map(|l| l.trace)
    };
    let row = |name: &str| Layers {
        label: clean(name, NAME),
        traces: e.checkpoints.iter().map(|c| trace(c, name)).collect(),
    };
    names.into_iter().map(row).collect()
}

fn optional(v: Option<f64>) -> String {
    v.map_or_else(|| "–".to_owned(), number_raised)
}

fn row(c: &Checkpoint) -> Row {
    let r = &c.report;
    Row {
        name: clean(&c.name, NAME),
        cells: vec![
            precise(r.loss),
            r.accuracy.map_or_else(|| "–".to_owned(), accuracy),
            number_raised(r.gradient_norm),
            optional(r.noise_scale.map(|e| e.value)),
            r.gradient_alignment.map_or_else(|| "–".to_owned(), percent),
            number_raised(r.gradient_equivalents),
        ],
    }
}

fn matrix_rows(e: &Evolution, kind: usize) -> Vec<MatrixRow> {
    let row = |(c, _): (&Checkpoint, &Spectrum)| {
        let found = matrices(&c.report)
            .into_iter()
            .find(|m| m.name == MATRICES[kind].1)?;
        Some(MatrixRow {
            name: clean(&c.name, NAME),
            cells: vec![
                found.step,
                found.trace,
                found.interval,
                found.effective_dimension,
                found.condition,
            ],
            extremes: [found.largest, found.smallest],
        })
    };
    e.course(kind).into_iter().filter_map(row).collect()
}

/// Several analyses as text of at most `width` columns (100 if `None`): what changes, and a line for each checkpoint.
///
/// # Errors
/// As [`Evolution::check`].
pub fn evolution_text(e: &Evolution, width: Option<usize>, colour: bool) -> Result<String> {
    e.check()?;
    let width = width.unwrap_or(WIDTH).max(40);
    let mut out = paint(&clean(&e.title, width), "1", colour);
    out.push('\n');
    for finding in course(e) {
        out.push_str(&super::text::wrap(&finding, width));
    }
    for kind in e.kinds() {
        let head = format!("checkpoint ({})", MATRICES[kind].1);
        let mut grid = Grid::new(&[
            (&head, true),
            ("loss", false),
            ("largest", false),
            ("smallest", false),
            ("trace", false),
            ("interval", false),
        ]);
        for (c, m) in e.course(kind) {
            let trace = m.trace;
            grid.row(
                if m.open().0 > 0 { "33" } else { "" },
                vec![
                    clean(&c.name, 32),
                    number(c.report.loss),
                    super::text::value(m.top.first()),
                    super::text::value(m.bottom.first()),
                    trace.map_or_else(|| "-".to_owned(), |t| number(t.value)),
                    trace.map_or_else(|| "-".to_owned(), |t| super::text::interval(t.low, t.high)),
                ],
            );
        }
        out.push('\n');
        out.push_str(&grid.text(width, colour));
    }
    Ok(out)
}
