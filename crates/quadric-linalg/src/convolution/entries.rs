//! Sums over the pixels of images, for the entries of a kernel.

use super::geometry::Windows;
use super::{Group, TILE, side_by_side};
use crate::Scalar;
use crate::kernels::lanes::{Lanes, dispatch_lanes};
use std::ops::Range;

/// Bytes that are kept in the nearest cache.
const NEAR: usize = 1 << 15;

pub(super) fn one_kernel<T: Scalar>(
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
    let (w, group) = &side_by_side(w, group);
    // Some lines of the result and what belongs to them of the image stay in the nearest cache for all entries of the kernel.
    let line = w.outputs[1] * (outs + w.strides[0] * w.strides[1] * w.channels) * size_of::<T>();
    let most = (NEAR / line.max(1)).clamp(1, w.outputs[0].max(1));
    let parts = w.outputs[0].div_ceil(most);
    for part in 0..parts {
        let lines = w.outputs[0] * part / parts..w.outputs[0] * (part + 1) / parts;
        let mut first = 0;
        while first < group.outs {
            let left = group.outs - first;
            let at = Corner {
                lines: lines.clone(),
                from: group.from,
                ins: group.ins,
                to: group.to + first,
                outs,
            };
            if left < V::N {
                narrow(w, &at, left, padded, out, kernel);
                first = group.outs;
            } else if V::TILE > 1 && left >= 2 * V::N {
                blocks::<T, V, TILE, 2>(w, &at, padded, out, kernel);
                first += 2 * V::N;
            } else if V::TILE > 1 {
                blocks::<T, V, { 2 * TILE }, 1>(w, &at, padded, out, kernel);
                first += V::N;
            } else {
                blocks::<T, V, TILE, 1>(w, &at, padded, out, kernel);
                first += V::N;
            }
        }
    }
}

/// Lines of a result, and the channels that entries of the kernel belong to.
struct Corner {
    lines: Range<usize>,
    /// The first channel of the image, and how many there are.
    from: usize,
    ins: usize,
    /// The first channel of the result, and how many it has in all groups.
    to: usize,
    outs: usize,
}

/// What some lines give to the entries of the kernel for `B` registers of channels of the result, `E` channels of the image
/// together.
#[inline(always)]
fn blocks<T: Scalar, V: Lanes<T>, const E: usize, const B: usize>(
    w: &Windows,
    at: &Corner,
    padded: &[T],
    out: &[T],
    kernel: &mut [T],
) {
    for ky in 0..w.kernel[0] {
        for kx in 0..w.kernel[1] {
            let mut i = 0;
            while i < at.ins {
                let padded = &padded[w.tap(ky, kx) + at.from + i..];
                let row = (ky * w.kernel[1] + kx) * at.ins + i;
                let kernel = &mut kernel[row * at.outs + at.to..];
                if i + E <= at.ins {
                    entries::<T, V, E, B>(w, at, padded, out, kernel);
                    i += E;
                } else if E > TILE && i + TILE <= at.ins {
                    entries::<T, V, TILE, B>(w, at, padded, out, kernel);
                    i += TILE;
                } else {
                    entries::<T, V, 1, B>(w, at, padded, out, kernel);
                    i += 1;
                }
            }
        }
    }
}

/// Sums over the pixels of some lines.
#[inline(always)]
fn entries<T: Scalar, V: Lanes<T>, const E: usize, const B: usize>(
    w: &Windows,
    at: &Corner,
    padded: &[T],
    out: &[T],
    kernel: &mut [T],
) {
    let mut sums: [[V; B]; E] = std::array::from_fn(|e| {
        std::array::from_fn(|b| V::load(&kernel[e * at.outs + b * V::N..]))
    });
    let step = w.strides[1] * w.channels;
    for y in at.lines.clone() {
        let line = &out[y * w.outputs[1] * at.outs + at.to..];
        let image = &padded[w.at(y, 0)..][..(w.outputs[1] - 1) * step + E];
        for x in 0..w.outputs[1] {
            let result: [V; B] = std::array::from_fn(|b| V::load(&line[x * at.outs + b * V::N..]));
            for e in 0..E {
                // SAFETY: x < outputs[1] and e < E, so the entry is among those of `image`.
                let v = V::splat(unsafe { *image.get_unchecked(x * step + e) });
                for b in 0..B {
                    sums[e][b] = v.mul_add(result[b], sums[e][b]);
                }
            }
        }
    }
    for (e, sums) in sums.into_iter().enumerate() {
        for (b, sum) in sums.into_iter().enumerate() {
            sum.store(&mut kernel[e * at.outs + b * V::N..]);
        }
    }
}

/// The same for the few last channels of the result, which fill no register.
#[inline(always)]
fn narrow<T: Scalar>(
    w: &Windows,
    at: &Corner,
    kept: usize,
    padded: &[T],
    out: &[T],
    kernel: &mut [T],
) {
    for ky in 0..w.kernel[0] {
        for kx in 0..w.kernel[1] {
            for i in 0..at.ins {
                let padded = &padded[w.tap(ky, kx) + at.from + i..];
                let row = (ky * w.kernel[1] + kx) * at.ins + i;
                for l in 0..kept {
                    let mut sum = 0.0;
                    for y in at.lines.clone() {
                        for x in 0..w.outputs[1] {
                            let result = out[(y * w.outputs[1] + x) * at.outs + at.to + l];
                            sum += padded[w.at(y, x)].to_f64() * result.to_f64();
                        }
                    }
                    let entry = &mut kernel[row * at.outs + at.to + l];
                    *entry = T::of(entry.to_f64() + sum);
                }
            }
        }
    }
}
