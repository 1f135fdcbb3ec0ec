//! The mean loss of a network over examples: a problem like any other.

mod forms;
mod loaded;
mod operator;
mod source;
mod squares;
mod taps;
mod traced;

use crate::{Loss, Mode, Network, Port};
use loaded::Loaded;
use operator::{Centred, Mapped};
use quadric_autodiff::{Data, Executable};
use quadric_core::{
    Backward, Batch, BoxOp, FiniteSum, Layout, Matrix, Model, Objective, Problem, Smooth, Tap,
    Targets, TwiceSmooth, capabilities,
};
use quadric_linalg::{Error, ErrorKind, Result, Scalar};
pub(crate) use source::copy;
pub use source::{Examples, Rows, Selected, Source};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
pub(crate) use traced::Outputs;
use traced::{Job, Map};

/// `F(θ) = Σ w_n ℓ_n(θ) / Σ w_n` for the losses ℓ of the examples of a data set, and their weights w (1, or the number of labels
/// that count).
///
/// A batch of examples is in memory at a time; sums over batches are in double precision. The network is
/// [evaluated](Mode::Evaluate) unless [`with_mode`](Self::with_mode) says otherwise.
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
    shared: Arc<Shared<T>>,
    /// Which of the examples; all of them without.
    rows: Option<Arc<[usize]>>,
}

/// What a problem and the problems over some of its examples have in common.
struct Shared<T> {
    network: Network,
    loss: Loss,
    target: Port,
    /// Length of the last axis of the outputs.
    classes: usize,
    /// Outputs of each example.
    outputs: usize,
    mode: Mode,
    /// What random layers depend on.
    seed: u64,
    buffers: Vec<T>,
    source: Box<dyn Source<T>>,
    /// Whether all examples have been checked and cannot change.
    checked: bool,
    batch: usize,
    memory: usize,
    totals: OnceLock<Totals>,
    /// Compiled programs that nobody runs at the moment, for jobs and sizes of batches.
    idle: Mutex<Idle<T>>,
    /// Examples at a time whose programs fit in the memory.
    sizes: Mutex<HashMap<Job, usize>>,
    /// Rooms for batches.
    rooms: Mutex<Vec<Loaded<T>>>,
    /// What batches were when they were read first.
    seen: Mutex<HashMap<(usize, usize), u64>>,
}

type Idle<T> = HashMap<(Job, usize), Vec<Executable<T>>>;

/// Sums over all examples.
#[derive(Clone, Copy)]
struct Totals {
    weight: f64,
    /// Examples that count.
    counting: f64,
}

/// Examples of a batch, unless it is set.
const BATCH: usize = 512;
/// Bytes that programs may take, unless it is set.
const MEMORY: usize = 1 << 30;

impl<T: Scalar> Supervised<T> {
    /// The loss of a network over examples in memory, with the buffers that the network starts from.
    ///
    /// # Errors
    /// If arrays and targets do not have the kinds and sizes that the network and the loss ask for, or targets mean nothing.
    pub fn new(network: Network, loss: Loss, examples: Examples<T>) -> Result<Self>
    where
        T: 'static,
    {
        network.check_inputs(&examples.inputs, examples.count)?;
        let outputs = Outputs::of(&network, loss)?;
        let (targets, count) = (&examples.targets, examples.count);
        outputs.target.check(targets, count)?;
        loss.check(targets.data(), outputs.classes)?;
        Ok(Self::from_source(
            network,
            loss,
            outputs,
            Box::new(examples),
            true,
        ))
    }

    /// The loss of a network over examples that are read batch by batch, and checked whenever they are read.
    ///
    /// # Errors
    /// If there are no examples, or the first does not have the kinds and sizes that the network and the loss ask for.
    pub fn streaming(
        network: Network,
        loss: Loss,
        source: impl Source<T> + 'static,
    ) -> Result<Self> {
        network.check_ports()?;
        if source.count() == 0 {
            return Err(Error::new(ErrorKind::Data, "there are no examples"));
        }
        let outputs = Outputs::of(&network, loss)?;
        let problem = Self::from_source(network, loss, outputs, Box::new(source), false);
        let first = problem.shared.load(Rows::List(&[0]))?;
        problem.shared.unload(first);
        Ok(problem)
    }

