//! The minimiser of a quadratic model within a ball, by a few Cholesky factorisations.
//!
//! Moré, Sorensen, "Computing a trust region step" (1983): `gᵀd + ½ dᵀHd` is least at `(H + λI) d = -g` with λ = 0 inside,
//! else with the λ >= -θ_1 that gives d the radius. Newton's iteration on `1/radius - 1/‖d‖`, within bounds on λ that every
//! factorisation narrows, stops at a length within 1e-8 of the radius. In the hard case, where no λ lengthens d enough, a
//! move along a direction of nearly the least curvature makes up the length; it is taken once it costs at most 2e-8 of what
//! the model gains.

use faer::Mat;
use quadric_core::{LinearOperator, Result, Scalar, vector};
use quadric_linalg::dense::EnvelopeCholesky;

/// How far the length of a step on the boundary may be from the radius, relative to it. A tenth is usual and saves a
/// factorisation; that costs less than what exact steps save in evaluations.
const SLACK: f64 = 1e-8;
/// Factorisations before the search for λ is given up.
const TRIALS: usize = 40;
/// Part of the largest λ that is tried where the bounds leave all of them open.
const FAR: f64 = 1e-3;

/// A minimiser; the step itself is written elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Minimum {
    pub norm: f64,
    /// The decrease that the model predicts.
    pub predicted: f64,
    pub on_boundary: bool,
}

/// The quadratic model at a point.
pub(super) struct Ball<T: Scalar> {
    matrix: Mat<T>,
    cholesky: EnvelopeCholesky,
    gradient: Vec<f64>,
    gradient_norm: f64,
    /// Bounds on the eigenvalues by Gershgorin's circles.
    least: f64,
    largest: f64,
    /// λ is at least this for a definite `H + λI`.
    singular: f64,
    /// λ is at least this for steps as short as the last radius.
    low: f64,
    /// The newest λ.
    lambda: f64,
    /// Factorisations at this point.
    pub factorizations: usize,
    /// The step.
    d: Vec<f64>,
    z: Vec<f64>,
}

impl<T: Scalar> Ball<T> {
    /// Memory for `dim` unknowns.
    pub(super) fn new(dim: usize) -> Self {
        Self {
            matrix: Mat::zeros(dim, dim),
            cholesky: EnvelopeCholesky::default(),
            gradient: Vec::with_capacity(dim),
            gradient_norm: 0.0,
            least: 0.0,
            largest: 0.0,
            singular: 0.0,
            low: 0.0,
            lambda: 0.0,
            factorizations: 0,
            d: vec![0.0; dim],
            z: vec![0.0; dim],
        }
    }

    /// Bytes for `dim` unknowns.
    pub(super) fn memory(dim: usize) -> usize {
        dim * dim * (size_of::<T>() + size_of::<f64>()) + 4 * dim * size_of::<f64>()
    }

    /// The model at a new point.
    ///
    /// # Errors
    /// Those of the operator, and a Hessian that is not finite.
    pub(super) fn load(&mut self, hessian: &dyn LinearOperator<T>, gradient: &[T]) -> Result<()> {
        hessian.dense(self.matrix.as_mut())?;
        self.cholesky.load(&self.matrix)?;
        self.gradient.clear();
        self.gradient.extend(gradient.iter().map(|g| g.to_f64()));
        self.gradient_norm = vector::norm2(&self.gradient);
        // The absolute sums beside the diagonal, in the buffer of the step.
        self.d.fill(0.0);
        for (i, (first, row)) in self.cholesky.rows().enumerate() {
            let beside = &row[..row.len() - 1];
            for (sum, v) in self.d[first..i].iter_mut().zip(beside) {
                *sum += v.abs();
            }
            self.d[i] += beside.iter().map(|v| v.abs()).sum::<f64>();
        }
        (self.least, self.largest, self.singular) =
            (f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY);
        for (i, sum) in self.d.iter().enumerate() {
            let t = self.cholesky.diagonal(i);
            self.least = self.least.min(t - sum);
            self.largest = self.largest.max(t + sum);
            self.singular = self.singular.max(-t);
        }
        self.low = 0.0;
        self.lambda = 0.0;
        self.factorizations = 0;
        Ok(())
    }

    /// The step of the last minimum.
    pub(super) fn write(&self, out: &mut [T]) {
        out.iter_mut()
            .zip(&self.d)
            .for_each(|(out, d)| *out = T::of(*d));
    }

