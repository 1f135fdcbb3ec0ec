//! What goes through the layers of a network, and what comes back.
//!
//! The network is traced for one example, and the program is then made one for many: so rows belong to examples whatever the
//! network does with its axes.

use super::Supervised;
use super::loaded::Loaded;
use super::traced::{COLUMN, Job};
use crate::Call;
use crate::network::{Tapped, rows};
use faer::MatRef;
use quadric_autodiff::{Data, Kind, Program, Tensor, Tracer};
use quadric_core::{Backward, Problem, Tap, Targets};
use quadric_linalg::{Error, ErrorKind, Result, Scalar};

/// What a program computes of every layer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Wanted {
    Inputs,
    /// Inputs, and then derivatives of the losses with the targets of the data.
    OfData,
    /// Inputs, and then derivatives of the losses with drawn targets.
    Drawn,
    /// Derivatives for so many square-root columns at a time.
    Columns(usize),
}

/// A layer, for one example.
#[derive(Clone, Copy)]
struct Layer {
    weight: usize,
    transposed: bool,
    bias: Option<usize>,
    /// Rows, inputs and outputs.
    rows: usize,
    inputs: usize,
    outputs: usize,
}

/// The network for one example.
pub(super) struct One<'t> {
    pub(super) tapped: Vec<Tapped<'t>>,
    /// The segments of the parameters, flat.
    pub(super) segments: Vec<Tensor<'t>>,
    pub(super) output: Tensor<'t>,
    pub(super) target: Tensor<'t>,
}

/// Square-root columns, and how many are carried back at a time.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub(super) all: usize,
    pub(super) chunk: usize,
}

impl Columns {
    /// Columns that are carried back at a time, at most.
    const MOST: usize = 16;

    pub(super) fn new(all: usize) -> Self {
        let chunks = all.div_ceil(Self::MOST).max(1);
        let chunk = all.div_ceil(chunks).max(1);
        Self { all, chunk }
    }

    pub(super) fn chunks(self) -> usize {
        self.all.div_ceil(self.chunk)
    }

    /// The columns of a chunk: unit vectors, and zeros behind the last of them.
    pub(super) fn units<T: Scalar>(self, chunk: usize) -> Vec<T> {
        let mut units = vec![T::of(0.0); self.chunk * self.all];
        for (at, unit) in units.chunks_exact_mut(self.all).enumerate() {
            if let Some(entry) = unit.get_mut(chunk * self.chunk + at) {
                *entry = T::of(1.0);
            }
        }
        units
    }
}

/// The name of an input of programs.
pub(super) const KEYS: &str = "keys";

/// The name of an input of the network in a program, or behind the last of the targets.
fn of_examples(i: usize) -> String {
    format!("examples {i}")
}

