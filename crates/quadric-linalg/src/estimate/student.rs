//! Quantiles of Student's distribution and of the normal one, and the intervals made of them.

use super::{Estimate, check_level};
use crate::{Error, Result};

/// The t for which a Student variable of `freedom` degrees lies in [-t, t] with probability `level`.
pub(super) fn student_quantile(level: f64, freedom: f64) -> f64 {
    // Beyond that the two distributions agree to nine digits.
    if freedom > 1e9 {
        return normal_quantile(level);
    }
    quantile(1.0 - level, |t| {
        let x = freedom / (freedom + t * t);
        incomplete_beta(0.5 * freedom, 0.5, x)
    })
}

/// The z for which a standard normal variable lies in [-z, z] with probability `level`.
pub(super) fn normal_quantile(level: f64) -> f64 {
    quantile(1.0 - level, |z| {
        libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2)
    })
}

/// The point where a falling function of positive numbers reaches `tail`.
fn quantile(tail: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while f(high) > tail && high < 1e300 {
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if f(middle) > tail {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The regularised incomplete beta function I_x(a, b), by its continued fraction on the side where that converges fast.
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    let log = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b);
    let front = libm::exp(log + a * libm::log(x) + b * libm::log1p(-x));
    if x < (a + 1.0) / (a + b + 2.0) {
        front / a * fraction(a, b, x)
    } else {
        1.0 - front / b * fraction(b, a, 1.0 - x)
    }
}

/// The continued fraction of I_x(a, b), from its front (the method of Lentz).
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    let nonzero = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut d = nonzero(1.0 - (a + b) * x / (a + 1.0)).recip();
    let (mut c, mut value) = (1.0, d);
    for step in 1..1000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = value;
        for term in [even, odd] {
            d = nonzero(1.0 + term * d).recip();
            c = nonzero(1.0 + term / c);
            value *= c * d;
        }
        if (value - before).abs() <= 1e-16 * value.abs() {
            break;
        }
    }
    value
}

/// Mean and standard deviation (of one value, n - 1 in the denominator; infinite for one value alone).
pub(super) fn mean_and_spread(values: &[f64]) -> (f64, f64) {
    // Divided by the largest, so that no square overflows or vanishes.
    let size = crate::vector::max_abs(values);
    if size == 0.0 {
        return (0.0, if values.len() < 2 { f64::INFINITY } else { 0.0 });
    }
    let n = values.len() as f64;
    let mean = values.iter().map(|v| v / size).sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v / size - mean).powi(2)).sum();
    let spread = if values.len() < 2 {
        f64::INFINITY
    } else {
        (squares / (n - 1.0)).sqrt()
    };
    (mean * size, spread * size)
}

/// Half of Student's interval for the mean of independent values: the first `pilot` of them, which were there before anyone
/// could decide to go on, may widen it (see [`super::trace`]).
pub(super) fn student_half(values: &[f64], pilot: usize, level: f64) -> f64 {
    let root = (values.len() as f64).sqrt();
    let half = |part: &[f64]| match part.len() {
        0 | 1 => f64::INFINITY,
        n => student_quantile(level, (n - 1) as f64) * mean_and_spread(part).1 / root,
    };
    let all = half(values);
    if pilot < values.len() && pilot > 1 {
        all.max(half(&values[..pilot]))
    } else {
        all
    }
}

/// The mean of independent numbers, with Student's interval. Where how many there are was decided by a look at the first
/// `pilot`, it is never narrower than by their spread (Stein 1945).
///
/// # Errors
/// A level that is no probability, fewer than two numbers, and numbers that are not finite.
pub fn mean(values: &[f64], pilot: usize, level: f64) -> Result<Estimate> {
    check_level(level)?;
    if values.len() < 2 {
        return Err(Error::argument("values", values.len(), "at least two"));
    }
    if let Some(i) = values.iter().position(|v| !v.is_finite()) {
        return Err(Error::non_finite("the values", i, values[i]));
    }
    let half = student_half(values, pilot, level);
    Ok(Estimate::around(mean_and_spread(values).0, half, level))
}

/// The mean of estimates that each leave one test vector out, with an interval.
///
/// The estimates share most of their test vectors, so Student's interval is too narrow: it is widened by 1.5, and where one
/// estimate d_i of k stands out from the mean m, to |d_i - m|²/√Σ(d_j - m)². Both were found by experiment, on spectra that
/// are flat, decaying, indefinite or have gaps. Where a gap lies right at the number of test vectors, the estimates are heavy
/// tailed, and an interval for 95 % covers some 85 % only.
pub(super) fn left_out(values: &[f64], level: f64, rounding: f64) -> Estimate {
    let (mean, spread) = mean_and_spread(values);
    let n = values.len() as f64;
    let student = 1.5 * student_quantile(level, (n - 1.0).max(1.0)) * spread / n.sqrt();
    let largest = values.iter().map(|v| (v - mean).abs()).fold(0.0, f64::max);
    let all = spread * (n - 1.0).max(1.0).sqrt();
    let outlier = if all > 0.0 {
        largest / all * largest
    } else {
        0.0
    };
    Estimate::around(mean, student.max(outlier) + rounding, level)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two-sided quantiles as tables print them.
    #[test]
    fn quantiles_are_those_of_tables() {
        let table = [
            (0.95, 1.0, 12.706_204_736_432_1),
            (0.95, 2.0, 4.302_652_729_749_46),
            (0.95, 9.0, 2.262_157_162_798_2),
            (0.95, 49.0, 2.009_575_237_129_24),
            (0.99, 7.0, 3.499_483_297_350_5),
            (0.9, 30.0, 1.697_260_886_593_6),
        ];
        for (level, freedom, expected) in table {
            let found = student_quantile(level, freedom);
            assert!((found / expected - 1.0).abs() < 1e-9, "{freedom}: {found}");
        }
        for freedom in [1e6, 1e12] {
            assert!((student_quantile(0.95, freedom) - 1.959_963_984_540_054).abs() < 3e-6);
        }
        assert!((normal_quantile(0.99) - 2.575_829_303_548_9).abs() < 1e-11);
    }

    #[test]
    fn spreads_at_the_ends_of_the_range() {
        for scale in [1e-300, 1.0, 1e300] {
            let (mean, spread) = mean_and_spread(&[scale, 3.0 * scale, 2.0 * scale]);
            assert!((mean / scale - 2.0).abs() < 1e-15 && (spread / scale - 1.0).abs() < 1e-15);
        }
        assert_eq!(mean_and_spread(&[0.0, 0.0]), (0.0, 0.0));
        assert_eq!(mean_and_spread(&[2.0]), (2.0, f64::INFINITY));
    }
}
