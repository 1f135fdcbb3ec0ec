//! The whole matrix, written down or by its products with random vectors, and how far a shape is from it.

use super::ShapeOptions;
use crate::decomposed::Decomposed;
use crate::dense_blocks::DenseBlocks;
use crate::inverse::{Inverse, Solver};
use crate::written::{doubled, symmetric, symmetric_order, written, zeros};
use faer::Mat;
use quadric_linalg::algebra::Dense;
use quadric_linalg::estimate::{Estimate, mean};
use quadric_linalg::krylov::{CgOptions, MinresOptions};
use quadric_linalg::random::SeedTree;
use quadric_linalg::vector::{dot, norm2};
use quadric_linalg::{Error, ErrorKind, LinearOperator, Result, apply_vector};

/// Vectors of a product.
const BLOCK: usize = 16;
/// Numbers of a matrix that is written down: itself, twice while it is made, its eigenvectors, and a shape of it.
const COPIES: u64 = 5;

/// Roundoffs of the products that make relative errors uncertain.
const ROUNDING: f64 = 32.0;

/// The matrix that shapes are compared with.
pub(super) struct Whole<'a> {
    op: &'a dyn LinearOperator<f64>,
    known: Known,
    level: f64,
    /// Relative errors that rounding makes.
    rounding: f64,
    damping: f64,
    gradient: &'a [f64],
    /// `(A + δ I)⁻¹ g`, to which residual; or why it is not known.
    solved: std::result::Result<(Vec<f64>, f64), String>,
}

enum Known {
    Written {
        matrix: Dense<f64>,
        eigen: DenseBlocks,
    },
    /// Random signs (d, k), and their products.
    Sampled { probes: Mat<f64>, images: Mat<f64> },
}

