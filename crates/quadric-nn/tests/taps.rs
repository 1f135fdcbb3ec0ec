//! What goes through the layers of networks: sums of it are gradients, squares of it Gauss-Newton matrices.

mod common;

use common::{Case, close, run, waves};
use faer::Mat;
use quadric_autodiff::{Array, Padding, Program, Windows};
use quadric_core::{Backward, Layout, Model, Role, Tap, Targets};
use quadric_linalg::ErrorKind;
use quadric_nn::layers::{
    Activation, Conv1d, Conv2d, Dense, EncoderLayer, conv1d, conv2d, dense, embedding, gru, lstm,
    rnn,
};
use quadric_nn::models::{
    EncoderClassifier, Resnet, autoencoder, encoder_classifier, lenet, lstm_classifier, mlp, resnet,
};
use quadric_nn::onnx;
use quadric_nn::{Call, Examples, Init, Loss, Mode, Network, Port, Supervised, Weighted};

fn problem(case: &Case) -> Supervised<f64> {
    let examples = Examples {
        count: case.examples,
        inputs: case.inputs.clone(),
        targets: case.targets.clone(),
    };
    Supervised::new(case.network.clone(), case.loss, examples).expect("a problem")
}

/// A tap of which nothing is borrowed.
struct Owned {
    weight: usize,
    transposed: bool,
    bias: Option<usize>,
    shared: usize,
    inputs: Mat<f64>,
    gradients: Vec<Mat<f64>>,
}

fn taps(problem: &Supervised<f64>, w: &[f64], backward: Backward) -> Vec<Owned> {
    let mut all = Vec::new();
    let visited = problem.taps(w, backward, &mut |tap: Tap<'_, f64>| {
        all.push(Owned {
            weight: tap.weight,
            transposed: tap.transposed,
            bias: tap.bias,
            shared: tap.shared,
            inputs: tap.inputs.to_owned(),
            gradients: tap.gradients.iter().map(|g| g.to_owned()).collect(),
        });
        Ok(())
    });
    visited.expect("taps");
    all
}

/// Adds to a flat vector what some rows of a tap say of the parameters: `Σ input ⊗ gradient`.
fn add(out: &mut [f64], layout: &Layout, tap: &Owned, column: usize, rows: std::ops::Range<usize>) {
    let (segments, g) = (layout.segments(), &tap.gradients[column]);
    let (m, n) = (tap.inputs.ncols(), g.ncols());
    let weights = &mut out[segments[tap.weight].range()];
    for r in rows.clone() {
        for (i, o) in (0..m).flat_map(|i| (0..n).map(move |o| (i, o))) {
            let at = if tap.transposed { o * m + i } else { i * n + o };
            weights[at] += tap.inputs[(r, i)] * g[(r, o)];
        }
    }
    if let Some(bias) = tap.bias {
        let bias = &mut out[segments[bias].range()];
        for (r, o) in rows.flat_map(|r| (0..n).map(move |o| (r, o))) {
            bias[o] += g[(r, o)];
        }
    }
}

/// The entries of parameters that taps speak of.
fn tapped(layout: &Layout, taps: &[Owned]) -> Vec<usize> {
    let mut segments: Vec<usize> = taps
        .iter()
        .flat_map(|t| [Some(t.weight), t.bias].into_iter().flatten())
        .collect();
    segments.sort_unstable();
    segments.dedup();
    let ranges = segments.iter().map(|&s| layout.segments()[s].range());
    ranges.flatten().collect()
}

fn pick(v: &[f64], at: &[usize]) -> Vec<f64> {
    at.iter().map(|&i| v[i]).collect()
}

/// The sum over all labels that count.
fn weight(case: &Case) -> f64 {
    match (case.loss, &case.targets) {
        (Loss::CrossEntropy { ignored, .. }, Array::Index(labels)) => {
            labels.iter().filter(|l| Some(**l) != ignored).count() as f64
        }
        _ => case.examples as f64,
    }
}

