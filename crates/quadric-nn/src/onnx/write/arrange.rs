//! The same entries in another arrangement, as nodes.

use super::super::known::Answer;
use super::nodes::int;
use super::symbolic::{Length, Signature};
use super::value::{Tensors, Value};
use quadric_autodiff::Operation;

/// What an operation makes of its arguments that only arranges them.
pub(super) fn value(
    tensors: &mut Tensors,
    operation: &Operation<'_>,
    args: &[Value],
    signature: &Signature,
) -> Answer<Value> {
    Ok(match operation {
        Operation::Broadcast(axes) => Value {
            axes: args[0].axes.iter().map(|&a| axes[a]).collect(),
            signature: signature.clone(),
            ..args[0].clone()
        },
        Operation::Permute(axes) => {
            let place = |a: usize| axes.iter().position(|&b| b == a).unwrap_or(a);
            Value {
                axes: args[0].axes.iter().map(|&a| place(a)).collect(),
                signature: signature.clone(),
                ..args[0].clone()
            }
        }
        Operation::Reshape => reshape(tensors, &args[0], signature)?,
        Operation::Slice { starts, steps } => slice(tensors, &args[0], starts, steps, signature)?,
        Operation::Pad {
            before,
            between,
            after,
        } => pad(tensors, &args[0], [before, between, after], signature)?,
        Operation::Concat(axis) => concat(tensors, args, *axis, signature)?,
        Operation::Reverse(axes) => reverse(tensors, &args[0], axes, signature)?,
        _ => unreachable!("only arrangements come here"),
    })
}

/// The same entries under other lengths.
fn reshape(tensors: &mut Tensors, x: &Value, signature: &Signature) -> Answer<Value> {
    let (from, to) = (&x.signature.lengths, &signature.lengths);
    let growing = |l: &Length| matches!(l, Length::Batch(_));
    let copied = |i: usize| growing(&to[i]) && from.get(i) == Some(&to[i]);
    let mut open: Vec<usize> = (0..to.len()).filter(|&i| growing(&to[i])).collect();
    // One length may be left open; others must be those of the same axis before.
    while open.len() > 1 {
        let Some(at) = open.iter().position(|&i| copied(i)) else {
            let text = "two axes grow with the number of examples, and were others before";
            return Err(text.to_owned());
        };
        open.remove(at);
    }
    let length = |(i, l): (usize, &Length)| match l {
        Length::Fixed(0) => Err("an axis has no entries".to_owned()),
        Length::Fixed(n) => Ok(*n as i64),
        Length::Batch(_) if open.contains(&i) => Ok(-1),
        Length::Batch(_) => Ok(0),
    };
    let lengths: Answer<Vec<i64>> = to.iter().enumerate().map(length).collect();
    let lengths = lengths?;
    let whole = tensors.whole(x)?;
    let shape = tensors.nodes.integers(&[lengths.len()], &lengths);
    let name = tensors.nodes.add("Reshape", &[&whole, &shape], vec![]);
    Ok(Value::whole(name, signature))
}

/// Slices of a tensor: for each the axis, the first entry, the end and the step.
fn sliced(tensors: &mut Tensors, name: &str, slices: &[(usize, i64, i64, i64)]) -> String {
    let mut column = |f: fn(&(usize, i64, i64, i64)) -> i64| {
        let values: Vec<i64> = slices.iter().map(f).collect();
        tensors.nodes.integers(&[values.len()], &values)
    };
    let starts = column(|s| s.1);
    let ends = column(|s| s.2);
    let axes = column(|s| s.0 as i64);
    let steps = column(|s| s.3);
    let inputs = [name, &starts, &ends, &axes, &steps];
    tensors.nodes.add("Slice", &inputs, vec![])
}

fn slice(
    tensors: &mut Tensors,
    x: &Value,
    starts: &[usize],
    steps: &[usize],
    signature: &Signature,
) -> Answer<Value> {
    let order = x.order();
    let name = tensors.ordered(x, &order)?;
    let mut slices = Vec::new();
    for (place, &axis) in order.iter().enumerate() {
        let (from, to) = (x.signature.lengths[axis], signature.lengths[axis]);
        if from == to && starts[axis] == 0 && steps[axis] == 1 {
            continue;
        }
        let (Length::Fixed(_), Length::Fixed(size)) = (from, to) else {
            return Err("it cuts an axis that grows with the number of examples".to_owned());
        };
        let start = starts[axis];
        let end = match size {
            0 => start,
            _ => start + (size - 1) * steps[axis] + 1,
        };
        slices.push((place, start as i64, end as i64, steps[axis] as i64));
    }
    if slices.is_empty() {
        return Ok(Value::with_axes(name, signature, order));
    }
    let name = sliced(tensors, &name, &slices);
    Ok(Value::with_axes(name, signature, order))
}

