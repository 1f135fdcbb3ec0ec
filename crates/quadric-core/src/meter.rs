//! The driver's hook: counts evaluations and refuses those beyond the budget.

use crate::{Budget, Clock, Counts, Error, ErrorKind, Hook, Result, Status, Work};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Counts evaluations and refuses those beyond the budget.
pub(crate) struct Meter {
    budget: Budget,
    clock: Arc<dyn Clock>,
    interrupt: Arc<AtomicBool>,
    inner: Mutex<Inner>,
}

#[derive(Clone, Copy)]
struct Inner {
    counts: Counts,
    /// When this sitting started.
    start: Duration,
    /// Time of earlier sittings.
    before: Duration,
    /// Why an evaluation was refused.
    cause: Option<Status>,
}

impl Meter {
    pub(crate) fn new(budget: Budget, clock: Arc<dyn Clock>, interrupt: Arc<AtomicBool>) -> Self {
        let inner = Inner {
            counts: Counts::default(),
            start: clock.now(),
            before: Duration::ZERO,
            cause: None,
        };
        Self {
            budget,
            clock,
            interrupt,
            inner: Mutex::new(inner),
        }
    }

    /// A panic of an evaluation leaves plain numbers behind, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Goes on from the counts and the time of earlier sittings.
    pub(crate) fn restore(&self, counts: Counts, elapsed: Duration) {
        let mut inner = self.lock();
        inner.counts = counts;
        inner.before = elapsed;
    }

    /// Time since the start of the run, all sittings together.
    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed_of(&self.lock())
    }

    fn elapsed_of(&self, inner: &Inner) -> Duration {
        inner.before + self.clock.now().saturating_sub(inner.start)
    }

    /// Why an evaluation was refused, if one was.
    pub(crate) fn cause(&self) -> Option<Status> {
        self.lock().cause
    }

    /// Which limit forbids going on.
    pub(crate) fn spent(&self) -> Option<Status> {
        let is_late = || {
            self.budget
                .time
                .is_some_and(|limit| self.elapsed() >= limit)
        };
        if self.interrupt.load(Ordering::Relaxed) {
            Some(Status::Interrupted)
        } else if is_late() {
            Some(Status::MaxTime)
        } else {
            None
        }
    }
}

impl Hook for Meter {
    fn before(&self, work: Work, columns: usize, fraction: f64) -> Result<()> {
        let spent = self.spent();
        let mut inner = self.lock();
        let evaluates = matches!(work, Work::Value | Work::Gradient);
        let columns = columns as u64;
        let is_over = |limit| evaluates && inner.counts.evaluations() + columns > limit;
        let spent = spent.or_else(|| {
            let over = self.budget.evaluations.is_some_and(is_over);
            over.then_some(Status::MaxEvaluations)
        });
        if let Some(status) = spent {
            inner.cause = Some(status);
            return Err(Error::new(ErrorKind::Stopped, status.name()));
        }
        let counts = &mut inner.counts;
        match work {
            Work::Value => counts.values += 1,
            Work::Gradient => counts.gradients += columns,
            Work::Prepare => counts.hessians += 1,
            Work::Product => counts.products += columns,
            Work::Dense => counts.dense_hessians += 1,
        }
        if work != Work::Prepare {
            counts.passes += fraction;
        }
        Ok(())
    }
}
