//! `quadric fit`: a data file in, a certified model out.

use crate::args::{FitArgs, Global, ModelArgs, ReadArgs, SolveArgs};
use crate::commands::problem;
use crate::model_file::ModelFile;
use crate::{console, progress};
use quadric::core::trace::{TraceHeader, TraceWriter};
use quadric::core::{
    AnyMethod, Budget, CheckpointPolicy, DataMatrix, Driver, Error, ErrorKind, Outcome, Overwrite,
    Problem, Result, Scalar, Status, Tolerance,
};
use quadric::data::{ColumnKind, Dataset, Target};
use quadric::models::{Glm, GlmOptions, LinearModel};
use quadric::opt::registry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A `--config` file: the same options as the flags, in three tables.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FitConfig {
    /// How the data file is read.
    data: ReadArgs,
    /// What is minimised.
    model: ModelArgs,
    /// How it is minimised.
    solve: SolveArgs,
}

/// Everything that decides the result.
struct Plan {
    read: ReadArgs,
    options: GlmOptions,
    method: String,
    settings: Value,
    tolerance: f64,
    budget: Budget,
    seed: u64,
    single: bool,
}

/// What is known after a run, whatever the arithmetic was.
struct Fitted {
    model: LinearModel,
    method: &'static str,
    outcome: Outcome<f64>,
    gradient_norm: f64,
    gradient_norm_at_start: f64,
    accuracy: Option<f64>,
}

pub(crate) fn run(a: &FitArgs, global: &Global, interrupt: Arc<AtomicBool>) -> Result<ExitCode> {
    let config = configuration(a)?;
    let data = problem::load(
        &a.data,
        &problem::read_options(&config.data, Target::Guess)?,
    )?;
    problem::warn(&data, global);
    let plan = plan(config, &data)?;
    let files = Files::new(a, &data.name)?;
    if !global.json && !global.quiet {
        let l2 = plan.options.l2;
        let c = if l2 > 0.0 {
            format!(
                ", C = {:.4e} in scikit-learn",
                1.0 / (data.rows() as f64 * l2)
            )
        } else {
            String::new()
        };
        console::note(&format!(
            "{}; {} loss, l2 = {l2:e}{c}",
            problem::describe(&data),
            plan.options.loss
        ));
    }
    if a.dry_run {
        return dry_run(&plan, &data, global);
    }
    let names = Names::of(&data);
    let fitted = if plan.single {
        solve::<f32>(&plan, data, &files, global, interrupt)?
    } else {
        solve::<f64>(&plan, data, &files, global, interrupt)?
    };
    let config = plan.resolved(fitted.method);
    let saved = ModelFile {
        model: fitted.model.clone(),
        features: names.features,
        classes: names.classes,
        target: names.target,
        weight: names.weight,
        fit: json!({ "config": config, "status": fitted.outcome.status.name(), "objective": fitted.outcome.value }),
    };
    saved.write(&files.model, files.overwrite)?;
    show(&fitted, &saved, &config, &files, global)?;
    Ok(ExitCode::from(match fitted.outcome.status {
        Status::Converged => 0,
        Status::Interrupted => 130,
        _ => 4,
    }))
}

/// Flags over file.
fn configuration(a: &FitArgs) -> Result<FitConfig> {
    let flags = FitConfig {
        data: a.read.clone(),
        model: a.model.clone(),
        solve: a.solve.clone(),
    };
    let Some(path) = &a.config else {
        return Ok(flags);
    };
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path.display(), e))?;
    let file: FitConfig = quadric::core::config::from_toml(&text, &path.display().to_string())?;
    let merged = quadric::core::config::merge(&value(&file)?, &value(&flags)?);
    serde_json::from_value(merged).map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))
}

fn value(config: &FitConfig) -> Result<Value> {
    serde_json::to_value(config).map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))
}

fn plan(config: FitConfig, data: &Dataset) -> Result<Plan> {
    let solve = config.solve;
    let options = problem::glm_options(&config.model, data)?;
    let seconds = |s: f64| {
        Duration::try_from_secs_f64(s)
            .map_err(|_| Error::argument("time-limit", s, "a positive number of seconds"))
    };
    let tolerance = solve.tol.unwrap_or(Tolerance::default().relative);
    let single = match solve.dtype.as_deref() {
        None | Some("f64") => false,
        Some("f32") => true,
        Some(other) => return Err(Error::argument("dtype", other, "f64 or f32")),
    };
    let memory = match solve.memory_limit {
        Some(mb) => Some(
            mb.checked_mul(1 << 20)
                .ok_or_else(|| Error::argument("memory-limit", mb, "fewer megabytes"))?,
        ),
        None => None,
    };
    Ok(Plan {
        read: config.data,
        options,
        method: solve.method.unwrap_or_else(|| "auto".into()),
        settings: quadric::core::config::overrides(&solve.set)?,
        tolerance,
        budget: Budget {
            iterations: solve.max_iterations,
            time: solve.time_limit.map(seconds).transpose()?,
            evaluations: solve.max_evaluations,
            memory,
        },
        seed: solve.seed.unwrap_or(0),
        single,
    })
}

