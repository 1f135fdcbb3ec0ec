//! Values of a program as tensors of a graph: with axes left out along which they only repeat, in any order.

use super::super::known::Answer;
use super::super::proto::data;
use super::nodes::{Nodes, ints};
use super::symbolic::{Length, Signature};
use quadric_autodiff::Kind;

/// A value of a program, and the tensor that holds it.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) name: String,
    pub(super) signature: Signature,
    /// Which axes of the value those of the tensor are; along the others it repeats.
    pub(super) axes: Vec<usize>,
    /// Whether the tensor holds truth values, which stand for 1 and 0.
    pub(super) is_truth: bool,
}

impl Value {
    /// The value that a tensor with all axes in their order is.
    pub(super) fn whole(name: String, signature: &Signature) -> Self {
        let axes = (0..signature.lengths.len()).collect();
        Self::with_axes(name, signature, axes)
    }

    pub(super) fn with_axes(name: String, signature: &Signature, axes: Vec<usize>) -> Self {
        Self {
            name,
            signature: signature.clone(),
            axes,
            is_truth: false,
        }
    }

    pub(super) fn rank(&self) -> usize {
        self.signature.lengths.len()
    }

    /// Whether the tensor has all axes.
    pub(super) fn is_whole(&self) -> bool {
        self.axes.len() == self.rank()
    }

    /// An order of all axes: that of the tensor, if it has all.
    pub(super) fn order(&self) -> Vec<usize> {
        match self.is_whole() {
            true => self.axes.clone(),
            false => (0..self.rank()).collect(),
        }
    }
}

/// The tensors of values, and how many examples there are.
pub(super) struct Tensors {
    pub(super) nodes: Nodes,
    /// An input whose axis counts examples.
    pub(super) examples: Option<(String, usize)>,
}

impl Tensors {
    /// The tensor as numbers.
    fn numbers(&mut self, v: &Value) -> String {
        if !v.is_truth {
            return v.name.clone();
        }
        let to = super::nodes::int("to", i64::from(self.nodes.real));
        self.nodes.add("Cast", &[&v.name], vec![to])
    }

    /// A tensor with its axes in the order of others.
    pub(super) fn transposed(&mut self, name: &str, perm: &[usize]) -> String {
        if perm.iter().copied().eq(0..perm.len()) {
            return name.to_owned();
        }
        let before = self.nodes.maker(name).filter(|n| n.op == "Transpose");
        if let Some(node) = before {
            let inner = &node.attributes[0].ints;
            let both: Vec<usize> = perm.iter().map(|&a| inner[a] as usize).collect();
            let source = node.inputs[0].clone();
            return self.transposed(&source, &both);
        }
        self.nodes
            .add("Transpose", &[name], vec![ints("perm", perm)])
    }

    /// A tensor that arithmetic repeats to axes in this order, which are those of the value or more.
    pub(super) fn aligned(&mut self, v: &Value, order: &[usize]) -> String {
        let name = self.numbers(v);
        self.aligned_as(&name, v, order)
    }

    /// [`aligned`](Self::aligned), with truth values left as they are.
    pub(super) fn aligned_truth(&mut self, v: &Value, order: &[usize]) -> String {
        match v.is_truth {
            true => self.aligned_as(&v.name.clone(), v, order),
            false => {
                let name = self.aligned(v, order);
                let to = super::nodes::int("to", i64::from(data::BOOL));
                self.nodes.add("Cast", &[&name], vec![to])
            }
        }
    }

    fn aligned_as(&mut self, name: &str, v: &Value, order: &[usize]) -> String {
        let place = |axis: usize| v.axes.iter().position(|&a| a == axis);
        let perm: Vec<usize> = order.iter().filter_map(|&a| place(a)).collect();
        let name = self.transposed(name, &perm);
        let Some(first) = order.iter().position(|&a| place(a).is_some()) else {
            return name;
        };
        let behind = &order[first..];
        let missing = (0..behind.len()).filter(|&i| place(behind[i]).is_none());
        let missing: Vec<usize> = missing.collect();
        if missing.is_empty() {
            return name;
        }
        let axes = self.nodes.list(&missing);
        self.nodes.add("Unsqueeze", &[&name, &axes], Vec::new())
    }

