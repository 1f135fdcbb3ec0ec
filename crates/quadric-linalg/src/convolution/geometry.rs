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
    /// Where the image starts.
    pub(super) start: [usize; 2],
    /// Where the first window starts.
    pub(super) first: [usize; 2],
    /// Results, the distance of their windows, and the windows.
    pub(super) outputs: [usize; 2],
    pub(super) strides: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) dilation: [usize; 2],
    /// Where the results belong, in what has so many columns: the first of them, and their distance.
    pub(super) columns: usize,
    pub(super) to: [usize; 2],
    pub(super) apart: [usize; 2],
}

/// Along one axis: pixels at the distance of the strides, and the entries of the kernel that they share.
#[derive(Clone, Copy, Default)]
struct Phase {
    pixels: usize,
    /// Entries of the kernel: the first, the distance of the others, and how many there are.
    entry: usize,
    step: usize,
    entries: usize,
    /// The result that the last of the entries takes the first pixel to, and the distance of those of the others.
    first: isize,
    dilation: usize,
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Phase {
    fn new(g: &Geometry, axis: usize, number: usize) -> Self {
        let (stride, dilation, n) = (g.strides[axis], g.dilation[axis], g.kernel[axis]);
        let common = gcd(stride, dilation);
        let at = number + g.padding[0][axis];
        let step = stride / common;
        let meets = |k: &usize| at % stride == k * dilation % stride;
        let entry = (0..step.min(n)).find(meets).unwrap_or(n);
        let entries = (n - entry).div_ceil(step);
        let reach = (entry + step * entries.saturating_sub(1)) * dilation;
        Self {
            pixels: (g.input[axis] - number).div_ceil(stride),
            entry,
            step,
            entries,
            first: match entries {
                0 => 0,
                _ => (at as isize - reach as isize) / stride as isize,
            },
            dilation: dilation / common,
        }
    }
}

/// How many kinds of pixels of the image there are, by the entries of the kernel that reach them: each row and column of a
/// stride is one.
pub(super) fn phases(g: &Geometry) -> usize {
    let along = |axis: usize| g.strides[axis].min(g.input[axis]);
    along(0) * along(1)
}

impl Windows {
    /// The windows of a convolution.
    pub(super) fn of(g: &Geometry, channels: usize) -> Self {
        let outputs = g.outputs();
        Self {
            size: [0, 1].map(|a| g.input[a] + g.padding[0][a] + g.padding[1][a]),
            channels,
            start: g.padding[0],
            first: [0, 0],
            outputs,
            strides: g.strides,
            kernel: g.kernel,
            dilation: g.dilation,
            columns: outputs[1],
            to: [0, 0],
            apart: [1, 1],
        }
    }

    /// The windows of results that contribute to the pixels of one of the [`phases`], and what of the kernel does: the entry
    /// with a number.
    pub(super) fn back(
        g: &Geometry,
        channels: usize,
        phase: usize,
    ) -> (Self, impl Fn(usize) -> usize) {
        let across = g.strides[1].min(g.input[1]).max(1);
        let to = [phase / across, phase % across];
        let own = [0, 1].map(|a| Phase::new(g, a, to[a]));
        let outputs = g.outputs();
        // The same for all phases.
        let start = [0, 1].map(|a| {
            let reach = (g.kernel[a] - 1) * g.dilation[a];
            reach.saturating_sub(g.padding[0][a]).div_ceil(g.strides[a])
        });
        let size = [0, 1].map(|a| {
            let last = (g.padding[0][a] + g.input[a]).saturating_sub(1) / g.strides[a];
            start[a] + outputs[a].max(last + 1)
        });
        let windows = Self {
            size,
            channels,
            start,
            first: [0, 1].map(|a| start[a].saturating_add_signed(own[a].first)),
            outputs: own.map(|p| p.pixels),
            strides: [1, 1],
            kernel: own.map(|p| p.entries),
            dilation: own.map(|p| p.dilation),
            columns: g.input[1],
            to,
            apart: g.strides,
        };
        let width = g.kernel[1];
        let entry = move |number: usize| {
            let tap = [number / own[1].entries, number % own[1].entries];
            let [y, x] = [0, 1].map(|a| own[a].entry + own[a].step * (own[a].entries - 1 - tap[a]));
            y * width + x
        };
        (windows, entry)
    }

    /// Entries of a window.
    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
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
            if (above..above + rows).contains(&y) {
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
            let at = ((self.start[0] + y) * self.size[1] + self.start[1]) * c;
            padded[at..at + row.len()].copy_from_slice(row);
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

    /// Number of the pixel that a result is for.
    pub(super) fn pixel(&self, y: usize, x: usize) -> usize {
        (self.to[0] + y * self.apart[0]) * self.columns + self.to[1] + x * self.apart[1]
    }
}