impl Plan {
    fn method<T: Scalar>(
        &self,
        p: &dyn Problem<T>,
    ) -> Result<(&'static str, Box<dyn AnyMethod<T>>)> {
        if self.method == "auto" {
            let (entry, method) = registry::auto(p, &self.settings)?;
            return Ok((entry.name, method));
        }
        Ok((
            registry::find(&self.method)?.name,
            registry::build(&self.method, &self.settings)?,
        ))
    }

    /// Every option with the value that was used.
    fn resolved(&self, method: &str) -> Value {
        json!({
            "data": self.read,
            "loss": self.options.loss,
            "l2": self.options.l2,
            "intercept": self.options.intercept,
            "method": method,
            "options": self.settings,
            "tol": self.tolerance,
            "max_iterations": self.budget.iterations,
            "max_evaluations": self.budget.evaluations,
            "time_limit": self.budget.time.map(|t| t.as_secs_f64()),
            "seed": self.seed,
            "dtype": if self.single { "f32" } else { "f64" },
            "version": env!("CARGO_PKG_VERSION"),
        })
    }
}

/// Where results go, checked before the work begins.
struct Files {
    model: PathBuf,
    overwrite: Overwrite,
    trace: Option<PathBuf>,
    checkpoint: Option<CheckpointPolicy>,
    resume: Option<PathBuf>,
}

impl Files {
    fn new(a: &FitArgs, name: &str) -> Result<Self> {
        let stem = stem(name);
        let (model, overwrite) = match &a.output {
            Some(path) => (
                path.clone(),
                if a.force {
                    Overwrite::Replace
                } else {
                    Overwrite::Refuse
                },
            ),
            None => {
                let path = PathBuf::from(format!("{stem}.model.safetensors"));
                let ours = a.force || ModelFile::is_model(&path);
                (
                    path,
                    if ours {
                        Overwrite::Replace
                    } else {
                        Overwrite::Refuse
                    },
                )
            }
        };
        for path in a
            .trace
            .iter()
            .chain((overwrite == Overwrite::Refuse).then_some(&model))
        {
            if path.exists()
                && !a.force
                && a.resume.is_none()
                && path.metadata().is_ok_and(|m| m.is_file())
            {
                return Err(Error::argument(
                    "output",
                    path.display(),
                    "a file that does not exist yet",
                )
                .with_hint("--force replaces it"));
            }
        }
        let resume = a.resume.as_ref().map(|r| {
            r.clone()
                .unwrap_or_else(|| PathBuf::from(format!("{stem}.qckpt")))
        });
        let every = a.checkpoint_every.unwrap_or(10.0);
        let every = Duration::try_from_secs_f64(every).map_err(|_| {
            Error::argument(
                "checkpoint-every",
                every,
                "a number of seconds, not negative",
            )
        })?;
        let checkpoint = a.checkpoint.clone().or_else(|| resume.clone()).map(|path| {
            if every.is_zero() {
                CheckpointPolicy::every_iterations(path, 1)
            } else {
                CheckpointPolicy {
                    every: Some(every),
                    ..CheckpointPolicy::new(path)
                }
            }
        });
        Ok(Self {
            model,
            overwrite,
            trace: a.trace.clone(),
            checkpoint,
            resume,
        })
    }
}

/// `runs/a9a.svm.gz` gives `a9a`.
fn stem(name: &str) -> String {
    let file = Path::new(name)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let stem = file.split('.').next().unwrap_or_default();
    if stem.is_empty() || stem == "-" {
        "model".into()
    } else {
        stem.into()
    }
}

