//! Every network written as ONNX: read again here, and run by onnxruntime.

// A helper says on the terminal what is skipped.
#![allow(clippy::print_stderr)]

mod common;
#[path = "common/networks.rs"]
mod networks;

use common::waves;
use quadric_autodiff::{Array, Data, Executable, Kind, Program};
use quadric_linalg::Scalar;
use quadric_nn::onnx::{self, Options};
use quadric_nn::{Call, Mode, Network, Weights};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Weights other than those to start from, so that none is at a special place.
fn weights<T: Scalar>(network: &Network) -> Weights<T> {
    let start = Weights::<f64>::initial(network, 7);
    let moved = |v: Vec<f64>, phase: f64| {
        let waves = waves(v.len(), phase).into_iter();
        v.into_iter().zip(waves).map(|(v, m)| v + 0.2 * m)
    };
    Weights {
        parameters: moved(start.parameters, 0.9).map(T::of).collect(),
        buffers: moved(start.buffers, 0.4).map(T::of).collect(),
    }
}

fn inputs<T: Scalar>(network: &Network, examples: usize) -> Vec<Array<T>> {
    let ports = network.inputs().iter().enumerate();
    ports
        .map(|(i, p)| {
            let n = p.of_batch(examples).len();
            match p.kind {
                Kind::Float => {
                    let values = waves(n, 0.3 + i as f64).into_iter();
                    Array::Float(values.map(T::of).collect())
                }
                Kind::Index => Array::Index((0..n).map(|i| (i * i % 5) as i32).collect()),
            }
        })
        .collect()
}

/// The outputs of a program of parameters, buffers and inputs.
fn run<T: Scalar>(program: &Program, w: &Weights<T>, inputs: &[Array<T>]) -> Vec<Vec<T>> {
    let own = [Data::Float(&w.parameters[..]), Data::Float(&w.buffers)];
    let given: Vec<Data<'_, T>> = own
        .into_iter()
        .chain(inputs.iter().map(Array::data))
        .collect();
    let lengths = (0..program.outputs()).map(|i| program.output_type(i).len());
    let mut found: Vec<Vec<T>> = lengths.map(|n| vec![T::of(0.0); n]).collect();
    let mut slots: Vec<&mut [T]> = found.iter_mut().map(Vec::as_mut_slice).collect();
    let mut compiled = Executable::new(program).expect("outputs are real");
    compiled.run(&given, &mut slots).expect("inputs fit");
    found
}

/// The gradient by the parameters of the sum of the squares of all outputs.
fn gradient(
    network: &Network,
    w: &Weights<f64>,
    inputs: &[Array<f64>],
    examples: usize,
) -> Vec<f64> {
    let program = Program::trace(|t| {
        let parameters = t.input("parameters", [network.layout().len()]);
        let buffers = t.input("buffers", [network.buffers().len()]);
        let ports = network.inputs().iter();
        let inputs: Vec<_> = ports
            .map(|p| {
                let of_batch = p.of_batch(examples);
                match p.kind {
                    Kind::Float => t.input(&p.name, of_batch.shape),
                    Kind::Index => t.index_input(&p.name, of_batch.shape),
                }
            })
            .collect();
        let call = Call {
            parameters,
            buffers,
            inputs: &inputs,
            mode: Mode::Evaluate,
            key: None,
        };
        let outputs = network.trace(t, call).outputs;
        let squares = outputs.iter().map(|y| y.square().sum_all());
        let loss = squares.reduce(|a, b| a + b).expect("an output");
        t.grad(loss, &[parameters])
    });
    run(&program.expect("shapes fit"), w, inputs).remove(0)
}

#[track_caller]
fn close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let most = expected.iter().fold(1e-3_f64, |m, v| m.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f - e).abs() / most;
        assert!(error <= tolerance, "{what} at {i}: {f}, not {e}");
    }
}

