//! How something is minimised: the flags of every command that runs one method.

use crate::args::SolveArgs;
use quadric::core::{
    AnyMethod, Budget, Driver, Error, ErrorKind, Problem, Result, Scalar, Tolerance,
};
use quadric::opt::registry;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Flags with their defaults filled in.
pub(crate) struct Solve {
    pub(crate) method: String,
    pub(crate) settings: Value,
    pub(crate) tolerance: f64,
    pub(crate) budget: Budget,
    pub(crate) seed: u64,
    pub(crate) single: bool,
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

impl Solve {
    /// What the flags ask for.
    ///
    /// # Errors
    /// Limits that are none, an arithmetic that there is not.
    pub(crate) fn of(a: &SolveArgs) -> Result<Self> {
        let seconds = |s: f64| {
            Duration::try_from_secs_f64(s)
                .map_err(|_| Error::argument("time-limit", s, "a positive number of seconds"))
        };
        let single = match a.dtype.as_deref() {
            None | Some("f64") => false,
            Some("f32") => true,
            Some(other) => return Err(Error::argument("dtype", other, "f64 or f32")),
        };
        let bytes = |mb: usize| {
            mb.checked_mul(1 << 20)
                .ok_or_else(|| Error::argument("memory-limit", mb, "fewer megabytes"))
        };
        Ok(Self {
            method: a.method.clone().unwrap_or_else(|| "auto".into()),
            settings: settings(&a.set)?,
            tolerance: a.tol.unwrap_or(Tolerance::default().relative),
            budget: Budget {
                iterations: a.max_iterations,
                time: a.time_limit.map(seconds).transpose()?,
                evaluations: a.max_evaluations,
                memory: a.memory_limit.map(bytes).transpose()?,
            },
            seed: a.seed.unwrap_or(0),
            single,
        })
    }

    /// A driver with these limits.
    pub(crate) fn driver<'c>(&self, interrupt: &Arc<AtomicBool>) -> Driver<'c> {
        Driver {
            budget: self.budget,
            tolerance: Tolerance {
                relative: self.tolerance,
                absolute: 0.0,
            },
            seed: self.seed,
            interrupt: interrupt.clone(),
            ..Driver::default()
        }
    }

    /// The method for a problem, and its name.
    ///
    /// # Errors
    /// An unknown name, options that it does not have, a problem that no method fits.
    pub(crate) fn method<T: Scalar>(
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

    /// Whether the method draws terms of a finite sum. That of `auto` does not.
    pub(crate) fn draws(&self) -> Result<bool> {
        let named = self.method != "auto";
        Ok(named && registry::find(&self.method)?.needs.contains("FiniteSum"))
    }

    /// Every option with the value that was used.
    pub(crate) fn resolved(&self, method: &str) -> Value {
        json!({
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
