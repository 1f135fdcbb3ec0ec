//! Each of K classes against the rest: K logistic models of two classes on one data matrix.

use super::build::{check_data, prepare_labels, rows_that_count};
use super::samples::Targets;
use super::selection::{self, Fits, HeldOut};
use super::{Glm, GlmBatch, GlmOptions, LinearModel};
use crate::Loss;
use quadric_core::{DataMatrix, Error, Result, Scalar};
use std::sync::Arc;

/// One logistic model per class, which tells it from all others, as the columns of a [`GlmBatch`].
///
/// ```
/// use quadric_core::{Columns, DataMatrix};
/// use quadric_models::{GlmOptions, OneVsRest};
///
/// let x = DataMatrix::dense(vec![0.0, 1.0, 2.0, 4.0], 4, 1)?;
/// let rest = OneVsRest::<f64>::new(x, &[0.0, 1.0, 2.0, 1.0], None, &GlmOptions::default())?;
/// assert_eq!(rest.batch().columns(), 3);
/// # Ok::<(), quadric_core::Error>(())
/// ```
pub struct OneVsRest<T: Scalar> {
    batch: GlmBatch<T>,
    classes: Vec<f64>,
}

impl<T: Scalar> OneVsRest<T> {
    /// The problems of fitting the integer labels `target` (n) by the rows of `x` (n, d); the options hold for each of
    /// them.
    ///
    /// # Errors
    /// Those of [`Glm::new`] for the loss softmax, another loss than logistic, fewer than three classes.
    pub fn new(
        x: DataMatrix<T>,
        target: &[f64],
        weights: Option<&[f64]>,
        options: &GlmOptions,
    ) -> Result<Self> {
        if options.loss != Loss::Logistic {
            return Err(Error::argument(
                "loss",
                options.loss,
                "logistic: each class against the rest is a matter of two classes",
            ));
        }
        check_data(&x, target, weights, options.intercept)?;
        let rows = rows_that_count(target, weights);
        let (Targets::Class(labels), Some(classes)) = prepare_labels(target, &rows, Loss::Softmax)?
        else {
            return Err(Error::data("the target has no classes"));
        };
        if classes.len() < 3 {
            return Err(Error::data(
                "the target has two classes, of which each is the rest of the other",
            )
            .with_hint("use the loss logistic"));
        }
        let first: Vec<f64> = target.iter().map(|y| f64::from(*y == classes[0])).collect();
        let first = Glm::new(x, &first, weights, options)?;
        let against = |class: usize| {
            let sign = |label: &u32| if *label as usize == class { 1.0 } else { -1.0 };
            let mut samples = (*first.samples).clone();
            samples.targets = Targets::Real(labels.iter().map(sign).collect());
            first.with(first.design.clone(), Arc::new(samples))
        };
        let models = (0..classes.len()).map(against).collect();
        Ok(Self {
            batch: GlmBatch::new(models)?,
            classes,
        })
    }

    /// Names the features in messages; without names they are numbered from 1.
    ///
    /// # Errors
    /// Another number of names than features.
    pub fn with_feature_names(mut self, names: &[String]) -> Result<Self> {
        let models = self.batch.into_models();
        let named: Result<Vec<_>> = models
            .into_iter()
            .map(|model| model.with_feature_names(names))
            .collect();
        self.batch = GlmBatch::new(named?)?;
        Ok(self)
    }

    /// The models, column c that of class c.
    pub fn batch(&self) -> &GlmBatch<T> {
        &self.batch
    }

    /// The labels, ascending.
    pub fn classes(&self) -> &[f64] {
        &self.classes
    }

    /// [`Glm::l2_path`], the same for all classes.
    pub fn l2_path(&self) -> Vec<f64> {
        self.batch.models()[0].l2_path()
    }

    /// [`Glm::cross_validate`] of all classes under the same strengths: the loss is the sum over the classes, a hit a row whose
    /// class has the largest predictor.
    ///
    /// # Errors
    /// Those of [`Glm::cross_validate`].
    pub fn cross_validate(
        &self,
        path: &[f64],
        fold: &[usize],
        fits: &mut dyn Fits<T>,
    ) -> Result<Vec<HeldOut>> {
        selection::cross_validate(self.batch.models(), path, fold, fits)
    }

    /// The model that the unknowns `x` of all columns stand for, in the units of the data. Its probabilities are those of
    /// the classes against the rest, scaled to a sum of one.
    ///
    /// # Errors
    /// Another number of unknowns.
    pub fn model(&self, x: &[T]) -> Result<LinearModel> {
        self.batch.check(x, "the point")?;
        let models = self.batch.models().iter().enumerate();
        let (coef, intercept) = models
            .flat_map(|(c, model)| {
                let own = model.model(&x[self.batch.range(c)]);
                own.coef.into_iter().zip(own.intercept)
            })
            .unzip();
        Ok(LinearModel {
            loss: Loss::Logistic,
            coef,
            intercept,
            classes: Some(self.classes.clone()),
        })
    }
}
