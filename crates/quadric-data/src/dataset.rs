//! A data set in memory.

use crate::trouble::Trouble;
use quadric_linalg::{DataMatrix, Error, ErrorKind, Result};
use std::borrow::Cow;
use std::ops::Range;

/// What a column of a table is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnKind {
    /// Numbers: one feature.
    Numeric,
    /// Text: one indicator feature per different value.
    Categorical,
    /// The target.
    Target,
    /// The sample weights.
    Weight,
}

/// A column of a table as it was in the file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ColumnInfo {
    /// Its name, or its number counted from 1 where the file has no names.
    pub name: String,
    /// What it is used for.
    pub kind: ColumnKind,
    /// Its different values in ascending order, for text.
    pub values: Vec<String>,
    /// How many rows of the file have no value here.
    pub missing: usize,
    /// The features that were made of it; empty for target and weight.
    #[serde(skip)]
    pub features: Range<usize>,
}

/// A data set: features (n, d), and where there are any, targets, weights and query identifiers (n each).
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The file as the user named it, or the name of an embedded or made set.
    pub name: String,
    /// Features (n, d), without the target and weight columns.
    pub x: DataMatrix<f64>,
    /// Lengths of the axes of a row, where the file has more than one: channels, rows and columns of an image; steps and
    /// dimensions of a sequence. Features are in their order, the last axis fastest.
    pub axes: Option<Vec<usize>>,
    /// Targets (n); for a text target the index into `classes`; empty if there is no target.
    pub target: Vec<f64>,
    /// The names of a text target in ascending order.
    pub classes: Option<Vec<String>>,
    /// Sample weights (n), not negative.
    pub weights: Option<Vec<f64>>,
    /// Names of the features (d); empty where features are numbered and there are more than
    /// [`Dataset::NAMED`] of them, see [`Dataset::feature_name`].
    pub feature_names: Vec<String>,
    /// Query identifiers (n) of an svmlight file.
    pub query_ids: Option<Vec<u64>>,
    /// What a user should know about the file.
    pub problems: Vec<Trouble>,
    /// The columns of a table as they were in the file; empty for other formats.
    pub columns: Vec<ColumnInfo>,
}

impl Dataset {
    /// Most numbered features that get their names spelled out in `feature_names`.
    pub const NAMED: usize = 100_000;

    /// A data set of features and targets; features are named by their numbers.
    ///
    /// # Errors
    /// Targets that are not as many as the rows (or none), or values that are not finite.
    pub fn new(name: impl Into<String>, x: DataMatrix<f64>, target: Vec<f64>) -> Result<Self> {
        if !target.is_empty() && target.len() != x.rows() {
            return Err(Error::shape("target", target.len(), x.rows()));
        }
        if let Some((i, j, v)) = x.first_non_finite() {
            return Err(Error::non_finite("features", (i, j), v));
        }
        if let Some(i) = target.iter().position(|v| !v.is_finite()) {
            return Err(Error::non_finite("target", i, target[i]));
        }
        let feature_names = numbered_names(x.cols());
        Ok(Self {
            name: name.into(),
            x,
            axes: None,
            target,
            classes: None,
            weights: None,
            feature_names,
            query_ids: None,
            problems: Vec::new(),
            columns: Vec::new(),
        })
    }

    /// Number of rows n.
    pub fn rows(&self) -> usize {
        self.x.rows()
    }

    /// Number of features d.
    pub fn features(&self) -> usize {
        self.x.cols()
    }

    /// The name of feature j, counted from 0; its number counted from 1 where it has none.
    pub fn feature_name(&self, j: usize) -> Cow<'_, str> {
        match self.feature_names.get(j) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned((j + 1).to_string()),
        }
    }

    /// The rows with these numbers, in this order; a number may occur more than once.
    ///
    /// # Errors
    /// A number that is not below the number of rows.
    pub fn select_rows(&self, rows: &[usize]) -> Result<Self> {
        if let Some(bad) = rows.iter().find(|i| **i >= self.rows()) {
            return Err(Error::argument(
                "rows",
                bad,
                &format!("row numbers below {}", self.rows()),
            ));
        }
        let pick = |v: &[f64]| rows.iter().map(|i| v[*i]).collect::<Vec<f64>>();
        Ok(Self {
            name: self.name.clone(),
            x: self.x.select_rows(rows),
            axes: self.axes.clone(),
            target: if self.target.is_empty() {
                Vec::new()
            } else {
                pick(&self.target)
            },
            classes: self.classes.clone(),
            weights: self.weights.as_deref().map(pick),
            feature_names: self.feature_names.clone(),
            query_ids: self
                .query_ids
                .as_ref()
                .map(|ids| rows.iter().map(|i| ids[*i]).collect()),
            problems: Vec::new(),
            columns: self.columns.clone(),
        })
    }
}

