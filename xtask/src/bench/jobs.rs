//! The problems of the suite `glm`: sets with an independent optimum, as svmlight text.

use super::Size;
use crate::{Result, tools};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Smaller penalties leave most peers without an answer within the time they have.
const LEAST_L2: f64 = 1e-6;
/// Sets that take minutes per fit, measured only when they are named, as `news20` or, with one penalty, `news20:1e-2`.
const LONG: &[&str] = &["mnist", "news20", "cifar10"];

/// What is minimised.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Of two labels.
    Logistic,
    /// Of more.
    Softmax,
    Squared,
}

impl Loss {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Logistic => "logistic",
            Self::Softmax => "softmax",
            Self::Squared => "squared",
        }
    }
}

/// One problem.
pub(super) struct Job {
    pub(super) set: String,
    pub(super) file: PathBuf,
    pub(super) loss: Loss,
    pub(super) l2: f64,
    pub(super) optimum: f64,
    /// Whether a fit takes so long that little can be repeated.
    pub(super) long: bool,
}

/// The sets with an independent optimum: the embedded ones, and those in the folder that QUADRIC_DATA names.
pub(super) fn jobs(size: Size, only: &[String]) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for file in ["classification", "regression"] {
        let path = tools::root().join(format!("testdata/reference/{file}.toml"));
        let text =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let table: toml::Table = text
            .parse()
            .map_err(|e| format!("{}: {e}", path.display()))?;
        let rows = table["optimum"].as_array().ok_or("a file without optima")?;
        for row in rows {
            jobs.extend(job(row, size, only)?);
        }
    }
    Ok(jobs)
}

/// The job of a row of the references; none if it is not asked for or its set is not there.
fn job(row: &toml::Value, size: Size, only: &[String]) -> Result<Option<Job>> {
    let number = |name: &str| row.get(name).and_then(toml::Value::as_integer);
    let set = row["set"].as_str().ok_or("an optimum without a set")?;
    let (l2, optimum) = (row["l2"].as_float(), row["objective"].as_float());
    let (Some(l2), Some(optimum), Some(columns)) = (l2, optimum, number("columns")) else {
        return Err(format!("an optimum of {set} without numbers"));
    };
    let loss = match number("classes") {
        None => Loss::Squared,
        Some(2) => Loss::Logistic,
        Some(_) => Loss::Softmax,
    };
    let wanted = match size {
        Size::Tiny => set == "wdbc" && l2 == 1e-2,
        Size::Full if only.is_empty() => !LONG.contains(&set),
        Size::Full => {
            let one = format!("{set}:{l2:e}");
            only.iter()
                .any(|o| o == set || *o == one || o == loss.name())
        }
    };
    if !wanted || l2 < LEAST_L2 {
        return Ok(None);
    }
    let file = converted(set, columns)?;
    Ok(file.map(|file| Job {
        set: set.to_owned(),
        file,
        loss,
        l2,
        optimum,
        long: LONG.contains(&set),
    }))
}

/// The set as svmlight text; none if it is neither embedded nor in the folder.
fn converted(set: &str, columns: i64) -> Result<Option<PathBuf>> {
    let folder = tools::root().join("target/bench");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let file = folder.join(format!("{set}.svm"));
    if file.exists() {
        return Ok(Some(file));
    }
    let outside = std::env::var_os("QUADRIC_DATA").map(|f| Path::new(&f).join(set));
    let names = [
        format!("{set}.gz"),
        format!("{set}.csv.gz"),
        format!("{set}.train.tsv.gz"),
        "data.csv.gz".into(),
        "train-images-idx3-ubyte.gz".into(),
        "train_10k.bin.xz".into(),
    ];
    let found = outside.and_then(|f| names.iter().map(|n| f.join(n)).find(|p| p.exists()));
    let mut convert = Command::new(tools::root().join("target/release/quadric"));
    convert
        .args(["data", "convert"])
        .arg(found.as_deref().unwrap_or(Path::new(set)))
        .arg(&file);
    if set.starts_with("uci_") {
        convert.args(["--target", &(columns + 1).to_string()]);
    } else if ["higgs_sample", "group_colon", "group_bardet"].contains(&set) {
        convert.args(["--target", "1"]);
    }
    let output = convert
        .output()
        .map_err(|e| format!("cannot run quadric: {e}"))?;
    if !output.status.success() {
        println!("skipped: {set} is not embedded; name its folder with QUADRIC_DATA");
        return Ok(None);
    }
    Ok(Some(file))
}
