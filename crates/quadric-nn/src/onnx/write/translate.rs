//! Every operation of a program as nodes.

use super::super::known::Answer;
use super::nodes::{int, ints};
use super::symbolic::{Length, Signature, Symbolic};
use super::value::{Tensors, Value};
use super::{arrange, fuse, linear};
use quadric_autodiff::{Operation, Step};
use quadric_linalg::elementwise::{Binary, Unary};
use std::collections::HashSet;

/// Equations that may be written for all steps of all scans together.
const LARGEST: usize = 1 << 20;

/// A program while it is translated.
pub(super) struct Translation<'a, 'p> {
    pub(super) tensors: &'a mut Tensors,
    pub(super) program: &'a Symbolic<'p>,
    /// The values that are there already.
    pub(super) values: Vec<Option<Value>>,
    /// Tensors that are running statistics or the like.
    pub(super) buffers: &'a HashSet<String>,
    /// Equations that may still be written.
    pub(super) left: &'a mut usize,
}

/// The outputs of a program for some inputs.
///
/// # Errors
///
/// If it computes what has no counterpart.
pub(super) fn program(
    tensors: &mut Tensors,
    buffers: &HashSet<String>,
    program: &Symbolic<'_>,
    inputs: Vec<Value>,
) -> Answer<Vec<Value>> {
    let mut left = LARGEST;
    run(tensors, buffers, &mut left, program, inputs)
}

fn run(
    tensors: &mut Tensors,
    buffers: &HashSet<String>,
    left: &mut usize,
    program: &Symbolic<'_>,
    inputs: Vec<Value>,
) -> Answer<Vec<Value>> {
    let mut values = vec![None; program.signatures.len()];
    for (&v, value) in program.inputs.iter().zip(inputs) {
        values[v] = Some(value);
    }
    let mut t = Translation {
        tensors,
        program,
        values,
        buffers,
        left,
    };
    for (number, step) in program.steps.iter().enumerate() {
        *t.left = t.left.checked_sub(1).ok_or_else(|| {
            format!("the steps of its scans are more than {LARGEST} operations together")
        })?;
        if let Operation::WindowArgmax(_) = step.operation {
            // What reads the positions takes the largest entries at once.
            continue;
        }
        let results = t.step(number, step);
        let results = results.map_err(|e| format!("`{}`: {e}", step.name))?;
        for (&v, value) in step.results.iter().zip(results) {
            t.values[v] = Some(value);
        }
    }
    program.outputs.iter().map(|&v| t.value(v)).collect()
}

impl Translation<'_, '_> {
    /// A value that has been made.
    pub(super) fn value(&self, v: usize) -> Answer<Value> {
        let found = self.values[v].clone();
        found.ok_or_else(|| {
            "positions of largest entries can only be written where these are taken".to_owned()
        })
    }

    pub(super) fn signature(&self, v: usize) -> &Signature {
        &self.program.signatures[v]
    }

    fn step(&mut self, number: usize, step: &Step<'_>) -> Answer<Vec<Value>> {
        if let Operation::Scan { .. } = step.operation {
            return self.scan(number, step);
        }
        let result = step.results[0];
        let signature = self.signature(result).clone();
        if let Some(fused) = fuse::value(self, step)? {
            return Ok(vec![fused]);
        }
        let args: Answer<Vec<Value>> = step.arguments.iter().map(|&v| self.value(v)).collect();
        let args = args?;
        let tensors = &mut *self.tensors;
        let value = match &step.operation {
            Operation::Fill(_) | Operation::Floats(_) | Operation::Indices(_) | Operation::Iota => {
                constant(tensors, &step.operation, &signature)?
            }
            Operation::Unary(f) => unary(tensors, *f, &args[0], &signature),
            Operation::Binary(f) => binary(tensors, *f, [&args[0], &args[1]], &signature),
            Operation::Select => tensors.select([&args[0], &args[1], &args[2]], &signature),
            Operation::Real => tensors.real(&args[0], &signature),
            Operation::Detach => args[0].clone(),
            Operation::Broadcast(_)
            | Operation::Reshape
            | Operation::Permute(_)
            | Operation::Slice { .. }
            | Operation::Pad { .. }
            | Operation::Concat(_)
            | Operation::Reverse(_) => arrange::value(tensors, &step.operation, &args, &signature)?,
            Operation::Sum(axes) => reduce(tensors, "ReduceSum", &args[0], axes, &signature)?,
            Operation::Max(axes) => reduce(tensors, "ReduceMax", &args[0], axes, &signature)?,
            Operation::CumulativeSum { axis, from_end } => {
                cumulative_sum(tensors, &args[0], *axis, *from_end, &signature)?
            }
            Operation::MatMul => linear::matmul(tensors, &args[0], &args[1], &signature)?,
            Operation::Convolution(g) => {
                linear::convolution(tensors, g, [&args[0], &args[1]], None, &signature)?
            }
            Operation::Gather(0) => {
                let [table, indices] = [tensors.whole(&args[0])?, tensors.whole(&args[1])?];
                let name = tensors.nodes.add("Gather", &[&table, &indices], vec![]);
                Value::whole(name, &signature)
            }
            Operation::ScatterAdd(0) => {
                linear::scatter_add(tensors, [&args[0], &args[1]], &signature)?
            }
            Operation::Gather(_) | Operation::ScatterAdd(_) => {
                return Err("rows of several tables at once have no counterpart".to_owned());
            }
            Operation::ConvolutionAdjoint | Operation::Random(_) => {
                return Err("it has no counterpart that is written".to_owned());
            }
            Operation::WindowArgmax(_) | Operation::Scan { .. } => {
                unreachable!("translated elsewhere")
            }
        };
        Ok(vec![value])
    }

