//! A problem that counts what it is asked, remembers what it answered, and misbehaves when told to.

use faer::{MatMut, MatRef};
use quadric_core::{
    ApproximateInverse, BoxOp, Clock, Columns, Error, ErrorKind, FiniteSum, Gap, LineModel,
    LinearOperator, Objective, Problem, Properties, Result, SelfConcordant, Smooth, TwiceSmooth,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mischief {
    /// The value is replaced.
    Value(f64),
    /// The value is right, the gradient is NaN.
    GradientNan,
    /// The evaluation returns an error.
    Fails,
    /// The gradient points the wrong way.
    WrongSign,
    /// The gradient is a million times too long.
    TooLong,
    /// The evaluation panics.
    Panics,
    /// The evaluation takes a while.
    Sleeps,
    /// Products with the Hessian are zero.
    ZeroHessian,
    /// The Hessian is not symmetric.
    AsymmetricHessian,
    /// The Hessian has the wrong sign.
    NegativeHessian,
}

impl Mischief {
    /// True for those that strike at a use of the Hessian instead of an evaluation.
    pub(crate) fn is_of_hessian(self) -> bool {
        matches!(
            self,
            Self::ZeroHessian | Self::AsymmetricHessian | Self::NegativeHessian
        )
    }
}

/// What was asked so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) values: u64,
    pub(crate) gradients: u64,
    pub(crate) hessians: u64,
    pub(crate) products: u64,
    pub(crate) dense: u64,
    /// Blocks that a Hessian was applied to, and dense Hessians.
    uses: u64,
    /// Points and the values that were answered.
    pub(crate) answers: Vec<(Vec<f64>, f64)>,
}

impl Record {
    pub(crate) fn evaluations(&self) -> u64 {
        self.values + self.gradients
    }
}

struct Ticks(Arc<Mutex<Record>>, Duration);

impl Clock for Ticks {
    fn now(&self) -> Duration {
        self.1 * self.0.lock().unwrap().evaluations() as u32
    }
}

enum Inner<'a> {
    Whole(&'a dyn Problem<f64>),
    Batch(Box<dyn FiniteSum<f64> + 'a>),
}

/// The wrapper; it offers what the inner problem offers.
pub(crate) struct Watched<'a> {
    inner: Inner<'a>,
    record: Arc<Mutex<Record>>,
    /// Misbehave at this evaluation (or use of a Hessian), counted from 1.
    mischief: Option<(u64, Mischief)>,
    /// Keep the answers.
    remembers: bool,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(inner: &'a dyn Problem<f64>) -> Self {
        Self {
            inner: Inner::Whole(inner),
            record: Arc::default(),
            mischief: None,
            remembers: false,
        }
    }

    pub(crate) fn remembering(mut self) -> Self {
        self.remembers = true;
        self
    }

    pub(crate) fn misbehaving(mut self, k: u64, what: Mischief) -> Self {
        self.mischief = Some((k, what));
        self
    }

    pub(crate) fn record(&self) -> Record {
        self.record.lock().unwrap().clone()
    }

    /// A clock that every evaluation moves by `tick`.
    pub(crate) fn clock(&self, tick: Duration) -> Arc<dyn Clock> {
        Arc::new(Ticks(self.record.clone(), tick))
    }

    fn inner(&self) -> &dyn Problem<f64> {
        match &self.inner {
            Inner::Whole(p) => *p,
            Inner::Batch(p) => p.as_ref(),
        }
    }

    /// Counts an evaluation; the mischief that falls due, if any.
    fn count(&self, gradient: bool) -> Option<Mischief> {
        let mut r = self.record.lock().unwrap();
        if gradient {
            r.gradients += 1;
        } else {
            r.values += 1;
        }
        let due = self
            .mischief
            .filter(|(k, what)| *k == r.evaluations() && !what.is_of_hessian());
        drop(r);
        match due?.1 {
            Mischief::Panics => panic!("a panic on purpose"),
            Mischief::Sleeps => std::thread::sleep(Duration::from_millis(2)),
            _ => {}
        }
        due.map(|m| m.1)
    }

    fn remember(&self, x: &[f64], f: f64) {
        if self.remembers {
            let mut r = self.record.lock().unwrap();
            r.answers.push((x.to_vec(), f));
        }
    }
}

fn failure() -> Error {
    Error::new(ErrorKind::Numeric, "the evaluation failed on purpose")
}

impl Problem<f64> for Watched<'_> {
    fn dim(&self) -> usize {
        self.inner().dim()
    }
    fn name(&self) -> &str {
        self.inner().name()
    }
    fn gap(&self, x: &[f64]) -> Result<Option<Gap>> {
        self.inner().gap(x)
    }
    fn as_objective(&self) -> Option<&dyn Objective<f64>> {
        self.inner().as_objective().map(|_| self as _)
    }
    fn as_smooth(&self) -> Option<&dyn Smooth<f64>> {
        self.inner().as_smooth().map(|_| self as _)
    }
    fn as_twice_smooth(&self) -> Option<&dyn TwiceSmooth<f64>> {
        self.inner().as_twice_smooth().map(|_| self as _)
    }
    fn as_self_concordant(&self) -> Option<&dyn SelfConcordant<f64>> {
        self.inner().as_self_concordant().map(|_| self as _)
    }
    fn as_columns(&self) -> Option<&dyn Columns<f64>> {
        self.inner().as_columns().map(|_| self as _)
    }
    fn as_finite_sum(&self) -> Option<&dyn FiniteSum<f64>> {
        self.inner().as_finite_sum().map(|_| self as _)
    }
}

