//! The recorded cases of `testdata/cases/spectra` for models; `quadric-linalg` runs those of operators.

use crate::{matrix, trace};
use faer::Mat;
use quadric_autodiff::Array;
use quadric_core::{Matrix, Model, Smooth, TwiceSmooth};
use quadric_curvature::{Decomposed, DenseBlocks, Factors, Sharing};
use quadric_linalg::algebra::Dense;
use quadric_linalg::dense::symmetric_eigen;
use quadric_linalg::random::SeedTree;
use quadric_nn::layers::{self, dense};
use quadric_nn::{Examples, Loss, Network, Port, Supervised};
use toml::{Table, Value};

fn read(file: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/cases/spectra/");
    std::fs::read_to_string(format!("{folder}{file}")).expect("a file of the case")
}

fn case(id: &str) -> Table {
    let file: Table = read("cases.toml").parse().expect("TOML");
    let cases = file["case"].as_array().expect("cases");
    let found = cases.iter().find(|c| c["id"].as_str() == Some(id));
    found.expect("a case").as_table().expect("a table").clone()
}

/// All numbers of a value, nested lists flattened.
fn numbers(v: &Value) -> Vec<f64> {
    match v {
        Value::Array(all) => all.iter().flat_map(numbers).collect(),
        Value::Float(v) => vec![*v],
        Value::Integer(v) => vec![*v as f64],
        _ => panic!("{v} is no number"),
    }
}

fn square(v: &Value) -> Mat<f64> {
    let all = numbers(v);
    let n = all.len().isqrt();
    Mat::from_fn(n, n, |i, j| all[i * n + j])
}

#[track_caller]
fn near(what: &str, found: &Mat<f64>, expected: &Mat<f64>, tolerance: f64) {
    let error = (found - expected).norm_max();
    assert!(error <= tolerance, "{what}: {error:e} of {found:?}");
}

fn eigenvalues(m: &Mat<f64>) -> Vec<f64> {
    symmetric_eigen(m.as_ref()).expect("finite").values
}

/// A linear model without bias.
fn linear(
    features: usize,
    outputs: usize,
    loss: Loss,
    x: Vec<f64>,
    y: Vec<f64>,
) -> Supervised<f64> {
    let network = Network::new([Port::floats("x", [features])], move |scope, x| {
        let bare = layers::Dense {
            bias: false,
            ..layers::Dense::default()
        };
        vec![dense(scope, "fc", x[0], outputs, &bare)]
    });
    let examples = Examples {
        count: x.len() / features,
        inputs: vec![Array::Float(x)],
        targets: Array::Float(y),
    };
    Supervised::new(network.expect("a network"), loss, examples).expect("a problem")
}

/// Drawn targets: the interval of the mean of the traces of 200 matrices of 20 draws each has the exact trace.
fn drawn_targets(problem: &Supervised<f64>, w: &[f64], exact: f64) {
    let of = |seed| Matrix::SampledFisher { draws: 20, seed };
    let traces: Vec<f64> = (4..204)
        .map(|seed| trace(&matrix(&*problem.matrix(w, of(seed)).expect("a matrix"))))
        .collect();
    let mean = traces.iter().sum::<f64>() / 200.0;
    let spread = traces.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / 199.0;
    let half = 1.972 * (spread / 200.0).sqrt();
    assert!((mean - exact).abs() <= half, "{mean} ± {half}");
}