/// All weights are tapped but those named, and sums over rows are the gradient. Returns the taps.
fn check_gradient(name: &str, case: &Case, without: &[&str]) -> Vec<Owned> {
    let (problem, w) = (problem(case), case.parameters());
    let layout = case.network.layout();
    let found = taps(&problem, &w, Backward::Gradient(Targets::Data));
    for (i, segment) in layout.segments().iter().enumerate() {
        let is_tapped = found.iter().any(|t| t.weight == i);
        let expected = segment.role == Role::Weight && !without.contains(&&*segment.name);
        assert_eq!(is_tapped, expected, "{name}: {}", segment.name);
    }
    let mut sum = vec![0.0; w.len()];
    for tap in &found {
        assert_eq!(tap.gradients.len(), 1, "{name}");
        assert_eq!(tap.inputs.nrows(), case.examples * tap.shared, "{name}");
        add(&mut sum, layout, tap, 0, 0..tap.inputs.nrows());
    }
    sum.iter_mut().for_each(|s| *s /= weight(case));
    let at = tapped(layout, &found);
    let gradient = run(&case.gradient(), &[&w]);
    let (sum, expected) = (pick(&sum, &at), pick(&gradient, &at));
    assert!(
        expected.iter().any(|g| g.abs() > 1e-4),
        "{name}: no gradient"
    );
    close(name, &sum, &expected, 1e-12);
    found
}

/// `Σ g gᵀ` over square-root columns and examples is the Gauss-Newton matrix of the tapped parameters.
fn check_fisher(name: &str, case: &Case) {
    let (problem, w) = (problem(case).with_batch(2), case.parameters());
    let layout = case.network.layout();
    let batches = case.examples.div_ceil(2);
    let found = taps(&problem, &w, Backward::Fisher);
    let at = tapped(layout, &found);
    let mut sum = Mat::<f64>::zeros(at.len(), at.len());
    let layers = found.len() / batches;
    for batch in found.chunks(layers) {
        let first = &batch[0];
        for n in 0..first.inputs.nrows() / first.shared {
            for column in 0..first.gradients.len() {
                let mut g = vec![0.0; w.len()];
                for tap in batch {
                    let rows = n * tap.shared..(n + 1) * tap.shared;
                    add(&mut g, layout, tap, column, rows);
                }
                let g = pick(&g, &at);
                let g = faer::ColRef::from_slice(&g);
                sum += g * g.transpose();
            }
        }
    }
    let whole = case.gauss_newton(&w);
    let entry = |i: usize, j: usize| whole[at[i] * w.len() + at[j]];
    let expected = Mat::from_fn(at.len(), at.len(), entry);
    let (error, most) = (
        (sum / weight(case) - &expected).norm_max(),
        expected.norm_max(),
    );
    assert!(
        most > 1e-4 && error < 1e-12 * most,
        "{name}: {error:e} of {most:e}"
    );
}

fn case(network: quadric_linalg::Result<Network>, loss: Loss, examples: usize) -> Case {
    Case::new(network.expect("a network"), loss, Mode::Evaluate, examples)
}

fn convolutions() -> quadric_linalg::Result<Network> {
    Network::new([Port::floats("x", [7, 6, 2])], |scope, x| {
        let strided = Conv2d {
            windows: Windows {
                strides: [2, 1],
                dilation: [1, 2],
                padding: Padding::Zeros([1, 0], [2, 1]),
                groups: 1,
            },
            ..Conv2d::default()
        };
        let h = conv2d(scope, "a", x[0], 4, [3, 2], &strided).tanh();
        let grouped = Conv2d {
            windows: Windows {
                padding: Padding::Same,
                groups: 2,
                ..Windows::default()
            },
            ..Conv2d::default()
        };
        let h = conv2d(scope, "grouped", h, 4, [2, 2], &grouped).tanh();
        let same = Conv2d {
            windows: Windows {
                strides: [2, 2],
                padding: Padding::Same,
                ..Windows::default()
            },
            bias: false,
            ..Conv2d::default()
        };
        let h = conv2d(scope, "b", h, 3, [2, 3], &same);
        let h = h.reshape([h.dim(0), h.dim(1) * h.dim(2), 3]);
        let along = Conv1d {
            stride: 2,
            padding: [1, 0],
            ..Conv1d::default()
        };
        let h = conv1d(scope, "c", h, 2, 3, &along).tanh();
        vec![h.mean(&[1])]
    })
}

/// Layers on steps of a sequence, of which one is used twice, weight-normalised ones, and a table.
fn sequences() -> quadric_linalg::Result<Network> {
    let ports = [Port::floats("x", [4, 3]), Port::indices("i", [4])];
    Network::new(ports, |scope, x| {
        let h = x[0] + embedding(scope, "table", x[1], 3, 3);
        let h = rnn(scope, "rnn", h, 3, Activation::Tanh).states;
        let h = gru(scope, "gru", h, 2).states;
        let h = lstm(scope, "lstm", h, 3).states;
        let normalised = Dense {
            weight_norm: true,
            ..Dense::default()
        };
        let h = dense(scope, "normalised", h, 3, &normalised).tanh();
        let twice = |h| dense(scope, "twice", h, 3, &Dense::default()).tanh();
        vec![twice(twice(h))]
    })
}

