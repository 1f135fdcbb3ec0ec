//! Matrices that are written down.

use faer::{Mat, MatRef};
use quadric_linalg::algebra::Dense;
use quadric_linalg::{Error, ErrorKind, LinearOperator, Result, Scalar};

/// Zeros (rows, columns), where there is memory for them.
pub(crate) fn zeros<T: Scalar>(rows: usize, columns: usize) -> Result<Mat<T>> {
    let mut room: Vec<T> = Vec::new();
    let size = rows.saturating_mul(columns);
    room.try_reserve_exact(size).map_err(|e| {
        let text = format!("no memory for a matrix ({rows}, {columns})");
        Error::new(ErrorKind::Resource, text).with_source(e)
    })?;
    drop(room);
    Ok(Mat::zeros(rows, columns))
}

/// All entries of an operator.
pub(crate) fn written<T: Scalar>(op: &dyn LinearOperator<T>) -> Result<Mat<T>> {
    let (m, n) = op.shape();
    let mut out = zeros(m, n)?;
    op.dense(out.as_mut())?;
    Ok(out)
}

/// All entries of a symmetric operator, finite and exactly symmetric.
pub(crate) fn symmetric<T: Scalar>(op: &dyn LinearOperator<T>) -> Result<Dense<T>> {
    let mut matrix = written(op)?;
    for j in 0..matrix.ncols() {
        for i in 0..=j {
            let mean = 0.5 * (matrix[(i, j)].to_f64() + matrix[(j, i)].to_f64());
            if !mean.is_finite() {
                return Err(Error::non_finite("the matrix", (i, j), mean));
            }
            (matrix[(i, j)], matrix[(j, i)]) = (T::of(mean), T::of(mean));
        }
    }
    match op.properties().psd {
        true => Dense::psd(matrix),
        false => Dense::symmetric(matrix),
    }
}

/// The entries in double precision, which are finite.
pub(crate) fn doubled<T: Scalar>(what: &str, m: MatRef<'_, T>) -> Result<Mat<f64>> {
    let mut out = zeros(m.nrows(), m.ncols())?;
    for j in 0..m.ncols() {
        for i in 0..m.nrows() {
            let v = m[(i, j)].to_f64();
            if !v.is_finite() {
                return Err(Error::non_finite(what, (i, j), v));
            }
            out[(i, j)] = v;
        }
    }
    Ok(out)
}

/// Refuses an operator that is not square or not known to be symmetric, and gives its order.
pub(crate) fn symmetric_order<T: Scalar>(op: &dyn LinearOperator<T>) -> Result<usize> {
    let (m, n) = op.shape();
    if m != n {
        return Err(Error::shape("the operator", (m, n), (n, n)));
    }
    if op.properties().symmetric {
        return Ok(n);
    }
    let text = "the operator is not known to be symmetric";
    Err(Error::new(ErrorKind::Capability, text))
}
