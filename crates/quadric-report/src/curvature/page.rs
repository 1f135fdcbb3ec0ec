//! The page of one analysis.

use super::findings::{accuracy, by_trace, findings, percent, spelled, with_error};
use super::shape_tables::{Label, Table, diagonals, labels, shapes};
use super::{Curvature, Eigenvalue, Layer, MATRICES, Spectrum};
use crate::format::{clean, escape, number_raised, precise, seconds};
use crate::frame::{Frame, NAME, fill};
use askama::Template;
use quadric_core::Result;
use serde::Serialize;

const SCRIPT: &str = concat!(
    include_str!("../../templates/spectrum.js"),
    include_str!("../../templates/curvature.js")
);

#[derive(Template)]
#[template(path = "curvature.html")]
struct Page {
    frame: Frame,
    findings: Vec<String>,
    matrices: Vec<Matrix>,
    eigenvalues: Vec<(String, Vec<Cell>)>,
    layers: Vec<LayerRow>,
    diagonals: Vec<Table>,
    shapes: Vec<Table>,
    facts: Vec<(&'static str, String)>,
    has_density: bool,
    /// Whether the density has a row of its own, so that no gap is left.
    wide: bool,
    has_lines: bool,
    has_plane: bool,
}

/// The numbers of a matrix in words.
pub(super) struct Matrix {
    pub(super) index: usize,
    pub(super) name: &'static str,
    pub(super) largest: Cell,
    pub(super) smallest: Cell,
    pub(super) step: String,
    pub(super) trace: String,
    pub(super) interval: String,
    pub(super) damping: String,
    pub(super) effective_dimension: String,
    pub(super) damped_condition: String,
    pub(super) condition: String,
}

/// An eigenvalue with its error.
pub(super) struct Cell {
    pub(super) text: String,
    /// Whether it has not converged.
    pub(super) open: bool,
}

struct LayerRow {
    name: String,
    parameters: u64,
    /// Trace, interval and largest eigenvalue for each matrix.
    blocks: Vec<(String, String, String)>,
}

/// What the script reads.
#[derive(Serialize)]
struct Data<'a> {
    schema: u32,
    report: &'a Curvature,
    matrices: Vec<Name>,
    layers: Vec<Blocks<'a>>,
    quantiles: Vec<Label<'a>>,
    lines: Vec<String>,
    plane: Option<[String; 2]>,
}

/// A matrix by its field and its name.
#[derive(Serialize)]
pub(super) struct Name {
    key: &'static str,
    name: &'static str,
}

/// The blocks of a layer, one for each matrix that was analysed.
#[derive(Serialize)]
struct Blocks<'a> {
    label: String,
    parameters: u64,
    blocks: Vec<Option<&'a Layer>>,
}

/// A place in the order of the eigenvalues.
#[derive(Clone, Copy)]
pub(super) enum Rank {
    /// Counted from the largest.
    Top(usize),
    /// Counted from the smallest.
    Bottom(usize),
}

impl Rank {
    /// `+1` for the largest, `-1` for the smallest.
    pub(super) fn label(self) -> String {
        match self {
            Self::Top(i) => format!("+{}", i + 1),
            Self::Bottom(i) => format!("-{}", i + 1),
        }
    }

    pub(super) fn of(self, m: &Spectrum) -> Option<&Eigenvalue> {
        match self {
            Self::Top(i) => m.top.get(i),
            Self::Bottom(i) => m.bottom.get(i),
        }
    }
}

/// All ranks for which some matrix has an eigenvalue, from the largest to the smallest.
pub(super) fn ranks(c: &Curvature) -> Vec<Rank> {
    let most = |list: fn(&Spectrum) -> usize| c.matrices().map(|(_, m)| list(m)).max().unwrap_or(0);
    let top = (0..most(|m| m.top.len())).map(Rank::Top);
    let bottom = (0..most(|m| m.bottom.len())).rev().map(Rank::Bottom);
    top.chain(bottom).collect()
}

/// One HTML page that needs nothing else: what the analysis says in plain words, the distribution of the eigenvalues, the
/// largest and smallest of them with their errors, the layers, the loss along directions, and all numbers in tables. Every
/// text is escaped; the page forbids itself all requests.
///
/// # Errors
/// As [`Curvature::check`]; `Internal` if the page cannot be written as text.
pub fn render_curvature(c: &Curvature) -> Result<String> {
    c.check()?;
    let all = findings(c);
    let (lead, rest) = all.split_at(all.len().min(2));
    let landscape = c.landscape.as_ref();
    let plane = landscape.and_then(|l| l.plane.as_ref());
    let kinds: Vec<usize> = c.matrices().map(|(i, _)| i).collect();
    let data = Data {
        schema: 1,
        report: c,
        matrices: matrix_names(&kinds),
        layers: blocks(c),
        quantiles: labels(c),
        lines: landscape.map_or_else(Vec::new, |l| {
            l.lines.iter().map(|l| clean(&l.direction, NAME)).collect()
        }),
        plane: plane.map(|p| p.directions.each_ref().map(|d| clean(d, NAME))),
    };
    let title = format!("Curvature of {}", clean(&c.model, NAME));
    let frame = Frame::new(
        &title,
        &subtitle(c),
        escape(&lead.join(" ")),
        None,
        &data,
        SCRIPT,
    )?;
    let eigenvalues = eigenvalues(c);
    let has_lines = landscape.is_some_and(|l| !l.lines.is_empty());
    let halves = [!eigenvalues.is_empty(), has_lines, plane.is_some()];
    fill(&Page {
        frame,
        findings: rest.to_vec(),
        matrices: matrices(c),
        eigenvalues,
        wide: halves.iter().filter(|h| **h).count() % 2 == 0,
        layers: layers(c),
        diagonals: diagonals(c),
        shapes: shapes(c),
        facts: facts(c),
        has_density: c.matrices().any(|(_, m)| m.density.is_some()),
        has_lines,
        has_plane: plane.is_some(),
    })
}

