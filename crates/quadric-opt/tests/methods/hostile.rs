//! Problems that misbehave in the middle of a run: every method ends with a documented status at a finite point.

use crate::support::functions::Function;
use crate::support::sums::Logistic;
use crate::support::watched::{Mischief, Watched};
use quadric_core::{Budget, Driver, Outcome, Problem, Result, Status, Tolerance};
use quadric_opt::registry::{Entry, registry};
use serde_json::Value;

fn mischiefs() -> Vec<Mischief> {
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e308];
    let mut all: Vec<Mischief> = values.map(Mischief::Value).to_vec();
    all.extend([
        Mischief::GradientNan,
        Mischief::Fails,
        Mischief::WrongSign,
        Mischief::TooLong,
    ]);
    all
}

fn run(entry: &Entry, problem: &dyn Problem<f64>, x0: Vec<f64>) -> Result<Outcome<f64>> {
    let mut driver = Driver {
        budget: Budget {
            evaluations: Some(3000),
            ..Budget::default()
        },
        tolerance: Tolerance {
            relative: 1e-8,
            absolute: 0.0,
        },
        ..Driver::default()
    };
    entry
        .build::<f64>(&Value::Null)?
        .run(&mut driver, x0, problem)
}

#[test]
fn t_s01_one_bad_evaluation() {
    let rosenbrock = Function::named("rosenbrock", 2).unwrap();
    let logistic = Logistic::new(60, 3, 1.0, 1e-2);
    let problems: [(&dyn Problem<f64>, Vec<f64>); 2] =
        [(&rosenbrock, vec![-1.2, 1.0]), (&logistic, vec![0.0; 3])];
    for (problem, x0) in &problems {
        for entry in registry().iter().filter(|e| e.applies(*problem)) {
            for what in mischiefs() {
                for k in 1..=12 {
                    let label = format!("{}: {}: {what:?} at {k}", entry.name, problem.name());
                    let chaos = Watched::new(*problem).misbehaving(k, what);
                    let outcome = match run(entry, &chaos, x0.clone()) {
                        Ok(outcome) => outcome,
                        // Nothing is known before the first evaluation has succeeded.
                        Err(e) => {
                            assert!(what == Mischief::Fails && k == 1, "{label}: {e}");
                            continue;
                        }
                    };
                    check(&label, *problem, &outcome, what);
                }
            }
        }
    }
}

fn check(label: &str, problem: &dyn Problem<f64>, o: &Outcome<f64>, what: Mischief) {
    let label = format!("{label}: {:?} at {:?}, {:?}", o.status, o.x, o.reason);
    assert!(o.x.iter().all(|v| v.is_finite()), "{label}");
    let possible = match o.status {
        // The referee measures afresh; only an evaluation that lies to the referee itself could fool it.
        Status::Converged => {
            let mut g = vec![0.0; o.x.len()];
            let smooth = problem.as_smooth().unwrap();
            smooth.value_grad(&o.x, &mut g).unwrap();
            let norm = g.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            norm <= 1e-8 * o.gradient_norm_at_start.unwrap()
        }
        Status::Failed => what == Mischief::Fails,
        Status::Unbounded => matches!(what, Mischief::Value(_)),
        Status::Stalled | Status::ConvergedReduced | Status::NonFinite | Status::MaxEvaluations => {
            true
        }
        _ => false,
    };
    assert!(possible, "{label}");
}

#[test]
fn t_s13_a_batch_that_is_not_finite_once_is_forgotten() {
    let logistic = Logistic::new(60, 3, 1.0, 1e-2);
    let svrg = registry().iter().find(|e| e.name == "svrg").unwrap();
    for k in [2, 3, 5, 8, 11] {
        for what in [Mischief::Value(f64::NAN), Mischief::GradientNan] {
            let chaos = Watched::new(&logistic).misbehaving(k, what);
            let o = run(svrg, &chaos, vec![0.0; 3]).unwrap();
            assert_eq!(
                o.status,
                Status::Converged,
                "{what:?} at {k}: {:?}",
                o.reason
            );
        }
    }
}

/// The lowest finite value is what comes back, and it is F at the point that comes back.
#[test]
fn t_s02_limits_return_the_best_point() {
    let text = include_str!("../../../../testdata/cases/optimizers/evaluation_limit.toml");
    let case: toml::Table = text.parse().unwrap();
    let x0: Vec<f64> = case["x0"].clone().try_into().unwrap();
    let rosenbrock = Function::named("rosenbrock", 2).unwrap();
    for entry in registry().iter().filter(|e| e.applies::<f64>(&rosenbrock)) {
        for limit in 1..=40 {
            let watched = Watched::new(&rosenbrock).remembering();
            let mut driver = Driver {
                budget: Budget {
                    evaluations: Some(limit),
                    ..Budget::default()
                },
                ..Driver::default()
            };
            let method = entry.build::<f64>(&Value::Null).unwrap();
            let o = method.run(&mut driver, x0.clone(), &watched).unwrap();
            let label = format!("{} after {limit}: {:?}", entry.name, o.status);
            assert!(o.counts.evaluations() <= limit, "{label}");
            let value = o.value.unwrap();
            let told = watched.record().answers;
            assert!(
                told.iter()
                    .any(|(x, f)| *x == o.x && f.to_bits() == value.to_bits()),
                "{label}"
            );
            let lowest = told.iter().map(|(_, f)| *f).fold(f64::INFINITY, f64::min);
            assert!(value <= lowest, "{label}: {value} above {lowest}");
            assert!(
                matches!(o.status, Status::MaxEvaluations | Status::Converged),
                "{label}"
            );
        }
    }
}