impl<T: Scalar> Supervised<T> {
    /// Calls `visit` with what goes through each layer that multiplies with weights. As many examples are visited at a time as
    /// a batch has, or fewer where what is visited would take more than the memory that is set.
    ///
    /// Layers are dense, convolutional and recurrent ones, attention being made of dense ones; of a recurrent layer the products
    /// with its inputs and those with its states are two layers. Weight-normalised layers and convolutions in groups have no
    /// segment that is their matrix of weights, and embeddings and normalisations multiply with none: they are left out.
    ///
    /// # Errors
    /// If the point does not have the length of the parameters, examples depend on each other, or the square-root columns of one
    /// example do not fit in the memory; those of an evaluation and of `visit`.
    pub(super) fn visit_taps(
        &self,
        x: &[T],
        backward: Backward,
        visit: &mut dyn FnMut(Tap<'_, T>) -> Result<()>,
    ) -> Result<()> {
        self.check_point(x)?;
        self.check_separable("what goes through a layer")?;
        let layers = self.layers()?;
        if layers.is_empty() {
            return Ok(());
        }
        let columns = match backward {
            Backward::Gradient(_) => 1,
            Backward::Fisher => self.shared.outputs,
        };
        let visits = Visits {
            problem: self,
            x,
            layers: &layers,
            backward,
            columns: Columns::new(columns),
        };
        self.sweep(visits.examples()?, |start, n, batch| {
            visits.visit(start, n, batch, visit)
        })
    }

    /// The layers that are tapped.
    fn layers(&self) -> Result<Vec<Layer>> {
        let mut layers = Vec::new();
        Program::trace(|t| {
            layers = self.tapped(t).tapped.iter().map(Layer::new).collect();
            Vec::new()
        })?;
        Ok(layers)
    }

    /// The network for one example. Inputs of the trace: the parameters, the buffers, a number that is 0, those of the network,
    /// the targets.
    pub(super) fn tapped<'t>(&self, t: &'t Tracer) -> One<'t> {
        let shared = &*self.shared;
        let parameters = t.input("parameters", [self.dim()]);
        let buffers = t.input("buffers", [shared.network.buffers().len()]);
        let zero = t.input("zero", []);
        let ports = shared.network.inputs().iter().chain([&shared.target]);
        let given: Vec<Tensor<'t>> = ports
            .enumerate()
            .map(|(i, port)| {
                let one = port.of_batch(1);
                match port.kind {
                    Kind::Float => t.input(&of_examples(i), one.shape),
                    Kind::Index => t.index_input(&of_examples(i), one.shape),
                }
            })
            .collect();
        let (&target, inputs) = given.split_last().expect("a target");
        let segments = shared.network.layout().segments().iter();
        let segments = segments.map(|s| parameters.slice(0, s.range()));
        let segments: Vec<Tensor<'t>> = segments.collect();
        let call = Call {
            // The network cuts it again, so that it depends on each segment alone.
            parameters: match segments.split_first() {
                Some((first, others)) => first.concat(others, 0),
                None => parameters,
            },
            buffers,
            inputs,
            mode: shared.mode,
            key: None,
        };
        let (traced, tapped) = shared.network.trace_tapped(call, zero);
        One {
            tapped,
            segments,
            output: traced.outputs[0],
            target,
        }
    }

    /// The derivatives that are wanted, by the products of the layers `(rows, outputs)`. Further inputs of the trace: the keys of
    /// drawn targets; a column.
    fn carried_back<'t>(&self, t: &'t Tracer, one: &One<'t>, wanted: Wanted) -> Vec<Tensor<'t>> {
        let (loss, output, target) = (self.shared.loss, one.output, one.target);
        let probes: Vec<Tensor<'t>> = one.tapped.iter().map(|p| p.probe).collect();
        let gradients = match wanted {
            Wanted::Inputs => Vec::new(),
            Wanted::OfData => {
                let losses = loss.apply(output, target);
                t.grad(losses.values.sum_all(), &probes)
            }
            Wanted::Drawn => {
                let keys = t.index_input(KEYS, [1, 2]);
                let losses = loss.sampled(output, target, keys);
                t.grad(losses.values.sum_all(), &probes)
            }
            Wanted::Columns(_) => {
                let column = t.direction(COLUMN, output.shape());
                let root = loss.root(output, target, column);
                t.vjp(&[output], &probes, &[root])
            }
        };
        gradients.into_iter().map(rows).collect()
    }

    /// A program for some examples.
    pub(super) fn tapped_program(&self, wanted: Wanted, examples: usize) -> Result<Program> {
        let one = Program::trace(|t| {
            let one = self.tapped(t);
            let gradients = self.carried_back(t, &one, wanted);
            let inputs = one.tapped.iter().map(|p| p.inputs);
            match wanted {
                Wanted::Columns(_) => gradients,
                _ => inputs.chain(gradients).collect(),
            }
        })?;
        let many = self.of_many(&one, wanted == Wanted::Drawn, examples)?;
        match wanted {
            Wanted::Columns(columns) => many.batch(&[COLUMN], columns),
            _ => Ok(many),
        }
    }

    /// A program for one [tapped](Self::tapped) example, for some, each with its key if there are keys.
    pub(super) fn of_many(&self, one: &Program, keys: bool, examples: usize) -> Result<Program> {
        let count = self.shared.network.inputs().len();
        let names: Vec<String> = (0..=count).map(of_examples).collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.extend(keys.then_some(KEYS));
        one.batch(&names, examples)
    }
}

impl Layer {
    fn new(tapped: &Tapped<'_>) -> Self {
        let [inputs, outputs] = [tapped.inputs, rows(tapped.probe)].map(Tensor::shape);
        Self {
            weight: tapped.weight,
            transposed: tapped.transposed,
            bias: tapped.bias,
            rows: inputs[0],
            inputs: inputs[1],
            outputs: outputs[1],
        }
    }
}

/// A walk over the examples.
struct Visits<'p, T> {
    problem: &'p Supervised<T>,
    x: &'p [T],
    layers: &'p [Layer],
    backward: Backward,
    columns: Columns,
}

