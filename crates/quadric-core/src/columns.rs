//! Independent problems that share their data: evaluated together, certified one by one.

use crate::{Certificate, Gap, Result, Scalar, Smooth, Status, Tolerance};

/// Independent problems of one size that share their data, so that several are evaluated for little more than one.
///
/// The unknowns of the whole are those of the columns one after another, F is the sum of theirs, and the gap of the whole
/// meets a relative tolerance only if that of every column does ([`Gap::of_columns`]). Any method for [`Smooth`] problems
/// minimises the whole; one that asks for columns minimises each as the problem of its own that it is, and leaves alone
/// those that are done.
///
/// Law: the values, gradients and gaps of a column are, to rounding, those of its problem alone.
pub trait Columns<T: Scalar>: Smooth<T> {
    /// Number of columns m, at least 1; each has `dim() / m` unknowns.
    fn columns(&self) -> usize;

    /// For the columns `which` (ascending), in one pass over the data: F of column c at its part of `x` (dim) into
    /// `values[c]`, the gradient into its part of `g` (dim). Other columns are neither read nor written.
    ///
    /// # Errors
    /// Those of an evaluation.
    fn values_grads(&self, which: &[usize], x: &[T], values: &mut [f64], g: &mut [T])
    -> Result<()>;

    /// Proven bounds on `F_c(x_c) - F_c*` for the columns `which`, in their order.
    ///
    /// # Errors
    /// Those of an evaluation.
    fn gaps(&self, which: &[usize], x: &[T]) -> Result<Vec<Gap>>;

    /// [`Objective::recession`](crate::Objective::recession) of one column along its part of `d` (dim).
    ///
    /// # Errors
    /// Those of an evaluation.
    fn column_recession(&self, _column: usize, _d: &[T]) -> Result<Option<String>> {
        Ok(None)
    }
}

impl Gap {
    /// The bound on a sum of independent problems whose relative size is that of the worst of them.
    pub fn of_columns(gaps: &[Self]) -> Self {
        let scale: f64 = gaps.iter().map(|gap| gap.scale).sum();
        let worst = gaps.iter().fold(0.0, |worst: f64, gap| {
            let relative = gap.certificate().relative();
            if relative > worst || relative.is_nan() {
                relative
            } else {
                worst
            }
        });
        // A bound of 0 at a scale of 0 is exact.
        let bound = if worst == 0.0 { 0.0 } else { worst * scale };
        let bound = if bound.is_nan() { f64::INFINITY } else { bound };
        Self { bound, scale }
    }

    /// The evidence that it is.
    pub fn certificate(self) -> Certificate {
        Certificate {
            kind: "gap_bound",
            value: self.bound,
            scale: self.scale,
        }
    }
}

/// How one of the [`Columns`] ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnEnd {
    /// `converged` if its own certificate meets the tolerance, whatever the others do.
    pub status: Status,
    /// Why, where the status alone does not say it.
    pub reason: Option<String>,
    /// F of the column at the returned point.
    pub value: f64,
    /// Evidence of optimality, measured there.
    pub certificate: Certificate,
}

/// Measures every column at `x` afresh after a run that ended with the status `whole`.
pub(crate) fn column_ends<T: Scalar>(
    p: &dyn Columns<T>,
    x: &[T],
    whole: Status,
    tolerance: Tolerance,
) -> Result<Vec<ColumnEnd>> {
    let m = p.columns();
    let which: Vec<usize> = (0..m).collect();
    let mut values = vec![0.0; m];
    let mut g = vec![T::of(0.0); x.len()];
    p.values_grads(&which, x, &mut values, &mut g)?;
    let gaps = p.gaps(&which, x)?;
    let end = |(c, gap): (usize, Gap)| {
        let certificate = gap.certificate();
        let met = |factor| values[c].is_finite() && tolerance.met(&certificate, factor);
        let mut reason = None;
        let status = if met(1.0) {
            Status::Converged
        } else {
            reason = p.column_recession(c, x)?;
            match whole {
                _ if reason.is_some() => Status::Unbounded,
                Status::Converged
                | Status::ConvergedReduced
                | Status::Unbounded
                | Status::Stalled => crate::run::reduced(met(1e4)),
                other => other,
            }
        };
        Ok(ColumnEnd {
            status,
            reason,
            value: values[c],
            certificate,
        })
    };
    gaps.into_iter().enumerate().map(end).collect()
}
