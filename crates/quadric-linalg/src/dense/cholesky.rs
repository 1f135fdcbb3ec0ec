//! Cholesky factorisation and triangular solves, and the factorisation after scaling the diagonal to about one
//! (van der Sluis, "Condition numbers and equilibration of matrices", 1969: within a factor d of the best diagonal scaling).

use crate::kernels::pool::Buffer;
use crate::parallel::{map_ranges, ranges};
use crate::{DataMatrix, Error, ErrorKind, Result, Scalar};
use faer::prelude::ReborrowMut;
use faer::{Mat, MatMut, MatRef};

/// A matrix has no Cholesky factor: elimination met a pivot that is not positive (or not finite).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPositiveDefinite {
    /// The row of the pivot.
    pub index: usize,
}

impl std::fmt::Display for NotPositiveDefinite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the matrix is not positive definite: pivot {} is not positive",
            self.index
        )
    }
}

impl std::error::Error for NotPositiveDefinite {}

impl From<NotPositiveDefinite> for Error {
    fn from(e: NotPositiveDefinite) -> Self {
        Self::new(ErrorKind::Numeric, e.to_string())
    }
}

/// Overwrites the lower triangle of `a` (d, d) with its Cholesky factor L, `A = L Lᵀ`; `d³/3` operations. The rest of
/// `a` is neither read nor written.
///
/// # Errors
/// A pivot that is not positive and finite; the lower triangle is then partly overwritten.
///
/// # Panics
/// A matrix that is not square.
pub fn cholesky_in_place<T: Scalar>(
    a: MatMut<'_, T>,
) -> std::result::Result<(), NotPositiveDefinite> {
    assert_eq!(a.nrows(), a.ncols(), "a square matrix");
    T::cholesky(a).map_err(|index| NotPositiveDefinite { index })
}

/// `B <- A⁻¹ B` with the factor L of [`cholesky_in_place`] in the lower triangle of `l` (d, d), and `b` (d, k).
///
/// # Panics
/// Shapes that do not fit.
pub fn cholesky_solve_in_place<T: Scalar>(l: MatRef<'_, T>, mut b: MatMut<'_, T>) {
    solve_lower_in_place(l, b.rb_mut());
    solve_lower_transposed_in_place(l, b);
}

/// `B <- L⁻¹ B` with the lower triangle of `l` (d, d), and `b` (d, k).
///
/// # Panics
/// Shapes that do not fit.
pub fn solve_lower_in_place<T: Scalar>(l: MatRef<'_, T>, b: MatMut<'_, T>) {
    assert_eq!(
        (l.nrows(), l.ncols()),
        (b.nrows(), b.nrows()),
        "shapes of L⁻¹ B"
    );
    T::solve_lower(l, b);
}

/// `B <- L⁻ᵀ B` with the lower triangle of `l` (d, d), and `b` (d, k).
///
/// # Panics
/// Shapes that do not fit.
pub fn solve_lower_transposed_in_place<T: Scalar>(l: MatRef<'_, T>, b: MatMut<'_, T>) {
    assert_eq!(
        (l.nrows(), l.ncols()),
        (b.nrows(), b.nrows()),
        "shapes of L⁻ᵀ B"
    );
    T::solve_lower_transposed(l, b);
}

/// What an [`EquilibratedCholesky`] had to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CholeskyInfo {
    /// What was added to the diagonal of the scaled matrix, whose diagonal lies in [1, 4): 0 if nothing was needed.
    pub shift: f64,
    /// Factorisations tried.
    pub attempts: usize,
    /// The smallest pivot of the scaled matrix, an upper bound on its smallest eigenvalue.
    pub smallest_pivot: f64,
}

/// The factorisation `S A S + shift I = L Lᵀ` with a diagonal S of powers of two that brings the diagonal of A into
/// [1, 4). Scaling by powers of two is exact, so badly scaled unknowns cost no accuracy.
#[derive(Clone, Debug)]
pub struct EquilibratedCholesky<T> {
    factor: Mat<T>,
    scale: Vec<T>,
    info: CholeskyInfo,
}

