//! The scalar functions of generalised linear models, stable at both ends and fast over slices.
//!
//! Everything is computed in `f64` by argument reduction and polynomials, within 3 units in the last place of the exact
//! value (1.5 for [`exp`], 2.5 for [`sigmoid`], 5 for [`sigmoid_slope`]); `f32` slices are computed in `f64` and rounded once. NaN stays NaN. Slices and
//! single values get the same bits. The loops are compiled for AVX2 and FMA as the kernels are, and for AVX-512 with
//! the same bits; like the kernels they promise their bits per level of instructions.

#![allow(unsafe_code)]

#[cfg(test)]
mod tests;

use crate::Scalar;
use crate::kernels::simd::{dispatch_widest, mul_add};

/// `1.5 · 2^52`: adding it rounds to an integer, which then sits in the low bits.
const SHIFT: f64 = 6_755_399_441_055_744.0;
/// ln 2 in two parts; the first has so few bits that products with exponents are exact.
const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);

/// `1/2!, 1/3!, ...`, the Taylor series of `(e^r - 1 - r) / r²`; the rest is below 1e-17 for |r| <= ln 2 / 2.
const EXP: [f64; 12] = {
    let mut c = [0.5; 12];
    let mut i = 1;
    while i < 12 {
        c[i] = c[i - 1] / (i + 2) as f64;
        i += 1;
    }
    c
};

/// `2/3, 2/5, ...`, from `log(1 + f) = 2 atanh s` with `s = f / (2 + f)`; the rest is below 1e-17 for f in [1/√2 - 1, √2 - 1].
const ATANH: [f64; 10] = {
    let mut c = [0.0; 10];
    let mut i = 0;
    while i < 10 {
        c[i] = 2.0 / (2 * i + 3) as f64;
        i += 1;
    }
    c
};

/// `Σ c_i x^i`, from four polynomials in x⁴ that do not wait for each other.
#[inline(always)]
fn polynomial<const FMA: bool, const N: usize>(c: &[f64; N], x: f64) -> f64 {
    let square = x * x;
    let fourth = square * square;
    let mut sums = [0.0; 4];
    for i in (0..N).rev() {
        sums[i % 4] = if i + 4 < N {
            mul_add::<FMA>(sums[i % 4], fourth, c[i])
        } else {
            c[i]
        };
    }
    let low = mul_add::<FMA>(sums[1], x, sums[0]);
    let high = mul_add::<FMA>(sums[3], x, sums[2]);
    mul_add::<FMA>(high, square, low)
}

/// 2^k for an integer k within [-1022, 1023].
#[inline(always)]
fn power_of_two(k: f64) -> f64 {
    f64::from_bits(((k + SHIFT).to_bits().wrapping_add(1023)) << 52)
}

/// The integer k nearest to x / ln 2, and e^r - 1 for the rest r = x - k ln 2.
#[inline(always)]
fn reduced<const FMA: bool>(x: f64) -> (f64, f64) {
    let k = (x * std::f64::consts::LOG2_E + SHIFT) - SHIFT;
    let r = mul_add::<FMA>(-k, LN2_LOW, mul_add::<FMA>(-k, LN2_HIGH, x));
    (k, mul_add::<FMA>(r * r, polynomial::<FMA, 12>(&EXP, r), r))
}

#[inline(always)]
pub(crate) fn exp_one<const FMA: bool>(x: f64) -> f64 {
    // Beyond these the result is 0 or infinite anyway; comparisons let NaN through.
    let x = if x > 710.0 { 710.0 } else { x };
    let x = if x < -746.0 { -746.0 } else { x };
    let (k, e) = reduced::<FMA>(x);
    // In two factors, for results that are infinite or subnormal.
    let half = (k * 0.5 + SHIFT) - SHIFT;
    (1.0 + e) * power_of_two(half) * power_of_two(k - half)
}

