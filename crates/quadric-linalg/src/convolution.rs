//! Two-dimensional convolution of images whose channels lie together, `(n, h, w, channels)`, with kernels `(kh, kw, in / groups,
//! out)`, and the two products that are its derivatives.
//!
//! All three go over a copy of an image that is padded with zeros. Where several channels of the result are computed together
//! in a register, neighbouring pixels (or, for the derivative by the kernel, neighbouring channels of the image) are, too; so a
//! value that is loaded serves several multiplications. Every entry of a result is one chain of fused multiplications and
//! additions in a fixed order, except that the derivative by the kernel is summed over groups of images first; so results
//! do not depend on the number of threads.

#![allow(unsafe_code)]

mod entries;
mod geometry;
mod images;
#[cfg(test)]
mod tests;

use crate::Scalar;
use crate::kernels::pool::Buffer;
use entries::one_kernel;
pub use geometry::Geometry;
use geometry::{Windows, phases};
use images::Pass;
use std::ops::Range;

/// Images per task, and per partial sum of the derivative by the kernel.
const IMAGES: usize = 4;
/// Pixels, or channels of the image, that are computed together.
const TILE: usize = 8;

/// Numbers of channels of the images and of the results.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Channels {
    /// Of an image.
    pub input: usize,
    /// Of a result.
    pub output: usize,
}

/// Channels that mix: `from` of the padded image, `to` of the result.
#[derive(Clone, Copy)]
struct Group {
    from: usize,
    ins: usize,
    to: usize,
    outs: usize,
}

/// Channels of a result that are computed together: as many as [`Lanes::N`].
fn lanes<T>() -> usize {
    64 / size_of::<T>()
}

/// Calls `f(group)` for each group.
fn groups(count: usize, ins: usize, outs: usize) -> impl Iterator<Item = Group> {
    let (ins, outs) = (ins / count, outs / count);
    (0..count).map(move |g| Group {
        from: g * ins,
        ins,
        to: g * outs,
        outs,
    })
}

/// `out <- x * kernel`, image by image.
///
/// # Panics
/// Lengths that do not fit.
pub fn convolve<T: Scalar>(g: &Geometry, c: Channels, x: &[T], kernel: &[T], out: &mut [T]) {
    let (ins, outs) = (c.input / g.groups, c.output / g.groups);
    let windows = Windows::of(g, c.input);
    let mut packed = Buffer::take(g.groups * packed_len::<T>(g.window(), ins, outs));
    let tap = |tap: usize| &kernel[tap * ins * c.output..];
    pack(g, g.window(), [ins, outs], false, &mut packed, tap);
    let pass = Pass {
        count: g.groups,
        channels: [c.input, c.output],
        images: [g.input, windows.outputs],
        packed: &packed,
        phases: 1,
        windows: |_| windows,
    };
    pass.run(x, out);
}

/// `x <- ` the derivative by the images: what `out` (the derivative by the result) passes back through the kernel.
///
/// # Panics
/// Lengths that do not fit.
pub fn convolve_input<T: Scalar>(g: &Geometry, c: Channels, out: &[T], kernel: &[T], x: &mut [T]) {
    let (ins, outs) = (c.input / g.groups, c.output / g.groups);
    let phases = phases(g);
    let mut packed = Buffer::take(g.groups * packed_len::<T>(g.window(), outs, ins));
    let mut rest = &mut packed[..];
    for phase in 0..phases {
        let (windows, entry) = Windows::back(g, c.output, phase);
        let taps = windows.taps();
        let own;
        (own, rest) = rest.split_at_mut(g.groups * packed_len::<T>(taps, outs, ins));
        // The kernel turned round, with inputs and outputs exchanged.
        let tap = |tap: usize| &kernel[entry(tap) * ins * c.output..];
        pack(g, taps, [outs, ins], true, own, tap);
    }
    let pass = Pass {
        count: g.groups,
        channels: [c.output, c.input],
        images: [g.outputs(), g.input],
        packed: &packed,
        phases,
        windows: |phase| Windows::back(g, c.output, phase).0,
    };
    pass.run(out, x);
}

