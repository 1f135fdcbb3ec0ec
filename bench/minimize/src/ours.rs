//! Quadric's methods.

use crate::{EVALUATIONS, End, Failure, PATIENCE, clock};
use quadric::core::{Budget, Driver, Tolerance};
use quadric::models::nls::{Referee, TestProblem};
use quadric::opt::registry;
use serde_json::Value;

pub const METHODS: &[&str] = &["trust-region-newton", "cubic-newton", "l-bfgs", "bfgs"];

pub fn run(test: &TestProblem, method: &str) -> Result<End, Failure> {
    let method = registry::build::<f64>(method, &Value::Null)?;
    let clock = clock();
    let mut driver = Driver {
        budget: Budget {
            evaluations: Some(EVALUATIONS),
            time: Some(PATIENCE),
            ..Budget::default()
        },
        tolerance: test.tolerance(Tolerance::default().relative)?,
        ..Driver::default()
    };
    let referee = Referee::new(test, &clock);
    let outcome = method.run(&mut driver, test.start.clone(), &referee)?;
    Ok(End {
        reached: referee.reached(),
        spent: referee.spent(),
        value: outcome.value,
        status: outcome.status.name().to_owned(),
    })
}
