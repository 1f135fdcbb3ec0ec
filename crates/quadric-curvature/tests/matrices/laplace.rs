//! Posteriors and evidence against Bayesian linear regression, which has closed forms, and against numerical integration.

use crate::{Problem, agree, kind, matrix, minimised, regression, same, waves};
use faer::{Mat, MatRef};
use quadric_autodiff::Array;
use quadric_core::{Matrix, Model, Objective};
use quadric_curvature::{
    Decomposed, DenseBlocks, DiagonalBlock, Evidence, Factors, Laplace, Likelihood, Sharing,
    probit_sigmoid, probit_softmax,
};
use quadric_linalg::ErrorKind;
use quadric_linalg::algebra::Diagonal;
use quadric_linalg::dense::EquilibratedCholesky;
use quadric_linalg::estimate::{DensityOptions, density};
use quadric_linalg::random::SeedTree;
use quadric_linalg::spectrum::{EigenApproximation, EigenOptions, Which, eigenpairs};
use quadric_nn::layers::{Activation, Dense, dense};
use quadric_nn::models::mlp;
use quadric_nn::{Examples, Loss, Network, Port, Supervised};
use std::f64::consts::{PI, TAU};
use std::ops::ControlFlow;

/// `log N(y; 0, variance I + Φ Φᵀ / δ)`, in the space of targets.
fn exact_evidence(features: MatRef<'_, f64>, y: &[f64], variance: f64, delta: f64) -> f64 {
    let n = y.len();
    let k = features * features.transpose() * (1.0 / delta) + variance * Mat::<f64>::identity(n, n);
    let factor = EquilibratedCholesky::new(k.as_ref(), 0.0).expect("positive definite");
    let log_det: f64 = (0..n)
        .map(|i| 2.0 * (factor.factor()[(i, i)] / factor.scale()[i]).ln())
        .sum();
    let mut solved = y.to_vec();
    factor.solve_vector_in_place(&mut solved);
    let form: f64 = solved.iter().zip(y).map(|(a, b)| a * b).sum();
    -0.5 * (form + log_det + n as f64 * TAU.ln())
}

/// The covariance of a linear function of normal weights at the rows of `at`, given noisy values at those of `features`.
fn exact_covariance(features: &Mat<f64>, at: &Mat<f64>, variance: f64, delta: f64) -> Mat<f64> {
    let n = features.nrows();
    let k = features * features.transpose() * (1.0 / delta) + variance * Mat::<f64>::identity(n, n);
    let factor = EquilibratedCholesky::new(k.as_ref(), 0.0).expect("positive definite");
    let cross = features * at.transpose() * (1.0 / delta);
    let mut solved = cross.clone();
    factor.solve_in_place(solved.as_mut());
    at * at.transpose() * (1.0 / delta) - cross.transpose() * solved
}

fn likelihood(problem: &Problem, x: &[f64], targets: usize, variance: f64) -> Likelihood {
    let loss = problem.value(x).expect("finite");
    let weight = problem.weight().expect("examples");
    Likelihood::gaussian(loss, weight, targets, variance).expect("a variance")
}

