//! From data to a problem: validation, labels, weights, scaling.

use super::contrast::Contrast;
use super::design::Design;
use super::memo::Memo;
use super::samples::{Samples, Targets};
use super::{Glm, LinearModel, merge, moments};
use crate::Loss;
use quadric_core::{DataMatrix, Error, Result, Scalar};
use std::sync::Arc;

/// What is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GlmOptions {
    /// The loss of one sample.
    pub loss: Loss,
    /// Strength of the penalty `(l2/2)‖w‖²` beside the mean loss; 0 for none.
    pub l2: f64,
    /// Whether each predictor has a constant of its own, which is never penalised.
    pub intercept: bool,
}

impl Default for GlmOptions {
    /// Logistic loss with an intercept and no penalty.
    fn default() -> Self {
        Self {
            loss: Loss::Logistic,
            l2: 0.0,
            intercept: true,
        }
    }
}

impl GlmOptions {
    /// Checks the ranges of all options.
    ///
    /// # Errors
    /// A penalty that is negative or not finite, a threshold that is not positive.
    pub fn validate(&self) -> Result<()> {
        if !(self.l2 >= 0.0 && self.l2.is_finite()) {
            return Err(Error::argument(
                "l2",
                self.l2,
                "a finite number of at least 0",
            ));
        }
        self.loss.validate()
    }
}

impl<T: Scalar> Glm<T> {
    /// The problem of fitting `target` (n) by the rows of `x` (n, d), with non-negative weights (n) or weight 1 each.
    ///
    /// Rows of weight zero are left out. Targets of `logistic` and `softmax` are integer labels; of two labels the larger
    /// one is positive.
    ///
    /// # Errors
    /// Lengths that differ, no rows, non-finite values (with row and column), negative or all-zero weights, labels that
    /// are not integers, one class only, more than two for `logistic`, negative counts for `poisson`, options out of
    /// range.
    pub fn new(
        x: DataMatrix<T>,
        target: &[f64],
        weights: Option<&[f64]>,
        options: &GlmOptions,
    ) -> Result<Self> {
        let prepared = prepare(&x, target, weights, options)?;
        Self::of(x, prepared, options)
    }

    /// The same objective on fewer rows: those with equal features and equal targets become one of their total weight. Where
    /// hardly any are equal this is [`Glm::new`], and finding out costs next to nothing; so it is for squared loss on tall,
    /// narrow data, whose passes are few anyway.
    ///
    /// Rows are numbered anew then: [`Glm::only`], [`Glm::cross_validate`] and batches of a [`FiniteSum`] are of merged rows,
    /// whose weights differ.
    ///
    /// # Errors
    /// As [`Glm::new`].
    ///
    /// [`FiniteSum`]: quadric_core::FiniteSum
    pub fn merged(
        x: DataMatrix<T>,
        target: &[f64],
        weights: Option<&[f64]>,
        options: &GlmOptions,
    ) -> Result<Self> {
        let prepared = prepare(&x, target, weights, options)?;
        let sparse = matches!(x, DataMatrix::Sparse(_));
        let shape = (
            prepared.rows.len(),
            x.cols() + usize::from(options.intercept),
        );
        let prepared = match moments::pay(options.loss, sparse, shape) {
            true => prepared,
            false => merge::merge(&x, prepared),
        };
        Self::of(x, prepared, options)
    }

    fn of(x: DataMatrix<T>, prepared: Prepared, options: &GlmOptions) -> Result<Self> {
        let Prepared {
            rows,
            order,
            mut samples,
            classes,
        } = prepared;
        let penalty = (options.l2 / samples.typical_curvature()).sqrt();
        let chosen = (&rows[..], &order[..]);
        let mut design = {
            let weights: Vec<f64> = samples.weights.iter().collect();
            Design::new(x, chosen, &weights, options.intercept, penalty)?
        };
        if !order.is_empty() {
            samples = samples.ordered(&order);
        }
        design.prepare(samples.outputs());
        Ok(Self {
            design,
            samples: Arc::new(samples),
            l2: options.l2,
            classes: classes.map(Arc::from),
            names: None,
            memo: Memo::new(),
            reference: Arc::default(),
            moments: Arc::default(),
        })
    }

