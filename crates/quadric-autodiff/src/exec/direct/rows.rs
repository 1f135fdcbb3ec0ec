//! Rows of a table by number, and their sums back into a table.

use super::super::memory::{Memory, Place};
use super::super::view::{Strides, View, position};
use super::{TASK, by_pieces};
use crate::ops::{self, NoRow, row};
use crate::types::Shape;
use quadric_linalg::Scalar;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Indices whose smallest and largest are known together.
const CHUNK: usize = 1024;
/// Pieces of a table that sums go to, at most. Each looks at all chunks of indices.
const PIECES: usize = 8;

/// Equally spaced rows of equally spaced entries, for each number of the common axes.
struct Side {
    place: Place,
    offset: isize,
    front: Strides,
    /// Distance of rows, and of the entries of one.
    rows: isize,
    entries: isize,
}

impl Side {
    fn new(arg: &(View, Place), batch: usize, rows: Range<usize>) -> Self {
        let (v, place) = arg;
        let spaced = |axes| v.merged(axes).expect("checked by `fits`");
        Self {
            place: *place,
            offset: v.offset,
            front: v.strides[..batch].into(),
            entries: spaced(rows.end..v.shape.len()),
            rows: spaced(rows),
        }
    }

    /// Position of row number `row` at number `at` of the common axes.
    fn at(&self, front: &[usize], at: usize, row: usize) -> isize {
        self.offset + position(front, &self.front, at) + row as isize * self.rows
    }
}

/// Sizes, and the indices.
struct Numbers {
    side: Side,
    /// The common axes.
    front: Shape,
    /// Indices for each number of these, and rows of the table.
    outer: usize,
    rows: usize,
}

impl Numbers {
    /// The first index that names no row.
    fn fault(&self, indices: &[i32]) -> Option<NoRow> {
        let all = self.front.iter().product::<usize>() * self.outer;
        let index = |i: usize| {
            let at = self.side.at(&self.front, i / self.outer, i % self.outer);
            indices[at as usize]
        };
        let wrong = (0..all).find(|&i| row(index(i), self.rows).is_none())?;
        Some(NoRow {
            index: index(wrong),
            position: wrong,
            rows: self.rows,
        })
    }
}

/// The rows that indices name.
pub(super) struct Gather {
    table: Side,
    numbers: Numbers,
    out: Place,
    /// Entries of a row.
    inner: usize,
}

impl Gather {
    pub(super) fn new(op: &ops::Gather, args: &[(View, Place)], out: Place) -> Self {
        let (batch, table, indices) = (op.batch, &args[0].0.shape, &args[1].0.shape);
        Self {
            table: Side::new(&args[0], batch, batch..batch + 1),
            numbers: Numbers {
                side: Side::new(&args[1], batch, batch..indices.len()),
                front: table[..batch].into(),
                outer: indices[batch..].iter().product(),
                rows: table[batch],
            },
            out,
            inner: table[batch + 1..].iter().product(),
        }
    }

    /// The first index that names no row; such a row is NaN.
    pub(super) fn run<T: Scalar>(&self, memory: &mut Memory<'_, T>) -> Option<NoRow> {
        let mut room = memory.take(self.out);
        let (table, indices) = (
            memory.floats(self.table.place),
            memory.indices(self.numbers.side.place),
        );
        let missed = AtomicBool::new(self.inner == 0);
        by_pieces(
            room.floats(),
            self.inner,
            TASK / self.inner.max(1),
            &|first, out| {
                if !self.copy(first / self.inner, table, indices, out) {
                    missed.store(true, Ordering::Relaxed);
                }
            },
        );
        let fault = match missed.into_inner() {
            true => self.numbers.fault(indices),
            false => None,
        };
        memory.put(self.out, room);
        fault
    }

    /// The rows from number `first` on; false if one does not exist.
    fn copy<T: Scalar>(
        &self,
        first: usize,
        table: &[T],
        indices: &[i32],
        mut out: &mut [T],
    ) -> bool {
        let (n, mut at, mut all) = (&self.numbers, first, true);
        while !out.is_empty() {
            let (batch, from) = (at / n.outer, at % n.outer);
            let count = (n.outer - from).min(out.len() / self.inner);
            let (head, tail) = out.split_at_mut(count * self.inner);
            let (start, mut index) = (
                self.table.at(&n.front, batch, 0),
                n.side.at(&n.front, batch, from),
            );
            for out in head.chunks_exact_mut(self.inner) {
                match row(indices[index as usize], n.rows) {
                    Some(r) => self.copy_row(table, start + r as isize * self.table.rows, out),
                    None => {
                        out.fill(T::of(f64::NAN));
                        all = false;
                    }
                }
                index += n.side.rows;
            }
            (at, out) = (at + count, tail);
        }
        all
    }

    fn copy_row<T: Scalar>(&self, table: &[T], start: isize, out: &mut [T]) {
        if self.table.entries == 1 {
            out.copy_from_slice(&table[start as usize..][..out.len()]);
            return;
        }
        for (i, o) in out.iter_mut().enumerate() {
            *o = table[(start + i as isize * self.table.entries) as usize];
        }
    }
}

