//! Everybody on every test problem under one referee: ours, argmin's and, over a pipe, SciPy's methods.
//!
//!     bench-minimize [--python INTERPRETER] [--only PROBLEM,...] [--repetitions N]
//!
//! One line of JSON per run on standard output. A run is solved when it evaluates F at the known minimum, to the published
//! digits; what it had spent by then is what counts, so that nobody pays for making sure.

mod argmin;
mod ours;
mod scipy;

use quadric::core::SystemClock;
use quadric::models::nls::{Answer, Effort, Referee, TestProblem, test_problems};
use serde_json::json;
use std::time::Duration;

type Failure = Box<dyn std::error::Error>;

/// Points that a run may evaluate.
const EVALUATIONS: u64 = 10_000;
/// Time that a run may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// A run that takes longer is not repeated.
const LONG: Duration = Duration::from_millis(300);

/// How a run ended.
pub struct End {
    /// What it took to reach the minimum.
    reached: Option<Effort>,
    /// What was spent in all.
    spent: Effort,
    /// The least value.
    value: Option<f64>,
    /// What the method says.
    status: String,
}

/// True if a run may not go on.
pub fn is_over(referee: &Referee<'_>) -> bool {
    let spent = referee.spent();
    spent.evaluations >= EVALUATIONS || spent.time >= PATIENCE
}

struct Options {
    python: Option<String>,
    only: Vec<String>,
    repetitions: usize,
}

fn options() -> Result<Options, Failure> {
    let mut options = Options {
        python: None,
        only: Vec::new(),
        repetitions: 5,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(format!("{name} needs a value"))?;
        match name.as_str() {
            "--python" => options.python = Some(value),
            "--only" => options.only = value.split(',').map(str::to_owned).collect(),
            "--repetitions" => options.repetitions = value.parse()?,
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    Ok(options)
}

fn main() -> Result<(), Failure> {
    let options = options()?;
    let mut scipy = match &options.python {
        Some(python) => Some(scipy::Scipy::start(python)?),
        None => None,
    };
    for test in test_problems() {
        let wanted = |o: &String| o == test.name || o == test.collection.name();
        if !options.only.is_empty() && !options.only.iter().any(wanted) {
            continue;
        }
        for method in ours::METHODS {
            repeat(&test, "quadric", method, &options, || {
                ours::run(&test, method)
            })?;
        }
        for method in argmin::METHODS {
            repeat(&test, "argmin", method, &options, || {
                Ok(argmin::run(&test, method))
            })?;
        }
        if let Some(scipy) = &mut scipy {
            for method in scipy::METHODS {
                repeat(&test, "SciPy", method, &options, || {
                    scipy.run(&test, method)
                })?;
            }
        }
    }
    Ok(())
}

/// Runs the same some times; the time is the median.
fn repeat(
    test: &TestProblem,
    library: &str,
    method: &str,
    options: &Options,
    mut run: impl FnMut() -> Result<End, Failure>,
) -> Result<(), Failure> {
    let end = run()?;
    let mut times: Vec<Duration> = end.reached.iter().map(|e| e.time).collect();
    if end.reached.is_some() && end.spent.time < LONG {
        // The first one warmed the caches.
        times.clear();
        for _ in 0..options.repetitions {
            times.extend(run()?.reached.map(|e| e.time));
        }
        times.sort();
    }
    let answer = end.value.map_or(Answer::Elsewhere, |v| test.judge(v));
    println!(
        "{}",
        json!({
            "problem": test.name, "collection": test.collection.name(), "unknowns": test.start.len(),
            "minimum": test.minimum, "library": library, "method": method, "status": end.status,
            "value": end.value, "answer": format!("{answer:?}").to_lowercase(),
            "evaluations": end.reached.map(|e| e.evaluations),
            "hessians": end.reached.map(|e| e.hessians),
            "seconds": times.get(times.len() / 2).map(Duration::as_secs_f64),
            "spent_evaluations": end.spent.evaluations,
            "spent_seconds": end.spent.time.as_secs_f64(),
        })
    );
    Ok(())
}

/// A clock that starts now.
pub fn clock() -> SystemClock {
    SystemClock::default()
}
