//! A preconditioner for models too large for blocks of the Hessian: the rows that matter most exactly, the others through
//! their diagonal.
//!
//! The Hessian is `Q + Σ_i (z_i z_iᵀ) ⊗ A_i` with the penalty Q and for softmax `A_i = Bᵀ (diag p - p pᵀ) B`. Pivoted
//! Cholesky factors split each `A_i` into terms `w wᵀ`. The terms that are largest in the metric of the penalty are kept as
//! columns `a = z_i ⊗ w` of A, over all classes together, and the rest becomes a diagonal, M with the penalty. By the
//! identity of Sherman, Morrison and Woodbury `(M + A Aᵀ)⁻¹ = M⁻¹ - M⁻¹ A (I + Aᵀ M⁻¹ A)⁻¹ Aᵀ M⁻¹`. Near the optimum of a
//! weakly penalised model nearly all curvature comes from few rows, and from few classes in each.

use super::Glm;
use super::design::Design;
use super::precondition::FETCH;
use crate::Loss;
use faer::prelude::ReborrowMut;
use faer::{Mat, MatMut, MatRef};
use quadric_core::{Cost, DataMatrix, LinearOperator, Problem, Properties, Result, Scalar};
use quadric_linalg::dense::EquilibratedCholesky;
use quadric_linalg::parallel::{by_columns, map_ranges, ranges};
use quadric_linalg::vector::dot;
use quadric_linalg::{check_apply, kernels};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Entries of the matrix between the terms, and of the copies of their rows if these are dense, at most (128 MB each in f64).
const ENTRIES: usize = 1 << 24;
/// Terms whose curvature in the metric of the penalty is below this change nothing.
const RELEVANT: f64 = 0.1;
/// Terms that hold less than this part of the curvature are not worth their matrix. Neither are terms whose curvature is not this
/// many times the penalty's, where all together are not that strong in the mean.
const PART: f64 = 0.2;
const STRONG: f64 = 7.0;
/// Rows per task, and tasks between two choices of the terms that are kept.
const ROWS: usize = 1024;
const TASKS: usize = 16;
/// Parts of sums over rows.
const PARTS: usize = 4;

/// `z_i ⊗ w` with the curvature in w.
struct Term {
    row: usize,
    /// `‖a‖²` in the metric of the penalty.
    score: f64,
    w: Vec<f64>,
}

/// Where the curvature of a model sits.
struct Spread {
    /// The largest of the relevant terms.
    terms: Vec<Term>,
    /// Traces of what the terms leave of the `A_i`.
    rest: Vec<f64>,
    /// The score of all relevant terms.
    score: f64,
}

/// The terms that are inverted exactly.
struct Terms<T> {
    /// Their rows, each once.
    x: DataMatrix<T>,
    /// For sparse rows.
    transposed: Option<DataMatrix<T>>,
    /// Index of the row, and w.
    columns: Vec<(usize, Vec<f64>)>,
    core: EquilibratedCholesky<T>,
}

/// Buffers of one application.
struct Work<T> {
    /// (rows, k), row after row.
    products: Vec<T>,
    back: Mat<T>,
    inner: Mat<T>,
}

pub(super) struct RowsInverse<T> {
    /// What centring subtracts from the stored rows of the terms.
    centre: Vec<f64>,
    outputs: usize,
    /// See [`Glm::speed_of_products`].
    faster: f64,
    /// The diagonal of M⁻¹, the same for all predictors.
    inverse: Vec<f64>,
    terms: Option<Terms<T>>,
    pool: Mutex<Vec<Work<T>>>,
}

impl<T: Scalar> Glm<T> {
    /// The preconditioner at `x` for the Hessian plus `shift`.
    pub(super) fn rows_inverse(&self, x: &[T], shift: f64) -> RowsInverse<T> {
        let (p, k) = (self.design.columns(), self.samples.outputs());
        let penalty: Vec<f64> = (0..p).map(|j| shift + self.penalty_curvature(j)).collect();
        let curvatures = self.samples.curvatures(&self.products(x), &[]);
        let mut spread = self.spread(&curvatures, &penalty);
        // Nothing but the data bends F along a free intercept. Counting that curvature twice keeps M invertible.
        let all: f64 = spread.rest.iter().sum::<f64>()
            + spread.terms.iter().map(|t| dot(&t.w, &t.w)).sum::<f64>();
        spread.weigh();
        let squares = self.squares(&spread.rest);
        let inverse: Vec<f64> = (0..p)
            .map(|j| {
                let own = if j < self.features() { 0.0 } else { all };
                let bend = penalty[j] + (squares[j] + own) / k as f64;
                if bend > 0.0 { 1.0 / bend } else { 1.0 }
            })
            .collect();
        let terms = Terms::new(&self.design, &inverse, spread.terms);
        RowsInverse {
            centre: self.design.centre().to_vec(),
            outputs: k,
            faster: self.speed_of_products(),
            inverse,
            terms,
            pool: Mutex::new(Vec::new()),
        }
    }

