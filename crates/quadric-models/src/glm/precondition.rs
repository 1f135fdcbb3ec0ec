//! Preconditioners that a linear model knows by its structure.
//!
//! - Softmax: the Hessian without its blocks between predictors, each block `Zᵀ diag(m) Z + Q` factorised.
//! - More unknowns than samples: the inverse of each block by the identity of Sherman, Morrison and Woodbury, through a
//!   matrix of the size of the samples.

use super::Glm;
use super::design::Design;
use crate::Loss;
use faer::prelude::{Reborrow, ReborrowMut};
use faer::{Mat, MatMut, MatRef};
use quadric_core::{BoxOp, LinearOperator, Properties, Result, Scalar};
use quadric_linalg::check_apply;
use quadric_linalg::dense::EquilibratedCholesky;

/// Blocks of this many unknowns are factorised at most.
const UNKNOWNS: usize = 2000;

/// Woodbury's identity is used for this many samples at most.
const SAMPLES: usize = 2000;

/// Unit vectors that are multiplied at once.
const BLOCK: usize = 32;

/// The inverse of one block.
enum Inverse<T> {
    Direct(EquilibratedCholesky<T>),
    Woodbury(Woodbury<T>),
}

/// `(Zᵀ D Z + Q)⁻¹ = Q⁻¹ - Q⁻¹ Zᵀ R (I + R Z Q⁻¹ Zᵀ R)⁻¹ R Z Q⁻¹` with `R = D^½`.
struct Woodbury<T> {
    /// The diagonal of Q⁻¹.
    inverse: Vec<f64>,
    /// The diagonal of R.
    roots: Vec<f64>,
    core: EquilibratedCholesky<T>,
}

struct BlockInverse<'a, T> {
    design: &'a Design<T>,
    blocks: Vec<Inverse<T>>,
}

impl<T: Scalar> Glm<T> {
    pub(super) fn block_preconditioner(&self, x: &[T], shift: f64) -> Result<Option<BoxOp<'_, T>>> {
        let (n, p, k) = (
            self.design.rows(),
            self.design.columns(),
            self.samples.outputs(),
        );
        let wide = p > n && n <= SAMPLES && (self.l2 > 0.0 || shift > 0.0);
        let direct = k > 1 && p <= UNKNOWNS;
        if !(wide || direct) {
            return Ok(None);
        }
        let curvatures = self.samples.curvatures(&self.products(x), &[]);
        let mut blocks = Vec::with_capacity(k);
        for c in 0..k {
            let weights = self.block_weights(&curvatures, c);
            let block = if wide {
                self.woodbury(&weights, shift).map(Inverse::Woodbury)
            } else {
                self.direct(&weights, shift).map(Inverse::Direct)
            };
            match block {
                Some(block) => blocks.push(block),
                None => return Ok(None),
            }
        }
        Ok(Some(Box::new(BlockInverse {
            design: &self.design,
            blocks,
        })))
    }

    /// The diagonal of D for the block of predictor c with itself.
    fn block_weights(&self, curvatures: &[T], c: usize) -> Vec<T> {
        if self.samples.loss != Loss::Softmax {
            return curvatures.to_vec();
        }
        // The variance of column c of the contrasts under the probabilities of a sample.
        let contrast = self.contrast();
        let column: Vec<f64> = (0..contrast.classes())
            .map(|a| contrast.entry(a, c))
            .collect();
        curvatures
            .chunks_exact(contrast.classes())
            .zip(&self.samples.weights)
            .map(|(p, weight)| {
                let mean: f64 = p.iter().zip(&column).map(|(p, b)| p.to_f64() * b).sum();
                let parts = p
                    .iter()
                    .zip(&column)
                    .map(|(p, b)| p.to_f64() * (b - mean).powi(2));
                T::of(weight * self.samples.norm * parts.sum::<f64>())
            })
            .collect()
    }

    fn direct(&self, weights: &[T], shift: f64) -> Option<EquilibratedCholesky<T>> {
        let p = self.design.columns();
        let mut h = Mat::<T>::zeros(p, p);
        self.design.weighted_gram(weights, h.as_mut());
        for j in 0..p {
            let penalty = if j < self.features() {
                self.penalty_curvature(j)
            } else {
                0.0
            };
            h[(j, j)] = T::of(h[(j, j)].to_f64() + penalty + shift);
        }
        EquilibratedCholesky::new(h.as_ref(), 1e-6).ok()
    }

    fn woodbury(&self, weights: &[T], shift: f64) -> Option<Woodbury<T>> {
        let (n, p) = (self.design.rows(), self.design.columns());
        let roots: Vec<f64> = weights.iter().map(|w| w.to_f64().sqrt()).collect();
        // Nothing but the data bends F along a free intercept. Counting that curvature twice keeps Q invertible, and the
        // preconditioned Hessian within a factor of two of exact in one direction.
        let total: f64 = weights.iter().map(|w| w.to_f64()).sum();
        let inverse: Vec<f64> = (0..p)
            .map(|j| {
                1.0 / if j < self.features() {
                    self.penalty_curvature(j) + shift
                } else {
                    total + shift
                }
            })
            .collect();
        if inverse.iter().any(|q| !q.is_finite()) {
            return None;
        }
        let mut core = Mat::<T>::zeros(n, n);
        let mut products = Vec::new();
        for start in (0..n).step_by(BLOCK) {
            let k = BLOCK.min(n - start);
            let mut unit = vec![T::of(0.0); n * k];
            for c in 0..k {
                unit[(start + c) * k + c] = T::of(roots[start + c]);
            }
            let mut columns = Mat::<T>::zeros(p, k);
            self.design.multiply_transposed(&unit, columns.as_mut());
            scale_rows(columns.as_mut(), &inverse);
            products.resize(n * k, T::of(0.0));
            self.design.multiply(columns.as_ref(), &mut products);
            for i in 0..n {
                for c in 0..k {
                    core[(i, start + c)] = T::of(roots[i] * products[i * k + c].to_f64());
                }
            }
        }
        for i in 0..n {
            core[(i, i)] = T::of(core[(i, i)].to_f64() + 1.0);
        }
        let core = EquilibratedCholesky::new(core.as_ref(), 1e-6).ok()?;
        Some(Woodbury {
            inverse,
            roots,
            core,
        })
    }
}