#[test]
fn bayesian_linear_regression() {
    let (problem, features, y) = regression(14, 3, false);
    let (variance, delta) = (0.3, 0.7);
    let x = minimised(&problem, delta * variance / 14.0, vec![0.0; 4]);
    let op = problem.matrix(&x, Matrix::GaussNewton).expect("a matrix");
    let full = DenseBlocks::full(&*op).expect("symmetric");
    // One linear layer with one output: its Kronecker factors are the matrix, and so are all of its eigenpairs.
    let factors = Factors::new(&problem, &x, Matrix::Fisher, Sharing::Expand).expect("factors");
    let spectral = factors.eigen().expect("eigenvalues");
    let options = EigenOptions {
        count: 4,
        which: Which::Largest,
        tolerance: 1e-13,
        ..EigenOptions::default()
    };
    let pairs = eigenpairs(&*op, &options, SeedTree::new(3)).expect("pairs");
    let low = EigenApproximation::from_pairs(pairs).expect("finite");
    let units = DenseBlocks::units(&problem, &x, Matrix::Fisher).expect("units");
    let forms: [(&str, &dyn Decomposed); 4] = [
        ("full", &full),
        ("factors", &spectral),
        ("low rank", &low),
        ("units", &units),
    ];
    let evidence = exact_evidence(features.as_ref(), &y, variance, delta);
    let (others, at, _) = regression(5, 3, true);
    let covariance = exact_covariance(&features, &at, variance, delta);
    let jacobian = others.jacobian(&x).expect("a Jacobian");
    for (name, form) in forms {
        let own = likelihood(&problem, &x, 14, variance);
        let laplace = Laplace::new(form, &x, own).expect("a posterior");
        agree(
            name,
            laplace.evidence().value(delta).expect("positive"),
            evidence,
            1e-9,
        );
        let found = laplace
            .output_covariances(delta, &*jacobian, 1)
            .expect("a Jacobian");
        for (i, of_one) in found.iter().enumerate() {
            agree(name, of_one[(0, 0)], covariance[(i, i)], 1e-9);
        }
        // All five as outputs of one example.
        let found = laplace
            .output_covariances(delta, &*jacobian, 5)
            .expect("a Jacobian");
        same(name, &found[0], &covariance, 1e-9);
    }
    // A diagonal has the determinant of its own.
    let entries: Vec<f64> = (0..4).map(|i| matrix(&full)[(i, i)]).collect();
    let own = likelihood(&problem, &x, 14, variance);
    let strength = 14.0 / variance;
    let log_det: f64 = entries.iter().map(|h| (strength * h + delta).ln()).sum();
    let norm: f64 = x.iter().map(|v| v * v).sum();
    let expected = own.log_density() - 0.5 * (delta * norm + log_det) + 2.0 * delta.ln();
    let evidence = Evidence::new(&Diagonal(entries), &x, own).expect("finite");
    agree(
        "diagonal",
        evidence.value(delta).expect("positive"),
        expected,
        1e-12,
    );
}

/// Precision and fit in turns end where the exact evidence is largest.
#[test]
fn the_best_precision() {
    let (problem, features, y) = regression(14, 3, false);
    let variance = 0.3;
    let mut delta = 1.0;
    for _ in 0..200 {
        let x = minimised(&problem, delta * variance / 14.0, vec![0.0; 4]);
        let op = problem.matrix(&x, Matrix::GaussNewton).expect("a matrix");
        let full = DenseBlocks::full(&*op).expect("symmetric");
        let evidence =
            Evidence::new(&full, &x, likelihood(&problem, &x, 14, variance)).expect("finite");
        let best = evidence.best_precision().expect("a maximum");
        let norm: f64 = x.iter().map(|v| v * v).sum();
        let determined = evidence.effective_parameters(best).expect("positive");
        agree("fixed point", best * norm, determined, 1e-12);
        let top = evidence.value(best).expect("positive");
        for other in [0.99 * best, 1.01 * best] {
            assert!(evidence.value(other).expect("positive") < top);
        }
        delta = best;
    }
    let at = |t: f64| exact_evidence(features.as_ref(), &y, variance, t.exp());
    let (t, h) = (delta.ln(), 1e-4);
    let slope = (at(t + h) - at(t - h)) / (2.0 * h);
    let bend = (at(t + h) - 2.0 * at(t) + at(t - h)) / (h * h);
    assert!(bend < 0.0 && (slope / bend).abs() < 1e-6, "{slope} {bend}");
}

