//! The outputs of a network for any number of examples.

use crate::{Mode, Network};
use quadric_autodiff::{Array, Data, Executable, Kind, Shape};
use quadric_linalg::{Error, ErrorKind, Result, Scalar};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// An output for all examples.
#[derive(Clone, PartialEq, Debug)]
pub struct Output<T> {
    /// Lengths of the axes; the first one counts examples.
    pub shape: Vec<usize>,
    /// The numbers, row-major.
    pub values: Vec<T>,
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
        // For each size of a batch, compiled once: the program, and the shapes of its outputs.
        let mut programs: HashMap<usize, (Executable<T>, Vec<Shape>)> = HashMap::new();
        let mut outputs: Vec<Output<T>> = Vec::new();
        for start in (0..examples).step_by(batch.max(1)) {
            let n = batch.max(1).min(examples - start);
            let (executable, shapes) = match programs.entry(n) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(self.compiled(n)?),
            };
            let own = [Data::Float(parameters), Data::Float(buffers)];
            let of_batch = inputs.iter().map(|array| part(array, examples, start, n));
            let given: Vec<Data<'_, T>> = own.into_iter().chain(of_batch).collect();
            let room = |shape: &Shape| vec![T::of(0.0); shape.iter().product()];
            let mut rooms: Vec<Vec<T>> = shapes.iter().map(room).collect();
            let mut slots: Vec<&mut [T]> = rooms.iter_mut().map(Vec::as_mut_slice).collect();
            executable.run(&given, &mut slots)?;
            if outputs.is_empty() {
                let none = |shape: &Shape| Output {
                    shape: [&[examples], &shape[1..]].concat(),
                    values: Vec::new(),
                };
                outputs = shapes.iter().map(none).collect();
            }
            for (output, room) in outputs.iter_mut().zip(rooms) {
                output.values.extend(room);
            }
        }
        Ok(outputs)
    }

    /// The program for a batch, and the shapes of its outputs, whose first axis counts examples.
    fn compiled<T: Scalar>(&self, n: usize) -> Result<(Executable<T>, Vec<Shape>)> {
        let program = self.program(n, Mode::Evaluate)?;
        let types = (0..program.outputs()).map(|i| program.output_type(i));
        if let Some(t) = types.clone().find(|t| t.shape.first() != Some(&n)) {
            let text = format!("an output for {n} examples is {t}: they are not its first axis");
            return Err(Error::new(ErrorKind::Capability, text));
        }
        let shapes = types.map(|t| t.shape.clone()).collect();
        Ok((Executable::new(&program)?, shapes))
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

impl crate::Port {
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
}

/// What an array of `examples` holds for `n` of them.
pub(crate) fn part<T>(array: &Array<T>, examples: usize, start: usize, n: usize) -> Data<'_, T> {
    match array {
        Array::Float(v) => {
            let each = v.len() / examples;
            Data::Float(&v[start * each..(start + n) * each])
        }
        Array::Index(v) => {
            let each = v.len() / examples;
            Data::Index(&v[start * each..(start + n) * each])
        }
    }
}
