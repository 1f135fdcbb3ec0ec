//! Shapes, and arrays that are made of nothing else.

use super::super::attribute::Attribute;
use super::super::known::{Known, Numbers, small};
use super::super::site::{Site, sizes};
use super::super::value::Value;
use super::{Entry, Results, entry, one};

pub(super) const TABLE: &[Entry] = &[
    entry("Shape", &["start", "end"], shape),
    entry("Size", &[], |s| {
        let size = super::layout::count(&s.value(0)?.shape());
        one(Known::integers(vec![size as i64], &[]))
    }),
    entry(
        "Constant",
        &[
            "value",
            "value_float",
            "value_floats",
            "value_int",
            "value_ints",
        ],
        constant,
    ),
    entry("ConstantOfShape", &["value"], constant_of_shape),
    entry("Range", &[], range),
    entry("EyeLike", &["dtype", "k"], eye_like),
];

fn shape<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let shape = s.value(0)?.shape();
    let rank = shape.len() as i64;
    let place = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let (start, end) = (place(s.int("start", 0)?), place(s.int("end", rank)?));
    let lengths = shape.get(start..end.max(start)).unwrap_or_default();
    one(Known::list(lengths.iter().map(|&n| n as i64).collect()))
}

fn constant<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let mut given = s.node.attributes.values();
    let (Some(value), None) = (given.next(), given.next()) else {
        return Err("takes one attribute".to_owned());
    };
    let known = match value {
        Attribute::Array(k) if small(&k.shape).is_err() => return one(k.traced(s.tracer())?),
        Attribute::Array(k) => return one(Value::Known(k.clone())),
        Attribute::Float(v) => Known::floats(vec![*v], &[]),
        Attribute::Floats(v) => Known::floats(v.clone(), &[v.len()]),
        Attribute::Integer(v) => Known::integers(vec![*v], &[]),
        Attribute::Integers(v) => Known::list(v.clone()),
        Attribute::Text(_) | Attribute::Texts(_) => {
            return Err("texts are not supported".to_owned());
        }
    };
    one(known)
}

fn constant_of_shape<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let shape = sizes(&s.integers(0)?)?;
    let zero = Known::floats(vec![0.0], &[1]);
    let value = s.array("value")?.unwrap_or(&zero);
    if value.len() != 1 {
        return Err(format!("the value has {} entries, not one", value.len()));
    }
    let single = Value::from(value.reshape(&[]));
    one(single.broadcast(s.tracer(), &shape)?)
}

fn range<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let all = [s.known(0)?, s.known(1)?, s.known(2)?];
    if all.iter().any(|k| k.len() != 1) {
        return Err("start, limit and step must be single numbers".to_owned());
    }
    let count = |n: f64| {
        let n = n.ceil().max(0.0);
        let n = if n < 1e9 { n as usize } else { usize::MAX };
        small(&[n])
    };
    if let [
        Numbers::Integers(a),
        Numbers::Integers(b),
        Numbers::Integers(step),
    ] = all.map(|k| &k.numbers)
    {
        let (a, b, step) = (a[0], b[0], step[0]);
        if step == 0 {
            return Err("the step is 0".to_owned());
        }
        let distance = b.checked_sub(a).ok_or("the range is too long")?;
        let n = count(distance as f64 / step as f64)?;
        let at = |i| a + i as i64 * step;
        return one(Known::list((0..n).map(at).collect()));
    }
    let [a, b, step] = all.map(|k| k.to_floats()[0]);
    if step == 0.0 || !(a.is_finite() && b.is_finite() && step.is_finite()) {
        return Err(format!(
            "there is no range from {a} to {b} in steps of {step}"
        ));
    }
    let n = count((b - a) / step)?;
    one(Known::floats(
        (0..n).map(|i| a + i as f64 * step).collect(),
        &[n],
    ))
}

/// 1 on a diagonal, else 0.
fn eye_like<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let value = s.value(0)?;
    let shape = value.shape();
    let [_, columns] = shape[..] else {
        return Err(format!("takes a matrix, not {shape:?}"));
    };
    let k = s.int("k", 0)?;
    let size = small(&shape)?;
    let is_on = |i: usize| i64::from((i % columns) as i64 - (i / columns) as i64 == k);
    let ones = Known::integers((0..size).map(is_on).collect(), &shape);
    let element = match s.given_int("dtype")? {
        Some(dtype) => super::choose::element(dtype)?,
        None => value.element(),
    };
    one(super::choose::cast_known(&ones, element)?)
}
