//! A fitted linear model in the units of the data.

use super::samples::softmax;
use crate::Loss;
use faer::Mat;
use quadric_core::{DataMatrix, Error, Result};
use quadric_linalg::kernels;
use quadric_linalg::math::{exp, sigmoid, softplus};
use serde::{Deserialize, Serialize};

/// Coefficients and intercepts of a linear model, in the units of the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearModel {
    /// The loss it was fitted with, which decides what a prediction is.
    pub loss: Loss,
    /// One row of d coefficients; for softmax, and for logistic with more than two classes (each against the rest), one row
    /// per class, ascending.
    pub coef: Vec<Vec<f64>>,
    /// One intercept per row of `coef`; 0 where the model has none.
    pub intercept: Vec<f64>,
    /// The labels of a classifier, ascending.
    pub classes: Option<Vec<f64>>,
}

/// What a model says about rows of data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// One per row: the most probable label of a classifier, the mean otherwise.
    pub predictions: Vec<f64>,
    /// For classifiers: per row the probability of each class, in the order of the model's classes.
    pub probabilities: Option<Vec<Vec<f64>>>,
}

impl LinearModel {
    /// Number of features d.
    pub fn features(&self) -> usize {
        self.coef.first().map_or(0, Vec::len)
    }

    /// Checks that the parts fit together and are finite, for models that come from a file.
    ///
    /// # Errors
    /// Numbers of rows, features or classes that contradict each other or the loss; non-finite values.
    pub fn validate(&self) -> Result<()> {
        let classes = self.classes.as_ref().map(Vec::len);
        let (rows, fits) = match self.loss {
            Loss::Softmax => (classes.unwrap_or(0), classes.is_some_and(|k| k >= 2)),
            // Two classes have one predictor, more have one each against the rest.
            Loss::Logistic if classes.is_some_and(|k| k > 2) => (classes.unwrap_or(0), true),
            Loss::Logistic => (1, classes == Some(2)),
            _ => (1, classes.is_none()),
        };
        if !fits {
            return Err(Error::data(format!(
                "a model of the loss {} cannot have the classes {:?}",
                self.loss, self.classes
            )));
        }
        let ascend =
            |c: &[f64]| c.iter().is_sorted_by(|a, b| a < b) && c.iter().all(|v| v.is_finite());
        if !self.classes.as_deref().is_none_or(ascend) {
            return Err(Error::data(format!(
                "the classes {:?} are not finite labels in ascending order",
                self.classes
            )));
        }
        if self.coef.len() != rows || self.intercept.len() != rows {
            return Err(Error::shape(
                "the model's (coefficient rows, intercepts)",
                (self.coef.len(), self.intercept.len()),
                (rows, rows),
            ));
        }
        for (c, row) in self.coef.iter().enumerate() {
            if row.len() != self.features() {
                return Err(Error::shape(
                    "a row of coefficients",
                    row.len(),
                    self.features(),
                ));
            }
            if let Some(j) = row.iter().position(|w| !w.is_finite()) {
                return Err(Error::non_finite(
                    "the coefficient (row, column)",
                    (c, j),
                    row[j],
                ));
            }
        }
        if let Some(c) = self.intercept.iter().position(|b| !b.is_finite()) {
            return Err(Error::non_finite("the intercept", c, self.intercept[c]));
        }
        Ok(())
    }

    /// The linear predictors of the rows of `x` (n, d), (n, rows of `coef`) row after row.
    fn predictors(&self, x: &DataMatrix<f64>) -> Result<Vec<f64>> {
        self.validate()?;
        let (d, k) = (self.features(), self.coef.len());
        if x.cols() != d {
            return Err(
                Error::shape("the data", (x.rows(), x.cols()), (x.rows(), d))
                    .with_hint("the model was fitted on another number of features"),
            );
        }
        if let Some((i, j, value)) = x.first_non_finite() {
            return Err(Error::non_finite("the data (row, column)", (i, j), value));
        }
        let v = Mat::from_fn(d, k, |j, c| self.coef[c][j]);
        let mut eta = vec![0.0; x.rows() * k];
        kernels::multiply(x, v.as_ref(), &mut eta);
        for row in eta.chunks_exact_mut(k) {
            for (e, b) in row.iter_mut().zip(&self.intercept) {
                *e += b;
            }
        }
        match eta.iter().position(|e| !e.is_finite()) {
            Some(i) => Err(Error::non_finite(
                "the linear predictor (row, class)",
                (i / k, i % k),
                eta[i],
            )
            .with_hint("the data are far larger than those that the model was fitted on")),
            None => Ok(eta),
        }
    }

    /// Predicts the rows of `x` (n, d).
    ///
    /// # Errors
    /// Another number of features, non-finite data, or data so large that a predictor overflows.
    pub fn predict(&self, x: &DataMatrix<f64>) -> Result<Prediction> {
        let eta = self.predictors(x)?;
        let Some(classes) = &self.classes else {
            let mean = |eta: f64| {
                if self.loss == Loss::Poisson {
                    exp(eta)
                } else {
                    eta
                }
            };
            return Ok(Prediction {
                predictions: eta.into_iter().map(mean).collect(),
                probabilities: None,
            });
        };
        let rows = eta.chunks_exact(self.coef.len());
        let probabilities: Vec<Vec<f64>> = match (self.loss, classes.len()) {
            (Loss::Logistic, 2) => eta.iter().map(|e| vec![sigmoid(-e), sigmoid(*e)]).collect(),
            (Loss::Logistic, _) => rows.map(against_the_rest).collect(),
            _ => rows.map(|row| probabilities(row.to_vec())).collect(),
        };
        Ok(Prediction {
            predictions: probabilities.iter().map(|p| classes[largest(p)]).collect(),
            probabilities: Some(probabilities),
        })
    }
}

/// The softmax of predictors.
fn probabilities(mut eta: Vec<f64>) -> Vec<f64> {
    softmax(&mut eta);
    eta
}

/// The probabilities of each class against the rest, scaled so that their sum is one; by their logarithms, which do not
/// underflow all together.
fn against_the_rest(eta: &[f64]) -> Vec<f64> {
    probabilities(eta.iter().map(|e| -softplus(-e)).collect())
}

/// Index of the largest value, the first of equals.
fn largest(p: &[f64]) -> usize {
    (1..p.len()).fold(0, |best, c| if p[c] > p[best] { c } else { best })
}