    fn from_source(
        network: Network,
        loss: Loss,
        outputs: Outputs,
        source: Box<dyn Source<T>>,
        checked: bool,
    ) -> Self {
        let shared = Shared {
            buffers: network.initial_buffers(),
            batch: BATCH.min(source.count()),
            outputs: outputs.each,
            mode: Mode::Evaluate,
            seed: 0,
            memory: MEMORY,
            totals: OnceLock::new(),
            idle: Mutex::default(),
            sizes: Mutex::default(),
            rooms: Mutex::default(),
            seen: Mutex::default(),
            network,
            loss,
            target: outputs.target,
            classes: outputs.classes,
            source,
            checked,
        };
        let (shared, rows) = (Arc::new(shared), None);
        Self { shared, rows }
    }

    fn change(&mut self) -> &mut Shared<T> {
        Arc::get_mut(&mut self.shared).expect("batches borrow the problem, so there are none")
    }

    /// Sets the number of examples that are in memory at a time, at least 1.
    #[must_use]
    pub fn with_batch(mut self, examples: usize) -> Self {
        let count = self.count();
        self.change().batch = examples.clamp(1, count);
        self
    }

    /// Sets the bytes that programs may take. Batches are halved until the program that goes over them fits; an operator may keep
    /// as much again of its point for further products, and what does not fit is computed again.
    #[must_use]
    pub fn with_memory(mut self, bytes: usize) -> Self {
        self.change().memory = bytes;
        self
    }

    /// Sets how layers behave. In [`Mode::Train`], batch normalisation has the statistics of the batch, through which derivatives
    /// go, and dropout a mask for each batch that depends on the seed only. For networks with such layers, batches are then as
    /// large as [`with_batch`](Self::with_batch) says whatever the memory, and what is defined example by example is refused.
    #[must_use]
    pub fn with_mode(mut self, mode: Mode, seed: u64) -> Self {
        let shared = self.change();
        (shared.mode, shared.seed) = (mode, seed);
        self
    }

    /// Sets the buffers of the network, such as running statistics.
    ///
    /// # Errors
    /// If there are not as many as the network has.
    pub fn with_buffers(mut self, buffers: Vec<T>) -> Result<Self> {
        let shared = self.change();
        if buffers.len() != shared.buffers.len() {
            let (found, expected) = (buffers.len(), shared.buffers.len());
            return Err(Error::shape("the buffers", found, expected));
        }
        shared.buffers = buffers;
        Ok(self)
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.shared.network
    }

    fn count(&self) -> usize {
        let all = self.shared.source.count();
        self.rows.as_ref().map_or(all, |rows| rows.len())
    }

    fn check_point(&self, x: &[T]) -> Result<()> {
        if x.len() != self.dim() {
            return Err(Error::shape("the point", x.len(), self.dim()));
        }
        Ok(())
    }

    /// A compiled program, to be given back.
    fn take(&self, job: Job, examples: usize) -> Result<Executable<T>> {
        let mut idle = self.shared.idle();
        let found = idle.get_mut(&(job, examples)).and_then(Vec::pop);
        drop(idle);
        match found {
            Some(executable) => Ok(executable),
            None => Executable::new(&self.program(job, examples)?),
        }
    }

    /// Keeps a program for later, as far as the memory allows.
    fn give_back(&self, job: Job, examples: usize, executable: Executable<T>) {
        let mut idle = self.shared.idle();
        let all = idle.values().flatten().map(Executable::memory);
        if all.sum::<usize>() + executable.memory() > self.shared.memory {
            idle.clear();
        }
        idle.entry((job, examples)).or_default().push(executable);
    }