fn encoder() -> quadric_linalg::Result<Network> {
    encoder_classifier(EncoderClassifier {
        steps: 3,
        features: 2,
        width: 4,
        layers: 1,
        layer: EncoderLayer {
            feedforward: 5,
            ..EncoderLayer::new(4, 2)
        },
        classes: 3,
    })
}

/// A layer of the reader of this page, with its weights the other way round.
fn own() -> quadric_linalg::Result<Network> {
    Network::new([Port::floats("x", [3])], |scope, x| {
        let scope = scope.within("own");
        let w = scope.parameter("w", &[2, 3], Role::Weight, Init::Normal(1.0));
        let b = scope.parameter("b", &[2], Role::Bias, Init::Normal(1.0));
        let layer = Weighted {
            weight: "w",
            transposed: true,
            bias: Some("b"),
        };
        let product = scope.tap(layer, || x[0], x[0].matmul(w.transpose()));
        vec![(product + b).tanh()]
    })
}

const SMOOTHED: Loss = Loss::CrossEntropy {
    smoothing: 0.2,
    ignored: Some(1),
};

#[test]
fn sums_are_gradients() {
    let small = Resnet {
        depth: 8,
        image: [8, 8, 3],
        width: 2,
        classes: 3,
        ..Resnet::default()
    };
    let entropy = Loss::CROSS_ENTROPY;
    let normalised = ["normalised.weight_v", "grouped.weight"];
    for (name, case) in [
        ("mlp", case(mlp(&[3, 4, 3], Activation::Tanh), entropy, 5)),
        (
            "autoencoder",
            case(autoencoder(&[6, 4, 2]), Loss::Bernoulli, 3),
        ),
        ("lenet", case(lenet(), entropy, 2)),
        ("resnet", case(resnet(small), entropy, 3)),
        ("encoder", case(encoder(), entropy, 4)),
        ("lstm", case(lstm_classifier(4, 2, 3, 3), entropy, 3)),
        ("convolutions", case(convolutions(), Loss::Squared, 3)),
        ("sequences", case(sequences(), SMOOTHED, 3)),
        ("own", case(own(), Loss::MeanSquared, 4)),
    ] {
        check_gradient(name, &case, &normalised);
    }
}

#[test]
fn squares_are_gauss_newton_matrices() {
    for (name, case) in [
        (
            "mlp",
            case(mlp(&[3, 4, 3], Activation::Tanh), Loss::CROSS_ENTROPY, 5),
        ),
        (
            "wide",
            case(mlp(&[3, 2, 37], Activation::Tanh), Loss::CROSS_ENTROPY, 3),
        ),
        ("own", case(own(), Loss::MeanSquared, 4)),
        ("events", case(own(), Loss::Bernoulli, 3)),
        ("convolutions", case(convolutions(), Loss::Squared, 3)),
        ("encoder", case(encoder(), Loss::CROSS_ENTROPY, 3)),
        (
            "lstm",
            case(lstm_classifier(4, 2, 3, 3), Loss::CROSS_ENTROPY, 3),
        ),
        ("sequences", case(sequences(), SMOOTHED, 3)),
    ] {
        check_fisher(name, &case);
    }
}

/// Networks of files, weights that are rearranged before they are multiplied with, or belong to groups, and how many biases are
/// known to belong to products.
const FILES: [(&str, &[&str], usize); 13] = [
    ("mlp", &[], 3),
    ("cnn", &["conv2.weight"], 2),
    ("cnn_folded", &["onnx::Conv_40"], 2),
    ("cnn_training", &["conv2.weight"], 2),
    ("residual", &[], 1),
    ("lstm", &BOTH_WAYS, 1),
    ("lstm_legacy", &BOTH_WAYS, 1),
    (
        "gru",
        &[
            "gru.weight_ih_l0",
            "gru.weight_hh_l0",
            "gru.weight_ih_l1",
            "gru.weight_hh_l1",
        ],
        1,
    ),
    ("transformer", &[], 5),
    ("transformer_folded", &[], 5),
    ("transformer_legacy", &[], 5),
    ("jax", &[], 1),
    ("keras", &["onnx::Conv_201"], 0),
];

