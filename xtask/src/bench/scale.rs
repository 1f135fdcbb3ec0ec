//! The suite `scale`: how time and memory of a fit grow with rows and with non-zeros, and those of Hessian products of a network
//! with parameters, examples and vectors.

use super::{Size, build_example, duration, markdown};
use crate::{Result, tools};
use serde_json::{Value, json};
use std::process::Command;

/// Rows, columns and density of synthetic logistic data, the penalty and the method.
struct Case(usize, usize, f64, &'static str);

/// Dense rows over four decades, sparse non-zeros over four decades, and three large sparse problems.
const CASES: &[Case] = &[
    Case(1_000, 50, 1.0, "auto"),
    Case(10_000, 50, 1.0, "auto"),
    Case(100_000, 50, 1.0, "auto"),
    Case(1_000_000, 50, 1.0, "auto"),
    Case(1_000_000, 50, 1.0, "l-bfgs"),
    Case(1_000, 1_000, 0.01, "auto"),
    Case(10_000, 1_000, 0.01, "auto"),
    Case(100_000, 1_000, 0.01, "auto"),
    Case(1_000_000, 1_000, 0.01, "auto"),
    Case(100_000, 50_000, 1e-3, "auto"),
    Case(1_000_000, 50_000, 1e-3, "auto"),
    Case(1_000_000, 1_000_000, 1e-5, "auto"),
];
const L2: &str = "1e-4";
const FITS: &str = "seconds to a certified relative gap of 1e-8";

/// Units of both hidden layers of a network, examples and vectors: each of the three grows alone, parameters up to ten millions.
const PRODUCTS: &[[usize; 3]] = &[
    [64, 512, 4],
    [256, 512, 4],
    [1024, 512, 4],
    [3136, 512, 4],
    [256, 64, 4],
    [256, 6400, 4],
    [256, 64_000, 4],
    [256, 512, 1],
    [256, 512, 16],
    [256, 512, 64],
];

pub(super) fn measure(size: Size, only: &[String]) -> Result<Vec<Value>> {
    build_example("scale")?;
    build_example("curvature")?;
    let (cases, products, threads) = match size {
        Size::Tiny => (&CASES[..1], &PRODUCTS[..1], &[1][..]),
        Size::Full => (CASES, PRODUCTS, &[1, 2][..]),
    };
    let mut rows = Vec::new();
    for case in cases {
        let work = case.name();
        if !only.is_empty() && !only.contains(&work) {
            continue;
        }
        for &threads in threads {
            let row = case.run(&work, threads)?;
            println!("{row}");
            rows.push(row);
        }
    }
    if only.is_empty() || only.iter().any(|o| o == "products") {
        for &sizes in products {
            for &threads in threads {
                let row = product(sizes, threads)?;
                println!("{row}");
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

fn product(sizes: [usize; 3], threads: usize) -> Result<Value> {
    let mut command = Command::new(tools::root().join("target/release/examples/curvature"));
    command.arg("grow").args(sizes.map(|s| s.to_string()));
    command.env("RAYON_NUM_THREADS", threads.to_string());
    let found = super::autodiff::lines(command)?;
    let m = found.first().ok_or("the example printed nothing")?;
    let number = |name: &str| m[name].as_f64().unwrap_or(f64::NAN);
    let unit = number("seconds") / (number("parameters") * number("examples") * number("vectors"));
    Ok(json!({
        "work": format!("network of {} parameters, {} examples", m["parameters"], m["examples"]),
        "quantity": format!("Hessian product of {}", m["vectors"]), "threads": threads,
        "peer": null, "peer_version": null, "ours_seconds": m["seconds"], "peer_seconds": null, "ratio": null,
        "limit_ratio": null, "gflop": m["gflop"], "seconds_per_parameter_example_and_vector": unit,
        "peak_bytes": m["peak_bytes"],
    }))
}

impl Case {
    fn name(&self) -> String {
        let Self(rows, columns, density, method) = self;
        let kind = if *density < 1.0 { "sparse" } else { "dense" };
        format!("{kind} {rows} x {columns}, {method}")
    }

    fn run(&self, work: &str, threads: usize) -> Result<Value> {
        let Self(rows, columns, density, method) = self;
        let program = tools::root().join("target/release/examples/scale");
        let output = Command::new(program)
            .args([rows.to_string(), columns.to_string(), density.to_string()])
            .args([L2, method, &threads.to_string()])
            .output()
            .map_err(|e| format!("cannot run the example: {e}"))?;
        let m: Value = serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("{work}: {e}: {}", String::from_utf8_lossy(&output.stderr)))?;
        if m["status"] != "converged" {
            return Err(format!("{work} ended as {}", m["status"]));
        }
        let number = |name: &str| m[name].as_f64().unwrap_or(f64::NAN);
        let unit = number("seconds") / (number("passes") * number("stored"));
        Ok(json!({
            "work": work, "quantity": FITS, "threads": threads,
            "peer": null, "peer_version": null, "ours_seconds": m["seconds"], "peer_seconds": null, "ratio": null,
            "limit_ratio": null, "passes": m["passes"], "stored": m["stored"],
            "seconds_per_value_and_pass": unit, "data_bytes": m["data_bytes"], "peak_bytes": m["peak_bytes"],
        }))
    }
}

pub(super) fn table(rows: &[Value]) -> String {
    let (fits, products): (Vec<&Value>, Vec<&Value>) =
        rows.iter().partition(|r| r["quantity"] == FITS);
    format!("{}\n{}", fits_table(&fits), products_table(&products))
}

fn fits_table(rows: &[&Value]) -> String {
    let header = [
        "problem",
        "threads",
        "values",
        "time",
        "passes",
        "per value and pass",
        "data",
        "peak memory",
        "peak / data",
    ];
    let lines = rows.iter().map(|r| {
        let number = |name: &str| r[name].as_f64().unwrap_or(f64::NAN);
        vec![
            r["work"].as_str().unwrap_or_default().to_owned(),
            r["threads"].to_string(),
            format!("{:.0e}", number("stored")),
            duration(number("ours_seconds")),
            format!("{:.0}", number("passes")),
            format!("{:.2} ns", 1e9 * number("seconds_per_value_and_pass")),
            format!("{:.1} MB", number("data_bytes") / 1e6),
            format!("{:.1} MB", number("peak_bytes") / 1e6),
            format!("{:.2}", number("peak_bytes") / number("data_bytes")),
        ]
    });
    markdown(&header, lines)
}

fn products_table(rows: &[&Value]) -> String {
    let header = [
        "network",
        "quantity",
        "threads",
        "time",
        "per parameter, example and vector",
        "rate",
        "peak memory",
    ];
    let lines = rows.iter().map(|r| {
        let number = |name: &str| r[name].as_f64().unwrap_or(f64::NAN);
        let text = |name: &str| r[name].as_str().unwrap_or_default().to_owned();
        vec![
            text("work"),
            text("quantity"),
            r["threads"].to_string(),
            duration(number("ours_seconds")),
            format!(
                "{:.1} ps",
                1e12 * number("seconds_per_parameter_example_and_vector")
            ),
            format!("{:.0} GFLOP/s", number("gflop") / number("ours_seconds")),
            format!("{:.1} MB", number("peak_bytes") / 1e6),
        ]
    });
    markdown(&header, lines)
}
