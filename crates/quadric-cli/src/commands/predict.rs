//! `quadric predict`: apply a fitted model to data.

use crate::args::{Global, PredictArgs};
use crate::commands::fitted;
use crate::console;
use crate::model_file::ModelFile;
use quadric::core::{Overwrite, Result, write_atomically};
use quadric::data::Dataset;
use quadric::models::Prediction;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;

pub(crate) fn run(a: &PredictArgs, global: &Global) -> Result<ExitCode> {
    let (first, second) = (a.files[0].as_path(), a.files[1].as_path());
    // Either order: a data file is never a container.
    let (model, path) = if !ModelFile::is_model(first) && ModelFile::is_model(second) {
        (ModelFile::read(second)?, first)
    } else {
        (ModelFile::read(first)?, second)
    };
    let mut data = fitted::read(&model, &path.to_string_lossy(), &a.read)?;
    let x = fitted::aligned(&model, &mut data)?;
    let prediction = model.model.predict(&x)?;
    let score = score(&model, &data, &prediction);
    if let Some(out) = &a.output {
        let overwrite = if a.force {
            Overwrite::Replace
        } else {
            Overwrite::Refuse
        };
        let text = table(&model, &prediction);
        write_atomically(out, overwrite, |f| f.write_all(text.as_bytes()))?;
    }
    if global.json {
        console::print_json(&document(&model, &prediction, score))?;
    } else if a.output.is_none() {
        console::print(&table(&model, &prediction))?;
    }
    if !global.json && !global.quiet {
        if let Some((name, value)) = score {
            console::note(&format!("{name} on the {} rows: {value:.6}", x.rows()));
        }
        if let Some(out) = &a.output {
            console::note(&format!("wrote {}", out.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A label as the user wrote it.
fn label(model: &ModelFile, value: f64) -> Value {
    match &model.classes {
        Some(names) => names.get(value as usize).map_or(Value::Null, |n| json!(n)),
        None if value.fract() == 0.0 && value.abs() < 2f64.powi(53) => json!(value as i64),
        None => json!(value),
    }
}

fn document(model: &ModelFile, p: &Prediction, score: Option<(&str, f64)>) -> Value {
    let is_class = model.model.classes.is_some();
    let predictions: Vec<Value> = p
        .predictions
        .iter()
        .map(|v| if is_class { label(model, *v) } else { json!(v) })
        .collect();
    let classes = model
        .model
        .classes
        .as_ref()
        .map(|c| c.iter().map(|v| label(model, *v)).collect::<Vec<_>>());
    json!({
        "predictions": predictions,
        "probabilities": p.probabilities,
        "classes": classes,
        "score": score.map(|(name, value)| json!({ "name": name, "value": value })),
    })
}

/// One line per row: the prediction, then the probability of each class.
fn table(model: &ModelFile, p: &Prediction) -> String {
    let plain = |v: Value| v.as_str().map_or_else(|| v.to_string(), quoted);
    let is_class = model.model.classes.is_some();
    let mut text = String::from("prediction");
    for class in model.model.classes.iter().flatten() {
        let _ = write!(text, ",probability_{}", plain(label(model, *class)));
    }
    text.push('\n');
    for (i, value) in p.predictions.iter().enumerate() {
        text += &if is_class {
            plain(label(model, *value))
        } else {
            value.to_string()
        };
        for v in p.probabilities.as_ref().map_or(&[][..], |rows| &rows[i]) {
            let _ = write!(text, ",{v}");
        }
        text.push('\n');
    }
    text
}

/// A CSV field, in quotes where it needs them.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// How good the predictions are, when the data know the answers.
fn score(model: &ModelFile, data: &Dataset, p: &Prediction) -> Option<(&'static str, f64)> {
    if data.target.len() != p.predictions.len() || data.target.is_empty() {
        return None;
    }
    let n = data.target.len() as f64;
    if model.model.classes.is_some() {
        let hit = |y: f64, p: f64| fitted::known_class(model, data, y) == Some(p);
        let hits = data
            .target
            .iter()
            .zip(&p.predictions)
            .filter(|(y, p)| hit(**y, **p))
            .count();
        return Some(("accuracy", hits as f64 / n));
    }
    let squares: f64 = data
        .target
        .iter()
        .zip(&p.predictions)
        .map(|(y, p)| (y - p) * (y - p))
        .sum();
    Some(("root mean squared error", (squares / n).sqrt()))
}
