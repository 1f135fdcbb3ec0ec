//! Comparisons of indices, indices as real numbers, random numbers.

use super::super::memory::{Memory, Place};
use super::super::view::{Strides, View, collapse, position};
use super::{TASK, by_pieces};
use crate::ops::{Binary, Random};
use crate::types::{Shape, row_major};
use quadric_linalg::Scalar;

/// An array of indices that is read.
struct Read {
    place: Place,
    offset: isize,
    strides: Strides,
}

/// Real numbers from indices, entry by entry.
pub(super) struct Entries {
    /// The comparison of two arrays; none for one array as real numbers.
    comparison: Option<Binary>,
    args: [Read; 2],
    dims: Shape,
    out: Place,
}

impl Entries {
    pub(super) fn new(comparison: Option<Binary>, args: &[(View, Place)], out: Place) -> Self {
        // One array takes both places.
        let [mut a, mut b] = [0, args.len() - 1].map(|i| Read {
            place: args[i].1,
            offset: args[i].0.offset,
            strides: args[i].0.strides.clone(),
        });
        let shape = &args[0].0.shape;
        let mut dense = row_major(shape);
        let dims = collapse(shape, &mut [&mut dense, &mut a.strides, &mut b.strides]);
        Self {
            comparison,
            args: [a, b],
            dims,
            out,
        }
    }

    pub(super) fn run<T: Scalar>(&self, memory: &mut Memory<'_, T>) {
        let mut room = memory.take(self.out);
        let [a, b] = [0, 1].map(|i| memory.indices(self.args[i].place));
        by_pieces(room.floats(), 1, TASK, &|first, out| {
            match self.comparison {
                Some(f) => self.fill(first, out, |i, j| {
                    T::of(f.apply(f64::from(a[i]), f64::from(b[j])))
                }),
                None => self.fill(first, out, |i, _| T::of(f64::from(a[i]))),
            };
        });
        memory.put(self.out, room);
    }

    /// The entries from number `first` on, each by the positions of what it is made of.
    fn fill<T>(&self, first: usize, mut out: &mut [T], f: impl Fn(usize, usize) -> T) {
        let last = self.dims.len() - 1;
        let (inner, mut at) = (self.dims[last], first);
        while !out.is_empty() {
            let count = (inner - at % inner).min(out.len());
            let (head, tail) = out.split_at_mut(count);
            let [mut i, mut j] = [0, 1]
                .map(|k| self.args[k].offset + position(&self.dims, &self.args[k].strides, at));
            for o in head {
                *o = f(i as usize, j as usize);
                i += self.args[0].strides[last];
                j += self.args[1].strides[last];
            }
            (at, out) = (at + count, tail);
        }
    }
}

/// Random numbers.
pub(super) struct Draw {
    op: Random,
    keys: Place,
    /// Where the first key is.
    offset: usize,
    out: Place,
}

impl Draw {
    pub(super) fn new(op: &Random, keys: &(View, Place), out: Place) -> Self {
        Self {
            op: op.clone(),
            keys: keys.1,
            offset: keys.0.offset as usize,
            out,
        }
    }

    pub(super) fn run<T: Scalar>(&self, memory: &mut Memory<'_, T>) {
        let mut room = memory.take(self.out);
        let keys = &memory.indices(self.keys)[self.offset..];
        by_pieces(room.floats(), 1, TASK, &|first, out| {
            self.op.fill(keys, first, out);
        });
        memory.put(self.out, room);
    }
}
