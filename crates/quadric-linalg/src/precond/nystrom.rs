//! Randomised Nyström preconditioner.
//!
//! Frangella, Tropp, Udell, "Randomized Nyström preconditioning", arXiv 2110.02820: Algorithm 2.1 (a stable approximation
//! U Λ Uᵀ of a positive semidefinite A from its product with a random block) and equation (1.3), the preconditioner
//! P⁻¹ = (λ_ℓ + μ) U (Λ + μ)⁻¹ Uᵀ + I - U Uᵀ for A + μ I. With rank 2⌈1.5 d_eff(μ)⌉ + 1 the expected condition number is at
//! most 28. Deviations: the factorisations run in f64 whatever the operator's scalar is; the singular values come from the
//! eigenvalues of the small matrix R Rᵀ; the rank doubles on the sketch at hand, so no product is repeated.

use crate::dense::{ThinQr, cholesky_in_place, solve_lower_in_place, symmetric_eigen, thin_qr};
use crate::kernels::pool::Buffer;
use crate::random::SeedTree;
use crate::{Cost, Error, ErrorKind, LinearOperator, Properties, Result, Scalar, check_apply};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use std::sync::Arc;

/// First rank of [`NystromPreconditioner::adaptive`].
const START: usize = 16;

/// P⁻¹ for A + shift I, with A positive semidefinite.
#[derive(Clone, Debug)]
pub struct NystromPreconditioner<T> {
    /// Orthonormal columns (n, rank), shared between shifts.
    vectors: Arc<Mat<T>>,
    /// Descending, not negative.
    values: Arc<[f64]>,
    shift: f64,
}

/// A random orthonormal block and its image, in f64.
struct Sketch {
    basis: Mat<f64>,
    image: Mat<f64>,
}

impl<T: Scalar> NystromPreconditioner<T> {
    /// Sketches `op` (n, n), which must be known to be positive semidefinite, by one product with `rank` vectors (n at most).
    ///
    /// # Errors
    /// An operator that is not known to be positive semidefinite or turns out not to be, a rank of 0, a shift that is not
    /// positive, a product that is not finite, and those of the operator.
    pub fn new(
        op: &dyn LinearOperator<T>,
        rank: usize,
        shift: f64,
        seed: SeedTree,
    ) -> Result<Self> {
        check(op, rank, shift)?;
        let sketch = Sketch::empty(op.shape().0).grow(op, rank, seed)?;
        Self::factor(&sketch, shift)
    }

    /// Doubles the rank from 16 until the smallest eigenvalue of the approximation is at most ten times the shift, or the
    /// rank is `max_rank` (or n).
    ///
    /// # Errors
    /// As [`NystromPreconditioner::new`].
    pub fn adaptive(
        op: &dyn LinearOperator<T>,
        shift: f64,
        max_rank: usize,
        seed: SeedTree,
    ) -> Result<Self> {
        check(op, max_rank, shift)?;
        let limit = max_rank.min(op.shape().0);
        let mut sketch = Sketch::empty(op.shape().0);
        let mut rank = START.min(limit);
        loop {
            sketch = sketch.grow(op, rank, seed)?;
            let factored = Self::factor(&sketch, shift)?;
            if rank == limit || factored.smallest() <= 10.0 * shift {
                return Ok(factored);
            }
            rank = (2 * rank).min(limit);
        }
    }

    /// The preconditioner for another shift: the sketch is shared, only the diagonal changes.
    ///
    /// # Errors
    /// A shift that is not positive.
    pub fn for_shift(&self, shift: f64) -> Result<Self> {
        check_shift(shift)?;
        Ok(Self {
            shift,
            ..self.clone()
        })
    }

    /// Eigenvalues of the approximation, descending.
    pub fn eigenvalues(&self) -> &[f64] {
        &self.values
    }

