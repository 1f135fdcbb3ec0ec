//! The targets that a network itself expects: draws, and the covariance of the slopes that come of them.

use super::{Loss, Losses, counted, counts, entries};
use quadric_autodiff::Tensor;
use quadric_linalg::random::SeedTree;
use std::ops::Range;

impl Loss {
    /// Keys of [`sampled`](Self::sampled) for some examples, counted in the whole data set, so that what is drawn does not
    /// depend on batches: two indices for each, made of the seed, the number of the draw, and the number of the example.
    pub fn keys(seed: u64, draw: usize, examples: Range<usize>) -> Vec<i32> {
        let seeds = SeedTree::new(seed).child("targets");
        let seeds = seeds.child(&draw.to_string());
        let bits = examples.map(|i| seeds.stream(i as u64).bits());
        bits.flat_map(|b| [b as i32, (b >> 32) as i32]).collect()
    }

    /// The losses of a batch whose targets the model itself draws: labels and events with their probabilities, real numbers
    /// normal around the outputs, with the variance for which the loss is minus the logarithm of their density. Labels are not
    /// smoothed; those that do not count in `targets` do not count here.
    ///
    /// Draws depend on `keys` `(n, 2)` as [`Tracer::random`](quadric_autodiff::Tracer::random) says; derivatives take them for
    /// constants. Probabilities are rounded to multiples of 2⁻²⁴.
    #[track_caller]
    pub fn sampled<'t>(
        self,
        outputs: Tensor<'t>,
        targets: Tensor<'t>,
        keys: Tensor<'t>,
    ) -> Losses<'t> {
        self.check_shapes(outputs, targets);
        let (t, fixed) = (outputs.tracer(), outputs.detach());
        let each = targets.shape().into_iter().skip(1);
        let drawn = match self {
            Self::CrossEntropy { ignored, .. } => {
                let picked = outputs.log_softmax(-1) * drawn_class(fixed, t.random(keys, each));
                return counted(-picked.sum(&[-1]), targets, ignored);
            }
            Self::Squared => fixed + t.normal(keys, each),
            Self::MeanSquared => {
                fixed + t.normal(keys, each) * (entries(outputs) as f64 / 2.0).sqrt()
            }
            Self::Bernoulli => t.random(keys, each).less(fixed.sigmoid()),
        };
        self.apply(outputs, drawn)
    }

    /// `S v` for `v` like the outputs, where `S Sᵀ` is for each example the covariance of the slopes of
    /// [`sampled`](Self::sampled) losses by its outputs: for labels of probabilities p the columns `√p_c (e_c - p)`, nothing for
    /// those that do not count; for events of probabilities p the diagonal of `√(p (1 - p))`; for real numbers of variance s that
    /// of `1 / √s`.
    #[track_caller]
    pub fn root<'t>(self, outputs: Tensor<'t>, targets: Tensor<'t>, v: Tensor<'t>) -> Tensor<'t> {
        self.check_shapes(outputs, targets);
        match self {
            Self::CrossEntropy { ignored, .. } => {
                let log_p = outputs.log_softmax(-1);
                let (p, v) = (log_p.exp(), (log_p * 0.5).exp() * v);
                (v - p * v.sum(&[-1]).expand(-1)) * counts(targets, ignored).expand(-1)
            }
            Self::Squared => v,
            Self::MeanSquared => v * (2.0 / entries(outputs) as f64).sqrt(),
            Self::Bernoulli => v * (outputs.sigmoid() * (-outputs).sigmoid()).sqrt(),
        }
    }
}

/// For logits `(.., classes)` and uniform numbers `(..)`: 1 at the class whose share of [0, 1) has the number, else 0.
fn drawn_class<'t>(logits: Tensor<'t>, u: Tensor<'t>) -> Tensor<'t> {
    let classes = logits.dim(-1);
    let sums = logits.softmax(-1).cumulative_sum(-1);
    // The last end is 1, and each class begins where the one before ends.
    let ends = sums / sums.slice(-1, classes - 1..classes);
    let starts = ends.slice(-1, 0..classes - 1).pad(-1, 1, 0);
    let u = u.expand(-1);
    starts.less_equal(u) * u.less(ends)
}