#[test]
fn spec_fisher_scale_two_outputs() {
    let case = case("spec-fisher-scale-two-outputs");
    let (expect, tolerance) = (&case["expect"], numbers(&case["tolerance"]["abs"])[0]);
    let data: serde_json::Value = serde_json::from_str(&read("two_outputs.json")).expect("JSON");
    let list = |key: &str| -> Vec<f64> {
        let rows = data[key].as_array().expect("rows").iter();
        let entries = rows.flat_map(|r| r.as_array().expect("a row"));
        entries.map(|v| v.as_f64().expect("a number")).collect()
    };
    let w = list("W");
    let exact = numbers(&expect["trace"])[0];
    // Squared over outputs; its mean without the half scales by 2/2 = 1, so that both conventions are the same for two outputs.
    for loss in [Loss::Squared, Loss::MeanSquared] {
        let problem = linear(2, 2, loss, list("X"), list("Y")).with_batch(2);
        let mut gradient = vec![0.0; 4];
        problem.value_grad(&w, &mut gradient).expect("finite");
        for (found, expected) in gradient.iter().zip(numbers(&expect["gradient"])) {
            assert!((found - expected).abs() <= tolerance, "{gradient:?}");
        }
        let of = |m| matrix(&*problem.matrix(&w, m).expect("a matrix"));
        let hessian = of(Matrix::Hessian);
        let values = eigenvalues(&hessian);
        for (found, expected) in values.iter().zip(numbers(&expect["hessian_eigenvalues"])) {
            assert!((found - expected).abs() <= tolerance, "{values:?}");
        }
        assert!((trace(&hessian) - exact).abs() <= tolerance);
        near(
            "Gauss-Newton",
            &of(Matrix::GaussNewton),
            &hessian,
            tolerance,
        );
        near("Fisher", &of(Matrix::Fisher), &hessian, tolerance);
        let factors = Factors::new(&problem, &w, Matrix::Fisher, Sharing::Expand).expect("factors");
        let stands = matrix(&factors.operator::<f64>().expect("an operator"));
        near("factors", &stands, &hessian, tolerance);
        let empirical = square(&expect["empirical_fisher"]);
        near(
            "empirical",
            &of(Matrix::EmpiricalFisher),
            &empirical,
            tolerance,
        );
        let sum = numbers(&expect["empirical_fisher_trace"])[0];
        assert!((trace(&empirical) - sum).abs() <= tolerance);
        drawn_targets(&problem, &w, exact);
    }
}

#[test]
fn spec_unequal_last_batch() {
    let case = case("spec-unequal-last-batch");
    let (expect, tolerance) = (&case["expect"], numbers(&case["tolerance"]["abs"])[0]);
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for line in read("seven_rows.csv").lines().skip(1) {
        let row: Vec<f64> = line
            .split(',')
            .map(|v| v.parse().expect("a number"))
            .collect();
        x.extend(&row[..2]);
        y.push(row[2]);
    }
    for batch in [1, 2, 3, 7] {
        let problem = linear(2, 1, Loss::Bernoulli, x.clone(), y.clone()).with_batch(batch);
        let hessian = matrix(&*problem.hessian(&[0.6, -0.4]).expect("a matrix"));
        near("Hessian", &hessian, &square(&expect["hessian"]), tolerance);
        assert!((trace(&hessian) - numbers(&expect["trace"])[0]).abs() <= tolerance);
        let (values, expected) = (eigenvalues(&hessian), numbers(&expect["eigenvalues"]));
        for (found, expected) in values.iter().rev().zip(expected) {
            assert!((found - expected).abs() <= tolerance, "{values:?}");
        }
    }
}

#[test]
fn spec_posterior_sample_covariance() {
    let case = case("spec-posterior-sample-covariance");
    let expected = square(&case["expect"]["covariance"]);
    let rows: Vec<Vec<f64>> = (read("precision2.csv").lines())
        .map(|line| {
            line.split(',')
                .map(|v| v.parse().expect("a number"))
                .collect()
        })
        .collect();
    let precision = Mat::from_fn(2, 2, |i, j| rows[i][j]);
    let decomposed = DenseBlocks::full(&Dense::psd(precision).expect("symmetric")).expect("finite");
    let covariance = |v: f64| v.recip();
    // What turns normal vectors into samples.
    let root = matrix(
        &*decomposed
            .function(&|v| covariance(v).sqrt())
            .expect("positive"),
    );
    let tolerance = numbers(&case["tolerance"]["M_Mt_abs"])[0];
    near("root", &(&root * root.transpose()), &expected, tolerance);
    let mut stream = SeedTree::new(6).child("samples").stream(0);
    let draws = 100_000;
    let mut sums = Mat::<f64>::zeros(2, 2);
    for _ in 0..draws {
        let v = decomposed
            .sample(&covariance, &mut stream)
            .expect("positive");
        let v = faer::ColRef::from_slice(&v);
        sums += v * v.transpose();
    }
    let tolerance = numbers(&case["tolerance"]["sample_covariance_abs"])[0];
    near("samples", &(sums / f64::from(draws)), &expected, tolerance);
}
