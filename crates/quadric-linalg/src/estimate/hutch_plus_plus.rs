//! A part of the operator exactly, and the rest by the mean of quadratic forms.
//!
//! Meyer, Musco, Musco, Woodruff, "Hutch++: optimal stochastic trace estimation", arXiv 2010.09649: Q = orth(H S), and
//! tr H = tr(QᵀHQ) + tr((I - QQᵀ) H (I - QQᵀ)), a third of the products each for H S, H Q and the probes G of the second term.
//! Here all three grow together; H G is kept without its projection, so a larger Q needs no product again. The interval is
//! Student's, wider by the factor 1 + 5/k for k probes, which was found by experiment.

use super::Estimate;
use super::columns::{Columns, gram};
use super::probe::{Probe, Samples};
use super::student::{mean_and_spread, student_half};
use super::trace::{Estimator, TraceOptions};
use crate::random::SeedTree;
use crate::{LinearOperator, Result, Scalar};

pub(super) struct HutchPlusPlus<T> {
    probe: Probe,
    block: usize,
    seed: SeedTree,
    /// Orthonormal, and its image.
    q: Columns<T>,
    hq: Columns<T>,
    /// Probes, and their images.
    g: Columns<T>,
    hg: Columns<T>,
    samples: Samples,
}

impl<T: Scalar> HutchPlusPlus<T> {
    pub(super) fn new(n: usize, options: &TraceOptions, seed: SeedTree) -> Self {
        Self {
            probe: options.probe,
            block: options.block,
            seed,
            q: Columns::new(n),
            hq: Columns::new(n),
            g: Columns::new(n),
            hg: Columns::new(n),
            samples: Samples::new(&options.parts),
        }
    }
}

impl<T: Scalar> Estimator<T> for HutchPlusPlus<T> {
    fn grow(&mut self, op: &dyn LinearOperator<T>, products: usize) -> Result<()> {
        let (n, k, old) = (self.q.rows(), products / 3, self.q.count());
        let (mut s, mut image) = (Columns::new(n), Columns::new(n));
        let fresh = s.extend(k - old)?.chunks_exact_mut(n);
        let sketch = self.seed.child("sketch");
        crate::parallel::for_each(fresh, |j, s| {
            self.probe.draw(sketch.stream((old + j) as u64), s);
        });
        image.multiply(op, &s, self.block)?;
        self.q.orthonormalise(&image, self.seed.child("basis"))?;
        self.hq.multiply(op, &self.q, self.block)?;
        self.probe
            .extend(&mut self.g, k, self.seed.child("probes"))?;
        self.hg.multiply(op, &self.g, self.block)?;
        for j in old..k {
            self.samples.add(self.g.column(j), self.hg.column(j));
        }
        Ok(())
    }

    fn products(&self) -> usize {
        3 * self.q.count()
    }

    fn least(&self) -> usize {
        30
    }

    fn granularity(&self) -> usize {
        3
    }

    fn plan(&self, excess: f64) -> f64 {
        let used = 3.0 * self.q.count() as f64;
        1.05 * used * (excess * excess).min(1.5)
    }

    fn total(&self, level: f64) -> Result<Estimate> {
        let (q, hq, g) = (self.q.as_ref(), self.hq.as_ref(), self.g.as_ref());
        let (core, w, image) = (gram(q, hq), gram(q, g), gram(hq, g));
        let k = self.q.count();
        // (g - Q w)ᵀH(g - Q w) of each probe g, with w = Qᵀg.
        let rest = self.samples.totals.iter().enumerate().map(|(j, total)| {
            let inner: f64 = (0..k)
                .map(|a| w[(a, j)] * core_times(&core, &w, a, j))
                .sum();
            let cross: f64 = (0..k).map(|a| w[(a, j)] * image[(a, j)]).sum();
            total - 2.0 * cross + inner
        });
        let rest: Vec<f64> = rest.collect();
        let caught: f64 = (0..k).map(|j| core[(j, j)]).sum();
        // The rest is often a few squares of normal variables, for which Student's interval of few of them is too short.
        let wider = 1.0 + 5.0 / k as f64;
        let half = wider * student_half(&rest, 0, level) + self.samples.rounding;
        Ok(Estimate::around(
            caught + mean_and_spread(&rest).0,
            half,
            level,
        ))
    }

    fn samples(&self) -> &Samples {
        &self.samples
    }
}

/// Entry (a, j) of the product of a square matrix with w.
fn core_times(core: &faer::Mat<f64>, w: &faer::Mat<f64>, a: usize, j: usize) -> f64 {
    (0..core.ncols()).map(|b| core[(a, b)] * w[(b, j)]).sum()
}