const BOTH_WAYS: [&str; 4] = [
    "lstm.weight_ih_l0",
    "lstm.weight_hh_l0",
    "lstm.weight_ih_l0_reverse",
    "lstm.weight_hh_l0_reverse",
];

#[test]
fn sums_are_gradients_in_files() {
    for (name, without, biases) in FILES {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/onnx");
        let mut options = onnx::Options::default();
        if name == "transformer_folded" {
            options.constants.insert("unsqueeze_2".to_owned());
        }
        let network = onnx::read(format!("{root}/{name}.onnx"), &options);
        let case = case(network, Loss::Squared, 3);
        let found = check_gradient(name, &case, without);
        assert_eq!(
            found.iter().filter(|t| t.bias.is_some()).count(),
            biases,
            "{name}"
        );
    }
}

/// The gradient of losses with drawn targets, from a trace of its own.
fn drawn(case: &Case, w: &[f64], keys: &[i32]) -> Vec<f64> {
    let Array::Float(x) = &case.inputs[0] else {
        panic!("real numbers");
    };
    let program = Program::trace(|t| {
        let parameters = t.input("w", [w.len()]);
        let shape = case.network.inputs()[0].of_batch(case.examples).shape;
        let call = Call {
            parameters,
            buffers: t.fill(0.0, [0]),
            inputs: &[t.constant(x, shape)],
            mode: Mode::Evaluate,
            key: None,
        };
        let output = case.network.trace(t, call).outputs[0];
        let labels = t.index_constant(&vec![0; case.examples], [case.examples]);
        let keys = t.index_constant(keys, [case.examples, 2]);
        let losses = case.loss.sampled(output, labels, keys);
        t.grad(losses.values.sum_all(), &[parameters])
    });
    run(&program.expect("shapes fit"), &[w])
}

#[test]
fn drawn_targets_do_not_depend_on_batches() {
    let case = case(mlp(&[3, 4, 3], Activation::Tanh), Loss::CROSS_ENTROPY, 7);
    let (w, layout) = (case.parameters(), case.network.layout());
    for draw in 0..3 {
        let expected = drawn(&case, &w, &Loss::keys(5, draw, 0..7));
        for batch in [1, 3, 7] {
            let problem = problem(&case).with_batch(batch);
            let targets = Targets::Sampled { draw, seed: 5 };
            let mut sum = vec![0.0; w.len()];
            for tap in taps(&problem, &w, Backward::Gradient(targets)) {
                add(&mut sum, layout, &tap, 0, 0..tap.inputs.nrows());
            }
            close(&format!("draw {draw}"), &sum, &expected, 1e-12);
        }
    }
}

#[test]
fn memory_is_respected() {
    let case = case(mlp(&[3, 4, 3], Activation::Tanh), Loss::CROSS_ENTROPY, 7);
    let w = case.parameters();
    // One example: inputs 3 + 4, three columns of 4 + 3.
    let one = 8 * (7 + 3 * 7);
    let visits = |bytes: usize| {
        let problem = problem(&case).with_memory(bytes);
        let mut visits = 0;
        let done = problem.taps(&w, Backward::Fisher, &mut |_| {
            visits += 1;
            Ok(())
        });
        done.map(|()| visits)
    };
    assert_eq!(visits(7 * one).expect("all at once"), 2);
    assert_eq!(visits(3 * one + 1).expect("in three batches"), 6);
    let error = visits(one - 1).expect_err("not one example");
    assert_eq!(error.kind(), ErrorKind::Resource);
    assert!(
        error.to_string().contains("draw targets instead"),
        "{error}"
    );
}

#[test]
fn wrong_taps_and_points_are_refused() {
    let wrong = Network::new([Port::floats("x", [3])], |scope, x| {
        let w = scope.parameter("w", &[3, 2], Role::Weight, Init::Normal(1.0));
        let layer = Weighted {
            weight: "v",
            transposed: false,
            bias: None,
        };
        vec![scope.tap(layer, || x[0], x[0].matmul(w))]
    });
    let case = case(wrong, Loss::Squared, 2);
    let (w, x) = (case.parameters(), waves(3, 0.1));
    let backward = Backward::Gradient(Targets::Data);
    let refused = |w: &[f64]| {
        let found = problem(&case).taps(w, backward, &mut |_| Ok(()));
        found.expect_err("wrong").to_string()
    };
    let text = refused(&w);
    assert!(
        text.contains("there is no parameter `v` of 6 entries"),
        "{text}"
    );
    let text = refused(&x);
    assert!(text.contains("the point"), "{text}");
}
