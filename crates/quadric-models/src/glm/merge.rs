//! Equal rows with equal targets as one row of their total weight: the same objective, in fewer rows.
//!
//! Data of categories and of few distinct values are full of them, and every pass over the data is shorter by as much.

use super::build::Prepared;
use quadric_core::{DataMatrix, Scalar};

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

/// Of the bits of a row.
fn hash_of<T: Scalar>(x: &DataMatrix<T>, row: usize) -> u64 {
    // A sum, in which no term waits for the one before.
    let mut sum = 0u64;
    x.for_row(row, |j, v| {
        let word = v.to_f64().to_bits() ^ (j as u64).wrapping_mul(ODD);
        sum = sum.wrapping_add((word ^ (word >> 29)).wrapping_mul(ODD));
    });
    sum
}

/// Rows that count, and what they are compared by.
struct Rows<'a, T> {
    x: &'a DataMatrix<T>,
    prepared: &'a Prepared,
}

/// The same objective on fewer rows, which ascend, and the order to store them in. Everything stays as it is where hardly any
/// rows are equal; finding out costs next to nothing.
pub(super) fn merge<T: Scalar>(x: &DataMatrix<T>, prepared: Prepared) -> Prepared {
    let count = prepared.rows.len();
    let rows = Rows {
        x,
        prepared: &prepared,
    };
    let step = count.div_ceil(SAMPLE);
    let few = (0..count).step_by(step);
    let looked_at = few.len();
    let repeats = |known: &Known, rows: usize| 1.0 - known.firsts.len() as f64 / rows as f64;
    let expected = step as f64 * repeats(&rows.find(few).0, looked_at);
    if count >= NOBODY as usize || expected < PROMISING {
        return prepared;
    }
    let (known, places) = rows.find(0..count);
    if repeats(&known, count) < WORTHWHILE {
        return prepared;
    }
    let order = rows.by_length(&known.firsts);
    join(prepared, &known.firsts, &places, order)
}

impl<T: Scalar> Rows<'_, T> {
    /// The first sample of each kind, and the place of every one's kind among them.
    fn find(&self, samples: impl ExactSizeIterator<Item = usize>) -> (Known, Vec<u32>) {
        let mut known = Known::new(samples.len());
        let target = |i: usize| self.prepared.samples.real(i).to_bits();
        let places = samples
            .map(|i| {
                let hash = mix(hash_of(self.x, self.prepared.rows[i]), target(i));
                let place = known.place(i, hash ^ (hash >> 32), |first| {
                    let rows = &self.prepared.rows;
                    target(first) == target(i) && self.x.rows_are_equal(rows[first], rows[i])
                });
                place as u32
            })
            .collect();
        (known, places)
    }

    /// The places of `samples`, those of short rows first where their numbers of stored values vary: loops over rows that end
    /// where the last one did take half the time. None elsewhere: they stay in their own order.
    fn by_length(&self, samples: &[usize]) -> Vec<usize> {
        let rows = &self.prepared.rows;
        let lengths: Vec<usize> = samples.iter().map(|i| self.x.stored_in(rows[*i])).collect();
        let mean = |f: &dyn Fn(f64) -> f64| {
            lengths.iter().map(|&v| f(v as f64)).sum::<f64>() / lengths.len() as f64
        };
        let middle = mean(&|v| v);
        let spread = mean(&|v| (v - middle).powi(2)).sqrt();
        if spread <= VARIED || middle >= SHORT {
            return Vec::new();
        }
        // Sorted by counting: the lengths are few.
        let longest = lengths.iter().max().copied().unwrap_or(0);
        let mut next = vec![0; longest + 2];
        lengths.iter().for_each(|&l| next[l + 1] += 1);
        (0..=longest).for_each(|l| next[l + 1] += next[l]);
        let mut order = vec![0; samples.len()];
        for (place, &length) in lengths.iter().enumerate() {
            order[next[length]] = place;
            next[length] += 1;
        }
        order
    }
}

/// Kinds of samples as one each: `firsts` are the first of each kind, `places` the kinds of all.
fn join(prepared: Prepared, firsts: &[usize], places: &[u32], order: Vec<usize>) -> Prepared {
    let mut samples = prepared.samples.select(firsts);
    samples.norm = prepared.samples.norm;
    let mut weights = vec![0.0; firsts.len()];
    samples.copies = vec![0; firsts.len()];
    for (weight, place) in prepared.samples.weights.iter().zip(places) {
        weights[*place as usize] += weight;
        samples.copies[*place as usize] += 1;
    }
    samples.weights = weights.into();
    Prepared {
        rows: firsts.iter().map(|i| prepared.rows[*i]).collect(),
        order,
        samples,
        classes: prepared.classes,
    }
}