/// The features of the last layer are columns of the Jacobian.
#[test]
fn last_layers_are_linear_models() {
    let (network, n) = (mlp(&[2, 6, 1], Activation::Tanh).expect("sizes"), 12);
    let y = waves(n, 0.4);
    let examples = Examples {
        count: n,
        inputs: vec![Array::Float(waves(2 * n, 1.1))],
        targets: Array::Float(y.clone()),
    };
    let mut x: Vec<f64> = network.initial(3);
    let problem = Supervised::new(network, Loss::Squared, examples).expect("a problem");
    let (range, variance, delta) = (18..25, 0.2, 0.6);
    let jacobian = problem.jacobian(&x).expect("a Jacobian");
    let features = matrix(&*jacobian).subcols(18, 7).to_owned();
    let s =
        features.transpose() * &features * (1.0 / variance) + delta * Mat::<f64>::identity(7, 7);
    let factor = EquilibratedCholesky::new(s.as_ref(), 0.0).expect("positive definite");
    let right = features.transpose() * MatRef::from_column_major_slice(&y, n, 1);
    let mut best: Vec<f64> = (0..7).map(|i| right[(i, 0)] / variance).collect();
    factor.solve_vector_in_place(&mut best);
    x[18..].copy_from_slice(&best);

    let op = problem.matrix(&x, Matrix::GaussNewton).expect("a matrix");
    let block = DenseBlocks::full(&DiagonalBlock::new(&*op, range.clone())).expect("symmetric");
    let own = likelihood(&problem, &x, n, variance);
    let laplace = Laplace::within(&block, &x, range, own).expect("a posterior");
    let expected = exact_evidence(features.as_ref(), &y, variance, delta);
    agree(
        "evidence",
        laplace.evidence().value(delta).expect("positive"),
        expected,
        1e-9,
    );
    let expected = exact_covariance(&features, &features, variance, delta);
    let found = laplace
        .output_covariances(delta, &*jacobian, 1)
        .expect("a Jacobian");
    for (i, of_one) in found.iter().enumerate() {
        agree("variance", of_one[(0, 0)], expected[(i, i)], 1e-9);
    }
    let (seed, draws) = (4, 4000);
    let mut stream = SeedTree::new(seed).child("posterior").stream(0);
    let covariance = matrix(&*laplace.covariance(delta).expect("positive"));
    let mut sums = Mat::<f64>::zeros(7, 7);
    for _ in 0..draws {
        let drawn = laplace.sample(delta, &mut stream).expect("positive");
        assert_eq!(drawn[..18], x[..18], "these are fixed");
        let moved = Mat::from_fn(7, 1, |i, _| drawn[18 + i] - x[18 + i]);
        sums += &moved * moved.transpose();
    }
    for (i, j) in (0..7).flat_map(|i| (0..7).map(move |j| (i, j))) {
        let spread = covariance[(i, i)] * covariance[(j, j)] + covariance[(i, j)].powi(2);
        let error = (spread / f64::from(draws)).sqrt();
        let found = sums[(i, j)] / f64::from(draws);
        assert!(
            (found - covariance[(i, j)]).abs() < 6.0 * error,
            "({i}, {j}), seed {seed}"
        );
    }
}

