//! Newton's method with adaptive cubic regularisation, for functions that need not be convex.
//!
//! Cartis, Gould, Toint, "Adaptive cubic regularisation methods for unconstrained optimization", part I (Math. Prog. 127,
//! 2011): a step minimises `g·s + ½ sᵀHs + σ/3 ‖s‖³`, and σ grows until F falls as predicted. The Hessian is brought to its
//! eigenbasis once a point, or to a tridiagonal matrix in a Krylov space that grows until the model is minimised well
//! enough, and serves every trial σ. Deviation: the next σ is the one that would have made the model exact at the last trial
//! (after Gould, Porcelli, Toint, "Updating the regularization parameter in the adaptive cubic regularization algorithm",
//! 2012), within bounds.

use super::reduced::Reduced;
use super::secular::Minimiser;
use super::standing::Standing;
use crate::config::{Config, Fault};
use crate::scratch::Scratch;
use quadric_core::{
    Context, Line, Method, Problem, Reading, Result, Scalar, Trial, TwiceSmooth, vector,
};
use quadric_linalg::krylov::KrylovSpace;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Adaptive cubic regularisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CubicNewton {
    /// First weight σ of the cubic term, an estimate of half the Lipschitz constant of the Hessian.
    pub sigma: f64,
    /// Fraction of the predicted decrease that a step must reach (Cartis, Gould, Toint: 0.1).
    pub accept: f64,
    /// Most unknowns for which the dense Hessian is brought to its eigenbasis.
    pub max_dense: usize,
    /// Largest dimension of the Krylov space, for more unknowns.
    pub max_krylov: usize,
    /// Gradient of the model at a step in the Krylov space, relative to that of F; near the optimum, the square root of the
    /// relative gradient.
    pub forcing: f64,
}

impl Default for CubicNewton {
    fn default() -> Self {
        Self {
            sigma: 1.0,
            accept: 0.1,
            max_dense: 300,
            max_krylov: 500,
            forcing: 0.1,
        }
    }
}

impl Config for CubicNewton {
    type Method = Self;

    fn faults(&self) -> Vec<Fault> {
        let mut found = Vec::new();
        if !(self.sigma > 0.0 && self.sigma.is_finite()) {
            found.push(Fault::range("sigma", self.sigma, "a positive number"));
        }
        for (name, v) in [("accept", self.accept), ("forcing", self.forcing)] {
            if !(v > 0.0 && v < 1.0) {
                found.push(Fault::range(name, v, "a number in (0, 1)"));
            }
        }
        if self.max_krylov == 0 {
            found.push(Fault::range("max_krylov", 0, "at least 1"));
        }
        found
    }

    fn method(&self) -> Self {
        self.clone()
    }
}

quadric_core::state! {
    /// The memory of [`CubicNewton`].
    pub struct CubicState[T: Scalar] {
        /// Where the method stands.
        at: Standing<T>,
        /// Weight of the cubic term.
        sigma: f64,
        /// Buffers without information.
        work: Scratch<Option<Buffers<T>>>,
    }
}

/// Buffers of one step.
pub struct Buffers<T: Scalar> {
    d: Vec<T>,
    trial: Trial<T>,
    space: KrylovSpace<T>,
}

impl<T: Scalar> Buffers<T> {
    fn new(dim: usize) -> Self {
        Self {
            d: vec![T::of(0.0); dim],
            trial: Trial::default(),
            space: KrylovSpace::new(),
        }
    }
}

/// Smallest and largest σ.
const LEAST: f64 = 1e-12;
const MOST: f64 = 1e200;
/// Factors between consecutive σ: at most down after a good step, at least and at most up after a bad one.
const DOWN: f64 = 0.1;
const UP: (f64, f64) = (2.0, 1000.0);
/// Trials at a point.
const TRIALS: usize = 60;

impl CubicNewton {
    /// Reduces the Hessian at `x`.
    fn reduce<T: Scalar>(
        &self,
        p: &dyn TwiceSmooth<T>,
        x: &[T],
        s: &mut CubicState<T>,
        cx: &mut Context,
    ) -> Result<Reduced> {
        let hessian = p.hessian(x)?;
        if x.len() <= self.max_dense {
            return Reduced::whole(&hessian, &s.at.gradient);
        }
        let space = &mut s.work.get(|| Buffers::new(x.len())).space;
        let norm = space.start(&s.at.gradient)?;
        let accuracy = self
            .forcing
            .min((norm / s.at.first_gradient).sqrt())
            .max(1e-10)
            * norm;
        let mut look = 4;
        loop {
            let grows = space.dim() < self.max_krylov && space.extend(&hessian)?;
            let ends = !grows || space.is_invariant() || space.dim() == self.max_krylov;
            if !ends && space.dim() < look {
                continue;
            }
            look += look.div_ceil(3);
            let reduced = Reduced::tridiagonal(space, norm)?;
            let y = reduced.turn_back(&reduced.spectrum.minimise(s.sigma).y);
            // The gradient of the model outside of the space.
            let outside = space.beside().get(space.dim() - 1).copied().unwrap_or(0.0);
            if ends || outside * y[space.dim() - 1].abs() <= accuracy {
                cx.note("krylov", space.dim() as f64);
                return Ok(reduced);
            }
        }
    }

