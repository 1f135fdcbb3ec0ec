//! Inverses of operators that only give products.

use crate::factored::check_damping;
use crate::written::symmetric_order;
use faer::{MatMut, MatRef};
use quadric_linalg::krylov::{
    CgOptions, CgStop, CgWorkspace, MinresOptions, MinresStop, MinresWorkspace, cg_block,
    minres_qlp,
};
use quadric_linalg::{Error, ErrorKind, LinearOperator, Properties, Result, Scalar, check_apply};

/// How systems are solved.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Solver {
    /// Conjugate gradients, for matrices that are positive definite with the damping; the columns of a block together.
    ConjugateGradients(CgOptions),
    /// MINRES-QLP, for any symmetric matrix; column by column.
    MinimumResidual(MinresOptions),
}

/// `(A + damping I)⁻¹` for a symmetric operator A: each product solves a system, to the tolerance of the solver, or fails. Applied
/// to a gradient, with a Fisher matrix for A, it gives a natural gradient.
///
/// ```
/// use quadric_curvature::{Inverse, Solver};
/// use quadric_linalg::algebra::Diagonal;
/// use quadric_linalg::{apply_vector, krylov::CgOptions};
///
/// let fisher = Diagonal(vec![1.0, 3.0]);
/// let inverse = Inverse::new(&fisher, 1.0, Solver::ConjugateGradients(CgOptions::default()))?;
/// let mut natural = vec![0.0_f64; 2];
/// apply_vector(&inverse, &[4.0, 4.0], &mut natural)?;
/// assert!((natural[0] - 2.0).abs() < 1e-12 && (natural[1] - 1.0).abs() < 1e-12);
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
pub struct Inverse<'a, T: Scalar> {
    op: &'a dyn LinearOperator<T>,
    damping: f64,
    solver: Solver,
    precond: Option<&'a dyn LinearOperator<T>>,
}

impl<'a, T: Scalar> Inverse<'a, T> {
    /// Of a symmetric operator (d, d).
    ///
    /// # Errors
    /// An operator that is not square or not known to be symmetric, or a damping that is not positive and finite.
    pub fn new(op: &'a dyn LinearOperator<T>, damping: f64, solver: Solver) -> Result<Self> {
        symmetric_order(op)?;
        check_damping(damping)?;
        Ok(Self {
            op,
            damping,
            solver,
            precond: None,
        })
    }

    /// Sets an operator near the inverse, such as that of Kronecker factors, that conjugate gradients use. Their tolerance is then
    /// in its norm.
    ///
    /// # Errors
    /// Another shape, or a solver that uses none.
    pub fn preconditioned(mut self, precond: &'a dyn LinearOperator<T>) -> Result<Self> {
        if precond.shape() != self.op.shape() {
            let (found, expected) = (precond.shape(), self.op.shape());
            return Err(Error::shape("the preconditioner", found, expected));
        }
        if !matches!(self.solver, Solver::ConjugateGradients(_)) {
            let text = "MINRES-QLP takes no preconditioner";
            return Err(Error::new(ErrorKind::Capability, text));
        }
        self.precond = Some(precond);
        Ok(self)
    }

    fn conjugate_gradients(
        &self,
        options: &CgOptions,
        x: MatRef<'_, T>,
        y: MatMut<'_, T>,
    ) -> Result<()> {
        let mut work = CgWorkspace::default();
        let (op, shift) = (self.op, self.damping);
        let reports = cg_block(op, shift, self.precond, x, y, options, &mut work)?;
        for (j, report) in reports.iter().enumerate() {
            if report.stop != CgStop::Tolerance {
                let text = format!(
                    "conjugate gradients for column {j} ended at a relative residual of {:.1e} after {} iterations ({:?})",
                    report.residual, report.iterations, report.stop
                );
                let error = Error::new(ErrorKind::Numeric, text);
                return Err(match report.stop {
                    CgStop::NegativeCurvature => error
                        .with_hint("more damping, or MINRES-QLP, which needs no definite matrix"),
                    _ => error,
                });
            }
        }
        Ok(())
    }

    fn minimum_residual(
        &self,
        options: &MinresOptions,
        x: MatRef<'_, T>,
        mut y: MatMut<'_, T>,
    ) -> Result<()> {
        let mut work = MinresWorkspace::new();
        let mut out = vec![T::of(0.0); x.nrows()];
        for j in 0..x.ncols() {
            let b: Vec<T> = x.col(j).iter().copied().collect();
            let report = minres_qlp(self.op, self.damping, &b, &mut out, options, &mut work)?;
            if report.stop != MinresStop::Residual {
                let text = format!(
                    "MINRES-QLP for column {j} ended at a relative residual of {:.1e} after {} iterations ({:?})",
                    report.residual_norm / report.rhs_norm,
                    report.iterations,
                    report.stop
                );
                return Err(Error::new(ErrorKind::Numeric, text));
            }
            (0..out.len()).for_each(|i| y[(i, j)] = out[i]);
        }
        Ok(())
    }
}

impl<T: Scalar> LinearOperator<T> for Inverse<'_, T> {
    fn shape(&self) -> (usize, usize) {
        self.op.shape()
    }

    fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        match &self.solver {
            Solver::ConjugateGradients(options) => self.conjugate_gradients(options, x, y),
            Solver::MinimumResidual(options) => self.minimum_residual(options, x, y),
        }
    }

    fn properties(&self) -> Properties {
        Properties {
            symmetric: true,
            psd: self.op.properties().psd,
            random: false,
        }
    }
}
