//! The Hessian of a linear model: `Zᵀ D Z` plus the penalty, with D diagonal, or a small block per sample for softmax.

use super::Glm;
use super::samples::Samples;
use crate::Loss;
use faer::linalg::matmul::matmul;
use faer::prelude::ReborrowMut;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use quadric_core::{Cost, Error, LinearOperator, Problem, Properties, Result, Scalar};
use quadric_linalg::check_apply;
use quadric_linalg::parallel::{by_columns, map_ranges};
use std::ops::{Deref, Range};
use std::sync::{Mutex, PoisonError};

/// Work per pair of stored values of a sparse row, and per pair of entries of a row that is copied to a dense one, where
/// that of a value in a product is 4.
const SCATTERED: f64 = 5.0;
const COPIED: f64 = 0.3;
/// Work per pair of entries of a dense row in many small Gram matrices.
const SMALL: f64 = 4.0;

/// Samples whose weights are computed by one task.
const WEIGHTS: usize = 1024;

/// The Hessian at one point.
pub(crate) struct HessianOp<'a, T: Scalar> {
    problem: &'a Glm<T>,
    /// Empty where [`Glm::moments`] hold the Hessian.
    curvatures: Vec<T>,
    pool: Mutex<Vec<Vec<T>>>,
}

impl<'a, T: Scalar> HessianOp<'a, T> {
    /// At predictors `products + lift`, which are computed only if the Hessian depends on them.
    pub(crate) fn at<P: Deref<Target: AsRef<[T]>>>(
        problem: &'a Glm<T>,
        products: impl FnOnce() -> P,
        lift: &[f64],
    ) -> Self {
        let curvatures = if problem.has_moments() {
            Vec::new()
        } else {
            problem.samples.curvatures((*products()).as_ref(), lift)
        };
        Self {
            problem,
            curvatures,
            pool: Mutex::new(Vec::new()),
        }
    }

    /// See [`Samples::curvatures`].
    pub(crate) fn curvatures(&self) -> &[T] {
        &self.curvatures
    }

    pub(super) fn curvatures_mut(&mut self) -> &mut [T] {
        &mut self.curvatures
    }

    fn samples(&self) -> &Samples {
        &self.problem.samples
    }

    /// `out <- Zᵀ D Z v` plus the penalty for `v` and `out` (p, k m): the k predictors of each direction side by side.
    fn multiply(&self, v: MatRef<'_, T>, mut out: MatMut<'_, T>) {
        match self.problem.moments() {
            Some(moments) => {
                let (gram, one) = (moments.gram.as_ref(), T::of(1.0));
                matmul(out.rb_mut(), Accum::Replace, gram, v, one, Par::Seq);
            }
            None => self.multiply_rows(v, out.rb_mut()),
        }
        if self.problem.l2 == 0.0 {
            return;
        }
        by_columns(out, 0, &|c, mut out| {
            for j in 0..self.problem.features() {
                let bend = self.problem.penalty_curvature(j);
                out[j] = T::of(out[j].to_f64() + bend * v[(j, c)].to_f64());
            }
        });
    }

    /// `out <- Zᵀ D Z v` by a pass over the rows.
    fn multiply_rows(&self, v: MatRef<'_, T>, out: MatMut<'_, T>) {
        let vectors = v.ncols() / self.samples().outputs();
        let pool = || self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let mut products = pool().pop().unwrap_or_default();
        products.resize(self.samples().len() * v.ncols(), T::of(0.0));
        let weigh = |rows: Range<usize>, u: &[T], r: &mut [T]| {
            weigh(self.samples(), &self.curvatures, vectors, rows, u, r);
            0.0
        };
        let design = &self.problem.design;
        design.fused(v, &mut products, weigh, out);
        pool().push(products);
    }

