//! What a block tridiagonal matrix says about the measures of its first block of vectors.

use super::density::Rule;
use super::gauss_rule::gauss_rule;
use crate::Result;
use crate::dense::symmetric_eigen;
use crate::vector::{axpy, dot, norm2, scale};
use faer::{Mat, MatRef};

/// A symmetric matrix of square blocks, column by column: those on the diagonal, and those below it, of which the last couples to
/// a step that was not taken.
pub(super) struct BlockTridiagonal<'a> {
    pub(super) width: usize,
    pub(super) diagonal: &'a [f64],
    pub(super) beside: &'a [f64],
}

impl BlockTridiagonal<'_> {
    fn steps(&self) -> usize {
        self.diagonal.len() / (self.width * self.width)
    }

    fn order(&self) -> usize {
        self.steps() * self.width
    }

    /// `T x`.
    fn apply(&self, x: &[f64]) -> Vec<f64> {
        let (p, mut y) = (self.width, vec![0.0; x.len()]);
        for j in 0..self.steps() {
            let own = j * p;
            let block = |of: &[f64], i: usize, l: usize| of[(j * p + l) * p + i];
            for l in 0..p {
                for i in 0..p {
                    y[own + i] += block(self.diagonal, i, l) * x[own + l];
                    if j + 1 < self.steps() {
                        let coupling = block(self.beside, i, l);
                        y[own + p + i] += coupling * x[own + l];
                        y[own + l] += coupling * x[own + p + i];
                    }
                }
            }
        }
        y
    }

    /// The Gauss rules of one start for `most` Lanczos steps and for about three quarters of them, and whether its Krylov space
    /// ended before, up to `floor` relative to the matrix: then both are its measure itself.
    pub(super) fn rules(
        &self,
        start: usize,
        most: usize,
        floor: f64,
    ) -> Result<(Rule, Rule, bool)> {
        let mut basis = vec![vec![0.0; self.order()]];
        basis[0][start] = 1.0;
        let (mut diagonal, mut beside) = (Vec::new(), Vec::new());
        let (mut size, mut closed) = (0.0f64, false);
        while diagonal.len() < most {
            let newest = &basis[basis.len() - 1];
            let mut w = self.apply(newest);
            let alpha = dot(newest, &w);
            for _ in 0..2 {
                for v in &basis {
                    axpy(-dot(v, &w), v, &mut w);
                }
            }
            diagonal.push(alpha);
            size = size.max(alpha.abs());
            let beta = norm2(&w);
            closed = beta <= floor * size || diagonal.len() == self.order();
            if closed {
                break;
            }
            size = size.max(beta);
            beside.push(beta);
            scale(beta.recip(), &mut w);
            basis.push(w);
        }
        let length = diagonal.len();
        let cut = match closed {
            true => length,
            false => (length - length / 4).min(length.max(2) - 1),
        };
        let rule = |length: usize| gauss_rule(&diagonal[..length], &beside[..length - 1]);
        Ok((rule(length)?, rule(cut)?, closed))
    }

    /// The measure of each start on the eigenvalues that all of them see.
    pub(super) fn measures(&self) -> Result<Vec<Rule>> {
        let (p, order) = (self.width, self.order());
        let mut whole = Mat::<f64>::zeros(order, order);
        for j in 0..self.steps() {
            for l in 0..p {
                for i in 0..p {
                    whole[(j * p + i, j * p + l)] = self.diagonal[(j * p + l) * p + i];
                    if j + 1 < self.steps() {
                        let coupling = self.beside[(j * p + l) * p + i];
                        whole[((j + 1) * p + i, j * p + l)] = coupling;
                        whole[(j * p + l, (j + 1) * p + i)] = coupling;
                    }
                }
            }
        }
        let eigen = symmetric_eigen(whole.as_ref())?;
        let square = |i: usize, j: usize| eigen.vectors[(i, j)].powi(2);
        // Rows of zeros belong to no start.
        let seen = (0..order).filter(|&j| (0..p).any(|i| square(i, j) > 0.0));
        let seen: Vec<usize> = seen.collect();
        let measure = |i: usize| Rule {
            nodes: seen.iter().map(|&j| eigen.values[j]).collect(),
            weights: seen.iter().map(|&j| square(i, j)).collect(),
        };
        Ok((0..p).map(measure).collect())
    }
}

/// The triangle R with `RᵀR` equal to a matrix of products, and its inverse. Where a pivot is at most `floor`, the row of R and the
/// column of the inverse are zero, and so behind the first `most` others.
pub(super) fn triangle(products: MatRef<'_, f64>, floor: f64, most: usize) -> (Mat<f64>, Mat<f64>) {
    let (p, mut count) = (products.nrows(), 0);
    let (mut r, mut inverse) = (Mat::<f64>::zeros(p, p), Mat::<f64>::zeros(p, p));
    for j in 0..p {
        for i in 0..j {
            if r[(i, i)] > 0.0 {
                let known: f64 = (0..i).map(|l| r[(l, i)] * r[(l, j)]).sum();
                r[(i, j)] = (products[(i, j)] - known) / r[(i, i)];
            }
        }
        let known: f64 = (0..j).map(|l| r[(l, j)].powi(2)).sum();
        let left = products[(j, j)] - known;
        // What is left of a difference of larger numbers is no more than their rounding.
        let rounding = 4.0 * p as f64 * f64::EPSILON * products[(j, j)];
        if count < most && left > (floor * floor).max(rounding) {
            count += 1;
            r[(j, j)] = left.sqrt();
            inverse[(j, j)] = r[(j, j)].recip();
            for i in (0..j).rev() {
                let terms = (i + 1..=j).map(|l| r[(i, l)] * inverse[(l, j)]);
                let sum: f64 = terms.sum();
                if r[(i, i)] > 0.0 {
                    inverse[(i, j)] = -sum / r[(i, i)];
                }
            }
        }
    }
    (r, inverse)
}
