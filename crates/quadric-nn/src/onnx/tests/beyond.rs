//! Functions that models define, sequences of different lengths, dropout with a key, sums by index.

use super::super::proto::{self, attribute, data};
use super::{
    floats, info, int, integers, model, node, output, read_graph, read_model, refused, with,
};
use crate::onnx::graph::OPSETS;
use crate::{Mode, Network};
use quadric_autodiff::Data;
use quadric_linalg::ErrorKind::{Data as Unsupported, Malformed, Resource};

/// A value whose axes without a length count examples.
fn batch(name: &str, data_type: i32, lengths: &[i64]) -> proto::ValueInfo {
    let mut info = info(name, data_type, lengths);
    let tensor = info.of_type.as_mut().and_then(|t| t.tensor.as_mut());
    let shape = tensor.and_then(|t| t.shape.as_mut()).expect("made above");
    let open = shape.dims.iter_mut().filter(|d| d.value.is_none());
    open.for_each(|d| d.parameter = Some("n".to_owned()));
    info
}

fn outputs(
    network: &Network,
    mode: Mode,
    examples: usize,
    inputs: &[Data<'_, f64>],
) -> quadric_linalg::Result<Vec<Vec<f64>>> {
    let (parameters, buffers) = (network.initial::<f64>(0), network.initial_buffers::<f64>());
    let own = [Data::Float(&parameters), Data::Float(&buffers)];
    let all: Vec<Data<'_, f64>> = own.into_iter().chain(inputs.iter().copied()).collect();
    let found = network.program(examples, mode)?.run(&all)?;
    Ok(found.iter().map(|v| v.floats().to_vec()).collect())
}

fn waves(n: usize) -> Vec<f64> {
    (0..n).map(|i| (0.7 + 1.3 * i as f64).sin()).collect()
}

/// A layer over so many steps of two inputs, with three hidden states, in both directions.
fn recurrent(op: &str, gates: usize, steps: i64, lengths: bool) -> proto::Graph {
    let tensor = |name: &str, shape: [usize; 3]| {
        let values: Vec<f32> = waves(shape.iter().product())
            .iter()
            .map(|&v| v as f32)
            .collect();
        floats(name, &values, &shape.map(|n| n as i64))
    };
    let mut bias = tensor("b", [2, 1, 6 * gates]);
    bias.dims = vec![2, 6 * gates as i64];
    let given = if lengths { "lengths" } else { "" };
    let direction = proto::Attribute {
        name: "direction".to_owned(),
        kind: attribute::TEXT,
        text: b"bidirectional".to_vec(),
        ..proto::Attribute::default()
    };
    let mut inputs = vec![batch("x", data::FLOAT, &[steps, -1, 2])];
    if lengths {
        inputs.push(batch("lengths", data::INT32, &[-1]));
    }
    proto::Graph {
        nodes: vec![with(
            node(op, &["x", "w", "r", "b", given], &["y", "last"]),
            &[int("hidden_size", 3), direction],
        )],
        initializers: vec![
            tensor("w", [2, 3 * gates, 2]),
            tensor("r", [2, 3 * gates, 3]),
            bias,
        ],
        inputs,
        outputs: vec![output("y"), output("last")],
        ..proto::Graph::default()
    }
}

#[test]
fn sequences_end_where_their_lengths_say() {
    let (steps, lengths) = (4, [2, 4, 0, 1]);
    let x = waves(steps * 4 * 2);
    for (op, gates) in [("RNN", 1), ("GRU", 3), ("LSTM", 4)] {
        let network = read_graph(recurrent(op, gates, steps as i64, true)).expect("supported");
        let inputs = [Data::Float(&x), Data::Index(&lengths)];
        let all = outputs(&network, Mode::Evaluate, 4, &inputs).expect("inputs fit");
        for (b, &length) in lengths.iter().enumerate() {
            let length = length as usize;
            // (steps, directions, batch, hidden) and (directions, batch, hidden).
            let own = |step: usize| &all[0][step * 24..][..24];
            let of = |v: &[f64], d: usize| v[d * 12 + b * 3..][..3].to_vec();
            for step in length..steps {
                assert_eq!([of(own(step), 0), of(own(step), 1)], [[0.0; 3]; 2], "{op}");
            }
            if length == 0 {
                assert_eq!([of(&all[1], 0), of(&all[1], 1)], [[0.0; 3]; 2], "{op}");
                continue;
            }
            // The same as the short sequence alone.
            let alone = read_graph(recurrent(op, gates, length as i64, false));
            let short = (0..length).flat_map(|step| &x[step * 8 + b * 2..][..2]);
            let short: Vec<f64> = short.copied().collect();
            let inputs = [Data::Float(&short[..])];
            let alone = alone.and_then(|n| outputs(&n, Mode::Evaluate, 1, &inputs));
            let alone = alone.expect("inputs fit");
            for d in 0..2 {
                for step in 0..length {
                    assert_eq!(of(own(step), d), alone[0][step * 6 + d * 3..][..3], "{op}");
                }
                assert_eq!(of(&all[1], d), alone[1][d * 3..][..3], "{op}");
            }
        }
    }
}

#[test]
fn a_key_says_what_is_dropped() {
    let graph = proto::Graph {
        nodes: vec![node("Dropout", &["x", "ratio"], &["y", "kept"])],
        initializers: vec![floats("ratio", &[0.25], &[])],
        inputs: vec![batch("x", data::FLOAT, &[-1, 50])],
        outputs: vec![output("y"), output("kept")],
        ..proto::Graph::default()
    };
    let network = read_graph(graph).expect("supported");
    assert!(network.is_random());
    let x = waves(2000);
    let at = |mode: Mode, key: [i32; 2]| {
        let inputs = [Data::Float(&x[..]), Data::Index(&key)];
        let given = if mode == Mode::Train { 2 } else { 1 };
        outputs(&network, mode, 40, &inputs[..given]).expect("inputs fit")
    };
    assert_eq!(at(Mode::Evaluate, [0, 0]), [x.clone(), vec![1.0; 2000]]);
    let [first, again, other] = [[3, 1], [3, 1], [3, 2]].map(|key| at(Mode::Train, key));
    assert_eq!(first, again);
    assert_ne!(first, other);
    let kept: f64 = first[1].iter().sum();
    // The deviation of a share of 2000 is 0.0097.
    assert!((kept / 2000.0 - 0.75).abs() < 0.04, "{kept}");
    for ((x, y), kept) in x.iter().zip(&first[0]).zip(&first[1]) {
        assert!((y - kept * x / 0.75).abs() < 1e-12);
    }
}

#[test]
fn sums_by_index_take_indices_from_inputs() {
    let reduction = proto::Attribute {
        name: "reduction".to_owned(),
        kind: attribute::TEXT,
        text: b"add".to_vec(),
        ..proto::Attribute::default()
    };
    let shapes = [("ScatterND", [-1, 1]), ("ScatterElements", [-1, 2])];
    for (op, indices) in shapes {
        let graph = proto::Graph {
            nodes: vec![with(
                node(op, &["table", "at", "x"], &["y"]),
                std::slice::from_ref(&reduction),
            )],
            initializers: vec![floats("table", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2])],
            inputs: vec![
                batch("x", data::FLOAT, &[-1, 2]),
                batch("at", data::INT64, &indices),
            ],
            outputs: vec![output("y")],
            ..proto::Graph::default()
        };
        let network = read_graph(graph).expect("supported");
        let x = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0];
        let (rows, places) = ([2, 0, 2], [2, 0, 0, 1, 2, 0]);
        let (at, expected) = match op {
            "ScatterND" => (&rows[..], [31.0, 42.0, 3.0, 4.0, 65.0, 86.0]),
            _ => (&places[..], [31.0, 82.0, 3.0, 44.0, 65.0, 6.0]),
        };
        let inputs = [Data::Float(&x), Data::Index(at)];
        let found = outputs(&network, Mode::Evaluate, 3, &inputs).expect("inputs fit");
        assert_eq!(found, [expected], "{op}");
    }
}