/// A square matrix of zeros whose columns do not all start in the same lines of the cache.
fn square<T: Scalar>(d: usize) -> Mat<T> {
    let room = if (d * size_of::<T>()).is_multiple_of(1024) {
        d + 64 / size_of::<T>()
    } else {
        d
    };
    let mut out = Mat::with_capacity(room, d);
    out.resize_with(d, d, |_, _| T::of(0.0));
    out
}

impl<T: Scalar> EquilibratedCholesky<T> {
    /// Factors the symmetric matrix in the lower triangle of `a` (d, d). Where rounding has left it not positive definite,
    /// the smallest of the shifts `d eps 10^i` that helps and does not exceed `max_shift` is added after scaling; with
    /// `max_shift = 0` none is.
    ///
    /// # Errors
    /// A pivot that is not positive after the largest shift, or an entry on the diagonal that is negative or not finite.
    ///
    /// # Panics
    /// A matrix that is not square.
    pub fn new(a: MatRef<'_, T>, max_shift: f64) -> std::result::Result<Self, NotPositiveDefinite> {
        let d = a.nrows();
        let mut this = Self {
            factor: square(d),
            scale: vec![T::of(0.0); d],
            info: CholeskyInfo {
                shift: 0.0,
                attempts: 0,
                smallest_pivot: f64::INFINITY,
            },
        };
        this.refactor(a, max_shift)?;
        Ok(this)
    }

    /// As [`EquilibratedCholesky::new`] for another matrix of the same size, in the same memory. After an error the
    /// factor is not usable.
    ///
    /// # Errors
    /// As [`EquilibratedCholesky::new`].
    ///
    /// # Panics
    /// A matrix of another size.
    pub fn refactor(
        &mut self,
        a: MatRef<'_, T>,
        max_shift: f64,
    ) -> std::result::Result<(), NotPositiveDefinite> {
        let d = self.dim();
        assert_eq!((a.nrows(), a.ncols()), (d, d), "a matrix of the same size");
        for j in 0..d {
            self.scale[j] = scale_of(a[(j, j)]).ok_or(NotPositiveDefinite { index: j })?;
        }
        let first = d.max(1) as f64 * T::EPSILON;
        let (mut shift, mut attempts) = (0.0, 0);
        loop {
            attempts += 1;
            self.fill(a, shift);
            match T::cholesky(self.factor.as_mut()) {
                Ok(()) => break,
                Err(index) => {
                    shift = if shift == 0.0 { first } else { 10.0 * shift };
                    if shift > max_shift {
                        return Err(NotPositiveDefinite { index });
                    }
                }
            }
        }
        let pivot = |j: usize| self.factor[(j, j)].to_f64().powi(2);
        self.info = CholeskyInfo {
            shift,
            attempts,
            smallest_pivot: (0..d).map(pivot).fold(f64::INFINITY, f64::min),
        };
        Ok(())
    }

    /// The lower triangle of `S A S + shift I`.
    fn fill(&mut self, a: MatRef<'_, T>, shift: f64) {
        for j in 0..self.dim() {
            let column = self.scale[j].to_f64();
            for i in j..self.dim() {
                // Two exact products, in an order that cannot overflow before it should.
                let scaled = a[(i, j)].to_f64() * column * self.scale[i].to_f64();
                self.factor[(i, j)] = T::of(scaled);
            }
            self.factor[(j, j)] = T::of(self.factor[(j, j)].to_f64() + shift);
        }
    }

    /// Number of unknowns.
    pub fn dim(&self) -> usize {
        self.scale.len()
    }

    /// What the factorisation had to do.
    pub fn info(&self) -> CholeskyInfo {
        self.info
    }