    /// Names the features in messages; without names they are numbered from 1.
    ///
    /// # Errors
    /// Another number of names than features.
    pub fn with_feature_names(mut self, names: &[String]) -> Result<Self> {
        let features = self.design.frame.raw_features();
        if names.len() != features {
            return Err(Error::shape(
                "the list of feature names",
                names.len(),
                features,
            ));
        }
        self.names = Some(names.into());
        Ok(self)
    }

    /// Where to start: no coefficients, and the intercept of Poisson models at the logarithm of the mean target.
    pub fn start(&self) -> Vec<T> {
        let (p, k) = (self.design.columns(), self.samples.outputs());
        let mut x = vec![T::of(0.0); p * k];
        if self.samples.loss == Loss::Poisson && self.design.frame.intercept {
            let mean = self.samples.mean_target();
            if mean > 0.0 {
                x[p - 1] = T::of(mean.ln());
            }
        }
        x
    }

    /// The model that the unknowns `x` stand for, in the units of the data.
    ///
    /// # Panics
    /// If the length of `x` is not the number of unknowns.
    pub fn model(&self, x: &[T]) -> LinearModel {
        let (d, p, k) = (
            self.features(),
            self.design.columns(),
            self.samples.outputs(),
        );
        assert_eq!(x.len(), p * k, "number of unknowns");
        let frame = &self.design.frame;
        let reduced: Vec<(Vec<f64>, f64)> = (0..k)
            .map(|c| {
                let coef: Vec<f64> = (0..d).map(|j| self.raw(x, c, j)).collect();
                if frame.intercept {
                    frame.weights_of_features(coef, x[c * p + d].to_f64())
                } else {
                    (frame.weights_of_features(coef, 0.0).0, 0.0)
                }
            })
            .collect();
        let (coef, intercept) = if self.samples.loss == Loss::Softmax {
            self.expand(&reduced)
        } else {
            reduced.into_iter().unzip()
        };
        LinearModel {
            loss: self.samples.loss,
            coef,
            intercept,
            classes: self.classes.as_ref().map(|c| c.to_vec()),
        }
    }

    /// Coefficients of all classes from those of the contrasts.
    fn expand(&self, reduced: &[(Vec<f64>, f64)]) -> (Vec<Vec<f64>>, Vec<f64>) {
        let d = self.design.frame.raw_features();
        let classes = self.contrast().classes();
        let mut coef = vec![vec![0.0; d]; classes];
        let mut all = vec![0.0; classes];
        for j in 0..d {
            self.contrast().expand(|c| reduced[c].0[j], &mut all);
            for (row, value) in coef.iter_mut().zip(&all) {
                row[j] = *value;
            }
        }
        self.contrast().expand(|c| reduced[c].1, &mut all);
        (coef, all)
    }

