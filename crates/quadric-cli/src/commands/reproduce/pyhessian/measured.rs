//! Networks of the experiment, and what is known of one after some epochs.

use quadric::report::{Curvature, Spectrum};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Largest eigenvalues among which the outliers are looked for: twice as many as there are classes.
pub(super) const OUTER: usize = 20;
/// The share of right answers of a network that has learned the digits.
const TRAINED: f64 = 0.9;
/// That of one that has fitted them.
const FITTED: f64 = 0.99;

/// A residual network with or without its batch normalisation and residual connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Variant {
    pub(super) depth: usize,
    pub(super) batch_norm: bool,
    pub(super) residual: bool,
}

impl Variant {
    /// The four variants of each depth.
    pub(super) fn all(depths: &[usize]) -> Vec<Self> {
        let ablations = [(true, true), (false, true), (true, false), (false, false)];
        let of = |&depth: &usize| {
            ablations.map(|(batch_norm, residual)| Self {
                depth,
                batch_norm,
                residual,
            })
        };
        depths.iter().flat_map(of).collect()
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResNet-{}", self.depth)?;
        if !self.batch_norm {
            f.write_str(" -BN")?;
        }
        if !self.residual {
            f.write_str(" -Res")?;
        }
        Ok(())
    }
}

/// What is known of a training after some epochs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    #[serde(flatten)]
    pub(super) variant: Variant,
    pub(super) seed: u64,
    /// The rate of the first epochs.
    pub(super) rate: f64,
    pub(super) epoch: usize,
    /// Whether the training ends here.
    pub(super) last: bool,
    /// How the training diverged, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) diverged: Option<String>,
    /// Nothing is measured where a training diverged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) report: Option<Curvature>,
}

/// How the trainings of a network from one seed ended at each rate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Search {
    #[serde(flatten)]
    pub(super) variant: Variant,
    pub(super) tried: Vec<Tried>,
    /// The rate with the least loss.
    pub(super) rate: f64,
}

/// A training at one rate.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Tried {
    pub(super) rate: f64,
    /// The mean loss of the batches of the last epoch; none where the training diverged.
    pub(super) loss: Option<f64>,
}

/// All that was found; a checkpoint keeps it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) searches: Vec<Search>,
    pub(super) measured: Vec<Measured>,
}

impl Found {
    /// The rate of a network, if it is known.
    pub(super) fn rate(&self, variant: Variant) -> Option<f64> {
        let mut searches = self.searches.iter();
        Some(searches.find(|s| s.variant == variant)?.rate)
    }

    /// Whether a training is finished and measured.
    pub(super) fn has(&self, variant: Variant, seed: u64) -> bool {
        let mut all = self.measured.iter();
        all.any(|m| m.last && m.variant == variant && m.seed == seed)
    }
}

impl Measured {
    fn hessian(&self) -> Option<&Spectrum> {
        self.report.as_ref()?.hessian.as_ref()
    }

    pub(super) fn largest(&self) -> Option<f64> {
        Some(self.hessian()?.top.first()?.value)
    }

    pub(super) fn smallest(&self) -> Option<f64> {
        Some(self.hessian()?.bottom.first()?.value)
    }

    pub(super) fn trace(&self) -> Option<f64> {
        Some(self.hessian()?.trace?.value)
    }

    /// The mean loss over the examples of the Hessian.
    pub(super) fn loss(&self) -> Option<f64> {
        Some(self.report.as_ref()?.loss)
    }

    pub(super) fn accuracy(&self) -> Option<f64> {
        self.report.as_ref()?.accuracy
    }

    /// Whether most of the digits are classified right.
    pub(super) fn is_trained(&self) -> bool {
        self.accuracy().is_some_and(|a| a >= TRAINED)
    }

    /// Whether nearly all digits are.
    pub(super) fn is_fitted(&self) -> bool {
        self.accuracy().is_some_and(|a| a >= FITTED)
    }

    /// Whether all eigenvalues that were looked for were found.
    pub(super) fn is_converged(&self) -> bool {
        let mut all = self
            .hessian()
            .into_iter()
            .flat_map(|h| h.top.iter().chain(&h.bottom));
        all.all(|e| e.converged)
    }

    /// An eigenvalue over the next smaller one; the first is the largest. Nothing if one is not positive.
    pub(super) fn gap(&self, number: usize) -> Option<f64> {
        let top = &self.hessian()?.top;
        let [upper, lower] = [number.checked_sub(1)?, number].map(|i| top.get(i));
        let lower = lower?.value;
        (lower > 0.0).then_some(upper?.value / lower)
    }

    /// How many of the largest eigenvalues are in front of the widest gap.
    pub(super) fn outliers(&self) -> Option<usize> {
        let gaps = (1..OUTER).filter_map(|i| Some((i, self.gap(i)?)));
        let widest = gaps.reduce(|a, b| if b.1 > a.1 { b } else { a })?;
        Some(widest.0)
    }

    /// The share of the eigenvalues that are closer to 0 than a twentieth of the largest one.
    pub(super) fn bulk(&self) -> Option<f64> {
        let (density, near) = (self.hessian()?.density.as_ref()?, self.largest()? / 20.0);
        let atoms = density.nodes.iter().zip(&density.weights);
        Some(atoms.filter(|(t, _)| t.abs() < near).map(|(_, w)| w).sum())
    }
}
