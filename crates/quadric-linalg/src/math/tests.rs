//! N01, N02, and sweeps against double-double arithmetic.

use super::*;
use crate::random::SeedTree;

/// An unevaluated sum of two doubles.
#[derive(Clone, Copy)]
struct Pair(f64, f64);

impl Pair {
    fn sum(a: f64, b: f64) -> Self {
        let s = a + b;
        let z = s - a;
        Self(s, (a - (s - z)) + (b - z))
    }
    fn add(self, o: Self) -> Self {
        let Self(s, e) = Self::sum(self.0, o.0);
        let Self(t, f) = Self::sum(self.1, o.1);
        let Self(s, e) = Self::sum(s, e + t);
        Self::sum(s, e + f)
    }
    fn mul(self, o: Self) -> Self {
        let p = self.0 * o.0;
        let e = self.0.mul_add(o.0, -p);
        Self::sum(p, e + (self.0 * o.1 + self.1 * o.0))
    }
    fn div(self, o: Self) -> Self {
        let q = self.0 / o.0;
        let r = self.add(o.mul(Self(-q, 0.0)));
        let p = r.0 / o.0;
        let r = r.add(o.mul(Self(-p, 0.0)));
        Self::sum(q, p).add(Self(r.0 / o.0, 0.0))
    }
    fn negative(self) -> Self {
        Self(-self.0, -self.1)
    }
    fn scaled(self, by: f64) -> Self {
        Self(self.0 * by, self.1 * by)
    }
}

const ONE: Pair = Pair(1.0, 0.0);
const LN2: Pair = Pair(std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);

/// `e^x` with a relative error near 1e-30, for |x| up to 700 or so.
fn exp_pair(x: f64) -> Pair {
    let k = (x / std::f64::consts::LN_2).round();
    let r = Pair(x, 0.0).add(LN2.mul(Pair(-k, 0.0)));
    // e^r = (e^{r/64})^64.
    let r = r.scaled(1.0 / 64.0);
    let mut sum = ONE;
    for i in (1..=12).rev() {
        sum = ONE.add(r.mul(sum).div(Pair(f64::from(i), 0.0)));
    }
    for _ in 0..6 {
        sum = sum.mul(sum);
    }
    let half = (k / 2.0).trunc();
    sum.scaled(2f64.powi(half as i32))
        .scaled(2f64.powi((k - half) as i32))
}

/// `log(1 + u)` for u in [0, 1].
fn log1p_pair(u: Pair) -> Pair {
    if u.0 < 1e-4 {
        // u - u²/2 + u³/3 - ...
        let mut sum = Pair(0.0, 0.0);
        for i in (1..=8).rev() {
            let c = ONE.div(Pair(f64::from(i), 0.0));
            sum = c.add(u.mul(sum).negative());
        }
        return u.mul(sum);
    }
    // One Newton step squares the error of the library's value.
    let y = u.0.ln_1p();
    let e = exp_pair(y);
    Pair(y, 0.0).add(ONE.add(u).add(e.negative()).div(e))
}

/// Distance from the exact value in units in the last place of type T.
fn ulps<T: Scalar>(got: T, exact: Pair) -> f64 {
    let size = exact.0.abs();
    let unit = if T::NAME == "f32" {
        f64::from((size as f32).next_up()) - f64::from(size as f32)
    } else {
        size.next_up() - size
    };
    ((got.to_f64() - exact.0) - exact.1).abs() / unit
}

#[test]
fn t_n01_softplus() {
    for (t, expected) in [
        (-40.0, 4.248354255291589e-18),
        (-36.0, 2.319522830243569e-16),
        (-1.0, 0.3132616875182228),
        (0.0, std::f64::consts::LN_2),
        (1.0, 1.3132616875182228),
        (18.0, 18.00000001522998),
        (20.0, 20.000000002061153),
        (33.3, 33.3),
        (35.0, 35.0),
        (700.0, 700.0),
        (710.0, 710.0),
        (1000.0, 1000.0),
    ] {
        let distance = ulps(softplus(t), Pair(expected, 0.0));
        assert!(
            distance <= 2.0,
            "softplus({t}) = {:e}: {distance} ulp",
            softplus(t)
        );
    }
}

#[test]
fn t_n02_sigmoid_slope() {
    for (t, expected) in [
        (0.0, 0.25),
        (20.0, 2.061153613941849e-9),
        (40.0, 4.248354255291589e-18),
        (700.0, 9.85967654375977e-305),
    ] {
        let distance = ulps(sigmoid_slope(t), Pair(expected, 0.0));
        assert!(distance <= 4.0, "{t}: {distance} ulp");
        assert_eq!(sigmoid_slope(t), sigmoid_slope(-t));
    }
    assert!((0..=700).all(|t| sigmoid_slope(f64::from(t)) > 0.0));
}

