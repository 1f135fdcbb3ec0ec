//! Choices and conversions: entries of one value or another, other types, positions of largest entries.

use super::super::known::{Answer, Element, Known, Numbers, small};
use super::super::proto::data;
use super::super::site::{self, Site};
use super::super::value::{Value, common_shape, signed};
use super::elementwise::truncate;
use super::{Entry, Results, entry, one};
use quadric_autodiff::Tensor;

pub(super) const TABLE: &[Entry] = &[
    entry("Where", &[], choose),
    entry("Cast", &["to", "saturate"], |s| {
        let to = s.given_int("to")?.ok_or("attribute `to` is missing")?;
        one(cast(s.value(0)?, element(to)?)?)
    }),
    entry("CastLike", &["saturate"], |s| {
        one(cast(s.value(0)?, s.value(1)?.element())?)
    }),
    entry("Trilu", &["upper"], triangle),
    entry("OneHot", &["axis"], one_hot),
    entry("ArgMax", ARG, |s| arg(s, |x| x)),
    entry("ArgMin", ARG, |s| arg(s, |x| -x)),
    entry("Hardmax", &["axis"], hardmax),
];

const ARG: &[&str] = &["axis", "keepdims", "select_last_index"];

fn choose<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let (mask, a, b) = (s.value(0)?, s.value(1)?, s.value(2)?);
    if mask.element() != Element::Truth || a.element() != b.element() {
        return Err("takes truth values and two values of one type".to_owned());
    }
    let shape = common_shape(&mask.shape(), &common_shape(&a.shape(), &b.shape())?)?;
    if let (Value::Known(mask), Value::Known(a), Value::Known(b), Ok(_)) =
        (mask, a, b, small(&shape))
    {
        return one(select(mask, a, b, &shape)?);
    }
    let wide = |v: &Value<'t>| v.real(s.tracer()).broadcast_to(shape.iter().copied());
    one(Value::Real(
        wide(mask).select(wide(a), wide(b)),
        a.element(),
    ))
}

fn select(mask: &Known, a: &Known, b: &Known, shape: &[usize]) -> Answer<Known> {
    fn pick<V: Copy>(mask: &[bool], a: &[V], b: &[V]) -> Vec<V> {
        let pairs = a.iter().zip(b).zip(mask);
        pairs.map(|((&a, &b), &m)| if m { a } else { b }).collect()
    }
    let mask = mask.broadcast(shape)?.to_truths();
    let (a, b) = (a.broadcast(shape)?, b.broadcast(shape)?);
    let numbers = match (&a.numbers, &b.numbers) {
        (Numbers::Floats(a), Numbers::Floats(b)) => Numbers::Floats(pick(&mask, a, b)),
        (Numbers::Integers(a), Numbers::Integers(b)) => Numbers::Integers(pick(&mask, a, b)),
        (Numbers::Truths(a), Numbers::Truths(b)) => Numbers::Truths(pick(&mask, a, b)),
        _ => return Err("takes two values of one type".to_owned()),
    };
    Ok(Known::new(numbers, shape))
}

/// What the entries of a type of the format stand for.
pub(super) fn element(data_type: i64) -> Answer<Element> {
    match i32::try_from(data_type).unwrap_or(0) {
        data::FLOAT | data::DOUBLE | data::FLOAT16 | data::BFLOAT16 => Ok(Element::Float),
        data::INT32 | data::INT64 => Ok(Element::Integer),
        data::BOOL => Ok(Element::Truth),
        // Narrow integers would have to wrap around.
        _ => Err(format!("the type {data_type} is not supported")),
    }
}

/// Values of another type. Real numbers keep their precision.
fn cast<'t>(value: &Value<'t>, to: Element) -> Answer<Value<'t>> {
    Ok(match (value, to) {
        (Value::Known(k), _) => cast_known(k, to)?.into(),
        (Value::Index(_), Element::Integer) => value.clone(),
        (Value::Index(x), Element::Float) => Value::Real(x.to_float(), to),
        (Value::Index(x), Element::Truth) => Value::Real(not_zero(x.to_float()), to),
        (Value::Real(x, Element::Float), Element::Integer) => Value::Real(truncate(*x), to),
        (Value::Real(x, from), Element::Truth) if *from != Element::Truth => {
            Value::Real(not_zero(*x), to)
        }
        (Value::Real(x, _), _) => Value::Real(*x, to),
    })
}

