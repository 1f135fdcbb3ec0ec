//! Stochastic variance-reduced gradients: from an anchor `w` with its full gradient, steps along
//! `grad F_B(x) - grad F_B(w) + grad F(w)` over random mini-batches B (Johnson, Zhang, "Accelerating stochastic gradient
//! descent using predictive variance reduction", NIPS 2013).
//!
//! One step of the method is one anchor: an epoch of mini-batches, then a full gradient at its last point. If F has not
//! fallen there (or, where rounding hides that, the gradient), or a batch was not finite, the point is discarded, the step
//! length halved, and the next epoch starts from the same anchor: the method never diverges silently. After a good epoch
//! the length grows a little. The first length is
//! one over four times the smoothness of a term where the problem knows it (their Theorem 1 asks for less than one over
//! four times), else a tenth of the first step of a backtracking line search along the full gradient.

use crate::config::{Config, Fault};
use crate::descent::Standing;
use crate::scratch::Scratch;
use crate::search::{Armijo, rounding};
use quadric_core::{
    Context, Exit, FiniteSum, Line, Method, Problem, Reading, Result, Scalar, Smooth, StepRule,
    vector,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Factor on the step length after a good epoch.
const GROW: f64 = 1.2;
/// Factor on it after a bad one.
const SHRINK: f64 = 0.5;

/// Stochastic variance-reduced gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Svrg {
    /// Terms per mini-batch.
    pub batch: usize,
    /// Mini-batch terms per anchor, as a multiple of all terms.
    pub epoch: f64,
}

quadric_core::state! {
    /// The anchor and the step length.
    pub struct SvrgState[T: Scalar] {
        /// F and its gradient at the anchor.
        at: Standing<T>,
        /// Step length; 0 until the first step has chosen it.
        eta: f64,
        x: Scratch<Vec<T>>,
        /// Gradients of a batch at the point and at the anchor.
        g: Scratch<[Vec<T>; 2]>,
        rows: Scratch<Vec<usize>>,
    }
}

impl Svrg {
    /// A length that is safe, or nearly so, before anything was learned.
    fn first_length<T: Scalar>(
        p: &dyn FiniteSum<T>,
        x: &[T],
        s: &mut SvrgState<T>,
        cx: &mut Context,
    ) -> Result<f64> {
        if let Some(smoothness) = p.term_smoothness()
            && smoothness > 0.0
            && smoothness.is_finite()
        {
            return Ok(0.25 / smoothness);
        }
        let norm = vector::norm2(&s.at.g);
        let d = &mut s.x.0;
        for (d, g) in d.iter_mut().zip(&s.at.g) {
            *d = T::of(-g.to_f64() / norm);
        }
        let mut line = Line::new(p as &dyn Smooth<T>, x, d, s.at.f)?;
        let alpha = Armijo::default().length(&mut (), &mut line, -norm, cx)?;
        Ok(0.1 * alpha / norm)
    }

    /// Walks one epoch from `s.x`, which starts at the anchor; false if a batch was not finite.
    fn walk<T: Scalar>(
        &self,
        p: &dyn FiniteSum<T>,
        anchor: &[T],
        s: &mut SvrgState<T>,
        cx: &mut Context,
    ) -> Result<bool> {
        let n = p.terms();
        let size = self.batch.min(n);
        let batches = ((self.epoch * n as f64 / size as f64).round() as usize).max(1);
        let mut stream = cx.seeds.child("svrg").stream(cx.it);
        let Scratch([here, there]) = &mut s.g;
        for _ in 0..batches {
            s.rows.0.clear();
            s.rows.0.extend((0..size).map(|_| stream.below(n)));
            s.rows.0.sort_unstable();
            let batch = p.batch(&s.rows.0)?;
            let f = batch.value_grad(&s.x.0, here)?;
            batch.value_grad(anchor, there)?;
            for (i, x) in s.x.0.iter_mut().enumerate() {
                let g = here[i].to_f64() - there[i].to_f64() + s.at.g[i].to_f64();
                *x = T::of(x.to_f64() - s.eta * g);
            }
            if !(f.is_finite() && vector::all_finite(&s.x.0)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<T: Scalar> Method<T> for Svrg {
    type Problem<'p> = dyn FiniteSum<T> + 'p;
    type State = SvrgState<T>;

    fn init<'p>(
        &self,
        p: &'p (dyn FiniteSum<T> + 'p),
        x: &mut [T],
        _: &mut Context,
    ) -> Result<(Self::State, Reading)> {
        let at = Standing::new(p as &dyn Smooth<T>, x)?;
        let reading = at.reading();
        let state = SvrgState {
            at,
            eta: 0.0,
            x: Scratch(x.to_vec()),
            g: Scratch([x.to_vec(), x.to_vec()]),
            rows: Scratch(Vec::with_capacity(self.batch.min(p.terms()))),
        };
        Ok((state, reading))
    }

    fn step<'p>(
        &self,
        p: &'p (dyn FiniteSum<T> + 'p),
        x: &mut [T],
        s: &mut Self::State,
        cx: &mut Context,
    ) -> Result<Reading> {
        s.at.refresh(p as &dyn Smooth<T>, x)?;
        if s.eta == 0.0 && vector::max_abs(&s.at.g) > 0.0 {
            s.eta = Self::first_length(p, x, s, cx)?;
        }
        s.x.0.copy_from_slice(x);
        let finite = self.walk(p, x, s, cx)?;
        let still = finite && s.x.0 == x;
        if s.at.is_tired() || still {
            return Ok(s.at.reading().exit(Exit::Stalled));
        }
        let g = &mut s.g.0[0];
        let f = if finite {
            p.value_grad(&s.x.0, g)?
        } else {
            f64::NAN
        };
        let slack = rounding::<T>(s.at.f);
        // Where rounding hides the change of F, the gradient must have fallen.
        let flatter = vector::max_abs(g) < vector::max_abs(&s.at.g);
        let falls = f < s.at.f - slack || (f <= s.at.f + slack && flatter);
        if falls && vector::all_finite(g) {
            x.copy_from_slice(&s.x.0);
            s.at.f = f;
            std::mem::swap(&mut s.at.g, g);
            s.eta *= GROW;
        } else {
            cx.note("rejected_epochs", 1.0);
            s.eta *= SHRINK;
        }
        cx.note("step", s.eta);
        Ok(s.at.book())
    }

    fn memory(&self, p: &dyn Problem<T>) -> usize {
        6 * p.dim() * size_of::<T>()
    }

    fn recover(&self, s: &mut Self::State) -> bool {
        s.at.fresh = false;
        s.eta *= SHRINK;
        true
    }
}

/// Options of `svrg`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SvrgConfig {
    /// Terms per mini-batch, at least 1. Default 32: large enough to use wide arithmetic, small enough to step often.
    pub batch: usize,
    /// Mini-batch terms per anchor, as a multiple of all terms, in (0, 100]. Default 2 (Johnson and Zhang 2013, section 5,
    /// for convex problems).
    pub epoch: f64,
}

impl Default for SvrgConfig {
    fn default() -> Self {
        Self {
            batch: 32,
            epoch: 2.0,
        }
    }
}

impl Config for SvrgConfig {
    type Method = Svrg;

    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.batch == 0 {
            faults.push(Fault::range("batch", self.batch, "at least 1"));
        }
        if !(self.epoch > 0.0 && self.epoch <= 100.0) {
            faults.push(Fault::range("epoch", self.epoch, "a number in (0, 100]"));
        }
        faults
    }

    fn method(&self) -> Self::Method {
        Svrg {
            batch: self.batch,
            epoch: self.epoch,
        }
    }
}
