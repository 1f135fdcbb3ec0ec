//! Convolutions, on the kernels of the linear algebra crate.

use super::memory::{Memory, Place};
use super::view::{Strides, View};
use crate::ops::{Convolution, Role};
use crate::types::{Shape, row_major};
use quadric_linalg::Scalar;
use quadric_linalg::convolution::{Channels, convolve, convolve_input, convolve_kernel};

/// An argument: as many dense arrays of four axes as the axes in front say.
#[derive(Debug)]
struct Side {
    place: Place,
    offset: isize,
    front: Strides,
    len: usize,
}

/// A convolution for each index of the axes in front.
#[derive(Debug)]
pub(super) struct Convolve {
    op: Convolution,
    channels: Channels,
    a: Side,
    b: Side,
    out: Place,
    /// Entries of one result.
    len: usize,
    front: Shape,
}

/// True if the last four axes of a view are dense.
pub(super) fn is_images(v: &View) -> bool {
    let front = v.shape.len() - 4;
    let last = View {
        shape: v.shape[front..].into(),
        strides: v.strides[front..].into(),
        ..v.clone()
    };
    last.is_dense() && v.strides.iter().all(|&s| s >= 0)
}

impl Side {
    fn new(v: &View, place: Place) -> Self {
        let front = v.shape.len() - 4;
        Self {
            place,
            offset: v.offset,
            front: v.strides[..front].into(),
            len: v.shape[front..].iter().product(),
        }
    }

    fn at(&self, index: &[usize]) -> usize {
        let steps = index.iter().zip(&self.front).map(|(&i, s)| i as isize * s);
        (self.offset + steps.sum::<isize>()) as usize
    }
}

impl Convolve {
    pub(super) fn new(
        op: Convolution,
        a: (&View, Place),
        b: (&View, Place),
        out: (Place, &Shape),
    ) -> Self {
        let sizes = op.sizes(&a.0.shape, &b.0.shape, out.1);
        let front = out.1.len() - 4;
        let mut this = Self {
            op,
            channels: Channels {
                input: sizes.inputs,
                output: sizes.outputs,
            },
            a: Side::new(a.0, a.1),
            b: Side::new(b.0, b.1),
            out: out.0,
            len: out.1[front..].iter().product(),
            front: out.1[..front].into(),
        };
        this.merge();
        this
    }

    /// One kernel for all images: these are one array with more images.
    fn merge(&mut self) {
        let (images, kernel) = match self.op.role {
            Role::Output | Role::Input => (&mut self.a, &mut self.b),
            Role::Kernel => return,
        };
        let dense = row_major(&self.front);
        let follows = images
            .front
            .iter()
            .zip(&dense)
            .all(|(s, d)| *s == d * images.len as isize);
        if follows && kernel.front.iter().all(|&s| s == 0) {
            let count: usize = self.front.iter().product();
            images.len *= count;
            self.len *= count;
            self.front.clear();
            images.front.clear();
            kernel.front.clear();
        }
    }

    pub(super) fn run<T: Scalar>(&self, memory: &mut Memory<'_, T>) {
        let mut room = memory.take(self.out);
        let (a, b) = (memory.floats(self.a.place), memory.floats(self.b.place));
        let mut index: Shape = self.front.iter().map(|_| 0).collect();
        for out in room.floats().chunks_exact_mut(self.len.max(1)) {
            let a = &a[self.a.at(&index)..][..self.a.len];
            let b = &b[self.b.at(&index)..][..self.b.len];
            let (g, c) = (&self.op.geometry, self.channels);
            match self.op.role {
                Role::Output => convolve(g, c, a, b, out),
                Role::Input => convolve_input(g, c, a, b, out),
                Role::Kernel => convolve_kernel(g, c, a, b, out),
            }
            for (i, &n) in index.iter_mut().zip(&self.front).rev() {
                *i += 1;
                if *i < n {
                    break;
                }
                *i = 0;
            }
        }
        memory.put(self.out, room);
    }
}
