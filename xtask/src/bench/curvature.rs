//! The suite `curvature`: eigenpairs, trace and density of the Hessian of two trained networks in single precision, beside
//! PyHessian and curvlinops. A referee in double precision, that is nobody's code, says how accurate each answer is.

use super::autodiff::{lines, middle, names, rate};
use super::{Size, build_example, duration, markdown, python};
use crate::{Result, tools};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PACKAGES: [&str; 4] = [
    "torch==2.15.0",
    "scipy==1.17.1",
    "pyhessian==0.1",
    "curvlinops-for-pytorch==3.0.1",
];
const PEERS: [&str; 2] = ["pyhessian", "curvlinops"];
/// The networks, the numbers of threads, and how often everything is measured, ours and the peers' in turn: less where a peer
/// takes minutes.
const NETWORKS: [(&str, &[usize], usize); 2] = [("mlp", &[2], 5), ("resnet", &[2], 3)];
/// The largest error, relative to the largest eigenvalue, that passes for 1e-3: single precision rounds.
const PAIRS: f64 = 1.05e-3;
/// An error of a trace that a standard error of one per cent makes unlikely.
const TRACE: f64 = 0.04;
/// Densities are compared with those of a peer at this times the error that both reach.
const DENSITY: f64 = 1.1;
/// A product with one vector costs about as much as this many gradients.
const GRADIENTS: f64 = 2.0;

pub(super) fn measure(size: Size, only: &[String]) -> Result<Vec<Value>> {
    build_example("curvature")?;
    if size == Size::Tiny {
        // The peers are a gigabyte to install.
        for (network, ..) in NETWORKS {
            if let Some(folder) = make(network, &["--tiny"])? {
                ours(&folder, 1, 0)?;
            }
        }
        return Ok(Vec::new());
    }
    super::autodiff::build()?;
    let Some(python) = python(&PACKAGES, size)? else {
        return Ok(Vec::new());
    };
    let mut rows = Vec::new();
    for (network, threads, rounds) in NETWORKS {
        if !only.is_empty() && !only.iter().any(|o| o == network) {
            continue;
        }
        let Some(folder) = make(network, &[])? else {
            continue;
        };
        lines(peer(&python, "reference", &folder, 2, 0))?;
        for &threads in threads {
            let measured = Measured::new(&python, &folder, threads, rounds)?;
            rows.extend(measured.rows(network));
        }
    }
    Ok(rows)
}

/// The folder of a network and its examples; none where they are absent.
fn make(network: &str, options: &[&str]) -> Result<Option<PathBuf>> {
    let folder = tools::root().join(format!(
        "target/bench/curvature/{network}{}",
        options.concat()
    ));
    let mut command = example();
    command.args(["make", network]).arg(&folder).args(options);
    let made = lines(command)?;
    made.iter().for_each(|line| println!("{network}: {line}"));
    let absent = made.iter().any(|line| line["absent"].is_string());
    Ok((!absent).then_some(folder))
}

fn example() -> Command {
    Command::new(tools::root().join("target/release/examples/curvature"))
}

fn ours(folder: &Path, threads: usize, round: usize) -> Result<Vec<Value>> {
    let mut command = example();
    command.arg("measure").arg(folder).arg(round.to_string());
    command.env("RAYON_NUM_THREADS", threads.to_string());
    lines(command)
}

fn peer(python: &Path, task: &str, folder: &Path, threads: usize, round: usize) -> Command {
    let mut command = Command::new(python);
    command.arg(tools::root().join("bench/curvature.py"));
    command.arg(task).arg(folder);
    command.args([threads.to_string(), round.to_string()]);
    command
}

/// The lines with the errors of what was found in the place of it.
fn judged(python: &Path, folder: &Path, found: &[Value]) -> Result<Vec<Value>> {
    let path = folder.join("lines.json");
    let text: String = found.iter().map(|line| format!("{line}\n")).collect();
    std::fs::File::create(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|e| format!("{}: {e}", path.display()))?;
    let input = std::fs::File::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut command = peer(python, "judge", folder, 2, 0);
    command.stdin(Stdio::from(input));
    lines(command)
}

/// What was measured of one network, with one number of threads.
struct Measured {
    lines: Vec<Value>,
    threads: usize,
    /// Billions of operations per second in a large matrix product of ours.
    rate: f64,
}

/// What a contestant takes for a quantity, at its cheapest setting that is accurate enough: medians over the rounds.
struct Answer {
    rung: String,
    seconds: f64,
    products: f64,
    error: f64,
}

impl Answer {
    fn sum(a: &Self, b: &Self) -> Self {
        Self {
            rung: format!("{}, {}", a.rung, b.rung),
            seconds: a.seconds + b.seconds,
            products: a.products + b.products,
            error: b.error,
        }
    }
}

