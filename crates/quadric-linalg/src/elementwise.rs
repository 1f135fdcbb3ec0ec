//! Functions of one, two or three numbers applied to slices, in the precision of the slices.
//!
//! The loops are compiled for AVX2 and FMA, and for AVX-512 with the same bits, and promise their bits per level of
//! instructions. In `f64` exponentials come from [`math`](crate::math); in `f32` they are polynomials in `f32`, within 2 units in
//! the last place for [`Unary::Exp`], 3 for [`Unary::Sigmoid`] and [`Unary::Erf`], 5 for [`Unary::Tanh`]. NaN stays NaN everywhere.

#![allow(unsafe_code)]

mod functions;
#[cfg(test)]
mod tests;

use crate::Scalar;
use crate::kernels::simd::dispatch_widest;
#[doc(hidden)]
pub use functions::Functions;

/// A function of one number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unary {
    /// -x
    Neg,
    /// |x|
    Abs,
    /// -1, 0 or 1; NaN stays.
    Sign,
    /// The largest integer that is not above x.
    Floor,
    /// eˣ
    Exp,
    /// The natural logarithm.
    Log,
    /// log(1 + x)
    Log1p,
    /// The square root.
    Sqrt,
    /// The sine.
    Sin,
    /// The cosine.
    Cos,
    /// The inverse tangent.
    Atan,
    /// The hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// log(1 + eˣ)
    Softplus,
    /// The error function.
    Erf,
    /// x to the power whose bits as an `f64` are given; NaN for every negative x if that is no integer.
    Power(u64),
}

impl Unary {
    /// x to a constant power.
    pub fn power(exponent: f64) -> Self {
        Self::Power(exponent.to_bits())
    }

    /// The function of one number in double precision, from the platform's mathematical library where it has it: what the
    /// loops are tested against.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Self::Neg => -x,
            Self::Abs => x.abs(),
            Self::Sign if x == 0.0 || x.is_nan() => x,
            Self::Sign => x.signum(),
            Self::Floor => x.floor(),
            Self::Exp => x.exp(),
            Self::Log => x.ln(),
            Self::Log1p => x.ln_1p(),
            Self::Sqrt => x.sqrt(),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Atan => x.atan(),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => crate::math::sigmoid(x),
            Self::Softplus => crate::math::softplus(x),
            Self::Erf => libm::erf(x),
            Self::Power(bits) => {
                let exponent = f64::from_bits(bits);
                if x < 0.0 && exponent.fract() != 0.0 {
                    f64::NAN
                } else {
                    x.powf(exponent)
                }
            }
        }
    }
}

/// A function of two numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Binary {
    /// a + b
    Add,
    /// a - b
    Sub,
    /// a b
    Mul,
    /// a / b
    Div,
    /// The larger; NaN if either is.
    Max,
    /// The smaller; NaN if either is.
    Min,
    /// 1 where a = b, else 0.
    Equal,
    /// 1 where a < b, else 0.
    Less,
    /// 1 where a <= b, else 0.
    LessEqual,
}

impl Binary {
    /// The function of two numbers in double precision.
    #[inline(always)]
    pub fn apply(self, a: f64, b: f64) -> f64 {
        let number = |holds: bool| if holds { 1.0 } else { 0.0 };
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Max => larger(a, b),
            Self::Min => -larger(-a, -b),
            Self::Equal => number(a == b),
            Self::Less => number(a < b),
            Self::LessEqual => number(a <= b),
        }
    }
}

/// The larger of two numbers, NaN if either is.
#[inline(always)]
pub fn larger<T: Scalar>(a: T, b: T) -> T {
    let most = if a > b { a } else { b };
    // The comparison took b where a is NaN.
    if a.to_f64().is_nan() { a } else { most }
}

/// The second argument of a function: as many values as the first, or one for all.
#[derive(Clone, Copy, Debug)]
pub enum Argument<'a, T> {
    /// One value for each entry.
    Each(&'a [T]),
    /// The same value for every entry.
    All(T),
}

/// `out_i <- f(x_i)`.
///
/// # Panics
/// Slices of different lengths.
pub fn map<T: Scalar>(f: Unary, x: &[T], out: &mut [T]) {
    assert_eq!(x.len(), out.len(), "slices of different lengths");
    dispatch_widest!(map_body::<T>(f: Unary, x: &[T], out: &mut [T]));
}