    /// Splits the curvature of every row into terms, and keeps the largest.
    fn spread(&self, curvatures: &[T], penalty: &[f64]) -> Spread {
        let mut spread = Spread {
            terms: Vec::new(),
            rest: Vec::with_capacity(self.samples.len()),
            score: 0.0,
        };
        let limit = self.most_terms();
        for block in ranges(self.samples.len(), ROWS * TASKS) {
            let parts = map_ranges(block.len(), ROWS, |_, rows| {
                let rows = block.start + rows.start..block.start + rows.end;
                self.split(rows, curvatures, penalty)
            });
            for (terms, rest) in parts {
                spread.score += terms.iter().map(|t| t.score).sum::<f64>();
                spread.terms.extend(terms);
                spread.rest.extend(rest);
            }
            spread.keep(limit);
        }
        spread
    }

    /// The terms of some rows, and what they leave of each.
    fn split(
        &self,
        rows: Range<usize>,
        curvatures: &[T],
        penalty: &[f64],
    ) -> (Vec<Term>, Vec<f64>) {
        let features = self.features();
        let width = curvatures.len() / self.samples.len();
        let mut terms = Vec::new();
        let rest = rows.map(|i| {
            let mut length = 0.0;
            self.design.for_stored(i, |j, v| {
                if j < features && penalty[j] > 0.0 {
                    length += v * v / penalty[j];
                }
            });
            let bends = &curvatures[i * width..(i + 1) * width];
            if self.samples.loss == Loss::Softmax {
                self.split_classes(i, bends, length, &mut terms)
            } else {
                split_one(i, bends[0].to_f64(), length, &mut terms)
            }
        });
        let rest = rest.collect();
        (terms, rest)
    }

    /// How many terms may be kept: more than there are unknowns would cost more than the Hessian.
    fn most_terms(&self) -> usize {
        let most = ENTRIES.isqrt().min(self.dim());
        if self.design.is_sparse() {
            most
        } else {
            most.min(ENTRIES / self.design.columns().max(1))
        }
    }

    /// Pivoted Cholesky of `diag p - p pᵀ`, as far as it is relevant; returns the trace of what is left.
    fn split_classes(&self, row: usize, p: &[T], length: f64, terms: &mut Vec<Term>) -> f64 {
        let weight = self.samples.weights.get(row) * self.samples.norm;
        let contrast = self.contrast();
        let p: Vec<f64> = p.iter().map(|p| p.to_f64()).collect();
        let mut left: Vec<f64> = p.iter().map(|p| p * (1.0 - p)).collect();
        let mut columns: Vec<Vec<f64>> = Vec::new();
        while columns.len() + 1 < p.len() {
            let pivot = (0..p.len()).fold(0, |a, b| if left[b] > left[a] { b } else { a });
            let bend = left[pivot];
            if weight * bend * length <= RELEVANT || bend < f64::MIN_POSITIVE {
                break;
            }
            let root = bend.sqrt();
            let column: Vec<f64> = (0..p.len())
                .map(|c| {
                    let own = if c == pivot { p[c] } else { 0.0 };
                    let known: f64 = columns.iter().map(|l| l[c] * l[pivot]).sum();
                    (own - p[c] * p[pivot] - known) / root
                })
                .collect();
            for (left, l) in left.iter_mut().zip(&column) {
                *left = (*left - l * l).max(0.0);
            }
            left[pivot] = 0.0;
            let mut w = vec![0.0; p.len() - 1];
            contrast.reduce(&column, |c, v| w[c] = weight.sqrt() * v);
            terms.push(Term {
                row,
                score: dot(&w, &w) * length,
                w,
            });
            columns.push(column);
        }
        weight * left.iter().sum::<f64>()
    }

    /// `Σ_i bends_i z_ij²`, from the stored values: centring is left out.
    fn squares(&self, bends: &[f64]) -> Vec<f64> {
        let (n, p) = (self.design.rows(), self.design.columns());
        let parts = map_ranges(n, n.div_ceil(PARTS), |_, rows| {
            let mut part = vec![0.0; p];
            for i in rows {
                self.design
                    .for_stored(i, |j, v| part[j] += bends[i] * v * v);
            }
            part
        });
        let mut sum = vec![0.0; p];
        for part in parts {
            sum.iter_mut().zip(&part).for_each(|(s, v)| *s += v);
        }
        sum
    }
}

