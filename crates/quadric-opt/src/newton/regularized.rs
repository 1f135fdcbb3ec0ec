//! Newton's method with the gradient's norm as regularisation, for functions whose smoothness nobody knows.
//!
//! Doikov, Mishchenko, Nesterov, "Super-universal regularized Newton method", SIAM J. Optim. 34, 2024, arXiv 2208.05888,
//! Algorithm 2: steps `-(∇²F + λ I)⁻¹ g` with `λ = 4ʲ H ‖g‖^α`, where j is the first that gives
//! `g⁺ᵀ(x - x⁺) >= ‖g⁺‖² / (4 λ)`, and H becomes `4ʲ H / 4`. Deviations: F must not rise either, which follows where F is
//! convex and is needed elsewhere; a shifted Hessian that is not positive definite counts as a trial that failed; steps
//! whose promise is below the rounding of F are taken when the gradient falls.

use super::standing::Standing;
use super::system::{LinearSolver, Newton, Preconditioner, Settings, System};
use crate::config::{Config, Fault};
use crate::scratch::Scratch;
use quadric_core::{
    Context, ErrorKind, Method, Problem, Reading, Result, Scalar, TwiceSmooth, vector,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gradient-regularised Newton.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RegularizedNewton {
    /// The power α of the gradient's norm; 2/3 is universal, 1 suits self-concordant functions.
    pub power: f64,
    /// The first weight H.
    pub weight: f64,
    /// How directions are computed.
    pub linear_solver: LinearSolver,
    /// What makes conjugate gradients fast.
    pub preconditioner: Preconditioner,
    /// Relative accuracy of a direction far from the optimum; near it, the square root of the relative gradient.
    pub forcing: f64,
    /// Most conjugate gradient steps per step.
    pub max_cg: usize,
    /// Most unknowns for which a dense Hessian is formed; 4,000 take 128 MB.
    pub max_dense: usize,
    /// Rank of the Nyström preconditioner, at most.
    pub nystrom_rank: usize,
}

impl Default for RegularizedNewton {
    fn default() -> Self {
        Self {
            power: 2.0 / 3.0,
            weight: 1.0,
            linear_solver: LinearSolver::Auto,
            preconditioner: Preconditioner::Auto,
            forcing: 0.1,
            max_cg: 1000,
            max_dense: 4000,
            nystrom_rank: 128,
        }
    }
}

impl Config for RegularizedNewton {
    type Method = Self;

    fn faults(&self) -> Vec<Fault> {
        let mut found = self.settings().faults();
        let mut check = |ok: bool, name: &str, value: f64, expected: &str| {
            if !ok {
                found.push(Fault::range(name, value, expected));
            }
        };
        let (power, weight, forcing) = (self.power, self.weight, self.forcing);
        check(
            (0.0..=1.0).contains(&power),
            "power",
            power,
            "a number in [0, 1]",
        );
        check(
            weight > 0.0 && weight.is_finite(),
            "weight",
            weight,
            "a positive number",
        );
        check(
            forcing > 0.0 && forcing < 1.0,
            "forcing",
            forcing,
            "a number in (0, 1)",
        );
        found
    }

    fn method(&self) -> Self {
        self.clone()
    }
}

quadric_core::state! {
    /// The memory of [`RegularizedNewton`].
    pub struct RegularizedState[T: Scalar] {
        /// Where the method stands.
        at: Standing<T>,
        /// The weight H.
        weight: f64,
        /// Choice of the linear solver.
        system: System<T>,
        /// Buffers without information.
        work: Scratch<Option<Buffers<T>>>,
    }
}

/// Buffers of one step.
pub struct Buffers<T> {
    d: Vec<T>,
    point: Vec<T>,
    gradient: Vec<T>,
}

impl<T: Scalar> Buffers<T> {
    fn new(dim: usize) -> Self {
        Self {
            d: vec![T::of(0.0); dim],
            point: vec![T::of(0.0); dim],
            gradient: vec![T::of(0.0); dim],
        }
    }
}

/// Factor between the weights of consecutive trials.
const FACTOR: f64 = 4.0;
/// Trials at a point.
const TRIALS: u32 = 100;
/// Bounds of the weight.
const WEIGHTS: (f64, f64) = (1e-100, 1e100);

impl RegularizedNewton {
    fn settings(&self) -> Settings {
        Settings {
            solver: self.linear_solver,
            preconditioner: self.preconditioner,
            max_cg: self.max_cg,
            max_dense: self.max_dense,
            nystrom_rank: self.nystrom_rank,
        }
    }

    /// Tries growing regularisation until a step is accepted; false if none is.
    fn try_steps<T: Scalar>(
        &self,
        p: &dyn TwiceSmooth<T>,
        x: &mut [T],
        s: &mut RegularizedState<T>,
        cx: &mut Context,
    ) -> Result<bool> {
        let hessian = p.hessian(x)?;
        let norm = vector::norm2(&s.at.gradient);
        for trial in 1..=TRIALS {
            let lambda = s.weight * norm.powf(self.power);
            let work = s.work.get(|| Buffers::new(x.len()));
            let at = Newton {
                problem: p,
                x,
                hessian: &hessian,
                mu: lambda,
                gradient: &s.at.gradient,
                forcing: self
                    .forcing
                    .min((norm / s.at.first_gradient).sqrt())
                    .max(1e-8),
                steps: None,
            };
            let model = match s.system.solve(&self.settings(), &at, &mut work.d, cx) {
                Ok(model) => Some(model).filter(super::damping::Model::is_usable),
                Err(e) if e.kind() == ErrorKind::Numeric => None,
                Err(e) => return Err(e),
            };
            if let Some(model) = model
                && Self::accepts(p, x, s, lambda, model.predicted())?
            {
                cx.note("regularization", lambda);
                cx.note("trials", f64::from(trial));
                s.weight = (s.weight / FACTOR).clamp(WEIGHTS.0, WEIGHTS.1);
                return Ok(true);
            }
            if s.weight >= WEIGHTS.1 || (model.is_some() && Self::stays(x, s)) {
                return Ok(false);
            }
            s.weight = (s.weight * FACTOR).clamp(WEIGHTS.0, WEIGHTS.1);
        }
        Ok(false)
    }

    /// Measures F at the end of the direction at hand, and moves there if that is progress.
    fn accepts<T: Scalar>(
        p: &dyn TwiceSmooth<T>,
        x: &mut [T],
        s: &mut RegularizedState<T>,
        lambda: f64,
        predicted: f64,
    ) -> Result<bool> {
        let work = s.work.get(|| Buffers::new(x.len()));
        work.point.copy_from_slice(x);
        vector::axpy(1.0, &work.d, &mut work.point);
        let value = p.value_grad(&work.point, &mut work.gradient)?;
        let (size, back) = (
            vector::norm2(&work.gradient),
            -vector::dot(&work.gradient, &work.d),
        );
        let noise = 4.0 * T::EPSILON * s.at.value.abs();
        let hidden = predicted <= 16.0 * noise
            && vector::max_abs(&work.gradient) < vector::max_abs(&s.at.gradient);
        let progress = back >= size * (size / (4.0 * lambda)) || hidden;
        if !(value.is_finite() && size.is_finite() && value - s.at.value <= noise && progress) {
            return Ok(false);
        }
        x.copy_from_slice(&work.point);
        std::mem::swap(&mut s.at.gradient, &mut work.gradient);
        s.at.value = value;
        Ok(true)
    }

    /// True if the last trial did not differ from `x`.
    fn stays<T: Scalar>(x: &[T], s: &mut RegularizedState<T>) -> bool {
        s.work.get(|| Buffers::new(x.len())).point == x
    }
}

impl<T: Scalar> Method<T> for RegularizedNewton {
    type Problem<'p> = dyn TwiceSmooth<T> + 'p;
    type State = RegularizedState<T>;

    fn init<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        _cx: &mut Context,
    ) -> Result<(RegularizedState<T>, Reading)> {
        self.validate()?;
        self.settings().check_dim(x.len())?;
        let at = Standing::start(p, x)?;
        let reading = at.reading();
        let s = RegularizedState {
            at,
            weight: self.weight,
            system: System::new(),
            work: Scratch::default(),
        };
        Ok((s, reading))
    }

    fn step<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        s: &mut RegularizedState<T>,
        cx: &mut Context,
    ) -> Result<Reading> {
        s.at.refresh(p, x)?;
        let moves = vector::max_abs(&s.at.gradient) > 0.0 && self.try_steps(p, x, s, cx)?;
        Ok(s.at.book(moves))
    }

    fn memory(&self, p: &dyn Problem<T>) -> usize {
        self.settings().memory::<T>(p.dim()) + 6 * p.dim() * size_of::<T>()
    }

    fn recover(&self, s: &mut RegularizedState<T>) -> bool {
        s.at.stale = true;
        s.weight = (s.weight * FACTOR * FACTOR).clamp(WEIGHTS.0, WEIGHTS.1);
        true
    }
}
