//! How much faster values and gradients of many models are in one pass over their data than in one pass each. Prints a line
//! of JSON per number of columns, for an embedded set.

#![allow(clippy::print_stdout)]

use quadric::core::Columns;
use quadric::models::GlmBatch;
use quadric::prelude::*;
use serde_json::json;
use std::time::Instant;

/// The best of some repetitions, in seconds.
fn best(mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..10 {
        let start = Instant::now();
        f()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least)
}

fn main() -> Result<()> {
    let set = std::env::args().nth(1).unwrap_or_else(|| "a9a".to_owned());
    let data = quadric::data::embedded(&set)?;
    let first = data.target[0];
    let target: Vec<f64> = data.target.iter().map(|y| f64::from(*y == first)).collect();
    let dense = matches!(data.x, DataMatrix::Dense(_));
    let one = Glm::<f64>::new(data.x, &target, None, &GlmOptions::default())?;
    let mut g = vec![0.0; one.dim()];
    let x = vec![0.01; one.dim()];
    let alone = best(|| one.value_grad(&x, &mut g).map(|_| ()))?;
    for m in [1, 2, 4, 8, 16, 32] {
        let models: Result<Vec<_>> = (0..m).map(|_| one.with_l2(1e-3)).collect();
        let batch = GlmBatch::new(models?)?;
        let which: Vec<usize> = (0..m).collect();
        let (x, mut g) = (vec![0.01; batch.dim()], vec![0.0; batch.dim()]);
        let mut values = vec![0.0; m];
        let together = best(|| batch.values_grads(&which, &x, &mut values, &mut g))?;
        let storage = if dense { "dense" } else { "sparse" };
        let line = json!({
            "work": format!("{set}, {storage}"), "quantity": "seconds of a value with its gradient", "columns": m,
            "column_seconds": together / m as f64, "alone_seconds": alone,
        });
        println!("{line}");
    }
    Ok(())
}
