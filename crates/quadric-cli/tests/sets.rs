//! The default method on real classification sets against independent optima (`testdata/reference`): `converged`, and
//! the objective to 10⁻⁹ relative.
//!
//! Embedded sets always run. The others run from a folder named by QUADRIC_DATA (one folder per set).

mod support;

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use support::{Quadric, close};
use toml::Table;

fn main() {
    let arguments = Arguments::from_args();
    let path = support::root().join("testdata/reference/classification.toml");
    let text = std::fs::read_to_string(path).expect("the reference is in the repository");
    let file: Table = text.parse().expect("the reference is TOML");
    let folder = std::env::var_os("QUADRIC_DATA").map(PathBuf::from);
    let mut trials = Vec::new();
    for optimum in file["optimum"].as_array().expect("a list of optima") {
        let set = optimum["set"].as_str().expect("a name").to_owned();
        let l2 = optimum["l2"].as_float().expect("a number");
        let objective = optimum["objective"].as_float().expect("a number");
        let softmax = optimum["classes"].as_integer().expect("a number") > 2;
        let source = source(&set, folder.as_deref());
        let missing = source.is_none();
        let name = format!("{set}_l2_{l2:e}");
        let trial = Trial::test(name, move || {
            fit(source.as_ref().ok_or("no data")?, l2, objective, softmax)
        });
        trials.push(trial.with_ignored_flag(missing));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// How the command is told to read a set.
fn source(set: &str, folder: Option<&Path>) -> Option<Vec<String>> {
    const EMBEDDED: &[&str] = &[
        "a9a",
        "mushrooms",
        "breast-cancer",
        "australian",
        "german.numer_scale",
        "wdbc",
        "digits",
        "iris",
        "wine_recognition",
    ];
    if EMBEDDED.contains(&set) {
        return Some(vec![set.to_owned()]);
    }
    let names = [
        format!("{set}.gz"),
        format!("{set}.csv.gz"),
        format!("{set}.train.tsv.gz"),
        "train-images-idx3-ubyte.gz".to_owned(),
        "train_10k.bin.xz".to_owned(),
    ];
    let file = names
        .iter()
        .map(|n| folder.map(|f| f.join(set).join(n)))
        .find(|p| p.as_ref().is_some_and(|p| p.exists()));
    let file = file.flatten()?;
    let mut arguments = vec![file.display().to_string()];
    if set == "higgs_sample" || set == "group_colon" {
        arguments.extend(["--target".to_owned(), "1".to_owned()]);
    }
    Some(arguments)
}

fn fit(source: &[String], l2: f64, objective: f64, softmax: bool) -> Result<(), Failed> {
    let quadric = Quadric::new();
    let l2 = format!("{l2:e}");
    let mut arguments: Vec<&str> = source.iter().map(String::as_str).collect();
    arguments.extend([
        "--l2",
        &l2,
        "--loss",
        if softmax { "softmax" } else { "logistic" },
    ]);
    let fit = quadric.fit(&arguments)?;
    if fit.json["status"] != "converged" || fit.code != 0 {
        return Err(format!("status {}: {}", fit.json["status"], fit.json["certificate"]).into());
    }
    close(
        "objective",
        fit.json["objective"].as_f64().unwrap_or(f64::NAN),
        objective,
        0.0,
        1e-9,
    )
}
