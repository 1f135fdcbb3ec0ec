//! What graphs look like, and what is not written.

use super::super::proto;
use super::to_bytes;
use crate::layers::{Dense, EncoderLayer, dense};
use crate::models::{self, EncoderClassifier, Resnet};
use crate::{Init, Network, Port, Scope, Weights};
use prost::Message;
use quadric_autodiff::Tensor;
use quadric_core::Role;
use quadric_linalg::ErrorKind;
use std::collections::BTreeMap;

/// How often each operator is used; constants aside.
fn operators(network: &Network) -> BTreeMap<String, usize> {
    let weights = Weights::<f32>::initial(network, 0);
    let bytes = to_bytes(network, &weights).expect("every model is written");
    let model = proto::Model::decode(&bytes[..]).expect("a model");
    let mut counts = BTreeMap::new();
    for node in model.graph.expect("a graph").nodes {
        *counts.entry(node.op).or_insert(0) += 1;
    }
    counts.remove("Constant");
    counts
}

#[track_caller]
fn counted(network: quadric_linalg::Result<Network>, expected: &[(&str, usize)]) {
    let found = operators(&network.expect("a model"));
    let expected = expected.iter().map(|(op, n)| ((*op).to_owned(), *n));
    assert_eq!(found, expected.collect());
}

#[test]
fn composites_have_their_names() {
    // Of the transposes one turns the image, one each kernel, and one the features back.
    counted(
        models::lenet(),
        &[
            ("AveragePool", 2),
            ("Conv", 2),
            ("Gemm", 3),
            ("Reshape", 1),
            ("Tanh", 4),
            ("Transpose", 4),
        ],
    );
    let small = Resnet {
        depth: 8,
        image: [8, 8, 3],
        width: 4,
        ..Resnet::default()
    };
    counted(
        models::resnet(small),
        &[
            ("Add", 3),
            ("BatchNormalization", 7),
            ("Conv", 7),
            ("Gemm", 1),
            ("Pad", 2),
            ("ReduceMean", 1),
            ("Relu", 7),
            ("Slice", 4),
            ("Transpose", 8),
        ],
    );
    let encoder = EncoderClassifier {
        steps: 4,
        features: 3,
        width: 6,
        layers: 1,
        layer: EncoderLayer::new(6, 2),
        classes: 2,
    };
    let found = models::encoder_classifier(encoder).map(|n| operators(&n));
    let found = found.expect("a model");
    assert_eq!([found["Softmax"], found["LayerNormalization"]], [1, 3]);
    assert!(!found.contains_key("Expand") && !found.contains_key("Exp"));
}

fn network(
    ports: impl Into<Vec<Port>>,
    body: impl for<'t> Fn(&Scope<'t>, &[Tensor<'t>]) -> Tensor<'t> + Send + Sync + 'static,
) -> Network {
    Network::new(ports, move |scope, x| vec![body(scope, x)]).expect("shapes fit")
}

#[track_caller]
fn refused(network: &Network, text: &str) {
    let weights = Weights::<f32>::initial(network, 0);
    let e = to_bytes(network, &weights).expect_err(text);
    assert_eq!(e.kind(), ErrorKind::Capability);
    assert!(e.to_string().contains(text), "`{e}` does not say `{text}`");
}

#[test]
fn what_depends_on_the_number_of_examples_is_refused() {
    let x = || [Port::floats("x", [3])];
    let mean = network(x(), |_, x| x[0] - x[0].mean(&[0]));
    refused(&mean, "the operation `constant` depends on the number");
    let first = network(x(), |_, x| x[0].slice(0, 0..1));
    refused(&first, "cuts an axis that grows");
    let padded = network(x(), |_, x| x[0].pad(0, 1, 0));
    refused(&padded, "must have a fixed length or a multiple");
    let pairs = network(x(), |_, x| {
        x[0].matmul(x[0].transpose()).reshape([x[0].dim(0).pow(2)])
    });
    refused(&pairs, "must have a fixed length or a multiple");
    let other = network(x(), |_, x| match x[0].dim(0) {
        2 => x[0],
        n if n % 4 == 1 => x[0].tanh(),
        _ => x[0].exp(),
    });
    refused(&other, "depends on the number");
    // A sum over the examples does not, and an axis as long as one of the numbers that are tried is none.
    let sum = network([Port::floats("x", [17])], |_, x| x[0] * x[0].sum(&[0]));
    let weights = Weights::<f32>::initial(&sum, 0);
    to_bytes(&sum, &weights).expect("written");
}

#[test]
fn what_has_no_counterpart_is_refused() {
    let own = network([Port::floats("x", [4, 4, 1])], |s, x| {
        let kernel = s.parameter("kernel", &[2, 2, 1, 1], Role::Weight, Init::Constant(1.0));
        let y = x[0].conv2d(kernel, quadric_autodiff::Windows::default());
        s.tracer().grad(y.square().sum_all(), &[x[0]])[0]
    });
    refused(&own, "`convolution_input`: it has no counterpart");
    let drawn = network([Port::floats("x", [2])], |s, x| {
        let key = s.tracer().index_constant(&[1, 2], [2]);
        x[0] + s.tracer().random(key, [2])
    });
    refused(&drawn, "`random`: it has no counterpart");
    let same = network([Port::floats("fc.weight", [2])], |s, x| {
        dense(s, "fc", x[0], 2, &Dense::default())
    });
    refused(&same, "are named `fc.weight`");
}

#[test]
fn weights_must_fit_and_be_finite() {
    let network = models::mlp(&[2, 2], crate::layers::Activation::Tanh).expect("a model");
    let mut weights = Weights::<f64>::initial(&network, 0);
    weights.parameters[3] = f64::NAN;
    let e = to_bytes(&network, &weights).expect_err("a NaN");
    assert_eq!(e.kind(), ErrorKind::NonFinite);
    weights.parameters.pop();
    let e = to_bytes(&network, &weights).expect_err("too few");
    assert_eq!(e.kind(), ErrorKind::Shape);
}
