//! Stochastic Lanczos quadrature: spectral densities from the Krylov spaces of random starts.
//!
//! Bai, Fahey, Golub, "Some large-scale matrix computation problems" (1996); Ubaru, Chen, Saad, "Fast estimation of tr(f(A)) via
//! stochastic Lanczos quadrature" (2017). All starts take their steps together, so that each step is one product with a block.
//! With the basis stored, every new vector is orthogonalised twice against all earlier ones of its start; without, copies of
//! converged eigenvalues appear and share a weight, which leaves the density as it is. A Krylov space that becomes invariant
//! ends: its rule is exact for its start, and more vectors would only add nodes of weight zero.

use super::columns::{check_finite, no_memory};
use super::density::{Density, Rule};
use super::gauss_rule::gauss_rule;
use super::{Eigenspace, Probe, check, check_block, check_level};
use crate::dense::symmetric_eigen;
use crate::krylov::{finite, normalise};
use crate::random::SeedTree;
use crate::vector::{axpy, dot, norm2};
use crate::{Error, LinearOperator, Result, Scalar};
use faer::{Mat, MatMut, MatRef};
use std::ops::ControlFlow;

/// How a density is estimated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DensityOptions {
    /// Random starts, uniform on the sphere.
    pub probes: usize,
    /// Lanczos steps from each; at most n.
    pub steps: usize,
    /// Keep the bases and orthogonalise against them. Without, memory does not grow with the steps, and extreme eigenvalues get
    /// copies.
    pub store_basis: bool,
    /// Largest order of an operator that is written down and decomposed instead, if that takes no more products; the density is
    /// then exact.
    pub dense: usize,
    /// The probability with which intervals shall contain the truth.
    pub level: f64,
    /// Vectors per product.
    pub block: usize,
}

impl Default for DensityOptions {
    /// Eight starts, 100 steps, bases not stored, orders up to 4,096 decomposed, intervals at 95 %.
    fn default() -> Self {
        Self {
            probes: 8,
            steps: 100,
            store_basis: false,
            dense: 4096,
            level: 0.95,
            block: 16,
        }
    }
}

impl DensityOptions {
    fn validate(&self) -> Result<()> {
        check_level(self.level)?;
        check_block(self.block)?;
        if self.probes == 0 || self.steps == 0 {
            return Err(Error::argument(
                "probes/steps",
                format!("{}/{}", self.probes, self.steps),
                "at least 1 of each",
            ));
        }
        Ok(())
    }

    /// True if an operator of order n is decomposed.
    fn decomposes(&self, n: usize) -> bool {
        n <= self.dense && self.probes.saturating_mul(self.steps.min(n)) >= n
    }

    /// Bytes that the vectors of a run on an operator of order `n` take at the end, in the scalar `T`.
    pub fn memory<T: Scalar>(&self, n: usize) -> u64 {
        let vectors = if self.decomposes(n) {
            n as u64
        } else {
            let kept = if self.store_basis {
                (self.steps.min(n) as u64).saturating_add(1)
            } else {
                2
            };
            kept.saturating_add(1).saturating_mul(self.probes as u64)
        };
        vectors
            .saturating_mul(n as u64)
            .saturating_mul(size_of::<T>() as u64)
    }
}

/// All that a run remembers, as plain numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuadratureState<T> {
    /// Steps taken; columns of the matrix, where it is decomposed.
    pub done: usize,
    /// Diagonals of the tridiagonal matrices, step after step, and start after start within a step.
    pub diagonal: Vec<f64>,
    /// What couples each step to the next, in the same order; 0 where a Krylov space is invariant.
    pub beside: Vec<f64>,
    /// The bases, in the same order, with the vectors of the next step behind them; only the last two blocks where they are not
    /// stored; the columns of the matrix, where it is decomposed.
    pub vectors: Vec<T>,
}

/// A run of stochastic Lanczos quadrature that can be watched, stopped, saved and resumed between steps.
pub struct LanczosQuadrature<'a, T> {
    op: &'a dyn LinearOperator<T>,
    known: Option<&'a Eigenspace<T>>,
    options: DensityOptions,
    n: usize,
    state: QuadratureState<T>,
    image: Vec<T>,
}

