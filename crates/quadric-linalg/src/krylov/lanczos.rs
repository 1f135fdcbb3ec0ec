//! Extreme eigenpairs of symmetric operators: block Lanczos with full reorthogonalisation and thick restarts.
//!
//! Wu, Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems" (2000), in the Rayleigh-Ritz form: the
//! basis V and its image A V are both kept, so Ritz residuals are measured and any vector may extend the basis. A Krylov
//! space holds one vector per distinct eigenvalue and start, so after convergence the search goes on from random vectors
//! orthogonal to what was found, until it has spent the same effort again without a change: that finds multiplicities.

use super::finite;
use crate::algebra::product;
use crate::dense::{SymmetricEigen, symmetric_eigen};
use crate::random::{SeedTree, Stream};
use crate::vector::{axpy, dot, norm2, scale};
use crate::{Error, ErrorKind, LinearOperator, Result, Scalar};
use faer::{Mat, MatMut, MatRef};

/// Which end of the spectrum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extreme {
    /// The largest eigenvalues, descending.
    Largest,
    /// The smallest (most negative) eigenvalues, ascending.
    Smallest,
}

/// What [`lanczos`] looks for, and how hard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LanczosOptions {
    /// Number of eigenpairs.
    pub count: usize,
    /// Which end of the spectrum.
    pub which: Extreme,
    /// A pair counts as converged when ‖A v - θ v‖ <= tolerance · ‖A‖ (estimated by the largest Ritz value).
    pub tolerance: f64,
    /// Vectors per product; a block as wide as the largest multiplicity converges faster.
    pub block: usize,
    /// Largest number of products with single vectors.
    pub max_products: usize,
    /// Search on after convergence for further copies of multiple eigenvalues; doubles the work.
    pub multiplicities: bool,
}

impl Default for LanczosOptions {
    /// The largest eigenvalue to 1e-10, all copies, with at most 10,000 products.
    fn default() -> Self {
        Self {
            count: 1,
            which: Extreme::Largest,
            tolerance: 1e-10,
            block: 1,
            max_products: 10_000,
            multiplicities: true,
        }
    }
}

/// Approximate eigenpairs, from the wanted end of the spectrum inwards.
#[derive(Clone, Debug)]
pub struct Eigenpairs<T> {
    /// Eigenvalues (Ritz values).
    pub values: Vec<f64>,
    /// Orthonormal eigenvectors in the columns, (n, count).
    pub vectors: Mat<T>,
    /// ‖A v - θ v‖ of each pair, measured: an eigenvalue lies at most that far from θ.
    pub residuals: Vec<f64>,
    /// Number of pairs within the tolerance; fewer than asked when the products ran out.
    pub converged: usize,
    /// Products with single vectors.
    pub products: usize,
}

/// `count` extreme eigenpairs of a symmetric operator (n, n); all n at most.
///
/// # Errors
/// An operator that is not square or not known to be symmetric, options out of range, products that are not finite, and
/// whatever the operator reports.
pub fn lanczos<T: Scalar>(
    op: &dyn LinearOperator<T>,
    options: &LanczosOptions,
    seed: SeedTree,
) -> Result<Eigenpairs<T>> {
    let n = check(op)?;
    if options.block == 0 || options.tolerance.is_nan() || options.tolerance < 0.0 {
        return Err(Error::argument(
            "block/tolerance",
            format!("{}/{}", options.block, options.tolerance),
            "a block of at least 1 and a tolerance of at least 0",
        ));
    }
    let (count, block) = (options.count.min(n), options.block.min(n.max(1)));
    let keep = (count + block).min(n);
    let room = (2 * keep).max(keep + 4 * block + 16).min(n);
    let mut basis = Basis::new(op, n, room, seed.stream(0));
    basis.random(block);
    let (mut effort, mut found): (usize, Option<Vec<f64>>) = (0, None);
    loop {
        basis.fill(block)?;
        let ritz = basis.ritz(options.which, keep)?;
        let limit = options.tolerance * ritz.norm;
        let done = ritz.residuals[..count].iter().all(|r| *r <= limit);
        let values = &ritz.values[..count];
        let same = |old: &Vec<f64>| {
            let moved = old.iter().zip(values).map(|(a, b)| (a - b).abs());
            moved.fold(0.0, f64::max) <= 10.0 * limit.max(T::EPSILON * ritz.norm)
        };
        let spent = basis.products >= options.max_products;
        let enough = match &found {
            Some(old) => done && same(old) && basis.products >= 2 * effort,
            None => done && !options.multiplicities,
        };
        if enough || spent || basis.cols == n {
            let converged = ritz.residuals[..count].iter().filter(|r| **r <= limit);
            return Ok(Eigenpairs {
                converged: converged.count(),
                values: values.to_vec(),
                residuals: ritz.residuals[..count].to_vec(),
                vectors: ritz.vectors(count),
                products: basis.products,
            });
        }
        let fresh = done && !found.as_ref().is_some_and(same);
        if fresh {
            (effort, found) = (basis.products, Some(values.to_vec()));
        }
        basis.restart(&ritz, block, if fresh { f64::INFINITY } else { limit });
    }
}

