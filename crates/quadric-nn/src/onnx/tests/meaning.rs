//! What becomes of graphs: ports, parameters, buffers, indices.

use super::super::{Options, from_bytes};
use super::{
    Data, Shape, dense, floats, info, int, integers, model, named, node, output, read_graph,
    refused_graph, single, with,
};
use crate::onnx::proto::{self, data};
use crate::{Call, Mode, Network};
use prost::Message;
use quadric_autodiff::{self as autodiff, Kind, Program};
use quadric_core::Role;

/// The first output of a network, and its buffers afterwards.
fn run(
    network: &Network,
    mode: Mode,
    input: autodiff::Data<'_, f64>,
    examples: usize,
) -> [Vec<f64>; 2] {
    let program = Program::trace(|t| {
        let port = &network.inputs()[0];
        let shape = port.of_batch(examples).shape;
        let input = match port.kind {
            Kind::Float => t.input(&port.name, shape),
            Kind::Index => t.index_input(&port.name, shape),
        };
        let call = Call {
            parameters: t.input("parameters", [network.layout().len()]),
            buffers: t.input("buffers", [network.buffers().len()]),
            inputs: &[input],
            mode,
            key: None,
        };
        let traced = network.trace(t, call);
        vec![traced.outputs[0], traced.buffers]
    });
    let program = program.expect("shapes fit");
    let (parameters, buffers) = (network.initial::<f64>(0), network.initial_buffers::<f64>());
    let inputs = [input, (&parameters[..]).into(), (&buffers[..]).into()];
    let outputs = program.run(&inputs).expect("inputs fit");
    [outputs[0].floats().to_vec(), outputs[1].floats().to_vec()]
}

fn roles(network: &Network) -> Vec<(&str, Role)> {
    let segments = network.layout().segments().iter();
    segments.map(|s| (&s.name[..], s.role)).collect()
}

fn evaluate(graph: proto::Graph, input: &[f64]) -> Vec<f64> {
    let network = read_graph(graph).expect("supported");
    let examples = input.len() / 3;
    let [y, _] = run(&network, Mode::Evaluate, input.into(), examples);
    y
}

#[test]
fn parameters_have_names_and_roles_and_any_number_of_examples_fits() {
    let network = read_graph(dense()).expect("supported");
    assert_eq!(roles(&network), [("w", Role::Weight), ("b", Role::Bias)]);
    for examples in [1, 4] {
        let x: Vec<f64> = (0..3 * examples).map(|i| i as f64).collect();
        let expected = x.chunks(3).flat_map(|x| {
            let dot = |w: [f64; 3]| x[0] * w[0] + x[1] * w[1] + x[2] * w[2];
            [dot([1.0, 3.0, 5.0]) + 0.5, dot([2.0, 4.0, 6.0]) - 0.5]
        });
        let [y, _] = run(&network, Mode::Evaluate, (&x[..]).into(), examples);
        assert_eq!(y, expected.collect::<Vec<_>>());
    }
}

#[test]
fn single_numbers_are_constants_unless_a_layer_has_them() {
    let mut graph = dense();
    graph.initializers = vec![
        floats("w", &[1.0, 2.0, 3.0], &[3, 1]),
        floats("b", &[0.5], &[1]),
    ];
    graph.nodes.push(node("Mul", &["y", "half"], &["z"]));
    graph.initializers.push(floats("half", &[0.5], &[1]));
    graph.outputs = vec![output("z")];
    let network = read_graph(graph.clone()).expect("supported");
    let names: Vec<_> = network
        .layout()
        .segments()
        .iter()
        .map(|s| &s.name[..])
        .collect();
    assert_eq!(names, ["w", "b"]);
    assert_eq!(evaluate(graph.clone(), &[1.0, 1.0, 1.0]), [3.25]);
    // Also as what is added to a product.
    graph.nodes[0] = node("MatMul", &["x", "w"], &["p"]);
    graph.nodes.insert(1, node("Add", &["b", "p"], &["y"]));
    let network = read_graph(graph).expect("supported");
    let bias = network.layout().find("b").expect("a parameter");
    assert_eq!((bias.role, network.layout().len()), (Role::Bias, 4));
}

