//! Models built message by message: what is refused, and what becomes of the rest.

mod beyond;
mod changed;
mod meaning;
mod outside;

use super::proto::{self, attribute, data};
use super::{Options, from_bytes};
use crate::Network;
use prost::Message;
use quadric_linalg::{Error, ErrorKind};

/// A model of the operators of opset 17.
fn model(graph: proto::Graph) -> proto::Model {
    let standard = proto::Opset {
        domain: String::new(),
        version: 17,
    };
    proto::Model {
        ir_version: 99,
        graph: Some(graph),
        opsets: vec![standard],
        ..proto::Model::default()
    }
}

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> proto::Node {
    let names = |all: &[&str]| all.iter().map(|&n| n.to_owned()).collect();
    proto::Node {
        op: op.to_owned(),
        inputs: names(inputs),
        outputs: names(outputs),
        ..proto::Node::default()
    }
}

fn int(name: &str, value: i64) -> proto::Attribute {
    proto::Attribute {
        name: name.to_owned(),
        int: value,
        kind: attribute::INT,
        ..proto::Attribute::default()
    }
}

fn with(mut node: proto::Node, attributes: &[proto::Attribute]) -> proto::Node {
    node.attributes.extend_from_slice(attributes);
    node
}

/// A value of some type; a negative length is an axis without one.
fn info(name: &str, data_type: i32, lengths: &[i64]) -> proto::ValueInfo {
    let dims = lengths.iter().map(|&n| proto::Dimension {
        value: (n >= 0).then_some(n),
        parameter: None,
    });
    let tensor = proto::TensorType {
        data_type,
        shape: Some(proto::TensorShape {
            dims: dims.collect(),
        }),
    };
    proto::ValueInfo {
        name: name.to_owned(),
        of_type: Some(proto::Type {
            tensor: Some(tensor),
        }),
    }
}

fn named(name: &str, parameter: &str) -> proto::ValueInfo {
    let mut info = info(name, data::FLOAT, &[3, -1]);
    let tensor = info.of_type.as_mut().and_then(|t| t.tensor.as_mut());
    let shape = tensor.and_then(|t| t.shape.as_mut()).expect("made above");
    shape.dims[1].parameter = Some(parameter.to_owned());
    info
}

fn output(name: &str) -> proto::ValueInfo {
    proto::ValueInfo {
        name: name.to_owned(),
        of_type: None,
    }
}

fn floats(name: &str, values: &[f32], dims: &[i64]) -> proto::Tensor {
    proto::Tensor {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: data::FLOAT,
        float_data: values.to_vec(),
        ..proto::Tensor::default()
    }
}

fn integers(name: &str, values: &[i64]) -> proto::Tensor {
    proto::Tensor {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type: data::INT64,
        int64_data: values.to_vec(),
        ..proto::Tensor::default()
    }
}

/// `y = x w + b` for three inputs and two outputs.
fn dense() -> proto::Graph {
    proto::Graph {
        nodes: vec![node("Gemm", &["x", "w", "b"], &["y"])],
        initializers: vec![
            floats("w", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2]),
            floats("b", &[0.5, -0.5], &[2]),
        ],
        inputs: vec![info("x", data::FLOAT, &[-1, 3])],
        outputs: vec![output("y")],
        ..proto::Graph::default()
    }
}

/// One node on `x (-1, 3)`, with further inputs as initializers.
fn single(node: proto::Node, initializers: Vec<proto::Tensor>) -> proto::Graph {
    proto::Graph {
        nodes: vec![node],
        initializers,
        ..dense()
    }
}

fn read_model(model: &proto::Model) -> quadric_linalg::Result<Network> {
    from_bytes(&model.encode_to_vec(), &Options::default())
}

fn read_graph(graph: proto::Graph) -> quadric_linalg::Result<Network> {
    read_model(&model(graph))
}

/// The error of a model that must be refused, of a kind and with some text.
fn refused(model: &proto::Model, kind: ErrorKind, text: &str) -> Error {
    let e = read_model(model).expect_err(text);
    assert_eq!(e.kind(), kind, "{e}");
    assert!(e.to_string().contains(text), "`{e}` does not say `{text}`");
    e
}

fn refused_graph(graph: proto::Graph, kind: ErrorKind, text: &str) {
    refused(&model(graph), kind, text);
}

use ErrorKind::{Argument, Data, Malformed, NonFinite, Shape};

#[test]
fn lengths_of_axes_are_checked() {
    let changed = |dims: &[i64]| {
        let mut graph = dense();
        graph.initializers[0].dims = dims.to_vec();
        graph
    };
    refused_graph(
        changed(&[-3, 2]),
        Malformed,
        "`w`: an axis has the length -3",
    );
    refused_graph(
        changed(&[3, 3]),
        Malformed,
        "`w`: 6 entries for the shape [3, 3]",
    );
    refused_graph(changed(&[1 << 40, 1 << 40]), Malformed, "is too large");
    refused_graph(changed(&[0, 1 << 40]), Malformed, "is too large");
    refused_graph(changed(&[i64::MAX]), Malformed, "is too large");
    let mut graph = dense();
    graph.initializers[0].raw_data = vec![0; 20];
    refused_graph(
        graph,
        Malformed,
        "`w`: 20 bytes for the shape [3, 2], which takes 24",
    );
    let mut graph = dense();
    graph.inputs = vec![info("x", data::FLOAT, &[2, i64::MIN])];
    assert!(read_graph(graph).is_err(), "an axis without a length");
    let mut graph = dense();
    graph.initializers[1].data_type = 8;
    refused_graph(graph, Data, "type 8");
}