/// Points of every size where the functions are not yet at their limits.
fn points(n: usize) -> Vec<f64> {
    let mut s = SeedTree::new(20_261_125).child("points").stream(0);
    (0..n)
        .map(|i| {
            let u = 2.0 * s.uniform() - 1.0;
            match i % 4 {
                0 => 650.0 * u,
                1 => 40.0 * u,
                2 => 2.0 * u,
                _ => u.signum() * 10f64.powf(14.0 * u.abs() - 12.0),
            }
        })
        .collect()
}

fn sweep<T: Scalar>(points: &[f64], limits: [f64; 4]) {
    let t: Vec<T> = points.iter().map(|t| T::of(*t)).collect();
    let mut out = [t.clone(), t.clone(), t.clone(), t.clone()];
    exp_all(&t, &mut out[0]);
    softplus_all(&t, &mut out[1]);
    sigmoid_all(&t, &mut out[2]);
    sigmoid_slope_all(&t, &mut out[3]);
    let (mut value, mut slope) = (t.clone(), t.clone());
    softplus_and_sigmoid(&t, &mut value, &mut slope);
    assert!(value == out[1] && slope == out[2]);
    let mut worst = [(0.0, 0.0); 4];
    for (i, t) in t.iter().map(|t| t.to_f64()).enumerate() {
        let u = exp_pair(-t.abs());
        let sum = ONE.add(u);
        let small = log1p_pair(u);
        let exact = [
            if t < 0.0 { u } else { ONE.div(u) },
            if t > 0.0 {
                Pair(t, 0.0).add(small)
            } else {
                small
            },
            if t < 0.0 { u } else { ONE }.div(sum),
            u.div(sum.mul(sum)),
        ];
        for (f, exact) in exact.into_iter().enumerate() {
            // Single precision overflows and loses digits earlier.
            if T::NAME == "f32" && !(1e-37..1e38).contains(&exact.0) {
                continue;
            }
            let distance = ulps(out[f][i], exact);
            if distance > worst[f].0 {
                worst[f] = (distance, t);
            }
        }
    }
    for ((worst, at), limit) in worst.into_iter().zip(limits) {
        assert!(worst <= limit, "{worst} ulp at {at:e}, {}", T::NAME);
    }
}

#[test]
fn sweeps_against_double_double() {
    sweep::<f64>(&points(1_000_000), [1.5, 3.0, 2.5, 5.0]);
    sweep::<f32>(&points(100_000), [1.0; 4]);
}

#[test]
fn without_fused_multiply_add_the_same_within_tolerance() {
    for t in points(20_000) {
        for (a, b) in [
            (exp_one::<false>(t), exp_one::<true>(t)),
            (softplus_one::<false>(t), softplus_one::<true>(t)),
            (sigmoid_one::<false>(t), sigmoid_one::<true>(t)),
            (sigmoid_slope_one::<false>(t), sigmoid_slope_one::<true>(t)),
        ] {
            assert!(
                (a - b).abs() <= 4.0 * f64::EPSILON * b.abs(),
                "{t}: {a} {b}"
            );
        }
    }
}

#[test]
fn extremes() {
    for big in [1e3, 1e8, 1e24, 1e150, f64::MAX, f64::INFINITY] {
        assert_eq!((exp(-big), exp(big)), (0.0, f64::INFINITY));
        assert_eq!((softplus(-big), softplus(big)), (0.0, big));
        assert_eq!((sigmoid(-big), sigmoid(big)), (0.0, 1.0));
        assert_eq!((sigmoid_slope(-big), sigmoid_slope(big)), (0.0, 0.0));
    }
    for f in [exp, softplus, sigmoid, sigmoid_slope] {
        assert!(f(f64::NAN).is_nan());
        let mut out = [0.0f32; 9];
        exp_all(&[f32::NAN; 9], &mut out);
        assert!(out.iter().all(|v| v.is_nan()));
    }
    // Down through the subnormal numbers, and to the edge of overflow.
    for t in [-708.0, -708.5, -720.0, -740.0, -744.4, -745.1] {
        let (got, expected) = (exp(t), t.exp());
        assert!((got - expected).abs() <= expected * 1e-15 + 5e-324, "{t}");
        assert!(got > 0.0 && softplus(t) == got);
    }
    assert_eq!(exp(-745.2), 0.0);
    assert!(exp(709.78).is_finite() && exp(709.79) == f64::INFINITY);
    assert!((exp(709.78) / 709.78f64.exp() - 1.0).abs() < 1e-15);
    assert_eq!((exp(0.0), exp(-0.0), sigmoid(0.0)), (1.0, 1.0, 0.5));
    softplus_all::<f64>(&[], &mut []);
}