#[test]
fn a_parameter_that_is_rearranged_stays_one() {
    let mut graph = dense();
    graph.nodes = vec![
        node("Slice", &["v", "start", "end"], &["low"]),
        node("Slice", &["v", "end", "four"], &["high"]),
        with(
            node("Concat", &["high", "low"], &["turned"]),
            &[int("axis", 0)],
        ),
        node("Transpose", &["turned"], &["w"]),
        node("Gemm", &["x", "w"], &["y"]),
    ];
    graph.initializers = vec![
        floats(
            "v",
            &[
                1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0,
            ],
            &[4, 3],
        ),
        integers("start", &[0]),
        integers("end", &[2]),
        integers("four", &[4]),
    ];
    let network = read_graph(graph.clone()).expect("supported");
    assert_eq!(roles(&network), [("v", Role::Weight)]);
    assert_eq!(evaluate(graph, &[1.0, 0.0, 0.0]), [7.0, 10.0, 1.0, 4.0]);
}

#[test]
fn running_statistics_are_buffers_that_move_when_training() {
    let four = |name: &str, v: f32| floats(name, &[v, v, v], &[3]);
    let statistics = ["x", "scale", "shift", "mean", "variance"];
    let norm = node("BatchNormalization", &statistics, &["y"]);
    let tensors = vec![
        four("scale", 2.0),
        four("shift", 1.0),
        four("mean", 1.0),
        four("variance", 4.0),
    ];
    let network = read_graph(single(norm, tensors)).expect("supported");
    assert_eq!((network.layout().len(), network.buffers().len()), (6, 6));
    let x = [0.0, 1.0, 2.0, 4.0, 1.0, 6.0];
    let [y, buffers] = run(&network, Mode::Evaluate, (&x[..]).into(), 2);
    let by_running = |x: f64| (x - 1.0) / (4.0_f64 + 1e-5).sqrt() * 2.0 + 1.0;
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
    assert!(close(&y, &x.map(by_running)), "{y:?}");
    assert_eq!(buffers, [1.0, 1.0, 1.0, 4.0, 4.0, 4.0]);
    let [y, buffers] = run(&network, Mode::Train, (&x[..]).into(), 2);
    let unit = |variance: f64| 2.0 * variance.sqrt() / (variance + 1e-5).sqrt();
    let [a, c] = [unit(4.0), unit(4.0)];
    assert!(
        close(&y, &[1.0 - a, 1.0, 1.0 - c, 1.0 + a, 1.0, 1.0 + c]),
        "{y:?}"
    );
    // 0.9 of what was, 0.1 of the batch: means 2, 1, 4 and variances 4, 0, 4.
    assert!(
        close(&buffers, &[1.1, 1.0, 1.3, 4.0, 3.6, 4.0]),
        "{buffers:?}"
    );
}

#[test]
fn copies_of_statistics_are_buffers_of_their_own() {
    let mut graph = dense();
    let norm = |mean: &str, x: &str, y: &str| {
        node(
            "BatchNormalization",
            &[x, "scale", "shift", mean, "variance"],
            &[y],
        )
    };
    graph.nodes = vec![
        node("Identity", &["mean"], &["second.mean"]),
        norm("mean", "x", "h"),
        norm("second.mean", "h", "y"),
    ];
    let all = ["scale", "shift", "mean", "variance"];
    graph.initializers = all
        .iter()
        .map(|n| floats(n, &[1.0, 1.0, 1.0], &[3]))
        .collect();
    let network = read_graph(graph).expect("supported");
    let names: Vec<_> = network
        .buffers()
        .segments()
        .iter()
        .map(|s| &s.name[..])
        .collect();
    assert_eq!(names, ["mean", "variance", "second.mean"]);
}

