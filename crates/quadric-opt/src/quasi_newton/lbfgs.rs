//! Limited-memory BFGS: the inverse Hessian from the last pairs `s = Δx`, `y = Δg` by the two-loop recursion (Nocedal,
//! "Updating quasi-Newton matrices with limited storage", Math. Comp. 35, 1980; Liu, Nocedal, "On the limited memory BFGS
//! method for large scale optimization", Math. Prog. 45, 1989).
//!
//! A pair is kept only if its curvature `yᵀs` is positive beyond rounding and its reciprocal representable, so the matrix
//! stays positive definite on any function.

use crate::config::{Config, Fault};
use crate::descent::Descent;
use crate::search::StrongWolfe;
use quadric_core::{Context, Direction, Error, ErrorKind, Point, Result, Scalar, Smooth, vector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The limited-memory BFGS direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lbfgs {
    /// Pairs kept.
    pub memory: usize,
}

quadric_core::state! {
    /// The pairs, in rings of `memory` rows.
    pub struct LbfgsState[T: Scalar] {
        /// The last point and gradient.
        x: Vec<T>,
        g: Vec<T>,
        /// False until there is a last point.
        known: bool,
        /// Rows `(memory, n)`, flat.
        s: Vec<T>,
        y: Vec<T>,
        /// 1 / yᵀs.
        rho: Vec<f64>,
        /// First-loop coefficients.
        alpha: Vec<f64>,
        /// Row of the oldest pair, and how many there are.
        oldest: usize,
        len: usize,
        /// yᵀs / yᵀy of the newest pair.
        gamma: f64,
    }
}

/// 1 / yᵀs and yᵀs / yᵀy, if the curvature of the pair is positive beyond rounding.
pub(crate) fn curvature<T: Scalar>(s: &[T], y: &[T]) -> Option<(f64, f64)> {
    let sy = vector::dot(s, y);
    let (s_norm, y_norm) = (vector::norm2(s), vector::norm2(y));
    let rho = 1.0 / sy;
    let gamma = sy / y_norm / y_norm;
    // Below 10⁻²⁹⁰ the product has lost digits to underflow.
    let positive = sy > T::EPSILON * s_norm * y_norm && sy > 1e-290;
    let usable = positive && sy.is_finite() && gamma.is_finite() && gamma > 0.0;
    usable.then_some((rho, gamma))
}

/// Steepest descent of unit length: without curvature, the length of a step is all that can be guessed.
pub(crate) fn unit_steepest<T: Scalar>(g: &[T], d: &mut [T]) {
    let norm = vector::norm2(g);
    for (d, g) in d.iter_mut().zip(g) {
        *d = T::of(-g.to_f64() / norm);
    }
}

/// `out <- a - b`.
pub(crate) fn subtract<T: Scalar, U: Scalar>(a: &[T], b: &[T], out: &mut [U]) {
    for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
        *o = U::of(a.to_f64() - b.to_f64());
    }
}

impl<T: Scalar> LbfgsState<T> {
    pub(crate) fn new(memory: usize, n: usize) -> Self {
        let zeros = |n| vec![T::of(0.0); n];
        Self {
            x: zeros(n),
            g: zeros(n),
            known: false,
            s: zeros(memory * n),
            y: zeros(memory * n),
            rho: vec![0.0; memory],
            alpha: vec![0.0; memory],
            oldest: 0,
            len: 0,
            gamma: 1.0,
        }
    }

