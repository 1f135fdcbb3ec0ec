//! Preconditioners that a linear model knows by its structure.
//!
//! - Softmax of few unknowns: the Hessian, factorised.
//! - Softmax of few features: the Hessian without its blocks between predictors, each block `Zᵀ diag(m) Z + Q` factorised.
//! - Everything larger, and more features than samples: see [`rows_inverse`](super::rows_inverse).

use super::Glm;
use super::blocks::{Block, BlockInverse};
use super::hessian::HessianOp;
use super::problem::is_zero;
use faer::Mat;
use quadric_core::{ApproximateInverse, LinearOperator, Problem, Result, Scalar};
use std::sync::Arc;

/// Blocks of this many unknowns are factorised at most.
const UNKNOWNS: usize = 4000;
/// A Hessian of this many unknowns is factorised at most.
const JOINT: usize = 8000;
/// Time of a pair of values in sums over sparse and over dense rows, in units of an operation in a product with the Hessian.
const SPARSE_GRAM: f64 = 1.1;
const DENSE_GRAM: f64 = 0.5;
/// Time of fetching a number from memory, in units of an operation in a product with the Hessian.
pub(super) const FETCH: f64 = 8.0;

impl<T: Scalar> Glm<T> {
    /// An approximate inverse of the Hessian plus `shift` at `x`.
    pub(super) fn approximate_inverse(
        &self,
        x: &[T],
        shift: f64,
    ) -> Result<Option<ApproximateInverse<T>>> {
        if self.is_factorised() {
            return self.factorised(x, shift, 0.0);
        }
        let inverse = self.rows_inverse(x, shift);
        Ok(Some(ApproximateInverse {
            work: inverse.work(),
            renewal: inverse.work(),
            operator: Box::new(inverse),
        }))
    }

    /// The same of the Hessian with this share of the probabilities of all samples equal; none for models whose inverse is not one
    /// of factorised blocks.
    pub(super) fn smoothed_inverse(
        &self,
        x: &[T],
        smoothing: f64,
    ) -> Result<Option<ApproximateInverse<T>>> {
        if !self.is_factorised() {
            return Ok(None);
        }
        self.factorised(x, 0.0, smoothing)
    }

    /// True for softmax of few features and more samples.
    fn is_factorised(&self) -> bool {
        let (n, p, k) = (
            self.design.rows(),
            self.design.columns(),
            self.samples.outputs(),
        );
        k > 1 && p <= n && p <= UNKNOWNS
    }

    fn factorised(
        &self,
        x: &[T],
        shift: f64,
        smoothing: f64,
    ) -> Result<Option<ApproximateInverse<T>>> {
        let k = self.samples.outputs();
        let is_joint = self.design.columns() <= JOINT / k;
        let renewal = if is_joint {
            self.joint_work()
        } else {
            self.block_work()
        };
        // At the usual start all classes are equally probable for all samples.
        let (inverse, work) = if smoothing == 1.0 || is_zero(x) {
            (self.uniform_inverse(shift), self.block_work() / k as f64)
        } else if is_joint {
            (self.joint_inverse(x, shift, smoothing)?, renewal)
        } else {
            (self.block_inverse(x, shift, smoothing), renewal)
        };
        Ok(inverse.map(|inverse| ApproximateInverse {
            operator: Box::new(inverse),
            work,
            renewal,
        }))
    }

    /// The inverse of the Hessian where all classes are equally probable: one block, repeated.
    fn uniform_inverse(&self, shift: f64) -> Option<BlockInverse<T>> {
        let k = self.samples.outputs();
        let bend = self.samples.norm / (k + 1) as f64;
        let weights = self.samples.weights.iter().map(|s| T::of(s * bend));
        let block = Arc::new(self.direct(&weights.collect::<Vec<_>>(), shift)?);
        Some(BlockInverse {
            blocks: vec![block; k],
        })
    }

    fn joint_inverse(
        &self,
        x: &[T],
        shift: f64,
        smoothing: f64,
    ) -> Result<Option<BlockInverse<T>>> {
        let mut h = Mat::<T>::zeros(x.len(), x.len());
        let mut hessian = HessianOp::at(self, || self.products(x), &[]);
        self.smooth(hessian.curvatures_mut(), smoothing);
        hessian.dense(h.as_mut())?;
        for j in 0..x.len() {
            h[(j, j)] = T::of(h[(j, j)].to_f64() + shift);
        }
        let block = Block::new(h.as_ref()).map(Arc::new);
        Ok(block.map(|block| BlockInverse {
            blocks: vec![block],
        }))
    }

    /// Moves the probabilities of all samples this part of the way to equal ones.
    fn smooth(&self, probabilities: &mut [T], smoothing: f64) {
        if smoothing > 0.0 {
            let equal = smoothing / self.samples.contrast.classes() as f64;
            for p in probabilities {
                *p = T::of((1.0 - smoothing).mul_add(p.to_f64(), equal));
            }
        }
    }

    /// Operations of a joint inverse.
    fn joint_work(&self) -> f64 {
        let (n, k) = (self.design.rows() as f64, self.samples.outputs() as f64);
        let (stored, dim) = (self.design.stored() as f64, self.dim() as f64);
        let gram = if self.design.is_sparse() {
            SPARSE_GRAM
        } else {
            DENSE_GRAM
        };
        let hessian = gram * stored * (stored / n) * k * (k + 1.0) / 2.0;
        hessian + self.speed_of_products() * dim * dim * dim / 3.0
    }

    fn block_inverse(&self, x: &[T], shift: f64, smoothing: f64) -> Option<BlockInverse<T>> {
        let mut curvatures = self.samples.curvatures(&self.products(x), &[]);
        self.smooth(&mut curvatures, smoothing);
        let blocks = (0..self.samples.outputs())
            .map(|c| self.direct(&self.block_weights(&curvatures, c), shift));
        let blocks = blocks.map(|b| b.map(Arc::new)).collect::<Option<_>>()?;
        Some(BlockInverse { blocks })
    }

    /// Operations of a block inverse.
    fn block_work(&self) -> f64 {
        let (n, p) = (self.design.rows() as f64, self.design.columns() as f64);
        let stored = self.design.stored() as f64;
        let faster = self.speed_of_products();
        let gram = if self.design.is_sparse() {
            stored * (stored / n)
        } else {
            faster * n * p * p
        };
        self.samples.outputs() as f64 * (gram + faster * p * p * p / 3.0)
    }

    /// Time of an operation in a product of dense matrices, in units of one in a product with the Hessian.
    pub(super) fn speed_of_products(&self) -> f64 {
        if self.design.is_sparse() { 0.1 } else { 0.5 }
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
            .zip(self.samples.weights.iter())
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

    fn direct(&self, weights: &[T], shift: f64) -> Option<Block<T>> {
        let p = self.design.columns();
        let mut h = Mat::<T>::zeros(p, p);
        self.design.weighted_gram(weights, h.as_mut());
        for j in 0..p {
            h[(j, j)] = T::of(h[(j, j)].to_f64().max(0.0) + self.penalty_curvature(j) + shift);
        }
        Block::new(h.as_ref())
    }
}
