//! The mean loss of a network over examples: a problem like any other.

mod curvature;
mod taps;

use crate::run::part;
use crate::{Call, Loss, Losses, Mode, Network, Port};
pub use curvature::Matrix;
use quadric_autodiff::{Array, Data, Executable, Program, Tensor, Tracer};
use quadric_core::{BoxOp, Objective, Problem, Smooth, TwiceSmooth, capabilities};
use quadric_linalg::{Error, ErrorKind, Result, Scalar};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Examples: an array for each input of a network, and the targets. Examples lie along the first axis.
#[derive(Clone, Debug)]
pub struct Examples<T> {
    /// How many there are.
    pub count: usize,
    /// What the network gets.
    pub inputs: Vec<Array<T>>,
    /// What it should give.
    pub targets: Array<T>,
}

/// What is computed for a batch.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Job {
    Weight,
    Value,
    Gradient,
    /// Products with a matrix, for so many vectors.
    Product(Matrix, usize),
}

/// `F(θ) = Σ w_n ℓ_n(θ) / Σ w_n` for the losses ℓ of the examples of a data set, and their weights w (1, or the number of labels
/// that count).
///
/// A batch of examples is in memory at a time; sums over batches are in double precision. The network is
/// [evaluated](Mode::Evaluate), so the loss of an example does not depend on others.
///
/// ```
/// use quadric_autodiff::Array;
/// use quadric_core::{Smooth, TwiceSmooth};
/// use quadric_nn::layers::{Dense, dense};
/// use quadric_nn::{Examples, Loss, Network, Port, Supervised};
///
/// let network = Network::new([Port::floats("x", [2])], |scope, x| {
///     vec![dense(scope, "fc", x[0], 3, &Dense::default())]
/// })?;
/// let examples = Examples {
///     count: 2,
///     inputs: vec![Array::Float(vec![1.0, 0.0, 0.5, -1.0])],
///     targets: Array::Index(vec![0, 2]),
/// };
/// let x: Vec<f64> = network.initial(0);
/// let problem = Supervised::new(network, Loss::CROSS_ENTROPY, examples)?;
/// let mut gradient = vec![0.0; x.len()];
/// let value = problem.value_grad(&x, &mut gradient)?;
/// assert!(value > 0.0);
/// assert_eq!(problem.hessian(&x)?.shape(), (9, 9));
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
pub struct Supervised<T> {
    network: Network,
    loss: Loss,
    target: Port,
    buffers: Vec<T>,
    examples: Examples<T>,
    batch: usize,
    memory: usize,
    weight: OnceLock<f64>,
    /// Compiled programs that nobody runs at the moment, for jobs and sizes of batches.
    idle: Mutex<Idle<T>>,
}

type Idle<T> = HashMap<(Job, usize), Vec<Executable<T>>>;

/// Examples of a batch, unless it is set.
const BATCH: usize = 512;
/// Bytes that the prepared programs of an operator may take, unless it is set.
const MEMORY: usize = 1 << 30;

impl<T: Scalar> Supervised<T> {
    /// The loss of a network over examples, with the buffers that it starts from.
    ///
    /// # Errors
    /// If arrays and targets do not have the kinds and sizes that the network and the loss ask for, or targets mean nothing.
    pub fn new(network: Network, loss: Loss, examples: Examples<T>) -> Result<Self> {
        network.check_inputs(&examples.inputs, examples.count)?;
        let program = network.program(1, Mode::Evaluate)?;
        let output = program.output_type(0).shape.clone();
        let target = loss.target(&output[1..])?;
        target.check(&examples.targets, examples.count)?;
        loss.check(examples.targets.data(), output[output.len() - 1])?;
        Ok(Self {
            buffers: network.initial_buffers(),
            batch: BATCH.min(examples.count),
            memory: MEMORY,
            weight: OnceLock::new(),
            idle: Mutex::default(),
            network,
            loss,
            target,
            examples,
        })
    }

    /// Sets the number of examples that are in memory at a time, at least 1.
    #[must_use]
    pub fn with_batch(mut self, examples: usize) -> Self {
        self.batch = examples.clamp(1, self.examples.count);
        self
    }

    /// Sets the bytes that an operator may keep of its point for further products; what does not fit is computed again.
    #[must_use]
    pub fn with_memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Sets the buffers of the network, such as running statistics.
    ///
    /// # Errors
    /// If there are not as many as the network has.
    pub fn with_buffers(mut self, buffers: Vec<T>) -> Result<Self> {
        if buffers.len() != self.buffers.len() {
            return Err(Error::shape(
                "the buffers",
                buffers.len(),
                self.buffers.len(),
            ));
        }
        self.buffers = buffers;
        Ok(self)
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// A curvature matrix at a point.
    ///
    /// # Errors
    /// If the point does not have the length of the parameters.
    pub fn curvature(&self, x: &[T], matrix: Matrix) -> Result<BoxOp<'_, T>> {
        self.check_point(x)?;
        Ok(Box::new(curvature::Curvature::new(self, x, matrix)?))
    }

    fn check_point(&self, x: &[T]) -> Result<()> {
        if x.len() != self.dim() {
            return Err(Error::shape("the point", x.len(), self.dim()));
        }
        Ok(())
    }

