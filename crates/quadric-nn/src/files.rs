//! Examples in NPY files, read batch by batch.

use crate::{Network, Port, Rows, Source};
use quadric_autodiff::Array;
use quadric_data::{NpyRows, Value};
use quadric_linalg::{Error, ErrorKind, Result, Scalar};
use std::path::Path;

/// Examples in NPY files: one for each input of a network, one for the targets, examples along the first axis.
#[derive(Debug)]
pub struct NpyExamples {
    inputs: Vec<NpyRows>,
    targets: Option<NpyRows>,
    count: usize,
}

impl NpyExamples {
    /// Opens the files of all inputs, in their order.
    ///
    /// # Errors
    /// If a file is no array of numbers, or does not have the shape that its input asks for, or files hold unequally many
    /// examples.
    pub fn open(network: &Network, inputs: &[&Path]) -> Result<Self> {
        let ports = network.inputs();
        if ports.len() != inputs.len() {
            let names: Vec<&str> = ports.iter().map(|p| p.name.as_str()).collect();
            let expected = format!("a file for each input: {}", names.join(", "));
            return Err(Error::argument("data", inputs.len(), &expected));
        }
        network.check_ports()?;
        let pairs = ports.iter().zip(inputs);
        let opened = pairs.map(|(port, path)| fitting(port, path));
        let opened = opened.collect::<Result<Vec<_>>>()?;
        let count = opened.first().map_or(0, NpyRows::rows);
        if let Some(at) = opened.iter().position(|f| f.rows() != count) {
            let (path, found) = (inputs[at].display(), opened[at].rows());
            let text = format!("{path} has {found} examples, others have {count}");
            return Err(Error::new(ErrorKind::Shape, text));
        }
        Ok(Self {
            inputs: opened,
            targets: None,
            count,
        })
    }

    /// The same with a file of targets ([`Loss::target`](crate::Loss::target)). A column of labels is a list of labels.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_targets(mut self, target: &Port, path: &Path) -> Result<Self> {
        let file = fitting(target, path)?;
        if file.rows() != self.count {
            let (name, found, count) = (path.display(), file.rows(), self.count);
            let text = format!("{name} has {found} targets for {count} examples");
            return Err(Error::new(ErrorKind::Shape, text));
        }
        self.targets = Some(file);
        Ok(self)
    }
}

/// A file whose rows are what a port takes.
fn fitting(port: &Port, path: &Path) -> Result<NpyRows> {
    let file = NpyRows::open(path)?;
    let rest = &file.shape()[1..];
    let is_column = rest.split_last() == Some((&1, &port.shape[..]));
    if rest != port.shape && !is_column {
        let found = file.shape();
        let text = format!(
            "{} has shape {found:?}; `{}` is {}",
            path.display(),
            port.name,
            port
        );
        return Err(Error::new(ErrorKind::Shape, text));
    }
    Ok(file)
}

impl<T: Scalar + Value> Source<T> for NpyExamples {
    fn count(&self) -> usize {
        self.count
    }

    fn read(&self, rows: Rows<'_>, arrays: &mut [Array<T>]) -> Result<()> {
        for (file, array) in self.inputs.iter().chain(&self.targets).zip(arrays) {
            match array {
                Array::Float(v) => append(file, rows, <T as Scalar>::of(0.0), v)?,
                Array::Index(v) => append(file, rows, 0, v)?,
            }
        }
        Ok(())
    }
}

fn append<V: Value>(file: &NpyRows, rows: Rows<'_>, zero: V, into: &mut Vec<V>) -> Result<()> {
    let each = file.row_len();
    into.resize(rows.len() * each, zero);
    match rows {
        Rows::Range(start, end) => file.read(start..end, into),
        Rows::List(rows) => {
            let mut places = rows.iter().zip(into.chunks_exact_mut(each.max(1)));
            places.try_for_each(|(&row, place)| file.read(row..row + 1, place))
        }
    }
}
