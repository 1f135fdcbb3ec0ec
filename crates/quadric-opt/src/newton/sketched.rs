//! Newton's method with Hessians estimated from few rows of the data, as many as it turns out to take.
//!
//! Rows are drawn (Roosta, Mahoney, "Sub-sampled Newton methods", Math. Prog. 174, 2019, arXiv 1601.04737) or mixed
//! (Pilanci, Wainwright, "Newton sketch", SIAM J. Optim. 27, 2017, arXiv 1505.02250), and their number doubles when they
//! serve badly (Lacotte, Wang, Pilanci, "Adaptive Newton sketch", ICML 2021, arXiv 2105.07291). Deviation: the estimate
//! preconditions conjugate gradients on the whole Hessian instead of taking its place, unless `refine` is off; then few
//! rows are enough, and steps end as fast as Newton's.

use super::direct::Factor;
use crate::config::{Config, Fault};
use crate::descent::Descent;
use crate::scratch::Scratch;
use crate::search::Armijo;
use faer::{MatMut, MatRef};
use quadric_core::{
    Batch, Capability, Context, Cost, Direction, Error, ErrorKind, FiniteSum, LinearOperator,
    Point, Properties, Result, Scalar, TwiceSmooth, need, vector,
};
use quadric_linalg::krylov::{CgOptions, CgWorkspace, cg};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How few rows stand for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sketch {
    /// A uniform sample without replacement.
    #[default]
    Rows,
    /// Random signed sums of all rows, which no single important row can escape. Needs a problem with one predictor.
    Signs,
}

/// Options of `sketched-newton`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SketchedNewton {
    /// How few rows stand for all.
    pub sketch: Sketch,
    /// Rows at first, as a multiple of the number of unknowns.
    pub rows_per_unknown: f64,
    /// Whether conjugate gradients on the whole Hessian refine each direction.
    pub refine: bool,
    /// Relative accuracy of a refined direction far from the optimum; near it, the square root of the relative gradient.
    pub forcing: f64,
    /// Most conjugate gradient steps per step.
    pub max_cg: usize,
    /// Most unknowns for which a dense Hessian is formed; 4,000 take 128 MB.
    pub max_dense: usize,
    /// Required decrease, as a fraction of what the slope promises.
    pub c1: f64,
}

impl Default for SketchedNewton {
    fn default() -> Self {
        Self {
            sketch: Sketch::Rows,
            rows_per_unknown: 4.0,
            refine: true,
            forcing: 0.1,
            max_cg: 100,
            max_dense: 4000,
            c1: Armijo::default().c1,
        }
    }
}

impl Config for SketchedNewton {
    type Method = Descent<Self, Armijo>;

    fn faults(&self) -> Vec<Fault> {
        let mut found = Vec::new();
        let mut check = |ok: bool, name: &str, value: f64, expected: &str| {
            if !ok {
                found.push(Fault::range(name, value, expected));
            }
        };
        let (rows, forcing, c1) = (self.rows_per_unknown, self.forcing, self.c1);
        let some = rows > 0.0 && rows.is_finite();
        check(some, "rows_per_unknown", rows, "a positive number");
        let inside = forcing > 0.0 && forcing < 1.0;
        check(inside, "forcing", forcing, "a number in (0, 1)");
        check(c1 > 0.0 && c1 < 0.5, "c1", c1, "a number in (0, 0.5)");
        for (name, count) in [("max_cg", self.max_cg), ("max_dense", self.max_dense)] {
            check(count > 0, name, 0.0, "at least 1");
        }
        found
    }

    fn method(&self) -> Self::Method {
        Descent {
            direction: *self,
            rule: Armijo {
                c1: self.c1,
                ..Armijo::default()
            },
        }
    }
}

quadric_core::state! {
    /// The memory of [`SketchedNewton`].
    pub struct SketchedState[T: Scalar] {
        /// Rows of the next estimate.
        rows: usize,
        /// Norm of the first gradient.
        first_gradient: f64,
        /// The last `-gᵀd`, where directions are not refined; infinite before the first.
        decrement: f64,
        /// Buffers without information.
        work: Scratch<Option<Work<T>>>,
    }
}

/// Memory of the solvers.
pub struct Work<T: Scalar> {
    factor: Factor<T>,
    cg: CgWorkspace<T>,
}

/// Iterations after which an estimate counts as too coarse.
const MANY: usize = 8;
/// What a step that is not refined should leave of the squared decrement.
const SHARE: f64 = 0.25;

/// A factorisation as an operator.
struct Inverse<'a, T: Scalar>(&'a Factor<T>);

impl<T: Scalar> LinearOperator<T> for Inverse<'_, T> {
    fn shape(&self) -> (usize, usize) {
        let n = self.0.dim();
        (n, n)
    }
    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        y.copy_from(x);
        self.0.solve_in_place(y);
        Ok(())
    }
    fn properties(&self) -> Properties {
        Properties::PSD
    }
    fn cost(&self) -> Cost {
        let n = self.0.dim() as f64;
        Cost {
            product: 2.0 * n * n,
            dense: n * n * n,
        }
    }
}

