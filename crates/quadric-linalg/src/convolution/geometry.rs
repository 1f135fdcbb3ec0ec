//! Sizes of convolutions: where their windows are, in images and in their padded copies.

use crate::Scalar;
use crate::kernels::pool::Buffer;

/// What the windows of a convolution are; pairs are along height and width.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Geometry {
    /// Size of the image.
    pub input: [usize; 2],
    /// Size of the kernel.
    pub kernel: [usize; 2],
    /// Distance between neighbouring windows.
    pub strides: [usize; 2],
    /// Distance between the entries of a window.
    pub dilation: [usize; 2],
    /// Zeros before and after the image.
    pub padding: [[usize; 2]; 2],
    /// Groups of channels that do not mix.
    pub groups: usize,
}

impl Geometry {
    /// Size of the padded image along height (0) or width (1); none if it overflows.
    fn padded(&self, axis: usize) -> Option<usize> {
        let [before, after] = self.padding.map(|p| p[axis]);
        self.input[axis].checked_add(before)?.checked_add(after)
    }

    /// Size of the result along height (0) or width (1); none if the kernel is larger than the padded image, or a size overflows.
    pub fn output(&self, axis: usize) -> Option<usize> {
        let gaps = self.kernel[axis].checked_sub(1)?;
        let covered = gaps.checked_mul(self.dilation[axis])?.checked_add(1)?;
        let left = self.padded(axis)?.checked_sub(covered)?;
        Some(left.checked_div(self.strides[axis])? + 1)
    }

    /// True if no position overflows in what the products make of an image or result with so many channels. What they pad is at
    /// most twice as high and as wide as the padded image.
    pub fn is_addressable(&self, channels: usize) -> bool {
        let entries = (0..2).try_fold(4 * size_of::<f64>(), |n, axis| {
            self.output(axis)?;
            // A window that is not the only one starts in the padded image.
            let size = self.padded(axis)?.max(self.strides[axis]);
            n.checked_mul(size)
        });
        let bytes = entries.and_then(|n| n.checked_mul(channels.max(1)));
        bytes.is_some_and(|n| n <= isize::MAX as usize)
    }

    /// Where in the image entry `k` of the kernel lies for output `o`; none in the padding.
    pub fn at(&self, axis: usize, o: usize, k: usize) -> Option<usize> {
        let padded = o * self.strides[axis] + k * self.dilation[axis];
        let at = padded.checked_sub(self.padding[0][axis])?;
        (at < self.input[axis]).then_some(at)
    }

    pub(super) fn outputs(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.output(axis).unwrap_or(0))
    }

    pub(super) fn window(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }
}

/// A padded image and the windows that are taken from it.
#[derive(Clone, Copy)]
pub(super) struct Windows {
    /// Size of the padded image, and its channels.
    pub(super) size: [usize; 2],
    pub(super) channels: usize,
    /// Where the image starts, and the distance of its pixels: more than 1 for the derivative by the image.
    pub(super) start: [usize; 2],
    pub(super) spread: [usize; 2],
    /// Where the first window starts.
    pub(super) first: [usize; 2],
    /// Results, the distance of their windows, and the windows.
    pub(super) outputs: [usize; 2],
    pub(super) strides: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) dilation: [usize; 2],
}

impl Windows {
    /// The windows of a convolution.
    pub(super) fn of(g: &Geometry, channels: usize) -> Self {
        Self {
            size: [0, 1].map(|a| g.input[a] + g.padding[0][a] + g.padding[1][a]),
            channels,
            start: g.padding[0],
            spread: [1, 1],
            first: [0, 0],
            outputs: g.outputs(),
            strides: g.strides,
            kernel: g.kernel,
            dilation: g.dilation,
        }
    }

    /// The windows of results that contribute to each pixel of the image, whose padding is left out.
    pub(super) fn transposed(g: &Geometry, channels: usize) -> Self {
        let reach = [0, 1].map(|a| (g.kernel[a] - 1) * g.dilation[a]);
        let outputs = g.outputs();
        let span = [0, 1].map(|a| (outputs[a].max(1) - 1) * g.strides[a] + 1);
        Self {
            size: [0, 1].map(|a| (g.input[a] + g.padding[0][a] + reach[a]).max(span[a] + reach[a])),
            channels,
            start: reach,
            spread: g.strides,
            first: g.padding[0],
            outputs: g.input,
            strides: [1, 1],
            kernel: g.kernel,
            dilation: g.dilation,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.size[0] * self.size[1] * self.channels
    }

    /// Room for a padded image of so many rows and columns; what no pixel of it takes is zero.
    pub(super) fn room<T: Scalar>(&self, [rows, columns]: [usize; 2]) -> Buffer<T> {
        let mut padded = Buffer::take(self.len());
        let lines = padded.chunks_exact_mut((self.size[1] * self.channels).max(1));
        let [above, before] = self.start;
        for (y, line) in lines.enumerate() {
            if self.spread == [1, 1] && (above..above + rows).contains(&y) {
                line[..before * self.channels].fill(T::of(0.0));
                line[(before + columns) * self.channels..].fill(T::of(0.0));
            } else {
                line.fill(T::of(0.0));
            }
        }
        padded
    }

    /// Copies the pixels of an image of so many columns, all of them, into its room.
    pub(super) fn place<T: Scalar>(&self, image: &[T], columns: usize, padded: &mut [T]) {
        let c = self.channels;
        for (y, row) in image.chunks_exact((columns * c).max(1)).enumerate() {
            let line = (self.start[0] + y * self.spread[0]) * self.size[1] + self.start[1];
            if self.spread[1] == 1 {
                padded[line * c..line * c + row.len()].copy_from_slice(row);
                continue;
            }
            for (x, pixel) in row.chunks_exact(c).enumerate() {
                let at = (line + x * self.spread[1]) * c;
                padded[at..at + c].copy_from_slice(pixel);
            }
        }
    }

    /// Position of the first entry of a window.
    pub(super) fn at(&self, y: usize, x: usize) -> usize {
        let (y, x) = (
            self.first[0] + y * self.strides[0],
            self.first[1] + x * self.strides[1],
        );
        (y * self.size[1] + x) * self.channels
    }

    /// Distance of an entry of a window from the first.
    pub(super) fn tap(&self, ky: usize, kx: usize) -> usize {
        (ky * self.dilation[0] * self.size[1] + kx * self.dilation[1]) * self.channels
    }
}
