//! Squared loss on tall, narrow data: sums of products of the columns and the target, in the place of passes over the rows.
//!
//! With `A = Σ s z zᵀ`, `b = Σ s y z` and `c = Σ s y²` (weights s of sum 1) the mean loss is `(c - 2 bᵀx + xᵀA x) / 2`. Its
//! gradient `A x - b` is as exact as one from residuals, its Hessian is A; the value is exact at zero and loses digits where
//! the fit is close.

use super::Glm;
use crate::Loss;
use faer::Mat;
use quadric_core::{LineModel, Result, Scalar, vector};

/// Most columns for which a sum of products costs little more than the data's way from memory.
const NARROW: usize = 48;
/// Rows per column from which the data are tall.
const TALL: usize = 4;
/// A value below this part of its terms has lost too many digits.
const DIGITS: f64 = 1e-6;

/// F along a line, above its start.
pub(super) struct Parabola {
    pub(super) slope: f64,
    /// The second derivative.
    pub(super) bend: f64,
}

impl LineModel for Parabola {
    fn change(&mut self, alpha: f64) -> Result<f64> {
        Ok(alpha * (self.slope + 0.5 * alpha * self.bend))
    }

    fn slope(&mut self, alpha: f64) -> Result<f64> {
        Ok(self.slope + alpha * self.bend)
    }
}

/// The sums, as parts of the mean.
pub(crate) struct Moments<T> {
    /// A (p, p).
    pub(super) gram: Mat<T>,
    /// b (p).
    border: Vec<f64>,
    /// c.
    pub(super) square: f64,
}

impl<T: Scalar> Glm<T> {
    /// Whether sums of products take the place of passes: by kind and sizes only.
    pub(super) fn has_moments(&self) -> bool {
        let (n, p) = (self.design.rows(), self.design.columns());
        self.samples.loss == Loss::Squared
            && !self.design.is_sparse()
            && p <= NARROW
            && n >= TALL * p
    }

    /// The sums, computed when they are first asked for.
    pub(super) fn moments(&self) -> Option<&Moments<T>> {
        self.has_moments()
            .then(|| self.moments.get_or_init(|| self.add_up()))
    }

    fn add_up(&self) -> Moments<T> {
        let p = self.design.columns();
        let samples = &self.samples;
        let weights: Vec<T> = samples
            .weights
            .iter()
            .map(|s| T::of(s * samples.norm))
            .collect();
        let mut gram = Mat::zeros(p, p);
        self.design.weighted_gram(&weights, gram.as_mut());
        let mut targets = weights;
        for (i, s) in targets.iter_mut().enumerate() {
            *s = T::of(s.to_f64() * samples.real(i));
        }
        let mut border = Mat::<T>::zeros(p, 1);
        self.design.multiply_transposed(&targets, border.as_mut());
        Moments {
            gram,
            border: (0..p).map(|j| border[(j, 0)].to_f64()).collect(),
            square: samples.mean_square(),
        }
    }
}

impl<T: Scalar> Moments<T> {
    /// Value and gradient of the mean loss without coefficients, which lose nothing.
    pub(super) fn at_zero(&self, g: &mut [T]) -> f64 {
        for (g, b) in g.iter_mut().zip(&self.border) {
            *g = T::of(-b);
        }
        0.5 * self.square
    }

    /// The change of the mean loss along d from zero.
    pub(super) fn line(&self, d: &[T]) -> Parabola {
        let mut g = vec![T::of(0.0); d.len()];
        self.value_grad(d, &mut g);
        let slope: f64 = self
            .border
            .iter()
            .zip(d)
            .map(|(b, d)| -b * d.to_f64())
            .sum();
        Parabola {
            slope,
            bend: vector::dot(&g, d) - slope,
        }
    }

    /// Writes the gradient of the mean loss and returns its value.
    pub(super) fn value_grad(&self, x: &[T], g: &mut [T]) -> f64 {
        let mut sum = self.square;
        for (j, g) in g.iter_mut().enumerate() {
            let product: f64 = self.row(j).zip(x).map(|(a, x)| a * x.to_f64()).sum();
            let slope = product - self.border[j];
            *g = T::of(slope);
            sum += x[j].to_f64() * (slope - self.border[j]);
        }
        0.5 * sum
    }

    /// Whether a value has the digits it should have.
    pub(super) fn is_exact(&self, value: f64) -> bool {
        value >= DIGITS * self.square
    }

    /// Row j of A, which is column j.
    fn row(&self, j: usize) -> impl Iterator<Item = f64> + '_ {
        (0..self.border.len()).map(move |i| self.gram[(i, j)].to_f64())
    }
}
