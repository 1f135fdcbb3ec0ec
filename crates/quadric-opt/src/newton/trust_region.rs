//! Newton's method within a trust region, for functions that need not be convex.
//!
//! Steihaug, "The conjugate gradient method and trust regions in large scale optimization" (1983); Conn, Gould, Toint,
//! "Trust-Region Methods" (2000), chapter 6 for the radius, chapter 7.5 for the truncated iteration, which follows
//! directions of negative curvature to the boundary and so leaves saddle points. A step that does not decrease F enough is
//! shortened along its direction instead of thrown away (Nocedal, Yuan, "Combining trust region and line search
//! techniques", 1998). Up to 128 unknowns whose Hessian is cheap to write down, steps minimise the model exactly within the
//! region instead (Moré, Sorensen, "Computing a trust region step", 1983; `ball.rs`). Deviations: the radius grows after a
//! step that gains what the slope alone predicts, where that is less than the model's decrease, as negative curvature
//! seldom lasts as long as the step; for more unknowns, where the Hessian may be factorised and is positive definite, the
//! direction is the exact Newton direction and its length is left to that shortening.

use super::ball::{Ball, Minimum};
use super::reduced::Reduced;
use super::standing::Standing;
use super::system::{LinearSolver, Newton, Preconditioner, Settings, System};
use crate::config::{Config, Fault};
use crate::scratch::Scratch;
use quadric_core::{
    Context, Exit, Line, LinearOperator, Method, Problem, Reading, Result, Scalar, Trial,
    TwiceSmooth, vector,
};
use quadric_linalg::apply_vector;
use quadric_linalg::krylov::{CgOptions, CgStop, cg};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Trust-region Newton with truncated conjugate gradients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrustRegionNewton {
    /// First radius, in the norm of the preconditioner; 0: for exact steps the largest entry of the start, at least 1; else ten
    /// steps of steepest descent, or ten times the size of the start if that is more.
    pub radius: f64,
    /// How directions are computed.
    pub linear_solver: LinearSolver,
    /// What makes conjugate gradients fast.
    pub preconditioner: Preconditioner,
    /// Relative residual of a direction far from the optimum; near it, the square root of the relative gradient.
    pub forcing: f64,
    /// Most conjugate gradient steps per step.
    pub max_cg: usize,
    /// Most unknowns for which a dense Hessian is formed; 4,000 take 128 MB.
    pub max_dense: usize,
    /// Rank of the Nyström preconditioner, at most.
    pub nystrom_rank: usize,
    /// Fraction of the predicted decrease below which a step is shortened; 1e-4 is usual (Nocedal, Wright).
    pub accept: f64,
    /// Ratio of the actual to the predicted decrease below which the radius shrinks (Conn, Gould, Toint: 0.25).
    pub shrink_below: f64,
    /// Ratio above which the radius doubles, if the step reached it (Conn, Gould, Toint: 0.75).
    pub grow_above: f64,
}

impl Default for TrustRegionNewton {
    fn default() -> Self {
        Self {
            radius: 0.0,
            linear_solver: LinearSolver::Auto,
            preconditioner: Preconditioner::Auto,
            forcing: 0.1,
            max_cg: 1000,
            max_dense: 4000,
            nystrom_rank: 128,
            accept: 1e-4,
            shrink_below: 0.25,
            grow_above: 0.75,
        }
    }
}

impl Config for TrustRegionNewton {
    type Method = Self;

    fn faults(&self) -> Vec<Fault> {
        let mut found = self.settings().faults();
        let mut check = |ok: bool, name: &str, value: f64, expected: &str| {
            if !ok {
                found.push(Fault::range(name, value, expected));
            }
        };
        let r = self.radius;
        check(
            r >= 0.0 && r.is_finite(),
            "radius",
            r,
            "a finite number of at least 0",
        );
        for (name, v) in [
            ("forcing", self.forcing),
            ("accept", self.accept),
            ("shrink_below", self.shrink_below),
            ("grow_above", self.grow_above),
        ] {
            check(v > 0.0 && v < 1.0, name, v, "a number in (0, 1)");
        }
        check(
            self.accept <= self.shrink_below,
            "accept",
            self.accept,
            "at most `shrink_below`",
        );
        check(
            self.shrink_below <= self.grow_above,
            "shrink_below",
            self.shrink_below,
            "at most `grow_above`",
        );
        found
    }

    fn method(&self) -> Self {
        self.clone()
    }
}

quadric_core::state! {
    /// The memory of [`TrustRegionNewton`].
    pub struct TrustRegionState[T: Scalar] {
        /// Where the method stands.
        at: Standing<T>,
        /// The radius; 0 before the first step that needs one.
        radius: f64,
        /// Choice of the linear solver.
        system: System<T>,
        /// Buffers without information.
        work: Scratch<Option<Buffers<T>>>,
    }
}

