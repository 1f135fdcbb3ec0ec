//! One wrapper around every evaluation: it counts, and it may refuse.

use crate::{
    ApproximateInverse, Batch, BoxOp, Columns, Cost, FiniteSum, Gap, LineModel, LinearOperator,
    Objective, Problem, Properties, Result, Scalar, SelfConcordant, Smooth, Tolerance, TwiceSmooth,
};
use faer::{MatMut, MatRef};
use quadric_linalg::random::SeedTree;
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};

/// A kind of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Work {
    /// A function value, or the restriction to a line.
    Value,
    /// A value with its gradient, each column counted.
    Gradient,
    /// Preparing a Hessian at a point.
    Prepare,
    /// An operator applied to a block.
    Product,
    /// A Hessian written down as a matrix.
    Dense,
}

/// How often each kind of evaluation was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Function values (and restrictions to a line).
    pub values: u64,
    /// Gradients, each column of several counted.
    pub gradients: u64,
    /// Hessians prepared.
    pub hessians: u64,
    /// Hessian-vector products, each column of a block counted.
    pub products: u64,
    /// Hessians written down as a matrix.
    pub dense_hessians: u64,
    /// Passes over the data: each evaluation, each block product and each dense Hessian reads the data once; a batch
    /// counts its fraction.
    pub passes: f64,
}

impl Counts {
    /// Values and gradients: what an evaluation limit limits.
    pub fn evaluations(&self) -> u64 {
        self.values + self.gradients
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.values += other.values;
        self.gradients += other.gradients;
        self.hessians += other.hessians;
        self.products += other.products;
        self.dense_hessians += other.dense_hessians;
        self.passes += other.passes;
    }
}

/// Called before every evaluation.
pub trait Hook: Send + Sync {
    /// `columns` vectors are about to be worked on, over `fraction` of the data. An error refuses the evaluation.
    ///
    /// # Errors
    /// The budget is spent.
    fn before(&self, work: Work, columns: usize, fraction: f64) -> Result<()>;
}

/// A problem that reports to a [`Hook`] before every evaluation, and offers what the inner problem offers.
pub struct Hooked<'p, T: Scalar> {
    inner: Inner<'p, T>,
    hook: &'p dyn Hook,
    fraction: f64,
    /// The best value of the whole problem so far, and its point.
    best: Mutex<(f64, Vec<T>)>,
}

enum Inner<'p, T: Scalar> {
    Whole(&'p (dyn Problem<T> + 'p)),
    Batch(Box<dyn FiniteSum<T> + 'p>),
}

const OFFERED: &str = "the query answered Some only because the inner problem offers it";

impl<'p, T: Scalar> Hooked<'p, T> {
    /// Wraps a problem.
    pub fn new(inner: &'p (dyn Problem<T> + 'p), hook: &'p dyn Hook) -> Self {
        Self {
            inner: Inner::Whole(inner),
            hook,
            fraction: 1.0,
            best: Mutex::new((f64::INFINITY, Vec::new())),
        }
    }

    /// The lowest value of the whole problem that was told, and its point; an infinite value before the first.
    pub(crate) fn into_best(self) -> (f64, Vec<T>) {
        self.best
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, x: &[T], value: f64) {
        if matches!(self.inner, Inner::Whole(_)) {
            let mut best = self.best.lock().unwrap_or_else(PoisonError::into_inner);
            if value < best.0 {
                best.0 = value;
                best.1.clear();
                best.1.extend_from_slice(x);
            }
        }
    }

    fn inner(&self) -> &dyn Problem<T> {
        match &self.inner {
            Inner::Whole(p) => *p,
            Inner::Batch(p) => p.as_ref(),
        }
    }

    fn before(&self, work: Work) -> Result<()> {
        self.hook.before(work, 1, self.fraction)
    }

    /// A part of the problem that stands on `rows` rows.
    fn part<'a>(&'a self, batch: Batch<'a, T>, rows: usize) -> Batch<'a, T> {
        let terms = self.inner().as_finite_sum().expect(OFFERED).terms();
        Box::new(Hooked {
            inner: Inner::Batch(batch),
            hook: self.hook,
            fraction: self.fraction * rows as f64 / terms.max(1) as f64,
            best: Mutex::new((f64::INFINITY, Vec::new())),
        })
    }

    fn counted<'a>(&'a self, op: BoxOp<'a, T>) -> BoxOp<'a, T> {
        Box::new(HookedOp {
            op,
            hook: self.hook,
            fraction: self.fraction,
        })
    }
}

impl<T: Scalar> Problem<T> for Hooked<'_, T> {
    fn dim(&self) -> usize {
        self.inner().dim()
    }
    fn name(&self) -> &str {
        self.inner().name()
    }
    fn gap(&self, x: &[T]) -> Result<Option<Gap>> {
        self.inner().gap(x)
    }
    fn gap_within(&self, x: &[T], tolerance: Tolerance) -> Result<Option<Gap>> {
        self.inner().gap_within(x, tolerance)
    }
    fn as_objective(&self) -> Option<&dyn Objective<T>> {
        self.inner()
            .as_objective()
            .map(|_| self as &dyn Objective<T>)
    }
    fn as_smooth(&self) -> Option<&dyn Smooth<T>> {
        self.inner().as_smooth().map(|_| self as &dyn Smooth<T>)
    }
    fn as_twice_smooth(&self) -> Option<&dyn TwiceSmooth<T>> {
        self.inner()
            .as_twice_smooth()
            .map(|_| self as &dyn TwiceSmooth<T>)
    }
    fn as_self_concordant(&self) -> Option<&dyn SelfConcordant<T>> {
        self.inner()
            .as_self_concordant()
            .map(|_| self as &dyn SelfConcordant<T>)
    }
    fn as_finite_sum(&self) -> Option<&dyn FiniteSum<T>> {
        self.inner()
            .as_finite_sum()
            .map(|_| self as &dyn FiniteSum<T>)
    }
    fn as_columns(&self) -> Option<&dyn Columns<T>> {
        self.inner().as_columns().map(|_| self as &dyn Columns<T>)
    }
}

