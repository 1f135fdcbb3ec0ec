//! Functions of one number at a time.

use super::super::known::{Answer, Element, Known, Numbers};
use super::super::site::Site;
use super::super::value::Value;
use super::{Entry, Results, entry, one};
use quadric_autodiff::Tensor;

pub(super) const TABLE: &[Entry] = &[
    entry("Abs", &[], |s| whole(s, f64::abs, |x| x.abs())),
    entry("Neg", &[], |s| whole(s, |v| -v, |x| -x)),
    entry("Sign", &[], |s| whole(s, signum, |x| x.sign())),
    entry("Floor", &[], |s| whole(s, f64::floor, |x| x.floor())),
    entry("Ceil", &[], |s| whole(s, f64::ceil, |x| -(-x).floor())),
    entry("Round", &[], |s| whole(s, f64::round_ties_even, round)),
    entry("Sqrt", &[], |s| whole(s, f64::sqrt, |x| x.sqrt())),
    entry("Reciprocal", &[], |s| whole(s, f64::recip, |x| 1.0 / x)),
    entry("Exp", &[], |s| map(s, |x| x.exp())),
    entry("Log", &[], |s| map(s, |x| x.log())),
    entry("Erf", &[], |s| map(s, |x| x.erf())),
    entry("Sin", &[], |s| map(s, |x| x.sin())),
    entry("Cos", &[], |s| map(s, |x| x.cos())),
    entry("Tan", &[], |s| map(s, |x| x.sin() / x.cos())),
    entry("Asin", &[], |s| map(s, asin)),
    entry("Acos", &[], |s| {
        map(s, |x| -asin(x) + std::f64::consts::FRAC_PI_2)
    }),
    entry("Atan", &[], |s| map(s, |x| x.atan())),
    entry("Sinh", &[], |s| map(s, |x| (x.exp() - (-x).exp()) * 0.5)),
    entry("Cosh", &[], |s| map(s, |x| (x.exp() + (-x).exp()) * 0.5)),
    entry("Tanh", &[], |s| map(s, |x| x.tanh())),
    entry("Asinh", &[], |s| map(s, asinh)),
    entry("Acosh", &[], |s| {
        map(s, |x| (x + (x.square() - 1.0).sqrt()).log())
    }),
    entry("Atanh", &[], |s| {
        map(s, |x| (x.log1p() - (-x).log1p()) * 0.5)
    }),
    entry("IsNaN", &[], |s| truth(s, |x| 1.0 - x.equal(x))),
    entry("IsInf", &["detect_negative", "detect_positive"], is_inf),
    entry("Not", &[], not),
];

/// A function of real numbers, traced.
pub(super) fn map<'t>(s: &Site<'_, 't>, f: impl FnOnce(Tensor<'t>) -> Tensor<'t>) -> Results<'t> {
    one(f(s.floats(0)?))
}

fn truth<'t>(s: &Site<'_, 't>, f: impl FnOnce(Tensor<'t>) -> Tensor<'t>) -> Results<'t> {
    one(Value::Real(f(s.floats(0)?), Element::Truth))
}

/// A function that takes integers to integers where it takes them at all, and that is computed at once for what is known.
fn whole<'t>(
    s: &Site<'_, 't>,
    known: fn(f64) -> f64,
    traced: impl FnOnce(Tensor<'t>) -> Tensor<'t>,
) -> Results<'t> {
    let value = s.value(0)?;
    if let Value::Known(k) = value {
        return one(apply(k, known)?);
    }
    if value.element() == Element::Truth {
        return Err("takes numbers, not truth values".to_owned());
    }
    one(Value::Real(traced(value.real(s.tracer())), value.element()))
}

fn apply(k: &Known, f: fn(f64) -> f64) -> Answer<Known> {
    match &k.numbers {
        Numbers::Floats(v) => Ok(Known::floats(v.iter().map(|&v| f(v)).collect(), &k.shape)),
        Numbers::Integers(v) => {
            let exact = |&v: &i64| {
                let fits = v.unsigned_abs() <= 1 << 53;
                fits.then(|| f(v as f64) as i64)
                    .ok_or_else(|| format!("{v} has more than 53 bits"))
            };
            let values: Answer<Vec<i64>> = v.iter().map(exact).collect();
            Ok(Known::integers(values?, &k.shape))
        }
        Numbers::Truths(_) => Err("takes numbers, not truth values".to_owned()),
    }
}

fn signum(v: f64) -> f64 {
    if v == 0.0 || v.is_nan() {
        v
    } else {
        v.signum()
    }
}

/// The nearest integer; of two the even one.
fn round(x: Tensor<'_>) -> Tensor<'_> {
    let below = x.floor();
    let rest = x - below;
    let half = rest.fill_like(0.5);
    let is_odd = below - (below * 0.5).floor() * 2.0;
    let tie = rest.equal(half).select(is_odd, rest.fill_like(0.0));
    below + half.less(rest) + tie
}

/// The integer next to x on the side of 0.
pub(super) fn truncate(x: Tensor<'_>) -> Tensor<'_> {
    x.sign() * x.abs().floor()
}

fn asin(x: Tensor<'_>) -> Tensor<'_> {
    // At ±1 the quotient is infinite, of which the inverse tangent is right.
    (x / ((1.0 - x) * (x + 1.0)).sqrt()).atan()
}

fn asinh(x: Tensor<'_>) -> Tensor<'_> {
    // ±log(1 + a + a² / (1 + √(1 + a²))) for a = ±x, without loss for small a. The sign of 0 is positive.
    let sign = 1.0 - x.less(x.fill_like(0.0)) * 2.0;
    let root = (x.square() + 1.0).sqrt();
    sign * (sign * x + x.square() / (root + 1.0)).log1p()
}

fn is_inf<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let (negative, positive) = (
        s.flag("detect_negative", true)?,
        s.flag("detect_positive", true)?,
    );
    truth(s, |x| {
        let is = |v: f64| x.equal(x.fill_like(v));
        match (negative, positive) {
            (true, true) => x.abs().equal(x.fill_like(f64::INFINITY)),
            (true, false) => is(f64::NEG_INFINITY),
            (false, true) => is(f64::INFINITY),
            (false, false) => x.fill_like(0.0),
        }
    })
}

fn not<'t>(s: &Site<'_, 't>) -> Results<'t> {
    match s.value(0)? {
        Value::Known(k) if k.element() == Element::Truth => {
            let values = k.to_truths().iter().map(|b| !b).collect();
            one(Known::truths(values, &k.shape))
        }
        Value::Real(x, Element::Truth) => one(Value::Real(1.0 - *x, Element::Truth)),
        _ => Err("takes truth values".to_owned()),
    }
}
