//! Fewer rows than columns: coordinates in the span of the rows.
//!
//! With a penalty the weights of the optimum are a combination of the (centred) rows, so n rows leave n unknowns however
//! many features there are: with `X - 1 meanᵀ = L Qᵀ` and `w = Q u`, the model has the predictors `L u` and the penalty
//! `l2/2 ‖u‖²`. This is the representer theorem with an orthonormal basis (Hastie, Tibshirani, "Efficient quadratic
//! regularization for expression arrays", Biostatistics 2004).

use super::spread::{exponent, power_of_two};
use faer::Mat;
use quadric_core::{DataMatrix, Result, Scalar};
use quadric_linalg::dense::thin_qr;

/// Rows for which the basis is made, at most: it costs as many passes over the data as there are rows.
const MOST_ROWS: usize = 512;

/// What leads from the coordinates in the span to the features of the data and back.
#[derive(Clone, Debug)]
pub(super) struct Span {
    /// Q (features, rows), orthonormal columns.
    basis: Mat<f64>,
    /// What was subtracted from the features.
    pub(super) mean: Vec<f64>,
    /// Scales that would bring the features to unit spread.
    pub(super) scale: Vec<f64>,
}

/// Whether to change to the span of so many rows.
pub(super) fn pays<T: Scalar>(x: &DataMatrix<T>, rows: usize) -> bool {
    matches!(x, DataMatrix::Dense(_)) && rows <= MOST_ROWS && 2 * rows <= x.cols()
}

impl Span {
    /// The span of some rows of a dense matrix and their coordinates L (rows, rows) in it. Features that are `constant`
    /// count as zero.
    pub(super) fn new<T: Scalar>(
        x: &DataMatrix<T>,
        rows: &[usize],
        mean: Vec<f64>,
        scale: Vec<f64>,
        constant: &[bool],
    ) -> Result<(Self, DataMatrix<T>)> {
        let n = rows.len();
        let mut largest = mean.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for i in rows {
            x.for_row(*i, |_, v| largest = largest.max(v.to_f64().abs()));
        }
        let unit = if largest > 0.0 {
            power_of_two(-exponent(largest))
        } else {
            1.0
        };
        let mut columns = Mat::<f64>::zeros(x.cols(), n);
        for (at, i) in rows.iter().enumerate() {
            x.for_row(*i, |j, v| {
                if !constant[j] {
                    columns[(j, at)] = v.to_f64() * unit - mean[j] * unit;
                }
            });
        }
        let qr = thin_qr(columns.as_ref())?;
        let coordinates = (0..n * n).map(|at| {
            let (i, c) = (at / n, at % n);
            T::of(if c <= i { qr.r[(c, i)] / unit } else { 0.0 })
        });
        let coordinates = DataMatrix::dense(coordinates.collect(), n, n)?;
        let span = Self {
            basis: qr.q,
            mean,
            scale,
        };
        Ok((span, coordinates))
    }

    /// `Q u`: weights of the features.
    pub(super) fn expand(&self, u: &[f64]) -> Vec<f64> {
        let mut w = vec![0.0; self.basis.nrows()];
        for (c, u) in u.iter().enumerate() {
            for (w, q) in w.iter_mut().zip(self.basis.col(c).iter()) {
                *w += q * u;
            }
        }
        w
    }

    /// `Qᵀ w`: the part of the weights that the rows see.
    pub(super) fn reduce(&self, w: &[f64]) -> Vec<f64> {
        let along = |c: usize| self.basis.col(c).iter().zip(w).map(|(q, w)| q * w).sum();
        (0..self.basis.ncols()).map(along).collect()
    }
}
