//! Some of the entries: slices, parts, rows by number; and padding, which repeats some.

use super::super::known::{Answer, Element, Known, small};
use super::super::site::{self, Site, sizes};
use super::super::value::{Value, signed, take_rows};
use super::layout::count;
use super::{Entry, Results, entry, one};
use quadric_autodiff::Tensor;

pub(super) const TABLE: &[Entry] = &[
    entry("Slice", &[], slice),
    entry("Split", &["axis", "split", "num_outputs"], split),
    entry("Gather", &["axis"], gather),
    entry("GatherElements", &["axis"], gather_elements),
    entry("GatherND", &["batch_dims"], gather_nd),
    entry("Pad", &["mode"], pad),
];

/// First entry, number of entries and step of a slice of an axis of length `n`.
fn range(n: usize, start: i64, end: i64, step: i64) -> Answer<(usize, usize, isize)> {
    let n = n as i64;
    let from_end = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
    let step_wide = isize::try_from(step).map_err(|_| format!("the step {step} is too long"))?;
    let (first, size) = match step {
        0 => return Err("the step is 0".to_owned()),
        1.. => {
            let (first, last) = (from_end(start).clamp(0, n), from_end(end).clamp(0, n));
            (
                first,
                (last - first)
                    .max(0)
                    .unsigned_abs()
                    .div_ceil(step.unsigned_abs()),
            )
        }
        _ => {
            let (first, last) = (
                from_end(start).clamp(-1, n - 1),
                from_end(end).clamp(-1, n - 1),
            );
            (
                first,
                (first - last)
                    .max(0)
                    .unsigned_abs()
                    .div_ceil(step.unsigned_abs()),
            )
        }
    };
    Ok((first.max(0) as usize, size as usize, step_wide))
}

fn slice<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let mut value = s.value(0)?.clone();
    let (starts, ends) = (s.integers(1)?, s.integers(2)?);
    let all = || (0..starts.len() as i64).collect();
    let given = s.optional_integers(3)?.unwrap_or_else(all);
    let steps = s
        .optional_integers(4)?
        .unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), given.len(), steps.len()] != [starts.len(); 3] {
        return Err("starts, ends, axes and steps are not equally many".to_owned());
    }
    site::axes(&given, value.rank())?;
    for i in 0..starts.len() {
        let axis = site::axis(given[i], value.rank())?;
        let n = value.shape()[axis];
        let (first, size, step) = range(n, starts[i], ends[i], steps[i])?;
        if (first, size, step) != (0, n, 1) {
            value = value.slice(axis, first, size, step)?;
        }
    }
    one(value)
}

fn split<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let value = s.value(0)?;
    let axis = site::axis(s.int("axis", 0)?, value.rank())?;
    let n = value.shape()[axis];
    let given = match s.ints("split")? {
        Some(v) => Some(v.to_vec()),
        None => s.optional_integers(1)?,
    };
    let parts = match given {
        Some(v) => sizes(&v)?,
        None => {
            let parts = s.node.outputs.len();
            let (asked, size) = (s.int("num_outputs", parts as i64)?, n.div_ceil(parts));
            if asked != parts as i64 || (s.opset() < 18 && n % parts != 0) {
                return Err(format!(
                    "an axis of length {n} has no {asked} parts for {parts} outputs"
                ));
            }
            // The last part may be smaller.
            (0..parts)
                .map(|i| size.min(n.saturating_sub(i * size)))
                .collect()
        }
    };
    let total = parts.iter().try_fold(0usize, |sum, &p| sum.checked_add(p));
    if total != Some(n) || parts.len() < s.node.outputs.len() {
        return Err(format!("an axis of length {n} has no parts {parts:?}"));
    }
    let mut start = 0;
    let mut results = Vec::new();
    for part in parts {
        results.push(value.slice(axis, start, part, 1)?);
        start += part;
    }
    Ok(results)
}

/// Known indices into an axis of length `n`, counted from 0.
fn rows(indices: &[i64], n: usize) -> Answer<Vec<usize>> {
    indices
        .iter()
        .map(|&i| site::axis(i, n).map_err(|_| format!("there is no row {i} among {n}")))
        .collect()
}

fn gather<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let (table, indices) = (s.value(0)?, s.value(1)?);
    let shape = table.shape();
    let axis = site::axis(s.int("axis", 0)?, shape.len())?;
    if let Value::Known(k) = indices {
        let rows = rows(&k.to_integers()?, shape[axis])?;
        let taken = table.take(s.tracer(), axis, &rows)?;
        let result: Vec<usize> = [&shape[..axis], &k.shape, &shape[axis + 1..]].concat();
        return one(taken.reshape(&result)?);
    }
    let real = table.real(s.tracer());
    let taken = match indices {
        Value::Real(at, Element::Integer) => take_computed(real, axis, *at),
        _ => take_rows(real, axis, indices.index(s.tracer())?),
    };
    one(Value::Real(taken, table.element()))
}

