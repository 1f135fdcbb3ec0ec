//! Linear models that share one data matrix, evaluated in one pass: classes against the rest, folds, penalties.
//!
//! The predictors of all columns are one product `Z V`, each column turns its own into residuals, and the gradients are
//! one product `Zᵀ R`. What a column sees is its own: targets, weights (a fold is a weight of 0 or 1), penalty.

use super::Glm;
use super::design::Design;
use faer::{MatMut, MatRef};
use quadric_core::{
    Columns, Error, Gap, Objective, Problem, Result, Scalar, Smooth, Tolerance, capabilities,
};
use quadric_linalg::parallel::{map, ranges, tree_sum};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Columns that are taken out of a block together, a cache line of each row at a time.
const LANES: usize = 8;

/// Columns whose gaps are measured together.
const TOGETHER: usize = 32;

/// Linear models over the same rows in the same coordinates, as one problem of independent columns.
///
/// F is the sum of the models' objectives; the unknowns are those of the models one after another.
///
/// ```
/// use quadric_core::{Columns, DataMatrix, Problem, Smooth};
/// use quadric_models::{Glm, GlmBatch, GlmOptions};
///
/// let x = DataMatrix::dense(vec![0.0, 1.0, 2.0, 4.0], 4, 1)?;
/// let one = Glm::<f64>::new(x, &[0.0, 1.0, 0.0, 1.0], None, &GlmOptions::default())?;
/// let batch = GlmBatch::new(vec![one.with_l2(0.1)?, one.with_l2(1.0)?, one.only(|i| i > 0)?])?;
/// assert_eq!((batch.columns(), batch.dim()), (3, 6));
/// # Ok::<(), quadric_core::Error>(())
/// ```
pub struct GlmBatch<T: Scalar> {
    models: Vec<Glm<T>>,
    /// The matrix of all of them, prepared for products with many columns.
    design: Design<T>,
    scratch: Mutex<Scratch<T>>,
}

/// Memory that evaluations reuse.
#[derive(Default)]
struct Scratch<T> {
    /// Products (n, q).
    products: Vec<T>,
    /// Points and gradients of the columns at work, where these are no run.
    points: Vec<T>,
    gradients: Vec<T>,
    /// Losses of (column, first row of a block).
    losses: Vec<(usize, usize, f64)>,
}

impl<T: Scalar> GlmBatch<T> {
    /// The models as columns. They come from one [`Glm`] by [`Glm::only`] and [`Glm::with_l2`], or from
    /// [`OneVsRest`](super::OneVsRest).
    ///
    /// # Errors
    /// No model, models that do not share their data in memory, models of different size.
    pub fn new(models: Vec<Glm<T>>) -> Result<Self> {
        let Some(first) = models.first() else {
            return Err(Error::argument("models", "empty", "at least one model"));
        };
        let stranger = models
            .iter()
            .position(|m| !m.design.is_shared_with(&first.design) || m.dim() != first.dim());
        if let Some(c) = stranger {
            return Err(Error::argument(
                "models",
                format!("model {c} with data of its own"),
                "models that share their data matrix and their size",
            ));
        }
        let mut design = first.design.clone();
        design.prepare(models.len() * first.samples.outputs());
        Ok(Self {
            models,
            design,
            scratch: Mutex::default(),
        })
    }

    /// The models, one per column.
    pub fn models(&self) -> &[Glm<T>] {
        &self.models
    }

    pub(super) fn into_models(self) -> Vec<Glm<T>> {
        self.models
    }

    /// The unknowns of column c among those of all.
    pub fn range(&self, c: usize) -> Range<usize> {
        let n = self.models[0].dim();
        c * n..(c + 1) * n
    }

    /// Where to start: every model at its own start.
    pub fn start(&self) -> Vec<T> {
        self.models.iter().flat_map(Glm::start).collect()
    }

    pub(super) fn check(&self, x: &[T], what: &str) -> Result<()> {
        if x.len() != self.dim() {
            return Err(Error::shape(what, x.len(), self.dim()));
        }
        Ok(())
    }

    fn all(&self) -> Vec<usize> {
        (0..self.models.len()).collect()
    }

    /// Predictors per column.
    fn outputs(&self) -> usize {
        self.models[0].samples.outputs()
    }

    /// The unknowns of some columns, one after another: those of `x` itself where the columns are a run.
    fn packed<'a>(&self, which: &[usize], x: &'a [T], room: &'a mut Vec<T>) -> &'a [T] {
        if let Some(run) = self.run(which) {
            return &x[run];
        }
        room.clear();
        for &c in which {
            room.extend_from_slice(&x[self.range(c)]);
        }
        room
    }

