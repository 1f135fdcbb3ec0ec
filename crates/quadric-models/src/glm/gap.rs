//! How far a point is from optimal, proven.
//!
//! With a penalty the objective is strongly convex in the raw coefficients: after the free intercept alone has been
//! minimised to rounding, `F(x) - F* <= F(x) - F(x') + ‖∇_w F(x')‖² / (2 l2)`.

use super::Glm;
use super::intercept::minimise_intercept;
use crate::Loss;
use faer::MatMut;
use quadric_core::{Gap, Result, Scalar};

/// Exact fits have F* = 0; below this part of the loss of the model without coefficients, F counts as zero.
const NOTHING: f64 = 1e-12;

impl<T: Scalar> Glm<T> {
    pub(super) fn gap_at(&self, x: &[T]) -> Result<Gap> {
        let products = self.products(x);
        let value = self.samples.value(&products, &[]) + self.penalty(x);
        let scale = value.abs().max(NOTHING * self.reference());
        if !value.is_finite() {
            return Ok(Gap {
                bound: f64::INFINITY,
                scale,
            });
        }
        let lift = if self.design.frame.intercept {
            minimise_intercept(&self.samples, &products)
        } else {
            vec![0.0; self.samples.outputs()]
        };
        let k = lift.len();
        let fall = -self.samples.change(&products, |e| lift[e % k]);
        let bound = if self.l2 > 0.0 {
            fall.max(0.0) + self.strong_convexity_bound(x, &products, &lift)
        } else {
            f64::INFINITY
        };
        Ok(Gap { bound, scale })
    }

    /// `‖∇_w F‖² / (2 l2)` in raw units, where the intercept has moved by `lift`.
    fn strong_convexity_bound(&self, x: &[T], products: &[T], lift: &[f64]) -> f64 {
        let (p, k) = (self.design.columns(), self.samples.outputs());
        let residuals = self.samples.all_residuals(products, lift);
        let mut g = vec![T::of(0.0); p * k];
        let out = MatMut::from_column_major_slice_mut(&mut g, p, k);
        self.design.multiply_transposed(&residuals, out);
        self.add_penalty_gradient(x, &mut g);
        let mut square = 0.0;
        for c in 0..k {
            for j in 0..self.features() {
                let raw = g[c * p + j].to_f64() / self.design.frame.scale[j] / self.l2.sqrt();
                square += 0.5 * raw * raw;
            }
        }
        square
    }

    /// The loss of the model without coefficients: what a fit is measured against.
    fn reference(&self) -> f64 {
        let zeros = vec![T::of(0.0); self.samples.len() * self.samples.outputs()];
        let lift = if self.design.frame.intercept && self.samples.loss != Loss::Poisson {
            minimise_intercept(&self.samples, &zeros)
        } else {
            Vec::new()
        };
        self.samples.value(&zeros, &lift).abs()
    }
}
