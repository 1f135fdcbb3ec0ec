//! Sums, means, largest entries and norms along axes.

use super::super::known::{Element, Known, Numbers};
use super::super::site::{self, Site};
use super::super::value::{Value, signed};
use super::{Entry, Results, entry, one};
use quadric_autodiff::Tensor;

const REDUCE: &[&str] = &["axes", "keepdims", "noop_with_empty_axes"];

pub(super) const TABLE: &[Entry] = &[
    entry("ReduceSum", REDUCE, |s| reduce(s, |x, axes| x.sum(axes))),
    entry("ReduceMean", REDUCE, |s| reduce(s, |x, axes| x.mean(axes))),
    entry("ReduceMax", REDUCE, |s| reduce(s, |x, axes| x.max(axes))),
    entry("ReduceMin", REDUCE, |s| {
        reduce(s, |x, axes| -(-x).max(axes))
    }),
    entry("ReduceProd", REDUCE, |s| reduce(s, product)),
    entry("ReduceL1", REDUCE, |s| {
        reduce(s, |x, axes| x.abs().sum(axes))
    }),
    entry("ReduceL2", REDUCE, |s| {
        reduce(s, |x, axes| root(x.square().sum(axes), 2.0))
    }),
    entry("ReduceSumSquare", REDUCE, |s| {
        reduce(s, |x, axes| x.square().sum(axes))
    }),
    entry("ReduceLogSum", REDUCE, |s| {
        reduce(s, |x, axes| x.sum(axes).log())
    }),
    entry("ReduceLogSumExp", REDUCE, |s| reduce(s, log_sum_exp)),
    entry("CumSum", &["exclusive", "reverse"], cumulative_sum),
];

/// A function along axes, which vanish or stay with length 1.
fn reduce<'t>(s: &Site<'_, 't>, f: impl FnOnce(Tensor<'t>, &[isize]) -> Tensor<'t>) -> Results<'t> {
    let value = s.value(0)?;
    let shape = value.shape();
    let given = s.axes_given(1)?.unwrap_or_default();
    let axes = match given[..] {
        [] if s.flag("noop_with_empty_axes", false)? => return one(value.clone()),
        [] => (0..shape.len()).collect(),
        _ => site::axes(&given, shape.len())?,
    };
    let keeps = s.flag("keepdims", true)?;
    let all = 0..shape.len();
    let length = |a: usize| match axes.contains(&a) {
        true => keeps.then_some(1),
        false => Some(shape[a]),
    };
    let result: Vec<usize> = all.filter_map(length).collect();
    if let (Value::Known(k), Some(total)) = (value, known_total(s, value)) {
        if axes.len() == k.shape.len() {
            return one(Known::integers(vec![total?], &[]).reshape(&result));
        }
        return Err("known integers are only reduced along all axes".to_owned());
    }
    if value.element() == Element::Truth {
        return Err("takes numbers, not truth values".to_owned());
    }
    let reduced = f(value.real(s.tracer()), &signed(&axes));
    one(Value::Real(reduced.reshape(result), value.element()))
}

/// Of known integers the sum, product, largest or smallest: how shapes are computed.
fn known_total(s: &Site<'_, '_>, value: &Value<'_>) -> Option<Result<i64, String>> {
    let Value::Known(k) = value else { return None };
    let Numbers::Integers(v) = &k.numbers else {
        return None;
    };
    let total = match s.node.entry.name {
        "ReduceSum" => v.iter().try_fold(0i64, |n, &i| n.checked_add(i)),
        "ReduceProd" => v.iter().try_fold(1i64, |n, &i| n.checked_mul(i)),
        "ReduceMax" => v.iter().copied().max(),
        "ReduceMin" => v.iter().copied().min(),
        _ => return None,
    };
    Some(total.ok_or_else(|| "the result is no 64-bit integer".to_owned()))
}

/// The root of what is not negative. Its derivative at 0 is 0, as it is that of a norm in the middle of all directions.
pub(super) fn root(x: Tensor<'_>, degree: f64) -> Tensor<'_> {
    let (zero, one) = (x.fill_like(0.0), x.fill_like(1.0));
    let is_zero = x.equal(zero);
    let other = is_zero.select(one, x);
    let root = if degree == 2.0 {
        other.sqrt()
    } else {
        other.powf(1.0 / degree)
    };
    is_zero.select(zero, root)
}

/// Halves are multiplied until one entry is left along each axis.
fn product<'t>(x: Tensor<'t>, axes: &[isize]) -> Tensor<'t> {
    let mut x = x;
    for &axis in axes {
        while x.dim(axis) > 1 {
            let (n, half) = (x.dim(axis), x.dim(axis) / 2);
            let pairs = x.slice(axis, 0..half) * x.slice(axis, half..2 * half);
            x = match n % 2 {
                0 => pairs,
                _ => pairs.concat(&[x.slice(axis, n - 1..n)], axis),
            };
        }
    }
    if x.shape().contains(&0) {
        let lengths = x.shape();
        let kept = (0..lengths.len()).filter(|a| !axes.contains(&(*a as isize)));
        return x
            .tracer()
            .fill(1.0, kept.map(|a| lengths[a]).collect::<Vec<_>>());
    }
    x
}

fn log_sum_exp<'t>(x: Tensor<'t>, axes: &[isize]) -> Tensor<'t> {
    let mut kept = x.shape();
    axes.iter().for_each(|&a| kept[a as usize] = 1);
    let most = x.detach().max(axes);
    (x - most.reshape(kept)).exp().sum(axes).log() + most
}

fn cumulative_sum<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let value = s.value(0)?;
    let x = value.real(s.tracer());
    let at = match s.integers(1)?[..] {
        [a] => site::axis(a, x.shape().len())?,
        ref other => return Err(format!("{other:?} is no axis")),
    };
    let axis = at as isize;
    let from_end = s.flag("reverse", false)?;
    let turned = |x: Tensor<'t>| if from_end { x.reverse(&[axis]) } else { x };
    let x = turned(x);
    let mut sums = x.cumulative_sum(axis);
    if s.flag("exclusive", false)? {
        let n = x.dim(axis);
        sums = sums.pad(axis, 1, 0).slice(axis, 0..n);
    }
    one(Value::Real(turned(sums), value.element()))
}
