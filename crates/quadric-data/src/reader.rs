//! The front door: which format it is, and the side files with labels and weights.

use crate::dataset::Dataset;
use crate::options::{Format, Missing, ReadOptions, Target};
use crate::{npy, number, source, svmlight, table};
use quadric_linalg::{Error, ErrorKind, Result};
use std::path::Path;

/// Reads a data set from a file. The format comes from the options, else from the ending of the name (`.svm`, `.libsvm`,
/// `.svmlight`, `.csv`, `.tsv`, `.npy`, `.npz`, each also with `.gz` or `.xz`), else from the contents.
///
/// # Errors
/// `Io` for what cannot be read, `Data` with line and column for what cannot be used, `Malformed` for broken containers
/// and files of other kinds, `Resource` beyond the limits, `Argument` for columns that do not exist.
///
/// # Example
/// ```no_run
/// use quadric_data::{ReadOptions, read};
/// let data = read("measurements.csv".as_ref(), &ReadOptions::default())?;
/// println!("{} rows, {} features", data.rows(), data.features());
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
pub fn read(path: &Path, options: &ReadOptions) -> Result<Dataset> {
    let bytes = source::read(path, &options.limits)?;
    let format = options.format.or_else(|| Format::from_path(path));
    parse(&path.display().to_string(), &bytes, format, options)
}

/// Reads a data set from the contents of a file; `name` stands for the file in messages and, by its ending, announces
/// the format.
///
/// # Errors
/// As [`read`], and `Io` only for side files.
pub fn read_bytes(name: &str, bytes: Vec<u8>, options: &ReadOptions) -> Result<Dataset> {
    let bytes = source::decompress(name, bytes, &options.limits)?;
    let format = options
        .format
        .or_else(|| Format::from_path(Path::new(name)));
    parse(name, &bytes, format, options)
}

fn parse(
    name: &str,
    bytes: &[u8],
    format: Option<Format>,
    options: &ReadOptions,
) -> Result<Dataset> {
    let format = match format {
        Some(format) => format,
        None => sniff(name, bytes)?,
    };
    if format == Format::Svmlight {
        if let Target::Column(column) = &options.target {
            return Err(no_column(
                "target",
                column,
                "the label of each row is its target",
            ));
        }
        if let Some(column) = &options.weight {
            return Err(no_column(
                "weight",
                column,
                "weights come from a file of their own",
            ));
        }
    }
    let mut data = match format {
        Format::Svmlight => svmlight::read(name, bytes, options)?,
        Format::Csv => table::read_csv(name, bytes, None, options)?,
        Format::Tsv => table::read_csv(name, bytes, Some(b'\t'), options)?,
        Format::Npy => npy::read(name, bytes, options)?,
        #[cfg(feature = "npz")]
        Format::Npz => npy::read_npz(name, bytes, options)?,
        #[cfg(not(feature = "npz"))]
        Format::Npz => return Err(without_npz(name)),
    };
    if options.target == Target::None && !data.target.is_empty() {
        data.target = Vec::new();
    }
    if let Some(path) = &options.labels {
        let (labels, classes) = side_file(path, data.rows(), "labels", options)?;
        (data.target, data.classes) = (labels, classes);
    }
    if let Some(path) = &options.sample_weight_file {
        let (weights, classes) = side_file(path, data.rows(), "weights", options)?;
        check_weights(path, &weights, classes.is_some())?;
        data.weights = Some(weights);
    }
    Ok(data)
}

/// A column was named for a format that has none.
fn no_column(role: &str, column: &str, instead: &str) -> Error {
    let found = crate::trouble::quote(column.as_bytes());
    Error::argument(role, found, "nothing: svmlight text has no named columns").with_hint(instead)
}

/// What to say where NPZ was left out of the build.
#[cfg(not(feature = "npz"))]
pub(crate) fn without_npz(name: &str) -> Error {
    Error::argument(
        "format",
        format!("npz (`{name}`)"),
        "a format of this build, which is without the feature `npz`",
    )
    .with_hint("save the arrays apart with numpy.save")
}

