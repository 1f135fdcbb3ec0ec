//! The driver: owns budgets, callbacks, interrupts and the last word on convergence. Methods only step.

use crate::capability::{certify, gradient_norm};
use crate::{
    Capability, Certificate, Context, Counts, Error, ErrorKind, Exit, Hook, Hooked, Method,
    Outcome, Problem, Reading, Result, Scalar, Status, Work, need,
};
use quadric_linalg::random::SeedTree;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Where the driver reads the time. Numbers never depend on it.
pub trait Clock: Send + Sync {
    /// Time since some fixed instant.
    fn now(&self) -> Duration;
}

/// The monotonic clock of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Limits of a run; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// Steps.
    pub iterations: Option<u64>,
    /// Wall-clock time; checked before every evaluation.
    pub time: Option<Duration>,
    /// Values plus gradients; never exceeded by one.
    pub evaluations: Option<u64>,
    /// Bytes that the method may hold; checked before the start.
    pub memory: Option<usize>,
}

/// When a point counts as optimal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Relative: a gap bound to the magnitude of F, a gradient to the gradient at the start.
    pub relative: f64,
    /// Absolute: the certificate's value itself.
    pub absolute: f64,
}

impl Default for Tolerance {
    /// A gap of 10⁻¹⁰ relative to F: below what statistics can use, above what rounding disturbs.
    fn default() -> Self {
        Self {
            relative: 1e-10,
            absolute: 0.0,
        }
    }
}

impl Tolerance {
    fn met(&self, c: &Certificate, factor: f64) -> bool {
        c.value <= factor * (self.absolute + self.relative * c.scale)
    }
}

/// What a callback sees after every step.
pub struct Progress<'a> {
    /// Number of the step; 0 is the starting point.
    pub iteration: u64,
    /// Time since the start of the run.
    pub elapsed: Duration,
    /// `F(x)` where the method stands.
    pub value: Option<f64>,
    /// Largest absolute entry of the gradient there.
    pub optimality: Option<f64>,
    /// The newest certificate.
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
    /// End the run with [`Status::Callback`].
    Stop,
}

/// A function called after every step.
pub type Callback<'c> = Box<dyn FnMut(&Progress<'_>) -> Result<Control> + 'c>;

/// Runs methods on problems.
pub struct Driver<'c> {
    /// Limits.
    pub budget: Budget,
    /// When a point counts as optimal.
    pub tolerance: Tolerance,
    /// Root of all random streams.
    pub seed: u64,
    /// Non-finite steps that may be rolled back before the run ends with [`Status::NonFinite`].
    pub recoveries: u32,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Set from outside (a signal handler) to end the run after the evaluation at hand.
    pub interrupt: Arc<AtomicBool>,
    /// Called after every step, in order.
    pub callbacks: Vec<Callback<'c>>,
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
        }
    }
}