    /// The unknowns that stand for a model: the inverse of [`Glm::model`], for warm starts. Of a softmax model only
    /// differences between classes count.
    ///
    /// # Errors
    /// A model of another loss, other classes, another number of features, or with an intercept where this problem has
    /// none; non-finite coefficients.
    pub fn point(&self, model: &LinearModel) -> Result<Vec<T>> {
        let frame = &self.design.frame;
        let own = (self.samples.loss, self.classes.as_deref());
        check_model(model, own, frame.raw_features(), frame.intercept)?;
        let (d, p, k) = (
            self.features(),
            self.design.columns(),
            self.samples.outputs(),
        );
        let reduce = |values: Vec<f64>| -> Vec<f64> {
            if self.samples.loss != Loss::Softmax {
                return values;
            }
            let mut out = vec![0.0; k];
            self.contrast().reduce(&values, |c, v| out[c] = v);
            out
        };
        let frame = &self.design.frame;
        let constants = reduce(model.intercept.clone());
        let mut weights = vec![vec![0.0; frame.raw_features()]; k];
        for j in 0..frame.raw_features() {
            let row = reduce(model.coef.iter().map(|row| row[j]).collect());
            for (weights, w) in weights.iter_mut().zip(row) {
                weights[j] = w;
            }
        }
        let mut x = vec![T::of(0.0); p * k];
        for (c, (weights, constant)) in weights.into_iter().zip(constants).enumerate() {
            let (weights, constant) = frame.weights_of_columns(weights, constant);
            for (j, w) in weights.into_iter().enumerate() {
                x[c * p + j] = T::of(w / frame.scale[j]);
            }
            if frame.intercept {
                x[c * p + d] = T::of(constant);
            }
        }
        Ok(x)
    }
}

/// Refuses a model that is of another problem than that of a loss, its classes, and so many features.
///
/// # Errors
/// As [`Glm::point`].
pub(super) fn check_model(
    model: &LinearModel,
    (loss, classes): (Loss, Option<&[f64]>),
    features: usize,
    intercept: bool,
) -> Result<()> {
    model.validate()?;
    if model.loss != loss {
        return Err(Error::argument(
            "model",
            format!("of the loss {}", model.loss),
            &format!("one of the loss {loss}"),
        ));
    }
    if model.classes.as_deref() != classes {
        return Err(Error::argument(
            "model",
            format!("for the classes {:?}", model.classes),
            &format!("one for the classes {classes:?}"),
        ));
    }
    if model.features() != features {
        return Err(Error::shape(
            "the coefficients of the model",
            model.features(),
            features,
        ));
    }
    if !intercept && model.intercept.iter().any(|b| *b != 0.0) {
        return Err(Error::argument(
            "model",
            "with an intercept",
            "one without: this problem has none",
        ));
    }
    Ok(())
}

/// What becomes of targets and weights.
pub(super) struct Prepared {
    /// The rows that count, which ascend.
    pub(super) rows: Vec<usize>,
    /// Places of these rows in the order to store them in; empty for their own.
    pub(super) order: Vec<usize>,
    /// Of the rows.
    pub(super) samples: Samples,
    /// The labels of a classifier, ascending.
    pub(super) classes: Option<Vec<f64>>,
}

/// Checks options and data, but for the values of the matrix, and prepares targets and weights.
///
/// # Errors
/// As [`Glm::new`].
pub(super) fn prepare<T: Scalar>(
    x: &DataMatrix<T>,
    target: &[f64],
    weights: Option<&[f64]>,
    options: &GlmOptions,
) -> Result<Prepared> {
    options.validate()?;
    check_data(x, target, weights, options.intercept)?;
    let rows = rows_that_count(target, weights);
    let weights = scaled_weights(weights, &rows)?;
    let total: f64 = weights.iter().sum();
    let (targets, classes) = prepare_targets(target, &rows, options.loss)?;
    let k = classes.as_ref().map_or(2, Vec::len);
    let samples = Samples {
        loss: options.loss,
        targets,
        weights: weights.into(),
        copies: Vec::new(),
        norm: 1.0 / total,
        contrast: Contrast::new(k),
    };
    Ok(Prepared {
        rows,
        order: Vec::new(),
        samples,
        classes,
    })
}

/// The rows of positive weight.
pub(super) fn rows_that_count(target: &[f64], weights: Option<&[f64]>) -> Vec<usize> {
    match weights {
        Some(w) => (0..w.len()).filter(|&i| w[i] > 0.0).collect(),
        None => (0..target.len()).collect(),
    }
}

