//! `quadric predict`: apply a fitted model to data.

use crate::args::{Global, PredictArgs};
use crate::commands::problem;
use crate::console;
use crate::model_file::ModelFile;
use quadric::core::{DataMatrix, Error, ErrorKind, Overwrite, Result, write_atomically};
use quadric::data::{self, ColumnKind, Dataset, ReadOptions, Target};
use quadric::models::Prediction;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn run(a: &PredictArgs, global: &Global) -> Result<ExitCode> {
    let (first, second) = (a.files[0].as_path(), a.files[1].as_path());
    // Either order: a data file is never a container.
    let (model, path) = if !ModelFile::is_model(first) && ModelFile::is_model(second) {
        (ModelFile::read(second)?, first)
    } else {
        (ModelFile::read(first)?, second)
    };
    let mut data = read(&model, path, a)?;
    let x = aligned(&model, &mut data)?;
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

/// Reads the data with the model's own target and weight columns taken out where they are there.
fn read(model: &ModelFile, path: &Path, a: &PredictArgs) -> Result<Dataset> {
    let base = problem::read_options(&a.read, Target::None)?;
    let name = path.to_string_lossy();
    if a.read.target.is_some() {
        return problem::load(&name, &base);
    }
    let target = model.target.clone().map_or(Target::Guess, Target::Column);
    let weight = base.weight.clone().or_else(|| model.weight.clone());
    let tries = [
        ReadOptions {
            target: target.clone(),
            weight,
            ..base.clone()
        },
        ReadOptions {
            target,
            ..base.clone()
        },
    ];
    for options in &tries {
        if let Ok(data) = problem::load(&name, options) {
            return Ok(data);
        }
    }
    // The data have no target: what is wrong now is wrong with the file.
    if path.exists() {
        data::read(path, &base)
    } else {
        problem::load(&name, &base)
    }
}

/// The features in the order of the model: by name where both have names, else by number.
fn aligned(model: &ModelFile, data: &mut Dataset) -> Result<DataMatrix<f64>> {
    let d = model.dim();
    let names: Vec<String> = (0..data.features())
        .map(|j| data.feature_name(j).into_owned())
        .collect();
    let named = !model.features.is_empty() && !data.columns.is_empty();
    if !named || names == model.features {
        return numbered(model, data, d);
    }
    let place: HashMap<&str, usize> = model
        .features
        .iter()
        .enumerate()
        .map(|(j, n)| (n.as_str(), j))
        .collect();
    let goes_to: Vec<Option<usize>> = names
        .iter()
        .map(|n| place.get(n.as_str()).copied())
        .collect();
    let missing: Vec<&str> = model
        .features
        .iter()
        .map(String::as_str)
        .filter(|n| !names.iter().any(|m| m == n) && !is_absent_category(n, data))
        .collect();
    if let Some(first) = missing.first() {
        let rest = if missing.len() > 1 {
            format!(" and {} more", missing.len() - 1)
        } else {
            String::new()
        };
        return Err(Error::data(format!(
            "{} has no column `{first}`{rest}, which the model needs",
            data.name
        )));
    }
    rearranged(&data.x, &goes_to, d)
}

/// An indicator column of a category that happens not to occur in these data.
fn is_absent_category(feature: &str, data: &Dataset) -> bool {
    let categorical = data
        .columns
        .iter()
        .filter(|c| c.kind == ColumnKind::Categorical);
    feature
        .split_once('=')
        .is_some_and(|(column, _)| categorical.into_iter().any(|c| c.name == column))
}

fn numbered(model: &ModelFile, data: &mut Dataset, d: usize) -> Result<DataMatrix<f64>> {
    let have = data.features();
    let is_sparse_file = data.columns.is_empty();
    if have != d && !(is_sparse_file && have < d) {
        return Err(Error::new(
            ErrorKind::Shape,
            format!(
                "{} has {have} features, the model {} has {d}",
                data.name, model.model.loss
            ),
        ));
    }
    let identity: Vec<Option<usize>> = (0..have).map(Some).collect();
    if have == d {
        let empty = DataMatrix::dense(Vec::new(), 0, 0)?;
        return Ok(std::mem::replace(&mut data.x, empty));
    }
    rearranged(&data.x, &identity, d)
}

/// The columns of `x` moved to where `goes_to` says, absent ones zero.
fn rearranged(x: &DataMatrix<f64>, goes_to: &[Option<usize>], d: usize) -> Result<DataMatrix<f64>> {
    let n = x.rows();
    let moved = |i: usize, keep: &mut dyn FnMut(usize, f64)| {
        x.for_row(i, |j, v| {
            if let Some(to) = goes_to[j] {
                keep(to, v);
            }
        });
    };
    if matches!(x, DataMatrix::Dense(_)) {
        let mut values = vec![0.0; n * d];
        for i in 0..n {
            moved(i, &mut |j, v| values[i * d + j] = v);
        }
        return DataMatrix::dense(values, n, d);
    }
    let (mut starts, mut indices, mut values) = (vec![0u32], Vec::new(), Vec::new());
    for i in 0..n {
        let mut row = Vec::new();
        moved(i, &mut |j, v| row.push((j as u32, v)));
        row.sort_unstable_by_key(|e| e.0);
        for (j, v) in row {
            indices.push(j);
            values.push(v);
        }
        starts.push(u32::try_from(values.len()).map_err(|_| Error::data("more than 2^32 values"))?);
    }
    DataMatrix::sparse(starts, indices, values, n, d)
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
        // A text target is numbered by the names that occur in these data, the model's by its own.
        let own = |y: f64| match (&data.classes, &model.classes) {
            (Some(here), Some(there)) => here
                .get(y as usize)
                .and_then(|c| there.iter().position(|t| t == c)),
            (None, None) => None,
            _ => Some(usize::MAX),
        };
        let hit = |y: f64, p: f64| own(y).map_or(y == p, |k| k as f64 == p);
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
