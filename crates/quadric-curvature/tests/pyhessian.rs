//! Where PyHessian is wrong or fails on a model, the same analysis here is right: parameters that do not reach the loss, for which it
//! has no gradient, and losses without curvature. `crates/quadric-linalg/tests/pyhessian.rs` has the cases of operators.

use faer::Mat;
use quadric_autodiff::Array;
use quadric_core::{Matrix, Model, Overwrite, Smooth, TwiceSmooth};
use quadric_curvature::{
    Block, Factors, Saved, Sharing, Spectrum, SpectrumOptions, blocks, spectrum,
};
use quadric_linalg::dense::symmetric_eigen;
use quadric_linalg::random::SeedTree;
use quadric_linalg::{LinearOperator, Result};
use quadric_nn::layers::{Dense, dense, embedding};
use quadric_nn::{Examples, Loss, Network, Port, Supervised, Weights, onnx};
use std::ops::ControlFlow;

const EXAMPLES: usize = 20;

fn normals(n: usize, seed: u64) -> Vec<f64> {
    let mut stream = SeedTree::new(seed).child("numbers").stream(0);
    (0..n).map(|_| stream.normal()).collect()
}

fn analysed(
    op: &dyn LinearOperator<f64>,
    layers: &[Block],
    options: &SpectrumOptions,
) -> Spectrum<f64> {
    let go = &mut |_: &quadric_curvature::At<'_, f64>| ControlFlow::Continue(());
    spectrum(op, layers, None, options, Saved::default(), go).expect("an analysis")
}

fn written(op: &dyn LinearOperator<f64>) -> Mat<f64> {
    let mut out = Mat::zeros(op.shape().0, op.shape().1);
    op.dense(out.as_mut()).expect("a matrix");
    out
}

/// A classifier with a second head that no loss sees, and a layer whose result is dropped.
fn two_heads(hidden: usize) -> Result<Network> {
    Network::new([Port::floats("x", [6])], move |scope, x| {
        let options = Dense::default();
        let h = dense(scope, "body", x[0], hidden, &options).tanh();
        let _ = dense(scope, "dropped", h, 3, &options);
        let logits = dense(scope, "head", h, 4, &options);
        vec![logits, dense(scope, "other", h, 5, &options)]
    })
}

fn classified(network: Network, inputs: Array<f64>, classes: usize) -> Supervised<f64> {
    let labels = (0..EXAMPLES).map(|i| (i % classes) as i32).collect();
    let examples = Examples {
        count: EXAMPLES,
        inputs: vec![inputs],
        targets: Array::Index(labels),
    };
    Supervised::new(network, Loss::CROSS_ENTROPY, examples).expect("a problem")
}

/// Coordinates of parameters whose names begin with one of these.
fn coordinates(problem: &Supervised<f64>, names: &[&str]) -> Vec<usize> {
    let segments = problem.layout().segments().iter();
    let unused = segments.filter(|s| names.iter().any(|n| s.name.starts_with(n)));
    unused.flat_map(|s| s.range()).collect()
}

/// What is unused has exact zeros everywhere, and all else is as it is without it.
fn check(problem: &Supervised<f64>, x: &[f64], unused: &[usize]) {
    assert!(!unused.is_empty());
    let mut gradient = vec![0.0; x.len()];
    problem.value_grad(x, &mut gradient).expect("finite");
    assert!(unused.iter().all(|&i| gradient[i] == 0.0));
    assert!(gradient.iter().any(|g| g.abs() > 1e-3));
    let layers = blocks(problem.layout());
    for of in [
        Matrix::Hessian,
        Matrix::GaussNewton,
        Matrix::Fisher,
        Matrix::SampledFisher { draws: 1, seed: 2 },
        Matrix::EmpiricalFisher,
        Matrix::Covariance,
    ] {
        let op = problem.matrix(x, of).expect("a matrix");
        let whole = written(&*op);
        for &i in unused {
            let row = (0..x.len()).flat_map(|j| [whole[(i, j)], whole[(j, i)]]);
            assert!(row.into_iter().all(|v| v == 0.0), "{of:?}, row {i}");
        }
        let used: Vec<usize> = (0..x.len()).filter(|i| !unused.contains(i)).collect();
        let inner = Mat::from_fn(used.len(), used.len(), |i, j| whole[(used[i], used[j])]);
        let mut values = symmetric_eigen(inner.as_ref()).expect("finite").values;
        values.extend(unused.iter().map(|_| 0.0));
        values.sort_by(|a, b| b.total_cmp(a));
        // By the dense matrix, and by estimates.
        for dense in [2000, 0] {
            let options = SpectrumOptions {
                dense,
                trace: 0.05,
                ..SpectrumOptions::default()
            };
            let found = analysed(&*op, &layers, &options);
            let norm = values[0];
            for (e, exact) in found.top.iter().zip(&values) {
                assert!(e.converged && (e.value - exact).abs() <= e.residual + 1e-9 * norm);
            }
            for (e, exact) in found.bottom.iter().zip(values.iter().rev()) {
                assert!(e.converged && (e.value - exact).abs() <= e.residual + 1e-9 * norm);
            }
            for layer in &found.layers {
                if layer.block.range.clone().all(|i| unused.contains(&i)) {
                    // Known eigenvectors have a little of their random start there.
                    let (trace, rounding) = (layer.trace, 1e-6 * norm);
                    let name = &layer.block.name;
                    assert!(trace.value.abs() <= rounding, "{of:?} {name}: {trace:?}");
                    assert!(trace.half_width() <= rounding, "{of:?} {name}: {trace:?}");
                }
            }
        }
    }
}

