//! Sums over the windows of images.

use super::geometry::Windows;
use super::{Group, IMAGES, TILE, groups, packed_len, side_by_side};
use crate::Scalar;
use crate::kernels::lanes::{Lanes, dispatch_lanes};
use std::ops::Range;

/// Numbers of any type in a register, at most.
const MOST_LANES: usize = 16;

/// Sums over all windows of images; pairs are of the padded image and of the result.
pub(super) struct Pass<'a, T, F> {
    /// Groups of channels.
    pub(super) count: usize,
    pub(super) channels: [usize; 2],
    pub(super) images: [[usize; 2]; 2],
    /// The kernels of all phases.
    pub(super) packed: &'a [T],
    pub(super) phases: usize,
    /// The windows of a phase.
    pub(super) windows: F,
}

impl<T: Scalar, F: Fn(usize) -> Windows + Sync> Pass<'_, T, F> {
    pub(super) fn run(&self, x: &[T], out: &mut [T]) {
        let len = |i: usize| self.images[i][0] * self.images[i][1] * self.channels[i];
        let (from, to) = (len(0), len(1));
        if to == 0 || out.is_empty() {
            return;
        }
        let n = out.len() / to;
        assert_eq!(
            (x.len(), out.len()),
            (n * from, n * to),
            "lengths of a convolution"
        );
        by_images(0..n, out, to, &|range, out| {
            let windows = (self.windows)(0);
            let mut padded = windows.room::<T>(self.images[0]);
            for (image, out) in range.zip(out.chunks_exact_mut(to)) {
                let image = &x[image * from..(image + 1) * from];
                windows.place(image, self.images[0][1], &mut padded);
                self.one(&padded, out);
            }
        });
    }

    fn one(&self, padded: &[T], out: &mut [T]) {
        let [ins, outs] = self.channels.map(|c| c / self.count);
        let mut packed = self.packed;
        for phase in 0..self.phases {
            let windows = (self.windows)(phase);
            let each = packed_len::<T>(windows.taps(), ins, outs);
            for group in groups(self.count, self.channels[0], self.channels[1]) {
                let kernel;
                (kernel, packed) = packed.split_at(each);
                one_image(&windows, group, self.channels[1], padded, kernel, out);
            }
        }
    }
}

/// Calls `f(images, their results)` in parallel.
fn by_images<T: Scalar>(
    range: Range<usize>,
    out: &mut [T],
    len: usize,
    f: &(dyn Fn(Range<usize>, &mut [T]) + Sync),
) {
    if range.len() <= IMAGES {
        return f(range, out);
    }
    let middle = range.start + (range.len() / 2).next_multiple_of(IMAGES);
    let (head, tail) = out.split_at_mut((middle - range.start) * len);
    rayon::join(
        || by_images(range.start..middle, head, len, f),
        || by_images(middle..range.end, tail, len, f),
    );
}

fn one_image<T: Scalar>(
    w: &Windows,
    group: Group,
    outs: usize,
    padded: &[T],
    kernel: &[T],
    out: &mut [T],
) {
    dispatch_lanes!(one_image_body::<T>(
        w: &Windows,
        group: Group,
        outs: usize,
        padded: &[T],
        kernel: &[T],
        out: &mut [T]
    ));
}

#[inline(always)]
fn one_image_body<T: Scalar, V: Lanes<T>>(
    w: &Windows,
    group: Group,
    outs: usize,
    padded: &[T],
    kernel: &[T],
    out: &mut [T],
) {
    let (w, group) = &side_by_side(w, group);
    let each = w.taps() * group.ins * V::N;
    let blocks = group.outs.div_ceil(V::N);
    let mut block = 0;
    while block < blocks {
        let first = block * V::N;
        let strip = Strip {
            ins: group.ins,
            kernel: &kernel[block * each..],
            each,
            outs,
            kept: group.outs - first,
        };
        let (from, to) = (group.from, group.to + first);
        // Two blocks where there are registers for their sums.
        if V::TILE > 1 && block + 2 <= blocks {
            lines::<T, V, 2>(w, &strip, from, padded, to, out);
            block += 2;
        } else {
            lines::<T, V, 1>(w, &strip, from, padded, to, out);
            block += 1;
        }
    }
}

/// Some blocks of channels of a result.
struct Strip<'a, T> {
    ins: usize,
    /// The kernel from the first of the blocks on, and the entries of one.
    kernel: &'a [T],
    each: usize,
    /// All channels of the result.
    outs: usize,
    /// Channels that are left from the first of the blocks on.
    kept: usize,
}

/// All pixels of some blocks.
#[inline(always)]
fn lines<T: Scalar, V: Lanes<T>, const B: usize>(
    w: &Windows,
    strip: &Strip<'_, T>,
    from: usize,
    padded: &[T],
    to: usize,
    out: &mut [T],
) {
    for y in 0..w.outputs[0] {
        let mut x = 0;
        while x < w.outputs[1] {
            let padded = &padded[w.at(y, x) + from..];
            let out = &mut out[w.pixel(y, x) * strip.outs + to..];
            if x + TILE <= w.outputs[1] {
                pixels::<T, V, TILE, B>(w, strip, padded, out);
                x += TILE;
            } else {
                pixels::<T, V, 1, B>(w, strip, padded, out);
                x += 1;
            }
        }
    }
}

/// Neighbouring pixels of a result.
#[inline(always)]
fn pixels<T: Scalar, V: Lanes<T>, const P: usize, const B: usize>(
    w: &Windows,
    strip: &Strip<'_, T>,
    padded: &[T],
    out: &mut [T],
) {
    let mut sums = [[V::splat(T::of(0.0)); B]; P];
    let ins = strip.ins;
    let next = w.strides[1] * w.channels;
    for ky in 0..w.kernel[0] {
        for kx in 0..w.kernel[1] {
            let rows = &padded[w.tap(ky, kx)..][..(P - 1) * next + ins];
            let tap = (ky * w.kernel[1] + kx) * ins * V::N;
            let kernels: [&[T]; B] =
                std::array::from_fn(|b| &strip.kernel[b * strip.each + tap..][..ins * V::N]);
            for i in 0..ins {
                // SAFETY: i < ins, and each of the kernels has `ins` times as many entries as a register.
                let kernel =
                    kernels.map(|k| V::load(unsafe { k.get_unchecked(i * V::N..(i + 1) * V::N) }));
                for p in 0..P {
                    // SAFETY: i < ins and p < P, so the entry is among the `(P - 1) next + ins` of `rows`.
                    let v = V::splat(unsafe { *rows.get_unchecked(p * next + i) });
                    for b in 0..B {
                        sums[p][b] = v.mul_add(kernel[b], sums[p][b]);
                    }
                }
            }
        }
    }
    for (p, sums) in sums.into_iter().enumerate() {
        for (b, sum) in sums.into_iter().enumerate() {
            let out = &mut out[p * w.apart[1] * strip.outs + b * V::N..];
            let kept = strip.kept - b * V::N;
            if kept >= V::N {
                sum.store(out);
            } else {
                let mut all = [T::of(0.0); MOST_LANES];
                sum.store(&mut all);
                out[..kept].copy_from_slice(&all[..kept]);
            }
        }
    }
}
