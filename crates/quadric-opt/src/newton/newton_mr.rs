//! Newton's method by minimum residuals: the step is `-H† g`, so that singular Hessians need no regularisation.
//!
//! Roosta, Liu, Xu, Mahoney, "Newton-MR: inexact Newton method with minimum residual sub-problem solver", EURO J. Comput.
//! Optim. 10, 2022, arXiv 1810.00303: directions by MINRES-QLP, accepted when the gradient's norm falls. Where MINRES meets a
//! residual r with `rᵀHr <= 0`, the step goes along r: Liu, Roosta, "A Newton-MR algorithm with complexity guarantees for
//! nonconvex smooth unconstrained optimization", 2022, arXiv 2208.07095. Deviations: a step is accepted when F falls enough
//! or, F not rising, when the gradient does.

use super::standing::Standing;
use crate::config::{Config, Fault};
use crate::scratch::Scratch;
use quadric_core::{
    Context, Exit, Line, Method, Problem, Reading, Result, Scalar, TwiceSmooth, vector,
};
use quadric_linalg::krylov::{
    MinresOptions, MinresReport, MinresStop, MinresWorkspace, minres_qlp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Newton-MR.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewtonMr {
    /// Relative residual of a direction far from the optimum; near it, the relative gradient.
    pub forcing: f64,
    /// Most MINRES iterations per step.
    pub max_minres: usize,
    /// Required decrease: of F as a fraction of what the slope promises, of the gradient's norm as a fraction of the step
    /// length.
    pub c1: f64,
}

impl Default for NewtonMr {
    fn default() -> Self {
        Self {
            forcing: 0.1,
            max_minres: 1000,
            c1: 1e-4,
        }
    }
}

impl Config for NewtonMr {
    type Method = Self;

    fn faults(&self) -> Vec<Fault> {
        let mut found = Vec::new();
        for (name, value) in [("forcing", self.forcing), ("c1", self.c1)] {
            if !(value > 0.0 && value < 1.0) {
                found.push(Fault::range(name, value, "a number in (0, 1)"));
            }
        }
        if self.max_minres == 0 {
            found.push(Fault::range("max_minres", 0, "at least 1"));
        }
        found
    }

    fn method(&self) -> Self {
        self.clone()
    }
}

quadric_core::state! {
    /// The memory of [`NewtonMr`].
    pub struct NewtonMrState[T: Scalar] {
        /// Where the method stands.
        at: Standing<T>,
        /// Buffers without information.
        work: Scratch<Option<Buffers<T>>>,
    }
}

/// Buffers of one step.
pub struct Buffers<T> {
    minres: MinresWorkspace<T>,
    /// The right-hand side `-g`.
    downhill: Vec<T>,
    d: Vec<T>,
    trial: Vec<T>,
    gradient: Vec<T>,
}

impl<T: Scalar> Buffers<T> {
    fn new(dim: usize) -> Self {
        let zeros = || vec![T::of(0.0); dim];
        Self {
            minres: MinresWorkspace::new(),
            downhill: zeros(),
            d: zeros(),
            trial: zeros(),
            gradient: zeros(),
        }
    }
}

/// Trials along a direction.
const TRIALS: u32 = 60;
/// Factor between step lengths.
const FACTOR: f64 = 2.0;
/// Accuracy of the normal equations as a part of that of the residual: badly conditioned systems are not singular ones.
const NORMAL: f64 = 1e-8;
/// The best accuracy that a direction is asked for.
const FINEST: f64 = 1e-8;

/// How a trial step turned out.
struct Trial {
    value: f64,
    good: bool,
}

impl NewtonMr {
    /// The direction at `x`, written into the buffers; true if it is one of curvature that is not positive.
    fn direction<T: Scalar>(
        &self,
        p: &dyn TwiceSmooth<T>,
        x: &[T],
        s: &mut NewtonMrState<T>,
        cx: &mut Context,
    ) -> Result<bool> {
        let hessian = p.hessian(x)?;
        let work = s.work.get(|| Buffers::new(x.len()));
        let norm = vector::norm2(&s.at.gradient);
        for (d, g) in work.downhill.iter_mut().zip(&s.at.gradient) {
            *d = T::of(-g.to_f64());
        }
        let accuracy = self
            .forcing
            .min(norm / s.at.first_gradient)
            .max(FINEST.max(8.0 * T::EPSILON));
        let options = MinresOptions {
            relative: accuracy,
            normal: (NORMAL * accuracy).max(8.0 * T::EPSILON),
            max_iterations: self.max_minres,
            warm_start: false,
            curvature: true,
        };
        let report = minres_qlp(
            &*hessian,
            0.0,
            &work.downhill,
            &mut work.d,
            &options,
            &mut work.minres,
        )?;
        cx.note("minres", report.iterations as f64);
        // A residual that the Hessian does not see is one along which F falls without end, as far as one can tell here.
        let flat = 64.0 * T::EPSILON * report.operator_norm * report.residual_norm;
        let unseen = report.stop == MinresStop::Normal && report.normal_norm <= flat;
        let bent = report.stop == MinresStop::NegativeCurvature || unseen;
        if bent {
            cx.note("negative_curvature", 1.0);
            Self::take_residual(work, &report, norm);
        }
        Ok(bent)
    }

    /// The residual as the direction, as long as the solution so far or the step that its curvature suggests.
    fn take_residual<T: Scalar>(work: &mut Buffers<T>, report: &MinresReport, gradient: f64) {
        let residual = work.minres.direction();
        let curvature = report.curvature.map_or(0.0, f64::abs);
        let suggested = if curvature > 0.0 {
            gradient / curvature
        } else {
            gradient
        };
        let length = suggested.max(report.x_norm) / vector::norm2(residual);
        for (d, r) in work.d.iter_mut().zip(residual) {
            *d = T::of(length * r.to_f64());
        }
    }

    /// Moves along the direction; false if no step makes progress.
    fn search<T: Scalar>(
        &self,
        p: &dyn TwiceSmooth<T>,
        x: &mut [T],
        s: &mut NewtonMrState<T>,
        bent: bool,
        cx: &mut Context,
    ) -> Result<bool> {
        let mut alpha = 1.0;
        for trial in 1..=TRIALS {
            let first = self.try_length(p, x, s, alpha)?;
            if first.good {
                cx.note("trials", f64::from(trial));
                Self::accept(x, s, first.value);
                if bent && trial == 1 {
                    self.extend(p, x, s, first.value, cx)?;
                }
                return Ok(true);
            }
            if s.work.get(|| Buffers::new(x.len())).trial == x {
                return Ok(false);
            }
            alpha /= FACTOR;
        }
        Ok(false)
    }

    /// Goes on along a direction of curvature that is not positive while F keeps falling as it should.
    fn extend<T: Scalar>(
        &self,
        p: &dyn TwiceSmooth<T>,
        x: &mut [T],
        s: &mut NewtonMrState<T>,
        value: f64,
        cx: &mut Context,
    ) -> Result<()> {
        let mut last = value;
        let mut alpha = 1.0;
        for _ in 0..TRIALS {
            let further = self.try_length(p, x, s, alpha)?;
            cx.note("trials", 1.0);
            if !(further.good && further.value < last) {
                return Ok(());
            }
            Self::accept(x, s, further.value);
            last = further.value;
            alpha *= FACTOR;
        }
        Ok(())
    }

    /// Evaluates at `x + alpha d`.
    fn try_length<T: Scalar>(
        &self,
        p: &dyn TwiceSmooth<T>,
        x: &[T],
        s: &mut NewtonMrState<T>,
        alpha: f64,
    ) -> Result<Trial> {
        let work = s.work.get(|| Buffers::new(x.len()));
        Line::point(x, &work.d, alpha, &mut work.trial);
        let value = p.value_grad(&work.trial, &mut work.gradient)?;
        let size = vector::norm2(&work.gradient);
        let slope = vector::dot(&s.at.gradient, &work.d);
        let change = value - s.at.value;
        let noise = 4.0 * T::EPSILON * s.at.value.abs();
        let falls = change <= self.c1 * alpha * slope;
        let flattens = change <= noise
            && size <= (1.0 - self.c1 * alpha.min(1.0)) * vector::norm2(&s.at.gradient);
        let good = value.is_finite() && size.is_finite() && slope < 0.0 && (falls || flattens);
        Ok(Trial { value, good })
    }

    fn accept<T: Scalar>(x: &mut [T], s: &mut NewtonMrState<T>, value: f64) {
        let work = s.work.get(|| Buffers::new(x.len()));
        x.copy_from_slice(&work.trial);
        std::mem::swap(&mut s.at.gradient, &mut work.gradient);
        s.at.value = value;
    }
}

impl<T: Scalar> Method<T> for NewtonMr {
    type Problem<'p> = dyn TwiceSmooth<T> + 'p;
    type State = NewtonMrState<T>;

    fn init<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        _cx: &mut Context,
    ) -> Result<(NewtonMrState<T>, Reading)> {
        self.validate()?;
        let at = Standing::start(p, x)?;
        let reading = at.reading();
        let work = Scratch::default();
        Ok((NewtonMrState { at, work }, reading))
    }

    fn step<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        s: &mut NewtonMrState<T>,
        cx: &mut Context,
    ) -> Result<Reading> {
        s.at.refresh(p, x)?;
        if vector::max_abs(&s.at.gradient) == 0.0 {
            return Ok(s.at.reading().exit(Exit::Stalled));
        }
        let bent = self.direction(p, x, s, cx)?;
        let moves = self.search(p, x, s, bent, cx)?;
        Ok(s.at.book(moves))
    }

    fn memory(&self, p: &dyn Problem<T>) -> usize {
        15 * p.dim() * size_of::<T>()
    }

    fn recover(&self, s: &mut NewtonMrState<T>) -> bool {
        s.at.stale = true;
        false
    }
}