    fn batches(&self) -> impl Iterator<Item = Range<usize>> + use<'_, T> {
        let starts = (0..self.examples.count).step_by(self.batch);
        starts.map(|start| start..(start + self.batch).min(self.examples.count))
    }

    /// The sum of the losses of a batch, and that of their weights. The program's inputs are the parameters and what
    /// [`point`](Self::point) gives.
    fn sums<'t>(&self, t: &'t Tracer, examples: usize) -> Sums<'t> {
        let parameters = t.input("parameters", [self.network.layout().len()]);
        let buffers = t.input("buffers", [self.network.buffers().len()]);
        let ports = self.network.inputs().iter();
        let inputs: Vec<Tensor<'_>> = ports.map(|p| p.input(t, examples)).collect();
        let target = self.target.input(t, examples);
        let call = Call {
            parameters,
            buffers,
            inputs: &inputs,
            mode: Mode::Evaluate,
            key: None,
        };
        let output = self.network.trace(t, call).outputs[0];
        let Losses { values, weights } = self.loss.apply(output, target);
        Sums {
            parameters,
            output,
            value: values.sum_all(),
            weight: weights.sum_all(),
        }
    }

    fn program(&self, job: Job, examples: usize) -> Result<Program> {
        if let Job::Product(matrix, vectors) = job {
            return matrix.program(self, examples, vectors);
        }
        Program::trace(|t| {
            let s = self.sums(t, examples);
            match job {
                Job::Weight => vec![s.weight],
                Job::Value => vec![s.value],
                _ => vec![s.value, t.grad(s.value, &[s.parameters])[0]],
            }
        })
    }

    /// A compiled program, to be given back.
    fn take(&self, job: Job, examples: usize) -> Result<Executable<T>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let found = idle.get_mut(&(job, examples)).and_then(Vec::pop);
        drop(idle);
        match found {
            Some(executable) => Ok(executable),
            None => Executable::new(&self.program(job, examples)?),
        }
    }

    fn give_back(&self, job: Job, examples: usize, executable: Executable<T>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.entry((job, examples)).or_default().push(executable);
    }

    /// What a program for some examples gets at a point.
    fn point<'a>(&'a self, x: &'a [T], batch: Range<usize>) -> Vec<Data<'a, T>> {
        let targets = [&self.examples.targets];
        let arrays = self.examples.inputs.iter().chain(targets);
        let (count, n) = (self.examples.count, batch.len());
        let of_batch = |array: &'a Array<T>| part(array, count, batch.start, n);
        let own = [Data::Float(x), Data::Float(&self.buffers)];
        own.into_iter().chain(arrays.map(of_batch)).collect()
    }

    /// Calls `add` with the outputs of a job for every batch.
    fn run(
        &self,
        job: Job,
        x: &[T],
        outputs: &mut [&mut [T]],
        mut add: impl FnMut(&[&mut [T]]),
    ) -> Result<()> {
        for batch in self.batches() {
            let n = batch.len();
            let mut executable = self.take(job, n)?;
            let done = executable.run(&self.point(x, batch), outputs);
            self.give_back(job, n, executable);
            done?;
            add(outputs);
        }
        Ok(())
    }

    /// The sum of all weights.
    fn weight(&self) -> Result<f64> {
        if let Some(&weight) = self.weight.get() {
            return Ok(weight);
        }
        let (x, mut sum, mut out) = (vec![T::of(0.0); self.dim()], 0.0, [T::of(0.0)]);
        self.run(Job::Weight, &x, &mut [&mut out], |o| {
            sum += o[0][0].to_f64();
        })?;
        if sum == 0.0 {
            return Err(Error::new(ErrorKind::Data, "no label counts"));
        }
        Ok(*self.weight.get_or_init(|| sum))
    }
}

/// What the programs of a batch start from.
struct Sums<'t> {
    parameters: Tensor<'t>,
    output: Tensor<'t>,
    value: Tensor<'t>,
    weight: Tensor<'t>,
}

impl<T: Scalar> Problem<T> for Supervised<T> {
    fn dim(&self) -> usize {
        self.network.layout().len()
    }

    fn name(&self) -> &str {
        "network"
    }

    capabilities!(T: TwiceSmooth);
}

impl<T: Scalar> Objective<T> for Supervised<T> {
    fn value(&self, x: &[T]) -> Result<f64> {
        self.check_point(x)?;
        let (mut sum, mut out) = (0.0, [T::of(0.0)]);
        self.run(Job::Value, x, &mut [&mut out], |o| sum += o[0][0].to_f64())?;
        Ok(sum / self.weight()?)
    }
}

impl<T: Scalar> Smooth<T> for Supervised<T> {
    fn value_grad(&self, x: &[T], g: &mut [T]) -> Result<f64> {
        self.check_point(x)?;
        if g.len() != x.len() {
            return Err(Error::shape("the gradient", g.len(), x.len()));
        }
        let (mut value, mut sums) = (0.0, vec![0.0; x.len()]);
        let mut out = [T::of(0.0)];
        self.run(Job::Gradient, x, &mut [&mut out, g], |o| {
            value += o[0][0].to_f64();
            sums.iter_mut()
                .zip(&*o[1])
                .for_each(|(s, v)| *s += v.to_f64());
        })?;
        let weight = self.weight()?;
        g.iter_mut()
            .zip(&sums)
            .for_each(|(g, s)| *g = T::of(s / weight));
        Ok(value / weight)
    }
}

impl<T: Scalar> TwiceSmooth<T> for Supervised<T> {
    fn hessian(&self, x: &[T]) -> Result<BoxOp<'_, T>> {
        self.curvature(x, Matrix::Hessian)
    }
}
