//! Newton systems `(∇²F + mu I) d = -g`: by Cholesky or by preconditioned conjugate gradients, whichever costs less.
//!
//! The choice rests on the operator's own estimate of its work and on iteration counts, never on a clock, so that a run is
//! the same on every machine.

use super::damping::Model;
use super::direct::Factor;
use super::kept::Kept;
use crate::config::Fault;
use crate::scratch::Scratch;
use quadric_core::{
    ApproximateInverse, BoxOp, Context, Cost, Error, ErrorKind, LinearOperator, Result, Scalar,
    TwiceSmooth, vector,
};
use quadric_linalg::estimate::{DiagonalMethod, DiagonalOptions, diagonal};
use quadric_linalg::krylov::{CgOptions, CgReport, CgStop, CgWorkspace, cg};
use quadric_linalg::precond::{Jacobi, NystromPreconditioner};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a linear system is solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinearSolver {
    /// Whichever costs less, by the operator's estimate of its work and by the iterations that were needed so far.
    #[default]
    Auto,
    /// Cholesky factorisation of the dense Hessian.
    Cholesky,
    /// Preconditioned conjugate gradients.
    Cg,
}

/// What makes conjugate gradients fast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preconditioner {
    /// The problem's own or none; randomised Nyström once that turns out to be slow.
    #[default]
    Auto,
    /// None.
    None,
    /// The diagonal of the Hessian, estimated from 32 products.
    Jacobi,
    /// Randomised Nyström approximation.
    Nystrom,
    /// What the problem offers.
    Problem,
}

/// The settings of the linear systems, as the methods' configurations hold them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub solver: LinearSolver,
    pub preconditioner: Preconditioner,
    pub max_cg: usize,
    pub max_dense: usize,
    pub nystrom_rank: usize,
}

impl Settings {
    /// What is wrong with them.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let positive = [
            ("max_cg", self.max_cg),
            ("max_dense", self.max_dense),
            ("nystrom_rank", self.nystrom_rank),
        ];
        positive
            .into_iter()
            .filter(|(_, v)| *v == 0)
            .map(|(name, _)| Fault::range(name, 0, "at least 1"))
            .collect()
    }

    /// True if a dense Hessian may be formed.
    pub(super) fn allows_dense(&self, dim: usize) -> bool {
        match self.solver {
            LinearSolver::Cg => false,
            LinearSolver::Auto => dim <= self.max_dense,
            LinearSolver::Cholesky => true,
        }
    }

    /// Refuses an explicit Cholesky factorisation above the limit.
    pub(super) fn check_dim(&self, dim: usize) -> Result<()> {
        if self.solver == LinearSolver::Cholesky && dim > self.max_dense {
            return Err(Error::new(
                ErrorKind::Resource,
                format!(
                    "`linear_solver` = cholesky needs a dense matrix of {dim} x {dim}, `max_dense` is {}",
                    self.max_dense
                ),
            )
            .with_hint("raise `max_dense`, or use `linear_solver` = cg"));
        }
        Ok(())
    }

    /// Rank of a sketch, at most.
    fn sketch_rank(&self, dim: usize) -> usize {
        match self.preconditioner {
            Preconditioner::Auto => self.nystrom_rank.min(SKETCH / dim.max(1)),
            _ => self.nystrom_rank,
        }
    }

    /// Bytes for the systems of a problem with `dim` unknowns.
    pub(super) fn memory<T: Scalar>(&self, dim: usize) -> usize {
        let direct = if self.allows_dense(dim) {
            Factor::<T>::memory(dim)
        } else {
            0
        };
        let sketch = match (self.solver, self.preconditioner) {
            (LinearSolver::Cholesky, _) => 0,
            // Vectors in T, and basis, image and one copy in f64 while they are made.
            (_, Preconditioner::Auto | Preconditioner::Nystrom) => {
                self.sketch_rank(dim).min(dim) * dim * (size_of::<T>() + 24)
            }
            _ => 0,
        };
        direct + sketch + 7 * dim * size_of::<T>()
    }
}

