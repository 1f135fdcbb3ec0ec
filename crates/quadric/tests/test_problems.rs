//! The collection of Moré, Garbow and Hillstrom: derivatives, published minima, honest endings.
#![allow(missing_docs, clippy::unwrap_used)]

use quadric::core::check_derivatives;
use quadric::models::nls::{Answer, TestProblem, test_problem, test_problems};
use quadric::opt::registry;
use quadric::prelude::*;
use serde_json::Value;

fn run(method: &str, p: &TestProblem) -> Outcome<f64> {
    let mut driver = Driver {
        budget: Budget {
            iterations: Some(3000),
            ..Budget::default()
        },
        ..Driver::default()
    };
    let method = registry::build::<f64>(method, &Value::Null).unwrap();
    method
        .run(&mut driver, p.start.clone(), &p.problem)
        .unwrap()
}

#[test]
fn derivatives_agree_with_differences() {
    for p in test_problems() {
        // Off the start, where some residuals have kinks or vanish.
        let x: Vec<f64> = p.start.iter().map(|x| 1.01 * x + 0.003).collect();
        let report = check_derivatives::<f64>(&p.problem, &x, 1).unwrap();
        assert!(report.passed(), "{}: {report}", p.name);
    }
}

#[test]
fn there_are_all_35() {
    let all = test_problems();
    let numbers: Vec<usize> = all.iter().map(|p| p.number).collect();
    assert_eq!(numbers, (1..=35).collect::<Vec<_>>());
    assert_eq!(test_problem("meyer").unwrap().number, 10);
    assert_eq!(test_problem("10").unwrap().name, "meyer");
    let e = test_problem("rosenbrok").err().unwrap().to_string();
    assert!(e.contains("did you mean `rosenbrock`"), "{e}");
}

/// Conditions around 10¹⁶, at which Lanczos vectors without a preconditioner do not see the bottom of the valley.
fn too_hard(method: &str, problem: &str) -> bool {
    method == "newton-mr" && ["powell-badly-scaled", "meyer"].contains(&problem)
}

#[test]
fn general_methods_find_published_minima() {
    for method in [
        "trust-region-newton",
        "cubic-newton",
        "newton-mr",
        "l-bfgs",
        "bfgs",
    ] {
        for p in test_problems() {
            let o = run(method, &p);
            let value = o.value.unwrap();
            let about = format!("{method} on {}: {:?}, F = {value:e}", p.name, o.status);
            // Quasi-Newton methods stop where rounding hides progress, a little above 1e-10 times the first gradient.
            assert!(
                o.status.is_converged() || o.status == Status::Stalled,
                "{about}"
            );
            let found = p.judge(value) != Answer::Elsewhere;
            assert!(found || too_hard(method, p.name), "{about}");
            assert!(found || o.status != Status::Converged, "{about}");
        }
    }
}
