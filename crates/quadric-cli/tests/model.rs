//! `quadric model`: networks of ONNX files at the command line.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

mod support;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use support::Quadric;

/// A committed network, and what PyTorch gives for it.
fn fixture(name: &str) -> (PathBuf, Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/onnx");
    let text = fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    (folder.join(format!("{name}.onnx")), text.parse().unwrap())
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter().map(|v| v.as_f64().unwrap()).collect()
}

fn save(q: &Quadric, name: &str, shape: &[usize], values: &[f64]) {
    fs::write(
        q.path().join(name),
        quadric::data::encode_npy(shape, values),
    )
    .unwrap();
}

#[test]
fn a_network_is_inspected_and_run() {
    let q = Quadric::new();
    let (model, expected) = fixture("mlp");
    let model = model.to_str().unwrap();
    let (code, facts) = q.json(&["model", "inspect", model]);
    assert_eq!(code, 0, "{facts:#}");
    assert_eq!(facts["inputs"][0]["shape"], serde_json::json!([5]));
    let layers = facts["layers"].as_array().unwrap();
    let sizes = layers.iter().map(|l| l["parameters"].as_u64().unwrap());
    assert_eq!(facts["parameters"].as_u64(), Some(sizes.sum()));
    assert!(facts["operations"].as_u64() > facts["parameters"].as_u64());

    save(&q, "x.npy", &[3, 5], &numbers(&expected["input"]));
    let (code, document) = q.json(&[
        "model", "run", model, "--data", "x.npy", "-o", "z.npy", "--batch", "2",
    ]);
    assert_eq!(code, 0, "{document:#}");
    let limits = quadric::data::Limits::default();
    let z = quadric::data::read_npy(&q.path().join("z.npy"), &limits).unwrap();
    assert_eq!(z.shape, [3, 1]);
    for (found, expected) in z.values.iter().zip(numbers(&expected["output"])) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
    // What exists is not replaced.
    let (code, document) = q.json(&["model", "run", model, "--data", "x.npy", "-o", "z.npy"]);
    assert_eq!(code, 5, "{document:#}");
}

#[test]
fn derivatives_are_checked() {
    let q = Quadric::new();
    let (model, expected) = fixture("mlp");
    save(&q, "x.npy", &[3, 5], &numbers(&expected["input"]));
    save(&q, "y.npy", &[3, 1], &[0.0, 1.0, 0.5]);
    let loss: f64 = numbers(&expected["output"])
        .iter()
        .zip([0.0, 1.0, 0.5])
        .map(|(f, y)| (f - y).powi(2) / 2.0)
        .sum();
    for (dtype, near) in [("f32", 1e-5), ("f64", 1e-8)] {
        let arguments = ["model", "check", model.to_str().unwrap(), "--data", "x.npy"];
        let more = ["--labels", "y.npy", "--loss", "squared", "--dtype", dtype];
        let (code, found) = q.json(&[&arguments[..], &more[..]].concat());
        assert_eq!(code, 0, "{found:#}");
        let number = |key: &str| found[key].as_f64().unwrap();
        assert!((number("loss") - loss / 3.0).abs() < near, "{found:#}");
        assert!(number("hessian_symmetry") < near, "{found:#}");
        assert!(number("hessian_vs_differences") < near, "{found:#}");
        assert!(found["accuracy"].is_null());
        assert!(number("gradient_norm") > 0.0);
    }
}

#[test]
fn networks_are_exported() {
    let q = Quadric::new();
    let networks: [(&[&str], u64); 4] = [
        (&["mlp", "--sizes", "4,8,3", "--activation", "tanh"], 67),
        (&["lenet"], 61_706),
        (&["resnet8", "--dtype", "f64"], 75_290),
        (&["lstm", "--sizes", "5,3,4,2"], 138),
    ];
    for (arguments, parameters) in networks {
        let file = format!("{}.onnx", arguments[0]);
        let export = [&["model", "export"], arguments, &["-o", &file]].concat();
        let (code, document) = q.json(&export);
        assert_eq!(code, 0, "{document:#}");
        assert_eq!(document["parameters"].as_u64(), Some(parameters));
        let (code, facts) = q.json(&["model", "inspect", &file]);
        assert_eq!(code, 0, "{facts:#}");
        assert_eq!(facts["parameters"].as_u64(), Some(parameters));
    }
    // A file again: the same network. What exists is not replaced, what is unknown is named.
    let again = ["model", "export", "mlp.onnx", "-o", "again.onnx"];
    assert_eq!(q.json(&again).0, 0);
    let [first, second] = ["mlp.onnx", "again.onnx"].map(|f| fs::read(q.path().join(f)).unwrap());
    assert_eq!(first, second);
    assert_eq!(q.json(&again).0, 5);
    for wrong in [
        &["vgg", "-o", "z.onnx"][..],
        &["mlp", "--sizes", "3", "-o", "z.onnx"],
        &["lenet", "--sizes", "3", "-o", "z.onnx"],
        &["resnetx", "-o", "z.onnx"],
    ] {
        let (code, document) = q.json(&[&["model", "export"], wrong].concat());
        assert_eq!(code, 2, "{document:#}");
        assert!(!q.path().join("z.onnx").exists());
    }
}

#[test]
fn bad_models_and_arrays_are_refused() {
    let q = Quadric::new();
    let (model, _) = fixture("mlp");
    let model = model.to_str().unwrap();
    save(&q, "x.npy", &[3, 4], &[0.0; 12]);
    let (code, document) = q.json(&["model", "run", model, "--data", "x.npy", "-o", "z.npy"]);
    let message = document["error"]["message"].as_str().unwrap();
    assert_eq!(code, 3, "{document:#}");
    assert!(
        message.contains("[3, 4]") && message.contains("(n, 5)"),
        "{message}"
    );
    assert!(!q.path().join("z.npy").exists());
    fs::write(q.path().join("model.pt"), b"PK\x03\x04").unwrap();
    let (code, document) = q.json(&["model", "inspect", "model.pt"]);
    assert_eq!(code, 3, "{document:#}");
    save(&q, "x.npy", &[2, 5], &[0.0; 10]);
    save(&q, "y.npy", &[3, 1], &[0.0; 3]);
    let check = [
        "model", "check", model, "--data", "x.npy", "--labels", "y.npy", "--loss", "squared",
    ];
    let (code, document) = q.json(&check);
    let message = document["error"]["message"].as_str().unwrap();
    assert_eq!(code, 3, "{document:#}");
    assert!(message.contains("3 targets for 2 examples"), "{message}");
    let (code, _) = q.json(&[
        "model", "check", model, "--data", "x.npy", "--labels", "y.npy", "--loss", "hinge",
    ]);
    assert_eq!(code, 2);
}