/// Buffers of one step.
pub struct Buffers<T: Scalar> {
    d: Vec<T>,
    trial: Trial<T>,
    ball: Option<Ball<T>>,
}

impl<T: Scalar> Buffers<T> {
    fn new(dim: usize) -> Self {
        Self {
            d: vec![T::of(0.0); dim],
            trial: Trial::default(),
            ball: None,
        }
    }

    /// The model at a new point.
    fn load(&mut self, hessian: &dyn LinearOperator<T>, g: &[T]) -> Result<()> {
        let ball = self.ball.get_or_insert_with(|| Ball::new(g.len()));
        ball.load(hessian, g)
    }

    /// Writes the minimiser of the model within a radius.
    fn minimise(
        &mut self,
        hessian: &dyn LinearOperator<T>,
        g: &[T],
        radius: f64,
    ) -> Result<Minimum> {
        if let Some(ball) = &mut self.ball
            && let Some(found) = ball.within(radius)
        {
            ball.write(&mut self.d);
            return Ok(found);
        }
        // Rounding hides λ: the eigenbasis has it.
        let reduced = Reduced::whole(hessian, g)?;
        let (step, on_boundary) = reduced.spectrum.within(radius);
        reduced.write(None, &step, &mut self.d);
        Ok(Minimum {
            norm: step.norm,
            predicted: step.predicted(),
            on_boundary,
        })
    }
}

/// A direction with the quadratic model along it.
#[derive(Clone, Copy, Debug)]
struct Proposal {
    /// `-∇F(x)ᵀd`.
    slope: f64,
    /// `dᵀ∇²F(x)d`, of either sign.
    curvature: f64,
    /// Norm of d in the metric of the radius; `None` for a direction that knows no radius.
    norm: Option<f64>,
    on_boundary: bool,
}

impl Proposal {
    fn predicted(&self) -> f64 {
        self.slope - 0.5 * self.curvature
    }
}

impl TrustRegionNewton {
    fn settings(&self) -> Settings {
        Settings {
            solver: self.linear_solver,
            preconditioner: self.preconditioner,
            max_cg: self.max_cg,
            max_dense: self.max_dense,
            nystrom_rank: self.nystrom_rank,
        }
    }

    /// Writes a direction into the buffers.
    fn propose<T: Scalar>(
        &self,
        p: &dyn TwiceSmooth<T>,
        x: &[T],
        s: &mut TrustRegionState<T>,
        hessian: &dyn LinearOperator<T>,
        cx: &mut Context,
    ) -> Result<Proposal> {
        let settings = self.settings();
        if s.system.is_direct(&settings, hessian.cost(), x.len()) {
            let d = &mut s.work.get(|| Buffers::new(x.len())).d;
            let factor = s.system.factor(x.len())?;
            if factor.update_definite(hessian)? {
                cx.note("cholesky", 1.0);
                let model = factor.direction(&s.at.gradient, d);
                if model.is_usable() {
                    return Ok(Proposal {
                        slope: model.slope,
                        curvature: model.curvature,
                        norm: None,
                        on_boundary: false,
                    });
                }
            }
        }
        self.truncated(p, x, hessian, s, cx)
    }

    /// Steihaug's iteration.
    fn truncated<T: Scalar>(
        &self,
        p: &dyn TwiceSmooth<T>,
        x: &[T],
        hessian: &dyn LinearOperator<T>,
        s: &mut TrustRegionState<T>,
        cx: &mut Context,
    ) -> Result<Proposal> {
        let at = Newton {
            problem: p,
            x,
            hessian,
            mu: 0.0,
            gradient: &s.at.gradient,
            forcing: self.forcing,
            steps: None,
        };
        let loan = s.system.preconditioner(&self.settings(), &at, cx)?;
        if s.radius == 0.0 {
            s.radius = self.first_radius(&at, loan.operator())?;
        }
        let relative = (vector::norm2(&s.at.gradient) / s.at.first_gradient).sqrt();
        let options = CgOptions {
            relative: self.forcing.min(relative).max(1e-10),
            max_iterations: self.max_cg,
            radius: Some(s.radius),
            verify: false,
            ..CgOptions::default()
        };
        let d = &mut s.work.get(|| Buffers::new(x.len())).d;
        let report = cg(
            hessian,
            0.0,
            loan.operator(),
            &s.at.gradient,
            d,
            &options,
            s.system.cg(),
        )?;
        cx.note("cg", report.iterations as f64);
        s.system.learn(loan, report.iterations, options.relative);
        vector::scale(-1.0, d);
        let on_boundary = matches!(report.stop, CgStop::Radius | CgStop::NegativeCurvature);
        Ok(Proposal {
            slope: report.slope,
            curvature: report.curvature,
            norm: Some(if on_boundary {
                s.radius
            } else {
                report.curvature.max(0.0).sqrt()
            }),
            on_boundary,
        })
    }