impl Objective<f64> for Watched<'_> {
    fn value(&self, x: &[f64]) -> Result<f64> {
        let f = match self.count(false) {
            Some(Mischief::Fails) => return Err(failure()),
            Some(Mischief::Value(v)) => v,
            _ => self.inner().as_objective().unwrap().value(x)?,
        };
        self.remember(x, f);
        Ok(f)
    }
    fn recession(&self, d: &[f64]) -> Result<Option<String>> {
        self.inner().as_objective().unwrap().recession(d)
    }
}

impl Smooth<f64> for Watched<'_> {
    fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
        let mischief = self.count(true);
        let mut f = self.inner().as_smooth().unwrap().value_grad(x, g)?;
        match mischief {
            Some(Mischief::Fails) => return Err(failure()),
            Some(Mischief::Value(v)) => f = v,
            Some(Mischief::GradientNan) => g.fill(f64::NAN),
            Some(Mischief::WrongSign) => g.iter_mut().for_each(|g| *g = -*g),
            Some(Mischief::TooLong) => g.iter_mut().for_each(|g| *g *= 1e6),
            _ => {}
        }
        self.remember(x, f);
        Ok(f)
    }
    fn restrict(&self, x: &[f64], d: &[f64]) -> Result<Option<Box<dyn LineModel + '_>>> {
        let model = self.inner().as_smooth().unwrap().restrict(x, d)?;
        if model.is_some() {
            self.count(false);
        }
        Ok(model)
    }
}

impl TwiceSmooth<f64> for Watched<'_> {
    fn hessian(&self, x: &[f64]) -> Result<BoxOp<'_, f64>> {
        self.record.lock().unwrap().hessians += 1;
        let op = self.inner().as_twice_smooth().unwrap().hessian(x)?;
        Ok(Box::new(WatchedOp {
            op,
            record: self.record.clone(),
            mischief: self.mischief.filter(|m| m.1.is_of_hessian()),
        }))
    }
    fn preconditioner(&self, x: &[f64], shift: f64) -> Result<Option<ApproximateInverse<f64>>> {
        self.inner()
            .as_twice_smooth()
            .unwrap()
            .preconditioner(x, shift)
    }
    fn smoothed_preconditioner(
        &self,
        x: &[f64],
        smoothing: f64,
    ) -> Result<Option<ApproximateInverse<f64>>> {
        self.inner()
            .as_twice_smooth()
            .unwrap()
            .smoothed_preconditioner(x, smoothing)
    }
}

impl SelfConcordant<f64> for Watched<'_> {
    fn concordance(&self, h: &[f64]) -> Result<f64> {
        self.inner().as_self_concordant().unwrap().concordance(h)
    }
}

impl Columns<f64> for Watched<'_> {
    fn columns(&self) -> usize {
        self.inner().as_columns().unwrap().columns()
    }
    fn values_grads(
        &self,
        which: &[usize],
        x: &[f64],
        values: &mut [f64],
        g: &mut [f64],
    ) -> Result<()> {
        let columns = self.inner().as_columns().unwrap();
        self.record.lock().unwrap().gradients += which.len() as u64;
        columns.values_grads(which, x, values, g)
    }
    fn gaps(&self, which: &[usize], x: &[f64]) -> Result<Vec<Gap>> {
        self.inner().as_columns().unwrap().gaps(which, x)
    }
}

impl FiniteSum<f64> for Watched<'_> {
    fn terms(&self) -> usize {
        self.inner().as_finite_sum().unwrap().terms()
    }
    fn batch(&self, rows: &[usize]) -> Result<Box<dyn FiniteSum<f64> + '_>> {
        Ok(Box::new(Watched {
            inner: Inner::Batch(self.inner().as_finite_sum().unwrap().batch(rows)?),
            record: self.record.clone(),
            mischief: self.mischief,
            remembers: false,
        }))
    }
    fn term_smoothness(&self) -> Option<f64> {
        self.inner().as_finite_sum().unwrap().term_smoothness()
    }
}

struct WatchedOp<'a> {
    op: BoxOp<'a, f64>,
    record: Arc<Mutex<Record>>,
    mischief: Option<(u64, Mischief)>,
}

impl WatchedOp<'_> {
    /// Counts a use and spoils its result if it is due. A column of a dense Hessian is a product like any other.
    fn spoil(&self, mut y: MatMut<'_, f64>) {
        let uses = {
            let mut r = self.record.lock().unwrap();
            r.uses += 1;
            r.uses
        };
        let Some((_, what)) = self.mischief.filter(|(k, _)| *k == uses) else {
            return;
        };
        for j in 0..y.ncols() {
            for i in 0..y.nrows() {
                match what {
                    Mischief::ZeroHessian => y[(i, j)] = 0.0,
                    Mischief::NegativeHessian => y[(i, j)] *= -1.0,
                    // Rows of different weight.
                    _ => y[(i, j)] *= 1.0 + i as f64,
                }
            }
        }
    }
}

impl LinearOperator<f64> for WatchedOp<'_> {
    fn shape(&self) -> (usize, usize) {
        self.op.shape()
    }
    fn apply(&self, x: MatRef<'_, f64>, mut y: MatMut<'_, f64>) -> Result<()> {
        self.record.lock().unwrap().products += x.ncols() as u64;
        self.op.apply(x, y.as_mut())?;
        self.spoil(y);
        Ok(())
    }
    fn properties(&self) -> Properties {
        self.op.properties()
    }
    fn dense(&self, mut out: MatMut<'_, f64>) -> Result<()> {
        self.record.lock().unwrap().dense += 1;
        self.op.dense(out.as_mut())?;
        self.spoil(out);
        Ok(())
    }
    fn cost(&self) -> quadric_core::Cost {
        self.op.cost()
    }
}
