//! Sums of products of the columns of narrow dense rows, in registers: a general matrix product would spend most of its time
//! on packing such a matrix.

use super::lanes::{Lanes, Registers, dispatch_lanes};
use super::pool::Buffer;
use crate::{DenseRows, Scalar};
use std::ops::Range;

/// Most columns of a narrow matrix.
pub(super) const NARROW: usize = 48;
/// Rows that are summed before the sums leave the registers; their scaled copy stays in the first cache.
const ROWS: usize = 64;
/// Columns of a tile.
const COLUMNS: usize = 4;

/// Adds `Xᵀ diag(weights) X` over `rows` to the lower triangle `part` (d, d), column after column.
pub(super) fn add_gram<T: Scalar>(
    x: &DenseRows<T>,
    weights: &[T],
    rows: Range<usize>,
    part: &mut [f64],
) {
    dispatch_lanes!(add_gram_body::<T>(
        x: &DenseRows<T>, weights: &[T], rows: Range<usize>, part: &mut [f64]
    ));
}

/// Rows side by side, and the same rows times their weights, filled up with zeros to whole registers.
struct Block<'a, T> {
    rows: &'a [T],
    d: usize,
    scaled: &'a [T],
    padded: usize,
}

#[inline(always)]
fn add_gram_body<T: Scalar + Registers, V: Lanes<T>>(
    x: &DenseRows<T>,
    weights: &[T],
    rows: Range<usize>,
    part: &mut [f64],
) {
    let d = x.view().ncols();
    let padded = d.next_multiple_of(V::N);
    let mut scaled = Buffer::<T>::take(ROWS * padded);
    scaled.fill(T::of(0.0));
    for start in rows.clone().step_by(ROWS) {
        let len = ROWS.min(rows.end - start);
        let values = &x.values()[start * d..(start + len) * d];
        let each = values.chunks_exact(d).zip(&weights[start..start + len]);
        for (out, (row, weight)) in scaled.chunks_exact_mut(padded).zip(each) {
            for (o, v) in out.iter_mut().zip(row) {
                *o = *v * *weight;
            }
        }
        let block = Block {
            rows: values,
            d,
            scaled: &scaled[..len * padded],
            padded,
        };
        let mut column = 0;
        while column < d {
            column += match d - column {
                1 => block.add::<V, 1>(column, part),
                2 => block.add::<V, 2>(column, part),
                3 => block.add::<V, 3>(column, part),
                _ => block.add::<V, COLUMNS>(column, part),
            };
        }
    }
}

impl<T: Scalar + Registers> Block<'_, T> {
    /// The sums of C columns from `column` on with all at or below them; returns C.
    #[inline(always)]
    fn add<V: Lanes<T>, const C: usize>(&self, column: usize, part: &mut [f64]) -> usize {
        let mut first = column / V::N * V::N;
        while first < self.padded {
            let left = (self.padded - first) / V::N;
            let taken = match left.min(V::TILE) {
                1 => self.tile::<V, C, 1>(column, first, part),
                2 => self.tile::<V, C, 2>(column, first, part),
                3 => self.tile::<V, C, 3>(column, first, part),
                _ => self.tile::<V, C, 4>(column, first, part),
            };
            first += taken * V::N;
        }
        C
    }

    /// C columns with R registers of rows from `first` on; returns R.
    #[inline(always)]
    fn tile<V: Lanes<T>, const C: usize, const R: usize>(
        &self,
        column: usize,
        first: usize,
        part: &mut [f64],
    ) -> usize {
        let mut sums = [[V::splat(T::of(0.0)); R]; C];
        let rows = self.rows.chunks_exact(self.d);
        for (row, scaled) in rows.zip(self.scaled.chunks_exact(self.padded)) {
            let scaled = &scaled[first..first + R * V::N];
            let columns = &row[column..column + C];
            let parts: [V; R] = std::array::from_fn(|r| V::load(&scaled[r * V::N..]));
            for c in 0..C {
                let value = V::splat(columns[c]);
                for r in 0..R {
                    sums[c][r] = parts[r].mul_add(value, sums[c][r]);
                }
            }
        }
        let mut out = [T::of(0.0); 16];
        for (c, sums) in sums.iter().enumerate() {
            let target = &mut part[(column + c) * self.d..][..self.d];
            for (r, sum) in sums.iter().enumerate() {
                sum.store(&mut out);
                let at = first + r * V::N;
                for (i, o) in (at..self.d).zip(&out[..V::N]) {
                    if i >= column + c {
                        target[i] += o.to_f64();
                    }
                }
            }
        }
        R
    }
}