    /// Examples at a time for a job, so that its program fits in the memory where examples do not depend on each other.
    fn examples_at_a_time(&self, job: Job) -> Result<usize> {
        let shared = &*self.shared;
        let sizes = || shared.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sizes().get(&job).copied();
        let mut size = known.unwrap_or(shared.batch).min(self.count());
        if known.is_some() || !shared.is_separable() {
            return Ok(size);
        }
        loop {
            let executable = self.take(job, size)?;
            let bytes = executable.memory();
            if bytes <= shared.memory || size == 1 {
                self.give_back(job, size, executable);
                sizes().insert(job, size);
                return Ok(size);
            }
            let fitting = (size as f64 * shared.memory as f64 / bytes as f64) as usize;
            // Multiples of 8 can be cut in parts that stay in the cache.
            let fitting = if fitting > 8 {
                fitting / 8 * 8
            } else {
                fitting
            };
            size = fitting.clamp(1, size.div_ceil(2));
        }
    }

    /// The number of an example in the whole data set.
    fn row(&self, i: usize) -> usize {
        self.rows.as_ref().map_or(i, |rows| rows[i])
    }

    /// What the random numbers of a batch depend on: `[2]` for layers, and `(draws, n, 2)` for targets, where a job has any.
    fn keys(&self, job: Job, start: usize, n: usize) -> [Vec<i32>; 2] {
        let first = self.row(start);
        let layers = match self.shared.needs_key() {
            true => Loss::keys(self.shared.seed, 0, first..first + 1),
            false => Vec::new(),
        };
        let targets = job
            .draws()
            .map(|(seed, draws)| self.drawn(seed, draws, start, n));
        [layers, targets.unwrap_or_default()]
    }

    /// What drawn targets of a batch depend on, `(draws, n, 2)`.
    fn drawn(&self, seed: u64, draws: Range<usize>, start: usize, n: usize) -> Vec<i32> {
        let pairs = draws.flat_map(|draw| (start..start + n).map(move |i| (draw, self.row(i))));
        pairs
            .flat_map(|(draw, row)| Loss::keys(seed, draw, row..row + 1))
            .collect()
    }

    /// Sums of a job over all batches: of the first output, and entry by entry of the second.
    fn sums(&self, job: Job, x: &[T], mut gradient: Option<&mut [f64]>) -> Result<f64> {
        self.check_point(x)?;
        let size = self.examples_at_a_time(job)?;
        let (mut value, mut sum) = (0.0, [T::of(0.0)]);
        let mut part = gradient.as_ref().map(|g| vec![T::of(0.0); g.len()]);
        self.sweep(size, |start, n, batch| {
            let keys = self.keys(job, start, n);
            let point = self.shared.point(x, batch, &keys);
            let mut executable = self.take(job, n)?;
            let outputs = [Some(&mut sum[..]), part.as_deref_mut()];
            let mut outputs: Vec<&mut [T]> = outputs.into_iter().flatten().collect();
            let done = executable.run(&point, &mut outputs);
            self.give_back(job, n, executable);
            done?;
            value += sum[0].to_f64();
            if let (Some(g), Some(part)) = (&mut gradient, &part) {
                g.iter_mut().zip(part).for_each(|(g, p)| *g += p.to_f64());
            }
            Ok(())
        })?;
        Ok(value)
    }

    /// Sums of the weights, of this problem.
    fn totals(&self) -> Result<Totals> {
        let shared = &*self.shared;
        let all = match shared.totals.get() {
            Some(&totals) => totals,
            None => {
                let counted = shared.count_weights()?;
                *shared.totals.get_or_init(|| counted)
            }
        };
        // A batch has its share, so that means over batches are those over all examples.
        let share = self.count() as f64 / shared.source.count() as f64;
        Ok(Totals {
            weight: all.weight * share,
            counting: all.counting * share,
        })
    }