impl Spread {
    /// Keeps the largest terms, by row, and counts the others among the rest.
    fn keep(&mut self, limit: usize) {
        if self.terms.len() > limit {
            // A stable sort: ties keep the order of the rows.
            self.terms.sort_by(|a, b| b.score.total_cmp(&a.score));
            for term in self.terms.drain(limit..) {
                self.rest[term.row] += dot(&term.w, &term.w);
            }
            self.terms.sort_by_key(|t| t.row);
        }
    }

    /// Drops the terms if they are not worth their matrix.
    fn weigh(&mut self) {
        let score: f64 = self.terms.iter().map(|t| t.score).sum();
        if score < PART * self.score {
            self.keep(0);
        } else if score < STRONG * self.terms.len() as f64 {
            self.keep(self.terms.iter().filter(|t| t.score >= STRONG).count());
        }
    }
}

/// The only term of a loss of one predictor; returns what is left.
fn split_one(row: usize, bend: f64, length: f64, terms: &mut Vec<Term>) -> f64 {
    let score = bend * length;
    if score <= RELEVANT {
        return bend;
    }
    let w = vec![bend.sqrt()];
    terms.push(Term { row, score, w });
    0.0
}

impl<T: Scalar> Terms<T> {
    /// `None` if there are no terms, or their matrix cannot be factorised.
    fn new(design: &Design<T>, inverse: &[f64], terms: Vec<Term>) -> Option<Self> {
        if terms.is_empty() {
            return None;
        }
        let mut rows: Vec<usize> = terms.iter().map(|t| t.row).collect();
        rows.dedup();
        let mut at = 0;
        let columns: Vec<(usize, Vec<f64>)> = terms
            .into_iter()
            .map(|t| {
                while rows[at] != t.row {
                    at += 1;
                }
                (at, t.w)
            })
            .collect();
        let x = design.stored_rows(&rows);
        let transposed = x.transposed();
        let gram = between(design.centre(), inverse, &x, &transposed);
        let mut core = Mat::<T>::zeros(columns.len(), columns.len());
        by_columns(core.as_mut(), 0, &|b, mut out| {
            let (row, w) = &columns[b];
            for (a, (other, v)) in columns.iter().enumerate() {
                let unit = if a == b { 1.0 } else { 0.0 };
                out[a] = T::of(unit + gram[(*other, *row)].to_f64() * dot(v, w));
            }
        });
        Some(Self {
            transposed: design.is_sparse().then_some(transposed),
            x,
            columns,
            core: EquilibratedCholesky::new(core.as_ref(), 1e-6).ok()?,
        })
    }

    /// `y <- y - M⁻¹ A (I + Aᵀ M⁻¹ A)⁻¹ Aᵀ y` for y (p, k).
    fn correct(&self, centre: &[f64], inverse: &[f64], mut y: MatMut<'_, T>, w: &mut Work<T>) {
        let k = y.ncols();
        kernels::multiply(&self.x, y.as_ref(), &mut w.products);
        let along: Vec<f64> = (0..k)
            .map(|c| {
                let parts = centre.iter().enumerate();
                parts.map(|(j, m)| m * y[(j, c)].to_f64()).sum()
            })
            .collect();
        for (s, (row, v)) in self.columns.iter().enumerate() {
            let products = &w.products[row * k..(row + 1) * k];
            let inner = products.iter().zip(&along).zip(v);
            let inner: f64 = inner.map(|((u, m), v)| (u.to_f64() - m) * v).sum();
            w.inner[(s, 0)] = T::of(inner);
        }
        self.core.solve_in_place(w.inner.as_mut());
        w.products.fill(T::of(0.0));
        let mut sums = vec![0.0; k];
        for (s, (row, v)) in self.columns.iter().enumerate() {
            let t = w.inner[(s, 0)].to_f64();
            let products = &mut w.products[row * k..(row + 1) * k];
            for ((u, v), sum) in products.iter_mut().zip(v).zip(&mut sums) {
                *u = T::of(u.to_f64() + t * v);
                *sum += t * v;
            }
        }
        match &self.transposed {
            Some(x) => kernels::multiply_rows(x, &w.products, w.back.as_mut()),
            None => kernels::multiply_transposed(&self.x, &w.products, w.back.as_mut()),
        }
        let back = w.back.as_ref();
        by_columns(y.rb_mut(), 0, &|c, mut y| {
            for (j, m) in inverse.iter().enumerate() {
                let moved = centre.get(j).map_or(0.0, |centre| centre * sums[c]);
                y[j] = T::of(y[j].to_f64() - m * (back[(j, c)].to_f64() - moved));
            }
        });
    }
}

