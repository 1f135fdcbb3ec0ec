//! How far a point is from optimal, proven.
//!
//! First the free intercept alone is minimised to rounding, which gives a point x' and the exact fall `F(x) - F(x')`. From
//! there on one of these holds, with g the gradient and H the Hessian at x':
//! - strong convexity (l2 > 0): `F(x') - F* <= ‖∇_w F(x')‖² / (2 l2)`, w the penalised coefficients in raw units;
//! - one Newton step leads to the minimiser (squared loss, Huber's if no residual crosses the threshold): `gᵀ H⁻¹ g / 2`;
//! - self-concordance: `gᵀ H⁻¹ g`, if its root is at most a seventh of the radius r with `1/r = c max_i ‖z_i‖` in the
//!   metric H⁻¹ (Marteau-Ferey, Bach, Rudi, "Globally convergent Newton methods for ill-conditioned generalized
//!   self-concordant losses", arXiv 1907.01771).
//!
//! Where none of them holds the bound is infinite: nothing is proven.

use super::Glm;
use super::hessian::HessianOp;
use super::intercept::minimise_intercept;
use super::metric::{Effort, Metric};
use crate::Loss;
use faer::{Mat, MatMut};
use quadric_core::{Gap, LinearOperator, Problem, Result, Scalar, Tolerance, vector};
use std::sync::OnceLock;

/// Exact fits have F* = 0; below this part of the loss of the model without coefficients, F counts as zero.
const NOTHING: f64 = 1e-12;

/// The largest number of unknowns for which the Hessian is factorised to prove a bound.
const DIRECT: usize = 3000;

/// The exact radius is worth its price where a bound below this, relative to the scale, depends on it.
const CLOSE: f64 = 1e-6;

/// The strong-convexity bound is good enough below this, relative to the scale.
const SHARP: f64 = 1e-11;

/// A factorisation that costs this many products is not worth sparing a few more steps.
const COSTLY: f64 = 50.0;

/// A strong-convexity bound below this, relative to the scale, is a few steps from any tolerance.
const SOON: f64 = 1e-3;

/// What a fit is measured against, once somebody has asked for it.
#[derive(Default)]
pub(super) struct Reference {
    /// The loss of the model without coefficients.
    loss: OnceLock<f64>,
    /// An upper bound of it.
    most: OnceLock<f64>,
}

/// A point whose intercept has been minimised.
pub(super) struct Settled<T> {
    /// What the intercepts moved by.
    pub(super) lift: Vec<f64>,
    /// How far F fell.
    fall: f64,
    /// The magnitude of F.
    scale: f64,
    /// Derivatives of the mean loss in the predictors.
    pub(super) residuals: Vec<T>,
}

impl<T: Scalar> Glm<T> {
    pub(super) fn gap_at(&self, x: &[T], tolerance: Tolerance) -> Result<Gap> {
        if let Some(gap) = self.gap_by_moments(x, tolerance)? {
            return Ok(gap);
        }
        let products = self.products(x);
        let mut settled = match self.settle(x, &products) {
            Ok(settled) => settled,
            Err(gap) => return Ok(gap),
        };
        let (p, k) = (self.design.columns(), self.samples.outputs());
        let mut gradient = vec![T::of(0.0); p * k];
        let out = MatMut::from_column_major_slice_mut(&mut gradient, p, k);
        self.design.multiply_transposed(&settled.residuals, out);
        settled.residuals = Vec::new();
        self.gap_from(x, &products, &settled, &mut gradient, tolerance)
    }

    /// The gap of squared loss from its moments; none where those have lost the digits of F.
    fn gap_by_moments(&self, x: &[T], tolerance: Tolerance) -> Result<Option<Gap>> {
        let Some(moments) = self.moments() else {
            return Ok(None);
        };
        let mut g = vec![T::of(0.0); x.len()];
        let value = moments.value_grad(x, &mut g);
        if !moments.is_exact(value) {
            return Ok(None);
        }
        let (mut lift, mut fall) = (0.0, 0.0);
        if self.design.frame.intercept {
            let d = self.features();
            let (slope, bend) = (g[d].to_f64(), moments.gram[(d, d)].to_f64());
            (lift, fall) = (-slope / bend, 0.5 * slope * slope / bend);
            for (j, g) in g.iter_mut().enumerate() {
                *g = T::of(g.to_f64() + lift * moments.gram[(j, d)].to_f64());
            }
            g[d] = T::of(0.0);
        }
        let size = value + self.penalty(x);
        if self.features() == 0 || !size.is_finite() {
            return Ok(None);
        }
        let settled = Settled {
            lift: vec![lift],
            fall,
            scale: self.scale(size, &[]),
            residuals: Vec::new(),
        };
        self.gap_from(x, &[], &settled, &mut g, tolerance).map(Some)
    }

