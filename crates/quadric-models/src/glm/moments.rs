//! Squared loss on tall, narrow data: sums of products of the columns and the target, in the place of passes over the rows.
//!
//! With `A = Σ s z zᵀ`, `b = Σ s y z` and `c = Σ s y²` (weights s of sum 1) the mean loss is `(c - 2 bᵀx + xᵀA x) / 2`. Its
//! gradient `A x - b` is as exact as one from residuals, its Hessian is A; the value is exact at zero and loses digits where
//! the fit is close, where passes over the rows stay.

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
/// From this part on it has lost two at most.
const SHARP: f64 = 1e-2;

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

/// Whether sums of products take the place of passes over a matrix of (rows, columns): by kind and sizes only.
pub(super) fn pay(loss: Loss, sparse: bool, (n, p): (usize, usize)) -> bool {
    loss == Loss::Squared && !sparse && p <= NARROW && n >= TALL * p
}

impl<T: Scalar> Glm<T> {
    /// Whether sums of products take the place of passes.
    pub(super) fn has_moments(&self) -> bool {
        let shape = (self.design.rows(), self.design.columns());
        pay(self.samples.loss, self.design.is_sparse(), shape)
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
    /// The change of the mean loss along d from x, whose gradient is g.
    pub(super) fn line(&self, g: &[T], d: &[T]) -> Parabola {
        let mut image = vec![T::of(0.0); d.len()];
        self.image(d, |j, a| image[j] = T::of(a));
        Parabola {
            slope: vector::dot(g, d),
            bend: vector::dot(&image, d),
        }
    }

    /// The mean loss.
    pub(super) fn value(&self, x: &[T]) -> f64 {
        self.visit(x, |_, _| {})
    }

    /// Writes the gradient of the mean loss and returns its value.
    pub(super) fn value_grad(&self, x: &[T], g: &mut [T]) -> f64 {
        self.visit(x, |j, slope| g[j] = T::of(slope))
    }

    /// Calls `f(j, derivative)` for every coefficient and returns the mean loss.
    fn visit(&self, x: &[T], mut f: impl FnMut(usize, f64)) -> f64 {
        let mut sum = self.square;
        self.image(x, |j, product| {
            let slope = product - self.border[j];
            f(j, slope);
            sum += x[j].to_f64() * (slope - self.border[j]);
        });
        0.5 * sum
    }

    /// Calls `f(j, (A x)_j)` for every coefficient.
    fn image(&self, x: &[T], mut f: impl FnMut(usize, f64)) {
        for j in 0..self.border.len() {
            f(j, self.row(j).zip(x).map(|(a, x)| a * x.to_f64()).sum());
        }
    }

    /// Whether a value has all of its digits but one or two.
    pub(super) fn is_sharp(&self, value: f64) -> bool {
        value >= SHARP * self.square
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
