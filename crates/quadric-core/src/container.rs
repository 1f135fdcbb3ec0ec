//! The one file format for checkpoints and models: safetensors with versioned, checksummed metadata.
//!
//! A file holds named tensors of `f32`, `f64` or `u64` and named strings; half precision is widened and integers with a sign that
//! are not negative lose it when they are read. Files of our own carry `quadric.format` (the
//! format's version), `kind` (`checkpoint` or `model`) and `blake3`, a hash of everything else. The bytes depend only on
//! the content.

use crate::files::{self, Fs, OsFs, Overwrite, write_with};
use crate::{Error, Result};
use safetensors::{Dtype, SafeTensors};
use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::path::Path;

/// The newest format that this version reads and the one it writes.
pub const FORMAT: u64 = 1;

const FORMAT_KEY: &str = "quadric.format";
const KIND_KEY: &str = "kind";
const HASH_KEY: &str = "blake3";

/// A named block of numbers, last index fastest.
#[derive(Clone, Debug, PartialEq)]
pub enum Tensor {
    /// Single precision.
    F32 {
        /// Length of each axis.
        shape: Vec<usize>,
        /// The entries.
        data: Vec<f32>,
    },
    /// Double precision.
    F64 {
        /// Length of each axis.
        shape: Vec<usize>,
        /// The entries.
        data: Vec<f64>,
    },
    /// Integers.
    U64 {
        /// Length of each axis.
        shape: Vec<usize>,
        /// The entries.
        data: Vec<u64>,
    },
}

macro_rules! per_type {
    ($tensor:expr, $data:ident => $body:expr) => {
        match $tensor {
            Tensor::F32 { data: $data, .. } => $body,
            Tensor::F64 { data: $data, .. } => $body,
            Tensor::U64 { data: $data, .. } => $body,
        }
    };
}

impl Tensor {
    /// A vector of `f32`.
    pub fn f32(data: Vec<f32>) -> Self {
        Self::F32 {
            shape: vec![data.len()],
            data,
        }
    }

    /// A vector of `f64`.
    pub fn f64(data: Vec<f64>) -> Self {
        Self::F64 {
            shape: vec![data.len()],
            data,
        }
    }

    /// A vector of integers.
    pub fn u64(data: Vec<u64>) -> Self {
        Self::U64 {
            shape: vec![data.len()],
            data,
        }
    }

    /// Length of each axis.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::F32 { shape, .. } | Self::F64 { shape, .. } | Self::U64 { shape, .. } => shape,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        per_type!(self, data => data.len())
    }

    /// True if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type as it is spelled in the file.
    pub fn dtype(&self) -> &'static str {
        match self {
            Self::F32 { .. } => "F32",
            Self::F64 { .. } => "F64",
            Self::U64 { .. } => "U64",
        }
    }

    fn write_bytes(&self, out: &mut Vec<u8>) {
        per_type!(self, data => for v in data { out.extend_from_slice(&v.to_le_bytes()); });
    }

    fn byte_len(&self) -> usize {
        per_type!(self, data => size_of_val(data.as_slice()))
    }

    fn from_bytes(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Option<Self> {
        let shape = shape.to_vec();
        Some(match dtype {
            Dtype::F32 => Self::F32 {
                shape,
                data: numbers(bytes, f32::from_le_bytes),
            },
            Dtype::F64 => Self::F64 {
                shape,
                data: numbers(bytes, f64::from_le_bytes),
            },
            Dtype::U64 => Self::U64 {
                shape,
                data: numbers(bytes, u64::from_le_bytes),
            },
            Dtype::F16 => Self::F32 {
                shape,
                data: numbers(bytes, |b| half(u16::from_le_bytes(b))),
            },
            // The upper half of an `f32`.
            Dtype::BF16 => Self::F32 {
                shape,
                data: numbers(bytes, |[a, b]| f32::from_le_bytes([0, 0, a, b])),
            },
            Dtype::I64 => Self::U64 {
                shape,
                data: numbers(bytes, i64::from_le_bytes)
                    .into_iter()
                    .map(|v| u64::try_from(v).ok())
                    .collect::<Option<_>>()?,
            },
            _ => return None,
        })
    }
}

/// The number of an IEEE 754 binary16, exactly.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (bits >> 10 & 31, bits & 1023);
    let magnitude = match exponent {
        0 => f32::from(fraction) * 2_f32.powi(-24),
        31 if fraction == 0 => f32::INFINITY,
        31 => f32::NAN,
        _ => f32::from(1024 + fraction) * 2_f32.powi(i32::from(exponent) - 25),
    };
    if bits >> 15 == 1 {
        -magnitude
    } else {
        magnitude
    }
}

