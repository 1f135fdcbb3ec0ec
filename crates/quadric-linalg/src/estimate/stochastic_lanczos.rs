//! Stochastic Lanczos quadrature: spectral densities from the Krylov spaces of random starts.
//!
//! Bai, Fahey, Golub, "Some large-scale matrix computation problems" (1996); Ubaru, Chen, Saad, "Fast estimation of tr(f(A)) via
//! stochastic Lanczos quadrature" (2017). The starts are one orthonormal block, and so are the vectors of every step (Golub,
//! Underwood, "The block Lanczos method for computing eigenvalues", 1977): what one start finds of the spectrum serves all, at no
//! further product. The block tridiagonal matrix gives the atoms of the density, whose weights are means over the starts, and a
//! Gauss rule for each start alone, by Lanczos steps with that small matrix: these tell how sure the atoms are. With the basis
//! stored, every new block is orthogonalised twice against all earlier ones; without, copies of converged eigenvalues appear and
//! share a weight, which leaves the density as it is. A vector that adds nothing to the blocks before becomes zero.

use super::block_tridiagonal::{BlockTridiagonal, triangle};
use super::columns::{check_finite, gram, no_memory, subtract};
use super::density::Density;
use super::{Eigenspace, Probe, check, check_block, check_level};
use crate::dense::symmetric_eigen;
use crate::krylov::finite;
use crate::random::SeedTree;
use crate::spectrum::rotate;
use crate::vector::max_abs;
use crate::{Error, LinearOperator, Result, Scalar};
use faer::prelude::{Reborrow, ReborrowMut};
use faer::{Mat, MatMut, MatRef, Scale};
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
    /// Diagonal blocks of the block tridiagonal matrix, column by column, step after step.
    pub diagonal: Vec<f64>,
    /// What couples each step to the next, in the same order: triangles, with rows of zeros for vectors that add nothing.
    pub beside: Vec<f64>,
    /// The blocks of vectors, with that of the next step behind them; only the last two where they are not stored; the columns of
    /// the matrix, where it is decomposed.
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
        let (n, width) = (run.n, run.width());
        run.reserve(width)?;
        let mut vectors = vec![T::of(0.0); n * width];
        let seed = seed.child("density");
        for (j, z) in vectors.chunks_exact_mut(n).enumerate() {
            Probe::Sphere.draw(seed.stream(j as u64), z);
        }
        // Twice, for orthogonality of what is left, which is of length 1 after the first time.
        for length in [(n as f64).sqrt(), 1.0] {
            if let Some(known) = known {
                known.project(MatMut::from_column_major_slice_mut(&mut vectors, n, width));
            }
            run.orthonormalise(&mut vectors, run.floor() * length, width)?;
        }
        run.state.vectors = vectors;
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
        let (done, width) = (state.done, run.width());
        if done > run.steps() {
            let expected = format!("at most {}", run.steps());
            return Err(Error::argument("state.done", done, &expected));
        }
        let (scalars, vectors) = match (run.is_dense(), options.store_basis) {
            (true, _) => (Some(0), Some(done)),
            (false, true) => (
                done.checked_mul(width * width),
                (done + 1).checked_mul(width),
            ),
            (false, false) => (
                done.checked_mul(width * width),
                Some(width * (1 + done.min(1))),
            ),
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

    /// Vectors of a block.
    fn width(&self) -> usize {
        self.options.probes.min(self.reachable())
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
        if self.is_closed() {
            return Ok(false);
        }
        let (n, width) = (self.n, self.width());
        let mut image = self.multiply()?;
        let diagonal = self.orthogonalise(&mut image)?;
        let size = self.size().max(max_abs(&diagonal));
        let left = self.reachable() - self.rank();
        let beside = self.next_block(&mut image, self.floor() * size, left)?;
        let shifts = !self.options.store_basis && self.state.done > 0;
        if !shifts {
            self.reserve(width)?;
            let len = self.state.vectors.len();
            self.state.vectors.resize(len + n * width, T::of(0.0));
        }
        let at = self.state.vectors.len() - n * width;
        let (before, newest) = self.state.vectors.split_at_mut(at);
        if shifts {
            before.copy_from_slice(newest);
        }
        newest.copy_from_slice(&image);
        self.image = image;
        self.state.diagonal.extend(diagonal);
        self.state.beside.extend(entries(&beside));
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

    /// Whether the newest block is zero: no further step adds anything.
    fn is_closed(&self) -> bool {
        let width = self.width();
        let last = self.state.beside.len().checked_sub(width * width);
        last.is_some_and(|at| self.state.beside[at..].iter().all(|v| *v == 0.0))
    }

    /// Dimensions of the blocks so far.
    fn rank(&self) -> usize {
        let width = self.width();
        let triangles = self.state.beside.chunks_exact(width * width);
        let pivots = triangles.flat_map(|r| (0..width).map(move |j| r[j * width + j]));
        width + pivots.filter(|v| *v > 0.0).count()
    }

    /// The largest entry of the matrix so far.
    fn size(&self) -> f64 {
        max_abs(&self.state.diagonal).max(max_abs(&self.state.beside))
    }

    /// What is this much smaller than the operator is rounding.
    fn floor(&self) -> f64 {
        (self.n as f64).sqrt().max(10.0) * T::EPSILON
    }

    /// The newest block times the operator.
    fn multiply(&mut self) -> Result<Vec<T>> {
        let (n, width) = (self.n, self.width());
        let newest = &self.state.vectors[self.state.vectors.len() - n * width..];
        let mut image = std::mem::take(&mut self.image);
        image.resize(n * width, T::of(0.0));
        let pieces = n * self.options.block;
        for (x, y) in newest.chunks(pieces).zip(image.chunks_mut(pieces)) {
            let k = x.len() / n;
            self.op.apply(
                MatRef::from_column_major_slice(x, n, k),
                MatMut::from_column_major_slice_mut(y, n, k),
            )?;
            check_finite(y)?;
        }
        Ok(image)
    }

    /// Takes the blocks before out of the image of the newest, and tells the diagonal block.
    fn orthogonalise(&self, image: &mut [T]) -> Result<Vec<f64>> {
        let (n, width) = (self.n, self.width());
        let vectors = &self.state.vectors;
        let blocks = vectors.len() / (n * width);
        let columns = |first: usize| {
            let columns = (blocks - first) * width;
            MatRef::from_column_major_slice(&vectors[first * n * width..], n, columns)
        };
        let newest = columns(blocks - 1);
        let whole = gram(newest, MatRef::from_column_major_slice(image, n, width));
        let entry = |i: usize, j: usize| 0.5 * (whole[(i, j)] + whole[(j, i)]);
        let diagonal = Mat::from_fn(width, width, entry);
        // The last two blocks, whose coefficients are known.
        let before = self.state.beside.len().checked_sub(width * width);
        let first = blocks - if before.is_some() { 2 } else { 1 };
        let coefficients = Mat::from_fn((blocks - first) * width, width, |i, j| match before {
            Some(at) if i < width => self.state.beside[at + i * width + j],
            Some(_) => diagonal[(i - width, j)],
            None => diagonal[(i, j)],
        });
        let mut w = MatMut::from_column_major_slice_mut(image, n, width);
        subtract(columns(first), coefficients.as_ref(), w.rb_mut());
        if let Some(known) = self.known {
            known.project(w.rb_mut());
        }
        if self.options.store_basis {
            let all = gram(columns(0), w.rb());
            subtract(columns(0), all.as_ref(), w.rb_mut());
            if let Some(known) = self.known {
                known.project(w.rb_mut());
            }
        }
        let diagonal: Vec<f64> = entries(&diagonal).collect();
        finite(diagonal.iter().sum())?;
        Ok(diagonal)
    }

    /// Makes the next block of what is left of an image, and tells the triangle R.
    ///
    /// Scaled to length 1, what rounding has left along the last two blocks is taken out again. Else it would grow from step to step,
    /// and the matrix would have eigenvalues far beyond those of the operator.
    fn next_block(&self, image: &mut [T], floor: f64, most: usize) -> Result<Mat<f64>> {
        let (n, width) = (self.n, self.width());
        let r = self.orthonormalise(image, floor, most)?;
        let vectors = &self.state.vectors;
        let first = (vectors.len() / n).saturating_sub(2 * width);
        let last =
            MatRef::from_column_major_slice(&vectors[first * n..], n, vectors.len() / n - first);
        let mut w = MatMut::from_column_major_slice_mut(image, n, width);
        let along = gram(last, w.rb());
        subtract(last, along.as_ref(), w.rb_mut());
        if let Some(known) = self.known {
            known.project(w.rb_mut());
        }
        // Their lengths change by the squares of what was there.
        let found = along.col_iter().flat_map(|c| c.iter().copied());
        if found.fold(0.0, |a: f64, v: f64| a.max(v.abs())) < T::EPSILON.sqrt() {
            return Ok(r);
        }
        let again = self.orthonormalise(image, 0.5, most)?;
        Ok(again * r)
    }

    /// Makes the columns of a block orthonormal; those that are no longer than `floor` without the others, or behind the first `most`
    /// others, become zero. Tells the triangle R with which the block was Q R.
    fn orthonormalise(&self, block: &mut [T], floor: f64, most: usize) -> Result<Mat<f64>> {
        let (n, width) = (self.n, self.width());
        let unit = binary_unit(finite(max_abs(block))?);
        if unit != 1.0 {
            block.iter_mut().for_each(|v| *v = T::of(v.to_f64() / unit));
        }
        let mut product = Mat::<f64>::identity(width, width);
        let mut floor = floor / unit;
        for pass in 0..3 {
            let columns = MatRef::from_column_major_slice(block, n, width);
            let (r, inverse) = triangle(gram(columns, columns).as_ref(), floor, most);
            rotate(block, inverse.as_ref(), n);
            product = &r * product;
            let pivots = || (0..width).map(|j| r[(j, j)]).filter(|v| *v > 0.0);
            let (least, most) =
                pivots().fold((f64::INFINITY, 0.0f64), |(a, b), v| (a.min(v), b.max(v)));
            // Rounding grows with the ratio of the pivots.
            if pass == 2 || least >= 0.3 * most {
                break;
            }
            floor = 0.5;
        }
        Ok(product * Scale(unit))
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
        let width = self.width();
        let matrix = BlockTridiagonal {
            width,
            diagonal: &self.state.diagonal,
            beside: &self.state.beside,
        };
        // Where the space of all blocks is invariant, no more can be known of any start.
        let most = match self.is_closed() {
            true => done * width,
            false => done,
        };
        let (mut gauss, mut shorter, mut complete) = (Vec::new(), Vec::new(), Vec::new());
        for start in 0..width {
            let (rule, short, closed) = matrix.rules(start, most, self.floor())?;
            gauss.push(rule);
            shorter.push(short);
            complete.push(closed);
        }
        let rules = match width == 1 || complete.iter().all(|c| *c) {
            true => gauss.clone(),
            false => {
                // Less than the starts know together is what each knows alone.
                shorter.clone_from(&gauss);
                matrix.measures()?
            }
        };
        Ok(Density {
            n: self.n,
            known: self.known.map_or(Vec::new(), |k| k.values().to_vec()),
            rules,
            gauss,
            shorter,
            complete,
            exact: false,
            level: self.options.level,
            steps: done,
        })
    }
}

/// A power of two near a number, where its square might not be one; 1 for others.
fn binary_unit(size: f64) -> f64 {
    match size == 0.0 || (1e-100..1e100).contains(&size) {
        true => 1.0,
        false => libm::exp2(libm::floor(libm::log2(size))),
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

/// The entries, column by column.
fn entries(matrix: &Mat<f64>) -> impl Iterator<Item = f64> {
    matrix.col_iter().flat_map(|column| column.iter().copied())
}
