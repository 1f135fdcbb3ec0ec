//! Preconditioners: operators that apply P⁻¹ for a P near A + shift I.

mod jacobi;
mod nystrom;

pub use jacobi::Jacobi;
pub use nystrom::NystromPreconditioner;
