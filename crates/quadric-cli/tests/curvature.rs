//! `quadric curvature`: analyses at the command line against dense matrices of the library.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

mod support;

use quadric::core::{Matrix, Model, Overwrite, Smooth};
use quadric::linalg::LinearOperator;
use quadric::linalg::dense::symmetric_eigen;
use quadric::linalg::random::SeedTree;
use quadric::nn::layers::{Dense, dense};
use quadric::nn::{Loss, Network, Port, Supervised, Weights, onnx};
use serde_json::{Value, json};
use std::fs;
use support::Quadric;
use support::networks::{data, fixture, near, number, resumed};

const EXAMPLES: usize = 12;

/// Networks that PyTorch exported, small enough for every number to be exact.
#[test]
fn imported_networks_against_dense_matrices() {
    for name in ["residual", "transformer", "lstm"] {
        let q = Quadric::new();
        let network = onnx::read(fixture(name), &onnx::Options::default()).unwrap();
        let examples = data(&q, &network, EXAMPLES);
        let path = fixture(name);
        let (code, found) = q.json(&[
            "curvature",
            path.to_str().unwrap(),
            "--data",
            "x.npy",
            "--labels",
            "y.npy",
            "--dtype",
            "f64",
            "--matrix",
            "hessian,ggn,fisher,sampled-fisher,empirical-fisher,covariance",
            "--draws",
            "3",
            "-o",
            "page.html",
        ]);
        assert_eq!(code, 0, "{name}: {found:#}");
        assert!(
            fs::read_to_string(q.path().join("page.html"))
                .unwrap()
                .contains("<html")
        );
        let x: Vec<f64> = network.initial(0);
        let d = x.len();
        assert_eq!(found["parameters"].as_u64(), Some(d as u64));
        assert_eq!(found["examples"].as_u64(), Some(EXAMPLES as u64));
        let problem = Supervised::new(network, Loss::CROSS_ENTROPY, examples).unwrap();
        for (key, matrix) in [
            ("hessian", Matrix::Hessian),
            ("ggn", Matrix::GaussNewton),
            ("fisher", Matrix::Fisher),
            (
                "sampled_fisher",
                Matrix::SampledFisher { draws: 3, seed: 0 },
            ),
            ("empirical_fisher", Matrix::EmpiricalFisher),
            ("covariance", Matrix::Covariance),
        ] {
            let dense = written(&problem, &x, matrix);
            let mut values = symmetric_eigen(dense.as_ref()).unwrap().values;
            values.sort_by(|a, b| b.total_cmp(a));
            let scale = values[0].abs().max(values[d - 1].abs());
            let found = &found[key];
            let top = found["top"].as_array().unwrap();
            assert_eq!(top.len(), 5);
            for (e, truth) in top.iter().zip(&values) {
                near(number(&e["value"]), *truth, scale);
                assert_eq!(e["converged"], true);
            }
            for (e, truth) in found["bottom"]
                .as_array()
                .unwrap()
                .iter()
                .zip(values.iter().rev())
            {
                near(number(&e["value"]), *truth, scale);
            }
            let trace: f64 = values.iter().sum();
            near(number(&found["trace"]["value"]), trace, scale);
            assert_eq!(number(&found["trace"]["level"]), 1.0);
            let layers = found["layers"].as_array().unwrap();
            let sum: f64 = layers.iter().map(|l| number(&l["trace"])).sum();
            near(sum, trace, scale);
            let nodes = found["density"]["nodes"].as_array().unwrap();
            near(number(&nodes[0]), values[d - 1], scale);
            let density = &found["density"];
            assert_eq!(
                (&density["level"], &density["low"]),
                (&json!(1.0), &json!([]))
            );
            let near_zero = values.iter().filter(|v| v.abs() <= 0.01 * values[0]);
            let share = near_zero.count() as f64 / d as f64;
            near(number(&density["near_zero"]["value"]), share, 1.0);
        }
        noise(&problem, &x, &found);
    }
}

fn written(problem: &Supervised<f64>, x: &[f64], matrix: Matrix) -> faer::Mat<f64> {
    let mut dense = faer::Mat::<f64>::zeros(x.len(), x.len());
    let op = problem.matrix(x, matrix).unwrap();
    op.dense(dense.as_mut()).unwrap();
    dense
}