impl Driver<'_> {
    /// Runs `method` on `problem` from `x0`.
    ///
    /// # Errors
    /// A start of the wrong length or with non-finite entries, a configuration that the method refuses, memory above the
    /// budget. Everything that happens later is a status of the [`Outcome`].
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
        let meter = Meter {
            counts: Mutex::default(),
            budget: self.budget,
            clock: self.clock.clone(),
            start: self.clock.now(),
            interrupt: self.interrupt.clone(),
            cause: Mutex::new(None),
        };
        let hooked = Hooked::new(problem, &meter);
        let p = need::<T, M::Problem<'_>>(&hooked)?;
        let mut run = Run::new(self, problem, &meter, x0);
        match run.advance(method, p) {
            Ok(end) => run.finish(end),
            // Before the first reading nothing is known: the caller gets the error itself.
            Err(e) if !run.started && !e.is_stopped() => Err(e),
            Err(e) => {
                let cause = *meter.cause.lock().expect("no panic while counting");
                run.finish(match cause {
                    Some(status) if e.is_stopped() => End::from(status),
                    _ => End {
                        status: Status::Failed,
                        reason: Some(e.to_string()),
                        error: Some(e),
                    },
                })
            }
        }
    }

    fn check_start<T: Scalar>(
        &self,
        x0: &[T],
        problem: &dyn Problem<T>,
        memory: usize,
    ) -> Result<()> {
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

/// Counts evaluations and refuses those beyond the budget.
struct Meter {
    counts: Mutex<Counts>,
    budget: Budget,
    clock: Arc<dyn Clock>,
    start: Duration,
    interrupt: Arc<AtomicBool>,
    cause: Mutex<Option<Status>>,
}

impl Meter {
    fn counts(&self) -> Counts {
        *self.counts.lock().expect("no panic while counting")
    }

    fn elapsed(&self) -> Duration {
        self.clock.now().saturating_sub(self.start)
    }

    fn stop(&self, status: Status) -> Error {
        *self.cause.lock().expect("no panic while counting") = Some(status);
        Error::new(ErrorKind::Stopped, status.name())
    }
}

impl Hook for Meter {
    fn before(&self, work: Work, columns: usize, fraction: f64) -> Result<()> {
        if self.interrupt.load(Ordering::Relaxed) {
            return Err(self.stop(Status::Interrupted));
        }
        if self
            .budget
            .time
            .is_some_and(|limit| self.elapsed() >= limit)
        {
            return Err(self.stop(Status::MaxTime));
        }
        let mut counts = self.counts.lock().expect("no panic while counting");
        let evaluates = matches!(work, Work::Value | Work::Gradient);
        if evaluates
            && self
                .budget
                .evaluations
                .is_some_and(|limit| counts.evaluations() >= limit)
        {
            drop(counts);
            return Err(self.stop(Status::MaxEvaluations));
        }
        match work {
            Work::Value => counts.values += 1,
            Work::Gradient => counts.gradients += 1,
            Work::Prepare => counts.hessians += 1,
            Work::Product => counts.products += columns as u64,
            Work::Dense => counts.dense_hessians += 1,
        }
        if work != Work::Prepare {
            counts.passes += fraction;
        }
        Ok(())
    }
}

/// Why the loop ended.
struct End {
    status: Status,
    reason: Option<String>,
    error: Option<Error>,
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self {
            status,
            reason: None,
            error: None,
        }
    }
}

/// The driver's own memory during one run.
struct Run<'r, 'c, T: Scalar> {
    driver: &'r mut Driver<'c>,
    problem: &'r dyn Problem<T>,
    meter: &'r Meter,
    x: Vec<T>,
    best: Vec<T>,
    best_value: Option<f64>,
    started: bool,
    iteration: u64,
    recoveries_left: u32,
    /// Largest gradient entry at the start.
    start: Option<f64>,
    /// A certificate is measured when the optimality falls below this.
    certify_below: f64,
    certificate: Option<Certificate>,
}

impl<'r, 'c, T: Scalar> Run<'r, 'c, T> {
    fn new(
        driver: &'r mut Driver<'c>,
        problem: &'r dyn Problem<T>,
        meter: &'r Meter,
        x0: Vec<T>,
    ) -> Self {
        Self {
            problem,
            meter,
            best: x0.clone(),
            x: x0,
            best_value: None,
            started: false,
            iteration: 0,
            recoveries_left: driver.recoveries,
            start: None,
            certify_below: f64::INFINITY,
            certificate: None,
            driver,
        }
    }