#[test]
fn one_value_and_many_have_the_same_bits() {
    let t = points(1_003);
    let mut out = t.clone();
    softplus_all(&t, &mut out);
    assert!(
        t.iter()
            .zip(&out)
            .all(|(t, o)| softplus(*t).to_bits() == o.to_bits())
    );
}

#[test]
fn wide_registers_change_no_bit() {
    if !crate::kernels::simd::has_avx2_fma() {
        return;
    }
    // The same expressions with one correctly rounded multiply-add at a time.
    let t = points(1_003);
    let (mut first, mut second) = (t.clone(), t.clone());
    sigmoid_and_slope(&t, &mut first, &mut second);
    let (mut value, mut slope) = (t.clone(), t.clone());
    softplus_and_sigmoid(&t, &mut value, &mut slope);
    for (i, t) in t.iter().enumerate() {
        assert_eq!(
            value[i].to_bits(),
            softplus_one::<true>(*t).to_bits(),
            "{t}"
        );
        assert_eq!(slope[i].to_bits(), sigmoid_one::<true>(*t).to_bits(), "{t}");
        assert_eq!(first[i].to_bits(), slope[i].to_bits(), "{t}");
        let bend = sigmoid_slope_one::<true>(*t);
        assert_eq!(second[i].to_bits(), bend.to_bits(), "{t}");
    }
}

#[test]
fn changes_against_double_double() {
    let softplus_pair = |t: f64| {
        let small = log1p_pair(exp_pair(-t.abs()));
        Pair(t.max(0.0), 0.0).add(small)
    };
    let mut stream = SeedTree::new(3).child("changes").stream(0);
    let mut worst = [0.0f64; 2];
    for _ in 0..20_000 {
        let t = 30.0 * stream.normal();
        let step = stream.sign() * 10f64.powf(2.0 - 14.0 * stream.uniform());
        let mut got = [0.0];
        softplus_changes(&[t], &[step], &mut got);
        if step.abs() < SHORT {
            // log(1 + sigmoid(t) (e^step - 1)), the difference taken in twice the digits.
            let (a, b) = (exp_pair(-t.abs()), exp_pair(step));
            let share = (if t >= 0.0 { ONE } else { a }).div(ONE.add(a));
            let growth = share.mul(b.add(Pair(-1.0, 0.0)));
            if step.abs() < 1e-8 {
                // The pair's own rounding is about 1e-30 / step.
                let first = share.0 * step * (1.0 + 0.5 * step * (1.0 - share.0));
                worst[0] = worst[0].max(ulps(got[0], Pair(first, 0.0)));
            } else {
                let y = growth.0.ln_1p();
                let e = exp_pair(y);
                let exact = Pair(y, 0.0).add(ONE.add(growth).add(e.negative()).div(e));
                worst[0] = worst[0].max(ulps(got[0], exact));
            }
        } else {
            // Rounding of the sum of the arguments is not ours to judge.
            let exact = softplus_pair(t + step).add(softplus_pair(t).negative());
            let unit = f64::EPSILON * softplus(t + step).max(softplus(t));
            worst[1] = worst[1].max(((got[0] - exact.0) - exact.1).abs() / unit);
        }
    }
    assert!(worst[0] <= 8.0 && worst[1] <= 8.0, "{worst:?}");
    let mut out = [0.0; 3];
    softplus_changes(&[f64::NAN, 0.0, 800.0], &[0.1, f64::NAN, 1.0], &mut out);
    assert!(out[0].is_nan() && out[1].is_nan() && out[2] == 1.0);
}

#[test]
fn weighted_sums_pass_over_what_has_no_weight() {
    for n in [0, 1, 7, 8, 9, 50] {
        let values: Vec<f64> = (0..n).map(|i| f64::from(i) - 3.5).collect();
        let weights: Vec<f64> = (0..n).map(|i| f64::from(i % 3)).collect();
        let mut holed = values.clone();
        holed.iter_mut().step_by(3).for_each(|v| *v = f64::NAN);
        let expected: f64 = weights.iter().zip(&values).map(|(w, v)| w * v).sum();
        assert_eq!(weighted_sum(&weights, &holed), expected);
        let mut out = vec![f64::NAN; values.len()];
        weigh_all(&weights, 0.5, &holed, &mut out);
        let parts = weights.iter().zip(&values).map(|(w, v)| 0.5 * w * v);
        assert!(out.iter().zip(parts).all(|(a, b)| *a == b));
    }
}
