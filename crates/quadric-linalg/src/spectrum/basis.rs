//! Blocks of long vectors, column after column: overlaps, rotations, and orthonormal extensions of a basis.
//!
//! Rows are cut in pieces of a fixed size and partial sums meet in a fixed order: the same bits for any number of threads.

use crate::kernels::pool::Buffer;
use crate::krylov::{Rescale, exponent, finite};
use crate::parallel::{by_rows, map_ranges, tree_sum};
use crate::random::SeedTree;
use crate::vector::{axpy, dot, norm2, scale};
use crate::{Error, ErrorKind, LinearOperator, Result, Scalar};
use faer::linalg::matmul::matmul;
use faer::prelude::ReborrowMut;
use faer::{Accum, Mat, MatMut, MatRef, Par};

/// Rows that one task works on.
const PIECE: usize = 1 << 12;

/// Random vectors, each a pure function of the seed and of its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws {
    pub(super) seed: SeedTree,
    pub(super) used: u64,
}

impl Draws {
    pub(super) fn new(seed: SeedTree) -> Self {
        Self { seed, used: 0 }
    }

    pub(super) fn fill<T: Scalar>(&mut self, v: &mut [T]) {
        let mut stream = self.seed.stream(self.used);
        self.used += 1;
        v.iter_mut().for_each(|v| *v = T::of(stream.normal()));
    }
}

/// A buffer of `k` zero columns of length n.
pub(super) fn columns<T: Scalar>(n: usize, k: usize) -> Result<Vec<T>> {
    let mut buffer = Vec::new();
    let size = n.saturating_mul(k);
    buffer.try_reserve_exact(size).map_err(|e| {
        Error::new(
            ErrorKind::Resource,
            format!("no memory for {k} vectors of length {n}"),
        )
        .with_source(e)
    })?;
    buffer.resize(size, T::of(0.0));
    Ok(buffer)
}

/// The columns (n, k) of a buffer.
pub(super) fn view<T>(v: &[T], n: usize) -> MatRef<'_, T> {
    MatRef::from_column_major_slice(v, n, v.len() / n)
}

fn view_mut<T>(v: &mut [T], n: usize) -> MatMut<'_, T> {
    let k = v.len() / n;
    MatMut::from_column_major_slice_mut(v, n, k)
}

/// `VᵀW` (m, k) of columns of length n.
pub(super) fn overlaps<T: Scalar>(v: &[T], w: &[T], n: usize) -> Result<Mat<f64>> {
    let (v, w) = (view(v, n), view(w, n));
    let (m, k) = (v.ncols(), w.ncols());
    let parts = map_ranges(n, PIECE, |_, rows| {
        let mut part = Mat::<T>::zeros(m, k);
        let (v, w) = (
            v.subrows(rows.start, rows.len()),
            w.subrows(rows.start, rows.len()),
        );
        matmul(
            &mut part,
            Accum::Replace,
            v.transpose(),
            w,
            T::of(1.0),
            Par::Seq,
        );
        part
    });
    let mut sum = Mat::<f64>::zeros(m, k);
    for j in 0..k {
        for i in 0..m {
            sum[(i, j)] = finite(parts.iter().map(|p| p[(i, j)].to_f64()).sum())?;
        }
    }
    Ok(sum)
}

/// `W <- W - V H`.
fn subtract<T: Scalar>(v: &[T], h: &Mat<f64>, w: &mut [T], n: usize) {
    let (v, h) = (view(v, n), narrow::<T>(h, -1.0));
    by_rows(view_mut(w, n), 0, PIECE, &|first, rows| {
        let v = v.subrows(first, rows.nrows());
        matmul(rows, Accum::Add, v, &h, T::of(1.0), Par::Seq);
    });
}

/// Replaces the first columns of V (n, m) by V S with S (m, l), l at most m; the others stay.
pub(crate) fn rotate<T: Scalar>(v: &mut [T], s: MatRef<'_, f64>, n: usize) {
    let (l, s) = (
        s.ncols(),
        Mat::from_fn(s.nrows(), s.ncols(), |i, j| T::of(s[(i, j)])),
    );
    by_rows(view_mut(v, n), 0, PIECE, &|_, mut rows| {
        let m = rows.nrows();
        let mut buffer = Buffer::take(m * l);
        let mut turned = MatMut::from_column_major_slice_mut(&mut buffer, m, l);
        let one = T::of(1.0);
        matmul(&mut turned, Accum::Replace, &rows, &s, one, Par::Seq);
        rows.rb_mut().subcols_mut(0, l).copy_from(turned);
    });
}

fn narrow<T: Scalar>(h: &Mat<f64>, factor: f64) -> Mat<T> {
    Mat::from_fn(h.nrows(), h.ncols(), |i, j| T::of(factor * h[(i, j)]))
}

/// `‖w - θ v‖`.
pub(super) fn residual<T: Scalar>(v: &[T], w: &[T], theta: f64) -> f64 {
    let parts = map_ranges(v.len(), PIECE, |_, rows| {
        let pairs = v[rows.clone()].iter().zip(&w[rows]);
        pairs
            .map(|(v, w)| (w.to_f64() - theta * v.to_f64()).powi(2))
            .sum::<f64>()
    });
    tree_sum(&parts).sqrt()
}