quadric_core::state! {
    /// What was learned about the linear systems so far.
    pub struct System[T: Scalar] {
        /// 0: not chosen yet, 1: Cholesky, 2: conjugate gradients.
        choice: u64,
        /// True while sketches stand in for the problem's own preconditioner or none, which was slow.
        sketches: bool,
        /// Iterations of the slow solve; 0 before. Sketches that do not halve them are given up for good.
        slow: u64,
        /// The problem's own preconditioner.
        kept: Kept<T>,
        /// Buffers without information.
        work: Scratch<Option<Work<T>>>,
    }
}

const UNDECIDED: u64 = 0;
const CHOLESKY: u64 = 1;
const CG: u64 = 2;

/// Memory of the solvers.
#[derive(Default)]
pub struct Work<T: Scalar> {
    factor: Option<Factor<T>>,
    /// What the factorisation took, in products.
    price: f64,
    cg: CgWorkspace<T>,
}

/// What preconditions a solve; [`System::learn`] takes it back.
pub(super) enum Loan<'a, T: Scalar> {
    Nothing,
    ForThisPoint(BoxOp<'a, T>),
    Kept(ApproximateInverse<T>),
}

impl<T: Scalar> Loan<'_, T> {
    pub(super) fn operator(&self) -> Option<&dyn LinearOperator<T>> {
        match self {
            Self::Nothing => None,
            Self::ForThisPoint(operator) => Some(&**operator),
            Self::Kept(inverse) => Some(&*inverse.operator),
        }
    }
}

/// The Newton system at a point.
pub(super) struct Newton<'a, T: Scalar> {
    pub problem: &'a dyn TwiceSmooth<T>,
    pub x: &'a [T],
    pub hessian: &'a dyn LinearOperator<T>,
    pub mu: f64,
    pub gradient: &'a [T],
    /// Relative accuracy in the norm of the Hessian (conjugate gradients only).
    pub forcing: f64,
    /// Number of conjugate gradient steps, if it is prescribed.
    pub steps: Option<usize>,
}

/// Entries of a sketch that is made unasked, at most: a larger one costs more to make and apply than it saves.
const SKETCH: usize = 1 << 24;
/// A smaller sketch unasked is not worth its making.
const WORTHWHILE: usize = 32;
/// Iterations that a solve may be expected to need at least, so that less work than this is always done directly.
const CHEAP: f64 = 30.0;
/// Iterations of an easy system, at most.
pub(super) const EASY: usize = 30;
/// Iterations of one solve after which plain conjugate gradients count as slow.
const SLOW: u64 = 100;

impl<T: Scalar> System<T> {
    pub(super) fn new() -> Self {
        Self {
            choice: UNDECIDED,
            sketches: false,
            slow: 0,
            kept: Kept::new(),
            work: Scratch::default(),
        }
    }

    /// True if the systems are factorised, as far as is known yet.
    pub(super) fn is_direct(&mut self, settings: &Settings, cost: Cost, dim: usize) -> bool {
        if self.choice == UNDECIDED {
            self.choice = match settings.solver {
                LinearSolver::Cholesky => CHOLESKY,
                LinearSolver::Cg => CG,
                LinearSolver::Auto
                    if settings.allows_dense(dim) && cost.factorisation(dim) <= CHEAP =>
                {
                    CHOLESKY
                }
                LinearSolver::Auto => CG,
            };
        }
        self.choice == CHOLESKY
    }

    /// True if the last system was solved by factorisation.
    pub(super) fn is_factorised(&self) -> bool {
        self.choice == CHOLESKY
    }

    /// What the last factorisation took, in products of the Hessian with a vector.
    pub(super) fn price(&mut self) -> f64 {
        self.work.get(Work::default).price
    }

    /// The memory of direct solves.
    pub(super) fn factor(&mut self, dim: usize) -> Result<&mut Factor<T>> {
        let work = self.work.get(Work::default);
        Ok(match &mut work.factor {
            Some(factor) => factor,
            none => none.insert(Factor::new(dim)?),
        })
    }

