//! The suite `minimize`: general minimisation beside SciPy and argmin, on both collections of test problems.
//!
//! The contestants are in `bench/minimize`, a program of its own, so that argmin stays out of our lock file. Everybody has the
//! same functions, gradients and Hessians, and the same referee: a run is solved when it evaluates F at the known minimum,
//! and its cost is what it had spent by then.

use super::{Size, markdown, python};
use crate::{Result, tools};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};

const SCIPY: &str = "1.17.1";
const ARGMIN: &str = "0.11.0";
/// What `auto` chooses for these problems.
const OURS: &str = "trust-region-newton";
/// Problems of a tiny round.
const TINY: &str = "rosenbrock,wood,engval1";
/// Factors of the best cost at which the table reads the profiles.
const FACTORS: [f64; 4] = [1.0, 2.0, 4.0, 16.0];

pub(super) fn measure(size: Size, only: &[String]) -> Result<Vec<Value>> {
    let packages = [format!("scipy=={SCIPY}")];
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    let Some(python) = python(&packages, size)? else {
        return Ok(Vec::new());
    };
    let mut contest = Command::new("cargo");
    contest
        .args(["run", "--quiet", "--release", "--manifest-path"])
        .arg(tools::root().join("bench/minimize/Cargo.toml"))
        .arg("--target-dir")
        .arg(tools::root().join("target/bench"))
        .arg("--")
        .arg("--python")
        .arg(python)
        .env("RAYON_NUM_THREADS", "1");
    let mut problems = only.join(",");
    if size == Size::Tiny {
        contest.args(["--repetitions", "1"]);
        if only.is_empty() {
            problems = TINY.to_owned();
        }
    }
    if !problems.is_empty() {
        contest.args(["--only", &problems]);
    }
    let done = contest
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot start the contest: {e}"))?;
    if !done.status.success() {
        return Err(format!("the contest ended with {}", done.status));
    }
    rows(&String::from_utf8_lossy(&done.stdout))
}

/// One row for every problem and peer.
fn rows(lines: &str) -> Result<Vec<Value>> {
    let parse = |line: &str| serde_json::from_str(line).map_err(|e| format!("{e}: {line}"));
    let runs: Vec<Value> = lines.lines().map(parse).collect::<Result<_>>()?;
    let ours = |r: &&Value| r["library"] == "quadric" && r["method"] == OURS;
    let mut rows = Vec::new();
    for own in runs.iter().filter(ours) {
        let same = |r: &&Value| r["problem"] == own["problem"] && r["library"] != "quadric";
        rows.extend(runs.iter().filter(same).map(|peer| row(own, peer)));
    }
    Ok(rows)
}

fn row(own: &Value, peer: &Value) -> Value {
    let seconds = |r: &Value| r["seconds"].as_f64();
    let ratio = seconds(own).zip(seconds(peer)).map(|(o, p)| p / o);
    let library = peer["library"].as_str().unwrap_or_default();
    json!({
        "work": own["problem"], "collection": own["collection"], "unknowns": own["unknowns"],
        "minimum": own["minimum"], "quantity": "to the known minimum", "threads": 1,
        "peer": format!("{library} {}", peer["method"].as_str().unwrap_or_default()),
        "peer_version": if library == "argmin" { ARGMIN } else { SCIPY },
        "ours": OURS, "ours_status": own["status"], "ours_value": own["value"],
        "peer_value": peer["value"],
        "ours_evaluations": own["evaluations"], "peer_evaluations": peer["evaluations"],
        "ours_seconds": own["seconds"], "peer_seconds": peer["seconds"],
        "ratio": ratio, "limit_ratio": null,
    })
}

/// Costs by contestant and problem.
type Costs = BTreeMap<String, BTreeMap<String, f64>>;

/// The profiles at some factors, and what ours did not solve.
pub(super) fn table(rows: &[Value]) -> String {
    let header = [
        "method",
        "solved",
        "best by evaluations",
        "2x",
        "4x",
        "16x",
        "best by time",
        "2x",
        "4x",
        "16x",
    ];
    let (evaluations, seconds) = (costs(rows, "evaluations"), costs(rows, "seconds"));
    let problems = names(rows);
    let share = |costs: &Costs, name: &str, factor: f64| {
        let within = |p: &&String| {
            let best = costs
                .values()
                .filter_map(|c| c.get(*p))
                .copied()
                .reduce(f64::min);
            let own = costs.get(name).and_then(|c| c.get(*p));
            own.zip(best)
                .is_some_and(|(own, best)| *own <= factor * best)
        };
        let count = problems.iter().filter(within).count();
        format!(
            "{:.0} %",
            100.0 * count as f64 / problems.len().max(1) as f64
        )
    };
    let line = |name: &String| {
        let solved = evaluations.get(name).map_or(0, BTreeMap::len);
        let mut cells = vec![name.clone(), format!("{solved} of {}", problems.len())];
        cells.extend(FACTORS.map(|f| share(&evaluations, name, f)));
        cells.extend(FACTORS.map(|f| share(&seconds, name, f)));
        cells
    };
    let mut text = markdown(&header, contestants(rows).iter().map(line));
    text += &unsolved(rows);
    text
}

fn names(rows: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in rows.iter().filter_map(|r| r["work"].as_str()) {
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Ours first.
fn contestants(rows: &[Value]) -> Vec<String> {
    let mut all = vec![format!("Quadric {OURS}")];
    for row in rows {
        let peer = peer_name(row);
        if !all.contains(&peer) {
            all.push(peer);
        }
    }
    all
}

fn peer_name(row: &Value) -> String {
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    format!("{} ({})", text("peer"), text("peer_version"))
}

fn costs(rows: &[Value], quantity: &str) -> Costs {
    let mut costs = Costs::new();
    for row in rows {
        let work = row["work"].as_str().unwrap_or_default().to_owned();
        let sides = [
            ("ours", format!("Quadric {OURS}")),
            ("peer", peer_name(row)),
        ];
        for (side, name) in sides {
            if let Some(cost) = row[format!("{side}_{quantity}")].as_f64() {
                costs.entry(name).or_default().insert(work.clone(), cost);
            }
        }
    }
    costs
}

fn unsolved(rows: &[Value]) -> String {
    let mut seen = Vec::new();
    let mut text = String::from("\nNot at the known minimum, ours: ");
    for row in rows.iter().filter(|r| r["ours_evaluations"].is_null()) {
        let work = row["work"].as_str().unwrap_or_default();
        if !seen.contains(&work) {
            let end = if seen.is_empty() { "" } else { ", " };
            let status = row["ours_status"]
                .as_str()
                .unwrap_or_default()
                .replace('_', " ");
            let value = row["ours_value"].as_f64().unwrap_or(f64::NAN);
            let minimum = row["minimum"].as_f64().unwrap_or(f64::NAN);
            let _ = write!(
                text,
                "{end}{work} ({status}, F = {value:.6e}, minimum {minimum:.6e})"
            );
            seen.push(work);
        }
    }
    if seen.is_empty() {
        text += "none";
    }
    text + ".\n"
}