fn numbers<const N: usize, V>(bytes: &[u8], from: impl Fn([u8; N]) -> V) -> Vec<V> {
    let (whole, _) = bytes.as_chunks::<N>();
    whole.iter().map(|b| from(*b)).collect()
}

/// Named tensors and named strings: a checkpoint or a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Strings by name; `quadric.format` and `blake3` are added on writing and checked on reading, never in here.
    pub metadata: BTreeMap<String, String>,
    /// Tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Container {
    /// An empty container of one kind, such as `checkpoint` or `model`.
    pub fn new(kind: &str) -> Self {
        let mut c = Self::default();
        c.metadata.insert(KIND_KEY.into(), kind.into());
        c
    }

    /// The kind, for files of our own.
    pub fn kind(&self) -> Option<&str> {
        self.metadata.get(KIND_KEY).map(String::as_str)
    }

    /// The tensor of a name.
    ///
    /// # Errors
    /// There is none in `file`, which the message names.
    pub fn tensor(&self, name: &str, file: &str) -> Result<&Tensor> {
        self.tensors
            .get(name)
            .ok_or_else(|| Error::malformed(file, format!("the tensor `{name}` is missing")))
    }

    /// The string of a name.
    ///
    /// # Errors
    /// There is none in `file`, which the message names.
    pub fn string(&self, name: &str, file: &str) -> Result<&str> {
        self.metadata
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| Error::malformed(file, format!("the entry `{name}` is missing")))
    }

    /// The content of a file.
    ///
    /// # Errors
    /// A tensor whose shape does not fit its entries, or one named `__metadata__`.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let header = self.header()?;
        let payload: usize = self.tensors.values().map(Tensor::byte_len).sum();
        let mut out = Vec::with_capacity(8 + header.len() + payload);
        out.extend_from_slice(&(header.len() as u64).to_le_bytes());
        out.extend_from_slice(header.as_bytes());
        for (_, tensor) in self.in_file_order() {
            tensor.write_bytes(&mut out);
        }
        Ok(out)
    }

    /// The wide types come first, so that every tensor is aligned.
    fn in_file_order(&self) -> impl Iterator<Item = (&String, &Tensor)> {
        let wide = |t: &Tensor| !matches!(t, Tensor::F32 { .. });
        let first = self.tensors.iter().filter(move |(_, t)| wide(t));
        first.chain(self.tensors.iter().filter(move |(_, t)| !wide(t)))
    }

    fn header(&self) -> Result<String> {
        let mut metadata = self.metadata.clone();
        metadata.insert(FORMAT_KEY.into(), FORMAT.to_string());
        metadata.insert(HASH_KEY.into(), self.hash(&FORMAT.to_string()));
        let mut header = format!("{{\"__metadata__\":{}", json(&metadata));
        let mut start = 0;
        for (name, tensor) in self.in_file_order() {
            let entries = tensor
                .shape()
                .iter()
                .try_fold(1_usize, |n, d| n.checked_mul(*d));
            if entries != Some(tensor.len()) {
                let what = format!("the tensor `{name}`");
                return Err(Error::shape(&what, tensor.shape(), tensor.len()));
            }
            if name == "__metadata__" {
                return Err(Error::argument("tensor name", name, "another name"));
            }
            let end = start + tensor.byte_len();
            let _ = write!(
                header,
                ",{}:{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":[{start},{end}]}}",
                json(name),
                tensor.dtype(),
                json(&tensor.shape()),
            );
            start = end;
        }
        header.push('}');
        let padding = header.len().next_multiple_of(8) - header.len();
        header.extend(std::iter::repeat_n(' ', padding));
        Ok(header)
    }

    /// Hash of the metadata and of every tensor's name, type, shape and bytes, in name order.
    fn hash(&self, format: &str) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut text = |s: &str| {
            hasher.update(&(s.len() as u64).to_le_bytes());
            hasher.update(s.as_bytes());
        };
        text(format);
        text(&self.metadata.len().to_string());
        for (key, value) in &self.metadata {
            text(key);
            text(value);
        }
        let mut bytes = Vec::new();
        for (name, tensor) in &self.tensors {
            let head = format!("{name}\0{}{:?}", tensor.dtype(), tensor.shape());
            hasher.update(&(head.len() as u64).to_le_bytes());
            hasher.update(head.as_bytes());
            bytes.clear();
            tensor.write_bytes(&mut bytes);
            hasher.update(&bytes);
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Reads the content of a file; `file` is its name for messages.
    ///
    /// A plain safetensors file without `quadric.format` is accepted, with its own metadata and without a checksum.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed): anything but a complete safetensors file without gaps,
    /// overlaps, duplicates or trailing bytes; a type other than `f32`, `f64`, `u64`, `f16`, `bf16` (both become `f32`) and `i64`
    /// without negative entries (`u64`); a newer format; a wrong checksum.
    pub fn from_bytes(bytes: &[u8], file: &str) -> Result<Self> {
        let bad = |message: String| Error::malformed(file, message);
        let not_safetensors = |e| bad(format!("not a complete safetensors file: {e}"));
        let parsed = SafeTensors::deserialize(bytes).map_err(not_safetensors)?;
        let (length, header) = SafeTensors::read_metadata(bytes).map_err(not_safetensors)?;
        refuse_duplicates(&bytes[8..8 + length]).map_err(|e| bad(e.to_string()))?;
        let mut container = Self::default();
        if let Some(metadata) = header.metadata() {
            container.metadata = metadata.clone().into_iter().collect();
        }
        let format = container.metadata.remove(FORMAT_KEY);
        if let Some(format) = &format {
            check_format(format).map_err(bad)?;
        }
        for (name, view) in parsed.iter() {
            let tensor = Tensor::from_bytes(view.dtype(), view.shape(), view.data());
            let tensor = tensor.ok_or_else(|| {
                bad(format!(
                    "the tensor `{name}` holds {}; this reader knows F16, BF16, F32, F64, U64, and I64 without negative entries",
                    view.dtype()
                ))
            })?;
            container.tensors.insert(name.to_owned(), tensor);
        }
        if let Some(format) = format {
            let stored = container.metadata.remove(HASH_KEY);
            if stored.as_deref() != Some(container.hash(&format).as_str()) {
                return Err(bad("the checksum is wrong: the file is damaged".into()));
            }
        } else if container.metadata.contains_key(HASH_KEY) {
            return Err(bad(format!("the entry `{FORMAT_KEY}` is missing")));
        }
        Ok(container)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) naming the file, and those of [`Container::from_bytes`].
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_from(&OsFs, path)
    }

    pub(crate) fn read_from(fs: &dyn Fs, path: &Path) -> Result<Self> {
        Self::from_bytes(&files::read_with(fs, path)?, &path.display().to_string())
    }

    /// Reads a file of our own that must be of one kind.
    ///
    /// # Errors
    /// Those of [`Container::read`], a file without our format, and another kind.
    pub fn read_kind(path: &Path, kind: &str) -> Result<Self> {
        Self::read_kind_from(&OsFs, path, kind)
    }

    pub(crate) fn read_kind_from(fs: &dyn Fs, path: &Path, kind: &str) -> Result<Self> {
        let container = Self::read_from(fs, path)?;
        let found = container.kind().unwrap_or("none");
        if found != kind {
            return Err(Error::malformed(
                &path.display().to_string(),
                format!("the file is of kind `{found}`; expected `{kind}`"),
            ));
        }
        Ok(container)
    }

    /// Writes a file, complete or not at all.
    ///
    /// # Errors
    /// Those of [`Container::to_bytes`] and [`write_atomically`](crate::write_atomically).
    pub fn write(&self, path: &Path, overwrite: Overwrite) -> Result<()> {
        let bytes = self.to_bytes()?;
        files::write_atomically(path, overwrite, |out| out.write_all(&bytes))
    }

    pub(crate) fn write_to(&self, fs: &dyn Fs, path: &Path) -> Result<()> {
        let bytes = self.to_bytes()?;
        write_with(fs, path, Overwrite::Replace, |out| out.write_all(&bytes))
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers have a JSON form")
}

fn check_format(format: &str) -> std::result::Result<(), String> {
    match format.parse::<u64>() {
        Ok(1..=FORMAT) => Ok(()),
        Ok(newer) if newer > FORMAT => Err(format!(
            "format {newer} is newer than {FORMAT}, the newest that this version reads; a newer quadric is needed"
        )),
        _ => Err(format!("`{format}` is not a format version")),
    }
}

/// The reading crate keeps the last of two equal names; here both are refused.
fn refuse_duplicates(header: &[u8]) -> serde_json::Result<()> {
    let mut json = serde_json::Deserializer::from_slice(header);
    json.deserialize_map(Unique { top: true })
}

struct Unique {
    top: bool,
}

impl<'de> Visitor<'de> for Unique {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if self.top && key == "__metadata__" {
                map.next_value_seed(Unique { top: false })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            if let Some(key) = seen.replace(key) {
                return Err(serde::de::Error::custom(format!(
                    "the name `{key}` occurs twice"
                )));
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> std::result::Result<(), D::Error> {
        d.deserialize_map(self)
    }
}
