//! A selection of the unconstrained problems of CUTEst, re-derived from their SIF files; a problem has the name of its file.
//! Each table says which minima the files give and which were computed.

mod banded;
mod coupled;
mod data;
mod dense;
mod fits;
mod small;

use super::problem::{Collection, Minimum, Row, Sizes};
use super::{Jet, TermSum};

/// All of them, small ones first.
pub(super) fn rows() -> Vec<Row> {
    let mut all = small::rows();
    all.extend(fits::rows());
    all.extend(banded::rows());
    all.extend(coupled::rows());
    all.extend(dense::rows());
    all
}

const ZERO: Minimum = Minimum::Everywhere(0.0);

/// A problem of one size.
fn fixed(
    name: &'static str,
    start: Vec<f64>,
    minimum: f64,
    others: &'static [f64],
    build: impl Fn(TermSum) -> TermSum + 'static,
) -> Row {
    Row {
        collection: Collection::Cutest,
        number: None,
        name,
        sizes: Sizes::only(start.len()),
        make: Box::new(move |n| (start.clone(), build(TermSum::new(name, n)))),
        minimum: Minimum::Everywhere(minimum),
        others,
    }
}

/// A problem of one size by one formula in all unknowns.
fn whole(
    name: &'static str,
    start: Vec<f64>,
    minimum: f64,
    others: &'static [f64],
    formula: fn(&[Jet]) -> Jet,
) -> Row {
    let all: Vec<usize> = (0..start.len()).collect();
    let build = move |sum: TermSum| sum.each([all.clone()], move |_, x| formula(x));
    fixed(name, start, minimum, others, build)
}

/// A problem of one size that is a sum of squares.
fn squares(
    name: &'static str,
    start: Vec<f64>,
    minimum: f64,
    others: &'static [f64],
    residuals: fn(&[Jet]) -> Vec<Jet>,
) -> Row {
    let n = start.len();
    let build = move |_| TermSum::of_squares(name, n, residuals);
    fixed(name, start, minimum, others, build)
}

/// A problem of many sizes: the start of unknown j (from 1) of n, and the terms.
fn scalable(
    name: &'static str,
    sizes: Sizes,
    start: fn(usize, usize) -> f64,
    minimum: Minimum,
    build: fn(usize, TermSum) -> TermSum,
) -> Row {
    Row {
        collection: Collection::Cutest,
        number: None,
        name,
        sizes,
        make: Box::new(move |n| {
            let start = (1..=n).map(|j| start(j, n)).collect();
            (start, build(n, TermSum::new(name, n)))
        }),
        minimum,
        others: &[],
    }
}

/// Pairs of neighbours.
fn pairs(n: usize) -> impl Iterator<Item = [usize; 2]> {
    (1..n).map(|i| [i - 1, i])
}

/// Each unknown alone.
fn singles(n: usize) -> impl Iterator<Item = [usize; 1]> {
    (0..n).map(|i| [i])
}

fn cube(x: &Jet) -> Jet {
    x.square() * x
}

/// Waves in a shallow bowl.
fn humps(x: &Jet, y: &Jet) -> Jet {
    let waves = (x * 20.0).sin() * (y * 20.0).sin();
    waves.square() + (x.square() + y.square()) * 0.05
}
