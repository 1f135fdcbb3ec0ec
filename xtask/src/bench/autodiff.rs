//! The suite `autodiff`: gradients, Hessian and Gauss-Newton products of four networks in single precision, beside PyTorch, JAX
//! and PyHessian.

use super::asked::{self, asked_of};
use super::{Size, duration, markdown, median, python};
use crate::{Result, tools};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const PEERS: [&str; 3] = ["torch==2.15.0", "jax==0.10.2", "pyhessian==0.1"];
const NETWORKS: [&str; 4] = ["mlp", "resnet", "lstm", "transformer"];
/// Odd, for the median; ours and the peers' processes alternate, and each gives the median of five runs at least.
const ROUNDS: usize = 3;

/// Builds the example that measures ours.
pub(super) fn build() -> Result {
    let package = ["--package", "quadric-cli", "--package", "quadric-autodiff"];
    let build = [
        &["build", "--release"],
        &package[..],
        &["--example", "autodiff"],
    ];
    tools::cargo(&build.concat())
}

/// The networks, or those that are named.
pub(super) fn measure(size: Size, only: &[String]) -> Result<Vec<Value>> {
    build()?;
    if size == Size::Tiny {
        // The peers are a gigabyte to install.
        for network in NETWORKS {
            ours(network, 1, &["--tiny"])?;
        }
        return Ok(Vec::new());
    }
    let Some(python) = python(&PEERS, size)? else {
        return Ok(Vec::new());
    };
    let mut rows = Vec::new();
    for network in NETWORKS {
        if !only.is_empty() && !only.iter().any(|o| o == network) {
            continue;
        }
        for threads in [1, 2] {
            rows.extend(compare(network, threads, &python)?);
        }
    }
    Ok(rows)
}

/// What was measured of one network, with one number of threads.
#[derive(Default)]
struct Measured {
    own: Vec<Value>,
    others: Vec<Value>,
    /// Billions of operations per second in a large matrix product of ours.
    rate: f64,
}

/// Ends the name of a product that keeps less and computes more again.
const COMPACT: &str = ", compact";

/// All rows of one network: each of ours beside the same quantity of every peer.
fn compare(network: &str, threads: usize, python: &Path) -> Result<Vec<Value>> {
    let mut measured = Measured::default();
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        rates.extend(rate(threads)?);
        measured.own.extend(ours(network, threads, &[])?);
        if network == "mlp" {
            measured.own.extend(ours(network, threads, &["16"])?);
        }
        let mut peer = Command::new(python);
        peer.arg(tools::root().join("bench/autodiff.py"));
        peer.arg(network).arg(threads.to_string());
        measured.others.extend(lines(peer)?);
    }
    measured.rate = middle(rates.iter(), "gflops");
    let peers = names(&measured.others, "peer");
    let mut rows = Vec::new();
    for quantity in names(&measured.own, "quantity") {
        let row = |peer| measured.row(network, threads, &quantity, peer);
        let all: Vec<Value> = peers
            .iter()
            .map(|p| row(Some(p)))
            .filter(|r| r["ratio"].is_number())
            .collect();
        rows.extend(if all.is_empty() { vec![row(None)] } else { all });
    }
    for row in &rows {
        println!("{row}");
    }
    Ok(rows)
}

impl Measured {
    fn own(&self, quantity: &str) -> impl Iterator<Item = &Value> {
        self.own.iter().filter(move |l| l["quantity"] == quantity)
    }

