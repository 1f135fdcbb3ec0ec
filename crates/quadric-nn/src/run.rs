//! The outputs of a network for any number of examples.

use crate::supervised::copy;
use crate::{Loss, Mode, Network, Port, Rows, Source};
use quadric_autodiff::{Array, Data, Executable, Kind};
use quadric_linalg::{Error, ErrorKind, Result, Scalar};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

/// An output for all examples.
#[derive(Clone, PartialEq, Debug)]
pub struct Output<T> {
    /// Lengths of the axes; the first one counts examples.
    pub shape: Vec<usize>,
    /// The numbers, row-major.
    pub values: Vec<T>,
}

/// Inputs in memory, and how many examples they hold.
struct Inputs<'a, T>(&'a [Array<T>], usize);

impl<T: Scalar> Source<T> for Inputs<'_, T> {
    fn count(&self) -> usize {
        self.1
    }

    fn read(&self, rows: Rows<'_>, arrays: &mut [Array<T>]) -> Result<()> {
        let mut pairs = self.0.iter().zip(arrays);
        pairs.try_for_each(|(own, into)| copy(own, self.1, rows, into))
    }
}

impl Network {
    /// [Evaluates](Mode::Evaluate) the network on examples, `batch` of which are in memory at a time.
    ///
    /// # Errors
    /// If arrays do not have the kinds and sizes of the inputs, or examples do not lie along the first axis of all inputs and outputs.
    pub fn run<T: Scalar>(
        &self,
        parameters: &[T],
        buffers: &[T],
        inputs: &[Array<T>],
        examples: usize,
        batch: usize,
    ) -> Result<Vec<Output<T>>> {
        self.check_inputs(inputs, examples)?;
        let source = Inputs(inputs, examples);
        let mut outputs: Vec<Output<T>> = Vec::new();
        self.sweep(parameters, buffers, &source, None, batch, |of_batch, _| {
            if outputs.is_empty() {
                outputs.extend_from_slice(of_batch);
                return Ok(());
            }
            for (all, part) in outputs.iter_mut().zip(of_batch) {
                all.shape[0] += part.shape[0];
                all.values.extend_from_slice(&part.values);
            }
            Ok(())
        })?;
        Ok(outputs)
    }