/// The noise scales against matrices that are written down.
fn noise(problem: &Supervised<f64>, x: &[f64], found: &Value) {
    let d = x.len();
    let mut gradient = vec![0.0; d];
    problem.value_grad(x, &mut gradient).unwrap();
    let g = faer::Mat::from_fn(d, 1, |i, _| gradient[i]);
    let [h, c] = [Matrix::Hessian, Matrix::Covariance].map(|m| written(problem, x, m));
    let trace = |m: &faer::Mat<f64>| (0..d).map(|i| m[(i, i)]).sum::<f64>();
    let scale = trace(&c) / g.squared_norm_l2();
    near(number(&found["noise_scale"]["value"]), scale, scale);
    assert_eq!(found["noise_scale"]["level"], 1.0);
    let along = (g.transpose() * &h * &g)[(0, 0)];
    let found = &found["hessian_noise_scale"];
    if along <= 0.0 {
        assert!(found.is_null());
        return;
    }
    let scale = trace(&(&h * &c)) / along;
    let [value, low, high] = ["value", "low", "high"].map(|key| number(&found[key]));
    // Twice as wide as at 95 %.
    let (low, high) = (2.0 * low - value, 2.0 * high - value);
    let rounding = 1e-9 * scale.abs();
    let holds = (low - rounding..=high + rounding).contains(&scale);
    assert!(holds, "{scale} (seed 0): {found:#}");
}

/// A second head that no loss sees, and a loss that is the same everywhere: zeros, in the page, too.
#[test]
fn parameters_without_curvature() {
    for (classes, hidden) in [(3, 8), (1, 8), (1, 400)] {
        let q = Quadric::new();
        let network = Network::new([Port::floats("x", [6])], move |scope, x| {
            let h = dense(scope, "body", x[0], hidden, &Dense::default()).tanh();
            let other = dense(scope, "other", h, 2, &Dense::default());
            vec![dense(scope, "head", h, classes, &Dense::default()), other]
        })
        .unwrap();
        let weights = Weights::<f64>::initial(&network, 3);
        let file = q.path().join("net.onnx");
        onnx::write(&file, &network, &weights, Overwrite::Refuse).unwrap();
        data(&q, &network, EXAMPLES);
        let (code, found) = q.json(&[
            "curvature",
            "net.onnx",
            "--data",
            "x.npy",
            "--labels",
            "y.npy",
            "--matrix",
            "hessian,ggn,fisher,covariance",
            "-o",
            "page.html",
        ]);
        assert_eq!(code, 0, "{found:#}");
        assert!(q.path().join("page.html").exists());
        for key in ["hessian", "ggn", "fisher", "covariance"] {
            let found = &found[key];
            let (top, trace) = (found["top"].as_array().unwrap(), &found["trace"]);
            assert!(top.iter().all(|e| e["converged"] == true), "{found:#}");
            assert!(
                (number(&trace["value"]) == 0.0) == (classes == 1),
                "{found:#}"
            );
            let zeros = top.iter().filter(|e| number(&e["value"]) == 0.0).count();
            assert!(
                zeros == if classes == 1 { top.len() } else { 0 },
                "{found:#}"
            );
            let layers = found["layers"].as_array().unwrap();
            let other = layers.iter().find(|l| l["name"] == "other").unwrap();
            assert_eq!(number(&other["trace"]), 0.0, "{found:#}");
        }
    }
}