    /// The steps of a scan, one after another.
    fn scan(&mut self, number: usize, step: &Step<'_>) -> Answer<Vec<Value>> {
        let Operation::Scan {
            length,
            consts,
            carries,
            sums,
            from_end,
            ..
        } = step.operation
        else {
            unreachable!("only scans come here")
        };
        if length == 0 {
            return Err("it has no steps".to_owned());
        }
        let body = &self.program.bodies[&number];
        let args: Answer<Vec<Value>> = step.arguments.iter().map(|&v| self.value(v)).collect();
        let args = args?;
        let (consts, rest) = args.split_at(consts);
        let (start, sliced) = rest.split_at(carries);
        let mut carried = start.to_vec();
        let mut summed: Vec<Option<Value>> = vec![None; sums];
        let stacks = step.results.len() - carries - sums;
        let mut stacked: Vec<Vec<String>> = vec![Vec::new(); stacks];
        for i in 0..length {
            let at = if from_end { length - 1 - i } else { i };
            let mut inputs = consts.to_vec();
            inputs.append(&mut carried);
            for x in sliced {
                inputs.push(part(self.tensors, x, at)?);
            }
            let outputs = run(self.tensors, self.buffers, self.left, body, inputs)?;
            let (next, rest) = outputs.split_at(carries);
            let (terms, parts) = rest.split_at(sums);
            carried = next.to_vec();
            for (sum, term) in summed.iter_mut().zip(terms) {
                let added = |s: Value| {
                    let signature = s.signature.clone();
                    self.tensors.elementwise("Add", &[&s, term], &signature)
                };
                *sum = Some(sum.take().map_or_else(|| term.clone(), added));
            }
            for (stack, part) in stacked.iter_mut().zip(parts) {
                stack.push(stacked_part(self.tensors, part)?);
            }
        }
        for sum in summed {
            carried.extend(sum);
        }
        for (mut names, &v) in stacked.into_iter().zip(&step.results[carries + sums..]) {
            if from_end {
                names.reverse();
            }
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let along = vec![int("axis", 0)];
            let name = self.tensors.nodes.add("Concat", &names, along);
            carried.push(Value::whole(name, self.signature(v)));
        }
        Ok(carried)
    }
}

/// A tensor with one more axis in front.
fn stacked_part(tensors: &mut Tensors, part: &Value) -> Answer<String> {
    let name = tensors.whole(part)?;
    let axes = tensors.nodes.list(&[0]);
    Ok(tensors.nodes.add("Unsqueeze", &[&name, &axes], vec![]))
}

/// One slice along the first axis.
fn part(tensors: &mut Tensors, x: &Value, at: usize) -> Answer<Value> {
    let signature = Signature {
        kind: x.signature.kind,
        lengths: x.signature.lengths[1..].to_vec(),
    };
    let whole = tensors.whole(x)?;
    let at = tensors.nodes.integers(&[], &[at as i64]);
    let name = tensors.nodes.add("Gather", &[&whole, &at], vec![]);
    Ok(Value::whole(name, &signature))
}

/// Lengths that are the same for any number of examples.
pub(super) fn fixed(lengths: &[Length]) -> Answer<Vec<usize>> {
    let fixed = |l: &Length| match l {
        Length::Fixed(n) => Ok(*n),
        Length::Batch(_) => Err("an axis grows with the number of examples".to_owned()),
    };
    lengths.iter().map(fixed).collect()
}

