//! LSQR: least squares min ‖Ax - b‖² + damp²‖x‖², algebraically conjugate gradients on the normal equations.
//!
//! Paige, Saunders, "LSQR: An algorithm for sparse linear equations and sparse least squares" (1982). Deviations: damping
//! acts on the solution also with a starting vector; the norms are measured, not estimated; when the estimates were too
//! optimistic the iteration restarts from the measured residual.

use super::least_squares::{Recurrence, solve};
use super::{LeastSquaresOptions, LeastSquaresReport, LeastSquaresWorkspace};
use crate::vector::axpy;
use crate::{LinearOperator, Result, Scalar};

/// Minimises ‖Ax - b‖² + damp²‖x‖² with A (m, n), b (m), x (n).
///
/// From zero and without damping, a rank-deficient problem ends at its minimum-norm solution. With
/// [`LeastSquaresOptions::warm_start`] the start only saves iterations; the minimiser is the same, and when it is not unique,
/// the one nearest to the start is found. b = 0 gives x = 0.
///
/// # Errors
/// Shapes that do not fit, an operator without an adjoint, negative or non-finite options, b or the start not finite,
/// products that are not finite, and whatever the operator reports.
pub fn lsqr<T: Scalar>(
    a: &dyn LinearOperator<T>,
    damp: f64,
    b: &[T],
    x: &mut [T],
    options: &LeastSquaresOptions,
    work: &mut LeastSquaresWorkspace<T>,
) -> Result<LeastSquaresReport> {
    solve::<T, Lsqr>(a, damp, b, x, options, work)
}

struct Lsqr {
    phi_bar: f64,
    rho_bar: f64,
}

impl Recurrence for Lsqr {
    fn start<T: Scalar>(alpha: f64, beta: f64, v: &[T], d: &mut [Vec<T>; 2]) -> Self {
        d[0].copy_from_slice(v);
        Self {
            phi_bar: beta,
            rho_bar: alpha,
        }
    }

    fn step<T: Scalar>(
        &mut self,
        alpha: f64,
        beta: f64,
        v: &[T],
        d: &mut [Vec<T>; 2],
        x: &mut [T],
    ) -> (f64, f64) {
        let rho = self.rho_bar.hypot(beta);
        let (c, s) = (self.rho_bar / rho, beta / rho);
        let theta = s * alpha;
        self.rho_bar = -c * alpha;
        let phi = c * self.phi_bar;
        self.phi_bar *= s;
        let w = &mut d[0];
        axpy(phi / rho, w, x);
        let back = -theta / rho;
        for (w, v) in w.iter_mut().zip(v) {
            *w = T::of(back.mul_add(w.to_f64(), v.to_f64()));
        }
        (self.phi_bar, self.phi_bar * alpha * c.abs())
    }
}
