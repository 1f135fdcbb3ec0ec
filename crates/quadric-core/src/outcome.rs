//! How a run ended, and how good the point is that it returns.

use crate::{ColumnEnd, Counts, Error, Scalar};
use std::time::Duration;

/// How a run ended. Only the driver says `Converged`, and only after it re-measured the returned point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// The certificate at the returned point meets the tolerance.
    Converged,
    /// The method cannot go on; the certificate meets the tolerance times 10⁴.
    ConvergedReduced,
    /// The iteration limit ended the run.
    MaxIterations,
    /// The time limit ended the run.
    MaxTime,
    /// The evaluation limit ended the run.
    MaxEvaluations,
    /// No step makes progress in this arithmetic.
    Stalled,
    /// Values became NaN or infinite and could not be recovered.
    NonFinite,
    /// The objective has no minimiser.
    Unbounded,
    /// A signal ended the run.
    Interrupted,
    /// A callback ended the run.
    Callback,
    /// A method without a notion of convergence has done its work.
    Finished,
    /// An evaluation returned an error.
    Failed,
}

impl Status {
    const ALL: [Self; 12] = [
        Self::Converged,
        Self::ConvergedReduced,
        Self::MaxIterations,
        Self::MaxTime,
        Self::MaxEvaluations,
        Self::Stalled,
        Self::NonFinite,
        Self::Unbounded,
        Self::Interrupted,
        Self::Callback,
        Self::Finished,
        Self::Failed,
    ];

    /// The status of a name, as [`Status::name`] spells it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// True if the certificate met the tolerance, in full or at reduced accuracy.
    pub fn is_converged(self) -> bool {
        matches!(self, Self::Converged | Self::ConvergedReduced)
    }

    /// The name as it is spelled in JSON, such as `converged` or `max_iterations`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::ConvergedReduced => "converged_reduced",
            Self::MaxIterations => "max_iterations",
            Self::MaxTime => "max_time",
            Self::MaxEvaluations => "max_evaluations",
            Self::Stalled => "stalled",
            Self::NonFinite => "non_finite",
            Self::Unbounded => "unbounded",
            Self::Interrupted => "interrupted",
            Self::Callback => "callback",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
}

/// Evidence of optimality at the returned point, measured by fresh evaluations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Certificate {
    /// What was measured: `gap_bound` (F(x) - F* is at most `value`) or `gradient_norm` (largest absolute entry).
    pub kind: &'static str,
    /// The measured value.
    pub value: f64,
    /// The magnitude that the relative tolerance refers to.
    pub scale: f64,
}

impl Certificate {
    pub(crate) const KINDS: [&str; 2] = ["gap_bound", "gradient_norm"];

    /// The static name of a kind.
    pub(crate) fn kind_of(name: &str) -> Option<&'static str> {
        Self::KINDS.into_iter().find(|k| *k == name)
    }

    /// What to expect where the largest entry of the gradient is `ratio` times as large: a gradient falls with it, a gap
    /// with its square.
    #[must_use]
    pub fn predicted(self, ratio: f64) -> Self {
        Self {
            value: self.value * ratio.powi(self.power()),
            ..self
        }
    }

    /// The ratio at which `value` is predicted; not finite where nothing can be predicted.
    pub(crate) fn ratio_to(self, value: f64) -> f64 {
        (value / self.value).powf(1.0 / f64::from(self.power()))
    }

    /// True if the gradient was measured, for want of a gap.
    pub(crate) fn is_of_gradient(&self) -> bool {
        self.kind == "gradient_norm"
    }

    fn power(self) -> i32 {
        if self.is_of_gradient() { 1 } else { 2 }
    }

    /// The measured value relative to its scale.
    pub fn relative(&self) -> f64 {
        if self.value == 0.0 {
            0.0
        } else {
            self.value / self.scale
        }
    }
}

/// The result of a run.
#[derive(Debug)]
#[must_use]
pub struct Outcome<T: Scalar> {
    /// The best finite point.
    pub x: Vec<T>,
    /// `F(x)`.
    pub value: Option<f64>,
    /// Largest absolute entry of the gradient at the start.
    pub gradient_norm_at_start: Option<f64>,
    /// Largest absolute entry of the gradient at `x`, re-measured.
    pub gradient_norm: Option<f64>,
    /// How the run ended.
    pub status: Status,
    /// Why, where the status alone does not say it.
    pub reason: Option<String>,
    /// Evidence of optimality.
    pub certificate: Option<Certificate>,
    /// How each column ended, where the problem has [`Columns`](crate::Columns); empty elsewhere.
    pub columns: Vec<ColumnEnd>,
    /// Evaluations of the method (those of the certificates are not in it).
    pub counts: Counts,
    /// Steps taken.
    pub iterations: u64,
    /// Time spent, of all sittings of a resumed run.
    pub elapsed: Duration,
    /// What went wrong beside the run, such as a checkpoint that could not be written.
    pub warnings: Vec<String>,
    /// The error behind [`Status::Failed`].
    pub error: Option<Error>,
}
