//! L-BFGS on many columns in lock step: every column makes the steps of [`Lbfgs`](super::Lbfgs) with
//! [`StrongWolfe`](crate::search::StrongWolfe) on its own problem, and the columns that are still at work are evaluated
//! together, in one pass over the data they share.
//!
//! Each column has its own pairs, line search, restart and certificate. One whose proven gap meets the tolerance drops out;
//! so does one that stalls or has no minimiser, and the run goes on for the others. A column's line search that wants
//! another trial waits for no one: the trials of a step are evaluated in rounds, each of those columns only that need one.

use super::lbfgs::{LbfgsConfig, LbfgsState};
use crate::config::{Config, Fault};
use crate::descent::{Standing, descent_slope};
use crate::search::{Search, StrongWolfe, rounding};
use quadric_core::{
    Columns, Context, Exit, Line, Method, Point, Problem, Reading, Result, Scalar, State, Visitor,
    vector,
};
use quadric_linalg::parallel::map;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A column is certified when its gradient has fallen to this part of what it was at the last certificate (or the last
/// one, carried on, promises that the tolerance is met). A certificate costs a column several passes.
const FALL: f64 = 0.1;

/// Unknowns from which the columns' directions are worth threads.
const PARALLEL: usize = 1 << 14;

/// The method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchedLbfgs {
    /// Pairs kept per column.
    pub memory: usize,
    /// The line search of every column.
    pub rule: StrongWolfe,
}

/// What a column is doing, as it is saved.
const AT_WORK: u64 = 0;
/// Its gap met the tolerance.
const DONE: u64 = 1;
/// No step makes progress; a last certificate is due.
const STALLED: u64 = 2;
/// Left where it stalled, its gap above the tolerance.
const LEFT: u64 = 3;
/// F has no minimiser.
const UNBOUNDED: u64 = 4;

quadric_core::state! {
    /// One column between two steps.
    pub(crate) struct Column[T: Scalar] {
        at: Standing<T>,
        pairs: LbfgsState<T>,
        /// What it is doing.
        phase: u64,
        /// Its last certificate, and the largest entry of the gradient there.
        bound: f64,
        scale: f64,
        certified_at: f64,
    }
}

/// A column's line search.
struct Trial {
    search: Search,
    /// Set once the length is settled and only the gradient there is missing.
    settled: bool,
    /// True while the column may still forget its pairs and try steepest descent.
    may_reset: bool,
}

/// The memory of all columns. The buffers do not outlive a step.
pub struct BatchedState<T: Scalar> {
    columns: Vec<Column<T>>,
    /// Directions, trial points and their gradients, (dim) each.
    d: Vec<T>,
    point: Vec<T>,
    gradient: Vec<T>,
    values: Vec<f64>,
    trials: Vec<Option<Trial>>,
    which: Vec<usize>,
}

impl<T: Scalar> State for BatchedState<T> {
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()> {
        for (c, column) in self.columns.iter_mut().enumerate() {
            column.visit(&format!("{path}/{c}"), v)?;
        }
        Ok(())
    }
}

impl<T: Scalar> Column<T> {
    fn optimality(&self) -> f64 {
        vector::max_abs(&self.at.g)
    }

    fn is_certificate_due(&self, cx: &Context) -> bool {
        if self.phase == STALLED {
            return true;
        }
        let ratio = self.optimality() / self.certified_at;
        let last = quadric_core::Gap {
            bound: self.bound,
            scale: self.scale,
        };
        self.phase == AT_WORK
            && (ratio <= FALL || cx.tolerance.met(&last.certificate().predicted(ratio), 1.0))
    }

    /// Starts a line from `x`, from the steepest descent if the pairs' direction is none of descent; `None` where there is
    /// no way down. Says whether the newest pair was skipped.
    fn start(&mut self, rule: StrongWolfe, x: &[T], d: &mut [T]) -> (Option<Trial>, bool) {
        let mut may_reset = true;
        if self.at.is_tired() {
            if self.at.rested || !self.pairs.reset() {
                return (None, false);
            }
            self.at.idle = 0;
            self.at.rested = true;
            may_reset = false;
        }
        let point = Point {
            x,
            f: self.at.f,
            g: &self.at.g,
        };
        let kept = self.pairs.direction(point, d);
        (self.line(rule, x, d, may_reset), !kept)
    }

