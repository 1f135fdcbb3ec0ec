//! svmlight text from a data set.

use crate::dataset::Dataset;
use crate::number;
use quadric_linalg::{Error, Result};

/// The data set as svmlight text with indices from 1. A last feature without any value is named with a zero in the
/// first row, so that the number of features survives.
///
/// # Errors
/// Weights and text targets, which the format cannot hold.
pub(crate) fn write(data: &Dataset) -> Result<Vec<u8>> {
    let refuse = |what: &str| {
        Err(Error::data(format!("svmlight text cannot hold {what}")).with_hint("write CSV instead"))
    };
    if data.classes.is_some() {
        return refuse("targets that are text");
    }
    if data.weights.is_some() {
        return refuse("sample weights");
    }
    let d = data.features();
    let mut largest = 0;
    for i in 0..data.rows() {
        data.x.for_row(i, |j, v| {
            if v != 0.0 {
                largest = largest.max(j + 1);
            }
        });
    }
    let mut out = Vec::new();
    for i in 0..data.rows() {
        number::push(&mut out, data.target.get(i).copied().unwrap_or(0.0));
        if let Some(ids) = &data.query_ids {
            out.extend_from_slice(format!(" qid:{}", ids[i]).as_bytes());
        }
        data.x.for_row(i, |j, v| {
            if v != 0.0 {
                out.extend_from_slice(format!(" {}:", j + 1).as_bytes());
                number::push(&mut out, v);
            }
        });
        if i == 0 && largest < d {
            out.extend_from_slice(format!(" {d}:0").as_bytes());
        }
        out.push(b'\n');
    }
    Ok(out)
}
