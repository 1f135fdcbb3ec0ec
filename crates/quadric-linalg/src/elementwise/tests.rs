//! The loops against the platform's library in double precision, over all magnitudes and special values.

use super::*;

const FUNCTIONS: [Unary; 16] = [
    Unary::Neg,
    Unary::Abs,
    Unary::Sign,
    Unary::Floor,
    Unary::Exp,
    Unary::Log,
    Unary::Log1p,
    Unary::Sqrt,
    Unary::Sin,
    Unary::Cos,
    Unary::Atan,
    Unary::Tanh,
    Unary::Sigmoid,
    Unary::Softplus,
    Unary::Erf,
    Unary::Power((-1.5_f64).to_bits()),
];

/// Values of all magnitudes and both signs, and the special ones.
fn samples() -> Vec<f64> {
    let mut stream = crate::random::SeedTree::new(5).child("samples").stream(0);
    let mut x: Vec<f64> = (0..20_000)
        .map(|_| stream.sign() * (stream.uniform() * 24.0 - 16.0).exp2() * 60.0)
        .collect();
    x.extend((0..2000).map(|i| (f64::from(i) - 1000.0) * 0.11));
    x.extend([
        0.0,
        -0.0,
        1.0,
        -1.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        1e-310,
        5e-324,
    ]);
    x
}

/// Distance in units in the last place of the expected value.
fn units(found: f64, expected: f64, epsilon: f64, least: f64) -> f64 {
    if found == expected || (found.is_nan() && expected.is_nan()) {
        return 0.0;
    }
    (found - expected).abs() / (expected.abs().max(least) * epsilon)
}

fn check<T: Scalar>(least: f64, bound: impl Fn(Unary) -> f64) {
    let x: Vec<T> = samples().into_iter().map(T::of).collect();
    let mut out = x.clone();
    for f in FUNCTIONS {
        map(f, &x, &mut out);
        let mut worst = (0.0, 0.0);
        for (v, o) in x.iter().zip(&out) {
            let exact = f.apply(v.to_f64());
            let rounded = T::of(exact).to_f64();
            let exact = if rounded.is_finite() { exact } else { rounded };
            let error = units(o.to_f64(), exact, T::EPSILON, least);
            assert!(
                !error.is_nan(),
                "{f:?} of {v:?} in {} is {o:?}, not {exact}",
                T::NAME
            );
            if error > worst.0 {
                worst = (error, v.to_f64());
            }
        }
        let (error, at) = worst;
        assert!(
            error <= bound(f),
            "{f:?} in {}: {error} units at {at:e}",
            T::NAME
        );
    }
}

#[test]
fn single_precision_is_within_a_few_units() {
    check::<f32>(f64::from(f32::MIN_POSITIVE), |f| match f {
        Unary::Exp => 2.0,
        Unary::Sigmoid | Unary::Erf => 3.0,
        Unary::Tanh => 5.0,
        _ => 1.5,
    });
}

#[test]
fn double_precision_is_within_a_few_units() {
    check::<f64>(f64::MIN_POSITIVE, |f| match f {
        Unary::Tanh | Unary::Power(_) => 5.0,
        _ => 3.0,
    });
}

#[test]
fn two_numbers_follow_their_definition() {
    let x = samples();
    let y: Vec<f64> = x.iter().rev().copied().collect();
    let mut out = x.clone();
    let all = [
        Binary::Add,
        Binary::Sub,
        Binary::Mul,
        Binary::Div,
        Binary::Max,
        Binary::Min,
        Binary::Equal,
        Binary::Less,
        Binary::LessEqual,
    ];
    let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
    for f in all {
        zip(f, Argument::Each(&x), Argument::Each(&y), &mut out);
        let pairs = x.iter().zip(&y);
        assert!(
            pairs.zip(&out).all(|((&a, &b), &o)| same(o, f.apply(a, b))),
            "{f:?}"
        );
        zip(f, Argument::All(0.5), Argument::Each(&y), &mut out);
        assert!(
            y.iter().zip(&out).all(|(&b, &o)| same(o, f.apply(0.5, b))),
            "{f:?}"
        );
        zip(f, Argument::Each(&x), Argument::All(f64::NAN), &mut out);
        assert!(
            x.iter()
                .zip(&out)
                .all(|(&a, &o)| same(o, f.apply(a, f64::NAN))),
            "{f:?}"
        );
    }
    assert!(Binary::Max.apply(f64::NAN, 1.0).is_nan() && Binary::Max.apply(1.0, f64::NAN).is_nan());
}

#[test]
fn reductions_follow_their_definition() {
    let x: Vec<f64> = samples().into_iter().filter(|v| v.is_finite()).collect();
    let exact: f64 = x.iter().sum();
    assert!((sum(&x) - exact).abs() <= 1e-12 * x.iter().map(|v| v.abs()).sum::<f64>());
    assert_eq!(max(&x), x.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    assert!(max(&samples()).is_nan());
    let mut sums = [1.0, 0.0, 0.0];
    add_rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut sums);
    assert_eq!(sums, [6.0, 7.0, 9.0]);
    let mut out = [0.0; 3];
    select(
        &[0.0, 1.0, f64::NAN],
        Argument::All(2.0),
        Argument::Each(&[5.0, 6.0, 7.0]),
        &mut out,
    );
    assert_eq!(out, [5.0, 2.0, 2.0]);
}