/// A value that is known.
fn constant(
    tensors: &mut Tensors,
    operation: &Operation<'_>,
    signature: &Signature,
) -> Answer<Value> {
    Ok(match operation {
        Operation::Fill(bits) => {
            let name = tensors.number(f64::from_bits(*bits));
            Value::with_axes(name, signature, Vec::new())
        }
        Operation::Floats(bits) => {
            let shape = fixed(&signature.lengths)?;
            let values = bits.iter().map(|&b| f64::from_bits(b));
            Value::whole(tensors.nodes.reals(&shape, values), signature)
        }
        Operation::Indices(values) => {
            let shape = fixed(&signature.lengths)?;
            let values: Vec<i64> = values.iter().map(|&v| i64::from(v)).collect();
            Value::whole(tensors.nodes.integers(&shape, &values), signature)
        }
        Operation::Iota => iota(tensors, signature)?,
        _ => unreachable!("only constants come here"),
    })
}

fn iota(tensors: &mut Tensors, signature: &Signature) -> Answer<Value> {
    let Some(axis) = signature.lengths.len().checked_sub(1) else {
        let name = tensors.nodes.integers(&[], &[0]);
        return Ok(Value::whole(name, signature));
    };
    let n = fixed(&signature.lengths[axis..])?[0];
    let positions: Vec<i64> = (0..n as i64).collect();
    let name = tensors.nodes.integers(&[n], &positions);
    Ok(Value::with_axes(name, signature, vec![axis]))
}

fn unary(tensors: &mut Tensors, f: Unary, x: &Value, signature: &Signature) -> Value {
    let with = |tensors: &mut Tensors, op: &str, before: bool, c: f64| {
        let c = Value::with_axes(tensors.number(c), signature, Vec::new());
        let args = if before { [&c, x] } else { [x, &c] };
        tensors.elementwise(op, &args, signature)
    };
    let op = match f {
        Unary::Neg => "Neg",
        Unary::Abs => "Abs",
        Unary::Sign => "Sign",
        Unary::Floor => "Floor",
        Unary::Exp => "Exp",
        Unary::Log => "Log",
        Unary::Sqrt => "Sqrt",
        Unary::Sin => "Sin",
        Unary::Cos => "Cos",
        Unary::Atan => "Atan",
        Unary::Tanh => "Tanh",
        Unary::Sigmoid => "Sigmoid",
        Unary::Softplus => "Softplus",
        Unary::Erf => "Erf",
        Unary::Log1p => {
            let sum = with(tensors, "Add", true, 1.0);
            return tensors.elementwise("Log", &[&sum], signature);
        }
        Unary::Power(bits) => match f64::from_bits(bits) {
            -1.0 => "Reciprocal",
            0.5 => "Sqrt",
            exponent => return with(tensors, "Pow", false, exponent),
        },
    };
    tensors.elementwise(op, &[x], signature)
}

fn binary(tensors: &mut Tensors, f: Binary, args: [&Value; 2], signature: &Signature) -> Value {
    let (op, is_truth) = match f {
        Binary::Add => ("Add", false),
        Binary::Sub => ("Sub", false),
        Binary::Mul => ("Mul", false),
        Binary::Div => ("Div", false),
        Binary::Max => ("Max", false),
        Binary::Min => ("Min", false),
        Binary::Equal => ("Equal", true),
        Binary::Less => ("Less", true),
        Binary::LessEqual => ("LessOrEqual", true),
    };
    let value = tensors.elementwise(op, &args, signature);
    Value { is_truth, ..value }
}

/// A reduction along some axes, which vanish.
pub(super) fn reduce(
    tensors: &mut Tensors,
    op: &str,
    x: &Value,
    axes: &[usize],
    signature: &Signature,
) -> Answer<Value> {
    if axes.is_empty() {
        return Ok(x.clone());
    }
    let order = x.order();
    let name = tensors.ordered(x, &order)?;
    let along: Vec<usize> = (0..order.len())
        .filter(|&i| axes.contains(&order[i]))
        .collect();
    let kept = order.iter().filter(|a| !axes.contains(a));
    let kept = kept.map(|&a| a - axes.iter().filter(|&&b| b < a).count());
    let kept: Vec<usize> = kept.collect();
    let drop_axes = int("keepdims", 0);
    let name = if op == "ReduceSum" {
        let along = tensors.nodes.list(&along);
        tensors.nodes.add(op, &[&name, &along], vec![drop_axes])
    } else {
        let attributes = vec![ints("axes", &along), drop_axes];
        tensors.nodes.add(op, &[&name], attributes)
    };
    Ok(Value::with_axes(name, signature, kept))
}

fn cumulative_sum(
    tensors: &mut Tensors,
    x: &Value,
    axis: usize,
    from_end: bool,
    signature: &Signature,
) -> Answer<Value> {
    let order = x.order();
    let name = tensors.ordered(x, &order)?;
    let place = order.iter().position(|&a| a == axis).unwrap_or(axis);
    let place = tensors.nodes.integers(&[], &[place as i64]);
    let reverse = int("reverse", i64::from(from_end));
    let name = tensors.nodes.add("CumSum", &[&name, &place], vec![reverse]);
    Ok(Value::with_axes(name, signature, order))
}