#[inline(always)]
fn map_body<T: Scalar, const FMA: bool>(f: Unary, x: &[T], out: &mut [T]) {
    #[inline(always)]
    fn each<T: Scalar>(x: &[T], out: &mut [T], f: impl Fn(T) -> T) {
        for (o, &v) in out.iter_mut().zip(x) {
            *o = f(v);
        }
    }
    match f {
        Unary::Neg => each(x, out, |v| -v),
        Unary::Abs => each(x, out, |v| if v < T::of(0.0) { -v } else { v }),
        Unary::Exp => each(x, out, T::exp::<FMA>),
        Unary::Tanh => each(x, out, T::tanh::<FMA>),
        Unary::Sigmoid => each(x, out, T::sigmoid::<FMA>),
        Unary::Softplus => each(x, out, T::softplus::<FMA>),
        Unary::Log => each(x, out, T::log::<FMA>),
        Unary::Sqrt => each(x, out, T::square_root),
        Unary::Erf => each(x, out, T::erf::<FMA>),
        Unary::Power(bits) => match f64::from_bits(bits) {
            2.0 => each(x, out, |v| v * v),
            -1.0 => each(x, out, |v| T::of(1.0) / v),
            -0.5 => each(x, out, |v| T::of(1.0) / v.square_root()),
            -1.5 => each(x, out, |v| T::of(1.0) / (v * v.square_root())),
            -2.5 => each(x, out, |v| T::of(1.0) / (v * v * v.square_root())),
            _ => each(x, out, |v| T::of(f.apply(v.to_f64()))),
        },
        _ => each(x, out, |v| T::of(f.apply(v.to_f64()))),
    }
}

/// `out_i <- f(a_i, b_i)`.
///
/// # Panics
/// Slices of different lengths.
pub fn zip<T: Scalar>(f: Binary, a: Argument<'_, T>, b: Argument<'_, T>, out: &mut [T]) {
    for argument in [&a, &b] {
        if let Argument::Each(v) = argument {
            assert_eq!(v.len(), out.len(), "slices of different lengths");
        }
    }
    dispatch_widest!(zip_body::<T>(f: Binary, a: Argument<'_, T>, b: Argument<'_, T>, out: &mut [T]));
}

#[inline(always)]
fn zip_body<T: Scalar, const FMA: bool>(
    f: Binary,
    a: Argument<'_, T>,
    b: Argument<'_, T>,
    out: &mut [T],
) {
    #[inline(always)]
    fn each<T: Scalar>(
        a: Argument<'_, T>,
        b: Argument<'_, T>,
        out: &mut [T],
        f: impl Fn(T, T) -> T,
    ) {
        match (a, b) {
            (Argument::Each(a), Argument::Each(b)) => {
                for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
                    *o = f(a, b);
                }
            }
            (Argument::Each(a), Argument::All(b)) => {
                for (o, &a) in out.iter_mut().zip(a) {
                    *o = f(a, b);
                }
            }
            (Argument::All(a), Argument::Each(b)) => {
                for (o, &b) in out.iter_mut().zip(b) {
                    *o = f(a, b);
                }
            }
            (Argument::All(a), Argument::All(b)) => out.fill(f(a, b)),
        }
    }
    let number = |holds: bool| if holds { T::of(1.0) } else { T::of(0.0) };
    match f {
        Binary::Add => each(a, b, out, |a, b| a + b),
        Binary::Sub => each(a, b, out, |a, b| a - b),
        Binary::Mul => each(a, b, out, |a, b| a * b),
        Binary::Div => each(a, b, out, |a, b| a / b),
        Binary::Max => each(a, b, out, larger),
        Binary::Min => each(a, b, out, |a, b| -larger(-a, -b)),
        Binary::Equal => each(a, b, out, |a, b| number(a == b)),
        Binary::Less => each(a, b, out, |a, b| number(a < b)),
        Binary::LessEqual => each(a, b, out, |a, b| number(a <= b)),
    }
}

/// `out_i <- a_i` where `mask_i` is not zero, else `b_i`.
///
/// # Panics
/// Slices of different lengths.
pub fn select<T: Scalar>(mask: &[T], a: Argument<'_, T>, b: Argument<'_, T>, out: &mut [T]) {
    assert_eq!(mask.len(), out.len(), "slices of different lengths");
    for argument in [&a, &b] {
        if let Argument::Each(v) = argument {
            assert_eq!(v.len(), out.len(), "slices of different lengths");
        }
    }
    dispatch_widest!(select_body::<T>(mask: &[T], a: Argument<'_, T>, b: Argument<'_, T>, out: &mut [T]));
}

