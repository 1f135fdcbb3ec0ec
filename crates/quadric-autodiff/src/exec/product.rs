//! Products of matrices, on the dense kernels of the linear algebra crate.
//!
//! Results are cut in tiles by size alone, and every tile is computed by one thread.

use super::memory::{Memory, Place};
use super::view::{Strides, View};
use crate::types::Shape;
use faer::{MatMut, MatRef};
use quadric_linalg::Scalar;
use quadric_linalg::dense::{add_product, product};
use std::ops::Range;

/// Multiplications that are not worth a task.
const TASK: usize = 1 << 22;
/// Multiplications of a task, at most.
const LARGEST: usize = 1 << 26;
/// A product is cut in as many tasks, at least, if they are worth it.
const TASKS: usize = 4;
/// Rows and columns of a task, at most: longer ones are slower, and both factors have to be rearranged for each task.
const SIDE: usize = 256;
/// Cuts are at multiples of this.
const LEAST: usize = 64;

/// Writes a product of two matrices, or adds it.
type Multiply<T> = fn(MatRef<'_, T>, MatRef<'_, T>, MatMut<'_, T>);

/// One of the two arguments: matrices with contiguous rows or columns.
#[derive(Clone, Debug)]
struct Side {
    place: Place,
    offset: isize,
    /// Steps along the axes in front.
    front: Strides,
    rows: isize,
    columns: isize,
}

/// Products of pairs of matrices.
#[derive(Debug)]
pub(super) struct Product {
    a: Side,
    b: Side,
    pub(super) out: Place,
    /// Whether it adds to what is there.
    adds: bool,
    /// Whether it does so in a run that adds to sums.
    pub(super) is_sum: bool,
    front: Shape,
    m: usize,
    k: usize,
    n: usize,
}

/// True if the matrices of a view have contiguous rows or columns.
pub(super) fn is_matrix(v: &View) -> bool {
    let rank = v.shape.len();
    let (rows, columns) = (v.strides[rank - 2], v.strides[rank - 1]);
    v.strides.iter().all(|&s| s >= 0)
        && is_ordered(rows, columns, v.shape[rank - 2], v.shape[rank - 1])
}

/// True if the rows or the columns of an `m x n` matrix are contiguous and do not overlap.
fn is_ordered(rows: isize, columns: isize, m: usize, n: usize) -> bool {
    let ordered = |inner: isize, outer: isize, len: usize, count: usize| {
        (inner == 1 || len == 1) && (outer >= len as isize || count == 1)
    };
    ordered(columns, rows, n, m) || ordered(rows, columns, m, n)
}

impl Side {
    fn new(v: &View, place: Place) -> Self {
        let rank = v.shape.len();
        Self {
            place,
            offset: v.offset,
            front: v.strides[..rank - 2].into(),
            rows: v.strides[rank - 2],
            columns: v.strides[rank - 1],
        }
    }

    /// The `rows x columns` matrix that starts at an entry.
    fn matrix<'v, T>(
        &self,
        data: &'v [T],
        start: usize,
        rows: usize,
        columns: usize,
    ) -> MatRef<'v, T> {
        let data = &data[start..];
        let is_row_major =
            (self.columns == 1 || columns == 1) && (self.rows as usize >= columns || rows == 1);
        if is_row_major {
            let step = if rows == 1 {
                columns
            } else {
                self.rows as usize
            };
            let data = &data[..(rows - 1) * step + columns];
            MatRef::from_row_major_slice_with_stride(data, rows, columns, step)
        } else {
            let step = if columns == 1 {
                rows
            } else {
                self.columns as usize
            };
            let data = &data[..(columns - 1) * step + rows];
            MatRef::from_column_major_slice_with_stride(data, rows, columns, step)
        }
    }
}

impl Product {
    pub(super) fn new(a: (&View, Place), b: (&View, Place), out: Place, adds: bool) -> Self {
        let rank = a.0.shape.len();
        let (m, k, n) = (
            a.0.shape[rank - 2],
            a.0.shape[rank - 1],
            b.0.shape[rank - 1],
        );
        let mut this = Self {
            a: Side::new(a.0, a.1),
            b: Side::new(b.0, b.1),
            out,
            adds,
            is_sum: false,
            front: a.0.shape[..rank - 2].into(),
            m,
            k,
            n,
        };
        this.merge();
        this
    }

