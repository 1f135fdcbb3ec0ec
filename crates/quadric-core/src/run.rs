//! One run under a driver: the loop, the stopping tests, and the outcome.

use crate::capability::{certify, measure};
use crate::checkpoint::{Resumed, Saving};
use crate::columns::column_ends;
use crate::memory::Memory;
use crate::meter::Meter;
use crate::{
    Certificate, ColumnEnd, Context, Control, Driver, Error, Exit, Method, Outcome, Problem,
    Progress, Reading, Result, Scalar, State, Status,
};
use quadric_linalg::random::SeedTree;
use std::time::Duration;

/// Where cheap steps end at the latest, as a part of the tolerance.
const REFINED: f64 = 1e-4;
/// The part of the tolerance at which it counts as safely met.
const SAFELY: f64 = 1e-2;

/// A certificate is renewed when the optimality has fallen to this part of what it was there, and to this one as long as
/// it promises a value of [`FAR`] times the tolerance.
const FALL: f64 = 0.3;
const FALL_AFAR: f64 = 0.01;
const FAR: f64 = 1e4;

/// Why the loop ended.
pub(crate) struct End {
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

impl End {
    pub(crate) fn failed(error: Error) -> Self {
        Self {
            status: Status::Failed,
            reason: Some(error.to_string()),
            error: Some(error),
        }
    }

    fn because(status: Status, reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..status.into()
        }
    }
}

/// The driver's side of one run.
pub(crate) struct Run<'r, 'c, T: Scalar> {
    driver: &'r mut Driver<'c>,
    problem: &'r dyn Problem<T>,
    meter: &'r Meter,
    memory: Memory<T>,
    started: bool,
    saving: Option<Saving>,
    warnings: Vec<String>,
}

impl<'r, 'c, T: Scalar> Run<'r, 'c, T> {
    pub(crate) fn new(
        driver: &'r mut Driver<'c>,
        problem: &'r dyn Problem<T>,
        meter: &'r Meter,
        x0: Vec<T>,
        mut saving: Option<Saving>,
    ) -> Self {
        let warning = saving.as_mut().and_then(|s| s.lock.1.take());
        Self {
            problem,
            meter,
            memory: Memory::new(x0, driver.recoveries),
            started: false,
            saving,
            warnings: warning.into_iter().collect(),
            driver,
        }
    }

    /// True once something is known about a point.
    pub(crate) fn has_started(&self) -> bool {
        self.started
    }

