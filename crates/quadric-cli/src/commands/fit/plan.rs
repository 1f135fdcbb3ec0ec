//! What a fit was asked to do: flags over a configuration file over defaults.

use super::files::Files;
use crate::args::{FitArgs, ModelArgs, ReadArgs, SelectArgs, SolveArgs};
use crate::commands::problem;
use quadric::core::config::{Resolver, Validate};
use quadric::core::{
    AnyMethod, Budget, Error, ErrorKind, Problem, Result, Scalar, Tolerance, TraceHeader,
    TraceHost, TraceProblem, TraceWriter,
};
use quadric::data::Dataset;
use quadric::models::GlmOptions;
use quadric::opt::registry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// A `--config` file: the same options as the flags, in four tables.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FitConfig {
    /// How the data file is read.
    pub(super) data: ReadArgs,
    /// What is minimised.
    pub(super) model: ModelArgs,
    /// How the penalty is judged.
    pub(super) select: SelectArgs,
    /// How it is minimised.
    pub(super) solve: SolveArgs,
}

/// Ranges are checked where the values are used, for flags and files alike.
impl Validate for FitConfig {}

/// Everything that decides the result.
pub(super) struct Plan {
    pub(super) read: ReadArgs,
    pub(super) options: GlmOptions,
    pub(super) method: String,
    pub(super) settings: Value,
    pub(super) tolerance: f64,
    pub(super) budget: Budget,
    pub(super) seed: u64,
    pub(super) single: bool,
}

/// Flags over file.
pub(super) fn configuration(a: &FitArgs) -> Result<FitConfig> {
    let flags = FitConfig {
        data: a.read.clone(),
        model: a.model.clone(),
        select: a.select.clone(),
        solve: a.solve.clone(),
    };
    let Some(path) = &a.config else {
        return Ok(flags);
    };
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path.display(), e))?;
    let mut resolver = Resolver::default();
    resolver.toml(&text, &path.display().to_string());
    let mut merged = value(&resolver.finish::<FitConfig>()?)?;
    overlay(&mut merged, value(&flags)?);
    serde_json::from_value(merged).map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))
}

/// Puts what `over` says over what `under` says, table by table.
fn overlay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                overlay(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}

/// `--set key=value`: the value is read as TOML where it is TOML, else as text.
fn settings(assignments: &[String]) -> Result<Value> {
    let mut all = serde_json::Map::new();
    for assignment in assignments {
        let (key, text) = assignment
            .split_once('=')
            .ok_or_else(|| Error::argument("set", assignment, "KEY=VALUE, such as memory=20"))?;
        let table = format!("value = {text}").parse::<toml::Table>();
        let value = match table.ok().and_then(|mut t| t.remove("value")) {
            Some(value) => serde_json::to_value(value),
            None => Ok(json!(text)),
        };
        let value = value.map_err(|e| Error::new(ErrorKind::Argument, e.to_string()))?;
        all.insert(key.trim().to_owned(), value);
    }
    Ok(if all.is_empty() {
        Value::Null
    } else {
        Value::Object(all)
    })
}

fn value(config: &FitConfig) -> Result<Value> {
    serde_json::to_value(config).map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))
}

pub(super) fn plan(config: FitConfig, data: &Dataset) -> Result<Plan> {
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
        settings: settings(&solve.set)?,
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
    pub(super) fn method<T: Scalar>(
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

    pub(super) fn trace(
        &self,
        path: &Path,
        method: &str,
        data: &Dataset,
        dim: usize,
        files: &Files,
    ) -> Result<TraceWriter<'static>> {
        let problem = TraceProblem {
            name: data.name.clone(),
            dim,
            rows: Some(data.rows()),
            columns: Some(data.features()),
            nonzeros: Some(data.x.stored()),
            hash: Some(data.fingerprint()),
        };
        let host = TraceHost {
            threads: rayon::current_num_threads(),
            simd: quadric::linalg::simd_level().into(),
        };
        let header = TraceHeader::new(self.resolved(method), self.seed, problem, host);
        if files.resume.is_some() {
            TraceWriter::resume(path, &header)
        } else {
            TraceWriter::create(path, files.replace, &header)
        }
    }

    /// Every option with the value that was used.
    pub(super) fn resolved(&self, method: &str) -> Value {
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