    /// Minimises over the intercept; the gap itself where that already says all.
    pub(super) fn settle(&self, x: &[T], products: &[T]) -> std::result::Result<Settled<T>, Gap> {
        let nothing_proven = |scale| Gap {
            bound: f64::INFINITY,
            scale,
        };
        let lift = if self.design.frame.intercept {
            minimise_intercept(&self.samples, products)
        } else {
            vec![0.0; self.samples.outputs()]
        };
        let k = lift.len();
        let fall = -self.samples.change(products, |e| lift[e % k]);
        if !(vector::all_finite(&lift) && fall.is_finite()) {
            let value = self.samples.value(products, &[]) + self.penalty(x);
            return Err(nothing_proven(self.scale(value, products)));
        }
        let (residuals, mean) = self.samples.all_residuals(products, &lift);
        let value = mean + fall + self.penalty(x);
        if !value.is_finite() {
            return Err(nothing_proven(0.0));
        }
        let scale = self.scale(value, products);
        let fall = fall.max(0.0);
        if self.features() == 0 {
            return Err(Gap { bound: fall, scale });
        }
        Ok(Settled {
            lift,
            fall,
            scale,
            residuals,
        })
    }

    /// The magnitude of F where it has this value; 0 where it is not finite.
    fn scale(&self, value: f64, products: &[T]) -> f64 {
        let size = value.abs();
        if !size.is_finite() {
            return 0.0;
        }
        // The mean loss of K classes without coefficients is log K at most, which spares its computation.
        let is_certain = self.samples.loss.is_classifier()
            && size >= NOTHING * (self.contrast().classes() as f64).ln();
        match self.samples.loss {
            Loss::Poisson => size.max(self.samples.magnitude(products)),
            _ if is_certain => size,
            Loss::Squared | Loss::Huber { .. } | Loss::PseudoHuber { .. }
                if size >= NOTHING * self.most() =>
            {
                size
            }
            _ => size.max(NOTHING * self.reference()),
        }
    }

    /// The gap, no sharper than the tolerance needs, from the gradient of the mean loss at the settled point, to which it adds the
    /// penalty's.
    pub(super) fn gap_from(
        &self,
        x: &[T],
        products: &[T],
        settled: &Settled<T>,
        gradient: &mut [T],
        tolerance: Tolerance,
    ) -> Result<Gap> {
        self.add_penalty_gradient(x, gradient);
        let scale = settled.scale;
        let mut rest = self.strong_convexity_bound(gradient);
        let gap = |rest| Gap {
            bound: settled.fall + rest,
            scale,
        };
        let enough = tolerance.met(&gap(rest).certificate(), 1.0);
        let soon = rest <= SOON * scale && self.hessian_cost().factorisation(self.dim()) >= COSTLY;
        if rest > SHARP * scale && !enough && !soon && self.is_nearly_optimal(gradient, scale) {
            rest = rest.min(self.newton_bound(x, products, settled, gradient)?);
        }
        Ok(gap(rest))
    }

    /// `‖∇_w F‖² / (2 l2)` in raw units; infinite without a penalty.
    fn strong_convexity_bound(&self, gradient: &[T]) -> f64 {
        if self.l2 == 0.0 {
            return f64::INFINITY;
        }
        let p = self.design.columns();
        let root = self.l2.sqrt();
        let mut square = 0.0;
        for c in 0..self.samples.outputs() {
            for j in 0..self.features() {
                let raw = gradient[c * p + j].to_f64() / self.design.frame.scale[j] / root;
                square += 0.5 * raw * raw;
            }
        }
        square
    }

    /// Whether a factorisation is worth its price: without a penalty always; with one only where the point looks optimal in
    /// the well-scaled unknowns and only the raw units of a tiny penalty hide it.
    fn is_nearly_optimal(&self, gradient: &[T], scale: f64) -> bool {
        let norm = vector::norm2(gradient);
        self.l2 == 0.0 || norm * norm <= 1e-9 * scale * self.samples.typical_curvature()
    }

