//! A search as plain numbers.

use super::basis::Unit;
use super::search::{Search, Stage};
use super::{EigenOptions, Which};
use crate::random::SeedTree;
use crate::vector::all_finite;
use crate::{Error, ErrorKind, Result, Scalar};
use faer::Mat;

/// All that a [`Search`] remembers between two steps, for a checkpoint. The seed is not part of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SavedSearch<T> {
    /// The basis and the next block, vector after vector.
    pub vectors: Vec<T>,
    /// The projected operator, its couplings, values and residuals.
    pub numbers: Vec<f64>,
    /// Sizes, counts and the stage.
    pub counters: Vec<u64>,
}

/// The layout of [`SavedSearch::counters`].
const LAYOUT: u64 = 1;
/// Largest count of products or steps: no sum of a few overflows.
const MOST: usize = usize::MAX / 8;

impl<T: Scalar> Search<T> {
    /// What a checkpoint needs.
    pub fn save(&self) -> SavedSearch<T> {
        let m = self.cols;
        let mut numbers = vec![self.norm];
        for j in 0..m {
            numbers.extend((0..m).map(|i| self.h[(i, j)]));
            numbers.extend((0..self.coupling.nrows()).map(|i| self.coupling[(i, j)]));
        }
        let (stage, left) = match self.stage {
            Stage::Pairs => (0, 0),
            Stage::Copies(left) => (1, left),
            Stage::Done => (2, 0),
        };
        for list in [&self.drift, &self.values, &self.residuals, &self.found] {
            numbers.extend(list);
        }
        let sizes = [
            self.n,
            self.options.count,
            which_number(self.options.which),
            self.options.width(),
            self.start,
            m,
            self.pending,
            self.values.len(),
            self.found.len(),
            self.products,
            self.steps,
            self.calm,
            stage,
            left,
            self.refuted,
            usize::from(self.complete),
        ];
        let unit = self
            .unit
            .0
            .map_or(0, |unit| (1 << 32) | u64::from(unit as u32));
        let mut counters = vec![LAYOUT, self.draws.used, unit];
        counters.extend(sizes.map(|v| v as u64));
        SavedSearch {
            vectors: self.v[..self.n * (m + self.pending)].to_vec(),
            numbers,
            counters,
        }
    }

    /// The search that was saved, with the options and the seed it had; `max_products`, `tolerance` and `verify` may be
    /// others.
    ///
    /// # Errors
    /// Numbers that are not finite, lengths that do not fit, other options than those it was saved with.
    pub fn load(saved: &SavedSearch<T>, options: &EigenOptions, seed: SeedTree) -> Result<Self> {
        let [layout, draws, unit, sizes @ ..] = saved.counters.as_slice() else {
            return Err(malformed("too few counters"));
        };
        let sizes: Option<Vec<usize>> = sizes.iter().map(|v| usize::try_from(*v).ok()).collect();
        let sizes: Option<[usize; 16]> = sizes.and_then(|v| v.try_into().ok());
        let (LAYOUT, Some(sizes)) = (*layout, sizes) else {
            return Err(malformed("counters of another layout"));
        };
        let [n, count, which, width, start, m, pending, have, found, ..] = sizes;
        let [.., products, steps, calm, stage, left, refuted, complete] = sizes;
        check_options(options, n, (count, which, width), start)?;
        let fits = m <= options.room(start) && pending <= options.widest(start) && pending > 0;
        let measured = stage == 2 && m == 0 && pending == count && have == count;
        let counts = [products, steps, calm, left].iter().all(|v| *v <= MOST);
        let exponent = (unit >> 32 != 0).then_some(*unit as u32 as i32);
        if !counts
            || refuted > 3
            || complete > 1
            || exponent.is_some_and(|e| !(-2000..=2000).contains(&e))
        {
            return Err(malformed("counts out of range"));
        }
        if !fits || have > count || !(found == 0 || found == count) || !(stage < 2 || measured) {
            return Err(malformed("sizes out of range"));
        }
        let columns = n.checked_mul(m + pending);
        let numbers = 1 + m * (m + pending + 1) + 2 * have + found;
        if columns != Some(saved.vectors.len()) || n == 0 || numbers != saved.numbers.len() {
            return Err(malformed("vectors or numbers of another length"));
        }
        if !all_finite(&saved.vectors) || !all_finite(&saved.numbers) {
            return Err(Error::new(
                ErrorKind::NonFinite,
                "the saved search holds values that are not finite",
            ));
        }
        let mut search = Self::empty(n, options, start, seed)?;
        search.v[..saved.vectors.len()].copy_from_slice(&saved.vectors);
        (search.cols, search.pending) = (m, pending);
        search.draws.used = *draws;
        search.unit = Unit(exponent);
        search.products = products;
        (search.steps, search.calm) = (steps, calm);
        search.stage = [Stage::Pairs, Stage::Copies(left), Stage::Done][stage];
        (search.refuted, search.complete) = (refuted, complete != 0);
        search.load_numbers(&saved.numbers, have, found);
        Ok(search)
    }

    /// The numbers in the order of [`Search::save`]; there are as many as that takes.
    fn load_numbers(&mut self, numbers: &[f64], have: usize, found: usize) {
        let (m, pending) = (self.cols, self.pending);
        self.norm = numbers[0];
        self.coupling = Mat::zeros(pending, m);
        for (j, column) in numbers[1..].chunks_exact(m + pending).take(m).enumerate() {
            (0..m).for_each(|i| self.h[(i, j)] = column[i]);
            (0..pending).for_each(|i| self.coupling[(i, j)] = column[m + i]);
        }
        let mut rest = numbers[1 + m * (m + pending)..].iter().copied();
        let mut list = |k: usize| rest.by_ref().take(k).collect::<Vec<f64>>();
        self.drift = list(m);
        (self.values, self.residuals, self.found) = (list(have), list(have), list(found));
    }
}

/// Options for which a saved search can go on: those it was saved with, as far as its sizes follow from them.
fn check_options(
    options: &EigenOptions,
    n: usize,
    (count, which, width): (usize, usize, usize),
    start: usize,
) -> Result<()> {
    options.check_range(n)?;
    if (count, which, width) != (options.count, which_number(options.which), options.width()) {
        return Err(Error::argument(
            "options",
            format!("{} pairs in blocks of {}", options.count, options.width()),
            &format!("the {count} pairs, end and blocks of {width} of the saved search"),
        ));
    }
    options.check_start(start)
}

fn which_number(which: Which) -> usize {
    match which {
        Which::Largest => 0,
        Which::Smallest => 1,
        Which::LargestMagnitude => 2,
        Which::BothEnds => 3,
    }
}

fn malformed(what: &str) -> Error {
    Error::malformed("a saved search", what)
}