    /// Tries steps for growing σ; true if one was taken.
    fn try_steps<T: Scalar>(
        &self,
        p: &dyn TwiceSmooth<T>,
        x: &mut [T],
        s: &mut CubicState<T>,
        reduced: &Reduced,
        cx: &mut Context,
    ) -> Result<bool> {
        for trial in 1..=TRIALS {
            let step = reduced.spectrum.minimise(s.sigma);
            if !(step.norm > 0.0 && step.predicted() > 0.0 && step.norm.is_finite()) {
                return Ok(false);
            }
            let work = s.work.get(|| Buffers::new(x.len()));
            reduced.write(Some(&work.space), &step, &mut work.d);
            let buffers = std::mem::take(&mut work.trial);
            let mut line = Line::reusing(p, x, &work.d, s.at.value, buffers)?;
            let units = if line.is_cheap() { 1.0 } else { 4.0 };
            let noise = units * T::EPSILON * s.at.value.abs();
            let moves = line.moves(1.0);
            let change = if line.is_cheap() {
                line.change(1.0)?
            } else {
                line.change_and_slope(1.0)?.0
            };
            work.trial = line.into_trial();
            let hidden = step.predicted() <= 16.0 * noise && change <= noise;
            let ratio = -change / step.predicted();
            let good = change.is_finite() && (hidden || ratio >= self.accept);
            if good {
                cx.note("trials", trial as f64);
                cx.note("sigma", s.sigma);
                Self::advance(p, x, s)?;
            }
            if !hidden {
                s.sigma = next_weight(s.sigma, &step, change, good);
            }
            if good || !moves || s.sigma >= MOST {
                return Ok(good);
            }
        }
        Ok(false)
    }

    /// Moves to the point of the last trial and measures F there.
    fn advance<T: Scalar>(
        p: &dyn TwiceSmooth<T>,
        x: &mut [T],
        s: &mut CubicState<T>,
    ) -> Result<()> {
        let work = s.work.get(|| Buffers::new(x.len()));
        if let Some((_, value, _)) = work.trial.at.take() {
            x.copy_from_slice(&work.trial.point);
            std::mem::swap(&mut s.at.gradient, &mut work.trial.gradient);
            s.at.value = value;
        } else {
            vector::axpy(1.0, &work.d, x);
            s.at.value = p.value_grad(x, &mut s.at.gradient)?;
        }
        Ok(())
    }
}

/// The σ that would have made the model exact at the last step, within bounds.
fn next_weight(sigma: f64, step: &Minimiser, change: f64, good: bool) -> f64 {
    let exact = 3.0 * (change + step.gain) / step.norm.powi(3);
    let bounds = if good {
        (DOWN * sigma, UP.0 * sigma)
    } else {
        (UP.0 * sigma, UP.1 * sigma)
    };
    let next = if exact.is_finite() {
        exact.clamp(bounds.0, bounds.1)
    } else if good {
        sigma
    } else {
        UP.1.sqrt() * sigma
    };
    next.clamp(LEAST, MOST)
}

impl<T: Scalar> Method<T> for CubicNewton {
    type Problem<'p> = dyn TwiceSmooth<T> + 'p;
    type State = CubicState<T>;

    fn init<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        _cx: &mut Context,
    ) -> Result<(CubicState<T>, Reading)> {
        self.validate()?;
        let at = Standing::start(p, x)?;
        let reading = at.reading();
        let s = CubicState {
            at,
            sigma: self.sigma,
            work: Scratch::default(),
        };
        Ok((s, reading))
    }

    fn step<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        s: &mut CubicState<T>,
        cx: &mut Context,
    ) -> Result<Reading> {
        s.at.refresh(p, x)?;
        let reduced = self.reduce(p, x, s, cx)?;
        let taken = self.try_steps(p, x, s, &reduced, cx)?;
        Ok(s.at.book(taken))
    }

    fn memory(&self, p: &dyn Problem<T>) -> usize {
        let n = p.dim();
        let reduced = if n <= self.max_dense {
            n * n * (size_of::<T>() + 3 * size_of::<f64>())
        } else {
            let k = self.max_krylov.min(n);
            (k + 1) * n * size_of::<T>() + 3 * k * k * size_of::<f64>()
        };
        reduced + 6 * n * size_of::<T>()
    }

    fn recover(&self, s: &mut CubicState<T>) -> bool {
        s.at.stale = true;
        s.sigma *= UP.1;
        true
    }
}