    /// A tensor with all axes, in an order.
    pub(super) fn ordered(&mut self, v: &Value, order: &[usize]) -> Answer<String> {
        let name = self.aligned(v, order);
        if v.is_whole() {
            return Ok(name);
        }
        let length = |&axis: &usize| match v.axes.contains(&axis) {
            true => Length::Fixed(1),
            false => v.signature.lengths[axis],
        };
        let lengths: Vec<Length> = order.iter().map(length).collect();
        let shape = self.shape(&lengths)?;
        Ok(self.nodes.add("Expand", &[&name, &shape], Vec::new()))
    }

    /// A tensor with all axes in their order.
    pub(super) fn whole(&mut self, v: &Value) -> Answer<String> {
        let order: Vec<usize> = (0..v.rank()).collect();
        self.ordered(v, &order)
    }

    /// The number of examples times a number, as a list.
    fn examples(&mut self, times: usize) -> Answer<String> {
        let Some((input, axis)) = self.examples.clone() else {
            return Err("no input says how many examples there are".to_owned());
        };
        let at = |name, place: usize| super::nodes::int(name, place as i64);
        let only = vec![at("start", axis), at("end", axis + 1)];
        let count = self.nodes.add("Shape", &[&input], only);
        if times == 1 {
            return Ok(count);
        }
        let times = self.nodes.list(&[times]);
        Ok(self.nodes.add("Mul", &[&count, &times], Vec::new()))
    }

    /// Lengths as a list.
    fn shape(&mut self, lengths: &[Length]) -> Answer<String> {
        let mut parts = Vec::new();
        let mut fixed = Vec::new();
        for length in lengths {
            match *length {
                Length::Fixed(n) => fixed.push(n),
                Length::Batch(times) => {
                    if !fixed.is_empty() {
                        parts.push(self.nodes.list(&std::mem::take(&mut fixed)));
                    }
                    parts.push(self.examples(times)?);
                }
            }
        }
        if !fixed.is_empty() || parts.is_empty() {
            parts.push(self.nodes.list(&fixed));
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Ok(match parts[..] {
            [only] => only.to_owned(),
            _ => {
                let axis = super::nodes::int("axis", 0);
                self.nodes.add("Concat", &parts, vec![axis])
            }
        })
    }

    /// A constant of one number.
    pub(super) fn number(&mut self, value: f64) -> String {
        self.nodes.reals(&[], std::iter::once(value))
    }

    /// The result of arithmetic on values of one shape.
    pub(super) fn elementwise(
        &mut self,
        op: &str,
        args: &[&Value],
        signature: &Signature,
    ) -> Value {
        let order = common_order(args);
        let names: Vec<String> = args.iter().map(|v| self.aligned(v, &order)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let name = self.nodes.add(op, &names, Vec::new());
        Value::with_axes(name, signature, order)
    }

    /// Where `mask` is not zero `a`, else `b`.
    pub(super) fn select(&mut self, args: [&Value; 3], signature: &Signature) -> Value {
        let order = common_order(&args);
        let mask = self.aligned_truth(args[0], &order);
        let [a, b] = [args[1], args[2]].map(|v| self.aligned(v, &order));
        let name = self.nodes.add("Where", &[&mask, &a, &b], Vec::new());
        Value::with_axes(name, signature, order)
    }

    /// Indices as real numbers.
    pub(super) fn real(&mut self, v: &Value, signature: &Signature) -> Value {
        debug_assert_eq!(v.signature.kind, Kind::Index);
        let to = super::nodes::int("to", i64::from(self.nodes.real));
        let name = self.nodes.add("Cast", &[&v.name], vec![to]);
        Value::with_axes(name, signature, v.axes.clone())
    }
}

/// The axes that any of some values has, in the order of the one that has most.
pub(super) fn common_order(args: &[&Value]) -> Vec<usize> {
    let most = args.iter().max_by_key(|v| v.axes.len());
    let most = most.map(|v| v.axes.clone()).unwrap_or_default();
    let mut union: Vec<usize> = args.iter().flat_map(|v| v.axes.iter().copied()).collect();
    union.sort_unstable();
    union.dedup();
    match union.len() == most.len() {
        true => most,
        false => union,
    }
}
