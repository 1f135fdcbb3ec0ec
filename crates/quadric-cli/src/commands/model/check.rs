//! `quadric model check`: loss, accuracy, and whether derivatives are what they should be.

use super::load;
use crate::args::{Global, ModelCheckArgs, Precision};
use crate::commands::examples::Opened;
use crate::console;
use faer::Mat;
use quadric::core::{Model, Result, Smooth, TwiceSmooth, vector};
use quadric::data::Value as Number;
use quadric::linalg::random::SeedTree;
use quadric::linalg::{LinearOperator, Scalar};
use quadric::nn::{Loss, Mode, Network, Supervised};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Seed of the directions in which derivatives are compared.
const SEED: u64 = 0;

pub(super) fn run(a: &ModelCheckArgs, global: &Global) -> Result<()> {
    let network = load(&a.file.model, &a.file.reading)?;
    let document = match a.dtype {
        Precision::F32 => check::<f32>(&network, a)?,
        Precision::F64 => check::<f64>(&network, a)?,
    };
    if global.json {
        return console::print_json(&document);
    }
    let mut text = String::new();
    for (key, value) in document.as_object().into_iter().flatten() {
        let _ = writeln!(text, "{:<24} {value}", key.replace('_', " "));
    }
    console::print(&text)
}

fn check<T: Scalar + Number>(network: &Network, a: &ModelCheckArgs) -> Result<Value> {
    let loss: Loss = a.loss.parse()?;
    let program = network.program(1, Mode::Evaluate)?;
    let target = loss.target(&program.output_type(0).shape[1..])?;
    let source = Opened::new(&a.examples)?.examples(network, Some(&target))?;
    let batch = a.examples.batch;
    let exact = Supervised::<f64>::streaming(network.clone(), loss, source.clone())?;
    let exact = exact.with_batch(batch);
    let problem = Supervised::<T>::streaming(network.clone(), loss, source.clone())?;
    let problem = problem.with_batch(batch);
    let x: Vec<T> = network.initial(0);
    let buffers: Vec<T> = network.initial_buffers();
    let accuracy = network.accuracy(&x, &buffers, &source, loss, batch)?;
    let mut gradient = vec![<T as Scalar>::of(0.0); x.len()];
    let value = problem.value_grad(&x, &mut gradient)?;
    let (symmetry, differences) = derivatives(&problem, &exact, &x)?;
    Ok(json!({
        "loss": value,
        "accuracy": accuracy,
        "gradient_norm": vector::norm2(&gradient),
        "hessian_symmetry": symmetry,
        "hessian_vs_differences": differences,
        "parameters": x.len(),
        "examples": problem.examples(),
        "seed": SEED,
    }))
}

/// `|uᵀHv - vᵀHu|` relative to the larger of both, and the distance of `Hv` from central differences of gradients in double
/// precision, relative to its length, for random u and v and the best of some steps.
fn derivatives<T: Scalar>(
    problem: &Supervised<T>,
    exact: &Supervised<f64>,
    x: &[T],
) -> Result<(f64, f64)> {
    let d = x.len();
    let mut stream = SeedTree::new(SEED).child("check of derivatives").stream(0);
    let directions = Mat::from_fn(d, 2, |_, _| T::of(stream.normal()));
    let mut products = Mat::<T>::zeros(d, 2);
    problem
        .hessian(x)?
        .apply(directions.as_ref(), products.as_mut())?;
    let column =
        |m: &Mat<T>, j: usize| -> Vec<f64> { (0..d).map(|i| m[(i, j)].to_f64()).collect() };
    let (u, v) = (column(&directions, 0), column(&directions, 1));
    let (hu, hv) = (column(&products, 0), column(&products, 1));
    let (a, b) = (vector::dot(&u, &hv), vector::dot(&v, &hu));
    let symmetry = (a - b).abs() / a.abs().max(b.abs()).max(f64::MIN_POSITIVE);

    let xs: Vec<f64> = x.iter().map(|v| v.to_f64()).collect();
    let longest = f64::EPSILON.cbrt() * (1.0 + vector::norm2(&xs)) / vector::norm2(&v);
    let length = vector::norm2(&hv).max(f64::MIN_POSITIVE);
    // The derivative of a ReLU jumps, and the more jumps lie within a step the more it sees of them: down to steps so short
    // that rounding decides.
    let mut best = f64::INFINITY;
    for step in (0..6).map(|k| longest * 0.1f64.powi(k)) {
        let difference = difference(exact, &xs, &v, step)?;
        let error: Vec<f64> = hv.iter().zip(&difference).map(|(h, d)| h - d).collect();
        let error = vector::norm2(&error) / length;
        if error > 10.0 * best {
            break;
        }
        best = best.min(error);
        if best < 1e-6 {
            break;
        }
    }
    Ok((symmetry, best))
}

/// The central difference of gradients along a direction.
fn difference(exact: &Supervised<f64>, x: &[f64], v: &[f64], step: f64) -> Result<Vec<f64>> {
    let at = |by: f64| -> Result<Vec<f64>> {
        let moved: Vec<f64> = x.iter().zip(v).map(|(x, v)| x + by * v).collect();
        let mut g = vec![0.0; x.len()];
        exact.value_grad(&moved, &mut g)?;
        Ok(g)
    };
    let (up, down) = (at(step)?, at(-step)?);
    let pairs = up.iter().zip(&down);
    Ok(pairs.map(|(u, d)| (u - d) / (2.0 * step)).collect())
}