/// A network that is too large to be written down, in three runs: to the end, interrupted, resumed.
#[test]
fn an_interrupted_analysis_goes_on() {
    let q = Quadric::new();
    let export = [
        "model",
        "export",
        "mlp",
        "--sizes",
        "40,60,10",
        "--activation",
        "tanh",
    ];
    let (code, document) = q.json(&[&export[..], &["-o", "net.onnx"]].concat());
    assert_eq!(code, 0, "{document:#}");
    let network = onnx::read(q.path().join("net.onnx"), &onnx::Options::default()).unwrap();
    assert!(network.layout().len() > 2500);
    data(&q, &network, 300);
    let arguments = [
        "curvature",
        "net.onnx",
        "--data",
        "x.npy",
        "--labels",
        "y.npy",
        "--matrix",
        "hessian",
        "--layers",
        "--steps",
        "40",
    ];
    let (code, mut expected) = q.json(&arguments);
    assert_eq!(code, 0, "{expected:#}");
    let saving = [
        &arguments[..],
        &["--checkpoint", "a.ckpt", "--checkpoint-every", "0"],
    ]
    .concat();
    let mut found = resumed(&q, &[&saving[..], &["--json"]].concat());
    let density = &found["hessian"]["density"];
    let [low, pdf, high] = ["low", "pdf", "high"].map(|key| support::floats(&density[key]));
    assert_eq!((low.len(), high.len()), (pdf.len(), pdf.len()));
    let ordered = |i: usize| 0.0 <= low[i] && low[i] <= pdf[i] && pdf[i] <= high[i];
    assert!((0..pdf.len()).all(ordered) && pdf.len() > 100);
    assert_eq!(density["level"], 0.95);
    assert_eq!(
        (density["starts"].as_u64(), density["steps"].as_u64()),
        (Some(8), Some(40))
    );
    for document in [&mut expected, &mut found] {
        document.as_object_mut().unwrap().remove("seconds");
    }
    assert_eq!(found, expected);
    assert!(!q.path().join("a.ckpt").exists());
}

/// Weights along a training are analyses of one network, which are compared.
#[test]
fn several_models_are_compared() {
    let q = Quadric::new();
    let mlp = |name: &str, seed: &str| {
        let arguments = [
            "model", "export", "mlp", "--sizes", "6,8,3", "--seed", seed, "-o", name,
        ];
        assert_eq!(q.json(&arguments).0, 0);
    };
    mlp("a.onnx", "1");
    mlp("b.onnx", "2");
    let network = onnx::read(q.path().join("a.onnx"), &onnx::Options::default()).unwrap();
    data(&q, &network, 20);
    let arguments = [
        "curvature",
        "a.onnx",
        "b.onnx",
        "--data",
        "x.npy",
        "--labels",
        "y.npy",
        "-o",
        "page.html",
    ];
    let (code, found) = q.json(&arguments);
    assert_eq!(code, 0, "{found:#}");
    let models = found["models"].as_array().unwrap();
    assert_eq!(models.len(), 2);
    assert_ne!(models[0]["report"]["loss"], models[1]["report"]["loss"]);
    assert!(q.path().join("page.html").exists());
}

#[test]
fn wrong_analyses_are_refused() {
    let q = Quadric::new();
    let network = onnx::read(fixture("mlp"), &onnx::Options::default()).unwrap();
    let count = 3;
    data(&q, &network, count);
    let path = fixture("mlp");
    let model = path.to_str().unwrap();
    for (change, code, part) in [
        (&["--loss", "hinge"][..], 2, "loss"),
        (&["--examples", "0"], 2, "examples"),
        (&["--loss", "squared", "--data", "none.npy"], 5, "none.npy"),
        (&["--matrix", "jacobian"], 2, "jacobian"),
        (&["--radius=-1"], 2, "radius"),
    ] {
        let mut arguments = vec!["curvature", model, "--labels", "y.npy"];
        if !change.contains(&"--data") {
            arguments.extend(["--data", "x.npy"]);
        }
        arguments.extend(change);
        let (found, document) = q.json(&arguments);
        let message = document["error"]["message"].as_str().unwrap();
        assert!(
            found == code && message.contains(part),
            "{found}: {message}"
        );
    }
    // An entry that is not finite, by its place.
    let mut x: Vec<f64> = (0..count * 5).map(|i| i as f64).collect();
    x[7] = f64::INFINITY;
    let bytes = quadric::data::encode_npy(&[count, 5], &x);
    fs::write(q.path().join("inf.npy"), bytes).unwrap();
    let bytes = quadric::data::encode_npy(&[count, 1], &[0.0, 1.0, 0.5]);
    fs::write(q.path().join("one.npy"), bytes).unwrap();
    let (code, document) = q.json(&[
        "curvature",
        model,
        "--data",
        "inf.npy",
        "--labels",
        "one.npy",
        "--loss",
        "squared",
    ]);
    let message = document["error"]["message"].as_str().unwrap();
    assert!(code == 3 && message.contains("inf"), "{code}: {message}");
    for (arguments, code, part) in [
        (&["resnet20", "--data", "x.npy"][..], 2, "weights"),
        (&[model, "--data", "x.npy"], 2, "no targets"),
        (&[model, "--data", "x.npy", "--l2", "1"], 2, "l2"),
        (&["glm", "--data", "iris", "--sizes", "3"], 2, "sizes"),
        (&["glm", model, "--data", "iris"], 2, "networks"),
        (
            &["glm", "--data", "iris", "--loss", "one-vs-rest"],
            2,
            "one-vs-rest",
        ),
        (
            &["glm", "--data", "iris", "--loss", "logistic"],
            3,
            "classes",
        ),
        (&["glm", "--data", "x.npy"], 2, "no target"),
    ] {
        let (found, document) = q.json(&[&["curvature"], arguments].concat());
        let message = document["error"]["message"].as_str().unwrap();
        let told = found == code && message.contains(part);
        assert!(told, "{arguments:?}: {found}: {message}");
    }
}

