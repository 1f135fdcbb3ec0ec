//! Matrices of networks at every granularity, and what is made of them.

mod cases;
mod factors;
mod forms;
mod generalisation;
mod golden;
mod influence;
mod laplace;
mod shapes;
mod traces;

use faer::Mat;
use quadric_autodiff::{Array, Kind};
use quadric_core::FiniteSum;
use quadric_linalg::dense::EquilibratedCholesky;
use quadric_linalg::{ErrorKind, LinearOperator, Result};
use quadric_nn::layers::{Activation, Conv2d, Dense, EncoderLayer, conv2d, dense, gru};
use quadric_nn::models::{EncoderClassifier, encoder_classifier, mlp};
use quadric_nn::{Examples, Loss, Network, Port, Supervised};

type Problem = Supervised<f64>;

fn waves(n: usize, phase: f64) -> Vec<f64> {
    (0..n)
        .map(|i| (phase + 1.7 * i as f64 + 0.01 * (i * i) as f64).sin())
        .collect()
}

/// Linear regression, its features with a 1 behind each, and its targets.
fn regression(n: usize, features: usize, others: bool) -> (Problem, Mat<f64>, Vec<f64>) {
    let network = Network::new([Port::floats("x", [features])], |scope, x| {
        vec![dense(scope, "fc", x[0], 1, &Dense::default())]
    });
    let phase = if others { 2.9 } else { 0.7 };
    let (x, noise) = (waves(n * features, phase), waves(n, 3.0 * phase));
    let target = |i: usize| 0.5 + x[i * features] - 0.7 * x[i * features + 1] + 0.6 * noise[i];
    let y: Vec<f64> = (0..n).map(target).collect();
    let phi = Mat::from_fn(n, features + 1, |i, j| match j < features {
        true => x[i * features + j],
        false => 1.0,
    });
    let examples = Examples {
        count: n,
        inputs: vec![Array::Float(x)],
        targets: Array::Float(y.clone()),
    };
    let problem = Supervised::new(network.expect("a network"), Loss::Squared, examples);
    (problem.expect("a problem"), phi, y)
}

/// Events whose logits depend on two features, with errors.
fn logistic(n: usize, phase: f64) -> Problem {
    let network = Network::new([Port::floats("x", [2])], |scope, x| {
        vec![dense(scope, "fc", x[0], 1, &Dense::default())]
    });
    let x = waves(2 * n, phase);
    let event = |i: usize| x[2 * i] - 0.5 * x[2 * i + 1] + 0.8 * (5.0 * i as f64).cos() > 0.1;
    let events = (0..n).map(|i| f64::from(u8::from(event(i)))).collect();
    let examples = Examples {
        count: n,
        inputs: vec![Array::Float(x.clone())],
        targets: Array::Float(events),
    };
    let problem = Supervised::new(network.expect("a network"), Loss::Bernoulli, examples);
    problem.expect("a problem")
}

/// The minimiser of a convex loss plus `l2/2 |x|²`, by Newton's method.
fn minimised<P: FiniteSum<f64> + ?Sized>(problem: &P, l2: f64, mut x: Vec<f64>) -> Vec<f64> {
    let problem = problem.as_twice_smooth().expect("a Hessian");
    for _ in 0..30 {
        let mut g = vec![0.0; x.len()];
        problem.value_grad(&x, &mut g).expect("finite");
        g.iter_mut().zip(&x).for_each(|(g, x)| *g += l2 * x);
        let h = matrix(&*problem.hessian(&x).expect("a matrix"));
        let shifted = h + l2 * Mat::<f64>::identity(x.len(), x.len());
        let factor = EquilibratedCholesky::new(shifted.as_ref(), 0.0).expect("convex");
        factor.solve_vector_in_place(&mut g);
        x.iter_mut().zip(&g).for_each(|(x, g)| *x -= g);
    }
    x
}

