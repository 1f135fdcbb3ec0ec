//! argmin's methods on ndarray's vectors, with the line searches and subproblem solvers that its documentation uses.

use crate::{EVALUATIONS, End, clock, is_over};
use argmin::core::{CostFunction, Error, Executor, Gradient, Hessian, State};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::newton::NewtonCG;
use argmin::solver::quasinewton::{BFGS, LBFGS};
use argmin::solver::trustregion::{Steihaug, TrustRegion};
use ndarray::{Array1, Array2};
use quadric::core::{Objective, Smooth, TwiceSmooth};
use quadric::models::nls::{Referee, TestProblem};
use std::cell::Cell;

pub const METHODS: &[&str] = &["BFGS", "L-BFGS", "Newton-CG", "trust region"];

type Vector = Array1<f64>;
type Matrix = Array2<f64>;

/// What argmin's arrays never are.
#[derive(Debug)]
struct Strided;

const STRIDED: Strided = Strided;

impl std::fmt::Display for Strided {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array with gaps")
    }
}

impl std::error::Error for Strided {}

fn entries(x: &Vector) -> Result<&[f64], Strided> {
    x.as_slice().ok_or(STRIDED)
}

/// A problem as argmin wants it.
struct Watched<'a, 'r> {
    referee: &'a Referee<'r>,
    best: &'a Cell<f64>,
}

impl Watched<'_, '_> {
    /// An error where the run is over, which ends it.
    fn note(&self, value: f64) -> Result<(), Error> {
        if value < self.best.get() {
            self.best.set(value);
        }
        if self.referee.reached().is_some() {
            return Err(Error::msg("reached"));
        }
        if is_over(self.referee) {
            return Err(Error::msg("max_evaluations"));
        }
        Ok(())
    }
}

impl CostFunction for Watched<'_, '_> {
    type Param = Vector;
    type Output = f64;
    fn cost(&self, x: &Vector) -> Result<f64, Error> {
        let value = self.referee.value(entries(x)?)?;
        self.note(value)?;
        Ok(value)
    }
}

impl Gradient for Watched<'_, '_> {
    type Param = Vector;
    type Gradient = Vector;
    fn gradient(&self, x: &Vector) -> Result<Vector, Error> {
        let mut g = Vector::zeros(x.len());
        let out = g.as_slice_mut().ok_or(STRIDED)?;
        let value = self.referee.value_grad(entries(x)?, out)?;
        self.note(value)?;
        Ok(g)
    }
}

impl Hessian for Watched<'_, '_> {
    type Param = Vector;
    type Hessian = Matrix;
    fn hessian(&self, x: &Vector) -> Result<Matrix, Error> {
        let n = x.len();
        let operator = self.referee.hessian(entries(x)?)?;
        let mut h = Matrix::zeros((n, n));
        // Symmetric, so that rows may be columns.
        let out = h.as_slice_mut().ok_or(STRIDED)?;
        operator.dense(faer::MatMut::from_column_major_slice_mut(out, n, n))?;
        Ok(h)
    }
}

pub fn run(test: &TestProblem, method: &str) -> End {
    let clock = clock();
    let referee = Referee::new(test, &clock);
    let best = Cell::new(f64::INFINITY);
    let problem = Watched {
        referee: &referee,
        best: &best,
    };
    let start = Vector::from(test.start.clone());
    let search = || MoreThuenteLineSearch::<Vector, Vector, f64>::new();
    // A macro, as the states of the methods differ in type.
    macro_rules! solve {
        ($solver:expr, $configure:expr) => {
            match $solver.map(|s| Executor::new(problem, s).configure($configure).run()) {
                Ok(Ok(result)) => format!("{:?}", result.state().get_termination_status()),
                Ok(Err(e)) | Err(e) => e.to_string(),
            }
        };
    }
    let n = start.len();
    let status = match method {
        "BFGS" => solve!(
            BFGS::new(search())
                .with_tolerance_grad(1e-10)
                .and_then(|s| s.with_tolerance_cost(0.0)),
            |s| s
                .param(start)
                .inv_hessian(Matrix::eye(n))
                .max_iters(EVALUATIONS)
        ),
        "L-BFGS" => solve!(
            LBFGS::new(search(), 10)
                .with_tolerance_grad(1e-10)
                .and_then(|s| s.with_tolerance_cost(0.0)),
            |s| s.param(start).max_iters(EVALUATIONS)
        ),
        "Newton-CG" => solve!(NewtonCG::new(search()).with_tolerance(1e-16), |s| s
            .param(start)
            .max_iters(EVALUATIONS)),
        _ => solve!(Ok::<_, Error>(TrustRegion::new(Steihaug::new())), |s| s
            .param(start)
            .max_iters(EVALUATIONS)),
    };
    End {
        reached: referee.reached(),
        spent: referee.spent(),
        value: Some(best.get()).filter(|v| v.is_finite()),
        status,
    }
}