/// A table of two classes with weights, and what a logistic model of it is made of.
struct Table {
    rows: Vec<[f64; 3]>,
    labels: Vec<f64>,
    weights: Vec<f64>,
}

impl Table {
    fn written(q: &Quadric) -> Self {
        let mut stream = SeedTree::new(9).child("table").stream(0);
        let mut table = Self {
            rows: Vec::new(),
            labels: Vec::new(),
            weights: Vec::new(),
        };
        let mut text = "a,b,c,answer,s\n".to_owned();
        for _ in 0..60 {
            let row = [
                stream.normal(),
                3.0 * stream.normal() + 5.0,
                stream.uniform(),
            ];
            let label = f64::from(u8::from(row[0] + stream.normal() > 0.0));
            let weight = 0.5 + stream.uniform();
            let word = ["no", "yes"][label as usize];
            text += &format!("{},{},{},{word},{weight}\n", row[0], row[1], row[2]);
            table.rows.push(row);
            table.labels.push(label);
            table.weights.push(weight);
        }
        fs::write(q.path().join("table.csv"), text).unwrap();
        table
    }

    /// Hessian, covariance of the gradients, and gradient at coefficients and an intercept, from their definitions.
    fn matrices(&self, x: &[f64; 4], l2: f64) -> [faer::Mat<f64>; 3] {
        let total: f64 = self.weights.iter().sum();
        let n = self.rows.len() as f64;
        let mut hessian = faer::Mat::<f64>::zeros(4, 4);
        let (mut second, mut mean) = (hessian.clone(), faer::Mat::<f64>::zeros(4, 1));
        for ((row, label), weight) in self.rows.iter().zip(&self.labels).zip(&self.weights) {
            let z = faer::Mat::from_fn(4, 1, |i, _| if i < 3 { row[i] } else { 1.0 });
            let u: f64 = (0..4).map(|i| x[i] * z[(i, 0)]).sum();
            let p = 1.0 / (1.0 + (-u).exp());
            let share = weight / total;
            hessian += &z * z.transpose() * faer::Scale(share * p * (1.0 - p));
            let g = &z * faer::Scale(n * share * (p - label));
            second += &g * g.transpose() * faer::Scale(1.0 / n);
            mean += g * faer::Scale(1.0 / n);
        }
        let covariance = second - &mean * mean.transpose();
        (0..3).for_each(|i| hessian[(i, i)] += l2);
        (0..3).for_each(|i| mean[(i, 0)] += l2 * x[i]);
        [hessian, covariance, mean]
    }
}

/// What was found of a linear model of three features and l2 = 0.01, beside its matrices.
fn compare_linear(found: &Value, hessian: &faer::Mat<f64>, covariance: &faer::Mat<f64>) {
    let mut fisher = hessian.clone();
    (0..3).for_each(|i| fisher[(i, i)] -= 0.01);
    for (key, dense) in [
        ("hessian", hessian),
        ("ggn", hessian),
        ("fisher", &fisher),
        ("covariance", covariance),
    ] {
        let mut values = symmetric_eigen(dense.as_ref()).unwrap().values;
        values.sort_by(|a, b| b.total_cmp(a));
        let top = found[key]["top"].as_array().unwrap();
        assert_eq!(top.len(), 4, "{key}: {found:#}");
        for (e, truth) in top.iter().zip(&values) {
            near(number(&e["value"]), *truth, values[0]);
        }
        let trace: f64 = (0..3).map(|i| dense[(i, i)]).sum();
        let layers = &found[key]["layers"];
        assert_eq!(layers[0]["name"], "coefficients");
        near(number(&layers[0]["trace"]), trace, values[0]);
        near(number(&layers[1]["trace"]), dense[(3, 3)], values[0]);
    }
}