/// Copies the columns of `start` (n, k) and makes them orthonormal; returns how many are independent.
pub(super) fn load<T: Scalar>(
    start: Option<MatRef<'_, T>>,
    into: &mut [T],
    draws: &mut Draws,
    n: usize,
) -> Result<usize> {
    let Some(start) = start else { return Ok(0) };
    let (rows, k) = (start.nrows(), start.ncols());
    if rows != n {
        return Err(Error::shape("the start", (rows, k), (n, k)));
    }
    let mut largest = 0.0f64;
    for j in 0..k {
        let column = &mut into[j * n..(j + 1) * n];
        (0..n).for_each(|i| column[i] = start[(i, j)]);
        let size = norm2(column);
        if !size.is_finite() {
            return Err(Error::non_finite("the start", j, size));
        }
        if size > 0.0 {
            scale(size.recip(), column);
            largest = 1.0;
        }
    }
    let floor = 100.0 * T::EPSILON * largest;
    Ok(split(&[], into, k, floor, 0, draws, n)?.width)
}

/// What [`split`] found: `W = V H + Q C`.
pub(super) struct Split {
    /// H (m, k).
    pub(super) along: Mat<f64>,
    /// C (width, k); a random column of Q has a row of zeros.
    pub(super) beyond: Mat<f64>,
    /// The norm of what was dropped of each column of W (k).
    pub(super) dropped: Vec<f64>,
    /// Columns of Q, which stand in the place of the first columns of W.
    pub(super) width: usize,
}

/// Splits W (n, k) in its part along the orthonormal V (n, m) and an orthonormal Q, which replaces it. Columns with at most
/// `floor` left of them are dropped; random ones are added until Q has `least` columns, for which W must have room.
///
/// Orthogonality by two passes of classical Gram-Schmidt against V (Daniel, Gragg, Kaufman, Stewart 1976).
pub(super) fn split<T: Scalar>(
    v: &[T],
    w: &mut [T],
    k: usize,
    floor: f64,
    least: usize,
    draws: &mut Draws,
    n: usize,
) -> Result<Split> {
    let mut along = Mat::zeros(v.len() / n, k);
    for _ in 0..2 {
        along += project(v, &mut w[..n * k], n)?;
    }
    let mut beyond = Mat::<f64>::zeros(k.max(least), k);
    let (mut width, mut cancelled, mut dropped) = (0, false, vec![0.0; k]);
    for j in 0..k {
        w.copy_within(j * n..(j + 1) * n, width * n);
        let (before, column) = w.split_at_mut(width * n);
        let column = &mut column[..n];
        let size = norm2(column);
        for _ in 0..2 {
            for (i, q) in before.chunks_exact(n).enumerate() {
                let overlap = dot(q, column);
                axpy(-overlap, q, column);
                beyond[(i, j)] += overlap;
            }
        }
        let left = finite(norm2(column))?;
        if left <= floor {
            dropped[j] = left;
            continue;
        }
        cancelled |= left < 0.1 * size;
        scale(left.recip(), column);
        beyond[(width, j)] = left;
        width += 1;
    }
    if cancelled {
        for j in 0..width {
            polish(v, w, j, n)?;
        }
    }
    while width < least {
        random_column(v, w, width, draws, n)?;
        width += 1;
    }
    Ok(Split {
        along,
        beyond: Mat::from_fn(width, k, |i, j| beyond[(i, j)]),
        dropped,
        width,
    })
}

/// Makes W orthogonal to V once, and returns what it took away.
fn project<T: Scalar>(v: &[T], w: &mut [T], n: usize) -> Result<Mat<f64>> {
    if v.is_empty() || w.is_empty() {
        return Ok(Mat::zeros(v.len() / n, w.len() / n));
    }
    let h = overlaps(v, w, n)?;
    subtract(v, &h, w, n);
    Ok(h)
}

/// Makes column j of W orthonormal to V and to the columns before it; returns the norm that was left.
fn polish<T: Scalar>(v: &[T], w: &mut [T], j: usize, n: usize) -> Result<f64> {
    let (before, column) = w.split_at_mut(j * n);
    let column = &mut column[..n];
    project(v, column, n)?;
    project(before, column, n)?;
    let left = norm2(column);
    if left > 0.0 {
        scale(left.recip(), column);
    }
    Ok(left)
}

/// Makes column j of W a random unit vector orthogonal to V and to the columns before it.
fn random_column<T: Scalar>(
    v: &[T],
    w: &mut [T],
    j: usize,
    draws: &mut Draws,
    n: usize,
) -> Result<()> {
    for _ in 0..8 {
        let column = &mut w[j * n..(j + 1) * n];
        draws.fill(column);
        scale(norm2(column).recip(), column);
        // One pass leaves a small vector where the others span nearly everything; the second tells whether it is noise.
        let first = polish(v, w, j, n)?;
        let second = polish(v, w, j, n)?;
        if first > 100.0 * T::EPSILON && second > 0.5 {
            polish(v, w, j, n)?;
            return Ok(());
        }
    }
    Err(Error::new(
        ErrorKind::Internal,
        "no random vector is independent of the basis",
    ))
}

/// Products in a unit that is a power of two near the size of the first product that is not zero, so that operators of any
/// size can be squared and summed in any precision.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unit(pub(super) Option<i32>);

impl Unit {
    /// `W <- A V / unit` with V (n, k).
    pub(super) fn apply<T: Scalar>(
        &mut self,
        op: &dyn LinearOperator<T>,
        v: &[T],
        w: &mut [T],
        n: usize,
    ) -> Result<()> {
        let rows = op.shape().0;
        op.apply(view(v, n), view_mut(w, rows))?;
        let mut size = 0.0f64;
        for column in w.chunks_exact(rows) {
            size = size.max(finite(norm2(column))?);
        }
        if self.0.is_none() && size > 0.0 {
            self.0 = Some(exponent(size));
        }
        if let Some(unit) = self.0.filter(|unit| *unit != 0) {
            let down = Rescale::by(-unit);
            w.iter_mut().for_each(|w| *w = down.entry(*w));
        }
        Ok(())
    }

    /// A value in the units of the operator.
    pub(super) fn value(self, v: f64) -> f64 {
        Rescale::by(self.0.unwrap_or(0)).value(v)
    }
}
