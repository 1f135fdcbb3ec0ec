//! Newton systems by conjugate gradients.

use crate::problems::{Logistic, wdbc};
use quadric_core::{Cost, Driver, Outcome, Status};
use quadric_opt::newton::{GscNewton, LinearSolver, Preconditioner, Schedule};

/// The run, with the sum of one note over its steps.
fn fit(method: &GscNewton, problem: &Logistic<f64>, note: &str) -> (Outcome<f64>, f64) {
    let mut sum = 0.0;
    let mut driver = Driver {
        callbacks: vec![Box::new(|p| {
            let noted = p.notes.iter().filter(|(name, _)| *name == note);
            sum += noted.map(|(_, v)| v).sum::<f64>();
            Ok(quadric_core::Control::Continue)
        })],
        ..Driver::default()
    };
    let x0 = vec![0.0; problem.dim];
    let out = driver
        .run(method, x0, problem)
        .expect("a valid configuration");
    drop(driver);
    (out, sum)
}

#[test]
fn every_preconditioner_and_schedule_reaches_the_dense_optimum() {
    for (l2, optimum) in [(1e-2, 0.102416565756), (1e-6, 0.029228943232)] {
        let problem = Logistic::new(wdbc(), 30, l2);
        for preconditioner in [
            Preconditioner::Auto,
            Preconditioner::None,
            Preconditioner::Jacobi,
            Preconditioner::Nystrom,
            Preconditioner::Problem,
        ] {
            for schedule in [Schedule::Auto, Schedule::Direct] {
                let method = GscNewton {
                    linear_solver: LinearSolver::Cg,
                    preconditioner,
                    schedule,
                    ..GscNewton::default()
                };
                let (out, iterations) = fit(&method, &problem, "cg");
                println!(
                    "{l2:e} {preconditioner:?} {schedule:?}: {} steps, {iterations} cg, {:?}",
                    out.iterations, out.status
                );
                assert_eq!(out.status, Status::Converged, "{preconditioner:?}");
                assert!((out.value.expect("a value") - optimum).abs() < 1e-11);
                assert_eq!(out.counts.dense_hessians, 0);
            }
        }
    }
}

#[test]
fn slow_conjugate_gradients_give_way_to_a_factorisation() {
    // The claimed costs make a factorisation worth 40 products; the systems need more iterations than that.
    let cost = Cost {
        product: 1e6,
        dense: 1.6e8,
    };
    let problem = Logistic {
        cost,
        ..Logistic::new(wdbc(), 30, 1e-8)
    };
    let (out, factorisations) = fit(&GscNewton::default(), &problem, "cholesky");
    assert_eq!(out.status, Status::Converged);
    assert!(
        out.counts.products > 0 && factorisations > 0.0,
        "{:?}",
        out.counts
    );
    // Where a factorisation is out of the question, it stays with conjugate gradients.
    let cost = Cost {
        product: 1.0,
        dense: 1e30,
    };
    let problem = Logistic { cost, ..problem };
    let (out, factorisations) = fit(&GscNewton::default(), &problem, "cholesky");
    assert_eq!((out.status, factorisations), (Status::Converged, 0.0));
    let limited = GscNewton {
        max_dense: 29,
        ..GscNewton::default()
    };
    let problem = Logistic {
        cost: Cost {
            product: 1.0,
            dense: 1.0,
        },
        ..problem
    };
    let (out, factorisations) = fit(&limited, &problem, "cholesky");
    assert_eq!((out.status, factorisations), (Status::Converged, 0.0));
}
