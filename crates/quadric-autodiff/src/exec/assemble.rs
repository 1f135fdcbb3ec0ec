//! Values put together from parts: padding and joining.

use super::memory::{Memory, Place, Room, Slot};
use super::view::{Strides, View, collapse};
use crate::array::Positions;
use crate::types::{Shape, row_major};
use quadric_linalg::Scalar;

/// Where a part comes from and goes to.
#[derive(Debug)]
struct Part {
    place: Place,
    /// First entry and steps in the source and in the result.
    from: (isize, Strides),
    to: (isize, Strides),
    shape: Shape,
}

/// A result whose entries come from parts; what no part covers is zero.
#[derive(Debug)]
pub(super) struct Assemble {
    out: Place,
    parts: Vec<Part>,
    is_covered: bool,
}

impl Assemble {
    /// Each part is a view of its source beside the slice of the result that it fills.
    pub(super) fn new(
        out: Place,
        shape: &[usize],
        parts: Vec<(View, Place, crate::ops::Slice)>,
    ) -> Self {
        let own = row_major(shape);
        let len = |s: &[usize]| s.iter().product::<usize>();
        let covered: usize = parts.iter().map(|p| len(&p.0.shape)).sum();
        let parts = parts.into_iter().map(|(view, place, slice)| {
            let (start, mut to) = slice.view(&own);
            let mut from = view.strides;
            let shape = collapse(&view.shape, &mut [&mut from, &mut to]);
            Part {
                place,
                from: (view.offset, from),
                to: (start, to),
                shape,
            }
        });
        Self {
            out,
            parts: parts.collect(),
            is_covered: covered == len(shape),
        }
    }

    pub(super) fn run<T: Scalar>(&self, memory: &mut Memory<'_, T>) {
        let mut room = memory.take(self.out);
        if let Room::Slot(Slot::Index(_), _) = &mut room {
            let out = room.indices();
            self.join(out, 0, |place| memory.indices(place));
        } else {
            self.join(room.floats(), T::of(0.0), |place| memory.floats(place));
        }
        memory.put(self.out, room);
    }

    fn join<'a, E: Copy + 'a>(&self, out: &mut [E], zero: E, data: impl Fn(Place) -> &'a [E]) {
        if !self.is_covered {
            out.fill(zero);
        }
        for part in &self.parts {
            part.copy(data(part.place), out);
        }
    }
}

impl Part {
    fn copy<E: Copy>(&self, data: &[E], out: &mut [E]) {
        let last = self.shape.len() - 1;
        let run = self.shape[last];
        let outer = &self.shape[..last];
        let from = Positions::new(self.from.0, outer, &self.from.1[..last]);
        let to = Positions::new(self.to.0, outer, &self.to.1[..last]);
        let steps = (self.from.1[last], self.to.1[last]);
        for (from, to) in from.zip(to) {
            if steps == (1, 1) {
                out[to..to + run].copy_from_slice(&data[from..from + run]);
                continue;
            }
            for i in 0..run as isize {
                out[(to as isize + i * steps.1) as usize] =
                    data[(from as isize + i * steps.0) as usize];
            }
        }
    }
}

/// Copies strided entries to a dense array; for indices, which no loop handles.
pub(super) fn copy_indices(
    from: &[i32],
    start: isize,
    shape: &[usize],
    strides: &Strides,
    to: &mut [i32],
) {
    let positions = Positions::new(start, shape, strides);
    for (o, at) in to.iter_mut().zip(positions) {
        *o = from[at];
    }
}
