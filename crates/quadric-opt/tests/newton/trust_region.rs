//! The trust region on functions that are not convex, or not smooth enough for comfort.

use crate::problems::{Huber, Logistic, Quadratic, Rosenbrock, Saddle, wdbc};
use quadric_core::{AnyMethod, Budget, Driver, Outcome, Problem, Scalar, Status, Tolerance};
use quadric_opt::config::Config;
use quadric_opt::newton::{LinearSolver, TrustRegionNewton};
use quadric_opt::registry;
use serde_json::Value;

const SOLVERS: [LinearSolver; 2] = [LinearSolver::Cholesky, LinearSolver::Cg];

fn run<T: Scalar>(linear_solver: LinearSolver, x0: Vec<T>, problem: &dyn Problem<T>) -> Outcome<T> {
    let method = TrustRegionNewton {
        linear_solver,
        ..TrustRegionNewton::default()
    };
    AnyMethod::run(&method, &mut Driver::default(), x0, problem).expect("runs")
}

#[test]
fn a_quadratic_takes_one_step() {
    for solver in SOLVERS {
        let problem = Quadratic {
            diagonal: vec![1.0, 10.0, 100.0],
            linear: vec![1.0, -2.0, 3.0],
        };
        let out = run::<f64>(solver, vec![0.0; 3], &problem);
        assert_eq!(out.status, Status::Converged);
        let steps = if solver == LinearSolver::Cholesky {
            1
        } else {
            6
        };
        assert!(
            out.iterations <= steps,
            "{} steps with {solver:?}",
            out.iterations
        );
        for (x, expected) in out.x.iter().zip([-1.0, 0.2, -0.03]) {
            assert!((x - expected).abs() < 1e-9);
        }
    }
}

#[test]
fn rosenbrock_in_many_dimensions() {
    for solver in SOLVERS {
        for n in [2, 10, 100] {
            let out = run::<f64>(solver, vec![-1.2; n], &Rosenbrock(n));
            assert_eq!(out.status, Status::Converged);
            // From here the chained function has the global minimum 0 and, for n >= 4, a local one near 4.
            let value = out.value.expect("a value");
            assert!(value < 1e-15 || (3.9..4.1).contains(&value), "{value}");
            assert!(out.iterations <= 40 + 3 * n as u64, "{}", out.iterations);
        }
    }
}

/// `x²(x² - 2)/4 + y²/2` has a saddle at 0 and minima at (±1, 0); the start is all but on the stable line of the saddle.
#[test]
fn saddles_are_left_along_negative_curvature() {
    for solver in SOLVERS {
        let out = run::<f64>(solver, vec![1e-9, 1.0], &Saddle);
        assert_eq!(out.status, Status::Converged);
        assert!(
            (out.x[0].abs() - 1.0).abs() < 1e-8 && out.x[1].abs() < 1e-8,
            "{:?}",
            out.x
        );
        assert!((out.value.expect("a value") + 0.25).abs() < 1e-15);
    }
}

#[test]
fn a_piecewise_quadratic_ends_exactly() {
    for solver in SOLVERS {
        for l2 in [1e-2, 1e-6] {
            let problem = Huber::new(wdbc(), 30, 0.1, l2);
            let out = run::<f64>(solver, vec![0.0; 30], &problem);
            assert_eq!(out.status, Status::Converged, "{:?}", out.certificate);
            let limit = if solver == LinearSolver::Cholesky {
                25
            } else {
                80
            };
            assert!(out.iterations <= limit, "{} steps", out.iterations);
        }
    }
}

#[test]
fn logistic_regression_agrees_with_the_known_optimum() {
    for solver in SOLVERS {
        let out = run(solver, vec![0.0; 30], &Logistic::new(wdbc(), 30, 1e-4));
        assert_eq!(out.status, Status::Converged);
        assert!((out.value.expect("a value") - 0.043446314429).abs() < 1e-11);
    }
}

#[test]
fn single_precision_and_exact_limits() {
    let method = TrustRegionNewton::default();
    let mut driver = Driver {
        tolerance: Tolerance {
            relative: 1e-4,
            absolute: 0.0,
        },
        ..Driver::default()
    };
    let out = driver
        .run(&method, vec![-1.2_f32, 1.0], &Rosenbrock(2))
        .expect("runs");
    assert_eq!(out.status, Status::Converged);
    for limit in 1..10 {
        let mut driver = Driver {
            budget: Budget {
                evaluations: Some(limit),
                ..Budget::default()
            },
            ..Driver::default()
        };
        let out = driver
            .run(&method, vec![-1.2, 1.0], &Rosenbrock(2))
            .expect("runs");
        assert_eq!(
            (out.status, out.counts.evaluations()),
            (Status::MaxEvaluations, limit)
        );
    }
}

#[test]
fn faults_and_the_automatic_choice() {
    let method = TrustRegionNewton {
        radius: -1.0,
        accept: 0.9,
        grow_above: f64::NAN,
        max_dense: 0,
        ..TrustRegionNewton::default()
    };
    let text = method.validate().expect_err("faults").to_string();
    for name in ["radius", "accept", "grow_above", "max_dense"] {
        assert!(text.contains(name), "`{name}` is missing in: {text}");
    }
    TrustRegionNewton::default()
        .validate()
        .expect("the defaults are valid");
    let needs = |p: &dyn Problem<f64>| registry::auto(p, &Value::Null).map(|m| m.0.needs).ok();
    assert_eq!(
        needs(&Logistic::new(vec![1.0], 1, 1.0)),
        Some("SelfConcordant")
    );
    assert_eq!(needs(&Rosenbrock(2)), Some("TwiceSmooth"));
}
