//! One configuration struct for flags, environment, TOML files and documentation.
//!
//! A struct with `Serialize`, `Deserialize`, `JsonSchema`, `Default` and [`Validate`] is a [`Config`]. A [`Resolver`]
//! gathers settings from all sources, lets the stronger source win (flag, then environment, then file, then default), and
//! reports every fault at once, each with its place and the nearest valid name.

mod document;
mod fields;
mod hint;

pub use fields::{Field, field_table};
pub use hint::nearest;

use crate::{Error, ErrorKind, Place, Result};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;

/// Ranges and combinations that the types alone do not exclude.
pub trait Validate {
    /// Adds what is wrong to `faults`, all of it.
    fn validate(&self, _faults: &mut Faults) {}
}

/// A struct that can be read from every source of settings.
pub trait Config: Serialize + DeserializeOwned + JsonSchema + Default + Validate {}

impl<C: Serialize + DeserializeOwned + JsonSchema + Default + Validate> Config for C {}

/// Collects what [`Validate`] finds.
#[derive(Debug, Default)]
pub struct Faults {
    prefix: String,
    /// Key and message.
    found: Vec<(String, String)>,
}

impl Faults {
    /// Unless `holds`, the setting `key` has a value out of range; `expected` says what it may be.
    pub fn check(&mut self, holds: bool, key: &str, value: impl fmt::Display, expected: &str) {
        if !holds {
            self.add(key, format!("`{key}` is {value}; expected {expected}"));
        }
    }

    /// Adds a fault of one setting, in full words.
    pub fn add(&mut self, key: &str, message: impl Into<String>) {
        self.found
            .push((format!("{}{key}", self.prefix), message.into()));
    }

    /// Validates a nested struct under its field name.
    pub fn nested(&mut self, key: &str, value: &impl Validate) {
        let outer = self.prefix.len();
        self.prefix.push_str(key);
        self.prefix.push('.');
        value.validate(self);
        self.prefix.truncate(outer);
    }

    /// Nothing, or one error with everything that was found.
    ///
    /// # Errors
    /// Something was found.
    pub fn into_result(self) -> Result<()> {
        let faults = self.found.into_iter().map(|(_, message)| Fault {
            place: None,
            origin: None,
            message,
        });
        report(faults.collect())
    }
}

/// Where a setting comes from; the later source wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A configuration file.
    File,
    /// An environment variable.
    Environment,
    /// The command line.
    Flag,
}

/// One thing that is wrong, and where.
struct Fault {
    place: Option<Place>,
    /// The flag or variable, where there is no file.
    origin: Option<String>,
    message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, &self.origin) {
            (Some(place), _) => write!(f, "{place}: {}", self.message),
            (None, Some(origin)) => write!(f, "{origin}: {}", self.message),
            (None, None) => write!(f, "{}", self.message),
        }
    }
}

/// One error for all faults.
fn report(mut faults: Vec<Fault>) -> Result<()> {
    match faults.len() {
        0 => Ok(()),
        1 => {
            let fault = faults.remove(0);
            Err(match fault.place {
                Some(place) => Error::data_at(place, fault.message),
                None => Error::new(ErrorKind::Argument, fault.to_string()),
            })
        }
        n => {
            let in_file = faults.iter().any(|f| f.place.is_some());
            let kind = if in_file {
                ErrorKind::Data
            } else {
                ErrorKind::Argument
            };
            const SHOWN: usize = 100;
            let shown = faults.iter().take(SHOWN);
            let mut lines: Vec<String> = shown.map(|f| format!("  {f}")).collect();
            if n > SHOWN {
                lines.push(format!("  and {} more", n - SHOWN));
            }
            let text = format!("{n} faults in the configuration:\n{}", lines.join("\n"));
            Err(Error::new(kind, text))
        }
    }
}

/// A setting as it was given.
struct Given {
    source: Source,
    key: String,
    value: Value,
    place: Option<Place>,
    origin: Option<String>,
}

impl Given {
    fn fault(&self, message: String) -> Fault {
        Fault {
            place: self.place.clone(),
            origin: self.origin.clone(),
            message,
        }
    }
}

/// Gathers settings and faults from every source.
#[derive(Default)]
pub struct Resolver {
    given: Vec<Given>,
    faults: Vec<Fault>,
}

impl Resolver {
    /// Adds a TOML document; `file` is its name for messages. Syntax errors are kept for [`Resolver::finish`].
    pub fn toml(&mut self, text: &str, file: &str) {
        document::read(text, file, &mut self.given, &mut self.faults);
    }

    /// Adds one setting as text: `key` may be dotted, `value` is read as TOML where it is TOML, else as a string.
    /// `origin` names the flag or variable for messages, such as `--tol`.
    pub fn set(&mut self, source: Source, origin: &str, key: &str, value: &str) {
        self.given.push(Given {
            source,
            key: key.replace('-', "_"),
            value: document::loose_value(value),
            place: None,
            origin: Some(origin.to_owned()),
        });
    }

