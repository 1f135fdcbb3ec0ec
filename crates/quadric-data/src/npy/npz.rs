//! NPZ: a zip archive of NPY arrays, dense (`x`, `y`, `weights`) or a sparse matrix as SciPy saves it (`data`, `indices`,
//! `indptr`, `shape`, `format`).

use super::header::Header;
use super::{array, preamble};
use crate::array::{Kind, data_set};
use crate::dataset::{self, Dataset};
use crate::options::{Limits, ReadOptions, Target};
use crate::source;
use quadric_linalg::{DataMatrix, Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::io::{Cursor, Write};

/// Most arrays in an archive.
const MEMBERS: usize = 1000;
/// Names that mean features, targets, weights.
const FEATURES: [&str; 4] = ["x", "X", "features", "data"];
const TARGETS: [&str; 4] = ["y", "target", "labels", "label"];
const WEIGHTS: [&str; 3] = ["weights", "sample_weight", "weight"];

type Members = BTreeMap<String, Vec<u8>>;

/// Reads a data set from an NPZ archive: features from `x`, `X`, `features` or `data` (or the only array), the target from
/// `y`, `target`, `labels` or `label`, weights from `weights` or `sample_weight`.
///
/// # Errors
/// `Malformed` for a broken archive, names that leave it, repeated names; `Resource` for archives that expand too much;
/// `Data` for members that do not fit together.
pub(crate) fn read(name: &str, bytes: &[u8], options: &ReadOptions) -> Result<Dataset> {
    let members = unpack(name, bytes, &options.limits)?;
    let member = |names: &[&str]| {
        let found = names.iter().find_map(|n| members.get_key_value(*n));
        found.map(|(key, bytes)| (format!("{name}:{key}"), bytes))
    };
    let wanted = match &options.target {
        Target::None => None,
        Target::Guess => member(&TARGETS),
        Target::Column(key) => member(&[key]),
    };
    let own = ReadOptions {
        target: match &options.target {
            Target::Column(key) if wanted.is_none() => Target::Column(key.clone()),
            _ => Target::None,
        },
        ..options.clone()
    };
    let sparse = ["data", "indices", "indptr", "shape"]
        .iter()
        .all(|n| members.contains_key(*n));
    let mut data = if sparse {
        Dataset::new(name, sparse_matrix(name, &members)?, Vec::new())?
    } else {
        let only = (members.len() == 1)
            .then(|| members.iter().next())
            .flatten();
        let found =
            member(&FEATURES).or_else(|| only.map(|(key, bytes)| (format!("{name}:{key}"), bytes)));
        let (key, bytes) = found.ok_or_else(|| {
            let names: Vec<&str> = members.keys().map(String::as_str).collect();
            Error::malformed(
                name,
                format!("none of the arrays {} is called x", names.join(", ")),
            )
        })?;
        data_set(&key, array(&key, bytes)?, &own)?
    };
    name.clone_into(&mut data.name);
    if let Some((key, bytes)) = wanted {
        data.target = column(&key, bytes, data.rows())?;
    }
    if let Some((key, bytes)) = member(&WEIGHTS).filter(|_| options.weight.is_none()) {
        data.weights = Some(column(&key, bytes, data.rows())?);
    }
    Ok(data)
}

/// All members, bounded in number, in size and in how much they expand.
fn unpack(name: &str, bytes: &[u8], limits: &Limits) -> Result<Members> {
    let broken = |e| Error::malformed(name, "the zip archive is broken").with_source(e);
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    if archive.len() > MEMBERS {
        return Err(Error::new(
            ErrorKind::Resource,
            format!(
                "`{name}` holds {} arrays, more than {MEMBERS}",
                archive.len()
            ),
        ));
    }
    if entries(bytes).is_some_and(|n| n != archive.len()) {
        return Err(Error::malformed(
            name,
            "two members of the archive have the same name",
        ));
    }
    let mut allowed = source::allowed(bytes.len(), limits);
    let mut members = Members::new();
    for i in 0..archive.len() {
        let mut file = archive.by_index(i).map_err(broken)?;
        let member = file.name().map_err(broken)?.into_owned();
        if member.contains(['/', '\\']) || member.contains("..") {
            return Err(Error::malformed(
                name,
                format!("the member name {member:?} is refused"),
            ));
        }
        let Some(key) = member.strip_suffix(".npy") else {
            return Err(Error::malformed(
                name,
                format!("the member {member:?} is no array"),
            ));
        };
        let mut out = Vec::new();
        source::expand(name, "zip", &mut file, &mut out, allowed)?;
        allowed -= out.len() as u64;
        members.insert(key.to_owned(), out);
    }
    Ok(members)
}

/// The number of members by the record at the end of the archive.
fn entries(bytes: &[u8]) -> Option<usize> {
    let tail = bytes.len().saturating_sub(22 + 65_535);
    let at = tail + bytes[tail..].windows(4).rposition(|w| w == b"PK\x05\x06")?;
    let count = u16::from_le_bytes(bytes.get(at + 10..at + 12)?.try_into().ok()?);
    (count != u16::MAX).then_some(usize::from(count))
}

/// A member with one finite value per row.
fn column(key: &str, bytes: &[u8], rows: usize) -> Result<Vec<f64>> {
    let array = array(key, bytes)?;
    if array.values.len() != rows {
        return Err(Error::data(format!(
            "`{key}` holds {} values for {rows} rows",
            array.values.len()
        )));
    }
    match array.values.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(Error::data(format!(
            "`{key}`: value {} is {}",
            i + 1,
            array.values[i]
        ))),
        None => Ok(array.values),
    }
}

