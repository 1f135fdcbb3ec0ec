//! Operators made of other operators.

use super::check_dense;
use crate::kernels::pool::Buffer;
use crate::{Cost, Error, LinearOperator, Properties, Result, Scalar, check_apply};
use faer::prelude::ReborrowMut;
use faer::{MatMut, MatRef};

/// `factor` times an operator.
#[derive(Clone, Copy, Debug)]
pub struct Scaled<O> {
    /// The factor.
    pub factor: f64,
    /// The operator.
    pub op: O,
}

impl<O> Scaled<O> {
    fn scale<T: Scalar>(&self, mut y: MatMut<'_, T>) {
        for j in 0..y.ncols() {
            for i in 0..y.nrows() {
                y[(i, j)] = T::of(self.factor * y[(i, j)].to_f64());
            }
        }
    }
}

impl<T: Scalar, O: LinearOperator<T>> LinearOperator<T> for Scaled<O> {
    fn shape(&self) -> (usize, usize) {
        self.op.shape()
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        self.op.apply(x, y.rb_mut())?;
        self.scale(y);
        Ok(())
    }

    fn apply_adjoint(&self, y: MatRef<'_, T>, mut x: MatMut<'_, T>) -> Result<()> {
        self.op.apply_adjoint(y, x.rb_mut())?;
        self.scale(x);
        Ok(())
    }

    fn properties(&self) -> Properties {
        let inner = self.op.properties();
        Properties {
            psd: inner.psd && self.factor >= 0.0,
            ..inner
        }
    }

    fn dense(&self, mut out: MatMut<'_, T>) -> Result<()> {
        self.op.dense(out.rb_mut())?;
        self.scale(out);
        Ok(())
    }

    fn cost(&self) -> Cost {
        let (m, n) = self.shape();
        extra(self.op.cost(), m as f64, m as f64 * n as f64)
    }
}

/// A + B, of the same shape.
#[derive(Clone, Copy, Debug)]
pub struct Sum<A, B> {
    a: A,
    b: B,
}

impl<A, B> Sum<A, B> {
    /// The sum of two operators.
    ///
    /// # Errors
    /// Different shapes.
    pub fn new<T: Scalar>(a: A, b: B) -> Result<Self>
    where
        A: LinearOperator<T>,
        B: LinearOperator<T>,
    {
        if a.shape() != b.shape() {
            return Err(Error::shape("the second summand", b.shape(), a.shape()));
        }
        Ok(Self { a, b })
    }
}

impl<T: Scalar, A: LinearOperator<T>, B: LinearOperator<T>> LinearOperator<T> for Sum<A, B> {
    fn shape(&self) -> (usize, usize) {
        self.a.shape()
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        self.a.apply(x, y.rb_mut())?;
        add_product(y, |out| self.b.apply(x, out))
    }

    fn apply_adjoint(&self, y: MatRef<'_, T>, mut x: MatMut<'_, T>) -> Result<()> {
        self.a.apply_adjoint(y, x.rb_mut())?;
        add_product(x, |out| self.b.apply_adjoint(y, out))
    }

    fn properties(&self) -> Properties {
        let (a, b) = (self.a.properties(), self.b.properties());
        Properties {
            symmetric: a.symmetric && b.symmetric,
            psd: a.psd && b.psd,
            random: a.random || b.random,
        }
    }

    fn dense(&self, mut out: MatMut<'_, T>) -> Result<()> {
        self.a.dense(out.rb_mut())?;
        add_product(out, |part| self.b.dense(part))
    }

    fn cost(&self) -> Cost {
        let ((m, n), b) = (self.shape(), self.b.cost());
        let a = extra(self.a.cost(), b.product, b.dense);
        extra(a, m as f64, m as f64 * n as f64)
    }
}

/// A B: first B, then A.
#[derive(Clone, Copy, Debug)]
pub struct Product<A, B> {
    a: A,
    b: B,
}

impl<A, B> Product<A, B> {
    /// The product of A (m, p) and B (p, n).
    ///
    /// # Errors
    /// Shapes that do not chain.
    pub fn new<T: Scalar>(a: A, b: B) -> Result<Self>
    where
        A: LinearOperator<T>,
        B: LinearOperator<T>,
    {
        let (inner, n) = (a.shape().1, b.shape().1);
        if b.shape().0 != inner {
            return Err(Error::shape("the second factor", b.shape(), (inner, n)));
        }
        Ok(Self { a, b })
    }
}

impl<T: Scalar, A: LinearOperator<T>, B: LinearOperator<T>> LinearOperator<T> for Product<A, B> {
    fn shape(&self) -> (usize, usize) {
        (self.a.shape().0, self.b.shape().1)
    }

    fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let (p, k) = (self.b.shape().0, x.ncols());
        let mut buffer = Buffer::take(p * k);
        let mut between = MatMut::from_column_major_slice_mut(&mut buffer, p, k);
        self.b.apply(x, between.rb_mut())?;
        self.a.apply(between.as_ref(), y)
    }

    fn apply_adjoint(&self, y: MatRef<'_, T>, x: MatMut<'_, T>) -> Result<()> {
        let (m, n) = self.shape();
        check_apply((n, m), &y, &x)?;
        let (p, k) = (self.b.shape().0, y.ncols());
        let mut buffer = Buffer::take(p * k);
        let mut between = MatMut::from_column_major_slice_mut(&mut buffer, p, k);
        self.a.apply_adjoint(y, between.rb_mut())?;
        self.b.apply_adjoint(between.as_ref(), x)
    }

    fn properties(&self) -> Properties {
        Properties {
            random: self.a.properties().random || self.b.properties().random,
            ..Properties::default()
        }
    }

    fn dense(&self, out: MatMut<'_, T>) -> Result<()> {
        check_dense(self.shape(), &out)?;
        let (p, n) = self.b.shape();
        let mut buffer = Buffer::take(p * n);
        let mut right = MatMut::from_column_major_slice_mut(&mut buffer, p, n);
        self.b.dense(right.rb_mut())?;
        self.a.apply(right.as_ref(), out)
    }

    fn cost(&self) -> Cost {
        let (a, b) = (self.a.cost(), self.b.cost());
        Cost {
            product: a.product + b.product,
            dense: b.dense + self.b.shape().1 as f64 * a.product,
        }
    }
}

/// A + shift I.
#[derive(Clone, Copy, Debug)]
pub struct Shifted<O> {
    op: O,
    shift: f64,
}

impl<O> Shifted<O> {
    /// A square operator plus a multiple of the identity.
    ///
    /// # Errors
    /// An operator that is not square.
    pub fn new<T: Scalar>(op: O, shift: f64) -> Result<Self>
    where
        O: LinearOperator<T>,
    {
        let (m, n) = op.shape();
        if m != n {
            return Err(Error::shape("the operator", (m, n), (n, n)));
        }
        Ok(Self { op, shift })
    }

    fn add<T: Scalar>(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) {
        for j in 0..x.ncols() {
            for i in 0..x.nrows() {
                y[(i, j)] = T::of(self.shift.mul_add(x[(i, j)].to_f64(), y[(i, j)].to_f64()));
            }
        }
    }
}

impl<T: Scalar, O: LinearOperator<T>> LinearOperator<T> for Shifted<O> {
    fn shape(&self) -> (usize, usize) {
        self.op.shape()
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        self.op.apply(x, y.rb_mut())?;
        self.add(x, y);
        Ok(())
    }

    fn apply_adjoint(&self, y: MatRef<'_, T>, mut x: MatMut<'_, T>) -> Result<()> {
        self.op.apply_adjoint(y, x.rb_mut())?;
        self.add(y, x);
        Ok(())
    }

    fn properties(&self) -> Properties {
        let inner = self.op.properties();
        Properties {
            psd: inner.psd && self.shift >= 0.0,
            ..inner
        }
    }

    fn dense(&self, mut out: MatMut<'_, T>) -> Result<()> {
        self.op.dense(out.rb_mut())?;
        for i in 0..out.nrows() {
            out[(i, i)] = T::of(out[(i, i)].to_f64() + self.shift);
        }
        Ok(())
    }

    fn cost(&self) -> Cost {
        let n = self.shape().0 as f64;
        extra(self.op.cost(), 2.0 * n, n)
    }
}

/// Aᵀ.
#[derive(Clone, Copy, Debug)]
pub struct Adjoint<O>(pub O);

impl<T: Scalar, O: LinearOperator<T>> LinearOperator<T> for Adjoint<O> {
    fn shape(&self) -> (usize, usize) {
        let (m, n) = self.0.shape();
        (n, m)
    }

    fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()> {
        self.0.apply_adjoint(x, y)
    }

    fn apply_adjoint(&self, y: MatRef<'_, T>, x: MatMut<'_, T>) -> Result<()> {
        self.0.apply(y, x)
    }

    fn properties(&self) -> Properties {
        self.0.properties()
    }

    fn dense(&self, out: MatMut<'_, T>) -> Result<()> {
        self.0.dense(out.transpose_mut())
    }

    fn cost(&self) -> Cost {
        self.0.cost()
    }
}

/// Adds what `f` writes into a buffer to `y`.
fn add_product<T: Scalar>(
    mut y: MatMut<'_, T>,
    f: impl FnOnce(MatMut<'_, T>) -> Result<()>,
) -> Result<()> {
    let (m, k) = (y.nrows(), y.ncols());
    let mut buffer = Buffer::take(m * k);
    let mut part = MatMut::from_column_major_slice_mut(&mut buffer, m, k);
    f(part.rb_mut())?;
    for j in 0..k {
        for i in 0..m {
            y[(i, j)] = T::of(y[(i, j)].to_f64() + part[(i, j)].to_f64());
        }
    }
    Ok(())
}

fn extra(cost: Cost, product: f64, dense: f64) -> Cost {
    Cost {
        product: cost.product + product,
        dense: cost.dense + dense,
    }
}
