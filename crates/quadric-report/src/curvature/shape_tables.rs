//! The tables of shapes and diagonals on a page.

use super::shapes::{cells, quantile_cells, remarks, with};
use super::{Curvature, Spectrum};
use crate::format::{clean, number_raised};
use crate::frame::NAME;
use serde::Serialize;

/// A table with the name of its matrix, and sentences below it.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) rows: Vec<(String, Vec<String>)>,
    pub(super) remarks: Vec<String>,
}

/// A layer of a diagonal, and how it is shown.
#[derive(Serialize)]
pub(super) struct Label<'a> {
    name: &'a str,
    label: String,
}

/// The layers of all diagonals, each once.
pub(super) fn labels(c: &Curvature) -> Vec<Label<'_>> {
    let mut all: Vec<Label<'_>> = Vec::new();
    let mut known = std::collections::HashSet::new();
    let layers = c.matrices().flat_map(|(_, m)| &m.diagonal);
    for layer in layers.flat_map(|d| &d.layers) {
        if known.insert(layer.name.as_str()) {
            let label = clean(&layer.name, NAME);
            all.push(Label {
                name: &layer.name,
                label,
            });
        }
    }
    all
}

/// The shapes of every matrix that has some.
pub(super) fn shapes(c: &Curvature) -> Vec<Table> {
    let table = |(name, m): (&'static str, &Spectrum)| {
        let there = m.shapes.iter().filter(|s| s.absent.is_none());
        let rows = there.map(|s| (clean(&s.shape, NAME), cells(s, number_raised, "–")));
        Table {
            name,
            rows: rows.collect(),
            remarks: remarks(m),
        }
    };
    with(c, |m| !m.shapes.is_empty()).map(table).collect()
}

/// The diagonals of every matrix that has one.
pub(super) fn diagonals(c: &Curvature) -> Vec<Table> {
    let table = |(name, m): (&'static str, &Spectrum)| {
        let diagonal = m.diagonal.iter();
        let rows = diagonal.clone().flat_map(|d| {
            let cells = |l| quantile_cells(l, d.exact, number_raised);
            d.layers
                .iter()
                .map(move |l| (clean(&l.name, NAME), cells(l)))
        });
        Table {
            name,
            rows: rows.collect(),
            remarks: Vec::new(),
        }
    };
    with(c, |m| m.diagonal.is_some()).map(table).collect()
}
