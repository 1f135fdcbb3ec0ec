//! `quadric curvature`: analyses at the command line against dense matrices of the library.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

mod support;

use quadric::autodiff::{Array, Kind};
use quadric::core::{Matrix, Model, Overwrite};
use quadric::linalg::LinearOperator;
use quadric::linalg::dense::symmetric_eigen;
use quadric::linalg::random::SeedTree;
use quadric::nn::layers::{Dense, dense};
use quadric::nn::{Examples, Loss, Mode, Network, Port, Supervised, Weights, onnx};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::Quadric;

const EXAMPLES: usize = 12;

fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/onnx");
    folder.join(format!("{name}.onnx"))
}

/// Random images or sequences for a network and labels, written to `x.npy` and `y.npy`.
fn data(q: &Quadric, network: &Network, count: usize) -> Examples<f64> {
    let mut stream = SeedTree::new(4).child("data").stream(0);
    let port = &network.inputs()[0];
    let shape = [&[count], &port.shape[..]].concat();
    let draw = |_| match port.kind {
        Kind::Float => stream.normal(),
        Kind::Index => stream.below(4) as f64,
    };
    let x: Vec<f64> = (0..shape.iter().product()).map(draw).collect();
    let program = network.program(1, Mode::Evaluate).unwrap();
    let classes = *program.output_type(0).shape.last().unwrap();
    let y: Vec<i32> = (0..count).map(|i| (i % classes) as i32).collect();
    let labels: Vec<f64> = y.iter().map(|&v| f64::from(v)).collect();
    let write = |name: &str, shape: &[usize], values: &[f64]| {
        fs::write(
            q.path().join(name),
            quadric::data::encode_npy(shape, values),
        )
        .unwrap();
    };
    write("x.npy", &shape, &x);
    write("y.npy", &[count], &labels);
    Examples {
        count,
        inputs: vec![match port.kind {
            Kind::Float => Array::Float(x),
            Kind::Index => Array::Index(x.iter().map(|&v| v as i32).collect()),
        }],
        targets: Array::Index(y),
    }
}

fn number(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("{v} is no number"))
}

fn near(a: f64, b: f64, scale: f64) {
    assert!((a - b).abs() <= 1e-9 * scale, "{a}, {b}");
}

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
            "hessian,ggn,fisher,covariance",
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
            ("covariance", Matrix::Covariance),
        ] {
            let mut dense = faer::Mat::<f64>::zeros(d, d);
            let op = problem.matrix(&x, matrix).unwrap();
            op.dense(dense.as_mut()).unwrap();
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
        }
    }
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
    let mut stops = 0;
    let mut found = loop {
        let mut child = q
            .command(&[&saving[..], &["--json"]].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Each time a little later, so that some run comes to the end.
        let end = Instant::now() + Duration::from_millis(300 + 300 * stops);
        while Instant::now() < end && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        if child.try_wait().unwrap().is_some() {
            let output = child.wait_with_output().unwrap();
            break serde_json::from_slice::<Value>(&output.stdout).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        stops += 1;
    };
    println!("{stops} interruptions");
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
    let (code, document) = q.json(&[
        "curvature",
        "resnet20",
        "--data",
        "x.npy",
        "--labels",
        "y.npy",
    ]);
    let message = document["error"]["message"].as_str().unwrap();
    assert!(code == 2 && message.contains("weights"), "{message}");
}
