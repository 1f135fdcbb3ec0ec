//! A graph in our own terms: nodes in an order in which they can be computed, and what is known before the first of them.

use super::Options;
use super::attribute::Attribute;
use super::inline;
use super::known::{Element, Known, Numbers};
use super::ops::{self, Entry};
use super::ports::{self, Input};
use super::proto;
use super::roles;
use super::tensors::{self, Directory};
use quadric_core::Role;
use quadric_linalg::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Versions of the operators that are understood. Until the last, later ones only admit more types.
pub(super) const OPSETS: RangeInclusive<i64> = 11..=28;

/// The number of a value.
pub(super) type Id = usize;

/// An operation.
pub(super) struct Node {
    /// Its name, or its number, with its operator.
    pub(super) label: String,
    pub(super) entry: &'static Entry,
    pub(super) inputs: Vec<Option<Id>>,
    pub(super) outputs: Vec<Option<Id>>,
    pub(super) attributes: BTreeMap<String, Attribute>,
}

/// A trained array, or a buffer.
pub(super) struct Piece {
    pub(super) id: Id,
    pub(super) shape: Vec<usize>,
    pub(super) values: Arc<[f64]>,
    pub(super) role: Role,
}

/// What a model computes.
pub(super) struct Graph {
    pub(super) opset: i64,
    /// Names of the values.
    pub(super) names: Vec<String>,
    pub(super) nodes: Vec<Node>,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<Id>,
    pub(super) constants: Vec<(Id, Arc<Known>)>,
    pub(super) parameters: Vec<Piece>,
    pub(super) buffers: Vec<Piece>,
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Malformed, message)
}

/// How a node is called in messages.
pub(super) fn label(index: usize, node: &proto::Node) -> String {
    if node.name.is_empty() {
        format!("node #{index} ({})", node.op)
    } else {
        format!("node `{}` ({})", node.name, node.op)
    }
}

/// The version of the standard operators.
fn opset(model: &proto::Model) -> Result<i64> {
    let standard = |o: &&proto::Opset| is_standard(&o.domain);
    let found = model
        .opsets
        .iter()
        .filter(standard)
        .map(|o| o.version)
        .max();
    let version = found.ok_or_else(|| malformed("it does not say which opset it uses"))?;
    if !OPSETS.contains(&version) {
        let (first, last) = (OPSETS.start(), OPSETS.end());
        let text = format!("it uses opset {version}; supported are {first} to {last}");
        return Err(Error::new(ErrorKind::Data, text));
    }
    Ok(version)
}

pub(super) fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// Values by name, while a graph is read.
#[derive(Default)]
struct Names {
    ids: HashMap<String, Id>,
    names: Vec<String>,
}

impl Names {
    fn define(&mut self, name: &str) -> Result<Id> {
        if name.is_empty() {
            return Err(malformed("a value has no name"));
        }
        let id = self.names.len();
        if self.ids.insert(name.to_owned(), id).is_some() {
            return Err(malformed(format!("the value `{name}` is made twice")));
        }
        self.names.push(name.to_owned());
        Ok(id)
    }
}

/// The nodes that the outputs need, by number in the file.
fn needed(nodes: &[proto::Node], outputs: &[proto::ValueInfo]) -> Vec<usize> {
    let makes = |(i, n)| {
        let node: &proto::Node = n;
        node.outputs.iter().map(move |o| (o.as_str(), i))
    };
    let makers: HashMap<&str, usize> = nodes.iter().enumerate().flat_map(makes).collect();
    let mut kept = vec![false; nodes.len()];
    let mut open: Vec<&str> = outputs.iter().map(|o| o.name.as_str()).collect();
    while let Some(name) = open.pop() {
        if let Some(&i) = makers.get(name)
            && !kept[i]
        {
            kept[i] = true;
            open.extend(nodes[i].inputs.iter().map(String::as_str));
        }
    }
    (0..kept.len()).filter(|&i| kept[i]).collect()
}

