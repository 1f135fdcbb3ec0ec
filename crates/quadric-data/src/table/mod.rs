//! Tables: named columns of numbers or text, with missing values, which become features, target and weights.

mod build;
mod csv;
mod text;
mod write;

pub(crate) use build::build;
pub(crate) use csv::read as read_csv;
pub(crate) use write::write as write_csv;

use quadric_linalg::Place;

/// A column while the table is being read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    /// Its name; empty stands for its number counted from 1.
    pub(crate) name: String,
    /// Names of the categories in ascending order, if it is text; the table then holds indices into them.
    pub(crate) categories: Option<Vec<String>>,
    /// How many values are missing.
    pub(crate) missing: usize,
    /// The first lines (rows, for files without lines) with a missing value.
    pub(crate) missing_lines: Vec<u64>,
    /// Left out of the features, for a reason that is among the problems.
    pub(crate) dropped: bool,
}

/// A table as it stands in a file: row after row, missing values as NaN.
pub(crate) struct Table<'a> {
    pub(crate) name: &'a str,
    pub(crate) columns: Vec<Column>,
    pub(crate) values: Vec<f64>,
    pub(crate) rows: usize,
    /// Whether columns have names of their own.
    pub(crate) named: bool,
    /// Where the value of a row and a column stands, for messages.
    pub(crate) place: &'a dyn Fn(usize, usize) -> Place,
    /// Whether the file has lines.
    pub(crate) has_lines: bool,
}

impl Table<'_> {
    /// The name of a column for messages and features.
    pub(crate) fn column_name(&self, j: usize) -> String {
        match self.columns[j].name.as_str() {
            "" => (j + 1).to_string(),
            name => name.to_owned(),
        }
    }
}