    /// The unknowns of the columns, if they follow each other.
    fn run(&self, which: &[usize]) -> Option<Range<usize>> {
        let (first, last) = (*which.first()?, *which.last()?);
        let follows = last - first + 1 == which.len();
        follows.then(|| self.range(first).start..self.range(last).end)
    }

    /// The losses of some rows under the columns at work, and their residuals; `u` and `r` are (rows, q).
    fn residuals(
        &self,
        which: &[usize],
        rows: &Range<usize>,
        u: &[T],
        r: &mut [T],
        losses: &Mutex<&mut Vec<(usize, usize, f64)>>,
    ) {
        let k = self.outputs();
        let (n, q) = (rows.len(), k * which.len());
        let room = n * k * LANES.min(which.len());
        let mut block = vec![T::of(0.0); 2 * room];
        let (own_u, own_r) = block.split_at_mut(room);
        let mut sums = Vec::with_capacity(which.len());
        for (few, lanes) in which.chunks(LANES).zip(ranges(q, LANES * k)) {
            for (i, row) in u.chunks_exact(q).enumerate() {
                spread(&row[lanes.clone()], k, n, i, own_u);
            }
            let own = own_u.chunks_exact(n * k).zip(own_r.chunks_exact_mut(n * k));
            for (&c, (u, r)) in few.iter().zip(own) {
                let samples = &self.models[c].samples;
                sums.push((c, rows.start, samples.residuals(rows.clone(), u, &[], r)));
            }
            for (i, row) in r.chunks_exact_mut(q).enumerate() {
                collect(own_r, k, n, i, &mut row[lanes.clone()]);
            }
        }
        let mut losses = losses.lock().unwrap_or_else(PoisonError::into_inner);
        losses.append(&mut sums);
    }

    /// Mean losses into `values` and their gradients into `g` (columns one after another).
    fn mean_losses(&self, which: &[usize], v: &[T], work: Work<'_, T>, g: &mut [T]) {
        let Work { products, losses } = work;
        let (p, q) = (self.design.columns(), self.outputs() * which.len());
        products.resize(self.design.rows() * q, T::of(0.0));
        losses.clear();
        let shared = Mutex::new(&mut *losses);
        self.design.fused(
            MatRef::from_column_major_slice(v, p, q),
            products,
            |rows, u, r| {
                self.residuals(which, &rows, u, r, &shared);
                0.0
            },
            MatMut::from_column_major_slice_mut(g, p, q),
        );
        // Blocks come in any order; their losses are summed in that of the rows.
        losses.sort_unstable_by_key(|(c, row, _)| (*c, *row));
    }

    /// The gaps of a few columns; their products with the data are shared.
    fn gaps_together(&self, which: &[usize], x: &[T]) -> Result<Vec<Gap>> {
        let (p, k, n) = (self.design.columns(), self.outputs(), self.design.rows());
        let q = which.len() * k;
        let mut room = Vec::new();
        let v = self.packed(which, x, &mut room);
        let mut products = vec![T::of(0.0); n * q];
        let matrix = MatRef::from_column_major_slice(v, p, q);
        self.design.multiply(matrix, &mut products);
        let own = |slot: usize| -> Vec<T> {
            let lanes = slot * k..(slot + 1) * k;
            let rows = products.chunks_exact(q);
            rows.flat_map(|row| row[lanes.clone()].iter().copied())
                .collect()
        };
        let own: Vec<Vec<T>> = map(0..which.len(), |_, slot| own(slot));
        let settled = map(which.iter().zip(&own), |_, (&c, own)| {
            self.models[c].settle(&x[self.range(c)], own)
        });
        for (slot, settled) in settled.iter().enumerate() {
            let lanes = slot * k..(slot + 1) * k;
            match settled {
                Ok(s) => products
                    .chunks_exact_mut(q)
                    .zip(s.residuals.chunks_exact(k))
                    .for_each(|(all, r)| all[lanes.clone()].copy_from_slice(r)),
                Err(_) => products
                    .chunks_exact_mut(q)
                    .for_each(|all| all[lanes.clone()].fill(T::of(0.0))),
            }
        }
        let mut gradients = vec![T::of(0.0); p * q];
        let out = MatMut::from_column_major_slice_mut(&mut gradients, p, q);
        self.design.multiply_transposed(&products, out);
        let gradients = gradients.chunks_exact_mut(p * k);
        let columns = which.iter().zip(&own).zip(settled).zip(gradients);
        columns
            .map(|(((&c, own), settled), g)| match settled {
                Err(gap) => Ok(gap),
                Ok(s) => self.models[c].gap_from(&x[self.range(c)], own, &s, g, Tolerance::EXACT),
            })
            .collect()
    }
}

