//! Examples in files: read batch by batch where they lie, or tables in memory.

use crate::{Network, Port, Rows, Source};
use quadric_autodiff::{Array, Kind};
use quadric_data::{Dataset, NpyRows, Value};
use quadric_linalg::{Error, ErrorKind, Result, Scalar};
use std::sync::Arc;

/// A file whose rows are examples.
#[derive(Clone, Debug)]
pub enum ExampleFile {
    /// An array of any number of axes, examples along the first one; nothing of it is in memory.
    Npy(Arc<NpyRows>),
    /// A data set in memory.
    Table(Arc<Dataset>),
}

impl ExampleFile {
    fn rows(&self) -> usize {
        match self {
            Self::Npy(file) => file.rows(),
            Self::Table(data) => data.rows(),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Npy(file) => file.name(),
            Self::Table(data) => &data.name,
        }
    }
}

/// Examples in files: one for each input of a network, and targets in one of these or in a file of their own.
#[derive(Clone, Debug)]
pub struct FileExamples {
    inputs: Vec<Part>,
    targets: Option<Part>,
    count: usize,
    /// What real inputs are divided by.
    divisor: f64,
}

/// What an array is read from.
#[derive(Clone, Debug)]
enum Part {
    Npy(Arc<NpyRows>),
    /// The features of a data set, with the place of each in a row of the array, if that has another order.
    Features(Arc<Dataset>, Option<Arc<[usize]>>),
    /// Its target.
    Target(Arc<Dataset>),
}

impl FileExamples {
    /// The files of all inputs, in their order. The features of a table are the entries of an input, row-major; where the file
    /// says that they are images, their channels may go first or last.
    ///
    /// # Errors
    /// If a file does not have the shape that its input asks for, or files hold unequally many examples.
    pub fn new(network: &Network, inputs: &[ExampleFile]) -> Result<Self> {
        let ports = network.inputs();
        if ports.len() != inputs.len() {
            let names: Vec<&str> = ports.iter().map(|p| p.name.as_str()).collect();
            let expected = format!("a file for each input: {}", names.join(", "));
            return Err(Error::argument("data", inputs.len(), &expected));
        }
        network.check_ports()?;
        let pairs = ports.iter().zip(inputs);
        let parts = pairs.map(|(port, file)| fitting(port, file));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let count = inputs.first().map_or(0, ExampleFile::rows);
        if let Some(other) = inputs.iter().find(|f| f.rows() != count) {
            let (name, found) = (other.name(), other.rows());
            let text = format!("{name} has {found} examples, others have {count}");
            return Err(Error::new(ErrorKind::Shape, text));
        }
        Ok(Self {
            inputs: parts,
            targets: None,
            count,
            divisor: 1.0,
        })
    }

    /// The same with real inputs divided by a number, such as 255 for pixels.
    ///
    /// # Errors
    /// A divisor that is zero or not finite.
    pub fn divided(mut self, by: f64) -> Result<Self> {
        if by == 0.0 || !by.is_finite() {
            return Err(Error::argument(
                "divide",
                by,
                "a finite number other than 0",
            ));
        }
        self.divisor = by;
        Ok(self)
    }

    /// The same with a file of targets ([`Loss::target`](crate::Loss::target)): an array, the one target of a table without
    /// features, or the features of a table. A column of labels is a list of labels.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_targets(mut self, target: &Port, file: &ExampleFile) -> Result<Self> {
        if file.rows() != self.count {
            let (name, found, count) = (file.name(), file.rows(), self.count);
            let text = format!("{name} has {found} targets for {count} examples");
            return Err(Error::new(ErrorKind::Shape, text));
        }
        self.targets = Some(match file {
            ExampleFile::Table(data) if data.features() == 0 => own_target(target, data)?,
            file => fitting(target, file)?,
        });
        Ok(self)
    }

    /// The same with the target of the first file that has one.
    ///
    /// # Errors
    /// If none has, or the network gives more than one number for each example.
    pub fn with_own_targets(mut self, target: &Port) -> Result<Self> {
        let labelled = self.inputs.iter().find_map(|part| match part {
            Part::Features(data, _) if !data.target.is_empty() => Some(data),
            _ => None,
        });
        let Some(data) = labelled else {
            let text = "the data hold no targets";
            let hint = "name their file with --labels FILE, or their column with --target COLUMN";
            return Err(Error::new(ErrorKind::Argument, text).with_hint(hint));
        };
        self.targets = Some(own_target(target, data)?);
        Ok(self)
    }
}

/// The target of a table.
fn own_target(port: &Port, data: &Arc<Dataset>) -> Result<Part> {
    if data.classes.is_some() && port.kind == Kind::Float {
        let text = format!(
            "the target of {} is text, where the loss takes numbers",
            data.name
        );
        return Err(Error::new(ErrorKind::Data, text));
    }
    if port.shape.iter().product::<usize>() == 1 {
        return Ok(Part::Target(Arc::clone(data)));
    }
    let text = format!(
        "{} has one target for each example; `{}` is {port}",
        data.name, port.name
    );
    let hint = "name a file with as many columns with --labels FILE";
    Err(Error::new(ErrorKind::Shape, text).with_hint(hint))
}

/// A file whose rows are what a port takes.
fn fitting(port: &Port, file: &ExampleFile) -> Result<Part> {
    let misfit = |shape: &str| {
        let (name, wanted) = (file.name(), &port.name);
        let text = format!("{name} has shape {shape}; `{wanted}` is {port}");
        Error::new(ErrorKind::Shape, text)
    };
    match file {
        ExampleFile::Npy(rows) => {
            let rest = &rows.shape()[1..];
            let is_column = rest.split_last() == Some((&1, &port.shape[..]));
            if rest != port.shape && !is_column {
                return Err(misfit(&format!("{:?}", rows.shape())));
            }
            Ok(Part::Npy(Arc::clone(rows)))
        }
        ExampleFile::Table(data) => {
            let flat = [data.features()];
            let axes = data.axes.as_deref().unwrap_or(&flat);
            let shape = [&[data.rows()], axes].concat();
            let order = order(axes, &port.shape).ok_or_else(|| misfit(&format!("{shape:?}")))?;
            Ok(Part::Features(Arc::clone(data), order))
        }
    }
}

