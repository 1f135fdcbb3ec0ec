//! LSMR: least squares min ‖Ax - b‖² + damp²‖x‖², algebraically MINRES on the normal equations, so ‖Aᵀr‖ falls monotonically.
//!
//! Fong, Saunders, "LSMR: An iterative algorithm for sparse least-squares problems" (2011), without the rotations for
//! damping, which is stacked instead; otherwise the deviations of [`super::lsqr`].

use super::least_squares::{Recurrence, solve};
use super::{LeastSquaresOptions, LeastSquaresReport, LeastSquaresWorkspace};
use crate::vector::axpy;
use crate::{LinearOperator, Result, Scalar};

/// Minimises ‖Ax - b‖² + damp²‖x‖² as [`super::lsqr`] does; prefer it when the iteration may be stopped early, since every
/// iterate has the least ‖Aᵀr‖ of its Krylov space.
///
/// # Errors
/// As [`super::lsqr`].
pub fn lsmr<T: Scalar>(
    a: &dyn LinearOperator<T>,
    damp: f64,
    b: &[T],
    x: &mut [T],
    options: &LeastSquaresOptions,
    work: &mut LeastSquaresWorkspace<T>,
) -> Result<LeastSquaresReport> {
    solve::<T, Lsmr>(a, damp, b, x, options, work)
}

/// Names as in the paper; `_dot`, `_hat`, `_tilde` are its accents.
struct Lsmr {
    alpha_bar: f64,
    zeta_bar: f64,
    zeta: f64,
    rho: f64,
    rho_bar: f64,
    c_bar: f64,
    s_bar: f64,
    beta_ddot: f64,
    beta_dot: f64,
    rho_dot: f64,
    tau_tilde: f64,
    theta_tilde: f64,
}

impl Recurrence for Lsmr {
    fn start<T: Scalar>(alpha: f64, beta: f64, v: &[T], d: &mut [Vec<T>; 2]) -> Self {
        d[0].copy_from_slice(v);
        d[1].fill(T::of(0.0));
        Self {
            alpha_bar: alpha,
            zeta_bar: alpha * beta,
            zeta: 0.0,
            rho: 1.0,
            rho_bar: 1.0,
            c_bar: 1.0,
            s_bar: 0.0,
            beta_ddot: beta,
            beta_dot: 0.0,
            rho_dot: 1.0,
            tau_tilde: 0.0,
            theta_tilde: 0.0,
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
        let (rho_old, rho_bar_old, zeta_old) = (self.rho, self.rho_bar, self.zeta);
        self.rho = self.alpha_bar.hypot(beta);
        let (c, s) = (self.alpha_bar / self.rho, beta / self.rho);
        let theta = s * alpha;
        self.alpha_bar = c * alpha;
        let theta_bar = self.s_bar * self.rho;
        let turned = self.c_bar * self.rho;
        self.rho_bar = turned.hypot(theta);
        self.c_bar = turned / self.rho_bar;
        self.s_bar = theta / self.rho_bar;
        self.zeta = self.c_bar * self.zeta_bar;
        self.zeta_bar *= -self.s_bar;

        let [h, h_bar] = d;
        let back = -(theta_bar / rho_old) * (self.rho / rho_bar_old);
        for (h_bar, h) in h_bar.iter_mut().zip(&*h) {
            *h_bar = T::of(back.mul_add(h_bar.to_f64(), h.to_f64()));
        }
        axpy(self.zeta / self.rho / self.rho_bar, h_bar, x);
        let back = -theta / self.rho;
        for (h, v) in h.iter_mut().zip(v) {
            *h = T::of(back.mul_add(h.to_f64(), v.to_f64()));
        }

        // ‖r‖ from one more orthogonal factorisation that is never formed.
        let beta_hat = c * self.beta_ddot;
        self.beta_ddot *= -s;
        let theta_tilde_old = self.theta_tilde;
        let rho_tilde = self.rho_dot.hypot(theta_bar);
        let (c_tilde, s_tilde) = (self.rho_dot / rho_tilde, theta_bar / rho_tilde);
        self.theta_tilde = s_tilde * self.rho_bar;
        self.rho_dot = c_tilde * self.rho_bar;
        self.beta_dot = c_tilde * beta_hat - s_tilde * self.beta_dot;
        self.tau_tilde = (zeta_old - theta_tilde_old * self.tau_tilde) / rho_tilde;
        let tau_dot = (self.zeta - self.theta_tilde * self.tau_tilde) / self.rho_dot;
        let residual = (self.beta_dot - tau_dot).hypot(self.beta_ddot);
        (residual, self.zeta_bar.abs())
    }
}
