//! Newton with estimated Hessians on real data: the certified optimum, whatever the estimate, and more rows where few serve
//! badly.

use crate::glm::problem;
use quadric_core::{AnyMethod, Control, Driver, ErrorKind, Outcome, Status, Tolerance};
use quadric_models::{Glm, Loss};
use quadric_opt::config::Config;
use quadric_opt::newton::{Sketch, SketchedNewton};

/// The outcome, and the rows of every estimate.
fn run(options: &SketchedNewton, glm: &Glm<f64>, seed: u64) -> (Outcome<f64>, Vec<f64>) {
    let mut rows = Vec::new();
    let mut driver = Driver {
        tolerance: Tolerance {
            relative: 1e-10,
            absolute: 0.0,
        },
        seed,
        ..Driver::default()
    };
    driver.callbacks.push(Box::new(|p| {
        rows.extend(
            p.notes
                .iter()
                .filter(|(n, _)| *n == "sketch")
                .map(|(_, v)| *v),
        );
        Ok(Control::Continue)
    }));
    let out = options
        .method()
        .run(&mut driver, glm.start(), glm)
        .expect("runs");
    drop(driver);
    (out, rows)
}

#[test]
fn every_estimate_leads_to_the_certified_optimum() {
    let data = quadric_data::embedded("a9a").expect("an embedded set");
    let glm = problem(&data, Loss::Logistic, 1e-6, true);
    for sketch in [Sketch::Rows, Sketch::Signs] {
        for refine in [true, false] {
            for seed in 0..3 {
                let options = SketchedNewton {
                    sketch,
                    refine,
                    ..SketchedNewton::default()
                };
                let (out, rows) = run(&options, &glm, seed);
                let label = format!("{sketch:?}, refined {refine}, seed {seed}: {rows:?}");
                assert_eq!(out.status, Status::Converged, "{label}");
                let value = out.value.expect("known");
                assert!(
                    (value / 3.22670177907e-1 - 1.0).abs() < 1e-10,
                    "{label}: {value:e}"
                );
                assert!(rows[0] < 0.02 * data.x.rows() as f64, "{label}");
                let most = if refine { 12 } else { 100 };
                assert!(out.iterations <= most, "{label}: {} steps", out.iterations);
            }
        }
    }
}

#[test]
fn too_few_rows_become_more() {
    let data = quadric_data::embedded("a9a").expect("an embedded set");
    let glm = problem(&data, Loss::Logistic, 1e-4, true);
    for refine in [true, false] {
        let options = SketchedNewton {
            rows_per_unknown: 0.05,
            refine,
            ..SketchedNewton::default()
        };
        let (out, rows) = run(&options, &glm, 1);
        assert_eq!(out.status, Status::Converged);
        let most = rows.iter().fold(0.0, |m: f64, r| m.max(*r));
        assert!(
            rows[0] < 10.0 && most >= 100.0,
            "refined {refine}: {rows:?}"
        );
    }
}

#[test]
fn several_predictors_are_sampled_and_not_mixed() {
    let data = quadric_data::embedded("digits").expect("an embedded set");
    let glm = problem(&data, Loss::Softmax, 1e-2, true);
    let sampled = SketchedNewton {
        rows_per_unknown: 1.0,
        ..SketchedNewton::default()
    };
    assert_eq!(run(&sampled, &glm, 0).0.status, Status::Converged);
    let mixed = SketchedNewton {
        sketch: Sketch::Signs,
        ..sampled
    };
    let mut driver = Driver::default();
    let out = mixed.method().run(&mut driver, glm.start(), &glm);
    match out {
        Err(e) => assert_eq!(e.kind(), ErrorKind::Capability),
        Ok(out) => assert_eq!(out.status, Status::Failed),
    }
}
