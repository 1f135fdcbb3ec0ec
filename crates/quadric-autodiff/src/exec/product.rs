//! Products of matrices, on the dense kernels of the linear algebra crate.
//!
//! Rows of the results are cut in panels by size alone, and every panel is computed by one thread.

use super::memory::{Memory, Place};
use super::view::{Strides, View};
use crate::types::Shape;
use faer::{MatMut, MatRef};
use quadric_linalg::Scalar;
use quadric_linalg::dense::{add_product, product};

/// Multiplications per task, about.
const TASK: usize = 1 << 21;
/// Rows of a panel are a multiple of this.
const ROWS: usize = 64;

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
    /// Rows of a panel.
    panel: usize,
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
            panel: 0,
        };
        this.merge();
        let rows = (TASK / (this.k * n).max(1)).max(1).next_multiple_of(ROWS);
        this.panel = rows.min(this.m.max(1));
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
            let (a, b) = (memory.floats(self.a.place), memory.floats(self.b.place));
            let panels = self.m.div_ceil(self.panel);
            let pairs: usize = self.front.iter().product();
            let multiply = if adds { add_product } else { product };
            self.fork((0, pairs * panels), (a, b), out, multiply);
        }
        memory.put(self.out, room);
    }

    /// Panels from number `first` on, `count` of them, whose rows are `out`.
    fn fork<T: Scalar>(
        &self,
        (first, count): (usize, usize),
        ab: (&[T], &[T]),
        out: &mut [T],
        multiply: Multiply<T>,
    ) {
        let small = self.panel * self.k * self.n;
        if count == 1 || count * small <= TASK {
            let mut rest = out;
            for panel in first..first + count {
                let (head, tail) = rest.split_at_mut(self.rows_of(panel) * self.n);
                self.panel(panel, ab, head, multiply);
                rest = tail;
            }
            return;
        }
        let left = count / 2;
        let rows: usize = (first..first + left).map(|p| self.rows_of(p)).sum();
        let (head, tail) = out.split_at_mut(rows * self.n);
        rayon::join(
            || self.fork((first, left), ab, head, multiply),
            || self.fork((first + left, count - left), ab, tail, multiply),
        );
    }

    fn rows_of(&self, panel: usize) -> usize {
        let panels = self.m.div_ceil(self.panel);
        self.panel.min(self.m - panel % panels * self.panel)
    }

    fn panel<T: Scalar>(
        &self,
        panel: usize,
        (a, b): (&[T], &[T]),
        out: &mut [T],
        multiply: Multiply<T>,
    ) {
        let panels = self.m.div_ceil(self.panel);
        let (mut pair, row) = (panel / panels, panel % panels * self.panel);
        let (mut from_a, mut from_b) = (self.a.offset, self.b.offset);
        for (axis, &n) in self.front.iter().enumerate().rev() {
            let i = (pair % n) as isize;
            from_a += i * self.a.front[axis];
            from_b += i * self.b.front[axis];
            pair /= n;
        }
        let from_a = (from_a + row as isize * self.a.rows) as usize;
        let rows = self.rows_of(panel);
        let left = self.a.matrix(a, from_a, rows, self.k);
        let right = self.b.matrix(b, from_b as usize, self.k, self.n);
        multiply(
            left,
            right,
            MatMut::from_row_major_slice_mut(out, rows, self.n),
        );
    }
}
