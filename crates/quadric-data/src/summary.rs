//! What there is to know about a data set at a glance.

use crate::dataset::{ColumnKind, Dataset};
use quadric_linalg::DataMatrix;
use serde::Serialize;
use std::collections::BTreeMap;

/// Most features with statistics of their own.
const STATISTICS: usize = 1000;
/// Most cells of a data set whose values are shown.
const CELLS: usize = 10_000;
/// Most different numbers of a target that is counted by value.
const CLASSES: usize = 100;

/// A list of numbers or of text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Values {
    /// Numbers; in JSON a missing one is null.
    Numbers(Vec<f64>),
    /// Text; a missing one is empty.
    Texts(Vec<String>),
}

/// A target value and in how many rows it occurs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Count {
    /// The value.
    pub value: String,
    /// Number of rows.
    pub rows: usize,
}

/// What kind of target it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetSummary {
    /// `binary`, `multi-class`, `real`, or `constant`.
    pub kind: &'static str,
    /// The values and their counts, in ascending order, unless the target is real.
    pub classes: Option<Vec<Count>>,
    /// Least value of a target of numbers.
    pub min: Option<f64>,
    /// Mean of a target of numbers.
    pub mean: Option<f64>,
    /// Greatest value of a target of numbers.
    pub max: Option<f64>,
}

/// Statistics of one feature over the rows where it is present.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statistics {
    /// The feature.
    pub name: String,
    /// Least value.
    pub min: f64,
    /// Mean.
    pub mean: f64,
    /// Greatest value.
    pub max: f64,
    /// Standard deviation (divided by n).
    pub std: f64,
}

/// A description of a data set, made for JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The file or set.
    pub name: String,
    /// Number of rows n.
    pub rows: usize,
    /// Number of features d.
    pub columns: usize,
    /// Number of feature values that are not zero.
    pub nonzeros: usize,
    /// Their share of n d.
    pub density: f64,
    /// `dense` or `sparse`.
    pub storage: &'static str,
    /// The target of every row; empty if there is none.
    pub target: Values,
    /// What kind of target it is.
    pub target_summary: Option<TargetSummary>,
    /// Names of the columns of a table, else of the features (at most 1000).
    pub names: Vec<String>,
    /// Columns of a table that are numbers.
    pub numeric_columns: Vec<String>,
    /// Columns of a table that are text.
    pub categorical_columns: Vec<String>,
    /// Number of missing values.
    pub missing: usize,
    /// What a user should know.
    pub problems: Vec<String>,
    /// Query identifiers as text, which keeps all digits.
    pub qid: Option<Vec<String>>,
    /// Sample weights.
    pub weights: Option<Vec<f64>>,
    /// Statistics of every feature, if there are at most 1000.
    pub statistics: Option<Vec<Statistics>>,
    /// The features row by row, if they are at most 10000 values; in JSON a missing one is null.
    pub dense_rows: Option<Vec<Vec<f64>>>,
    /// The columns of a table as they were in the file, under the same limit.
    pub column_values: Option<BTreeMap<String, Values>>,
}

/// Describes a data set.
pub fn describe(data: &Dataset) -> Summary {
    let (n, d) = (data.rows(), data.features());
    let cells = n as f64 * d as f64;
    let nonzeros = data.x.nonzeros();
    let of_kind = |kind| {
        let columns = data.columns.iter().filter(move |c| c.kind == kind);
        columns.map(|c| c.name.clone()).collect::<Vec<String>>()
    };
    let shown = n.checked_mul(d.max(1)).is_some_and(|cells| cells <= CELLS);
    Summary {
        name: data.name.clone(),
        rows: n,
        columns: d,
        nonzeros,
        density: if cells > 0.0 {
            nonzeros as f64 / cells
        } else {
            0.0
        },
        storage: match data.x {
            DataMatrix::Dense(_) => "dense",
            DataMatrix::Sparse(_) => "sparse",
        },
        target: target_values(data),
        target_summary: summarise_target(data),
        names: if data.columns.is_empty() {
            (0..d.min(STATISTICS))
                .map(|j| data.feature_name(j).into_owned())
                .collect()
        } else {
            data.columns.iter().map(|c| c.name.clone()).collect()
        },
        numeric_columns: of_kind(ColumnKind::Numeric),
        categorical_columns: of_kind(ColumnKind::Categorical),
        missing: count_missing(data),
        problems: data.problems.iter().map(ToString::to_string).collect(),
        qid: data
            .query_ids
            .as_ref()
            .map(|ids| ids.iter().map(u64::to_string).collect()),
        weights: data.weights.clone(),
        statistics: (d <= STATISTICS).then(|| statistics(data)),
        dense_rows: shown.then(|| (0..n).map(|i| dense_row(data, i)).collect()),
        column_values: (shown && !data.columns.is_empty()).then(|| column_values(data)),
    }
}