    /// Ten Cauchy lengths, or ten times the size of `x`.
    fn first_radius<T: Scalar>(
        &self,
        at: &Newton<'_, T>,
        precond: Option<&dyn LinearOperator<T>>,
    ) -> Result<f64> {
        if self.radius > 0.0 {
            return Ok(self.radius);
        }
        let mut z = at.gradient.to_vec();
        let mut image = z.clone();
        if let Some(precond) = precond {
            apply_vector(precond, at.gradient, &mut z)?;
        }
        apply_vector(at.hessian, &z, &mut image)?;
        let (square, curvature) = (vector::dot(at.gradient, &z), vector::dot(&z, &image));
        let cauchy = square.powf(1.5) / curvature;
        let size = vector::norm2(at.x).max(1.0);
        Ok(10.0
            * if curvature > 0.0 && cauchy.is_finite() {
                cauchy.max(size)
            } else {
                size
            })
    }

    /// F at the end of the proposal: the change, and the new radius if it is good enough.
    fn attempt<T: Scalar>(
        &self,
        line: &mut Line<'_, T>,
        proposal: &Proposal,
        radius: f64,
    ) -> Result<(f64, Option<f64>)> {
        let predicted = proposal.predicted();
        let noise = noise(line);
        let change = if line.is_cheap() {
            line.change(1.0)?
        } else {
            line.change_and_slope(1.0)?.0
        };
        if change.is_finite() && predicted <= 16.0 * noise && change <= noise {
            return Ok((change, Some(radius)));
        }
        let ratio = -change / predicted;
        let norm = proposal.norm.unwrap_or(radius);
        let gained = -change / predicted.min(proposal.slope.max(0.0));
        let next = if ratio < self.shrink_below {
            0.5 * norm
        } else if gained > self.grow_above && proposal.on_boundary {
            2.0 * radius
        } else {
            radius
        };
        Ok((change, (ratio >= self.accept).then_some(next)))
    }

    /// The accepted length along the proposal, 0 if none decreases F, and the new radius.
    fn shorten<T: Scalar>(
        &self,
        line: &mut Line<'_, T>,
        proposal: &Proposal,
        radius: f64,
        cx: &mut Context,
    ) -> Result<(f64, f64)> {
        let noise = noise(line);
        let (mut change, good) = self.attempt(line, proposal, radius)?;
        cx.note("trials", 1.0);
        if let Some(radius) = good {
            return Ok((1.0, radius));
        }
        let mut t = 1.0;
        for _ in 0..50 {
            t = least_of_parabola(t, change, proposal.slope);
            change = line.change(t)?;
            cx.note("trials", 1.0);
            if change.is_finite() && -change >= self.accept * t * proposal.slope {
                return Ok((t, proposal.norm.map_or(radius, |norm| t * norm)));
            }
            if t * proposal.slope <= noise {
                break;
            }
        }
        Ok((0.0, 0.25 * radius))
    }

    /// True if the step is to be the exact minimiser within the region.
    fn is_exact(&self, hessian: &dyn LinearOperator<impl Scalar>, dim: usize) -> bool {
        self.linear_solver == LinearSolver::Auto
            && dim <= EXACT
            && hessian.cost().dense <= EXACT_COST
    }

    /// Steps that minimise the model exactly within a region that shrinks until F falls; true if one was taken.
    fn exact_steps<T: Scalar>(
        &self,
        p: &dyn TwiceSmooth<T>,
        x: &mut [T],
        s: &mut TrustRegionState<T>,
        hessian: &dyn LinearOperator<T>,
        cx: &mut Context,
    ) -> Result<bool> {
        if s.radius == 0.0 {
            s.radius = if self.radius > 0.0 {
                self.radius
            } else {
                vector::max_abs(x).max(1.0)
            };
        }
        let work = s.work.get(|| Buffers::new(x.len()));
        work.load(hessian, &s.at.gradient)?;
        for trial in 1..=TRIALS {
            let work = s.work.get(|| Buffers::new(x.len()));
            let least = work.minimise(hessian, &s.at.gradient, s.radius)?;
            if !(least.predicted > 0.0 && least.norm > 0.0 && least.norm.is_finite()) {
                return Ok(false);
            }
            let slope = -vector::dot(&work.d, &s.at.gradient);
            let ready = Proposal {
                slope,
                curvature: 2.0 * (slope - least.predicted),
                norm: Some(least.norm),
                on_boundary: least.on_boundary,
            };
            let buffers = std::mem::take(&mut work.trial);
            let mut line = Line::reusing(p, x, &work.d, s.at.value, buffers)?;
            let moves = line.moves(1.0);
            let (change, good) = self.attempt(&mut line, &ready, s.radius)?;
            work.trial = line.into_trial();
            if let Some(radius) = good {
                s.radius = radius;
                let factorizations = work.ball.as_ref().map_or(0, |b| b.factorizations);
                cx.note("cholesky", factorizations as f64);
                cx.note("trials", trial as f64);
                cx.note("radius", radius);
                Self::advance(p, x, s, 1.0)?;
                return Ok(true);
            }
            if !moves {
                break;
            }
            s.radius = least.norm * least_of_parabola(1.0, change, slope);
        }
        Ok(false)
    }

