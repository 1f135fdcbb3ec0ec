//! Exponentials and their kin in the precision of their argument, as plain expressions that compile to wide vectors.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::math::{exp_one, log_one, sigmoid_one, softplus_one, tanh_one};

/// What the loops need of a scalar type beside arithmetic.
#[doc(hidden)]
pub trait Functions:
    Sized
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// `self b + c`, rounded once if `FMA`.
    fn fma<const FMA: bool>(self, b: Self, c: Self) -> Self;
    fn exp<const FMA: bool>(self) -> Self;
    fn tanh<const FMA: bool>(self) -> Self;
    fn sigmoid<const FMA: bool>(self) -> Self;
    fn softplus<const FMA: bool>(self) -> Self;
    fn log<const FMA: bool>(self) -> Self;
    fn square_root(self) -> Self;
    fn erf<const FMA: bool>(self) -> Self;
}

impl Functions for f64 {
    #[inline(always)]
    fn fma<const FMA: bool>(self, b: Self, c: Self) -> Self {
        crate::kernels::simd::mul_add::<FMA>(self, b, c)
    }
    #[inline(always)]
    fn exp<const FMA: bool>(self) -> Self {
        exp_one::<FMA>(self)
    }
    #[inline(always)]
    fn tanh<const FMA: bool>(self) -> Self {
        tanh_one::<FMA>(self)
    }
    #[inline(always)]
    fn sigmoid<const FMA: bool>(self) -> Self {
        sigmoid_one::<FMA>(self)
    }
    #[inline(always)]
    fn softplus<const FMA: bool>(self) -> Self {
        softplus_one::<FMA>(self)
    }
    #[inline(always)]
    fn log<const FMA: bool>(self) -> Self {
        log_one::<FMA>(self)
    }
    #[inline(always)]
    fn square_root(self) -> Self {
        self.sqrt()
    }
    #[inline(always)]
    fn erf<const FMA: bool>(self) -> Self {
        libm::erf(self)
    }
}

/// `1.5 · 2^23`: adding it rounds to an integer, which then sits in the low bits.
const SHIFT: f32 = 12_582_912.0;
/// ln 2 in two parts; the first has so few bits that products with exponents are exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// `1/2!, 1/3!, ...` of `(e^r - 1 - r) / r²`; the rest is below 3e-8 of e^r for |r| <= ln 2 / 2.
const EXP: [f32; 6] = [
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5040.0,
];

#[inline(always)]
fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// 2^k for an integer k within [-126, 127].
#[inline(always)]
fn power_of_two(k: f32) -> f32 {
    f32::from_bits(((k + SHIFT).to_bits().wrapping_add(127)) << 23)
}

/// The integer k nearest to x / ln 2, and e^r - 1 for the rest r = x - k ln 2.
#[inline(always)]
fn reduced<const FMA: bool>(x: f32) -> (f32, f32) {
    let k = (x * std::f32::consts::LOG2_E + SHIFT) - SHIFT;
    let r = mul_add::<FMA>(-k, LN2_LOW, mul_add::<FMA>(-k, LN2_HIGH, x));
    let mut series = EXP[5];
    for &c in EXP[..5].iter().rev() {
        series = mul_add::<FMA>(series, r, c);
    }
    (k, mul_add::<FMA>(r * r, series, r))
}

impl Functions for f32 {
    #[inline(always)]
    fn fma<const FMA: bool>(self, b: Self, c: Self) -> Self {
        mul_add::<FMA>(self, b, c)
    }
    #[inline(always)]
    fn exp<const FMA: bool>(self) -> Self {
        // Beyond these the result is infinite or 0 anyway; comparisons let NaN through.
        let x = if self > 89.0 { 89.0 } else { self };
        let x = if x < -104.0 { -104.0 } else { x };
        let (k, e) = reduced::<FMA>(x);
        // In two factors, for results that are infinite or subnormal.
        let half = (k * 0.5 + SHIFT) - SHIFT;
        (1.0 + e) * power_of_two(half) * power_of_two(k - half)
    }

    /// From u = e^2|x| - 1 as u / (u + 2), which is accurate near 0, too.
    #[inline(always)]
    fn tanh<const FMA: bool>(self) -> Self {
        let x = self.abs();
        let x = if x > 10.0 { 10.0 } else { x };
        let (k, e) = reduced::<FMA>(2.0 * x);
        let scale = power_of_two(k);
        let u = mul_add::<FMA>(scale, e, scale - 1.0);
        (u / (u + 2.0)).copysign(self)
    }

    #[inline(always)]
    fn sigmoid<const FMA: bool>(self) -> Self {
        let u = <Self as Functions>::exp::<FMA>(-self.abs());
        (if self < 0.0 { u } else { 1.0 }) / (1.0 + u)
    }

    #[inline(always)]
    fn softplus<const FMA: bool>(self) -> Self {
        softplus_one::<FMA>(f64::from(self)) as f32
    }

    #[inline(always)]
    fn log<const FMA: bool>(self) -> Self {
        log_one::<FMA>(f64::from(self)) as f32
    }

    #[inline(always)]
    fn square_root(self) -> Self {
        self.sqrt()
    }

    /// Below 1 the Taylor series, above 1 - e^(-x²) q(1 / (1 + x / 2)) with the polynomial q of the complementary function.
    #[inline(always)]
    fn erf<const FMA: bool>(self) -> Self {
        let x = self.abs();
        let z = x * x;
        let mut near = NEAR[NEAR.len() - 1];
        for &c in NEAR[..NEAR.len() - 1].iter().rev() {
            near = mul_add::<FMA>(near, z, c);
        }
        let t = 1.0 / mul_add::<FMA>(0.5, x, 1.0);
        let mut far = FAR[FAR.len() - 1];
        for &c in FAR[..FAR.len() - 1].iter().rev() {
            far = mul_add::<FMA>(far, t, c);
        }
        let tail = t * <Self as Functions>::exp::<FMA>(far - z);
        let value = if x < 1.0 { x * near } else { 1.0 - tail };
        value.copysign(self)
    }
}

/// `2 / √π (-1)^n / (n! (2 n + 1))`, the Taylor series of `erf x / x` in x².
const NEAR: [f32; 10] = {
    let mut c = [0.0; 10];
    let (mut n, mut factor) = (0, std::f64::consts::FRAC_2_SQRT_PI);
    while n < 10 {
        c[n] = (factor / (2 * n + 1) as f64) as f32;
        n += 1;
        factor = -factor / n as f64;
    }
    c
};
/// `log(erfc(x) e^(x²) / t)` as a polynomial in t = 1 / (1 + x / 2), with a relative error of the complementary function below
/// 1.2e-7 (Numerical Recipes, section 6.2).
const FAR: [f32; 10] = [
    -1.265_512_2,
    1.000_023_7,
    0.374_091_96,
    0.096_784_18,
    -0.186_288_06,
    0.278_868_07,
    -1.135_204,
    1.488_515_9,
    -0.822_152_2,
    0.170_872_77,
];
