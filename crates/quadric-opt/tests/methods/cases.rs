//! Failures that users of other libraries reported, as tests. The inputs are in `testdata/cases/optimizers`.

use crate::support::functions::Function;
use quadric_core::{Budget, Driver, Outcome, Problem, Status, Tolerance};
use quadric_opt::registry::{Entry, Family, find, registry};
use serde_json::{Value, json};

fn case(text: &str) -> toml::Table {
    text.parse().unwrap()
}

fn points(table: &toml::Table, key: &str) -> Vec<Vec<f64>> {
    table[key].clone().try_into().unwrap()
}

fn run(entry: &Entry, options: &Value, f: &Function, x0: &[f64], t: Tolerance) -> Outcome<f64> {
    let mut driver = Driver {
        budget: Budget {
            evaluations: Some(20_000),
            ..Budget::default()
        },
        tolerance: t,
        ..Driver::default()
    };
    let method = entry.build::<f64>(options).unwrap();
    method.run(&mut driver, x0.to_vec(), f).unwrap()
}

fn methods(f: &dyn Problem<f64>) -> impl Iterator<Item = &'static Entry> {
    registry().iter().filter(|e| e.applies(f))
}

fn relative(relative: f64) -> Tolerance {
    Tolerance {
        relative,
        absolute: 0.0,
    }
}

/// A mistake in one branch of a cubic line search ended L-BFGS after four steps (chokkan/liblbfgs#28).
#[test]
fn rosenbrock_no_early_end() {
    let table = case(include_str!(
        "../../../../testdata/cases/optimizers/rosenbrock.toml"
    ));
    let f = Function::named("rosenbrock", 2).unwrap();
    for x0 in points(&table, "starts") {
        for entry in methods(&f) {
            let curvatures: &[Value] = if entry.family == Family::QuasiNewton {
                &[json!({"c2": 0.1}), json!({"c2": 0.9})]
            } else {
                &[Value::Null]
            };
            for options in curvatures {
                // Absolute: from (-50, -50) the first gradient is 5e7.
                let t = Tolerance {
                    relative: 0.0,
                    absolute: 1e-9,
                };
                let o = run(entry, options, &f, &x0, t);
                let label = format!(
                    "{} {options} from {x0:?}: {:?} at {:?}",
                    entry.name, o.status, o.x
                );
                let there = o.x.iter().all(|v| (v - 1.0).abs() < 1e-6) && o.value.unwrap() < 1e-14;
                match o.status {
                    Status::Converged => assert!(there, "{label}"),
                    _ => assert!(entry.family == Family::FirstOrder, "{label}"),
                }
            }
        }
    }
}

/// Started at the minimum a trust-region method divided by a zero gradient (scipy/scipy#8686).
#[test]
fn start_at_the_minimum() {
    let table = case(include_str!(
        "../../../../testdata/cases/optimizers/start_at_minimum.toml"
    ));
    let runs = table["run"].as_array().unwrap();
    for (run_of, (name, value)) in runs.iter().zip([("offset", 0.0), ("constant", 7.0)]) {
        let x0: Vec<f64> = run_of["x0"].clone().try_into().unwrap();
        let f = Function::named(name, 2).unwrap();
        for entry in methods(&f) {
            let o = run(entry, &Value::Null, &f, &x0, Tolerance::default());
            assert_eq!(o.status, Status::Converged, "{} on {name}", entry.name);
            assert_eq!((o.x, o.value), (x0.clone(), Some(value)), "{}", entry.name);
            assert!(o.iterations <= 1);
        }
    }
}

/// Near a maximum of the cosine Newton-CG went nowhere useful (scipy/scipy#20214).
#[test]
fn newton_from_a_concave_start() {
    let table = case(include_str!(
        "../../../../testdata/cases/optimizers/concave_start.toml"
    ));
    let runs = table["run"].as_array().unwrap();
    for (run_of, name) in runs.iter().zip(["cosine", "well"]) {
        let x0: Vec<f64> = run_of["x0"].clone().try_into().unwrap();
        let f = Function::named(name, 1).unwrap();
        for entry in methods(&f) {
            let o = run(entry, &Value::Null, &f, &x0, Tolerance::default());
            let label = format!("{} on {name}: {:?} at {:?}", entry.name, o.status, o.x);
            let at_minimum = (o.value.unwrap() + 1.0).abs() < 1e-9;
            match o.status {
                Status::Converged => assert!(at_minimum, "{label}"),
                _ => assert!(name == "well" && o.status == Status::Stalled, "{label}"),
            }
        }
    }
}

/// The value is NaN outside (0, 1); a line search kept the bad end of its bracket (google/jaxopt#473).
#[test]
fn trial_point_outside_the_domain() {
    let table = case(include_str!(
        "../../../../testdata/cases/optimizers/golden.toml"
    ));
    let f = Function::named("golden", 1).unwrap();
    for x0 in points(&table, "starts") {
        for entry in methods(&f) {
            let o = run(entry, &Value::Null, &f, &x0, relative(1e-12));
            let label = format!("{} from {x0:?}: {:?} at {:?}", entry.name, o.status, o.x);
            assert_eq!(o.status, Status::Converged, "{label}");
            assert!((o.x[0] - 0.618_033_988_749_894_9).abs() < 1e-8, "{label}");
            assert!(
                (o.value.unwrap() - 0.825_601_486_428_915_5).abs() < 1e-12,
                "{label}"
            );
        }
    }
}

/// A huge first gradient sent the first BFGS step into overflow (scipy/scipy#3581).
#[test]
fn exponential_with_a_huge_first_gradient() {
    let table = include_str!("../../../../testdata/cases/optimizers/exponential.csv");
    for (j, line) in table.lines().skip(1).enumerate() {
        let (x, y) = line.split_once(',').unwrap();
        let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
        let of_the_function = (0.3 + 0.12 * x).exp();
        assert!(x == 4.0 * j as f64 && (y / of_the_function - 1.0).abs() < 1e-15);
    }
    let f = Function::named("exponential", 2).unwrap();
    for name in ["l-bfgs", "bfgs"] {
        let entry = find(name).unwrap();
        let t = Tolerance {
            relative: 0.0,
            absolute: 1e-8,
        };
        let o = run(entry, &Value::Null, &f, &[0.0, 1.0], t);
        let label = format!("{name}: {:?} at {:?}, {:?}", o.status, o.x, o.value);
        assert_eq!(o.status, Status::Converged, "{label}");
        assert!(
            (o.x[0] - 0.3).abs() < 1e-7 && (o.x[1] - 0.12).abs() < 1e-7,
            "{label}"
        );
        assert!(o.value.unwrap() < 1e-12, "{label}");
    }
}