    /// Moves to the accepted point and measures F there.
    fn advance<T: Scalar>(
        p: &dyn TwiceSmooth<T>,
        x: &mut [T],
        s: &mut TrustRegionState<T>,
        length: f64,
    ) -> Result<()> {
        let work = s.work.get(|| Buffers::new(x.len()));
        match work.trial.at.take() {
            Some((at, value, _)) if at == length => {
                x.copy_from_slice(&work.trial.point);
                std::mem::swap(&mut s.at.gradient, &mut work.trial.gradient);
                s.at.value = value;
            }
            _ if length > 0.0 => {
                vector::axpy(length, &work.d, x);
                s.at.value = p.value_grad(x, &mut s.at.gradient)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Unknowns up to which steps are exact: there their factorisations cost less than what they save in evaluations.
const EXACT: usize = 128;
/// Work of writing the Hessian down for that, at most.
const EXACT_COST: f64 = 1e8;
/// Trials at a point.
const TRIALS: usize = 60;

/// What rounding does to a difference of values.
fn noise<T: Scalar>(line: &Line<'_, T>) -> f64 {
    let units = if line.is_cheap() { 1.0 } else { 4.0 };
    units * T::EPSILON * line.value().abs()
}

/// Where the parabola through F, its slope and the failed trial at `t` is least, within bounds.
fn least_of_parabola(t: f64, change: f64, slope: f64) -> f64 {
    let bend = change + t * slope;
    let least = 0.5 * t * t * slope / bend;
    if least.is_finite() {
        least.clamp(0.1 * t, 0.5 * t)
    } else {
        0.1 * t
    }
}

impl<T: Scalar> Method<T> for TrustRegionNewton {
    type Problem<'p> = dyn TwiceSmooth<T> + 'p;
    type State = TrustRegionState<T>;

    fn init<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        _cx: &mut Context,
    ) -> Result<(TrustRegionState<T>, Reading)> {
        self.validate()?;
        self.settings().check_dim(x.len())?;
        let at = Standing::start(p, x)?;
        let reading = at.reading();
        let s = TrustRegionState {
            at,
            radius: self.radius,
            system: System::new(),
            work: Scratch::default(),
        };
        Ok((s, reading))
    }

    fn step<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        s: &mut TrustRegionState<T>,
        cx: &mut Context,
    ) -> Result<Reading> {
        s.at.refresh(p, x)?;
        if vector::max_abs(&s.at.gradient) == 0.0 {
            return Ok(s.at.reading().exit(Exit::Stalled));
        }
        let hessian = p.hessian(x)?;
        if self.is_exact(&hessian, x.len()) {
            let taken = self.exact_steps(p, x, s, &hessian, cx)?;
            return Ok(s.at.book(taken));
        }
        let proposal = self.propose(p, x, s, &hessian, cx)?;
        let mut length = 0.0;
        if proposal.slope > 0.0 && proposal.predicted() > 0.0 {
            let work = s.work.get(|| Buffers::new(x.len()));
            let trial = std::mem::take(&mut work.trial);
            let mut line = Line::reusing(p, x, &work.d, s.at.value, trial)?;
            (length, s.radius) = self.shorten(&mut line, &proposal, s.radius, cx)?;
            work.trial = line.into_trial();
        }
        cx.note("step", length);
        cx.note("radius", s.radius);
        Self::advance(p, x, s, length)?;
        Ok(s.at.book(true))
    }

    fn memory(&self, p: &dyn Problem<T>) -> usize {
        let n = p.dim();
        let exact = if n <= EXACT { Ball::<T>::memory(n) } else { 0 };
        self.settings().memory::<T>(n) + exact + 5 * n * size_of::<T>()
    }

    fn recover(&self, s: &mut TrustRegionState<T>) -> bool {
        s.at.stale = true;
        s.radius *= 0.25;
        true
    }
}
