//! Randomised estimates against closed forms and dense decompositions, and their intervals over many seeds.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod bands;
mod coverage;
mod density;
mod diagonal;
mod edges;
mod function;
#[path = "../krylov_support/mod.rs"]
mod krylov_support;
mod trace;

use quadric_linalg::algebra::Diagonal;

/// The order of the operators whose intervals are checked.
const N: usize = 300;

/// Spectra that decay, are flat, have both signs, or a gap. A method that draws from the sphere sees no difference between a
/// diagonal matrix and a rotated one.
fn spectra() -> Vec<(&'static str, Vec<f64>)> {
    let of = |f: &dyn Fn(f64) -> f64| (0..N).map(|i| f(i as f64)).collect();
    vec![
        ("geometric", of(&|i| 0.7f64.powf(i))),
        ("quadratic", of(&|i| (1.0 + i).powi(-2))),
        ("harmonic", of(&|i| 1.0 / (1.0 + i))),
        ("linear", of(&|i| 3.0 - 2.0 * i / (N - 1) as f64)),
        ("both signs", of(&|i| 2.5 * i / (N - 1) as f64 - 1.0)),
        ("gap", of(&|i| if i < 13.0 { 1.0 } else { 1e-3 })),
    ]
}

fn diagonal(values: &[f64]) -> Diagonal<f64> {
    Diagonal(values.to_vec())
}
