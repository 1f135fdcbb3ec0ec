//! Power iteration with deflation, as PyHessian runs it (Yao, Gholami, Keutzer, Mahoney, "PyHessian: neural networks through
//! the lens of the Hessian", arXiv 1912.07145), for comparison.
//!
//! For each wanted pair: a random v; v is made orthogonal to the pairs found, `w = A v`, `λ = vᵀ w`, `v <- w / (‖w‖ + 1e-6)`,
//! until `|λ_old - λ| / (|λ_old| + 1e-6)` is below the tolerance. The rule and the absolute 1e-6 are those of the original; they
//! say nothing about the error, so a last product measures the residuals, and only these decide what counts as converged.

use super::basis::{Draws, Unit, columns, split};
use super::{EigenOptions, Eigenpairs, Help, Measured, Progress, Which};
use crate::krylov::finite;
use crate::random::SeedTree;
use crate::vector::{axpy, dot, norm2, scale};
use crate::{Error, LinearOperator, Result, Scalar};

/// What keeps the divisions of the original from a division by zero.
const GUARD: f64 = 1e-6;

/// The pairs of largest magnitude, as far as power iteration finds them: `complete` is always false.
pub(super) fn power<T: Scalar>(
    op: &dyn LinearOperator<T>,
    options: &EigenOptions,
    mut help: Help<'_, T>,
    seed: SeedTree,
) -> Result<Eigenpairs<T>> {
    let (n, count) = (op.shape().0, options.count);
    if options.which != Which::LargestMagnitude {
        return Err(Error::argument(
            "which",
            format!("{:?}", options.which),
            "LargestMagnitude for the method Power",
        ));
    }
    if help.start.is_some() {
        return Err(Error::argument(
            "start",
            "given",
            "none for the method Power",
        ));
    }
    options.check_products(2 * count)?;
    let mut draws = Draws::new(seed);
    let (mut v, mut w) = (columns(n, count)?, columns(n, count)?);
    let (mut products, mut values) = (0, Vec::<f64>::new());
    for pair in 0..count {
        let share = (options.max_products - count - products) / (count - pair);
        let (found, rest) = v.split_at_mut(pair * n);
        draws.fill(&mut rest[..n]);
        let block = (&mut rest[..n], &mut w[..n]);
        let (value, spent) = iterate(op, found, block, share, options.tolerance)?;
        products += spent;
        values.push(value);
        if let Some(watch) = &mut help.watch {
            let progress = Progress {
                products,
                values: values.clone(),
                residuals: vec![f64::INFINITY; values.len()],
                converged: 0,
                norm: values.iter().fold(0.0, |m, v| m.max(v.abs())),
            };
            if watch(&progress).is_break() {
                break;
            }
        }
    }
    split(&[], &mut v, count, 0.0, count, &mut draws, n)?;
    let mut unit = Unit::default();
    unit.apply(op, &v, &mut w, n)?;
    let measured = Measured::new(&v, &w, n)?;
    Ok(Eigenpairs {
        products: products + count,
        ..measured.pairs(options, &v, measured.norm(), unit)
    })
}

/// The iteration for one pair from a random v, with room for its image; returns the value and the products, at most `most`.
fn iterate<T: Scalar>(
    op: &dyn LinearOperator<T>,
    found: &[T],
    (v, w): (&mut [T], &mut [T]),
    most: usize,
    tolerance: f64,
) -> Result<(f64, usize)> {
    let n = v.len();
    // The original knows no units: its 1e-6 is one of the operator.
    let mut unit = Unit(Some(0));
    let mut old = 0.0f64;
    scale((norm2(v) + GUARD).recip(), v);
    for product in 1..=most {
        for u in found.chunks_exact(n) {
            axpy(-dot(u, v), u, v);
        }
        scale((norm2(v) + GUARD).recip(), v);
        unit.apply(op, v, w, n)?;
        let value = finite(dot(v, w))?;
        v.copy_from_slice(w);
        scale((norm2(v) + GUARD).recip(), v);
        let change = (old - value).abs() / (old.abs() + GUARD);
        old = value;
        if product > 1 && change < tolerance {
            return Ok((value, product));
        }
    }
    Ok((old, most))
}