impl<'a, T: Scalar> LanczosQuadrature<'a, T> {
    /// Draws the starts, orthogonal to `known` eigenvectors, which the density will count exactly.
    ///
    /// # Errors
    /// An operator that is not square, not known to be symmetric or random, eigenvectors of another length, no probes or steps, a
    /// level or block out of range, no memory.
    pub fn start(
        op: &'a dyn LinearOperator<T>,
        known: Option<&'a Eigenspace<T>>,
        options: &DensityOptions,
        seed: SeedTree,
    ) -> Result<Self> {
        let mut run = Self::empty(op, known, options)?;
        if run.is_dense() {
            return Ok(run);
        }
        let n = run.n;
        run.reserve(options.probes)?;
        run.state.vectors.resize(n * options.probes, T::of(0.0));
        let seed = seed.child("density");
        for (j, z) in run.state.vectors.chunks_exact_mut(n).enumerate() {
            Probe::Sphere.draw(seed.stream(j as u64), z);
            // Twice, for orthogonality of what is left.
            for _ in 0..2 {
                if let Some(known) = known {
                    known.project(MatMut::from_column_major_slice_mut(z, n, 1));
                }
                normalise(z)?;
            }
        }
        Ok(run)
    }

    /// Goes on from a state that [`LanczosQuadrature::state`] gave, on the same operator with the same options.
    ///
    /// # Errors
    /// As [`LanczosQuadrature::start`], and a state whose sizes do not fit or whose numbers are not finite.
    pub fn resume(
        op: &'a dyn LinearOperator<T>,
        known: Option<&'a Eigenspace<T>>,
        options: &DensityOptions,
        state: QuadratureState<T>,
    ) -> Result<Self> {
        let mut run = Self::empty(op, known, options)?;
        let (done, probes) = (state.done, options.probes);
        if done > run.steps() {
            let expected = format!("at most {}", run.steps());
            return Err(Error::argument("state.done", done, &expected));
        }
        let (scalars, vectors) = match (run.is_dense(), options.store_basis) {
            (true, _) => (Some(0), Some(done)),
            (false, true) => (done.checked_mul(probes), (done + 1).checked_mul(probes)),
            (false, false) => (done.checked_mul(probes), Some(probes * (1 + done.min(1)))),
        };
        let found = (
            state.diagonal.len(),
            state.beside.len(),
            state.vectors.len(),
        );
        let entries = vectors.and_then(|v| v.checked_mul(run.n));
        let expected = (
            scalars.unwrap_or(0),
            scalars.unwrap_or(0),
            entries.unwrap_or(0),
        );
        if found != expected {
            return Err(Error::shape("the state of a density", found, expected));
        }
        for numbers in [&state.diagonal, &state.beside] {
            if let Some(i) = numbers.iter().position(|v| !v.is_finite()) {
                return Err(Error::non_finite("the state of a density", i, numbers[i]));
            }
        }
        check_finite(&state.vectors)?;
        run.state = state;
        Ok(run)
    }

    fn empty(
        op: &'a dyn LinearOperator<T>,
        known: Option<&'a Eigenspace<T>>,
        options: &DensityOptions,
    ) -> Result<Self> {
        options.validate()?;
        let n = check(op)?;
        if let Some(known) = known {
            known.check(n)?;
        }
        Ok(Self {
            op,
            known,
            options: *options,
            n,
            state: QuadratureState::default(),
            image: Vec::new(),
        })
    }

    /// The numbers to go on from.
    pub fn state(&self) -> &QuadratureState<T> {
        &self.state
    }

    /// Steps taken, and steps in all. A step is a product with one vector for each start; where the operator is decomposed
    /// instead, it is a block of its columns, and columns are counted.
    pub fn progress(&self) -> (usize, usize) {
        (self.state.done, self.steps())
    }

    fn is_dense(&self) -> bool {
        self.options.decomposes(self.n)
    }

    /// Dimensions that the starts can reach.
    fn reachable(&self) -> usize {
        self.n - self.known.map_or(0, |k| k.values().len().min(self.n))
    }

    fn steps(&self) -> usize {
        if self.is_dense() {
            self.n
        } else {
            self.options.steps.min(self.reachable())
        }
    }

