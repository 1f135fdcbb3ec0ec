//! Problems that misbehave in the middle of a run: every method ends with a documented status at a finite point.

use crate::support::functions::Function;
use crate::support::sums::Logistic;
use crate::support::watched::{Mischief, Watched};
use quadric_core::{Budget, Driver, Outcome, Problem, Result, Status, Tolerance};
use quadric_opt::registry::{Entry, registry};
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

fn mischiefs() -> Vec<Mischief> {
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e308];
    let mut all: Vec<Mischief> = values.map(Mischief::Value).to_vec();
    all.extend([
        Mischief::GradientNan,
        Mischief::Fails,
        Mischief::WrongSign,
        Mischief::TooLong,
        Mischief::Sleeps,
        Mischief::ZeroHessian,
        Mischief::AsymmetricHessian,
        Mischief::NegativeHessian,
    ]);
    all
}

/// The evaluations that misbehave.
const K: [u64; 14] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 14, 20, 29, 40];

/// Calls `f` with every method, each of two problems that it applies to, and a start.
fn for_all(f: impl Fn(&Entry, &dyn Problem<f64>, Vec<f64>)) {
    let rosenbrock = Function::named("rosenbrock", 2).unwrap();
    let logistic = Logistic::new(60, 3, 1.0, 1e-2);
    let problems: [(&dyn Problem<f64>, Vec<f64>); 2] =
        [(&rosenbrock, vec![-1.2, 1.0]), (&logistic, vec![0.0; 3])];
    for (problem, x0) in &problems {
        for entry in registry().iter().filter(|e| e.applies(*problem)) {
            f(entry, *problem, x0.clone());
        }
    }
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
    for_all(|entry, problem, x0| {
        for what in mischiefs() {
            for k in K {
                let label = format!("{}: {}: {what:?} at {k}", entry.name, problem.name());
                let chaos = Watched::new(problem).misbehaving(k, what);
                let outcome = match run(entry, &chaos, x0.clone()) {
                    Ok(outcome) => outcome,
                    // Nothing is known before the first evaluation has succeeded.
                    Err(e) => {
                        assert!(what == Mischief::Fails && k == 1, "{label}: {e}");
                        continue;
                    }
                };
                check(&label, problem, &outcome, what);
                let (c, r) = (&outcome.counts, chaos.record());
                // The referee evaluates F and its gradient on its own account, and nothing else.
                assert_eq!(
                    (c.hessians, c.products, c.dense_hessians),
                    (r.hessians, r.products, r.dense),
                    "{label}"
                );
                assert!(c.evaluations() <= r.evaluations(), "{label}");
            }
        }
    });
}

/// A panic of the problem is the caller's to catch; driver, method and problem work afterwards.
#[test]
fn t_s01_a_panic_passes_through() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for_all(|entry, problem, x0| {
        for k in [1, 2, 3] {
            let label = format!("{}: {} at {k}", entry.name, problem.name());
            let chaos = Watched::new(problem).misbehaving(k, Mischief::Panics);
            let method = entry.build::<f64>(&Value::Null).unwrap();
            let mut driver = Driver::default();
            driver.budget.evaluations = Some(20_000);
            let start = x0.clone();
            let run = AssertUnwindSafe(|| method.run(&mut driver, start, &chaos));
            let payload = catch_unwind(run).expect_err(&label);
            let text = payload.downcast_ref::<&str>();
            assert_eq!(text, Some(&"a panic on purpose"), "{label}");
            let o = method.run(&mut driver, x0.clone(), &chaos).unwrap();
            let fresh = method.run(&mut driver, x0.clone(), problem).unwrap();
            assert_eq!((o.status, &o.x), (fresh.status, &fresh.x), "{label}");
        }
    });
    std::panic::set_hook(quiet);
}

/// Evaluations of ten milliseconds against a limit of fifty.
#[test]
fn t_s03_time_limit() {
    for_all(|entry, problem, x0| {
        let watched = Watched::new(problem);
        let mut driver = Driver {
            clock: watched.clock(Duration::from_millis(10)),
            budget: Budget {
                time: Some(Duration::from_millis(50)),
                ..Budget::default()
            },
            ..Driver::default()
        };
        let method = entry.build::<f64>(&Value::Null).unwrap();
        let o = method.run(&mut driver, x0.clone(), &watched).unwrap();
        let label = format!("{}: {}: {o:?}", entry.name, problem.name());
        assert!(o.counts.evaluations() <= 5, "{label}");
        // The referee's evaluations: of the last step, and of the returned point.
        assert!(o.elapsed <= Duration::from_millis(110), "{label}");
        let done = o.status == Status::MaxTime || o.status.is_converged();
        assert!(done && o.value.unwrap().is_finite(), "{label}");
    });
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
        // Newton for convex functions says what it was told about the Hessian.
        Status::Failed => {
            let reason = o.reason.as_deref().unwrap_or_default();
            what == Mischief::Fails || (what.is_of_hessian() && reason.contains("semidefinite"))
        }
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
