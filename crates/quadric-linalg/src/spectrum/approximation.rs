//! Low-rank approximations of operators, and what their eigenvectors make cheap: shifted solves and log-determinants.
//!
//! Halko, Martinsson, Tropp, "Finding structure with randomness", SIAM Rev. 53 (2011), Algorithms 4.4 (a basis of the range, by
//! products with random vectors that are made orthonormal in between), 5.1 (SVD) and 5.3 (eigenvalues); for positive
//! semidefinite operators [`NystromPreconditioner`], which needs a single pass.

use super::basis::{Draws, Unit, columns, overlaps, rotate, split};
use super::{Eigenpairs, check_operator};
use crate::algebra::LowRank;
use crate::dense::{Svd, svd, symmetric_eigen};
use crate::precond::NystromPreconditioner;
use crate::random::SeedTree;
use crate::{Cost, Error, ErrorKind, LinearOperator, Properties, Result, Scalar, check_apply};
use faer::{Mat, MatMut, MatRef};

/// Random vectors beyond the rank.
const BEYOND: usize = 8;

/// V diag(λ) Vᵀ with orthonormal columns V (n, r), and functions of it.
#[derive(Clone, Debug)]
pub struct EigenApproximation<T>(LowRank<T>);

impl<T: Scalar> EigenApproximation<T> {
    /// From eigenpairs, such as some of the largest magnitude.
    ///
    /// # Errors
    /// A value that is not finite.
    pub fn from_pairs(pairs: Eigenpairs<T>) -> Result<Self> {
        if let Some(j) = pairs.values.iter().position(|v| !v.is_finite()) {
            return Err(Error::non_finite("the eigenvalues", j, pairs.values[j]));
        }
        Ok(Self(LowRank::new(pairs.vectors, pairs.values, 0.0)?))
    }

    /// The Nyström approximation of a positive semidefinite operator, from one product with `rank` vectors.
    ///
    /// # Errors
    /// As [`NystromPreconditioner::new`].
    pub fn nystrom(op: &dyn LinearOperator<T>, rank: usize, seed: SeedTree) -> Result<Self> {
        // The shift takes no part in the approximation.
        let sketch = NystromPreconditioner::new(op, rank, 1.0, seed)?;
        let vectors = sketch.eigenvectors().to_owned();
        Ok(Self(LowRank::new(
            vectors,
            sketch.eigenvalues().to_vec(),
            0.0,
        )?))
    }

    /// Approximate eigenpairs of largest magnitude of any symmetric operator (n, n): Rayleigh-Ritz in the range of
    /// `A^passes` applied to `rank` + 8 random vectors; `passes` + 1 products with each.
    ///
    /// # Errors
    /// A rank of 0 or above n, no passes, an operator that is not known to be symmetric, products that are not finite, and
    /// those of the operator.
    pub fn randomized(
        op: &dyn LinearOperator<T>,
        rank: usize,
        passes: usize,
        seed: SeedTree,
    ) -> Result<Self> {
        let n = check_operator(op)?;
        let k = check_rank(rank, passes, n)?;
        let mut draws = Draws::new(seed);
        let mut unit = Unit::default();
        let mut q = random(n, k, &mut draws)?;
        let mut image = columns(n, k)?;
        for _ in 0..passes {
            unit.apply(op, &q, &mut image, n)?;
            split(&[], &mut image, k, 0.0, k, &mut draws, n)?;
            std::mem::swap(&mut q, &mut image);
        }
        unit.apply(op, &q, &mut image, n)?;
        let eigen = symmetric_eigen(overlaps(&q, &image, n)?.as_ref())?;
        let mut order: Vec<usize> = (0..k).collect();
        order.sort_by(|a, b| eigen.values[*b].abs().total_cmp(&eigen.values[*a].abs()));
        let kept = Mat::from_fn(k, rank, |i, j| eigen.vectors[(i, order[j])]);
        rotate(&mut q, kept.as_ref(), n);
        let vectors = MatRef::from_column_major_slice(&q[..n * rank], n, rank).to_owned();
        let values = order[..rank].iter().map(|j| unit.value(eigen.values[*j]));
        Ok(Self(LowRank::new(vectors, values.collect(), 0.0)?))
    }

    /// Eigenvalues (r).
    pub fn values(&self) -> &[f64] {
        self.0.values()
    }

