//! Nodes of a graph while they are collected: each once, under names that differ.

use super::super::proto::{self, attribute, data};
use prost::Message;
use std::collections::{HashMap, HashSet};

/// The nodes so far.
pub(super) struct Nodes {
    /// The type of real numbers.
    pub(super) real: i32,
    pub(super) all: Vec<proto::Node>,
    /// The results of nodes by what they compute.
    known: HashMap<Vec<u8>, String>,
    /// The nodes by their results.
    makers: HashMap<String, usize>,
    taken: HashSet<String>,
    /// How many names of each operator there are.
    counts: HashMap<String, usize>,
}

pub(super) fn int(name: &str, value: i64) -> proto::Attribute {
    proto::Attribute {
        name: name.to_owned(),
        kind: attribute::INT,
        int: value,
        ..proto::Attribute::default()
    }
}

pub(super) fn float(name: &str, value: f64) -> proto::Attribute {
    proto::Attribute {
        name: name.to_owned(),
        kind: attribute::FLOAT,
        float: value as f32,
        ..proto::Attribute::default()
    }
}

pub(super) fn ints(name: &str, values: &[usize]) -> proto::Attribute {
    proto::Attribute {
        name: name.to_owned(),
        kind: attribute::INTS,
        ints: values.iter().map(|&v| v as i64).collect(),
        ..proto::Attribute::default()
    }
}

pub(super) fn text(name: &str, value: &str) -> proto::Attribute {
    proto::Attribute {
        name: name.to_owned(),
        kind: attribute::TEXT,
        text: value.as_bytes().to_vec(),
        ..proto::Attribute::default()
    }
}

/// A tensor of real numbers of a type, [`data::FLOAT`] or [`data::DOUBLE`].
pub(super) fn reals(
    real: i32,
    name: &str,
    shape: &[usize],
    values: impl Iterator<Item = f64>,
) -> proto::Tensor {
    proto::Tensor {
        name: name.to_owned(),
        dims: shape.iter().map(|&n| n as i64).collect(),
        data_type: real,
        raw_data: match real {
            data::FLOAT => values.flat_map(|v| (v as f32).to_le_bytes()).collect(),
            _ => values.flat_map(f64::to_le_bytes).collect(),
        },
        ..proto::Tensor::default()
    }
}

fn integers(shape: &[usize], values: &[i64]) -> proto::Tensor {
    proto::Tensor {
        dims: shape.iter().map(|&n| n as i64).collect(),
        data_type: data::INT64,
        raw_data: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..proto::Tensor::default()
    }
}

impl Nodes {
    /// No nodes; names in `taken` are those of inputs, initializers and outputs.
    pub(super) fn new(real: i32, taken: HashSet<String>) -> Self {
        Self {
            real,
            all: Vec::new(),
            known: HashMap::new(),
            makers: HashMap::new(),
            taken,
            counts: HashMap::new(),
        }
    }

    fn fresh(&mut self, op: &str) -> String {
        let stem = op.to_lowercase();
        let count = self.counts.entry(stem.clone()).or_insert(0);
        loop {
            *count += 1;
            let name = format!("{stem}_{count}");
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }

    /// The result of an operator; a node that is there already is taken.
    pub(super) fn add(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<proto::Attribute>,
    ) -> String {
        let mut node = proto::Node {
            inputs: inputs.iter().map(|&n| n.to_owned()).collect(),
            op: op.to_owned(),
            attributes,
            ..proto::Node::default()
        };
        let key = node.encode_to_vec();
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let name = self.fresh(op);
        node.name.clone_from(&name);
        node.outputs = vec![name.clone()];
        self.known.insert(key, name.clone());
        self.makers.insert(name.clone(), self.all.len());
        self.all.push(node);
        name
    }

    /// A copy of a value under a name of its own.
    pub(super) fn copy(&mut self, name: &str) -> String {
        let copy = self.fresh("Identity");
        self.makers.insert(copy.clone(), self.all.len());
        self.all.push(proto::Node {
            inputs: vec![name.to_owned()],
            outputs: vec![copy.clone()],
            name: copy.clone(),
            op: "Identity".to_owned(),
            ..proto::Node::default()
        });
        copy
    }

    fn constant(&mut self, tensor: proto::Tensor) -> String {
        let value = proto::Attribute {
            name: "value".to_owned(),
            kind: attribute::TENSOR,
            tensor: Some(tensor),
            ..proto::Attribute::default()
        };
        self.add("Constant", &[], vec![value])
    }

    /// A constant of real numbers.
    pub(super) fn reals(&mut self, shape: &[usize], values: impl Iterator<Item = f64>) -> String {
        let tensor = reals(self.real, "", shape, values);
        self.constant(tensor)
    }

    /// A constant of integers.
    pub(super) fn integers(&mut self, shape: &[usize], values: &[i64]) -> String {
        self.constant(integers(shape, values))
    }

    /// A constant list of lengths or axes.
    pub(super) fn list(&mut self, values: &[usize]) -> String {
        let values: Vec<i64> = values.iter().map(|&v| v as i64).collect();
        self.integers(&[values.len()], &values)
    }

    /// The node that makes a value.
    pub(super) fn maker(&self, name: &str) -> Option<&proto::Node> {
        self.makers.get(name).map(|&i| &self.all[i])
    }

    /// The nodes that some values need, where these values get other names.
    pub(super) fn finish(self, outputs: &HashMap<String, String>) -> Vec<proto::Node> {
        let mut needed: HashSet<String> = outputs.keys().cloned().collect();
        let mut kept = Vec::new();
        for mut node in self.all.into_iter().rev() {
            if !needed.contains(&node.outputs[0]) {
                continue;
            }
            needed.extend(node.inputs.iter().cloned());
            let values = node.inputs.iter_mut().chain(&mut node.outputs);
            for name in values.chain(std::iter::once(&mut node.name)) {
                if let Some(new) = outputs.get(name) {
                    name.clone_from(new);
                }
            }
            kept.push(node);
        }
        kept.reverse();
        kept
    }
}
