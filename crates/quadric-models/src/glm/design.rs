//! The data matrix in internal coordinates: columns of unit spread (of unit size, where most values are zero), centred
//! when there is an intercept.
//!
//! Column j becomes `(x_j - mean_j) scale_j` with a power of two as scale, and an intercept is a last column of ones.
//! Coefficients scale back without rounding, so the problem that is solved is the one that was given; only its
//! conditioning changes. A dense matrix is transformed; a sparse one is scaled and its centring stays a rank-one term.

use super::numbers::Numbers;
use super::span::{self, Span};
use super::spread::{self, Column, exponent, power_of_two};
use faer::prelude::ReborrowMut;
use faer::{Mat, MatMut, MatRef};
use quadric_core::{DataMatrix, Result, Scalar};
use quadric_linalg::kernels;
use quadric_linalg::parallel::{by_columns, map_ranges};
use quadric_linalg::random::SeedTree;
use std::ops::Range;
use std::sync::Arc;

/// The change of coordinates, shared by a problem and its batches.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Number of features d.
    pub(crate) features: usize,
    pub(crate) intercept: bool,
    /// Power of two per feature.
    pub(crate) scale: Vec<f64>,
    /// What was subtracted from each raw column; zeros without an intercept.
    pub(crate) mean: Vec<f64>,
    /// `mean * scale` where the stored matrix is not centred; 0 for columns that are left out of it.
    shift: Option<Vec<f64>>,
    /// Columns that are the same in every row. Next to an intercept they carry nothing and become zero.
    constant: Vec<bool>,
    /// Where the columns are coordinates in the span of the rows, not the features of the data.
    span: Option<Arc<Span>>,
}

impl Frame {
    /// Number of features of the data.
    pub(crate) fn raw_features(&self) -> usize {
        self.span
            .as_ref()
            .map_or(self.features, |span| span.mean.len())
    }

    /// Scales that bring the features of the data to unit spread.
    pub(crate) fn raw_scale(&self) -> &[f64] {
        self.span.as_ref().map_or(&self.scale, |span| &span.scale)
    }

    /// Weights of the features, and the constant, of a predictor with these weights of the (raw) columns and this constant
    /// where the columns are centred.
    pub(crate) fn weights_of_features(&self, weights: Vec<f64>, constant: f64) -> (Vec<f64>, f64) {
        let along = |w: &[f64], mean: &[f64]| w.iter().zip(mean).map(|(w, m)| w * m).sum::<f64>();
        let mut constant = constant - along(&weights, &self.mean);
        let Some(span) = &self.span else {
            return (weights, constant);
        };
        let weights = span.expand(&weights);
        constant -= along(&weights, &span.mean);
        (weights, constant)
    }

    /// The inverse of [`Frame::weights_of_features`], up to weights that no row sees.
    pub(crate) fn weights_of_columns(&self, weights: Vec<f64>, constant: f64) -> (Vec<f64>, f64) {
        let along = |w: &[f64], mean: &[f64]| w.iter().zip(mean).map(|(w, m)| w * m).sum::<f64>();
        let Some(span) = &self.span else {
            let moved = along(&weights, &self.mean);
            return (weights, constant + moved);
        };
        let reduced = span.reduce(&weights);
        let moved = along(&weights, &span.mean) + along(&reduced, &self.mean);
        (reduced, constant + moved)
    }

    /// The gradient in the weights of the features from that in those of the (raw, centred) columns and that in the
    /// constant.
    pub(crate) fn gradient_of_features(&self, columns: Vec<f64>, constant: f64) -> Vec<f64> {
        let add = |mut g: Vec<f64>, mean: &[f64]| {
            for (g, m) in g.iter_mut().zip(mean) {
                *g += m * constant;
            }
            g
        };
        let columns = add(columns, &self.mean);
        match &self.span {
            None => columns,
            Some(span) => add(span.expand(&columns), &span.mean),
        }
    }
}

/// Sums that a row takes part in when rows are mixed.
const COPIES: usize = 8;

/// Entries of a block of unknowns from which a transposed copy of a sparse matrix pays.
const WIDE: usize = 1 << 16;

/// The transformed matrix. Clones share it.
#[derive(Clone)]
pub(crate) struct Design<T> {
    pub(crate) frame: Arc<Frame>,
    x: Arc<DataMatrix<T>>,
    /// A transposed copy for products with several columns, where it is small beside those and saves partial sums.
    transposed: Option<Arc<DataMatrix<T>>>,
}

