//! Networks of files with data for them, and commands that are interrupted.
#![allow(dead_code, unreachable_pub)] // each test binary uses its part
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failed unwrap is a failed test

use super::{Quadric, root};
use quadric::autodiff::{Array, Kind};
use quadric::data::encode_npy;
use quadric::linalg::random::SeedTree;
use quadric::nn::{Examples, Mode, Network};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// An ONNX file of the tests.
pub fn fixture(name: &str) -> PathBuf {
    root().join(format!("testdata/onnx/{name}.onnx"))
}

/// Random images or sequences for a network and labels, written to `x.npy` and `y.npy`.
pub fn data(q: &Quadric, network: &Network, count: usize) -> Examples<f64> {
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
        fs::write(q.path().join(name), encode_npy(shape, values)).unwrap();
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

pub fn number(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("{v} is no number"))
}

#[track_caller]
pub fn near(a: f64, b: f64, scale: f64) {
    assert!((a - b).abs() <= 1e-9 * scale.abs(), "{a}, {b}");
}

/// Runs a command that saves its state, kills it again and again, and gives the document of the run that came to the end.
pub fn resumed(q: &Quadric, arguments: &[&str]) -> Value {
    let mut stops = 0;
    let found = loop {
        let mut child = q
            .command(arguments)
            .stdout(fs::File::create(q.path().join("out.json")).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Each time longer, so that some run comes to the end.
        let end = Instant::now() + Duration::from_secs_f64(0.4 * 1.5f64.powi(stops));
        while Instant::now() < end && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        if child.try_wait().unwrap().is_some() {
            let output = fs::read(q.path().join("out.json")).unwrap();
            break serde_json::from_slice::<Value>(&output).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        stops += 1;
    };
    println!("{stops} interruptions");
    found
}