fn reverse(
    tensors: &mut Tensors,
    x: &Value,
    axes: &[usize],
    signature: &Signature,
) -> Answer<Value> {
    let order = x.order();
    let name = tensors.ordered(x, &order)?;
    let places = (0..order.len()).filter(|&i| axes.contains(&order[i]));
    let slices: Vec<_> = places.map(|i| (i, -1, i64::MIN + 1, -1)).collect();
    let name = match slices.is_empty() {
        true => name,
        false => sliced(tensors, &name, &slices),
    };
    Ok(Value::with_axes(name, signature, order))
}

fn concat(
    tensors: &mut Tensors,
    parts: &[Value],
    axis: usize,
    signature: &Signature,
) -> Answer<Value> {
    let order = parts[0].order();
    let names: Answer<Vec<String>> = parts.iter().map(|p| tensors.ordered(p, &order)).collect();
    let names = names?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let place = order.iter().position(|&a| a == axis).unwrap_or(axis);
    let at = int("axis", place as i64);
    let name = tensors.nodes.add("Concat", &names, vec![at]);
    Ok(Value::with_axes(name, signature, order))
}

/// Zeros before, between and behind the entries.
fn pad(
    tensors: &mut Tensors,
    x: &Value,
    [before, between, after]: [&[usize]; 3],
    signature: &Signature,
) -> Answer<Value> {
    let order = x.order();
    let grows = |&a: &usize| {
        let is_fixed = matches!(x.signature.lengths[a], Length::Fixed(_));
        !is_fixed && [before, between, after].iter().any(|n| n[a] > 0)
    };
    if order.iter().any(grows) {
        let text = "it pads an axis that grows with the number of examples";
        return Err(text.to_owned());
    }
    let mut name = tensors.ordered(x, &order)?;
    for (place, &axis) in order.iter().enumerate() {
        if between[axis] > 0 {
            name = spread(tensors, &name, x, (&order, place), between[axis])?;
        }
    }
    let column = |n: &[usize]| order.iter().map(|&a| n[a]).collect::<Vec<usize>>();
    let pads = [column(before), column(after)].concat();
    if pads.iter().any(|&n| n > 0) {
        name = padded(tensors, &name, &pads);
    }
    Ok(Value::with_axes(name, signature, order))
}

fn padded(tensors: &mut Tensors, name: &str, pads: &[usize]) -> String {
    let pads = tensors.nodes.list(pads);
    tensors.nodes.add("Pad", &[name, &pads], vec![])
}

/// Zeros between the entries along one axis: each entry gets its zeros behind it, and the last loses them again.
fn spread(
    tensors: &mut Tensors,
    name: &str,
    x: &Value,
    (order, place): (&[usize], usize),
    between: usize,
) -> Answer<String> {
    let Length::Fixed(n) = x.signature.lengths[order[place]] else {
        unreachable!("growing axes have been refused")
    };
    let axes = tensors.nodes.list(&[place + 1]);
    let wide = tensors.nodes.add("Unsqueeze", &[name, &axes], vec![]);
    let mut pads = vec![0; 2 * (order.len() + 1)];
    pads[order.len() + 1 + place + 1] = between;
    let wide = padded(tensors, &wide, &pads);
    // Lengths of 0 are those of before; the axes that lie behind are one further there, so that they are joined from the front.
    let mut lengths = vec![0; place];
    lengths.push((n * (between + 1)) as i64);
    for &axis in &order[place + 1..] {
        lengths.push(match x.signature.lengths[axis] {
            Length::Fixed(n) => n as i64,
            Length::Batch(_) => -1,
        });
    }
    let shape = tensors.nodes.integers(&[lengths.len()], &lengths);
    let joined = tensors.nodes.add("Reshape", &[&wide, &shape], vec![]);
    let end = (n * (between + 1)).saturating_sub(between);
    Ok(sliced(tensors, &joined, &[(place, 0, end as i64, 1)]))
}