    /// A line along `d`, or along the steepest descent where `d` leads nowhere and the pairs may be forgotten.
    fn line(&mut self, rule: StrongWolfe, x: &[T], d: &mut [T], may_reset: bool) -> Option<Trial> {
        if let Some(slope) = descent_slope(&self.at.g, d) {
            return Some(Trial {
                search: Search::new(rule, slope, rounding::<T>(self.at.f)),
                settled: false,
                may_reset,
            });
        }
        self.restart(rule, x, d, may_reset)
    }

    /// The line of steepest descent, if the pairs may be forgotten and there are any.
    fn restart(
        &mut self,
        rule: StrongWolfe,
        x: &[T],
        d: &mut [T],
        may_reset: bool,
    ) -> Option<Trial> {
        if !(may_reset && self.pairs.reset()) {
            return None;
        }
        let point = Point {
            x,
            f: self.at.f,
            g: &self.at.g,
        };
        self.pairs.direction(point, d);
        self.line(rule, x, d, false)
    }
}

impl<T: Scalar> BatchedState<T> {
    fn new(memory: usize, dim: usize, m: usize) -> Self {
        let zeros = || vec![T::of(0.0); dim];
        let n = dim / m;
        let column = |_| Column {
            at: Standing::of(0.0, vec![T::of(0.0); n]),
            pairs: LbfgsState::new(memory, n),
            phase: AT_WORK,
            bound: f64::INFINITY,
            scale: 0.0,
            certified_at: f64::INFINITY,
        };
        Self {
            columns: (0..m).map(column).collect(),
            d: zeros(),
            point: zeros(),
            gradient: zeros(),
            values: vec![0.0; m],
            trials: (0..m).map(|_| None).collect(),
            which: Vec::with_capacity(m),
        }
    }

    /// Unknowns per column.
    fn width(&self) -> usize {
        self.d.len() / self.columns.len()
    }

    /// Makes `which` the columns that satisfy `f`.
    fn choose(&mut self, f: impl Fn(&Column<T>) -> bool) {
        let columns = self.columns.iter().enumerate();
        self.which.clear();
        self.which
            .extend(columns.filter_map(|(c, column)| f(column).then_some(c)));
    }

    /// Evaluates columns where their values are not known.
    fn refresh(&mut self, p: &dyn Columns<T>, x: &[T]) -> Result<()> {
        self.choose(|column| !column.at.fresh);
        if self.which.is_empty() {
            return Ok(());
        }
        p.values_grads(&self.which, x, &mut self.values, &mut self.gradient)?;
        let n = self.width();
        for &c in &self.which {
            let at = &mut self.columns[c].at;
            at.f = self.values[c];
            at.g.copy_from_slice(&self.gradient[c * n..(c + 1) * n]);
            at.fresh = true;
        }
        Ok(())
    }

    /// Directions and line searches of all columns at work.
    fn start_lines(&mut self, rule: StrongWolfe, x: &[T], cx: &mut Context) {
        let n = self.width();
        let start = |(((column, trial), d), x): (((&mut Column<T>, &mut Option<Trial>), _), _)| {
            *trial = None;
            if column.phase != AT_WORK {
                return 0u32;
            }
            let (line, skipped) = column.start(rule, x, d);
            *trial = line;
            u32::from(skipped)
        };
        let skipped: u32 = if self.d.len() < PARALLEL {
            let columns = self.columns.iter_mut().zip(&mut self.trials);
            let parts = columns
                .zip(self.d.chunks_exact_mut(n))
                .zip(x.chunks_exact(n));
            parts.map(start).sum()
        } else {
            let columns = self.columns.iter_mut().zip(&mut self.trials);
            let parts = columns
                .zip(self.d.chunks_exact_mut(n))
                .zip(x.chunks_exact(n));
            map(parts, |_, part| start(part)).iter().sum()
        };
        if skipped > 0 {
            cx.note("skipped_pairs", f64::from(skipped));
        }
        for (column, trial) in self.columns.iter_mut().zip(&self.trials) {
            if column.phase == AT_WORK && trial.is_none() {
                column.phase = STALLED;
            }
        }
    }

