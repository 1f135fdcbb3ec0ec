//! Variance-reduced gradients.

use crate::support::sums::Logistic;
use quadric_core::{Budget, Driver, Outcome, Status, Tolerance};
use quadric_opt::registry::build;
use serde_json::{Value, json};

fn run(options: &Value, problem: &Logistic, d: usize, seed: u64) -> Outcome<f64> {
    let mut driver = Driver {
        budget: Budget {
            iterations: Some(3000),
            ..Budget::default()
        },
        tolerance: Tolerance {
            relative: 1e-9,
            absolute: 0.0,
        },
        seed,
        ..Driver::default()
    };
    let method = build::<f64>("svrg", options).unwrap();
    method.run(&mut driver, vec![0.0; d], problem).unwrap()
}

/// Linear convergence in passes for batches of any size, below, at and above the number of terms.
#[test]
fn svrg_converges_for_any_batch() {
    let problem = Logistic::new(200, 5, 1.0, 1e-2);
    for batch in [1, 7, 32, 200, 1000] {
        let o = run(&json!({ "batch": batch }), &problem, 5, 0);
        assert_eq!(o.status, Status::Converged, "batch {batch}: {:?}", o.reason);
        assert!(
            o.counts.passes < 2000.0,
            "batch {batch}: {}",
            o.counts.passes
        );
    }
}

/// An anchor costs a pass and an epoch two gradients per batch.
#[test]
fn passes_are_counted_by_terms() {
    let problem = Logistic::new(200, 5, 1.0, 1e-2);
    let o = run(&json!({"batch": 10, "epoch": 2.0}), &problem, 5, 0);
    let per_step = (o.counts.passes - 1.0) / o.iterations as f64;
    assert!((per_step - 5.0).abs() < 1e-9, "{per_step}");
}

/// The seed decides the batches and nothing else does.
#[test]
fn the_seed_decides() {
    let problem = Logistic::new(100, 4, 1.0, 1e-2);
    let bits = |seed| -> Vec<u64> {
        let o = run(&Value::Null, &problem, 4, seed);
        o.x.iter().map(|v| v.to_bits()).collect()
    };
    assert_eq!(bits(1), bits(1));
    assert_ne!(bits(1), bits(2));
}
