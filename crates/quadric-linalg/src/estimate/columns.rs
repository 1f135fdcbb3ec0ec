//! Blocks of columns that grow, stored in the scalar of the operator and multiplied in f64.

use super::probe::Probe;
use crate::krylov::normalise;
use crate::parallel::{by_rows, map_ranges, ranges};
use crate::random::SeedTree;
use crate::vector::{axpy, dot, norm2};
use crate::{Error, ErrorKind, LinearOperator, Result, Scalar};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

/// Rows that are widened to f64 at a time.
const PANEL: usize = 1024;
/// Rows that one task of a product works on.
const PIECE: usize = 1 << 15;

/// A block (n, k), column after column, whose k grows.
#[derive(Clone, Debug)]
pub(super) struct Columns<T> {
    n: usize,
    count: usize,
    data: Vec<T>,
}

impl<T: Scalar> Columns<T> {
    pub(super) fn new(n: usize) -> Self {
        Self {
            n,
            count: 0,
            data: Vec::new(),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.n
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn column(&self, j: usize) -> &[T] {
        &self.data[j * self.n..(j + 1) * self.n]
    }

    pub(super) fn as_ref(&self) -> MatRef<'_, T> {
        MatRef::from_column_major_slice(&self.data, self.n, self.count)
    }

    /// All entries, column after column.
    pub(super) fn entries(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// Forgets all columns and keeps their memory.
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.data.clear();
    }

    /// Appends `more` zero columns and returns their entries.
    ///
    /// # Errors
    /// No memory.
    pub(super) fn extend(&mut self, more: usize) -> Result<&mut [T]> {
        let old = self.data.len();
        let added = self.n.checked_mul(more);
        let added = added.filter(|a| self.data.try_reserve(*a).is_ok());
        let Some(added) = added else {
            return Err(no_memory(self.n, self.count + more));
        };
        self.data.resize(old + added, T::of(0.0));
        self.count += more;
        Ok(&mut self.data[old..])
    }

    /// Appends the products of `op` with the columns of `x` that have none yet, `block` at a time.
    ///
    /// # Errors
    /// Those of the operator, products that are not finite, no memory.
    pub(super) fn multiply(
        &mut self,
        op: &dyn LinearOperator<T>,
        x: &Self,
        block: usize,
    ) -> Result<()> {
        let n = self.n;
        while self.count < x.count {
            let first = self.count;
            let k = block.min(x.count - first);
            let image = self.extend(k)?;
            let operand = &x.data[first * n..(first + k) * n];
            op.apply(
                MatRef::from_column_major_slice(operand, n, k),
                MatMut::from_column_major_slice_mut(image, n, k),
            )?;
            check_finite(image)?;
        }
        Ok(())
    }

    /// Appends an orthonormal basis of what the columns of `y` add to these orthonormal ones, and returns R (all columns, those
    /// of y) with Y = Q R. Where a column adds nothing, Q gets a random one, and R a zero on its diagonal.
    ///
    /// # Errors
    /// Columns that are not finite, no memory.
    pub(super) fn orthonormalise(&mut self, y: &Self, seed: SeedTree) -> Result<Mat<f64>> {
        let (n, old, k) = (self.n, self.count, y.count);
        let mut r = Mat::<f64>::zeros(old + k, k);
        let mut rest = y.data.clone();
        for _ in 0..2 {
            let block = MatRef::from_column_major_slice(&rest, n, k);
            let c = gram(self.as_ref(), block);
            let block = MatMut::from_column_major_slice_mut(&mut rest, n, k);
            subtract(self.as_ref(), c.as_ref(), block);
            for (i, j) in (0..k).flat_map(|j| (0..old).map(move |i| (i, j))) {
                r[(i, j)] += c[(i, j)];
            }
        }
        for j in 0..k {
            let column = &mut rest[j * n..(j + 1) * n];
            let size = norm2(y.column(j));
            for _ in 0..2 {
                self.project(old, column, |i, c| r[(i, j)] += c);
            }
            let known = norm2(column) <= 100.0 * T::EPSILON * size;
            if known {
                Probe::Gaussian.draw(seed.stream((old + j) as u64), column);
                self.project(0, column, |_, _| {});
            }
            let left = normalise(column)?;
            let mut norm = if known { 0.0 } else { left };
            // What is left may be mostly the error of the projections; more of them after the division remove it.
            for _ in 0..2 {
                self.project(0, column, |i, c| r[(i, j)] += norm * c);
                norm *= normalise(column)?;
            }
            r[(old + j, j)] = norm;
            self.extend(1)?.copy_from_slice(column);
        }
        Ok(r)
    }

    /// `v <- v - Σ q_i (q_iᵀv)` over the columns from `first` on; tells the coefficients.
    fn project(&self, first: usize, v: &mut [T], mut tell: impl FnMut(usize, f64)) {
        for i in first..self.count {
            let c = dot(self.column(i), v);
            axpy(-c, self.column(i), v);
            tell(i, c);
        }
    }
}

pub(super) fn no_memory(n: usize, columns: usize) -> Error {
    Error::new(
        ErrorKind::Resource,
        format!("there is no memory for {columns} vectors of length {n}"),
    )
}

/// Refuses a product that is not finite.
pub(super) fn check_finite<T: Scalar>(image: &[T]) -> Result<()> {
    match image.iter().position(|v| !v.to_f64().is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::non_finite(
            "a product of the operator",
            at,
            image[at].to_f64(),
        )),
    }
}

