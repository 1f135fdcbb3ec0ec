//! Descent: a direction times a step length. Every pairing of a [`Direction`] with a [`StepRule`] is a method.

use quadric_core::{
    Capability, Context, Direction, Exit, Line, Method, Point, Problem, Reading, Result, Scalar,
    Smooth, State, StepRule, Trial, Visitor, need, vector,
};

/// Smallest cosine between a direction and the steepest descent; a direction below it is replaced (guards against
/// rounding only: the Newton direction of a Hessian with condition number 10²⁰ still has 10⁻¹⁰).
const LEAST_COSINE: f64 = 1e-12;
/// Steps in a row that lower neither F nor the gradient before the method starts over, and then gives up.
const PATIENCE: u64 = 50;
/// F below `-UNBOUNDED max(1, |F(x0)|)` counts as unbounded.
const UNBOUNDED: f64 = 1e30;

/// Moves along `direction` by a length that `rule` chooses.
///
/// When the rule finds no progress the direction forgets what it learned, once; without progress along the steepest
/// descent the method ends as stalled. F below -10³⁰ max(1, |F(x0)|) ends it as unbounded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Descent<D, R> {
    /// Where to go.
    pub direction: D,
    /// How far.
    pub rule: R,
}

quadric_core::state! {
    /// What is known at the point.
    pub(crate) struct Standing[T: Scalar] {
        /// F there.
        f: f64,
        /// The gradient there.
        g: Vec<T>,
        /// False if F and the gradient must be evaluated again.
        fresh: bool,
        /// F at the start.
        f_start: f64,
        /// Lowest F so far.
        f_least: f64,
        /// Smallest gradient so far.
        g_least: f64,
        /// Steps since one of them fell.
        idle: u64,
        /// True if the method started over since then.
        rested: bool,
    }
}

impl<T: Scalar> Standing<T> {
    pub(crate) fn new(p: &dyn Smooth<T>, x: &[T]) -> Result<Self> {
        let mut g = vec![T::of(0.0); x.len()];
        let f = p.value_grad(x, &mut g)?;
        Ok(Self::of(f, g))
    }

    /// Where F is `f` and its gradient `g`.
    pub(crate) fn of(f: f64, g: Vec<T>) -> Self {
        let optimality = vector::max_abs(&g);
        Self {
            f,
            g,
            fresh: true,
            f_start: f,
            f_least: f,
            g_least: optimality,
            idle: 0,
            rested: false,
        }
    }

    /// Evaluates again if the point was moved from outside.
    pub(crate) fn refresh(&mut self, p: &dyn Smooth<T>, x: &[T]) -> Result<()> {
        if !self.fresh {
            self.f = p.value_grad(x, &mut self.g)?;
            self.fresh = true;
        }
        Ok(())
    }

    pub(crate) fn reading(&self) -> Reading {
        Reading::at(self.f, vector::max_abs(&self.g))
    }

    /// Books a step, and says whether F seems to have no lower bound.
    pub(crate) fn book(&mut self) -> Reading {
        let reading = self.reading();
        let optimality = vector::max_abs(&self.g);
        let lower = self.f < self.f_least || optimality < self.g_least;
        self.idle = if lower { 0 } else { self.idle + 1 };
        self.rested &= !lower;
        self.f_least = self.f_least.min(self.f);
        self.g_least = self.g_least.min(optimality);
        if self.f < -UNBOUNDED * self.f_start.abs().max(1.0) {
            return reading.exit(Exit::Unbounded(format!(
                "F fell to {:e} and keeps falling",
                self.f
            )));
        }
        reading
    }

    /// True after [`PATIENCE`] steps that gained nothing.
    pub(crate) fn is_tired(&self) -> bool {
        self.idle >= PATIENCE
    }
}

/// The slope along `d` where the gradient is `g`, if F falls along it beyond rounding.
pub(crate) fn descent_slope<T: Scalar>(g: &[T], d: &[T]) -> Option<f64> {
    let slope = vector::dot(g, d);
    let steep = vector::norm2(g) * vector::norm2(d);
    (slope < -LEAST_COSINE * steep && slope.is_finite()).then_some(slope)
}

