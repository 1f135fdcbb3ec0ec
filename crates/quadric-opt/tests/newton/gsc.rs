//! Newton for generalised self-concordant problems.

use crate::problems::{Logistic, wdbc};
use quadric_core::{Driver, Outcome, Status};
use quadric_opt::newton::GscNewton;

fn fit(config: &GscNewton, problem: &Logistic<f64>) -> Outcome<f64> {
    let x0 = vec![0.0; problem.dim];
    Driver::default()
        .run(config, x0, problem)
        .expect("a valid configuration")
}

/// Specification B.7.1: optima of logistic regression without intercept, and the steps allowed.
const OPTIMA: [(f64, f64, u64); 5] = [
    (0.1, 0.209872430750, 12),
    (1e-2, 0.102416565756, 12),
    (1e-4, 0.043446314429, 14),
    (1e-6, 0.029228943232, 18),
    (1e-8, 0.024560864495, 24),
];

#[test]
fn breast_cancer_from_zero_for_eight_decades_of_l2() {
    let rows = wdbc();
    for cheap in [true, false] {
        for (l2, optimum, steps) in OPTIMA {
            let problem = Logistic {
                cheap,
                ..Logistic::new(rows.clone(), 30, l2)
            };
            let out = fit(&GscNewton::default(), &problem);
            println!(
                "{l2:e} cheap {cheap}: {} steps {:?}",
                out.iterations, out.counts
            );
            assert_eq!(out.status, Status::Converged);
            let value = out.value.expect("a value");
            assert!((value - optimum).abs() < 1e-12, "{value} at l2 = {l2:e}");
            assert!(
                out.iterations <= steps,
                "{} steps at l2 = {l2:e}",
                out.iterations
            );
        }
    }
}