impl Measured {
    fn new(python: &Path, folder: &Path, threads: usize, rounds: usize) -> Result<Self> {
        let (mut all, mut rates) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            rates.extend(rate(threads)?);
            let mut found = ours(folder, threads, round)?;
            for task in PEERS {
                found.extend(lines(peer(python, task, folder, threads, round))?);
            }
            all.extend(judged(python, folder, &found)?);
        }
        Ok(Self {
            lines: all,
            threads,
            rate: middle(rates.iter(), "gflops"),
        })
    }

    fn of<'m>(
        &'m self,
        peer: Option<&'m str>,
        quantity: &'m str,
    ) -> impl Iterator<Item = &'m Value> {
        let same = move |l: &&Value| l["peer"].as_str() == peer && l["quantity"] == quantity;
        self.lines.iter().filter(same)
    }

    /// All settings of a contestant for a quantity that were enough more often than not.
    fn answers(&self, peer: Option<&str>, quantity: &str) -> Vec<Answer> {
        let all: Vec<Value> = self.of(peer, quantity).cloned().collect();
        let answer = |rung: String| {
            let same = || all.iter().filter(|l| l["rung"] == rung);
            let met = same().filter(|l| l["met"] == true).count();
            (2 * met > same().count()).then(|| Answer {
                seconds: middle(same(), "seconds"),
                products: middle(same(), "products"),
                error: middle(same(), "error"),
                rung: rung.clone(),
            })
        };
        names(&all, "rung").into_iter().filter_map(answer).collect()
    }

    /// The error that is allowed beside a peer; none where a default is taken as it is.
    fn limit(&self, quantity: &str, beside: &str) -> Option<f64> {
        match quantity {
            "top 5 to 1e-3" => Some(PAIRS),
            "trace to 1 %" | "top 5 and trace" => Some(TRACE),
            "density of 16 starts" => {
                let best = |peer: Option<&str>| {
                    let all = self.answers(peer, quantity).into_iter().map(|a| a.error);
                    all.fold(f64::INFINITY, f64::min)
                };
                Some(DENSITY * best(None).max(best(Some(beside))))
            }
            _ => None,
        }
    }

    /// What a contestant takes for a quantity; none if it never comes there.
    fn answer(&self, peer: Option<&str>, quantity: &str, beside: &str) -> Option<Answer> {
        if quantity == "top 5 and trace" && peer.is_some() {
            let part = |quantity| self.answer(peer, quantity, beside);
            return Some(Answer::sum(&part("top 5 to 1e-3")?, &part("trace to 1 %")?));
        }
        let limit = self.limit(quantity, beside);
        let all = self.answers(peer, quantity).into_iter();
        all.filter(|a| limit.is_none_or(|limit| a.error <= limit))
            .min_by(|a, b| a.seconds.total_cmp(&b.seconds))
    }

    fn rows(&self, network: &str) -> Vec<Value> {
        let own: Vec<Value> = self
            .lines
            .iter()
            .filter(|l| l["peer"].is_null())
            .cloned()
            .collect();
        let mut rows = Vec::new();
        for quantity in names(&own, "quantity") {
            for peer in names(&self.lines, "peer") {
                let row = self.row(network, &quantity, &peer);
                println!("{row}");
                rows.push(row);
            }
        }
        rows
    }

    fn row(&self, network: &str, quantity: &str, peer: &str) -> Value {
        let (ours, theirs) = (
            self.answer(None, quantity, peer),
            self.answer(Some(peer), quantity, peer),
        );
        let seconds = |a: &Option<Answer>| a.as_ref().map(|a| a.seconds);
        let finite = |v: f64| v.is_finite().then_some(v);
        let error = |a: &Option<Answer>| a.as_ref().and_then(|a| finite(a.error));
        let gradients = |a: &Option<Answer>| a.as_ref().map(|a| GRADIENTS * a.products);
        let rung = |a: &Option<Answer>| a.as_ref().map(|a| a.rung.clone());
        let work = ours.as_ref().and_then(|a| {
            let same = |l: &&Value| l["rung"] == a.rung;
            finite(middle(self.of(None, quantity).filter(same), "gflop"))
        });
        let gradient = self
            .answer(None, "gradient", peer)
            .map_or(f64::NAN, |a| a.seconds);
        let by = |a: Option<f64>, b: Option<f64>| finite(a? / b?);
        let version = self.of(Some(peer), "Hessian product").next();
        json!({
            "work": network, "quantity": quantity, "threads": self.threads,
            "peer": peer, "peer_version": version.map(|l| l["version"].clone()),
            "ours_seconds": seconds(&ours), "peer_seconds": seconds(&theirs),
            "ratio": by(seconds(&theirs), seconds(&ours)),
            "limit_ratio": by(work.map(|w| w / self.rate), seconds(&ours)),
            "gflop": work, "gemm_gflops": self.rate,
            "gradient_seconds": finite(gradient),
            "ours_gradients": gradients(&ours), "peer_gradients": gradients(&theirs),
            "gradients_ratio": by(gradients(&theirs), gradients(&ours)),
            "ours_error": error(&ours), "peer_error": error(&theirs),
            "ours_setting": rung(&ours), "peer_setting": rung(&theirs),
        })
    }
}

