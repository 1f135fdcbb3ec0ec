//! Sums of terms over few unknowns each (partially separable functions), derivatives by [`Jet`].

use super::jet::{Jet, Order};
use faer::{MatMut, MatRef};
use quadric_core::{
    BoxOp, Cost, Error, LinearOperator, Objective, Problem, Properties, Result, Scalar, Smooth,
    TwiceSmooth, capabilities,
};
use quadric_linalg::DataMatrix;
use quadric_linalg::algebra::DataOperator;
use std::sync::OnceLock;

/// A term: its number within its part and its unknowns, to its value.
type Term = Box<dyn Fn(usize, &[Jet]) -> Jet + Send + Sync>;

/// Terms of one formula.
struct Part {
    /// The unknowns of each term, in the order in which the formula gets them; repeats are allowed.
    unknowns: Vec<Vec<usize>>,
    term: Term,
}

/// `F(x) = Σ φ_k(unknowns of term k)`: values, gradients and sparse Hessians cost what the terms cost.
pub struct TermSum {
    name: String,
    dim: usize,
    parts: Vec<Part>,
    pattern: OnceLock<Pattern>,
}

/// Where the entries of the terms' Hessians go.
struct Pattern {
    row_starts: Vec<u32>,
    columns: Vec<u32>,
    /// For each term in turn, for each entry of its lower triangle: the places of (i, j) and (j, i); equal on the diagonal.
    places: Vec<(u32, u32)>,
}

impl TermSum {
    /// Zero, as a function of `dim` unknowns.
    pub(super) fn new(name: impl Into<String>, dim: usize) -> Self {
        Self {
            name: name.into(),
            dim,
            parts: Vec::new(),
            pattern: OnceLock::new(),
        }
    }

    /// Adds one term for every list of unknowns (numbered from 0).
    pub(super) fn each<U: Into<Vec<usize>>>(
        mut self,
        unknowns: impl IntoIterator<Item = U>,
        term: impl Fn(usize, &[Jet]) -> Jet + Send + Sync + 'static,
    ) -> Self {
        let unknowns: Vec<Vec<usize>> = unknowns.into_iter().map(Into::into).collect();
        assert!(
            unknowns.iter().flatten().all(|j| *j < self.dim),
            "the terms of `{}` use more unknowns than it has",
            self.name
        );
        self.parts.push(Part {
            unknowns,
            term: Box::new(term),
        });
        self
    }

    /// `Σ r_i(x)²`, without a half and without a mean, from residuals over all `dim` unknowns. Each operation of a
    /// residual costs `dim²`.
    pub fn of_squares(
        name: impl Into<String>,
        dim: usize,
        residuals: impl Fn(&[Jet]) -> Vec<Jet> + Send + Sync + 'static,
    ) -> Self {
        let whole: Vec<usize> = (0..dim).collect();
        let term = move |_: usize, x: &[Jet]| Jet::sum(residuals(x).iter().map(Jet::square));
        Self::new(name, dim).each([whole], term)
    }

    fn check(&self, len: usize) -> Result<()> {
        if len != self.dim {
            return Err(Error::shape("the point", len, self.dim));
        }
        Ok(())
    }

    /// Calls `f` with the unknowns and the value of every term.
    fn terms<T: Scalar>(&self, x: &[T], order: Order, mut f: impl FnMut(&[usize], Jet)) {
        let mut local = Vec::new();
        for part in &self.parts {
            for (k, unknowns) in part.unknowns.iter().enumerate() {
                local.clear();
                let n = unknowns.len();
                let variable = |(j, i): (usize, &usize)| Jet::of_order(x[*i].to_f64(), j, n, order);
                local.extend(unknowns.iter().enumerate().map(variable));
                f(unknowns, (part.term)(k, &local));
            }
        }
    }

    fn pattern(&self) -> &Pattern {
        let terms = || self.parts.iter().flat_map(|p| &p.unknowns);
        self.pattern.get_or_init(|| Pattern::new(self.dim, terms))
    }
}