fn scale_rows<T: Scalar>(mut block: MatMut<'_, T>, factors: &[f64]) {
    for c in 0..block.ncols() {
        for (j, q) in factors.iter().enumerate() {
            block[(j, c)] = T::of(block[(j, c)].to_f64() * q);
        }
    }
}

impl<T: Scalar> Woodbury<T> {
    fn apply(&self, design: &Design<T>, mut y: MatMut<'_, T>) {
        let (n, p, k) = (design.rows(), y.nrows(), y.ncols());
        scale_rows(y.rb_mut(), &self.inverse);
        let mut rows = vec![T::of(0.0); n * k];
        design.multiply(y.rb(), &mut rows);
        let mut inner =
            Mat::<T>::from_fn(n, k, |i, c| T::of(self.roots[i] * rows[i * k + c].to_f64()));
        self.core.solve_in_place(inner.as_mut());
        for i in 0..n {
            for c in 0..k {
                rows[i * k + c] = T::of(self.roots[i] * inner[(i, c)].to_f64());
            }
        }
        let mut back = Mat::<T>::zeros(p, k);
        design.multiply_transposed(&rows, back.as_mut());
        for c in 0..k {
            for j in 0..p {
                let moved = self.inverse[j] * back[(j, c)].to_f64();
                y[(j, c)] = T::of(y[(j, c)].to_f64() - moved);
            }
        }
    }
}

impl<T: Scalar> LinearOperator<T> for BlockInverse<'_, T> {
    fn shape(&self) -> (usize, usize) {
        let dim = self.design.columns() * self.blocks.len();
        (dim, dim)
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let p = self.design.columns();
        y.copy_from(x);
        for (c, block) in self.blocks.iter().enumerate() {
            let part = y.rb_mut().subrows_mut(c * p, p);
            match block {
                Inverse::Direct(factor) => factor.solve_in_place(part),
                Inverse::Woodbury(woodbury) => woodbury.apply(self.design, part),
            }
        }
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties::PSD
    }
}
