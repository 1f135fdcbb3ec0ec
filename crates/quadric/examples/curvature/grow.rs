//! How the time and the memory of Hessian products grow with parameters, examples and vectors.

use faer::Mat;
use quadric::autodiff::Array;
use quadric::linalg::random::SeedTree;
use quadric::nn::layers::Activation;
use quadric::nn::models::mlp;
use quadric::nn::{Examples, Loss, Supervised};
use quadric::prelude::*;
use serde_json::json;
use std::time::Instant;

const INPUTS: usize = 64;
const CLASSES: usize = 10;
const TRIALS: usize = 5;
const BATCH: usize = 256;

/// Times products of the Hessian of a network with two hidden layers of `width` units with blocks of vectors, on random data,
/// and prints one line.
pub(crate) fn grow(width: usize, examples: usize, vectors: usize) -> Result<()> {
    let network = mlp(&[INPUTS, width, width, CLASSES], Activation::Tanh)?;
    let x: Vec<f32> = network.initial(1);
    let n = x.len();
    let mut stream = SeedTree::new(7).child("grow").stream(0);
    let mut drawn =
        |count: usize| -> Vec<f32> { (0..count).map(|_| stream.normal() as f32).collect() };
    let inputs = drawn(examples * INPUTS);
    let block = drawn(n * vectors);
    let data = Examples {
        count: examples,
        inputs: vec![Array::Float(inputs)],
        targets: Array::Index((0..examples).map(|i| (i % CLASSES) as i32).collect()),
    };
    let problem = Supervised::new(network, Loss::CROSS_ENTROPY, data)?.with_batch(BATCH);
    let hessian = problem.hessian(&x)?;
    let v = Mat::from_fn(n, vectors, |i, j| block[j * n + i]);
    let mut out = Mat::zeros(n, vectors);
    let mut seconds = f64::INFINITY;
    for _ in 0..=TRIALS {
        let start = Instant::now();
        hessian.apply(v.as_ref(), out.as_mut())?;
        seconds = seconds.min(start.elapsed().as_secs_f64());
    }
    let line = json!({
        "parameters": n, "examples": examples, "vectors": vectors, "seconds": seconds,
        "gflop": hessian.cost().product * vectors as f64 / 1e9, "peak_bytes": peak(),
    });
    println!("{line}");
    Ok(())
}

/// The most memory that this process held, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|l| l.split_whitespace().next()?.parse().ok());
    1024 * kilobytes.unwrap_or(0)
}