/// Row i of a block, k values per column, to row i of each column (n, k).
fn spread<T: Copy>(row: &[T], k: usize, n: usize, i: usize, columns: &mut [T]) {
    if k == 1 {
        for (slot, v) in row.iter().enumerate() {
            columns[slot * n + i] = *v;
        }
        return;
    }
    for (slot, v) in row.chunks_exact(k).enumerate() {
        let at = (slot * n + i) * k;
        columns[at..at + k].copy_from_slice(v);
    }
}

/// Row i of each column to row i of a block: the inverse of [`spread`].
fn collect<T: Copy>(columns: &[T], k: usize, n: usize, i: usize, row: &mut [T]) {
    if k == 1 {
        for (slot, v) in row.iter_mut().enumerate() {
            *v = columns[slot * n + i];
        }
        return;
    }
    for (slot, v) in row.chunks_exact_mut(k).enumerate() {
        let at = (slot * n + i) * k;
        v.copy_from_slice(&columns[at..at + k]);
    }
}

/// The part of the scratch memory that a pass needs.
struct Work<'a, T> {
    products: &'a mut Vec<T>,
    losses: &'a mut Vec<(usize, usize, f64)>,
}

impl<T: Scalar> Problem<T> for GlmBatch<T> {
    fn dim(&self) -> usize {
        self.models.len() * self.models[0].dim()
    }

    fn name(&self) -> &str {
        self.models[0].name()
    }

    fn gap(&self, x: &[T]) -> Result<Option<Gap>> {
        let gaps = self.gaps(&self.all(), x)?;
        Ok(Some(Gap::of_columns(&gaps)))
    }

    capabilities!(T: Columns);
}

impl<T: Scalar> Objective<T> for GlmBatch<T> {
    fn value(&self, x: &[T]) -> Result<f64> {
        self.value_grad(x, &mut vec![T::of(0.0); x.len()])
    }

    fn recession(&self, d: &[T]) -> Result<Option<String>> {
        for c in 0..self.models.len() {
            if let Some(why) = self.column_recession(c, d)? {
                return Ok(Some(format!(
                    "model {} of {}: {why}",
                    c + 1,
                    self.models.len()
                )));
            }
        }
        Ok(None)
    }
}

impl<T: Scalar> Smooth<T> for GlmBatch<T> {
    fn value_grad(&self, x: &[T], g: &mut [T]) -> Result<f64> {
        let mut values = vec![0.0; self.models.len()];
        self.values_grads(&self.all(), x, &mut values, g)?;
        Ok(values.iter().sum())
    }
}

impl<T: Scalar> Columns<T> for GlmBatch<T> {
    fn columns(&self) -> usize {
        self.models.len()
    }

    fn values_grads(
        &self,
        which: &[usize],
        x: &[T],
        values: &mut [f64],
        g: &mut [T],
    ) -> Result<()> {
        self.check(x, "the point")?;
        self.check(g, "the gradient")?;
        if which.is_empty() {
            return Ok(());
        }
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let Scratch {
            products,
            points,
            gradients,
            losses,
        } = &mut *scratch;
        let v = self.packed(which, x, points);
        let work = Work {
            products,
            losses: &mut *losses,
        };
        if let Some(run) = self.run(which) {
            self.mean_losses(which, v, work, &mut g[run]);
        } else {
            gradients.resize(v.len(), T::of(0.0));
            self.mean_losses(which, v, work, gradients);
            let n = self.models[0].dim();
            for (&c, part) in which.iter().zip(gradients.chunks_exact(n)) {
                g[self.range(c)].copy_from_slice(part);
            }
        }
        let mut sorted = losses.chunk_by(|a, b| a.0 == b.0);
        for &c in which {
            let parts = sorted.next().unwrap_or(&[]).iter();
            let (model, x) = (&self.models[c], &x[self.range(c)]);
            model.add_penalty_gradient(x, &mut g[self.range(c)]);
            let loss = tree_sum(&parts.map(|part| part.2).collect::<Vec<_>>());
            values[c] = loss + model.penalty(x);
        }
        Ok(())
    }

    fn gaps(&self, which: &[usize], x: &[T]) -> Result<Vec<Gap>> {
        self.check(x, "the point")?;
        let mut gaps = Vec::with_capacity(which.len());
        for few in which.chunks(TOGETHER) {
            gaps.extend(self.gaps_together(few, x)?);
        }
        Ok(gaps)
    }

    fn column_recession(&self, column: usize, d: &[T]) -> Result<Option<String>> {
        self.check(d, "the direction")?;
        self.models[column].recession(&d[self.range(column)])
    }
}