    /// The minimum within a radius, which must not be larger than the last one at the same point; `None` if rounding keeps λ
    /// from being found.
    pub(super) fn within(&mut self, radius: f64) -> Option<Minimum> {
        let steep = self.gradient_norm / radius;
        let mut high = (steep - self.least).max(0.0);
        self.low = self
            .low
            .max(steep - self.largest)
            .max(self.singular)
            .max(0.0);
        let resolution = self.cholesky.dim() as f64 * T::EPSILON;
        for _ in 0..TRIALS {
            let mut lambda = self.lambda.min(high).max(self.low);
            if lambda <= self.singular {
                lambda = (FAR * high).max((self.low * high).sqrt()).max(self.low);
            }
            self.lambda = lambda;
            self.factorizations += 1;
            if let Err(pivot) = self.cholesky.factor(lambda, resolution) {
                // At least where the direction of the pivot stops curving down; if that is all rounding, λ itself.
                let square = self.cholesky.direction_of(pivot, &mut self.z);
                let straight = lambda - pivot.value / square;
                self.singular = self.singular.max(lambda).max(straight);
                self.low = self.low.max(self.singular);
                continue;
            }
            let slope = self.solve();
            let norm = vector::norm2(&self.d);
            if !norm.is_finite() {
                return None;
            }
            let gain = slope + lambda * norm * norm;
            // By duality no step gains more than half of this beyond what d does.
            let missed = lambda * (radius * radius - norm * norm);
            let is_rounding = lambda <= 4.0 * resolution * self.largest;
            let on_boundary = (norm - radius).abs() <= SLACK * radius;
            let is_inside = norm <= radius && (is_rounding || missed <= SLACK * gain);
            if on_boundary || is_inside {
                return Some(Minimum {
                    norm,
                    predicted: 0.5 * gain,
                    on_boundary: on_boundary && lambda > 0.0,
                });
            }
            if norm > radius {
                self.low = self.low.max(lambda);
            } else {
                high = high.min(lambda);
                if let Some(minimum) = self.lengthen(norm, slope, radius) {
                    return Some(minimum);
                }
                self.low = self.low.max(self.singular);
            }
            self.lambda = lambda + self.correction(norm, radius);
        }
        None
    }

    /// The step for the factorised λ; returns `-gᵀd`.
    fn solve(&mut self) -> f64 {
        self.d
            .iter_mut()
            .zip(&self.gradient)
            .for_each(|(d, g)| *d = -g);
        self.cholesky.solve_lower_in_place(&mut self.d);
        let slope = vector::dot(&self.d, &self.d);
        self.cholesky.solve_upper_in_place(&mut self.d);
        slope
    }

    /// A step that is too short, made as long as the radius along a direction of negative curvature, if that costs little.
    fn lengthen(&mut self, norm: f64, slope: f64, radius: f64) -> Option<Minimum> {
        let curvature = self.cholesky.flattest(&mut self.z);
        if self.lambda <= curvature {
            return None;
        }
        self.singular = self.singular.max(self.lambda - curvature);
        let along = vector::dot(&self.d, &self.z);
        let missing = (radius - norm) * (radius + norm);
        let move_by = missing / (along + (along * along + missing).sqrt().copysign(along));
        let gain = slope + self.lambda * radius * radius;
        let cost = move_by * move_by * curvature;
        (cost <= SLACK * (2.0 - SLACK) * gain).then(|| {
            vector::axpy(move_by, &self.z, &mut self.d);
            Minimum {
                norm: vector::norm2(&self.d),
                predicted: 0.5 * (gain - cost),
                on_boundary: true,
            }
        })
    }

    /// Newton's correction of the factorised λ, whose step has this length.
    fn correction(&mut self, norm: f64, radius: f64) -> f64 {
        self.z.copy_from_slice(&self.d);
        self.cholesky.solve_lower_in_place(&mut self.z);
        let bend = (norm / vector::norm2(&self.z)).powi(2);
        bend * (norm - radius) / radius
    }
}

#[cfg(test)]
mod tests {
    use super::super::reduced::Reduced;
    use super::*;
    use quadric_core::random::{SeedTree, Stream};
    use quadric_linalg::algebra::Dense;
    use quadric_linalg::dense::thin_qr;

    /// A symmetric matrix with these eigenvalues, and the eigenvectors.
    fn with_spectrum(values: &[f64], stream: &mut Stream) -> (Mat<f64>, Mat<f64>) {
        let n = values.len();
        let random = Mat::from_fn(n, n, |_, _| stream.uniform() - 0.5);
        let q = thin_qr(random.as_ref()).expect("finite").q;
        let scaled = Mat::from_fn(n, n, |i, j| q[(i, j)] * values[j]);
        let a = &scaled * q.transpose();
        let a = Mat::from_fn(n, n, |i, j| 0.5 * (a[(i, j)] + a[(j, i)]));
        (a, q)
    }

