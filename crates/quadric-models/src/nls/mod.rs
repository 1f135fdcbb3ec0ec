//! Nonlinear least squares: `F(x) = Σ r_i(x)²`, without a half and without a mean, from residuals written once.
//!
//! Residuals are ordinary Rust over [`Jet`], a number that carries its derivatives, so gradients and Hessians are exact. Made for
//! test problems of up to some hundred unknowns: a residual costs n² operations.

mod jet;
mod mgh;
mod mgh_data;

pub use jet::Jet;
pub use mgh::{Answer, TestProblem, test_problem, test_problems};

use faer::Mat;
use quadric_core::{
    BoxOp, Error, Objective, Problem, Result, Scalar, Smooth, TwiceSmooth, capabilities,
};
use quadric_linalg::algebra::Dense;

/// Residuals of unknowns.
type Residuals = Box<dyn Fn(&[Jet]) -> Vec<Jet> + Send + Sync>;

/// A sum of squared residuals as a problem to minimise.
pub struct SumOfSquares {
    name: String,
    dim: usize,
    residuals: Residuals,
}

impl SumOfSquares {
    /// The problem with `dim` unknowns and these residuals.
    pub fn new(
        name: impl Into<String>,
        dim: usize,
        residuals: impl Fn(&[Jet]) -> Vec<Jet> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            dim,
            residuals: Box::new(residuals),
        }
    }

    fn check(&self, len: usize) -> Result<()> {
        if len != self.dim {
            return Err(Error::shape("the point", len, self.dim));
        }
        Ok(())
    }

    /// The residuals with derivatives in all unknowns.
    fn jets<T: Scalar>(&self, x: &[T]) -> Vec<Jet> {
        let n = self.dim;
        let variable = |(j, x): (usize, &T)| Jet::variable(x.to_f64(), j, n);
        let x: Vec<Jet> = x.iter().enumerate().map(variable).collect();
        (self.residuals)(&x)
    }
}

impl<T: Scalar> Problem<T> for SumOfSquares {
    fn dim(&self) -> usize {
        self.dim
    }

    fn name(&self) -> &str {
        &self.name
    }

    capabilities!(T: TwiceSmooth);
}

impl<T: Scalar> Objective<T> for SumOfSquares {
    fn value(&self, x: &[T]) -> Result<f64> {
        self.check(x.len())?;
        let x: Vec<Jet> = x.iter().map(|x| Jet::constant(x.to_f64())).collect();
        Ok((self.residuals)(&x).iter().map(|r| r.value * r.value).sum())
    }
}

impl<T: Scalar> Smooth<T> for SumOfSquares {
    fn value_grad(&self, x: &[T], g: &mut [T]) -> Result<f64> {
        self.check(x.len())?;
        self.check(g.len())?;
        let (mut value, mut gradient) = (0.0, vec![0.0; self.dim]);
        for r in self.jets(x) {
            value += r.value * r.value;
            for (g, d) in gradient.iter_mut().zip(&r.gradient) {
                *g += 2.0 * r.value * d;
            }
        }
        g.iter_mut()
            .zip(&gradient)
            .for_each(|(g, v)| *g = T::of(*v));
        Ok(value)
    }
}

impl<T: Scalar> TwiceSmooth<T> for SumOfSquares {
    fn hessian(&self, x: &[T]) -> Result<BoxOp<'_, T>> {
        self.check(x.len())?;
        let n = self.dim;
        let mut h = Mat::<f64>::zeros(n, n);
        for r in self.jets(x) {
            let mut at = 0;
            for i in 0..r.gradient.len() {
                for j in 0..=i {
                    h[(i, j)] += 2.0 * (r.gradient[i] * r.gradient[j] + r.value * r.hessian[at]);
                    at += 1;
                }
            }
        }
        let matrix = Mat::from_fn(n, n, |i, j| T::of(h[(i.max(j), i.min(j))]));
        Ok(Box::new(Dense::symmetric(matrix)?))
    }
}