    /// Eigenvectors of the approximation, (n, rank).
    pub fn eigenvectors(&self) -> MatRef<'_, T> {
        self.vectors.as_ref().as_ref()
    }

    /// The shift μ it was made for.
    pub fn shift(&self) -> f64 {
        self.shift
    }

    /// Effective dimension tr(A (A + μ I)⁻¹) of the approximation: a lower bound of that of A.
    pub fn effective_dimension(&self) -> f64 {
        self.values.iter().map(|v| v / (v + self.shift)).sum()
    }

    fn smallest(&self) -> f64 {
        self.values.last().copied().unwrap_or(0.0)
    }

    fn factor(sketch: &Sketch, shift: f64) -> Result<Self> {
        let (values, vectors) = sketch.eigen(T::EPSILON)?;
        let vectors = Mat::from_fn(vectors.nrows(), vectors.ncols(), |i, j| {
            T::of(vectors[(i, j)])
        });
        Ok(Self {
            vectors: Arc::new(vectors),
            values: values.into(),
            shift,
        })
    }
}

impl<T: Scalar> LinearOperator<T> for NystromPreconditioner<T> {
    fn shape(&self) -> (usize, usize) {
        (self.vectors.nrows(), self.vectors.nrows())
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let (rank, k) = (self.values.len(), x.ncols());
        let (one, u) = (T::of(1.0), self.vectors.as_ref());
        let floor = self.smallest() + self.shift;
        let mut buffer = Buffer::take(rank * k);
        let mut w = MatMut::from_column_major_slice_mut(&mut buffer, rank, k);
        matmul(&mut w, Accum::Replace, u.transpose(), x, one, Par::Seq);
        for j in 0..k {
            for (i, value) in self.values.iter().enumerate() {
                let factor = (floor - value - self.shift) / (value + self.shift);
                w[(i, j)] = T::of(factor * w[(i, j)].to_f64());
            }
        }
        y.copy_from(x);
        matmul(&mut y, Accum::Add, u, w.as_ref(), one, Par::Seq);
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties::PSD
    }

    fn cost(&self) -> Cost {
        let (n, rank) = (self.vectors.nrows() as f64, self.values.len() as f64);
        Cost {
            product: 4.0 * n * rank,
            dense: 2.0 * n * n * rank,
        }
    }
}

impl Sketch {
    fn empty(n: usize) -> Self {
        Self {
            basis: Mat::zeros(n, 0),
            image: Mat::zeros(n, 0),
        }
    }

    /// Extends the random block to `rank` columns; column j is drawn from stream j, whatever the order of growth.
    fn grow<T: Scalar>(
        self,
        op: &dyn LinearOperator<T>,
        rank: usize,
        seed: SeedTree,
    ) -> Result<Self> {
        let (n, old) = (self.basis.nrows(), self.basis.ncols());
        let new = rank.min(n) - old;
        let mut fresh = Mat::<f64>::zeros(n, new);
        for j in 0..new {
            let mut stream = seed.stream((old + j) as u64);
            (0..n).for_each(|i| fresh[(i, j)] = stream.normal());
        }
        // Twice is enough for orthogonality to the old columns.
        for _ in 0..2 {
            if old > 0 {
                let mut overlap = Mat::<f64>::zeros(old, new);
                let basis = self.basis.as_ref();
                matmul(
                    &mut overlap,
                    Accum::Replace,
                    basis.transpose(),
                    &fresh,
                    1.0,
                    Par::Seq,
                );
                matmul(&mut fresh, Accum::Add, basis, &overlap, -1.0, Par::Seq);
            }
            fresh = thin_qr(fresh.as_ref())?.q;
        }
        let block = Mat::from_fn(n, new, |i, j| T::of(fresh[(i, j)]));
        let mut image = Mat::<T>::zeros(n, new);
        op.apply(block.as_ref(), image.as_mut())?;
        for (i, j) in (0..new).flat_map(|j| (0..n).map(move |i| (i, j))) {
            let value = image[(i, j)].to_f64();
            if !value.is_finite() {
                return Err(Error::non_finite(
                    "the sketch of the operator",
                    (i, old + j),
                    value,
                ));
            }
        }
        let join = |a: &Mat<f64>, b: &dyn Fn(usize, usize) -> f64| {
            Mat::from_fn(n, old + new, |i, j| {
                if j < old { a[(i, j)] } else { b(i, j - old) }
            })
        };
        Ok(Self {
            // The block as the operator saw it, after rounding.
            basis: join(&self.basis, &|i, j| block[(i, j)].to_f64()),
            image: join(&self.image, &|i, j| image[(i, j)].to_f64()),
        })
    }

