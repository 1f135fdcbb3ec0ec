//! A race: every method on one problem under one referee, recorded step by step.

use crate::args::Global;
use crate::progress;
use quadric::core::{AnyMethod, Budget, Control, Driver, Outcome, Result, Tolerance};
use quadric::models::Glm;
use quadric::opt::registry;
use quadric::report::{Family, Point, Run};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Relative suboptimalities whose first time of arrival is reported.
pub(crate) const TARGETS: [f64; 3] = [1e-4, 1e-8, 1e-12];

/// One method's way through the problem, values not yet compared with the optimum.
pub(crate) struct Lap {
    pub(crate) entry: &'static registry::Entry,
    pub(crate) outcome: Outcome<f64>,
    steps: Vec<Step>,
}

struct Step {
    iteration: u64,
    seconds: f64,
    passes: f64,
    value: Option<f64>,
    gradient: Option<f64>,
}

/// Settings of all laps.
pub(crate) struct Rules {
    pub(crate) tolerance: f64,
    pub(crate) time: Option<Duration>,
    pub(crate) seed: u64,
    pub(crate) interrupt: Arc<AtomicBool>,
}

impl Rules {
    /// Runs one method and records every step.
    ///
    /// # Errors
    /// Those of the method's start; what happens later is a status.
    pub(crate) fn lap(
        &self,
        entry: &'static registry::Entry,
        method: &dyn AnyMethod<f64>,
        problem: &Glm<f64>,
        global: &Global,
    ) -> Result<Lap> {
        let mut steps = Vec::new();
        let mut driver = Driver {
            budget: Budget {
                time: self.time,
                ..Budget::default()
            },
            tolerance: Tolerance {
                relative: self.tolerance,
                absolute: 0.0,
            },
            seed: self.seed,
            interrupt: self.interrupt.clone(),
            ..Driver::default()
        };
        driver.callbacks.push(Box::new(|p| {
            steps.push(Step {
                iteration: p.iteration,
                seconds: p.elapsed.as_secs_f64(),
                passes: p.counts.passes,
                value: p.value,
                gradient: p.optimality,
            });
            Ok(Control::Continue)
        }));
        driver
            .callbacks
            .extend(progress::callback(global, entry.name, self.tolerance));
        let outcome = method.run(&mut driver, problem.start(), problem)?;
        drop(driver);
        Ok(Lap {
            entry,
            outcome,
            steps,
        })
    }
}

impl Lap {
    /// The lowest value seen.
    pub(crate) fn best(&self) -> Option<f64> {
        let values = self
            .steps
            .iter()
            .filter_map(|s| s.value)
            .chain(self.outcome.value);
        values.filter(|v| v.is_finite()).min_by(f64::total_cmp)
    }

    /// The lap as the report shows it, compared with the optimum `best`.
    pub(crate) fn run(&self, best: f64) -> Run {
        let relative = |value: f64| (value - best) / best.abs().max(f64::MIN_POSITIVE);
        let time_to = TARGETS.map(|target| {
            let reached = self
                .steps
                .iter()
                .find(|s| s.value.is_some_and(|v| relative(v) <= target));
            (target, reached.map(|s| s.seconds))
        });
        Run {
            method: self.entry.name.to_owned(),
            family: family(self.entry.family),
            status: self.outcome.status.name().to_owned(),
            reason: self.outcome.reason.clone(),
            iterations: self.outcome.iterations,
            passes: self.outcome.counts.passes,
            seconds: self.outcome.elapsed.as_secs_f64(),
            objective: self.outcome.value,
            certificate: self
                .outcome
                .certificate
                .map(|c| (c.kind.to_owned(), c.value)),
            time_to: time_to.to_vec(),
            points: thin(&self.steps).map(|s| s.point(relative)).collect(),
        }
    }
}

/// A family of the registry as the report has it.
pub(crate) fn family(family: registry::Family) -> Family {
    match family {
        registry::Family::FirstOrder => Family::FirstOrder,
        registry::Family::QuasiNewton => Family::QuasiNewton,
        registry::Family::SecondOrder => Family::SecondOrder,
    }
}

impl Step {
    fn point(&self, relative: impl Fn(f64) -> f64) -> Point {
        Point {
            iteration: self.iteration,
            seconds: self.seconds,
            passes: self.passes,
            suboptimality: self.value.map(relative),
            gradient_norm: self.gradient,
        }
    }
}

/// At most about a thousand steps of a lap, evenly spread in their logarithm, the first and last among them.
fn thin(steps: &[Step]) -> impl Iterator<Item = &Step> {
    const KEEP: f64 = 1000.0;
    let last = steps.len().saturating_sub(1);
    let growth = (steps.len() as f64).powf(1.0 / KEEP) - 1.0;
    let mut next = 0.0;
    steps.iter().enumerate().filter_map(move |(i, step)| {
        if i as f64 >= next || i == last {
            next = (i as f64 + 1.0).max((i as f64 + 1.0) * (1.0 + growth));
            return Some(step);
        }
        None
    })
}