/// Estimates of the smallest and largest eigenvalue of a symmetric operator (n, n) from `steps` products: the extreme Ritz
/// values, moved outwards by their residuals. Within a few per cent after some ten steps unless the ends are clustered.
///
/// # Errors
/// No steps; otherwise as [`lanczos`].
pub fn lanczos_bounds<T: Scalar>(
    op: &dyn LinearOperator<T>,
    steps: usize,
    seed: SeedTree,
) -> Result<(f64, f64)> {
    let n = check(op)?;
    if steps == 0 {
        return Err(Error::argument("steps", steps, "at least 1"));
    }
    if n == 0 {
        return Ok((0.0, 0.0));
    }
    let mut basis = Basis::new(op, n, steps.min(n), seed.stream(0));
    basis.random(1);
    basis.fill(1)?;
    let low = basis.ritz(Extreme::Smallest, 1)?;
    let high = basis.ritz(Extreme::Largest, 1)?;
    Ok((
        low.values[0] - low.residuals[0],
        high.values[0] + high.residuals[0],
    ))
}

/// An orthonormal basis V, its image A V, and VᵀAV. The columns from `cols` on are candidates for the next extension.
struct Basis<'a, T> {
    op: &'a dyn LinearOperator<T>,
    n: usize,
    room: usize,
    cols: usize,
    v: Vec<T>,
    w: Vec<T>,
    h: Mat<f64>,
    products: usize,
    stream: Stream,
}

/// Ritz pairs from the wanted end inwards: `v` and `w` are the vectors and their images.
struct Ritz<T> {
    values: Vec<f64>,
    residuals: Vec<f64>,
    norm: f64,
    n: usize,
    v: Vec<T>,
    w: Vec<T>,
}

impl<'a, T: Scalar> Basis<'a, T> {
    fn new(op: &'a dyn LinearOperator<T>, n: usize, room: usize, stream: Stream) -> Self {
        Self {
            op,
            n,
            room,
            cols: 0,
            v: vec![T::of(0.0); n * room],
            w: vec![T::of(0.0); n * room],
            h: Mat::zeros(room, room),
            products: 0,
            stream,
        }
    }

    /// Makes the next `block` candidates random.
    fn random(&mut self, block: usize) {
        let from = self.cols * self.n;
        let to = (self.cols + block).min(self.room) * self.n;
        for v in &mut self.v[from..to] {
            *v = T::of(self.stream.normal());
        }
    }

    /// Extends the basis by the candidates, then by images of what came last, until there is no room.
    fn fill(&mut self, block: usize) -> Result<()> {
        while self.cols < self.room {
            let new = block.min(self.room - self.cols);
            self.extend(new)?;
            let next = block.min(self.room - self.cols).min(new);
            let (from, to) = ((self.cols - new) * self.n, self.cols * self.n);
            self.v[to..to + next * self.n].copy_from_slice(&self.w[from..from + next * self.n]);
            // A wider block than images: the rest stays as it is, and becomes random if it depends on the others.
        }
        Ok(())
    }

    fn extend(&mut self, new: usize) -> Result<()> {
        let n = self.n;
        for j in self.cols..self.cols + new {
            self.orthonormalise(j)?;
        }
        let range = self.cols * n..(self.cols + new) * n;
        self.op.apply(
            MatRef::from_column_major_slice(&self.v[range.clone()], n, new),
            MatMut::from_column_major_slice_mut(&mut self.w[range], n, new),
        )?;
        self.products += new;
        for j in self.cols..self.cols + new {
            for i in 0..=j {
                let (v, w) = (&self.v[i * n..(i + 1) * n], &self.w[j * n..(j + 1) * n]);
                let entry = finite(dot(v, w))?;
                (self.h[(i, j)], self.h[(j, i)]) = (entry, entry);
            }
        }
        self.cols += new;
        Ok(())
    }