    /// Eigenvalues and eigenvectors of the Nyström approximation; `epsilon` is that of the scalar of the products.
    fn eigen(&self, epsilon: f64) -> Result<(Vec<f64>, Mat<f64>)> {
        let (n, rank) = (self.basis.nrows(), self.basis.ncols());
        let norm = self.image.norm_l2();
        let mut core = Mat::<f64>::zeros(rank, rank);
        matmul(
            &mut core,
            Accum::Replace,
            self.basis.transpose(),
            &self.image,
            1.0,
            Par::Seq,
        );
        let asymmetry = (0..rank)
            .flat_map(|i| (0..i).map(move |j| (i, j)))
            .fold(0.0, |m: f64, (i, j)| {
                m.max((core[(i, j)] - core[(j, i)]).abs())
            });
        if asymmetry > 1e3 * epsilon.sqrt() * norm {
            return Err(Error::new(
                ErrorKind::Numeric,
                "the operator is not symmetric, although it says it is",
            ));
        }
        // A multiple of the identity keeps rounding from making the core indefinite; it is taken off at the end.
        let mut nudge = (n as f64).sqrt() * epsilon * norm;
        for _ in 0..5 {
            let mut lower = Mat::from_fn(rank, rank, |i, j| {
                0.5 * (core[(i, j)] + core[(j, i)]) + if i == j { nudge } else { 0.0 }
            });
            if norm == 0.0 || cholesky_in_place(lower.as_mut()).is_ok() {
                return self.finish(&lower, nudge);
            }
            nudge *= 10.0;
        }
        Err(Error::new(
            ErrorKind::Numeric,
            "the operator is not positive semidefinite, although it says it is",
        ))
    }

    /// From the Cholesky factor C of the core: B = Y C⁻ᵀ, whose singular values squared are the eigenvalues.
    fn finish(&self, lower: &Mat<f64>, nudge: f64) -> Result<(Vec<f64>, Mat<f64>)> {
        let (n, rank) = (self.basis.nrows(), self.basis.ncols());
        if nudge == 0.0 {
            return Ok((vec![0.0; rank], self.basis.clone()));
        }
        let mut b = Mat::from_fn(n, rank, |i, j| {
            self.image[(i, j)] + nudge * self.basis[(i, j)]
        });
        solve_lower_in_place(lower.as_ref(), b.as_mut().transpose_mut());
        let ThinQr { q, r } = thin_qr(b.as_ref())?;
        let mut gram = Mat::<f64>::zeros(rank, rank);
        matmul(&mut gram, Accum::Replace, &r, r.transpose(), 1.0, Par::Seq);
        let eigen = symmetric_eigen(gram.as_ref())?;
        let mut vectors = Mat::<f64>::zeros(n, rank);
        let descending = eigen.vectors.as_ref().reverse_cols();
        matmul(&mut vectors, Accum::Replace, &q, descending, 1.0, Par::Seq);
        let values = eigen.values.iter().rev();
        let values = values.map(|v| (v - nudge).max(0.0)).collect();
        Ok((values, vectors))
    }
}

fn check<T: Scalar>(op: &dyn LinearOperator<T>, rank: usize, shift: f64) -> Result<()> {
    let (m, n) = op.shape();
    if m != n {
        return Err(Error::shape("the operator", (m, n), (n, n)));
    }
    if !op.properties().psd {
        return Err(Error::new(
            ErrorKind::Capability,
            "a Nyström preconditioner needs an operator known to be positive semidefinite",
        ));
    }
    if rank == 0 && n > 0 {
        return Err(Error::argument("rank", rank, "at least 1"));
    }
    check_shift(shift)
}

fn check_shift(shift: f64) -> Result<()> {
    if shift > 0.0 && shift.is_finite() {
        return Ok(());
    }
    Err(Error::argument("shift", shift, "a positive number"))
}