impl<T: Scalar> Visits<'_, T> {
    /// Columns for which there is room: the last chunk may have more than there are.
    fn rooms(&self) -> usize {
        self.columns.chunk * self.columns.chunks()
    }

    /// How many examples are visited at a time.
    fn examples(&self) -> Result<usize> {
        let (shared, columns) = (&*self.problem.shared, self.rooms());
        let entries = |l: &Layer| {
            let of_columns = l.outputs as f64 * columns as f64;
            l.rows as f64 * (l.inputs as f64 + of_columns)
        };
        let bytes = self.layers.iter().map(entries).sum::<f64>() * size_of::<T>() as f64;
        let fit = shared.memory as f64 / bytes.max(1.0);
        if fit < 1.0 && self.backward == Backward::Fisher {
            let (columns, memory) = (self.columns.all, shared.memory);
            let text = format!(
                "{columns} columns of one example take {bytes} bytes at the layers; the memory is set to {memory}"
            );
            let hint = "draw targets instead, or set more memory";
            return Err(Error::new(ErrorKind::Resource, text).with_hint(hint));
        }
        Ok((fit as usize).clamp(1, shared.batch))
    }

    fn visit(
        &self,
        start: usize,
        n: usize,
        batch: &Loaded<T>,
        visit: &mut dyn FnMut(Tap<'_, T>) -> Result<()>,
    ) -> Result<()> {
        let (layers, columns) = (self.layers, self.rooms());
        let room = |len: usize| vec![T::of(0.0); len];
        let block = |l: &Layer| n * l.rows * l.outputs;
        let mut inputs: Vec<Vec<T>> = layers.iter().map(|l| room(n * l.rows * l.inputs)).collect();
        let mut gradients: Vec<Vec<T>> = layers.iter().map(|l| room(columns * block(l))).collect();
        self.run(start, n, batch, &mut inputs, &mut gradients)?;
        for (i, l) in layers.iter().enumerate() {
            let matrix = |data, columns| MatRef::from_row_major_slice(data, n * l.rows, columns);
            let column = |c: usize| matrix(&gradients[i][c * block(l)..][..block(l)], l.outputs);
            let blocks: Vec<MatRef<'_, T>> = (0..self.columns.all).map(column).collect();
            visit(Tap {
                weight: l.weight,
                transposed: l.transposed,
                bias: l.bias,
                shared: l.rows,
                inputs: matrix(&inputs[i], l.inputs),
                gradients: &blocks,
            })?;
        }
        Ok(())
    }

    /// Inputs and derivatives of all layers, for some examples.
    fn run(
        &self,
        start: usize,
        n: usize,
        batch: &Loaded<T>,
        inputs: &mut [Vec<T>],
        gradients: &mut [Vec<T>],
    ) -> Result<()> {
        let problem = self.problem;
        let (wanted, keys) = match self.backward {
            Backward::Fisher => (Wanted::Inputs, Vec::new()),
            Backward::Gradient(Targets::Data) => (Wanted::OfData, Vec::new()),
            Backward::Gradient(Targets::Sampled { draw, seed }) => {
                let keys = problem.drawn(seed, draw..draw + 1, start, n);
                (Wanted::Drawn, keys)
            }
        };
        let keys = [Vec::new(), keys];
        let mut point = problem.shared.point(self.x, batch, &keys);
        let zero = [T::of(0.0)];
        point.insert(2, Data::Float(&zero));
        let mut slots: Vec<&mut [T]> = inputs.iter_mut().map(Vec::as_mut_slice).collect();
        if self.backward != Backward::Fisher {
            slots.extend(gradients.iter_mut().map(Vec::as_mut_slice));
        }
        let job = Job::Layers(wanted);
        let mut executable = problem.take(job, n)?;
        let done = executable.run(&point, &mut slots);
        problem.give_back(job, n, executable);
        done?;
        match self.backward {
            Backward::Fisher => self.run_columns(&point, n, gradients),
            Backward::Gradient(_) => Ok(()),
        }
    }

    fn run_columns(&self, point: &[Data<'_, T>], n: usize, gradients: &mut [Vec<T>]) -> Result<()> {
        let (columns, chunks) = (self.columns, self.columns.chunks());
        let job = Job::Layers(Wanted::Columns(columns.chunk));
        let mut executable = self.problem.take(job, n)?;
        let mut prepared = executable.prepare(point)?;
        for i in 0..chunks {
            let units = columns.units(i);
            let parts = gradients.iter_mut().map(|g| {
                let len = g.len() / chunks;
                &mut g[i * len..][..len]
            });
            let mut parts: Vec<&mut [T]> = parts.collect();
            prepared.apply(&[Data::Float(&units)], &mut parts)?;
        }
        self.problem.give_back(job, n, executable);
        Ok(())
    }
}