/// The rows along an axis whose numbers are computed from inputs, and therefore are real numbers: sums over all rows, of which one
/// counts; NaN where there is none.
fn take_computed<'t>(table: Tensor<'t>, axis: usize, at: Tensor<'t>) -> Tensor<'t> {
    let hot = super::choose::hot_rows(at, table.shape()[axis]);
    let outer = at.shape().len();
    let none = hot.sum(&[-1]).equal(at.fill_like(0.0));
    let at_axis = |x: Tensor<'t>, own: usize| {
        let inner = x.shape().len() - own;
        let order = (own..own + axis)
            .chain(0..own)
            .chain(own + axis..own + inner);
        x.permute(&signed(&order.collect::<Vec<_>>()))
    };
    let rank = table.shape().len();
    let front = std::iter::once(axis).chain((0..rank).filter(|&a| a != axis));
    let rows = table.permute(&signed(&front.collect::<Vec<_>>()));
    let (n, inner) = (rows.shape()[0], rows.shape()[1..].to_vec());
    let flat = hot
        .reshape([count(&at.shape()), n])
        .matmul(rows.reshape([n, count(&inner)]));
    let shape: Vec<usize> = at
        .shape()
        .into_iter()
        .chain(inner.iter().copied())
        .collect();
    let ones = std::iter::repeat_n(1, inner.len());
    let none = none
        .reshape(at.shape().into_iter().chain(ones))
        .broadcast_to(shape.clone());
    let taken = flat.reshape(shape);
    at_axis(none.select(taken.fill_like(f64::NAN), taken), outer)
}

/// The rows of the flat array of the entries.
fn take_flat<'t>(
    s: &Site<'_, 't>,
    value: &Value<'t>,
    at: &[usize],
    shape: &[usize],
) -> Results<'t> {
    let flat = value.reshape(&[count(&value.shape())])?;
    one(flat.take(s.tracer(), 0, at)?.reshape(shape)?)
}

/// Where in an array of some shape the entries lie whose places along an axis are known; other axes have the places of the indices.
pub(super) fn element_positions(
    indices: &Known,
    shape: &[usize],
    axis: usize,
) -> Answer<Vec<usize>> {
    check_elements(&indices.shape, shape, axis)?;
    let wanted = &indices.shape;
    let position = |(i, &row): (usize, &usize)| {
        let (mut rest, mut at, mut stride) = (i, 0, 1);
        for a in (0..shape.len()).rev() {
            let along = if a == axis { row } else { rest % wanted[a] };
            rest /= wanted[a];
            at += along * stride;
            stride *= shape[a];
        }
        at
    };
    let rows = rows(&indices.to_integers()?, shape[axis])?;
    Ok(rows.iter().enumerate().map(position).collect())
}

/// Refuses indices of elements that have other axes than the array, or longer ones except that along which they choose.
pub(super) fn check_elements(indices: &[usize], shape: &[usize], axis: usize) -> Answer<()> {
    let fits = |a: usize| a == axis || indices[a] <= shape[a];
    if indices.len() == shape.len() && (0..shape.len()).all(fits) {
        return Ok(());
    }
    Err(format!("indices {indices:?} do not fit {shape:?}"))
}

/// Where in an array of some shape the blocks lie that indices name by the first of their axes behind `batch` common ones, and the
/// shape of all blocks.
pub(super) fn block_positions(
    indices: &Known,
    shape: &[usize],
    batch: usize,
) -> Answer<(Vec<usize>, Vec<usize>)> {
    let Some((&depth, outer)) = indices.shape.split_last() else {
        return Err("the indices have no axes".to_owned());
    };
    let fits =
        batch <= outer.len() && batch + depth <= shape.len() && shape[..batch] == outer[..batch];
    if !fits {
        return Err(format!("indices {:?} do not fit {shape:?}", indices.shape));
    }
    let inner = &shape[batch + depth..];
    let result: Vec<usize> = [outer, inner].concat();
    let block = count(inner);
    let per_batch = count(&outer[batch..]).max(1);
    let numbers = indices.to_integers()?;
    let mut at = Vec::new();
    small(&result)?;
    for i in 0..count(outer) {
        let mut row = i / per_batch;
        for k in 0..depth {
            let n = shape[batch + k];
            row = row * n + rows(&numbers[i * depth + k..=i * depth + k], n)?[0];
        }
        at.extend(row * block..(row + 1) * block);
    }
    Ok((at, result))
}