    /// Writes the trial point of every line that is still searched and lists their columns. A line whose trial does not
    /// move the point any more is given up.
    fn place_trials(&mut self, rule: StrongWolfe, x: &[T], cx: &mut Context) {
        let n = self.width();
        self.which.clear();
        for c in 0..self.columns.len() {
            let part = c * n..(c + 1) * n;
            let x = &x[part.clone()];
            while let Some(trial) = &mut self.trials[c] {
                let point = &mut self.point[part.clone()];
                Line::point(x, &self.d[part.clone()], trial.search.trial(), point);
                if point != x {
                    self.which.push(c);
                    break;
                }
                // Rounding ends the search: at the lower end, or where it began.
                if trial.search.fallback() > 0.0 && !trial.settled {
                    trial.settle();
                } else {
                    let (may_reset, d) = (trial.may_reset, &mut self.d[part.clone()]);
                    self.trials[c] = self.columns[c].restart(rule, x, d, may_reset);
                    self.after_failure(c, cx);
                }
            }
        }
    }

    /// Books that a line led nowhere.
    fn after_failure(&mut self, c: usize, cx: &mut Context) {
        if self.trials[c].is_some() {
            cx.note("resets", 1.0);
        } else {
            self.columns[c].phase = STALLED;
        }
    }

    /// Lets every search learn from its trial; columns whose search is over move there.
    fn judge_trials(&mut self, rule: StrongWolfe, x: &mut [T], cx: &mut Context) {
        let n = self.width();
        for i in 0..self.which.len() {
            let c = self.which[i];
            let part = c * n..(c + 1) * n;
            let Some(trial) = &mut self.trials[c] else {
                continue;
            };
            let (value, g) = (self.values[c], &self.gradient[part.clone()]);
            let column = &mut self.columns[c];
            if !trial.settled {
                let slope = vector::dot(g, &self.d[part.clone()]);
                let tried = trial.search.trial();
                match trial.search.judge(value - column.at.f, slope) {
                    None => continue,
                    Some(length) if length == tried => {}
                    Some(length) if length > 0.0 => {
                        trial.settle();
                        continue;
                    }
                    Some(_) => {
                        let (may_reset, x) = (trial.may_reset, &x[part.clone()]);
                        self.trials[c] = column.restart(rule, x, &mut self.d[part], may_reset);
                        self.after_failure(c, cx);
                        continue;
                    }
                }
            }
            column.at.f = value;
            column.at.g.copy_from_slice(g);
            x[part.clone()].copy_from_slice(&self.point[part]);
            self.trials[c] = None;
            if column.at.book().exit.is_some() {
                column.phase = UNBOUNDED;
            }
        }
    }

    /// Certifies the columns that are due; those that are done leave.
    fn certify(&mut self, p: &dyn Columns<T>, x: &[T], cx: &Context) -> Result<()> {
        self.choose(|column| column.is_certificate_due(cx));
        if self.which.is_empty() {
            return Ok(());
        }
        for (&c, gap) in self.which.iter().zip(p.gaps(&self.which, x)?) {
            let column = &mut self.columns[c];
            (column.bound, column.scale) = (gap.bound, gap.scale);
            column.certified_at = column.optimality();
            if cx.tolerance.met(&gap.certificate(), 1.0) {
                column.phase = DONE;
            } else if p.column_recession(c, x)?.is_some() {
                column.phase = UNBOUNDED;
            } else if column.phase == STALLED {
                column.phase = LEFT;
            }
        }
        Ok(())
    }