    /// Makes candidate j orthogonal to all before it, replacing it by random vectors while nothing is left of it.
    fn orthonormalise(&mut self, j: usize) -> Result<()> {
        let n = self.n;
        for _ in 0..8 {
            let (before, rest) = self.v.split_at_mut(j * n);
            let candidate = &mut rest[..n];
            let size = finite(norm2(candidate))?;
            // Twice is enough unless almost everything cancels, which the comparison catches.
            for _ in 0..2 {
                for v in before.chunks_exact(n) {
                    let overlap = dot(v, candidate);
                    axpy(-overlap, v, candidate);
                }
            }
            let left = norm2(candidate);
            if left > 100.0 * T::EPSILON * size {
                scale(left.recip(), candidate);
                for v in before.chunks_exact(n) {
                    let overlap = dot(v, candidate);
                    axpy(-overlap, v, candidate);
                }
                scale(norm2(candidate).recip(), candidate);
                return Ok(());
            }
            for v in candidate {
                *v = T::of(self.stream.normal());
            }
        }
        Err(Error::new(
            ErrorKind::Internal,
            "no random vector is independent of the Lanczos basis",
        ))
    }

    /// The Rayleigh-Ritz approximation: `keep` pairs from the wanted end.
    fn ritz(&self, which: Extreme, keep: usize) -> Result<Ritz<T>> {
        let (n, m) = (self.n, self.cols);
        let SymmetricEigen { values, vectors } =
            symmetric_eigen(self.h.as_ref().submatrix(0, 0, m, m))?;
        let pick = |j: usize| match which {
            Extreme::Smallest => j,
            Extreme::Largest => m - 1 - j,
        };
        let keep = keep.min(m);
        let coordinates = Mat::from_fn(m, keep, |i, j| T::of(vectors[(i, pick(j))]));
        let rotate = |block: &[T]| {
            let mut out = vec![T::of(0.0); n * keep];
            product(
                MatRef::from_column_major_slice(&block[..n * m], n, m),
                coordinates.as_ref(),
                MatMut::from_column_major_slice_mut(&mut out, n, keep),
            );
            out
        };
        let (v, w) = (rotate(&self.v), rotate(&self.w));
        let mut ritz = Ritz {
            norm: values.iter().fold(0.0, |a: f64, v| a.max(v.abs())),
            values: (0..keep).map(|j| values[pick(j)]).collect(),
            residuals: Vec::with_capacity(keep),
            n,
            v,
            w,
        };
        let mut r = vec![T::of(0.0); n];
        for j in 0..keep {
            ritz.residual(j, &mut r);
            ritz.residuals.push(norm2(&r));
        }
        Ok(ritz)
    }

    /// Starts over from the Ritz vectors; the candidates are the residuals above `limit`, topped up with random vectors.
    fn restart(&mut self, ritz: &Ritz<T>, block: usize, limit: f64) {
        let n = self.n;
        let keep = ritz.values.len().min(self.room - 1);
        self.v[..n * keep].copy_from_slice(&ritz.v[..n * keep]);
        self.w[..n * keep].copy_from_slice(&ritz.w[..n * keep]);
        self.h.fill(0.0);
        (0..keep).for_each(|j| self.h[(j, j)] = ritz.values[j]);
        self.cols = keep;
        self.random(block);
        let open = (0..keep).filter(|j| ritz.residuals[*j] > limit);
        for (slot, j) in (keep..self.room.min(keep + block)).zip(open) {
            ritz.residual(j, &mut self.v[slot * n..(slot + 1) * n]);
        }
    }
}

impl<T: Scalar> Ritz<T> {
    /// `r <- A v - θ v` of pair j.
    fn residual(&self, j: usize, r: &mut [T]) {
        let at = j * self.n..(j + 1) * self.n;
        r.copy_from_slice(&self.w[at.clone()]);
        axpy(-self.values[j], &self.v[at], r);
    }

    fn vectors(&self, count: usize) -> Mat<T> {
        Mat::from_fn(self.n, count, |i, j| self.v[j * self.n + i])
    }
}

fn check<T: Scalar>(op: &dyn LinearOperator<T>) -> Result<usize> {
    let (m, n) = op.shape();
    if m != n {
        return Err(Error::shape("the operator", (m, n), (n, n)));
    }
    if !op.properties().symmetric {
        return Err(Error::new(
            ErrorKind::Capability,
            "Lanczos needs a symmetric operator",
        ));
    }
    Ok(n)
}
