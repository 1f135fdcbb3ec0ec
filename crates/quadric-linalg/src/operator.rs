//! Linear operators: prepared once, applied to blocks of vectors.

use crate::{Error, Result, Scalar};
use faer::prelude::ReborrowMut;
use faer::{Mat, MatMut, MatRef};

/// What is known about an operator beyond its shape. Methods check what they need when they start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// Equal to its adjoint.
    pub symmetric: bool,
    /// Symmetric and positive semidefinite.
    pub psd: bool,
    /// Applying it twice to the same block may differ (sampled, noisy).
    pub random: bool,
}

impl Properties {
    /// Symmetric and positive semidefinite.
    pub const PSD: Self = Self {
        symmetric: true,
        psd: true,
        random: false,
    };
}

/// Floating-point operations, as far as the operator knows them, for choosing between direct and iterative methods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// One application to one vector.
    pub product: f64,
    /// Writing the operator down as a dense matrix.
    pub dense: f64,
}

impl Cost {
    /// Time of writing down and factorising the operator of so many unknowns, in iterations that apply it once. Dense matrices
    /// run at about four times the speed of a product.
    pub fn factorisation(&self, dim: usize) -> f64 {
        let d = dim as f64;
        let direct = 0.25 * (self.dense + d * d * d / 3.0);
        // Vector operations of an iteration, besides the product.
        direct / (self.product + 12.0 * d).max(1.0)
    }
}

/// A linear map from vectors of length n to vectors of length m, applied to a block of k vectors at once.
pub trait LinearOperator<T: Scalar>: Send + Sync {
    /// (m, n): rows, columns.
    fn shape(&self) -> (usize, usize);

    /// `Y <- A X` with `x` (n, k) and `y` (m, k).
    ///
    /// # Errors
    /// Shapes that do not fit; whatever the data behind the operator reports.
    fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()>;

    /// `X <- Aᵀ Y` with `y` (m, k) and `x` (n, k).
    ///
    /// # Errors
    /// As [`LinearOperator::apply`]; operators that are not symmetric and know no adjoint refuse.
    fn apply_adjoint(&self, y: MatRef<'_, T>, x: MatMut<'_, T>) -> Result<()> {
        if self.properties().symmetric {
            return self.apply(y, x);
        }
        Err(Error::new(
            crate::ErrorKind::Capability,
            "this operator offers no adjoint product",
        ))
    }

    /// What is known about the operator; nothing by default.
    fn properties(&self) -> Properties {
        Properties::default()
    }

    /// Writes the operator into `out` (m, n). The default applies it to the columns of the identity, 32 at a time.
    ///
    /// # Errors
    /// As [`LinearOperator::apply`].
    fn dense(&self, out: MatMut<'_, T>) -> Result<()> {
        dense_by_columns(self, out)
    }

    /// An estimate of the work of one product and of [`LinearOperator::dense`].
    fn cost(&self) -> Cost {
        let (m, n) = self.shape();
        let product = 2.0 * m as f64 * n as f64;
        Cost {
            product,
            dense: product * n as f64,
        }
    }
}

/// A boxed operator that may borrow the problem it came from, never the point.
pub type BoxOp<'a, T> = Box<dyn LinearOperator<T> + 'a>;

/// Checks the block shapes of a product; every `apply` starts with it.
///
/// # Errors
/// Names the side whose shape is wrong.
pub fn check_apply<T>(shape: (usize, usize), x: &MatRef<'_, T>, y: &MatMut<'_, T>) -> Result<()> {
    let (m, n) = shape;
    if x.nrows() != n {
        return Err(Error::shape(
            "the operand block",
            (x.nrows(), x.ncols()),
            (n, x.ncols()),
        ));
    }
    if (y.nrows(), y.ncols()) != (m, x.ncols()) {
        return Err(Error::shape(
            "the result block",
            (y.nrows(), y.ncols()),
            (m, x.ncols()),
        ));
    }
    Ok(())
}

/// The slow, always correct way to a dense matrix: products with the columns of the identity.
///
/// # Errors
/// Those of the operator.
pub fn dense_by_columns<T: Scalar>(
    op: &(impl LinearOperator<T> + ?Sized),
    mut out: MatMut<'_, T>,
) -> Result<()> {
    let (m, n) = op.shape();
    if (out.nrows(), out.ncols()) != (m, n) {
        return Err(Error::shape(
            "the dense matrix",
            (out.nrows(), out.ncols()),
            (m, n),
        ));
    }
    const BLOCK: usize = 32;
    let mut unit = Mat::<T>::zeros(n, BLOCK.min(n));
    for start in (0..n).step_by(BLOCK) {
        let k = BLOCK.min(n - start);
        unit.fill(T::of(0.0));
        for j in 0..k {
            unit[(start + j, j)] = T::of(1.0);
        }
        op.apply(
            unit.as_ref().subcols(0, k),
            out.rb_mut().subcols_mut(start, k),
        )?;
    }
    Ok(())
}

/// `y <- A x` for one vector.
///
/// # Errors
/// Those of the operator.
pub fn apply_vector<T: Scalar>(
    op: &(impl LinearOperator<T> + ?Sized),
    x: &[T],
    y: &mut [T],
) -> Result<()> {
    let (n, m) = (x.len(), y.len());
    op.apply(
        MatRef::from_column_major_slice(x, n, 1),
        MatMut::from_column_major_slice_mut(y, m, 1),
    )
}

/// `x <- Aᵀ y` for one vector.
///
/// # Errors
/// Those of the operator.
pub fn apply_adjoint_vector<T: Scalar>(
    op: &(impl LinearOperator<T> + ?Sized),
    y: &[T],
    x: &mut [T],
) -> Result<()> {
    let (n, m) = (x.len(), y.len());
    op.apply_adjoint(
        MatRef::from_column_major_slice(y, m, 1),
        MatMut::from_column_major_slice_mut(x, n, 1),
    )
}

macro_rules! forward {
    ($($t:ty),*) => { $(
        impl<T: Scalar, O: LinearOperator<T> + ?Sized> LinearOperator<T> for $t {
            fn shape(&self) -> (usize, usize) { (**self).shape() }
            fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()> { (**self).apply(x, y) }
            fn apply_adjoint(&self, y: MatRef<'_, T>, x: MatMut<'_, T>) -> Result<()> { (**self).apply_adjoint(y, x) }
            fn properties(&self) -> Properties { (**self).properties() }
            fn dense(&self, out: MatMut<'_, T>) -> Result<()> { (**self).dense(out) }
            fn cost(&self) -> Cost { (**self).cost() }
        }
    )* };
}
forward!(&O, Box<O>);