    fn advance<'p, M: Method<T>>(&mut self, method: &M, p: &'p M::Problem<'p>) -> Result<End> {
        let mut cx = Context::new(SeedTree::new(self.driver.seed));
        let (mut state, mut reading) = method.init(p, &mut self.x, &mut cx)?;
        self.started = true;
        self.start = reading.optimality;
        if !self.is_finite(&reading) {
            return Ok(End {
                reason: Some("F is not finite at the starting point".into()),
                ..Status::NonFinite.into()
            });
        }
        loop {
            self.keep_best(&reading);
            if let Some(end) = self.judge(&reading, &cx.take_notes())? {
                return Ok(end);
            }
            self.iteration += 1;
            cx.it = self.iteration;
            reading = method.step(p, &mut self.x, &mut state, &mut cx)?;
            if !self.is_finite(&reading) {
                self.x.copy_from_slice(&self.best);
                if self.recoveries_left == 0 || !method.recover(&mut state) {
                    return Ok(Status::NonFinite.into());
                }
                self.recoveries_left -= 1;
                reading = Reading {
                    value: self.best_value,
                    ..Reading::default()
                };
            }
        }
    }

    fn is_finite(&self, reading: &Reading) -> bool {
        reading.value.is_none_or(f64::is_finite)
            && reading.optimality.is_none_or(f64::is_finite)
            && crate::vector::all_finite(&self.x)
    }

    fn keep_best(&mut self, reading: &Reading) {
        if reading.value.is_none()
            || self
                .best_value
                .is_none_or(|best| reading.value.is_some_and(|v| v <= best))
        {
            self.best.copy_from_slice(&self.x);
            self.best_value = reading.value;
        }
    }

    /// The stopping tests, in the order of what the user most wants to hear.
    fn judge(&mut self, reading: &Reading, notes: &[(&'static str, f64)]) -> Result<Option<End>> {
        let candidate = self.is_candidate(reading);
        if candidate {
            self.certificate = certify(self.problem, &self.x, self.start)?;
        }
        let progress = Progress {
            iteration: self.iteration,
            elapsed: self.meter.elapsed(),
            value: reading.value,
            optimality: reading.optimality,
            certificate: self.certificate,
            counts: self.meter.counts(),
            notes,
        };
        let mut control = Control::Continue;
        for callback in &mut self.driver.callbacks {
            if callback(&progress)? == Control::Stop {
                control = Control::Stop;
            }
        }
        if candidate
            && self
                .certificate
                .is_some_and(|c| self.driver.tolerance.met(&c, 1.0))
        {
            self.best.copy_from_slice(&self.x);
            self.best_value = reading.value;
            return Ok(Some(Status::Converged.into()));
        }
        if let Some(exit) = &reading.exit {
            return Ok(Some(match exit {
                Exit::Stalled => Status::Stalled.into(),
                Exit::Finished => Status::Finished.into(),
                Exit::Unbounded(why) => End {
                    reason: Some(why.clone()),
                    ..Status::Unbounded.into()
                },
            }));
        }
        if control == Control::Stop {
            return Ok(Some(Status::Callback.into()));
        }
        if self.driver.interrupt.load(Ordering::Relaxed) {
            return Ok(Some(Status::Interrupted.into()));
        }
        if self
            .driver
            .budget
            .iterations
            .is_some_and(|limit| self.iteration >= limit)
        {
            return Ok(Some(Status::MaxIterations.into()));
        }
        if self
            .driver
            .budget
            .time
            .is_some_and(|limit| self.meter.elapsed() >= limit)
        {
            return Ok(Some(Status::MaxTime.into()));
        }
        Ok(None)
    }

    /// A certificate costs a pass, so it is measured once per half decade of progress.
    fn is_candidate(&mut self, reading: &Reading) -> bool {
        let Some(optimality) = reading.optimality else {
            return reading.exit.is_some();
        };
        if optimality > self.certify_below && reading.exit.is_none() {
            return false;
        }
        self.certify_below = optimality * 0.3;
        true
    }

    /// Measures the returned point afresh; only here and in `judge` is convergence granted.
    fn finish(self, mut end: End) -> Result<Outcome<T>> {
        let tolerance = self.driver.tolerance;
        let certificate = match certify(self.problem, &self.best, self.start) {
            Ok(certificate) => certificate,
            Err(_) if end.error.is_some() => None,
            Err(e) => {
                end = End {
                    status: Status::Failed,
                    reason: Some(e.to_string()),
                    error: Some(e),
                };
                None
            }
        };
        let met = |factor| certificate.is_some_and(|c| tolerance.met(&c, factor));
        match end.status {
            Status::Converged | Status::Stalled if !met(1.0) => {
                end.status = if met(1e4) {
                    Status::ConvergedReduced
                } else {
                    Status::Stalled
                };
            }
            Status::Stalled | Status::MaxIterations | Status::MaxTime | Status::MaxEvaluations
                if met(1.0) =>
            {
                end.status = Status::Converged;
            }
            _ => {}
        }
        let gradient_norm = if end.error.is_some() {
            None
        } else {
            gradient_norm(self.problem, &self.best)?
        };
        let value = match self.problem.as_objective() {
            Some(objective) if end.error.is_none() => Some(objective.value(&self.best)?),
            _ => self.best_value,
        };
        Ok(Outcome {
            x: self.best,
            value,
            gradient_norm_at_start: self.start,
            gradient_norm,
            status: end.status,
            reason: end.reason,
            certificate,
            counts: self.meter.counts(),
            iterations: self.iteration,
            elapsed: self.meter.elapsed(),
            error: end.error,
        })
    }
}