    fn reserve(&mut self, columns: usize) -> Result<()> {
        let added = self.n.checked_mul(columns);
        match added.map(|a| self.state.vectors.try_reserve(a)) {
            Some(Ok(())) => Ok(()),
            _ => Err(no_memory(self.n, columns)),
        }
    }

    /// Takes a step; false if there is none to take.
    ///
    /// # Errors
    /// Products that are not finite, no memory, and those of the operator. The state is then that before the step.
    pub fn step(&mut self) -> Result<bool> {
        if self.state.done >= self.steps() {
            return Ok(false);
        }
        if self.is_dense() {
            return self.step_dense().map(|()| true);
        }
        let (n, probes) = (self.n, self.options.probes);
        let open = (0..probes).filter(|p| !self.is_closed(*p));
        let open: Vec<usize> = open.collect();
        if open.is_empty() {
            return Ok(false);
        }
        self.multiply(&open)?;
        let mut image = std::mem::take(&mut self.image);
        let lanes = open.iter().zip(image.chunks_exact_mut(n));
        let rows = crate::parallel::map(lanes, |_, (p, w)| self.orthogonalise(*p, w));
        self.image = image;
        let rows: Vec<(f64, f64)> = rows.into_iter().collect::<Result<_>>()?;
        self.reserve(probes)?;
        let (mut diagonal, mut beside) = (vec![0.0; probes], vec![0.0; probes]);
        let vectors = &mut self.state.vectors;
        if !self.options.store_basis && self.state.done > 0 {
            vectors.drain(..n * probes);
        }
        let from = vectors.len();
        vectors.resize(from + n * probes, T::of(0.0));
        for ((p, row), w) in open.iter().zip(rows).zip(self.image.chunks_exact(n)) {
            (diagonal[*p], beside[*p]) = row;
            if row.1 > 0.0 {
                vectors[from + p * n..from + (p + 1) * n].copy_from_slice(w);
            }
        }
        self.state.diagonal.extend(diagonal);
        self.state.beside.extend(beside);
        self.state.done += 1;
        Ok(true)
    }

    fn step_dense(&mut self) -> Result<()> {
        let (n, first) = (self.n, self.state.done);
        let k = self.options.block.min(n - first);
        let unit = Mat::from_fn(n, k, |i, j| T::of(f64::from(i == first + j)));
        let mut image = vec![T::of(0.0); n * k];
        let block = MatMut::from_column_major_slice_mut(&mut image, n, k);
        self.op.apply(unit.as_ref(), block)?;
        check_finite(&image)?;
        self.reserve(k)?;
        self.state.vectors.extend_from_slice(&image);
        self.state.done += k;
        Ok(())
    }

    /// The number of rows of the tridiagonal matrix of a start, and whether it is complete.
    fn length(&self, p: usize) -> (usize, bool) {
        let probes = self.options.probes;
        let end = (0..self.state.done).find(|j| self.state.beside[j * probes + p] == 0.0);
        end.map_or((self.state.done, false), |j| (j + 1, true))
    }

    fn is_closed(&self, p: usize) -> bool {
        self.length(p).1
    }

    /// The newest vectors of the open starts, times the operator.
    fn multiply(&mut self, open: &[usize]) -> Result<()> {
        let (n, probes) = (self.n, self.options.probes);
        let newest = &self.state.vectors[self.state.vectors.len() - n * probes..];
        self.image.resize(n * probes, T::of(0.0));
        let mut operand = Vec::new();
        for (columns, image) in open
            .chunks(self.options.block)
            .zip(self.image.chunks_mut(n * self.options.block))
        {
            let k = columns.len();
            operand.clear();
            for p in columns {
                operand.extend_from_slice(&newest[p * n..(p + 1) * n]);
            }
            let image = &mut image[..n * k];
            self.op.apply(
                MatRef::from_column_major_slice(&operand, n, k),
                MatMut::from_column_major_slice_mut(image, n, k),
            )?;
            check_finite(image)?;
        }
        Ok(())
    }

