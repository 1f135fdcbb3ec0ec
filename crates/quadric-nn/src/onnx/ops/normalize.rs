//! Normalisation: of batches, layers, groups and images; softmax; dropout.

use super::super::known::{Answer, Element};
use super::super::site::{self, Site};
use super::super::value::{Value, signed};
use super::layout::count;
use super::reduce::root;
use super::{Entry, Results, entry, one};
use crate::Mode;
use quadric_autodiff::Tensor;

pub(super) const TABLE: &[Entry] = &[
    entry(
        "BatchNormalization",
        &["epsilon", "momentum", "spatial", "training_mode"],
        batch_norm,
    ),
    entry(
        "LayerNormalization",
        &["axis", "epsilon", "stash_type"],
        layer_norm,
    ),
    entry(
        "RMSNormalization",
        &["axis", "epsilon", "stash_type"],
        rms_norm,
    ),
    entry("InstanceNormalization", &["epsilon"], instance_norm),
    entry(
        "GroupNormalization",
        &["epsilon", "num_groups", "stash_type"],
        group_norm,
    ),
    entry("MeanVarianceNormalization", &["axes"], mean_variance),
    entry("LpNormalization", &["axis", "p"], lp_norm),
    entry("LRN", &["alpha", "beta", "bias", "size"], local_response),
    entry("Softmax", &["axis"], |s| {
        along_axis(s, |x, axis| x.softmax(axis as isize))
    }),
    entry("LogSoftmax", &["axis"], |s| {
        along_axis(s, |x, axis| x.log_softmax(axis as isize))
    }),
    entry("Dropout", &["ratio", "seed"], dropout),
];

/// A function along one axis; before opset 13 along all from one on.
pub(super) fn along_axis<'t>(
    s: &Site<'_, 't>,
    f: impl FnOnce(Tensor<'t>, usize) -> Tensor<'t>,
) -> Results<'t> {
    let x = s.floats(0)?;
    let shape = x.shape();
    let axis = site::axis(
        s.int("axis", if s.opset() < 13 { 1 } else { -1 })?,
        shape.len(),
    )?;
    if s.opset() >= 13 {
        return one(f(x, axis));
    }
    let flat = x.reshape([count(&shape[..axis]), count(&shape[axis..])]);
    one(f(flat, 1).reshape(shape))
}

/// One number per channel, for channels along the second of `rank` axes.
fn per_channel(x: Tensor<'_>, rank: usize) -> Tensor<'_> {
    let mut shape = vec![1; rank];
    shape[1] = count(&x.shape());
    x.reshape(shape)
}

/// The shape with length 1 along some axes.
fn kept(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    let length = |(a, &n)| if axes.contains(&a) { 1 } else { n };
    shape.iter().enumerate().map(length).collect()
}

/// The entries less their mean along axes, that mean, and the mean of the squares of what is left.
fn moments<'t>(x: Tensor<'t>, axes: &[usize]) -> [Tensor<'t>; 3] {
    let kept = kept(&x.shape(), axes);
    let mean = x.mean(&signed(axes)).reshape(kept.iter().copied());
    let centred = x - mean;
    let variance = centred.square().mean(&signed(axes)).reshape(kept);
    [centred, mean, variance]
}

fn channels(x: Tensor<'_>) -> Answer<usize> {
    let shape = x.shape();
    let found = shape.get(1).copied();
    found.ok_or_else(|| format!("{:?} has no channels", &shape[..]))
}

fn batch_norm<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let x = s.floats(0)?;
    let (rank, n) = (x.shape().len(), channels(x)?);
    if !s.flag("spatial", true)? {
        return Err("statistics of each entry are not supported".to_owned());
    }
    let mut pieces = Vec::new();
    for i in 1..5 {
        let piece = s.floats(i)?;
        if piece.shape()[..] != [n] {
            let shape = piece.shape();
            return Err(format!(
                "input {i} of shape {:?} does not belong to {n} channels",
                &shape[..]
            ));
        }
        pieces.push(piece);
    }
    let [scale, shift] = [pieces[0], pieces[1]].map(|p| per_channel(p, rank));
    let epsilon = s.float("epsilon", 1e-5)?;
    let result = |centred: Tensor<'t>, variance: Tensor<'t>| {
        centred * (variance + epsilon).powf(-0.5) * scale + shift
    };
    let (mean, variance) = (pieces[2], pieces[3]);
    if s.scope.mode() == Mode::Evaluate {
        let y = result(x - per_channel(mean, rank), per_channel(variance, rank));
        return Ok(vec![y.into(), mean.into(), variance.into()]);
    }
    let axes: Vec<usize> = (0..rank).filter(|&a| a != 1).collect();
    let [centred, batch_mean, batch_variance] = moments(x, &axes);
    let momentum = s.float("momentum", 0.9)?;
    let moved = |i: usize, before: Tensor<'t>, of_batch: Tensor<'t>| {
        let after = before * momentum + of_batch.detach().reshape([n]) * (1.0 - momentum);
        let id = s.node.inputs[i];
        if let Some(buffer) = s.graph.buffers.iter().find(|b| Some(b.id) == id) {
            s.scope.set_buffer(&s.graph.names[buffer.id], after);
        }
        Value::from(after)
    };
    let mean = moved(3, mean, batch_mean);
    let variance = moved(4, variance, batch_variance);
    Ok(vec![result(centred, batch_variance).into(), mean, variance])
}

