//! Races, comparisons and curvature analyses as one self-contained HTML page and as text for the terminal.
//!
//! A [`Report`] holds plain numbers. [`render`] turns it into a page that works without a network: the chart library, the
//! numbers, the styles and the script are all inside. [`text_table`] prints the same race in a terminal, and [`summary`]
//! says in plain words who reached what first. A [`Comparison`] is many problems by several methods; its page has performance
//! and data profiles. A [`Curvature`] is what was found of the Hessian of a model and the matrices like it, an [`Evolution`]
//! several of them along a training; both have a page ([`render_curvature`], [`render_evolution`]) and a text
//! ([`curvature_text`], [`evolution_text`]).

mod comparison;
mod curvature;
mod file;
mod format;
mod frame;
mod grid;
mod page;
mod profile;
mod summary;
mod table;

pub use comparison::{Case, Comparison, Contender, Trial, render_comparison};
pub use curvature::{
    Checkpoint, Condition, Curvature, Density, Diagonal, Eigenvalue, Estimate, Evolution,
    Knowledge, Landscape, Layer, Line, Plane, Quantiles, Shape, Solution, Spectrum, Trace,
    curvature_text, evolution_text, findings, render_curvature, render_evolution,
};
pub use file::{write, write_comparison, write_curvature, write_evolution};
pub use page::render;
pub use profile::{Steps, data_profiles, performance_profiles};
pub use summary::summary;
pub use table::text_table;

use serde::Serialize;

/// Everything that the page shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Heading of the page.
    pub title: String,
    /// The problem in plain words: loss, rows, columns, nonzeros, penalty, threads, version.
    pub subtitle: String,
    /// Names and values for the table of facts: data set, rows, columns, objective at the optimum, seed, host.
    pub facts: Vec<(String, String)>,
    /// One entry per method, in the order of legend and table.
    pub runs: Vec<Run>,
    /// Remarks below the table.
    pub notes: Vec<String>,
    /// The resolved configuration, shown folded.
    pub config: Option<serde_json::Value>,
}

/// One run of one method.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Run {
    /// Name of the method.
    pub method: String,
    /// What the method knows about curvature; it decides the dash of the curve.
    pub family: Family,
    /// How the run ended, such as `converged` or `max_iterations`.
    pub status: String,
    /// Why, where the status alone does not say it.
    pub reason: Option<String>,
    /// Steps taken.
    pub iterations: u64,
    /// Passes over the data.
    pub passes: f64,
    /// Seconds in all.
    pub seconds: f64,
    /// The objective at the returned point.
    pub objective: Option<f64>,
    /// Kind and value of the certificate, such as `gap_bound` and 3e-13.
    pub certificate: Option<(String, f64)>,
    /// Relative suboptimality and the seconds after which it was reached (`None`: never).
    pub time_to: Vec<(f64, Option<f64>)>,
    /// The trace, in the order of the steps.
    pub points: Vec<Point>,
}

/// What a method knows about curvature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Family {
    /// Gradients only.
    #[default]
    FirstOrder,
    /// Curvature estimated from gradients.
    QuasiNewton,
    /// Curvature of the objective itself.
    SecondOrder,
}

impl Family {
    /// The family in words, such as `first-order`.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstOrder => "first-order",
            Self::QuasiNewton => "quasi-Newton",
            Self::SecondOrder => "second-order",
        }
    }
}

/// One line of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Point {
    /// Number of the step; 0 is the starting point.
    pub iteration: u64,
    /// Seconds since the start of the run.
    pub seconds: f64,
    /// Passes over the data so far.
    pub passes: f64,
    /// Relative suboptimality, where the optimum is known.
    pub suboptimality: Option<f64>,
    /// Largest absolute entry of the gradient.
    pub gradient_norm: Option<f64>,
}

/// The seconds after which a trace first is at or below `target` (relative suboptimality); `None` if it never is.
pub fn time_to(points: &[Point], target: f64) -> Option<f64> {
    points
        .iter()
        .find(|p| p.suboptimality.is_some_and(|s| s <= target))
        .map(|p| p.seconds)
}
