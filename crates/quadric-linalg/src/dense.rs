//! Dense products and decompositions: Cholesky (plain and equilibrated), triangular solves, symmetric eigenvalues, thin QR, SVD.
//!
//! Thin functions over faer, compiled for `f32` and `f64` in this crate only. Matrices are faer views; symmetric input is
//! read from its lower triangle. Results do not depend on threads: Cholesky and its solves are cut by size, everything
//! else runs sequentially ([`Par::Seq`]).

mod blocked;
mod cholesky;
mod envelope;
mod few;
mod spectral;
#[cfg(test)]
mod tests;

pub use cholesky::{
    CholeskyInfo, EquilibratedCholesky, NotPositiveDefinite, cholesky_in_place,
    cholesky_solve_in_place, solve_lower_in_place, solve_lower_transposed_in_place,
};
pub use envelope::{EnvelopeCholesky, RefusedPivot};
pub use spectral::{Svd, SymmetricEigen, ThinQr, svd, symmetric_eigen, thin_qr};

use crate::Result;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// The one setting of faer's own parallelism: QR, EVD and SVD change bits with it.
const PAR: Par = Par::Seq;

/// The decompositions of one scalar type, compiled where this trait is implemented: here.
#[doc(hidden)]
pub trait Decompose: Sized {
    fn product(a: MatRef<'_, Self>, b: MatRef<'_, Self>, out: MatMut<'_, Self>, how: Accum);
    fn cholesky(a: MatMut<'_, Self>) -> std::result::Result<(), usize>;
    fn solve_lower(l: MatRef<'_, Self>, rhs: MatMut<'_, Self>);
    fn solve_lower_transposed(l: MatRef<'_, Self>, rhs: MatMut<'_, Self>);
    fn symmetric_eigen(a: MatRef<'_, Self>) -> Result<SymmetricEigen<Self>>;
    fn thin_qr(a: MatRef<'_, Self>) -> ThinQr<Self>;
    fn svd(a: MatRef<'_, Self>) -> Result<Svd<Self>>;
}

macro_rules! decompose {
    ($($t:ty),*) => { $(
        impl Decompose for $t {
            fn product(a: MatRef<'_, Self>, b: MatRef<'_, Self>, out: MatMut<'_, Self>, how: Accum) {
                matmul(out, how, a, b, 1.0, PAR);
            }
            fn cholesky(a: MatMut<'_, Self>) -> std::result::Result<(), usize> {
                blocked::factor(a)
            }
            fn solve_lower(l: MatRef<'_, Self>, rhs: MatMut<'_, Self>) {
                blocked::lower(l, rhs);
            }
            fn solve_lower_transposed(l: MatRef<'_, Self>, rhs: MatMut<'_, Self>) {
                blocked::lower_transposed(l, rhs);
            }
            fn symmetric_eigen(a: MatRef<'_, Self>) -> Result<SymmetricEigen<Self>> {
                spectral::eigen(a)
            }
            fn thin_qr(a: MatRef<'_, Self>) -> ThinQr<Self> {
                spectral::qr(a)
            }
            fn svd(a: MatRef<'_, Self>) -> Result<Svd<Self>> {
                spectral::singular(a)
            }
        }
    )* };
}
decompose!(f32, f64);

/// `out <- A B`, on the calling thread.
///
/// # Panics
/// Shapes that do not fit.
pub fn product<T: crate::Scalar>(a: MatRef<'_, T>, b: MatRef<'_, T>, out: MatMut<'_, T>) {
    multiply(a, b, out, Accum::Replace);
}

/// `out <- out + A B`, on the calling thread.
///
/// # Panics
/// Shapes that do not fit.
pub fn add_product<T: crate::Scalar>(a: MatRef<'_, T>, b: MatRef<'_, T>, out: MatMut<'_, T>) {
    multiply(a, b, out, Accum::Add);
}

fn multiply<T: crate::Scalar>(a: MatRef<'_, T>, b: MatRef<'_, T>, out: MatMut<'_, T>, how: Accum) {
    if few::pays(a, b, &out) {
        few::multiply(a, b, out, how == Accum::Add);
    } else {
        T::product(a, b, out, how);
    }
}