/// Entries of a group of a kernel of so many taps, [packed](pack).
fn packed_len<T>(taps: usize, ins: usize, outs: usize) -> usize {
    outs.div_ceil(lanes::<T>()) * taps * ins * lanes::<T>()
}

/// The kernel, for blocks of channels of the result: `[group][block][tap][in][lane]`. Each tap is a matrix with rows for the
/// inputs of a group and columns for the outputs of all; if it `is_turned`, they have exchanged what they are.
fn pack<'a, T: Scalar>(
    g: &Geometry,
    taps: usize,
    [ins, outs]: [usize; 2],
    is_turned: bool,
    packed: &mut [T],
    tap: impl Fn(usize) -> &'a [T],
) {
    let lanes = lanes::<T>();
    let (each, columns) = match is_turned {
        true => (ins, g.groups * ins),
        false => (outs, g.groups * outs),
    };
    let mut slots = packed.chunks_exact_mut((ins * lanes).max(1));
    for group in 0..g.groups {
        for block in 0..outs.div_ceil(lanes) {
            let first = block * lanes;
            let kept = lanes.min(outs - first);
            for (number, slot) in (0..taps).zip(&mut slots) {
                let matrix = &tap(number)[group * each..];
                slot.fill(T::of(0.0));
                if is_turned {
                    for lane in 0..kept {
                        let row = &matrix[(first + lane) * columns..][..ins];
                        let to = slot[lane..].iter_mut().step_by(lanes);
                        to.zip(row).for_each(|(s, &v)| *s = v);
                    }
                } else {
                    for (i, to) in slot.chunks_exact_mut(lanes).enumerate() {
                        to[..kept].copy_from_slice(&matrix[i * columns + first..][..kept]);
                    }
                }
            }
        }
    }
}

/// The entries of a window that lie side by side, taken as channels of one.
fn side_by_side(w: &Windows, group: Group) -> (Windows, Group) {
    if w.dilation[1] != 1 || group.ins != w.channels {
        return (*w, group);
    }
    let group = Group {
        ins: group.ins * w.kernel[1],
        ..group
    };
    let kernel = [w.kernel[0], 1];
    (Windows { kernel, ..*w }, group)
}

/// `kernel <- ` the derivative by the kernel, from the images and the derivative by the result.
///
/// # Panics
/// Lengths that do not fit.
pub fn convolve_kernel<T: Scalar>(g: &Geometry, c: Channels, out: &[T], x: &[T], kernel: &mut [T]) {
    let windows = Windows::of(g, c.input);
    let [from, to] = [(g.input, c.input), (g.outputs(), c.output)].map(|(s, c)| s[0] * s[1] * c);
    kernel.fill(T::of(0.0));
    if to == 0 || out.is_empty() {
        return;
    }
    let n = out.len() / to;
    assert_eq!(x.len(), n * from, "lengths of a convolution");
    let tasks = n.div_ceil(IMAGES);
    let len = kernel.len();
    let mut parts = Buffer::<T>::take(tasks * len);
    by_parts(0..tasks, &mut parts, len, &|task, part| {
        part.fill(T::of(0.0));
        let mut padded = windows.room::<T>(g.input);
        for image in task * IMAGES..((task + 1) * IMAGES).min(n) {
            windows.place(
                &x[image * from..(image + 1) * from],
                g.input[1],
                &mut padded,
            );
            let out = &out[image * to..(image + 1) * to];
            for group in groups(g.groups, c.input, c.output) {
                one_kernel(&windows, group, c.output, &padded, out, part);
            }
        }
    });
    for part in parts.chunks_exact(len.max(1)) {
        for (k, &v) in kernel.iter_mut().zip(part) {
            *k += v;
        }
    }
}

/// Calls `f(number, part)` for every part in parallel.
fn by_parts<T: Scalar>(
    range: Range<usize>,
    parts: &mut [T],
    len: usize,
    f: &(dyn Fn(usize, &mut [T]) + Sync),
) {
    match range.len() {
        0 => {}
        1 => f(range.start, parts),
        n => {
            let (head, tail) = parts.split_at_mut(n / 2 * len);
            rayon::join(
                || by_parts(range.start..range.start + n / 2, head, len, f),
                || by_parts(range.start + n / 2..range.end, tail, len, f),
            );
        }
    }
}
