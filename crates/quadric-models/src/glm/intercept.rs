//! Minimising over the intercept alone, to rounding: a convex problem in one number (K - 1 numbers for softmax).

use super::curve::{Curve, with_curve};
use super::samples::{Samples, softmax_loss};
use crate::Loss;
use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};
use quadric_core::Scalar;

const ITERATIONS: usize = 200;

/// First and second derivative of the mean loss in a common shift of all predictors, and the sum of the magnitudes that
/// the first one adds up.
struct Bend {
    slope: f64,
    curvature: f64,
    magnitude: f64,
}

/// The shift of the predictors `u` (n, k) that minimises the mean loss.
///
/// Where there is no minimiser (all counts zero) the shift is minus infinity.
pub(crate) fn minimise_intercept<T: Scalar>(samples: &Samples, u: &[T]) -> Vec<f64> {
    match samples.loss {
        Loss::Softmax => minimise_classes(samples, u),
        Loss::Poisson => vec![poisson_shift(samples, u)],
        _ => vec![minimise_one(samples, u)],
    }
}

/// `log(Σ s y / Σ s exp(u))`.
fn poisson_shift<T: Scalar>(samples: &Samples, u: &[T]) -> f64 {
    let top = u.iter().fold(f64::NEG_INFINITY, |m, u| m.max(u.to_f64()));
    let means = samples.norm
        * samples.sum(|rows| {
            rows.map(|i| samples.weights[i] * (u[i].to_f64() - top).exp())
                .sum()
        });
    samples.mean_target().ln() - (top + means.ln())
}

fn bend<T: Scalar>(samples: &Samples, u: &[T], shift: f64) -> Bend {
    let norm = samples.norm;
    let lift = [shift];
    let r: Vec<f64> = {
        let shifted: Vec<f64> = u.iter().map(|u| u.to_f64()).collect();
        samples.all_residuals(&shifted, &lift)
    };
    let curvature = with_curve!(samples.loss, curve => samples.sum(|rows| rows
        .map(|i| samples.weights[i] * curve.curvature(samples.real(i), u[i].to_f64() + shift))
        .sum()), softmax => unreachable!("softmax has its own path"));
    Bend {
        slope: samples.sum(|rows| rows.map(|i| r[i]).sum()),
        curvature: norm * curvature,
        magnitude: samples.sum(|rows| rows.map(|i| r[i].abs()).sum()),
    }
}

/// Newton's method inside a bracket that every evaluation narrows.
fn minimise_one<T: Scalar>(samples: &Samples, u: &[T]) -> f64 {
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    let (mut shift, mut stride) = (0.0, 1.0f64);
    for _ in 0..ITERATIONS {
        let at = bend(samples, u, shift);
        if at.slope.abs() <= 2.0 * f64::EPSILON * at.magnitude {
            break;
        }
        if at.slope > 0.0 {
            high = shift;
        } else {
            low = shift;
        }
        let newton = shift - at.slope / at.curvature;
        let next =
            if newton > low && newton < high && (newton - shift).abs() <= stride.max(1.0) * 1e3 {
                newton
            } else if low.is_finite() && high.is_finite() {
                0.5 * (low + high)
            } else {
                stride *= 4.0;
                if at.slope > 0.0 {
                    shift - stride
                } else {
                    shift + stride
                }
            };
        if next == shift {
            break;
        }
        shift = next;
    }
    shift
}

/// Newton's method with the step length that self-concordance makes safe.
fn minimise_classes<T: Scalar>(samples: &Samples, u: &[T]) -> Vec<f64> {
    let k = samples.outputs();
    let contrast = samples.contrast;
    let mut shift = vec![0.0; k];
    for _ in 0..ITERATIONS {
        let (g, h, magnitude) = class_derivatives(samples, u, &shift);
        if quadric_core::vector::max_abs(&g) <= 2.0 * f64::EPSILON * magnitude {
            break;
        }
        let Ok(factor) = Llt::new(h.as_ref(), Side::Lower) else {
            break;
        };
        let step = factor.solve(Mat::from_fn(k, 1, |c, _| g[c]));
        let mut moves = vec![0.0; k + 1];
        contrast.expand(|c| step[(c, 0)], &mut moves);
        let range = moves.iter().fold(f64::NEG_INFINITY, |m, v| m.max(*v))
            - moves.iter().fold(f64::INFINITY, |m, v| m.min(*v));
        let length = if range > 0.5 {
            range.ln_1p() / range
        } else {
            1.0
        };
        let before = shift.clone();
        for c in 0..k {
            shift[c] -= length * step[(c, 0)];
        }
        if shift == before {
            break;
        }
    }
    shift
}

/// Gradient and Hessian of the mean softmax loss in a common shift, and the largest sum of magnitudes in the gradient.
fn class_derivatives<T: Scalar>(
    samples: &Samples,
    u: &[T],
    shift: &[f64],
) -> (Vec<f64>, Mat<f64>, f64) {
    let k = samples.outputs();
    let contrast = samples.contrast;
    let mut eta = vec![0.0; k + 1];
    let (mut total, mut magnitude) = (vec![0.0; k + 1], 0.0);
    let mut h = Mat::<f64>::zeros(k + 1, k + 1);
    for i in 0..samples.len() {
        let weight = samples.weights[i] * samples.norm;
        samples.predictors(u, shift, i, &mut eta);
        let y = samples.class(i);
        softmax_loss(&mut eta, y);
        for (t, r) in total.iter_mut().zip(&eta) {
            *t += weight * r;
        }
        magnitude += weight * eta[y].abs();
        // Off the diagonal: -p_a p_b; the diagonal makes every row sum to zero.
        let p = |c: usize| if c == y { 1.0 + eta[c] } else { eta[c] };
        for a in 0..=k {
            for b in 0..a {
                let value = weight * p(a) * p(b);
                h[(a, b)] -= value;
                h[(b, a)] -= value;
                h[(a, a)] += value;
                h[(b, b)] += value;
            }
        }
    }
    let mut g = vec![0.0; k];
    contrast.reduce(&total, |c, v| g[c] = v);
    let b = Mat::from_fn(k + 1, k, |c, j| contrast.entry(c, j));
    (g, b.transpose() * h * &b, magnitude)
}
