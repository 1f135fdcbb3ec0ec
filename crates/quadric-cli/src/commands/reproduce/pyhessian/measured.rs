//! Networks of the experiment, and what is known of one after some epochs.

use quadric::report::{Curvature, Spectrum};
use serde::Serialize;
use std::fmt;

/// The share of right answers of a network that has learned the digits.
const TRAINED: f64 = 0.9;

/// A residual network with or without its batch normalisation and residual connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
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
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    #[serde(flatten)]
    pub(super) variant: Variant,
    pub(super) seed: u64,
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

    /// Whether most of the digits are classified right.
    pub(super) fn is_trained(&self) -> bool {
        let accuracy = self.report.as_ref().and_then(|r| r.accuracy);
        accuracy.is_some_and(|a| a >= TRAINED)
    }

    /// Whether all eigenvalues that were looked for were found.
    pub(super) fn is_converged(&self) -> bool {
        let mut all = self
            .hessian()
            .into_iter()
            .flat_map(|h| h.top.iter().chain(&h.bottom));
        all.all(|e| e.converged)
    }

    /// How many of the largest eigenvalues are in front of the widest gap between neighbours, as a ratio.
    pub(super) fn outliers(&self) -> Option<usize> {
        let top = &self.hessian()?.top;
        let pairs = top.windows(2).enumerate();
        let ratios = pairs
            .filter(|(_, pair)| pair[1].value > 0.0)
            .map(|(i, pair)| (i + 1, pair[0].value / pair[1].value));
        let widest = ratios.reduce(|a, b| if b.1 > a.1 { b } else { a })?;
        Some(widest.0)
    }

    /// The share of the eigenvalues that are closer to 0 than a twentieth of the largest one.
    pub(super) fn bulk(&self) -> Option<f64> {
        let (density, near) = (self.hessian()?.density.as_ref()?, self.largest()? / 20.0);
        let atoms = density.nodes.iter().zip(&density.weights);
        Some(atoms.filter(|(t, _)| t.abs() < near).map(|(_, w)| w).sum())
    }
}
