//! Training by stochastic gradients with momentum.

use crate::run::clear;
use crate::supervised::Outputs;
use crate::{Call, Loss, Mode, Network, Port, Rows, Source};
use quadric_autodiff::{Array, Data, Executable, Program, Tensor};
use quadric_linalg::random::SeedTree;
use quadric_linalg::{Error, ErrorKind, Result, Scalar};
use std::ops::ControlFlow;

/// Options of [`Training`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SgdOptions {
    /// Examples of a step; all of them, if there are fewer.
    pub batch: usize,
    /// The share of a velocity that is kept for the next step, at least 0, less than 1.
    pub momentum: f64,
    /// Times each parameter, this is added to its gradient.
    pub weight_decay: f64,
    /// What initial values, the order of the examples and random layers depend on.
    pub seed: u64,
}

impl Default for SgdOptions {
    /// Those of residual networks (He et al., arXiv 1512.03385): 128 examples, momentum 0.9; weight decay 5e-4, seed 0.
    fn default() -> Self {
        Self {
            batch: 128,
            momentum: 0.9,
            weight_decay: 5e-4,
            seed: 0,
        }
    }
}

/// A network in [`Mode::Train`], and where its training is: steps `v ← m v + g + d θ`, `θ ← θ - r v` with the gradients g of the
/// mean losses of batches, the momentum m, the weight decay d and the rate r.
///
/// The same seed gives the same bits for any number of threads.
///
/// ```
/// use quadric_autodiff::Array;
/// use quadric_nn::layers::Activation;
/// use quadric_nn::{Examples, Loss, SgdOptions, Training, models};
/// use std::ops::ControlFlow;
///
/// let examples = Examples::<f32> {
///     count: 4,
///     inputs: vec![Array::Float(vec![0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])],
///     targets: Array::Index(vec![0, 0, 0, 1]),
/// };
/// let network = models::mlp(&[2, 4, 2], Activation::Tanh)?;
/// let mut training = Training::new(network, Loss::CROSS_ENTROPY, examples, SgdOptions::default())?;
/// let mut loss = f64::INFINITY;
/// for _ in 0..200 {
///     loss = training.epoch(0.2, &mut |_, _| ControlFlow::Continue(()))?;
/// }
/// assert!(loss < 0.1);
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
pub struct Training<T> {
    network: Network,
    loss: Loss,
    source: Box<dyn Source<T>>,
    target: Port,
    classes: usize,
    options: SgdOptions,
    /// The mean loss of a batch, its gradient, the buffers afterwards.
    program: Executable<T>,
    parameters: Vec<T>,
    buffers: Vec<T>,
    velocity: Vec<T>,
    epochs: u64,
    /// Room for what a step reads and finds.
    arrays: Vec<Array<T>>,
    gradient: Vec<T>,
    next_buffers: Vec<T>,
}

impl<T: Scalar> Training<T> {
    /// A network at its initial parameters and buffers, and the program of a step, which is compiled here.
    ///
    /// # Errors
    /// If there are no examples, the loss does not fit the network, options are out of range, or the network cannot be compiled
    /// for a batch.
    pub fn new(
        network: Network,
        loss: Loss,
        source: impl Source<T> + 'static,
        options: SgdOptions,
    ) -> Result<Self> {
        network.check_ports()?;
        let count = source.count();
        if count == 0 {
            return Err(Error::new(ErrorKind::Data, "there are no examples"));
        }
        let options = options.validated(count)?;
        let Outputs {
            target, classes, ..
        } = Outputs::of(&network, loss)?;
        let program = step(&network, loss, &target, options.batch)?;
        let parameters: Vec<T> = network.initial(options.seed);
        let buffers: Vec<T> = network.initial_buffers();
        let ports = network.inputs().iter().chain([&target]);
        Ok(Self {
            arrays: ports.map(Port::room).collect(),
            program: Executable::new(&program)?,
            velocity: vec![T::of(0.0); parameters.len()],
            gradient: vec![T::of(0.0); parameters.len()],
            next_buffers: buffers.clone(),
            source: Box::new(source),
            epochs: 0,
            parameters,
            buffers,
            network,
            loss,
            target,
            classes,
            options,
        })
    }

    /// Begins at these parameters in place of the initial ones of the network.
    ///
    /// # Errors
    /// Another number of parameters, or some that are not finite.
    pub fn with_parameters(mut self, parameters: Vec<T>) -> Result<Self> {
        let (found, expected) = (parameters.len(), self.parameters.len());
        if found != expected {
            return Err(Error::shape("parameters", found, expected));
        }
        if let Some(at) = parameters.iter().position(|v| !v.to_f64().is_finite()) {
            let text = format!("parameter {at} is {}", parameters[at].to_f64());
            return Err(Error::new(ErrorKind::NonFinite, text));
        }
        self.parameters = parameters;
        Ok(self)
    }

    /// The parameters as they are now.
    pub fn parameters(&self) -> &[T] {
        &self.parameters
    }

    /// The buffers as they are now, such as running statistics.
    pub fn buffers(&self) -> &[T] {
        &self.buffers
    }

    /// Steps of an epoch.
    pub fn steps(&self) -> usize {
        self.source.count() / self.options.batch
    }

