//! Functions of two numbers at a time: arithmetic, comparisons, logic. What is known is computed at once.

use super::super::known::{Answer, Element, Known, Numbers, small};
use super::super::site::Site;
use super::super::value::{Value, common_shape};
use super::elementwise::truncate;
use super::{Entry, Results, entry, one};
use quadric_autodiff::{Tensor, Tracer};

/// A function of two numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    /// The remainder with the sign of the divisor.
    Mod,
    /// The remainder with the sign of the dividend.
    Fmod,
    Max,
    Min,
    Equal,
    Less,
    LessEqual,
    And,
    Or,
    Xor,
}

pub(super) const TABLE: &[Entry] = &[
    entry("Add", &[], |s| two(s, Op::Add)),
    entry("Sub", &[], |s| two(s, Op::Sub)),
    entry("Mul", &[], |s| two(s, Op::Mul)),
    entry("Div", &[], |s| two(s, Op::Div)),
    entry("Pow", &[], |s| two(s, Op::Pow)),
    entry("Mod", &["fmod"], |s| {
        two(
            s,
            if s.flag("fmod", false)? {
                Op::Fmod
            } else {
                Op::Mod
            },
        )
    }),
    entry("Equal", &[], |s| two(s, Op::Equal)),
    entry("Less", &[], |s| two(s, Op::Less)),
    entry("LessOrEqual", &[], |s| two(s, Op::LessEqual)),
    entry("Greater", &[], |s| swapped(s, Op::Less)),
    entry("GreaterOrEqual", &[], |s| swapped(s, Op::LessEqual)),
    entry("And", &[], |s| two(s, Op::And)),
    entry("Or", &[], |s| two(s, Op::Or)),
    entry("Xor", &[], |s| two(s, Op::Xor)),
    entry("Sum", &[], |s| many(s, Op::Add)),
    entry("Max", &[], |s| many(s, Op::Max)),
    entry("Min", &[], |s| many(s, Op::Min)),
    entry("Mean", &[], |s| {
        let count = s.inputs.len() as f64;
        let sum = many(s, Op::Add)?.remove(0);
        match sum.element() {
            Element::Float => one(sum.real(s.tracer()) / count),
            _ => Err("takes real numbers".to_owned()),
        }
    }),
    entry("Clip", &[], clip),
];

fn two<'t>(s: &Site<'_, 't>, op: Op) -> Results<'t> {
    one(combine(op, s.value(0)?, s.value(1)?, s.tracer())?)
}

fn swapped<'t>(s: &Site<'_, 't>, op: Op) -> Results<'t> {
    one(combine(op, s.value(1)?, s.value(0)?, s.tracer())?)
}

fn many<'t>(s: &Site<'_, 't>, op: Op) -> Results<'t> {
    let all = s.all()?;
    let mut total = all[0].clone();
    for value in &all[1..] {
        total = combine(op, &total, value, s.tracer())?;
    }
    one(total)
}

fn clip<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let mut x = s.value(0)?.clone();
    for (i, op) in [(1, Op::Max), (2, Op::Min)] {
        if let Some(bound) = s.optional(i) {
            x = combine(op, &x, bound, s.tracer())?;
        }
    }
    one(x)
}

impl Op {
    /// What the results stand for, if arguments of these kinds fit.
    fn result(self, a: Element, b: Element) -> Answer<Element> {
        use Element::Truth;
        let wrong = || {
            Err(format!(
                "takes values of one fitting type, not {a:?} and {b:?}"
            ))
        };
        match self {
            Self::And | Self::Or | Self::Xor if a == Truth && b == Truth => Ok(Truth),
            Self::And | Self::Or | Self::Xor => wrong(),
            Self::Equal if a == b => Ok(Truth),
            Self::Less | Self::LessEqual if a == b && a != Truth => Ok(Truth),
            Self::Equal | Self::Less | Self::LessEqual => wrong(),
            Self::Pow if a != Truth && b != Truth => Ok(a),
            _ if a == b && a != Truth => Ok(a),
            _ => wrong(),
        }
    }

