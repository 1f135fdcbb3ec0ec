//! One measurement of `cargo xtask bench scale`: `scale ROWS COLUMNS DENSITY L2 METHOD THREADS`.
//!
//! Fits synthetic logistic data to a certified relative gap of 1e-8 and prints, as JSON, the seconds and passes, the bytes of
//! the data, and the most memory that the process held at once while it fitted, data included.

#![allow(clippy::print_stdout)]

use quadric::core::{AnyMethod, DataMatrix, Driver, Error, ErrorKind, Problem, Result, Tolerance};
use quadric::linalg::random::SeedTree;
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
    let shape = Shape {
        rows: number(rows)? as usize,
        columns: number(columns)? as usize,
        density: number(density)?,
    };
    let line = pool.install(|| measure(&shape, number(l2)?, method))?;
    println!("{line}");
    Ok(())
}

fn number(word: &str) -> Result<f64> {
    word.parse()
        .map_err(|_| Error::argument("arguments", word, "a number"))
}

/// What data to make.
struct Shape {
    rows: usize,
    columns: usize,
    density: f64,
}

impl Shape {
    /// Normal entries, the spread of the columns falling from 1 to 1/30, and labels that follow a hidden model by chance.
    /// Made in the memory it ends in, so that nothing but the data is left.
    fn generate(&self) -> Result<(DataMatrix<f64>, Vec<f64>)> {
        let mut stream = SeedTree::new(1).child("scale").stream(0);
        let spread = |j: usize| 30f64.powf(-(j as f64) / self.columns as f64);
        let per_row = ((self.density * self.columns as f64).round() as usize).max(1);
        let room = self.rows * per_row;
        let is_sparse = self.density < 1.0;
        let mut target = Vec::with_capacity(self.rows);
        let mut values = Vec::with_capacity(room);
        let mut indices: Vec<u32> = Vec::with_capacity(if is_sparse { room } else { 0 });
        for _ in 0..self.rows {
            let mut margin = 0.0;
            for t in 0..per_row {
                // One entry in each of `per_row` stretches of columns.
                let (from, to) = (t * self.columns / per_row, (t + 1) * self.columns / per_row);
                let j = from + stream.below(to - from);
                let z = stream.normal();
                margin += if j.is_multiple_of(2) { z } else { -z };
                values.push(z * spread(j));
                if is_sparse {
                    indices.push(j as u32);
                }
            }
            let margin = margin / (per_row as f64).sqrt();
            let positive = stream.uniform() < 1.0 / (1.0 + (-margin).exp());
            target.push(f64::from(u8::from(positive)));
        }
        let x = if is_sparse {
            let starts = (0..=self.rows).map(|i| (i * per_row) as u32).collect();
            DataMatrix::sparse(starts, indices, values, self.rows, self.columns)?
        } else {
            DataMatrix::dense(values, self.rows, self.columns)?
        };
        Ok((x, target))
    }
}

fn measure(shape: &Shape, l2: f64, name: &str) -> Result<Value> {
    let before = kilobytes("VmRSS:");
    let (x, target) = shape.generate()?;
    let stored = x.stored();
    let bytes = match &x {
        DataMatrix::Dense(_) => 8 * stored,
        DataMatrix::Sparse(_) => 12 * stored + 4 * (shape.rows + 1),
    } + 8 * shape.rows;
    // The high-water mark starts again from what is held now.
    std::fs::write("/proc/self/clear_refs", "5")
        .map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
    let start = Instant::now();
    let model = GlmOptions {
        loss: Loss::Logistic,
        l2,
        intercept: true,
    };
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
