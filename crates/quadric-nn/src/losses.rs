//! Losses: from the outputs of a network and targets to one number for each example.

mod model;

use crate::Port;
use quadric_autodiff::{Data, Tensor};
use quadric_linalg::{Error, Result, Scalar};
use std::fmt;
use std::str::FromStr;

/// What is minimised.
///
/// Written and parsed as a name, `cross-entropy`, `squared`, `mean-squared` or `bernoulli`, with the options' defaults.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Loss {
    /// For logits `(n, .., classes)` and labels `(n, ..)`: minus the logarithm of the probability of each label.
    CrossEntropy {
        /// The share of the probability that is spread evenly over all classes (Szegedy et al. 2016), at least 0, less than 1.
        smoothing: f64,
        /// A label that does not count.
        ignored: Option<i32>,
    },
    /// `|f - y|² / 2` for outputs `(n, ..)` and as many targets.
    Squared,
    /// `|f - y|² / d` for d outputs of each example: the mean over outputs, without the half.
    MeanSquared,
    /// For logits `(n, ..)` and as many targets in [0, 1]: minus the logarithm of the probability of independent events
    /// (binary cross-entropy), summed over the outputs of an example.
    Bernoulli,
}

/// What a loss gives for a batch.
#[derive(Clone, Copy)]
pub struct Losses<'t> {
    /// The loss of each example `(n)`: the sum over its labels, where it has many.
    pub values: Tensor<'t>,
    /// How much each example counts `(n)`: its number of labels that are not ignored; else 1.
    pub weights: Tensor<'t>,
}

impl<'t> Losses<'t> {
    /// The mean of a batch: the sum of the losses by the sum of the weights. NaN if no label counts.
    #[track_caller]
    pub fn mean(self) -> Tensor<'t> {
        self.values.sum_all() / self.weights.sum_all()
    }
}

const NAMES: [&str; 4] = ["cross-entropy", "squared", "mean-squared", "bernoulli"];

impl Loss {
    /// Cross-entropy without smoothing, all labels count.
    pub const CROSS_ENTROPY: Self = Self::CrossEntropy {
        smoothing: 0.0,
        ignored: None,
    };