/// Inputs that are waves, targets that fit the loss, and a point that is nowhere special.
fn problem(network: Result<Network>, loss: Loss, count: usize) -> (Problem, Vec<f64>) {
    let network = network.expect("a network");
    let program = network
        .program(1, quadric_nn::Mode::Evaluate)
        .expect("shapes fit");
    let target = loss
        .target(&program.output_type(0).shape[1..])
        .expect("an output");
    let array = |port: &Port, phase: f64| {
        let t = port.of_batch(count);
        match t.kind {
            Kind::Float => Array::Float(waves(t.len(), phase)),
            Kind::Index => Array::Index((0..t.len()).map(|i| (i * i % 3) as i32).collect()),
        }
    };
    let examples = Examples {
        count,
        inputs: network.inputs().iter().map(|p| array(p, 0.3)).collect(),
        targets: array(&target, 2.1),
    };
    let start: Vec<f64> = network.initial(7);
    let moved = waves(start.len(), 0.9);
    let x = start.iter().zip(moved).map(|(p, m)| p + 0.2 * m).collect();
    let problem = Supervised::new(network, loss, examples).expect("a problem");
    (problem.with_batch(2), x)
}

/// Four inputs, five hidden units, three classes, twelve examples; the numbering of the point has outputs before inputs.
fn golden() -> (Problem, Vec<f64>) {
    let network = mlp(&[4, 5, 3], Activation::Tanh).expect("sizes");
    let x = (0..48).map(|at| (0.3 + 0.9 * (at / 4) as f64 + 1.3 * (at % 4) as f64).cos());
    let examples = Examples {
        count: 12,
        inputs: vec![Array::Float(x.collect())],
        targets: Array::Index((0..12).map(|i| i % 3).collect()),
    };
    let value = |k: usize| 0.6 * (1.0 + 1.7 * k as f64).sin();
    let mut w = Vec::new();
    for (first, inputs, outputs) in [(0, 4, 5), (25, 5, 3)] {
        let places = (0..inputs).flat_map(|i| (0..outputs).map(move |o| first + o * inputs + i));
        w.extend(places.map(value));
        w.extend((0..outputs).map(|o| value(first + inputs * outputs + o)));
    }
    let problem = Supervised::new(network, Loss::CROSS_ENTROPY, examples).expect("a problem");
    (problem.with_batch(5), w)
}

fn matrix(op: &dyn LinearOperator<f64>) -> Mat<f64> {
    let (m, n) = op.shape();
    let mut out = Mat::zeros(m, n);
    op.dense(out.as_mut()).expect("a matrix");
    out
}

fn trace(m: &Mat<f64>) -> f64 {
    (0..m.nrows()).map(|i| m[(i, i)]).sum()
}

#[track_caller]
fn agree(what: &str, found: f64, expected: f64, tolerance: f64) {
    let error = (found - expected).abs() / expected.abs();
    assert!(
        error <= tolerance,
        "{what}: {found}, expected {expected} ({error:e})"
    );
}

#[track_caller]
fn same(what: &str, found: &Mat<f64>, expected: &Mat<f64>, tolerance: f64) {
    let (error, most) = ((found - expected).norm_max(), expected.norm_max());
    assert!(
        most > 1e-6 && error <= tolerance * most,
        "{what}: {error:e} of {most:e}"
    );
}

/// The mean of `v vᵀ` over draws v is that matrix, to six standard errors in each entry.
fn drawn_like(exact: &Mat<f64>, seed: u64, draws: u32, mut draw: impl FnMut() -> Vec<f64>) {
    let n = exact.nrows();
    let mut sums = Mat::<f64>::zeros(n, n);
    for _ in 0..draws {
        let v = draw();
        let v = faer::ColRef::from_slice(&v);
        sums += v * v.transpose();
    }
    for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
        // The variance of a product of two normal numbers.
        let variance = exact[(i, i)] * exact[(j, j)] + exact[(i, j)].powi(2);
        let error = (variance / f64::from(draws)).sqrt();
        let found = sums[(i, j)] / f64::from(draws);
        assert!(
            (found - exact[(i, j)]).abs() < 6.0 * error,
            "({i}, {j}), seed {seed}"
        );
    }
}

fn encoder() -> Result<Network> {
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

fn images() -> Result<Network> {
    Network::new([Port::floats("x", [5, 4, 2])], |scope, x| {
        let h = conv2d(scope, "conv", x[0], 3, [2, 3], &Conv2d::default()).tanh();
        vec![dense(scope, "fc", h.mean(&[1, 2]), 3, &Dense::default())]
    })
}

fn gated() -> Result<Network> {
    Network::new([Port::floats("x", [3, 2])], |scope, x| {
        vec![gru(scope, "gru", x[0], 3).states]
    })
}

fn kind<V>(found: Result<V>, text: &str) -> ErrorKind {
    let Err(error) = found else {
        panic!("{text}");
    };
    assert!(error.to_string().contains(text), "{error}");
    error.kind()
}
