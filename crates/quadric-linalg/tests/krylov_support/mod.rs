//! Matrices with prescribed spectra and independent dense checks, shared by the Krylov tests.
#![allow(dead_code, missing_docs, unreachable_pub)]

use faer::Mat;
use quadric_linalg::algebra::Dense;
use quadric_linalg::dense::symmetric_eigen;
use quadric_linalg::krylov::{
    LeastSquaresOptions, LeastSquaresReport, LeastSquaresWorkspace, lsmr, lsqr,
};
use quadric_linalg::random::SeedTree;
use quadric_linalg::{LinearOperator, Result, Scalar};

pub const SIZES: [usize; 9] = [1, 2, 3, 5, 10, 33, 64, 100, 257];

/// A random orthogonal matrix: the product of Householder reflections.
pub fn orthogonal(n: usize, seed: u64) -> Mat<f64> {
    let mut q = Mat::<f64>::identity(n, n);
    let mut stream = SeedTree::new(seed).child("orthogonal").stream(n as u64);
    for _ in 0..n.min(8) {
        let v: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        let vv: f64 = v.iter().map(|v| v * v).sum();
        for j in 0..n {
            let s: f64 = 2.0 / vv * (0..n).map(|i| v[i] * q[(i, j)]).sum::<f64>();
            (0..n).for_each(|i| q[(i, j)] -= s * v[i]);
        }
    }
    q
}

/// Q diag(values) Qᵀ, exactly symmetric.
pub fn with_spectrum(values: &[f64], seed: u64) -> Mat<f64> {
    let n = values.len();
    let q = orthogonal(n, seed);
    let scaled = Mat::from_fn(n, n, |i, j| q[(i, j)] * values[j]);
    let a = &scaled * q.transpose();
    Mat::from_fn(n, n, |i, j| if i <= j { a[(i, j)] } else { a[(j, i)] })
}

/// `n` values from 1 down to 1/condition, evenly on a logarithmic axis.
pub fn geometric(n: usize, condition: f64) -> Vec<f64> {
    (0..n)
        .map(|i| condition.powf(-(i as f64) / (n.max(2) - 1) as f64))
        .collect()
}

pub fn normals(n: usize, seed: u64) -> Vec<f64> {
    let mut stream = SeedTree::new(seed).child("normals").stream(0);
    (0..n).map(|_| stream.normal()).collect()
}

pub fn cast<T: Scalar>(v: &[f64]) -> Vec<T> {
    v.iter().map(|v| T::of(*v)).collect()
}

pub fn cast_mat<T: Scalar>(a: &Mat<f64>) -> Mat<T> {
    Mat::from_fn(a.nrows(), a.ncols(), |i, j| T::of(a[(i, j)]))
}

pub fn spd<T: Scalar>(a: &Mat<f64>) -> Dense<T> {
    Dense::psd(cast_mat(a)).unwrap()
}

/// A x in f64.
pub fn times(a: &Mat<f64>, x: &[f64]) -> Vec<f64> {
    (0..a.nrows())
        .map(|i| (0..a.ncols()).map(|j| a[(i, j)] * x[j]).sum())
        .collect()
}

pub fn norm(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

pub fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// The operator as a dense f64 matrix.
pub fn to_dense<T: Scalar>(op: &dyn LinearOperator<T>) -> Mat<f64> {
    let (m, n) = op.shape();
    let mut out = Mat::<T>::zeros(m, n);
    op.dense(out.as_mut()).unwrap();
    Mat::from_fn(m, n, |i, j| out[(i, j)].to_f64())
}

/// Eigenvalues of a symmetric matrix, ascending, by a dense decomposition.
pub fn eigenvalues(a: &Mat<f64>) -> Vec<f64> {
    symmetric_eigen(a.as_ref()).unwrap().values
}

pub type Solver<T> = fn(
    &dyn LinearOperator<T>,
    f64,
    &[T],
    &mut [T],
    &LeastSquaresOptions,
    &mut LeastSquaresWorkspace<T>,
) -> Result<LeastSquaresReport>;

/// Both least-squares solvers, by name.
pub fn solvers<T: Scalar>() -> [(&'static str, Solver<T>); 2] {
    [("lsqr", lsqr::<T>), ("lsmr", lsmr::<T>)]
}