#[test]
fn heads_and_layers_that_no_loss_sees() {
    let network = two_heads(20).expect("a network");
    let x: Vec<f64> = network.initial(3);
    let inputs = || Array::Float(normals(EXAMPLES * 6, 1));
    let problem = classified(network.clone(), inputs(), 4);
    check(&problem, &x, &coordinates(&problem, &["dropped", "other"]));
    // Kronecker factors of what is seen are those of the network without the rest.
    let factors = Factors::new(&problem, &x, Matrix::Fisher, Sharing::Expand).expect("factors");
    let stands = written(&factors.operator::<f64>().expect("an operator"));
    for i in coordinates(&problem, &["dropped", "other"]) {
        assert!((0..x.len()).all(|j| stands[(i, j)] == 0.0));
    }
    for i in coordinates(&problem, &["body", "head"]) {
        assert!(stands[(i, i)] > 0.0);
    }
}

/// The same from an ONNX file: its second output has parameters of its own.
#[test]
fn onnx_networks_with_outputs_that_no_loss_sees() {
    let network = two_heads(20).expect("a network");
    let x: Vec<f64> = network.initial(3);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("two_heads.onnx");
    let weights = Weights {
        parameters: x,
        buffers: network.initial_buffers(),
    };
    onnx::write(&file, &network, &weights, Overwrite::Refuse).expect("a file");
    let read = onnx::read(&file, &onnx::Options::default()).expect("a network");
    let at: Vec<f64> = read.initial(0);
    let problem = classified(read, Array::Float(normals(EXAMPLES * 6, 1)), 4);
    check(&problem, &at, &coordinates(&problem, &["other"]));
}

/// Rows of a table that no example names.
#[test]
fn embeddings_of_words_that_do_not_occur() {
    let network = Network::new([Port::indices("ids", [3])], |scope, x| {
        let h = embedding(scope, "words", x[0], 9, 4).mean(&[1]);
        vec![dense(scope, "head", h.tanh(), 4, &Dense::default())]
    })
    .expect("a network");
    let x: Vec<f64> = network.initial(3);
    let ids = (0..EXAMPLES * 3).map(|i| (i * i % 5) as i32).collect();
    let problem = classified(network, Array::Index(ids), 4);
    let table = problem.layout().segments()[0].range();
    let occurs = [0, 1, 4];
    let unused: Vec<usize> = table.filter(|i| !occurs.contains(&(i / 4))).collect();
    check(&problem, &x, &unused);
}

/// One class has probability 1 whatever the parameters are: no gradient, no curvature, and no division by them.
#[test]
fn losses_without_curvature() {
    for (hidden, dense) in [(20, 2000), (20, 0), (300, 2000)] {
        let network =
            quadric_nn::models::mlp(&[6, hidden, 1], quadric_nn::layers::Activation::Tanh)
                .expect("sizes");
        let x: Vec<f64> = network.initial(1);
        let problem = classified(network, Array::Float(normals(EXAMPLES * 6, 2)), 1);
        let layers = blocks(problem.layout());
        let op = problem.hessian(&x).expect("a matrix");
        let options = SpectrumOptions {
            dense,
            layer_tops: true,
            ..SpectrumOptions::default()
        };
        let found = analysed(&*op, &layers, &options);
        for e in found.top.iter().chain(&found.bottom) {
            assert!(e.converged && e.value == 0.0 && e.residual == 0.0, "{e:?}");
        }
        let trace = found.trace.expect("a trace");
        assert!(trace.met && trace.value.value == 0.0 && trace.value.half_width() == 0.0);
        for layer in &found.layers {
            assert!(layer.trace.value == 0.0 && layer.trace.half_width() == 0.0);
            let top = layer.top.expect("asked for");
            assert!(top.converged && top.value == 0.0, "{top:?}");
        }
        let density = found.density.expect("a density");
        assert!(density.atoms().iter().all(|a| a.0 == 0.0));
    }
}