/// Two weights of a logistic model: the evidence is an integral over the plane. Where examples repeat, Laplace's error falls as 1/N.
#[test]
fn evidence_by_integration() {
    let delta = 0.05;
    let error = |times: usize| {
        let network = Network::new([Port::floats("x", [1])], |scope, x| {
            vec![dense(scope, "fc", x[0], 1, &Dense::default())]
        });
        let base = waves(24, 0.2);
        let event = |(i, x): (usize, &f64)| x + 0.9 * (5.0 * i as f64).cos() > 0.2;
        let events: Vec<bool> = base.iter().enumerate().map(event).collect();
        let events: Vec<f64> = events.iter().map(|&e| f64::from(u8::from(e))).collect();
        let (inputs, events) = (base.repeat(times), events.repeat(times));
        let n = inputs.len();
        let examples = Examples {
            count: n,
            inputs: vec![Array::Float(inputs.clone())],
            targets: Array::Float(events.clone()),
        };
        let problem = Supervised::new(network.expect("a network"), Loss::Bernoulli, examples);
        let problem = problem.expect("a problem");
        let x = minimised(&problem, delta / n as f64, vec![0.0; 2]);
        let op = problem.matrix(&x, Matrix::GaussNewton).expect("a matrix");
        let full = DenseBlocks::full(&*op).expect("symmetric");
        let own = Likelihood::of_loss(problem.value(&x).expect("finite"), n as f64);
        let evidence = Evidence::new(&full, &x, own.expect("finite")).expect("finite");

        let log_joint = |w: f64, b: f64| {
            let terms = inputs.iter().zip(&events).map(|(x, y)| {
                let t = w * x + b;
                y * t - (t.max(0.0) + (-t.abs()).exp().ln_1p())
            });
            terms.sum::<f64>() - 0.5 * delta * (w * w + b * b) + (delta / TAU).ln()
        };
        let (h, top) = (0.06, log_joint(x[0], x[1]));
        let points = || (-200..=200).map(|i| h * f64::from(i));
        let plane = points().flat_map(|w| points().map(move |b| (w, b)));
        let sum: f64 = plane
            .map(|(w, b)| (log_joint(x[0] + w, x[1] + b) - top).exp())
            .sum();
        let exact = top + (sum * h * h).ln();
        (evidence.value(delta).expect("positive") - exact).abs()
    };
    let [few, many] = [1, 8].map(error);
    assert!(few < 0.1 && many < few / 5.0, "{few} {many}");
}

#[test]
fn evidence_by_density() {
    let (problem, x) = crate::golden();
    let op = problem.matrix(&x, Matrix::GaussNewton).expect("a matrix");
    let full = DenseBlocks::full(&*op).expect("symmetric");
    let loss = problem.value(&x).expect("finite");
    let own = Likelihood::of_loss(loss, 12.0).expect("finite");
    let exact = Evidence::new(&full, &x, own).expect("finite");
    let delta = 0.5;
    let value = exact.value(delta).expect("positive");
    let of = |dense: usize| {
        let options = DensityOptions {
            probes: 40,
            steps: 20,
            dense,
            ..DensityOptions::default()
        };
        let density = density(&*op, None, &options, SeedTree::new(6), |_| {
            ControlFlow::Continue(())
        });
        let density = density.expect("symmetric");
        let evidence = Evidence::of_density(&density, &x, own).expect("finite");
        let estimate = evidence.estimate(&density, delta).expect("positive");
        agree(
            "one value",
            evidence.value(delta).expect("positive"),
            estimate.value,
            1e-10,
        );
        (evidence, estimate)
    };
    let (evidence, estimate) = of(100);
    agree("decomposed", estimate.value, value, 1e-12);
    let best = exact.best_precision().expect("a maximum");
    agree(
        "precision",
        evidence.best_precision().expect("a maximum"),
        best,
        1e-9,
    );
    let (evidence, estimate) = of(0);
    assert!(
        estimate.half_width() > 0.0 && estimate.contains(value),
        "{estimate:?} {value}"
    );
    agree(
        "precision",
        evidence.best_precision().expect("a maximum"),
        best,
        0.1,
    );
}

/// The mean of the logistic function of a normal number, by the trapezoidal rule.
#[test]
fn probit_probabilities() {
    for (mean, variance) in [
        (0.0, 4.0),
        (1.0, 0.5),
        (-2.0, 1.0),
        (3.0, 9.0),
        (0.5, 0.0f64),
    ] {
        let (h, sd) = (0.01, variance.sqrt());
        let nodes = (-900..=900).map(|i| h * f64::from(i));
        let exact: f64 = nodes
            .map(|z| h * (-0.5 * z * z).exp() / TAU.sqrt() / (1.0 + (-(mean + sd * z)).exp()))
            .sum();
        let found = probit_sigmoid(mean, variance).expect("finite");
        let tolerance = if variance == 0.0 { 1e-12 } else { 0.02 };
        assert!(
            (found - exact).abs() < tolerance,
            "{mean} {variance}: {found} {exact}"
        );
        let two = probit_softmax(&[mean, 0.0], &[variance, 0.0]).expect("finite");
        agree("two classes", two[0], found, 1e-13);
    }
    let far = probit_softmax(&[1e4, -1e4, 0.0], &[8.0 / PI, 0.0, 0.0]).expect("finite");
    assert_eq!(far, [1.0, 0.0, 0.0]);
    assert_eq!(probit_sigmoid(-1e4, 0.0).expect("finite"), 0.0);
}