    /// Block (c, e) is `Zᵀ diag(m_ce) Z` with entry (c, e) of `Bᵀ (diag p - p pᵀ) B` for every sample.
    fn dense_classes(&self, mut out: MatMut<'_, T>) {
        let (p, k) = (self.problem.design.columns(), self.samples().outputs());
        let pairs: Vec<_> = (0..k).flat_map(|c| (0..=c).map(move |e| (c, e))).collect();
        let weights = self.pair_weights();
        let design = &self.problem.design;
        design.weighted_grams(&weights, pairs.len(), |t, gram| {
            let (c, e) = pairs[t];
            let mut copy = |row: usize, col: usize| {
                let block = out.rb_mut().submatrix_mut(row * p, col * p, p, p);
                { block }.copy_from(gram);
            };
            copy(c, e);
            if c != e {
                copy(e, c);
            }
        });
    }

    /// The entries (c, e), e <= c, of `Bᵀ (diag p - p pᵀ) B` times the weight for every sample, one sample after another.
    fn pair_weights(&self) -> Vec<T> {
        let samples = self.samples();
        let (k, contrast) = (samples.outputs(), samples.contrast);
        let basis: Vec<f64> = (0..=k)
            .flat_map(|a| (0..k).map(move |c| contrast.entry(a, c)))
            .collect();
        let parts = map_ranges(samples.len(), WEIGHTS, |_, rows| {
            let mut part = Vec::with_capacity(rows.len() * k * (k + 1) / 2);
            let mut moved = basis.clone();
            for i in rows {
                let p = &self.curvatures[i * (k + 1)..(i + 1) * (k + 1)];
                let weight = samples.weights.get(i) * samples.norm;
                centre(p, &basis, &mut moved);
                for c in 0..k {
                    for e in 0..=c {
                        let terms = p.iter().zip(moved.chunks_exact(k));
                        let sum: f64 = terms.map(|(p, b)| p.to_f64() * (b[c] * b[e])).sum();
                        part.push(T::of(weight * sum));
                    }
                }
            }
            part
        });
        parts.concat()
    }
}

/// Turns products `Z V` into `D Z V` for a range of rows, `vectors` directions at once. `curvatures` are those of
/// [`Samples::curvatures`].
pub(super) fn weigh<T: Scalar>(
    samples: &Samples,
    curvatures: &[T],
    vectors: usize,
    rows: Range<usize>,
    u: &[T],
    r: &mut [T],
) {
    if samples.loss == Loss::Softmax {
        return weigh_classes(samples, curvatures, vectors, rows, u, r);
    }
    let parts = u.chunks_exact(vectors).zip(r.chunks_exact_mut(vectors));
    for (i, (u, r)) in rows.zip(parts) {
        let bend = curvatures[i].to_f64();
        for (r, u) in r.iter_mut().zip(u) {
            *r = T::of(bend * u.to_f64());
        }
    }
}

/// For softmax D is `Bᵀ (diag p - p pᵀ) B` times the weight.
fn weigh_classes<T: Scalar>(
    samples: &Samples,
    curvatures: &[T],
    vectors: usize,
    rows: Range<usize>,
    u: &[T],
    r: &mut [T],
) {
    let k = samples.outputs();
    let contrast = samples.contrast;
    let mut t = vec![0.0; k + 1];
    let width = vectors * k;
    let parts = u.chunks_exact(width).zip(r.chunks_exact_mut(width));
    for (i, (u, r)) in rows.zip(parts) {
        let p = &curvatures[i * (k + 1)..(i + 1) * (k + 1)];
        let weight = samples.weights.get(i) * samples.norm;
        for (u, r) in u.chunks_exact(k).zip(r.chunks_exact_mut(k)) {
            contrast.expand(|c| u[c].to_f64(), &mut t);
            spread(p, &mut t);
            contrast.reduce(&t, |c, y| r[c] = T::of(weight * y));
        }
    }
}

/// Rows of B minus their mean under the probabilities. The mean is taken relative to the most probable class, so that
/// nothing cancels when one probability is nearly 1.
fn centre<T: Scalar>(p: &[T], basis: &[f64], moved: &mut [f64]) {
    let k = p.len() - 1;
    let top = (0..p.len()).fold(0, |a, b| if p[b] > p[a] { b } else { a });
    for c in 0..k {
        let origin = basis[top * k + c];
        let from_top = |a: usize| basis[a * k + c] - origin;
        let mean: f64 = (0..p.len()).map(|a| p[a].to_f64() * from_top(a)).sum();
        for a in 0..p.len() {
            moved[a * k + c] = from_top(a) - mean;
        }
    }
}