    /// From the image `w` of the newest vector of a start: the diagonal entry, what couples it to the next vector, and that
    /// vector in `w`.
    fn orthogonalise(&self, p: usize, w: &mut [T]) -> Result<(f64, f64)> {
        let (n, probes, done) = (self.n, self.options.probes, self.state.done);
        let vectors = &self.state.vectors;
        let blocks = vectors.len() / (n * probes);
        let vector = |j: usize| &vectors[(j * probes + p) * n..][..n];
        let newest = vector(blocks - 1);
        let alpha = finite(dot(newest, w))?;
        let couple = |j: usize| self.state.beside[j * probes + p];
        if self.options.store_basis {
            for _ in 0..2 {
                for j in 0..blocks {
                    axpy(-dot(vector(j), w), vector(j), w);
                }
                self.project(w);
            }
        } else {
            axpy(-alpha, newest, w);
            if done > 0 {
                axpy(-couple(done - 1), vector(0), w);
            }
            self.project(w);
        }
        // The size of the tridiagonal matrix so far.
        let size = (0..done).fold(alpha.abs(), |m, j| {
            m.max(self.state.diagonal[j * probes + p].abs())
                .max(couple(j))
        });
        let floor = (n as f64).sqrt().max(10.0) * T::EPSILON;
        let beta = finite(norm2(w))?;
        if done + 1 >= self.reachable() || beta <= floor * size {
            return Ok((alpha, 0.0));
        }
        normalise(w)?;
        Ok((alpha, beta))
    }

    fn project(&self, w: &mut [T]) {
        if let Some(known) = self.known {
            known.project(MatMut::from_column_major_slice_mut(w, self.n, 1));
        }
    }

    /// The density as far as the steps go.
    ///
    /// # Errors
    /// No step yet; for an operator that is decomposed, steps that are missing; eigenvalues that do not converge.
    pub fn density(&self) -> Result<Density> {
        let (done, steps) = self.progress();
        if self.reachable() == 0 {
            let known = self.known.map_or(Vec::new(), |k| k.values().to_vec());
            return Ok(Density::exact(known, self.options.level));
        }
        if done == 0 || self.is_dense() && done < steps {
            return Err(Error::argument("steps", done, "more, for a first density"));
        }
        if self.is_dense() {
            let matrix = MatRef::from_column_major_slice(&self.state.vectors, self.n, self.n);
            let wide = Mat::from_fn(self.n, self.n, |i, j| matrix[(i, j)].to_f64());
            let values = symmetric_eigen(wide.as_ref())?.values;
            return Ok(Density::exact(values, self.options.level));
        }
        let (mut rules, mut shorter) = (Vec::new(), Vec::new());
        for p in 0..self.options.probes {
            let (length, complete) = self.length(p);
            let cut = if complete {
                length
            } else {
                (length - length / 4).min(length.max(2) - 1)
            };
            rules.push(self.rule(p, length)?);
            shorter.push(self.rule(p, cut)?);
        }
        let complete = (0..self.options.probes).map(|p| self.is_closed(p));
        Ok(Density {
            n: self.n,
            known: self.known.map_or(Vec::new(), |k| k.values().to_vec()),
            rules,
            shorter,
            complete: complete.collect(),
            exact: false,
            level: self.options.level,
            steps: done,
        })
    }

    /// The Gauss rule of the first `length` steps of a start.
    fn rule(&self, p: usize, length: usize) -> Result<Rule> {
        let entries = |v: &[f64], count: usize| -> Vec<f64> {
            (0..count).map(|j| v[j * self.options.probes + p]).collect()
        };
        gauss_rule(
            &entries(&self.state.diagonal, length),
            &entries(&self.state.beside, length.saturating_sub(1)),
        )
    }
}

/// The spectral density of a symmetric operator (n, n), where `known` eigenpairs count exactly. `watch` sees the run after every
/// step, for progress, checkpoints, or to stop it; the density is then that of the steps so far.
///
/// # Errors
/// As [`LanczosQuadrature`].
pub fn density<T: Scalar>(
    op: &dyn LinearOperator<T>,
    known: Option<&Eigenspace<T>>,
    options: &DensityOptions,
    seed: SeedTree,
    mut watch: impl FnMut(&LanczosQuadrature<'_, T>) -> ControlFlow<()>,
) -> Result<Density> {
    let mut run = LanczosQuadrature::start(op, known, options, seed)?;
    while run.step()? {
        if watch(&run).is_break() {
            break;
        }
    }
    run.density()
}