#[inline(always)]
fn select_body<T: Scalar, const FMA: bool>(
    mask: &[T],
    a: Argument<'_, T>,
    b: Argument<'_, T>,
    out: &mut [T],
) {
    let zero = T::of(0.0);
    let pairs = out.iter_mut().zip(mask);
    match (a, b) {
        (Argument::Each(a), Argument::Each(b)) => {
            for (((o, &m), &a), &b) in pairs.zip(a).zip(b) {
                *o = if m == zero { b } else { a };
            }
        }
        (Argument::Each(a), Argument::All(b)) => {
            for ((o, &m), &a) in pairs.zip(a) {
                *o = if m == zero { b } else { a };
            }
        }
        (Argument::All(a), Argument::Each(b)) => {
            for ((o, &m), &b) in pairs.zip(b) {
                *o = if m == zero { b } else { a };
            }
        }
        (Argument::All(a), Argument::All(b)) => {
            for (o, &m) in pairs {
                *o = if m == zero { b } else { a };
            }
        }
    }
}

/// The sum of the values, in 16 lanes of their own precision that meet in `f64`.
pub fn sum<T: Scalar>(x: &[T]) -> f64 {
    let mut total = 0.0;
    sum_into(x, &mut total);
    total
}

fn sum_into<T: Scalar>(x: &[T], total: &mut f64) {
    dispatch_widest!(sum_body::<T>(x: &[T], total: &mut f64));
}

#[inline(always)]
fn sum_body<T: Scalar, const FMA: bool>(x: &[T], total: &mut f64) {
    let mut lanes = [T::of(0.0); 16];
    let (body, tail) = x.as_chunks::<16>();
    for v in body {
        for l in 0..16 {
            lanes[l] += v[l];
        }
    }
    for (l, &v) in lanes.iter_mut().zip(tail) {
        *l += v;
    }
    *total += lanes.iter().map(|l| l.to_f64()).sum::<f64>();
}

/// `sums_j <- sums_j + Σ_i x_ij` for the rows of `x`, as long as `sums`.
///
/// # Panics
/// If the rows of x do not have the length of `sums`.
pub fn add_rows<T: Scalar>(x: &[T], sums: &mut [T]) {
    assert_eq!(x.len() % sums.len().max(1), 0, "rows of another length");
    dispatch_widest!(add_rows_body::<T>(x: &[T], sums: &mut [T]));
}

#[inline(always)]
fn add_rows_body<T: Scalar, const FMA: bool>(x: &[T], sums: &mut [T]) {
    const N: usize = 16;
    let n = sums.len().max(1);
    let whole = n / N * N;
    let (blocks, tail) = sums.as_chunks_mut::<N>();
    // Sums of several columns stay in a register while they go down the rows.
    for (block, sums) in blocks.iter_mut().enumerate() {
        let mut kept = *sums;
        for row in x.chunks_exact(n) {
            for (s, &v) in kept.iter_mut().zip(&row[block * N..][..N]) {
                *s += v;
            }
        }
        *sums = kept;
    }
    if !tail.is_empty() {
        for row in x.chunks_exact(n) {
            for (s, &v) in tail.iter_mut().zip(&row[whole..]) {
                *s += v;
            }
        }
    }
}

/// The largest value, NaN if one is; minus infinity of none.
pub fn max<T: Scalar>(x: &[T]) -> T {
    let mut most = [T::of(f64::NEG_INFINITY)];
    max_into(x, &mut most);
    most[0]
}

fn max_into<T: Scalar>(x: &[T], most: &mut [T; 1]) {
    dispatch_widest!(max_body::<T>(x: &[T], most: &mut [T; 1]));
}

#[inline(always)]
fn max_body<T: Scalar, const FMA: bool>(x: &[T], most: &mut [T; 1]) {
    let mut lanes = [most[0]; 16];
    let (body, tail) = x.as_chunks::<16>();
    for v in body {
        for l in 0..16 {
            lanes[l] = larger(lanes[l], v[l]);
        }
    }
    for (l, &v) in lanes.iter_mut().zip(tail) {
        *l = larger(*l, v);
    }
    most[0] = lanes.into_iter().reduce(larger).unwrap_or(most[0]);
}