    /// The memory of conjugate gradients.
    pub(super) fn cg(&mut self) -> &mut CgWorkspace<T> {
        &mut self.work.get(Work::default).cg
    }

    /// `(x - y)ᵀ (∇²F + mu I)⁻¹ (x - y)` with the matrix of the last direct solve.
    pub(super) fn dual_square(&mut self, x: &[T], y: &[T]) -> Result<f64> {
        let factor = self.factor(x.len())?;
        let difference = |(x, y): (&T, &T)| T::of(x.to_f64() - y.to_f64());
        let v: Vec<T> = x.iter().zip(y).map(difference).collect();
        Ok(factor.direction(&v, &mut v.clone()).slope)
    }

    /// Writes the Newton direction into `d` and returns the second-order model along it.
    ///
    /// # Errors
    /// Those of the operators.
    pub(super) fn solve(
        &mut self,
        settings: &Settings,
        at: &Newton<'_, T>,
        d: &mut [T],
        cx: &mut Context,
    ) -> Result<Model> {
        let dim = d.len();
        let cost = at.hessian.cost();
        if !self.is_direct(settings, cost, dim) {
            let may_switch = settings.allows_dense(dim);
            let mut limit = settings.max_cg;
            if may_switch {
                // Iterations worth a factorisation; more than that once shows that it is the better way.
                limit = limit.min((cost.factorisation(dim) as usize).max(10));
            }
            let report = self.iterate(settings, at, limit, d, cx)?;
            let short = report.stop == CgStop::MaxIterations && at.steps.is_none();
            if !(short && may_switch && limit < settings.max_cg) {
                return self.finish_cg(at, &report, d);
            }
            self.choice = CHOLESKY;
        }
        cx.note("cholesky", 1.0);
        self.work.get(Work::default).price = cost.factorisation(dim);
        let factor = self.factor(dim)?;
        factor.update(at.hessian, at.mu)?;
        if factor.shift > 0.0 {
            cx.note("shift", factor.shift);
        }
        Ok(factor.direction(at.gradient, d))
    }

    /// Writes the Newton direction into `d` if a few conjugate gradients reach it.
    ///
    /// # Errors
    /// Those of the operators.
    pub(super) fn solve_easily(
        &mut self,
        settings: &Settings,
        at: &Newton<'_, T>,
        d: &mut [T],
        cx: &mut Context,
    ) -> Result<Option<Model>> {
        let report = self.iterate(settings, at, EASY.min(settings.max_cg), d, cx)?;
        if report.stop == CgStop::MaxIterations {
            // Made for another matrix than those to come.
            self.kept.discard();
            return Ok(None);
        }
        self.finish_cg(at, &report, d).map(Some)
    }

    fn iterate(
        &mut self,
        settings: &Settings,
        at: &Newton<'_, T>,
        limit: usize,
        d: &mut [T],
        cx: &mut Context,
    ) -> Result<CgReport> {
        let options = CgOptions {
            relative: 0.0,
            energy: at.steps.is_none().then_some(at.forcing),
            gain: at.steps.is_none().then_some(at.forcing * at.forcing),
            max_iterations: at.steps.unwrap_or(limit),
            verify: at.forcing < 1e-3,
            ..CgOptions::default()
        };
        let mut wasted = 0;
        loop {
            let loan = self.preconditioner(settings, at, cx)?;
            let mut options = options;
            let is_old = matches!(loan, Loan::Kept(_)) && !self.kept.is_new();
            if is_old && at.steps.is_none() {
                let most = self.kept.limit(at.forcing) as usize;
                options.max_iterations = most.min(limit);
            }
            let report = cg(
                at.hessian,
                at.mu,
                loan.operator(),
                at.gradient,
                d,
                &options,
                self.cg(),
            )?;
            if report.stop == CgStop::MaxIterations && is_old && options.max_iterations < limit {
                wasted += report.iterations;
                self.kept.discard();
                continue;
            }
            cx.note("cg", (wasted + report.iterations) as f64);
            self.learn(loan, report.iterations, at.forcing);
            return Ok(report);
        }
    }