pub(super) fn table(rows: &[Value]) -> String {
    const HEADER: [&str; 14] = [
        "network",
        "quantity",
        "threads",
        "ours",
        "limit",
        "products",
        "error",
        "PyHessian",
        "products",
        "error",
        "curvlinops",
        "products",
        "error",
        "setting",
    ];
    let key = |r: &Value| {
        [
            r["work"].clone(),
            r["quantity"].clone(),
            r["threads"].clone(),
        ]
    };
    let mut seen = Vec::new();
    let mut table = Vec::new();
    for r in rows {
        if seen.contains(&key(r)) {
            continue;
        }
        seen.push(key(r));
        let mut line = vec![
            r["work"].as_str().unwrap_or_default().to_owned(),
            quantity(r),
            r["threads"].to_string(),
            r["ours_seconds"].as_f64().map_or("never".into(), duration),
            number(&r["limit_ratio"], |v| format!("{v:.2}")),
            products(&r["ours_gradients"]),
            number(&r["ours_error"], |v| format!("{v:.1e}")),
        ];
        for peer in ["PyHessian", "curvlinops"] {
            let same = rows.iter().find(|o| key(o) == key(r) && o["peer"] == peer);
            let o = same.unwrap_or(&Value::Null);
            let is_own_only = r["quantity"] == "gradient";
            line.push(match o["ratio"].as_f64() {
                None if is_own_only => String::new(),
                None => "never".into(),
                Some(ratio) => format!("{ratio:.2}"),
            });
            line.push(products(&o["peer_gradients"]));
            line.push(number(&o["peer_error"], |v| format!("{v:.1e}")));
            if peer == "curvlinops" {
                line.push(o["peer_setting"].as_str().unwrap_or_default().to_owned());
            }
        }
        table.push(line);
    }
    markdown(&HEADER, table)
}

/// The name of a quantity; a product with the time of a gradient as its unit.
fn quantity(row: &Value) -> String {
    let name = row["quantity"].as_str().unwrap_or_default();
    let columns = if name.ends_with("of 16") { 16.0 } else { 1.0 };
    let seconds = row["ours_seconds"].as_f64();
    match (seconds, row["gradient_seconds"].as_f64()) {
        (Some(s), Some(g)) if name.starts_with("Hessian product") => {
            format!("{name} ({:.2} gradients each)", s / columns / g)
        }
        _ => name.to_owned(),
    }
}

fn products(gradients: &Value) -> String {
    match gradients.as_f64() {
        Some(g) if g > 0.0 => format!("{:.0}", g / GRADIENTS),
        _ => String::new(),
    }
}

fn number(value: &Value, shown: impl Fn(f64) -> String) -> String {
    value.as_f64().map_or(String::new(), shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(peer: Option<&str>, quantity: &str, rung: &str, numbers: [f64; 3], met: bool) -> Value {
        let [seconds, products, error] = numbers;
        json!({
            "peer": peer, "quantity": quantity, "rung": rung, "seconds": seconds, "products": products,
            "error": error, "met": met, "gflop": 1.0, "version": "1",
        })
    }

    #[test]
    fn the_cheapest_setting_that_is_accurate_enough_counts() {
        let (top, density) = ("top 5 to 1e-3", "density of 16 starts");
        let lines = vec![
            line(None, top, "", [1.0, 40.0, 1e-4], true),
            line(Some("A"), top, "loose", [2.0, 60.0, 1e-2], false),
            line(Some("A"), top, "tight", [9.0, 300.0, 9e-4], true),
            line(Some("B"), top, "", [0.5, 20.0, 2e-3], true),
            line(None, density, "4", [1.0, 64.0, 0.5], true),
            line(None, density, "8", [2.0, 128.0, 0.2], true),
            line(Some("A"), density, "4", [3.0, 64.0, 0.6], true),
            line(Some("A"), density, "8", [6.0, 128.0, 0.3], true),
            line(Some("B"), density, "8", [7.0, 128.0, 0.25], true),
        ];
        let measured = Measured {
            lines,
            threads: 1,
            rate: 10.0,
        };
        let row = measured.row("mlp", top, "A");
        assert_eq!(row["ratio"], 9.0);
        assert_eq!(row["gradients_ratio"], 7.5);
        assert_eq!(row["limit_ratio"], 0.1);
        assert!(measured.row("mlp", top, "B")["ratio"].is_null());
        // Both reach 0.3, ours only at eight steps; beside B it is 0.25.
        let row = measured.row("mlp", density, "A");
        assert_eq!(
            (row["ratio"].as_f64(), &row["ours_setting"]),
            (Some(3.0), &json!("8"))
        );
        assert!(table(&measured.rows("mlp")).contains("| never |"));
    }
}
