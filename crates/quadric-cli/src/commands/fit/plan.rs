//! What a fit was asked to do: flags over a configuration file over defaults.

use super::files::Files;
use super::select::{Choice, TOGETHER};
use crate::args::{FitArgs, ModelArgs, ReadArgs, SelectArgs, SolveArgs};
use crate::commands::problem;
use crate::commands::solve::Solve;
use quadric::core::config::{Resolver, Validate};
use quadric::core::{
    Error, ErrorKind, Result, TraceHeader, TraceHost, TraceProblem, TraceWriter, read_file,
};
use quadric::data::Dataset;
use quadric::models::GlmOptions;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;

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
    /// Each class against the rest, with these options.
    pub(super) one_vs_rest: bool,
    pub(super) solve: Solve,
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
    let name = path.display().to_string();
    let text = String::from_utf8(read_file(path)?)
        .map_err(|e| Error::malformed(&name, "it is not UTF-8 text").with_source(e))?;
    let mut resolver = Resolver::default();
    resolver.toml(&text, &name);
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

fn value(config: &FitConfig) -> Result<Value> {
    serde_json::to_value(config).map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))
}

pub(super) fn plan(config: FitConfig, data: &Dataset) -> Result<Plan> {
    Ok(Plan {
        options: problem::glm_options(&config.model, data)?,
        one_vs_rest: problem::is_one_vs_rest(&config.model),
        solve: Solve::of(&config.solve)?,
        read: config.data,
    })
}

impl Plan {
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
        let header = TraceHeader::new(self.resolved(method), self.solve.seed, problem, host);
        if files.resume.is_some() {
            TraceWriter::resume(path, &header)
        } else {
            TraceWriter::create(path, files.replace, &header)
        }
    }

    /// Plans the last fit after a choice: its penalty, in the time that is left.
    pub(super) fn take(&mut self, choice: &Choice) {
        self.options.l2 = choice.l2;
        self.solve.budget.time = choice.time_left;
        if self.solve.method == TOGETHER {
            // It is one model.
            self.solve.method = "l-bfgs".to_owned();
        }
    }

    /// The loss as the user writes it.
    pub(super) fn loss(&self) -> String {
        if self.one_vs_rest {
            problem::ONE_VS_REST.to_owned()
        } else {
            self.options.loss.to_string()
        }
    }

    /// Every option with the value that was used.
    pub(super) fn resolved(&self, method: &str) -> Value {
        let mut all = self.solve.resolved(method);
        let own = json!({
            "data": self.read,
            "loss": self.loss(),
            "l2": self.options.l2,
            "intercept": self.options.intercept,
        });
        if let (Value::Object(all), Value::Object(own)) = (&mut all, own) {
            all.extend(own);
        }
        all
    }
}
