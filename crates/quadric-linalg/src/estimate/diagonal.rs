//! Diagonals of operators that only give products.

use super::columns::Columns;
use super::probe::Probe;
use super::student::{left_out, student_quantile};
use super::xdiag::xdiag;
use super::{check, check_block, check_level};
use crate::random::SeedTree;
use crate::{Error, LinearOperator, Result, Scalar};

/// How to come to a diagonal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiagonalMethod {
    /// XDiag: the large part of the operator exactly, and the rest by the same test vectors; two products each.
    #[default]
    XDiag,
    /// The mean of z ∘ Hz over signs z (Bekas, Kokiopoulou, Saad, "An estimator for the diagonal of a matrix", 2007). The
    /// variance of entry i is the sum of the squares of the other entries of row i, divided by the number of probes.
    Hutchinson,
    /// The entries themselves, by n products.
    Exact,
}

/// How a diagonal is estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiagonalOptions {
    /// The method.
    pub method: DiagonalMethod,
    /// Products with single vectors; where they are at least n, the diagonal is exact. [`DiagonalMethod::Exact`] does not ask.
    pub products: usize,
    /// The probability with which the interval of an entry shall contain it.
    pub level: f64,
    /// Vectors per product.
    pub block: usize,
}

impl Default for DiagonalOptions {
    /// XDiag by 64 products, with intervals at 95 %.
    fn default() -> Self {
        Self {
            method: DiagonalMethod::XDiag,
            products: 64,
            level: 0.95,
            block: 16,
        }
    }
}

/// A diagonal (n).
#[derive(Clone, Debug, PartialEq)]
pub struct DiagonalReport {
    /// The entries.
    pub values: Vec<f64>,
    /// Half the length of the interval around each of them: Student's for [`DiagonalMethod::Hutchinson`], wider than that for
    /// [`DiagonalMethod::XDiag`], whose estimates depend on each other; 0 where the entries are exact.
    pub half_widths: Vec<f64>,
    /// Products with single vectors that were spent.
    pub products: usize,
    /// The entries are exact but for rounding.
    pub exact: bool,
}

/// The diagonal of a symmetric operator (n, n).
///
/// # Errors
/// An operator that is not square, not known to be symmetric or random, options out of range, fewer products than a method
/// needs, products that are not finite, no memory, and those of the operator.
pub fn diagonal<T: Scalar>(
    op: &dyn LinearOperator<T>,
    options: &DiagonalOptions,
    seed: SeedTree,
) -> Result<DiagonalReport> {
    let n = check(op)?;
    check_level(options.level)?;
    check_block(options.block)?;
    let least = match options.method {
        DiagonalMethod::Exact => 0,
        DiagonalMethod::Hutchinson => 2,
        DiagonalMethod::XDiag => 4,
    };
    if options.method == DiagonalMethod::Exact || options.products >= n {
        return Ok(DiagonalReport {
            values: exact(op, options.block)?,
            half_widths: vec![0.0; n],
            products: n,
            exact: true,
        });
    }
    if options.products < least {
        let expected = format!("at least {least} for {:?}", options.method);
        return Err(Error::argument("products", options.products, &expected));
    }
    if options.method == DiagonalMethod::Hutchinson {
        return hutchinson(op, options, seed);
    }
    let (mut values, mut half_widths) = (vec![0.0; n], vec![0.0; n]);
    let k = options.products / 2;
    xdiag(op, k, options.block, seed, |i, estimates| {
        let entry = left_out(estimates, options.level, 0.0);
        (values[i], half_widths[i]) = (entry.value, entry.half_width());
    })?;
    Ok(DiagonalReport {
        values,
        half_widths,
        products: 2 * k,
        exact: false,
    })
}

/// The diagonal by products with unit vectors.
pub(super) fn exact<T: Scalar>(op: &dyn LinearOperator<T>, block: usize) -> Result<Vec<f64>> {
    let n = op.shape().1;
    let (mut unit, mut image) = (Columns::new(n), Columns::new(n));
    let mut diagonal = Vec::with_capacity(n);
    for columns in crate::parallel::ranges(n, block) {
        unit.clear();
        image.clear();
        let entries = unit.extend(columns.len())?;
        for (at, j) in columns.clone().enumerate() {
            entries[at * n + j] = T::of(1.0);
        }
        image.multiply(op, &unit, block)?;
        let own = columns
            .enumerate()
            .map(|(at, j)| image.column(at)[j].to_f64());
        diagonal.extend(own);
    }
    Ok(diagonal)
}

fn hutchinson<T: Scalar>(
    op: &dyn LinearOperator<T>,
    options: &DiagonalOptions,
    seed: SeedTree,
) -> Result<DiagonalReport> {
    let (n, probes) = (op.shape().0, options.products);
    let seed = seed.child("diagonal");
    let (mut z, mut image) = (Columns::<T>::new(n), Columns::new(n));
    // Means and sums of squared distances from them, updated probe after probe.
    let (mut values, mut squares) = (vec![0.0; n], vec![0.0; n]);
    for columns in crate::parallel::ranges(probes, options.block) {
        z.clear();
        image.clear();
        for (j, z) in columns
            .clone()
            .zip(z.extend(columns.len())?.chunks_exact_mut(n))
        {
            Probe::Rademacher.draw(seed.stream(j as u64), z);
        }
        image.multiply(op, &z, options.block)?;
        for (at, j) in columns.enumerate() {
            for (i, (z, image)) in z.column(at).iter().zip(image.column(at)).enumerate() {
                let sample = z.to_f64() * image.to_f64();
                let step = sample - values[i];
                values[i] += step / (j + 1) as f64;
                squares[i] += step * (sample - values[i]);
            }
        }
    }
    let t = student_quantile(options.level, (probes - 1) as f64);
    let scale = (probes as f64 * (probes - 1) as f64).sqrt();
    Ok(DiagonalReport {
        half_widths: squares.iter().map(|s| t * s.sqrt() / scale).collect(),
        values,
        products: probes,
        exact: false,
    })
}