#[test]
fn graphs_without_order_or_ends_are_refused() {
    let mut graph = dense();
    graph.nodes = vec![
        node("Add", &["x", "z"], &["y"]),
        node("Relu", &["y"], &["z"]),
    ];
    refused_graph(
        graph,
        Malformed,
        "node #0 (Add) reads `z`, which only node #1 (Relu) makes later: there is a cycle",
    );
    let mut graph = dense();
    graph.nodes[0].name = "layer".to_owned();
    graph.initializers.remove(1);
    refused_graph(
        graph,
        Malformed,
        "node `layer` (Gemm) reads `b`, which no node",
    );
    let mut graph = dense();
    graph.outputs[0].name = "other".to_owned();
    refused_graph(graph, Malformed, "nothing makes the output `other`");
    let mut graph = dense();
    graph.outputs.clear();
    refused_graph(graph, Malformed, "no outputs");
    let mut graph = dense();
    graph.initializers.push(floats("b", &[1.0, 2.0], &[2]));
    refused_graph(graph, Malformed, "`b` is made twice");
    let mut graph = dense();
    graph.nodes.push(node("Relu", &["x"], &["x"]));
    graph.outputs.push(output("x"));
    refused_graph(graph, Malformed, "`x` is made twice");
    let graph = single(
        with(node("Elu", &["x"], &["y"]), &[int("alpha", 1)]),
        vec![],
    );
    refused_graph(
        graph,
        Shape,
        "node #0 (Elu): attribute `alpha` is no real number",
    );
    let mut empty = model(dense());
    empty.graph = None;
    refused(&empty, Malformed, "no graph");
}

#[test]
fn all_that_is_not_supported_is_listed_at_once() {
    let mut graph = dense();
    let mut other = node("FusedGelu", &["a"], &["b2"]);
    other.domain = "com.example".to_owned();
    other.name = "fused".to_owned();
    graph.nodes = vec![
        node("NonZero", &["x"], &["a"]),
        other,
        node("If", &["b2"], &["c"]),
        with(node("Relu", &["c"], &["y"]), &[int("slope", 1)]),
        // Nobody needs this one.
        node("Unknown", &["x"], &["nowhere"]),
    ];
    let e = refused(&model(graph), Data, "not supported");
    let expected = "operations that are not supported: node #0 (NonZero); \
        node `fused` (FusedGelu) of the domain `com.example`; node #2 (If), which is control flow; \
        node #3 (Relu) with the attribute `slope`";
    assert_eq!(e.message(), expected);
}

#[test]
fn opsets_that_are_not_known_are_refused() {
    for (version, fits) in [(10, false), (11, true), (28, true), (29, false)] {
        let mut model = model(dense());
        model.opsets[0].version = version;
        assert_eq!(read_model(&model).is_ok(), fits, "opset {version}");
    }
    let mut none = model(dense());
    none.opsets.clear();
    refused(&none, Malformed, "which opset");
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let mut graph = dense();
    graph.initializers[0].float_data[3] = f32::NAN;
    refused_graph(graph, NonFinite, "initializer `w` at 3 is NaN");
    let mut graph = dense();
    graph.initializers[0].float_data[3] = f32::NEG_INFINITY;
    refused_graph(graph.clone(), NonFinite, "name it in `constants`");
    let mut options = Options::default();
    options.constants.insert("w".to_owned());
    let network = from_bytes(&model(graph).encode_to_vec(), &options).expect("a constant");
    assert_eq!(network.layout().len(), 2);
    options.constants.insert("v".to_owned());
    let e = from_bytes(&model(dense()).encode_to_vec(), &options).expect_err("no such tensor");
    assert_eq!(e.kind(), Argument);
}

#[test]
fn bytes_that_are_no_model_are_refused() {
    let read = |bytes: &[u8]| from_bytes(bytes, &Options::default()).expect_err("no model");
    for checkpoint in [
        &b"PK\x03\x04rest"[..],
        b"\x80\x02}q\x00.",
        b"\x89HDF\r\n\x1a\n",
    ] {
        let e = read(checkpoint);
        assert_eq!(e.kind(), Data);
        assert!(e.to_string().contains("export"), "{e}");
    }
    assert_eq!(read(b"").kind(), Malformed);
    let bytes = model(dense()).encode_to_vec();
    let e = read(&bytes[..bytes.len() - 20]);
    assert!(e.to_string().contains("near byte"), "{e}");
    // A graph in an attribute of a node in a graph, and so on: subgraphs are not even read.
    let branch = node("If", &["x"], &["y"]).encode_to_vec();
    let mut nested = branch.clone();
    for _ in 0..2_000 {
        nested = [branch.clone(), field(5, field(6, field(1, nested)))].concat();
    }
    let mut graph = dense();
    graph.nodes.clear();
    let graph = field(7, [field(1, nested), graph.encode_to_vec()].concat());
    let opset = [0x42, 2, 0x10, 17];
    let e = read(&[graph, opset.to_vec()].concat());
    assert!(e.to_string().contains("node #0 (If)"), "{e}");
}

/// A field of bytes with its number and length in front.
fn field(number: u8, bytes: Vec<u8>) -> Vec<u8> {
    let mut length = bytes.len();
    let mut all = vec![number << 3 | 2];
    while length > 127 {
        all.push(length as u8 | 128);
        length >>= 7;
    }
    all.push(length as u8);
    all.extend(bytes);
    all
}
