//! What a fit prints.

use super::Fitted;
use super::files::Files;
use super::select::Choice;
use crate::args::Global;
use crate::console;
use crate::model_file::ModelFile;
use quadric::core::{ColumnEnd, Result, Status};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Weights beyond this number stay in the model file.
const SHOWN: usize = 100_000;

pub(super) fn show(
    f: &Fitted,
    saved: &ModelFile,
    config: &Value,
    choice: Option<&Choice>,
    files: &Files,
    global: &Global,
) -> Result<()> {
    let o = &f.outcome;
    if !global.json {
        return console::print(&text(f, files));
    }
    let names = saved.classes.as_ref();
    let class = |v: &f64| {
        names
            .and_then(|n| n.get(*v as usize))
            .map_or_else(|| number(*v), |n| json!(n))
    };
    let classes: Option<Vec<Value>> = f
        .model
        .classes
        .as_ref()
        .map(|c| c.iter().map(class).collect());
    let single = f.model.coef.len() == 1;
    let small = f.model.coef.len() * saved.dim() <= SHOWN;
    let coef = if single {
        json!(f.model.coef[0])
    } else {
        json!(f.model.coef)
    };
    let intercept = if single {
        json!(f.model.intercept[0])
    } else {
        json!(f.model.intercept)
    };
    console::print_json(&json!({
        "status": o.status.name(),
        "reason": o.reason,
        "objective": o.value,
        "gradient_norm": f.gradient_norm,
        "gradient_norm_at_start": f.gradient_norm_at_start,
        "iterations": o.iterations,
        "passes": o.counts.passes,
        "seconds": o.elapsed.as_secs_f64(),
        "certificate": o.certificate.map(|c| json!({ "kind": c.kind, "value": finite(c.value), "relative": finite(c.relative()) })),
        "columns": columns(f),
        "config": config,
        "selection": choice.map(Choice::json),
        "model": files.model,
        "method": f.method,
        "counts": o.counts,
        "accuracy": f.accuracy,
        "classes": classes,
        "coef": small.then_some(coef),
        "intercept": intercept,
        "warnings": o.warnings,
    }))
}

/// How each class ended, where classes were fitted against the rest.
fn columns(f: &Fitted) -> Option<Vec<Value>> {
    let column = |c: &ColumnEnd| {
        json!({ "status": c.status.name(), "reason": c.reason, "objective": finite(c.value),
            "certificate": { "kind": c.certificate.kind, "value": finite(c.certificate.value),
                "relative": finite(c.certificate.relative()) } })
    };
    let columns = &f.outcome.columns;
    (!columns.is_empty()).then(|| columns.iter().map(column).collect())
}

/// JSON has no infinity: what could not be bounded is null.
fn finite(v: f64) -> Option<f64> {
    v.is_finite().then_some(v)
}

/// A class label, as an integer where it is one.
fn number(v: f64) -> Value {
    if v.fract() == 0.0 && v.abs() < 2f64.powi(53) {
        json!(v as i64)
    } else {
        json!(v)
    }
}

/// Enough digits to compare optima, of small values too.
fn digits(value: f64) -> String {
    if value.abs() >= 1e-3 || value == 0.0 {
        format!("{value:.15}")
    } else {
        format!("{value:.12e}")
    }
}

/// The classes that did not converge.
fn unfinished(f: &Fitted) -> impl Iterator<Item = String> + '_ {
    let columns = f.outcome.columns.iter().enumerate();
    let open = columns.filter(|(_, column)| column.status != Status::Converged);
    open.map(|(c, column)| {
        let label = f
            .model
            .classes
            .as_ref()
            .map_or(Value::Null, |l| number(l[c]));
        let bound = column.certificate.relative();
        let status = column.status.name().replace('_', " ");
        format!("{label}: {status}, gap {bound:.1e} relative")
    })
}

fn text(f: &Fitted, files: &Files) -> String {
    let o = &f.outcome;
    let mut t = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(t, "  {name:<12} {value}");
    };
    line("status", o.status.name().replace('_', " "));
    if let Some(reason) = &o.reason {
        line("because", console::printable(reason));
    }
    if let Some(value) = o.value {
        line("objective", digits(value));
    }
    match o.certificate {
        Some(c) if c.kind == "gap_bound" && c.value.is_finite() => {
            line(
                "certificate",
                format!(
                    "above the optimum by at most {:.1e} ({:.1e} relative)",
                    c.value,
                    c.relative()
                ),
            );
        }
        Some(c) if c.kind == "gap_bound" => line(
            "certificate",
            "none: no bound could be proven at this point".into(),
        ),
        Some(c) => line(
            "certificate",
            format!("{} {:.1e} ({:.1e} relative)", c.kind, c.value, c.relative()),
        ),
        None => {}
    }
    line(
        "gradient",
        format!(
            "{:.1e} (from {:.1e})",
            f.gradient_norm, f.gradient_norm_at_start
        ),
    );
    let (steps, passes, seconds) = (o.iterations, o.counts.passes, o.elapsed.as_secs_f64());
    line(
        "method",
        format!(
            "{}: {steps} steps, {passes:.0} passes over the data, {seconds:.3} s",
            f.method
        ),
    );
    for class in unfinished(f) {
        line("class", class);
    }
    if let Some(share) = f.accuracy {
        line("accuracy", format!("{:.2} % of these rows", 100.0 * share));
    }
    line("model", files.model.display().to_string());
    for warning in &o.warnings {
        line("warning", console::printable(warning));
    }
    t
}