/// `(X - 1 cᵀ) M⁻¹ (X - 1 cᵀ)ᵀ` for rows X and the centre c.
fn between<T: Scalar>(
    centre: &[f64],
    inverse: &[f64],
    x: &DataMatrix<T>,
    transposed: &DataMatrix<T>,
) -> Mat<T> {
    let m = x.rows();
    let mut gram = Mat::<T>::zeros(m, m);
    let metric: Vec<T> = inverse.iter().map(|v| T::of(*v)).collect();
    kernels::weighted_gram(transposed, &metric, gram.as_mut());
    if centre.is_empty() {
        return gram;
    }
    let mut moved = vec![T::of(0.0); inverse.len()];
    let mut square = 0.0;
    for (j, c) in centre.iter().enumerate() {
        moved[j] = T::of(c * inverse[j]);
        square += c * c * inverse[j];
    }
    let mut mixed = vec![T::of(0.0); m];
    let moved = MatRef::from_column_major_slice(&moved, inverse.len(), 1);
    kernels::multiply(x, moved, &mut mixed);
    by_columns(gram.as_mut(), 0, &|b, mut out| {
        for a in 0..m {
            out[a] = T::of(out[a].to_f64() - mixed[a].to_f64() - mixed[b].to_f64() + square);
        }
    });
    gram
}

impl<T: Scalar> RowsInverse<T> {
    /// Operations of its making.
    pub(super) fn work(&self) -> f64 {
        let Some(terms) = &self.terms else { return 0.0 };
        let (m, count) = (terms.x.rows() as f64, terms.columns.len() as f64);
        // Rows times rows, and the factorisation.
        let between = terms.x.stored() as f64 * m;
        let k = self.outputs as f64;
        between + self.faster * count * count * (2.0 * k + count / 3.0)
    }

    /// One direction: x and y (p, k).
    fn apply_one(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) {
        by_columns(y.rb_mut(), 0, &|c, mut y| {
            for (j, m) in self.inverse.iter().enumerate() {
                y[j] = T::of(x[(j, c)].to_f64() * m);
            }
        });
        let Some(terms) = &self.terms else { return };
        let (p, k) = (x.nrows(), x.ncols());
        let pool = || self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let pooled = pool().pop();
        let mut work = pooled.unwrap_or_else(|| Work {
            products: vec![T::of(0.0); terms.x.rows() * k],
            back: Mat::zeros(p, k),
            inner: Mat::zeros(terms.columns.len(), 1),
        });
        terms.correct(&self.centre, &self.inverse, y, &mut work);
        pool().push(work);
    }
}

impl<T: Scalar> LinearOperator<T> for RowsInverse<T> {
    fn shape(&self) -> (usize, usize) {
        let dim = self.inverse.len() * self.outputs;
        (dim, dim)
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let (p, k) = (self.inverse.len(), self.outputs);
        for a in 0..x.ncols() {
            let columns = (x.col(a), y.rb_mut().col_mut(a));
            let columns = (
                columns.0.try_as_col_major(),
                columns.1.try_as_col_major_mut(),
            );
            if let (Some(x), Some(y)) = columns {
                self.apply_one(
                    MatRef::from_column_major_slice(x.as_slice(), p, k),
                    MatMut::from_column_major_slice_mut(y.as_slice_mut(), p, k),
                );
                continue;
            }
            // Columns that are not contiguous.
            let flat = Mat::from_fn(p, k, |j, c| x[(c * p + j, a)]);
            let mut out = Mat::<T>::zeros(p, k);
            self.apply_one(flat.as_ref(), out.as_mut());
            (0..p * k).for_each(|i| y[(i, a)] = out[(i % p, i / p)]);
        }
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties::PSD
    }

    fn cost(&self) -> Cost {
        let dim = self.shape().0 as f64;
        let terms = self.terms.as_ref().map_or(0.0, |terms| {
            let (k, count) = (self.outputs as f64, terms.columns.len() as f64);
            FETCH * count * count + 4.0 * k * terms.x.stored() as f64
        });
        Cost {
            product: terms + 3.0 * dim,
            dense: (terms + 3.0 * dim) * dim,
        }
    }
}
