//! How to read and write: formats, target, weights, missing values, limits.

use crate::images::idx;
use quadric_linalg::{Error, Result};
use std::path::{Path, PathBuf};

/// A file format that data can be read from and written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// LIBSVM / svmlight text: `label index:value ...`.
    Svmlight,
    /// Comma-separated values.
    Csv,
    /// Tab-separated values.
    Tsv,
    /// One NumPy array.
    Npy,
    /// A zip archive of NumPy arrays (cargo feature `npz`).
    Npz,
    /// One IDX array, as MNIST has them: the first dimension counts the rows, the others are features. Read only.
    Idx,
    /// CIFAR-10 in its binary form. Read only.
    Cifar10,
    /// CIFAR-100 in its binary form. Read only.
    Cifar100,
    /// Sequences in the text of the UCR and UEA archives: a row holds the first step, then the second, and so on. Read
    /// only.
    Ts,
}

impl Format {
    /// The names of all formats, for messages.
    pub(crate) const NAMES: &str = "svmlight, csv, tsv, npy, npz, idx, cifar10, cifar100 or ts";

    /// The format named by a user.
    ///
    /// # Errors
    /// An unknown name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "svmlight" | "libsvm" | "svm" => Ok(Self::Svmlight),
            "csv" => Ok(Self::Csv),
            "tsv" | "tab" => Ok(Self::Tsv),
            "npy" => Ok(Self::Npy),
            "npz" => Ok(Self::Npz),
            "idx" => Ok(Self::Idx),
            "cifar10" | "cifar-10" => Ok(Self::Cifar10),
            "cifar100" | "cifar-100" => Ok(Self::Cifar100),
            "ts" => Ok(Self::Ts),
            _ => Err(Error::argument("format", format!("`{name}`"), Self::NAMES)),
        }
    }

    /// The format that a file name announces; endings `.gz` and `.xz` are looked through. Nothing for `.bin`: whether a
    /// file is CIFAR-10 or CIFAR-100 is told from its contents.
    pub fn from_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = name
            .strip_suffix(".gz")
            .or(name.strip_suffix(".xz"))
            .unwrap_or(&name);
        if idx::is_idx_name(name) {
            return Some(Self::Idx);
        }
        match name.rsplit_once('.')?.1 {
            "svm" | "libsvm" | "svmlight" => Some(Self::Svmlight),
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "npy" => Some(Self::Npy),
            "npz" => Some(Self::Npz),
            "ts" => Some(Self::Ts),
            _ => None,
        }
    }
}

/// Which column is the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// The label of an svmlight line; of a table the one column called y, target, label or class; of IDX images
    /// `*-images-idx3-*` the file `*-labels-idx1-*` beside them; of CIFAR the label, the fine one of two.
    #[default]
    Guess,
    /// There is no target: every column is a feature.
    None,
    /// A column by its name or its number counted from 1; of CIFAR-100 `coarse` or `fine`.
    Column(String),
}

/// What to do about missing values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// Refuse the file, naming the first missing value.
    #[default]
    Error,
    /// Leave out every row with a missing value.
    Drop,
    /// Put the mean of the column's values in (of sequences, of the dimension's values); targets, weights and text are never made up.
    Mean,
    /// Keep them as NaN and list them among the problems: for inspection only.
    Report,
}

/// Whether the first feature of an svmlight file has index 0 or 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndexBase {
    /// 0 if the index 0 occurs anywhere in the file, else 1.
    #[default]
    Auto,
    /// The first feature has index 0.
    Zero,
    /// The first feature has index 1.
    One,
}

/// Guards against files that grow without bound when they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes that a file may have once it is decompressed.
    pub bytes: u64,
    /// Most bytes per compressed byte; 16 MiB are always allowed.
    pub expansion: u64,
    /// Most columns of a table.
    pub columns: usize,
    /// Most different values of a text column that is turned into indicator columns.
    pub categories: usize,
}

impl Default for Limits {
    /// 16 GiB, 200 times, 2¹⁷ columns, 1000 categories.
    fn default() -> Self {
        Self {
            bytes: 16 << 30,
            expansion: 200,
            columns: 1 << 17,
            categories: 1000,
        }
    }
}

/// How to read a data set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// The format; `None` takes it from the file name, else from the contents.
    pub format: Option<Format>,
    /// Which column is the target.
    pub target: Target,
    /// The column of sample weights, by name or by number counted from 1.
    pub weight: Option<String>,
    /// What to do about missing values.
    pub missing: Missing,
    /// The first index of an svmlight file.
    pub index_base: IndexBase,
    /// Sorts the features of an svmlight row and adds up those with the same index, instead of refusing the row.
    pub sum_duplicates: bool,
    /// The number of features of an svmlight file; `None` takes the largest index.
    pub columns: Option<usize>,
    /// The thousands separator of a table's numbers, if they have one.
    pub thousands: Option<char>,
    /// Whether the first line of a table holds the names; `None` looks at the contents.
    pub header: Option<bool>,
    /// Ends shorter sequences of a `.ts` file with zeros, instead of refusing the file.
    pub pad: bool,
    /// Columns of a table that hold names of categories even where they look like numbers, by name or number.
    pub categorical: Vec<String>,
    /// A second file with one sample weight per row.
    pub sample_weight_file: Option<PathBuf>,
    /// A second file with one target per row.
    pub labels: Option<PathBuf>,
    /// Guards against files that grow without bound.
    pub limits: Limits,
}

/// How to write a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// The format; `None` takes it from the file name.
    pub format: Option<Format>,
    /// Replaces a file that exists.
    pub overwrite: bool,
}
