//! Preconditioned conjugate gradients for (A + shift I) x = b, on one right-hand side or a block that shares each product.
//!
//! Hestenes, Stiefel, "Methods of conjugate gradients for solving linear systems" (1952); truncation at a radius after
//! Steihaug, "The conjugate gradient method and trust regions in large scale optimization" (1983). Deviations: every
//! right-hand side is first scaled by a power of two, so tiny and huge systems neither overflow nor underflow; the residual
//! is measured again when the recurrence claims success, and the iteration restarts from the measured one if the claim
//! was wrong; the coefficients give Ritz values of the preconditioned operator (Lanczos in disguise).

mod block;

pub use block::CgWorkspace;

use crate::{Error, ErrorKind, LinearOperator, Result, Scalar};
use faer::{MatMut, MatRef};

/// What ends conjugate gradients. Norms of residuals are those of P⁻¹, the preconditioner: ‖r‖² = rᵀP⁻¹r.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CgOptions {
    /// Stop when ‖r‖ <= relative · ‖b‖.
    pub relative: f64,
    /// Stop when ‖r‖ <= absolute.
    pub absolute: f64,
    /// Stop when ‖r‖ <= energy · √(a/b) · ‖b‖, where a and b are the extreme Ritz values of this run: then
    /// ‖x - x*‖ <= energy · ‖x*‖ in the norm of A + shift I, as far as the Ritz values reach the ends of the spectrum.
    pub energy: Option<f64>,
    /// Stop when the last half of the iterations, ten at least, brought less than this part of `bᵀx - xᵀ(A + shift I)x / 2`
    /// (after Nash, Sofer, "Assessing a search direction within a truncated-Newton method", 1990). Needs a start at zero.
    /// Where the bound of `energy` waits for the last of a wide spectrum, this sees that there is nothing left to gain.
    pub gain: Option<f64>,
    /// Largest number of iterations.
    pub max_iterations: usize,
    /// Stop on the boundary ‖x‖ = radius, in the norm of P (Steihaug). Needs a start at zero.
    pub radius: Option<f64>,
    /// `x` holds the start; otherwise `x` is set to zero first.
    pub warm_start: bool,
    /// Measure the residual at the end with one more product, and go on if the recurrence was too optimistic.
    pub verify: bool,
}

impl Default for CgOptions {
    /// Relative accuracy 1e-8 within 1,000 iterations, from zero, verified.
    fn default() -> Self {
        Self {
            relative: 1e-8,
            absolute: 0.0,
            energy: None,
            gain: None,
            max_iterations: 1000,
            radius: None,
            warm_start: false,
            verify: true,
        }
    }
}

impl CgOptions {
    fn validate(&self) -> Result<()> {
        let at_least_zero = |name, v: f64| {
            if v >= 0.0 {
                return Ok(());
            }
            Err(Error::argument(name, v, "a number of at least 0"))
        };
        at_least_zero("relative", self.relative)?;
        at_least_zero("absolute", self.absolute)?;
        at_least_zero("energy", self.energy.unwrap_or(0.0))?;
        at_least_zero("gain", self.gain.unwrap_or(0.0))?;
        match self.radius {
            Some(r) if r.is_nan() || r <= 0.0 => {
                Err(Error::argument("radius", r, "a positive number"))
            }
            _ if self.warm_start && (self.radius.is_some() || self.gain.is_some()) => {
                Err(Error::argument(
                    "warm_start",
                    true,
                    "false when a radius or a gain is given: these iterations start at zero",
                ))
            }
            _ => Ok(()),
        }
    }
}

/// Why conjugate gradients ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgStop {
    /// A tolerance of [`CgOptions`] is met.
    Tolerance,
    /// The iterations gain less than [`CgOptions::gain`].
    SmallGain,
    /// The iteration limit is reached.
    MaxIterations,
    /// A direction p with pᵀ(A + shift I)p < 0 was met; see [`CgWorkspace::direction`]. With a radius, `x` is on the boundary.
    NegativeCurvature,
    /// `x` reached the boundary of the radius.
    Radius,
    /// The rounding errors of the products keep the residual above the tolerance.
    Stagnated,
    /// A direction without curvature, or a preconditioner that is not positive definite.
    Breakdown,
}

