//! Where the largest entry of each window of an image is.

use super::super::memory::{Memory, Place};
use super::super::view::View;
use super::{TASK, by_pieces};
use crate::ops::{Geometry, WindowArgmax};
use quadric_linalg::Scalar;
use std::ops::Range;

/// Positions of largest entries, as [`WindowArgmax`] defines them.
pub(super) struct Argmax {
    windows: Geometry,
    place: Place,
    offset: isize,
    /// Steps between images, rows, columns and channels.
    steps: [isize; 4],
    /// Images whose positions are counted together.
    images: usize,
    out: Place,
    /// Height, width and channels of the result.
    size: [usize; 3],
}

impl Argmax {
    pub(super) fn new(op: &WindowArgmax, arg: &(View, Place), out: Place, shape: &[usize]) -> Self {
        let ((v, place), front) = (arg, shape.len() - 3);
        let images = v.merged(0..front).expect("checked by `fits`");
        Self {
            windows: op.windows,
            place: *place,
            offset: v.offset,
            steps: [
                images,
                v.strides[front],
                v.strides[front + 1],
                v.strides[front + 2],
            ],
            images: shape[front - 1],
            out,
            size: [shape[front], shape[front + 1], shape[front + 2]],
        }
    }

    pub(super) fn run<T: Scalar>(&self, memory: &mut Memory<'_, T>) {
        let mut room = memory.take(self.out);
        let x = memory.floats(self.place);
        let [height, width, channels] = self.size;
        let most = TASK / channels.max(1);
        by_pieces(room.indices(), channels, most, &|first, out| {
            for (i, pixel) in out.chunks_exact_mut(channels).enumerate() {
                let at = first / channels + i;
                let spot = [at / width % height, at % width];
                self.pixel(at / width / height, spot, x, pixel);
            }
        });
        memory.put(self.out, room);
    }

    /// The entries of the window of an output along an axis that lie in the image.
    fn inside(&self, axis: usize, output: usize) -> Range<usize> {
        let inside = |k: &usize| self.windows.at(axis, output, *k).is_some();
        let all = 0..self.windows.kernel[axis];
        let start = all.clone().find(inside).unwrap_or(all.end);
        start..(start..all.end).find(|k| !inside(k)).unwrap_or(all.end)
    }

    /// All channels of one output of an image.
    fn pixel<T: Scalar>(&self, image: usize, spot: [usize; 2], x: &[T], out: &mut [i32]) {
        let g = &self.windows;
        let taps = [0, 1].map(|axis| self.inside(axis, spot[axis]));
        let at = |axis: usize, k: usize| {
            spot[axis] * g.strides[axis] + k * g.dilation[axis] - g.padding[0][axis]
        };
        let start = self.offset + image as isize * self.steps[0];
        let first = image % self.images * g.input[0];
        for (c, o) in out.iter_mut().enumerate() {
            let mut best: Option<(T, usize)> = None;
            for row in taps[0].clone().map(|k| at(0, k)) {
                for column in taps[1].clone().map(|k| at(1, k)) {
                    let [_, rows, columns, channels] = self.steps;
                    let pixel = start + row as isize * rows + column as isize * columns;
                    let here = pixel + c as isize * channels;
                    let v = x[here as usize];
                    let is_nan = |v: T| v.to_f64().is_nan();
                    if best.is_none_or(|(b, _)| v > b || (is_nan(v) && !is_nan(b))) {
                        best = Some((v, (first + row) * g.input[1] + column));
                    }
                }
            }
            *o = best.map_or(-1, |(_, spot)| (spot * self.size[2] + c) as i32);
        }
    }
}
