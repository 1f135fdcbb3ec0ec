//! A function to minimise, from closures.

use faer::Mat;
use quadric_core::{BoxOp, Error, Objective, Problem, Result, Smooth, TwiceSmooth, capabilities};
use quadric_linalg::algebra::Dense;

/// F(x) and its gradient, written into the second argument.
type ValueGrad = Box<dyn Fn(&[f64], &mut [f64]) -> f64 + Send + Sync>;
/// The entries of a Hessian.
type Hessian = Box<dyn Fn(&[f64], &mut [f64]) + Send + Sync>;

/// A function of `dim` unknowns from closures, for every method that needs no more than it has.
///
/// A value that is not finite says that the point is outside of the domain.
///
/// ```
/// use quadric_models::Function;
/// // (x - 1)² + 10 (y - x²)²
/// let f = Function::new(2, |x, g| {
///     let (a, b) = (x[0] - 1.0, x[1] - x[0] * x[0]);
///     g[0] = 2.0 * a - 40.0 * b * x[0];
///     g[1] = 20.0 * b;
///     a * a + 10.0 * b * b
/// })
/// .with_hessian(|x, h| {
///     h[0] = 2.0 - 40.0 * (x[1] - 3.0 * x[0] * x[0]);
///     h[1] = -40.0 * x[0];
///     h[2] = h[1];
///     h[3] = 20.0;
/// });
/// // The closures against finite differences.
/// assert!(quadric_core::check_derivatives(&f, &[0.3, -0.5], 0)?.passed());
/// # Ok::<(), quadric_core::Error>(())
/// ```
pub struct Function {
    dim: usize,
    value_grad: ValueGrad,
    hessian: Option<Hessian>,
}

impl Function {
    /// The function whose value `value_grad` returns; it writes the gradient into its second argument, which holds zeros.
    pub fn new(
        dim: usize,
        value_grad: impl Fn(&[f64], &mut [f64]) -> f64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            dim,
            value_grad: Box::new(value_grad),
            hessian: None,
        }
    }

    /// The same with second derivatives: `hessian` writes `∂²F/∂x_i ∂x_j` into entry `i dim + j` of its second argument, which
    /// holds zeros, for all i and j.
    #[must_use]
    pub fn with_hessian(
        mut self,
        hessian: impl Fn(&[f64], &mut [f64]) + Send + Sync + 'static,
    ) -> Self {
        self.hessian = Some(Box::new(hessian));
        self
    }

    fn check(&self, len: usize) -> Result<()> {
        if len != self.dim {
            return Err(Error::shape("the point", len, self.dim));
        }
        Ok(())
    }
}

impl Problem<f64> for Function {
    fn dim(&self) -> usize {
        self.dim
    }

    fn name(&self) -> &str {
        "function"
    }

    capabilities!(f64: Smooth);

    fn as_twice_smooth(&self) -> Option<&dyn TwiceSmooth<f64>> {
        self.hessian.as_ref().map(|_| self as &dyn TwiceSmooth<f64>)
    }
}

impl Objective<f64> for Function {
    fn value(&self, x: &[f64]) -> Result<f64> {
        self.value_grad(x, &mut vec![0.0; self.dim])
    }
}

impl Smooth<f64> for Function {
    fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
        self.check(x.len())?;
        self.check(g.len())?;
        g.fill(0.0);
        Ok((self.value_grad)(x, g))
    }
}

impl TwiceSmooth<f64> for Function {
    /// # Errors
    /// A Hessian that is not symmetric, or no closure for it.
    fn hessian(&self, x: &[f64]) -> Result<BoxOp<'_, f64>> {
        self.check(x.len())?;
        let n = self.dim;
        let Some(hessian) = &self.hessian else {
            return Err(Error::argument(
                "hessian",
                "missing",
                "`Function::with_hessian`",
            ));
        };
        let mut entries = vec![0.0; n * n];
        hessian(x, &mut entries);
        let matrix = Mat::from_fn(n, n, |i, j| entries[i * n + j]);
        Ok(Box::new(Dense::symmetric(matrix)?))
    }
}
