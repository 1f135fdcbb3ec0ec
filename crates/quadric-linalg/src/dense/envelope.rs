//! Cholesky factorisation of small symmetric matrices within their envelope, for many shifts of one matrix.
//!
//! George, Liu, "Computer Solution of Large Sparse Positive Definite Systems" (1981), chapter 4: left of the first entry
//! of a row of A the row of L is zero too, so that a banded matrix costs what its band costs. Row after row, by sums over
//! contiguous entries, in `f64`, without a call for small blocks: made for up to some hundred unknowns.

use crate::kernels::envelope::{Layout, factor_rows, solve_lower, solve_upper};
use crate::vector::{dot, norm2};
use crate::{Error, Result, Scalar};
use faer::Mat;

/// A pivot that is too small for a positive definite matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RefusedPivot {
    /// Its row.
    pub index: usize,
    /// What elimination left of the diagonal entry.
    pub value: f64,
}

/// The factorisation `A + shift I = L Lᵀ` within the envelope of A.
#[derive(Clone, Debug, Default)]
pub struct EnvelopeCholesky {
    /// The first column of each row that is not zero.
    first: Vec<usize>,
    /// Where each row ends: its entries from the first one to the diagonal lie side by side.
    ends: Vec<usize>,
    matrix: Vec<f64>,
    factor: Vec<f64>,
}

impl EnvelopeCholesky {
    /// Takes over a symmetric matrix (d, d), of which the upper triangle is read.
    ///
    /// # Errors
    /// An entry that is not finite.
    ///
    /// # Panics
    /// A matrix that is not square.
    pub fn load<T: Scalar>(&mut self, a: &Mat<T>) -> Result<()> {
        let d = a.nrows();
        assert_eq!(d, a.ncols(), "a square matrix");
        self.first.clear();
        self.ends.clear();
        self.matrix.clear();
        for j in 0..d {
            // A column above the diagonal is a row left of it.
            let column = &a.col_as_slice(j)[..=j];
            let zeros = column[..j].iter().take_while(|v| v.to_f64() == 0.0);
            let first = zeros.count();
            let entries = column[first..].iter();
            self.matrix.extend(entries.map(|v| v.to_f64()));
            self.first.push(first);
            self.ends.push(self.matrix.len());
        }
        if !self.matrix.iter().sum::<f64>().is_finite() {
            self.refuse()?;
        }
        self.factor.resize(self.matrix.len(), 0.0);
        Ok(())
    }

    /// The error that names the first entry that is not finite; the sum may just have overflowed.
    fn refuse(&self) -> Result<()> {
        for i in 0..self.dim() {
            let row = &self.matrix[self.layout().row(i).1];
            if let Some(k) = row.iter().position(|v| !v.is_finite()) {
                return Err(Error::non_finite(
                    "the matrix",
                    (i, self.first[i] + k),
                    row[k],
                ));
            }
        }
        Ok(())
    }

    /// Number of unknowns.
    pub fn dim(&self) -> usize {
        self.first.len()
    }

    fn layout(&self) -> Layout<'_> {
        Layout {
            first: &self.first,
            ends: &self.ends,
        }
    }

    /// Entry (i, i) of A.
    pub fn diagonal(&self, i: usize) -> f64 {
        self.matrix[self.ends[i] - 1]
    }

    /// The rows of the lower triangle of A: the column of the first entry, and the entries up to the diagonal.
    pub fn rows(&self) -> impl Iterator<Item = (usize, &[f64])> {
        (0..self.dim()).map(|i| {
            let (first, range) = self.layout().row(i);
            (first, &self.matrix[range])
        })
    }

    /// Factors `A + shift I`, in as many operations as the squares of the lengths of its rows sum to. A pivot must exceed
    /// `resolution` times the diagonal entry that it is the rest of.
    ///
    /// # Errors
    /// The first pivot that does not; L holds the rows up to it.
    pub fn factor(&mut self, shift: f64, resolution: f64) -> std::result::Result<(), RefusedPivot> {
        self.factor.copy_from_slice(&self.matrix);
        let layout = Layout {
            first: &self.first,
            ends: &self.ends,
        };
        match factor_rows(&mut self.factor, layout, shift, resolution) {
            None => Ok(()),
            Some((index, value)) => Err(RefusedPivot { index, value }),
        }
    }

    /// Entries of row i of L left of the diagonal, with the column of the first, and the diagonal.
    fn split(&self, i: usize) -> (usize, &[f64], f64) {
        let (first, range) = self.layout().row(i);
        let row = &self.factor[range];
        (first, &row[..row.len() - 1], row[row.len() - 1])
    }

    /// `x <- L⁻¹ x`.
    ///
    /// # Panics
    /// A vector of another length.
    pub fn solve_lower_in_place(&self, x: &mut [f64]) {
        assert_eq!(x.len(), self.dim(), "one entry per unknown");
        solve_lower(&self.factor, self.layout(), x);
    }

    /// `x <- L⁻ᵀ x` in the first `x.len()` unknowns.
    ///
    /// # Panics
    /// A vector that is longer than there are unknowns.
    pub fn solve_upper_in_place(&self, x: &mut [f64]) {
        assert!(x.len() <= self.dim(), "an entry per unknown at most");
        solve_upper(&self.factor, self.layout(), x);
    }

    /// Writes into `z` a direction of unit length along which `A + shift I` curves little, and returns that curvature
    /// `‖Lᵀz‖²` (Cline, Moler, Stewart, Wilkinson, "An estimate for the condition number of a matrix", 1979, with a step of
    /// inverse iteration).
    ///
    /// # Panics
    /// A vector of another length.
    pub fn flattest(&self, z: &mut [f64]) -> f64 {
        assert_eq!(z.len(), self.dim(), "one entry per unknown");
        z.fill(0.0);
        // L w = e, each e_i of ±1 so that w grows.
        for i in 0..z.len() {
            let (first, row, pivot) = self.split(i);
            let known = dot(row, &z[first..i]);
            z[i] = -(known + 1f64.copysign(known)) / pivot;
        }
        self.solve_upper_in_place(z);
        normalize(z);
        // A step of inverse iteration, halfway through which the vector is Lᵀ z.
        self.solve_lower_in_place(z);
        let half = norm2(z);
        self.solve_upper_in_place(z);
        (half / normalize(z)).powi(2)
    }

    /// Writes into `u` the direction with an entry 1 in the row of a refused pivot, and 0 after it, along which `A + shift I`
    /// curves as much as the pivot; returns its squared length.
    ///
    /// # Panics
    /// A vector of another length.
    pub fn direction_of(&self, pivot: RefusedPivot, u: &mut [f64]) -> f64 {
        assert_eq!(u.len(), self.dim(), "one entry per unknown");
        let index = pivot.index;
        u.fill(0.0);
        let (first, row, _) = self.split(index);
        for (u, l) in u[first..index].iter_mut().zip(row) {
            *u = -l;
        }
        self.solve_upper_in_place(&mut u[..index]);
        u[index] = 1.0;
        dot(u, u)
    }
}

/// Scales a vector to unit length; returns the length it had.
fn normalize(z: &mut [f64]) -> f64 {
    let size = norm2(z);
    z.iter_mut().for_each(|v| *v /= size);
    size
}
