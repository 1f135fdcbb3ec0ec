//! Our side of `cargo xtask bench glm`: a job per line of standard input, the answer per line of standard output.
//!
//! A job is `{"file", "loss", "l2", "solver", "tol", "repetitions"}`; the answer `{"seconds", "coef", "intercept", "method", "status",
//! "passes"}`. The time is that of building the problem from data in memory, solving it, and taking the weights out.

#![allow(clippy::print_stdout)]

use quadric::core::{DataMatrix, Driver, Error, ErrorKind, Outcome, Problem, Result, Tolerance};
use quadric::data::{self, Dataset, ReadOptions};
use quadric::models::{Glm, GlmOptions, LinearModel, Loss};
use quadric::opt::registry;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<()> {
    let threads = std::env::args().nth(1).and_then(|t| t.parse().ok());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0));
    let pool = pool
        .build()
        .map_err(|e| Error::new(ErrorKind::Argument, e.to_string()))?;
    let mut loaded: Option<(String, Dataset)> = None;
    for line in std::io::stdin().lines() {
        let job: Value = line
            .map_err(|e| e.to_string())
            .and_then(|line| serde_json::from_str(&line).map_err(|e| e.to_string()))
            .map_err(|e| Error::new(ErrorKind::Argument, e))?;
        let answer = pool.install(|| answer(&job, &mut loaded));
        println!(
            "{}",
            answer.unwrap_or_else(|e| json!({ "error": e.to_string() }))
        );
    }
    Ok(())
}

fn answer(job: &Value, loaded: &mut Option<(String, Dataset)>) -> Result<Value> {
    let missing = |name: &str| Error::argument(name, &job[name], "a value in the job");
    let file = job["file"].as_str().ok_or_else(|| missing("file"))?;
    if loaded.as_ref().is_none_or(|(name, _)| name != file) {
        *loaded = Some((
            file.to_owned(),
            data::read(Path::new(file), &ReadOptions::default())?,
        ));
    }
    let (_, data) = loaded.as_ref().ok_or_else(|| missing("file"))?;
    let options = GlmOptions {
        loss: match job["loss"].as_str() {
            Some("logistic") => Loss::Logistic,
            Some("softmax") => Loss::Softmax,
            Some("squared") => Loss::Squared,
            _ => return Err(missing("loss")),
        },
        l2: job["l2"].as_f64().ok_or_else(|| missing("l2"))?,
        intercept: true,
    };
    let solver = job["solver"].as_str().ok_or_else(|| missing("solver"))?;
    let tol = job["tol"].as_f64().ok_or_else(|| missing("tol"))?;
    let repetitions = job["repetitions"]
        .as_u64()
        .ok_or_else(|| missing("repetitions"))?;
    let mut seconds = Vec::new();
    let mut last = Value::Null;
    for _ in 0..repetitions {
        let x = data.x.clone();
        let start = Instant::now();
        let (model, method, outcome) = solve(x, &data.target, &options, solver, tol)?;
        seconds.push(start.elapsed().as_secs_f64());
        last = json!({ "coef": model.coef, "intercept": model.intercept, "method": method,
            "status": outcome.status.name(), "passes": outcome.counts.passes });
    }
    last["seconds"] = json!(seconds);
    Ok(last)
}

fn solve(
    x: DataMatrix<f64>,
    target: &[f64],
    options: &GlmOptions,
    solver: &str,
    tol: f64,
) -> Result<(LinearModel, &'static str, Outcome<f64>)> {
    let glm = Glm::<f64>::merged(x, target, None, options)?;
    let (entry, method) = match solver {
        "auto" => registry::auto(&glm as &dyn Problem<f64>, &Value::Null)?,
        name => {
            let entry = registry::find(name)?;
            (entry, entry.build(&Value::Null)?)
        }
    };
    let mut driver = Driver {
        tolerance: Tolerance {
            relative: tol,
            absolute: 0.0,
        },
        ..Driver::default()
    };
    let outcome = method.run(&mut driver, glm.start(), &glm)?;
    Ok((glm.model(&outcome.x), entry.name, outcome))
}