    /// Adds an assignment `key=value`, as of `--set solver.tol=1e-8`.
    pub fn assign(&mut self, source: Source, origin: &str, assignment: &str) {
        match assignment.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                self.set(source, origin, key.trim(), value.trim());
            }
            _ => self.faults.push(Fault {
                place: None,
                origin: Some(origin.to_owned()),
                message: format!("`{assignment}` is not of the form key=value"),
            }),
        }
    }

    /// The configuration: defaults, overwritten by file, environment and flags in this order.
    ///
    /// # Errors
    /// One error that lists every fault: syntax, unknown names, wrong types, values out of range.
    pub fn finish<C: Config>(mut self) -> Result<C> {
        let mut values = to_json(&C::default())?;
        let schema = fields::schema::<C>();
        self.given.sort_by_key(|g| g.source);
        for given in &self.given {
            let applied = apply::<C>(&mut values, &schema, given);
            self.faults.extend(applied.err());
        }
        let config: C = serde_json::from_value(values)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("the defaults: {e}")))?;
        let mut invalid = Faults::default();
        config.validate(&mut invalid);
        for (key, message) in invalid.found {
            let given = self.given.iter().rev().find(|g| g.key == key);
            self.faults.push(match given {
                Some(given) => given.fault(message),
                None => Fault {
                    place: None,
                    origin: None,
                    message,
                },
            });
        }
        report(self.faults)?;
        Ok(config)
    }
}

/// Puts one value in its place, if the name is known and the type fits.
fn apply<C: Config>(
    values: &mut Value,
    schema: &Value,
    given: &Given,
) -> std::result::Result<(), Fault> {
    check_name(schema, &given.key).map_err(|message| given.fault(message))?;
    if has_nonfinite(&given.value) {
        return Err(given.fault(format!("`{}` must be finite", given.key)));
    }
    let pointer = format!("/{}", given.key.replace('.', "/"));
    let mut trial = values.clone();
    let Some(slot) = slot(&mut trial, &pointer) else {
        return Err(given.fault(format!("`{}` cannot be set here", given.key)));
    };
    *slot = given.value.clone();
    match serde_json::from_value::<C>(trial.clone()) {
        Ok(_) => {
            *values = trial;
            Ok(())
        }
        Err(e) => Err(given.fault(format!("`{}`: {e}", given.key))),
    }
}

/// The place of a key; a missing last step (a field that is left out when empty) is made.
fn slot<'v>(values: &'v mut Value, pointer: &str) -> Option<&'v mut Value> {
    let (parent, key) = pointer.rsplit_once('/')?;
    let parent = values.pointer_mut(parent)?.as_object_mut()?;
    Some(parent.entry(key).or_insert(Value::Null))
}

/// JSON has no NaN: the reader of TOML leaves this in its place.
const NONFINITE: &str = "\u{0}nonfinite";

fn has_nonfinite(value: &Value) -> bool {
    match value {
        Value::String(s) => s == NONFINITE,
        Value::Array(a) => a.iter().any(has_nonfinite),
        Value::Object(o) => o.values().any(has_nonfinite),
        _ => false,
    }
}

/// Walks a dotted key through the schema.
fn check_name(schema: &Value, key: &str) -> std::result::Result<(), String> {
    let mut level = schema;
    let mut walked = String::new();
    for part in key.split('.') {
        let Some(properties) = fields::properties(level) else {
            return Err(format!("`{walked}` is a single value; it has no `{part}`"));
        };
        let Some(next) = properties.get(part) else {
            let names = properties.keys().map(String::as_str);
            let hint = match nearest(part, names) {
                Some(name) => format!("did you mean `{name}`?"),
                None => {
                    let all: Vec<&str> = properties.keys().map(String::as_str).collect();
                    format!("there are: {}", all.join(", "))
                }
            };
            return Err(format!("`{key}` is not a setting; {hint}"));
        };
        if !walked.is_empty() {
            walked.push('.');
        }
        walked.push_str(part);
        level = next;
    }
    Ok(())
}

fn to_json(config: &impl Serialize) -> Result<Value> {
    serde_json::to_value(config)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("a configuration: {e}")))
}

/// The resolved configuration as JSON, for traces, checkpoints and `--json`.
///
/// # Errors
/// A value that JSON cannot express.
pub fn resolved_json<C: Config>(config: &C) -> Result<Value> {
    to_json(config)
}

/// The resolved configuration as a TOML document that reads back to the same configuration.
///
/// # Errors
/// A value that TOML cannot express.
pub fn resolved_toml<C: Config>(config: &C) -> Result<String> {
    toml::to_string(config)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("a configuration: {e}")))
}
