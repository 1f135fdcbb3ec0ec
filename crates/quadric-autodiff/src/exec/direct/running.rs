//! Running sums along an axis.

use super::super::memory::{Memory, Place};
use super::super::view::View;
use super::{TASK, by_pieces};
use crate::ops::CumulativeSum;
use faer::MatMut;
use quadric_linalg::Scalar;

/// Sums that run side by side.
const WIDTH: usize = 64;

/// At each entry the sum of all entries up to it, or from it on.
pub(super) struct Running {
    place: Place,
    offset: isize,
    /// Steps between the blocks before the axis, along it, and behind it.
    steps: [isize; 3],
    out: Place,
    /// Length of the axis, and entries behind it.
    len: usize,
    inner: usize,
    from_end: bool,
}

impl Running {
    pub(super) fn new(op: &CumulativeSum, arg: &(View, Place), out: Place) -> Self {
        let ((v, place), axis) = (arg, op.axis);
        let rank = v.shape.len();
        let step = |axes| v.merged(axes).expect("checked by `fits`");
        Self {
            place: *place,
            offset: v.offset,
            steps: [step(0..axis), v.strides[axis], step(axis + 1..rank)],
            out,
            len: v.shape[axis],
            inner: v.shape[axis + 1..].iter().product(),
            from_end: op.from_end,
        }
    }

    pub(super) fn run<T: Scalar>(&self, memory: &mut Memory<'_, T>) {
        let mut room = memory.take(self.out);
        let x = memory.floats(self.place);
        let unit = self.len * self.inner;
        let most = TASK / unit.max(1);
        by_pieces(room.floats(), unit, most, &|first, out| {
            for (i, block) in out.chunks_exact_mut(unit).enumerate() {
                let from = self.offset + (first / unit + i) as isize * self.steps[0];
                let block = MatMut::from_row_major_slice_mut(block, self.len, self.inner);
                self.columns(from, x, block);
            }
        });
        memory.put(self.out, room);
    }

    /// The sums along the rows of a block, whose first entry is at `from`.
    fn columns<T: Scalar>(&self, from: isize, x: &[T], block: MatMut<'_, T>) {
        let columns = block.ncols();
        if columns <= WIDTH {
            return self.tile(from, x, block);
        }
        let middle = (columns / 2).next_multiple_of(WIDTH);
        let (head, tail) = block.split_at_col_mut(middle);
        let behind = from + middle as isize * self.steps[2];
        if columns * self.len <= TASK {
            self.columns(from, x, head);
            self.columns(behind, x, tail);
        } else {
            rayon::join(
                || self.columns(from, x, head),
                || self.columns(behind, x, tail),
            );
        }
    }

    fn tile<T: Scalar>(&self, from: isize, x: &[T], mut block: MatMut<'_, T>) {
        let mut sums = [0.0; WIDTH];
        for step in 0..self.len {
            let row = match self.from_end {
                true => self.len - 1 - step,
                false => step,
            };
            let from = from + row as isize * self.steps[1];
            let out = block.as_mut().row_mut(row);
            for (i, (o, sum)) in out.iter_mut().zip(&mut sums).enumerate() {
                *sum += x[(from + i as isize * self.steps[2]) as usize].to_f64();
                *o = T::of(*sum);
            }
        }
    }
}
