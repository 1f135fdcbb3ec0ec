//! Gradient regularisation against the step counts that the specification measured, and on functions that are not convex.

use crate::problems::{Logistic, Quadratic, Rosenbrock, Saddle, wdbc};
use quadric_core::{AnyMethod, Driver, Outcome, Problem, Scalar, Status, Tolerance};
use quadric_opt::newton::{LinearSolver, RegularizedNewton};

const SOLVERS: [LinearSolver; 2] = [LinearSolver::Cholesky, LinearSolver::Cg];

fn run<T: Scalar>(method: &RegularizedNewton, x0: Vec<T>, problem: &dyn Problem<T>) -> Outcome<T> {
    let mut driver = Driver {
        tolerance: Tolerance {
            relative: if T::EPSILON < 1e-10 { 1e-10 } else { 1e-4 },
            absolute: 0.0,
        },
        ..Driver::default()
    };
    AnyMethod::run(method, &mut driver, x0, problem).expect("runs")
}

fn with(linear_solver: LinearSolver) -> RegularizedNewton {
    RegularizedNewton {
        linear_solver,
        ..RegularizedNewton::default()
    }
}

#[test]
fn a_quadratic_needs_few_steps() {
    for solver in SOLVERS {
        let problem = Quadratic {
            diagonal: vec![1.0, 10.0, 100.0],
            linear: vec![1.0, -2.0, 3.0],
        };
        let out = run::<f64>(&with(solver), vec![0.0; 3], &problem);
        assert_eq!(out.status, Status::Converged);
        assert!(out.iterations <= 12, "{} steps", out.iterations);
        for (x, expected) in out.x.iter().zip([-1.0, 0.2, -0.03]) {
            assert!((x - expected).abs() < 1e-8);
        }
    }
}

/// The specification measured 13, 25 and 71 iterations for alpha = 2/3, and 12, 24 and 52 for alpha = 1, to 1e-9.
#[test]
fn the_measured_step_counts_hold() {
    let expected = [
        (1e-4, 0.043446314429),
        (1e-6, 0.029228943232),
        (1e-8, 0.024560864495),
    ];
    for (power, counts) in [(2.0 / 3.0, [13, 25, 71]), (1.0, [12, 24, 52])] {
        for ((l2, optimum), count) in expected.into_iter().zip(counts) {
            let method = RegularizedNewton {
                power,
                ..RegularizedNewton::default()
            };
            let out = run::<f64>(&method, vec![0.0; 30], &Logistic::new(wdbc(), 30, l2));
            let about = format!(
                "{l2} {power}: {:?} after {} steps",
                out.status, out.iterations
            );
            assert!(out.status.is_converged(), "{about}");
            let error = out.value.expect("a value") - optimum;
            assert!(error.abs() < 1e-9, "{about}: {error:e}");
            assert!(out.iterations <= count + 3, "{about}");
        }
    }
}

#[test]
fn functions_that_are_not_convex_are_minimised_too() {
    for solver in SOLVERS {
        let out = run::<f64>(&with(solver), vec![-1.2; 10], &Rosenbrock(10));
        assert_eq!(out.status, Status::Converged, "{solver:?}");
        let value = out.value.expect("a value");
        assert!(value < 1e-12 || (3.9..4.1).contains(&value), "{value}");
        let out = run::<f64>(&with(solver), vec![1e-3, 1.0], &Saddle);
        assert_eq!(out.status, Status::Converged, "{solver:?}");
        assert!((out.x[0].abs() - 1.0).abs() < 1e-6, "{:?}", out.x);
    }
}

#[test]
fn single_precision_and_faults() {
    let rows: Vec<f32> = wdbc().into_iter().map(|v| v as f32).collect();
    let problem = Logistic::new(rows, 30, 1e-2);
    let out = run::<f32>(&RegularizedNewton::default(), vec![0.0; 30], &problem);
    assert_eq!(out.status, Status::Converged);
    assert!((out.value.expect("a value") - 0.102416565756).abs() < 1e-5);
    let method = RegularizedNewton {
        power: 2.0,
        ..RegularizedNewton::default()
    };
    let run = AnyMethod::run(
        &method,
        &mut Driver::default(),
        vec![1.0; 2],
        &Rosenbrock(2),
    );
    assert!(run.expect_err("refused").to_string().contains("`power`"));
}