/// The sums of the updates of each row. A row belongs to one piece, which adds its updates in their order.
pub(super) struct Scatter {
    updates: Side,
    numbers: Numbers,
    out: Place,
    /// Entries of a row.
    inner: usize,
    /// Rows of a piece, at most.
    most: usize,
    /// The smallest and the largest index of every chunk.
    bounds: Vec<[i32; 2]>,
}

impl Scatter {
    pub(super) fn new(op: &ops::ScatterAdd, args: &[(View, Place)], out: Place) -> Self {
        let (batch, indices, updates) = (op.batch, &args[0].0.shape, &args[1].0.shape);
        let front = Shape::from(&indices[..batch]);
        let outer: usize = indices[batch..].iter().product();
        let inner: usize = updates[indices.len()..].iter().product();
        let count: usize = front.iter().product();
        let pieces = (count * outer * inner / TASK).clamp(1, PIECES);
        Self {
            updates: Side::new(&args[1], batch, batch..indices.len()),
            most: (count * op.rows).div_ceil(pieces),
            bounds: vec![[0; 2]; count * outer.div_ceil(CHUNK)],
            numbers: Numbers {
                side: Side::new(&args[0], batch, batch..indices.len()),
                front,
                outer,
                rows: op.rows,
            },
            out,
            inner,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.bounds[..])
    }

    /// The first index that names no row; its update is left out.
    pub(super) fn run<T: Scalar>(&mut self, memory: &mut Memory<'_, T>) -> Option<NoRow> {
        let mut room = memory.take(self.out);
        let mut bounds = std::mem::take(&mut self.bounds);
        let (updates, indices) = (
            memory.floats(self.updates.place),
            memory.indices(self.numbers.side.place),
        );
        by_pieces(&mut bounds, 1, TASK / CHUNK, &|first, bounds| {
            for (i, bounds) in bounds.iter_mut().enumerate() {
                *bounds = self.chunk(first + i, indices);
            }
        });
        let inside = |b: &[i32; 2]| b.iter().all(|&i| row(i, self.numbers.rows).is_some());
        let fault = match bounds.iter().all(inside) {
            true => None,
            false => self.numbers.fault(indices),
        };
        by_pieces(room.floats(), self.inner, self.most, &|first, out| {
            out.fill(T::of(0.0));
            self.add(first / self.inner, &bounds, updates, indices, out);
        });
        self.bounds = bounds;
        memory.put(self.out, room);
        fault
    }

    fn chunks(&self) -> usize {
        self.numbers.outer.div_ceil(CHUNK)
    }

    /// The smallest and the largest index of a chunk.
    fn chunk(&self, chunk: usize, indices: &[i32]) -> [i32; 2] {
        let n = &self.numbers;
        let first = chunk % self.chunks() * CHUNK;
        let mut at = n.side.at(&n.front, chunk / self.chunks(), first);
        let mut bounds = [i32::MAX, i32::MIN];
        for _ in first..n.outer.min(first + CHUNK) {
            let index = indices[at as usize];
            bounds = [bounds[0].min(index), bounds[1].max(index)];
            at += n.side.rows;
        }
        bounds
    }

    /// Adds the updates of rows from number `first` of all tables on.
    fn add<T: Scalar>(
        &self,
        first: usize,
        bounds: &[[i32; 2]],
        updates: &[T],
        indices: &[i32],
        mut out: &mut [T],
    ) {
        let (n, mut at) = (&self.numbers, first);
        while !out.is_empty() {
            let (batch, from) = (at / n.rows, at % n.rows);
            let count = (n.rows - from).min(out.len() / self.inner);
            let (head, tail) = out.split_at_mut(count * self.inner);
            let rows = from..from + count;
            for chunk in 0..self.chunks() {
                let [least, most] = bounds[batch * self.chunks() + chunk];
                if most as i64 >= rows.start as i64 && (least as i64) < rows.end as i64 {
                    self.add_chunk((batch, chunk), rows.clone(), updates, indices, head);
                }
            }
            (at, out) = (at + count, tail);
        }
    }

    /// Adds the updates of a chunk that belong to some rows of its table.
    fn add_chunk<T: Scalar>(
        &self,
        (batch, chunk): (usize, usize),
        rows: Range<usize>,
        updates: &[T],
        indices: &[i32],
        out: &mut [T],
    ) {
        let (n, first) = (&self.numbers, chunk * CHUNK);
        let mut index = n.side.at(&n.front, batch, first);
        let mut from = self.updates.at(&n.front, batch, first);
        for _ in first..n.outer.min(first + CHUNK) {
            let named = row(indices[index as usize], n.rows).filter(|r| rows.contains(r));
            if let Some(r) = named {
                let out = &mut out[(r - rows.start) * self.inner..][..self.inner];
                self.add_row(updates, from, out);
            }
            index += n.side.rows;
            from += self.updates.rows;
        }
    }

    fn add_row<T: Scalar>(&self, updates: &[T], start: isize, out: &mut [T]) {
        if self.updates.entries == 1 {
            let row = &updates[start as usize..][..out.len()];
            out.iter_mut().zip(row).for_each(|(o, &v)| *o += v);
            return;
        }
        for (i, o) in out.iter_mut().enumerate() {
            *o += updates[(start + i as isize * self.updates.entries) as usize];
        }
    }
}
