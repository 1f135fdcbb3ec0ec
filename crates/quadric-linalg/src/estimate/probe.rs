//! Random vectors z with E z zᵀ = I, and what their quadratic forms say.

use super::Estimate;
use super::columns::Columns;
use super::student::student_half;
use crate::random::{SeedTree, Stream};
use crate::vector::{dot, norm2, scale};
use crate::{Result, Scalar};
use std::ops::Range;

/// The distribution of probes. For a symmetric H of order n the variance of zᵀHz is
/// 2(‖H‖² - Σ H_ii²) for signs, 2‖H‖² for normal entries and 2n/(n + 2) (‖H‖² - (tr H)²/n) on the sphere (‖H‖ of Frobenius):
/// signs are never worse than the sphere, by more than the factor n/(n + 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    /// Entries -1 and 1 (Hutchinson 1989).
    #[default]
    Rademacher,
    /// Independent standard normal entries.
    Gaussian,
    /// Uniform on the sphere of radius √n.
    Sphere,
}

impl Probe {
    /// Writes one vector.
    pub(super) fn draw<T: Scalar>(self, mut stream: Stream, z: &mut [T]) {
        match self {
            Self::Rademacher => z.iter_mut().for_each(|z| *z = T::of(stream.sign())),
            Self::Gaussian | Self::Sphere => {
                z.iter_mut().for_each(|z| *z = T::of(stream.normal()));
            }
        }
        let norm = norm2(z);
        if self == Self::Sphere && norm > 0.0 {
            scale((z.len() as f64).sqrt() / norm, z);
        }
    }

    /// Appends vectors until there are `count`; number j comes from stream j.
    ///
    /// # Errors
    /// No memory.
    pub(super) fn extend<T: Scalar>(
        self,
        z: &mut Columns<T>,
        count: usize,
        seed: SeedTree,
    ) -> Result<()> {
        let (first, n) = (z.count(), z.rows().max(1));
        let fresh = z.extend(count - first)?.chunks_exact_mut(n);
        crate::parallel::for_each(fresh, |j, z| self.draw(seed.stream((first + j) as u64), z));
        Ok(())
    }
}

/// Quadratic forms of probes: of the whole operator, and of its diagonal blocks.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    parts: Vec<Range<usize>>,
    /// zᵀHz of each probe.
    pub(super) totals: Vec<f64>,
    /// z_lᵀ(Hz)_l, part after part.
    by_part: Vec<Vec<f64>>,
    /// The most that rounding can have moved one of them.
    pub(super) rounding: f64,
}

impl Samples {
    pub(super) fn new(parts: &[Range<usize>]) -> Self {
        Self {
            parts: parts.to_vec(),
            totals: Vec::new(),
            by_part: vec![Vec::new(); parts.len()],
            rounding: 0.0,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.totals.len()
    }

    /// Adds a probe and its product.
    pub(super) fn add<T: Scalar>(&mut self, z: &[T], image: &[T]) {
        self.totals.push(dot(z, image));
        for (part, values) in self.parts.iter().zip(&mut self.by_part) {
            values.push(dot(&z[part.clone()], &image[part.clone()]));
        }
        self.rounding = self.rounding.max(T::EPSILON * norm2(z) * norm2(image));
    }

    /// The mean of the quadratic forms of each part, with Student's interval.
    pub(super) fn parts(&self, pilot: usize, level: f64) -> Vec<Estimate> {
        let parts = self.by_part.iter();
        parts.map(|v| self.mean(v, pilot, level)).collect()
    }

    /// The mean of values with Student's interval.
    pub(super) fn mean(&self, values: &[f64], pilot: usize, level: f64) -> Estimate {
        let mean = super::student::mean_and_spread(values).0;
        Estimate::around(
            mean,
            student_half(values, pilot, level) + self.rounding,
            level,
        )
    }
}