    /// Steps until a stopping test ends the run. An error leaves the best point and the last snapshot as they were.
    pub(crate) fn advance<'p, M: Method<T>>(
        &mut self,
        method: &M,
        p: &'p M::Problem<'p>,
        resumed: Option<Resumed>,
    ) -> Result<End> {
        let mut cx = Context::new(SeedTree::new(self.driver.seed));
        cx.tolerance = self.driver.tolerance;
        let mut state = match resumed {
            Some(file) => {
                let state = self.continue_from(file, method, p, &mut cx)?;
                // The stopping tests come before the step: a finished run ends as it did.
                if let Some(end) = self.verdict(Control::Continue) {
                    return Ok(end);
                }
                state
            }
            None => {
                let (mut state, reading) = method.init(p, &mut self.memory.x, &mut cx)?;
                self.started = true;
                self.memory.start = reading.optimality;
                self.memory.reading = reading;
                if !self.memory.is_finite() {
                    let reason = "F is not finite at the starting point";
                    return Ok(End::because(Status::NonFinite, reason));
                }
                if let Some(end) = self.complete_step(&mut state, &mut cx)? {
                    return Ok(end);
                }
                state
            }
        };
        loop {
            self.step(method, p, &mut state, &mut cx)?;
            if !self.memory.is_finite() && !self.roll_back(method, &mut state, &mut cx) {
                return Ok(Status::NonFinite.into());
            }
            if let Some(end) = self.complete_step(&mut state, &mut cx)? {
                return Ok(end);
            }
        }
    }

    /// `init` gives the method's memory its shape, then every number is overwritten.
    fn continue_from<'p, M: Method<T>>(
        &mut self,
        mut file: Resumed,
        method: &M,
        p: &'p M::Problem<'p>,
        cx: &mut Context,
    ) -> Result<M::State> {
        let mut x = self.memory.x.clone();
        file.memory(&mut self.memory)?;
        let prepared = method.init(p, &mut x, cx);
        // Counts and time go on from the file's; what preparing again costs is not part of the run.
        let before = Duration::from_nanos(self.memory.nanoseconds);
        self.meter.restore(self.memory.counts, before);
        let (mut state, _) = prepared?;
        file.state(&mut state)?;
        cx.forget_notes();
        self.started = true;
        Ok(state)
    }

    fn step<'p, M: Method<T>>(
        &mut self,
        method: &M,
        p: &'p M::Problem<'p>,
        state: &mut M::State,
        cx: &mut Context,
    ) -> Result<()> {
        cx.it = self.memory.iteration + 1;
        // Errors of the unknowns go with the root of a gap: its square leaves them as small as the tolerance.
        cx.goal = self.gradient_at(|relative| relative.min(REFINED));
        cx.enough = self.gradient_at(|_| SAFELY);
        // Said before the step, which may be stopped after it has moved x.
        self.memory.certified_here = false;
        let reading = method.step(p, &mut self.memory.x, state, cx)?;
        if self.meter.cause().is_some() {
            // The method went on although an evaluation was refused; what it reports is not a completed step.
            return Err(Error::new(
                crate::ErrorKind::Stopped,
                "an evaluation was refused",
            ));
        }
        self.memory.iteration += 1;
        self.memory.reading = reading;
        Ok(())
    }

    /// Back to the best point after a non-finite step; false if the method cannot go on from there.
    fn roll_back<M: Method<T>>(
        &mut self,
        method: &M,
        state: &mut M::State,
        cx: &mut Context,
    ) -> bool {
        let memory = &mut self.memory;
        memory.x.copy_from_slice(&memory.best);
        if memory.recoveries_left == 0 || !method.recover(state) {
            return false;
        }
        memory.recoveries_left -= 1;
        memory.reading = Reading {
            value: memory.best_value,
            ..Reading::default()
        };
        cx.note("rolled_back", 1.0);
        true
    }

    /// Everything that follows a step.
    fn complete_step(&mut self, state: &mut dyn State, cx: &mut Context) -> Result<Option<End>> {
        self.memory.keep_best();
        if self.is_certificate_due() {
            self.memory.certificate = self.certificate_here()?;
            self.memory.certified_here = true;
            self.memory.certified_at = self.memory.reading.optimality.unwrap_or(f64::INFINITY);
            self.look_for_recession()?;
        }
        let control = self.call_back(cx.notes())?;
        cx.forget_notes();
        let end = self.verdict(control);
        self.remember(state, end.is_none())?;
        Ok(end)
    }

    /// The certificate of the point. Without a gap it is the gradient that the method tells, measured afresh where the run
    /// could end on it.
    fn certificate_here(&self) -> Result<Option<Certificate>> {
        let Memory {
            x, start, reading, ..
        } = &self.memory;
        let told = reading.optimality.filter(|_| reading.exit.is_none());
        let certificate = certify(self.problem, x, self.driver.tolerance, *start, told)?;
        let rests_on_told = |c: Certificate| told.is_some() && c.is_of_gradient();
        if certificate.is_some_and(|c| rests_on_told(c) && self.driver.tolerance.met(&c, 1.0)) {
            return certify(self.problem, x, self.driver.tolerance, *start, None);
        }
        Ok(certificate)
    }

    /// The way to an infimum that no point attains becomes a direction of recession at last: asked where progress is not
    /// convergence, which costs an evaluation at most.
    fn look_for_recession(&mut self) -> Result<()> {
        let memory = &mut self.memory;
        let certificate = memory.certificate;
        let may_go_on = matches!(memory.reading.exit, None | Some(Exit::Stalled));
        if !may_go_on || certificate.is_some_and(|c| self.driver.tolerance.met(&c, 1.0)) {
            return Ok(());
        }
        if let Some(objective) = self.problem.as_objective()
            && let Some(why) = objective.recession(&memory.x)?
        {
            memory.reading.exit = Some(Exit::Unbounded(why));
        }
        Ok(())
    }

    fn is_certificate_due(&self) -> bool {
        let memory = &self.memory;
        let Some(optimality) = memory.reading.optimality else {
            return memory.reading.exit.is_some();
        };
        let ratio = optimality / memory.certified_at;
        // The last certificate, scaled to the present optimality.
        let promises = |factor| {
            let predicted = memory.certificate.map(|c| c.predicted(ratio));
            predicted.is_some_and(|c| self.driver.tolerance.met(&c, factor))
        };
        let is_far = memory.certificate.is_some_and(|c| c.value.is_finite()) && !promises(FAR);
        let fallen = if is_far { FALL_AFAR } else { FALL };
        ratio <= fallen || memory.reading.exit.is_some() || promises(1.0)
    }

    /// The largest gradient entry at which a part of the tolerance is predicted, chosen by the tolerance relative to the scale; 0 if
    /// there is no telling.
    fn gradient_at(&self, part: impl Fn(f64) -> f64) -> f64 {
        let memory = &self.memory;
        let gradient = memory.certificate.map(|c| {
            let target = self.driver.tolerance.target(c.scale);
            memory.certified_at * c.ratio_to(target * part(target / c.scale))
        });
        gradient.filter(|g| g.is_finite()).unwrap_or(0.0)
    }

    fn call_back(&mut self, notes: &[(&'static str, f64)]) -> Result<Control> {
        if self.driver.callbacks.is_empty() {
            return Ok(Control::Continue);
        }
        let progress = Progress {
            iteration: self.memory.iteration,
            elapsed: self.meter.elapsed(),
            value: self.memory.reading.value,
            optimality: self.memory.reading.optimality,
            certificate: self.memory.certificate,
            counts: self.meter.counts(),
            notes,
        };
        let mut control = Control::Continue;
        for callback in &mut self.driver.callbacks {
            if callback(&progress)? == Control::Stop {
                control = Control::Stop;
            }
        }
        Ok(control)
    }

    /// The stopping tests, in the order of what the user most wants to hear.
    fn verdict(&mut self, control: Control) -> Option<End> {
        let memory = &mut self.memory;
        let tolerance = self.driver.tolerance;
        let is_met = memory.certificate.is_some_and(|c| tolerance.met(&c, 1.0));
        if memory.certified_here && is_met {
            memory.take_as_best();
            return Some(Status::Converged.into());
        }
        if let Some(exit) = &memory.reading.exit {
            return Some(match exit {
                Exit::Stalled => Status::Stalled.into(),
                Exit::Finished => Status::Finished.into(),
                Exit::Unbounded(why) => End::because(Status::Unbounded, why),
            });
        }
        if control == Control::Stop {
            return Some(Status::Callback.into());
        }
        let most = self.driver.budget.iterations;
        if most.is_some_and(|limit| memory.iteration >= limit) {
            return Some(Status::MaxIterations.into());
        }
        self.meter.spent().map(End::from)
    }

    /// Takes the snapshot of a completed step, and writes it if that is due; the end of a run is written by `finish`.
    fn remember(&mut self, state: &mut dyn State, goes_on: bool) -> Result<()> {
        let Some(saving) = &mut self.saving else {
            return Ok(());
        };
        let elapsed = self.meter.elapsed();
        self.memory.counts = self.meter.counts();
        self.memory.nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        saving.snapshot.take(&mut self.memory, state)?;
        saving.has_step = true;
        let now = self.driver.clock.now();
        if goes_on && saving.store.is_due(self.memory.iteration, now) {
            saving
                .store
                .write(&saving.snapshot, now, &mut self.warnings)?;
        }
        Ok(())
    }

    /// Takes a point that was evaluated and is better than all completed steps.
    pub(crate) fn consider(&mut self, (value, x): (f64, Vec<T>)) {
        if self.started && self.memory.best_value.is_some_and(|best| value < best) {
            self.memory.best = x;
            self.memory.best_value = Some(value);
        }
    }

    /// Saves the last completed step, whatever ended the run.
    fn save_last(&mut self) -> Result<()> {
        match &mut self.saving {
            Some(saving) if saving.has_step => {
                saving.snapshot.set_elapsed(self.meter.elapsed());
                let now = self.driver.clock.now();
                saving
                    .store
                    .write(&saving.snapshot, now, &mut self.warnings)
            }
            _ => Ok(()),
        }
    }

    /// Measures the returned point afresh; only here and in `verdict` is convergence granted. A referee that fails costs
    /// the claim, never the point.
    pub(crate) fn finish(mut self, mut end: End) -> Outcome<T> {
        if let Err(e) = self.save_last() {
            end = End::failed(e);
        }
        let measured = measure(self.problem, &self.memory.best);
        let (value, gradient_norm) = match measured {
            Ok((value, norm)) => (value.or(self.memory.best_value), norm),
            Err(e) => {
                self.doubt(&mut end, e);
                (self.memory.best_value, None)
            }
        };
        let certificate = self.final_certificate(&mut end, gradient_norm);
        self.judge_end(&mut end, value, certificate);
        let columns = self.column_ends(&mut end);
        Outcome {
            x: self.memory.best,
            value,
            gradient_norm_at_start: self.memory.start,
            gradient_norm,
            status: end.status,
            reason: end.reason,
            certificate,
            columns,
            counts: self.meter.counts(),
            iterations: self.memory.iteration,
            elapsed: self.meter.elapsed(),
            warnings: self.warnings,
            error: end.error,
        }
    }

    /// An evaluation at the returned point failed. A run that already failed keeps its own error.
    fn doubt(&mut self, end: &mut End, e: Error) {
        let text = format!("the returned point could not be measured: {e}");
        match end.status {
            Status::Converged | Status::Stalled | Status::Finished => {
                *end = End::failed(e.context("the returned point could not be measured"));
            }
            _ => self.warnings.push(text),
        }
    }

    fn final_certificate(&mut self, end: &mut End, norm: Option<f64>) -> Option<Certificate> {
        let memory = &self.memory;
        if memory.certified_here && memory.x == memory.best {
            return memory.certificate;
        }
        match certify(
            self.problem,
            &memory.best,
            self.driver.tolerance,
            memory.start,
            norm,
        ) {
            Ok(certificate) => certificate,
            Err(e) => {
                self.doubt(end, e);
                None
            }
        }
    }

    fn column_ends(&mut self, end: &mut End) -> Vec<ColumnEnd> {
        let Some(columns) = self.problem.as_columns() else {
            return Vec::new();
        };
        let tolerance = self.driver.tolerance;
        match column_ends(columns, &self.memory.best, end.status, tolerance) {
            Ok(ends) => ends,
            Err(e) => {
                self.doubt(end, e);
                Vec::new()
            }
        }
    }

    fn judge_end(&self, end: &mut End, value: Option<f64>, certificate: Option<Certificate>) {
        let tolerance = self.driver.tolerance;
        let met = |factor| certificate.is_some_and(|c| tolerance.met(&c, factor));
        end.status = match end.status {
            Status::Converged | Status::Stalled if !met(1.0) => reduced(met(1e4)),
            Status::Stalled | Status::MaxIterations | Status::MaxTime | Status::MaxEvaluations
                if met(1.0) =>
            {
                Status::Converged
            }
            status => status,
        };
        let claims = end.status.is_converged() || end.status == Status::Finished;
        if claims && value.is_some_and(|v| !v.is_finite()) {
            *end = End::because(Status::NonFinite, "F is not finite at the returned point");
        }
    }
}

pub(crate) fn reduced(nearly: bool) -> Status {
    if nearly {
        Status::ConvergedReduced
    } else {
        Status::Stalled
    }
}