    /// The name without options.
    pub fn name(self) -> &'static str {
        match self {
            Self::CrossEntropy { .. } => NAMES[0],
            Self::Squared => NAMES[1],
            Self::MeanSquared => NAMES[2],
            Self::Bernoulli => NAMES[3],
        }
    }

    /// All names.
    pub fn names() -> &'static [&'static str] {
        &NAMES
    }

    /// What the targets are for one example whose output has this shape.
    ///
    /// # Errors
    ///
    /// If cross-entropy has an output without axis, or with an axis of length 0 as its last.
    pub fn target(self, output: &[usize]) -> Result<Port> {
        match (self, output) {
            (Self::CrossEntropy { .. }, [labels @ .., classes]) if *classes > 0 => {
                Ok(Port::indices("target", labels.iter().copied()))
            }
            (Self::CrossEntropy { .. }, _) => {
                Err(Error::shape("the output", output, "a last axis of classes"))
            }
            _ => Ok(Port::floats("target", output.iter().copied())),
        }
    }

    /// Refuses options out of range.
    ///
    /// # Errors
    ///
    /// If the smoothing is not at least 0 and less than 1.
    pub fn validate(self) -> Result<()> {
        match self {
            Self::CrossEntropy { smoothing, .. } if !(0.0..1.0).contains(&smoothing) => {
                let expected = "at least 0 and less than 1";
                Err(Error::argument("smoothing", smoothing, expected))
            }
            _ => Ok(()),
        }
    }

    /// Refuses targets that mean nothing, which the traced loss cannot see: labels that are no class, probabilities out of
    /// [0, 1], numbers that are not finite. `classes` is the length of the last axis of the outputs.
    ///
    /// # Errors
    ///
    /// Names the first such target.
    pub fn check<T: Scalar>(self, targets: Data<'_, T>, classes: usize) -> Result<()> {
        self.validate()?;
        match (self, targets) {
            (Self::CrossEntropy { ignored, .. }, Data::Index(labels)) => {
                let counts = |l: i32| usize::try_from(l).is_ok_and(|l| l < classes);
                let wrong = |l: i32| Some(l) != ignored && !counts(l);
                match labels.iter().position(|&l| wrong(l)) {
                    None => Ok(()),
                    Some(at) => {
                        let (what, last) = (format!("target {at}"), classes.saturating_sub(1));
                        let expected = format!("a class from 0 to {last}");
                        Err(Error::argument(&what, labels[at], &expected))
                    }
                }
            }
            (Self::CrossEntropy { .. }, Data::Float(_)) => {
                Err(Error::data("cross-entropy takes labels, not real numbers"))
            }
            (_, Data::Index(_)) => {
                let name = self.name();
                Err(Error::data(format!(
                    "the loss {name} takes real numbers, not labels"
                )))
            }
            (_, Data::Float(values)) => {
                if let Some(at) = values.iter().position(|v| !v.to_f64().is_finite()) {
                    return Err(Error::non_finite("target", at, values[at].to_f64()));
                }
                let outside = |v: &T| !(0.0..=1.0).contains(&v.to_f64());
                match values.iter().position(outside) {
                    Some(at) if self == Self::Bernoulli => {
                        let what = format!("target {at}");
                        Err(Error::argument(&what, values[at].to_f64(), "a probability"))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// How much every example counts, whatever its targets: its number of labels, else 1. `None` if some labels do not count.
    pub fn weight(self, target: &Port) -> Option<f64> {
        match self {
            Self::CrossEntropy { ignored: None, .. } => {
                Some(target.shape.iter().product::<usize>() as f64)
            }
            Self::CrossEntropy { .. } => None,
            _ => Some(1.0),
        }
    }

    /// How much each of `examples` examples counts with these targets: its number of labels that are not ignored; else 1.
    pub fn weights<T: Scalar>(self, targets: Data<'_, T>, examples: usize) -> Vec<f64> {
        match (self, targets) {
            (Self::CrossEntropy { ignored, .. }, Data::Index(labels)) if examples > 0 => {
                let each = labels.len() / examples;
                let counts = |of: &[i32]| of.iter().filter(|l| Some(**l) != ignored).count();
                (0..examples)
                    .map(|i| counts(&labels[i * each..(i + 1) * each]) as f64)
                    .collect()
            }
            _ => vec![1.0; examples],
        }
    }

    /// The losses of a batch. Ends the trace if shapes do not fit.
    #[track_caller]
    pub fn apply<'t>(self, outputs: Tensor<'t>, targets: Tensor<'t>) -> Losses<'t> {
        self.check_shapes(outputs, targets);
        let terms = match self {
            Self::CrossEntropy { smoothing, ignored } => {
                let mut terms = outputs.cross_entropy(targets);
                if smoothing > 0.0 {
                    let spread = -outputs.log_softmax(-1).mean(&[-1]);
                    terms = terms * (1.0 - smoothing) + spread * smoothing;
                }
                return counted(terms, targets, ignored);
            }
            Self::Squared => (outputs - targets).square() * 0.5,
            Self::MeanSquared => (outputs - targets).square() / entries(outputs) as f64,
            Self::Bernoulli => outputs.softplus() - outputs * targets,
        };
        Losses {
            values: over_examples(terms),
            weights: outputs.tracer().fill(1.0, [outputs.dim(0)]),
        }
    }

    /// Ends the trace if options or shapes do not fit.
    #[track_caller]
    fn check_shapes(self, outputs: Tensor<'_>, targets: Tensor<'_>) {
        let t = outputs.tracer();
        if let Err(wrong) = self.validate() {
            t.fail("loss", wrong.message());
        }
        let (shape, given) = (outputs.shape(), targets.shape());
        let expected = match self {
            Self::CrossEntropy { .. } => &shape[..shape.len().saturating_sub(1)],
            _ => &shape[..],
        };
        if given[..] != *expected || expected.is_empty() {
            let (shape, given) = (&shape[..], &given[..]);
            let message = format!("targets {given:?} do not fit outputs {shape:?} of a batch");
            t.fail("loss", &message);
        }
        if self == Self::MeanSquared && entries(outputs) == 0 {
            t.fail("loss", "there is no mean over no outputs");
        }
    }
}

/// Outputs of an example.
fn entries(outputs: Tensor<'_>) -> usize {
    outputs.shape()[1..].iter().product()
}

/// The sum over all axes but the first.
fn over_examples(terms: Tensor<'_>) -> Tensor<'_> {
    let inner: Vec<isize> = (1..terms.shape().len() as isize).collect();
    terms.sum(&inner)
}

/// For each label 1, or 0 if it is ignored.
fn counts(labels: Tensor<'_>, ignored: Option<i32>) -> Tensor<'_> {
    let t = labels.tracer();
    match ignored {
        None => t.fill(1.0, labels.shape()),
        Some(ignored) => {
            let ignored = t.index_constant(&[ignored], []);
            1.0 - labels.equal(ignored.broadcast_to(labels.shape()))
        }
    }
}

/// The losses of labels, of which some are ignored.
fn counted<'t>(terms: Tensor<'t>, labels: Tensor<'t>, ignored: Option<i32>) -> Losses<'t> {
    let counts = counts(labels, ignored);
    Losses {
        values: over_examples(terms * counts),
        weights: over_examples(counts),
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Loss {
    type Err = Error;

    /// # Errors
    ///
    /// If there is no loss of this name.
    fn from_str(name: &str) -> Result<Self> {
        let all = [
            Self::CROSS_ENTROPY,
            Self::Squared,
            Self::MeanSquared,
            Self::Bernoulli,
        ];
        let found = all.into_iter().find(|l| l.name() == name);
        found.ok_or_else(|| Error::argument("loss", name, &NAMES.join(", ")))
    }
}
