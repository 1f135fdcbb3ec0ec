//! BFGS with a dense inverse: `B <- B - rho (s (By)ᵀ + (By) sᵀ) + rho (1 + rho yᵀBy) s sᵀ`, `rho = 1 / yᵀs` (Broyden 1970,
//! Fletcher 1970, Goldfarb 1970, Shanno 1970; Nocedal, Wright, "Numerical Optimization", 2006, equation 6.17).
//!
//! Before the first update B is `yᵀs / yᵀy` times the identity (their equation 6.20). Pairs without positive curvature are
//! skipped; when rounding has cost B its positive definiteness (`yᵀBy <= 0`, or a direction that does not descend) it is
//! forgotten. B is symmetric to the last bit. It is held in f64 for either scalar type.

use super::lbfgs::{curvature, subtract, unit_steepest, wolfe_faults};
use crate::config::{Config, Fault};
use crate::descent::Descent;
use crate::scratch::Scratch;
use crate::search::StrongWolfe;
use quadric_core::{
    Context, Direction, Error, ErrorKind, Point, Result, Scalar, Smooth, State, vector,
};
use quadric_linalg::parallel::for_each;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// More unknowns than this are refused: B would hold more than 3.2 GB.
pub const LARGEST: usize = 20_000;
/// Rows of B that one task works on.
const ROWS: usize = 64;

/// The BFGS direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bfgs;

/// A symmetric positive definite estimate of an inverse Hessian.
#[derive(Clone, Debug, Default)]
pub struct InverseEstimate {
    n: usize,
    /// Rows, `(n, n)`; empty until the first pair.
    b: Vec<f64>,
    by: Vec<f64>,
}

impl InverseEstimate {
    /// Knows nothing about `n` unknowns.
    pub fn new(n: usize) -> Self {
        Self {
            n,
            b: Vec::new(),
            by: vec![0.0; n],
        }
    }

    /// True until the first pair.
    pub fn is_empty(&self) -> bool {
        self.b.is_empty()
    }

    /// Forgets all pairs; false if there were none.
    pub fn clear(&mut self) -> bool {
        let had = !self.b.is_empty();
        self.b.clear();
        had
    }

    /// Entry (i, j); 0 while empty.
    pub fn entry(&self, i: usize, j: usize) -> f64 {
        self.b.get(i * self.n + j).copied().unwrap_or(0.0)
    }

    /// `out <- B v` for `v` and `out` of length n; `v` must be f64 so that rounding cannot cost definiteness.
    pub fn apply(&self, v: &[f64], out: &mut [f64]) {
        if self.b.is_empty() {
            out.copy_from_slice(v);
            return;
        }
        let rows = self.b.chunks(ROWS * self.n);
        for_each(out.chunks_mut(ROWS).zip(rows), |_, (out, rows)| {
            for (o, row) in out.iter_mut().zip(rows.chunks(self.n)) {
                *o = vector::dot(row, v);
            }
        });
    }

    /// Learns that the gradient changed by `y` over the step `s`; false if the pair was skipped.
    pub fn update(&mut self, s: &[f64], y: &[f64]) -> bool {
        let Some((rho, gamma)) = curvature(s, y) else {
            return false;
        };
        let n = self.n;
        if self.b.is_empty() {
            self.b.resize(n * n, 0.0);
            for i in 0..n {
                self.b[i * n + i] = gamma;
            }
        }
        let mut by = std::mem::take(&mut self.by);
        self.apply(y, &mut by);
        let yby = vector::dot(y, &by);
        let c = rho * (1.0 + rho * yby);
        let definite = yby > 0.0 && c.is_finite();
        if definite {
            for_each(self.b.chunks_mut(ROWS * n), |piece, rows| {
                for (k, row) in rows.chunks_mut(n).enumerate() {
                    let i = piece * ROWS + k;
                    for (j, b) in row.iter_mut().enumerate() {
                        // Every product and sum is symmetric in i and j.
                        *b += c * (s[i] * s[j]) - rho * (s[i] * by[j] + by[i] * s[j]);
                    }
                }
            });
        } else {
            self.b.clear();
        }
        self.by = by;
        definite
    }
}

