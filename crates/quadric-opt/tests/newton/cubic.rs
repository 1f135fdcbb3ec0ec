//! Cubic regularisation: the dense reduction and the Krylov space, convex or not.

use crate::problems::{Logistic, Quadratic, Rosenbrock, Saddle, wdbc};
use quadric_core::{AnyMethod, Driver, Outcome, Problem, Scalar, Status, Tolerance};
use quadric_opt::newton::CubicNewton;

/// The dense reduction, and the Krylov space for every size.
const DENSE: [usize; 2] = [300, 0];

fn run<T: Scalar>(max_dense: usize, x0: Vec<T>, problem: &dyn Problem<T>) -> Outcome<T> {
    let method = CubicNewton {
        max_dense,
        ..CubicNewton::default()
    };
    let mut driver = Driver {
        tolerance: Tolerance {
            relative: if T::EPSILON < 1e-10 { 1e-10 } else { 1e-4 },
            absolute: 0.0,
        },
        ..Driver::default()
    };
    AnyMethod::run(&method, &mut driver, x0, problem).expect("runs")
}

#[test]
fn a_quadratic_needs_few_steps_for_the_weight_falls() {
    for dense in DENSE {
        let problem = Quadratic {
            diagonal: vec![1.0, 10.0, 100.0],
            linear: vec![1.0, -2.0, 3.0],
        };
        let out = run::<f64>(dense, vec![0.0; 3], &problem);
        assert_eq!(out.status, Status::Converged);
        assert!(out.iterations <= 12, "{} steps", out.iterations);
        for (x, expected) in out.x.iter().zip([-1.0, 0.2, -0.03]) {
            assert!((x - expected).abs() < 1e-8);
        }
    }
}

#[test]
fn rosenbrock_in_many_dimensions() {
    for dense in DENSE {
        for n in [2, 10, 100] {
            let out = run::<f64>(dense, vec![-1.2; n], &Rosenbrock(n));
            assert_eq!(out.status, Status::Converged);
            // From here the chained function has the global minimum 0 and, for n >= 4, a local one near 4.
            let value = out.value.expect("a value");
            assert!(value < 1e-15 || (3.9..4.1).contains(&value), "{value}");
            assert!(out.iterations <= 60 + 3 * n as u64, "{}", out.iterations);
        }
    }
}

#[test]
fn saddles_are_left_along_negative_curvature() {
    for dense in DENSE {
        let out = run::<f64>(dense, vec![1e-12, 1.0], &Saddle);
        assert_eq!(out.status, Status::Converged, "{dense}");
        assert!((out.x[0].abs() - 1.0).abs() < 1e-6, "{:?}", out.x);
    }
}

/// The optimum of the specification, B.7.1, on the way there by either reduction and in either precision.
#[test]
fn logistic_regression_reaches_the_known_optimum() {
    for dense in DENSE {
        let out = run::<f64>(dense, vec![0.0; 30], &Logistic::new(wdbc(), 30, 1e-4));
        assert_eq!(out.status, Status::Converged);
        let error = out.value.expect("a value") - 0.043446314429;
        assert!(error.abs() < 1e-11, "{error:e}");
        // The specification measured 13 steps for the related super-universal method and 1,694 for a fixed weight.
        assert!(out.iterations <= 25, "{} steps", out.iterations);
        let rows: Vec<f32> = wdbc().into_iter().map(|v| v as f32).collect();
        let out = run::<f32>(dense, vec![0.0; 30], &Logistic::new(rows, 30, 1e-2));
        assert_eq!(out.status, Status::Converged);
        assert!((out.value.expect("a value") - 0.102416565756).abs() < 1e-5);
    }
}

#[test]
fn faults_are_named() {
    let method = CubicNewton {
        sigma: 0.0,
        accept: 2.0,
        max_krylov: 0,
        ..CubicNewton::default()
    };
    let run = AnyMethod::run(
        &method,
        &mut Driver::default(),
        vec![1.0; 2],
        &Rosenbrock(2),
    );
    let text = run.expect_err("refused").to_string();
    assert!(text.contains("`sigma`"), "{text}");
}