/// Some rows of a block in f64.
fn widen<T: Scalar>(a: MatRef<'_, T>, rows: std::ops::Range<usize>) -> Mat<f64> {
    let mut wide = Mat::zeros(rows.len(), a.ncols());
    let part = a.subrows(rows.start, rows.len());
    for (from, into) in part.col_iter().zip(wide.col_iter_mut()) {
        let pairs = into.iter_mut().zip(from.iter());
        pairs.for_each(|(w, v): (&mut f64, &T)| *w = v.to_f64());
    }
    wide
}

/// `AᵀB` with `a` (n, p) and `b` (n, q), summed in f64.
pub(super) fn gram<T: Scalar>(a: MatRef<'_, T>, b: MatRef<'_, T>) -> Mat<f64> {
    let (p, q) = (a.ncols(), b.ncols());
    if p == 0 || q == 0 {
        return Mat::zeros(p, q);
    }
    let pieces = map_ranges(a.nrows(), PIECE, |_, piece| {
        let mut sum = Mat::<f64>::zeros(p, q);
        for rows in ranges(piece.len(), PANEL) {
            let rows = piece.start + rows.start..piece.start + rows.end;
            let (a, b) = (widen(a, rows.clone()), widen(b, rows));
            matmul(&mut sum, Accum::Add, a.transpose(), &b, 1.0, Par::Seq);
        }
        sum
    });
    let mut sum = Mat::zeros(p, q);
    pieces.iter().for_each(|piece| sum += piece);
    sum
}

/// `Y <- Y - A C` with `a` (n, p), `c` (p, q) and `y` (n, q), rounded once per entry.
pub(super) fn subtract<T: Scalar>(a: MatRef<'_, T>, c: MatRef<'_, f64>, y: MatMut<'_, T>) {
    if a.ncols() == 0 || y.ncols() == 0 {
        return;
    }
    by_rows(y, 0, PANEL, &|first, mut rows| {
        let m = rows.nrows();
        let mut block = widen(rows.as_ref(), 0..m);
        let part = widen(a, first..first + m);
        matmul(&mut block, Accum::Add, &part, c, -1.0, Par::Seq);
        for (from, into) in block.col_iter().zip(rows.as_mut().col_iter_mut()) {
            let pairs = into.iter_mut().zip(from.iter());
            pairs.for_each(|(v, w): (&mut T, &f64)| *v = T::of(*w));
        }
    });
}