/// `f - log(1 + f)` for f in [1/√2 - 1, √2 - 1].
#[inline(always)]
fn log1p_rest<const FMA: bool>(f: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    let half_square = 0.5 * f * f;
    let series = mul_add::<FMA>(z, polynomial::<FMA, 10>(&ATANH, z), half_square);
    mul_add::<FMA>(-s, series, half_square)
}

/// `log(1 + u)` for u in [0, 1].
#[inline(always)]
fn log1p_one<const FMA: bool>(u: f64) -> f64 {
    // Above √2 - 1, half of 1 + u is taken instead.
    let large = u > std::f64::consts::SQRT_2 - 1.0;
    let f = if large { (u - 1.0) * 0.5 } else { u };
    let rest = log1p_rest::<FMA>(f);
    if large {
        LN2_HIGH + (f - (rest - LN2_LOW))
    } else {
        f - rest
    }
}

#[inline(always)]
pub(crate) fn softplus_one<const FMA: bool>(t: f64) -> f64 {
    let small = log1p_one::<FMA>(exp_one::<FMA>(-t.abs()));
    let positive = if t > 0.0 { t } else { 0.0 };
    positive + small
}

#[inline(always)]
pub(crate) fn sigmoid_one<const FMA: bool>(t: f64) -> f64 {
    let u = exp_one::<FMA>(-t.abs());
    (if t >= 0.0 { 1.0 } else { u }) / (1.0 + u)
}

/// From u = e^2|x| - 1 as u / (u + 2), which is accurate near 0, too.
#[inline(always)]
pub(crate) fn tanh_one<const FMA: bool>(t: f64) -> f64 {
    let x = 2.0 * t.abs();
    let x = if x > 40.0 { 40.0 } else { x };
    let (k, e) = reduced::<FMA>(x);
    let scale = power_of_two(k);
    let u = mul_add::<FMA>(scale, e, scale - 1.0);
    (u / (u + 2.0)).copysign(t)
}

/// √½, as bits.
const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;

/// The logarithm of m 2^k as k ln 2 + log m, with m in [√½, √2).
#[inline(always)]
pub(crate) fn log_one<const FMA: bool>(x: f64) -> f64 {
    const TWO_54: f64 = (1_u64 << 54) as f64;
    const TWO_52: f64 = (1_u64 << 52) as f64;
    let is_subnormal = x < f64::MIN_POSITIVE;
    let (y, offset) = if is_subnormal {
        (x * TWO_54, 54.0)
    } else {
        (x, 0.0)
    };
    let shifted = y.to_bits().wrapping_add(1.0_f64.to_bits() - SQRT_HALF);
    let exponent = f64::from_bits((shifted >> 52) | TWO_52.to_bits()) - (TWO_52 + 1023.0);
    let k = exponent - offset;
    let mantissa = (shifted & ((1 << 52) - 1)) + SQRT_HALF;
    let f = f64::from_bits(mantissa) - 1.0;
    let rest = log1p_rest::<FMA>(f);
    let log = mul_add::<FMA>(k, LN2_HIGH, f - mul_add::<FMA>(-k, LN2_LOW, rest));
    let log = if x < f64::INFINITY { log } else { x };
    let log = if x < 0.0 { f64::NAN } else { log };
    if x == 0.0 { f64::NEG_INFINITY } else { log }
}

/// Below this step, and not beyond where the series of the exponential and the logarithm serve, a change of softplus is one
/// expression.
const SHORT: f64 = 0.33;

#[inline(always)]
fn softplus_change_one<const FMA: bool>(t: f64, step: f64) -> f64 {
    let power = mul_add::<FMA>(step * step, polynomial::<FMA, 12>(&EXP, step), step);
    let growth = sigmoid_one::<FMA>(t) * power;
    let short = growth - log1p_rest::<FMA>(growth);
    let long = softplus_one::<FMA>(t + step) - softplus_one::<FMA>(t);
    if step.abs() < SHORT { short } else { long }
}