/// Columns of few nonzeros keep their common unit, in which the penalty is the same for all, up to so many times its size in
/// their spread, and down to a part of its size in their largest magnitude.
const WIDER: f64 = 4.0;
const SMALLER: f64 = 8.0;

/// The size of every column in the coordinates to come: its spread, or the common size of the columns of few nonzeros, for which
/// the spread is far below the nonzeros.
fn sizes(columns: &[Column], penalty: f64) -> Vec<f64> {
    let few = columns.iter().filter(|c| c.is_few());
    let mut magnitudes: Vec<f64> = few.map(|c| c.size).collect();
    let middle = magnitudes.len() / 2;
    let common = match magnitudes.is_empty() || penalty == 0.0 {
        true => None,
        false => Some(*magnitudes.select_nth_unstable_by(middle, f64::total_cmp).1),
    };
    let size = |c: &Column| match common {
        Some(common) if c.is_few() => common.clamp(c.spread / WIDER, SMALLER * c.size),
        _ => c.size,
    };
    columns.iter().map(size).collect()
}

/// The scale of a column: near one over the root of `size² + penalty / curvature`, which gives the Hessian a diagonal
/// near `curvature` whether the data or the penalty dominates.
fn column_scale(size: f64, penalty: f64) -> f64 {
    let both = size.hypot(penalty);
    if size > 0.0 && both.is_finite() {
        power_of_two(-exponent(both))
    } else if penalty > 1.0 {
        power_of_two(-exponent(penalty))
    } else {
        1.0
    }
}

impl<T: Scalar> Design<T> {
    /// Transforms rows of the matrix, which ascend, and stores those at the places of `order`, or all in their own order where
    /// that is empty. `weights` are those of the rows, `penalty` is `√(l2 / typical curvature)`.
    pub(crate) fn new(
        x: DataMatrix<T>,
        (rows, order): (&[usize], &[usize]),
        weights: &[f64],
        intercept: bool,
        penalty: f64,
    ) -> Result<Self> {
        let total: f64 = weights.iter().sum();
        let columns = spread::measure(&x, rows, weights, total, intercept)?;
        let dense = matches!(x, DataMatrix::Dense(_));
        let sizes = sizes(&columns, penalty);
        let scale: Vec<f64> = sizes.iter().map(|s| column_scale(*s, penalty)).collect();
        let constant: Vec<bool> = columns.iter().map(|c| c.spread == 0.0).collect();
        let shift = (intercept && !dense).then(|| {
            let moved = |j: usize| {
                if constant[j] {
                    0.0
                } else {
                    columns[j].mean * scale[j]
                }
            };
            (0..scale.len()).map(moved).collect()
        });
        let mean: Vec<f64> = columns.iter().map(|c| c.mean).collect();
        if penalty > 0.0 && span::pays(&x, rows.len()) {
            let (span, x) = Span::new(&x, rows, mean, scale, &constant)?;
            let rows: Vec<usize> = (0..rows.len()).collect();
            let mut design = Self::new(x, (&rows, order), weights, intercept, penalty)?;
            Arc::make_mut(&mut design.frame).span = Some(Arc::new(span));
            return Ok(design);
        }
        let frame = Frame {
            features: x.cols(),
            intercept,
            scale,
            mean,
            shift,
            constant,
            span: None,
        };
        let moved = frame.mean.iter().zip(&frame.scale);
        let moved: Vec<f64> = moved.map(|(mean, scale)| mean * scale).collect();
        let drop = &frame.constant;
        let x = if rows.len() == x.rows() && order.is_empty() {
            x.affine(&frame.scale, &moved, drop, intercept)?
        } else {
            let ordered: Vec<usize> = order.iter().map(|place| rows[*place]).collect();
            let rows = if order.is_empty() { rows } else { &ordered };
            x.affine_rows(rows, (&frame.scale, &moved), drop, intercept)?
        };
        Ok(Self {
            frame: Arc::new(frame),
            x: Arc::new(x),
            transposed: None,
        })
    }

    /// Prepares for products with `outputs` columns.
    pub(crate) fn prepare(&mut self, outputs: usize) {
        let block = self.x.cols() * outputs;
        let is_wide = outputs > 1 && block > WIDE && self.x.stored() <= 4 * block;
        if self.is_sparse() && is_wide && self.transposed.is_none() {
            self.transposed = Some(Arc::new(self.x.transposed()));
        }
    }

