//! The driver: owns budgets, callbacks, interrupts, checkpoints and the last word on convergence. Methods only step.

use crate::checkpoint::{Identity, Resumed, Saving, Snapshot, Store};
use crate::files::OsFs;
use crate::lock::RunLock;
use crate::meter::Meter;
use crate::run::{End, Run};
use crate::{
    Budget, Capability, Certificate, CheckpointPolicy, Clock, Counts, Error, ErrorKind, Hooked,
    Method, Outcome, Problem, Result, Scalar, SystemClock, Tolerance, need,
};
use quadric_linalg::parallel;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What a callback sees after every step.
pub struct Progress<'a> {
    /// Number of the step; 0 is the starting point.
    pub iteration: u64,
    /// Time since the start of the run, all sittings of a resumed run together.
    pub elapsed: Duration,
    /// `F(x)` where the method stands.
    pub value: Option<f64>,
    /// Largest absolute entry of the gradient there.
    pub optimality: Option<f64>,
    /// The newest certificate, possibly of an earlier point.
    pub certificate: Option<Certificate>,
    /// Evaluations so far.
    pub counts: Counts,
    /// Numbers that the method noted in this step.
    pub notes: &'a [(&'static str, f64)],
}

/// What a callback answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// End the run with [`Status::Callback`](crate::Status::Callback).
    Stop,
}

/// A function called after every step. It sees copies and cannot disturb the run; all callbacks of a step are called, in
/// order, even if one answers [`Control::Stop`]. An error ends the run with [`Status::Failed`](crate::Status::Failed), the best point kept.
pub type Callback<'c> = Box<dyn FnMut(&Progress<'_>) -> Result<Control> + Send + 'c>;

/// Runs methods on problems.
///
/// After every step, in this order: the point is kept if it is the best; a certificate is measured if one is due; the
/// callbacks are called; the stopping tests decide; the step is remembered for the checkpoint, which is written if due.
///
/// A certificate costs a pass over the data, so it is measured when the method's own optimality has fallen to 0.3 times
/// what it was at the last certificate, when the last certificate predicts that the tolerance is now met, and when the
/// method cannot go on. The passes of certificates are not counted as the method's. Where the problem has no gap, the
/// certificate is the gradient that the method tells, which costs nothing, and is measured afresh before the run ends on it.
pub struct Driver<'c> {
    /// Limits.
    pub budget: Budget,
    /// When a point counts as optimal.
    pub tolerance: Tolerance,
    /// Root of all random streams.
    pub seed: u64,
    /// Non-finite steps that may be rolled back before the run ends with [`Status::NonFinite`](crate::Status::NonFinite).
    pub recoveries: u32,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Set from outside (a signal handler) to end the run before the next evaluation.
    pub interrupt: Arc<AtomicBool>,
    /// Called after every step, in order.
    pub callbacks: Vec<Callback<'c>>,
    /// Where and when the run saves itself.
    pub checkpoint: Option<CheckpointPolicy>,
    /// A checkpoint to continue from.
    pub resume: Option<PathBuf>,
    /// Start afresh if the file to resume from does not exist, instead of refusing.
    pub resume_if_present: bool,
    /// What the run is, in the user's own terms: hashes of configuration and data, the name of the method. Saved in
    /// checkpoints; the checkpoint of a run that differs is refused.
    pub identity: BTreeMap<String, String>,
    /// Resume even if `identity` differs. Seed, scalar type, problem name and dimension must be equal all the same.
    pub force_resume: bool,
}

impl Default for Driver<'_> {
    fn default() -> Self {
        Self {
            budget: Budget::default(),
            tolerance: Tolerance::default(),
            seed: 0,
            recoveries: 5,
            clock: Arc::new(SystemClock::default()),
            interrupt: Arc::new(AtomicBool::new(false)),
            callbacks: Vec::new(),
            checkpoint: None,
            resume: None,
            resume_if_present: false,
            identity: BTreeMap::new(),
            force_resume: false,
        }
    }
}