/// Checks everything but the values of the matrix; see [`check_values`](super::spread::check_values).
pub(super) fn check_data<T: Scalar>(
    x: &DataMatrix<T>,
    target: &[f64],
    weights: Option<&[f64]>,
    intercept: bool,
) -> Result<()> {
    if target.len() != x.rows() {
        return Err(Error::shape("the target", target.len(), x.rows()));
    }
    if target.is_empty() {
        return Err(Error::data("there are no rows"));
    }
    if x.cols() == 0 && !intercept {
        return Err(Error::data(
            "there is no feature column, and no intercept either",
        ));
    }
    if let Some(i) = target.iter().position(|y| !y.is_finite()) {
        return Err(Error::non_finite("the target (row)", i, target[i]));
    }
    let Some(weights) = weights else {
        return Ok(());
    };
    if weights.len() != x.rows() {
        return Err(Error::shape("the sample weights", weights.len(), x.rows()));
    }
    if let Some(i) = weights.iter().position(|s| !s.is_finite()) {
        return Err(Error::non_finite("the sample weight (row)", i, weights[i]));
    }
    if let Some(i) = weights.iter().position(|s| *s < 0.0) {
        return Err(Error::data(format!(
            "the sample weight of row {i} is {}; weights must not be negative",
            weights[i]
        )));
    }
    if weights.iter().all(|s| *s == 0.0) {
        return Err(Error::data("all sample weights are zero"));
    }
    Ok(())
}

/// The weights of the rows, times a power of two that keeps their sum in range.
fn scaled_weights(weights: Option<&[f64]>, rows: &[usize]) -> Result<Vec<f64>> {
    let Some(all) = weights else {
        return Ok(vec![1.0; rows.len()]);
    };
    let largest = rows.iter().fold(0.0f64, |m, &i| m.max(all[i]));
    let unit = 2f64.powi(-(largest.log2().round() as i32).clamp(-1000, 1000));
    Ok(rows.iter().map(|&i| all[i] * unit).collect())
}

type Labelled = (Targets, Option<Vec<f64>>);

fn prepare_targets(target: &[f64], rows: &[usize], loss: Loss) -> Result<Labelled> {
    if loss.is_classifier() {
        return prepare_labels(target, rows, loss);
    }
    if loss == Loss::Poisson
        && let Some(&i) = rows.iter().find(|&&i| target[i] < 0.0)
    {
        return Err(Error::data(format!(
            "the target of row {i} is {}; the loss poisson needs counts of at least 0",
            target[i]
        )));
    }
    Ok((
        Targets::Real(rows.iter().map(|&i| target[i]).collect()),
        None,
    ))
}

pub(super) fn prepare_labels(target: &[f64], rows: &[usize], loss: Loss) -> Result<Labelled> {
    if let Some(&i) = rows.iter().find(|&&i| target[i].fract() != 0.0) {
        return Err(Error::data(format!(
            "the target of row {i} is {}; the loss {loss} needs integer class labels",
            target[i]
        ))
        .with_hint("for a numeric target use squared, huber or pseudo-huber"));
    }
    // Adding zero turns -0 into 0.
    let mut classes: Vec<f64> = rows.iter().map(|&i| target[i] + 0.0).collect();
    classes.sort_by(f64::total_cmp);
    classes.dedup();
    classes.shrink_to_fit();
    if let [only] = classes[..] {
        return Err(Error::data(format!(
            "every row has the label {only}; a classifier needs at least two classes"
        )));
    }
    if loss == Loss::Logistic && classes.len() > 2 {
        return Err(Error::data(format!(
            "the target has {} classes; the loss logistic separates two",
            classes.len()
        ))
        .with_hint("use the loss softmax, or one-vs-rest"));
    }
    let class = |i: usize| classes.partition_point(|c| *c < target[i]);
    let targets = if loss == Loss::Logistic {
        Targets::Real(rows.iter().map(|&i| 2.0 * class(i) as f64 - 1.0).collect())
    } else {
        Targets::Class(rows.iter().map(|&i| class(i) as u32).collect())
    };
    Ok((targets, Some(classes)))
}