/// The axes from the one that the attribute names on.
fn axes_from(s: &Site<'_, '_>, rank: usize) -> Answer<Vec<usize>> {
    Ok((site::axis(s.int("axis", -1)?, rank)?..rank).collect())
}

fn layer_norm<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let x = s.floats(0)?;
    let axes = axes_from(s, x.shape().len())?;
    let [centred, mean, variance] = moments(x, &axes);
    let scale = (variance + s.float("epsilon", 1e-5)?).powf(-0.5);
    let mut y = (centred * scale) * s.floats(1)?;
    if let Some(shift) = s.optional_floats(2)? {
        y = y + shift;
    }
    Ok(vec![y.into(), mean.into(), scale.into()])
}

fn rms_norm<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let x = s.floats(0)?;
    let axes = axes_from(s, x.shape().len())?;
    let kept = kept(&x.shape(), &axes);
    let square = x.square().mean(&signed(&axes)).reshape(kept);
    let scale = (square + s.float("epsilon", 1e-5)?).powf(-0.5);
    one(x * scale * s.floats(1)?)
}

fn instance_norm<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let x = s.floats(0)?;
    let rank = x.shape().len();
    channels(x)?;
    let axes: Vec<usize> = (2..rank).collect();
    let y = x.normalize(&signed(&axes), s.float("epsilon", 1e-5)?);
    one(y * per_channel(s.floats(1)?, rank) + per_channel(s.floats(2)?, rank))
}

fn group_norm<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let x = s.floats(0)?;
    let (shape, n) = (x.shape(), channels(x)?);
    let groups = s
        .given_int("num_groups")?
        .ok_or("attribute `num_groups` is missing")?;
    let groups = usize::try_from(groups)
        .ok()
        .filter(|&g| g > 0 && n % g == 0);
    let groups = groups.ok_or_else(|| format!("{n} channels do not divide into the groups"))?;
    let flat = x.reshape([shape[0], groups, count(&shape[1..]) / groups]);
    let y = flat.normalize(&[-1], s.float("epsilon", 1e-5)?);
    // Before opset 21 there is one factor for each group.
    let each = |i: usize| {
        let piece = s.floats(i)?;
        let given = count(&piece.shape());
        match given {
            _ if s.opset() < 21 && given == groups => {
                let wide = piece
                    .reshape([groups, 1])
                    .broadcast_to([groups, n / groups]);
                Ok(per_channel(wide.reshape([n]), shape.len()))
            }
            _ if given == n => Ok(per_channel(piece, shape.len())),
            _ => Err(format!("input {i} has {given} numbers for {n} channels")),
        }
    };
    one(y.reshape(shape.clone()) * each(1)? + each(2)?)
}

fn mean_variance<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let x = s.floats(0)?;
    let axes = site::axes(s.ints("axes")?.unwrap_or(&[0, 2, 3]), x.shape().len())?;
    let [centred, _, variance] = moments(x, &axes);
    one(centred / (variance.sqrt() + 1e-9))
}

fn lp_norm<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let x = s.floats(0)?;
    let axis = site::axis(s.int("axis", -1)?, x.shape().len())? as isize;
    let norm = match s.int("p", 2)? {
        1 => x.abs().sum(&[axis]),
        2 => root(x.square().sum(&[axis]), 2.0),
        p => return Err(format!("the norm {p} is not supported")),
    };
    let norm = norm.expand(axis);
    // All entries are 0 where the norm is.
    let is_zero = norm.equal(norm.fill_like(0.0));
    one(x / is_zero.select(norm.fill_like(1.0), norm))
}

fn local_response<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let x = s.floats(0)?;
    let n = channels(x)?;
    let size = s.given_int("size")?.ok_or("attribute `size` is missing")?;
    let size = usize::try_from(size)
        .ok()
        .filter(|&k| (1..=1024).contains(&k));
    let size = size.ok_or("the size must lie between 1 and 1024")?;
    let (alpha, beta) = (s.float("alpha", 1e-4)?, s.float("beta", 0.75)?);
    let before = (size - 1) / 2;
    let padded = x.square().pad(1, before, size - 1 - before);
    let mut sum = padded.slice(1, 0..n);
    for k in 1..size {
        sum = sum + padded.slice(1, k..k + n);
    }
    let base = sum * (alpha / size as f64) + s.float("bias", 1.0)?;
    one(x * base.powf(-beta))
}

/// Nothing, unless the network is trained; then a key says what is dropped.
fn dropout<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let ratio = match (s.given_float("ratio")?, s.optional(1)) {
        (Some(ratio), _) => ratio,
        (None, Some(_)) => s.number(1)?,
        (None, None) => 0.5,
    };
    if !(0.0..1.0).contains(&ratio) {
        return Err(format!("{ratio} of the entries cannot be dropped"));
    }
    let value = s.value(0)?.clone();
    let all = s.tracer().fill(1.0, value.shape());
    // A network that drops something asks for the key in either mode.
    let key = if ratio > 0.0 { s.scope.key() } else { None };
    if s.scope.mode() == Mode::Evaluate || ratio == 0.0 {
        return Ok(vec![value, Value::Real(all, Element::Truth)]);
    }
    let key = key.ok_or("the network is called without a key")?;
    let kept = all.dropout(ratio, key);
    let dropped = kept.equal(kept.fill_like(0.0));
    let mask = Value::Real(1.0 - dropped, Element::Truth);
    Ok(vec![(s.floats(0)? * kept).into(), mask])
}