fn gather_elements<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let (value, indices) = (s.value(0)?, s.value(1)?);
    let (shape, wanted) = (value.shape(), indices.shape());
    let axis = site::axis(s.int("axis", 0)?, shape.len())?;
    if let Value::Known(k) = indices {
        let at = element_positions(k, &shape, axis)?;
        return take_flat(s, value, &at, &wanted);
    }
    check_elements(&wanted, &shape, axis)?;
    let mut data = value.clone();
    for a in (0..shape.len()).filter(|&a| a != axis) {
        data = data.slice(a, 0, wanted[a], 1)?;
    }
    // (.., wanted, .., n) chooses among (.., 1, .., n).
    let hot = super::choose::hot_rows(indices.real(s.tracer()), shape[axis]);
    let mut order: Vec<usize> = (0..shape.len()).filter(|&a| a != axis).collect();
    order.push(axis);
    let last = data
        .real(s.tracer())
        .permute(&signed(&order))
        .expand(axis as isize);
    let last = last.broadcast_to(hot.shape());
    let chosen = hot.select(last, last.fill_like(0.0)).sum(&[-1]);
    let none = hot.sum(&[-1]).equal(chosen.fill_like(0.0));
    let chosen = none.select(chosen.fill_like(f64::NAN), chosen);
    one(Value::Real(chosen, value.element()))
}

fn gather_nd<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let value = s.value(0)?;
    let batch = sizes(&[s.int("batch_dims", 0)?])?[0];
    let (at, result) = block_positions(s.known(1)?, &value.shape(), batch)?;
    take_flat(s, value, &at, &result)
}

/// Which entry of an axis of length `n` stands at a place before or behind it.
fn source(mode: &str, place: i64, n: i64) -> Answer<usize> {
    let at = match mode {
        "edge" => place.clamp(0, n - 1),
        "wrap" => place.rem_euclid(n.max(1)),
        "reflect" if n > 1 => {
            let period = 2 * (n - 1);
            let at = place.rem_euclid(period);
            at.min(period - at)
        }
        "reflect" => 0,
        other => return Err(format!("the mode `{other}` is unknown")),
    };
    usize::try_from(at).map_err(|_| "an axis without entries cannot be continued".to_owned())
}

fn pad<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let mut value = s.value(0)?.clone();
    let (pads, mode) = (s.integers(1)?, s.text("mode", "constant")?);
    let axes: Vec<usize> = match s.optional_integers(3)? {
        Some(given) => {
            site::axes(&given, value.rank())?;
            let all: Answer<_> = given.iter().map(|&a| site::axis(a, value.rank())).collect();
            all?
        }
        None => (0..value.rank()).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(format!("{} numbers for {} axes", pads.len(), axes.len()));
    }
    let fill = match s.optional(2) {
        Some(_) if mode == "constant" => s.number(2)?,
        _ => 0.0,
    };
    for (i, &axis) in axes.iter().enumerate() {
        let (before, after) = (pads[i], pads[axes.len() + i]);
        let n = value.shape()[axis] as i64;
        let total = before.checked_add(n).and_then(|m| m.checked_add(after));
        let total = total.filter(|&m| m >= 0 && before.min(after) >= -n);
        let total = total.ok_or_else(|| {
            format!("an axis of length {n} cannot be padded by {before} and {after}")
        })?;
        if (before, after) == (0, 0) {
            continue;
        }
        if mode == "constant" {
            let kept = n + before.min(0) + after.min(0);
            let size = usize::try_from(kept).map_err(|_| "nothing is left".to_owned())?;
            value = value.slice(axis, (-before).max(0) as usize, size, 1)?;
            value = surround(
                s,
                &value,
                axis,
                before.max(0) as usize,
                after.max(0) as usize,
                fill,
            )?;
        } else {
            small(&[total as usize])?;
            let rows: Answer<Vec<usize>> = (-before..total - before)
                .map(|p| source(mode, p, n))
                .collect();
            value = value.take(s.tracer(), axis, &rows?)?;
        }
    }
    one(value)
}

/// One number before and after the entries along an axis.
fn surround<'t>(
    s: &Site<'_, 't>,
    value: &Value<'t>,
    axis: usize,
    before: usize,
    after: usize,
    fill: f64,
) -> Answer<Value<'t>> {
    if let (Value::Real(x, element), true) = (value, fill == 0.0) {
        return Ok(Value::Real(x.pad(axis as isize, before, after), *element));
    }
    let edge = |n: usize| {
        let mut shape = value.shape();
        shape[axis] = n;
        let filled = Known::floats(vec![fill], &[]);
        let filled = match value.element() {
            Element::Float => filled,
            other => super::choose::cast_known(&filled, other)?,
        };
        Value::from(filled).broadcast(s.tracer(), &shape)
    };
    Value::concat(
        s.tracer(),
        &[edge(before)?, value.clone(), edge(after)?],
        axis,
    )
}
