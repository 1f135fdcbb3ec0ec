//! Orthogonal decompositions: symmetric eigenvalues, thin QR, thin SVD.

use super::PAR;
use crate::{Error, ErrorKind, Result, Scalar};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::qr::no_pivoting::factor as qr_factor;
use faer::linalg::{evd, householder, svd as faer_svd};

use faer::{Conj, Mat, MatRef};

/// `A = V diag(values) Vᵀ`.
#[derive(Clone, Debug)]
pub struct SymmetricEigen<T> {
    /// Eigenvalues (d), ascending.
    pub values: Vec<T>,
    /// Orthonormal eigenvectors in the columns (d, d).
    pub vectors: Mat<T>,
}

/// `A = Q R`.
#[derive(Clone, Debug)]
pub struct ThinQr<T> {
    /// Orthonormal columns (m, min(m, n)).
    pub q: Mat<T>,
    /// Upper triangle or trapezoid (min(m, n), n); its diagonal may have either sign.
    pub r: Mat<T>,
}

/// `A = U diag(values) Vᵀ`.
#[derive(Clone, Debug)]
pub struct Svd<T> {
    /// Orthonormal left vectors in the columns (m, min(m, n)).
    pub u: Mat<T>,
    /// Singular values (min(m, n)), descending.
    pub values: Vec<T>,
    /// Orthonormal right vectors in the columns (n, min(m, n)).
    pub v: Mat<T>,
}

/// Eigenvalues and eigenvectors of the symmetric matrix in the lower triangle of `a` (d, d).
///
/// # Errors
/// A shape that is not square, an entry of the lower triangle that is not finite, or an iteration that does not converge.
pub fn symmetric_eigen<T: Scalar>(a: MatRef<'_, T>) -> Result<SymmetricEigen<T>> {
    if a.nrows() != a.ncols() {
        return Err(Error::shape(
            "the symmetric matrix",
            (a.nrows(), a.ncols()),
            (a.nrows(), a.nrows()),
        ));
    }
    T::symmetric_eigen(a)
}

/// The thin QR factorisation of `a` (m, n).
///
/// # Errors
/// An entry that is not finite.
pub fn thin_qr<T: Scalar>(a: MatRef<'_, T>) -> Result<ThinQr<T>> {
    scaling(a, false)?;
    Ok(T::thin_qr(a))
}

/// The thin singular value decomposition of `a` (m, n).
///
/// # Errors
/// An entry that is not finite, or an iteration that does not converge.
pub fn svd<T: Scalar>(a: MatRef<'_, T>) -> Result<Svd<T>> {
    T::svd(a)
}

/// A power of two that brings the largest entry near 1, so that no square overflows or vanishes; refuses entries that
/// are not finite.
fn scaling<T: Scalar>(a: MatRef<'_, T>, lower: bool) -> Result<f64> {
    let mut largest = 0.0f64;
    for j in 0..a.ncols() {
        for i in if lower { j } else { 0 }..a.nrows() {
            let v = a[(i, j)].to_f64();
            if !v.is_finite() {
                return Err(Error::non_finite("the matrix", (i, j), v));
            }
            largest = largest.max(v.abs());
        }
    }
    if largest == 0.0 {
        return Ok(1.0);
    }
    // Both the factor and its reciprocal are normal numbers.
    let limit = if T::NAME == "f32" { 126 } else { 1022 };
    Ok(2f64.powi((-largest.log2().floor() as i32).clamp(-limit, limit)))
}

fn scaled<T: Scalar>(a: MatRef<'_, T>, by: f64) -> Mat<T> {
    Mat::from_fn(a.nrows(), a.ncols(), |i, j| T::of(a[(i, j)].to_f64() * by))
}

fn no_convergence(what: &str) -> Error {
    Error::new(
        ErrorKind::Numeric,
        format!("the {what} decomposition did not converge"),
    )
}

pub(super) fn eigen<T: Scalar>(a: MatRef<'_, T>) -> Result<SymmetricEigen<T>> {
    let d = a.nrows();
    if d == 0 {
        return Ok(SymmetricEigen {
            values: Vec::new(),
            vectors: Mat::zeros(0, 0),
        });
    }
    let factor = scaling(a, true)?;
    let copy = scaled(a, factor);
    let mut values = faer::diag::Diag::<T>::zeros(d);
    let mut vectors = Mat::zeros(d, d);
    let mut memory = MemBuffer::new(evd::self_adjoint_evd_scratch::<T>(
        d,
        evd::ComputeEigenvectors::Yes,
        PAR,
        Default::default(),
    ));
    evd::self_adjoint_evd(
        copy.as_ref(),
        values.as_mut(),
        Some(vectors.as_mut()),
        PAR,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .map_err(|_| no_convergence("eigenvalue"))?;
    Ok(SymmetricEigen {
        values: (0..d).map(|i| T::of(values[i].to_f64() / factor)).collect(),
        vectors,
    })
}

pub(super) fn qr<T: Scalar>(a: MatRef<'_, T>) -> ThinQr<T> {
    let (m, n) = (a.nrows(), a.ncols());
    let size = m.min(n);
    if size == 0 {
        return ThinQr {
            q: Mat::zeros(m, 0),
            r: Mat::zeros(0, n),
        };
    }
    let factor = scaling(a, false).unwrap_or(1.0);
    let mut basis = scaled(a, factor);
    let block = qr_factor::recommended_block_size::<T>(m, n);
    let mut coefficients = Mat::zeros(block, size);
    let mut memory = MemBuffer::new(qr_factor::qr_in_place_scratch::<T>(
        m,
        n,
        block,
        PAR,
        Default::default(),
    ));
    qr_factor::qr_in_place(
        basis.as_mut(),
        coefficients.as_mut(),
        PAR,
        MemStack::new(&mut memory),
        Default::default(),
    );
    let r = Mat::from_fn(size, n, |i, j| {
        if i <= j {
            T::of(basis[(i, j)].to_f64() / factor)
        } else {
            T::of(0.0)
        }
    });
    let mut q = Mat::<T>::identity(m, size);
    let request = householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<T>;
    let mut memory = MemBuffer::new(request(m, block, size));
    householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
        basis.as_ref().subcols(0, size),
        coefficients.as_ref(),
        Conj::No,
        q.as_mut(),
        PAR,
        MemStack::new(&mut memory),
    );
    ThinQr { q, r }
}

pub(super) fn singular<T: Scalar>(a: MatRef<'_, T>) -> Result<Svd<T>> {
    let (m, n) = (a.nrows(), a.ncols());
    let size = m.min(n);
    if size == 0 {
        return Ok(Svd {
            u: Mat::zeros(m, 0),
            values: Vec::new(),
            v: Mat::zeros(n, 0),
        });
    }
    let factor = scaling(a, false)?;
    let copy = scaled(a, factor);
    let mut values = faer::diag::Diag::<T>::zeros(size);
    let (mut u, mut v) = (Mat::zeros(m, size), Mat::zeros(n, size));
    let thin = faer_svd::ComputeSvdVectors::Thin;
    let request = faer_svd::svd_scratch::<T>(m, n, thin, thin, PAR, Default::default());
    let mut memory = MemBuffer::new(request);
    faer_svd::svd(
        copy.as_ref(),
        values.as_mut(),
        Some(u.as_mut()),
        Some(v.as_mut()),
        PAR,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .map_err(|_| no_convergence("singular value"))?;
    Ok(Svd {
        u,
        values: (0..size)
            .map(|i| T::of(values[i].to_f64() / factor))
            .collect(),
        v,
    })
}
