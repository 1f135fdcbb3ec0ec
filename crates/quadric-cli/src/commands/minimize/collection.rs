//! All problems of a collection by several methods: a table, and profiles in a report.

use super::{known, record};
use crate::args::{Global, MinimizeArgs};
use crate::commands::solve::Solve;
use crate::console;
use quadric::core::{AnyMethod, Error, Result, SystemClock};
use quadric::models::nls::{Answer, Collection, Referee, TestProblem, test_problems};
use quadric::opt::registry::{self, Entry};
use quadric::report::{self, Comparison, Contender, Trial};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Values and gradients that a run may take, unless a limit is given.
const EVALUATIONS: u64 = 10_000;

/// The collections of a name; `None` if it is none.
pub(super) fn named(name: &str) -> Option<Vec<Collection>> {
    if name == "all" {
        return Some(Collection::ALL.to_vec());
    }
    let one = Collection::ALL.into_iter().find(|c| c.name() == name)?;
    Some(vec![one])
}

/// One method and what it did on each problem.
struct Entrant {
    entry: &'static Entry,
    method: Box<dyn AnyMethod<f64>>,
    trials: Vec<Trial>,
}

pub(super) fn run(
    name: &str,
    a: &MinimizeArgs,
    mut solve: Solve,
    global: &Global,
    interrupt: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    refuse(a, &solve)?;
    solve.budget.evaluations.get_or_insert(EVALUATIONS);
    let wanted = named(name).unwrap_or_default();
    let mut tests = test_problems();
    tests.retain(|t| wanted.contains(&t.collection));
    let mut entrants = entrants(&a.methods, &solve, &tests[0])?;
    let mut runs = Vec::new();
    for test in &tests {
        for entrant in &mut entrants {
            if interrupt.load(Ordering::Relaxed) {
                return Ok(ExitCode::from(130));
            }
            runs.push(entrant.solve(test, &solve, interrupt)?);
        }
    }
    if let Some(path) = &a.report {
        report::write_comparison(path, &comparison(name, &tests, &entrants, &solve), true)?;
    }
    if global.json {
        let solved: Value = entrants
            .iter()
            .map(|e| (e.entry.name.to_owned(), json!(e.found())))
            .collect();
        console::print_json(
            &json!({ "runs": runs, "solved": solved, "config": solve.resolved(&solve.method) }),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    console::print(&grid(&tests, &entrants))?;
    if let Some(path) = a.report.as_ref().filter(|_| !global.quiet) {
        console::note(&format!("wrote {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses what belongs to a single problem.
fn refuse(a: &MinimizeArgs, solve: &Solve) -> Result<()> {
    let single = "nothing for a collection, whose problems have their own";
    if let Some(size) = a.size {
        return Err(Error::argument("size", size, single));
    }
    if !a.start.is_empty() {
        return Err(Error::argument("start", "given", single));
    }
    if solve.single {
        return Err(Error::argument("dtype", "f32", "f64 for a collection"));
    }
    Ok(())
}

/// The methods that are asked for, or all that fit.
fn entrants(names: &[String], solve: &Solve, test: &TestProblem) -> Result<Vec<Entrant>> {
    let entries: Vec<&'static Entry> = match (names, solve.method.as_str()) {
        ([], "auto") => {
            let fits = |e: &&Entry| e.applies::<f64>(&test.problem);
            registry::registry().iter().filter(fits).collect()
        }
        ([], one) => vec![registry::find(one)?],
        (names, "auto") => names
            .iter()
            .map(|n| registry::find(n.trim()))
            .collect::<Result<_>>()?,
        (_, one) => {
            return Err(Error::argument(
                "method",
                one,
                "either `--method` or `--methods`",
            ));
        }
    };
    let entrant = |entry: &'static Entry| {
        Ok(Entrant {
            entry,
            method: entry.build(&solve.settings)?,
            trials: Vec::new(),
        })
    };
    entries.into_iter().map(entrant).collect()
}

impl Entrant {
    /// One run; its record for `--json`.
    fn solve(
        &mut self,
        test: &TestProblem,
        solve: &Solve,
        interrupt: &Arc<AtomicBool>,
    ) -> Result<Value> {
        let clock = SystemClock::default();
        let referee = Referee::new(test, &clock);
        let mut driver = solve.driver(interrupt);
        driver.tolerance = test.tolerance(solve.tolerance)?;
        let outcome = self.method.run(&mut driver, test.start.clone(), &referee)?;
        drop(driver);
        let answer = outcome.value.map_or(Answer::Elsewhere, |v| test.judge(v));
        let reached = referee.reached().filter(|_| answer == Answer::Minimum);
        let mut run = record(test, self.entry.name, &outcome, answer);
        run["to_minimum"] = json!(reached.map(|e| json!({
            "evaluations": e.evaluations, "hessians": e.hessians, "seconds": e.time.as_secs_f64(),
        })));
        self.trials.push(Trial {
            status: outcome.status.name().to_owned(),
            value: outcome.value,
            is_local: answer == Answer::Other,
            evaluations: reached.map(|e| e.evaluations),
            seconds: reached.map(|e| e.time.as_secs_f64()),
        });
        Ok(run)
    }

    /// Runs that ended at a published minimum, the least or another.
    fn found(&self) -> usize {
        let hits = self
            .trials
            .iter()
            .filter(|t| t.evaluations.is_some() || t.is_local);
        hits.count()
    }
}

fn comparison(
    name: &str,
    tests: &[TestProblem],
    entrants: &[Entrant],
    solve: &Solve,
) -> Comparison {
    let sources: Vec<&str> = Collection::ALL
        .into_iter()
        .filter(|c| tests.iter().any(|t| t.collection == *c))
        .map(Collection::source)
        .collect();
    Comparison {
        title: "Minimising functions whose minima are known".into(),
        subtitle: format!("{} problems ({})", tests.len(), sources.join("; ")),
        problems: tests
            .iter()
            .map(|t| report::Case {
                name: t.name.to_owned(),
                unknowns: t.start.len(),
                minimum: t.minimum.map_or_else(|| "unknown".to_owned(), known),
            })
            .collect(),
        contenders: entrants
            .iter()
            .map(|e| Contender {
                name: e.entry.name.to_owned(),
                family: crate::race::family(e.entry.family),
                trials: e.trials.clone(),
            })
            .collect(),
        config: Some(json!({ "problems": name, "solve": solve.resolved(&solve.method) })),
    }
}

/// Evaluations by problem and method.
fn grid(tests: &[TestProblem], entrants: &[Entrant]) -> String {
    let width = |e: &Entrant| e.entry.name.len().max(8);
    let mut t = format!("{:<28}    n", "evaluations to the minimum");
    for e in entrants {
        let _ = write!(t, "  {:>1$}", e.entry.name, width(e));
    }
    t.push('\n');
    for (row, test) in tests.iter().enumerate() {
        let _ = write!(t, "{:<28} {:>4}", test.name, test.start.len());
        for e in entrants {
            let trial = &e.trials[row];
            let cell = match trial.evaluations {
                Some(evaluations) => evaluations.to_string(),
                None if trial.is_local => "local".to_owned(),
                None => "-".to_owned(),
            };
            let _ = write!(t, "  {cell:>0$}", width(e));
        }
        t.push('\n');
    }
    let _ = write!(t, "{:<33}", "at a published minimum");
    for e in entrants {
        let _ = write!(t, "  {:>1$}", e.found(), width(e));
    }
    t += "\nAn evaluation is a value, a gradient or both at one point. local: another published minimum. -: elsewhere\n";
    for e in entrants {
        for (trial, test) in e.trials.iter().zip(tests) {
            if trial.evaluations.is_none() && !trial.is_local {
                let value = trial.value.unwrap_or(f64::NAN);
                let status = trial.status.replace('_', " ");
                let _ = writeln!(
                    t,
                    "{} on {}: {status}, F = {value:.6e}",
                    e.entry.name, test.name
                );
            }
        }
    }
    t
}
