//! Equal rows with equal targets as one row of their total weight: the same objective, in fewer rows.
//!
//! Data of categories and of few distinct values are full of them, and every pass over the data is shorter by as much.

use super::Glm;
use quadric_core::Scalar;
use std::sync::Arc;

/// Rows that are looked at first.
const SAMPLE: usize = 256;
/// Merging goes on if this part of all rows would be repeats, were there as many more among them as there are more pairs.
const PROMISING: f64 = 0.25;
/// The part of the rows that has to be repeats to be worth it.
const WORTHWHILE: f64 = 0.1;

/// Rows are put in order where the numbers of their stored values vary by this much, and are this few in the mean.
const VARIED: f64 = 4.0;
const SHORT: f64 = 64.0;

/// Marks an empty place.
const NOBODY: u32 = u32::MAX;

/// Rows found so far, by their contents.
struct Known {
    /// Open addressing: places of `firsts`, or [`NOBODY`].
    places: Vec<u32>,
    hashes: Vec<u64>,
    firsts: Vec<usize>,
}

impl Known {
    fn new(rows: usize) -> Self {
        Self {
            places: vec![NOBODY; (2 * rows).next_power_of_two()],
            hashes: Vec::with_capacity(rows),
            firsts: Vec::with_capacity(rows),
        }
    }

    /// The place among the first ones of the row that equals row i, which is the newest if there was none.
    fn place(&mut self, i: usize, hash: u64, equal: impl Fn(usize) -> bool) -> usize {
        let mask = self.places.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let place = self.places[at];
            if place == NOBODY {
                self.places[at] = self.firsts.len() as u32;
                self.hashes.push(hash);
                self.firsts.push(i);
                return self.firsts.len() - 1;
            }
            let place = place as usize;
            if self.hashes[place] == hash && equal(self.firsts[place]) {
                return place;
            }
            at = (at + 1) & mask;
        }
    }
}

/// A multiplier that spreads bits upwards.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Takes a word into a hash.
fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(26) ^ word).wrapping_mul(ODD)
}

impl<T: Scalar> Glm<T> {
    /// The same objective on fewer rows: those with equal features and equal targets become one of their total weight.
    /// Where hardly any are equal, everything stays as it is, and finding out costs next to nothing; so does squared loss on
    /// tall, narrow data, whose passes are few anyway.
    ///
    /// Rows are numbered anew then: [`Glm::only`], [`Glm::cross_validate`] and batches of a [`FiniteSum`] are of merged rows,
    /// whose weights differ.
    ///
    /// [`FiniteSum`]: quadric_core::FiniteSum
    #[must_use]
    pub fn merged(self) -> Self {
        if self.has_moments() {
            return self;
        }
        let step = self.samples.len().div_ceil(SAMPLE);
        let few: Vec<usize> = (0..self.samples.len()).step_by(step).collect();
        let repeats =
            |rows: &[usize], known: &Known| 1.0 - known.firsts.len() as f64 / rows.len() as f64;
        let expected = step as f64 * repeats(&few, &self.find(&few).0);
        if self.samples.len() >= NOBODY as usize || expected < PROMISING {
            return self;
        }
        let rows: Vec<usize> = self.samples.weighted_rows().collect();
        let (known, places) = self.find(&rows);
        if repeats(&rows, &known) < WORTHWHILE {
            return self;
        }
        self.merge(&rows, &known.firsts, &places)
    }

    /// The first row of each kind, and the place of every row's kind among them.
    fn find(&self, rows: &[usize]) -> (Known, Vec<usize>) {
        let mut known = Known::new(rows.len());
        let find = |i: &usize| {
            let target = self.samples.real(*i).to_bits();
            // A sum, in which no term waits for the one before.
            let mut sum = 0u64;
            self.design.for_stored(*i, |j, v| {
                let word = v.to_bits() ^ (j as u64).wrapping_mul(ODD);
                sum = sum.wrapping_add((word ^ (word >> 29)).wrapping_mul(ODD));
            });
            let hash = mix(sum, target);
            known.place(*i, hash ^ (hash >> 32), |first| {
                self.samples.real(first).to_bits() == target
                    && self.design.rows_are_equal(first, *i)
            })
        };
        let places = rows.iter().map(find).collect();
        (known, places)
    }

    fn merge(mut self, rows: &[usize], firsts: &[usize], places: &[usize]) -> Self {
        let (mut weights, mut copies) = (vec![0.0; firsts.len()], vec![0; firsts.len()]);
        for (i, place) in rows.iter().zip(places) {
            weights[*place] += self.samples.weights[*i];
            copies[*place] += self.samples.copies(*i) as u32;
        }
        let order = self.by_length(firsts);
        let chosen: Vec<usize> = order.iter().map(|place| firsts[*place]).collect();
        let mut samples = self.samples.select(&chosen);
        samples.norm = self.samples.norm;
        samples.weights = order.iter().map(|place| weights[*place]).collect();
        samples.copies = order.iter().map(|place| copies[*place]).collect();
        let outputs = samples.outputs();
        self.design = self.design.keep(&chosen);
        self.design.prepare(outputs);
        self.samples = Arc::new(samples);
        self.memo = super::Memo::new();
        self.moments = Arc::default();
        self
    }

    /// The places of `rows`, the short rows first where their numbers of stored values vary: loops over rows that end where
    /// the last one did take half the time. In their own order elsewhere.
    fn by_length(&self, rows: &[usize]) -> Vec<usize> {
        let lengths: Vec<usize> = rows.iter().map(|i| self.design.stored_in(*i)).collect();
        let mean = |f: &dyn Fn(f64) -> f64| {
            lengths.iter().map(|&v| f(v as f64)).sum::<f64>() / lengths.len() as f64
        };
        let middle = mean(&|v| v);
        let spread = mean(&|v| (v - middle).powi(2)).sqrt();
        if spread <= VARIED || middle >= SHORT {
            return (0..rows.len()).collect();
        }
        // Sorted by counting: the lengths are few.
        let longest = lengths.iter().max().copied().unwrap_or(0);
        let mut next = vec![0; longest + 2];
        lengths.iter().for_each(|&l| next[l + 1] += 1);
        (0..=longest).for_each(|l| next[l + 1] += next[l]);
        let mut order = vec![0; rows.len()];
        for (place, &length) in lengths.iter().enumerate() {
            order[next[length]] = place;
            next[length] += 1;
        }
        order
    }
}
