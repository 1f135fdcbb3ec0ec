//! Directions along which a linear model improves forever: separable classes, counts that are all zero where a column is
//! not.
//!
//! Such a direction exists exactly if F has no minimiser (Albert, Anderson, "On the existence of maximum likelihood
//! estimates in logistic regression models", Biometrika 1984). With a penalty there is none, except for the intercept of
//! a Poisson model whose counts are all zero.

use super::Glm;
use crate::Loss;
use quadric_core::{Scalar, vector};

/// A move of a predictor that is this small against the largest one is rounding.
const ROUNDING: f64 = 1e-6;

/// The names of at most this many columns are given.
const NAMED: usize = 3;

impl<T: Scalar> Glm<T> {
    /// Why F has no minimiser, if the direction `d` shows it.
    pub(super) fn recedes(&self, d: &[T]) -> Option<String> {
        let loss = self.samples.loss;
        if loss == Loss::Poisson && self.design.frame.intercept && self.samples.mean_target() == 0.0
        {
            return Some(
                "every count is zero: the best intercept is minus infinity, so there is no best model".to_owned(),
            );
        }
        if self.l2 > 0.0 || !matches!(loss, Loss::Logistic | Loss::Softmax | Loss::Poisson) {
            return None;
        }
        let moves = self.products(d);
        let slack = ROUNDING * self.samples.largest_move(&moves);
        if !(slack > 0.0 && slack.is_finite()) {
            return None;
        }
        let strict = match loss {
            Loss::Logistic => self.separates_two(&moves, slack)?,
            Loss::Softmax => self.separates_classes(&moves, slack)?,
            _ => self.empties_counts(&moves, slack)?,
        };
        (strict > 0).then(|| self.explain(d, strict))
    }

    /// The number of rows whose margin grows; `None` if one shrinks.
    fn separates_two(&self, moves: &[T], slack: f64) -> Option<usize> {
        let mut strict = 0;
        for i in self.samples.weighted_rows() {
            let margin = self.samples.real(i) * moves[i].to_f64();
            if margin < -slack {
                return None;
            }
            strict += self.samples.copies(i) * usize::from(margin > slack);
        }
        Some(strict)
    }

    /// The number of rows whose class gains on another one; `None` if one loses.
    fn separates_classes(&self, moves: &[T], slack: f64) -> Option<usize> {
        let mut strict = 0;
        let mut eta = vec![0.0; self.contrast().classes()];
        for i in self.samples.weighted_rows() {
            self.samples.predictors(moves, &[], i, &mut eta);
            let own = eta[self.samples.class(i)];
            let (mut least, mut most) = (f64::INFINITY, 0.0f64);
            for (c, other) in eta.iter().enumerate() {
                if c != self.samples.class(i) {
                    least = least.min(own - other);
                    most = most.max(own - other);
                }
            }
            if least < -slack {
                return None;
            }
            strict += self.samples.copies(i) * usize::from(most > slack);
        }
        Some(strict)
    }

    /// The number of rows of count zero whose mean falls; `None` if one rises or a row with a positive count moves.
    fn empties_counts(&self, moves: &[T], slack: f64) -> Option<usize> {
        let mut strict = 0;
        for i in self.samples.weighted_rows() {
            let t = moves[i].to_f64();
            if t > slack || (t < -slack && self.samples.real(i) > 0.0) {
                return None;
            }
            strict += self.samples.copies(i) * usize::from(t < -slack);
        }
        Some(strict)
    }

    fn explain(&self, d: &[T], strict: usize) -> String {
        let columns = self.leading_columns(d);
        let rows = self.samples.weighted_rows();
        let rows: usize = rows.map(|i| self.samples.copies(i)).sum();
        let advice = "so the coefficients grow without end and there is no best model; an l2 penalty above 0 gives one";
        match self.samples.loss {
            Loss::Poisson => format!(
                "{columns} singles out {strict} of {rows} rows whose counts are all zero, {advice}"
            ),
            _ if strict == rows => format!("{columns} separates the classes perfectly, {advice}"),
            _ => format!(
                "{columns} separates the classes in {strict} of {rows} rows and contradicts no other row \
                 (quasi-complete separation), {advice}"
            ),
        }
    }

    /// The columns that dominate a direction, as the subject of a sentence.
    fn leading_columns(&self, d: &[T]) -> String {
        let frame = &self.design.frame;
        let weights = |c: usize| {
            let columns = (0..self.features()).map(|j| self.raw(d, c, j)).collect();
            frame.weights_of_features(columns, 0.0).0
        };
        let weights: Vec<Vec<f64>> = (0..self.samples.outputs()).map(weights).collect();
        // In units of the features' spreads the sizes compare.
        let size = |j: usize| {
            let parts: Vec<f64> = weights
                .iter()
                .map(|w| w[j] / frame.raw_scale()[j])
                .collect();
            vector::norm2(&parts)
        };
        let mut sizes: Vec<(usize, f64)> =
            (0..frame.raw_features()).map(|j| (j, size(j))).collect();
        sizes.sort_by(|a, b| b.1.total_cmp(&a.1));
        let largest = sizes.first().map_or(0.0, |s| s.1);
        let leading: Vec<usize> = sizes
            .iter()
            .take_while(|(_, size)| *size > 0.1 * largest)
            .map(|(j, _)| *j)
            .collect();
        let name = |j: &usize| match &self.names {
            Some(names) => format!("`{}`", names[*j]),
            None => format!("{}", j + 1),
        };
        match leading.as_slice() {
            [] => "the intercept".to_owned(),
            [only] => format!("column {}", name(only)),
            many => {
                let listed: Vec<String> = many.iter().take(NAMED).map(name).collect();
                let more = if many.len() > NAMED {
                    " and others"
                } else {
                    ""
                };
                format!("a combination of the columns {}{more}", listed.join(", "))
            }
        }
    }
}
