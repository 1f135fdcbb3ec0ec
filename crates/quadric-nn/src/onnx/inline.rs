//! Functions that a model defines, written out where they are called.

use super::graph::{is_standard, label};
use super::proto;
use prost::Message;
use quadric_linalg::{Error, ErrorKind, Result};
use std::collections::HashMap;

/// Nodes that a model may have when its functions are written out, their bytes, and how deep functions may call each other.
const LARGEST: usize = 1 << 18;
const LARGEST_BYTES: usize = 1 << 28;
const DEEPEST: usize = 64;

/// Domain, name and overload.
type Key<'a> = (&'a str, &'a str, &'a str);

fn malformed(text: String) -> Error {
    Error::new(ErrorKind::Malformed, text)
}

/// The standard domain has two names.
fn domain(name: &str) -> &str {
    if is_standard(name) { "" } else { name }
}

struct Inliner<'a> {
    functions: HashMap<Key<'a>, &'a proto::Function>,
    /// The version of the standard operators.
    opset: i64,
    nodes: Vec<proto::Node>,
    /// Of the nodes that functions have made.
    bytes: usize,
    calls: usize,
}

/// The nodes of a graph without calls of functions.
///
/// # Errors
///
/// If functions call each other in circles, do not fit their calls, or become too many nodes.
pub(super) fn nodes(
    model: &proto::Model,
    graph: &proto::Graph,
    opset: i64,
) -> Result<Vec<proto::Node>> {
    let key = |f: &'_ proto::Function| (f.domain.clone(), f.name.clone(), f.overload.clone());
    let mut inliner = Inliner {
        functions: HashMap::new(),
        opset,
        nodes: Vec::new(),
        bytes: 0,
        calls: 0,
    };
    for f in &model.functions {
        let named = (domain(&f.domain), &f.name[..], &f.overload[..]);
        if inliner.functions.insert(named, f).is_some() {
            return Err(malformed(format!(
                "the function {:?} is defined twice",
                key(f)
            )));
        }
    }
    for (i, node) in graph.nodes.iter().enumerate() {
        match inliner.find(node) {
            None => inliner.push(node.clone())?,
            Some(f) => {
                let label = label(i, node);
                inliner.call(f, node, 1).map_err(|e| e.context(label))?;
            }
        }
    }
    Ok(inliner.nodes)
}

impl<'a> Inliner<'a> {
    fn find(&self, node: &proto::Node) -> Option<&'a proto::Function> {
        let key = (domain(&node.domain), &node.op[..], &node.overload[..]);
        self.functions.get(&key).copied()
    }

    fn push(&mut self, node: proto::Node) -> Result<()> {
        if self.nodes.len() == LARGEST || self.bytes > LARGEST_BYTES {
            let text = format!(
                "its functions are more than {LARGEST} nodes or {LARGEST_BYTES} bytes when written out"
            );
            return Err(Error::new(ErrorKind::Resource, text));
        }
        self.nodes.push(node);
        Ok(())
    }

    /// The nodes of a function, for the values of a call.
    fn call(&mut self, f: &'a proto::Function, call: &proto::Node, depth: usize) -> Result<()> {
        self.check(f, call, depth)?;
        self.calls += 1;
        let number = self.calls;
        let mut names: HashMap<&str, &str> = HashMap::new();
        let given = call.inputs.iter().map(String::as_str);
        names.extend(
            f.inputs
                .iter()
                .map(String::as_str)
                .zip(given.chain(std::iter::repeat(""))),
        );
        let made = call.outputs.iter().map(String::as_str);
        let wanted = f.outputs.iter().map(String::as_str).zip(made);
        names
            .extend(wanted.filter(|(inner, outer)| {
                !outer.is_empty() && !f.inputs.iter().any(|i| i == inner)
            }));
        let renamed = |name: &String| match names.get(name.as_str()) {
            Some(outer) => (*outer).to_owned(),
            None if name.is_empty() => String::new(),
            None => format!("{}#{number}:{name}", f.name),
        };
        for node in &f.nodes {
            let attributes = node.attributes.iter();
            let attributes = attributes.filter_map(|a| given_attribute(a, f, call));
            let inner = proto::Node {
                inputs: node.inputs.iter().map(renamed).collect(),
                outputs: node.outputs.iter().map(renamed).collect(),
                name: format!("{}/{}", call.name, node.name),
                attributes: attributes.collect(),
                ..node.clone()
            };
            match self.find(&inner) {
                None => {
                    self.bytes += inner.encoded_len();
                    self.push(inner)?;
                }
                Some(g) => self.call(g, &inner, depth + 1)?,
            }
        }
        self.passed_through(f, call)
    }

    fn check(&self, f: &proto::Function, call: &proto::Node, depth: usize) -> Result<()> {
        let name = &f.name;
        if depth > DEEPEST {
            let text = format!("functions call each other {DEEPEST} deep, `{name}` the last");
            return Err(malformed(text));
        }
        let (inputs, outputs) = (f.inputs.len(), f.outputs.len());
        if call.inputs.len() > inputs || call.outputs.len() > outputs {
            return Err(malformed(format!(
                "`{name}` takes {inputs} values and gives {outputs}, not {} and {}",
                call.inputs.len(),
                call.outputs.len()
            )));
        }
        let standard = f.opsets.iter().filter(|o| is_standard(&o.domain));
        if let Some(other) = standard.map(|o| o.version).find(|&v| v != self.opset) {
            let text = format!(
                "the function `{name}` is of opset {other}, the model of {}",
                self.opset
            );
            return Err(Error::new(ErrorKind::Data, text));
        }
        Ok(())
    }

    /// Outputs of a function that are its inputs.
    fn passed_through(&mut self, f: &proto::Function, call: &proto::Node) -> Result<()> {
        for (inner, outer) in f.outputs.iter().zip(&call.outputs) {
            let Some(i) = f.inputs.iter().position(|n| n == inner) else {
                continue;
            };
            if let Some(given) = call.inputs.get(i).filter(|_| !outer.is_empty()) {
                self.push(proto::Node {
                    op: "Identity".to_owned(),
                    name: call.name.clone(),
                    inputs: vec![given.clone()],
                    outputs: vec![outer.clone()],
                    ..proto::Node::default()
                })?;
            }
        }
        Ok(())
    }
}

/// An attribute of a node in a function, with the value that the call gives it; none if there is neither one nor a default.
fn given_attribute(
    a: &proto::Attribute,
    f: &proto::Function,
    call: &proto::Node,
) -> Option<proto::Attribute> {
    if a.reference.is_empty() {
        return Some(a.clone());
    }
    let mut all = call.attributes.iter().chain(&f.defaults);
    let found = all.find(|given| given.name == a.reference)?;
    Some(proto::Attribute {
        name: a.name.clone(),
        ..found.clone()
    })
}
