//! The collections of test problems: derivatives, published minima, honest endings.
#![allow(missing_docs, clippy::unwrap_used)]

use quadric::core::check_derivatives;
use quadric::models::nls::{Answer, Collection, TestProblem, test_problem, test_problems};
use quadric::opt::registry;
use quadric::prelude::*;
use serde_json::Value;

/// A size at which a dense check is quick.
fn small(p: &TestProblem) -> Option<usize> {
    (p.start.len() > 100).then_some(36)
}

fn run(method: &str, p: &TestProblem) -> Outcome<f64> {
    let mut driver = Driver {
        budget: Budget {
            iterations: Some(3000),
            ..Budget::default()
        },
        tolerance: p.tolerance(1e-10).unwrap(),
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
        // Smaller where that is possible, and off the start, where some formulas have kinks or vanish.
        let p = test_problem(p.name, small(&p)).unwrap();
        let x: Vec<f64> = p.start.iter().map(|x| 1.01 * x + 0.003).collect();
        let report = check_derivatives::<f64>(&p.problem, &x, 1).unwrap();
        assert!(report.passed(), "{}: {report}", p.name);
    }
}

#[test]
fn there_are_all_35() {
    let all = test_problems();
    let numbers: Vec<usize> = all.iter().filter_map(|p| p.number).collect();
    assert_eq!(numbers, (1..=35).collect::<Vec<_>>());
    assert_eq!(test_problem("meyer", None).unwrap().number, Some(10));
    assert_eq!(test_problem("10", None).unwrap().name, "meyer");
    let e = test_problem("rosenbrok", None).err().unwrap().to_string();
    assert!(e.contains("did you mean `rosenbrock`"), "{e}");
}

/// Values and gradients at the start, as an independent translation of the SIF files has them.
#[test]
fn cutest_problems_start_where_their_files_say() {
    let table = include_str!("../../../testdata/cutest/starts.tsv");
    let mut names = Vec::new();
    for row in table.lines().skip(1) {
        let cells: Vec<&str> = row.split('\t').collect();
        let number = |k: usize| cells[k].parse::<f64>().unwrap();
        let p = test_problem(cells[0], Some(number(1) as usize)).unwrap();
        let mut g = vec![0.0; p.start.len()];
        let value = Smooth::<f64>::value_grad(&p.problem, &p.start, &mut g).unwrap();
        let norm = quadric::core::vector::norm2(&g);
        // The translation has some constants, such as π in schmvett, to seven digits only.
        for (ours, theirs) in [(value, number(2)), (norm, number(3))] {
            let error = (ours - theirs).abs();
            assert!(
                error <= 1e-12 + 1e-7 * theirs.abs(),
                "{}: {ours}, not {theirs}",
                cells[0]
            );
        }
        names.push(cells[0]);
    }
    let ours = test_problems();
    let ours = ours.iter().filter(|p| p.collection == Collection::Cutest);
    let mut missing = ours.filter(|p| !names.contains(&p.name));
    assert!(missing.next().is_none() && names.len() >= 50);
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
        let all = test_problems();
        for p in all.iter().filter(|p| p.collection == Collection::Mgh) {
            let o = run(method, p);
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

/// `auto` on CUTEst, the large ones smaller: the known minimum, or no claim of convergence.
#[test]
fn the_default_method_solves_cutest_problems() {
    let mut missed = Vec::new();
    for p in test_problems() {
        if p.collection != Collection::Cutest {
            continue;
        }
        let size = (p.start.len() > 50).then_some(36);
        let p = test_problem(p.name, size).unwrap();
        let o = run("trust-region-newton", &p);
        let value = o.value.unwrap();
        if p.minimum.is_some() && p.judge(value) != Answer::Minimum {
            let about = format!("{}: {:?}, F = {value:e}", p.name, o.status);
            let is_known = p.judge(value) == Answer::Other;
            assert!(is_known || o.status != Status::Converged, "{about}");
            missed.push(p.name);
        }
    }
    // A flat bent valley, a thousand humps a unit, another known minimum.
    let hard = ["extrosnb", "genhumps", "sensors"];
    assert!(missed.iter().all(|m| hard.contains(m)), "{missed:?}");
}