    /// Refuses a matrix that is defined example by example where examples depend on each other.
    fn check_separable(&self, what: &str) -> Result<()> {
        if self.shared.is_separable() {
            return Ok(());
        }
        let text = format!(
            "{what} is defined example by example, but in training mode the losses of a batch depend on each other"
        );
        Err(Error::new(ErrorKind::Capability, text))
    }
}

impl<T: Scalar> Shared<T> {
    fn idle(&self) -> std::sync::MutexGuard<'_, Idle<T>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether calls of the network need a key.
    fn needs_key(&self) -> bool {
        self.mode == Mode::Train && self.network.is_random()
    }

    /// Whether the loss of an example does not depend on its batch.
    fn is_separable(&self) -> bool {
        self.mode == Mode::Evaluate || self.buffers.is_empty() && !self.network.is_random()
    }

    /// What a program gets at a point.
    fn point<'a>(
        &'a self,
        x: &'a [T],
        batch: &'a Loaded<T>,
        keys: &'a [Vec<i32>; 2],
    ) -> Vec<Data<'a, T>> {
        let own = [Data::Float(x), Data::Float(&self.buffers)];
        let keys = keys.iter().filter(|k| !k.is_empty());
        own.into_iter()
            .chain(batch.data())
            .chain(keys.map(|k| Data::Index(k)))
            .collect()
    }

    /// Sums over all examples, which are read only if some labels may not count.
    fn count_weights(&self) -> Result<Totals> {
        let count = self.source.count();
        if let Some(each) = self.loss.weight(&self.target).filter(|w| *w > 0.0) {
            return Ok(Totals {
                weight: each * count as f64,
                counting: count as f64,
            });
        }
        let mut totals = Totals {
            weight: 0.0,
            counting: 0.0,
        };
        for start in (0..count).step_by(self.batch) {
            let end = (start + self.batch).min(count);
            let loaded = self.load(Rows::Range(start, end))?;
            for weight in self.loss.weights(loaded.targets(), end - start) {
                totals.weight += weight;
                totals.counting += f64::from(u8::from(weight > 0.0));
            }
            self.unload(loaded);
        }
        if totals.weight == 0.0 {
            return Err(Error::new(ErrorKind::Data, "no label counts"));
        }
        Ok(totals)
    }
}

impl<T: Scalar> Problem<T> for Supervised<T> {
    fn dim(&self) -> usize {
        self.shared.network.layout().len()
    }

    fn name(&self) -> &str {
        "network"
    }

    capabilities!(T: TwiceSmooth);

    fn as_finite_sum(&self) -> Option<&dyn FiniteSum<T>> {
        self.shared.is_separable().then_some(self as _)
    }
}

impl<T: Scalar> Objective<T> for Supervised<T> {
    fn value(&self, x: &[T]) -> Result<f64> {
        Ok(self.sums(Job::Value, x, None)? / self.totals()?.weight)
    }
}

impl<T: Scalar> Smooth<T> for Supervised<T> {
    fn value_grad(&self, x: &[T], g: &mut [T]) -> Result<f64> {
        if g.len() != x.len() {
            return Err(Error::shape("the gradient", g.len(), x.len()));
        }
        let mut sums = vec![0.0; x.len()];
        let value = self.sums(Job::Gradient, x, Some(&mut sums))?;
        let weight = self.totals()?.weight;
        let pairs = g.iter_mut().zip(&sums);
        pairs.for_each(|(g, s)| *g = T::of(s / weight));
        Ok(value / weight)
    }
}

impl<T: Scalar> TwiceSmooth<T> for Supervised<T> {
    fn hessian(&self, x: &[T]) -> Result<BoxOp<'_, T>> {
        self.matrix(x, Matrix::Hessian)
    }
}

impl<T: Scalar> FiniteSum<T> for Supervised<T> {
    fn terms(&self) -> usize {
        self.count()
    }

