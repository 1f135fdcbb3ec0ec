//! Fits that belong to one command: they share its time limit, and a checkpoint of those that are finished.

use super::Job;
use crate::args::Global;
use crate::commands::solve::Solve;
use crate::progress;
use quadric::core::{
    AnyMethod, Container, Counts, Driver, Error, ErrorKind, Overwrite, Problem, Result, Scalar,
    Status, Tensor,
};
use quadric::models::Fitted;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const KIND: &str = "fits";

/// A fit that ended so is not finished.
const STOPPED: [Status; 2] = [Status::Interrupted, Status::MaxTime];

/// The fits of a command, in the order in which they are asked for.
pub(super) struct Series<'a> {
    solve: &'a Solve,
    global: &'a Global,
    interrupt: &'a Arc<AtomicBool>,
    /// What the fits are of, for messages.
    of: &'static str,
    /// Finished fits, of earlier sittings too, and how many of them have been asked for.
    done: Vec<Fitted<f64>>,
    next: usize,
    /// Time of earlier sittings.
    before: f64,
    start: Instant,
    saving: Option<Saving>,
}

/// Where finished fits are saved.
struct Saving {
    path: PathBuf,
    every: Duration,
    last: Instant,
    /// What decides the numbers: data, problem, method.
    identity: String,
}

/// A finished fit without its point.
#[derive(Serialize, Deserialize)]
struct Summary {
    status: Vec<String>,
    iterations: u64,
    counts: Counts,
    seconds: f64,
}

impl<'a> Series<'a> {
    /// Goes on with the fits in the checkpoint beside the one of `files`, if it is to be resumed and there.
    ///
    /// # Errors
    /// A checkpoint that is damaged or of another command.
    pub(super) fn new(of: &'static str, job: Job<'a>, question: &Value) -> Result<Self> {
        let Job {
            plan,
            data,
            files,
            global,
            interrupt,
        } = job;
        let solve = &plan.solve;
        let identity = json!([
            question,
            data.fingerprint(),
            plan.options.loss,
            plan.options.intercept,
            [
                json!(solve.method),
                json!(solve.settings),
                json!(solve.tolerance)
            ],
            solve.seed,
            solve.single,
        ])
        .to_string();
        let now = Instant::now();
        let beside = |path: &PathBuf| {
            let mut name = path.clone().into_os_string();
            name.push(".fits");
            PathBuf::from(name)
        };
        let mut series = Self {
            solve,
            global,
            interrupt,
            of,
            done: Vec::new(),
            next: 0,
            before: 0.0,
            start: now,
            saving: None,
        };
        if let Some(path) = files.resume.as_ref().map(beside)
            && path.exists()
        {
            series.read(&path, &identity)?;
        }
        series.saving = files.checkpoint.as_ref().map(|policy| Saving {
            path: beside(&policy.path),
            every: policy.every.unwrap_or(Duration::ZERO),
            last: now,
            identity,
        });
        Ok(series)
    }

    /// Minimises a problem from a start with the command's method and limits, its time limit less what is spent.
    ///
    /// # Errors
    /// Whatever forbids the fit, or its checkpoint.
    pub(super) fn fit<T: Scalar>(
        &mut self,
        method: &dyn AnyMethod<T>,
        problem: &dyn Problem<T>,
        start: Vec<T>,
        adjust: impl FnOnce(&mut Driver<'_>),
    ) -> Result<Fitted<T>> {
        let at = self.next;
        self.next += 1;
        if let Some(known) = self.done.get(at) {
            return Ok(cast(known));
        }
        let mut driver = self.solve.driver(self.interrupt);
        let left = self.time_left();
        driver.budget.time = left;
        adjust(&mut driver);
        let label = format!("{} {}", self.of, at + 1);
        let shown = progress::callback(self.global, &label, driver.tolerance.relative);
        driver.callbacks.extend(shown);
        let outcome = method.run(&mut driver, start, problem)?;
        drop(driver);
        let fitted = Fitted::from(outcome);
        let stopped = fitted.status.iter().any(|s| STOPPED.contains(s));
        if !stopped {
            self.done.push(cast(&fitted));
        }
        self.save(stopped)?;
        Ok(fitted)
    }

    /// The fit, unless it was stopped before its end.
    ///
    /// # Errors
    /// It was.
    pub(super) fn finished<T>(&self, fitted: Fitted<T>) -> Result<Fitted<T>> {
        let Some(status) = fitted.status.iter().find(|s| STOPPED.contains(s)) else {
            return Ok(fitted);
        };
        let why = match status {
            Status::Interrupted => "interrupted",
            _ => "the time limit is spent",
        };
        let text = format!("{why} in {} {}", self.of, self.next);
        let hint = match &self.saving {
            Some(_) => "the fits before it are saved; --resume goes on from there",
            None => "with --resume a run goes on from its finished fits",
        };
        Err(Error::new(ErrorKind::Stopped, text).with_hint(hint))
    }

    /// What is left of the time limit, for fits of the command outside of the series too.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let spent = Duration::from_secs_f64(self.spent());
        self.solve
            .budget
            .time
            .map(|limit| limit.saturating_sub(spent))
    }