#[inline(always)]
fn sigmoid_slope_one<const FMA: bool>(t: f64) -> f64 {
    let u = exp_one::<FMA>(-t.abs());
    let sum = 1.0 + u;
    u / (sum * sum)
}

/// A function over slices and its scalar form.
macro_rules! elementwise {
    ($(#[$doc:meta])* $name:ident, $(#[$all_doc:meta])* $all:ident, $body:ident, $one:ident) => {
        $(#[$doc])*
        pub fn $name(t: f64) -> f64 {
            let mut out = [t];
            $all(&[t], &mut out);
            out[0]
        }

        $(#[$all_doc])*
        ///
        /// # Panics
        /// Slices of different lengths.
        pub fn $all<T: Scalar>(t: &[T], out: &mut [T]) {
            assert_eq!(t.len(), out.len(), "slices of one length");
            dispatch_widest!($body::<T>(t: &[T], out: &mut [T]));
        }

        #[inline(always)]
        fn $body<T: Scalar, const FMA: bool>(t: &[T], out: &mut [T]) {
            for (o, t) in out.iter_mut().zip(t) {
                *o = T::of($one::<FMA>(t.to_f64()));
            }
        }
    };
}

elementwise! {
    /// `e^t`.
    exp,
    /// `out[i] <- exp(t[i])`.
    exp_all, exp_body, exp_one
}
elementwise! {
    /// `log(1 + e^t)`: the logistic loss at margin -t.
    softplus,
    /// `out[i] <- softplus(t[i])`.
    softplus_all, softplus_body, softplus_one
}
elementwise! {
    /// `1 / (1 + e^{-t})`, the derivative of [`softplus`].
    sigmoid,
    /// `out[i] <- sigmoid(t[i])`.
    sigmoid_all, sigmoid_body, sigmoid_one
}
elementwise! {
    /// `e^{-|t|} / (1 + e^{-|t|})²`, the derivative of [`sigmoid`]: even, and positive wherever it can be represented.
    sigmoid_slope,
    /// `out[i] <- sigmoid_slope(t[i])`.
    sigmoid_slope_all, sigmoid_slope_body, sigmoid_slope_one
}

/// `value[i] <- softplus(t[i])` and `slope[i] <- sigmoid(t[i])` from one exponential each, with the bits of the two
/// functions.
///
/// # Panics
/// Slices of different lengths.
pub fn softplus_and_sigmoid<T: Scalar>(t: &[T], value: &mut [T], slope: &mut [T]) {
    assert_eq!(
        (t.len(), t.len()),
        (value.len(), slope.len()),
        "slices of one length"
    );
    dispatch_widest!(softplus_and_sigmoid_body::<T>(t: &[T], value: &mut [T], slope: &mut [T]));
}

#[inline(always)]
fn softplus_and_sigmoid_body<T: Scalar, const FMA: bool>(
    t: &[T],
    value: &mut [T],
    slope: &mut [T],
) {
    for ((t, v), s) in t.iter().zip(value).zip(slope) {
        let t = t.to_f64();
        let u = exp_one::<FMA>(-t.abs());
        *v = T::of((if t > 0.0 { t } else { 0.0 }) + log1p_one::<FMA>(u));
        *s = T::of((if t >= 0.0 { 1.0 } else { u }) / (1.0 + u));
    }
}

/// `first[i] <- sigmoid(t[i])` and `second[i] <- sigmoid_slope(t[i])` from one exponential each, with the bits of the two
/// functions.
///
/// # Panics
/// Slices of different lengths.
pub fn sigmoid_and_slope<T: Scalar>(t: &[T], first: &mut [T], second: &mut [T]) {
    assert_eq!(
        (t.len(), t.len()),
        (first.len(), second.len()),
        "slices of one length"
    );
    dispatch_widest!(sigmoid_and_slope_body::<T>(t: &[T], first: &mut [T], second: &mut [T]));
}

#[inline(always)]
fn sigmoid_and_slope_body<T: Scalar, const FMA: bool>(t: &[T], first: &mut [T], second: &mut [T]) {
    for ((t, first), second) in t.iter().zip(first).zip(second) {
        let t = t.to_f64();
        let u = exp_one::<FMA>(-t.abs());
        let sum = 1.0 + u;
        *first = T::of((if t >= 0.0 { 1.0 } else { u }) / sum);
        *second = T::of(u / (sum * sum));
    }
}

/// `out[i] <- softplus(t[i] + step[i]) - softplus(t[i])`: within 8 units in the last place of the result for steps up to
/// 0.33, and of the larger of the two values for longer ones.
///
/// # Panics
/// Slices of different lengths.
pub fn softplus_changes<T: Scalar>(t: &[T], step: &[T], out: &mut [T]) {
    assert_eq!(
        (t.len(), t.len()),
        (step.len(), out.len()),
        "slices of one length"
    );
    dispatch_widest!(softplus_changes_body::<T>(t: &[T], step: &[T], out: &mut [T]));
}

#[inline(always)]
fn softplus_changes_body<T: Scalar, const FMA: bool>(t: &[T], step: &[T], out: &mut [T]) {
    for ((t, step), out) in t.iter().zip(step).zip(out) {
        *out = T::of(softplus_change_one::<FMA>(t.to_f64(), step.to_f64()));
    }
}

/// Sums that are built side by side.
const LANES: usize = 8;

/// `weight v`; weight zero says that there is no v, whatever stands in its place.
#[inline(always)]
pub fn weigh(weight: f64, v: f64) -> f64 {
    if weight == 0.0 { 0.0 } else { weight * v }
}

/// `Σ weights[i] values[i]` in lanes; values of weight zero may be anything, NaN as well.
///
/// # Panics
/// Slices of different lengths.
pub fn weighted_sum<T: Scalar>(weights: &[f64], values: &[T]) -> f64 {
    assert_eq!(weights.len(), values.len(), "slices of one length");
    let mut lanes = [0.0; LANES];
    add_weighted(weights, values, &mut lanes);
    crate::parallel::tree_sum(&lanes)
}

fn add_weighted<T: Scalar>(weights: &[f64], values: &[T], lanes: &mut [f64; LANES]) {
    dispatch_widest!(add_weighted_body::<T>(weights: &[f64], values: &[T], lanes: &mut [f64; LANES]));
}

#[inline(always)]
fn add_weighted_body<T: Scalar, const FMA: bool>(
    weights: &[f64],
    values: &[T],
    lanes: &mut [f64; LANES],
) {
    let (blocks, rest) = weights.as_chunks::<LANES>();
    let (of_blocks, of_rest) = values.as_chunks::<LANES>();
    let mut sums = *lanes;
    for (weights, values) in blocks.iter().zip(of_blocks) {
        for l in 0..LANES {
            sums[l] += weigh(weights[l], values[l].to_f64());
        }
    }
    for ((sum, weight), v) in sums.iter_mut().zip(rest).zip(of_rest) {
        *sum += weigh(*weight, v.to_f64());
    }
    *lanes = sums;
}

/// `out[i] <- weights[i] norm values[i]`; values of weight zero may be anything, NaN as well.
///
/// # Panics
/// Slices of different lengths.
pub fn weigh_all<T: Scalar>(weights: &[f64], norm: f64, values: &[f64], out: &mut [T]) {
    assert_eq!(
        (weights.len(), weights.len()),
        (values.len(), out.len()),
        "slices of one length"
    );
    dispatch_widest!(weigh_all_body::<T>(weights: &[f64], norm: f64, values: &[f64], out: &mut [T]));
}

#[inline(always)]
fn weigh_all_body<T: Scalar, const FMA: bool>(
    weights: &[f64],
    norm: f64,
    values: &[f64],
    out: &mut [T],
) {
    for ((out, weight), v) in out.iter_mut().zip(weights).zip(values) {
        *out = T::of(weigh(weight * norm, *v));
    }
}
