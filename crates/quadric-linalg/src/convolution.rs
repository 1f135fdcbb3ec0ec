//! Two-dimensional convolution of images whose channels lie together, `(n, h, w, channels)`, with kernels `(kh, kw, in / groups,
//! out)`, and the two products that are its derivatives.
//!
//! All three go over a copy of an image that is padded with zeros. Where several channels of the result are computed together
//! in a register, neighbouring pixels (or, for the derivative by the kernel, neighbouring channels of the image) are, too; so a
//! value that is loaded serves several multiplications. Every entry of a result is one chain of fused multiplications and
//! additions in a fixed order, except that the derivative by the kernel is summed over groups of images first; so results
//! do not depend on the number of threads.

#![allow(unsafe_code)]

mod geometry;
#[cfg(test)]
mod tests;

use crate::Scalar;
use crate::kernels::lanes::{Lanes, dispatch_lanes};
use crate::kernels::pool::Buffer;
pub use geometry::Geometry;
use geometry::Windows;
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

/// Numbers of any type in a register, at most.
const MOST_LANES: usize = 16;

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
    let outs = c.output / g.groups;
    let entry = |tap: usize, i: usize, group: usize, o: usize| {
        kernel[(tap * (c.input / g.groups) + i) * c.output + group * outs + o]
    };
    let packed = pack(g, c.input / g.groups, outs, entry);
    let windows = Windows::of(g, c.input);
    let image = [g.input, g.outputs()];
    correlate(
        &windows,
        [c.input, c.output],
        g.groups,
        image,
        x,
        &packed,
        out,
    );
}

/// `x <- ` the derivative by the images: what `out` (the derivative by the result) passes back through the kernel.
///
/// # Panics
/// Lengths that do not fit.
pub fn convolve_input<T: Scalar>(g: &Geometry, c: Channels, out: &[T], kernel: &[T], x: &mut [T]) {
    let (ins, outs) = (c.input / g.groups, c.output / g.groups);
    let last = g.window() - 1;
    // The kernel turned round, with inputs and outputs exchanged.
    let entry = |tap: usize, o: usize, group: usize, i: usize| {
        kernel[((last - tap) * ins + i) * c.output + group * outs + o]
    };
    let packed = pack(g, outs, ins, entry);
    let windows = Windows::transposed(g, c.output);
    correlate(
        &windows,
        [c.output, c.input],
        g.groups,
        [g.outputs(), g.input],
        out,
        &packed,
        x,
    );
}

/// The kernel, for blocks of channels of the result: `[group][block][tap][in][lane]`.
fn pack<T: Scalar>(
    g: &Geometry,
    ins: usize,
    outs: usize,
    entry: impl Fn(usize, usize, usize, usize) -> T,
) -> Buffer<T> {
    let lanes = lanes::<T>();
    let blocks = outs.div_ceil(lanes);
    let mut packed = Buffer::<T>::take(g.groups * blocks * g.window() * ins * lanes);
    let mut slots = packed.iter_mut();
    for group in 0..g.groups {
        for block in 0..blocks {
            for tap in 0..g.window() {
                for i in 0..ins {
                    for lane in 0..lanes {
                        let o = block * lanes + lane;
                        let value = if o < outs {
                            entry(tap, i, group, o)
                        } else {
                            T::of(0.0)
                        };
                        if let Some(slot) = slots.next() {
                            *slot = value;
                        }
                    }
                }
            }
        }
    }
    packed
}

/// The sums over all windows of all images; pairs are of the padded image and of the result.
fn correlate<T: Scalar>(
    windows: &Windows,
    channels: [usize; 2],
    count: usize,
    images: [[usize; 2]; 2],
    x: &[T],
    packed: &[T],
    out: &mut [T],
) {
    let from = images[0][0] * images[0][1] * channels[0];
    let to = images[1][0] * images[1][1] * channels[1];
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
        let mut padded = windows.room::<T>(images[0]);
        for (image, out) in range.zip(out.chunks_exact_mut(to)) {
            windows.place(
                &x[image * from..(image + 1) * from],
                images[0][1],
                &mut padded,
            );
            let each = packed.len() / count;
            for (i, group) in groups(count, channels[0], channels[1]).enumerate() {
                let kernel = &packed[i * each..(i + 1) * each];
                one_image(windows, group, channels[1], &padded, kernel, out);
            }
        }
    });
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
    let each = w.kernel[0] * w.kernel[1] * group.ins * V::N;
    for (block, kernel) in kernel.chunks_exact(each.max(1)).enumerate() {
        let first = group.to + block * V::N;
        let kept = V::N.min(group.to + group.outs - first);
        for y in 0..w.outputs[0] {
            let mut x = 0;
            while x < w.outputs[1] {
                let padded = &padded[w.at(y, x) + group.from..];
                let out = &mut out[(y * w.outputs[1] + x) * outs + first..];
                if x + TILE <= w.outputs[1] {
                    pixels::<T, V, TILE>(w, group.ins, padded, kernel, out, outs, kept);
                    x += TILE;
                } else {
                    pixels::<T, V, 1>(w, group.ins, padded, kernel, out, outs, kept);
                    x += 1;
                }
            }
        }
    }
}