impl<'a> Whole<'a> {
    /// The matrix with these products, which are rounded to `epsilon`.
    pub(super) fn new(
        (op, epsilon): (&'a dyn LinearOperator<f64>, f64),
        gradient: &'a [f64],
        options: &ShapeOptions,
    ) -> Result<Self> {
        let d = symmetric_order(op)?;
        let bytes = full_bytes(d);
        let known = match d <= options.dense && bytes <= options.memory {
            true => {
                let matrix = symmetric(op)?;
                let eigen = DenseBlocks::full(&matrix)?;
                Known::Written { matrix, eigen }
            }
            false => sampled(op, options)?,
        };
        let mut whole = Self {
            op,
            known,
            level: options.level,
            rounding: ROUNDING * epsilon,
            damping: options.damping,
            gradient,
            solved: Err(String::new()),
        };
        whole.solved = whole.solve(options)?;
        Ok(whole)
    }

    pub(super) fn is_written(&self) -> bool {
        matches!(self.known, Known::Written { .. })
    }

    pub(super) fn solution(&self) -> std::result::Result<f64, String> {
        self.solved.as_ref().map(|s| s.1).map_err(String::clone)
    }

    /// The cheapest operator that gives its products.
    pub(super) fn op(&self) -> &dyn LinearOperator<f64> {
        match &self.known {
            Known::Written { matrix, .. } => matrix,
            Known::Sampled { .. } => self.op,
        }
    }

    /// All of it with its eigenvectors, if it was written down.
    pub(super) fn eigen(&self) -> Option<&DenseBlocks> {
        match &self.known {
            Known::Written { eigen, .. } => Some(eigen),
            Known::Sampled { .. } => None,
        }
    }

    /// `(A + δ I)⁻¹ g`. What the solver cannot do is no error.
    fn solve(
        &self,
        options: &ShapeOptions,
    ) -> Result<std::result::Result<(Vec<f64>, f64), String>> {
        if let Some(i) = self.gradient.iter().position(|g| !g.is_finite()) {
            return Err(Error::non_finite("the gradient", i, self.gradient[i]));
        }
        let mut solution = vec![0.0; self.gradient.len()];
        if norm2(self.gradient) == 0.0 {
            return Ok(Err("the gradient is 0".to_owned()));
        }
        if let Some(eigen) = self.eigen() {
            return Ok(match damped(eigen, self.damping, self.gradient)? {
                Some(solution) => Ok((solution, 0.0)),
                None => Err("the matrix plus the damping is singular".to_owned()),
            });
        }
        let (relative, max_iterations) = (options.tolerance, options.products);
        let solver = match self.op.properties().psd {
            true => Solver::ConjugateGradients(CgOptions {
                relative,
                max_iterations,
                ..CgOptions::default()
            }),
            false => Solver::MinimumResidual(MinresOptions {
                relative,
                max_iterations,
                ..MinresOptions::default()
            }),
        };
        let inverse = Inverse::new(self.op, self.damping, solver)?;
        match apply_vector(&inverse, self.gradient, &mut solution) {
            Ok(()) => Ok(Ok((solution, options.tolerance))),
            Err(e) if e.kind() == ErrorKind::Numeric => Ok(Err(e.message().to_owned())),
            Err(e) => Err(e),
        }
    }

    /// `‖A - S‖ / ‖A‖` in the Frobenius norm.
    pub(super) fn error(&self, shape: &dyn Decomposed) -> Result<Option<Estimate>> {
        let shape = shape.function(&|v| v)?;
        let (probes, images) = match &self.known {
            Known::Written { matrix, .. } => {
                let norm = matrix.matrix().norm_l2();
                let difference = matrix.matrix() - written(&*shape)?;
                return Ok((norm > 0.0).then(|| Estimate::exact(difference.norm_l2() / norm)));
            }
            Known::Sampled { probes, images } => (probes, images),
        };
        let mut own = zeros(probes.nrows(), probes.ncols())?;
        shape.apply(probes.as_ref(), own.as_mut())?;
        let squares =
            |m: &Mat<f64>| -> Vec<f64> { m.col_iter().map(|c| c.squared_norm_l2()).collect() };
        let (whole, apart) = (squares(images), squares(&(images - own)));
        let error = ratio_of_roots(&apart, &whole, self.level)?;
        Ok(error.map(|e| Estimate {
            low: (e.low - self.rounding).max(0.0),
            high: e.high + self.rounding,
            ..e
        }))
    }

    /// The cosine of the angle between the damped natural gradients.
    pub(super) fn cosine(&self, shape: &dyn Decomposed) -> Result<Option<f64>> {
        let Ok((expected, _)) = &self.solved else {
            return Ok(None);
        };
        let Some(found) = damped(shape, self.damping, self.gradient)? else {
            return Ok(None);
        };
        let norms = norm2(&found) * norm2(expected);
        Ok(Some((dot(&found, expected) / norms).clamp(-1.0, 1.0)).filter(|c| c.is_finite()))
    }
}

/// Bytes that all of a matrix takes.
pub(super) fn full_bytes(d: usize) -> u64 {
    let d = d as u64;
    COPIES.saturating_mul(8).saturating_mul(d.saturating_mul(d))
}

/// `(S + δ I)⁻¹ g`, unless that is singular.
fn damped(matrix: &dyn Decomposed, damping: f64, g: &[f64]) -> Result<Option<Vec<f64>>> {
    let values = matrix.eigenvalues();
    if values.iter().any(|v| !(v + damping).recip().is_finite()) {
        return Ok(None);
    }
    let mut out = vec![0.0; g.len()];
    apply_vector(&*matrix.inverse(damping)?, g, &mut out)?;
    Ok(Some(out))
}

fn sampled(op: &dyn LinearOperator<f64>, options: &ShapeOptions) -> Result<Known> {
    let (d, k) = (op.shape().0, options.probes);
    // Probes, images, and the same of a shape.
    let bytes = 32 * (d as u64).saturating_mul(k as u64);
    if bytes > options.memory {
        let expected = format!("at least {bytes} bytes for {k} random vectors");
        return Err(Error::argument("memory", options.memory, &expected));
    }
    let seeds = SeedTree::new(options.seed).child("shapes");
    let (mut probes, mut images) = (zeros(d, k)?, zeros(d, k)?);
    for j in 0..k {
        let mut stream = seeds.stream(j as u64);
        (0..d).for_each(|i| probes[(i, j)] = stream.sign());
    }
    for first in (0..k).step_by(BLOCK) {
        let count = BLOCK.min(k - first);
        let block = probes.as_ref().subcols(first, count);
        op.apply(block, images.as_mut().subcols_mut(first, count))?;
    }
    let images = doubled("the products", images.as_ref())?;
    Ok(Known::Sampled { probes, images })
}

/// `√(Σ a / Σ b)` for independent pairs of numbers a and b that depend on each other, with the interval of the delta method: that of
/// the mean of `a - R b` for the ratio R, divided by the mean of b, on the scale of the logarithm, which keeps ends positive. None
/// where all b are 0.
fn ratio_of_roots(a: &[f64], b: &[f64], level: f64) -> Result<Option<Estimate>> {
    let [sum_a, sum_b]: [f64; 2] = [a, b].map(|all| all.iter().sum());
    if sum_b == 0.0 {
        return Ok(None);
    }
    let ratio = sum_a / sum_b;
    let rest: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - ratio * b).collect();
    let half = mean(&rest, rest.len(), level)?.half_width() * a.len() as f64;
    let spread = match sum_a > 0.0 {
        true => (0.5 * half / sum_a).exp(),
        false => 1.0,
    };
    let value = ratio.sqrt();
    if !(value.is_finite() && spread.is_finite()) {
        return Err(Error::non_finite("the error", 0, value * spread));
    }
    Ok(Some(Estimate {
        value,
        low: value / spread,
        high: value * spread,
        level,
    }))
}
