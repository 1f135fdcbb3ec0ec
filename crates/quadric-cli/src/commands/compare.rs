//! `quadric compare`: race first-order against second-order methods and write a report.

use crate::args::{CompareArgs, Global, L2};
use crate::commands::problem;
use crate::console;
use crate::race::{Lap, Rules};
use quadric::core::{Error, Result};
use quadric::data::{Dataset, Target};
use quadric::models::{Glm, GlmOptions};
use quadric::opt::registry;
use quadric::report::{self, Report};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Penalty when none is given: weak enough that the problem is ill-conditioned, as unpenalised statistics are.
const WEAK: f64 = 1e-6;
/// The methods stop at this relative gap; the referee's run goes further.
const TOLERANCE: f64 = 1e-13;

pub(crate) fn run(
    a: &CompareArgs,
    global: &Global,
    interrupt: &Arc<AtomicBool>,
) -> Result<ExitCode> {
    if !(a.time_limit > 0.0 && a.time_limit < 1e9) {
        return Err(Error::argument(
            "time-limit",
            a.time_limit,
            "a positive number of seconds",
        ));
    }
    let entries = entries(&a.methods)?;
    let data = problem::load_with_target(&a.data, &problem::read_options(&a.read, Target::Guess)?)?;
    problem::warn(&data, global);
    if problem::is_one_vs_rest(&a.model) {
        let expected = "a loss of one problem: a race is run on one";
        return Err(Error::argument("loss", problem::ONE_VS_REST, expected));
    }
    let mut options = problem::glm_options(&a.model, &data)?;
    options.l2 = match &a.model.l2 {
        None => WEAK,
        Some(L2::One(l2)) => *l2,
        Some(_) => return Err(Error::argument("l2", "a choice", "one number for a race")),
    };
    let about = problem::describe(&data);
    let facts = facts(&data, &options);
    let glm = Glm::<f64>::new(data.x, &data.target, data.weights.as_deref(), &options)?;
    if !global.json && !global.quiet {
        console::note(&format!(
            "{about}; {} loss, l2 = {:e}",
            options.loss, options.l2
        ));
    }
    let rules = Rules {
        tolerance: TOLERANCE,
        time: Some(Duration::from_secs_f64(a.time_limit)),
        seed: a.seed,
        interrupt: interrupt.clone(),
    };
    let mut laps = Vec::new();
    for entry in entries {
        if !entry.applies::<f64>(&glm) {
            if !a.methods.is_empty() {
                // Asked for by name: say what is missing.
                let outcome = entry.build::<f64>(&Value::Null)?.run(
                    &mut Default::default(),
                    glm.start(),
                    &glm,
                )?;
                drop(outcome);
            }
            continue;
        }
        if interrupt.load(Ordering::Relaxed) {
            break;
        }
        laps.push(rules.lap(entry, entry.build(&Value::Null)?.as_ref(), &glm, global)?);
    }
    let report = summary(a, &about, facts, &options, &laps)?;
    report::write(&a.output, &report, true)?;
    show(a, global, &report)?;
    Ok(if interrupt.load(Ordering::Relaxed) {
        ExitCode::from(130)
    } else {
        ExitCode::SUCCESS
    })
}

fn entries(names: &[String]) -> Result<Vec<&'static registry::Entry>> {
    if names.is_empty() {
        return Ok(registry::registry().iter().collect());
    }
    names.iter().map(|n| registry::find(n.trim())).collect()
}

fn facts(data: &Dataset, options: &GlmOptions) -> Vec<(String, String)> {
    let rows = data.x.rows() as f64;
    let fact = |k: &str, v: String| (k.to_owned(), v);
    vec![
        fact("data", data.name.clone()),
        fact("rows", data.x.rows().to_string()),
        fact("columns", data.x.cols().to_string()),
        fact("stored values", data.x.stored().to_string()),
        fact(
            "objective",
            format!(
                "mean {} loss + l2/2 |w|², free intercept: {}",
                options.loss, options.intercept
            ),
        ),
        fact(
            "l2",
            format!(
                "{:e} (C = {:.4} in scikit-learn)",
                options.l2,
                1.0 / (rows * options.l2)
            ),
        ),
        fact("threads", rayon::current_num_threads().to_string()),
        fact("version", format!("quadric {}", env!("CARGO_PKG_VERSION"))),
    ]
}

fn summary(
    a: &CompareArgs,
    about: &str,
    mut facts: Vec<(String, String)>,
    options: &GlmOptions,
    laps: &[Lap],
) -> Result<Report> {
    let best = laps.iter().filter_map(Lap::best).min_by(f64::total_cmp);
    let best = best.ok_or_else(|| {
        Error::argument(
            "methods",
            "a list of none that applies",
            "at least one method",
        )
    })?;
    let certified = laps
        .iter()
        .filter_map(|l| l.outcome.certificate)
        .filter(|c| c.kind == "gap_bound")
        .min_by(|x, y| x.value.total_cmp(&y.value));
    let mut notes = vec![format!(
        "Relative suboptimality is (F - F*) / |F*|, with F* = {best:.15e} the lowest value of the race. Each method had \
         {} s and stopped at a proven relative gap of {TOLERANCE:e}. A pass reads the data once.",
        a.time_limit
    )];
    match certified {
        Some(c) => facts.push((
            "proven error of F*".into(),
            format!("at most {:.1e}", c.value),
        )),
        None => notes.push("No method could prove how far F* is from the optimum.".into()),
    }
    facts.push(("F*".into(), format!("{best:.15e}")));
    Ok(Report {
        title: "First order against second order".into(),
        subtitle: format!("{about}; {} loss, l2 = {:e}", options.loss, options.l2),
        facts,
        runs: laps.iter().map(|l| l.run(best)).collect(),
        notes,
        config: Some(json!({
            "data": a.data, "loss": options.loss, "l2": options.l2, "intercept": options.intercept,
            "time_limit": a.time_limit, "seed": a.seed, "tolerance": TOLERANCE,
        })),
    })
}

fn show(a: &CompareArgs, global: &Global, report: &Report) -> Result<()> {
    if global.json {
        let mut document = serde_json::to_value(report).map_err(|e| Error::data(e.to_string()))?;
        document["report"] = json!(a.output);
        return console::print_json(&document);
    }
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    console::print(&report::text_table(report, None, colour))?;
    if !global.quiet {
        console::note(&format!("wrote {}", a.output.display()));
    }
    Ok(())
}
