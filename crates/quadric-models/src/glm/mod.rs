//! Generalised linear models: `F(w, b) = (1/Σs) Σ s_i loss(y_i, x_i·w + b) + (l2/2)‖w‖²`, intercept b never penalised.
//!
//! The unknowns of the solver are coefficients in internal coordinates (see [`design`]); [`Glm::model`] turns them into
//! the units of the data. Softmax of K classes uses K - 1 sets of coefficients (see [`contrast`]).

mod batch;
mod blocks;
mod build;

mod contrast;
mod curve;
mod data_units;
mod design;
#[cfg(test)]
mod example;
mod gap;
mod hessian;
mod intercept;
mod line;
mod linear_model;
mod memo;
mod merge;
mod metric;
mod moments;
mod numbers;
mod one_vs_rest;
mod precondition;
mod problem;
mod raw;
mod recession;
mod rows_inverse;
mod samples;
mod selection;
mod span;
mod spread;

pub use batch::GlmBatch;
pub use build::GlmOptions;
pub use data_units::RawGlm;
pub use linear_model::{LinearModel, Prediction};
pub use one_vs_rest::OneVsRest;
pub use selection::{Fits, Fitted, FoldFit, HeldOut};

use contrast::Contrast;
use design::Design;
use faer::MatRef;
use gap::Reference;
use memo::Memo;
use moments::Moments;
use quadric_core::{Error, Result, Scalar};
use samples::Samples;
use std::sync::{Arc, OnceLock};

/// A generalised linear model on a data set, as a problem to minimise.
///
/// Unknowns: per predictor the scaled coefficients, then the intercept if there is one. All sums over samples are
/// weighted means.
pub struct Glm<T: Scalar> {
    design: Design<T>,
    samples: Arc<Samples>,
    l2: f64,
    classes: Option<Arc<[f64]>>,
    names: Option<Arc<[String]>>,
    memo: Memo<T>,
    reference: Arc<Reference>,
    moments: Arc<OnceLock<Moments<T>>>,
}

impl<T: Scalar> Glm<T> {
    /// The same problem on other rows or other samples.
    fn with(&self, design: Design<T>, samples: Arc<Samples>) -> Self {
        Self {
            design,
            samples,
            l2: self.l2,
            classes: self.classes.clone(),
            names: self.names.clone(),
            memo: Memo::new(),
            reference: Arc::default(),
            moments: Arc::default(),
        }
    }

    /// The same problem on the samples that `keep` does not refuse: the others stay in memory and weigh nothing.
    ///
    /// # Errors
    /// No sample is left.
    pub fn only(&self, keep: impl Fn(usize) -> bool) -> Result<Self> {
        let samples = self.samples.only(keep);
        if samples.weighted_rows().next().is_none() {
            return Err(Error::argument("rows", "empty", "at least one row"));
        }
        Ok(self.with(self.design.clone(), Arc::new(samples)))
    }

    /// The same problem with another strength of the penalty, on the same data in memory; the coordinates stay as they
    /// are.
    ///
    /// # Errors
    /// A strength that is negative or not finite.
    pub fn with_l2(&self, l2: f64) -> Result<Self> {
        let mut other = self.with(self.design.clone(), Arc::clone(&self.samples));
        other.reference = Arc::clone(&self.reference);
        other.moments = Arc::clone(&self.moments);
        other.set_l2(l2)?;
        Ok(other)
    }

    fn check(&self, x: &[T], what: &str) -> Result<()> {
        let expected = self.design.columns() * self.samples.outputs();
        if x.len() != expected {
            return Err(Error::shape(what, x.len(), expected));
        }
        Ok(())
    }

    /// Views unknowns as (columns, outputs).
    fn columns<'a>(&self, v: &'a [T]) -> MatRef<'a, T> {
        MatRef::from_column_major_slice(v, self.design.columns(), self.samples.outputs())
    }

    /// The products `Z V` (n, k) for the unknowns or a direction `v`; computed once for the same bits of `v`.
    fn products(&self, v: &[T]) -> Arc<Vec<T>> {
        if let Some(known) = self.memo.find(v) {
            return known;
        }
        let len = self.samples.len() * self.samples.outputs();
        let mut out = self.memo.storage(len);
        self.design.multiply(self.columns(v), &mut out);
        self.memo.keep(v, out)
    }

    /// Coefficient j of predictor c in raw units, before it is multiplied with anything else.
    fn raw(&self, v: &[T], c: usize, j: usize) -> f64 {
        v[c * self.design.columns() + j].to_f64() * self.design.frame.scale[j]
    }

    /// `(l2/2) ‖w‖²` in raw units.
    fn penalty(&self, v: &[T]) -> f64 {
        0.5 * self.penalty_along(v, v)
    }

    /// `l2 Σ w_j h_j` over the penalised coefficients of two vectors of unknowns, in raw units.
    fn penalty_along(&self, v: &[T], h: &[T]) -> f64 {
        if self.l2 == 0.0 {
            return 0.0;
        }
        let mut sum = 0.0;
        for c in 0..self.samples.outputs() {
            for j in 0..self.features() {
                sum += (self.l2 * self.raw(v, c, j)) * self.raw(h, c, j);
            }
        }
        sum
    }

    /// Curvature of the penalty in the scaled coefficient j; 0 in the intercept.
    fn penalty_curvature(&self, j: usize) -> f64 {
        let scale = self.design.frame.scale.get(j).copied().unwrap_or(0.0);
        (self.l2 * scale) * scale
    }

    /// Number of unknowns that one predictor has before the intercept.
    fn features(&self) -> usize {
        self.design.frame.features
    }

    fn contrast(&self) -> Contrast {
        self.samples.contrast
    }
}
