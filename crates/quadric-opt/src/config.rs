//! Options of methods: one struct each, the same names in TOML, JSON, flags and keywords, and every fault reported at once.

use quadric_core::config::nearest;
use quadric_core::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::fmt;

/// One thing that is wrong with an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(String);

impl Fault {
    /// Option `name` was `found`, outside `expected`.
    pub fn range(name: &str, found: impl fmt::Display, expected: &str) -> Self {
        Self(format!("`{name}` is {found}; expected {expected}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The options of one method. `Default` holds the documented defaults.
pub trait Config: Default + Serialize + DeserializeOwned + JsonSchema {
    /// The method that they configure.
    type Method;

    /// Everything that is out of range or does not fit together.
    fn faults(&self) -> Vec<Fault>;

    /// The configured method; the options are valid.
    fn method(&self) -> Self::Method;

    /// Checks the options.
    ///
    /// # Errors
    /// All faults in one error.
    fn validate(&self) -> Result<()> {
        report(&self.faults())
    }
}

fn report(faults: &[Fault]) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    Err(Error::new(ErrorKind::Argument, texts.join("; ")))
}

/// Options from JSON: an object with any of the options, or null for the defaults.
///
/// # Errors
/// All unknown names, wrong types and values out of range in one error.
pub fn read<C: Config>(options: &Value) -> Result<C> {
    let given = match options {
        Value::Null => &Map::new(),
        Value::Object(given) => given,
        other => {
            return Err(Error::argument(
                "options",
                other,
                "an object of option names and values",
            ));
        }
    };
    let defaults = match serde_json::to_value(C::default()) {
        Ok(Value::Object(defaults)) => defaults,
        _ => {
            return Err(Error::new(
                ErrorKind::Internal,
                "the options of a method are not an object",
            ));
        }
    };
    let mut faults = Vec::new();
    let mut good = defaults.clone();
    for (name, value) in given {
        if !defaults.contains_key(name) {
            faults.push(unknown(name, defaults.keys().map(String::as_str)));
            continue;
        }
        // Alone with the defaults, so that one wrong type does not hide another.
        let mut alone = defaults.clone();
        alone.insert(name.clone(), value.clone());
        match serde_json::from_value::<C>(Value::Object(alone)) {
            Ok(_) => {
                good.insert(name.clone(), value.clone());
            }
            Err(e) => faults.push(Fault(format!("`{name}` is {value}: {e}"))),
        }
    }
    let config: C = serde_json::from_value(Value::Object(good)).map_err(|e| {
        Error::new(ErrorKind::Argument, "these options do not fit together").with_source(e)
    })?;
    faults.extend(config.faults());
    report(&faults)?;
    Ok(config)
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Fault {
    let list: Vec<&str> = known.clone().collect();
    Fault(match nearest(name, known) {
        Some(near) => format!("there is no option `{name}`; did you mean `{near}`?"),
        None if list.is_empty() => format!("there is no option `{name}`; there are none"),
        None => format!("there is no option `{name}`; there are {}", list.join(", ")),
    })
}