    /// Evaluates the network on examples that are read batch by batch, and calls `visit` with the outputs of each batch and what
    /// was read for it: the inputs, and the targets if a port of them is given.
    ///
    /// # Errors
    /// As [`run`](Self::run), and those of the source and of `visit`.
    pub fn sweep<T: Scalar>(
        &self,
        parameters: &[T],
        buffers: &[T],
        source: &dyn Source<T>,
        target: Option<&Port>,
        batch: usize,
        mut visit: impl FnMut(&[Output<T>], &[Array<T>]) -> Result<()>,
    ) -> Result<()> {
        self.check_ports()?;
        let (inputs, examples) = (self.inputs(), source.count());
        let ports = || inputs.iter().chain(target);
        if examples == 0 {
            return Err(Error::new(ErrorKind::Data, "there are no examples"));
        }
        let mut arrays: Vec<Array<T>> = ports().map(Port::room).collect();
        // For each size of a batch, compiled once: the program, and room for its outputs.
        let mut programs: HashMap<usize, (Executable<T>, Vec<Output<T>>)> = HashMap::new();
        for start in (0..examples).step_by(batch.max(1)) {
            let n = batch.max(1).min(examples - start);
            let (executable, outputs) = match programs.entry(n) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(self.compiled(n)?),
            };
            let rows = Rows::Range(start, start + n);
            arrays.iter_mut().for_each(clear);
            source.read(rows, &mut arrays)?;
            let mut pairs = ports().zip(&arrays);
            pairs.try_for_each(|(p, a)| p.check_rows(a, rows))?;
            let own = [Data::Float(parameters), Data::Float(buffers)];
            let of_batch = arrays[..inputs.len()].iter().map(Array::data);
            let given: Vec<Data<'_, T>> = own.into_iter().chain(of_batch).collect();
            let slots = outputs.iter_mut().map(|o| o.values.as_mut_slice());
            executable.run(&given, &mut slots.collect::<Vec<_>>())?;
            visit(outputs, &arrays)?;
        }
        Ok(())
    }

    /// The share of labels that are where the largest of the last axis of the first output is; `None` for a loss without labels.
    /// Labels that do not count are left out.
    ///
    /// # Errors
    /// As [`sweep`](Self::sweep), and if no label counts.
    pub fn accuracy<T: Scalar>(
        &self,
        parameters: &[T],
        buffers: &[T],
        source: &dyn Source<T>,
        loss: Loss,
        batch: usize,
    ) -> Result<Option<f64>> {
        let Loss::CrossEntropy { ignored, .. } = loss else {
            return Ok(None);
        };
        let program = self.program(1, Mode::Evaluate)?;
        let target = loss.target(&program.output_type(0).shape[1..])?;
        let (mut right, mut all) = (0_u64, 0_u64);
        let target = Some(&target);
        self.sweep(
            parameters,
            buffers,
            source,
            target,
            batch,
            |outputs, arrays| {
                let Some(Data::Index(labels)) = arrays.last().map(Array::data) else {
                    return Ok(());
                };
                let classes = outputs[0].values.len() / labels.len().max(1);
                let rows = outputs[0].values.chunks_exact(classes.max(1)).zip(labels);
                for (row, &label) in rows.filter(|(_, label)| Some(**label) != ignored) {
                    all += 1;
                    right += u64::from(largest(row) as i32 == label);
                }
                Ok(())
            },
        )?;
        if all == 0 {
            return Err(Error::new(ErrorKind::Data, "no label counts"));
        }
        Ok(Some(right as f64 / all as f64))
    }

    /// The program for a batch, and room for its outputs, whose first axis counts examples.
    fn compiled<T: Scalar>(&self, n: usize) -> Result<(Executable<T>, Vec<Output<T>>)> {
        let program = self.program(n, Mode::Evaluate)?;
        let types = (0..program.outputs()).map(|i| program.output_type(i));
        if let Some(t) = types.clone().find(|t| t.shape.first() != Some(&n)) {
            let text = format!("an output for {n} examples is {t}: they are not its first axis");
            return Err(Error::new(ErrorKind::Capability, text));
        }
        let rooms = types.map(|t| Output {
            shape: t.shape.to_vec(),
            values: vec![T::of(0.0); t.len()],
        });
        Ok((Executable::new(&program)?, rooms.collect()))
    }

    /// Refuses arrays that are not what the inputs hold for so many examples.
    pub(crate) fn check_inputs<T: Scalar>(
        &self,
        inputs: &[Array<T>],
        examples: usize,
    ) -> Result<()> {
        if examples == 0 {
            return Err(Error::new(ErrorKind::Data, "there are no examples"));
        }
        self.check_ports()?;
        let ports = self.inputs();
        if ports.len() != inputs.len() {
            return Err(Error::shape("the inputs", inputs.len(), ports.len()));
        }
        let mut pairs = ports.iter().zip(inputs);
        pairs.try_for_each(|(p, array)| p.check(array, examples))
    }

    /// Refuses inputs along whose first axis examples do not lie.
    pub(crate) fn check_ports(&self) -> Result<()> {
        let Some(port) = self.inputs().iter().find(|p| p.axis != 0) else {
            return Ok(());
        };
        let (name, axis) = (&port.name, port.axis);
        let text = format!("examples lie along axis {axis} of the input `{name}`, not 0");
        Err(Error::new(ErrorKind::Capability, text))
    }
}

impl Port {
    /// Refuses an array that does not hold what the port asks for, and numbers that are not finite.
    pub(crate) fn check<T: Scalar>(&self, array: &Array<T>, examples: usize) -> Result<()> {
        let (data, name) = (array.data(), &self.name);
        let t = self.of_batch(examples);
        if data.kind() != self.kind || data.len() != t.len() {
            let kind = match data.kind() {
                Kind::Float => "real numbers",
                Kind::Index => "indices",
            };
            let text = format!("`{name}` is {t}, but {} {kind} are given", data.len());
            return Err(Error::new(ErrorKind::Shape, text));
        }
        if let Data::Float(v) = data
            && let Some(i) = v.iter().position(|v| !v.to_f64().is_finite())
        {
            let example = i / (v.len() / examples);
            let text = format!("`{name}` of example {example} is {}", v[i].to_f64());
            return Err(Error::new(ErrorKind::NonFinite, text));
        }
        Ok(())
    }

    /// The same for some examples of a data set, which the error names.
    pub(crate) fn check_rows<T: Scalar>(&self, array: &Array<T>, rows: Rows<'_>) -> Result<()> {
        self.check(array, rows.len()).map_err(|e| e.context(rows))
    }

    /// An empty array of its kind.
    pub(crate) fn room<T>(&self) -> Array<T> {
        match self.kind {
            Kind::Float => Array::Float(Vec::new()),
            Kind::Index => Array::Index(Vec::new()),
        }
    }
}

/// Where the largest number is; the first of equal ones.
fn largest<T: Scalar>(row: &[T]) -> usize {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

/// Takes all entries away.
pub(crate) fn clear<T>(array: &mut Array<T>) {
    match array {
        Array::Float(v) => v.clear(),
        Array::Index(v) => v.clear(),
    }
}

/// Lengths of the axes, with `n` for the number of examples.
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lengths: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        lengths.insert(self.axis.min(lengths.len()), "n".to_owned());
        write!(f, "({})", lengths.join(", "))
    }
}