    /// Eigenvectors (n, r).
    pub fn vectors(&self) -> MatRef<'_, T> {
        self.0.vectors()
    }

    /// `V Λ Vᵀ + shift I`, sharing the vectors.
    ///
    /// # Errors
    /// A shift that is not finite.
    pub fn shifted(&self, shift: f64) -> Result<LowRank<T>> {
        if !shift.is_finite() {
            return Err(Error::argument("shift", shift, "a finite number"));
        }
        self.0.reweighted(self.values().to_vec(), shift)
    }

    /// `(V Λ Vᵀ + shift I)⁻¹`, by Woodbury's identity `V ((Λ + shift)⁻¹ - 1/shift) Vᵀ + 1/shift`.
    ///
    /// # Errors
    /// A shift of 0 or not finite, or one that makes the operator singular.
    pub fn inverse(&self, shift: f64) -> Result<LowRank<T>> {
        if shift == 0.0 || !shift.recip().is_finite() || !shift.is_finite() {
            return Err(Error::argument(
                "shift",
                shift,
                "a finite number other than 0",
            ));
        }
        // 1/(λ + s) - 1/s without cancellation.
        let weights: Vec<f64> = (self.values().iter())
            .map(|v| -(v / (v + shift)) / shift)
            .collect();
        if weights.iter().any(|w| !w.is_finite()) {
            return Err(singular(shift));
        }
        self.0.reweighted(weights, shift.recip())
    }

    /// `log det(V Λ Vᵀ + shift I)`.
    ///
    /// # Errors
    /// A shift that is not positive, or that leaves the operator indefinite or singular.
    pub fn log_det(&self, shift: f64) -> Result<f64> {
        if !(shift > 0.0 && shift.is_finite()) {
            return Err(Error::argument("shift", shift, "a positive number"));
        }
        let n = self.vectors().nrows() as f64;
        let parts = self.values().iter().map(|v| (v / shift).ln_1p());
        let sum: f64 = parts.sum();
        if self.values().iter().any(|v| v + shift <= 0.0) || !sum.is_finite() {
            return Err(singular(shift));
        }
        Ok(sum + n * shift.ln())
    }
}

fn singular(shift: f64) -> Error {
    Error::new(
        ErrorKind::Numeric,
        format!("the approximation plus {shift:e} times the identity is singular or indefinite"),
    )
}

impl<T: Scalar> LinearOperator<T> for EigenApproximation<T> {
    fn shape(&self) -> (usize, usize) {
        self.0.shape()
    }

    fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()> {
        self.0.apply(x, y)
    }

    fn properties(&self) -> Properties {
        self.0.properties()
    }

    fn dense(&self, out: MatMut<'_, T>) -> Result<()> {
        self.0.dense(out)
    }

    fn cost(&self) -> Cost {
        self.0.cost()
    }
}

/// An approximate singular value decomposition of any operator (m, n), cut to `rank`: its part in the range of
/// `(A Aᵀ)^(passes - 1) A` applied to `rank` + 8 random vectors; 2 `passes` products, half of them with Aᵀ, with each.
///
/// # Errors
/// A rank of 0 or above the smaller side, no passes, products that are not finite, and those of the operator.
pub fn randomized_svd<T: Scalar>(
    op: &dyn LinearOperator<T>,
    rank: usize,
    passes: usize,
    seed: SeedTree,
) -> Result<Svd<T>> {
    let (m, n) = op.shape();
    let k = check_rank(rank, passes, m.min(n))?;
    let mut draws = Draws::new(seed);
    let mut right = random(n, k, &mut draws)?;
    let mut left = columns(m, k)?;
    let turned = Transposed(op);
    let (mut unit, mut back) = (Unit::default(), Unit::default());
    for pass in 0..passes {
        if pass > 0 {
            split(&[], &mut right, k, 0.0, k, &mut draws, n)?;
        }
        unit.apply(op, &right, &mut left, n)?;
        split(&[], &mut left, k, 0.0, k, &mut draws, m)?;
        back.apply(&turned, &left, &mut right, m)?;
    }
    // A is near Q Qᵀ A = Q Bᵀ with B = Aᵀ Q, and B = U S Wᵀ.
    let inner = svd(MatRef::from_column_major_slice(&right, n, k))?;
    let weights = Mat::from_fn(k, rank, |i, j| inner.v[(i, j)].to_f64());
    rotate(&mut left, weights.as_ref(), m);
    Ok(Svd {
        u: MatRef::from_column_major_slice(&left[..m * rank], m, rank).to_owned(),
        values: (inner.values[..rank].iter())
            .map(|v| T::of(back.value(v.to_f64())))
            .collect(),
        v: Mat::from_fn(n, rank, |i, j| inner.u[(i, j)]),
    })
}

/// The transpose of an operator that is borrowed.
struct Transposed<'a, T>(&'a dyn LinearOperator<T>);

impl<T: Scalar> LinearOperator<T> for Transposed<'_, T> {
    fn shape(&self) -> (usize, usize) {
        let (m, n) = self.0.shape();
        (n, m)
    }

    fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        self.0.apply_adjoint(x, y)
    }
}

/// Random orthonormal columns (n, k).
fn random<T: Scalar>(n: usize, k: usize, draws: &mut Draws) -> Result<Vec<T>> {
    let mut q = columns(n, k)?;
    split(&[], &mut q, 0, 0.0, k, draws, n)?;
    Ok(q)
}

/// The number of random vectors for a rank.
fn check_rank(rank: usize, passes: usize, n: usize) -> Result<usize> {
    if rank == 0 || rank > n {
        return Err(Error::argument("rank", rank, &format!("1 to {n}")));
    }
    if passes == 0 {
        return Err(Error::argument("passes", passes, "at least 1"));
    }
    Ok((rank + BEYOND).min(n))
}