fn sparse_matrix(name: &str, members: &Members) -> Result<DataMatrix<f64>> {
    let bad = |what: &str| Error::malformed(name, what);
    if let Some(bytes) = members.get("format") {
        let header = Header::read(name, bytes)?;
        if header.kind != Kind::Bytes || bytes[header.start..].trim_ascii_end() != b"csr" {
            return Err(bad("only sparse matrices in compressed-row form are read")
                .with_hint("save matrix.tocsr()"));
        }
    }
    let values = |key: &str| array(&format!("{name}:{key}"), &members[key]).map(|a| a.values);
    let whole = |v: &[f64]| -> Result<Vec<u32>> {
        v.iter()
            .map(|v| {
                if *v >= 0.0 && *v < 4_294_967_296.0 && v.fract() == 0.0 {
                    Ok(*v as u32)
                } else {
                    Err(bad("an index of the sparse matrix is out of range"))
                }
            })
            .collect()
    };
    let shape = whole(&values("shape")?)?;
    let [rows, cols] = shape[..] else {
        return Err(bad(
            "the shape of the sparse matrix does not have two numbers",
        ));
    };
    if rows == 0 {
        return Err(Error::data(format!("`{name}` holds no rows")));
    }
    let (starts, indices) = (whole(&values("indptr")?)?, whole(&values("indices")?)?);
    dataset::sparse(
        starts,
        indices,
        values("data")?,
        rows as usize,
        cols as usize,
    )
    .map_err(|e| {
        bad("the sparse matrix is not valid; its indices must ascend in each row")
            .with_hint("call matrix.sum_duplicates() before saving")
            .with_source(e)
    })
}

/// The data set as an NPZ archive: `x` (or the members of a sparse matrix), and `y` and `weights` where there are any.
///
/// # Errors
/// Query identifiers and text targets, which the format cannot hold.
pub(crate) fn write(data: &Dataset) -> Result<Vec<u8>> {
    if data.query_ids.is_some() || data.classes.is_some() {
        return Err(Error::data(
            "an NPZ archive cannot hold query identifiers or targets that are text",
        )
        .with_hint("write svmlight text or CSV instead"));
    }
    let mut archive = Archive(zip::ZipWriter::new(Cursor::new(Vec::new())));
    let n = data.rows();
    match &data.x {
        DataMatrix::Dense(x) => {
            let shape = format!("({n}, {})", data.features());
            archive.add("x", "<f8", &shape, &bytes(x.values(), f64::to_le_bytes))?;
        }
        DataMatrix::Sparse(x) => {
            let x = x.as_ref();
            archive.floats("data", x.val())?;
            let structure = [
                ("indices", x.symbolic().col_idx()),
                ("indptr", x.symbolic().row_ptr()),
            ];
            for (key, v) in structure {
                archive.add(
                    key,
                    "<u4",
                    &format!("({},)", v.len()),
                    &bytes(v, u32::to_le_bytes),
                )?;
            }
            let shape = [n as u64, data.features() as u64];
            archive.add("shape", "<i8", "(2,)", &bytes(&shape, u64::to_le_bytes))?;
            archive.add("format", "|S3", "()", b"csr")?;
        }
    }
    if !data.target.is_empty() {
        archive.floats("y", &data.target)?;
    }
    if let Some(weights) = &data.weights {
        archive.floats("weights", weights)?;
    }
    Ok(archive.0.finish().map_err(failed)?.into_inner())
}

/// An archive that is being written.
struct Archive(zip::ZipWriter<Cursor<Vec<u8>>>);

impl Archive {
    /// Adds one array; all times are the same, so that equal data give equal files.
    fn add(&mut self, key: &str, descr: &str, shape: &str, values: &[u8]) -> Result<()> {
        let options =
            zip::write::SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
        let name = format!("{key}.npy");
        self.0.start_file(name, options).map_err(failed)?;
        self.0.write_all(&preamble(descr, shape)).map_err(failed)?;
        self.0.write_all(values).map_err(failed)
    }

    fn floats(&mut self, key: &str, v: &[f64]) -> Result<()> {
        self.add(
            key,
            "<f8",
            &format!("({},)", v.len()),
            &bytes(v, f64::to_le_bytes),
        )
    }
}

fn bytes<T: Copy, const N: usize>(values: &[T], encode: fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|v| encode(*v)).collect()
}

fn failed(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Io, "the archive cannot be written").with_source(e)
}