fn target_values(data: &Dataset) -> Values {
    match &data.classes {
        None => Values::Numbers(data.target.clone()),
        Some(classes) => Values::Texts(
            data.target
                .iter()
                .map(|k| class_name(classes, *k))
                .collect(),
        ),
    }
}

/// The name of a class by its index; nothing where the index is NaN, that is, missing.
fn class_name(classes: &[String], index: f64) -> String {
    if index.is_nan() {
        return String::new();
    }
    classes.get(index as usize).cloned().unwrap_or_default()
}

fn count_missing(data: &Dataset) -> usize {
    if !data.columns.is_empty() {
        return data.columns.iter().map(|c| c.missing).sum();
    }
    let mut missing = data.target.iter().filter(|v| v.is_nan()).count();
    for i in 0..data.rows() {
        data.x.for_row(i, |_, v| missing += usize::from(v.is_nan()));
    }
    missing
}

fn summarise_target(data: &Dataset) -> Option<TargetSummary> {
    let mut sorted: Vec<f64> = data
        .target
        .iter()
        .copied()
        .filter(|v| !v.is_nan())
        .collect();
    if sorted.is_empty() {
        return None;
    }
    sorted.sort_by(f64::total_cmp);
    let groups: Vec<(f64, usize)> = sorted
        .chunk_by(|a, b| a == b)
        .map(|g| (g[0], g.len()))
        .collect();
    let whole = groups.iter().all(|(v, _)| v.fract() == 0.0);
    let kind = match groups.len() {
        1 => "constant",
        2 => "binary",
        count if data.classes.is_some() || (whole && count <= CLASSES) => "multi-class",
        _ => "real",
    };
    let classes = (kind != "real").then(|| {
        let named = |v: f64| match &data.classes {
            Some(classes) => class_name(classes, v),
            None => v.to_string(),
        };
        groups
            .iter()
            .map(|(v, rows)| Count {
                value: named(*v),
                rows: *rows,
            })
            .collect()
    });
    let numbers = data.classes.is_none();
    let scale = 1.0 / sorted.len() as f64;
    Some(TargetSummary {
        kind,
        classes,
        min: numbers.then(|| sorted[0]),
        mean: numbers.then(|| sorted.iter().map(|v| v * scale).sum()),
        max: numbers.then(|| sorted[sorted.len() - 1]),
    })
}

fn statistics(data: &Dataset) -> Vec<Statistics> {
    let (n, d) = (data.rows(), data.features());
    let (mut least, mut greatest) = (vec![f64::INFINITY; d], vec![f64::NEG_INFINITY; d]);
    let (mut mean, mut present, mut stored) = (vec![0.0; d], vec![n; d], vec![0usize; d]);
    for i in 0..n {
        data.x.for_row(i, |j, v| {
            stored[j] += 1;
            present[j] -= usize::from(v.is_nan());
            least[j] = least[j].min(v);
            greatest[j] = greatest[j].max(v);
        });
    }
    for i in 0..n {
        data.x.for_row(i, |j, v| {
            if !v.is_nan() {
                mean[j] += v / present[j] as f64;
            }
        });
    }
    let mut squares = vec![0.0; d];
    for i in 0..n {
        data.x.for_row(i, |j, v| {
            if !v.is_nan() {
                squares[j] += (v - mean[j]) * (v - mean[j]);
            }
        });
    }
    let one = |j: usize| {
        let zeros = n - stored[j];
        let squares = squares[j] + zeros as f64 * mean[j] * mean[j];
        let zero = (zeros > 0).then_some(0.0);
        Statistics {
            name: data.feature_name(j).into_owned(),
            min: zero.map_or(least[j], |z| least[j].min(z)),
            mean: mean[j],
            max: zero.map_or(greatest[j], |z| greatest[j].max(z)),
            std: (squares / present[j] as f64).sqrt(),
        }
    };
    (0..d).map(one).collect()
}

fn dense_row(data: &Dataset, i: usize) -> Vec<f64> {
    let mut row = vec![0.0; data.features()];
    data.x.for_row(i, |j, v| row[j] = v);
    row
}

/// The columns of a table put together again from features, target and weights.
fn column_values(data: &Dataset) -> BTreeMap<String, Values> {
    let rows: Vec<Vec<f64>> = (0..data.rows()).map(|i| dense_row(data, i)).collect();
    let mut all = BTreeMap::new();
    for column in &data.columns {
        let values = match column.kind {
            ColumnKind::Target => target_values(data),
            ColumnKind::Weight => Values::Numbers(data.weights.clone().unwrap_or_default()),
            ColumnKind::Numeric => {
                Values::Numbers(rows.iter().map(|row| row[column.features.start]).collect())
            }
            ColumnKind::Categorical if column.features.is_empty() => continue,
            ColumnKind::Categorical => Values::Texts(
                rows.iter()
                    .map(|row| {
                        let set = row[column.features.clone()].iter().position(|v| *v == 1.0);
                        set.map_or(String::new(), |k| column.values[k].clone())
                    })
                    .collect(),
            ),
        };
        all.insert(column.name.clone(), values);
    }
    all
}
