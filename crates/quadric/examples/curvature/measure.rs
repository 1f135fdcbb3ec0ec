//! Times of our analysis of the Hessian of a case. What is found goes into the lines, eigenvectors into `ours.npy`, for the
//! referee.

use crate::case::Case;
use faer::Mat;
use quadric::core::{BoxOp, Matrix, Overwrite, write_atomically};
use quadric::curvature::{ModelTrace, ModelTraceOptions, Trace, model_trace};
use quadric::data::encode_npy;
use quadric::linalg::estimate::{Density, DensityOptions, density};
use quadric::linalg::random::SeedTree;
use quadric::linalg::spectrum::{EigenOptions, Eigenpairs, eigenpairs};
use quadric::prelude::*;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::time::Instant;

const PAIRS: usize = 5;
const BLOCK: usize = 16;
/// Half of an interval at 95 %, in standard errors.
const DEVIATIONS: f64 = 1.96;
/// A product with one vector costs about as much as this many gradients.
const GRADIENTS: f64 = 2.0;

/// All quantities, one line each; where products take long, only what is the default of each contestant.
pub(crate) fn measure(case: &Case, seed: u64) -> Result<()> {
    let ladder = case.about["effort"]["ladder"].as_array();
    let ladder: Vec<usize> = ladder
        .into_iter()
        .flatten()
        .filter_map(|steps| Some(steps.as_u64()? as usize))
        .collect();
    let run = Run {
        case,
        number: seed,
        seed: SeedTree::new(seed),
        gflop: case.problem.hessian(&case.x)?.cost().product / 1e9,
    };
    run.gradient()?;
    run.products(1, "Hessian product")?;
    run.products(BLOCK, "Hessian product of 16")?;
    let all = !ladder.is_empty();
    run.eigenpairs(all)?;
    if all {
        run.traces()?;
    }
    run.densities(&ladder)
}

struct Run<'c> {
    case: &'c Case,
    number: u64,
    seed: SeedTree,
    /// Billions of operations of one product.
    gflop: f64,
}