fn not_zero(x: Tensor<'_>) -> Tensor<'_> {
    1.0 - x.equal(x.fill_like(0.0))
}

pub(super) fn cast_known(k: &Known, to: Element) -> Answer<Known> {
    let integer = |&v: &f64| {
        let fits = v.trunc().abs() < 2f64.powi(63);
        fits.then_some(v.trunc() as i64)
            .ok_or_else(|| format!("{v} is no 64-bit integer"))
    };
    Ok(match (to, &k.numbers) {
        (Element::Float, _) => Known::floats(k.to_floats(), &k.shape),
        (Element::Truth, _) => Known::truths(k.to_truths(), &k.shape),
        (Element::Integer, Numbers::Floats(v)) => {
            let values: Answer<Vec<i64>> = v.iter().map(integer).collect();
            Known::integers(values?, &k.shape)
        }
        (Element::Integer, _) => Known::integers(k.to_integers()?, &k.shape),
    })
}

/// The entries on one side of a diagonal, else 0.
fn triangle<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let (value, upper) = (s.value(0)?, s.flag("upper", true)?);
    let diagonal = match s.optional_integers(1)?.as_deref() {
        None => 0,
        Some(&[k]) => k,
        Some(other) => return Err(format!("{other:?} names no diagonal")),
    };
    let shape = value.shape();
    let [.., rows, columns] = shape[..] else {
        return Err(format!("takes matrices, not {shape:?}"));
    };
    if let (Value::Known(k), Ok(size)) = (value, small(&[rows, columns])) {
        let kept = |i: usize| {
            let distance = (i % columns) as i64 - (i / columns) as i64;
            if upper {
                distance >= diagonal
            } else {
                distance <= diagonal
            }
        };
        let mask = Known::truths((0..size).map(kept).collect(), &[rows, columns]);
        let zero = cast_known(&Known::integers(vec![0], &[]), k.element())?;
        return one(select(&mask, k, &zero, &shape)?);
    }
    let (t, x) = (s.tracer(), value.real(s.tracer()));
    let row = t.iota([rows]).to_float().reshape([rows, 1]) + diagonal as f64;
    let row = row.broadcast_to([rows, columns]);
    let column = t.iota([columns]).to_float().broadcast_to([rows, columns]);
    let mask = if upper {
        row.less_equal(column)
    } else {
        column.less_equal(row)
    };
    let mask = mask.broadcast_to(shape.iter().copied());
    one(Value::Real(
        mask.select(x, x.fill_like(0.0)),
        value.element(),
    ))
}

/// Positions up to which single precision is exact.
const LARGEST_DEPTH: f64 = 16_777_216.0;

/// 1 at the place along a new last axis of length `depth` that each number names, from the end if it is negative, else 0.
pub(super) fn hot_rows(x: Tensor<'_>, depth: usize) -> Tensor<'_> {
    let row = x.less(x.fill_like(0.0)).select(x + depth as f64, x);
    let row = row
        .expand(-1)
        .broadcast_to(x.shape().into_iter().chain([depth]));
    let places = x.tracer().iota([depth]).to_float();
    row.equal(places.broadcast_to(row.shape()))
}

fn one_hot<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let depth = match s.known(1)?.to_floats()[..] {
        [d] if d >= 0.0 && d.fract() == 0.0 && d <= LARGEST_DEPTH => d as usize,
        ref other => return Err(format!("{other:?} is no depth")),
    };
    let values = s.known(2)?;
    let [off, on] = values.to_floats()[..] else {
        return Err(format!(
            "takes a value off and one on, not {}",
            values.len()
        ));
    };
    let x = s.tensor(0)?;
    let rank = x.shape().len();
    let at = site::axis(s.int("axis", -1)?, rank + 1)?;
    let hot = hot_rows(x, depth);
    let hot = hot.select(hot.fill_like(on), hot.fill_like(off));
    let order: Vec<usize> = (0..at).chain([rank]).chain(at..rank).collect();
    one(Value::Real(hot.permute(&signed(&order)), values.element()))
}

/// 1 at the largest entry along an axis, the first or last of equal ones, else 0.
fn hot<'t>(x: Tensor<'t>, axis: usize, last: bool) -> Tensor<'t> {
    let at = axis as isize;
    let x = x.detach();
    let most = x.equal(x.max(&[at]).expand(at).broadcast_to(x.shape()));
    let from = if last { most.reverse(&[at]) } else { most };
    let count = from.cumulative_sum(at);
    let count = if last { count.reverse(&[at]) } else { count };
    most * count.equal(count.fill_like(1.0))
}

fn arg<'t>(s: &Site<'_, 't>, sign: impl FnOnce(Tensor<'t>) -> Tensor<'t>) -> Results<'t> {
    let x = s.tensor(0)?;
    let shape = x.shape();
    let axis = site::axis(s.int("axis", 0)?, shape.len())?;
    let hot = hot(sign(x), axis, s.flag("select_last_index", false)?);
    let places = s.tracer().iota([shape[axis]]).to_float();
    let after = shape.len() - axis - 1;
    let places = places.reshape(std::iter::once(shape[axis]).chain(vec![1; after]));
    let at = axis as isize;
    let found = (hot * places).sum(&[at]);
    let found = if s.flag("keepdims", true)? {
        found.expand(at)
    } else {
        found
    };
    one(Value::Real(found, Element::Integer))
}

fn hardmax<'t>(s: &Site<'_, 't>) -> Results<'t> {
    super::normalize::along_axis(s, |x, axis| hot(x, axis, false))
}