    /// The lower triangle of L; above it the matrix holds zeros.
    pub fn factor(&self) -> MatRef<'_, T> {
        self.factor.as_ref()
    }

    /// The diagonal of S.
    pub fn scale(&self) -> &[T] {
        &self.scale
    }

    /// `B <- (A + S⁻¹ shift S⁻¹)⁻¹ B` with `b` (d, k).
    ///
    /// # Panics
    /// Shapes that do not fit.
    pub fn solve_in_place(&self, mut b: MatMut<'_, T>) {
        self.solve_half_in_place(b.rb_mut());
        solve_lower_transposed_in_place(self.factor(), b.rb_mut());
        self.scale_rows(b);
    }

    /// `x <- (A + S⁻¹ shift S⁻¹)⁻¹ x` for one vector.
    ///
    /// # Panics
    /// Shapes that do not fit.
    pub fn solve_vector_in_place(&self, x: &mut [T]) {
        let d = x.len();
        self.solve_in_place(MatMut::from_column_major_slice_mut(x, d, 1));
    }

    /// `B <- L⁻¹ S B` with `b` (d, k): afterwards the squared norms of the columns are those of B in the metric A⁻¹.
    ///
    /// # Panics
    /// Shapes that do not fit.
    pub fn solve_half_in_place(&self, mut b: MatMut<'_, T>) {
        self.scale_rows(b.rb_mut());
        solve_lower_in_place(self.factor(), b);
    }

    fn scale_rows(&self, mut b: MatMut<'_, T>) {
        for c in 0..b.ncols() {
            for (j, s) in self.scale.iter().enumerate() {
                b[(j, c)] = T::of(b[(j, c)].to_f64() * s.to_f64());
            }
        }
    }

    /// `max_i ‖x_i‖` over the rows of X in the metric A⁻¹ (0 without rows, NaN where one is): the exact reciprocal of the
    /// radius of the region in which Newton's method is known to converge. With `constant`, every row is followed by
    /// the entry 1 (the intercept). About n d² operations.
    ///
    /// # Errors
    /// Rows of another length than A.
    pub fn max_row_norm(&self, x: &DataMatrix<T>, constant: bool) -> Result<f64> {
        let d = self.dim();
        let width = x.cols() + usize::from(constant);
        if width != d {
            return Err(Error::shape("the rows of X", width, d));
        }
        if d == 0 {
            return Ok(0.0);
        }
        const CHUNK: usize = 1024;
        let norms = map_ranges(x.rows(), CHUNK, |_, chunk| {
            let mut rows = Buffer::<T>::take(ROWS.min(chunk.len()) * d);
            let mut largest = 0.0;
            for piece in ranges(chunk.len(), ROWS) {
                let rows = &mut rows[..piece.len() * d];
                rows.fill(T::of(0.0));
                for (row, i) in rows.chunks_exact_mut(d).zip(piece.clone()) {
                    x.for_row(chunk.start + i, |j, v| row[j] = v);
                    if constant {
                        row[d - 1] = T::of(1.0);
                    }
                }
                let block = MatMut::from_column_major_slice_mut(rows, d, piece.len());
                self.solve_half_in_place(block);
                for row in rows.chunks_exact(d) {
                    largest = larger(largest, crate::vector::norm2(row));
                }
            }
            largest
        });
        Ok(norms.into_iter().fold(0.0, larger))
    }
}

/// Rows solved for at a time.
const ROWS: usize = 128;

/// The larger of two, NaN if one of them is.
fn larger(a: f64, b: f64) -> f64 {
    if b > a || b.is_nan() { b } else { a }
}

/// The power of two s with `s² a` in [1, 4), 1 for a = 0, nothing for other values of a that no positive definite matrix
/// has on its diagonal.
fn scale_of<T: Scalar>(a: T) -> Option<T> {
    let a = a.to_f64();
    if !(a >= 0.0 && a.is_finite()) {
        return None;
    }
    if a == 0.0 {
        return Some(T::of(1.0));
    }
    // Subnormal numbers are brought into the range where the exponent can be read off.
    let (a, extra) = if a < f64::MIN_POSITIVE {
        (a * 2f64.powi(64), 64)
    } else {
        (a, 0)
    };
    let exponent = ((a.to_bits() >> 52) as i32 & 0x7ff) - 1023 - extra;
    Some(T::of(2f64.powi(-exponent.div_euclid(2))))
}
