//! What goes through the layers of a network, and what comes back.
//!
//! The network is traced for one example, and the program is then made one for many: so rows belong to examples whatever the
//! network does with its axes.

use super::Supervised;
use super::loaded::Loaded;
use crate::network::{Tapped, rows};
use crate::{Call, Mode};
use faer::MatRef;
use quadric_autodiff::{Data, Executable, Kind, Program, Tensor, Tracer};
use quadric_core::{Backward, Problem, Tap, Targets};
use quadric_linalg::{Error, ErrorKind, Result, Scalar};

/// What a program computes of every layer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Inputs,
    /// Inputs, and then derivatives of the losses with some targets.
    Both(Targets),
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

/// The network with the derivatives that are wanted of some examples.
struct Batch<'t> {
    tapped: Vec<Tapped<'t>>,
    gradients: Vec<Tensor<'t>>,
}

/// Columns that are carried back at a time, at most.
const COLUMNS: usize = 16;

impl<T: Scalar> Supervised<T> {
    /// [`Model::taps`](quadric_core::Model::taps). As many examples are visited at a time as a batch has, or fewer where what is
    /// visited would take more than the [memory](Self::with_memory) that is set.
    ///
    /// Layers are dense, convolutional and recurrent ones, attention being made of dense ones; of a recurrent layer the products
    /// with its inputs and those with its states are two layers. Weight-normalised layers and convolutions in groups have
    /// no matrix of weights that is a segment, and embeddings and normalisations multiply with none: they are left out, as are
    /// in ONNX networks products with what is no parameter, or a part of one.
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
        let chunk = columns.div_ceil(columns.div_ceil(COLUMNS).max(1)).max(1);
        let chunks = columns.div_ceil(chunk);
        let size = self.visited(&layers, chunk * chunks)?;
        let mut walk = Walk {
            problem: self,
            layers: &layers,
            backward,
            columns,
            chunk,
            programs: Vec::new(),
        };
        self.sweep(size, |start, n, batch| {
            walk.visit(x, start, n, batch, visit)
        })
    }

    /// The layers that are tapped.
    fn layers(&self) -> Result<Vec<Layer>> {
        let mut layers = Vec::new();
        Program::trace(|t| {
            let batch = self.tapped(t, Wanted::Inputs);
            layers = batch.tapped.iter().map(Layer::new).collect();
            Vec::new()
        })?;
        Ok(layers)
    }

    /// How many examples are visited at a time.
    fn visited(&self, layers: &[Layer], columns: usize) -> Result<usize> {
        let entries = |l: &Layer| {
            let of_columns = l.outputs as f64 * columns as f64;
            l.rows as f64 * (l.inputs as f64 + of_columns)
        };
        let bytes = layers.iter().map(entries).sum::<f64>() * size_of::<T>() as f64;
        let fit = self.shared.memory as f64 / bytes.max(1.0);
        if fit < 1.0 && columns > 1 {
            let text = format!(
                "{columns} columns for one example take {bytes} bytes at the layers, more than the {} that are set",
                self.shared.memory
            );
            let hint = "draw targets instead, or set more memory";
            return Err(Error::new(ErrorKind::Capability, text).with_hint(hint));
        }
        Ok((fit as usize).clamp(1, self.shared.batch))
    }

    /// The network for one example. Inputs of the trace: the parameters, the buffers, a number that is 0, those of the network,
    /// the targets; the keys of drawn targets; a column.
    fn tapped<'t>(&self, t: &'t Tracer, wanted: Wanted) -> Batch<'t> {
        let parameters = t.input("parameters", [self.dim()]);
        let buffers = t.input("buffers", [self.shared.network.buffers().len()]);
        let zero = t.input("zero", []);
        let ports = self
            .shared
            .network
            .inputs()
            .iter()
            .chain([&self.shared.target]);
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
        let (target, inputs) = given.split_last().expect("a target");
        let call = Call {
            parameters,
            buffers,
            inputs,
            mode: Mode::Evaluate,
            key: None,
        };
        let (traced, tapped) = self.shared.network.trace_tapped(call, zero);
        let probes: Vec<Tensor<'t>> = tapped.iter().map(|p| p.probe).collect();
        let output = traced.outputs[0];
        let gradients = match wanted {
            Wanted::Inputs => Vec::new(),
            Wanted::Both(Targets::Data) => {
                let losses = self.shared.loss.apply(output, *target);
                t.grad(losses.values.sum_all(), &probes)
            }
            Wanted::Both(Targets::Sampled { .. }) => {
                let keys = t.index_input(KEYS, [1, 2]);
                let losses = self.shared.loss.sampled(output, *target, keys);
                t.grad(losses.values.sum_all(), &probes)
            }
            Wanted::Columns(_) => {
                let column = t.direction(COLUMN, output.shape());
                let root = self.shared.loss.root(output, *target, column);
                t.vjp(&[output], &probes, &[root])
            }
        };
        Batch {
            gradients: gradients.into_iter().map(rows).collect(),
            tapped,
        }
    }

    /// A program for some examples.
    fn tap_program(&self, wanted: Wanted, examples: usize) -> Result<Program> {
        let one = Program::trace(|t| {
            let batch = self.tapped(t, wanted);
            let inputs = batch.tapped.iter().map(|p| p.inputs);
            match wanted {
                Wanted::Columns(_) => batch.gradients,
                _ => inputs.chain(batch.gradients).collect(),
            }
        })?;
        let names: Vec<String> = (0..=self.shared.network.inputs().len())
            .map(of_examples)
            .collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        if matches!(wanted, Wanted::Both(Targets::Sampled { .. })) {
            names.push(KEYS);
        }
        let many = one.batch(&names, examples)?;
        match wanted {
            Wanted::Columns(columns) => many.batch(&[COLUMN], columns),
            _ => Ok(many),
        }
    }
}