/// Where the entries of a row with these axes lie in one of other axes: nothing where it is the same order. Axes of length 1 do
/// not count, a list of entries fits any axes, and the channels of images go first or last.
#[allow(clippy::option_option)] // whether it fits, and whether anything moves
fn order(found: &[usize], wanted: &[usize]) -> Option<Option<Arc<[usize]>>> {
    let long =
        |axes: &[usize]| -> Vec<usize> { axes.iter().copied().filter(|n| *n != 1).collect() };
    let size = |axes: &[usize]| axes.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if size(found) != size(wanted) {
        return None;
    }
    let (from, to) = (long(found), long(wanted));
    if from == to || from.len() < 2 || to.len() < 2 {
        return Some(None);
    }
    let ([a, b, c], [x, y, z]) = (
        <[usize; 3]>::try_from(from).ok()?,
        <[usize; 3]>::try_from(to).ok()?,
    );
    // Entry (i, j, k) of the file, with the channels first in one of both.
    let place = |i: usize, j: usize, k: usize| match (x, y, z) {
        _ if (x, y, z) == (b, c, a) => Some((j * c + k) * a + i),
        _ if (x, y, z) == (c, a, b) => Some((k * a + i) * b + j),
        _ => None,
    };
    let entries = (0..a * b * c).map(|e| place(e / (b * c), e / c % b, e % c));
    Some(Some(entries.collect::<Option<Vec<usize>>>()?.into()))
}

impl<T: Scalar + Value> Source<T> for FileExamples {
    fn count(&self) -> usize {
        self.count
    }

    fn read(&self, rows: Rows<'_>, arrays: &mut [Array<T>]) -> Result<()> {
        let parts = self.inputs.iter().chain(&self.targets);
        for (i, (part, array)) in parts.zip(arrays).enumerate() {
            match array {
                Array::Float(v) => {
                    part.append(rows, <T as Scalar>::of(0.0), v)?;
                    if self.divisor != 1.0 && i < self.inputs.len() {
                        let divided = |v: &mut T| *v = <T as Scalar>::of(v.to_f64() / self.divisor);
                        v.iter_mut().for_each(divided);
                    }
                }
                Array::Index(v) => part.append(rows, 0, v)?,
            }
        }
        Ok(())
    }
}

impl Part {
    fn append<V: Value>(&self, rows: Rows<'_>, zero: V, into: &mut Vec<V>) -> Result<()> {
        let each = match self {
            Self::Npy(file) => file.row_len(),
            Self::Features(data, _) => data.features(),
            Self::Target(_) => 1,
        };
        into.resize(rows.len() * each, zero);
        if let (Self::Npy(file), Rows::Range(start, end)) = (self, rows) {
            return file.read(start..end, into);
        }
        let mut places = into.chunks_exact_mut(each.max(1)).enumerate();
        places.try_for_each(|(i, place)| self.row(rows.at(i), place))
    }

    /// Writes a row over zeros.
    fn row<V: Value>(&self, row: usize, out: &mut [V]) -> Result<()> {
        let refuse = |data: &Dataset, what: String, v: f64| {
            let (name, at, holds) = (&data.name, row + 1, V::HOLDS);
            let text = format!("{name}: {what} of row {at} is {v}; expected {holds}");
            Err(Error::new(ErrorKind::Data, text))
        };
        match self {
            Self::Npy(file) => file.read(row..row + 1, out),
            Self::Features(data, order) => {
                let mut wrong = None;
                data.x.for_row(row, |j, v| match V::of(v) {
                    Some(v) => out[order.as_ref().map_or(j, |order| order[j])] = v,
                    None => wrong = wrong.or(Some((j, v))),
                });
                match wrong {
                    None => Ok(()),
                    Some((j, v)) => {
                        let what = format!("feature `{}`", data.feature_name(j));
                        refuse(data, what, v)
                    }
                }
            }
            Self::Target(data) => match V::of(data.target[row]) {
                Some(v) => {
                    out[0] = v;
                    Ok(())
                }
                None => refuse(data, "the target".to_owned(), data.target[row]),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_move_and_axes_of_one_do_not_count() {
        let same = |found: &[usize], wanted: &[usize]| order(found, wanted) == Some(None);
        assert!(same(&[6], &[1, 2, 3]) && same(&[2, 3], &[6]) && same(&[28, 28], &[28, 1, 28]));
        assert!(same(&[3, 4, 5], &[3, 4, 5]) && same(&[], &[1]) && same(&[1], &[]));
        assert!(order(&[2, 3], &[3, 2]).is_none() && order(&[3, 4, 5], &[4, 3, 5]).is_none());
        assert!(order(&[6], &[5]).is_none() && order(&[2, 3, 4, 5], &[120, 1]) == Some(None));
        // Entry (i, j, k) becomes (j, k, i), and back.
        let last = order(&[2, 3, 4], &[3, 4, 2]).flatten().expect("an order");
        let first = order(&[3, 4, 2], &[2, 3, 4]).flatten().expect("an order");
        for (e, &place) in last.iter().enumerate() {
            let (i, j, k) = (e / 12, e / 4 % 3, e % 4);
            assert_eq!(place, (j * 4 + k) * 2 + i);
            assert_eq!(first[place], e);
        }
    }
}