/// The command at zero and at what a fit found, against matrices that are written down.
#[test]
fn linear_models_against_dense_matrices() {
    let q = Quadric::new();
    let table = Table::written(&q);
    let reading = ["--target", "answer", "--sample-weight", "s"];
    let fit = [
        &["table.csv", "--l2", "0.01", "-o", "fit.safetensors"],
        &reading[..],
    ]
    .concat();
    let fit = q.fit(&fit).unwrap();
    let mut x = [0.0; 4];
    let numbers = [&fit.json["coef"], &fit.json["intercept"]].map(support::floats);
    x.copy_from_slice(&numbers.concat());
    let matrix = [
        "--matrix",
        "hessian,ggn,fisher,covariance",
        "-o",
        "page.html",
        "--force",
    ];
    let file = ["fit.safetensors", "--data", "table.csv"];
    let weights = ["glm", "--weights", "fit.safetensors", "--data", "table.csv"];
    let zero = ["glm", "--data", "table.csv", "--l2", "0.01"];
    for (model, point) in [
        (file.to_vec(), x),
        (weights.to_vec(), x),
        ([&zero[..], &reading[..]].concat(), [0.0; 4]),
    ] {
        let (code, found) = q.json(&[&["curvature"], &model[..], &matrix[..]].concat());
        assert_eq!(code, 0, "{found:#}");
        assert_eq!(found["parameters"].as_u64(), Some(4));
        let [hessian, covariance, g] = table.matrices(&point, 0.01);
        compare_linear(&found, &hessian, &covariance);
        if point == x {
            near(number(&found["loss"]), number(&fit.json["objective"]), 1.0);
            assert_eq!(
                found["accuracy"].is_number(),
                fit.json["accuracy"].is_number()
            );
        } else {
            let trace = |m: faer::Mat<f64>| (0..4).map(|i| m[(i, i)]).sum::<f64>();
            let along = (g.transpose() * &hessian * &g)[(0, 0)];
            let scale = trace(&hessian * &covariance) / along;
            let found = &found["hessian_noise_scale"];
            near(number(&found["value"]), scale, scale);
            assert_eq!(found["level"], 1.0);
        }
    }
    // Only the Hessian without a choice, and some of the rows.
    let (code, found) = q.json(&["curvature", "glm", "--data", "digits", "--examples", "300"]);
    assert_eq!(code, 0, "{found:#}");
    assert_eq!(found["parameters"].as_u64(), Some(650));
    assert!(found["ggn"].is_null() && found["examples"].as_u64() == Some(300));
}

/// A file that does not know the classes or the columns of a model.
#[test]
fn linear_models_refuse_other_data() {
    let q = Quadric::new();
    Table::written(&q);
    let fit = ["table.csv", "--target", "answer", "-o", "fit.safetensors"];
    q.fit(&fit).unwrap();
    fs::write(
        q.path().join("other.csv"),
        "a,b,c,answer,s\n1,2,3,maybe,1\n",
    )
    .unwrap();
    fs::write(q.path().join("less.csv"), "a,b,answer\n1,2,yes\n").unwrap();
    for (change, code, part) in [
        (&["--data", "other.csv"][..], 3, "maybe"),
        (&["--data", "less.csv"], 3, "`c`"),
        (&["--data", "none.csv"], 5, "none.csv"),
        (&["--data", "table.csv", "--loss", "squared"], 2, "loss"),
        (
            &["--data", "table.csv", "--weights", "fit.safetensors"],
            2,
            "weights",
        ),
    ] {
        let (found, document) = q.json(&[&["curvature", "fit.safetensors"], change].concat());
        let message = document["error"]["message"].as_str().unwrap();
        let told = found == code && message.contains(part);
        assert!(told, "{change:?}: {found}: {message}");
    }
}