/// The name of an input of the network in a program, or behind the last of the targets.
fn of_examples(i: usize) -> String {
    format!("examples {i}")
}

const KEYS: &str = "keys";
const COLUMN: &str = "column";

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
struct Walk<'p, T> {
    problem: &'p Supervised<T>,
    layers: &'p [Layer],
    backward: Backward,
    /// Square-root columns, and how many are carried back at a time.
    columns: usize,
    chunk: usize,
    /// What was compiled, for sizes of batches.
    programs: Vec<(Wanted, usize, Executable<T>)>,
}

impl<T: Scalar> Walk<'_, T> {
    fn executable(&mut self, wanted: Wanted, examples: usize) -> Result<&mut Executable<T>> {
        let is = |p: &(Wanted, usize, Executable<T>)| (p.0, p.1) == (wanted, examples);
        let at = match self.programs.iter().position(is) {
            Some(at) => at,
            None => {
                let program = self.problem.tap_program(wanted, examples)?;
                let compiled = Executable::new(&program)?;
                self.programs.push((wanted, examples, compiled));
                self.programs.len() - 1
            }
        };
        Ok(&mut self.programs[at].2)
    }

    fn visit(
        &mut self,
        x: &[T],
        start: usize,
        n: usize,
        batch: &Loaded<T>,
        visit: &mut dyn FnMut(Tap<'_, T>) -> Result<()>,
    ) -> Result<()> {
        let layers = self.layers;
        let room = |len: usize| vec![T::of(0.0); len];
        let mut inputs: Vec<Vec<T>> = layers.iter().map(|l| room(n * l.rows * l.inputs)).collect();
        let padded = self.columns.div_ceil(self.chunk) * self.chunk;
        let block = |l: &Layer| n * l.rows * l.outputs;
        let mut gradients: Vec<Vec<T>> = layers.iter().map(|l| room(padded * block(l))).collect();
        let keys = match self.backward {
            Backward::Gradient(Targets::Sampled { draw, seed }) => {
                self.problem.drawn(seed, draw..draw + 1, start, n)
            }
            _ => Vec::new(),
        };
        let keys = [Vec::new(), keys];
        let mut point = self.problem.shared.point(x, batch, &keys);
        let zero = [T::of(0.0)];
        point.insert(2, Data::Float(&zero));
        self.run(&point, n, &mut inputs, &mut gradients)?;
        for (i, l) in layers.iter().enumerate() {
            let rows = n * l.rows;
            let matrix = |data, columns| MatRef::from_row_major_slice(data, rows, columns);
            let blocks = (0..self.columns).map(|c| &gradients[i][c * block(l)..][..block(l)]);
            let blocks: Vec<MatRef<'_, T>> = blocks.map(|b| matrix(b, l.outputs)).collect();
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

    /// Inputs and derivatives of all layers.
    fn run(
        &mut self,
        point: &[Data<'_, T>],
        n: usize,
        inputs: &mut [Vec<T>],
        gradients: &mut [Vec<T>],
    ) -> Result<()> {
        let mut slots: Vec<&mut [T]> = inputs.iter_mut().map(Vec::as_mut_slice).collect();
        let Backward::Gradient(targets) = self.backward else {
            self.executable(Wanted::Inputs, n)?.run(point, &mut slots)?;
            return self.run_columns(point, n, gradients);
        };
        slots.extend(gradients.iter_mut().map(Vec::as_mut_slice));
        let executable = self.executable(Wanted::Both(targets), n)?;
        executable.run(point, &mut slots)
    }

    fn run_columns(
        &mut self,
        point: &[Data<'_, T>],
        n: usize,
        gradients: &mut [Vec<T>],
    ) -> Result<()> {
        let (columns, chunk) = (self.columns, self.chunk);
        let executable = self.executable(Wanted::Columns(chunk), n)?;
        let mut prepared = executable.prepare(point)?;
        for first in (0..columns).step_by(chunk) {
            let mut units = vec![T::of(0.0); chunk * columns];
            for (i, unit) in units.chunks_exact_mut(columns).enumerate() {
                if let Some(entry) = unit.get_mut(first + i) {
                    *entry = T::of(1.0);
                }
            }
            let slots = gradients.iter_mut().map(|g| {
                let len = g.len() / columns.div_ceil(chunk);
                &mut g[first / chunk * len..][..len]
            });
            let mut slots: Vec<&mut [T]> = slots.collect();
            prepared.apply(&[Data::Float(&units)], &mut slots)?;
        }
        Ok(())
    }
}
