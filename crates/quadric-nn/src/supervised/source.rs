//! Where examples come from: memory, or anything that can read some of them at a time.

use quadric_autodiff::Array;
use quadric_linalg::{Error, ErrorKind, Result, Scalar};
use std::fmt;
use std::ops::Range;

/// Which examples.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rows<'a> {
    /// One after the other.
    Range(usize, usize),
    /// Any, in this order.
    List(&'a [usize]),
}

impl Rows<'_> {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Range(start, end) => end - start,
            Self::List(rows) => rows.len(),
        }
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of the example at a position, in the whole data set.
    pub fn at(&self, position: usize) -> usize {
        match self {
            Self::Range(start, _) => start + position,
            Self::List(rows) => rows[position],
        }
    }
}

/// In messages: the first and the last of them.
impl fmt::Display for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            0 => f.write_str("no examples of the data"),
            n => write!(
                f,
                "examples {} to {} of the data",
                self.at(0),
                self.at(n - 1)
            ),
        }
    }
}

/// Examples that are read a batch at a time, so that a data set may be larger than the memory.
///
/// Reading the same rows again gives the same examples; a problem notices if it does not.
pub trait Source<T>: Send + Sync {
    /// How many examples there are.
    fn count(&self) -> usize;

    /// Appends examples to arrays, each row after row: one array for each input of the network, then the targets, if there is an
    /// array for them. The arrays are empty, and have the kinds that the network and the loss ask for.
    ///
    /// # Errors
    /// If the examples cannot be read, or are of another kind.
    fn read(&self, rows: Rows<'_>, arrays: &mut [Array<T>]) -> Result<()>;
}

/// Examples in memory: an array for each input of a network, and the targets. Examples lie along the first axis.
#[derive(Clone, Debug)]
pub struct Examples<T> {
    /// How many there are.
    pub count: usize,
    /// What the network gets.
    pub inputs: Vec<Array<T>>,
    /// What it should give.
    pub targets: Array<T>,
}

impl<T: Scalar> Source<T> for Examples<T> {
    fn count(&self) -> usize {
        self.count
    }

    fn read(&self, rows: Rows<'_>, arrays: &mut [Array<T>]) -> Result<()> {
        let own = self.inputs.iter().chain([&self.targets]);
        let mut pairs = own.zip(arrays);
        pairs.try_for_each(|(own, into)| copy(own, self.count, rows, into))
    }
}

/// Some of the examples of a source.
#[derive(Clone, Debug)]
pub struct Selected<S> {
    source: S,
    rows: Vec<usize>,
}

impl<S> Selected<S> {
    /// The examples `rows` of `source`, in this order.
    ///
    /// # Errors
    /// If there is no such example.
    pub fn new<T>(source: S, rows: Vec<usize>) -> Result<Self>
    where
        S: Source<T>,
    {
        let count = source.count();
        match rows.iter().find(|&&row| row >= count) {
            Some(row) => Err(Error::argument("rows", row, &format!("less than {count}"))),
            None => Ok(Self { source, rows }),
        }
    }
}

impl<T, S: Source<T>> Source<T> for Selected<S> {
    fn count(&self) -> usize {
        self.rows.len()
    }

    fn read(&self, rows: Rows<'_>, arrays: &mut [Array<T>]) -> Result<()> {
        match rows {
            Rows::Range(start, end) => self.source.read(Rows::List(&self.rows[start..end]), arrays),
            Rows::List(rows) => {
                let rows: Vec<usize> = rows.iter().map(|&row| self.rows[row]).collect();
                self.source.read(Rows::List(&rows), arrays)
            }
        }
    }
}

/// Appends rows of an array that holds `count` of them.
pub(crate) fn copy<T: Scalar>(
    array: &Array<T>,
    count: usize,
    rows: Rows<'_>,
    into: &mut Array<T>,
) -> Result<()> {
    match (array, into) {
        (Array::Float(v), Array::Float(into)) => append(v, count, rows, into),
        (Array::Index(v), Array::Index(into)) => append(v, count, rows, into),
        _ => {
            let text = "indices are given for real numbers, or the reverse";
            return Err(Error::new(ErrorKind::Shape, text));
        }
    }
    Ok(())
}

fn append<V: Copy>(values: &[V], count: usize, rows: Rows<'_>, into: &mut Vec<V>) {
    let each = values.len() / count;
    let range = |rows: Range<usize>| &values[rows.start * each..rows.end * each];
    match rows {
        Rows::Range(start, end) => into.extend_from_slice(range(start..end)),
        Rows::List(rows) => rows
            .iter()
            .for_each(|&r| into.extend_from_slice(range(r..r + 1))),
    }
}