impl Run<'_> {
    /// The Hessian, of which nothing is computed yet.
    fn hessian(&self) -> Result<BoxOp<'_, f32>> {
        self.case.problem.hessian(&self.case.x)
    }

    fn line(&self, quantity: &str, seconds: f64, products: usize, more: Value) {
        let mut line = json!({
            "quantity": quantity, "rung": "", "seconds": seconds, "products": products,
            "gflop": products as f64 * self.gflop, "met": true,
        });
        if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
            line.extend(more);
        }
        println!("{line}");
    }

    fn gradient(&self) -> Result<()> {
        let mut g = vec![0.0; self.case.x.len()];
        let seconds = median(|| self.case.problem.value_grad(&self.case.x, &mut g).map(drop))?;
        let work = quadric::core::Model::gradient_work(&self.case.problem)? / 1e9;
        self.line("gradient", seconds, 0, json!({ "gflop": work }));
        Ok(())
    }

    /// A product with a block, with what belongs to the point prepared.
    fn products(&self, columns: usize, quantity: &str) -> Result<()> {
        let op = self.hessian()?;
        let mut stream = self.seed.child("directions").stream(0);
        let n = self.case.x.len();
        let x = Mat::from_fn(n, columns, |_, _| stream.normal() as f32);
        let mut y = Mat::zeros(n, columns);
        let seconds = median(|| op.apply(x.as_ref(), y.as_mut()))?;
        self.line(quantity, seconds, columns, json!({}));
        Ok(())
    }

    /// The default is as accurate as the accuracy that is asked for, so that one run counts for both.
    fn eigenpairs(&self, all: bool) -> Result<()> {
        let (seconds, pairs) = timed(|| self.pairs(PAIRS))?;
        let vectors: Vec<f64> = pairs
            .vectors
            .col_iter()
            .flat_map(|v| v.iter().map(|v| f64::from(*v)))
            .collect();
        let file = encode_npy(&[PAIRS, self.case.x.len()], &vectors);
        let path = self.case.folder.join("ours.npy");
        write_atomically(&path, Overwrite::Replace, |out| out.write_all(&file))?;
        let quantities = ["top 5, default", "top 5 to 1e-3"];
        for quantity in &quantities[..if all { 2 } else { 1 }] {
            let more = json!({ "values": pairs.values, "vectors": "ours.npy", "met": pairs.is_converged() });
            self.line(quantity, seconds, pairs.products, more);
        }
        Ok(())
    }

    fn pairs(&self, count: usize) -> Result<Eigenpairs<f32>> {
        let options = EigenOptions {
            count,
            // As the analysis of a network does.
            block: Some(2),
            tolerance: 1e-3,
            ..EigenOptions::default()
        };
        eigenpairs(&*self.hessian()?, &options, self.seed)
    }

    fn traces(&self) -> Result<()> {
        let default = ModelTraceOptions::default();
        let accurate = ModelTraceOptions {
            target: 0.01 * DEVIATIONS,
            max_draws: self.case.about["effort"]["products"].as_u64().unwrap_or(0) as usize,
            ..default
        };
        for (quantity, options) in [("trace, default", default), ("trace to 1 %", accurate)] {
            let (seconds, trace) = timed(|| self.trace(options))?;
            self.trace_line(quantity, seconds, 0, &trace);
        }
        let (seconds, (products, trace)) = timed(|| {
            let pairs = self.pairs(PAIRS)?;
            Ok((pairs.products, self.trace(accurate)?))
        })?;
        self.trace_line("top 5 and trace", seconds, products, &trace);
        Ok(())
    }

    fn trace(&self, options: ModelTraceOptions) -> Result<ModelTrace> {
        let seed = self.number;
        let options = ModelTraceOptions { seed, ..options };
        let (problem, x) = (&self.case.problem, &self.case.x);
        let found = model_trace(problem, x, Matrix::Hessian, &[], &options)?;
        Ok(found.expect("examples do not depend on each other"))
    }

    fn trace_line(&self, quantity: &str, seconds: f64, products: usize, found: &ModelTrace) {
        let Trace { value, met, .. } = found.total;
        let more = json!({
            "estimate": value.value, "half_width": value.half_width(),
            "met": met || quantity.ends_with("default"),
            // It is not made of products alone.
            "gflop": null,
        });
        let products = products + (found.gradients / GRADIENTS).ceil() as usize;
        self.line(quantity, seconds, products, more);
    }

    fn densities(&self, ladder: &[usize]) -> Result<()> {
        let default = DensityOptions {
            probes: 1,
            dense: 0,
            ..DensityOptions::default()
        };
        self.density("density, default", "", &default)?;
        for &steps in ladder {
            let options = DensityOptions {
                probes: BLOCK,
                steps,
                dense: 0,
                ..DensityOptions::default()
            };
            let rung = format!("{steps} steps");
            self.density("density of 16 starts", &rung, &options)?;
        }
        Ok(())
    }

    fn density(&self, quantity: &str, rung: &str, options: &DensityOptions) -> Result<()> {
        let (seconds, found): (f64, Density) = timed(|| {
            density(&*self.hessian()?, None, options, self.seed, |_| {
                ControlFlow::Continue(())
            })
        })?;
        let products = options.probes * found.steps;
        let more = json!({ "rung": rung, "atoms": found.atoms() });
        self.line(quantity, seconds, products, more);
        Ok(())
    }
}

fn timed<R>(f: impl FnOnce() -> Result<R>) -> Result<(f64, R)> {
    let start = Instant::now();
    let result = f()?;
    Ok((start.elapsed().as_secs_f64(), result))
}

fn median(mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    f()?;
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 5 || (times.len() < 51 && start.elapsed().as_secs_f64() < 2.0) {
        times.push(timed(&mut f)?.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
