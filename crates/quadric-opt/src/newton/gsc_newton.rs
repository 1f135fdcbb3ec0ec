//! Newton's method for generalised self-concordant functions, from any start and without step sizes to tune.
//!
//! Marteau-Ferey, Bach, Rudi, "Globally convergent Newton methods for ill-conditioned generalized self-concordant losses"
//! (arXiv 1907.01771) follow a path of regularised problems, every one of which is left inside the region of quadratic
//! convergence; this is the schedule `paper`. Its constants are far too cautious in practice, so the default takes
//! safeguarded steps on F itself: the full Newton step wherever it decreases F enough, else a shorter one, never shorter
//! than the step that self-concordance proves safe (module `damping`). Where a step had to be cut, the next ones are damped
//! (module `schedule`): Levenberg, "A method for the solution of certain non-linear problems in least squares" (1944).
//! Deviations from the paper: the added regularisation pulls towards the start instead of the origin, which keeps warm
//! starts warm.

mod corrected;
mod polish;
mod warm_up;

use super::damping::{Accepted, Model, Search};
use super::schedule::{Level, Path, Schedule, StepFacts};
use super::system::{LinearSolver, Newton, Preconditioner, Settings, System};
use super::watch::Watch;
use crate::config::{Config, Fault};
use crate::quasi_newton::LbfgsState;
use crate::scratch::Scratch;
use corrected::Corrected;
use quadric_core::{
    Context, Exit, Line, LinearOperator, Method, Problem, Reading, Result, Scalar, SelfConcordant,
    Trial, vector,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Globally convergent Newton for generalised self-concordant problems: logistic, softmax, Poisson and squared losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GscNewton {
    /// How added damping or regularisation leads to F.
    pub schedule: Schedule,
    /// The levels of the schedule `list`.
    pub levels: Vec<Level>,
    /// How the Newton systems are solved.
    pub linear_solver: LinearSolver,
    /// What makes conjugate gradients fast.
    pub preconditioner: Preconditioner,
    /// Relative accuracy of a Newton direction in the norm of the Hessian; 1/7 is the paper's. It tightens near the optimum.
    pub forcing: f64,
    /// Most conjugate gradient steps per Newton step.
    pub max_cg: usize,
    /// Most unknowns for which a dense Hessian is formed; 4,000 take 128 MB.
    pub max_dense: usize,
    /// Rank of the Nyström preconditioner, at most.
    pub nystrom_rank: usize,
    /// Fraction of the guaranteed decrease that a longer step must reach; 0.25 keeps nearly every full step.
    pub decrease: f64,
    /// Strong convexity of F in every one of the problem's coordinates; schedules `paper` and `measured` need it.
    pub l2: f64,
    /// Largest norm in the set that bounds the third derivative, for `paper` and `measured`; 0: bounded from the problem,
    /// at the price of one evaluation of its concordance per unknown.
    pub radius: f64,
}

/// Accuracy of damped and regularised directions, which need not be solved well.
const ON_PATH: f64 = 0.3;
/// A squared decrement of this fraction of F, here or at the start, counts as nothing.
const INFIMUM: f64 = 1e-6;

impl Default for GscNewton {
    fn default() -> Self {
        Self {
            schedule: Schedule::Auto,
            levels: Vec::new(),
            linear_solver: LinearSolver::Auto,
            preconditioner: Preconditioner::Auto,
            forcing: 1.0 / 7.0,
            max_cg: 1000,
            max_dense: 4000,
            nystrom_rank: 128,
            decrease: 0.25,
            l2: 0.0,
            radius: 0.0,
        }
    }
}

impl Config for GscNewton {
    type Method = Self;

    fn faults(&self) -> Vec<Fault> {
        let mut found = self.settings().faults();
        let mut check = |ok: bool, name: &str, value: String, expected: &str| {
            if !ok {
                found.push(Fault::range(name, value, expected));
            }
        };
        let (f, decrease) = (self.forcing, self.decrease);
        check(
            f > 0.0 && f < 1.0,
            "forcing",
            f.to_string(),
            "a number in (0, 1)",
        );
        check(
            decrease > 0.0 && decrease <= 1.0,
            "decrease",
            decrease.to_string(),
            "a number in (0, 1]",
        );
        for (name, v) in [("l2", self.l2), ("radius", self.radius)] {
            let ok = v >= 0.0 && v.is_finite();
            check(ok, name, v.to_string(), "a finite number of at least 0");
        }
        let count = format!("a list of {}", self.levels.len());
        match self.schedule {
            Schedule::List => check(!self.levels.is_empty(), "levels", count, "a level at least"),
            _ => check(
                self.levels.is_empty(),
                "levels",
                count,
                "none but with `schedule` = list",
            ),
        }
        for (i, l) in self.levels.iter().enumerate() {
            check(
                l.mu >= 0.0 && l.mu.is_finite() && l.steps > 0 && l.cg != Some(0),
                &format!("levels[{i}]"),
                format!("{l:?}"),
                "a finite mu of at least 0 and at least one step of each kind",
            );
        }
        if matches!(self.schedule, Schedule::Paper | Schedule::Measured) {
            let expected = "the penalty on every unknown, positive, for this `schedule`";
            check(self.l2 > 0.0, "l2", self.l2.to_string(), expected);
        }
        if self.schedule == Schedule::Measured {
            let ok = self.linear_solver == LinearSolver::Cholesky;
            let value = format!("{:?}", self.linear_solver);
            check(
                ok,
                "linear_solver",
                value,
                "cholesky with `schedule` = measured",
            );
        }
        found
    }

    fn method(&self) -> Self {
        self.clone()
    }
}

quadric_core::state! {
    /// The memory of [`GscNewton`].
    pub struct GscState[T: Scalar] {
        /// F where the method stands.
        value: f64,
        /// Its gradient there.
        gradient: Vec<T>,
        /// Where the run began: the centre of the added regularisation.
        start: Vec<T>,
        /// `|F|` there.
        start_value: f64,
        /// Largest norm in the set that bounds the third derivative; only of use to the published schedules.
        radius: f64,
        /// Position on the path of regularisation.
        path: Path,
        /// True once the path is laid out.
        on_path: bool,
        /// Steps before the first Newton system.
        corrected: Corrected<T>,
        /// Choice of the linear solver.
        system: System<T>,
        /// Newton decrement of the first of the latest full steps on F itself; 0 if the last step was none.
        first_decrement: f64,
        /// That of the last one.
        last_decrement: f64,
        /// Longest step to try: below 1 after a step that left the domain.
        longest: f64,
        /// True if value and gradient belong to another point.
        stale: bool,
        /// Looks for an end of progress.
        watch: Watch,
        /// Buffers without information.
        work: Scratch<Option<Buffers<T>>>,
    }
}

/// Buffers of one step.
pub struct Buffers<T: Scalar> {
    /// Gradient with the added regularisation.
    rhs: Vec<T>,
    d: Vec<T>,
    trial: Trial<T>,
    /// The steps since the last factorisation.
    secants: LbfgsState<T>,
}

impl<T: Scalar> Buffers<T> {
    fn new(dim: usize) -> Self {
        Self {
            rhs: vec![T::of(0.0); dim],
            d: vec![T::of(0.0); dim],
            trial: Trial::default(),
            secants: LbfgsState::new(polish::SECANTS, dim),
        }
    }
}

impl GscNewton {
    /// True if mu is damping about the point at hand, not regularisation about the start.
    fn damps(&self) -> bool {
        self.schedule == Schedule::Auto
    }

    fn settings(&self) -> Settings {
        Settings {
            solver: self.linear_solver,
            preconditioner: self.preconditioner,
            max_cg: self.max_cg,
            max_dense: self.max_dense,
            nystrom_rank: self.nystrom_rank,
        }
    }

    /// `sup ‖g‖`, given or bounded through the coordinate directions.
    fn find_radius<T: Scalar>(&self, p: &dyn SelfConcordant<T>) -> Result<f64> {
        if self.radius > 0.0 || !matches!(self.schedule, Schedule::Paper | Schedule::Measured) {
            return Ok(self.radius);
        }
        let mut unit = vec![T::of(0.0); p.dim()];
        let mut sum = 0.0;
        for j in 0..unit.len() {
            unit[j] = T::of(1.0);
            sum += p.concordance(&unit)?.powi(2);
            unit[j] = T::of(0.0);
        }
        Ok(sum.sqrt())
    }

    /// Writes the Newton direction into the buffers; returns the model along it and `dᵀ∇²F d / dᵀd`.
    fn direction<T: Scalar>(
        &self,
        p: &dyn SelfConcordant<T>,
        x: &[T],
        s: &mut GscState<T>,
        cx: &mut Context,
    ) -> Result<(Model, f64)> {
        let hessian = p.hessian(x)?;
        if !s.on_path {
            s.on_path = true;
            let direct = s
                .system
                .is_direct(&self.settings(), hessian.cost(), x.len());
            // No path is needed where few conjugate gradients reach the direction of F itself.
            if !direct
                && self.schedule == Schedule::Auto
                && let Some(model) = self.solve(p, x, &hessian, s, cx, System::solve_easily)?
            {
                return Ok(Self::with_ratio(model, x, s));
            }
            s.path = self.lay_path(p, &s.gradient, direct, s.radius)?;
            self.load_rhs(x, s);
        }
        let mut model = self.solve(p, x, &hessian, s, cx, System::solve)?;
        if self.schedule == Schedule::Measured && s.path.mu > 0.0 {
            let dual = s.system.dual_square(x, &s.start)?;
            s.path
                .lower(self.l2, s.radius, model.slope.sqrt(), dual.sqrt());
            self.load_rhs(x, s);
            model = self.solve(p, x, &hessian, s, cx, System::solve)?;
        }
        Ok(Self::with_ratio(model, x, s))
    }

    /// The model along the direction at hand, with the curvature of F per squared length.
    fn with_ratio<T: Scalar>(mut model: Model, x: &[T], s: &mut GscState<T>) -> (Model, f64) {
        // A direction without curvature: the bound along it is that of a linear function.
        model.curvature = model.curvature.max(f64::EPSILON * model.slope);
        let d = &s.work.get(|| Buffers::new(x.len())).d;
        (model, model.curvature / vector::dot(d, d) - s.path.mu)
    }

    /// Solves the Newton system of the right-hand side at hand with one of the ways of [`System`].
    fn solve<T: Scalar, R>(
        &self,
        p: &dyn SelfConcordant<T>,
        x: &[T],
        hessian: &dyn LinearOperator<T>,
        s: &mut GscState<T>,
        cx: &mut Context,
        way: impl FnOnce(&mut System<T>, &Settings, &Newton<'_, T>, &mut [T], &mut Context) -> Result<R>,
    ) -> Result<R> {
        let steps = usize::try_from(s.path.level).ok();
        let steps = steps.and_then(|level| self.levels.get(level)?.cg);
        // Superlinear near the optimum: the accuracy follows the decrement.
        let tightened = if s.path.mu == 0.0 && s.first_decrement > 0.0 {
            (s.last_decrement / s.first_decrement).max(1e-8)
        } else {
            1.0
        };
        let work = s.work.get(|| Buffers::new(x.len()));
        let at = Newton {
            problem: p,
            x,
            hessian,
            mu: s.path.mu,
            gradient: &work.rhs,
            forcing: if s.path.mu > 0.0 {
                self.forcing.max(ON_PATH)
            } else {
                self.forcing.min(tightened)
            },
            steps,
        };
        way(&mut s.system, &self.settings(), &at, &mut work.d, cx)
    }

    /// The path of regularisation from the start.
    fn lay_path<T: Scalar>(
        &self,
        p: &dyn SelfConcordant<T>,
        gradient: &[T],
        direct: bool,
        radius: f64,
    ) -> Result<Path> {
        Ok(match self.schedule {
            // The first direction of a hard system is nearly that of the gradient.
            Schedule::Auto if !direct => Path::from(0.1 * p.concordance(gradient)?),
            Schedule::Auto | Schedule::Direct => Path::end(),
            // At this level the start lies in the region of quadratic convergence.
            Schedule::Paper | Schedule::Measured => {
                Path::from((7.0 * radius * vector::norm2(gradient) - self.l2).max(0.0))
            }
            Schedule::List => Path::from(self.levels.first().map_or(0.0, |l| l.mu)),
        })
    }

    /// The step along the direction at hand; `None` if F is finite nowhere on it.
    fn search<T: Scalar>(
        &self,
        p: &dyn SelfConcordant<T>,
        x: &[T],
        s: &mut GscState<T>,
        model: Model,
    ) -> Result<Option<Accepted>> {
        let work = s.work.get(|| Buffers::new(x.len()));
        let d = &work.d;
        let mu = s.path.mu;
        let mut model = model;
        if self.damps() {
            // Damping shapes the direction and is no part of F.
            model.curvature =
                (model.curvature - mu * vector::dot(d, d)).max(f64::EPSILON * model.slope);
        }
        let added = if mu > 0.0 && !self.damps() {
            let drift: f64 = vector::dot(x, d) - vector::dot(&s.start, d);
            (mu * drift, 0.5 * mu * vector::dot(d, d))
        } else {
            (0.0, 0.0)
        };
        let trial = std::mem::take(&mut work.trial);
        let mut line = Line::reusing(p, x, d, s.value, trial)?;
        // Differences of full evaluations carry the rounding of F itself.
        let units = if line.is_cheap() { 1.0 } else { 4.0 };
        let accepted = Search {
            added,
            model,
            fraction: self.decrease,
            noise: units * T::EPSILON * s.value.abs(),
            longest: s.longest,
            line: &mut line,
        }
        .run(|| p.concordance(d))?;
        work.trial = line.into_trial();
        Ok(accepted)
    }

    /// Moves to the accepted point and measures F there.
    fn advance<T: Scalar>(
        p: &dyn SelfConcordant<T>,
        x: &mut [T],
        s: &mut GscState<T>,
        length: f64,
    ) -> Result<()> {
        let work = s.work.get(|| Buffers::new(x.len()));
        match work.trial.at {
            Some((at, value, _)) if at == length => {
                x.copy_from_slice(&work.trial.point);
                std::mem::swap(&mut s.gradient, &mut work.trial.gradient);
                s.value = value;
            }
            _ => {
                vector::axpy(length, &work.d, x);
                s.value = p.value_grad(x, &mut s.gradient)?;
            }
        }
        work.trial.at = None;
        Ok(())
    }

    /// Why F has no minimiser, if the last direction or the whole way from the start shows it.
    fn recession<T: Scalar>(
        p: &dyn SelfConcordant<T>,
        x: &[T],
        s: &mut GscState<T>,
    ) -> Result<Option<String>> {
        let work = s.work.get(|| Buffers::new(x.len()));
        if let Some(why) = p.recession(&work.d)? {
            return Ok(Some(why));
        }
        for ((r, x), start) in work.rhs.iter_mut().zip(x).zip(&s.start) {
            *r = T::of(x.to_f64() - start.to_f64());
        }
        p.recession(&work.rhs)
    }

    /// Writes the gradient of the regularised function into the right-hand side; its largest entry is returned.
    fn load_rhs<T: Scalar>(&self, x: &[T], s: &mut GscState<T>) -> f64 {
        let work = s.work.get(|| Buffers::new(x.len()));
        work.rhs.copy_from_slice(&s.gradient);
        if s.path.mu > 0.0 && !self.damps() {
            vector::axpy(s.path.mu, x, &mut work.rhs);
            vector::axpy(-s.path.mu, &s.start, &mut work.rhs);
        }
        vector::max_abs(&work.rhs)
    }

    fn note(s: &GscState<impl Scalar>, model: &Model, accepted: &Accepted, cx: &mut Context) {
        cx.note("decrement", model.slope.max(0.0).sqrt());
        cx.note("step", accepted.length);
        cx.note("trials", f64::from(accepted.trials));
        let on_path = s.path.level > 0;
        if on_path || s.path.mu > 0.0 {
            cx.note("mu", s.path.mu);
        }
        if on_path {
            cx.note("level", s.path.level as f64);
        }
    }
}

fn reading<T: Scalar>(s: &GscState<T>) -> Reading {
    Reading::at(s.value, vector::max_abs(&s.gradient))
}

fn distance<T: Scalar>(x: &[T], start: &[T]) -> f64 {
    let square = |(x, s): (&T, &T)| (x.to_f64() - s.to_f64()).powi(2);
    x.iter().zip(start).map(square).sum::<f64>().sqrt()
}

impl<T: Scalar> Method<T> for GscNewton {
    type Problem<'p> = dyn SelfConcordant<T> + 'p;
    type State = GscState<T>;

    fn init<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        _cx: &mut Context,
    ) -> Result<(GscState<T>, Reading)> {
        self.validate()?;
        self.settings().check_dim(x.len())?;
        let mut gradient = vec![T::of(0.0); x.len()];
        let value = p.value_grad(x, &mut gradient)?;
        let radius = self.find_radius(p)?;
        let mut s = GscState {
            value,
            start: x.to_vec(),
            start_value: value.abs(),
            radius,
            path: Path::end(),
            on_path: false,
            corrected: Corrected::new(),
            system: System::new(),
            first_decrement: 0.0,
            last_decrement: 0.0,
            longest: 1.0,
            stale: false,
            watch: Watch::new(),
            work: Scratch::default(),
            gradient,
        };
        let reading = reading(&s);
        s.watch
            .stalls(s.value, vector::max_abs(&s.gradient), T::EPSILON);
        Ok((s, reading))
    }

    fn step<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        s: &mut GscState<T>,
        cx: &mut Context,
    ) -> Result<Reading> {
        if s.stale {
            s.value = p.value_grad(x, &mut s.gradient)?;
            s.stale = false;
        }
        if !s.on_path {
            let steps = if s.corrected.is_under_way() {
                0
            } else {
                self.warm_up(p, x, s, cx)?
            };
            if steps > 0 && vector::max_abs(&s.gradient) <= cx.enough {
                return Ok(reading(s));
            }
            if self.corrected_step(p, x, s, cx)? {
                return Ok(reading(s));
            }
        }
        if self.load_rhs(x, s) == 0.0 && s.path.mu == 0.0 {
            return Ok(reading(s).exit(Exit::Stalled));
        }
        let (model, curvature) = self.direction(p, x, s, cx)?;
        if !model.is_usable() {
            return Ok(reading(s).exit(Exit::Stalled));
        }
        let Some(accepted) = self.search(p, x, s, model)? else {
            return Ok(reading(s).exit(Exit::Stalled));
        };
        Self::note(s, &model, &accepted, cx);
        let noise = T::EPSILON * s.value.abs();
        let polishes = self.may_polish(s, accepted.length);
        if polishes {
            Self::begin_polish(x, s);
        }
        Self::advance(p, x, s, accepted.length)?;
        if polishes {
            Self::polish(p, x, s, model.slope, cx)?;
        }
        s.longest = (4.0 * s.longest).min(1.0);
        if s.path.mu == 0.0 && accepted.length == 1.0 {
            s.last_decrement = model.slope.sqrt();
            if s.first_decrement == 0.0 {
                s.first_decrement = s.last_decrement;
            }
        } else {
            s.first_decrement = 0.0;
        }
        let facts = StepFacts {
            length: accepted.length,
            promised: 0.5 * model.slope / s.value.abs(),
            curvature,
            distance: distance(x, &s.start),
        };
        s.path.advance(self, s.radius, facts);
        let reading = reading(s);
        // Far along a direction of recession F is as good as its infimum.
        let is_at_infimum = model.slope <= INFIMUM * s.value.abs().max(s.start_value);
        if accepted.is_long(&model, noise)
            && is_at_infimum
            && let Some(why) = Self::recession(p, x, s)?
        {
            return Ok(reading.exit(Exit::Unbounded(why)));
        }
        let gradient = vector::max_abs(&s.gradient);
        if s.path.mu == 0.0 && s.watch.stalls(s.value, gradient, T::EPSILON) {
            return Ok(reading.exit(Exit::Stalled));
        }
        Ok(reading)
    }

    fn memory(&self, p: &dyn Problem<T>) -> usize {
        self.settings().memory::<T>(p.dim()) + 6 * p.dim() * size_of::<T>()
    }

    fn recover(&self, s: &mut GscState<T>) -> bool {
        s.stale = true;
        s.longest *= 0.25;
        true
    }
}
