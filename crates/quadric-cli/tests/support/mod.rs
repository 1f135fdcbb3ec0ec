//! Running the command in an empty directory, and comparing numbers.
#![allow(dead_code, unreachable_pub)] // each test binary uses its part

pub mod networks;

use libtest_mimic::Failed;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the crate lies in crates/")
        .to_owned()
}

/// The command, in a directory of its own.
pub struct Quadric {
    directory: tempfile::TempDir,
}

/// What `quadric fit --json` said.
pub struct Fit {
    pub code: i32,
    pub json: Value,
}

impl Quadric {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// With copies of the files of a folder.
    pub fn with_files(folder: &Path) -> Self {
        let quadric = Self::new();
        for entry in std::fs::read_dir(folder).expect("a folder of files") {
            let path = entry.expect("a file").path();
            if path.is_file() {
                std::fs::copy(
                    &path,
                    quadric.path().join(path.file_name().expect("a name")),
                )
                .expect("a copy");
            }
        }
        quadric
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The command with arguments, ready to run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quadric"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_remove("QUADRIC_THREADS");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .output()
            .expect("the command starts")
    }

    /// Runs with `--json`; the answer must be exactly one document.
    pub fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.run(&[arguments, &["--json"]].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let value = serde_json::from_str(&text).unwrap_or_else(|e| {
            panic!(
                "{arguments:?}: not one JSON document ({e}):\n{text}\n{}",
                String::from_utf8_lossy(&output.stderr)
            )
        });
        (output.status.code().unwrap_or(-1), value)
    }

    /// `quadric fit`; an error document is a failure of the test.
    pub fn fit(&self, arguments: &[&str]) -> Result<Fit, Failed> {
        let (code, json) = self.json(&[&["fit"], arguments].concat());
        if json.get("error").is_some() {
            return Err(format!("fit {arguments:?} exits {code}: {json:#}").into());
        }
        Ok(Fit { code, json })
    }

    /// `quadric predict` with the model of a fit.
    pub fn predict(&self, fit: &Fit, data: &str) -> Result<Value, Failed> {
        let model = fit.json["model"].as_str().ok_or("the fit names no model")?;
        let (code, json) = self.json(&["predict", model, data]);
        if code == 0 {
            Ok(json)
        } else {
            Err(format!("predict exits {code}: {json:#}").into())
        }
    }
}

/// All numbers of a JSON value, nested lists flattened.
pub fn floats(v: &Value) -> Vec<f64> {
    match v {
        Value::Number(n) => vec![n.as_f64().unwrap_or(f64::NAN)],
        Value::Array(a) => a.iter().flat_map(floats).collect(),
        _ => Vec::new(),
    }
}

/// Fails unless `got` is within `absolute + relative |want|` of `want`.
pub fn close(name: &str, got: f64, want: f64, absolute: f64, relative: f64) -> Result<(), Failed> {
    let allowed = absolute + relative * want.abs();
    if (got - want).abs() <= allowed {
        return Ok(());
    }
    Err(format!(
        "{name} is {got:e}, not {want:e}: off by {:e}, allowed {allowed:e}",
        (got - want).abs()
    )
    .into())
}

/// [`close`] for each of two lists.
pub fn close_all(
    name: &str,
    got: &[f64],
    want: &[f64],
    absolute: f64,
    relative: f64,
) -> Result<(), Failed> {
    if got.len() != want.len() {
        return Err(format!("{name} has {} values, not {}", got.len(), want.len()).into());
    }
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        close(&format!("{name}[{i}]"), *g, *w, absolute, relative)?;
    }
    Ok(())
}

/// A column of a small CSV file with a header.
pub fn column(path: &Path, j: usize) -> Vec<f64> {
    let text = std::fs::read_to_string(path).expect("a file of numbers");
    let field = |line: &str| {
        line.split(',')
            .nth(j)
            .and_then(|f| f.trim().parse().ok())
            .expect("a number")
    };
    text.lines().skip(1).map(field).collect()
}
