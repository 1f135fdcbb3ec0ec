//! Operators whose products are counted, and may be stopped between two of them.

use faer::{MatMut, MatRef};
use quadric_core::{Cost, Error, ErrorKind, LinearOperator, Properties, Result, Scalar};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Called after every product with a block, with the number of single vectors so far; a break stops the analysis.
pub type Watch<'a> = dyn Fn(usize) -> ControlFlow<()> + Sync + 'a;

/// An operator that counts products with single vectors.
pub struct Watched<'a, T: Scalar> {
    op: &'a dyn LinearOperator<T>,
    watch: &'a Watch<'a>,
    products: AtomicUsize,
}

impl<'a, T: Scalar> Watched<'a, T> {
    /// Counts from 0.
    pub fn new(op: &'a dyn LinearOperator<T>, watch: &'a Watch<'a>) -> Self {
        Self {
            op,
            watch,
            products: AtomicUsize::new(0),
        }
    }

    /// Products with single vectors so far.
    pub fn products(&self) -> usize {
        self.products.load(Ordering::Relaxed)
    }

    fn count(&self, vectors: usize) -> Result<()> {
        let before = self.products.fetch_add(vectors, Ordering::Relaxed);
        match (self.watch)(before + vectors) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => {
                Err(Error::new(ErrorKind::Stopped, "the analysis was stopped"))
            }
        }
    }
}

impl<T: Scalar> LinearOperator<T> for Watched<'_, T> {
    fn shape(&self) -> (usize, usize) {
        self.op.shape()
    }

    fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()> {
        self.op.apply(x, y)?;
        self.count(x.ncols())
    }

    fn apply_adjoint(&self, y: MatRef<'_, T>, x: MatMut<'_, T>) -> Result<()> {
        self.op.apply_adjoint(y, x)?;
        self.count(y.ncols())
    }

    fn properties(&self) -> Properties {
        self.op.properties()
    }

    fn cost(&self) -> Cost {
        self.op.cost()
    }
}
