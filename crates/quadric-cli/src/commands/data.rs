//! `quadric data`: inspect, convert, split and generate data files.

use crate::args::{ConvertArgs, DataArgs, DataCommand, Global, InspectArgs, SplitArgs, SynthArgs};
use crate::commands::problem;
use crate::console;
use quadric::core::{Error, ErrorKind, Result};
use quadric::data::{self, Dataset, Missing, ReadOptions, Target, WriteOptions, synth};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn run(a: &DataArgs, global: &Global) -> Result<ExitCode> {
    match &a.command {
        DataCommand::Inspect(a) => inspect(a, global)?,
        DataCommand::Convert(a) => convert(a, global)?,
        DataCommand::Split(a) => split(a, global)?,
        DataCommand::Synth(a) => generate(a, global)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn inspect(a: &InspectArgs, global: &Global) -> Result<()> {
    let Some(name) = &a.data else {
        return list(global);
    };
    let mut options = problem::read_options(&a.read, Target::Guess)?;
    if a.read.missing.is_none() {
        options.missing = Missing::Report;
    }
    let data = load_with_or_without_target(name, &options, a.read.target.is_some())?;
    let summary = data::describe(&data);
    let document = serde_json::to_value(&summary)
        .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
    if global.json {
        console::print_json(&document)
    } else {
        console::print(&facts(&data, &document))
    }
}

/// A table without an obvious target is shown with every column a feature.
fn load_with_or_without_target(name: &str, options: &ReadOptions, named: bool) -> Result<Dataset> {
    match problem::load(name, options) {
        Err(e) if !named && Path::new(name).exists() && e.kind() == ErrorKind::Argument => {
            problem::load(
                name,
                &ReadOptions {
                    target: Target::None,
                    ..options.clone()
                },
            )
        }
        other => other,
    }
}

fn list(global: &Global) -> Result<()> {
    let sets = data::embedded_sets();
    if global.json {
        let all: Vec<Value> = sets
            .iter()
            .map(|s| json!({ "name": s.name, "task": s.task, "rows": s.rows, "columns": s.columns, "licence": s.licence }))
            .collect();
        return console::print_json(&json!({ "sets": all }));
    }
    let mut text = format!(
        "{:<18} {:>7} {:>8}  {}\n",
        "name", "rows", "columns", "what"
    );
    for s in sets {
        let _ = writeln!(
            text,
            "{:<18} {:>7} {:>8}  {} ({})",
            s.name, s.rows, s.columns, s.description, s.task
        );
    }
    console::print(&text)
}

fn facts(data: &Dataset, document: &Value) -> String {
    let mut text = format!("{}\n", console::printable(&problem::describe(data)));
    for key in ["nonzeros", "density", "storage", "missing"] {
        let _ = writeln!(text, "  {key:<10} {}", plain(&document[key]));
    }
    if let Some(target) = target(&document["target_summary"]) {
        let _ = writeln!(text, "  {:<10} {}", "target", console::printable(&target));
    }
    for problem in &data.problems {
        let _ = writeln!(
            text,
            "  {:<10} {}",
            "note",
            console::printable(&problem.to_string())
        );
    }
    if let Some(columns) = document["statistics"].as_array().filter(|c| c.len() <= 60) {
        let _ = writeln!(
            text,
            "\n  {:<24} {:>12} {:>12} {:>12} {:>12}",
            "feature", "min", "mean", "max", "std"
        );
        for c in columns {
            let name: String = console::printable(c["name"].as_str().unwrap_or_default())
                .chars()
                .take(24)
                .collect();
            let number = |k: &str| {
                c[k].as_f64()
                    .map_or_else(|| "-".into(), |v| format!("{v:.5e}"))
            };
            let _ = writeln!(
                text,
                "  {name:<24} {:>12} {:>12} {:>12} {:>12}",
                number("min"),
                number("mean"),
                number("max"),
                number("std")
            );
        }
    }
    text
}

/// The target in a line: the classes with their rows, or the range.
fn target(summary: &Value) -> Option<String> {
    let kind = summary["kind"].as_str()?;
    let shown = match summary["classes"].as_array() {
        Some(classes) => classes
            .iter()
            .map(|c| format!("{} ({} rows)", plain(&c["value"]), c["rows"]))
            .collect::<Vec<_>>()
            .join(", "),
        None => ["min", "mean", "max"]
            .map(|k| format!("{k} {}", plain(&summary[k])))
            .join(", "),
    };
    Some(format!("{kind}: {shown}"))
}

fn plain(v: &Value) -> String {
    match v {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

fn convert(a: &ConvertArgs, global: &Global) -> Result<()> {
    let options = problem::read_options(&a.read, Target::Guess)?;
    let data = load_with_or_without_target(&a.data, &options, a.read.target.is_some())?;
    write(&a.out, &data, a.force)?;
    said(global, &data, &[&a.out])
}

fn split(a: &SplitArgs, global: &Global) -> Result<()> {
    let options = problem::read_options(&a.read, Target::Guess)?;
    let data = load_with_or_without_target(&a.data, &options, a.read.target.is_some())?;
    let (train, test) = data.split(a.test_share, a.seed, a.stratify)?;
    write(&a.train, &train, a.force)?;
    write(&a.test, &test, a.force)?;
    if global.json {
        return console::print_json(&json!({
            "train": { "file": a.train, "rows": train.rows() }, "test": { "file": a.test, "rows": test.rows() },
        }));
    }
    if !global.quiet {
        console::note(&format!(
            "{}: {} rows; {}: {} rows",
            a.train.display(),
            train.rows(),
            a.test.display(),
            test.rows()
        ));
    }
    Ok(())
}

fn generate(a: &SynthArgs, global: &Global) -> Result<()> {
    let data = synth::generate(&synth::Options {
        rows: a.rows,
        columns: a.columns,
        kind: a.kind.parse()?,
        condition: a.condition,
        density: a.density,
        separable: a.separable,
        group_size: a.group_size,
        active: a.active,
        seed: a.seed,
        ..synth::Options::default()
    })?;
    write(&a.out, &data, a.force)?;
    said(global, &data, &[&a.out])
}

fn write(path: &Path, data: &Dataset, force: bool) -> Result<()> {
    data::write(
        path,
        data,
        &WriteOptions {
            overwrite: force,
            ..WriteOptions::default()
        },
    )
}

fn said(global: &Global, data: &Dataset, files: &[&Path]) -> Result<()> {
    if global.json {
        return console::print_json(
            &json!({ "files": files, "rows": data.rows(), "columns": data.features() }),
        );
    }
    if !global.quiet {
        for file in files {
            console::note(&format!(
                "wrote {}: {} rows, {} features",
                file.display(),
                data.rows(),
                data.features()
            ));
        }
    }
    Ok(())
}
