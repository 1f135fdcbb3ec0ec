//! CSV and TSV from a data set.

use super::csv::looks_numeric;
use crate::dataset::{self, ColumnKind, Dataset};
use crate::number;
use csv::{ByteRecord, QuoteStyle};
use quadric_linalg::{Error, Result};

/// The data set as delimited text: the features, then the weights, then the target.
///
/// There is a header unless all names are numbers. Target and weight keep their names from the file they came from, else
/// they are called `y` and `weight`; numbered features beside a target of text are called `x1`, `x2` and so on, because a
/// line of numbers and text would be taken for a row.
///
/// # Errors
/// `Data` for query identifiers, which the format cannot hold; `Resource` for too many cells.
pub(crate) fn write(data: &Dataset, delimiter: u8) -> Result<Vec<u8>> {
    if data.query_ids.is_some() {
        return Err(Error::data("a table cannot hold query identifiers")
            .with_hint("write svmlight text instead"));
    }
    dataset::check_cells(data)?;
    let header = header(data);
    // Names with other delimiters in them are quoted, so that no reader takes one for the delimiter.
    let doubtful = |f: &[u8]| f.iter().any(|b| matches!(b, b',' | b';' | b'\t'));
    let style = match header.as_ref().is_some_and(|h| h.iter().any(doubtful)) {
        true => QuoteStyle::NonNumeric,
        false => QuoteStyle::Necessary,
    };
    let mut writer = csv::WriterBuilder::new()
        .delimiter(delimiter)
        .quote_style(style)
        .from_writer(Vec::new());
    let failed = |e: csv::Error| Error::data("the table cannot be written").with_source(e);
    if let Some(header) = header {
        writer.write_byte_record(&header).map_err(failed)?;
    }
    let mut row = vec![0.0; data.features()];
    let (mut record, mut field) = (ByteRecord::new(), Vec::new());
    for i in 0..data.rows() {
        row.fill(0.0);
        data.x.for_row(i, |j, v| row[j] = v);
        record.clear();
        let mut push = |v: f64| {
            field.clear();
            number::push(&mut field, v);
            record.push_field(&field);
        };
        row.iter().for_each(|v| push(*v));
        if let Some(weights) = &data.weights {
            push(weights[i]);
        }
        match (&data.classes, data.target.get(i)) {
            (Some(classes), Some(k)) => record.push_field(classes[*k as usize].as_bytes()),
            (None, Some(v)) => push(*v),
            _ => {}
        }
        writer.write_byte_record(&record).map_err(failed)?;
    }
    writer
        .into_inner()
        .map_err(|e| Error::data("the table cannot be written").with_source(e.into_error()))
}

/// The line of names, if one is needed.
fn header(data: &Dataset) -> Option<ByteRecord> {
    let d = data.features();
    let named = (0..d).any(|j| !looks_numeric(data.feature_name(j).as_bytes()));
    if !named && data.weights.is_none() && data.target.is_empty() {
        return None;
    }
    let prefix = !named && data.weights.is_none() && data.classes.is_some();
    let mut header = ByteRecord::new();
    for j in 0..d {
        let name = data.feature_name(j);
        match prefix {
            true => header.push_field(format!("x{name}").as_bytes()),
            false => header.push_field(name.as_bytes()),
        }
    }
    let own = |kind, default| {
        let mut columns = data.columns.iter().filter(|c| c.kind == kind);
        let name = columns.next().map(|c| c.name.as_str());
        name.filter(|n| !looks_numeric(n.as_bytes()))
            .unwrap_or(default)
    };
    if data.weights.is_some() {
        header.push_field(own(ColumnKind::Weight, "weight").as_bytes());
    }
    if !data.target.is_empty() {
        header.push_field(own(ColumnKind::Target, "y").as_bytes());
    }
    Some(header)
}