#[test]
fn axes_of_examples_are_found_or_given() {
    let transposed = |axis: proto::ValueInfo| {
        let mut graph = dense();
        graph.nodes.insert(0, node("Transpose", &["input"], &["x"]));
        graph.inputs = vec![axis];
        graph
    };
    let network = read_graph(transposed(named("input", "batch"))).expect("supported");
    assert_eq!(
        (network.inputs()[0].axis, &network.inputs()[0].shape[..]),
        (1, &[3][..])
    );
    let fixed = model(transposed(info("input", data::FLOAT, &[3, 7]))).encode_to_vec();
    let mut options = Options::default();
    // As they stand the first axis would be that of the examples, and the other has the wrong length.
    assert!(from_bytes(&fixed, &options).is_err());
    options.batch_axes.insert("input".to_owned(), 1);
    let network = from_bytes(&fixed, &options).expect("supported");
    assert_eq!(network.inputs()[0].axis, 1);
    options.batch_axes.insert("other".to_owned(), 1);
    assert!(from_bytes(&fixed, &options).is_err());
    let mut graph = dense();
    graph.inputs = vec![info("x", data::FLOAT, &[-1, -1])];
    refused_graph(graph.clone(), Data, "axes that are not known: `x:1`");
    let mut options = Options::default();
    options.dims.insert("x:1".to_owned(), 3);
    let network = from_bytes(&model(graph).encode_to_vec(), &options).expect("supported");
    assert_eq!(network.inputs()[0].shape, [3]);
    let mut graph = dense();
    graph.inputs = vec![info("x", data::FLOAT, &[])];
    refused_graph(graph, Data, "input `x` has no axes");
    // Two inputs whose axes have names of their own, as exporters make them, and one that has none.
    let mut graph = dense();
    graph.nodes = vec![node("Add", &["u", "v"], &["y"])];
    graph.inputs = vec![named("u", "s1"), named("v", "s2")];
    let network = read_graph(graph.clone()).expect("supported");
    assert_eq!([network.inputs()[0].axis, network.inputs()[1].axis], [1, 1]);
    graph.inputs[1] = info("v", data::FLOAT, &[3, 1]);
    refused_graph(graph, Data, "input `v` has no axis `s1`");
}

#[test]
fn inputs_of_integers_and_truth_values_are_indices() {
    let mut graph = dense();
    graph.nodes = vec![node("Gather", &["w", "x"], &["y"])];
    graph.inputs = vec![info("x", data::INT64, &[-1])];
    let network = read_graph(graph).expect("supported");
    let rows = [2, 0];
    let [y, _] = run(&network, Mode::Evaluate, autodiff::Data::Index(&rows), 2);
    assert_eq!(y, [5.0, 6.0, 1.0, 2.0]);
    let mut graph = dense();
    graph.nodes = vec![node("Where", &["x", "b", "zero"], &["y"])];
    graph.initializers.push(floats("zero", &[0.0], &[]));
    graph.inputs = vec![info("x", data::BOOL, &[-1, 2])];
    let network = read_graph(graph).expect("supported");
    let [y, _] = run(
        &network,
        Mode::Evaluate,
        autodiff::Data::Index(&[0, 7, 1, 0]),
        2,
    );
    assert_eq!(y, [0.0, -0.5, 0.5, 0.0]);
}

