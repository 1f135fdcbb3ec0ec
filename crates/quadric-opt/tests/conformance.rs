//! Every method of the registry on every problem of `testdata/conformance` whose needs it meets.

#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

mod support;

use libtest_mimic::{Arguments, Failed, Trial};
use quadric_core::{AnyMethod, Budget, Driver, Outcome, Problem, Status, Tolerance};
use quadric_opt::registry::{Entry, Family, registry, visit};
use serde_json::Value;
use support::table::{Row, rows};
use support::walk::{Walk, Walked};

/// Steps of the checks that look at each one.
const STEPS: u64 = 14;

type Checked = Result<(), Failed>;
type Rule = fn(&Entry, &Case) -> Checked;

fn main() {
    let arguments = Arguments::from_args();
    let rules: [(&str, Rule); 5] = [
        ("ends as it should", ends_as_it_should),
        ("keeps limits", keeps_limits),
        ("counts, descends and resumes", counts_descends_and_resumes),
        (
            "same bits on any number of threads",
            same_bits_on_any_threads,
        ),
        ("stays at a limit of no iterations", no_iterations),
    ];
    let mut trials = Vec::new();
    for row in rows() {
        let problem = row.build();
        for entry in registry().iter().filter(|e| e.applies(problem.as_ref())) {
            for (name, rule) in rules {
                let row = row.clone();
                trials.push(Trial::test(
                    format!("{}: {}: {name}", entry.name, row.label()),
                    move || rule(entry, &Case::new(row)),
                ));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// A row with its problem, built once per check.
struct Case {
    row: Row,
    problem: Box<dyn Problem<f64>>,
    x0: Vec<f64>,
}

impl Case {
    fn new(row: Row) -> Self {
        let (problem, x0) = (row.build(), row.x0());
        Self { row, problem, x0 }
    }
}

impl std::ops::Deref for Case {
    type Target = Row;
    fn deref(&self) -> &Row {
        &self.row
    }
}

fn require(holds: bool, text: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(text().into()) }
}

fn method(entry: &Entry) -> Box<dyn AnyMethod<f64>> {
    entry.build(&Value::Null).unwrap()
}

fn run(entry: &Entry, row: &Case, budget: Budget, tolerance: Tolerance) -> Outcome<f64> {
    let mut driver = Driver {
        budget,
        tolerance,
        ..Driver::default()
    };
    method(entry)
        .run(&mut driver, row.x0.clone(), row.problem.as_ref())
        .unwrap()
}

fn walk(entry: &Entry, row: &Case, steps: u64, resumes: bool) -> Result<Walked, String> {
    let walk = Walk {
        problem: row.problem.as_ref(),
        x0: &row.x0,
        steps,
        seed: 0,
        resumes,
    };
    visit::<f64, _>(entry.name, &Value::Null, walk).unwrap()
}

/// F as the referee evaluates it; a value alone may sum in another order.
fn measure(problem: &dyn Problem<f64>, x: &[f64]) -> f64 {
    let smooth = problem.as_smooth().unwrap();
    smooth.value_grad(x, &mut vec![0.0; x.len()]).unwrap()
}

/// Converged means optimal; families that must converge do, within their evaluations; the rest ends honestly.
fn ends_as_it_should(entry: &Entry, row: &Case) -> Checked {
    let must = row.must_converge.iter().any(|f| f == entry.family.name());
    // An evaluation of a mini-batch counts as one.
    let batches = if entry.needs == "FiniteSum" { 20 } else { 1 };
    let most = if must { row.evaluations } else { 4_000 };
    let budget = Budget {
        evaluations: Some(most * batches),
        ..Budget::default()
    };
    let o = run(entry, row, budget, row.driver_tolerance());
    let value = o.value.unwrap_or(f64::NAN);
    let gradient = o.gradient_norm.unwrap_or(f64::NAN);
    let report = || {
        format!(
            "{:?} after {} steps, {} evaluations: F = {value:e}, gradient {gradient:e}, x = {:?}, {:?}",
            o.status,
            o.iterations,
            o.counts.evaluations(),
            &o.x[..o.x.len().min(4)],
            o.reason
        )
    };
    require(o.x.iter().all(|v| v.is_finite()), report)?;
    if row.unbounded {
        // A trust region grows too slowly to reach the threshold on every such function.
        let slow = entry.family == Family::SecondOrder && !o.status.is_converged();
        return require(slow || o.status == Status::Unbounded, report);
    }
    let allowed = match o.status {
        Status::Converged => row.is_optimal(value, gradient),
        Status::ConvergedReduced | Status::Stalled | Status::MaxEvaluations => !must,
        _ => false,
    };
    require(allowed, report)
}

/// An evaluation limit is never exceeded by one, and what comes back is the start or better.
fn keeps_limits(entry: &Entry, row: &Case) -> Checked {
    for limit in 0..=25 {
        let budget = Budget {
            evaluations: Some(limit),
            ..Budget::default()
        };
        let o = run(entry, row, budget, row.driver_tolerance());
        let value = o.value.unwrap();
        require(o.counts.evaluations() <= limit, || {
            format!("{} evaluations of {limit}", o.counts.evaluations())
        })?;
        require(
            value.to_bits() == measure(&*row.problem, &o.x).to_bits(),
            || format!("limit {limit}: the value is not F at the point"),
        )?;
        require(value <= measure(&*row.problem, &row.x0), || {
            format!("limit {limit}: worse than the start: {value:e}")
        })?;
        let honest = match o.status {
            Status::MaxEvaluations | Status::Stalled | Status::ConvergedReduced => true,
            Status::Converged => row.is_optimal(value, o.gradient_norm.unwrap()),
            Status::Unbounded => row.unbounded,
            _ => false,
        };
        require(honest, || format!("limit {limit}: {:?}", o.status))?;
    }
    Ok(())
}

/// Counts equal those of an independent wrapper; F never rises beyond rounding; every step can be resumed bit for bit.
fn counts_descends_and_resumes(entry: &Entry, row: &Case) -> Checked {
    let budget = Budget {
        iterations: Some(STEPS),
        ..Budget::default()
    };
    let never = Tolerance {
        relative: 0.0,
        absolute: 0.0,
    };
    let o = run(entry, row, budget, never);
    let walked = walk(entry, row, o.iterations, true)?;
    let (c, r) = (&o.counts, &walked.record);
    let counted = [
        c.values,
        c.gradients,
        c.hessians,
        c.products,
        c.dense_hessians,
    ];
    let watched = [r.values, r.gradients, r.hessians, r.products, r.dense];
    require(counted == watched, || {
        format!("the driver counted {counted:?}, the wrapper {watched:?}")
    })?;
    for pair in walked.values.windows(2) {
        // A sum over hundreds of rows is rounded by more than its last digit.
        let ulps = if row.is_sum() { 64.0 } else { 4.0 };
        let slack = ulps * f64::EPSILON * pair[0].abs();
        require(pair[1] <= pair[0] + slack, || {
            format!("F rose from {:e} to {:e}", pair[0], pair[1])
        })?;
    }
    Ok(())
}

fn same_bits_on_any_threads(entry: &Entry, row: &Case) -> Checked {
    let bits = |threads| -> Result<Vec<u64>, String> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let walked = pool.unwrap().install(|| walk(entry, row, STEPS, false))?;
        Ok(walked.x.iter().map(|v| v.to_bits()).collect())
    };
    let one = bits(1)?;
    for threads in [2, 3] {
        require(bits(threads)? == one, || {
            format!("{threads} threads differ")
        })?;
    }
    Ok(())
}

fn no_iterations(entry: &Entry, row: &Case) -> Checked {
    let budget = Budget {
        iterations: Some(0),
        ..Budget::default()
    };
    let o = run(entry, row, budget, row.driver_tolerance());
    let value = measure(&*row.problem, &row.x0);
    let at_start = o.x == row.x0 && o.value.unwrap().to_bits() == value.to_bits();
    let status = matches!(o.status, Status::MaxIterations)
        || (o.status == Status::Converged && row.is_optimal(value, o.gradient_norm.unwrap()));
    require(at_start && status && o.iterations == 0, || {
        format!("{:?} at {:?}", o.status, o.x)
    })
}
