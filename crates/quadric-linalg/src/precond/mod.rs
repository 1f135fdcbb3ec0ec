//! Preconditioners: operators that apply P⁻¹ for a P near A + shift I.

mod jacobi;
mod nystrom;

pub use jacobi::{Jacobi, diagonal_by_sampling};
pub use nystrom::NystromPreconditioner;