    /// Goes once through the examples in a new order, at one rate, and returns the mean of the losses of the batches, each before
    /// its step. Examples that do not fill a batch are left out, others in each epoch. After every step, `watch` gets how many are
    /// done, and of how many; a break ends the training with an error.
    ///
    /// # Errors
    /// A rate that is not positive, examples that cannot be read or are not what the network takes, losses and parameters that are
    /// not finite, and [`Stopped`](ErrorKind::Stopped) where the watch breaks off. What is done by then stays.
    pub fn epoch(
        &mut self,
        rate: f64,
        watch: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<f64> {
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(Error::argument("rate", rate, "a positive number"));
        }
        let seeds = SeedTree::new(self.options.seed).child("order of examples");
        let order = seeds.stream(self.epochs).permutation(self.source.count());
        let (steps, mut sum) = (self.steps(), 0.0);
        for (i, rows) in order.chunks_exact(self.options.batch).enumerate() {
            let loss = self.step(rows, self.epochs * steps as u64 + i as u64)?;
            self.move_along(rate);
            let finite = self.parameters.iter().chain(&self.buffers);
            if !(loss.is_finite() && finite.fold(0.0, |s, v| s + v.to_f64().abs()).is_finite()) {
                let (epoch, step) = (self.epochs + 1, i + 1);
                let text = format!("step {step} of epoch {epoch} from a loss of {loss} diverges");
                return Err(Error::new(ErrorKind::NonFinite, text));
            }
            sum += loss;
            if watch(i + 1, steps).is_break() {
                return Err(Error::new(ErrorKind::Stopped, "the training was stopped"));
            }
        }
        self.epochs += 1;
        Ok(sum / steps as f64)
    }

    /// The loss of a batch and its gradient; the buffers become those after it.
    fn step(&mut self, rows: &[usize], number: u64) -> Result<f64> {
        let rows = Rows::List(rows);
        self.arrays.iter_mut().for_each(clear);
        self.source.read(rows, &mut self.arrays)?;
        let ports = self.network.inputs().iter().chain([&self.target]);
        let mut pairs = ports.zip(&self.arrays);
        pairs.try_for_each(|(port, array)| port.check_rows(array, rows))?;
        let targets = self.arrays.last().expect("targets are the last").data();
        self.loss.check(targets, self.classes)?;
        let key = match self.network.is_random() {
            true => {
                let seeds = SeedTree::new(self.options.seed).child("random layers");
                let bits = seeds.stream(number).bits();
                vec![bits as i32, (bits >> 32) as i32]
            }
            false => Vec::new(),
        };
        let own = [
            Data::Float(&self.parameters[..]),
            Data::Float(&self.buffers),
        ];
        let batch = self.arrays.iter().map(Array::data);
        let key = Some(Data::Index(&key[..])).filter(|key| !key.is_empty());
        let point: Vec<Data<'_, T>> = own.into_iter().chain(batch).chain(key).collect();
        let mut loss = [T::of(0.0)];
        let outputs = &mut [&mut loss[..], &mut self.gradient, &mut self.next_buffers];
        self.program.run(&point, outputs)?;
        std::mem::swap(&mut self.buffers, &mut self.next_buffers);
        Ok(loss[0].to_f64())
    }

    fn move_along(&mut self, rate: f64) {
        let SgdOptions {
            momentum,
            weight_decay,
            ..
        } = self.options;
        let moving = self.parameters.iter_mut().zip(&mut self.velocity);
        for ((x, v), g) in moving.zip(&self.gradient) {
            let pull = weight_decay.mul_add(x.to_f64(), g.to_f64());
            let velocity = momentum.mul_add(v.to_f64(), pull);
            *v = T::of(velocity);
            *x = T::of((-rate).mul_add(velocity, x.to_f64()));
        }
    }
}

impl SgdOptions {
    /// These options for so many examples.
    fn validated(self, count: usize) -> Result<Self> {
        if self.batch == 0 {
            return Err(Error::argument("batch", 0, "at least 1"));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            let expected = "at least 0 and less than 1";
            return Err(Error::argument("momentum", self.momentum, expected));
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            let expected = "a number that is not negative";
            return Err(Error::argument("weight_decay", self.weight_decay, expected));
        }
        Ok(Self {
            batch: self.batch.min(count),
            ..self
        })
    }
}

/// The mean loss of a batch, its gradient, and the buffers afterwards, from parameters, buffers, inputs, targets, and the key of a
/// random network.
fn step(network: &Network, loss: Loss, target: &Port, examples: usize) -> Result<Program> {
    Program::trace(|t| {
        let parameters = t.input("parameters", [network.layout().len()]);
        let buffers = t.input("buffers", [network.buffers().len()]);
        let ports = network.inputs().iter();
        let inputs: Vec<Tensor<'_>> = ports.map(|p| p.input(t, examples)).collect();
        let target = target.input(t, examples);
        let call = Call {
            parameters,
            buffers,
            inputs: &inputs,
            mode: Mode::Train,
            key: network.is_random().then(|| t.index_input("key", [2])),
        };
        let traced = network.trace(t, call);
        let mean = loss.apply(traced.outputs[0], target).mean();
        vec![mean, t.grad(mean, &[parameters])[0], traced.buffers]
    })
}