/// The names "1" to "d", if there are not too many of them.
pub(crate) fn numbered_names(d: usize) -> Vec<String> {
    if d > Dataset::NAMED {
        return Vec::new();
    }
    (1..=d).map(|j| j.to_string()).collect()
}

/// True if a matrix with this many values that are not zero is better stored densely: the fill is above a quarter.
pub(crate) fn prefers_dense(rows: usize, cols: usize, nonzeros: usize) -> bool {
    let cells = rows as u128 * cols as u128;
    cells <= 4 * nonzeros as u128 || cells == 0
}

/// True if a matrix of an array with this many values that are not zero is stored densely: as [`prefers_dense`] says, or
/// because it is too large for the indices of a sparse one.
pub(crate) fn stays_dense(rows: usize, cols: usize, nonzeros: usize) -> bool {
    let fits = rows.max(cols) <= LARGEST && u32::try_from(nonzeros).is_ok();
    prefers_dense(rows, cols, nonzeros) || !fits
}

/// A dense matrix as it is better stored.
///
/// # Errors
/// None that is known: the structure is valid.
pub(crate) fn by_density(x: DataMatrix<f64>) -> Result<DataMatrix<f64>> {
    let (rows, cols, nonzeros) = (x.rows(), x.cols(), x.nonzeros());
    if stays_dense(rows, cols, nonzeros) {
        return Ok(x);
    }
    sparse_rows(rows, cols, nonzeros, |i, keep| x.for_row(i, keep))
}

/// A sparse matrix of the values that are not zero; `row(i, keep)` calls `keep(column, value)` for the values of row i.
///
/// # Errors
/// As [`sparse`].
pub(crate) fn sparse_rows(
    rows: usize,
    cols: usize,
    nonzeros: usize,
    row: impl Fn(usize, &mut dyn FnMut(usize, f64)),
) -> Result<DataMatrix<f64>> {
    let mut starts = Vec::with_capacity(rows + 1);
    let (mut indices, mut values) = (Vec::with_capacity(nonzeros), Vec::with_capacity(nonzeros));
    starts.push(0);
    for i in 0..rows {
        row(i, &mut |j, v| {
            if v != 0.0 {
                indices.push(j as u32);
                values.push(v);
            }
        });
        starts.push(values.len() as u32);
    }
    sparse(starts, indices, values, rows, cols)
}

/// Refuses to spell out a wide sparse matrix cell by cell.
///
/// # Errors
/// `Resource` for more than 2³¹ cells.
pub(crate) fn check_cells(data: &Dataset) -> Result<()> {
    let cells = data.rows() as u128 * data.features() as u128;
    if cells <= 1 << 31 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Resource,
        format!(
            "`{}` has {cells} cells, too many for a format that spells out zeros",
            data.name
        ),
    )
    .with_hint("write svmlight text or NPZ instead"))
}

/// The largest number of rows and of columns of a sparse matrix, whose indices have 32 bits with a sign.
pub(crate) const LARGEST: usize = i32::MAX as usize;

/// A sparse matrix as [`DataMatrix::sparse`] makes it.
///
/// # Errors
/// `Resource` for more than [`LARGEST`] rows or columns, `Argument` for an invalid structure.
pub(crate) fn sparse(
    starts: Vec<u32>,
    indices: Vec<u32>,
    values: Vec<f64>,
    rows: usize,
    cols: usize,
) -> Result<DataMatrix<f64>> {
    if rows > LARGEST || cols > LARGEST {
        return Err(Error::new(
            ErrorKind::Resource,
            format!(
                "a sparse matrix of {rows} rows and {cols} columns; each may be at most {LARGEST}"
            ),
        ));
    }
    DataMatrix::sparse(starts, indices, values, rows, cols)
}
