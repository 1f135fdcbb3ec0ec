//! Data for a model that was fitted: read and arranged as the model knows them.

use super::problem;
use crate::args::ReadArgs;
use crate::model_file::ModelFile;
use quadric::core::{DataMatrix, Error, ErrorKind, Result};
use quadric::data::{self, ColumnKind, Dataset, ReadOptions, Target};
use std::collections::HashMap;
use std::path::Path;

/// Reads the data with the model's own target and weight columns taken out where they are there.
///
/// # Errors
/// Whatever the reader reports.
pub(crate) fn read(model: &ModelFile, name: &str, a: &ReadArgs) -> Result<Dataset> {
    let base = problem::read_options(a, Target::None)?;
    if a.target.is_some() {
        return problem::load(name, &base);
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
        if let Ok(data) = problem::load(name, options) {
            return Ok(data);
        }
    }
    // The data have no target: what is wrong now is wrong with the file.
    let path = Path::new(name);
    if path.exists() {
        data::read(path, &base)
    } else {
        problem::load(name, &base)
    }
}

/// The features in the order of the model: by name where both have names, else by number. Takes them out of the data.
///
/// # Errors
/// Features that the data do not have.
pub(crate) fn aligned(model: &ModelFile, data: &mut Dataset) -> Result<DataMatrix<f64>> {
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

/// The target of the data in the numbers of the model: a text target is numbered by the names that occur in the data, the model's
/// by its own. Nothing for a label that the model does not know.
pub(crate) fn known_class(model: &ModelFile, data: &Dataset, y: f64) -> Option<f64> {
    match (&data.classes, &model.classes) {
        (Some(here), Some(there)) => {
            let name = here.get(y as usize)?;
            there.iter().position(|t| t == name).map(|k| k as f64)
        }
        (None, None) => Some(y),
        _ => None,
    }
}
