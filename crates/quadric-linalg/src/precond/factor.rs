//! The three dense factorisations that sketches need, in f64 and always with the same (sequential) blocking, since faer's
//! QR and eigenvalue decomposition change bits with the parallelism they are given.

use crate::{Error, ErrorKind, Result};
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor as llt;
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::householder;
use faer::linalg::qr::no_pivoting::factor as qr;
use faer::{Conj, Mat, MatRef, Par};

/// Q (m, k) and R (k, n) of a thin QR factorisation, k = min(m, n).
pub(super) fn thin_qr(mut a: Mat<f64>) -> (Mat<f64>, Mat<f64>) {
    let (m, n) = (a.nrows(), a.ncols());
    let k = m.min(n);
    let block = qr::recommended_block_size::<f64>(m, n);
    let mut coefficients = Mat::zeros(block, k);
    let need = qr::qr_in_place_scratch::<f64>(m, n, block, Par::Seq, Default::default());
    qr::qr_in_place(
        a.as_mut(),
        coefficients.as_mut(),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(need)),
        Default::default(),
    );
    let r = Mat::from_fn(k, n, |i, j| if i <= j { a[(i, j)] } else { 0.0 });
    let mut q = Mat::identity(m, k);
    let need = householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>(
        m, block, k,
    );
    householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
        a.as_ref().subcols(0, k),
        coefficients.as_ref(),
        Conj::No,
        q.as_mut(),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(need)),
    );
    (q, r)
}

/// Eigenvalues, descending, and eigenvectors of a symmetric matrix.
pub(super) fn symmetric_eigen(a: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = a.nrows();
    let (mut values, mut vectors) = (Diag::<f64>::zeros(n), Mat::<f64>::zeros(n, n));
    let need =
        self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, Par::Seq, Default::default());
    self_adjoint_evd(
        a,
        values.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(need)),
        Default::default(),
    )
    .map_err(|_| {
        Error::new(
            ErrorKind::Numeric,
            "the eigenvalue iteration of a sketch did not converge",
        )
    })?;
    let values = (0..n).rev().map(|i| values.column_vector()[i]).collect();
    let vectors = Mat::from_fn(n, n, |i, j| vectors[(i, n - 1 - j)]);
    Ok((values, vectors))
}

/// Lower Cholesky factor in the lower triangle of `a`; false when the matrix is not positive definite.
pub(super) fn cholesky(a: &mut Mat<f64>) -> bool {
    let need = llt::cholesky_in_place_scratch::<f64>(a.nrows(), Par::Seq, Default::default());
    llt::cholesky_in_place(
        a.as_mut(),
        Default::default(),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(need)),
        Default::default(),
    )
    .is_ok()
}
