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

/// The same examples in every format: the same numbers.
#[test]
fn examples_come_from_any_file() {
    let q = Quadric::new();
    let export = ["model", "export", "mlp", "--sizes", "4,3", "-o", "net.onnx"];
    assert_eq!(q.json(&export).0, 0);
    let rows: Vec<f64> = (0..24).map(|i| f64::from(i * i % 7) / 4.0).collect();
    let labels = [0.0, 2.0, 1.0, 1.0, 2.0, 0.0];
    save(&q, "x.npy", &[6, 4], &rows);
    save(&q, "labels.npy", &[6], &labels);
    let line = |(row, y): (&[f64], &f64)| {
        let row: Vec<String> = row.iter().map(f64::to_string).collect();
        format!("{},{y}\n", row.join(","))
    };
    let lines: String = rows.chunks(4).zip(&labels).map(line).collect();
    fs::write(q.path().join("x.csv"), format!("a,b,c,d,y\n{lines}")).unwrap();
    let column: String = labels.iter().map(|y| format!("{y}\n")).collect();
    fs::write(q.path().join("labels.csv"), column).unwrap();
    for out in ["x.csv.gz", "x.svm", "x.svm.gz"] {
        let (code, document) = q.json(&["data", "convert", "x.csv", out]);
        assert_eq!(code, 0, "{document:#}");
    }
    let mut all: Vec<Value> = Vec::new();
    for data in [
        &["--data", "x.npy", "--labels", "labels.npy"][..],
        &["--data", "x.npy", "--labels", "labels.csv"],
        &["--data", "x.csv"],
        &["--data", "x.csv", "--target", "y", "--labels", "labels.npy"],
        &["--data", "x=x.csv.gz"],
        &["--data", "x.svm", "--columns", "4"],
        &["--data", "x.svm.gz", "--columns", "4"],
    ] {
        let (code, found) = q.json(&[&["model", "check", "net.onnx"], data].concat());
        assert_eq!(code, 0, "{data:?}: {found:#}");
        assert_eq!(found["examples"].as_u64(), Some(6));
        all.push(found);
    }
    assert!(all.iter().all(|found| *found == all[0]), "{all:#?}");
    // Targets are no inputs, and outputs need none.
    for (data, out) in [("x.csv", "a.npy"), ("x.npy", "b.npy")] {
        let (code, found) = q.json(&["model", "run", "net.onnx", "--data", data, "-o", out]);
        assert_eq!(code, 0, "{found:#}");
    }
    let [a, b] = ["a.npy", "b.npy"].map(|f| fs::read(q.path().join(f)).unwrap());
    assert_eq!(a, b);
    fs::write(q.path().join("wide.csv"), "a,b,c,d,e,y\n1,2,3,4,5,0\n").unwrap();
    for (data, code, parts) in [
        (&["--data", "wide.csv"][..], 3, ["wide.csv", "[1, 5]"]),
        (&["--data", "x.npy"], 2, ["no targets", "data"]),
        (
            &["--data", "x.csv", "--labels", "wide.csv"],
            3,
            ["wide.csv", "6 columns"],
        ),
        (
            &["--data", "x.npy", "--labels", "x.npy"],
            3,
            ["x.npy", "[6, 4]"],
        ),
        (
            &["--data", "x.csv", "--loss", "squared"],
            3,
            ["x.csv", "(n, 3)"],
        ),
        (&["--data", "x.csv", "--divide", "0"], 2, ["divide", "0"]),
        (
            &["--data", "x.csv", "--sample-weight", "a"],
            2,
            ["sample-weight", "weigh"],
        ),
    ] {
        let (found, document) = q.json(&[&["model", "check", "net.onnx"], data].concat());
        let message = document["error"]["message"].as_str().unwrap();
        let told = found == code && parts.iter().all(|part| message.contains(part));
        assert!(told, "{data:?}: {found}: {message}");
    }
}

/// Images as their files have them: MNIST's with labels beside them, CIFAR's with the channels first.
#[test]
fn images_come_from_their_files() {
    let q = Quadric::new();
    let pixels: Vec<u8> = (0..2 * 784).map(|i| (i * 37 % 251) as u8).collect();
    let header = |dimensions: &[u32]| {
        let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
        bytes.extend(dimensions.iter().flat_map(|d| d.to_be_bytes()));
        bytes
    };
    let images = [header(&[2, 28, 28]), pixels.clone()].concat();
    fs::write(q.path().join("t-images-idx3-ubyte"), images).unwrap();
    let labels = [header(&[2]), vec![3, 9]].concat();
    fs::write(q.path().join("t-labels-idx1-ubyte"), labels).unwrap();
    let wide: Vec<f64> = pixels.iter().map(|&p| f64::from(p)).collect();
    save(&q, "x.npy", &[2, 28, 28, 1], &wide);
    save(&q, "y.npy", &[2], &[3.0, 9.0]);
    assert_eq!(
        q.json(&["model", "export", "lenet", "-o", "lenet.onnx"]).0,
        0
    );
    let check = |data: &[&str]| {
        let (code, found) = q.json(&[&["model", "check", "lenet.onnx"], data].concat());
        assert_eq!(code, 0, "{found:#}");
        found
    };
    let found = check(&["--data", "t-images-idx3-ubyte"]);
    assert_eq!(found, check(&["--data", "x.npy", "--labels", "y.npy"]));
    let shares: Vec<f64> = wide.iter().map(|p| p / 255.0).collect();
    save(&q, "shares.npy", &[2, 28, 28, 1], &shares);
    let found = check(&["--data", "t-images-idx3-ubyte", "--divide", "255"]);
    assert_eq!(found, check(&["--data", "shares.npy", "--labels", "y.npy"]));

    // Two records; as an array with the channels last.
    let record = |k: usize| (0..3072).map(move |i| ((i * 31 + k * 101) % 255) as u8);
    let records = (0..2).flat_map(|k| [k as u8 + 4].into_iter().chain(record(k)));
    let records: Vec<u8> = records.collect();
    fs::write(q.path().join("batch.bin"), records).unwrap();
    let last: Vec<f64> = (0..2)
        .flat_map(|k| {
            let planes: Vec<u8> = record(k).collect();
            (0..3072).map(move |e| f64::from(planes[e % 3 * 1024 + e / 3]))
        })
        .collect();
    save(&q, "cifar.npy", &[2, 32, 32, 3], &last);
    assert_eq!(
        q.json(&["model", "export", "resnet8", "-o", "resnet.onnx"])
            .0,
        0
    );
    for (data, out) in [("batch.bin", "a.npy"), ("cifar.npy", "b.npy")] {
        let (code, found) = q.json(&["model", "run", "resnet.onnx", "--data", data, "-o", out]);
        assert_eq!(code, 0, "{found:#}");
    }
    let [a, b] = ["a.npy", "b.npy"].map(|f| fs::read(q.path().join(f)).unwrap());
    assert_eq!(a, b);
}
