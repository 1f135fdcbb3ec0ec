//! `quadric minimize`: general smooth minimisation, on test problems whose answers are known.

use crate::args::{Global, MinimizeArgs};
use crate::commands::solve::Solve;
use crate::{console, progress};
use quadric::core::{AnyMethod, Error, Outcome, Problem, Result, Scalar, Status};
use quadric::models::nls::{Answer, SumOfSquares, TestProblem, test_problem, test_problems};
use quadric::opt::registry;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Values and gradients that a run over all problems may take each, unless a limit is given.
const EVALUATIONS: u64 = 10_000;
/// Unknowns that are printed.
const SHOWN: usize = 12;

pub(crate) fn run(
    a: &MinimizeArgs,
    global: &Global,
    interrupt: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    let solve = Solve::of(&a.solve)?;
    match a.problem.as_deref() {
        Some("all") if !a.list => all(solve, global, interrupt),
        Some(name) if !a.list && solve.single => one::<f32>(name, a, &solve, global, interrupt),
        Some(name) if !a.list => one::<f64>(name, a, &solve, global, interrupt),
        _ => list(global),
    }
}

fn list(global: &Global) -> Result<ExitCode> {
    let all = test_problems();
    if global.json {
        let row = |p: &TestProblem| {
            json!({ "number": p.number, "name": p.name, "unknowns": p.start.len(), "start": p.start,
                "minimum": p.minimum, "other_minima": p.others })
        };
        console::print_json(&json!({ "problems": all.iter().map(row).collect::<Vec<_>>() }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut t = String::from("  #  problem                      unknowns  least sum of squares\n");
    for p in &all {
        let _ = writeln!(
            t,
            "{:>3}  {:<28} {:>8}  {}",
            p.number,
            p.name,
            p.start.len(),
            known(p.minimum)
        );
    }
    t += "Moré, Garbow, Hillstrom, ACM TOMS 7, 1981\n";
    console::print(&t)?;
    Ok(ExitCode::SUCCESS)
}

fn one<T: Scalar>(
    name: &str,
    a: &MinimizeArgs,
    solve: &Solve,
    global: &Global,
    interrupt: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    let test = test_problem(name)?;
    let start = if a.start.is_empty() {
        &test.start
    } else {
        &a.start
    };
    if start.len() != test.start.len() {
        return Err(Error::shape("the start", start.len(), test.start.len()));
    }
    if let Some(bad) = start.iter().find(|v| !v.is_finite()) {
        return Err(Error::argument("start", bad, "finite numbers"));
    }
    let problem: &dyn Problem<T> = &test.problem;
    let (method_name, method) = solve.method::<T>(problem)?;
    let mut driver = solve.driver(interrupt);
    driver
        .callbacks
        .extend(progress::callback(global, method_name, solve.tolerance));
    let start = start.iter().map(|v| T::of(*v)).collect();
    let outcome = method.run(&mut driver, start, problem)?;
    drop(driver);
    let answer = outcome.value.map_or(Answer::Elsewhere, |v| test.judge(v));
    if global.json {
        let x: Vec<f64> = outcome.x.iter().map(|v| v.to_f64()).collect();
        let mut document = record(&test, method_name, &outcome, answer);
        document["x"] = json!(x);
        document["reason"] = json!(outcome.reason);
        document["config"] = solve.resolved(method_name);
        console::print_json(&document)?;
    } else {
        console::print(&text(&test, method_name, &outcome, answer))?;
    }
    Ok(ExitCode::from(match outcome.status {
        Status::Converged => 0,
        Status::Interrupted => 130,
        _ => 4,
    }))
}

/// A published minimum: 0, or its digits.
fn known(minimum: f64) -> String {
    if minimum == 0.0 {
        "0".to_owned()
    } else {
        format!("{minimum:.5e}")
    }
}

fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::Minimum => "minimum",
        Answer::Other => "other_minimum",
        Answer::Elsewhere => "elsewhere",
    }
}

/// A run for `--json`.
fn record<T: Scalar>(test: &TestProblem, method: &str, o: &Outcome<T>, answer: Answer) -> Value {
    json!({
        "problem": test.name, "number": test.number, "unknowns": test.start.len(), "method": method,
        "status": o.status.name(), "objective": o.value, "minimum": test.minimum, "answer": word(answer),
        "gradient_norm": o.gradient_norm, "gradient_norm_at_start": o.gradient_norm_at_start,
        "iterations": o.iterations, "evaluations": o.counts.evaluations(), "counts": o.counts,
        "seconds": o.elapsed.as_secs_f64(),
    })
}

fn text<T: Scalar>(test: &TestProblem, method: &str, o: &Outcome<T>, answer: Answer) -> String {
    let mut t = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(t, "  {name:<10} {value}");
    };
    let (number, n) = (test.number, test.start.len());
    line(
        "problem",
        format!(
            "{}, {n} unknowns (Moré, Garbow, Hillstrom 1981, problem {number})",
            test.name
        ),
    );
    line("status", o.status.name().replace('_', " "));
    if let Some(reason) = &o.reason {
        line("because", console::printable(reason));
    }
    let published = match answer {
        Answer::Minimum => format!("the published minimum is {}", known(test.minimum)),
        Answer::Other => format!(
            "a known local minimum; the least is {}",
            known(test.minimum)
        ),
        Answer::Elsewhere => format!(
            "the published minimum is {}, which this is not",
            known(test.minimum)
        ),
    };
    line(
        "F",
        format!("{:.12e}   {published}", o.value.unwrap_or(f64::NAN)),
    );
    if let (Some(g), Some(first)) = (o.gradient_norm, o.gradient_norm_at_start) {
        line("gradient", format!("{g:.1e} (from {first:.1e})"));
    }
    let evaluations = o.counts.evaluations();
    line(
        "method",
        format!(
            "{method}: {} steps, {evaluations} values and gradients, {:.4} s",
            o.iterations,
            o.elapsed.as_secs_f64()
        ),
    );
    let mut x: Vec<String> =
        o.x.iter()
            .take(SHOWN)
            .map(|v| format!("{:.9}", v.to_f64()))
            .collect();
    if o.x.len() > SHOWN {
        x.push("...".to_owned());
    }
    line("x", x.join("  "));
    t
}

