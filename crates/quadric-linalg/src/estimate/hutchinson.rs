//! The mean of quadratic forms.
//!
//! Girard, "A fast Monte-Carlo cross-validation procedure for large least squares problems with noisy data" (1989);
//! Hutchinson, "A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines" (1989). The
//! interval is Student's; after an early look it is never narrower than that of the spread at the first look, as in Stein, "A
//! two-sample test for a linear hypothesis whose power is independent of the variance" (1945), whose coverage does not
//! depend on how many probes follow.

use super::Estimate;
use super::columns::Columns;
use super::probe::{Probe, Samples};
use super::trace::{Estimator, TraceOptions};
use crate::random::SeedTree;
use crate::{LinearOperator, Result, Scalar};

pub(super) struct Hutchinson {
    probe: Probe,
    block: usize,
    seed: SeedTree,
    pilot: usize,
    samples: Samples,
}

impl Hutchinson {
    pub(super) fn new(options: &TraceOptions, seed: SeedTree) -> Self {
        Self {
            probe: options.probe,
            block: options.block,
            seed: seed.child("hutchinson"),
            pilot: 0,
            samples: Samples::new(&options.parts),
        }
    }
}

impl<T: Scalar> Estimator<T> for Hutchinson {
    fn grow(&mut self, op: &dyn LinearOperator<T>, products: usize) -> Result<()> {
        let n = op.shape().0;
        let (mut z, mut image) = (Columns::<T>::new(n), Columns::new(n));
        while self.samples.count() < products {
            let first = self.samples.count();
            let k = self.block.min(products - first);
            z.clear();
            image.clear();
            let fresh = z.extend(k)?.chunks_exact_mut(n);
            crate::parallel::for_each(fresh, |j, z| {
                self.probe.draw(self.seed.stream((first + j) as u64), z);
            });
            image.multiply(op, &z, self.block)?;
            (0..k).for_each(|j| self.samples.add(z.column(j), image.column(j)));
        }
        if self.pilot == 0 {
            self.pilot = products;
        }
        Ok(())
    }

    fn products(&self) -> usize {
        self.samples.count()
    }

    fn least(&self) -> usize {
        2
    }

    fn granularity(&self) -> usize {
        1
    }

    /// The error falls with the root of the number of probes.
    fn plan(&self, excess: f64) -> f64 {
        let needed = 1.05 * self.samples.count() as f64 * excess * excess;
        (needed / self.block as f64).ceil() * self.block as f64
    }

    fn total(&self, level: f64) -> Result<Estimate> {
        let samples = &self.samples;
        Ok(samples.mean(&samples.totals, self.pilot, level))
    }

    fn samples(&self) -> &Samples {
        &self.samples
    }

    fn pilot(&self) -> usize {
        self.pilot
    }
}