    fn spent(&self) -> f64 {
        self.before + self.start.elapsed().as_secs_f64()
    }

    /// Writes the finished fits, if that is due or asked for.
    ///
    /// # Errors
    /// The operating system refuses.
    pub(super) fn save(&mut self, now: bool) -> Result<()> {
        let spent = self.spent();
        let Some(saving) = &mut self.saving else {
            return Ok(());
        };
        if !now && saving.last.elapsed() < saving.every {
            return Ok(());
        }
        let mut c = Container::new(KIND);
        let mut summaries = Vec::with_capacity(self.done.len());
        for (i, fitted) in self.done.iter().enumerate() {
            c.tensors
                .insert(format!("x{i}"), Tensor::f64(fitted.x.clone()));
            summaries.push(Summary {
                status: fitted.status.iter().map(|s| s.name().into()).collect(),
                iterations: fitted.iterations,
                counts: fitted.counts,
                seconds: fitted.seconds,
            });
        }
        let text = serde_json::to_string(&(spent, summaries))
            .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        c.metadata.insert("fits".into(), text);
        c.metadata
            .insert("identity".into(), saving.identity.clone());
        c.write(&saving.path, Overwrite::Replace)?;
        saving.last = Instant::now();
        Ok(())
    }

    fn read(&mut self, path: &Path, identity: &str) -> Result<()> {
        let file = path.display().to_string();
        let c = Container::read_kind(path, KIND)?;
        if c.string("identity", &file)? != identity {
            return Err(Error::new(
                ErrorKind::Argument,
                format!("{file} holds the fits of another command"),
            )
            .with_hint("resume with the same data and options, or delete the file"));
        }
        let bad = |what: String| Error::malformed(&file, what);
        let (spent, summaries): (f64, Vec<Summary>) =
            serde_json::from_str(c.string("fits", &file)?).map_err(|e| bad(e.to_string()))?;
        if !(0.0..1e12).contains(&spent) {
            return Err(bad(format!("{spent} seconds")));
        }
        for (i, summary) in summaries.into_iter().enumerate() {
            let Tensor::F64 { data, .. } = c.tensor(&format!("x{i}"), &file)? else {
                return Err(bad(format!("`x{i}` is not f64")));
            };
            let status = summary.status.iter().map(|name| {
                Status::from_name(name).ok_or_else(|| bad(format!("the status `{name}`")))
            });
            self.done.push(Fitted {
                x: data.clone(),
                status: status.collect::<Result<_>>()?,
                iterations: summary.iterations,
                counts: summary.counts,
                seconds: summary.seconds,
            });
        }
        self.before = spent;
        Ok(())
    }
}

fn cast<T: Scalar, U: Scalar>(fitted: &Fitted<T>) -> Fitted<U> {
    Fitted {
        x: fitted.x.iter().map(|v| U::of(v.to_f64())).collect(),
        status: fitted.status.clone(),
        iterations: fitted.iterations,
        counts: fitted.counts,
        seconds: fitted.seconds,
    }
}