    fn of_floats(self, a: f64, b: f64) -> f64 {
        let truth = |holds: bool| f64::from(u8::from(holds));
        let ordered = |pick: f64| {
            if a.is_nan() || b.is_nan() {
                f64::NAN
            } else {
                pick
            }
        };
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Pow => a.powf(b),
            Self::Mod => a - b * (a / b).floor(),
            Self::Fmod => a % b,
            Self::Max => ordered(a.max(b)),
            Self::Min => ordered(a.min(b)),
            Self::Equal => truth(a == b),
            Self::Less => truth(a < b),
            Self::LessEqual => truth(a <= b),
            Self::And => truth(a != 0.0 && b != 0.0),
            Self::Or => truth(a != 0.0 || b != 0.0),
            Self::Xor => truth((a != 0.0) != (b != 0.0)),
        }
    }

    fn of_integers(self, a: i64, b: i64) -> Option<i64> {
        match self {
            Self::Add => a.checked_add(b),
            Self::Sub => a.checked_sub(b),
            Self::Mul => a.checked_mul(b),
            Self::Div => a.checked_div(b),
            Self::Pow => a.checked_pow(u32::try_from(b).ok()?),
            Self::Mod => {
                let rest = a.checked_rem(b)?;
                let other_side = rest != 0 && (rest < 0) != (b < 0);
                Some(if other_side { rest + b } else { rest })
            }
            Self::Fmod => a.checked_rem(b),
            Self::Max => Some(a.max(b)),
            Self::Min => Some(a.min(b)),
            Self::Equal => Some(i64::from(a == b)),
            Self::Less => Some(i64::from(a < b)),
            Self::LessEqual => Some(i64::from(a <= b)),
            Self::And | Self::Or | Self::Xor => None,
        }
    }

    /// For arguments of one shape.
    fn traced<'t>(self, a: Tensor<'t>, b: Tensor<'t>, integers: bool) -> Tensor<'t> {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul | Self::And => a * b,
            Self::Div if integers => truncate(a / b),
            Self::Div => a / b,
            Self::Mod => a - b * (a / b).floor(),
            Self::Fmod => a - b * truncate(a / b),
            Self::Max | Self::Or => a.maximum(b),
            Self::Min => a.minimum(b),
            Self::Equal => a.equal(b),
            Self::Less => a.less(b),
            Self::LessEqual => a.less_equal(b),
            Self::Xor => 1.0 - a.equal(b),
            // A base that is not positive gives NaN: what the power is there depends on whether the exponent is an integer.
            Self::Pow => (b * a.log()).exp(),
        }
    }
}

/// `op` of two values, which are repeated to a common shape.
pub(super) fn combine<'t>(
    op: Op,
    a: &Value<'t>,
    b: &Value<'t>,
    t: &'t Tracer,
) -> Answer<Value<'t>> {
    let element = op.result(a.element(), b.element())?;
    let shape = common_shape(&a.shape(), &b.shape())?;
    if let (Value::Known(x), Value::Known(y), Ok(_)) = (a, b, small(&shape)) {
        return Ok(fold(op, x, y, &shape, element)?.into());
    }
    if let (Op::Pow, Value::Known(exponent)) = (op, b) {
        return power(
            &a.real(t).broadcast_to(shape.iter().copied()),
            exponent,
            &shape,
            element,
            t,
        );
    }
    let compares = matches!(op, Op::Equal | Op::Less | Op::LessEqual);
    let computed = |v: &Value<'_>| matches!(v, Value::Real(..));
    let (x, y) = if compares && a.element() == Element::Integer && !computed(a) && !computed(b) {
        (a.index(t)?, b.index(t)?)
    } else {
        (a.real(t), b.real(t))
    };
    Ok(Value::Real(
        op.traced(x, y, element == Element::Integer),
        element,
    ))
}

fn fold(op: Op, a: &Known, b: &Known, shape: &[usize], element: Element) -> Answer<Known> {
    let (a, b) = (a.broadcast(shape)?, b.broadcast(shape)?);
    if let (Numbers::Integers(x), Numbers::Integers(y)) = (&a.numbers, &b.numbers) {
        let pair = |(&x, &y)| {
            let value = op.of_integers(x, y);
            value.ok_or_else(|| format!("{op:?} of {x} and {y} is no 64-bit integer"))
        };
        let values: Answer<Vec<i64>> = x.iter().zip(y).map(pair).collect();
        let values = Known::integers(values?, shape);
        return Ok(match element {
            Element::Truth => Known::truths(values.to_truths(), shape),
            _ => values,
        });
    }
    let (x, y) = (a.to_floats(), b.to_floats());
    let values = x
        .iter()
        .zip(&y)
        .map(|(&x, &y)| op.of_floats(x, y))
        .collect();
    let values = Known::floats(values, shape);
    match element {
        Element::Float => Ok(values),
        Element::Truth => Ok(Known::truths(values.to_truths(), shape)),
        Element::Integer => super::choose::cast_known(&values, Element::Integer),
    }
}

/// Different exponents up to which each has its own power; more go through logarithms.
const EXPONENTS: usize = 8;

/// Powers with known exponents.
fn power<'t>(
    base: &Tensor<'t>,
    exponent: &Known,
    shape: &[usize],
    element: Element,
    t: &'t Tracer,
) -> Answer<Value<'t>> {
    let exponents = exponent.to_floats();
    let mut different: Vec<f64> = exponents.clone();
    different.sort_by(f64::total_cmp);
    different.dedup();
    let result = match different[..] {
        [] => *base,
        [single] => base.powf(single),
        ref several if several.len() <= EXPONENTS => {
            let mut sum = base.fill_like(0.0);
            for &e in several {
                let mask = exponents.iter().map(|&x| f64::from(u8::from(x == e)));
                let mask = t.constant(&mask.collect::<Vec<_>>(), exponent.shape.iter().copied());
                let mask = mask.broadcast_to(shape.iter().copied());
                // No power is taken of what has another exponent, so that no derivative is infinite there.
                let own = mask.select(*base, base.fill_like(1.0)).powf(e);
                sum = mask.select(own, sum);
            }
            sum
        }
        _ => {
            let exponent = t.constant(&exponents, exponent.shape.iter().copied());
            Op::Pow.traced(*base, exponent.broadcast_to(shape.iter().copied()), false)
        }
    };
    Ok(Value::Real(result, element))
}
