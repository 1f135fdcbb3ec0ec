//! Networks as ONNX files.
//!
//! The program of a network is traced for two numbers of examples; the lengths that differ are multiples of the number, and
//! become a symbolic axis. Every equation becomes nodes of opset 17, composites that the format has names for one node.

mod arrange;
mod fuse;
mod linear;
mod nodes;
mod symbolic;
#[cfg(test)]
mod tests;
mod translate;
mod value;

use super::proto::{self, data};
use super::tensors::LIMIT;
use crate::{Network, Port, Weights};
use nodes::Nodes;
use prost::Message;
use quadric_autodiff::{Kind, Program};
use quadric_core::{Overwrite, Segment, write_atomically};
use quadric_linalg::{Error, ErrorKind, Result, Scalar};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use symbolic::{Length, Signature, Symbolic};
use value::{Tensors, Value};

/// The version of the operators, and of the format.
const OPSET: i64 = 17;
const IR: i64 = 8;

/// The axis of the examples.
const BATCH: &str = "batch";

/// Pairs of numbers of examples. A pair of which one has a meaning in the network by accident shows other operations; then
/// the next is tried.
const SIZES: [[usize; 2]; 3] = [[17, 19], [29, 31], [41, 47]];

/// Writes a network with its weights as an ONNX file, complete or not at all: what it computes in
/// [`Mode::Evaluate`](crate::Mode::Evaluate), for any number of examples.
///
/// Parameters and buffers are initializers under their own names and with their own shapes, in the precision `T`; inputs have
/// the names and axes of the ports, and the outputs are `output`, or `output_1`, `output_2` and so on. Indices are integers of
/// 64 bits. The steps of recurrent layers are written one after another. [`read`](super::read) finds the same parameters,
/// but takes buffers other than statistics of batch normalisation for parameters, and parameters of one entry that no layer
/// reads for constants.
///
/// # Errors
///
/// If the weights do not fit or are not finite; if the network computes what has no counterpart, or something that depends on
/// the number of examples other than by lengths of axes; if names are not unique; if the file is too large for the format, or
/// cannot be written.
///
/// ```
/// use quadric_core::Overwrite;
/// use quadric_nn::layers::Activation;
/// use quadric_nn::{Weights, models, onnx};
///
/// let network = models::mlp(&[4, 8, 3], Activation::Relu)?;
/// let weights = Weights::<f32>::initial(&network, 0);
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = folder.path().join("mlp.onnx");
/// onnx::write(&path, &network, &weights, Overwrite::Refuse)?;
/// let again = onnx::read(&path, &onnx::Options::default())?;
/// assert_eq!(again.initial::<f32>(0), weights.parameters);
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
pub fn write<T: Scalar>(
    path: impl AsRef<Path>,
    network: &Network,
    weights: &Weights<T>,
    overwrite: Overwrite,
) -> Result<()> {
    let bytes = to_bytes(network, weights)?;
    write_atomically(path.as_ref(), overwrite, |file| file.write_all(&bytes))
}

/// The content of the file that [`write()`] makes.
///
/// # Errors
///
/// As [`write()`].
pub fn to_bytes<T: Scalar>(network: &Network, weights: &Weights<T>) -> Result<Vec<u8>> {
    let real = match T::NAME {
        name if name == f32::NAME => data::FLOAT,
        _ => data::DOUBLE,
    };
    let initializers = initializers(network, weights, real)?;
    let graph = graph(network, initializers, real)?;
    let model = proto::Model {
        ir_version: IR,
        producer: "quadric".to_owned(),
        graph: Some(graph),
        opsets: vec![proto::Opset {
            domain: String::new(),
            version: OPSET,
        }],
        ..proto::Model::default()
    };
    let size = model.encoded_len();
    if size as u64 > LIMIT {
        let text = format!("{size} bytes are more than a file of this format can have, {LIMIT}");
        return Err(Error::new(ErrorKind::Resource, text));
    }
    Ok(model.encode_to_vec())
}

/// Parameters, then buffers.
fn initializers<T: Scalar>(
    network: &Network,
    weights: &Weights<T>,
    real: i32,
) -> Result<Vec<proto::Tensor>> {
    weights.check(network)?;
    let tensor = |piece: &Segment, flat: &[T]| {
        let values = flat[piece.range()].iter().map(|v| v.to_f64());
        nodes::reals(real, &piece.name, &piece.shape, values)
    };
    let parameters = network.layout().segments().iter();
    let parameters = parameters.map(|p| tensor(p, &weights.parameters));
    let buffers = network.buffers().segments().iter();
    Ok(parameters
        .chain(buffers.map(|p| tensor(p, &weights.buffers)))
        .collect())
}

/// What has no counterpart.
fn refuse(message: String) -> Error {
    Error::new(ErrorKind::Capability, message).context("the network cannot be written as ONNX")
}

