//! `quadric reproduce pyhessian`: what batch normalisation and residual connections do to the Hessian.

mod claims;
mod hessian;
mod measured;
mod networks;
mod saved;
mod start;
mod trainings;

use crate::args::{Global, PyhessianArgs, Start};
use crate::bar::Bar;
use crate::console;
use claims::{Claim, claims, mean, short};
use measured::{Found, Measured, Variant};
use networks::Digits;
use quadric::core::{Error, Result};
use quadric::report::{self, Evolution};
use saved::Checkpoint;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use trainings::Trainings;

pub(super) const NAME: &str = "pyhessian";
pub(super) const PAPER: &str = "Yao, Gholami, Keutzer, Mahoney: PyHessian, arXiv 1912.07145";
pub(super) const ABOUT: &str =
    "batch normalisation, residual connections and the Hessian, on residual networks and digits";

pub(super) fn run(a: &PyhessianArgs, global: &Global, interrupt: &AtomicBool) -> Result<ExitCode> {
    check(a)?;
    let digits = Digits::draw(a)?;
    let checkpoint = checkpoint(a, &digits);
    let before = checkpoint.as_ref().map(Checkpoint::read).transpose()?;
    let bar = Bar::of_all(global);
    let trainings = Trainings {
        args: a,
        digits: &digits,
        interrupt,
        bar: &bar,
        checkpoint: checkpoint.as_ref(),
        work: [0.0; 2],
    };
    let found = trainings.run(&Variant::all(&a.depths), before.unwrap_or_default())?;
    drop(bar);
    let ends: Vec<Measured> = found.measured.iter().filter(|m| m.last).cloned().collect();
    let claims = claims(&ends, &a.depths);
    let about = about(a, &digits);
    if let Some(path) = &a.output {
        report::write_evolution(path, &evolution(&found.measured, &about, &claims), a.force)?;
    }
    match global.json {
        true => console::print_json(&document(a, &digits, &found, &claims))?,
        false => console::print(&text(&ends, &about, &claims))?,
    }
    if let Some(path) = a.output.as_ref().filter(|_| !global.json && !global.quiet) {
        console::note(&format!("wrote {}", path.display()));
    }
    if let Some(checkpoint) = checkpoint {
        checkpoint.remove();
    }
    let converged = found.measured.iter().all(Measured::is_converged);
    Ok(ExitCode::from(if converged { 0 } else { 4 }))
}

/// Refuses what would train nothing, or fail after minutes.
fn check(a: &PyhessianArgs) -> Result<()> {
    if a.epochs == 0 {
        return Err(Error::argument("epochs", 0, "at least 1"));
    }
    if a.seeds == 0 {
        return Err(Error::argument("seeds", 0, "at least 1"));
    }
    if let Some(rate) = a.rates.iter().find(|r| !(**r > 0.0 && r.is_finite())) {
        return Err(Error::argument("rates", rate, "positive numbers"));
    }
    for (i, depth) in a.depths.iter().enumerate() {
        networks::network(Variant::all(&[*depth])[0], a.width)?;
        if a.depths[..i].contains(depth) {
            return Err(Error::argument("depths", depth, "each depth once"));
        }
    }
    match a.output.as_ref().filter(|path| !a.force && path.exists()) {
        Some(path) => {
            let exists = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            Err(Error::io("write", path.display(), exists).with_hint("--force replaces it"))
        }
        None => Ok(()),
    }
}

fn about(a: &PyhessianArgs, digits: &Digits) -> String {
    let [train, hessian] = digits.counts();
    let rates: Vec<String> = a.rates.iter().map(f64::to_string).collect();
    let rates = match &rates[..] {
        [rate] => format!("from the rate {rate}"),
        rates => format!(
            "from the best rate of {} for each network",
            rates.join(", ")
        ),
    };
    let start = match a.start {
        Start::Scaled => "initial weights scaled where there is no normalisation",
        Start::He => "the same initial weights with and without normalisation",
    };
    let many = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    format!(
        "Residual networks of {} on {} of 8 x 8 pixels, with and without batch normalisation (-BN) and residual connections (-Res), {start}, \
         {} of SGD {rates}, {}; the Hessian of the mean loss over {hessian} of the digits, with running statistics",
        many(a.width as u64, "channel"),
        many(train as u64, "digit"),
        many(a.epochs as u64, "epoch"),
        many(a.seeds, "seed"),
    )
}