/// How conjugate gradients ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CgReport {
    /// Iterations, each with one product and one application of the preconditioner.
    pub iterations: usize,
    /// ‖b - (A + shift I)x‖ / ‖b‖ in the norm of P⁻¹ at the returned x; 0 for b = 0.
    pub residual: f64,
    /// ‖b‖ in the norm of P⁻¹.
    pub rhs_norm: f64,
    /// Why the iteration ended.
    pub stop: CgStop,
    /// Smallest and largest Ritz value of P⁻¹(A + shift I): inside the ends of its spectrum, and near them when the
    /// iteration went on for long enough. `None` without an iteration.
    pub ritz: Option<(f64, f64)>,
    /// xᵀ(A + shift I)x.
    pub curvature: f64,
    /// bᵀx. The quadratic model falls by `slope - curvature / 2`.
    pub slope: f64,
    /// pᵀ(A + shift I)p / pᵀp of the direction p that ended the iteration by its curvature.
    pub direction_curvature: Option<f64>,
}

/// Solves (A + shift I) x = b for symmetric positive definite A + shift I.
///
/// `a` is (n, n) and symmetric, `precond` applies a symmetric positive definite P⁻¹ near (A + shift I)⁻¹, `b` and `x` have
/// length n. `x` starts from zero unless [`CgOptions::warm_start`]. The shift is applied on the fly, so one operator and
/// one workspace serve every level of regularisation without an allocation. b = 0 gives x = 0 at once, whatever the start.
///
/// # Errors
/// Shapes that do not fit, an operator not known to be symmetric, options out of range, b or the start not finite, products
/// that are not finite, and whatever the operators report. An indefinite operator is not an error: see [`CgStop`].
pub fn cg<T: Scalar>(
    a: &dyn LinearOperator<T>,
    shift: f64,
    precond: Option<&dyn LinearOperator<T>>,
    b: &[T],
    x: &mut [T],
    options: &CgOptions,
    work: &mut CgWorkspace<T>,
) -> Result<CgReport> {
    let (n, m) = (b.len(), x.len());
    let b = MatRef::from_column_major_slice(b, n, 1);
    let x = MatMut::from_column_major_slice_mut(x, m, 1);
    work.solve(a, shift, precond, b, x, options)?;
    Ok(work.report(0, b))
}

/// Solves (A + shift I) X = B for all columns of B (n, k) at once: one product with a block per iteration.
///
/// Each column runs its own recurrence and drops out of the block when it ends. Reports come in the order of the columns.
/// Otherwise as [`cg`].
///
/// # Errors
/// As [`cg`].
pub fn cg_block<T: Scalar>(
    a: &dyn LinearOperator<T>,
    shift: f64,
    precond: Option<&dyn LinearOperator<T>>,
    b: MatRef<'_, T>,
    x: MatMut<'_, T>,
    options: &CgOptions,
    work: &mut CgWorkspace<T>,
) -> Result<Vec<CgReport>> {
    work.solve(a, shift, precond, b, x, options)?;
    Ok((0..b.ncols()).map(|j| work.report(j, b)).collect())
}

fn check_system<T: Scalar>(
    a: &dyn LinearOperator<T>,
    shift: f64,
    precond: Option<&dyn LinearOperator<T>>,
    b: MatRef<'_, T>,
    x: MatRef<'_, T>,
) -> Result<()> {
    let (n, k) = (b.nrows(), b.ncols());
    if a.shape() != (n, n) {
        return Err(Error::shape("the operator", a.shape(), (n, n)));
    }
    if (x.nrows(), x.ncols()) != (n, k) {
        return Err(Error::shape("the solution", (x.nrows(), x.ncols()), (n, k)));
    }
    if let Some(p) = precond.filter(|p| p.shape() != (n, n)) {
        return Err(Error::shape("the preconditioner", p.shape(), (n, n)));
    }
    if !a.properties().symmetric || precond.is_some_and(|p| !p.properties().symmetric) {
        return Err(Error::new(
            ErrorKind::Capability,
            "conjugate gradients need a symmetric operator and a symmetric preconditioner",
        ));
    }
    if !shift.is_finite() {
        return Err(Error::argument("shift", shift, "a finite number"));
    }
    Ok(())
}