impl<T: Scalar> Objective<T> for Hooked<'_, T> {
    fn value(&self, x: &[T]) -> Result<f64> {
        self.before(Work::Value)?;
        let value = self.inner().as_objective().expect(OFFERED).value(x)?;
        self.remember(x, value);
        Ok(value)
    }
    fn recession(&self, d: &[T]) -> Result<Option<String>> {
        self.inner().as_objective().expect(OFFERED).recession(d)
    }
}

impl<T: Scalar> Smooth<T> for Hooked<'_, T> {
    fn value_grad(&self, x: &[T], g: &mut [T]) -> Result<f64> {
        self.before(Work::Gradient)?;
        let value = self.inner().as_smooth().expect(OFFERED).value_grad(x, g)?;
        self.remember(x, value);
        Ok(value)
    }
    fn restrict(&self, x: &[T], d: &[T]) -> Result<Option<Box<dyn LineModel + '_>>> {
        let model = self.inner().as_smooth().expect(OFFERED).restrict(x, d)?;
        if model.is_some() {
            self.before(Work::Value)?;
        }
        Ok(model)
    }
}

impl<T: Scalar> TwiceSmooth<T> for Hooked<'_, T> {
    fn hessian(&self, x: &[T]) -> Result<BoxOp<'_, T>> {
        self.before(Work::Prepare)?;
        Ok(self.counted(self.inner().as_twice_smooth().expect(OFFERED).hessian(x)?))
    }
    fn preconditioner(&self, x: &[T], shift: f64) -> Result<Option<ApproximateInverse<T>>> {
        self.inner()
            .as_twice_smooth()
            .expect(OFFERED)
            .preconditioner(x, shift)
    }
    fn smoothed_preconditioner(
        &self,
        x: &[T],
        smoothing: f64,
    ) -> Result<Option<ApproximateInverse<T>>> {
        self.inner()
            .as_twice_smooth()
            .expect(OFFERED)
            .smoothed_preconditioner(x, smoothing)
    }
}

impl<T: Scalar> SelfConcordant<T> for Hooked<'_, T> {
    fn concordance(&self, h: &[T]) -> Result<f64> {
        self.inner()
            .as_self_concordant()
            .expect(OFFERED)
            .concordance(h)
    }
}

impl<T: Scalar> FiniteSum<T> for Hooked<'_, T> {
    fn terms(&self) -> usize {
        self.inner().as_finite_sum().expect(OFFERED).terms()
    }
    fn batch(&self, rows: &[usize]) -> Result<Batch<'_, T>> {
        let whole = self.inner().as_finite_sum().expect(OFFERED);
        Ok(self.part(whole.batch(rows)?, rows.len()))
    }
    fn mixed(&self, x: &[T], rows: usize, seeds: SeedTree) -> Result<Option<Batch<'_, T>>> {
        // Mixing reads all rows.
        self.before(Work::Product)?;
        let whole = self.inner().as_finite_sum().expect(OFFERED);
        let mixed = whole.mixed(x, rows, seeds)?;
        Ok(mixed.map(|batch| self.part(batch, rows)))
    }
    fn term_smoothness(&self) -> Option<f64> {
        self.inner()
            .as_finite_sum()
            .expect(OFFERED)
            .term_smoothness()
    }
}

impl<T: Scalar> Columns<T> for Hooked<'_, T> {
    fn columns(&self) -> usize {
        self.inner().as_columns().expect(OFFERED).columns()
    }
    fn values_grads(
        &self,
        which: &[usize],
        x: &[T],
        values: &mut [f64],
        g: &mut [T],
    ) -> Result<()> {
        self.hook
            .before(Work::Gradient, which.len(), self.fraction)?;
        let columns = self.inner().as_columns().expect(OFFERED);
        columns.values_grads(which, x, values, g)
    }
    fn gaps(&self, which: &[usize], x: &[T]) -> Result<Vec<Gap>> {
        self.inner().as_columns().expect(OFFERED).gaps(which, x)
    }
    fn column_recession(&self, column: usize, d: &[T]) -> Result<Option<String>> {
        let columns = self.inner().as_columns().expect(OFFERED);
        columns.column_recession(column, d)
    }
}

struct HookedOp<'a, T: Scalar> {
    op: BoxOp<'a, T>,
    hook: &'a dyn Hook,
    fraction: f64,
}

impl<T: Scalar> LinearOperator<T> for HookedOp<'_, T> {
    fn shape(&self) -> (usize, usize) {
        self.op.shape()
    }
    fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()> {
        self.hook.before(Work::Product, x.ncols(), self.fraction)?;
        self.op.apply(x, y)
    }
    fn apply_adjoint(&self, y: MatRef<'_, T>, x: MatMut<'_, T>) -> Result<()> {
        self.hook.before(Work::Product, y.ncols(), self.fraction)?;
        self.op.apply_adjoint(y, x)
    }
    fn properties(&self) -> Properties {
        self.op.properties()
    }
    fn dense(&self, out: MatMut<'_, T>) -> Result<()> {
        self.hook.before(Work::Dense, 1, self.fraction)?;
        self.op.dense(out)
    }
    fn cost(&self) -> Cost {
        self.op.cost()
    }
}
