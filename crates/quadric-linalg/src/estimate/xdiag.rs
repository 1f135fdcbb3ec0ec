//! The diagonal by the same test vectors for the large part and the rest.
//!
//! Epperly, Tropp, Webber, "XTrace: making the most of every sample in stochastic trace estimation", arXiv 2301.07825, section
//! on XDiag, for symmetric operators. With the basis Q_i of the images of all test vectors but ω_i,
//! d_i = diag(Q_i Q_iᵀ H) + ω_i ∘ (I - Q_i Q_iᵀ) H ω_i; where Q_i Q_iᵀ = Q(I - s_i s_iᵀ)Qᵀ the second part is
//! ω_i ∘ Q s_i / ‖R⁻ᵀ e_i‖.

use super::probe::{Probe, Samples};
use super::xtrace::Sketch;
use crate::random::SeedTree;
use crate::{LinearOperator, Result, Scalar};

/// The diagonal (n) of `op` from 2 `k` products, as the estimates of each entry that leave one test vector out, given one after
/// the other to `tell(entry, estimates)`.
pub(super) fn xdiag<T: Scalar>(
    op: &dyn LinearOperator<T>,
    k: usize,
    block: usize,
    seed: SeedTree,
    mut tell: impl FnMut(usize, &[f64]),
) -> Result<()> {
    let n = op.shape().0;
    let samples = Samples::new(&[]);
    let seed = seed.child("xdiag");
    let mut sketch = Sketch::<T>::new(n, Probe::Rademacher, block, samples, seed);
    sketch.grow(op, k)?;
    let Some(s) = sketch.missing()? else {
        (0..n).for_each(|entry| tell(entry, &vec![0.0; k]));
        return Ok(());
    };
    let dot = |a: &dyn Fn(usize) -> f64, b: &dyn Fn(usize) -> f64| -> f64 {
        (0..k).map(|c| a(c) * b(c)).sum()
    };
    // s_iᵀ R e_i = 1/‖R⁻ᵀ e_i‖.
    let lengths: Vec<f64> = (0..k)
        .map(|i| dot(&|c| s[(c, i)], &|c| sketch.r[(c, i)]))
        .collect();
    let mut estimates = vec![0.0; k];
    for entry in 0..n {
        let row = |m: faer::MatRef<'_, T>| -> Vec<f64> {
            (0..k).map(|c| m[(entry, c)].to_f64()).collect()
        };
        let (q, z) = (row(sketch.q.as_ref()), row(sketch.z.as_ref()));
        let caught = dot(&|c| q[c], &|c| z[c]);
        for (i, estimate) in estimates.iter_mut().enumerate() {
            let qs = dot(&|c| q[c], &|c| s[(c, i)]);
            let zs = dot(&|c| z[c], &|c| s[(c, i)]);
            let omega = sketch.omega.column(i)[entry].to_f64();
            *estimate = caught - qs * zs + omega * qs * lengths[i];
        }
        tell(entry, &estimates);
    }
    Ok(())
}
