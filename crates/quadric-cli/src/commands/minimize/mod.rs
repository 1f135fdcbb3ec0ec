//! `quadric minimize`: general smooth minimisation, on test problems whose answers are known.

mod collection;

use crate::args::{Global, MinimizeArgs};
use crate::commands::solve::Solve;
use crate::{console, progress};
use quadric::core::{Error, Outcome, Problem, Result, Scalar, Status};
use quadric::models::nls::{Answer, Collection, TestProblem, test_problem, test_problems};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Unknowns that are printed.
const SHOWN: usize = 12;

pub(crate) fn run(
    a: &MinimizeArgs,
    global: &Global,
    interrupt: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    let solve = Solve::of(&a.solve)?;
    let several = |name| collection::named(name).is_some();
    match a.problem.as_deref() {
        Some(name) if !a.list && several(name) => {
            collection::run(name, a, solve, global, interrupt)
        }
        Some(name) if !a.list && solve.single => one::<f32>(name, a, &solve, global, interrupt),
        Some(name) if !a.list => one::<f64>(name, a, &solve, global, interrupt),
        _ => list(global),
    }
}

fn list(global: &Global) -> Result<ExitCode> {
    let all = test_problems();
    if global.json {
        let row = |p: &TestProblem| {
            json!({ "collection": p.collection.name(), "number": p.number, "name": p.name,
                "unknowns": p.start.len(), "least_size": p.sizes.least, "largest_size": p.sizes.most,
                "size_is": p.sizes.rule, "start": p.start, "minimum": p.minimum,
                "other_minima": p.others })
        };
        console::print_json(&json!({ "problems": all.iter().map(row).collect::<Vec<_>>() }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut t = String::new();
    for collection in Collection::ALL {
        let _ = writeln!(t, "{}: {}", collection.name(), collection.source());
        t += "  #  problem                      unknowns  least value   --size\n";
        for p in all.iter().filter(|p| p.collection == collection) {
            let number = p.number.map_or(String::new(), |k| k.to_string());
            let sizes = match (p.sizes.is_fixed(), p.sizes.rule) {
                (true, _) => String::new(),
                (false, rule) => format!("{rule} from {}", p.sizes.least),
            };
            let line = format!(
                "{number:>3}  {:<28} {:>8}  {:<12}  {sizes}",
                p.name,
                p.start.len(),
                p.minimum.map_or_else(|| "unknown".to_owned(), known)
            );
            let _ = writeln!(t, "{}", line.trim_end());
        }
        t.push('\n');
    }
    t += "Run one by its name or number, or a collection: mgh, cutest, all.\n";
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
    if !a.methods.is_empty() || a.report.is_some() {
        let (flag, value) = if a.report.is_some() {
            ("report", "for one problem")
        } else {
            ("methods", "for one problem")
        };
        return Err(
            Error::argument(flag, value, "a collection: mgh, cutest or all")
                .with_hint("`--method` chooses the method of one problem"),
        );
    }
    let test = test_problem(name, a.size)?;
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
    driver.tolerance = test.tolerance(solve.tolerance)?;
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
        "problem": test.name, "collection": test.collection.name(), "number": test.number, "unknowns": test.start.len(), "method": method,
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
    let number = test
        .number
        .map_or(String::new(), |k| format!(", problem {k}"));
    line(
        "problem",
        format!(
            "{}, {} unknowns ({}{number})",
            test.name,
            test.start.len(),
            test.collection.source()
        ),
    );
    line("status", o.status.name().replace('_', " "));
    if let Some(reason) = &o.reason {
        line("because", console::printable(reason));
    }
    let least = test.minimum.map(known);
    let published = match (answer, least) {
        (Answer::Minimum, Some(least)) => format!("the published minimum is {least}"),
        (Answer::Other, Some(least)) => format!("a known local minimum; the least is {least}"),
        (_, Some(least)) => format!("the published minimum is {least}, which this is not"),
        (_, None) => "the minimum at this size is not published".to_owned(),
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