    /// Why the run ends, once no column is at work.
    fn exit(&self, p: &dyn Columns<T>, x: &[T]) -> Result<Option<Exit>> {
        if self.columns.iter().any(|column| column.phase == AT_WORK) {
            return Ok(None);
        }
        let unbounded = self.columns.iter().position(|c| c.phase == UNBOUNDED);
        let Some(c) = unbounded else {
            return Ok(Some(Exit::Stalled));
        };
        let why = match p.column_recession(c, x)? {
            Some(why) => why,
            None => format!("F fell to {:e} and keeps falling", self.columns[c].at.f),
        };
        let which = format!("column {} of {}", c + 1, self.columns.len());
        Ok(Some(Exit::Unbounded(format!("{which}: {why}"))))
    }

    fn reading(&self, exit: Option<Exit>) -> Reading {
        Reading {
            value: Some(self.columns.iter().map(|column| column.at.f).sum()),
            exit,
            ..Reading::default()
        }
    }
}

impl Trial {
    /// Makes the fallback the length to go.
    fn settle(&mut self) {
        self.search.settle();
        self.settled = true;
    }
}

impl<T: Scalar> Method<T> for BatchedLbfgs {
    type Problem<'p> = dyn Columns<T> + 'p;
    type State = BatchedState<T>;

    fn init<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        _: &mut Context,
    ) -> Result<(Self::State, Reading)> {
        let mut s = BatchedState::new(self.memory, x.len(), p.columns());
        s.choose(|_| true);
        p.values_grads(&s.which, x, &mut s.values, &mut s.gradient)?;
        let n = s.width();
        for (c, column) in s.columns.iter_mut().enumerate() {
            let g = s.gradient[c * n..(c + 1) * n].to_vec();
            column.at = Standing::of(s.values[c], g);
            column.certified_at = column.optimality();
        }
        // Without an optimality of its own the whole is certified by the driver at the end only.
        let reading = s.reading(None);
        Ok((s, reading))
    }

    fn step<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        s: &mut Self::State,
        cx: &mut Context,
    ) -> Result<Reading> {
        s.refresh(p, x)?;
        s.start_lines(self.rule, x, cx);
        s.place_trials(self.rule, x, cx);
        while !s.which.is_empty() {
            cx.note("trials", s.which.len() as f64);
            p.values_grads(&s.which, &s.point, &mut s.values, &mut s.gradient)?;
            s.judge_trials(self.rule, x, cx);
            s.place_trials(self.rule, x, cx);
        }
        s.certify(p, x, cx)?;
        let at_work = s.columns.iter().filter(|c| c.phase == AT_WORK);
        cx.note("columns", at_work.clone().count() as f64);
        cx.note(
            "gradient",
            at_work.map(Column::optimality).fold(0.0, f64::max),
        );
        let exit = s.exit(p, x)?;
        Ok(s.reading(exit))
    }

    fn memory(&self, p: &dyn Problem<T>) -> usize {
        (2 * self.memory + 7) * p.dim() * size_of::<T>()
    }

    fn recover(&self, s: &mut Self::State) -> bool {
        for column in &mut s.columns {
            column.at.fresh = false;
            column.pairs.reset();
            column.phase = AT_WORK;
        }
        true
    }
}

/// Options of `batched-l-bfgs`: those of `l-bfgs`, for every column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchedLbfgsConfig(pub LbfgsConfig);

impl JsonSchema for BatchedLbfgsConfig {
    fn schema_name() -> Cow<'static, str> {
        "BatchedLbfgsConfig".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        LbfgsConfig::json_schema(generator)
    }
}

impl Config for BatchedLbfgsConfig {
    type Method = BatchedLbfgs;

    fn faults(&self) -> Vec<Fault> {
        self.0.faults()
    }

    fn method(&self) -> Self::Method {
        let single = self.0.method();
        BatchedLbfgs {
            memory: single.direction.memory,
            rule: single.rule,
        }
    }
}
