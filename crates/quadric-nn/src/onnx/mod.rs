//! Networks from ONNX files, and as such files.
//!
//! [`read`] takes a file that PyTorch, JAX or Keras has exported, and returns the [`Network`] that it describes, for any number
//! of examples:
//!
//! - Floating-point initializers are parameters under their own names; running statistics of batch normalisation are
//!   buffers. Single numbers are constants unless a layer takes them for a parameter, as a bias of one output, and so are all
//!   values of `Constant` nodes. What is no parameter, such as a table of positions, can be named in [`Options::constants`].
//!   Exporters merge initializers that are equal; then they are one parameter.
//! - The first symbolic axis of the inputs, or else the first axis, is that of the examples.
//! - Every number of real type has the precision in which the network is run, whatever the file says. Integers do not wrap
//!   around: those that are known have 64 bits, and those that are computed from inputs are exact as real numbers are.
//! - Batch normalisation and dropout obey the [`Mode`](crate::Mode) of the call, not the mode in which the file was exported.
//! - Products with a parameter, as it is or transposed, can be looked at ([`Model::taps`](quadric_core::Model::taps)): those of
//!   `Gemm`, `MatMul`, `Einsum` and `Conv` without groups. Recurrent layers and other rearranged weights tell nothing.
//! - Inputs of integers and truth values are indices; all outputs are real numbers.
//!
//! A network that is not understood in every detail is refused.
//!
//! [`write()`] makes a file of any [`Network`], which onnxruntime and [`read`] take.

mod attribute;
mod evaluate;
mod graph;
mod inline;
mod known;
mod ops;
mod ports;
mod proto;
mod roles;
mod site;
mod tap;
mod tensors;
#[cfg(test)]
mod tests;
mod value;
mod write;

pub use write::{to_bytes, write};

use crate::{Network, Port};
use evaluate::Progress;
use graph::Graph;
use prost::Message;
use quadric_linalg::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use tensors::Directory;

/// How a file is read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Options {
    /// Whether tensors may lie in other files: regular ones inside the directory of the model, that no link leads to. The
    /// default refuses them.
    pub external_data: bool,
    /// Lengths of symbolic axes of the inputs that are not that of the examples. An axis without a name is called `input:axis`.
    pub dims: BTreeMap<String, usize>,
    /// For each input that is named here the axis along which examples lie.
    pub batch_axes: BTreeMap<String, usize>,
    /// Initializers that are not trained.
    pub constants: BTreeSet<String>,
}

/// The names of the operators that are supported, in alphabetical order.
pub fn operators() -> Vec<&'static str> {
    let mut names: Vec<&str> = ops::names().collect();
    names.sort_unstable();
    names
}

/// The network in a file.
///
/// # Errors
///
/// If the file cannot be read, violates the format, or needs what is not supported; operations that are not supported are
/// listed, all of them.
///
/// ```
/// use quadric_nn::onnx::{self, Options};
///
/// let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/onnx/mlp.onnx");
/// let network = onnx::read(file, &Options::default())?;
/// assert_eq!(network.inputs()[0].shape, [5]);
/// assert_eq!(network.layout().segments()[0].name, "0.weight");
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
pub fn read(path: impl AsRef<Path>, options: &Options) -> Result<Network> {
    let path = path.as_ref();
    let name = path.display();
    let io = |e| Error::io("read", name.to_string(), e);
    let refuse = |why: String| Error::new(ErrorKind::Data, format!("`{name}` {why}"));
    let found = std::fs::metadata(path).map_err(io)?;
    if !found.is_file() {
        return Err(refuse("is no regular file".to_owned()));
    }
    let file = std::fs::File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    let mut start = file.take(tensors::LIMIT + 1);
    start.by_ref().take(8).read_to_end(&mut bytes).map_err(io)?;
    check_magic(&bytes).map_err(|e| e.context(name.to_string()))?;
    start.read_to_end(&mut bytes).map_err(io)?;
    let directory = match options.external_data {
        true => Directory::of(path)?,
        false => Directory::closed(),
    };
    network(&bytes, options, &directory).map_err(|e| e.context(name.to_string()))
}

/// The network in the bytes of a file. Its tensors cannot lie in other files.
///
/// # Errors
///
/// As [`read`].
pub fn from_bytes(bytes: &[u8], options: &Options) -> Result<Network> {
    network(bytes, options, &Directory::closed())
}

/// Refuses files of formats that are often taken for this one.
fn check_magic(bytes: &[u8]) -> Result<()> {
    let zip = bytes.starts_with(b"PK\x03\x04");
    let pickle = matches!(bytes, [0x80, 2..=5, ..]);
    let found = match bytes {
        _ if zip || pickle => "a checkpoint of PyTorch or another pickle or archive",
        [0x89, b'H', b'D', b'F', ..] => "an HDF5 file",
        _ => return Ok(()),
    };
    let text = format!("it is {found}, not an ONNX model");
    let hint =
        "export the model with torch.onnx.export or tf2onnx, or store its weights as safetensors";
    Err(Error::new(ErrorKind::Data, text).with_hint(hint))
}

fn decode(bytes: &[u8]) -> Result<proto::Model> {
    check_magic(bytes)?;
    if bytes.len() as u64 > tensors::LIMIT {
        let text = format!("it is larger than {} bytes", tensors::LIMIT);
        return Err(Error::new(ErrorKind::Resource, text));
    }
    let mut rest = bytes;
    proto::Model::decode(&mut rest).map_err(|e| {
        let at = bytes.len() - rest.len();
        let text = format!("it is no ONNX model: reading failed near byte {at}");
        Error::new(ErrorKind::Malformed, text).with_source(e)
    })
}

fn network(bytes: &[u8], options: &Options, directory: &Directory) -> Result<Network> {
    let model = decode(bytes)?;
    let graph = Arc::new(Graph::new(&model, directory, options)?);
    drop(model);
    let ports: Vec<Port> = graph.inputs.iter().map(|i| i.port.clone()).collect();
    let progress = Arc::new(Progress::default());
    let (body, at) = (Arc::clone(&graph), Arc::clone(&progress));
    let network = Network::new(ports, move |scope, inputs| {
        evaluate::run(&body, scope, inputs, &at)
    });
    network.map_err(|e| match progress.node(&graph) {
        Some(label) => e.context(label),
        None => e,
    })
}