/// The names of inputs and initializers, which must differ.
fn names(network: &Network, initializers: &[proto::Tensor]) -> Result<HashSet<String>> {
    let mut taken = HashSet::new();
    let ports = network.inputs().iter().map(|p| &p.name);
    for name in ports.chain(initializers.iter().map(|t| &t.name)) {
        if name.is_empty() {
            return Err(refuse("an input or a parameter has no name".to_owned()));
        }
        if !taken.insert(name.clone()) {
            let text = format!("two of its inputs, parameters and buffers are named `{name}`");
            return Err(refuse(text));
        }
    }
    Ok(taken)
}

/// Names for outputs that nothing else has.
fn output_names(count: usize, taken: &mut HashSet<String>) -> Vec<String> {
    let mut number = 0;
    let mut next = || {
        loop {
            let name = match (count, number) {
                (1, 0) => "output".to_owned(),
                (1, n) => format!("output_{n}"),
                (_, n) => format!("output_{}", n + 1),
            };
            number += 1;
            if taken.insert(name.clone()) {
                return name;
            }
        }
    };
    (0..count).map(|_| next()).collect()
}

fn info(name: &str, signature: &Signature, real: i32) -> proto::ValueInfo {
    let dimension = |length: &Length| match *length {
        Length::Fixed(n) => proto::Dimension {
            value: Some(n as i64),
            parameter: None,
        },
        Length::Batch(times) => proto::Dimension {
            value: None,
            parameter: (times == 1).then(|| BATCH.to_owned()),
        },
    };
    let dims = signature.lengths.iter().map(dimension).collect();
    proto::ValueInfo {
        name: name.to_owned(),
        of_type: Some(proto::Type {
            tensor: Some(proto::TensorType {
                data_type: match signature.kind {
                    Kind::Float => real,
                    Kind::Index => data::INT64,
                },
                shape: Some(proto::TensorShape { dims }),
            }),
        }),
    }
}

/// Kind and lengths of an input.
fn signature(port: &Port) -> Signature {
    let mut lengths: Vec<Length> = port.shape.iter().map(|&n| Length::Fixed(n)).collect();
    lengths.insert(port.axis, Length::Batch(1));
    let kind = port.kind;
    Signature { kind, lengths }
}

fn graph(network: &Network, initializers: Vec<proto::Tensor>, real: i32) -> Result<proto::Graph> {
    let mut taken = names(network, &initializers)?;
    let mut refused = None;
    for sizes in SIZES {
        let programs = [
            network.program_by_name(sizes[0])?,
            network.program_by_name(sizes[1])?,
        ];
        match Symbolic::new([&programs[0], &programs[1]], sizes) {
            Ok(symbolic) => {
                let outputs = output_names(symbolic.outputs.len(), &mut taken);
                let parts = Parts {
                    network,
                    symbolic: &symbolic,
                    program: &programs[0],
                    outputs,
                    real,
                };
                return parts.graph(initializers, taken).map_err(refuse);
            }
            Err(message) => refused = Some(message),
        }
    }
    Err(refuse(refused.unwrap_or_default()))
}

/// What a graph is made of.
struct Parts<'a, 'p> {
    network: &'a Network,
    symbolic: &'a Symbolic<'p>,
    program: &'p Program,
    outputs: Vec<String>,
    real: i32,
}

impl Parts<'_, '_> {
    fn graph(
        self,
        initializers: Vec<proto::Tensor>,
        taken: HashSet<String>,
    ) -> std::result::Result<proto::Graph, String> {
        let ports = self.network.inputs();
        let mut tensors = Tensors {
            examples: ports.first().map(|p| (p.name.clone(), p.axis)),
            nodes: Nodes::new(self.real, taken),
        };
        let input = |(input, &v): (&quadric_autodiff::Input, &usize)| {
            Value::whole(input.name().to_owned(), &self.symbolic.signatures[v])
        };
        let inputs = self.program.inputs().iter().zip(&self.symbolic.inputs);
        let inputs = inputs.map(input).collect();
        let pieces = self.network.buffers().segments().iter();
        let buffers = pieces.map(|s| s.name.clone()).collect();
        let results = translate::program(&mut tensors, &buffers, self.symbolic, inputs)?;
        let mut renamed = HashMap::new();
        let mut outputs = Vec::new();
        for (value, new) in results.iter().zip(&self.outputs) {
            let mut name = tensors.whole(value)?;
            if tensors.nodes.maker(&name).is_none() || renamed.contains_key(&name) {
                // Inputs and other outputs keep their names.
                name = tensors.nodes.copy(&name);
            }
            renamed.insert(name, new.clone());
            outputs.push(info(new, &value.signature, self.real));
        }
        let inputs = ports
            .iter()
            .map(|p| info(&p.name, &signature(p), self.real));
        Ok(proto::Graph {
            name: "network".to_owned(),
            inputs: inputs.collect(),
            nodes: tensors.nodes.finish(&renamed),
            initializers,
            outputs,
            ..proto::Graph::default()
        })
    }
}