    /// One right matrix for all left ones: these are one with more rows.
    fn merge(&mut self) {
        while let (Some(&n), Some(&a), Some(&0)) =
            (self.front.last(), self.a.front.last(), self.b.front.last())
        {
            let rows = if self.m == 1 { a } else { self.a.rows };
            let follows = a == self.m as isize * rows;
            if !follows || !is_ordered(rows, self.a.columns, self.m * n, self.k) {
                break;
            }
            self.a.rows = rows;
            self.m *= n;
            self.front.pop();
            self.a.front.pop();
            self.b.front.pop();
        }
    }

    pub(super) fn run<T: Scalar>(&self, memory: &mut Memory<'_, T>) {
        let mut room = memory.take(self.out);
        let out = room.floats();
        let adds = self.adds || self.is_sum && memory.adds;
        if self.k == 0 {
            if !adds {
                out.fill(T::of(0.0));
            }
        } else if !out.is_empty() {
            let ab = (memory.floats(self.a.place), memory.floats(self.b.place));
            let pairs = self.front.iter().product();
            let multiply = if adds { add_product } else { product };
            self.fork(0..pairs, ab, out, multiply);
        }
        memory.put(self.out, room);
    }

    /// Some of the pairs, whose products are `out`.
    fn fork<T: Scalar>(
        &self,
        pairs: Range<usize>,
        ab: (&[T], &[T]),
        out: &mut [T],
        multiply: Multiply<T>,
    ) {
        let each = self.m * self.n;
        if pairs.len() == 1 || pairs.len() * each * self.k <= TASK {
            for (pair, out) in pairs.zip(out.chunks_exact_mut(each)) {
                let (left, right) = self.pair(pair, ab);
                let out = MatMut::from_row_major_slice_mut(out, self.m, self.n);
                let most = (each * self.k / TASKS).clamp(TASK, LARGEST);
                tile(left, right, out, multiply, most);
            }
            return;
        }
        let middle = pairs.start + pairs.len() / 2;
        let (head, tail) = out.split_at_mut(pairs.len() / 2 * each);
        rayon::join(
            || self.fork(pairs.start..middle, ab, head, multiply),
            || self.fork(middle..pairs.end, ab, tail, multiply),
        );
    }

    /// The matrices of a pair.
    fn pair<'v, T>(
        &self,
        mut pair: usize,
        (a, b): (&'v [T], &'v [T]),
    ) -> (MatRef<'v, T>, MatRef<'v, T>) {
        let (mut from_a, mut from_b) = (self.a.offset, self.b.offset);
        for (axis, &n) in self.front.iter().enumerate().rev() {
            let i = (pair % n) as isize;
            from_a += i * self.a.front[axis];
            from_b += i * self.b.front[axis];
            pair /= n;
        }
        let left = self.a.matrix(a, from_a as usize, self.m, self.k);
        (left, self.b.matrix(b, from_b as usize, self.k, self.n))
    }
}

/// A product in tiles of at most so many multiplications, halving the longer side.
fn tile<T: Scalar>(
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    out: MatMut<'_, T>,
    multiply: Multiply<T>,
    most: usize,
) {
    let (m, k, n) = (a.nrows(), a.ncols(), b.ncols());
    let work = m * k * n;
    let side = m.max(n);
    if side <= LEAST || work <= TASK || (work <= most && side <= SIDE) {
        return multiply(a, b, out);
    }
    let half = (side / 2).next_multiple_of(LEAST);
    if m >= n {
        let ((a, c), (head, tail)) = (a.split_at_row(half), out.split_at_row_mut(half));
        rayon::join(
            || tile(a, b, head, multiply, most),
            || tile(c, b, tail, multiply, most),
        );
    } else {
        let ((b, c), (head, tail)) = (b.split_at_col(half), out.split_at_col_mut(half));
        rayon::join(
            || tile(a, b, head, multiply, most),
            || tile(a, c, tail, multiply, most),
        );
    }
}