fn solve<T: Scalar>(
    plan: &Plan,
    data: Dataset,
    files: &Files,
    global: &Global,
    interrupt: Arc<AtomicBool>,
) -> Result<Fitted> {
    let identity = BTreeMap::from([
        ("data".to_owned(), data.fingerprint()),
        (
            "problem".to_owned(),
            json!([plan.options.loss, plan.options.l2, plan.options.intercept]).to_string(),
        ),
        (
            "method".to_owned(),
            json!([plan.method, plan.settings]).to_string(),
        ),
    ]);
    let shape = json!({ "name": data.name, "rows": data.rows(), "columns": data.features(), "stored": data.x.stored() });
    let x: DataMatrix<T> = data.x.cast();
    let glm = Glm::<T>::new(x, &data.target, data.weights.as_deref(), &plan.options)?;
    let (name, method) = plan.method::<T>(&glm)?;
    let mut driver = Driver {
        budget: plan.budget,
        tolerance: Tolerance {
            relative: plan.tolerance,
            absolute: 0.0,
        },
        seed: plan.seed,
        interrupt,
        checkpoint: files.checkpoint.clone(),
        resume: files.resume.clone(),
        resume_if_present: true,
        identity,
        ..Driver::default()
    };
    if let Some(path) = &files.trace {
        let header = TraceHeader::new(plan.resolved(name), plan.seed, shape);
        driver.trace = Some(TraceWriter::create(path, header)?);
    }
    driver
        .callbacks
        .extend(progress::callback(global, name, plan.tolerance));
    let start = glm.start();
    let gradient_norm_at_start = glm.gradient_norm(&start)?;
    let outcome = method.run(&mut driver, start, &glm)?;
    drop(driver);
    let model = glm.model(&outcome.x);
    let accuracy = accuracy(&model, &data)?;
    Ok(Fitted {
        gradient_norm: glm.gradient_norm(&outcome.x)?,
        gradient_norm_at_start,
        accuracy,
        model,
        method: name,
        outcome: outcome.widened(),
    })
}

/// Share of the rows that the model classifies right.
fn accuracy(model: &LinearModel, data: &Dataset) -> Result<Option<f64>> {
    if model.classes.is_none() {
        return Ok(None);
    }
    let predicted = model.predict(&data.x)?.predictions;
    let hits = predicted
        .iter()
        .zip(&data.target)
        .filter(|(p, y)| p == y)
        .count();
    Ok(Some(hits as f64 / data.rows() as f64))
}

/// The names that a model keeps of its data.
struct Names {
    features: Vec<String>,
    classes: Option<Vec<String>>,
    target: Option<String>,
    weight: Option<String>,
}

impl Names {
    fn of(data: &Dataset) -> Self {
        let column = |kind| {
            data.columns
                .iter()
                .find(|c| c.kind == kind)
                .map(|c| c.name.clone())
        };
        Self {
            features: if data.columns.is_empty() {
                Vec::new()
            } else {
                data.feature_names.clone()
            },
            classes: data.classes.clone(),
            target: column(ColumnKind::Target),
            weight: column(ColumnKind::Weight),
        }
    }
}

fn dry_run(plan: &Plan, data: &Dataset, global: &Global) -> Result<ExitCode> {
    let (rows, columns) = (data.rows(), data.features());
    let bytes = data.x.stored() * size_of::<f64>();
    let glm = Glm::<f64>::new(
        data.x.clone(),
        &data.target,
        data.weights.as_deref(),
        &plan.options,
    )?;
    let (name, method) = plan.method::<f64>(&glm)?;
    let memory = method.memory(&glm);
    let document = json!({
        "config": plan.resolved(name), "rows": rows, "columns": columns, "unknowns": glm.dim(),
        "data_bytes": bytes, "method_bytes": memory,
    });
    if global.json {
        console::print_json(&document)?;
    } else {
        console::print(&format!(
            "{name} with {} unknowns: {:.1} MB of data, {:.1} MB for the method\n{:#}",
            glm.dim(),
            bytes as f64 / 1e6,
            memory as f64 / 1e6,
            plan.resolved(name)
        ))?;
    }
    let refused = plan.budget.memory.is_some_and(|limit| memory > limit);
    Ok(ExitCode::from(if refused { 6 } else { 0 }))
}

/// Weights beyond this number stay in the model file.
const SHOWN: usize = 100_000;

fn show(
    f: &Fitted,
    saved: &ModelFile,
    config: &Value,
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
        "config": config,
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
        line("objective", format!("{value:.15}"));
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
    if let Some(share) = f.accuracy {
        line("accuracy", format!("{:.2} % of these rows", 100.0 * share));
    }
    line("model", files.model.display().to_string());
    for warning in &o.warnings {
        line("warning", console::printable(warning));
    }
    t
}
