//! Eigenpairs of small operators by a dense decomposition in f64.

use super::basis::residual;
use super::select::{order, report_order};
use super::{EigenOptions, Eigenpairs};
use crate::dense::symmetric_eigen;
use crate::krylov::{Rescale, exponent, finite, require_finite};
use crate::vector::{max_abs, norm2};
use crate::{Error, ErrorKind, LinearOperator, Result, Scalar};
use faer::Mat;

/// Largest order that is written down as a dense matrix: two gigabytes in f64.
const LARGEST: usize = 16_384;

/// All eigenpairs, of which the wanted ones are returned, with the residuals of a product.
pub(super) fn dense<T: Scalar>(
    op: &dyn LinearOperator<T>,
    options: &EigenOptions,
) -> Result<Eigenpairs<T>> {
    let (n, count) = (op.shape().0, options.count);
    if n > LARGEST {
        return Err(Error::new(
            ErrorKind::Resource,
            format!("a dense decomposition of order {n}; at most {LARGEST}"),
        ));
    }
    options.check_products(n + count)?;
    let (scaled, unit) = written(op)?;
    let (down, up) = (Rescale::by(-unit), Rescale::by(unit));
    let eigen = symmetric_eigen(scaled.as_ref())?;
    let mut wanted = order(options.which, &eigen.values);
    wanted.truncate(count);
    report_order(options.which, &eigen.values, &mut wanted);
    let vectors = Mat::from_fn(n, count, |i, j| T::of(eigen.vectors[(i, wanted[j])]));
    let mut images = Mat::<T>::zeros(n, count);
    op.apply(vectors.as_ref(), images.as_mut())?;
    let norm = eigen.values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let mut residuals = Vec::with_capacity(count);
    let mut image = vec![0.0; n];
    let mut vector = vec![0.0; n];
    for (j, pair) in wanted.iter().enumerate() {
        for i in 0..n {
            image[i] = down.value(images[(i, j)].to_f64());
            vector[i] = vectors[(i, j)].to_f64();
        }
        let size = norm2(&vector);
        residuals.push(finite(residual(&vector, &image, eigen.values[*pair]))? / size);
    }
    Ok(Eigenpairs {
        values: wanted.iter().map(|j| up.value(eigen.values[*j])).collect(),
        vectors,
        converged: residuals
            .iter()
            .map(|r| *r <= options.tolerance * norm)
            .collect(),
        residuals: residuals.iter().map(|r| up.value(*r)).collect(),
        complete: true,
        exact: true,
        products: n + count,
        norm: up.value(norm),
    })
}

/// The matrix of the operator in units of 2 to the returned power, in which its largest entry is near 1.
fn written<T: Scalar>(op: &dyn LinearOperator<T>) -> Result<(Mat<f64>, i32)> {
    let n = op.shape().0;
    let mut matrix = Mat::<T>::zeros(n, n);
    op.dense(matrix.as_mut())?;
    let mut largest = 0.0f64;
    for j in 0..n {
        let column = matrix.col_as_slice(j);
        require_finite("the operator", column.iter().copied())?;
        largest = largest.max(max_abs(column));
    }
    let unit = exponent(largest);
    let down = Rescale::by(-unit);
    let scaled = Mat::from_fn(n, n, |i, j| down.value(matrix[(i, j)].to_f64()));
    let limit = (1e3 * T::EPSILON.sqrt()).min(0.05);
    if (0..n).any(|j| (0..j).any(|i| (scaled[(i, j)] - scaled[(j, i)]).abs() > limit)) {
        return Err(super::not_symmetric());
    }
    Ok((scaled, unit))
}
