//! Inverses of block-diagonal matrices, as preconditioners.

use super::precondition::FETCH;
use faer::prelude::ReborrowMut;
use faer::{Mat, MatMut, MatRef};
use quadric_core::{Cost, LinearOperator, Properties, Result, Scalar};
use quadric_linalg::check_apply;
use quadric_linalg::dense::EquilibratedCholesky;
use quadric_linalg::parallel::by_columns;
use std::sync::{Arc, Mutex, PoisonError};

/// A factor in single precision is kept if the pivots of the matrix with diagonal 1 are not below this: rounding changes the
/// matrix by about `sqrt(d) 1e-7`, and the preconditioned system as much more as the smallest eigenvalue is less.
const CLEAR: f64 = 1e-4;

/// The inverse of a block-diagonal matrix.
pub(super) struct BlockInverse<T> {
    pub(super) blocks: Vec<Arc<Block<T>>>,
}

/// A factorised block.
pub(super) enum Block<T> {
    /// In single precision, half the time to make and to fetch: `D A D` with the diagonal D that makes its diagonal 1.
    Narrow {
        factor: EquilibratedCholesky<f32>,
        scale: Vec<f64>,
        /// Right-hand sides.
        pool: Mutex<Vec<Vec<f32>>>,
    },
    Full(EquilibratedCholesky<T>),
}

impl<T: Scalar> Block<T> {
    /// Factors the matrix in the lower triangle of `a` (d, d), in single precision where that will do; none if it is not
    /// positive definite.
    pub(super) fn new(a: MatRef<'_, T>) -> Option<Self> {
        Self::narrow(a).or_else(|| Some(Self::Full(EquilibratedCholesky::new(a, 1e-6).ok()?)))
    }

    fn narrow(a: MatRef<'_, T>) -> Option<Self> {
        let d = a.nrows();
        let unit = |j: usize| {
            let own = a[(j, j)].to_f64();
            (own > 0.0 && own.is_finite()).then(|| own.sqrt().recip())
        };
        let scale = (0..d).map(unit).collect::<Option<Vec<f64>>>()?;
        let mut scaled = Mat::<f32>::zeros(d, d);
        by_columns(scaled.as_mut(), 0, &|j, mut column| {
            for i in j..d {
                column[i] = (a[(i, j)].to_f64() * scale[i] * scale[j]) as f32;
            }
        });
        let factor = EquilibratedCholesky::new(scaled.as_ref(), 0.0).ok()?;
        let is_clear = factor.info().smallest_pivot >= CLEAR;
        is_clear.then(|| Self::Narrow {
            factor,
            scale,
            pool: Mutex::default(),
        })
    }

    fn is_narrow(&self) -> bool {
        matches!(self, Self::Narrow { .. })
    }

    fn dim(&self) -> usize {
        match self {
            Self::Narrow { scale, .. } => scale.len(),
            Self::Full(factor) => factor.dim(),
        }
    }

    /// `B <- A⁻¹ B` with `b` (d, k).
    fn solve_in_place(&self, mut b: MatMut<'_, T>) {
        let (factor, scale, pool) = match self {
            Self::Full(factor) => return factor.solve_in_place(b),
            Self::Narrow {
                factor,
                scale,
                pool,
            } => (factor, scale, pool),
        };
        // Single precision has little room for exponents.
        let unit = |b: MatRef<'_, T>, c: usize| {
            let entries = scale.iter().enumerate();
            let sizes = entries.map(|(j, s)| (b[(j, c)].to_f64() * s).abs());
            sizes.fold(f64::MIN_POSITIVE, f64::max)
        };
        let (d, k) = (b.nrows(), b.ncols());
        let pool = || pool.lock().unwrap_or_else(PoisonError::into_inner);
        let mut room = pool().pop().unwrap_or_default();
        room.resize(d * k, 0.0);
        let mut x = MatMut::from_column_major_slice_mut(&mut room, d, k);
        for c in 0..k {
            let unit = unit(b.as_ref(), c);
            for (j, s) in scale.iter().enumerate() {
                x[(j, c)] = (b[(j, c)].to_f64() * s / unit) as f32;
            }
        }
        factor.solve_in_place(x.rb_mut());
        for c in 0..k {
            let unit = unit(b.as_ref(), c);
            for (j, s) in scale.iter().enumerate() {
                b[(j, c)] = T::of(f64::from(x[(j, c)]) * s * unit);
            }
        }
        pool().push(room);
    }
}