/// The memory of a descent.
pub struct DescentState<T: Scalar, D, R> {
    at: Standing<T>,
    direction: D,
    rule: R,
    d: Vec<T>,
    trial: Trial<T>,
}

impl<T: Scalar, D: State, R: State> State for DescentState<T, D, R> {
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()> {
        // `d` and `trial` do not outlive a step.
        self.at.visit(&format!("{path}/at"), v)?;
        self.direction.visit(&format!("{path}/direction"), v)?;
        self.rule.visit(&format!("{path}/rule"), v)
    }
}

impl<T: Scalar, D: Direction<T>, R: StepRule<T>> Method<T> for Descent<D, R> {
    type Problem<'p> = D::Problem<'p>;
    type State = DescentState<T, D::State, R::State>;

    fn init<'p>(
        &self,
        p: &'p D::Problem<'p>,
        x: &mut [T],
        cx: &mut Context,
    ) -> Result<(Self::State, Reading)> {
        let smooth = need::<T, dyn Smooth<T>>(p.root())?;
        let at = Standing::new(smooth, x)?;
        let reading = at.reading();
        let state = DescentState {
            at,
            direction: self.direction.init(p, x, cx)?,
            rule: self.rule.init(),
            d: vec![T::of(0.0); x.len()],
            trial: Trial::default(),
        };
        Ok((state, reading))
    }

    fn step<'p>(
        &self,
        p: &'p D::Problem<'p>,
        x: &mut [T],
        s: &mut Self::State,
        cx: &mut Context,
    ) -> Result<Reading> {
        let smooth = need::<T, dyn Smooth<T>>(p.root())?;
        s.at.refresh(smooth, x)?;
        let mut may_reset = true;
        if s.at.is_tired() {
            if s.at.rested || !self.direction.reset(&mut s.direction) {
                return Ok(s.at.reading().exit(Exit::Stalled));
            }
            s.at.idle = 0;
            s.at.rested = true;
            may_reset = false;
        }
        while !self.try_step(p, smooth, x, s, cx)? {
            if !(may_reset && self.direction.reset(&mut s.direction)) {
                return Ok(s.at.reading().exit(Exit::Stalled));
            }
            may_reset = false;
            cx.note("resets", 1.0);
        }
        Ok(s.at.book())
    }

    fn memory(&self, p: &dyn Problem<T>) -> usize {
        self.direction.memory(p.dim()) + 5 * p.dim() * size_of::<T>()
    }

    fn recover(&self, s: &mut Self::State) -> bool {
        s.at.fresh = false;
        self.direction.reset(&mut s.direction);
        true
    }
}

impl<D, R> Descent<D, R> {
    /// Moves `x` along one direction; false if there is no progress along it.
    fn try_step<'p, T: Scalar>(
        &self,
        p: &'p D::Problem<'p>,
        smooth: &'p dyn Smooth<T>,
        x: &mut [T],
        s: &mut DescentState<T, D::State, R::State>,
        cx: &mut Context,
    ) -> Result<bool>
    where
        D: Direction<T>,
        R: StepRule<T>,
    {
        let point = Point {
            x,
            f: s.at.f,
            g: &s.at.g,
        };
        self.direction
            .direction(p, &mut s.direction, point, &mut s.d, cx)?;
        let Some(slope) = descent_slope(&s.at.g, &s.d) else {
            return Ok(false);
        };
        let buffers = std::mem::take(&mut s.trial);
        let mut line = Line::reusing(smooth, x, &s.d, s.at.f, buffers)?;
        let alpha = self.rule.length(&mut s.rule, &mut line, slope, cx)?;
        s.trial = line.into_trial();
        if alpha == 0.0 {
            return Ok(false);
        }
        cx.note("step", alpha);
        match s.trial.at {
            Some((evaluated, value, _)) if evaluated == alpha => {
                s.at.f = value;
                x.copy_from_slice(&s.trial.point);
                std::mem::swap(&mut s.at.g, &mut s.trial.gradient);
            }
            _ => {
                s.trial.point.resize(x.len(), T::of(0.0));
                Line::point(x, &s.d, alpha, &mut s.trial.point);
                x.copy_from_slice(&s.trial.point);
                s.at.f = smooth.value_grad(x, &mut s.at.g)?;
            }
        }
        Ok(true)
    }
}
