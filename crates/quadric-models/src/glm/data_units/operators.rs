//! Linear maps of a model in the units of its data.

use super::super::hessian::weigh;
use super::RawGlm;
use faer::prelude::ReborrowMut;
use faer::{Mat, MatMut, MatRef};
use quadric_core::{Cost, LinearOperator, Properties, Result, Scalar};
use quadric_linalg::{check_apply, kernels};
use std::ops::Range;

/// Entries of the products of a block of vectors at most, if there are several.
const ENTRIES: usize = 1 << 23;

/// What an example adds to a matrix, as a small matrix between its predictors.
pub(super) enum Each<T> {
    /// Second derivatives, as [`Samples::curvatures`](super::Samples::curvatures) has them.
    Curvatures(Vec<T>),
    /// `scale r rᵀ` for the slopes r (n, k).
    Slopes {
        /// See [`RawGlm::slopes`].
        slopes: Vec<T>,
        scale: f64,
    },
    /// The mean over draws of `s r rᵀ`, for the slope `s r` of an example whose part of all weights is s.
    Drawn(Vec<Vec<T>>),
}

/// `Zᵀ D Z` for a small matrix in D for each example, with a multiple of the identity on what is penalised and with terms of
/// rank one.
pub(super) struct RowForm<'a, T: Scalar> {
    glm: &'a RawGlm<T>,
    each: Each<T>,
    l2: f64,
    terms: Vec<(f64, Vec<T>)>,
}

impl<'a, T: Scalar> RowForm<'a, T> {
    pub(super) fn new(glm: &'a RawGlm<T>, each: Each<T>, l2: f64) -> Self {
        Self {
            glm,
            each,
            l2,
            terms: Vec::new(),
        }
    }

    /// Adds `factor v vᵀ`.
    pub(super) fn add(&mut self, factor: f64, v: Vec<T>) {
        self.terms.push((factor, v));
    }

    fn weigh(&self, vectors: usize, rows: Range<usize>, u: &[T], r: &mut [T]) {
        let glm = self.glm;
        match &self.each {
            Each::Curvatures(c) => weigh(&glm.samples, c, vectors, rows, u, r),
            Each::Slopes { slopes, scale } => {
                r.fill(T::of(0.0));
                self.outer(slopes, |_| *scale, vectors, rows, u, r);
            }
            Each::Drawn(all) => {
                r.fill(T::of(0.0));
                let part =
                    |i: usize| glm.samples.weights.get(i) * glm.samples.norm * all.len() as f64;
                for slopes in all {
                    self.outer(slopes, |i| part(i).recip(), vectors, rows.clone(), u, r);
                }
            }
        }
    }

    /// Adds `scale(i) s (sᵀ u)` for the slopes s of each row.
    fn outer(
        &self,
        slopes: &[T],
        scale: impl Fn(usize) -> f64,
        vectors: usize,
        rows: Range<usize>,
        u: &[T],
        r: &mut [T],
    ) {
        let k = self.glm.samples.outputs();
        let parts = u
            .chunks_exact(vectors * k)
            .zip(r.chunks_exact_mut(vectors * k));
        for (i, (u, r)) in rows.zip(parts) {
            let s = &slopes[i * k..(i + 1) * k];
            for (u, r) in u.chunks_exact(k).zip(r.chunks_exact_mut(k)) {
                let pairs = u.iter().zip(s);
                let along: f64 = pairs.map(|(u, s)| u.to_f64() * s.to_f64()).sum();
                for (r, s) in r.iter_mut().zip(s) {
                    *r = T::of(r.to_f64() + scale(i) * along * s.to_f64());
                }
            }
        }
    }

    fn block(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) {
        let (glm, vectors) = (self.glm, x.ncols());
        let v = glm.reduced(x);
        let mut products = vec![T::of(0.0); glm.samples.len() * v.ncols()];
        let mut sums = Mat::zeros(v.nrows(), v.ncols());
        let weigh = |rows: Range<usize>, u: &[T], r: &mut [T]| {
            self.weigh(vectors, rows, u, r);
            0.0
        };
        let sum = sums.as_mut();
        kernels::fused(&glm.z, None, v.as_ref(), &mut products, weigh, sum);
        glm.expand(sums.as_ref(), y.rb_mut());
        for (x, mut y) in x.col_iter().zip(y.col_iter_mut()) {
            if self.l2 > 0.0 {
                for i in 0..glm.penalised() {
                    y[i] = T::of(y[i].to_f64() + self.l2 * x[i].to_f64());
                }
            }
            for (factor, term) in &self.terms {
                let pairs = x.iter().zip(term);
                let along: f64 = pairs.map(|(x, t)| x.to_f64() * t.to_f64()).sum();
                for (y, t) in y.rb_mut().iter_mut().zip(term) {
                    *y = T::of(y.to_f64() + factor * along * t.to_f64());
                }
            }
        }
    }
}

/// Vectors whose products are in memory together.
fn at_a_time<T: Scalar>(glm: &RawGlm<T>, outputs: usize) -> usize {
    (ENTRIES / (glm.samples.len() * outputs).max(1)).max(1)
}