    /// Takes in how many iterations a solve to a relative accuracy needed.
    pub(super) fn learn(&mut self, loan: Loan<'_, T>, iterations: usize, accuracy: f64) {
        let mut is_new = true;
        if let Loan::Kept(inverse) = loan {
            is_new = self.kept.is_new();
            self.kept.give_back(inverse, iterations, accuracy);
        }
        let iterations = iterations as u64;
        if self.sketches {
            self.sketches = 2 * iterations <= self.slow;
        } else if is_new && self.slow == 0 && iterations >= SLOW {
            self.sketches = true;
            self.slow = iterations;
        }
    }

    /// Turns the solution into a descent direction.
    fn finish_cg(&self, at: &Newton<'_, T>, report: &CgReport, d: &mut [T]) -> Result<Model> {
        if report.slope > 0.0 && report.curvature > 0.0 {
            vector::scale(-1.0, d);
            return Ok(Model {
                slope: report.slope,
                curvature: report.curvature,
            });
        }
        // Not one usable iteration: the steepest descent, whose curvature a product tells.
        let mut image = at.gradient.to_vec();
        quadric_linalg::apply_vector(at.hessian, at.gradient, &mut image)?;
        for (d, g) in d.iter_mut().zip(at.gradient) {
            *d = T::of(-g.to_f64());
        }
        let slope = vector::dot(at.gradient, at.gradient);
        let curvature = vector::dot(at.gradient, &image) + at.mu * slope;
        Ok(Model { slope, curvature })
    }

    /// What conjugate gradients are preconditioned with.
    ///
    /// # Errors
    /// Those of the operators.
    pub(super) fn preconditioner<'a>(
        &mut self,
        settings: &Settings,
        at: &Newton<'a, T>,
        cx: &mut Context,
    ) -> Result<Loan<'a, T>> {
        let seed = cx.seeds.child("preconditioner").child(&cx.it.to_string());
        let sketch = |cx: &mut Context| -> Result<Loan<'a, T>> {
            // The smallest shift that the sketch can still tell from its rounding errors.
            let scale = vector::norm2(at.gradient);
            let shift = at.mu.max(f64::MIN_POSITIVE.max(T::EPSILON * scale));
            let rank = settings.sketch_rank(at.x.len());
            let sketch = NystromPreconditioner::adaptive(at.hessian, shift, rank, seed)?;
            cx.note("sketch", sketch.eigenvalues().len() as f64);
            Ok(Loan::ForThisPoint(Box::new(sketch)))
        };
        match settings.preconditioner {
            Preconditioner::None => Ok(Loan::Nothing),
            Preconditioner::Nystrom => sketch(cx),
            Preconditioner::Auto
                if self.sketches
                    && at.hessian.properties().psd
                    && settings.sketch_rank(at.x.len()) >= WORTHWHILE =>
            {
                sketch(cx)
            }
            Preconditioner::Auto | Preconditioner::Problem => {
                let product = at.hessian.cost().product;
                let inverse = self.kept.lend(at.problem, at.x, at.mu, product)?;
                if self.kept.is_new() && inverse.is_some() {
                    cx.note("preconditioner", 1.0);
                }
                Ok(inverse.map_or(Loan::Nothing, Loan::Kept))
            }
            Preconditioner::Jacobi => {
                let options = DiagonalOptions {
                    method: DiagonalMethod::Hutchinson,
                    products: 32,
                    ..DiagonalOptions::default()
                };
                let estimate = diagonal(at.hessian, &options, seed)?.values;
                let diagonal: Vec<T> = estimate.into_iter().map(T::of).collect();
                Ok(Loan::ForThisPoint(Box::new(Jacobi::from_estimate(
                    &diagonal, at.mu, 1e-10,
                )?)))
            }
        }
    }
}
