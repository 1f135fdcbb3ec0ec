//! Data for Quadric: readers, writers, generators, splits and embedded sets.
//!
//! [`read`] takes svmlight, CSV, TSV, NPY, IDX (MNIST), CIFAR-10, CIFAR-100, `.ts` and (feature `npz`) NPZ
//! files, plain or compressed with gzip or xz, and returns a [`Dataset`] or an error that names the file and the line and column, or the
//! byte. [`read_sequences`] and [`Corpus`] give sequences and text to networks, [`NpyRows`] rows of NPY files that are
//! larger than memory. [`embedded`] gives small real data sets without any file,
//! [`synth`] makes data with prescribed properties.

mod array;
mod dataset;
mod embedded;
mod fingerprint;
mod images;
mod npy;
mod number;
mod options;
mod reader;
mod scale;
mod sequences;
mod source;
mod split;
mod summary;
mod svmlight;
pub mod synth;
mod table;
mod text;
mod trouble;
mod ts;
mod write;

pub use dataset::{ColumnInfo, ColumnKind, Dataset};
pub use embedded::{EmbeddedSet, embedded, embedded_sets};
pub use npy::{NpyArray, NpyRows, Value, encode_npy, npy_header, read_npy};
pub use options::{Format, IndexBase, Limits, Missing, ReadOptions, Target, WriteOptions};
pub use reader::{read, read_bytes};
pub use scale::Scaling;
pub use sequences::{Sequences, read_sequences};
pub use summary::{Count, Statistics, Summary, TargetSummary, Values, describe};
pub use text::{Corpus, Unit, Windows};
pub use trouble::{Trouble, TroubleKind};
pub use write::{encode, write};