/// `t <- (diag p - p pᵀ) t`. Differences are taken to the most probable class, so that nothing cancels when one
/// probability is nearly 1.
#[inline]
fn spread<T: Scalar>(p: &[T], t: &mut [f64]) {
    let mut top = 0;
    for c in 1..p.len() {
        if p[c] > p[top] {
            top = c;
        }
    }
    let origin = t[top];
    let mut mean = 0.0;
    for (t, p) in t.iter_mut().zip(p) {
        *t -= origin;
        mean += p.to_f64() * *t;
    }
    for (t, p) in t.iter_mut().zip(p) {
        *t = p.to_f64() * (*t - mean);
    }
}

impl<T: Scalar> Glm<T> {
    /// Operations of a product with the Hessian, and of writing it down.
    pub(super) fn hessian_cost(&self) -> Cost {
        let (n, k) = (self.samples.len() as f64, self.samples.outputs() as f64);
        let stored = self.design.stored() as f64;
        if self.has_moments() {
            let square = self.dim().pow(2) as f64;
            return Cost {
                product: 2.0 * square,
                dense: square,
            };
        }
        let mut pairs = self.design.pairs() as f64;
        if self.design.is_sparse() {
            // Sparse rows meet themselves only. Scattered sums are slow, and so is a product of scattered values: a dense
            // matrix product is cheap beside both.
            let p = self.design.columns() as f64;
            pairs = (SCATTERED * pairs).min(COPIED * n * p * p);
        } else if k > 1.0 {
            pairs *= SMALL;
        }
        Cost {
            product: k * (4.0 * stored + 8.0 * n),
            dense: pairs * k * (k + 1.0) / 2.0,
        }
    }
}

impl<T: Scalar> LinearOperator<T> for HessianOp<'_, T> {
    fn shape(&self) -> (usize, usize) {
        let dim = self.problem.design.columns() * self.samples().outputs();
        (dim, dim)
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let (p, k, m) = (
            self.problem.design.columns(),
            self.samples().outputs(),
            x.ncols(),
        );
        if m == 0 {
            return Ok(());
        }
        if k == 1 {
            self.multiply(x, y);
            return Ok(());
        }
        let column = x.col(0).try_as_col_major();
        if m == 1
            && let Some(column) = column
            && let Some(out) = y.rb_mut().col_mut(0).try_as_col_major_mut()
        {
            self.multiply(
                MatRef::from_column_major_slice(column.as_slice(), p, k),
                MatMut::from_column_major_slice_mut(out.as_slice_mut(), p, k),
            );
            return Ok(());
        }
        let flat = Mat::from_fn(p, k * m, |j, c| x[(c % k * p + j, c / k)]);
        let mut out = Mat::zeros(p, k * m);
        self.multiply(flat.as_ref(), out.as_mut());
        for c in 0..k * m {
            for j in 0..p {
                y[(c % k * p + j, c / k)] = out[(j, c)];
            }
        }
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties::PSD
    }

    fn dense(&self, mut out: MatMut<'_, T>) -> Result<()> {
        let (dim, _) = self.shape();
        if (out.nrows(), out.ncols()) != (dim, dim) {
            return Err(Error::shape(
                "the dense Hessian",
                (out.nrows(), out.ncols()),
                (dim, dim),
            ));
        }
        if self.samples().loss == Loss::Softmax {
            self.dense_classes(out.rb_mut());
        } else if let Some(moments) = self.problem.moments() {
            out.copy_from(&moments.gram);
        } else {
            self.problem
                .design
                .weighted_gram(&self.curvatures, out.rb_mut());
        }
        let p = self.problem.design.columns();
        for c in 0..self.samples().outputs() {
            for j in 0..self.problem.features() {
                let i = c * p + j;
                let value = out[(i, i)].to_f64().max(0.0) + self.problem.penalty_curvature(j);
                out[(i, i)] = T::of(value);
            }
        }
        Ok(())
    }

    fn cost(&self) -> Cost {
        self.problem.hessian_cost()
    }
}
