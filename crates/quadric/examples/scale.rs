//! One measurement of `cargo xtask bench scale`: `scale ROWS COLUMNS DENSITY L2 METHOD THREADS`.
//!
//! Fits synthetic logistic data to a certified relative gap of 1e-8 and prints, as JSON, the seconds and passes, the bytes of
//! the data, and the most memory that the process held at once while it fitted, data included.

#![allow(clippy::print_stdout)]

use quadric::core::{AnyMethod, DataMatrix, Driver, Error, ErrorKind, Problem, Result, Tolerance};
use quadric::data::synth;
use quadric::models::{Glm, GlmOptions, Loss};
use quadric::opt::registry;
use serde_json::{Value, json};
use std::time::Instant;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [rows, columns, density, l2, method, threads] = words.as_slice() else {
        return Err(Error::argument("arguments", words.len(), "six"));
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(number(threads)? as usize);
    let pool = pool
        .build()
        .map_err(|e| Error::new(ErrorKind::Argument, e.to_string()))?;
    let options = synth::Options {
        rows: number(rows)? as usize,
        columns: number(columns)? as usize,
        density: number(density)?,
        condition: 1e3,
        ..synth::Options::default()
    };
    let line = pool.install(|| measure(&options, number(l2)?, method))?;
    println!("{line}");
    Ok(())
}

fn number(word: &str) -> Result<f64> {
    word.parse()
        .map_err(|_| Error::argument("arguments", word, "a number"))
}

fn measure(options: &synth::Options, l2: f64, name: &str) -> Result<Value> {
    let before = kilobytes("VmRSS:");
    let data = synth::generate(options)?;
    let stored = data.x.stored();
    let bytes = match &data.x {
        DataMatrix::Dense(_) => 8 * stored,
        DataMatrix::Sparse(_) => 12 * stored + 4 * (options.rows + 1),
    } + 8 * options.rows;
    // The high-water mark starts again from what is held now.
    std::fs::write("/proc/self/clear_refs", "5")
        .map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
    let start = Instant::now();
    let model = GlmOptions {
        loss: Loss::Logistic,
        l2,
        intercept: true,
    };
    let (x, target) = (data.x, data.target);
    let glm = Glm::<f64>::new(x, &target, None, &model)?;
    let method: Box<dyn AnyMethod<f64>> = match name {
        "auto" => registry::auto(&glm as &dyn Problem<f64>, &Value::Null)?.1,
        name => registry::build(name, &Value::Null)?,
    };
    let mut driver = Driver {
        tolerance: Tolerance {
            relative: 1e-8,
            absolute: 0.0,
        },
        ..Driver::default()
    };
    let outcome = method.run(&mut driver, glm.start(), &glm)?;
    Ok(json!({
        "seconds": start.elapsed().as_secs_f64(), "passes": outcome.counts.passes, "status": outcome.status.name(),
        "stored": stored, "data_bytes": bytes, "peak_bytes": 1024 * kilobytes("VmHWM:").saturating_sub(before),
    }))
}

/// A line of the kernel's account of this process.
fn kilobytes(label: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(label));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