    /// A bound on `F(x') - F*` from the Newton step at x'.
    fn newton_bound(
        &self,
        x: &[T],
        products: &[T],
        settled: &Settled<T>,
        gradient: &[T],
    ) -> Result<f64> {
        let lift = &settled.lift;
        let dim = gradient.len();
        if dim > DIRECT {
            return Ok(f64::INFINITY);
        }
        let mut h = Mat::<T>::zeros(dim, dim);
        let hessian = HessianOp::at(self, || products, lift);
        hessian.dense(h.as_mut())?;
        let Some(metric) = Metric::new(&h, &self.design, self.samples.outputs())? else {
            return Ok(f64::INFINITY);
        };
        drop(h);
        let square = metric.square(gradient);
        let (holds, bound) = match self.samples.loss {
            Loss::Squared => (true, 0.5 * square),
            Loss::Huber { delta } => {
                let step = metric.solve(gradient);
                (
                    self.keeps_regions(products, lift[0], &step, delta),
                    0.5 * square,
                )
            }
            _ => {
                let effort = if square <= CLOSE * settled.scale {
                    Effort::Exact
                } else {
                    Effort::Bounds
                };
                let decrement = square.sqrt();
                (
                    self.is_inside(decrement, hessian.curvatures(), &metric, effort),
                    square,
                )
            }
        };
        if !holds || bound.is_nan() {
            return Ok(f64::INFINITY);
        }
        // In a direction that no sample sees, F is its penalty, and that can fall to zero at most.
        let unseen = if metric.is_singular() {
            self.penalty(x)
        } else {
            0.0
        };
        Ok(bound + unseen)
    }

    /// Whether a Newton decrement is at most a seventh of the radius: by cheap lower bounds of the radius, else by the exact
    /// one.
    fn is_inside(
        &self,
        decrement: f64,
        curvatures: &[T],
        metric: &Metric<T>,
        effort: Effort,
    ) -> bool {
        let Some(factor) = self.concordance_factor() else {
            return false;
        };
        let limit = 7.0 * factor * decrement;
        limit <= self.radius_from_curvatures(curvatures)
            || metric.rows_are_within(1.0 / limit, &self.design, &self.samples, effort)
    }

    /// Whether the Newton step `-step` moves no residual across the threshold of Huber's loss.
    fn keeps_regions(&self, products: &[T], lift: f64, step: &[T], delta: f64) -> bool {
        let mut moves = vec![T::of(0.0); products.len()];
        self.design.multiply(self.columns(step), &mut moves);
        let region = |r: f64| if r.abs() <= delta { 0.0 } else { r.signum() };
        self.samples.weighted_rows().all(|i| {
            let r = products[i].to_f64() + lift - self.samples.real(i);
            region(r) == region(r - moves[i].to_f64())
        })
    }

    /// A lower bound of `min_i 1 / ‖z_i‖` in the metric H⁻¹, for nothing: sample i alone contributes `D_i z_i z_iᵀ` to H, so
    /// `‖z_i‖² <= 1 / D_i`. For softmax the direction of classes a and b has `(1/p_a + 1/p_b) / s_i` on the right.
    fn radius_from_curvatures(&self, curvatures: &[T]) -> f64 {
        if self.samples.loss != Loss::Softmax {
            let rows = self.samples.weighted_rows();
            let least = rows.fold(f64::INFINITY, |m, i| m.min(curvatures[i].to_f64()));
            return least.max(0.0).sqrt();
        }
        let classes = self.contrast().classes();
        let least = self.samples.weighted_rows().fold(f64::INFINITY, |m, i| {
            let p = &curvatures[i * classes..(i + 1) * classes];
            let rarest = p.iter().fold(1.0f64, |m, p| m.min(p.to_f64()));
            m.min(0.5 * self.samples.weights.get(i) * self.samples.norm * rarest)
        });
        least.sqrt()
    }

    /// Half the mean square of the targets: at least [`Glm::reference`] where no loss exceeds half the squared residual.
    fn most(&self) -> f64 {
        *self.reference.most.get_or_init(|| {
            let moments = self.moments();
            0.5 * moments.map_or_else(|| self.samples.mean_square(), |m| m.square)
        })
    }

    /// The loss of the model without coefficients: what a fit is measured against.
    fn reference(&self) -> f64 {
        *self.reference.loss.get_or_init(|| {
            let zeros = vec![T::of(0.0); self.samples.len() * self.samples.outputs()];
            let lift = if self.design.frame.intercept {
                minimise_intercept(&self.samples, &zeros)
            } else {
                Vec::new()
            };
            self.samples.value(&zeros, &lift).abs()
        })
    }
}