    fn batch(&self, rows: &[usize]) -> Result<Batch<'_, T>> {
        self.check_separable("a batch")?;
        let count = self.count();
        if rows.is_empty() {
            return Err(Error::argument("rows", "none", "at least one"));
        }
        if let Some(row) = rows.iter().find(|&&row| row >= count) {
            return Err(Error::argument("rows", row, &format!("less than {count}")));
        }
        let all = self.rows.as_deref();
        let rows = rows.iter().map(|&row| all.map_or(row, |all| all[row]));
        Ok(Box::new(Self {
            shared: Arc::clone(&self.shared),
            rows: Some(rows.collect()),
        }))
    }
}

impl<T: Scalar> Model<T> for Supervised<T> {
    fn layout(&self) -> &Layout {
        self.shared.network.layout()
    }

    fn examples(&self) -> usize {
        self.count()
    }

    fn weight(&self) -> Result<f64> {
        Ok(self.totals()?.weight)
    }

    fn counting(&self) -> Result<f64> {
        Ok(self.totals()?.counting)
    }

    fn gradient_work(&self) -> Result<f64> {
        let of_one = self.program(Job::Gradient, 1)?.flops();
        Ok(of_one as f64 * self.count() as f64)
    }

    fn matrix(&self, x: &[T], matrix: Matrix) -> Result<BoxOp<'_, T>> {
        self.check_point(x)?;
        let Totals { weight, counting } = self.totals()?;
        let by_example = counting / (weight * weight);
        let (map, scale) = match matrix {
            Matrix::Hessian => (Map::Hessian, weight.recip()),
            Matrix::Functional => (Map::Functional, weight.recip()),
            // All losses are minus the logarithms of densities in their natural parameters.
            Matrix::GaussNewton | Matrix::Fisher => (Map::GaussNewton, weight.recip()),
            Matrix::SampledFisher { draws, seed } => {
                self.check_separable("the sampled Fisher matrix")?;
                if draws == 0 {
                    return Err(Error::argument("draws", 0, "at least 1"));
                }
                (Map::OuterSampled { draws, seed }, weight.recip())
            }
            Matrix::EmpiricalFisher | Matrix::Covariance => {
                self.check_separable("the covariance of gradients")?;
                (Map::Outer, by_example)
            }
        };
        let mapped = Mapped::new(self, x, (map, map), scale, matrix.is_psd());
        if matrix != Matrix::Covariance {
            return Ok(Box::new(mapped));
        }
        let mut mean = vec![T::of(0.0); x.len()];
        self.value_grad(x, &mut mean)?;
        let uncentred = mapped;
        Ok(Box::new(Centred { uncentred, mean }))
    }

    fn jacobian(&self, x: &[T]) -> Result<BoxOp<'_, T>> {
        self.check_point(x)?;
        let maps = (Map::Forward, Map::Backward);
        Ok(Box::new(Mapped::new(self, x, maps, 1.0, false)))
    }

    fn gradients(&self, x: &[T], targets: Targets) -> Result<BoxOp<'_, T>> {
        self.check_point(x)?;
        self.check_separable("the gradient of an example")?;
        let Totals { weight, counting } = self.totals()?;
        let maps = (Map::Combine(targets), Map::Slopes(targets));
        let scale = counting / weight;
        Ok(Box::new(Mapped::new(self, x, maps, scale, false)))
    }

    fn squares(&self, x: &[T], backward: Backward) -> Result<Vec<f64>> {
        self.sums_of_squares(x, backward)
    }

    fn forms(
        &self,
        x: &[T],
        matrix: Matrix,
        draws: Range<usize>,
        seed: u64,
    ) -> Result<Vec<Vec<f64>>> {
        self.forms_of_examples(x, matrix, draws, seed)
    }

    fn taps(
        &self,
        x: &[T],
        backward: Backward,
        visit: &mut dyn FnMut(Tap<'_, T>) -> Result<()>,
    ) -> Result<()> {
        self.visit_taps(x, backward, visit)
    }
}
