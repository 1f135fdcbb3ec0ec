//! The Hessian of a small ResNet-20 in numbers of PyHessian and curvlinops, which `testdata/curvature/make.py` wrote.

use faer::{Mat, MatRef};
use quadric_autodiff::Array;
use quadric_core::{Layout, LinearOperator, Model, Objective, TwiceSmooth};
use quadric_curvature::{Block, Saved, SpectrumOptions, spectrum};
use quadric_linalg::estimate::{DensityOptions, LanczosQuadrature, QuadratureState, Rule};
use quadric_nn::{Examples, Loss, Supervised, onnx};
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::PathBuf;

fn path(file: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata")).join(file)
}

fn number(v: &Value) -> f64 {
    v.as_f64().expect("a number")
}

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().expect("a list").iter().map(number).collect()
}

/// The problem, its point, and what the others found.
fn fixture() -> (Supervised<f64>, Vec<f64>, Value) {
    let text = std::fs::read_to_string(path("curvature/resnet20.json")).expect("a record");
    let record: Value = serde_json::from_str(&text).expect("JSON");
    let network = onnx::read(path("onnx/resnet20.onnx"), &onnx::Options::default());
    let network = network.expect("a network");
    let mut x: Vec<f64> = network.initial(0);
    let last = network.layout().find("fc.weight").expect("a layer").range();
    x[last].iter_mut().for_each(|w| *w /= 64.0);
    let labels = numbers(&record["labels"]);
    let images = numbers(&record["images"]);
    let examples = Examples {
        count: labels.len(),
        inputs: vec![Array::Float(
            images.iter().map(|v| v / 2f64.powi(18)).collect(),
        )],
        targets: Array::Index(labels.iter().map(|v| *v as i32).collect()),
    };
    let problem = Supervised::new(network, Loss::CROSS_ENTROPY, examples).expect("a problem");
    (problem, x, record)
}

/// The signs of the record in our order of parameters.
fn start(layout: &Layout, record: &Value) -> Vec<f64> {
    let mut all = Vec::new();
    for s in layout.segments() {
        let signs = record["start"][&s.name].as_str().expect("signs");
        assert_eq!(signs.len(), s.len(), "{}", s.name);
        all.extend(signs.chars().map(|c| if c == '+' { 1.0 } else { -1.0 }));
    }
    all
}

#[track_caller]
fn near(found: f64, expected: f64, tolerance: f64) {
    let error = (found - expected).abs();
    assert!(
        error <= tolerance,
        "{found} for {expected}: {error:e}, not {tolerance:e}"
    );
}

/// The loss, the five eigenvalues at each end, and the trace, in all and of each parameter.
#[test]
fn eigenvalues_and_traces_agree_with_pyhessian_and_curvlinops() {
    let (problem, x, record) = fixture();
    let (theirs, exact) = (&record["pyhessian"], &record["curvlinops"]);
    let value = problem.value(&x).expect("a loss");
    near(value, number(&record["loss"]), 1e-11);
    let op = problem.hessian(&x).expect("a matrix");
    let parameters: Vec<Block> = (problem.layout().segments().iter())
        .map(|s| Block {
            name: s.name.clone(),
            range: s.range(),
        })
        .collect();
    let options = SpectrumOptions {
        tolerance: 1e-7,
        density: None,
        ..SpectrumOptions::default()
    };
    let found = spectrum(
        &*op,
        &parameters,
        None,
        &options,
        Saved::default(),
        &mut |_| ControlFlow::Continue(()),
    )
    .expect("an analysis");
    assert!(!found.exact);
    let largest = numbers(&exact["largest"]);
    let norm = largest[0];
    for (ours, expected) in [
        (&found.top, &largest),
        (&found.bottom, &numbers(&exact["smallest"])),
    ] {
        assert_eq!(ours.len(), 5);
        for (e, expected) in ours.iter().zip(expected) {
            assert!(e.converged && e.residual <= 1e-7 * norm, "{e:?}");
            near(e.value, *expected, e.residual + 1e-10 * norm);
        }
    }
    // What PyHessian states, and twice the millionth by which its vectors are too short.
    let tolerance = number(&theirs["tolerance"]) + 3e-6;
    for (e, expected) in found.top.iter().zip(numbers(&theirs["values"])) {
        near(e.value, expected, tolerance * expected.abs());
    }
    let trace = found.trace.expect("a trace");
    assert!(trace.met, "{trace:?}");
    let whole = number(&exact["trace"]);
    assert!(trace.value.contains(whole), "{trace:?} for {whole}");
    near(trace.value.value, whole, 0.01 * whole);
    // The mean of PyHessian's 200 forms, by its standard error.
    let error = trace.value.half_width() + 3.0 * number(&theirs["error"]);
    near(trace.value.value, number(&theirs["mean"]), error);
    let mut inside = 0;
    for part in &found.layers {
        let expected = number(&exact["parameters"][&part.block.name]);
        inside += usize::from(part.trace.contains(expected));
    }
    // Of 59 intervals at 95 %, fewer than 52 contain the truth once in a hundred times, were they independent.
    assert_eq!(found.layers.len(), 59);
    assert!(inside >= 52, "{inside}");
}

fn agree(rule: &Rule, theirs: &Value, nodes: f64, weights: f64) {
    let expected = (numbers(&theirs["nodes"]), numbers(&theirs["weights"]));
    assert_eq!(rule.nodes.len(), expected.0.len());
    for (found, expected) in rule.nodes.iter().zip(&expected.0) {
        near(*found, *expected, nodes);
    }
    for (found, expected) in rule.weights.iter().zip(&expected.1) {
        near(*found, *expected, weights);
    }
}

/// The nodes and weights that Lanczos steps from one start give, and its quadratic form.
#[test]
fn densities_of_one_start_agree_with_pyhessian_and_curvlinops() {
    let (problem, x, record) = fixture();
    let (theirs, plain) = (&record["pyhessian"], &record["curvlinops"]);
    let op = problem.hessian(&x).expect("a matrix");
    let z = start(problem.layout(), &record);
    let n = z.len();
    let mut image = Mat::zeros(n, 1);
    let column = MatRef::from_column_major_slice(&z, n, 1);
    op.apply(column, image.as_mut()).expect("a product");
    let form = column.col(0).transpose() * image.col(0);
    near(form, number(&theirs["form"]), 1e-11 * form.abs());

    let options = DensityOptions {
        probes: 1,
        steps: numbers(&theirs["nodes"]).len(),
        dense: 0,
        // As PyHessian does.
        store_basis: true,
        ..DensityOptions::default()
    };
    let state = QuadratureState {
        vectors: z.iter().map(|z| z / (n as f64).sqrt()).collect(),
        ..QuadratureState::default()
    };
    let mut run = LanczosQuadrature::resume(&*op, None, &options, state).expect("a start");
    let norm = numbers(&plain["largest"])[0];
    while run.step().expect("finite products") {
        if run.progress().0 == numbers(&plain["nodes"]).len() {
            let rule = &run.density().expect("steps").rules[0];
            agree(rule, plain, 1e-11 * norm, 1e-11);
        }
    }
    let rule = &run.density().expect("steps").rules[0];
    // PyHessian's vectors are shorter than 1 by 1e-6 divided by their length before.
    agree(rule, theirs, 2e-9 * norm, 1e-8);
}
