//! Rows of taps in double precision.

use faer::{Mat, MatRef};
use quadric_core::Tap;
use quadric_linalg::Scalar;

/// Which rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Those of all positions.
    All,
    /// For each example the sum over its positions.
    Summed,
}

impl Rows {
    /// Inputs, with a 1 behind each if there is a bias.
    pub(crate) fn of_inputs<T: Scalar>(self, tap: &Tap<'_, T>, bias: bool) -> Mat<f64> {
        let n = tap.inputs.ncols();
        self.collect(tap, n + usize::from(bias), |r, i| match i < n {
            true => tap.inputs[(r, i)].to_f64(),
            false => 1.0,
        })
    }

    /// Derivatives by the outputs, of one block of a tap.
    pub(crate) fn of_block<T: Scalar>(self, tap: &Tap<'_, T>, block: MatRef<'_, T>) -> Mat<f64> {
        self.collect(tap, block.ncols(), |r, i| block[(r, i)].to_f64())
    }

    fn collect<T>(
        self,
        tap: &Tap<'_, T>,
        columns: usize,
        entry: impl Fn(usize, usize) -> f64,
    ) -> Mat<f64> {
        let (all, shared) = (tap.inputs.nrows(), tap.shared);
        match self {
            Self::All => Mat::from_fn(all, columns, entry),
            Self::Summed => Mat::from_fn(all / shared, columns, |r, i| {
                (r * shared..(r + 1) * shared).map(|r| entry(r, i)).sum()
            }),
        }
    }
}
