//! The largest entries along an axis, in their order.

use super::super::known::{Element, small};
use super::super::site::{self, Site, sizes};
use super::super::value::{Value, signed};
use super::{Entry, Results, entry};

pub(super) const TABLE: &[Entry] = &[entry("TopK", &["axis", "largest", "sorted"], top)];

/// Each entry is compared with each other: those that fewer than k others come before are taken, at the place of this number.
fn top<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let (t, value) = (s.tracer(), s.value(0)?);
    let shape = value.shape();
    let axis = site::axis(s.int("axis", -1)?, shape.len())?;
    let (n, rank) = (shape[axis], shape.len());
    let k = match sizes(&s.integers(1)?)?[..] {
        [k] if k <= n => k,
        ref other => return Err(format!("there are no {other:?} of {n} entries")),
    };
    small(&[n, n])?;
    let last: Vec<usize> = (0..rank).filter(|&a| a != axis).chain([axis]).collect();
    let x = value.real(t).permute(&signed(&last));
    let key = if s.flag("largest", true)? { x } else { -x };
    let pairs: Vec<usize> = x.shape().iter().copied().chain([n]).collect();
    let own = key.expand(-1).broadcast_to(pairs.iter().copied());
    let other = key.expand(-2).broadcast_to(pairs.iter().copied());
    let place = t.iota([n]).to_float();
    let earlier = place.less(place.expand(-1).broadcast_to([n, n]));
    let before = own.less(other) + own.equal(other) * earlier;
    // (.., n, k): which entry is at which place.
    let wide: Vec<usize> = x.shape().iter().copied().chain([k]).collect();
    let ranks = before.sum(&[-1]).expand(-1).broadcast_to(wide);
    let hot = ranks.equal(t.iota([k]).to_float().broadcast_to(ranks.shape()));
    let values = x.expand(-1).broadcast_to(hot.shape());
    let values = hot.select(values, hot.fill_like(0.0)).sum(&[-2]);
    let places = (hot * place.expand(-1)).sum(&[-2]);
    let back: Vec<usize> = (0..axis).chain([rank - 1]).chain(axis..rank - 1).collect();
    let back = signed(&back);
    Ok(vec![
        Value::Real(values.permute(&back), value.element()),
        Value::Real(places.permute(&back), Element::Integer),
    ])
}
