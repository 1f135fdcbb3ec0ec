//! The suite `read`: svmlight text into memory on one thread, beside scikit-learn's reader. Both read the same file from
//! the operating system's cache, from its path to a matrix and its targets.

use super::{Size, duration, markdown, median, python};
use crate::{Result, tools};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const PEER: &str = "scikit-learn==1.9.1";
/// Embedded sets: indicators, mixed numbers, pixels.
const SETS: [&str; 3] = ["a9a", "mushrooms", "digits"];
/// Odd, for the median.
const ROUNDS: usize = 9;

/// Embedded sets, or the files that are named.
pub(super) fn measure(size: Size, only: &[String]) -> Result<Vec<Value>> {
    // With the features of the command.
    let packages = ["--package", "quadric-cli", "--package", "quadric-data"];
    let build = [
        &["build", "--release"],
        &packages[..],
        &["--example", "read_speed"],
    ];
    tools::cargo(&build.concat())?;
    let Some(python) = python(&[PEER], size)? else {
        return Ok(Vec::new());
    };
    let works: Vec<String> = match (only, size) {
        ([], Size::Full) => SETS.map(str::to_owned).to_vec(),
        ([], Size::Tiny) => vec![SETS[1].to_owned()],
        _ => only.to_vec(),
    };
    let rounds = if size == Size::Tiny { 1 } else { ROUNDS };
    works
        .iter()
        .map(|work| compare(work, &python, rounds))
        .collect()
}

/// One file under both readers.
fn compare(work: &str, python: &Path, rounds: usize) -> Result<Value> {
    let file = file(work)?;
    let rounds = rounds.to_string();
    let mut ours = Command::new(reader());
    ours.arg(&file).arg(&rounds).env("RAYON_NUM_THREADS", "1");
    let mut peer = Command::new(python);
    peer.arg(tools::root().join("bench/read_peer.py"))
        .arg(&file)
        .arg(&rounds);
    let (ours, ours_shape) = answer(ours)?;
    let (peer, peer_shape) = answer(peer)?;
    if ours_shape[..2] != peer_shape[..2] {
        return Err(format!(
            "{work}: we read {ours_shape:?}, scikit-learn {peer_shape:?}"
        ));
    }
    let bytes = std::fs::metadata(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let name = Path::new(work)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    Ok(json!({
        "work": name,
        "bytes": bytes.len(),
        "rows": ours_shape[0],
        "columns": ours_shape[1],
        "stored": peer_shape[2],
        "quadric": ours,
        "scikit-learn": peer,
    }))
}

fn reader() -> PathBuf {
    tools::root().join("target/release/examples/read_speed")
}

/// A file that exists, or an embedded set as svmlight text.
fn file(work: &str) -> Result<PathBuf> {
    let path = Path::new(work);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let folder = tools::root().join("target/bench");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let file = folder.join(format!("{work}.svm"));
    let mut convert = Command::new(reader());
    convert.arg(work).arg(&file);
    tools::run(convert)?;
    Ok(file)
}

/// The median of the seconds that a reader printed, and rows, columns and stored values.
fn answer(mut command: Command) -> Result<(f64, [u64; 3])> {
    let shown = tools::shown(&command);
    println!("$ {shown}");
    let output = command
        .output()
        .map_err(|e| format!("cannot start `{shown}`: {e}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{shown}` ended with {}: {text}", output.status));
    }
    let read: Value =
        serde_json::from_slice(&output.stdout).map_err(|e| format!("`{shown}`: {e}"))?;
    let mut seconds: Vec<f64> =
        serde_json::from_value(read["seconds"].clone()).map_err(|e| format!("`{shown}`: {e}"))?;
    let count = |key: &str| read[key].as_u64().unwrap_or(0);
    Ok((
        median(&mut seconds),
        ["rows", "columns", "stored"].map(count),
    ))
}

pub(super) fn table(rows: &[Value]) -> String {
    let header = [
        "file",
        "size",
        "rows",
        "columns",
        "values",
        "quadric",
        "scikit-learn",
        "ratio",
    ];
    let line = |r: &Value| {
        let number = |key: &str| r[key].as_f64().unwrap_or(f64::NAN);
        let (ours, peer) = (number("quadric"), number("scikit-learn"));
        let (rate, size) = (number("bytes") / ours / 1e6, number("bytes") / 1e6);
        vec![
            r["work"].as_str().unwrap_or_default().to_owned(),
            format!("{size:.1} MB"),
            r["rows"].to_string(),
            r["columns"].to_string(),
            r["stored"].to_string(),
            format!("{} ({rate:.0} MB/s)", duration(ours)),
            duration(peer),
            format!("{:.1}", peer / ours),
        ]
    };
    markdown(&header, rows.iter().map(line))
}
