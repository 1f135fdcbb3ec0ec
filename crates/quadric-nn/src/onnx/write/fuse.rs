//! Operations that the format has a name for, though the engine composes them.

use super::super::known::Answer;
use super::linear;
use super::nodes::{float, int};
use super::symbolic::{Length, Symbolic};
use super::translate::{Translation, reduce};
use super::value::Value;
use quadric_autodiff::{Operation, Step};
use quadric_linalg::elementwise::{Binary, Unary};

/// What a step computes together with those that lead to it, if there is a name for that.
pub(super) fn value(t: &mut Translation<'_, '_>, step: &Step<'_>) -> Answer<Option<Value>> {
    match step.operation {
        Operation::Select => relu(t, step),
        Operation::Gather(0) => max_pool(t, step),
        Operation::Convolution(_) => average_pool(t, step),
        Operation::Binary(Binary::Div) => match softmax(t, step)? {
            None => mean(t, step),
            found => Ok(found),
        },
        Operation::Binary(Binary::Add) => {
            for f in [batch_norm, layer_norm, with_bias] {
                if let Some(found) = f(t, step)? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

impl Symbolic<'_> {
    /// The arguments of a function of two entries that makes a value.
    fn binary(&self, value: usize, f: Binary) -> Option<[usize; 2]> {
        let step = self.maker(value)?;
        (step.operation == Operation::Binary(f)).then(|| [step.arguments[0], step.arguments[1]])
    }

    /// The value that is repeated, and the axes that it has.
    fn repeated(&self, value: usize) -> Option<(usize, &[usize])> {
        let step = self.maker(value)?;
        match step.operation {
            Operation::Broadcast(axes) => Some((step.arguments[0], axes)),
            _ => None,
        }
    }

    /// The value whose entries one has in their order, apart from axes of length 1.
    fn bare(&self, value: usize) -> usize {
        let long = |v: usize| -> Vec<Length> {
            let all = self.lengths(v).iter().copied();
            all.filter(|&l| l != Length::Fixed(1)).collect()
        };
        match self.maker(value) {
            Some(s) if s.operation == Operation::Reshape && long(value) == long(s.arguments[0]) => {
                self.bare(s.arguments[0])
            }
            _ => value,
        }
    }
}

impl Symbolic<'_> {
    /// What a reduction along one axis is repeated along this axis from: its argument, and the axis.
    fn spread(&self, value: usize, is_max: bool) -> Option<(usize, usize)> {
        let (source, kept) = self.repeated(value)?;
        let reduced = self.reduced(self.bare(source), is_max)?;
        let axis = reduced.1;
        let others = (0..self.lengths(value).len()).filter(|&a| a != axis);
        kept.iter().copied().eq(others).then_some(reduced)
    }

    /// The argument of a sum or largest entry along one axis, and the axis.
    fn reduced(&self, value: usize, is_max: bool) -> Option<(usize, usize)> {
        let step = self.maker(value)?;
        match step.operation {
            Operation::Sum(&[axis]) if !is_max => Some((step.arguments[0], axis)),
            Operation::Max(&[axis]) if is_max => Some((step.arguments[0], axis)),
            _ => None,
        }
    }

    /// The argument of a mean along the last axis.
    fn mean_of_last(&self, value: usize) -> Option<usize> {
        let [sum, count] = self.binary(self.bare(value), Binary::Div)?;
        let (x, axis) = self.reduced(sum, false)?;
        let lengths = self.lengths(x);
        let fits = axis + 1 == lengths.len()
            && matches!(lengths[axis], Length::Fixed(n) if self.filled(count) == Some(n as f64));
        fits.then_some(x)
    }

    /// The argument of an operation of one value.
    fn argument(&self, value: usize, operation: &Operation<'_>) -> Option<usize> {
        let step = self.maker(value)?;
        (step.operation == *operation).then(|| step.arguments[0])
    }
}

/// `exp(x - max x)` divided by the sum, along one axis.
fn find_softmax(p: &Symbolic<'_>, [exponentials, sums]: [usize; 2]) -> Option<(usize, usize)> {
    let (terms, axis) = p.spread(sums, false)?;
    let shifted = p.argument(exponentials, &Operation::Unary(Unary::Exp))?;
    let [x, most] = p.binary(shifted, Binary::Sub)?;
    let (seen, along) = p.spread(most, true)?;
    let seen = p.argument(seen, &Operation::Detach).unwrap_or(seen);
    (terms == exponentials && seen == x && along == axis).then_some((x, axis))
}

fn softmax(t: &mut Translation<'_, '_>, step: &Step<'_>) -> Answer<Option<Value>> {
    let args = [step.arguments[0], step.arguments[1]];
    let Some((x, axis)) = find_softmax(t.program, args) else {
        return Ok(None);
    };
    let (x, signature) = (t.value(x)?, t.signature(step.results[0]).clone());
    let order = x.order();
    let place = order.iter().position(|&a| a == axis).unwrap_or(axis);
    let x = t.tensors.ordered(&x, &order)?;
    let at = vec![int("axis", place as i64)];
    let name = t.tensors.nodes.add("Softmax", &[&x], at);
    Ok(Some(Value::with_axes(name, &signature, order)))
}

/// What the entries less their mean, divided by the root of their variance, all along the last axis, are computed from: the
/// values, scale, shift, and what is added to the variance.
fn find_layer_norm(p: &Symbolic<'_>, result: usize) -> Option<([usize; 3], f64)> {
    let last = p.lengths(result).len().checked_sub(1)?;
    let along = |v: usize| {
        let (source, axes) = p.repeated(v)?;
        (*axes == [last]).then_some(source)
    };
    let of_others = |v: usize| {
        let (source, axes) = p.repeated(v)?;
        axes.iter().copied().eq(0..last).then(|| p.bare(source))
    };
    let factor = |v: usize| {
        let power = Operation::Unary(Unary::power(-0.5));
        let inner = p.argument(of_others(v)?, &power)?;
        let (variance, epsilon) = split(p, inner, Binary::Add, |v| p.filled(v))?;
        Some((p.mean_of_last(variance)?, epsilon))
    };
    let (scaled, shift) = split(p, result, Binary::Add, along)?;
    let (normal, scale) = split(p, scaled, Binary::Mul, along)?;
    let (centred, (squares, epsilon)) = split(p, normal, Binary::Mul, factor)?;
    let [x, mean] = p.binary(centred, Binary::Sub)?;
    let fits = p.binary(squares, Binary::Mul) == Some([centred; 2])
        && p.mean_of_last(of_others(mean)?) == Some(x);
    fits.then_some(([x, scale, shift], epsilon))
}

fn layer_norm(t: &mut Translation<'_, '_>, step: &Step<'_>) -> Answer<Option<Value>> {
    let Some((values, epsilon)) = find_layer_norm(t.program, step.results[0]) else {
        return Ok(None);
    };
    let mut names = Vec::new();
    for v in values {
        let value = t.value(v)?;
        names.push(t.tensors.whole(&value)?);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let signature = t.signature(step.results[0]).clone();
    let attributes = vec![int("axis", -1), float("epsilon", epsilon)];
    let name = t
        .tensors
        .nodes
        .add("LayerNormalization", &names, attributes);
    Ok(Some(Value::whole(name, &signature)))
}

/// `x <= 0` chooses 0, else x.
fn relu(t: &mut Translation<'_, '_>, step: &Step<'_>) -> Answer<Option<Value>> {
    let (p, [mask, zero, x]) = (t.program, [0, 1, 2].map(|i| step.arguments[i]));
    let is_zero = |v: usize| p.filled(v) == Some(0.0);
    let fits = p
        .binary(mask, Binary::LessEqual)
        .is_some_and(|[a, b]| a == x && is_zero(b));
    if !fits || !is_zero(zero) {
        return Ok(None);
    }
    let (x, signature) = (t.value(x)?, t.signature(step.results[0]).clone());
    Ok(Some(t.tensors.elementwise("Relu", &[&x], &signature)))
}

/// Entries at the positions of the largest of each window.
fn max_pool(t: &mut Translation<'_, '_>, step: &Step<'_>) -> Answer<Option<Value>> {
    let (p, [flat, at]) = (t.program, [0, 1].map(|i| step.arguments[i]));
    let Some(windows) = p.maker(at) else {
        return Ok(None);
    };
    let Operation::WindowArgmax(g) = windows.operation else {
        return Ok(None);
    };
    let source = |v: usize, operation: &Operation<'_>| {
        let step = p.maker(v)?;
        (step.operation == *operation).then(|| step.arguments[0])
    };
    let detached = windows.arguments[0];
    let image = source(detached, &Operation::Detach).unwrap_or(detached);
    if source(flat, &Operation::Reshape) != Some(image) {
        return Ok(None);
    }
    let (x, signature) = (t.value(image)?, t.signature(step.results[0]).clone());
    linear::max_pool(t.tensors, &g, &x, &signature).map(Some)
}

/// A convolution of each channel with equal weights that sum to 1.
fn average_pool(t: &mut Translation<'_, '_>, step: &Step<'_>) -> Answer<Option<Value>> {
    let (p, [x, kernel]) = (t.program, [0, 1].map(|i| step.arguments[i]));
    let Operation::Convolution(g) = step.operation else {
        return Ok(None);
    };
    let size = (g.kernel[0] * g.kernel[1]) as f64;
    let channels = [Length::Fixed(1), Length::Fixed(g.groups)];
    let fits = p.filled(kernel) == Some(1.0 / size)
        && p.lengths(kernel).len() == 4
        && p.lengths(kernel)[2..] == channels
        && g.dilation == [1, 1];
    // A window that lies in the padding has no mean in this format.
    let narrow = g
        .padding
        .iter()
        .all(|pad| (0..2).all(|i| pad[i] < g.kernel[i]));
    if !fits || !narrow {
        return Ok(None);
    }
    let (x, signature) = (t.value(x)?, t.signature(step.results[0]).clone());
    linear::average_pool(t.tensors, &g, &x, &signature).map(Some)
}

/// A sum divided by the number of its terms.
fn mean(t: &mut Translation<'_, '_>, step: &Step<'_>) -> Answer<Option<Value>> {
    let (p, [sum, count]) = (t.program, [0, 1].map(|i| step.arguments[i]));
    let (Some(maker), Some(count)) = (p.maker(sum), p.filled(count)) else {
        return Ok(None);
    };
    let Operation::Sum(axes) = maker.operation else {
        return Ok(None);
    };
    let lengths = p.lengths(maker.arguments[0]);
    let length = |&a: &usize| match lengths[a] {
        Length::Fixed(n) => Some(n as f64),
        Length::Batch(_) => None,
    };
    let terms: Option<f64> = axes.iter().map(length).product();
    if terms != Some(count) || axes.is_empty() {
        return Ok(None);
    }
    let (x, signature) = (t.value(maker.arguments[0])?, t.signature(sum).clone());
    reduce(t.tensors, "ReduceMean", &x, axes, &signature).map(Some)
}

/// A product of matrices or a convolution, and a bias of its last axis.
fn with_bias(t: &mut Translation<'_, '_>, step: &Step<'_>) -> Answer<Option<Value>> {
    let p = t.program;
    let [a, b] = [0, 1].map(|i| step.arguments[i]);
    for (product, bias) in [(a, b), (b, a)] {
        let (Some(maker), Some((_, axes))) = (p.maker(product), p.repeated(bias)) else {
            continue;
        };
        let rank = p.lengths(product).len();
        if *axes != [rank - 1] {
            continue;
        }
        let signature = t.signature(step.results[0]).clone();
        match maker.operation {
            Operation::MatMul if rank == 2 => {
                let args = [maker.arguments[0], maker.arguments[1], bias];
                let [x, w, bias] = [t.value(args[0])?, t.value(args[1])?, t.value(args[2])?];
                if bias.axes != [1] {
                    continue;
                }
                return linear::gemm(t.tensors, [&x, &w, &bias], &signature).map(Some);
            }
            Operation::Convolution(g) if rank == 4 => {
                let args = [maker.arguments[0], maker.arguments[1], bias];
                let [x, kernel, bias] = [t.value(args[0])?, t.value(args[1])?, t.value(args[2])?];
                if bias.axes != [3] {
                    continue;
                }
                let args = [&x, &kernel];
                let found = linear::convolution(t.tensors, &g, args, Some(&bias), &signature);
                return found.map(Some);
            }
            _ => {}
        }
    }
    Ok(None)
}

/// What a batch normalisation by running statistics reads.
struct BatchNorm {
    x: usize,
    /// Scale, shift, mean and variance.
    pieces: [usize; 4],
    epsilon: f64,
    channel: usize,
}

/// The arguments of a sum or product that makes a value: the other one, and one for which `found` is something, with that.
fn split<F>(
    p: &Symbolic<'_>,
    value: usize,
    f: Binary,
    found: impl Fn(usize) -> Option<F>,
) -> Option<(usize, F)> {
    let [a, b] = p.binary(value, f)?;
    found(b)
        .map(|f| (a, f))
        .or_else(|| found(a).map(|f| (b, f)))
}

/// `(x - mean) (variance + ε)^(-1/2) scale + shift`, each of them along one axis.
fn find_batch_norm(p: &Symbolic<'_>, result: usize) -> Option<BatchNorm> {
    let along = |v: usize| {
        let (source, axes) = p.repeated(v)?;
        let [channel] = axes else { return None };
        Some((p.bare(source), *channel))
    };
    let factor = |v: usize| {
        let (factor, channel) = along(v)?;
        let power = p.maker(factor)?;
        let is_root = power.operation == Operation::Unary(Unary::power(-0.5));
        let (variance, epsilon) = split(p, power.arguments[0], Binary::Add, |v| p.filled(v))?;
        is_root.then(|| (p.bare(variance), epsilon, channel))
    };
    let (scaled, shift) = split(p, result, Binary::Add, along)?;
    let (normal, scale) = split(p, scaled, Binary::Mul, along)?;
    let (centred, (variance, epsilon, channel)) = split(p, normal, Binary::Mul, factor)?;
    let [x, mean] = p.binary(centred, Binary::Sub)?;
    let pieces = [scale, shift, along(mean)?];
    let fits = channel > 0 && pieces.iter().all(|piece| piece.1 == channel);
    let [scale, shift, mean] = pieces.map(|piece| piece.0);
    fits.then_some(BatchNorm {
        x,
        pieces: [scale, shift, mean, variance],
        epsilon,
        channel,
    })
}

fn batch_norm(t: &mut Translation<'_, '_>, step: &Step<'_>) -> Answer<Option<Value>> {
    let Some(found) = find_batch_norm(t.program, step.results[0]) else {
        return Ok(None);
    };
    let mut names = Vec::new();
    for piece in found.pieces {
        let piece = t.value(piece)?;
        names.push(t.tensors.whole(&piece)?);
    }
    // Others are trained, and no statistics.
    if !names[2..].iter().all(|n| t.buffers.contains(n)) {
        return Ok(None);
    }
    let x = t.value(found.x)?;
    let signature = t.signature(step.results[0]).clone();
    let mut order = x.order();
    let place = order.iter().position(|&a| a == found.channel);
    if let Some(place) = place.filter(|&p| p != 1) {
        order.remove(place);
        order.insert(1, found.channel);
    }
    let x = t.tensors.ordered(&x, &order)?;
    let inputs = [&x[..], &names[0], &names[1], &names[2], &names[3]];
    let epsilon = vec![float("epsilon", found.epsilon)];
    let name = t.tensors.nodes.add("BatchNormalization", &inputs, epsilon);
    Ok(Some(Value::with_axes(name, &signature, order)))
}