impl SketchedNewton {
    /// A problem of `rows` rows whose Hessian at `x` estimates that of the whole.
    fn estimate<'p, T: Scalar>(
        &self,
        p: &'p dyn FiniteSum<T>,
        x: &[T],
        rows: usize,
        cx: &Context,
    ) -> Result<Batch<'p, T>> {
        let seeds = cx.seeds.child("sketch").child(&cx.it.to_string());
        match self.sketch {
            Sketch::Rows => {
                let mut order = seeds.stream(rows as u64).permutation(p.terms());
                order.truncate(rows);
                order.sort_unstable();
                p.batch(&order)
            }
            Sketch::Signs => p.mixed(x, rows, seeds)?.ok_or_else(|| {
                let message = format!("`{}` cannot mix its rows", p.root().name());
                Error::new(ErrorKind::Capability, message).with_hint("use `sketch` = rows")
            }),
        }
    }

    /// Factorises an estimate that is positive definite, of more rows where that takes more; true if it is the Hessian
    /// itself.
    fn factorise<T: Scalar>(
        &self,
        p: &dyn FiniteSum<T>,
        whole: &dyn TwiceSmooth<T>,
        s: &mut SketchedState<T>,
        x: &[T],
        cx: &mut Context,
    ) -> Result<bool> {
        let factor = &mut s
            .work
            .0
            .as_mut()
            .expect("made by init or before a step")
            .factor;
        while s.rows < p.terms() {
            cx.note("sketch", s.rows as f64);
            let few = self.estimate(p, x, s.rows, cx)?;
            let few = need::<T, dyn TwiceSmooth<T>>(few.root())?;
            match factor.update(&*few.hessian(x)?, 0.0) {
                Ok(()) => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Numeric => s.rows = s.rows.saturating_mul(2),
                Err(e) => return Err(e),
            }
        }
        cx.note("cholesky", 1.0);
        factor.update(&*whole.hessian(x)?, 0.0)?;
        Ok(true)
    }

    /// Solves with the whole Hessian, the estimate as preconditioner.
    fn refined<T: Scalar>(
        &self,
        whole: &dyn TwiceSmooth<T>,
        s: &mut SketchedState<T>,
        at: Point<'_, T>,
        d: &mut [T],
        cx: &mut Context,
    ) -> Result<()> {
        let hessian = whole.hessian(at.x)?;
        let near = (vector::norm2(at.g) / s.first_gradient).sqrt();
        let forcing = self.forcing.min(near).max(1e-8);
        let options = CgOptions {
            relative: 0.0,
            energy: Some(forcing),
            gain: Some(forcing * forcing),
            max_iterations: self.max_cg,
            verify: false,
            ..CgOptions::default()
        };
        let work = s.work.0.as_mut().expect("made before a step");
        let inverse = Inverse(&work.factor);
        let report = cg(
            &*hessian,
            0.0,
            Some(&inverse),
            at.g,
            d,
            &options,
            &mut work.cg,
        )?;
        cx.note("cg", report.iterations as f64);
        if report.slope > 0.0 && report.curvature > 0.0 {
            vector::scale(-1.0, d);
        } else {
            work.factor.direction(at.g, d);
        }
        if report.iterations > MANY {
            s.rows = s.rows.saturating_mul(2);
        }
        Ok(())
    }
}

impl<T: Scalar> Direction<T> for SketchedNewton {
    type Problem<'p> = dyn FiniteSum<T> + 'p;
    type State = SketchedState<T>;

    fn init<'p>(
        &self,
        p: &'p (dyn FiniteSum<T> + 'p),
        x: &[T],
        _: &mut Context,
    ) -> Result<Self::State> {
        need::<T, dyn TwiceSmooth<T>>(p.root())?;
        let dim = x.len();
        if dim > self.max_dense {
            let message = format!(
                "a dense matrix of {dim} x {dim} is more than `max_dense` = {}",
                self.max_dense
            );
            let error = Error::new(ErrorKind::Resource, message);
            return Err(error.with_hint("raise `max_dense`, or use the method `newton`"));
        }
        let rows = (self.rows_per_unknown * dim as f64).ceil();
        Ok(SketchedState {
            rows: (rows as usize).max(1),
            first_gradient: 0.0,
            decrement: f64::INFINITY,
            work: Scratch::default(),
        })
    }

    fn direction<'p>(
        &self,
        p: &'p (dyn FiniteSum<T> + 'p),
        s: &mut Self::State,
        at: Point<'_, T>,
        d: &mut [T],
        cx: &mut Context,
    ) -> Result<()> {
        let whole = need::<T, dyn TwiceSmooth<T>>(p.root())?;
        if s.work.0.is_none() {
            let (factor, cg) = (Factor::new(d.len())?, CgWorkspace::default());
            s.work.0 = Some(Work { factor, cg });
        }
        if s.first_gradient == 0.0 {
            s.first_gradient = vector::norm2(at.g);
        }
        let is_exact = self.factorise(p, whole, s, at.x, cx)?;
        if self.refine && !is_exact {
            return self.refined(whole, s, at, d, cx);
        }
        let work = s.work.0.as_ref().expect("made above");
        let decrement = work.factor.direction(at.g, d).slope;
        if decrement > SHARE * s.decrement {
            s.rows = s.rows.saturating_mul(2);
        }
        s.decrement = decrement;
        Ok(())
    }

    /// From now on with the whole Hessian.
    fn reset(&self, s: &mut Self::State) -> bool {
        let was_coarse = s.rows < usize::MAX;
        s.rows = usize::MAX;
        was_coarse
    }

    fn memory(&self, dim: usize) -> usize {
        Factor::<T>::memory(dim) + 7 * dim * size_of::<T>()
    }
}
