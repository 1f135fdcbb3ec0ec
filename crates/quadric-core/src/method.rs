//! Methods: pure `init` and `step` over a memory that can be saved.

use crate::{Capability, Driver, Line, Outcome, Problem, Result, Scalar, State, Tolerance};
use quadric_linalg::random::SeedTree;

/// What a method may know besides the problem: where it is in the run, and its random streams.
pub struct Context {
    /// Number of the step, from 1; 0 in `init`.
    pub it: u64,
    /// Random streams; name a purpose and use [`Context::it`] as the index.
    pub seeds: SeedTree,
    /// What the run counts as optimal, for a method that leaves alone the columns that are.
    pub tolerance: Tolerance,
    /// The largest gradient entry at which, judging from the newest certificate, the unknowns too are as good as the tolerance
    /// (the gap is its square), so that going further is for nothing; 0 while that is unknown.
    pub goal: f64,
    /// The largest gradient entry at which the tolerance is safely met, judging from the newest certificate; 0 while that is unknown.
    pub enough: f64,
    notes: Vec<(&'static str, f64)>,
}

impl Context {
    /// A context before the first step.
    pub fn new(seeds: SeedTree) -> Self {
        Self {
            it: 0,
            seeds,
            tolerance: Tolerance::default(),
            goal: 0.0,
            enough: 0.0,
            notes: Vec::new(),
        }
    }

    /// Records a number under a name in the trace of this step; a second note of the same name adds to the first.
    pub fn note(&mut self, name: &'static str, value: f64) {
        match self.notes.iter_mut().find(|(n, _)| *n == name) {
            Some((_, v)) => *v += value,
            None => self.notes.push((name, value)),
        }
    }

    /// What the step recorded so far.
    pub fn notes(&self) -> &[(&'static str, f64)] {
        &self.notes
    }

    pub(crate) fn forget_notes(&mut self) {
        self.notes.clear();
    }
}

/// Why a method cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// No step makes progress in this arithmetic.
    Stalled,
    /// The objective has no minimiser; the text says why.
    Unbounded(String),
    /// The method has done what it set out to do.
    Finished,
}

/// What is known at the point a method stands on.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// `F(x)`.
    pub value: Option<f64>,
    /// Largest absolute entry of the gradient. The driver certifies when it has fallen enough.
    pub optimality: Option<f64>,
    /// Set when the method cannot go on.
    pub exit: Option<Exit>,
}

impl Reading {
    /// A value and a gradient measure.
    pub fn at(value: f64, optimality: f64) -> Self {
        Self {
            value: Some(value),
            optimality: Some(optimality),
            ..Self::default()
        }
    }

    /// The same reading, with the reason why the method cannot go on.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = Some(exit);
        self
    }
}

/// An algorithm. `self` is the configuration, `State` its memory, `x` the position.
///
/// A method never prints, never reads a clock, never stops by itself; the [`Driver`] does all that. It must not allocate
/// in `step` in proportion to the problem.
pub trait Method<T: Scalar>: Send + Sync {
    /// The capability it needs, as a trait object: `dyn TwiceSmooth<T> + 'p`.
    type Problem<'p>: ?Sized + Capability<'p, T>;
    /// Its memory.
    type State: State;

    /// Prepares the memory at `x` and says what is known there. May move `x` into the domain.
    ///
    /// # Errors
    /// Those of the problem, and a configuration that does not fit it.
    fn init<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        cx: &mut Context,
    ) -> Result<(Self::State, Reading)>;

    /// One step: moves `x`, says what is known there.
    ///
    /// # Errors
    /// Those of the problem.
    fn step<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        s: &mut Self::State,
        cx: &mut Context,
    ) -> Result<Reading>;

    /// Bytes of memory that the method will hold for this problem, its data not counted.
    fn memory(&self, p: &dyn Problem<T>) -> usize {
        16 * p.dim() * size_of::<T>()
    }

    /// After a non-finite step `x` is put back to the best point: forgets what led there. False if that cannot help.
    fn recover(&self, _s: &mut Self::State) -> bool {
        false
    }
}

/// A method whose types are hidden, for registries and the command line.
pub trait AnyMethod<T: Scalar>: Send + Sync {
    /// Runs under a driver from `x0`.
    ///
    /// # Errors
    /// A problem without the needed capability (before any work), and those of [`Driver::run`].
    fn run(
        &self,
        driver: &mut Driver<'_>,
        x0: Vec<T>,
        problem: &dyn Problem<T>,
    ) -> Result<Outcome<T>>;

    /// The name of the capability it needs.
    fn needs(&self) -> &'static str;

    /// Bytes of memory that the method will hold for this problem.
    fn memory(&self, p: &dyn Problem<T>) -> usize;
}

impl<T: Scalar, M: Method<T>> AnyMethod<T> for M {
    fn run(
        &self,
        driver: &mut Driver<'_>,
        x0: Vec<T>,
        problem: &dyn Problem<T>,
    ) -> Result<Outcome<T>> {
        driver.run_on(self, x0, problem)
    }

    fn needs(&self) -> &'static str {
        <M::Problem<'static> as Capability<'static, T>>::NAME
    }

    fn memory(&self, p: &dyn Problem<T>) -> usize {
        Method::memory(self, p)
    }
}

/// A point with its value and gradient.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a, T> {
    /// The position.
    pub x: &'a [T],
    /// `F(x)`.
    pub f: f64,
    /// The gradient there.
    pub g: &'a [T],
}

/// Proposes where to go from a point. With a [`StepRule`] it makes a descent method.
pub trait Direction<T: Scalar>: Send + Sync {
    /// The capability it needs.
    type Problem<'p>: ?Sized + Capability<'p, T>;
    /// Its memory.
    type State: State;

    /// Prepares the memory at `x`.
    ///
    /// # Errors
    /// Those of the problem.
    fn init<'p>(&self, p: &'p Self::Problem<'p>, x: &[T], cx: &mut Context) -> Result<Self::State>;

    /// Writes the direction at a point into `d`. The memory may learn from the difference to the last point.
    ///
    /// # Errors
    /// Those of the problem.
    fn direction<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        s: &mut Self::State,
        at: Point<'_, T>,
        d: &mut [T],
        cx: &mut Context,
    ) -> Result<()>;

    /// Forgets what it learned, so that the next direction is the steepest descent; false if there was nothing to forget.
    fn reset(&self, _s: &mut Self::State) -> bool {
        false
    }

    /// Bytes of its memory for `dim` unknowns.
    fn memory(&self, dim: usize) -> usize;
}

/// Chooses how far to go along a direction.
pub trait StepRule<T: Scalar>: Send + Sync {
    /// Its memory.
    type State: State;

    /// The memory before the first step.
    fn init(&self) -> Self::State;

    /// The step length along `line`, whose slope at 0 is `slope`; 0 if no length makes progress in this arithmetic.
    ///
    /// # Errors
    /// Those of the problem.
    fn length(
        &self,
        s: &mut Self::State,
        line: &mut Line<'_, T>,
        slope: f64,
        cx: &mut Context,
    ) -> Result<f64>;
}
