//! Least squares by products only: what LSQR and LSMR share (options, stopping, restarts from the measured residual).

use super::bidiagonal::{Bidiagonal, Stacked};
use super::{Rescale, exponent, require_finite, unit};
use crate::vector::norm2;
use crate::{Error, LinearOperator, Result, Scalar};

/// What ends LSQR and LSMR. With damping, r is the residual of the stacked system: ‖r‖² = ‖b - Ax‖² + damp²‖x‖².
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeastSquaresOptions {
    /// Stop when ‖r‖ <= relative · ‖b‖: the system is solved.
    pub relative: f64,
    /// Stop when ‖Aᵀ(b - Ax) - damp² x‖ <= normal · ‖A‖ · ‖r‖: the sum of squares is at its minimum. ‖A‖ is estimated from
    /// below.
    pub normal: f64,
    /// Largest number of iterations.
    pub max_iterations: usize,
    /// `x` holds the start; otherwise `x` is set to zero first.
    pub warm_start: bool,
}

impl Default for LeastSquaresOptions {
    /// Accuracy 1e-10 for both tests within 1,000 iterations, from zero.
    fn default() -> Self {
        Self {
            relative: 1e-10,
            normal: 1e-10,
            max_iterations: 1000,
            warm_start: false,
        }
    }
}

/// Why LSQR or LSMR ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeastSquaresStop {
    /// The residual is as small as [`LeastSquaresOptions::relative`] asks.
    Residual,
    /// The normal residual is as small as [`LeastSquaresOptions::normal`] asks.
    Normal,
    /// The iteration limit is reached.
    MaxIterations,
    /// Restarting from the measured residual no longer helps: the tolerances are below the rounding errors.
    Stagnated,
}

impl LeastSquaresStop {
    /// True if a tolerance is met.
    pub fn converged(self) -> bool {
        matches!(self, Self::Residual | Self::Normal)
    }
}

/// How LSQR or LSMR ended. All norms are measured at the returned x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeastSquaresReport {
    /// Iterations, each with one product and one adjoint product.
    pub iterations: usize,
    /// Why the iteration ended.
    pub stop: LeastSquaresStop,
    /// ‖b - Ax‖.
    pub residual_norm: f64,
    /// √(‖b - Ax‖² + damp²‖x‖²).
    pub damped_norm: f64,
    /// ‖Aᵀ(b - Ax) - damp² x‖.
    pub normal_norm: f64,
    /// ‖x‖.
    pub x_norm: f64,
    /// ‖b‖.
    pub rhs_norm: f64,
    /// An estimate of ‖[A; damp I]‖₂ from below.
    pub operator_norm: f64,
}

/// Memory of LSQR and LSMR, kept for the next solve.
#[derive(Debug, Default)]
pub struct LeastSquaresWorkspace<T> {
    pair: Bidiagonal<T>,
    directions: [Vec<T>; 2],
    x: Vec<T>,
}

impl<T: Scalar> LeastSquaresWorkspace<T> {
    /// An empty workspace; it grows at the first solve.
    pub fn new() -> Self {
        Self::default()
    }
}

/// A short recurrence on top of the bidiagonalisation.
pub(super) trait Recurrence {
    /// From the first coefficients; `d` are two vectors of its own.
    fn start<T: Scalar>(alpha: f64, beta: f64, v: &[T], d: &mut [Vec<T>; 2]) -> Self;

    /// Moves x with the next coefficients and returns its estimates of ‖r‖ and ‖Aᵀr‖.
    fn step<T: Scalar>(
        &mut self,
        alpha: f64,
        beta: f64,
        v: &[T],
        d: &mut [Vec<T>; 2],
        x: &mut [T],
    ) -> (f64, f64);
}