impl State for InverseEstimate {
    fn visit(&mut self, path: &str, v: &mut dyn quadric_core::Visitor) -> Result<()> {
        self.b.visit(&format!("{path}/b"), v)?;
        match self.b.len() {
            0 => Ok(()),
            m if m == self.n * self.n => Ok(()),
            m => Err(Error::malformed(
                path,
                format!("an inverse of {m} entries for {} unknowns", self.n),
            )),
        }
    }
}

quadric_core::state! {
    /// The last point and what was learned so far.
    pub struct BfgsState[T: Scalar] {
        x: Vec<T>,
        g: Vec<T>,
        /// False until there is a last point.
        known: bool,
        inverse: InverseEstimate,
        /// Step, change of the gradient, product.
        work: Scratch<[Vec<f64>; 3]>,
    }
}

impl<T: Scalar> Direction<T> for Bfgs {
    type Problem<'p> = dyn Smooth<T> + 'p;
    type State = BfgsState<T>;

    fn init<'p>(
        &self,
        _: &'p (dyn Smooth<T> + 'p),
        x: &[T],
        _: &mut Context,
    ) -> Result<Self::State> {
        let n = x.len();
        if n > LARGEST {
            return Err(Error::new(
                ErrorKind::Resource,
                format!(
                    "bfgs holds a dense matrix of {n} x {n}; it takes up to {LARGEST} unknowns"
                ),
            )
            .with_hint("l-bfgs takes any number"));
        }
        Ok(BfgsState {
            x: vec![T::of(0.0); n],
            g: vec![T::of(0.0); n],
            known: false,
            inverse: InverseEstimate::new(n),
            work: Scratch(std::array::from_fn(|_| vec![0.0; n])),
        })
    }

    fn direction<'p>(
        &self,
        _: &'p (dyn Smooth<T> + 'p),
        state: &mut Self::State,
        at: Point<'_, T>,
        d: &mut [T],
        cx: &mut Context,
    ) -> Result<()> {
        let Scratch([s, y, product]) = &mut state.work;
        if state.known {
            subtract(at.x, &state.x, s);
            subtract(at.g, &state.g, y);
            if !state.inverse.update(s, y) {
                cx.note("skipped_pairs", 1.0);
            }
        }
        state.x.copy_from_slice(at.x);
        state.g.copy_from_slice(at.g);
        state.known = true;
        if state.inverse.is_empty() {
            unit_steepest(at.g, d);
            return Ok(());
        }
        for (y, g) in y.iter_mut().zip(at.g) {
            *y = g.to_f64();
        }
        state.inverse.apply(y, product);
        for (d, p) in d.iter_mut().zip(product) {
            *d = T::of(-*p);
        }
        Ok(())
    }

    fn reset(&self, state: &mut Self::State) -> bool {
        state.known = false;
        state.inverse.clear()
    }

    fn memory(&self, dim: usize) -> usize {
        dim * dim * size_of::<f64>() + 2 * dim * size_of::<T>() + 4 * dim * size_of::<f64>()
    }
}

/// Options of `bfgs`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BfgsConfig {
    /// Required decrease, in (0, 0.5). Default 1e-4 (Nocedal and Wright 2006, section 3.1).
    pub c1: f64,
    /// Largest slope left after a step, in (c1, 1). Default 0.9 (the same, for quasi-Newton directions).
    pub c2: f64,
}

impl Default for BfgsConfig {
    fn default() -> Self {
        let rule = StrongWolfe::default();
        Self {
            c1: rule.c1,
            c2: rule.c2,
        }
    }
}

impl Config for BfgsConfig {
    type Method = Descent<Bfgs, StrongWolfe>;

    fn faults(&self) -> Vec<Fault> {
        wolfe_faults(self.c1, self.c2)
    }

    fn method(&self) -> Self::Method {
        Descent {
            direction: Bfgs,
            rule: StrongWolfe {
                c1: self.c1,
                c2: self.c2,
                ..StrongWolfe::default()
            },
        }
    }
}
