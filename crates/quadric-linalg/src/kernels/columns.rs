//! What is known of every column after one pass over dense rows, and the change of scale and origin of all columns.

use super::simd::{dispatch, mul_add};
use crate::Scalar;

/// Rows that are added together, so that sums are fetched and stored once for all of them.
const TOGETHER: usize = 4;

/// Ranges and sums of columns side by side.
#[derive(Clone, Debug)]
pub struct ColumnSums {
    /// The smallest value; infinity without rows.
    pub low: Vec<f64>,
    /// The largest value; minus infinity without rows.
    pub high: Vec<f64>,
    /// The weight of the values that are not zero.
    pub nonzeros: Vec<f64>,
    /// The weighted sum of the values.
    pub sum: Vec<f64>,
    /// The weighted sum of the squares about the pivots.
    pub square: Vec<f64>,
}

impl ColumnSums {
    /// Of `len` columns without rows.
    pub fn new(len: usize) -> Self {
        Self {
            low: vec![f64::INFINITY; len],
            high: vec![f64::NEG_INFINITY; len],
            nonzeros: vec![0.0; len],
            sum: vec![0.0; len],
            square: vec![0.0; len],
        }
    }

    /// Adds rows of one value per column, row after row, each of weight `share`. Sums are of values times `unit`, and squares
    /// about `pivot` of those.
    ///
    /// # Panics
    /// If `unit` or `pivot` has another length than there are columns.
    pub fn add<T: Scalar>(&mut self, rows: &[T], share: f64, unit: &[f64], pivot: &[f64]) {
        assert_eq!((unit.len(), pivot.len()), (self.low.len(), self.low.len()));
        if !self.low.is_empty() {
            add_rows(self, rows, share, unit, pivot);
        }
    }
}

fn add_rows<T: Scalar>(sums: &mut ColumnSums, rows: &[T], share: f64, unit: &[f64], pivot: &[f64]) {
    dispatch!(add_rows_body::<T>(
        sums: &mut ColumnSums, rows: &[T], share: f64, unit: &[f64], pivot: &[f64]
    ));
}

#[inline(always)]
fn add_rows_body<T: Scalar, const FMA: bool>(
    sums: &mut ColumnSums,
    rows: &[T],
    share: f64,
    unit: &[f64],
    pivot: &[f64],
) {
    let d = unit.len();
    let mut groups = rows.chunks_exact(TOGETHER * d);
    for group in groups.by_ref() {
        let rows: [&[T]; TOGETHER] = std::array::from_fn(|i| &group[i * d..(i + 1) * d]);
        add_some::<T, FMA, TOGETHER>(sums, rows, share, unit, pivot);
    }
    for row in groups.remainder().chunks(d) {
        add_some::<T, FMA, 1>(sums, [row], share, unit, pivot);
    }
}

/// Adds R rows, of which the last may be short.
#[inline(always)]
fn add_some<T: Scalar, const FMA: bool, const R: usize>(
    sums: &mut ColumnSums,
    rows: [&[T]; R],
    share: f64,
    unit: &[f64],
    pivot: &[f64],
) {
    let d = rows[0].len();
    let rows = rows.map(|row| &row[..d]);
    let (low, high) = (&mut sums.low[..d], &mut sums.high[..d]);
    let (sum, square) = (&mut sums.sum[..d], &mut sums.square[..d]);
    let (nonzeros, unit, pivot) = (&mut sums.nonzeros[..d], &unit[..d], &pivot[..d]);
    for j in 0..d {
        let (mut least, mut most, mut count) = (low[j], high[j], nonzeros[j]);
        let (mut total, mut about) = (sum[j], square[j]);
        for row in &rows {
            let v = row[j].to_f64();
            least = if v < least { v } else { least };
            most = if v > most { v } else { most };
            count += if v != 0.0 { share } else { 0.0 };
            let v = v * unit[j];
            let moved = v - pivot[j];
            // Rounded twice, as sums of scattered values are: the same column has the same mean either way.
            total += share * v;
            about = mul_add::<FMA>(share * moved, moved, about);
        }
        (low[j], high[j], nonzeros[j]) = (least, most, count);
        (sum[j], square[j]) = (total, about);
    }
}

/// Column j of the rows times `scale[j]` minus `shift[j]`, each row followed by a one.
pub(crate) fn affine<T: Scalar>(rows: &[T], scale: &[f64], shift: &[f64], out: &mut [T]) {
    dispatch!(affine_body::<T>(rows: &[T], scale: &[f64], shift: &[f64], out: &mut [T]));
}

/// The same in the memory of the rows, without the ones.
pub(crate) fn affine_in_place<T: Scalar>(rows: &mut [T], scale: &[f64], shift: &[f64]) {
    dispatch!(affine_in_place_body::<T>(rows: &mut [T], scale: &[f64], shift: &[f64]));
}

#[inline(always)]
fn affine_body<T: Scalar, const FMA: bool>(
    rows: &[T],
    scale: &[f64],
    shift: &[f64],
    out: &mut [T],
) {
    let d = scale.len();
    for (i, to) in out.chunks_exact_mut(d + 1).enumerate() {
        let from = &rows[i * d..(i + 1) * d];
        for (((to, from), scale), shift) in to.iter_mut().zip(from).zip(scale).zip(shift) {
            *to = T::of(mul_add::<FMA>(from.to_f64(), *scale, -shift));
        }
        to[d] = T::of(1.0);
    }
}

#[inline(always)]
fn affine_in_place_body<T: Scalar, const FMA: bool>(rows: &mut [T], scale: &[f64], shift: &[f64]) {
    for row in rows.chunks_exact_mut(scale.len().max(1)) {
        for ((v, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
            *v = T::of(mul_add::<FMA>(v.to_f64(), *scale, -shift));
        }
    }
}