#[test]
fn indices_that_come_from_inputs_choose_entries() {
    let elements = |op: &str, table: proto::Tensor| {
        let mut graph = dense();
        graph.nodes = vec![with(node(op, &["t", "x"], &["y"]), &[int("axis", 1)])];
        graph.initializers = vec![table];
        graph.inputs = vec![info("x", data::INT64, &[-1, 2])];
        read_graph(graph).expect("supported")
    };
    let table = floats("t", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
    let at = [2, 0, 1, 1];
    let found = |op: &str| {
        run(
            &elements(op, table.clone()),
            Mode::Evaluate,
            autodiff::Data::Index(&at),
            2,
        )
    };
    assert_eq!(found("GatherElements")[0], [3.0, 1.0, 5.0, 5.0]);
    let missing = autodiff::Data::Index(&[2, 3, -1, 1]);
    let [y, _] = run(
        &elements("GatherElements", table.clone()),
        Mode::Evaluate,
        missing,
        2,
    );
    assert!(
        y[1].is_nan() && y[0] == 3.0 && y[2..] == [6.0, 5.0],
        "{y:?}"
    );
    assert_eq!(found("Gather")[0], [3.0, 1.0, 2.0, 2.0, 6.0, 4.0, 5.0, 5.0]);
}

#[test]
fn indices_that_are_computed_choose_rows() {
    let mut graph = dense();
    graph.nodes = vec![
        node("Add", &["x", "one"], &["at"]),
        with(node("Gather", &["t", "at"], &["y"]), &[int("axis", 1)]),
    ];
    let table: Vec<f32> = (1..=12).map(|i| i as f32).collect();
    graph.initializers = vec![floats("t", &table, &[2, 3, 2]), integers("one", &[1])];
    graph.inputs = vec![info("x", data::INT64, &[-1])];
    let network = read_graph(graph).expect("supported");
    let [y, _] = run(&network, Mode::Evaluate, autodiff::Data::Index(&[1, -2]), 2);
    assert_eq!(y, [5.0, 6.0, 5.0, 6.0, 11.0, 12.0, 11.0, 12.0]);
    let [y, _] = run(&network, Mode::Evaluate, autodiff::Data::Index(&[2, -1]), 2);
    let [missing, there] = [[0, 1, 4, 5], [2, 3, 6, 7]].map(|at| at.map(|i: usize| y[i]));
    assert!(missing.iter().all(|v| v.is_nan()), "{y:?}");
    assert_eq!(there, [1.0, 2.0, 7.0, 8.0]);
}

#[test]
fn operators_have_one_rule_each() {
    let mut names = super::super::operators();
    let all = names.len();
    names.dedup();
    assert_eq!((names.len(), names.contains(&"Gemm")), (all, true));
}

#[test]
fn known_arrays_do_not_fill_the_memory() {
    let many = |n: i64| {
        let mut graph = dense();
        graph.initializers = vec![integers("wide", &[1 << 20]), integers("one", &[1])];
        graph.nodes = vec![node("Expand", &["one", "wide"], &["0"])];
        for i in 0..n {
            let [from, to] = [i, i + 1].map(|i| i.to_string());
            graph.nodes.push(node("Neg", &[&from], &[&to]));
        }
        graph.outputs[0].name = n.to_string();
        graph
    };
    read_graph(many(2)).expect("a few");
    refused_graph(many(5), Shape, "has become too large");
    // Real numbers do not have to be known.
    let mut graph = many(5);
    graph.initializers[1] = floats("one", &[1.0], &[1]);
    graph.initializers[0].int64_data[0] = 1 << 40;
    read_graph(graph).expect("traced");
}

#[test]
fn what_is_not_a_number_is_recognised() {
    let mut graph = dense();
    graph.nodes = vec![
        node("Sqrt", &["x"], &["root"]),
        node("IsNaN", &["root"], &["wrong"]),
        node("Where", &["wrong", "x", "root"], &["y"]),
    ];
    assert_eq!(evaluate(graph, &[4.0, -1.0, 9.0]), [2.0, -1.0, 3.0]);
}

#[test]
fn dropout_does_nothing_until_trained() {
    let graph = single(node("Dropout", &["x"], &["y"]), vec![]);
    assert_eq!(evaluate(graph.clone(), &[1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]);
    let network = read_graph(graph).expect("supported");
    let without_key = Program::trace(|t| {
        let call = Call {
            parameters: t.input("parameters", [0]),
            buffers: t.input("buffers", [0]),
            inputs: &[t.input("x", [2, 3])],
            mode: Mode::Train,
            key: None,
        };
        network.trace(t, call).outputs
    });
    let e = without_key.expect_err("dropout");
    let text = "node #0 (Dropout): the network is called without a key";
    assert!(e.to_string().contains(text), "{e}");
}

#[test]
fn mistakes_name_the_node() {
    let mut graph = dense();
    graph.nodes[0].name = "layer".to_owned();
    graph.inputs = vec![info("x", data::FLOAT, &[-1, 4])];
    refused_graph(graph, Shape, "node `layer` (Gemm)");
    let huge = single(
        node("Expand", &["x", "wide"], &["y"]),
        vec![integers("wide", &[1 << 62, 1, 1])],
    );
    refused_graph(huge, Shape, "node #0 (Expand)");
    let huge = single(
        node("Tile", &["x", "wide"], &["y"]),
        vec![integers("wide", &[i64::MAX, 2])],
    );
    refused_graph(huge, Shape, "node #0 (Tile)");
    let computed = single(node("Reshape", &["x", "x"], &["y"]), vec![]);
    refused_graph(
        computed,
        Shape,
        "input 1 must be known when the network is traced",
    );
    let unknown = single(
        with(node("Softmax", &["x"], &["y"]), &[int("axis", 2)]),
        vec![],
    );
    refused_graph(unknown, Shape, "there is no axis 2 among 2");
}