impl<T: Scalar> LinearOperator<T> for BlockInverse<T> {
    fn shape(&self) -> (usize, usize) {
        let dim = self.blocks.iter().map(|b| b.dim()).sum();
        (dim, dim)
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        y.copy_from(x);
        let p = self.blocks[0].dim();
        if let (1, Some(column)) = (y.ncols(), y.rb_mut().col_mut(0).try_as_col_major_mut()) {
            let columns = column.as_slice_mut();
            let parts = MatMut::from_column_major_slice_mut(columns, p, self.blocks.len());
            let mut others = self.blocks.iter().skip(1);
            if others.all(|b| Arc::ptr_eq(b, &self.blocks[0])) {
                // One block for all: fetched once.
                self.blocks[0].solve_in_place(parts);
                return Ok(());
            }
            by_columns(parts, 0, &|c, part| {
                self.blocks[c].solve_in_place(part.as_mat_mut());
            });
            return Ok(());
        }
        for (c, block) in self.blocks.iter().enumerate() {
            let part = y.rb_mut().subrows_mut(c * p, p);
            block.solve_in_place(part);
        }
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties::PSD
    }

    fn cost(&self) -> Cost {
        let dim = self.shape().0 as f64;
        let entries = |block: &Arc<Block<T>>| {
            let own = (block.dim() as f64).powi(2);
            if block.is_narrow() { own / 2.0 } else { own }
        };
        Cost {
            // Every entry of a factor is fetched twice from memory.
            product: FETCH * self.blocks.iter().map(entries).sum::<f64>(),
            dense: dim * dim * self.blocks[0].dim() as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quadric_linalg::random::SeedTree;

    const DIM: usize = 60;

    /// `scale_i scale_j (B Bᵀ / d + shift I)_ij` with normal B.
    fn matrix(shift: f64, scale: impl Fn(usize) -> f64) -> Mat<f64> {
        let mut stream = SeedTree::new(5).child("blocks").stream(0);
        let b = Mat::from_fn(DIM, DIM, |_, _| stream.normal());
        let square = &b * b.transpose();
        Mat::from_fn(DIM, DIM, |i, j| {
            let own = if i == j { shift } else { 0.0 };
            (square[(i, j)] / DIM as f64 + own) * scale(i) * scale(j)
        })
    }

    /// The largest error of a solve, relative to the largest entry of the solution in the units of each unknown.
    fn error(a: &Mat<f64>, block: &Block<f64>, scale: impl Fn(usize) -> f64) -> f64 {
        let exact = Mat::from_fn(DIM, 3, |i, c| (1.0 + (i * (c + 2) % 7) as f64) / scale(i));
        let mut x = a * &exact;
        block.solve_in_place(x.as_mut());
        let difference = |c: usize| {
            let errors = (0..DIM).map(move |i| (i, c));
            errors.map(|(i, c)| (x[(i, c)] - exact[(i, c)]).abs() * scale(i))
        };
        (0..3).flat_map(difference).fold(0.0, f64::max) / 7.0
    }

    #[test]
    fn clear_matrices_of_any_size_are_factorised_in_single_precision() {
        let even = |_: usize| 1.0;
        let tiny = |_: usize| 1e-90;
        let mixed = |i: usize| if i.is_multiple_of(2) { 1e60 } else { 1e-60 };
        for scale in [&even as &dyn Fn(usize) -> f64, &tiny, &mixed] {
            let a = matrix(0.1, scale);
            let block = Block::new(a.as_ref()).expect("positive definite");
            assert!(block.is_narrow());
            let error = error(&a, &block, scale);
            assert!(error < 1e-4, "{error:e}");
        }
    }

    #[test]
    fn others_keep_their_precision() {
        let a = matrix(1e-7, |_| 1.0);
        let dependent = Mat::from_fn(DIM, DIM, |i, j| {
            let twin = |k: usize| if k == 1 { 0 } else { k };
            let own = if i == 1 && j == 1 { 1e-7 } else { 0.0 };
            a[(twin(i), twin(j))] + own
        });
        let block = Block::new(dependent.as_ref()).expect("positive definite");
        assert!(!block.is_narrow());
        let error = error(&dependent, &block, |_| 1.0);
        assert!(error < 1e-5, "{error:e}");
    }

    #[test]
    fn what_is_not_positive_definite_has_no_inverse() {
        let mut a = matrix(0.1, |_| 1.0);
        a[(7, 7)] = -1.0;
        assert!(Block::new(a.as_ref()).is_none());
        a[(7, 7)] = f64::NAN;
        assert!(Block::new(a.as_ref()).is_none());
    }
}