/// Every problem with every method that fits, or with the one that is asked for.
fn all(mut solve: Solve, global: &Global, interrupt: &Arc<AtomicBool>) -> Result<ExitCode> {
    solve.budget.evaluations.get_or_insert(EVALUATIONS);
    let tests = test_problems();
    let mut methods: Vec<(&str, Box<dyn AnyMethod<f64>>)> = Vec::new();
    if solve.method == "auto" {
        for entry in registry::registry() {
            if entry.applies::<f64>(&tests[0].problem) {
                methods.push((entry.name, entry.build(&Value::Null)?));
            }
        }
    } else {
        methods.push(solve.method::<f64>(&tests[0].problem as &dyn Problem<f64>)?);
    }
    let mut runs = Vec::new();
    for test in &tests {
        for (name, method) in &methods {
            if interrupt.load(Ordering::Relaxed) {
                return Ok(ExitCode::from(130));
            }
            let problem: &SumOfSquares = &test.problem;
            let outcome = method.run(&mut solve.driver(interrupt), test.start.clone(), problem)?;
            let answer = outcome.value.map_or(Answer::Elsewhere, |v| test.judge(v));
            runs.push(record(test, name, &outcome, answer));
        }
    }
    let names: Vec<&str> = methods.iter().map(|m| m.0).collect();
    let solved = |method: &str| {
        let hits = runs
            .iter()
            .filter(|r| r["method"] == method && is_solved(r));
        hits.count()
    };
    if global.json {
        let solved: Value = names
            .iter()
            .map(|m| ((*m).to_owned(), json!(solved(m))))
            .collect();
        console::print_json(
            &json!({ "runs": runs, "solved": solved, "config": solve.resolved(&solve.method) }),
        )?;
    } else {
        let last: Vec<String> = names.iter().map(|m| solved(m).to_string()).collect();
        console::print(&grid(&tests, &names, &runs, &last))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn is_solved(run: &Value) -> bool {
    run["answer"] != "elsewhere"
}

/// Evaluations by problem and method.
fn grid(tests: &[TestProblem], names: &[&str], runs: &[Value], solved: &[String]) -> String {
    let width = |name: &str| name.len().max(8);
    let mut t = format!("{:<28}  n", "values and gradients");
    for name in names {
        let _ = write!(t, "  {name:>0$}", width(name));
    }
    t.push('\n');
    for (test, row) in tests.iter().zip(runs.chunks(names.len().max(1))) {
        let _ = write!(t, "{:<28} {:>2}", test.name, test.start.len());
        for (name, run) in names.iter().zip(row) {
            let cell = if is_solved(run) {
                run["evaluations"].to_string()
            } else {
                "-".to_owned()
            };
            let _ = write!(t, "  {cell:>0$}", width(name));
        }
        t.push('\n');
    }
    let _ = write!(t, "{:<31}", "at a published minimum");
    for (name, count) in names.iter().zip(solved) {
        let _ = write!(t, "  {count:>0$}", width(name));
    }
    t + "\n- ended elsewhere\n"
}
