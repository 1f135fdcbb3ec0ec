//! The losses of a linear model: their names, and the functions of one linear predictor behind them.

use quadric_core::config::nearest;
use quadric_core::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The loss of one sample as a function of its target y and its linear predictor eta.
///
/// Written and parsed as a name: `squared`, `logistic`, `softmax`, `poisson`, `huber`, `pseudo-huber`. The threshold of
/// the last two follows a colon, `huber:1.5`, and is 1 if left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Loss {
    /// `(y - eta)² / 2`.
    Squared,
    /// `log(1 + exp(-eta))` for the larger of two labels, `log(1 + exp(eta))` for the smaller one.
    #[default]
    Logistic,
    /// `log Σ exp(eta_c) - eta_y`: one predictor per class.
    Softmax,
    /// `exp(eta) - y eta` for counts y (no factorial term).
    Poisson,
    /// `r² / 2` for a residual r of at most delta, `delta |r| - delta² / 2` beyond.
    Huber {
        /// The threshold, in units of the target.
        delta: f64,
    },
    /// `delta² (√(1 + (r/delta)²) - 1)`: as Huber's, but smooth.
    PseudoHuber {
        /// Where the loss turns from a parabola to a line, in units of the target.
        delta: f64,
    },
}

/// Names of all losses, in the order in which messages list them.
const NAMES: [&str; 6] = [
    "squared",
    "logistic",
    "softmax",
    "poisson",
    "huber",
    "pseudo-huber",
];

impl Loss {
    /// The name without a threshold.
    pub fn name(self) -> &'static str {
        match self {
            Self::Squared => NAMES[0],
            Self::Logistic => NAMES[1],
            Self::Softmax => NAMES[2],
            Self::Poisson => NAMES[3],
            Self::Huber { .. } => NAMES[4],
            Self::PseudoHuber { .. } => NAMES[5],
        }
    }

    /// All names that [`FromStr`] accepts.
    pub fn names() -> &'static [&'static str] {
        &NAMES
    }

    /// True for the losses whose targets are class labels.
    pub fn is_classifier(self) -> bool {
        matches!(self, Self::Logistic | Self::Softmax)
    }

    pub(crate) fn delta(self) -> Option<f64> {
        match self {
            Self::Huber { delta } | Self::PseudoHuber { delta } => Some(delta),
            _ => None,
        }
    }

    pub(crate) fn validate(self) -> Result<()> {
        match self.delta() {
            // The square of the threshold must be a normal number too.
            Some(delta) if !(1e-150..=1e150).contains(&delta) => Err(Error::argument(
                "delta",
                delta,
                "a positive finite threshold (between 1e-150 and 1e150)",
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.delta() {
            Some(delta) if delta != 1.0 => write!(f, "{}:{delta}", self.name()),
            _ => f.write_str(self.name()),
        }
    }
}

impl FromStr for Loss {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, threshold) = match text.split_once(':') {
            Some((name, threshold)) => (name, Some(threshold)),
            None => (text, None),
        };
        let delta = match threshold {
            None => 1.0,
            Some(t) => t.parse().map_err(|_| {
                Error::argument("loss", format!("`{text}`"), "a number after the colon")
            })?,
        };
        let loss = match name {
            "squared" => Self::Squared,
            "logistic" => Self::Logistic,
            "softmax" => Self::Softmax,
            "poisson" => Self::Poisson,
            "huber" => Self::Huber { delta },
            "pseudo-huber" => Self::PseudoHuber { delta },
            _ => return Err(unknown(name)),
        };
        if threshold.is_some() && loss.delta().is_none() {
            return Err(Error::argument(
                "loss",
                format!("`{text}`"),
                "no threshold: only huber and pseudo-huber have one",
            ));
        }
        loss.validate()?;
        Ok(loss)
    }
}

impl TryFrom<String> for Loss {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Loss> for String {
    fn from(loss: Loss) -> Self {
        loss.to_string()
    }
}

/// The error for a name that is none, with the nearest one that is.
fn unknown(name: &str) -> Error {
    let error = Error::new(
        ErrorKind::Argument,
        format!(
            "there is no loss `{name}`; expected one of {}",
            NAMES.join(", ")
        ),
    );
    match nearest(name, NAMES) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in NAMES {
            let loss: Loss = name.parse().expect("a name of the list");
            assert_eq!((loss.name(), loss.to_string()), (name, name.to_owned()));
        }
        let huber: Loss = "huber:1.35".parse().expect("a threshold");
        assert_eq!(huber, Loss::Huber { delta: 1.35 });
        assert_eq!(huber.to_string(), "huber:1.35");
        assert_eq!(Loss::default(), Loss::Logistic);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |text: &str| text.parse::<Loss>().expect_err("not a loss").to_string();
        assert!(message("logistics").contains("did you mean `logistic`?"));
        assert!(message("Pseudohuber").contains("did you mean `pseudo-huber`?"));
        assert!(!message("quantile-of-something").contains("did you mean"));
        assert!(message("squared:2").contains("no threshold"));
        assert!(message("huber:x").contains("number after the colon"));
        assert!(message("huber:-1").contains("positive finite threshold"));
        assert!(message("huber:nan").contains("positive finite threshold"));
    }
}
