//! Newton-MR on singular Hessians, against pseudo-inverses and one-dimensional optima, and where curvature is negative.

use crate::problems::{Logistic, Quadratic, Rosenbrock, Saddle};
use quadric_core::{AnyMethod, Driver, Outcome, Problem, Scalar, Status, Tolerance};
use quadric_opt::newton::NewtonMr;

fn run<T: Scalar>(x0: Vec<T>, problem: &dyn Problem<T>) -> Outcome<T> {
    let mut driver = Driver {
        tolerance: Tolerance {
            relative: if T::EPSILON < 1e-10 { 1e-10 } else { 1e-4 },
            absolute: 0.0,
        },
        ..Driver::default()
    };
    AnyMethod::run(&NewtonMr::default(), &mut driver, x0, problem).expect("runs")
}

/// What the Hessian does not see stays where it was: the step is the pseudo-inverse's.
#[test]
fn a_singular_quadratic_moves_by_the_pseudo_inverse() {
    let problem = Quadratic {
        diagonal: vec![1.0, 0.0, 4.0],
        linear: vec![-1.0, 0.0, 2.0],
    };
    let out = run::<f64>(vec![5.0, 7.0, 9.0], &problem);
    assert_eq!(out.status, Status::Converged);
    assert!(out.iterations <= 4, "{} steps", out.iterations);
    for (x, expected) in out.x.iter().zip([1.0, 7.0, -0.5]) {
        assert!((x - expected).abs() < 1e-9, "{:?}", out.x);
    }
}

/// F falls along the null space of its Hessian for ever.
#[test]
fn a_singular_quadratic_without_a_minimum_is_unbounded() {
    let problem = Quadratic {
        diagonal: vec![1.0, 0.0],
        linear: vec![-1.0, 1.0],
    };
    let out = run::<f64>(vec![0.0; 2], &problem);
    assert!(!out.status.is_converged(), "{:?}", out.status);
    assert!(out.value.expect("known") < -1e6);
}

/// Two equal columns and no penalty: the optimum is a line of points, and the nearest one to the start is found.
#[test]
fn equal_columns_share_the_weight() {
    let margins = [1.0, 2.0, -0.5, -1.5, 0.7, 3.0, -2.0];
    let rows: Vec<f64> = margins.iter().flat_map(|m| [*m, *m]).collect();
    let slope = |w: f64| -> f64 { margins.iter().map(|m| -m / (1.0 + (m * w).exp())).sum() };
    let (mut low, mut high) = (-10.0, 10.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if slope(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    for (start, expected) in [
        ([0.0, 0.0], [0.5 * low; 2]),
        ([3.0, 1.0], [0.5 * low + 1.0, 0.5 * low - 1.0]),
    ] {
        let out = run(start.to_vec(), &Logistic::new(rows.clone(), 2, 0.0));
        assert_eq!(out.status, Status::Converged);
        assert!(out.iterations <= 12, "{} steps", out.iterations);
        for (x, expected) in out.x.iter().zip(expected) {
            assert!(
                (x - expected).abs() < 1e-8,
                "{:?}, expected {expected}",
                out.x
            );
        }
    }
}

#[test]
fn negative_curvature_leads_to_a_minimum() {
    let rosenbrock = run::<f64>(vec![-1.2, 1.0], &Rosenbrock(2));
    assert_eq!(rosenbrock.status, Status::Converged);
    assert!(rosenbrock.value.expect("known") < 1e-12);
    let single = run::<f32>(vec![-1.2, 1.0], &Rosenbrock(2));
    assert!(single.value.expect("known") < 1e-5, "{single:?}");
    let saddle = run::<f64>(vec![1e-3, 1.0], &Saddle);
    assert_eq!(saddle.status, Status::Converged);
    assert!(saddle.value.expect("known") < -0.2, "{saddle:?}");
}