fn subtitle(c: &Curvature) -> String {
    let accuracy = c
        .accuracy
        .map_or_else(String::new, |a| format!(", accuracy {}", accuracy(a)));
    format!(
        "{} parameters, {} examples, loss {}{accuracy}",
        c.parameters,
        c.examples,
        precise(c.loss)
    )
}

/// The matrices with these indices.
pub(super) fn matrix_names(kinds: &[usize]) -> Vec<Name> {
    let name = |i: &usize| Name {
        key: MATRICES[*i].0,
        name: MATRICES[*i].1,
    };
    kinds.iter().map(name).collect()
}

fn optional(v: Option<f64>) -> String {
    v.map_or_else(|| "–".to_owned(), number_raised)
}

fn cell(e: Option<&Eigenvalue>) -> Cell {
    Cell {
        text: e.map_or_else(|| "–".to_owned(), with_error),
        open: e.is_some_and(|e| !e.converged),
    }
}

pub(super) fn matrices(c: &Curvature) -> Vec<Matrix> {
    let matrix = |(order, (i, m)): (usize, (usize, &Spectrum))| Matrix {
        index: order,
        name: MATRICES[i].1,
        largest: cell(m.top.first()),
        smallest: cell(m.bottom.first()),
        step: optional(m.largest_step().filter(|_| i == 0)),
        trace: optional(m.trace.map(|t| t.value)),
        interval: m.trace.map_or_else(
            || "–".to_owned(),
            |t| match t.level >= 1.0 {
                true => "exact".to_owned(),
                false => format!(
                    "{} to {} ({})",
                    number_raised(t.low),
                    number_raised(t.high),
                    percent(t.level)
                ),
            },
        ),
        damping: optional(m.damping),
        effective_dimension: optional(m.effective_dimension),
        damped_condition: m
            .damped_condition
            .map_or_else(|| "–".to_owned(), |d| d.spelled(number_raised)),
        condition: optional(m.condition),
    };
    c.matrices().enumerate().map(matrix).collect()
}

fn eigenvalues(c: &Curvature) -> Vec<(String, Vec<Cell>)> {
    let row = |rank: Rank| {
        (
            rank.label().replace('-', "−"),
            c.matrices().map(|(_, m)| cell(rank.of(m))).collect(),
        )
    };
    ranks(c).into_iter().map(row).collect()
}

/// The layers of all matrices by name, in the order of the first matrix that has them.
fn blocks(c: &Curvature) -> Vec<Blocks<'_>> {
    let mut all: Vec<(&Layer, Vec<Option<&Layer>>)> = Vec::new();
    let count = c.matrices().count();
    for (order, (_, m)) in c.matrices().enumerate() {
        let mut found: std::collections::HashMap<&str, usize> = all
            .iter()
            .enumerate()
            .map(|(i, (l, _))| (l.name.as_str(), i))
            .collect();
        for layer in &m.layers {
            let i = *found.entry(&layer.name).or_insert_with(|| {
                all.push((layer, vec![None; count]));
                all.len() - 1
            });
            all[i].1[order] = Some(layer);
        }
    }
    let row = |(layer, blocks): (&Layer, _)| Blocks {
        label: clean(&layer.name, NAME),
        parameters: layer.parameters,
        blocks,
    };
    all.into_iter().map(row).collect()
}

fn layers(c: &Curvature) -> Vec<LayerRow> {
    let block = |l: &Option<&Layer>| match l {
        None => ("–".to_owned(), String::new(), "–".to_owned()),
        Some(l) => {
            let interval = format!("{} to {}", number_raised(l.low), number_raised(l.high));
            let interval = Some(interval).filter(|_| l.low < l.high);
            (
                number_raised(l.trace),
                interval.unwrap_or_default(),
                optional(l.top),
            )
        }
    };
    let row = |b: Blocks<'_>| LayerRow {
        name: b.label,
        parameters: b.parameters,
        blocks: b.blocks.iter().map(block).collect(),
    };
    blocks(c).into_iter().map(row).collect()
}

fn facts(c: &Curvature) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("Parameters", c.parameters.to_string()),
        ("Examples", c.examples.to_string()),
        ("Loss", precise(c.loss)),
    ];
    all.extend(c.accuracy.map(|a| ("Accuracy", accuracy(a))));
    all.push(("Norm of the gradient", number_raised(c.gradient_norm)));
    all.extend(
        c.gradient_alignment
            .map(|a| ("Gradient in the top eigenvectors", percent(a))),
    );
    all.extend(
        c.noise_scale
            .map(|s| ("Noise scale tr C/|g|² (examples)", spelled(&s))),
    );
    all.extend(
        c.hessian_noise_scale
            .map(|s| ("Noise scale tr HC/gᵀHg (examples)", spelled(&s))),
    );
    if let Some((layer, (i, _))) = c
        .main()
        .and_then(|m| Some((by_trace(m.1).first().copied()?, m)))
    {
        all.push((
            "Layer of the largest trace",
            format!("{} ({})", clean(&layer.name, 40), MATRICES[i].1),
        ));
    }
    all.push(("Cost in gradients", number_raised(c.gradient_equivalents)));
    all.push(("Time", seconds(c.seconds)));
    all
}