/// Neighbouring pixels of a result, `step` entries apart.
#[inline(always)]
fn pixels<T: Scalar, V: Lanes<T>, const P: usize>(
    w: &Windows,
    ins: usize,
    padded: &[T],
    kernel: &[T],
    out: &mut [T],
    step: usize,
    kept: usize,
) {
    let mut sums = [V::splat(T::of(0.0)); P];
    let next = w.strides[1] * w.channels;
    for ky in 0..w.kernel[0] {
        for kx in 0..w.kernel[1] {
            let rows = &padded[w.tap(ky, kx)..][..(P - 1) * next + ins];
            let kernel = &kernel[(ky * w.kernel[1] + kx) * ins * V::N..][..ins * V::N];
            for (i, kernel) in kernel.chunks_exact(V::N).enumerate() {
                let kernel = V::load(kernel);
                for p in 0..P {
                    // SAFETY: i < ins and p < P, so the entry is among the `(P - 1) next + ins` of `rows`.
                    let v = unsafe { *rows.get_unchecked(p * next + i) };
                    sums[p] = V::splat(v).mul_add(kernel, sums[p]);
                }
            }
        }
    }
    for (p, sum) in sums.into_iter().enumerate() {
        let out = &mut out[p * step..];
        if kept == V::N {
            sum.store(out);
        } else {
            let mut all = [T::of(0.0); MOST_LANES];
            sum.store(&mut all);
            out[..kept].copy_from_slice(&all[..kept]);
        }
    }
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

fn one_kernel<T: Scalar>(
    w: &Windows,
    group: Group,
    outs: usize,
    padded: &[T],
    out: &[T],
    kernel: &mut [T],
) {
    dispatch_lanes!(one_kernel_body::<T>(
        w: &Windows,
        group: Group,
        outs: usize,
        padded: &[T],
        out: &[T],
        kernel: &mut [T]
    ));
}

#[inline(always)]
fn one_kernel_body<T: Scalar, V: Lanes<T>>(
    w: &Windows,
    group: Group,
    outs: usize,
    padded: &[T],
    out: &[T],
    kernel: &mut [T],
) {
    for first in (0..group.outs).step_by(V::N) {
        let kept = V::N.min(group.outs - first);
        let out = &out[group.to + first..];
        for ky in 0..w.kernel[0] {
            for kx in 0..w.kernel[1] {
                let mut i = 0;
                while i < group.ins {
                    let padded = &padded[w.tap(ky, kx) + group.from + i..];
                    let row = (ky * w.kernel[1] + kx) * group.ins + i;
                    let kernel = &mut kernel[row * outs + group.to + first..];
                    if kept < V::N {
                        narrow(w, padded, out, outs, kernel, kept);
                        i += 1;
                    } else if i + TILE <= group.ins {
                        entries::<T, V, TILE>(w, padded, out, outs, kernel);
                        i += TILE;
                    } else {
                        entries::<T, V, 1>(w, padded, out, outs, kernel);
                        i += 1;
                    }
                }
            }
        }
    }
}

/// Sums over all pixels for `E` neighbouring channels of the image and a register of channels of the result.
#[inline(always)]
fn entries<T: Scalar, V: Lanes<T>, const E: usize>(
    w: &Windows,
    padded: &[T],
    out: &[T],
    outs: usize,
    kernel: &mut [T],
) {
    let mut sums = [V::splat(T::of(0.0)); E];
    let step = w.strides[1] * w.channels;
    for y in 0..w.outputs[0] {
        let line = &out[y * w.outputs[1] * outs..];
        let image = &padded[w.at(y, 0)..][..(w.outputs[1] - 1) * step + E];
        for x in 0..w.outputs[1] {
            let result = V::load(&line[x * outs..]);
            for e in 0..E {
                // SAFETY: x < outputs[1] and e < E, so the entry is among those of `image`.
                let v = unsafe { *image.get_unchecked(x * step + e) };
                sums[e] = V::splat(v).mul_add(result, sums[e]);
            }
        }
    }
    let one = V::splat(T::of(1.0));
    for (e, sum) in sums.into_iter().enumerate() {
        let kernel = &mut kernel[e * outs..];
        sum.mul_add(one, V::load(kernel)).store(kernel);
    }
}

/// The same for one channel of the image and the few last ones of the result.
#[inline(always)]
fn narrow<T: Scalar>(
    w: &Windows,
    padded: &[T],
    out: &[T],
    outs: usize,
    kernel: &mut [T],
    kept: usize,
) {
    for l in 0..kept {
        let mut sum = 0.0;
        for y in 0..w.outputs[0] {
            for x in 0..w.outputs[1] {
                let result = out[(y * w.outputs[1] + x) * outs + l].to_f64();
                sum += padded[w.at(y, x)].to_f64() * result;
            }
        }
        kernel[l] = T::of(kernel[l].to_f64() + sum);
    }
}