/// `y = leaky(twice(x))` by functions that call each other.
fn calling() -> proto::Model {
    let function = |name: &str, nodes: Vec<proto::Node>| proto::Function {
        name: name.to_owned(),
        domain: "own".to_owned(),
        inputs: vec!["a".to_owned()],
        outputs: vec!["b".to_owned()],
        nodes,
        opsets: vec![proto::Opset {
            domain: String::new(),
            version: 17,
        }],
        ..proto::Function::default()
    };
    let call = |op: &str, inputs: &[&str], outputs: &[&str]| proto::Node {
        domain: "own".to_owned(),
        ..node(op, inputs, outputs)
    };
    let mut slope = int("alpha", 0);
    (slope.kind, slope.float) = (attribute::FLOAT, 0.5);
    let reference = proto::Attribute {
        reference: "slope".to_owned(),
        kind: attribute::FLOAT,
        ..int("alpha", 0)
    };
    let named = |name: &str, a: &proto::Attribute| proto::Attribute {
        name: name.to_owned(),
        ..a.clone()
    };
    let mut leaky = function(
        "leaky",
        vec![
            call("twice", &["a"], &["t"]),
            with(node("LeakyRelu", &["t"], &["b"]), &[reference]),
        ],
    );
    leaky.defaults = vec![named("slope", &slope)];
    let twice = function("twice", vec![node("Add", &["a", "a"], &["b"])]);
    let mut steep = slope.clone();
    steep.float = 2.0;
    let graph = proto::Graph {
        nodes: vec![
            call("leaky", &["x"], &["t"]),
            with(call("leaky", &["t"], &["y"]), &[named("slope", &steep)]),
        ],
        inputs: vec![batch("x", data::FLOAT, &[-1, 2])],
        outputs: vec![output("y")],
        ..proto::Graph::default()
    };
    proto::Model {
        functions: vec![leaky, twice],
        ..model(graph)
    }
}