/// The first training of each network.
fn evolution(found: &[Measured], about: &str, claims: &[Claim]) -> Evolution {
    let first = found.iter().filter(|m| m.seed == 0);
    let checkpoint = |m: &Measured| {
        Some(report::Checkpoint {
            name: format!("{}, epoch {}", m.variant, m.epoch),
            step: None,
            report: m.report.clone()?,
        })
    };
    let verdict = |c: &Claim| {
        let (claim, criterion) = (c.claim, &c.criterion);
        format!(
            " {claim} Measured, {criterion}: {}; it {}.",
            c.measured,
            c.verdict.words()
        )
    };
    let verdicts: String = claims.iter().map(verdict).collect();
    Evolution {
        title: "PyHessian: batch normalisation and residual connections".to_owned(),
        subtitle: format!("{about}.{verdicts}"),
        axis: "network and epoch".to_owned(),
        checkpoints: first.filter_map(checkpoint).collect(),
    }
}

/// What the trainings depend on.
fn settings(a: &PyhessianArgs, digits: &Digits) -> Value {
    let [train, hessian] = digits.counts();
    json!({
        "epochs": a.epochs, "seeds": a.seeds, "depths": a.depths, "width": a.width, "rates": a.rates, "start": a.start,
        "examples": train, "hessian_examples": hessian,
    })
}

fn checkpoint(a: &PyhessianArgs, digits: &Digits) -> Option<Checkpoint> {
    let key = settings(a, digits).to_string();
    Some(Checkpoint::new(a.checkpoint.clone()?, key))
}

fn document(a: &PyhessianArgs, digits: &Digits, found: &Found, claims: &[Claim]) -> Value {
    json!({
        "system": NAME,
        "paper": PAPER,
        "settings": settings(a, digits),
        "searches": found.searches,
        "measured": found.measured,
        "claims": claims,
    })
}

fn text(ends: &[Measured], about: &str, claims: &[Claim]) -> String {
    let mut text = format!("{about}.\n\n{}", table(ends));
    for (i, c) in claims.iter().enumerate() {
        let _ = write!(
            text,
            "\n{}. {}\n   claimed by  {}\n   criterion   {}\n   measured    {}\n   verdict     {}\n",
            i + 1,
            c.claim,
            c.source,
            c.criterion,
            c.measured,
            c.verdict.words()
        );
    }
    text
}

/// The ends of the trainings: geometric means of positive numbers, means of others, over seeds.
fn table(ends: &[Measured]) -> String {
    let heads = [
        "rate",
        "loss",
        "accuracy",
        "largest",
        "smallest",
        "trace",
        "gap after",
    ];
    let mut text = format!("{:<20}", "network");
    heads.iter().for_each(|h| text += &format!("{h:>11}"));
    text += "\n";
    let mut variants: Vec<Variant> = ends.iter().map(|m| m.variant).collect();
    variants.dedup();
    for variant in variants {
        let of = || ends.iter().filter(|m| m.variant == variant);
        let all = |number: &dyn Fn(&Measured) -> Option<f64>| of().filter_map(number).collect();
        let geometric = |values: Vec<f64>| match values.iter().all(|v| *v > 0.0) {
            true => mean(&values),
            false => average(&values),
        };
        let gaps: Vec<usize> = of().filter_map(Measured::outliers).collect();
        let gaps: Vec<String> = gaps.iter().map(usize::to_string).collect();
        let accuracy: Vec<f64> = all(&Measured::accuracy);
        let accuracy = average(&accuracy).map(|a| format!("{:.2} %", 100.0 * a));
        let dash = || "-".to_owned();
        let cells = [
            of().next().map(|m| m.rate.to_string()),
            geometric(all(&Measured::loss)).map(short),
            accuracy,
            geometric(all(&|m| m.largest())).map(short),
            average(&all(&|m| m.smallest())).map(short),
            geometric(all(&|m| m.trace())).map(short),
            Some(gaps.join(",")).filter(|g| !g.is_empty()),
        ];
        let _ = write!(text, "{:<20}", variant.to_string());
        let cells = cells.map(|c| c.unwrap_or_else(dash));
        cells.iter().for_each(|c| text += &format!("{c:>11}"));
        let open = of().any(|m| !m.is_converged());
        let diverged = of().filter(|m| m.diverged.is_some()).count();
        if open {
            text += "  not all eigenvalues converged";
        }
        let stuck = of()
            .filter(|m| m.report.is_some() && !m.is_trained())
            .count();
        if stuck > 0 {
            text += &format!("  {stuck} not trained: left out below");
        }
        if diverged > 0 {
            text += &format!("  {diverged} diverged");
        }
        text += "\n";
    }
    text
}

fn average(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().sum();
    Some(sum / values.len() as f64).filter(|m| m.is_finite())
}