    fn row(&self, network: &str, threads: usize, quantity: &str, peer: Option<&str>) -> Value {
        let seconds = middle(self.own(quantity), "seconds");
        // A block is compared per direction with the product along one; what computes again, with what the peers keep.
        let whole = quantity.strip_suffix(COMPACT).unwrap_or(quantity);
        let (plain, count) = match whole.split_once(" of ") {
            Some((plain, count)) => (plain, count.parse().unwrap_or(f64::NAN)),
            None => (whole, 1.0),
        };
        let theirs = || {
            let same = |l: &&Value| l["peer"].as_str() == peer && l["quantity"] == plain;
            self.others.iter().filter(same)
        };
        let version = theirs().next().map(|l| l["version"].clone());
        let theirs = count * middle(theirs(), "seconds");
        let first = |quantity: &str, key: &str| {
            let line = self.own(quantity).next();
            line.map_or(Value::Null, |l| l[key].clone())
        };
        // What is computed again is not in the count.
        let work = first(quantity, "gflop").as_f64();
        let work = work.filter(|_| whole == quantity);
        // What a product is held against: the time of a Hessian product, the memory of the gradient.
        let hessian = (quantity != "Hessian product" && plain.ends_with("product"))
            .then(|| middle(self.own("Hessian product"), "seconds"));
        let gradient = plain
            .ends_with("product")
            .then(|| first("gradient", "memory"));
        let hessian_work = first("Hessian product", "gflop");
        let mut row = json!({
            "work": network, "quantity": quantity, "threads": threads,
            "peer": peer, "peer_version": version,
            "ours_seconds": seconds,
            "peer_seconds": theirs.is_finite().then_some(theirs),
            "ratio": theirs.is_finite().then_some(theirs / seconds),
            "limit_ratio": work.map(|w| w / self.rate / seconds),
            "gflop": work, "gemm_gflops": self.rate,
            "memory": first(quantity, "memory"),
            "hessian_seconds": hessian, "hessian_gflop": hessian.map(|_| hessian_work), "gradient_memory": gradient,
        });
        row["aims"] = asked_of(&row);
        row
    }
}

/// Different values of a key, in order.
pub(super) fn names(lines: &[Value], key: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in lines.iter().filter_map(|l| l[key].as_str()) {
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    names
}

pub(super) fn middle<'a>(lines: impl Iterator<Item = &'a Value>, key: &str) -> f64 {
    let mut values: Vec<f64> = lines.filter_map(|l| l[key].as_f64()).collect();
    median(&mut values)
}

/// The rate of a large matrix product of ours, `gflops`.
pub(super) fn rate(threads: usize) -> Result<Vec<Value>> {
    ours("gemm", threads, &[])
}

fn ours(network: &str, threads: usize, options: &[&str]) -> Result<Vec<Value>> {
    let mut command = Command::new(tools::root().join("target/release/examples/autodiff"));
    command.arg(network).args(options);
    command.env("RAYON_NUM_THREADS", threads.to_string());
    lines(command)
}

/// Lines of JSON that a program prints.
pub(super) fn lines(mut command: Command) -> Result<Vec<Value>> {
    let shown = tools::shown(&command);
    println!("$ {shown}");
    let output = command
        .output()
        .map_err(|e| format!("cannot start `{shown}`: {e}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{shown}` ended with {}: {text}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .map(|l| serde_json::from_str(l).map_err(|e| format!("`{shown}`: {e}: {l}")))
        .collect()
}

pub(super) fn table(rows: &[Value]) -> String {
    const OWN: [&str; 8] = [
        "network",
        "quantity",
        "threads",
        "ours",
        "of Hessian",
        "limit",
        "memory",
        "of gradient",
    ];
    const PEERS: [&str; 6] = [
        "PyTorch",
        "PyTorch channels-last",
        "PyTorch fused layer",
        "PyHessian",
        "JAX",
        "JAX linearize",
    ];
    let header = [&OWN[..], &PEERS[..]].concat();
    let key = |r: &Value| {
        (
            r["work"].clone(),
            r["quantity"].clone(),
            r["threads"].clone(),
        )
    };
    let mut seen = Vec::new();
    let mut table: Vec<Vec<String>> = Vec::new();
    for r in rows {
        if seen.contains(&key(r)) {
            continue;
        }
        seen.push(key(r));
        let text = |k: &str| r[k].as_str().unwrap_or_default().to_owned();
        let number = |k: &str| r[k].as_f64();
        let part = |a: &str, b: &str| Some(number(a)? / number(b)?);
        let shown =
            |v: Option<f64>, digits: usize| v.map_or(String::new(), |v| format!("{v:.digits$}"));
        let mut line = vec![
            text("work"),
            text("quantity"),
            r["threads"].to_string(),
            duration(number("ours_seconds").unwrap_or(f64::NAN)),
            shown(part("ours_seconds", "hessian_seconds"), 2),
            shown(number("limit_ratio"), 2),
            number("memory").map_or(String::new(), |m| format!("{:.0} MB", m / 1e6)),
            shown(part("memory", "gradient_memory"), 2),
        ];
        for peer in PEERS {
            let same = rows.iter().find(|o| key(o) == key(r) && o["peer"] == peer);
            line.push(shown(same.and_then(|o| o["ratio"].as_f64()), 2));
        }
        table.push(line);
    }
    markdown(&header, table) + &asked::table(rows)
}
