//! Linear algebra of Quadric: operators on blocks, deterministic kernels, Krylov methods, preconditioners.
//!
//! Vectors are slices, dense blocks are [`faer`] views, sparse matrices are faer's CSR with 32-bit indices. Sums over rows
//! are cut in pieces whose number does not depend on the number of threads, so every result has the same bits for any
//! thread count.

pub mod algebra;
mod aligned;
pub mod convolution;
mod cpu;
pub mod dense;
pub mod elementwise;
mod error;
pub mod estimate;
pub mod kernels;
pub mod krylov;
pub mod math;
mod matrix;
mod operator;
pub mod parallel;
pub mod precond;
pub mod random;
mod scalar;
pub mod spectrum;
pub mod vector;

pub use aligned::Aligned;
pub use cpu::simd_level;
pub use error::{Error, ErrorKind, Place, Result};
pub use matrix::{DataMatrix, DenseRows};
pub use operator::{
    BoxOp, Cost, LinearOperator, Properties, apply_adjoint_vector, apply_vector, check_apply,
    dense_by_columns,
};
pub use scalar::{Scalar, SliceMut};
