//! CIFAR-10 and CIFAR-100 in their binary form: records of one or two bytes of labels and 3072 of pixels, the red, the
//! green and the blue plane of an image of 32 x 32, each row after row.

use crate::dataset::Dataset;
use crate::options::{Format, ReadOptions, Target};
use crate::trouble::quote;
use quadric_linalg::{Error, Result};

/// Bytes of an image.
const PIXELS: usize = 3 * 32 * 32;

/// The labels of a record: their names and their largest values; the last one is the target.
type Labels = &'static [(&'static str, u8)];
const CIFAR10: Labels = &[("label", 9)];
const CIFAR100: Labels = &[("coarse", 19), ("fine", 99)];

fn labels(format: Format) -> Labels {
    match format {
        Format::Cifar100 => CIFAR100,
        _ => CIFAR10,
    }
}

/// The format of a `.bin` file by its length and its labels.
///
/// # Errors
/// Why it is neither.
pub(crate) fn recognise(bytes: &[u8]) -> std::result::Result<Format, String> {
    let ten = match rows(CIFAR10, bytes) {
        Ok(_) => return Ok(Format::Cifar10),
        Err(why) => why,
    };
    match rows(CIFAR100, bytes) {
        Ok(_) => Ok(Format::Cifar100),
        Err(why) => Err(format!("not CIFAR-10 ({ten}) and not CIFAR-100 ({why})")),
    }
}

/// The number of records, if they are whole and their labels in range.
fn rows(labels: Labels, bytes: &[u8]) -> std::result::Result<usize, String> {
    let size = labels.len() + PIXELS;
    let (rows, rest) = (bytes.len() / size, bytes.len() % size);
    for i in 0..rows {
        for (k, (name, largest)) in labels.iter().enumerate() {
            let at = i * size + k;
            if bytes[at] > *largest {
                let label = if labels.len() > 1 {
                    format!("{name} label")
                } else {
                    (*name).to_owned()
                };
                let (record, found) = (i + 1, bytes[at]);
                return Err(format!(
                    "byte {at}: the {label} of record {record} is {found}, above {largest}"
                ));
            }
        }
    }
    if rest > 0 {
        let (at, record) = (rows * size, rows + 1);
        return Err(format!(
            "byte {at}: record {record} has {rest} of {size} bytes"
        ));
    }
    Ok(rows)
}

/// Reads a data set. Features are numbered in the order of the file.
///
/// # Errors
/// `Malformed` with record and byte for records that are cut and labels out of range; a target that is no label.
pub(crate) fn read(
    name: &str,
    bytes: &[u8],
    format: Format,
    options: &ReadOptions,
) -> Result<Dataset> {
    let labels = labels(format);
    let target = target(labels, &options.target)?;
    let rows = rows(labels, bytes).map_err(|why| Error::malformed(name, why))?;
    let size = labels.len() + PIXELS;
    let record = |i: usize| &bytes[i * size..(i + 1) * size];
    let mut data = super::data_set(name, rows, PIXELS, |i| &record(i)[labels.len()..])?;
    data.axes = Some(vec![3, 32, 32]);
    if let Some(k) = target {
        data.target = (0..rows).map(|i| f64::from(record(i)[k])).collect();
    }
    Ok(data)
}

/// The label that is the target, by its name or its number counted from 1.
fn target(labels: Labels, wanted: &Target) -> Result<Option<usize>> {
    let wanted = match wanted {
        Target::None => return Ok(None),
        Target::Guess => return Ok(Some(labels.len() - 1)),
        Target::Column(wanted) => wanted,
    };
    let called = |k: &usize| *wanted == labels[*k].0 || *wanted == (k + 1).to_string();
    match (0..labels.len()).find(called) {
        Some(k) => Ok(Some(k)),
        None => {
            let names: Vec<&str> = labels.iter().map(|l| l.0).collect();
            let expected = names.join(" or ");
            Err(Error::argument(
                "target",
                quote(wanted.as_bytes()),
                &expected,
            ))
        }
    }
}
