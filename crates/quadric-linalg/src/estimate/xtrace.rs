//! Every test vector serves twice: to catch the large part of the operator, and, left out of that, as a probe of the rest.
//!
//! Epperly, Tropp, Webber, "XTrace: making the most of every sample in stochastic trace estimation", arXiv 2301.07825. With
//! test vectors Ω (n, k) on the sphere of radius √n, Y = HΩ = QR, Z = HQ and s_i the column i of R⁻ᵀ, normalised, the basis
//! without test vector i is Q(I - s_i s_iᵀ), so all k estimates come from matrices (k, k). The interval is that of
//! [`left_out`].

use super::Estimate;
use super::columns::{Columns, gram};
use super::probe::{Probe, Samples};
use super::student::left_out;
use super::trace::{Estimator, TraceOptions};
use crate::dense::solve_lower_in_place;
use crate::random::SeedTree;
use crate::vector::norm2;
use crate::{Error, ErrorKind, LinearOperator, Result, Scalar};
use faer::{Mat, MatRef};

/// Test vectors, the basis of their images, and the image of the basis. What XDiag needs, too.
pub(super) struct Sketch<T> {
    probe: Probe,
    block: usize,
    seed: SeedTree,
    pub(super) omega: Columns<T>,
    pub(super) q: Columns<T>,
    pub(super) z: Columns<T>,
    /// Y = QR.
    pub(super) r: Mat<f64>,
    pub(super) samples: Samples,
}

impl<T: Scalar> Sketch<T> {
    pub(super) fn new(
        n: usize,
        probe: Probe,
        block: usize,
        samples: Samples,
        seed: SeedTree,
    ) -> Self {
        Self {
            probe,
            block,
            seed,
            omega: Columns::new(n),
            q: Columns::new(n),
            z: Columns::new(n),
            r: Mat::zeros(0, 0),
            samples,
        }
    }

    /// Goes on to `k` test vectors, by two products for each new one.
    pub(super) fn grow(&mut self, op: &dyn LinearOperator<T>, k: usize) -> Result<()> {
        let (n, old) = (self.q.rows(), self.q.count());
        self.probe
            .extend(&mut self.omega, k, self.seed.child("test vectors"))?;
        let (mut fresh, mut image) = (Columns::new(n), Columns::new(n));
        let entries = fresh.extend(k - old)?;
        for (j, column) in (old..k).zip(entries.chunks_exact_mut(n)) {
            column.copy_from_slice(self.omega.column(j));
        }
        image.multiply(op, &fresh, self.block)?;
        for j in old..k {
            self.samples
                .add(self.omega.column(j), image.column(j - old));
        }
        let r = self.q.orthonormalise(&image, self.seed.child("basis"))?;
        self.z.multiply(op, &self.q, self.block)?;
        self.r = Mat::from_fn(k, k, |i, j| match (i < old, j < old) {
            (true, true) => self.r[(i, j)],
            (false, true) => 0.0,
            (_, false) => r[(i, j - old)],
        });
        Ok(())
    }

    /// The unit vectors s_i that the basis without test vector i misses, in the columns (k, k); none for a zero operator.
    pub(super) fn missing(&self) -> Result<Option<Mat<f64>>> {
        missing(self.r.as_ref(), T::EPSILON)
    }
}

/// The columns of R⁻ᵀ, normalised. Where the images are dependent, R is singular; a diagonal at the level of rounding in place
/// of zeros makes s_i a direction that nothing needs.
pub(super) fn missing(r: MatRef<'_, f64>, epsilon: f64) -> Result<Option<Mat<f64>>> {
    let k = r.ncols();
    let size = r.norm_max();
    if size == 0.0 {
        return Ok(None);
    }
    let scaled = Mat::from_fn(k, k, |i, j| {
        let entry = r[(i, j)] / size;
        if i == j && entry.abs() < epsilon {
            epsilon
        } else {
            entry
        }
    });
    let mut s = Mat::<f64>::identity(k, k);
    solve_lower_in_place(scaled.transpose(), s.as_mut());
    for j in 0..k {
        let column: Vec<f64> = (0..k).map(|i| s[(i, j)]).collect();
        let norm = norm2(&column);
        if !norm.is_finite() {
            return Err(Error::new(
                ErrorKind::Numeric,
                format!("the images of {k} test vectors are too dependent"),
            ));
        }
        (0..k).for_each(|i| s[(i, j)] /= norm);
    }
    Ok(Some(s))
}

pub(super) struct XTrace<T>(Sketch<T>);

impl<T: Scalar> XTrace<T> {
    pub(super) fn new(n: usize, options: &TraceOptions, seed: SeedTree) -> Self {
        let samples = Samples::new(&options.parts);
        let seed = seed.child("xtrace");
        Self(Sketch::new(n, Probe::Sphere, options.block, samples, seed))
    }

    /// The estimates that leave one test vector out.
    pub(super) fn estimates(&self) -> Result<Vec<f64>> {
        let sketch = &self.0;
        let (n, k) = (sketch.q.rows(), sketch.q.count());
        let Some(s) = sketch.missing()? else {
            return Ok(vec![0.0; k]);
        };
        let (omega, q, z) = (sketch.omega.as_ref(), sketch.q.as_ref(), sketch.z.as_ref());
        let (w, core, image) = (gram(q, omega), gram(q, z), gram(z, omega));
        let caught: f64 = (0..k).map(|j| core[(j, j)]).sum();
        let dot = |a: &dyn Fn(usize) -> f64, b: &dyn Fn(usize) -> f64| -> f64 {
            (0..k).map(|i| a(i) * b(i)).sum()
        };
        let (core_s, core_ref) = (&core * &s, core.as_ref());
        let mut estimates = Vec::with_capacity(k);
        for i in 0..k {
            let overlap = dot(&|a| s[(a, i)], &|a| w[(a, i)]);
            let x: Vec<f64> = (0..k).map(|a| w[(a, i)] - s[(a, i)] * overlap).collect();
            let lost = dot(&|a| s[(a, i)], &|a| core_s[(a, i)]);
            let core_x = |a: usize| (0..k).map(|b| core_ref[(a, b)] * x[b]).sum::<f64>();
            // (ω - Qx)ᵀ(Hω - Zx), and the squared length of ω - Qx.
            let rest = sketch.samples.totals[i]
                - dot(&|a| image[(a, i)], &|a| x[a])
                - dot(&|a| x[a], &|a| sketch.r[(a, i)])
                + dot(&|a| x[a], &core_x);
            let whole = norm2(sketch.omega.column(i)).powi(2);
            let length = whole - dot(&|a| x[a], &|a| x[a]);
            estimates.push(caught - lost + (n - k + 1) as f64 / length * rest);
        }
        Ok(estimates)
    }
}

impl<T: Scalar> Estimator<T> for XTrace<T> {
    fn grow(&mut self, op: &dyn LinearOperator<T>, products: usize) -> Result<()> {
        self.0.grow(op, products / 2)
    }

    fn products(&self) -> usize {
        2 * self.0.q.count()
    }

    fn least(&self) -> usize {
        20
    }

    fn granularity(&self) -> usize {
        2
    }

    fn plan(&self, excess: f64) -> f64 {
        let used = 2.0 * self.0.q.count() as f64;
        (1.05 * used * (excess * excess).min(1.5) / 2.0).ceil() * 2.0
    }

    fn total(&self, level: f64) -> Result<Estimate> {
        Ok(left_out(&self.estimates()?, level, self.0.samples.rounding))
    }

    fn samples(&self) -> &Samples {
        &self.0.samples
    }
}