#[test]
fn what_means_nothing_is_refused() {
    for (loss, weight, expected) in [
        (f64::NAN, 1.0, "the loss"),
        (1.0, 0.0, "`weight` is 0"),
        (1.0, f64::INFINITY, "`weight` is"),
    ] {
        kind(Likelihood::of_loss(loss, weight), expected);
    }
    assert_eq!(
        kind(Likelihood::gaussian(1.0, 1.0, 1, 0.0), "`variance` is 0"),
        ErrorKind::Argument
    );
    let own = Likelihood::of_loss(1.0, 4.0).expect("finite");
    let flat = Diagonal(vec![0.0, 2.0]);
    let new = |values: Vec<f64>, x: &[f64]| Evidence::new(&Diagonal(values), x, own);
    assert_eq!(
        kind(
            new(vec![1.0, -0.1], &[1.0, 1.0]),
            "negative eigenvalue -1e-1"
        ),
        ErrorKind::Numeric
    );
    assert_eq!(
        kind(new(vec![1.0, f64::NAN], &[1.0, 1.0]), "the eigenvalues"),
        ErrorKind::NonFinite
    );
    assert_eq!(
        kind(new(vec![1.0], &[1.0, 1.0]), "the point"),
        ErrorKind::Shape
    );
    assert_eq!(
        kind(new(vec![1.0], &[f64::NAN]), "the norm"),
        ErrorKind::NonFinite
    );
    for (values, x) in [(vec![0.0, 0.0], [1.0, 1.0]), (vec![1.0, 1.0], [0.0, 0.0])] {
        let evidence = new(values, &x).expect("finite");
        assert_eq!(
            kind(evidence.best_precision(), "no maximum"),
            ErrorKind::Numeric
        );
        assert!(evidence.value(1.0).expect("positive").is_finite());
    }
    let laplace = Laplace::new(&flat, &[1.0, 1.0], own).expect("a posterior");
    for precision in [0.0, -1.0, f64::NAN] {
        assert_eq!(
            kind(laplace.covariance(precision), "`precision` is"),
            ErrorKind::Argument
        );
        assert_eq!(
            kind(laplace.evidence().value(precision), "`precision` is"),
            ErrorKind::Argument
        );
    }
    let jacobian = quadric_linalg::algebra::Dense::new(Mat::<f64>::zeros(6, 3));
    assert_eq!(
        kind(
            laplace.output_covariances(1.0, &jacobian, 2),
            "the Jacobian"
        ),
        ErrorKind::Shape
    );
    let jacobian = quadric_linalg::algebra::Dense::new(Mat::<f64>::zeros(6, 2));
    for outputs in [0, 4] {
        let found = laplace.output_covariances(1.0, &jacobian, outputs);
        assert_eq!(kind(found, "`outputs` is"), ErrorKind::Argument);
    }
    for range in [1..1, 1..3] {
        let found = Laplace::within(&flat, &[1.0, 1.0], range, own);
        assert_eq!(kind(found, "`range` is"), ErrorKind::Argument);
    }
    assert!(probit_softmax(&[], &[]).is_err() && probit_softmax(&[1.0], &[]).is_err());
    assert_eq!(
        kind(probit_sigmoid(f64::NAN, 1.0), "the mean"),
        ErrorKind::NonFinite
    );
    assert_eq!(
        kind(probit_sigmoid(0.0, -1.0), "`variance` is -1"),
        ErrorKind::Argument
    );
}
