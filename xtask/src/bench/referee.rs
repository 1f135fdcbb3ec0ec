//! The one function that judges everybody's answers. It shares no code with what it judges.

use super::jobs::Loss;
use crate::Result;
use serde_json::Value;
use std::path::Path;

/// A data set, and the objective on it.
pub(super) struct Referee {
    rows: Vec<Vec<(usize, f64)>>,
    targets: Vec<f64>,
    /// Index of each row's label among the distinct labels, ascending.
    classes: Vec<usize>,
    /// Number of distinct labels.
    pub(super) labels: usize,
    /// Number of columns.
    pub(super) columns: usize,
}

impl Referee {
    /// Reads svmlight text.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let bad = |what: &str| format!("{}: `{what}` is no svmlight", path.display());
        let (mut rows, mut labels) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let label = words.next().ok_or_else(|| bad(line))?;
            labels.push(label.parse::<f64>().map_err(|_| bad(label))?);
            let entry = |word: &str| {
                let (index, value) = word.split_once(':')?;
                let index: usize = index.parse().ok()?;
                Some((index.checked_sub(1)?, value.parse().ok()?))
            };
            let row = words.map(|w| entry(w).ok_or_else(|| bad(w)));
            rows.push(row.collect::<Result<Vec<(usize, f64)>>>()?);
        }
        let mut distinct = labels.clone();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        let classes = labels.iter().map(|y| distinct.partition_point(|d| d < y));
        Ok(Self {
            classes: classes.collect(),
            targets: labels,
            labels: distinct.len(),
            columns: rows.iter().flatten().map(|(j, _)| j + 1).max().unwrap_or(0),
            rows,
        })
    }

    /// Stored values.
    pub(super) fn nonzeros(&self) -> usize {
        self.rows.iter().map(Vec::len).sum()
    }

    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The mean loss plus `l2/2 ‖w‖²` of an answer: one row of coefficients (for logistic loss the larger label is the positive
    /// one), for softmax one per label.
    pub(super) fn objective(&self, answer: &Value, loss: Loss, l2: f64) -> Result<f64> {
        let numbers =
            |v: &Value| -> Option<Vec<f64>> { v.as_array()?.iter().map(Value::as_f64).collect() };
        let coef: Option<Vec<Vec<f64>>> = answer["coef"]
            .as_array()
            .and_then(|rows| rows.iter().map(numbers).collect());
        let (Some(coef), Some(intercept)) = (coef, numbers(&answer["intercept"])) else {
            return Err(format!("an answer without weights: {answer}"));
        };
        let expected = if loss == Loss::Softmax {
            self.labels
        } else {
            1
        };
        if coef.len() != expected || coef.iter().any(|w| w.len() != self.columns) {
            return Err(format!(
                "weights for {} x {}",
                coef.len(),
                coef.first().map_or(0, Vec::len)
            ));
        }
        let mut sum = 0.0;
        for (i, row) in self.rows.iter().enumerate() {
            let eta =
                |c: usize| row.iter().map(|(j, v)| v * coef[c][*j]).sum::<f64>() + intercept[c];
            let class = self.classes[i];
            sum += match loss {
                Loss::Squared => 0.5 * (self.targets[i] - eta(0)).powi(2),
                Loss::Logistic => {
                    let margin = if class == 1 { eta(0) } else { -eta(0) };
                    (-margin).max(0.0) + (-margin.abs()).exp().ln_1p()
                }
                Loss::Softmax => softmax(&(0..self.labels).map(eta).collect::<Vec<_>>(), class),
            };
        }
        let squares: f64 = coef.iter().flatten().map(|w| w * w).sum();
        Ok(sum / self.rows.len() as f64 + 0.5 * l2 * squares)
    }
}

/// `ln Σ exp(eta) - eta[class]`, without losing a small sum beside an own term of 1.
fn softmax(eta: &[f64], class: usize) -> f64 {
    let most = eta.iter().fold(f64::NEG_INFINITY, |m, e| m.max(*e));
    let others = eta.iter().enumerate().filter(|(c, _)| *c != class);
    let sum: f64 = others.map(|(_, e)| (e - most).exp()).sum();
    let own = (eta[class] - most).exp();
    if own == 1.0 {
        sum.ln_1p()
    } else {
        (own + sum).ln() + most - eta[class]
    }
}
