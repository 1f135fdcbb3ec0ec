//! The same idea for positive semidefinite operators, by one product for each test vector.
//!
//! Epperly, Tropp, Webber, "XTrace: making the most of every sample in stochastic trace estimation", arXiv 2301.07825, section
//! on XNysTrace. With test vectors Ω (n, k) on the sphere of radius √n, Y = (H + νI)Ω and M = ΩᵀY, the Nyström approximation
//! Y M⁻¹ Yᵀ without test vector i differs from the whole one by a matrix of rank one, and its error at ω_i is 1/(M⁻¹)_ii. That
//! is weighted by the part of ω_i outside the span of the other test vectors. The shift ν at the level of rounding is taken off
//! again. The interval is that of [`left_out`].

use super::Estimate;
use super::columns::{Columns, gram};
use super::probe::{Probe, Samples};
use super::student::left_out;
use super::trace::{Estimator, TraceOptions};
use crate::dense::{cholesky_in_place, solve_lower_in_place};
use crate::random::SeedTree;
use crate::vector::{axpy, norm2};
use crate::{Error, ErrorKind, LinearOperator, Result, Scalar};
use faer::Mat;

pub(super) struct XNysTrace<T> {
    block: usize,
    seed: SeedTree,
    omega: Columns<T>,
    image: Columns<T>,
    samples: Samples,
}

impl<T: Scalar> XNysTrace<T> {
    pub(super) fn new(n: usize, options: &TraceOptions, seed: SeedTree) -> Self {
        Self {
            block: options.block,
            seed: seed.child("xnystrace"),
            omega: Columns::new(n),
            image: Columns::new(n),
            samples: Samples::new(&options.parts),
        }
    }

    /// The estimates that leave one test vector out, and what the shift may have moved.
    pub(super) fn estimates(&self) -> Result<(Vec<f64>, f64)> {
        let (n, k) = (self.omega.rows(), self.omega.count());
        let (omega, image) = (self.omega.as_ref(), self.image.as_ref());
        let size = (0..k).fold(0.0f64, |sum, j| sum.hypot(norm2(self.image.column(j))));
        if size == 0.0 {
            return Ok((vec![0.0; k], 0.0));
        }
        let (core, overlap) = (gram(omega, image), gram(omega, omega));
        let pairs = (0..k).flat_map(|i| (0..i).map(move |j| (i, j)));
        let asymmetry = pairs.fold(0.0f64, |m, (i, j)| {
            m.max((core[(i, j)] - core[(j, i)]).abs())
        });
        if asymmetry > 1e3 * T::EPSILON.sqrt() * size * (n as f64).sqrt() {
            return Err(broken_promise("symmetric"));
        }
        let mut shift = T::EPSILON * size / (n as f64).sqrt();
        for _ in 0..5 {
            let mut lower = Mat::from_fn(k, k, |i, j| {
                0.5 * (core[(i, j)] + core[(j, i)]) + shift * overlap[(i, j)]
            });
            if cholesky_in_place(lower.as_mut()).is_ok() {
                return Ok((self.leave_out(&lower, overlap, shift)?, shift * n as f64));
            }
            shift *= 10.0;
        }
        Err(broken_promise("positive semidefinite"))
    }

    /// From the Cholesky factor L of M.
    fn leave_out(&self, lower: &Mat<f64>, mut overlap: Mat<f64>, shift: f64) -> Result<Vec<f64>> {
        let (n, k) = (self.omega.rows(), self.omega.count());
        let mut shifted = self.image.clone();
        let columns = shifted.entries().chunks_exact_mut(n);
        for (j, column) in columns.enumerate() {
            axpy(shift, self.omega.column(j), column);
        }
        let r = Columns::new(n).orthonormalise(&shifted, self.seed.child("basis"))?;
        let mut inverse = Mat::<f64>::identity(k, k);
        solve_lower_in_place(lower.as_ref(), inverse.as_mut());
        // The Nyström approximation is B Bᵀ with B = Q R L⁻ᵀ, and its part that test vector i brings has the column i of B L⁻¹.
        let b = &r * inverse.transpose();
        let parts = &b * &inverse;
        let caught = b.squared_norm_l2();
        cholesky_in_place(overlap.as_mut())?;
        let mut outside = Mat::<f64>::identity(k, k);
        solve_lower_in_place(overlap.as_ref(), outside.as_mut());
        let squares = |m: &Mat<f64>, j: usize| (0..k).map(|i| m[(i, j)].powi(2)).sum::<f64>();
        let one = |i: usize| {
            // (M⁻¹)_ii, and the inverse of the squared length of ω_i outside the others.
            let (pivot, length) = (squares(&inverse, i), squares(&outside, i));
            let weight = (n - k + 1) as f64 * length;
            caught - squares(&parts, i) / pivot + weight / pivot - shift * n as f64
        };
        Ok((0..k).map(one).collect())
    }
}

fn broken_promise(what: &str) -> Error {
    Error::new(
        ErrorKind::Numeric,
        format!("the operator is not {what}, although it says it is"),
    )
}

impl<T: Scalar> Estimator<T> for XNysTrace<T> {
    fn grow(&mut self, op: &dyn LinearOperator<T>, products: usize) -> Result<()> {
        let old = self.omega.count();
        let seed = self.seed.child("test vectors");
        Probe::Sphere.extend(&mut self.omega, products, seed)?;
        self.image.multiply(op, &self.omega, self.block)?;
        for j in old..products {
            self.samples.add(self.omega.column(j), self.image.column(j));
        }
        Ok(())
    }

    fn products(&self) -> usize {
        self.omega.count()
    }

    fn least(&self) -> usize {
        20
    }

    fn granularity(&self) -> usize {
        1
    }

    fn plan(&self, excess: f64) -> f64 {
        (1.05 * self.omega.count() as f64 * (excess * excess).min(1.5)).ceil()
    }

    fn total(&self, level: f64) -> Result<Estimate> {
        let (values, shifted) = self.estimates()?;
        Ok(left_out(&values, level, self.samples.rounding + shifted))
    }

    fn samples(&self) -> &Samples {
        &self.samples
    }
}