#[test]
fn networks_are_the_same_when_they_are_read_again() {
    for (name, network) in networks::all() {
        let w = weights::<f64>(&network);
        let bytes = onnx::to_bytes(&network, &w).unwrap_or_else(|e| panic!("{name}: {e}"));
        let again = onnx::from_bytes(&bytes, &Options::default());
        let again = again.unwrap_or_else(|e| panic!("{name}: {e}"));
        let v = Weights::<f64>::initial(&again, 0);
        assert_eq!(again.inputs(), network.inputs(), "{name}");
        let names = |n: &Network| -> Vec<(String, Vec<usize>)> {
            let segments = n.layout().segments().iter().chain(n.buffers().segments());
            segments
                .map(|s| (s.name.clone(), s.shape.clone()))
                .collect()
        };
        assert_eq!(names(&again), names(&network), "{name}");
        assert_eq!(v, w, "{name}");
        for examples in [1, 3] {
            let inputs = inputs::<f64>(&network, examples);
            let [of, to] = [&again, &network].map(|n| {
                n.program(examples, Mode::Evaluate)
                    .unwrap_or_else(|e| panic!("{name}: {e}"))
            });
            let [found, expected] = [&of, &to].map(|p| run(p, &w, &inputs));
            for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
                let what = format!("{name}: output {i} of {examples} examples");
                assert_eq!(of.output_type(i), to.output_type(i), "{what}");
                close(&what, f, e, 1e-8);
            }
            let [found, expected] = [&again, &network].map(|n| gradient(n, &w, &inputs, examples));
            close(&format!("{name}: gradient"), &found, &expected, 1e-7);
        }
    }
}

/// The interpreter that has onnxruntime: `QUADRIC_PYTHON`, or `python3`. None if there is none, which is a failure where
/// everything must be tested.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("QUADRIC_PYTHON").unwrap_or_else(|| "python3".into());
    let asked = Command::new(&named)
        .args(["-c", "import onnxruntime, onnx"])
        .output();
    if asked.is_ok_and(|o| o.status.success()) {
        return Some(named.into());
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "no Python with onnxruntime found; CI must have one, which `cargo xtask test` installs"
    );
    eprintln!(
        "skipped: no Python with onnxruntime found; to run this test: QUADRIC_PYTHON=<a Python with `pip install onnx onnxruntime`>"
    );
    None
}

fn numbers(array: &Array<f32>) -> Value {
    match array {
        Array::Float(v) => json!(v),
        Array::Index(v) => json!(v),
    }
}

/// A network for onnxruntime, and what it computes here.
fn record(folder: &Path, name: &str, network: &Network) -> Value {
    let w = weights::<f32>(network);
    let file = format!("{name}.onnx");
    onnx::write(
        folder.join(&file),
        network,
        &w,
        quadric_core::Overwrite::Refuse,
    )
    .unwrap_or_else(|e| panic!("{name}: {e}"));
    let batch = |examples: usize| {
        let program = network
            .program(examples, Mode::Evaluate)
            .expect("a program");
        let inputs = inputs::<f32>(network, examples);
        let outputs = run(&program, &w, &inputs).into_iter().enumerate();
        let shape = |i: usize| program.output_type(i).shape.to_vec();
        let outputs: Vec<Value> = outputs
            .map(|(i, v)| json!({ "shape": shape(i), "values": v }))
            .collect();
        let ports = network.inputs().iter().zip(&inputs);
        let inputs: Vec<Value> = ports
            .map(|(p, v)| {
                let shape = p.of_batch(examples).shape.to_vec();
                let is_index = p.kind == Kind::Index;
                json!({ "name": p.name, "shape": shape, "index": is_index, "values": numbers(v) })
            })
            .collect();
        json!({ "inputs": inputs, "outputs": outputs })
    };
    json!({ "file": file, "batches": [batch(1), batch(4)] })
}

#[test]
fn onnxruntime_computes_the_same() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let networks = networks::all();
    let records: Vec<Value> = networks
        .iter()
        .map(|(name, network)| record(folder.path(), name, network))
        .collect();
    let list = folder.path().join("records.json");
    std::fs::write(&list, Value::from(records).to_string()).expect("a file");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/onnx/run.py");
    let output = Command::new(python).arg(script).arg(&list).output();
    let output = output.expect("python starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    let expected = format!("{} networks agree", networks.len());
    assert!(text.contains(&expected), "{text}{errors}");
}