    /// The conditions of a global minimiser, and no better step in the eigenbasis.
    fn check(h: &Mat<f64>, g: &[f64], radii: &[f64], case: &str) {
        let operator = Dense::symmetric(h.clone()).expect("symmetric");
        let mut ball = Ball::<f64>::new(g.len());
        ball.load(&operator, g).expect("finite");
        let reduced = Reduced::whole(&operator, g).expect("finite");
        let mut d = vec![0.0; g.len()];
        for radius in radii {
            let least = ball.within(*radius).expect(case);
            ball.write(&mut d);
            let (best, on_sphere) = reduced.spectrum.within(*radius);
            let length = vector::norm2(&d);
            assert!((length - least.norm).abs() <= 1e-12 * length, "{case}");
            assert!(least.norm <= radius * (1.0 + 1e-7), "{case}: {least:?}");
            let sphere = (least.norm - radius).abs() <= 1e-7 * radius;
            assert!(!least.on_boundary || sphere, "{case}: {least:?}");
            assert!(least.on_boundary || !on_sphere || sphere, "{case}");
            let image = h * faer::ColRef::from_slice(&d);
            let pairs = d.iter().zip(g).zip(image.iter());
            let gain: f64 = pairs.map(|((d, g), hd)| -d * (g + 0.5 * hd)).sum();
            let rounding = 1e-10 * vector::norm2(g) * length;
            assert!(
                (gain - least.predicted).abs() <= 1e-6 * gain + rounding,
                "{case}"
            );
            let possible = best.predicted();
            assert!(
                gain >= possible * (1.0 - 1e-6) - rounding,
                "{case}, radius {radius}: {gain:e} of {possible:e}"
            );
        }
    }

    #[test]
    fn steps_are_as_good_as_in_the_eigenbasis() {
        let mut stream = SeedTree::new(7).stream(0);
        for trial in 0..600 {
            let n = 1 + trial % 9;
            let mut draw = |spread: f64| 10f64.powf(spread * (stream.uniform() - 0.5));
            let (radius, kind) = (draw(6.0), trial % 5);
            let sign = |i: usize| {
                if kind < 3 && i.is_multiple_of(3) {
                    -1.0
                } else {
                    1.0
                }
            };
            let values: Vec<f64> = (0..n).map(|i| sign(i) * draw(6.0)).collect();
            let mut coordinates: Vec<f64> = (0..n).map(|_| draw(6.0)).collect();
            let (h, q) = with_spectrum(&values, &mut stream);
            if kind == 0 {
                // Nothing along the least eigenvector: the hard case.
                let least = (0..n).min_by(|i, j| values[*i].total_cmp(&values[*j]));
                coordinates[least.expect("n is at least 1")] = 0.0;
                if n == 1 {
                    continue;
                }
            }
            let along = |i: usize| (0..n).map(|j| q[(i, j)] * coordinates[j]).sum();
            let g: Vec<f64> = (0..n).map(along).collect();
            check(
                &h,
                &g,
                &[radius, 0.3 * radius, 0.01 * radius],
                &format!("trial {trial}"),
            );
        }
    }

    #[test]
    fn a_diagonal_hessian_without_slope_along_its_least_entry_is_left_along_it() {
        let h = Mat::from_fn(3, 3, |i, j| if i == j { [-2.0, 1.0, 3.0][i] } else { 0.0 });
        check(&h, &[0.0, 0.3, -0.6], &[4.0, 1.0], "hard case");
        check(&h, &[0.0, 1e-9, 0.0], &[1.0], "next to a saddle point");
    }

    #[test]
    fn the_newton_step_is_taken_where_it_fits() {
        let h = Mat::from_fn(2, 2, |i, j| if i == j { [0.5, 2.0][i] } else { 0.0 });
        let mut ball = Ball::<f64>::new(2);
        let operator = Dense::symmetric(h).expect("symmetric");
        ball.load(&operator, &[1.0, -4.0]).expect("finite");
        let least = ball.within(3.0).expect("a definite Hessian");
        let mut d = [0.0; 2];
        ball.write(&mut d);
        assert!(!least.on_boundary && (d[0] + 2.0).abs() < 1e-15 && (d[1] - 2.0).abs() < 1e-15);
    }
}