impl Driver<'_> {
    /// Runs `method` on `problem` from `x0`, or from where the checkpoint to resume left off.
    ///
    /// # Errors
    /// A start of the wrong length or with non-finite entries, a tolerance or a configuration that is refused, memory above
    /// the budget, an error in the first evaluation, a checkpoint that is missing, damaged, in use or another run's.
    /// Everything that happens later is a status of the [`Outcome`].
    pub fn run<'p, T: Scalar, M: Method<T>>(
        &mut self,
        method: &M,
        x0: Vec<T>,
        problem: &'p M::Problem<'p>,
    ) -> Result<Outcome<T>> {
        self.run_on(method, x0, problem.root())
    }

    /// [`Driver::run`] for a problem whose capabilities are known at run time only.
    ///
    /// # Errors
    /// A problem without the needed capability, and those of [`Driver::run`].
    pub fn run_on<T: Scalar, M: Method<T>>(
        &mut self,
        method: &M,
        x0: Vec<T>,
        problem: &dyn Problem<T>,
    ) -> Result<Outcome<T>> {
        self.check_start(&x0, problem, method.memory(problem))?;
        let meter = Meter::new(self.budget, self.clock.clone(), self.interrupt.clone());
        let hooked = Hooked::new(problem, &meter);
        let p = need::<T, M::Problem<'_>>(&hooked)?;
        let (resumed, saving) = self.open_checkpoints(problem)?;
        let mut run = Run::new(self, problem, &meter, x0, saving);
        let end = parallel::within(|| run.advance(method, p, resumed));
        let end = match (end, meter.cause()) {
            (Ok(end), _) => end,
            // Whatever the method made of the refusal, the refusal is the reason.
            (Err(_), Some(status)) => End::from(status),
            // Before the first reading nothing is known: the caller gets the error itself.
            (Err(e), None) if !run.has_started() => return Err(e),
            (Err(e), None) => End::failed(e),
        };
        if meter.cause().is_some() {
            // The refusal may have come within a search that had seen better points than the last completed step's.
            run.consider(hooked.into_best());
        }
        Ok(run.finish(end))
    }

    /// The checkpoint to resume from, and where this run saves itself.
    fn open_checkpoints<T: Scalar>(
        &self,
        problem: &dyn Problem<T>,
    ) -> Result<(Option<Resumed>, Option<Saving>)> {
        let identity = Identity {
            seed: self.seed,
            scalar: T::NAME,
            problem: problem.name(),
            dim: problem.dim(),
            entries: &self.identity,
            force: self.force_resume,
        };
        let saving = match &self.checkpoint {
            None => None,
            Some(policy) => Some(Saving {
                lock: RunLock::take(&policy.path)?,
                store: Store::new(&OsFs, policy.clone(), self.clock.now())?,
                snapshot: Snapshot::new(&identity),
                has_step: false,
            }),
        };
        let resumed = match &self.resume {
            None => None,
            Some(path) => Resumed::read(&OsFs, path, self.resume_if_present, &identity)?,
        };
        Ok((resumed, saving))
    }

    fn check_start<T: Scalar>(
        &self,
        x0: &[T],
        problem: &dyn Problem<T>,
        memory: usize,
    ) -> Result<()> {
        self.tolerance.validate()?;
        if x0.len() != problem.dim() {
            return Err(Error::shape("the starting point", x0.len(), problem.dim()));
        }
        if let Some(i) = x0.iter().position(|v| !v.to_f64().is_finite()) {
            return Err(Error::non_finite("the starting point", i, x0[i].to_f64()));
        }
        match self.budget.memory {
            Some(limit) if memory > limit => Err(Error::new(
                ErrorKind::Resource,
                format!("the method needs {memory} bytes, the limit is {limit}"),
            )
            .with_hint("a matrix-free method such as l-bfgs needs less")),
            _ => Ok(()),
        }
    }
}
