//! Entries of an array that others replace, or are combined with.

use super::super::known::{ALLOWANCE, Answer, small};
use super::super::site::{self, Site};
use super::super::value::{Value, signed};
use super::layout::count;
use super::pick::{block_positions, check_elements, element_positions};
use super::{Entry, Results, entry, one};
use quadric_autodiff::Tensor;

pub(super) const TABLE: &[Entry] = &[
    entry("ScatterElements", &["axis", "reduction"], scatter_elements),
    entry("ScatterND", &["reduction"], scatter_nd),
];

/// A combination of two entries, and what leaves the other as it is.
type Combination = (for<'t> fn(Tensor<'t>, Tensor<'t>) -> Tensor<'t>, f64);

/// None for the replacement by the last update.
fn combination(s: &Site<'_, '_>) -> Answer<Option<Combination>> {
    Ok(match s.text("reduction", "none")? {
        "none" => None,
        "add" => Some((|a, b| a + b, 0.0)),
        "mul" => Some((|a, b| a * b, 1.0)),
        "max" => Some((|a, b| a.maximum(b), f64::NEG_INFINITY)),
        "min" => Some((|a, b| a.minimum(b), f64::INFINITY)),
        other => return Err(format!("the reduction `{other}` is unknown")),
    })
}

/// The array with entries at some positions in it replaced by updates, or combined with them.
fn scattered<'t>(s: &Site<'_, 't>, at: &[usize]) -> Results<'t> {
    let (data, updates) = (s.value(0)?, s.value(2)?);
    let (shape, n) = (data.shape(), small(&data.shape())?);
    if count(&updates.shape()) != at.len() {
        return Err(format!(
            "updates {:?} for {} entries",
            updates.shape(),
            at.len()
        ));
    }
    let (data, updates) = (data.reshape(&[n])?, updates.reshape(&[at.len()])?);
    let Some(combination) = combination(s)? else {
        let mut from: Vec<usize> = (0..n).collect();
        for (i, &to) in at.iter().enumerate() {
            from[to] = n + i;
        }
        let both = Value::concat(s.tracer(), &[data, updates], 0)?;
        return one(both.take(s.tracer(), 0, &from)?.reshape(&shape)?);
    };
    let combined = match s.text("reduction", "none")? {
        "add" => {
            let rows: Vec<i32> = at.iter().map(|&i| i as i32).collect();
            let rows = s.tracer().index_constant(&rows, [at.len()]);
            data.real(s.tracer()) + updates.real(s.tracer()).scatter_add(rows, n)
        }
        _ => combined(s, (&data, &updates), at, combination)?,
    };
    one(Value::Real(combined, data.element()).reshape(&shape)?)
}

/// A flat array combined with updates at some positions: with the first of each position, then with the second, and so on.
fn combined<'t>(
    s: &Site<'_, 't>,
    (data, updates): (&Value<'t>, &Value<'t>),
    at: &[usize],
    (combine, neutral): Combination,
) -> Answer<Tensor<'t>> {
    let t = s.tracer();
    let mut result = data.real(t);
    let n = result.dim(0);
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    let mut seen = vec![0; n];
    for (i, &to) in at.iter().enumerate() {
        if seen[to] == rounds.len() {
            if (rounds.len() + 1).saturating_mul(n) > ALLOWANCE {
                let count = rounds.len();
                return Err(format!(
                    "{n} entries are too many for more than {count} updates of one"
                ));
            }
            // Where there is no update, what lies behind them all.
            rounds.push(vec![at.len(); n]);
        }
        rounds[seen[to]][to] = i;
        seen[to] += 1;
    }
    let rest = Value::from(t.fill(neutral, [1]));
    let all = Value::concat(t, &[Value::from(updates.real(t)), rest], 0)?;
    for from in rounds {
        result = combine(result, all.take(t, 0, &from)?.real(t));
    }
    Ok(result)
}

/// Refuses all but sums, for indices that are not known.
fn only_sums(s: &Site<'_, '_>) -> Answer<()> {
    match s.text("reduction", "none")? {
        "add" => Ok(()),
        other => Err(format!(
            "the reduction `{other}` needs indices that are known when the network is traced"
        )),
    }
}

fn scatter_elements<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let (data, indices) = (s.value(0)?, s.value(1)?);
    let shape = data.shape();
    let axis = site::axis(s.int("axis", 0)?, shape.len())?;
    if let Value::Known(k) = indices {
        return scattered(s, &element_positions(k, &shape, axis)?);
    }
    only_sums(s)?;
    let (wanted, updates) = (indices.shape(), s.tensor(2)?);
    check_elements(&wanted, &shape, axis)?;
    if updates.shape()[..] != wanted[..] {
        let updates = updates.shape();
        return Err(format!("updates {:?} for indices {wanted:?}", &updates[..]));
    }
    // (.., wanted, .., n) chooses where each update goes along the axis.
    let hot = super::choose::hot_rows(indices.real(s.tracer()), shape[axis]);
    let terms = hot * updates.expand(-1);
    let sums = terms.sum(&[axis as isize]);
    let rank = shape.len();
    let order = (0..axis).chain([rank - 1]).chain(axis..rank - 1);
    let mut sums = sums.permute(&signed(&order.collect::<Vec<_>>()));
    for a in (0..rank).filter(|&a| a != axis) {
        sums = sums.pad(a as isize, 0, shape[a] - wanted[a]);
    }
    one(Value::Real(data.real(s.tracer()) + sums, data.element()))
}

fn scatter_nd<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let (data, indices) = (s.value(0)?, s.value(1)?);
    let shape = data.shape();
    if let Value::Known(k) = indices {
        return scattered(s, &block_positions(k, &shape, 0)?.0);
    }
    only_sums(s)?;
    let (wanted, updates) = (indices.shape(), s.tensor(2)?);
    let ([outer @ .., 1], [rows, inner @ ..]) = (&wanted[..], &shape[..]) else {
        return Err(format!(
            "indices {wanted:?} into {shape:?} must be known when the network is traced, unless they name rows"
        ));
    };
    if updates.shape()[..] != [outer, inner].concat() {
        let updates = updates.shape();
        return Err(format!(
            "updates {:?} for {outer:?} rows of {inner:?}",
            &updates[..]
        ));
    }
    let indices = indices.reshape(outer)?.index(s.tracer())?;
    let sums = updates.scatter_add(indices, *rows);
    one(Value::Real(data.real(s.tracer()) + sums, data.element()))
}
