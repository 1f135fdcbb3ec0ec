//! Symmetric matrices whose eigenvalues are at hand, so that functions of them cost little.

use crate::FactoredEigen;
use crate::factored::check_damping;
use quadric_linalg::algebra::Diagonal;
use quadric_linalg::random::Stream;
use quadric_linalg::spectrum::EigenApproximation;
use quadric_linalg::{BoxOp, Error, ErrorKind, Result, apply_vector};

/// A symmetric matrix (d, d) by its eigenvectors and eigenvalues: [`DenseBlocks`](crate::DenseBlocks), [`FactoredEigen`] for Kronecker
/// factors, a diagonal, or an approximation of low rank.
pub trait Decomposed: Send + Sync {
    /// All eigenvalues (d), in no order.
    fn eigenvalues(&self) -> Vec<f64>;

    /// A function of the matrix (d, d): that of each eigenvalue, with the same eigenvectors.
    ///
    /// # Errors
    /// A value that is not finite, such as the inverse of 0.
    fn function(&self, f: &dyn Fn(f64) -> f64) -> Result<BoxOp<'static, f64>>;

    /// The inverse of the matrix plus a damping.
    ///
    /// # Errors
    /// A damping that is not positive and finite, or one that makes the matrix singular.
    fn inverse(&self, damping: f64) -> Result<BoxOp<'static, f64>> {
        check_damping(damping)?;
        self.function(&|v| (v + damping).recip())
    }

    /// The symmetric square root.
    ///
    /// # Errors
    /// A negative eigenvalue.
    fn sqrt(&self) -> Result<BoxOp<'static, f64>> {
        self.function(&f64::sqrt)
    }

    /// The sum of the eigenvalues.
    fn trace(&self) -> f64 {
        self.eigenvalues().iter().sum()
    }

    /// `log det (M + damping I)`.
    ///
    /// # Errors
    /// A damping that is not positive and finite, or that leaves an eigenvalue at or below 0.
    fn log_det(&self, damping: f64) -> Result<f64> {
        check_damping(damping)?;
        let values = self.eigenvalues();
        if let Some(v) = values.iter().find(|v| *v + damping <= 0.0) {
            let text = format!("the eigenvalue {v:e} plus the damping {damping:e} is not positive");
            return Err(Error::new(ErrorKind::Numeric, text));
        }
        Ok(values.iter().map(|v| (v + damping).ln()).sum())
    }

    /// A normal vector (d) whose covariance is a function of the matrix, such as `|v| 1.0 / (v + δ)`.
    ///
    /// # Errors
    /// A function with a value that is negative or not finite.
    fn sample(&self, covariance: &dyn Fn(f64) -> f64, stream: &mut Stream) -> Result<Vec<f64>> {
        let root = self.function(&|v| covariance(v).sqrt())?;
        let d = root.shape().0;
        let noise: Vec<f64> = (0..d).map(|_| stream.normal()).collect();
        let mut out = vec![0.0; d];
        apply_vector(&*root, &noise, &mut out)?;
        Ok(out)
    }
}

impl Decomposed for FactoredEigen {
    fn eigenvalues(&self) -> Vec<f64> {
        let blocks = self.blocks().iter().map(|(_, block)| block.values());
        let columns = blocks.flat_map(|b| (0..b.ncols()).map(move |j| b.col(j)));
        let mut all: Vec<f64> = columns.flat_map(|c| c.iter().copied()).collect();
        all.resize(self.dim(), 0.0);
        all
    }

    fn function(&self, f: &dyn Fn(f64) -> f64) -> Result<BoxOp<'static, f64>> {
        Ok(Box::new(self.map(f)?))
    }
}

impl Decomposed for Diagonal<f64> {
    fn eigenvalues(&self) -> Vec<f64> {
        self.0.clone()
    }

    fn function(&self, f: &dyn Fn(f64) -> f64) -> Result<BoxOp<'static, f64>> {
        Ok(Box::new(Self(mapped(&self.0, f)?)))
    }
}

impl Decomposed for EigenApproximation<f64> {
    fn eigenvalues(&self) -> Vec<f64> {
        let mut all = self.values().to_vec();
        all.resize(self.vectors().nrows(), 0.0);
        all
    }

    fn function(&self, f: &dyn Fn(f64) -> f64) -> Result<BoxOp<'static, f64>> {
        // Along the vectors f(λ), in all other directions f(0).
        let rest = mapped(&[0.0], f)?[0];
        let weights = mapped(self.values(), f)?.iter().map(|v| v - rest).collect();
        Ok(Box::new(self.shifted(0.0)?.reweighted(weights, rest)?))
    }
}

/// A function of eigenvalues, where it is finite.
pub(crate) fn mapped(values: &[f64], f: &dyn Fn(f64) -> f64) -> Result<Vec<f64>> {
    let all: Vec<f64> = values.iter().map(|&v| f(v)).collect();
    match all.iter().position(|v| !v.is_finite()) {
        None => Ok(all),
        Some(i) => Err(Error::non_finite("the function", i, all[i])),
    }
}
