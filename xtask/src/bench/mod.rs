//! `cargo xtask bench <suite>`: measures beside peers, writes `bench/record/<suite>.json` and the suite's table in COMPARE.md.

mod asked;
mod autodiff;
mod contestant;
mod curvature;
mod glm;
mod jobs;
mod minimize;
mod read;
mod referee;
mod scale;

use crate::{Result, tools};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;

/// How much of a suite is run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// All of it, several times.
    Full,
    /// One round on the least data, to see that it works. Nothing is recorded.
    Tiny,
}

/// One benchmark.
struct Suite {
    name: &'static str,
    /// The rows of the record, of some works only if any are named; none where what it needs is absent.
    measure: fn(Size, &[String]) -> Result<Vec<Value>>,
    /// The rows as the text between the suite's markers in COMPARE.md.
    table: fn(&[Value]) -> String,
}

const SUITES: &[Suite] = &[
    Suite {
        name: "glm",
        measure: glm::measure,
        table: glm::table,
    },
    Suite {
        name: "read",
        measure: read::measure,
        table: read::table,
    },
    Suite {
        name: "minimize",
        measure: minimize::measure,
        table: minimize::table,
    },
    Suite {
        name: "autodiff",
        measure: autodiff::measure,
        table: autodiff::table,
    },
    Suite {
        name: "curvature",
        measure: curvature::measure,
        table: curvature::table,
    },
    Suite {
        name: "scale",
        measure: scale::measure,
        table: scale::table,
    },
];

/// Runs one suite, or the works of it that are named.
pub(crate) fn run(name: &str, size: Size, only: &[String]) -> Result {
    let Some(suite) = SUITES.iter().find(|s| s.name == name) else {
        let names: Vec<&str> = SUITES.iter().map(|s| s.name).collect();
        return Err(format!(
            "there is no bench suite `{name}`; there are: {}",
            names.join(", ")
        ));
    };
    let rows = (suite.measure)(size, only)?;
    print!("{}", (suite.table)(&rows));
    if size == Size::Tiny || rows.is_empty() {
        return Ok(());
    }
    let rows = if only.is_empty() || !record_path(suite.name).exists() {
        rows
    } else {
        merged(read_record(suite.name)?, rows)
    };
    record(suite, &rows)
}

/// One tiny round of every suite.
pub(crate) fn all_tiny() -> Result {
    SUITES.iter().try_for_each(|s| run(s.name, Size::Tiny, &[]))
}

/// The tables of COMPARE.md from the records, without measuring anything.
pub(crate) fn tables() -> Result {
    for suite in SUITES {
        write_table(suite, &read_record(suite.name)?)?;
    }
    Ok(())
}

fn record_path(suite: &str) -> PathBuf {
    tools::root().join(format!("bench/record/{suite}.json"))
}

fn read_record(suite: &str) -> Result<Vec<Value>> {
    let path = record_path(suite);
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

/// The old rows with the new ones in the place of those on the same work.
fn merged(old: Vec<Value>, new: Vec<Value>) -> Vec<Value> {
    let again = |r: &Value| new.iter().any(|n| n["work"] == r["work"]);
    let mut rows: Vec<Value> = old.into_iter().filter(|r| !again(r)).collect();
    rows.extend(new);
    rows
}

/// Writes the record and the table in COMPARE.md.
fn record(suite: &Suite, rows: &[Value]) -> Result {
    let path = record_path(suite.name);
    let text = serde_json::to_string_pretty(rows).map_err(|e| e.to_string())?;
    std::fs::create_dir_all(path.parent().expect("a file in a folder"))
        .and_then(|()| std::fs::write(&path, text + "\n"))
        .map_err(|e| format!("{}: {e}", path.display()))?;
    write_table(suite, rows)
}

fn write_table(suite: &Suite, rows: &[Value]) -> Result {
    let page = tools::root().join("COMPARE.md");
    let old = std::fs::read_to_string(&page).map_err(|e| format!("COMPARE.md: {e}"))?;
    let (start, end) = (
        format!("<!-- bench:{} -->\n", suite.name),
        format!("<!-- /bench:{} -->", suite.name),
    );
    let place = || format!("COMPARE.md has no place for the table of `{}`", suite.name);
    let (head, rest) = old.split_once(&start).ok_or_else(place)?;
    let (_, tail) = rest.split_once(&end).ok_or_else(place)?;
    let table = (suite.table)(rows);
    std::fs::write(&page, format!("{head}{start}{table}{end}{tail}"))
        .map_err(|e| format!("COMPARE.md: {e}"))
}

/// The interpreter of bench/.venv with these packages in it (`name==version`), installed if need be; none where Python is
/// missing and may be.
fn python(packages: &[&str], size: Size) -> Result<Option<PathBuf>> {
    if size == Size::Tiny && !tools::is_ci() && !tools::is_installed("python3") {
        println!("skipped: the peers need python3");
        return Ok(None);
    }
    tools::python("bench/.venv", packages).map(Some)
}

/// Builds the command and an example of the library together, so that both have the features that are built anyway.
fn build_example(name: &str) -> Result {
    tools::cargo(&[
        "build",
        "--release",
        "--package",
        "quadric-cli",
        "--package",
        "quadric",
        "--example",
        name,
        "--bin",
        "quadric",
    ])
}

/// The middle of an odd number of values.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Bytes per second that this many threads read from memory: the best of five passes over 256 MB.
fn memory_rate(threads: usize) -> f64 {
    let values = vec![1.0f64; 32 << 20];
    let pass = |_| {
        let start = std::time::Instant::now();
        let sum: f64 = std::thread::scope(|scope| {
            let tasks: Vec<_> = values
                .chunks(values.len() / threads)
                .map(|part| scope.spawn(|| sum(part)))
                .collect();
            tasks.into_iter().filter_map(|t| t.join().ok()).sum()
        });
        std::hint::black_box(sum);
        8.0 * values.len() as f64 / start.elapsed().as_secs_f64()
    };
    (0..5).map(pass).fold(0.0, f64::max)
}

fn sum(values: &[f64]) -> f64 {
    let mut lanes = [0.0; 32];
    for chunk in values.as_chunks::<32>().0 {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += v;
        }
    }
    lanes.iter().sum()
}

/// A table in Markdown.
fn markdown(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!(
        "| {} |\n|{}\n",
        header.join(" | "),
        "---|".repeat(header.len())
    );
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

/// A time for tables.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0} µs", 1e6 * s),
        s if s < 1.0 => format!("{:.2} ms", 1e3 * s),
        s => format!("{s:.2} s"),
    }
}