#[test]
fn functions_are_written_out_where_they_are_called() {
    let network = read_model(&calling()).expect("supported");
    let found = outputs(&network, Mode::Evaluate, 1, &[Data::Float(&[3.0, -3.0])]);
    // -3 doubles to -6, half of it is -3, which doubles to -6, twice of it is -12.
    assert_eq!(found.expect("inputs fit"), [[12.0, -12.0]]);
}

#[test]
fn functions_that_do_not_fit_are_refused() {
    let mut model = calling();
    model.functions[1].nodes[0].op = "leaky".to_owned();
    model.functions[1].nodes[0].domain = "own".to_owned();
    model.functions[1].nodes[0].inputs.truncate(1);
    refused(&model, Malformed, "functions call each other 64 deep");
    let mut model = calling();
    model.functions.push(model.functions[0].clone());
    refused(&model, Malformed, "is defined twice");
    let mut model = calling();
    model.functions[0].opsets[0].version = *OPSETS.end();
    refused(&model, Unsupported, "is of opset 28, the model of 17");
    let mut model = calling();
    model.functions[1].inputs.clear();
    refused(&model, Malformed, "`twice` takes 0 values");
    // Each of 30 functions calls the next one twice.
    let mut model = calling();
    let twice = model.functions[1].clone();
    model.functions = (0..30)
        .map(|i| {
            let call = |from: &str, to: &str| proto::Node {
                domain: "own".to_owned(),
                ..node(&format!("f{}", i + 1), &[from], &[to])
            };
            proto::Function {
                name: if i == 0 {
                    "leaky".to_owned()
                } else {
                    format!("f{i}")
                },
                nodes: match i {
                    29 => twice.nodes.clone(),
                    _ => vec![call("a", "t"), call("t", "b")],
                },
                ..twice.clone()
            }
        })
        .collect();
    refused(&model, Resource, "262144 nodes");
    let mut model = calling();
    model.graph.as_mut().expect("a graph").initializers = vec![integers("unread", &[1])];
    assert!(read_model(&model).is_ok());
}

#[test]
fn volumes_are_convolved_as_the_definition_says() {
    let ints = |name: &str, values: &[i64]| proto::Attribute {
        name: name.to_owned(),
        kind: attribute::INTS,
        ints: values.to_vec(),
        ..proto::Attribute::default()
    };
    // Two groups of a channel each; the depth moves by 2, the width is dilated.
    let (x, kernel) = (waves(2 * 5 * 3 * 4), waves(4 * 2 * 2 * 2));
    let single: Vec<f32> = kernel.iter().map(|&v| v as f32).collect();
    let conv = with(
        node("Conv", &["x", "w", "b"], &["y"]),
        &[
            ints("strides", &[2, 1, 1]),
            ints("dilations", &[1, 1, 2]),
            ints("pads", &[1, 0, 0, 0, 1, 1]),
            int("group", 2),
        ],
    );
    let graph = proto::Graph {
        nodes: vec![conv],
        initializers: vec![
            floats("w", &single, &[4, 1, 2, 2, 2]),
            floats("b", &[0.5, -1.0, 2.0, 3.0], &[4]),
        ],
        inputs: vec![batch("x", data::FLOAT, &[-1, 2, 5, 3, 4])],
        outputs: vec![output("y")],
        ..proto::Graph::default()
    };
    let network = read_graph(graph).expect("supported");
    let found = outputs(&network, Mode::Evaluate, 1, &[Data::Float(&x)]).expect("inputs fit");
    let at = |c: usize, z: usize, y: usize, x_at: usize| {
        // Zeros around: one before the depth, one behind the height and width.
        let inside = (1..6).contains(&z) && y < 3 && x_at < 4;
        if inside {
            x[((c * 5 + z - 1) * 3 + y) * 4 + x_at]
        } else {
            0.0
        }
    };
    let mut expected = Vec::new();
    for (o, bias) in [0.5, -1.0, 2.0, 3.0].into_iter().enumerate() {
        for (z, y, x_at) in
            (0..3).flat_map(|z| (0..3).flat_map(move |y| (0..3).map(move |x| (z, y, x))))
        {
            let tap = |k: usize| {
                let (kz, ky, kx) = (k / 4, k / 2 % 2, k % 2);
                f64::from(single[o * 8 + k]) * at(o / 2, 2 * z + kz, y + ky, x_at + 2 * kx)
            };
            expected.push(bias + (0..8).map(tap).sum::<f64>());
        }
    }
    assert_eq!(found[0].len(), expected.len());
    for (f, e) in found[0].iter().zip(&expected) {
        assert!((f - e).abs() < 1e-12, "{f} is not {e}");
    }
}