    /// Refuses a memory that no run of n unknowns leaves behind, for states that come from a file.
    pub(crate) fn check(&self, n: usize) -> Result<()> {
        let memory = self.rho.len();
        let fits = [self.x.len(), self.g.len()] == [n; 2]
            && [Some(self.s.len()), Some(self.y.len())] == [memory.checked_mul(n); 2]
            && self.alpha.len() == memory;
        if fits && self.oldest < memory && self.len <= memory {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Malformed,
            "the memory of l-bfgs contradicts itself",
        ))
    }

    /// Forgets the pairs; false if there were none.
    pub(crate) fn reset(&mut self) -> bool {
        self.known = false;
        std::mem::take(&mut self.len) > 0
    }

    /// Writes the direction at a point into `d`, after learning from the difference to the last one; false if the pair of
    /// the two was skipped.
    pub(crate) fn direction(&mut self, at: Point<'_, T>, d: &mut [T]) -> bool {
        let kept = self.visit_point(at);
        if self.len == 0 {
            unit_steepest(at.g, d);
            return kept;
        }
        let gamma = self.gamma;
        self.apply(at.g, d, |q| vector::scale(gamma, q));
        kept
    }

    /// The same with another inverse than a multiple of the identity for the pairs to correct: `base` multiplies with it.
    pub(crate) fn direction_from(
        &mut self,
        at: Point<'_, T>,
        d: &mut [T],
        base: impl FnOnce(&mut [T]),
    ) {
        self.visit_point(at);
        self.apply(at.g, d, base);
    }

    /// Learns from the difference to the last point, which this one becomes; false if the pair was skipped.
    pub(crate) fn visit_point(&mut self, at: Point<'_, T>) -> bool {
        let kept = !self.known || self.learn(at);
        self.x.copy_from_slice(at.x);
        self.g.copy_from_slice(at.g);
        self.known = true;
        kept
    }

    /// Writes the newest pair over the oldest row and keeps it if its curvature is good.
    fn learn(&mut self, at: Point<'_, T>) -> bool {
        let (n, memory) = (at.x.len(), self.rho.len());
        let row = (self.oldest + self.len) % memory;
        if self.len == memory {
            // The newest row takes the place of the oldest, whether it is kept or not.
            self.oldest = (self.oldest + 1) % memory;
            self.len -= 1;
        }
        let rows = row * n..(row + 1) * n;
        let (s, y) = (&mut self.s[rows.clone()], &mut self.y[rows]);
        subtract(at.x, &self.x, s);
        subtract(at.g, &self.g, y);
        let Some((rho, gamma)) = curvature(s, y) else {
            return false;
        };
        self.rho[row] = rho;
        self.gamma = gamma;
        self.len += 1;
        true
    }

    /// `q <- -H g`; `base` multiplies with the inverse that the pairs correct.
    fn apply(&mut self, g: &[T], q: &mut [T], base: impl FnOnce(&mut [T])) {
        for (q, g) in q.iter_mut().zip(g) {
            *q = T::of(-g.to_f64());
        }
        let (n, memory) = (q.len(), self.rho.len());
        let row = |i: usize| (self.oldest + i) % memory;
        for i in (0..self.len).map(row).rev() {
            let rows = i * n..(i + 1) * n;
            self.alpha[i] = self.rho[i] * vector::dot(&self.s[rows.clone()], q);
            vector::axpy(-self.alpha[i], &self.y[rows], q);
        }
        base(q);
        for i in (0..self.len).map(row) {
            let rows = i * n..(i + 1) * n;
            let beta = self.rho[i] * vector::dot(&self.y[rows.clone()], q);
            vector::axpy(self.alpha[i] - beta, &self.s[rows], q);
        }
    }
}

impl<T: Scalar> Direction<T> for Lbfgs {
    type Problem<'p> = dyn Smooth<T> + 'p;
    type State = LbfgsState<T>;

    fn init<'p>(
        &self,
        _: &'p (dyn Smooth<T> + 'p),
        x: &[T],
        _: &mut Context,
    ) -> Result<Self::State> {
        Ok(LbfgsState::new(self.memory, x.len()))
    }

    fn direction<'p>(
        &self,
        _: &'p (dyn Smooth<T> + 'p),
        state: &mut Self::State,
        at: Point<'_, T>,
        d: &mut [T],
        cx: &mut Context,
    ) -> Result<()> {
        state.check(at.x.len())?;
        if !state.direction(at, d) {
            cx.note("skipped_pairs", 1.0);
        }
        Ok(())
    }

    fn reset(&self, state: &mut Self::State) -> bool {
        state.reset()
    }

    fn memory(&self, dim: usize) -> usize {
        2 * (self.memory + 1) * dim * size_of::<T>()
    }
}

/// Options of `l-bfgs`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LbfgsConfig {
    /// Pairs kept, 1 to 1000. Default 10: beyond it Liu and Nocedal (1989, table 2) found little to gain.
    pub memory: usize,
    /// Required decrease, in (0, 0.5). Default 1e-4 (Nocedal and Wright 2006, section 3.1).
    pub c1: f64,
    /// Largest slope left after a step, in (c1, 1). Default 0.9 (the same, for quasi-Newton directions).
    pub c2: f64,
}

impl Default for LbfgsConfig {
    fn default() -> Self {
        let rule = StrongWolfe::default();
        Self {
            memory: 10,
            c1: rule.c1,
            c2: rule.c2,
        }
    }
}

impl Config for LbfgsConfig {
    type Method = Descent<Lbfgs, StrongWolfe>;

    fn faults(&self) -> Vec<Fault> {
        let mut faults = wolfe_faults(self.c1, self.c2);
        if !(1..=1000).contains(&self.memory) {
            faults.push(Fault::range("memory", self.memory, "1 to 1000"));
        }
        faults
    }

    fn method(&self) -> Self::Method {
        Descent {
            direction: Lbfgs {
                memory: self.memory,
            },
            rule: StrongWolfe {
                c1: self.c1,
                c2: self.c2,
                ..StrongWolfe::default()
            },
        }
    }
}

/// What is wrong with the constants of the Wolfe conditions.
pub(crate) fn wolfe_faults(c1: f64, c2: f64) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !(c1 > 0.0 && c1 < 0.5) {
        faults.push(Fault::range("c1", c1, "a number in (0, 0.5)"));
    }
    if !(c2 > c1 && c2 < 1.0) {
        faults.push(Fault::range("c2", c2, "a number in (c1, 1)"));
    }
    faults
}