/// Refuses, all at once, nodes that nothing here computes.
fn check_supported(nodes: &[proto::Node], kept: &[usize]) -> Result<()> {
    let mut wrong = Vec::new();
    for &i in kept {
        let node = &nodes[i];
        let entry = ops::find(&node.op);
        if !is_standard(&node.domain) {
            wrong.push(format!(
                "{} of the domain `{}`",
                label(i, node),
                node.domain
            ));
        } else if let Some(entry) = entry {
            let unknown = |a: &&proto::Attribute| !entry.attributes.contains(&a.name.as_str());
            let unknown = node.attributes.iter().filter(unknown);
            wrong.extend(
                unknown.map(|a| format!("{} with the attribute `{}`", label(i, node), a.name)),
            );
        } else if matches!(node.op.as_str(), "If" | "Loop" | "Scan") {
            wrong.push(format!("{}, which is control flow", label(i, node)));
        } else {
            wrong.push(label(i, node));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let text = format!("operations that are not supported: {}", wrong.join("; "));
    Err(Error::new(ErrorKind::Data, text))
}

/// The nodes, with what they read found among `names`.
fn nodes(
    nodes: &[proto::Node],
    kept: &[usize],
    names: &mut Names,
    directory: &Directory,
) -> Result<Vec<Node>> {
    let makes = |&i: &usize| nodes[i].outputs.iter().map(move |o| (o.as_str(), i));
    let makers: HashMap<&str, usize> = kept.iter().flat_map(makes).collect();
    let mut own = Vec::new();
    for &i in kept {
        let node = &nodes[i];
        let label = label(i, node);
        let find = |name: &String| {
            if name.is_empty() {
                return Ok(None);
            }
            let found = names.ids.get(name).copied();
            found.map(Some).ok_or_else(|| {
                malformed(match makers.get(name.as_str()) {
                    Some(&j) => format!(
                        "{label} reads `{name}`, which only {} makes later: there is a cycle, or the nodes are not in order",
                        self::label(j, &nodes[j])
                    ),
                    None => format!("{label} reads `{name}`, which no node, input or initializer makes"),
                })
            })
        };
        let inputs: Result<Vec<_>> = node.inputs.iter().map(find).collect();
        let inputs = inputs?;
        let define = |name: &String| match name.as_str() {
            "" => Ok(None),
            name => names.define(name).map(Some),
        };
        let outputs: Result<Vec<_>> = node.outputs.iter().map(define).collect();
        let mut attributes = BTreeMap::new();
        for a in &node.attributes {
            let value = Attribute::read(a, directory).map_err(|e| e.context(&label))?;
            if attributes.insert(a.name.clone(), value).is_some() {
                let text = format!("{label}: the attribute `{}` is given twice", a.name);
                return Err(malformed(text));
            }
        }
        own.push(Node {
            outputs: outputs.map_err(|e| e.context(&label))?,
            entry: ops::find(&node.op).expect("checked before"),
            label,
            inputs,
            attributes,
        });
    }
    Ok(own)
}

impl Graph {
    /// # Errors
    ///
    /// If the model violates the format or needs what is not supported.
    pub(super) fn new(
        model: &proto::Model,
        directory: &Directory,
        options: &Options,
    ) -> Result<Self> {
        let Some(graph) = &model.graph else {
            return Err(malformed("there is no graph in it"));
        };
        let opset = opset(model)?;
        let inlined = match model.functions.is_empty() {
            true => None,
            false => Some(inline::nodes(model, graph, opset)?),
        };
        let written = inlined.as_deref().unwrap_or(&graph.nodes);
        if !graph.sparse_initializers.is_empty() {
            return Err(Error::new(
                ErrorKind::Data,
                "sparse initializers are not supported",
            ));
        }
        if graph.outputs.is_empty() {
            return Err(malformed("the graph has no outputs"));
        }
        let kept = needed(written, &graph.outputs);
        check_supported(written, &kept)?;
        let mut names = Names::default();
        let mut initial = Vec::new();
        for tensor in &graph.initializers {
            initial.push((names.define(&tensor.name)?, tensor));
        }
        // Old files name initializers as inputs, too.
        let is_input = |i: &&proto::ValueInfo| !names.ids.contains_key(&i.name);
        let inputs: Vec<&proto::ValueInfo> = graph.inputs.iter().filter(is_input).collect();
        let inputs = ports::inputs(&inputs, options, |name| names.define(name))?;
        let nodes = nodes(written, &kept, &mut names, directory)?;
        let mut outputs = Vec::new();
        for output in &graph.outputs {
            let found = names.ids.get(&output.name).copied();
            let missing = || malformed(format!("nothing makes the output `{}`", output.name));
            outputs.push(found.ok_or_else(missing)?);
        }
        let mut graph = Self {
            opset,
            names: names.names,
            nodes,
            inputs,
            outputs,
            constants: Vec::new(),
            parameters: Vec::new(),
            buffers: Vec::new(),
        };
        graph.sort_initial(initial, directory, options)?;
        Ok(graph)
    }

    /// Whether a node or the outputs need a value.
    pub(super) fn reads(&self, id: Id) -> bool {
        self.outputs.contains(&id) || self.nodes.iter().any(|n| n.inputs.contains(&Some(id)))
    }

    /// Statistics that several layers read through copies of one initializer are buffers of their own.
    fn split_statistics(&mut self, uses: &[roles::Usage], initial: &mut Vec<(Id, &proto::Tensor)>) {
        let mut copies = Vec::new();
        self.nodes.retain(|node| {
            let (Some(&Some(from)), Some(&Some(to))) = (node.inputs.first(), node.outputs.first())
            else {
                return true;
            };
            let found = initial.iter().find(|(id, _)| *id == from);
            match found {
                Some((_, tensor)) if node.entry.name == "Identity" && uses[to].statistics => {
                    copies.push((to, *tensor));
                    false
                }
                _ => true,
            }
        });
        initial.extend(copies);
    }

    /// Reads the initializers, and tells parameters and buffers from constants.
    fn sort_initial(
        &mut self,
        mut initial: Vec<(Id, &proto::Tensor)>,
        directory: &Directory,
        options: &Options,
    ) -> Result<()> {
        let known = |name: &&String| initial.iter().any(|(_, t)| t.name == **name);
        if let Some(name) = options.constants.iter().find(|name| !known(name)) {
            let expected = "the name of an initializer";
            return Err(Error::argument("constants", format!("`{name}`"), expected));
        }
        self.split_statistics(&roles::uses(self), &mut initial);
        let uses = roles::uses(self);
        for (id, tensor) in initial {
            let usage = &uses[id];
            if !usage.read && !self.outputs.contains(&id) {
                continue;
            }
            let array = tensors::read(tensor, directory)?;
            let fixed = options.constants.contains(&tensor.name) || usage.known;
            let piece = if array.element() != Element::Float || fixed {
                None
            } else if usage.statistics {
                Some(true)
            } else {
                let single = array.len() == 1 && (array.shape.is_empty() || !usage.in_layer);
                (array.len() > 0 && !single).then_some(false)
            };
            check_finite(&tensor.name, &array, piece.is_some())?;
            let Some(is_buffer) = piece else {
                self.constants.push((id, Arc::new(array)));
                continue;
            };
            let piece = Piece {
                id,
                shape: array.shape.clone(),
                values: array.to_floats().into(),
                role: usage.role,
            };
            if is_buffer {
                self.buffers.push(piece);
            } else {
                self.parameters.push(piece);
            }
        }
        Ok(())
    }
}

/// NaN is refused everywhere, infinities in what is trained.
fn check_finite(name: &str, array: &Known, trained: bool) -> Result<()> {
    let Numbers::Floats(values) = &array.numbers else {
        return Ok(());
    };
    let wrong = |v: &f64| v.is_nan() || (trained && v.is_infinite());
    let Some(at) = values.iter().position(wrong) else {
        return Ok(());
    };
    let e = Error::non_finite(&format!("initializer `{name}`"), at, values[at]);
    Err(if values[at].is_nan() {
        e
    } else {
        e.with_hint("if it is a mask and no parameter, name it in `constants`")
    })
}
