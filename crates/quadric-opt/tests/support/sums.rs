//! Logistic regression on synthetic rows, written down independently of the models crate.

use faer::Mat;
use quadric_core::random::SeedTree;
use quadric_core::{
    BoxOp, Error, FiniteSum, Objective, Problem, Result, SelfConcordant, Smooth, TwiceSmooth,
    capabilities,
};

use super::functions::Dense;

/// `mean log(1 + exp(-y x·w)) + l2/2 |w|²`.
#[derive(Clone)]
pub(crate) struct Logistic {
    rows: Vec<Vec<f64>>,
    labels: Vec<f64>,
    l2: f64,
}

impl Logistic {
    /// `n` normal rows with columns scaled from 1 down to `smallest`; labels from a noisy linear rule.
    pub(crate) fn new(n: usize, d: usize, smallest: f64, l2: f64) -> Self {
        let mut s = SeedTree::new(5).child("logistic").stream(0);
        let scale = |j: usize| smallest.powf(j as f64 / (d.max(2) - 1) as f64);
        let rows: Vec<Vec<f64>> = (0..n)
            .map(|_| (0..d).map(|j| scale(j) * s.normal()).collect())
            .collect();
        let labels = rows
            .iter()
            .map(|r| (r.iter().sum::<f64>() + s.normal()).signum())
            .collect();
        Self { rows, labels, l2 }
    }

    fn margins<'a>(&'a self, w: &'a [f64]) -> impl Iterator<Item = (f64, &'a [f64], f64)> {
        self.rows.iter().zip(&self.labels).map(move |(r, y)| {
            let m = y * r.iter().zip(w).map(|(a, b)| a * b).sum::<f64>();
            (m, r.as_slice(), *y)
        })
    }
}

impl Problem<f64> for Logistic {
    fn dim(&self) -> usize {
        self.rows[0].len()
    }
    fn name(&self) -> &str {
        "logistic"
    }
    capabilities!(f64: SelfConcordant, FiniteSum);
}

impl Objective<f64> for Logistic {
    fn value(&self, w: &[f64]) -> Result<f64> {
        self.value_grad(w, &mut vec![0.0; w.len()])
    }
}

impl Smooth<f64> for Logistic {
    fn value_grad(&self, w: &[f64], g: &mut [f64]) -> Result<f64> {
        let n = self.rows.len() as f64;
        for (g, w) in g.iter_mut().zip(w) {
            *g = self.l2 * w;
        }
        let mut f = 0.0;
        for (m, r, y) in self.margins(w) {
            f += (-m).max(0.0) + (-m.abs()).exp().ln_1p();
            let slope = -y / (1.0 + m.exp()) / n;
            for (g, a) in g.iter_mut().zip(r) {
                *g += slope * a;
            }
        }
        Ok(f / n + 0.5 * self.l2 * w.iter().map(|v| v * v).sum::<f64>())
    }
}

impl TwiceSmooth<f64> for Logistic {
    fn hessian(&self, w: &[f64]) -> Result<BoxOp<'_, f64>> {
        let (n, d) = (self.rows.len() as f64, w.len());
        let mut h = Mat::from_fn(d, d, |i, j| if i == j { self.l2 } else { 0.0 });
        for (m, r, _) in self.margins(w) {
            let e = (-m.abs()).exp();
            let weight = e / (1.0 + e).powi(2) / n;
            for i in 0..d {
                for j in 0..d {
                    h[(i, j)] += weight * r[i] * r[j];
                }
            }
        }
        Ok(Box::new(Dense(h)))
    }
}

impl SelfConcordant<f64> for Logistic {
    fn concordance(&self, h: &[f64]) -> Result<f64> {
        Ok(self.margins(h).fold(0.0, |c, (m, _, _)| c.max(m.abs())))
    }
}

impl FiniteSum<f64> for Logistic {
    fn terms(&self) -> usize {
        self.rows.len()
    }
    fn batch(&self, rows: &[usize]) -> Result<Box<dyn FiniteSum<f64> + '_>> {
        if let Some(row) = rows.iter().find(|r| **r >= self.rows.len()) {
            return Err(Error::argument("row", row, "a row of the data"));
        }
        Ok(Box::new(Self {
            rows: rows.iter().map(|r| self.rows[*r].clone()).collect(),
            labels: rows.iter().map(|r| self.labels[*r]).collect(),
            l2: self.l2,
        }))
    }
    fn term_smoothness(&self) -> Option<f64> {
        let squares = self.rows.iter().map(|r| r.iter().map(|v| v * v).sum());
        Some(self.l2 + 0.25 * squares.fold(0.0, f64::max))
    }
}
