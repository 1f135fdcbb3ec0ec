//! The curvature of a model: what was found of its Hessian and the matrices like it, as plain numbers; one page and one
//! text for a single analysis, and for several along a training.

mod check;
mod evolution;
mod findings;
mod page;
mod shape_tables;
mod shapes;
mod text;

pub use evolution::{Checkpoint, Evolution, evolution_text, render_evolution};
pub use findings::findings;
pub use page::render_curvature;
pub use shapes::{Condition, Diagonal, Knowledge, Quantiles, Shape, Solution};
pub use text::curvature_text;

use serde::{Deserialize, Serialize};

/// A curvature analysis of a model at one point.
///
/// This is also the document of `--json`. Numbers that were not computed are absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Curvature {
    /// Name of the model.
    pub model: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Number of examples that the loss is the mean over.
    pub examples: u64,
    /// The loss at the point.
    pub loss: f64,
    /// Share of the examples that are classified right, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Euclidean norm of the gradient of the loss.
    pub gradient_norm: f64,
    /// The Hessian of the loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hessian: Option<Spectrum>,
    /// The generalised Gauss-Newton matrix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ggn: Option<Spectrum>,
    /// The Fisher matrix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fisher: Option<Spectrum>,
    /// The Fisher matrix of targets that the model drew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampled_fisher: Option<Spectrum>,
    /// The mean over the examples of products of their gradients, not centred.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empirical_fisher: Option<Spectrum>,
    /// The covariance of the gradients of the examples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub covariance: Option<Spectrum>,
    /// `tr C / |g|²` for the covariance C and the gradient g: the mean gradient of so many examples has as much noise as signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise_scale: Option<Estimate>,
    /// `tr HC / gᵀHg`, the same where the Hessian H is taken into account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hessian_noise_scale: Option<Estimate>,
    /// Share of the squared norm of the gradient that lies in the span of the top eigenvectors of the Hessian.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradient_alignment: Option<f64>,
    /// The loss along directions from the point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landscape: Option<Landscape>,
    /// Cost of the analysis, in gradients over all examples.
    pub gradient_equivalents: f64,
    /// Cost of the analysis in seconds.
    pub seconds: f64,
}

/// What was found of a symmetric matrix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spectrum {
    /// The largest eigenvalues, in descending order.
    pub top: Vec<Eigenvalue>,
    /// The smallest eigenvalues, in ascending order.
    pub bottom: Vec<Eigenvalue>,
    /// The trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// The distribution of all eigenvalues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub density: Option<Density>,
    /// The diagonal blocks of single layers.
    pub layers: Vec<Layer>,
    /// Trace of `A (A + δ)⁻¹`: how many directions have more curvature than the damping δ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective_dimension: Option<f64>,
    /// The largest over the smallest eigenvalue in magnitude, where all are known and none is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<f64>,
    /// The damping δ of the effective dimension, the damped condition and the shapes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damping: Option<f64>,
    /// The condition of `A + δ I`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damped_condition: Option<Condition>,
    /// The diagonal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagonal: Option<Diagonal>,
    /// The matrix at several granularities.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shapes: Vec<Shape>,
    /// What the cosines of the shapes compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub solution: Option<Solution>,
}

/// An eigenvalue: there is one within `residual` of `value`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eigenvalue {
    /// The estimate.
    pub value: f64,
    /// `‖A v - value v‖` for the unit vector v that belongs to it.
    pub residual: f64,
    /// Whether the residual is below the tolerance that was asked for.
    pub converged: bool,
}

/// An estimate, and an interval that holds what is estimated with a probability of `level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Probability that the interval holds the truth, such as 0.95; 1 for an exact value.
    pub level: f64,
}

/// An estimate of a trace, and an interval that holds it with a probability of `level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The estimate.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Probability that the interval holds the trace, such as 0.95; 1 for a trace that is exact.
    pub level: f64,
    /// Products with the matrix that it took.
    pub products: u64,
    /// Draws of signs for every example that it took.
    #[serde(default)]
    pub draws: u64,
}