    /// True if both are the same matrix in memory.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.x, &other.x)
    }

    /// Some of the rows, in the same coordinates.
    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        Self {
            frame: Arc::clone(&self.frame),
            x: Arc::new(self.x.select_rows(rows)),
            transposed: None,
        }
    }

    /// `S diag(√weights) Z` with a random S (rows, n) of [`COPIES`] signed entries per column, `E SᵀS = I`: a sparse sign
    /// embedding (Nelson, Nguyễn, "OSNAP", FOCS 2013) in blocks, each of which every row meets once.
    pub(crate) fn mixed(&self, weights: &[T], rows: usize, seeds: SeedTree) -> Result<Self> {
        let p = self.columns();
        let block = rows.div_ceil(COPIES);
        let share = 1.0 / rows.div_ceil(block) as f64;
        let parts = map_ranges(rows, block, |number, rows| {
            let size = rows.len();
            let mut sums = vec![0.0; size * p];
            let mut stream = seeds.stream(number as u64);
            for (i, weight) in weights.iter().enumerate() {
                let factor = stream.sign() * (share * weight.to_f64()).sqrt();
                let target = stream.below(size) * p;
                self.for_stored(i, |j, v| sums[target + j] += factor * v);
            }
            for row in sums.chunks_exact_mut(p) {
                // The last stored entry of a row is 1, so the sum's last entry is the weight of its centre.
                let (last, row) = row.split_last_mut().expect("a matrix has columns");
                for (v, m) in row.iter_mut().zip(self.centre()) {
                    *v -= m * *last;
                }
            }
            sums.into_iter().map(T::of).collect::<Vec<T>>()
        });
        let frame = Frame {
            shift: None,
            ..Frame::clone(&self.frame)
        };
        Ok(Self {
            frame: Arc::new(frame),
            x: Arc::new(DataMatrix::dense(parts.concat(), rows, p)?),
            transposed: None,
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.x.rows()
    }

    /// Unknowns per predictor: features, and one for the intercept.
    pub(crate) fn columns(&self) -> usize {
        self.x.cols()
    }

    pub(crate) fn stored(&self) -> usize {
        self.x.stored()
    }

    /// Pairs of stored values that share a row.
    pub(crate) fn pairs(&self) -> usize {
        self.x.stored_pairs()
    }

    /// Calls `f(unknown, value)` for row i of the matrix as it is meant, centring included.
    pub(crate) fn for_row(&self, i: usize, mut f: impl FnMut(usize, f64)) {
        let Some(shift) = &self.frame.shift else {
            return self.x.for_row(i, |j, v| f(j, v.to_f64()));
        };
        let mut next = 0;
        self.x.for_row(i, |j, v| {
            for skipped in next..j {
                f(skipped, -shift[skipped]);
            }
            f(j, v.to_f64() - shift.get(j).copied().unwrap_or(0.0));
            next = j + 1;
        });
    }

    /// Writes row i as it is meant into `out` (p), which holds zeros.
    pub(crate) fn write_row(&self, i: usize, out: &mut [T]) {
        let shift = self.centre();
        for (o, m) in out.iter_mut().zip(shift) {
            *o = T::of(-m);
        }
        self.for_stored(i, |j, v| {
            out[j] = T::of(v - shift.get(j).copied().unwrap_or(0.0));
        });
    }

    /// Calls `f(unknown, value)` for the stored values of row i, from which a sparse matrix's centring is missing.
    pub(crate) fn for_stored(&self, i: usize, mut f: impl FnMut(usize, f64)) {
        self.x.for_row(i, |j, v| f(j, v.to_f64()));
    }

    /// Stored rows, from which a sparse matrix's centring is missing.
    pub(crate) fn stored_rows(&self, rows: &[usize]) -> DataMatrix<T> {
        self.x.select_rows(rows)
    }

    /// What centring subtracts from the stored rows, but for the last entry, which it leaves; empty if they are centred.
    pub(crate) fn centre(&self) -> &[f64] {
        self.frame.shift.as_deref().unwrap_or(&[])
    }

    pub(crate) fn is_sparse(&self) -> bool {
        matches!(*self.x, DataMatrix::Sparse(_))
    }

    /// The largest `weights_i ‖z_i‖²`, from the stored values alone.
    pub(crate) fn largest_square(&self, weights: &Numbers) -> f64 {
        let shift = self.frame.shift.as_deref().unwrap_or(&[]);
        let centre: f64 = shift.iter().map(|m| m * m).sum();
        weights
            .iter()
            .enumerate()
            .fold(0.0, |largest, (i, weight)| {
                let mut square = centre;
                self.x.for_row(i, |j, v| {
                    let (v, m) = (v.to_f64(), shift.get(j).copied().unwrap_or(0.0));
                    square += v * (v - 2.0 * m);
                });
                f64::max(largest, weight * square)
            })
    }

    /// The coefficients of the stored matrix that give the same products: the centring moves into the last row.
    fn stored_coefficients(&self, v: MatRef<'_, T>) -> Option<Mat<T>> {
        let shift = self.frame.shift.as_ref()?;
        let d = shift.len();
        let mut out = Mat::zeros(v.nrows(), v.ncols());
        by_columns(out.as_mut(), 0, &|c, mut out| {
            let v = v.col(c);
            let mut moved = 0.0;
            for j in 0..d {
                out[j] = v[j];
                moved += shift[j] * v[j].to_f64();
            }
            out[d] = T::of(v[d].to_f64() - moved);
        });
        Some(out)
    }

    /// Takes the centring out of `Xᵀ R`: the last row holds the column sums of R.
    fn centre_transposed(&self, out: &mut MatMut<'_, T>) {
        let Some(shift) = &self.frame.shift else {
            return;
        };
        let d = shift.len();
        by_columns(out.rb_mut(), 0, &|_, mut out| {
            let sum = out[d].to_f64();
            for j in 0..d {
                out[j] = T::of(out[j].to_f64() - shift[j] * sum);
            }
        });
    }

    /// `out <- Z V` with `v` (columns, k), `out` (n, k) row after row.
    pub(crate) fn multiply(&self, v: MatRef<'_, T>, out: &mut [T]) {
        match self.stored_coefficients(v) {
            Some(moved) => kernels::multiply(&self.x, moved.as_ref(), out),
            None => kernels::multiply(&self.x, v, out),
        }
    }

    /// `out <- Zᵀ R` with `r` (n, k) row after row, `out` (columns, k).
    pub(crate) fn multiply_transposed(&self, r: &[T], mut out: MatMut<'_, T>) {
        match &self.transposed {
            Some(transposed) => kernels::multiply_rows(transposed, r, out.rb_mut()),
            None => kernels::multiply_transposed(&self.x, r, out.rb_mut()),
        }
        self.centre_transposed(&mut out);
    }

    /// `out <- Zᵀ f(Z V)`, in one pass where that pays; see [`kernels::fused`].
    pub(crate) fn fused(
        &self,
        v: MatRef<'_, T>,
        products: &mut [T],
        f: impl Fn(Range<usize>, &[T], &mut [T]) -> f64 + Sync,
        mut out: MatMut<'_, T>,
    ) -> f64 {
        let moved = self.stored_coefficients(v);
        let v = moved.as_ref().map_or(v, |m| m.as_ref());
        let value = kernels::fused(
            &self.x,
            self.transposed.as_deref(),
            v,
            products,
            f,
            out.rb_mut(),
        );
        self.centre_transposed(&mut out);
        value
    }

    /// `out <- Zᵀ diag(weights) Z`.
    pub(crate) fn weighted_gram(&self, weights: &[T], mut out: MatMut<'_, T>) {
        kernels::weighted_gram(&self.x, weights, out.rb_mut());
        self.centre_gram(out);
    }

    /// Calls `each(t, Zᵀ diag(weights[.., t]) Z)` for t in 0..q with `weights` (n, q) row after row.
    pub(crate) fn weighted_grams(
        &self,
        weights: &[T],
        q: usize,
        mut each: impl FnMut(usize, MatRef<'_, T>),
    ) {
        kernels::weighted_grams(&self.x, weights, q, |t, mut gram| {
            self.centre_gram(gram.rb_mut());
            each(t, gram.as_ref());
        });
    }

    /// Turns the Gram matrix of the stored rows into that of the centred ones. The curvature of a column that barely
    /// varies drowns in rounding and may even become negative.
    fn centre_gram(&self, mut out: MatMut<'_, T>) {
        let Some(shift) = &self.frame.shift else {
            return;
        };
        // With the border c = Xᵀ w and the corner t = Σ w: (X - 1 mᵀ)ᵀ W (X - 1 mᵀ) = G - m cᵀ - c mᵀ + t m mᵀ.
        let d = shift.len();
        let border: Vec<f64> = (0..d).map(|j| out[(d, j)].to_f64()).collect();
        let total = out[(d, d)].to_f64();
        let centred: Vec<f64> = border
            .iter()
            .zip(shift)
            .map(|(c, m)| c - total * m)
            .collect();
        for b in 0..d {
            for a in 0..=b {
                let value = out[(a, b)].to_f64() - shift[a] * border[b] - centred[a] * shift[b];
                out[(a, b)] = T::of(value);
                out[(b, a)] = T::of(value);
            }
            out[(d, b)] = T::of(centred[b]);
            out[(b, d)] = T::of(centred[b]);
        }
    }
}