impl Pattern {
    fn new<'a, I: Iterator<Item = &'a Vec<usize>>>(dim: usize, terms: impl Fn() -> I) -> Self {
        let mut rows: Vec<Vec<u32>> = (0..dim).map(|i| vec![i as u32]).collect();
        for unknowns in terms() {
            for i in unknowns {
                rows[*i].extend(unknowns.iter().map(|j| *j as u32));
            }
        }
        let mut row_starts = vec![0];
        for row in &mut rows {
            row.sort_unstable();
            row.dedup();
            row_starts.push(row_starts[row_starts.len() - 1] + row.len() as u32);
        }
        let place = |i: usize, j: usize| {
            let within = rows[i].partition_point(|c| *c < j as u32);
            row_starts[i] + within as u32
        };
        let lower = |u: &'a Vec<usize>| {
            let pairs = (0..u.len()).flat_map(move |a| (0..=a).map(move |b| (u[a], u[b])));
            pairs.map(|(i, j)| (place(i, j), place(j, i)))
        };
        let places = terms().flat_map(lower).collect();
        Self {
            columns: rows.concat(),
            row_starts,
            places,
        }
    }
}

impl<T: Scalar> Problem<T> for TermSum {
    fn dim(&self) -> usize {
        self.dim
    }

    fn name(&self) -> &str {
        &self.name
    }

    capabilities!(T: TwiceSmooth);
}

impl<T: Scalar> Objective<T> for TermSum {
    fn value(&self, x: &[T]) -> Result<f64> {
        self.check(x.len())?;
        let mut value = 0.0;
        self.terms(x, Order::Value, |_, term| value += term.value);
        Ok(value)
    }
}

impl<T: Scalar> Smooth<T> for TermSum {
    fn value_grad(&self, x: &[T], g: &mut [T]) -> Result<f64> {
        self.check(x.len())?;
        self.check(g.len())?;
        let (mut value, mut gradient) = (0.0, vec![0.0; self.dim]);
        self.terms(x, Order::Gradient, |unknowns, term| {
            value += term.value;
            for (i, d) in unknowns.iter().zip(&term.gradient) {
                gradient[*i] += d;
            }
        });
        g.iter_mut()
            .zip(&gradient)
            .for_each(|(g, v)| *g = T::of(*v));
        Ok(value)
    }
}

impl<T: Scalar> TwiceSmooth<T> for TermSum {
    fn hessian(&self, x: &[T]) -> Result<BoxOp<'_, T>> {
        self.check(x.len())?;
        let pattern = self.pattern();
        let mut values = vec![0.0; pattern.columns.len()];
        let mut places = pattern.places.iter();
        self.terms(x, Order::Hessian, |unknowns, term| {
            let n = unknowns.len();
            let (mut row, mut column) = (0, 0);
            // A constant term has no derivatives, but its places are passed all the same.
            for (at, (low, high)) in places.by_ref().take(n * (n + 1) / 2).enumerate() {
                let entry = term.hessian.get(at).copied().unwrap_or(0.0);
                values[*low as usize] += entry;
                if row != column {
                    values[*high as usize] += entry;
                }
                (row, column) = if row == column {
                    (row + 1, 0)
                } else {
                    (row, column + 1)
                };
            }
        });
        let values = values.into_iter().map(T::of).collect();
        let (starts, columns) = (pattern.row_starts.clone(), pattern.columns.clone());
        let matrix = DataMatrix::sparse(starts, columns, values, self.dim, self.dim)?;
        Ok(Box::new(Symmetric(matrix)))
    }
}

/// A symmetric matrix of which both triangles are stored.
struct Symmetric<T: Scalar>(DataMatrix<T>);

impl<T: Scalar> LinearOperator<T> for Symmetric<T> {
    fn shape(&self) -> (usize, usize) {
        DataOperator(&self.0).shape()
    }

    fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()> {
        DataOperator(&self.0).apply(x, y)
    }

    fn properties(&self) -> Properties {
        Properties {
            symmetric: true,
            ..Properties::default()
        }
    }

    fn dense(&self, out: MatMut<'_, T>) -> Result<()> {
        DataOperator(&self.0).dense(out)
    }

    fn cost(&self) -> Cost {
        DataOperator(&self.0).cost()
    }
}