/// The distribution of the eigenvalues of a matrix.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Density {
    /// Places of a quadrature rule for the distribution.
    pub nodes: Vec<f64>,
    /// The share of the eigenvalues at each node; they sum to 1.
    pub weights: Vec<f64>,
    /// Places at which the smoothed density is known, in ascending order.
    pub grid: Vec<f64>,
    /// The smoothed density there, per unit of the eigenvalue.
    pub pdf: Vec<f64>,
    /// Lower ends of intervals for the density; empty if they are not known.
    pub low: Vec<f64>,
    /// Upper ends of these intervals.
    pub high: Vec<f64>,
    /// Probability that an interval holds the smoothed density at its place; 1 where all eigenvalues are known.
    pub level: f64,
    /// The share of the eigenvalues whose size is at most a hundredth of the largest eigenvalue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near_zero: Option<Estimate>,
    /// Random starts that it is estimated from; 0 where all eigenvalues are known.
    pub starts: u64,
    /// Lanczos steps from each of them.
    pub steps: u64,
}

/// The block of a matrix that belongs to one layer, or to one parameter tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Number of parameters.
    pub parameters: u64,
    /// The trace of the block.
    pub trace: f64,
    /// Lower end of an interval for the trace, at the level of the whole trace.
    pub low: f64,
    /// Upper end of this interval.
    pub high: f64,
    /// The largest eigenvalue of the block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<f64>,
}

/// The loss along directions from the point.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Landscape {
    /// Along single directions.
    pub lines: Vec<Line>,
    /// Over the plane of two directions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plane: Option<Plane>,
}

/// The loss along a direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Line {
    /// The direction in words, such as `eigenvector 1` or `gradient`.
    pub direction: String,
    /// Steps along the direction, in ascending order; 0 is the point itself.
    pub steps: Vec<f64>,
    /// The loss there; absent where it is not finite.
    pub values: Vec<Option<f64>>,
    /// The quadratic model there, of value, slope and curvature at the point; empty if there is none.
    pub model: Vec<f64>,
}

/// The loss over the plane of two directions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plane {
    /// The two directions in words.
    pub directions: [String; 2],
    /// Steps along the first direction, in ascending order.
    pub first: Vec<f64>,
    /// Steps along the second direction, in ascending order.
    pub second: Vec<f64>,
    /// The loss: for each step along the second direction one list over the steps along the first; absent where it is not
    /// finite.
    pub values: Vec<Vec<Option<f64>>>,
}

/// The matrices by their field in [`Curvature`] and their name.
pub(crate) const MATRICES: [(&str, &str); 6] = [
    ("hessian", "Hessian"),
    ("ggn", "Gauss-Newton"),
    ("fisher", "Fisher"),
    ("sampled_fisher", "sampled Fisher"),
    ("empirical_fisher", "empirical Fisher"),
    ("covariance", "gradient covariance"),
];

impl Curvature {
    /// The matrices that were analysed: the index in [`MATRICES`], and what was found.
    pub(crate) fn matrices(&self) -> impl Iterator<Item = (usize, &Spectrum)> {
        let all = [
            &self.hessian,
            &self.ggn,
            &self.fisher,
            &self.sampled_fisher,
            &self.empirical_fisher,
            &self.covariance,
        ];
        all.into_iter()
            .enumerate()
            .filter_map(|(i, m)| Some((i, m.as_ref()?)))
    }

    /// The matrix that the summary speaks of: the first that was analysed.
    pub(crate) fn main(&self) -> Option<(usize, &Spectrum)> {
        self.matrices().next()
    }
}

impl Spectrum {
    /// How many of the eigenvalues have not converged, and of how many.
    pub(crate) fn open(&self) -> (usize, usize) {
        let all = self.top.iter().chain(&self.bottom);
        (all.clone().filter(|e| !e.converged).count(), all.count())
    }

    /// The largest step of plain gradient descent that is stable along the sharpest direction: `2 / λ₁`.
    pub(crate) fn largest_step(&self) -> Option<f64> {
        self.top
            .first()
            .map(|e| 2.0 / e.value)
            .filter(|s| s.is_finite() && *s > 0.0)
    }
}
