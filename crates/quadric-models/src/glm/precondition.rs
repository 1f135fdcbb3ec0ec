//! Preconditioners that a linear model knows by its structure.
//!
//! - Softmax of few features: the Hessian without its blocks between predictors, each block `Zᵀ diag(m) Z + Q` factorised.
//! - Everything larger, and more features than samples: see [`rows_inverse`](super::rows_inverse).

use super::Glm;
use super::design::Design;
use faer::prelude::ReborrowMut;
use faer::{Mat, MatMut, MatRef};
use quadric_core::{BoxOp, LinearOperator, Properties, Result, Scalar};
use quadric_linalg::check_apply;
use quadric_linalg::dense::EquilibratedCholesky;

/// Blocks of this many unknowns are factorised at most.
const UNKNOWNS: usize = 2000;

struct BlockInverse<'a, T> {
    design: &'a Design<T>,
    blocks: Vec<EquilibratedCholesky<T>>,
}

impl<T: Scalar> Glm<T> {
    pub(super) fn block_preconditioner(&self, x: &[T], shift: f64) -> Result<Option<BoxOp<'_, T>>> {
        let (n, p, k) = (
            self.design.rows(),
            self.design.columns(),
            self.samples.outputs(),
        );
        if k == 1 || p > UNKNOWNS || p > n {
            return Ok(Some(Box::new(self.rows_inverse(x, shift))));
        }
        let curvatures = self.samples.curvatures(&self.products(x), &[]);
        let mut blocks = Vec::with_capacity(k);
        for c in 0..k {
            let weights = self.block_weights(&curvatures, c);
            match self.direct(&weights, shift) {
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
            h[(j, j)] = T::of(h[(j, j)].to_f64() + self.penalty_curvature(j) + shift);
        }
        EquilibratedCholesky::new(h.as_ref(), 1e-6).ok()
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
            block.solve_in_place(part);
        }
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties::PSD
    }
}
