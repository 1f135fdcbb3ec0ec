//! CSV and TSV from a data set.

use super::csv::looks_numeric;
use crate::dataset::{ColumnKind, Dataset};
use crate::number;
use quadric_linalg::{Error, Result};

/// The data set as delimited text with a header: the features, then the weights, then the target.
///
/// Target and weight keep their names from the file they came from, else they are called `y` and `weight`.
///
/// # Errors
/// Query identifiers, which the format cannot hold, or values that are not finite.
pub(crate) fn write(data: &Dataset, delimiter: u8) -> Result<Vec<u8>> {
    if data.query_ids.is_some() {
        return Err(Error::data("a table cannot hold query identifiers")
            .with_hint("write svmlight text instead"));
    }
    let mut writer = csv::WriterBuilder::new()
        .delimiter(delimiter)
        .from_writer(Vec::new());
    let failed = |e: csv::Error| Error::data("the table cannot be written").with_source(e);
    let mut record = csv::ByteRecord::new();
    for j in 0..data.features() {
        record.push_field(data.feature_name(j).as_bytes());
    }
    let own = |kind| {
        data.columns
            .iter()
            .find(|c| c.kind == kind)
            .map(|c| c.name.as_str())
    };
    if data.weights.is_some() {
        record.push_field(own(ColumnKind::Weight).unwrap_or("weight").as_bytes());
    }
    if !data.target.is_empty() {
        record.push_field(
            own(ColumnKind::Target)
                .filter(|n| n.parse::<f64>().is_err())
                .unwrap_or("y")
                .as_bytes(),
        );
    }
    // Names that are numbers would be taken for a row: such a table has no header.
    let named = (0..data.features()).any(|j| !looks_numeric(data.feature_name(j).as_bytes()));
    if named || record.len() > data.features() {
        writer.write_byte_record(&record).map_err(failed)?;
    }
    let mut row = vec![0.0; data.features()];
    let mut field = Vec::new();
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