/// Tells the format by the first line that is not blank and no comment.
fn sniff(name: &str, bytes: &[u8]) -> Result<Format> {
    if bytes.starts_with(b"\x93NUMPY") {
        return Ok(Format::Npy);
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Ok(Format::Npz);
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let line = text
        .split(|b| *b == b'\n')
        .map(|line| {
            line.split(|b| *b == b'#')
                .next()
                .unwrap_or(line)
                .trim_ascii()
        })
        .find(|line| !line.is_empty())
        .ok_or_else(|| Error::data(format!("`{name}` holds no rows")))?;
    let mut tokens = line
        .split(u8::is_ascii_whitespace)
        .filter(|t| !t.is_empty());
    let label = tokens.next().is_some_and(|t| number::parse(t).is_ok());
    let entry = tokens
        .next()
        .and_then(|t| t.split(|b| *b == b':').next().filter(|i| i.len() < t.len()));
    if label && entry.is_some_and(|i| i == b"qid" || i.iter().all(u8::is_ascii_digit)) {
        return Ok(Format::Svmlight);
    }
    if line.iter().any(|b| matches!(b, b',' | b';')) {
        return Ok(Format::Csv);
    }
    if line.contains(&b'\t') {
        return Ok(Format::Tsv);
    }
    Err(Error::new(
        ErrorKind::Data,
        format!("the format of `{name}` cannot be told from its name or its contents"),
    )
    .with_hint("name it with --format svmlight, csv, tsv, npy or npz"))
}

/// The single column of a side file, one value per row.
fn side_file(
    path: &Path,
    rows: usize,
    what: &str,
    options: &ReadOptions,
) -> Result<(Vec<f64>, Option<Vec<String>>)> {
    let own = ReadOptions {
        target: Target::Column("1".to_owned()),
        missing: Missing::Error,
        limits: options.limits,
        ..ReadOptions::default()
    };
    let bytes = source::read(path, &own.limits)?;
    let name = path.display().to_string();
    let format = match Format::from_path(path) {
        Some(format @ (Format::Csv | Format::Tsv | Format::Npy)) => format,
        _ if bytes.starts_with(b"\x93NUMPY") => Format::Npy,
        _ => Format::Csv,
    };
    let data = parse(&name, &bytes, Some(format), &own)?;
    if data.features() > 0 {
        return Err(Error::data(format!(
            "`{name}` has {} columns; a file of {what} has one",
            data.features() + 1
        )));
    }
    if data.rows() != rows {
        return Err(Error::data(format!(
            "`{name}` holds {} {what} for {rows} rows",
            data.rows()
        )));
    }
    Ok((data.target, data.classes))
}

fn check_weights(path: &Path, weights: &[f64], text: bool) -> Result<()> {
    let bad = |message: String| Err(Error::data(format!("`{}`: {message}", path.display())));
    if text {
        return bad("weights must be numbers".to_owned());
    }
    match weights.iter().position(|w| *w < 0.0) {
        Some(i) => bad(format!(
            "the weight {} of row {} is negative",
            weights[i],
            i + 1
        )),
        None if weights.iter().all(|w| *w == 0.0) => bad("every weight is zero".to_owned()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_contents() {
        for (text, format) in [
            ("# note\n\n1 1:2\n", Format::Svmlight),
            ("+1 qid:3 1:2\n", Format::Svmlight),
            ("a,b\n1,2\n", Format::Csv),
            ("1\t2\n", Format::Tsv),
        ] {
            assert_eq!(sniff("x", text.as_bytes()).unwrap(), format, "{text}");
        }
        assert!(
            sniff("x", b"1\n2\n")
                .unwrap_err()
                .hint()
                .unwrap()
                .contains("--format")
        );
        assert!(sniff("x", b"").is_err());
    }
}