pub(super) fn solve<T: Scalar, R: Recurrence>(
    a: &dyn LinearOperator<T>,
    damp: f64,
    b: &[T],
    x: &mut [T],
    options: &LeastSquaresOptions,
    work: &mut LeastSquaresWorkspace<T>,
) -> Result<LeastSquaresReport> {
    let system = Stacked { a, damp };
    check(&system, b, x, options)?;
    let norm = norm2(b);
    let mut e = exponent(norm);
    work.pair.prepare(&system);
    work.x.clear();
    work.x.resize(x.len(), T::of(0.0));
    for d in &mut work.directions {
        d.clear();
        d.resize(x.len(), T::of(0.0));
    }
    // b = 0 has the solution 0, whatever the start.
    if options.warm_start && norm > 0.0 {
        require_finite("the start", x.iter().copied())?;
        e = unit::<T>(norm, norm2(x));
        let down = Rescale::by(-e);
        work.x
            .iter_mut()
            .zip(&*x)
            .for_each(|(w, x)| *w = down.entry(*x));
    }
    let mut report = iterate::<T, R>(&system, b, e, options, work)?;
    let up = Rescale::by(e);
    x.iter_mut()
        .zip(&work.x)
        .for_each(|(x, w)| *x = up.entry(*w));
    report.x_norm = norm2(x);
    report.rhs_norm = norm;
    for v in [
        &mut report.residual_norm,
        &mut report.damped_norm,
        &mut report.normal_norm,
    ] {
        *v = up.value(*v);
    }
    Ok(report)
}

/// Everything in units of 2^e. Each pass starts from the measured residual, which also judges the pass before.
fn iterate<T: Scalar, R: Recurrence>(
    system: &Stacked<'_, T>,
    b: &[T],
    e: i32,
    options: &LeastSquaresOptions,
    work: &mut LeastSquaresWorkspace<T>,
) -> Result<LeastSquaresReport> {
    let LeastSquaresWorkspace {
        pair,
        directions,
        x,
    } = work;
    let target = options.relative * Rescale::by(-e).value(norm2(b));
    let (mut iterations, mut norm, mut before) = (0, 0.0f64, None);
    loop {
        pair.residual(system, b, e, x)?;
        pair.start(system)?;
        norm = norm.max(pair.alpha);
        let (residual, normal) = (pair.beta, pair.alpha * pair.beta);
        // A tenth above the target is what a recomputed residual may differ by.
        let slack = if before.is_some() { 1.1 } else { 1.0 };
        let stop = if residual <= slack * target {
            Some(LeastSquaresStop::Residual)
        } else if normal <= slack * options.normal * norm * residual {
            Some(LeastSquaresStop::Normal)
        } else if iterations >= options.max_iterations {
            Some(LeastSquaresStop::MaxIterations)
        } else {
            before
                .filter(|(r, g)| residual > 0.5 * r && normal > 0.5 * g)
                .map(|_| LeastSquaresStop::Stagnated)
        };
        if let Some(stop) = stop {
            return Ok(LeastSquaresReport {
                iterations,
                stop,
                residual_norm: residual * norm2(&pair.u[..b.len()]),
                damped_norm: residual,
                normal_norm: normal,
                x_norm: 0.0,
                rhs_norm: 0.0,
                operator_norm: norm,
            });
        }
        before = Some((residual, normal));
        let mut recurrence = R::start(pair.alpha, pair.beta, &pair.v, directions);
        loop {
            pair.step(system)?;
            iterations += 1;
            norm = norm.max(pair.alpha.hypot(pair.beta));
            let (r, g) = recurrence.step(pair.alpha, pair.beta, &pair.v, directions, x);
            let exhausted = pair.alpha <= T::EPSILON * norm;
            let enough = r <= target || g <= options.normal * norm * r;
            if enough || exhausted || iterations >= options.max_iterations {
                break;
            }
        }
    }
}

fn check<T: Scalar>(
    system: &Stacked<'_, T>,
    b: &[T],
    x: &[T],
    options: &LeastSquaresOptions,
) -> Result<()> {
    let shape = system.a.shape();
    if shape != (b.len(), x.len()) {
        return Err(Error::shape("the operator", shape, (b.len(), x.len())));
    }
    for (name, v) in [
        ("damp", system.damp),
        ("relative", options.relative),
        ("normal", options.normal),
    ] {
        if !(v >= 0.0 && v.is_finite()) {
            return Err(Error::argument(name, v, "a finite number of at least 0"));
        }
    }
    require_finite("the right-hand side", b.iter().copied())
}
