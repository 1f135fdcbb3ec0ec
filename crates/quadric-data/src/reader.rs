//! The front door: which format it is, and the side files with labels and weights.

use crate::dataset::Dataset;
use crate::images::{cifar, idx};
use crate::options::{Format, Missing, ReadOptions, Target};
use crate::trouble::{Trouble, TroubleKind};
use crate::{npy, number, sequences, source, svmlight, table};
use quadric_linalg::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// Reads a data set from a file. The format comes from the options, else from the ending of the name (`.svm`, `.libsvm`,
/// `.svmlight`, `.csv`, `.tsv`, `.npy`, `.npz`, `.idx`, `-idx3-ubyte`, `.ts`, each also with `.gz` or `.xz`), else from the
/// contents; a `.bin` file is CIFAR-10 or CIFAR-100 if its length and its labels are right.
///
/// IDX images called `*-images-idx3-*` get their target from the file `*-labels-idx1-*` beside them, unless the options
/// say where it is.
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
    let name = path.display().to_string();
    parse(&name, Some(path), &bytes, format, options)
}

/// Reads a data set from the contents of a file; `name` stands for the file in messages and, by its ending, announces
/// the format. No file of labels is looked for beside it.
///
/// # Errors
/// As [`read`], and `Io` only for side files.
pub fn read_bytes(name: &str, bytes: Vec<u8>, options: &ReadOptions) -> Result<Dataset> {
    let bytes = source::decompress(name, bytes, &options.limits)?;
    let format = options
        .format
        .or_else(|| Format::from_path(Path::new(name)));
    parse(name, None, &bytes, format, options)
}

fn parse(
    name: &str,
    path: Option<&Path>,
    bytes: &[u8],
    format: Option<Format>,
    options: &ReadOptions,
) -> Result<Dataset> {
    let format = match format {
        Some(format) => format,
        None => sniff(name, bytes)?,
    };
    check_columns(format, options)?;
    let (labels, unlabelled) = labels_file(format, path, options)?;
    let mut data = match format {
        Format::Svmlight => svmlight::read(name, bytes, options)?,
        Format::Csv => table::read_csv(name, bytes, None, options)?,
        Format::Tsv => table::read_csv(name, bytes, Some(b'\t'), options)?,
        Format::Npy => npy::read(name, bytes, options)?,
        #[cfg(feature = "npz")]
        Format::Npz => npy::read_npz(name, bytes, options)?,
        #[cfg(not(feature = "npz"))]
        Format::Npz => return Err(without_npz(name)),
        Format::Idx => idx::read(name, bytes, options)?,
        Format::Cifar10 | Format::Cifar100 => cifar::read(name, bytes, format, options)?,
        Format::Ts => sequences::read(name, bytes, options)?.into_dataset()?,
    };
    if options.target == Target::None && !data.target.is_empty() {
        data.target = Vec::new();
    }
    data.problems.extend(unlabelled);
    if let Some(path) = &labels {
        let (labels, classes) = side_file(path, &data, "labels", options)?;
        (data.target, data.classes) = (labels, classes);
    }
    if let Some(path) = &options.sample_weight_file {
        let (weights, classes) = side_file(path, &data, "weights", options)?;
        check_weights(path, &weights, classes.is_some())?;
        data.weights = Some(weights);
    }
    Ok(data)
}

/// The file of labels: the one that was named, or the one beside IDX images; else a remark, where remarks are wanted.
fn labels_file(
    format: Format,
    path: Option<&Path>,
    options: &ReadOptions,
) -> Result<(Option<PathBuf>, Option<Trouble>)> {
    let images = path.filter(|_| format == Format::Idx && options.target == Target::Guess);
    let (None, Some(images)) = (&options.labels, images) else {
        return Ok((options.labels.clone(), None));
    };
    match idx::labels_beside(images) {
        Err(e) if options.missing == Missing::Report => {
            let remark = Trouble::new(TroubleKind::NoTarget, None, e.message());
            Ok((None, Some(remark)))
        }
        found => Ok((found?, None)),
    }
}

/// Refuses a column that was named for a format that has none.
pub(crate) fn check_columns(format: Format, options: &ReadOptions) -> Result<()> {
    let refuse = |role: &str, column: &str, what: &str, instead: &str| {
        let found = crate::trouble::quote(column.as_bytes());
        Err(Error::argument(role, found, &format!("nothing: {what}")).with_hint(instead))
    };
    let (what, labelled) = match format {
        Format::Svmlight => ("svmlight text has no named columns", true),
        Format::Cifar10 | Format::Cifar100 => ("images have no column of weights", false),
        Format::Ts => ("sequences have no named columns", true),
        _ => return Ok(()),
    };
    match (&options.target, &options.weight) {
        (Target::Column(column), _) if labelled => refuse(
            "target",
            column,
            what,
            "the label at each row is its target",
        ),
        (_, Some(column)) => refuse(
            "weight",
            column,
            what,
            "weights come from a file of their own",
        ),
        _ => Ok(()),
    }
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
    if let Some(format) = sniff_bin(name, bytes)? {
        return Ok(format);
    }
    if idx::is_idx(bytes) {
        return Ok(Format::Idx);
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
    if line.starts_with(b"@") {
        return Ok(Format::Ts);
    }
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
    .with_hint(format!("name it with --format {}", Format::NAMES)))
}

/// CIFAR, for names that end in `.bin`, compressed or not.
///
/// # Errors
/// Why a file of such a name that is no text is not CIFAR.
fn sniff_bin(name: &str, bytes: &[u8]) -> Result<Option<Format>> {
    let endings = [".bin", ".bin.gz", ".bin.xz"];
    let lower = name.to_ascii_lowercase();
    if bytes.is_empty() || !endings.iter().any(|e| lower.ends_with(e)) {
        return Ok(None);
    }
    match cifar::recognise(bytes) {
        Ok(format) => Ok(Some(format)),
        Err(why) if is_binary(bytes) && !idx::is_idx(bytes) => {
            Err(
                Error::malformed(name, format!("this is {why}")).with_hint(format!(
                    "name another format with --format {}",
                    Format::NAMES
                )),
            )
        }
        Err(_) => Ok(None),
    }
}

/// True if a file does not begin with text.
fn is_binary(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(1024)];
    head.contains(&0) || std::str::from_utf8(head).is_err_and(|e| e.error_len().is_some())
}

/// The single column of a side file, one value per row.
fn side_file(
    path: &Path,
    of: &Dataset,
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
        Some(format @ (Format::Csv | Format::Tsv | Format::Npy | Format::Idx)) => format,
        _ if bytes.starts_with(b"\x93NUMPY") => Format::Npy,
        _ if idx::is_idx(&bytes) => Format::Idx,
        _ => Format::Csv,
    };
    let data = parse(&name, None, &bytes, Some(format), &own)?;
    if data.features() > 0 {
        return Err(Error::data(format!(
            "`{name}` has {} columns; a file of {what} has one",
            data.features() + 1
        )));
    }
    if data.rows() != of.rows() {
        return Err(Error::data(format!(
            "`{name}` holds {} {what}, but `{}` holds {} rows",
            data.rows(),
            of.name,
            of.rows()
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
            ("# note\n@problemName x\n", Format::Ts),
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
