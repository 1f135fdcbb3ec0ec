//! Minimising over the intercept alone, to rounding: a convex problem in one number (K - 1 numbers for softmax).

use super::samples::{Samples, class_loss, extremes};
use crate::Loss;
use faer::{Mat, MatMut};
use quadric_core::{Scalar, vector};
use quadric_linalg::dense::EquilibratedCholesky;
use quadric_linalg::parallel::map_ranges;
use std::ops::Range;

const ITERATIONS: usize = 200;

/// A derivative that is this small against the terms it adds up is zero.
const ROUNDING: f64 = 16.0 * f64::EPSILON;

/// Rows per task of softmax: each holds a (K, K) matrix.
const CLASS_ROWS: usize = 16384;

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
    let counts = samples.weighted_rows();
    let top = counts.fold(f64::NEG_INFINITY, |m, i| m.max(u[i].to_f64()));
    let means = samples.norm
        * samples.sum(|rows| {
            samples
                .weighted_among(rows)
                .map(|i| samples.weights.get(i) * (u[i].to_f64() - top).exp())
                .sum()
        });
    samples.mean_target().ln() - (top + means.ln())
}

/// Newton's method inside a bracket that every evaluation narrows.
fn minimise_one<T: Scalar>(samples: &Samples, u: &[T]) -> f64 {
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    let (mut shift, mut stride) = (0.0, 1.0f64);
    for _ in 0..ITERATIONS {
        let at = samples.shifted(u, shift);
        if at.slope.abs() <= ROUNDING * at.magnitude {
            break;
        }
        if at.slope > 0.0 {
            high = shift;
        } else {
            low = shift;
        }
        let newton = shift - at.slope / at.curvature;
        // The minimum of a parabola; a slope this large has digits that the magnitude of the residuals there has not.
        if samples.loss == Loss::Squared && at.slope.abs() <= 0.5 * at.magnitude {
            return newton;
        }
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
    let (mut shift, mut moves) = (vec![0.0; k], vec![0.0; k + 1]);
    for _ in 0..ITERATIONS {
        let (g, h, magnitude) = class_derivatives(samples, u, &shift);
        if vector::max_abs(&g) <= ROUNDING * magnitude {
            break;
        }
        let Ok(factor) = EquilibratedCholesky::new(h.as_ref(), 1e-6) else {
            break;
        };
        let mut step = g.clone();
        factor.solve_in_place(MatMut::from_column_major_slice_mut(&mut step, k, 1));
        contrast.expand(|c| step[c], &mut moves);
        let (low, high) = extremes(&moves);
        let range = high - low;
        // A full step inside the region where it is known to be good, the safe one elsewhere.
        let length = if range > 0.5 {
            range.ln_1p() / range
        } else {
            1.0
        };
        let before = shift.clone();
        vector::axpy(-length, &step, &mut shift);
        if shift == before {
            break;
        }
    }
    shift
}

/// Derivatives of the mean softmax loss in a common shift of the predictors.
struct ClassDerivatives {
    /// In the K predictors of the classes.
    slopes: Vec<f64>,
    /// `Σ s p_a p_b` below the diagonal.
    pairs: Mat<f64>,
    /// Sum of the magnitudes that the slopes add up.
    magnitude: f64,
}

fn class_part<T: Scalar>(
    samples: &Samples,
    u: &[T],
    shift: &[f64],
    rows: Range<usize>,
) -> ClassDerivatives {
    let classes = samples.contrast.classes();
    let mut part = ClassDerivatives {
        slopes: vec![0.0; classes],
        pairs: Mat::zeros(classes, classes),
        magnitude: 0.0,
    };
    let k = samples.outputs();
    let u = &u[rows.start * k..rows.end * k];
    samples.for_classes(rows, u, shift, |i, below, eta| {
        if samples.weights.get(i) == 0.0 {
            return;
        }
        let weight = samples.weights.get(i) * samples.norm;
        let y = samples.class(i);
        class_loss(below[y], eta, y);
        for (t, r) in part.slopes.iter_mut().zip(eta.iter()) {
            *t += weight * r;
        }
        part.magnitude += weight * eta[y].abs();
        // From the derivatives back to probabilities.
        eta[y] += 1.0;
        for b in 0..classes {
            for a in b + 1..classes {
                part.pairs[(a, b)] += weight * eta[a] * eta[b];
            }
        }
    });
    part
}

/// Gradient and Hessian in the K - 1 unknown shifts, and the magnitude of what the gradient adds up.
fn class_derivatives<T: Scalar>(
    samples: &Samples,
    u: &[T],
    shift: &[f64],
) -> (Vec<f64>, Mat<f64>, f64) {
    let contrast = samples.contrast;
    let (classes, k) = (contrast.classes(), samples.outputs());
    let mut parts = map_ranges(samples.len(), CLASS_ROWS, |_, rows| {
        class_part(samples, u, shift, rows)
    })
    .into_iter();
    let mut sum = parts.next().expect("a problem has rows");
    for part in parts {
        sum.slopes
            .iter_mut()
            .zip(&part.slopes)
            .for_each(|(s, p)| *s += p);
        for b in 0..classes {
            for a in b + 1..classes {
                sum.pairs[(a, b)] += part.pairs[(a, b)];
            }
        }
        sum.magnitude += part.magnitude;
    }
    // Rows of the Hessian in the classes sum to zero.
    let mut h = Mat::<f64>::zeros(classes, classes);
    for b in 0..classes {
        for a in b + 1..classes {
            let pair = sum.pairs[(a, b)];
            h[(a, b)] = -pair;
            h[(b, a)] = -pair;
            h[(a, a)] += pair;
            h[(b, b)] += pair;
        }
    }
    let mut g = vec![0.0; k];
    contrast.reduce(&sum.slopes, |c, v| g[c] = v);
    // Bᵀ H B, the columns first.
    let mut half = Mat::<f64>::zeros(k, classes);
    let mut reduced = Mat::<f64>::zeros(k, k);
    let mut line = vec![0.0; classes];
    for b in 0..classes {
        (0..classes).for_each(|a| line[a] = h[(a, b)]);
        contrast.reduce(&line, |c, v| half[(c, b)] = v);
    }
    for a in 0..k {
        (0..classes).for_each(|b| line[b] = half[(a, b)]);
        contrast.reduce(&line, |c, v| reduced[(a, c)] = v);
    }
    (g, reduced, sum.magnitude)
}