impl<T: Scalar> LinearOperator<T> for RowForm<'_, T> {
    fn shape(&self) -> (usize, usize) {
        (self.glm.layout.len(), self.glm.layout.len())
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let most = at_a_time(self.glm, self.glm.samples.outputs());
        for start in (0..x.ncols()).step_by(most) {
            let count = most.min(x.ncols() - start);
            let y = y.rb_mut().subcols_mut(start, count);
            self.block(x.subcols(start, count), y);
        }
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties::PSD
    }

    fn cost(&self) -> Cost {
        let product = self.glm.pass();
        Cost {
            product,
            dense: product * self.shape().0 as f64,
        }
    }
}

/// The derivatives of the predictors (n outputs, d).
pub(super) struct Jacobian<'a, T: Scalar>(pub(super) &'a RawGlm<T>);

impl<T: Scalar> LinearOperator<T> for Jacobian<'_, T> {
    fn shape(&self) -> (usize, usize) {
        let (glm, n) = (self.0, self.0.samples.len());
        (n * glm.outputs(), glm.layout.len())
    }

    fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let (glm, outputs) = (self.0, self.0.outputs());
        let mut u = vec![T::of(0.0); self.shape().0];
        for (x, y) in x.col_iter().zip(y.col_iter_mut()) {
            let v = Mat::from_fn(glm.z.cols(), outputs, |j, c| x[glm.place(c, j)]);
            kernels::multiply(&glm.z, v.as_ref(), &mut u);
            y.iter_mut().zip(&u).for_each(|(y, u)| *y = *u);
        }
        Ok(())
    }

    fn apply_adjoint(&self, y: MatRef<'_, T>, x: MatMut<'_, T>) -> Result<()> {
        let (m, n) = self.shape();
        check_apply((n, m), &y, &x)?;
        let (glm, outputs) = (self.0, self.0.outputs());
        let mut sums = Mat::zeros(glm.z.cols(), outputs);
        for (y, mut x) in y.col_iter().zip(x.col_iter_mut()) {
            let r: Vec<T> = y.iter().copied().collect();
            kernels::multiply_transposed(&glm.z, &r, sums.as_mut());
            for c in 0..outputs {
                for j in 0..glm.z.cols() {
                    x[glm.place(c, j)] = sums[(j, c)];
                }
            }
        }
        Ok(())
    }

    fn cost(&self) -> Cost {
        let product = self.0.pass() / 2.0;
        Cost {
            product,
            dense: product * self.shape().1 as f64,
        }
    }
}

/// The gradients of the examples in the columns (d, n).
pub(super) struct Gradients<'a, T: Scalar> {
    pub(super) glm: &'a RawGlm<T>,
    /// See [`RawGlm::slopes`].
    pub(super) slopes: Vec<T>,
    /// The gradient of the penalty, which every example has.
    pub(super) penalty: Vec<T>,
}

impl<T: Scalar> LinearOperator<T> for Gradients<'_, T> {
    fn shape(&self) -> (usize, usize) {
        (self.glm.layout.len(), self.glm.samples.len())
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let (glm, n, k) = (self.glm, self.shape().1, self.glm.samples.outputs());
        let mut sums = Mat::zeros(glm.z.cols(), k);
        for (x, mut y) in x.col_iter().zip(y.rb_mut().col_iter_mut()) {
            let scaled = (0..n * k).map(|q| {
                let factor = n as f64 * x[q / k].to_f64();
                T::of(factor * self.slopes[q].to_f64())
            });
            let scaled: Vec<T> = scaled.collect();
            kernels::multiply_transposed(&glm.z, &scaled, sums.as_mut());
            glm.expand(sums.as_ref(), y.rb_mut().as_mat_mut());
            let all: f64 = x.iter().map(|v| v.to_f64()).sum();
            for (y, p) in y.iter_mut().zip(&self.penalty) {
                *y = T::of(y.to_f64() + all * p.to_f64());
            }
        }
        Ok(())
    }

    fn apply_adjoint(&self, y: MatRef<'_, T>, x: MatMut<'_, T>) -> Result<()> {
        let (d, n) = self.shape();
        check_apply((n, d), &y, &x)?;
        let (glm, k) = (self.glm, self.glm.samples.outputs());
        let mut u = vec![T::of(0.0); n * k];
        for (y, x) in y.col_iter().zip(x.col_iter_mut()) {
            let v = glm.reduced(y.as_mat());
            kernels::multiply(&glm.z, v.as_ref(), &mut u);
            let pairs = y.iter().zip(&self.penalty);
            let all: f64 = pairs.map(|(y, p)| y.to_f64() * p.to_f64()).sum();
            for (i, x) in x.iter_mut().enumerate() {
                let own = i * k..(i + 1) * k;
                let pairs = u[own.clone()].iter().zip(&self.slopes[own]);
                let sum: f64 = pairs.map(|(u, s)| u.to_f64() * s.to_f64()).sum();
                *x = T::of(n as f64 * sum + all);
            }
        }
        Ok(())
    }

    fn cost(&self) -> Cost {
        let product = self.glm.pass() / 2.0;
        Cost {
            product,
            dense: product * self.shape().1 as f64,
        }
    }
}
