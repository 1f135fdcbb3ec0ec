//! The registry and the options of its methods.

use crate::support::functions::Function;
use crate::support::sums::Logistic;
use quadric_core::{Driver, ErrorKind, Objective, Problem, Result, Status, capabilities};
use quadric_opt::registry::{auto, build, find, registry};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn entries_are_complete_and_true() {
    let mut names = BTreeSet::new();
    for entry in registry() {
        assert!(names.insert(entry.name), "{} twice", entry.name);
        assert!(entry.summary.ends_with('.') && !entry.paper.is_empty());
        let method = entry.build::<f64>(&Value::Null).unwrap();
        // The capability of its type, and those it asks for at the start of a run.
        let needs = |name: &str| entry.needs.split(" + ").any(|n| n == name);
        assert!(needs(method.needs()), "{}", entry.name);
        let single = entry.build::<f32>(&(entry.defaults)()).unwrap();
        assert_eq!(single.needs(), method.needs(), "{}", entry.name);
        let defaults = (entry.defaults)();
        let schema = (entry.schema)();
        let described = schema["properties"].as_object().unwrap();
        for name in defaults.as_object().unwrap().keys() {
            let text = described[name]["description"].as_str();
            assert!(text.is_some_and(|t| t.len() > 10), "{}: {name}", entry.name);
        }
    }
}

#[test]
fn unknown_methods_are_named_with_the_nearest() {
    let text = find("lbfgs").err().unwrap().to_string();
    assert!(
        text.contains("`lbfgs`") && text.contains("did you mean `l-bfgs`?"),
        "{text}"
    );
    assert!(text.contains("gradient-descent"), "{text}");
    let text = find("simplex").err().unwrap().to_string();
    assert!(!text.contains("did you mean"), "{text}");
}

#[test]
fn all_faults_come_at_once() {
    let options = json!({"memory": 0, "c1": "small", "c2": 2.0, "memroy": 3, "color": 1});
    let e = build::<f64>("l-bfgs", &options).err().unwrap();
    assert_eq!(e.kind(), ErrorKind::Argument);
    let text = e.to_string();
    for part in [
        "`memory` is 0; expected 1 to 1000",
        "`c1` is \"small\"",
        "`c2` is 2; expected",
        "there is no option `memroy`; did you mean `memory`?",
        "there is no option `color`; there are",
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert!(build::<f64>("l-bfgs", &json!([1])).is_err());
    for (name, options) in [
        ("gradient-descent", json!({"c1": 0.5})),
        ("accelerated-gradient", json!({"decrease": 0.0})),
        ("accelerated-gradient", json!({"increase": 1.0})),
        ("svrg", json!({"batch": 0})),
        ("svrg", json!({"batch": -1})),
        ("svrg", json!({"epoch": 0.0})),
        ("bfgs", json!({"c1": 0.3, "c2": 0.2})),
    ] {
        assert!(build::<f64>(name, &options).is_err(), "{name} {options}");
    }
}

/// Only values.
struct Bare;

impl Problem<f64> for Bare {
    fn dim(&self) -> usize {
        1
    }
    capabilities!(f64: Objective);
}

impl Objective<f64> for Bare {
    fn value(&self, x: &[f64]) -> Result<f64> {
        Ok(x[0] * x[0])
    }
}

#[test]
fn auto_takes_what_the_problem_offers() {
    let glm = Logistic::new(50, 3, 1.0, 1e-2);
    let (entry, method) = auto::<f64>(&glm, &Value::Null).unwrap();
    assert_eq!(entry.name, "newton");
    let o = method
        .run(&mut Driver::default(), vec![0.0; 3], &glm)
        .unwrap();
    assert_eq!(o.status, Status::Converged);
    let e = auto::<f64>(&Bare, &Value::Null).err().unwrap();
    assert_eq!(e.kind(), ErrorKind::Capability);
    assert!(e.to_string().contains("it offers: Objective"), "{e}");
}

#[test]
fn a_method_refuses_a_problem_before_any_work() {
    let f = Function::named("quadratic", 2).unwrap();
    let svrg = build::<f64>("svrg", &Value::Null).unwrap();
    let e = svrg
        .run(&mut Driver::default(), vec![0.0; 2], &f)
        .unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Capability);
}
