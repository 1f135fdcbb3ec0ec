//! Locally optimal block preconditioned conjugate gradients.
//!
//! Knyazev, "Toward the optimal preconditioned eigensolver: locally optimal block preconditioned conjugate gradient method",
//! SIAM J. Sci. Comput. 23 (2001). Each step is a Rayleigh-Ritz projection onto the Ritz vectors X, the directions P of the
//! last step, and the preconditioned residuals R. The basis is kept orthonormal throughout (Hetmaniuk, Lehoucq, "Basis selection
//! in LOBPCG", J. Comput. Phys. 218 (2006)): R is orthogonalised against X and P, and P is taken orthogonal to X in coordinates.
//! Images are rotated along, so a step multiplies R alone, and of R only what has not converged.

use super::basis::{Draws, Unit, columns, load, overlaps, residual, rotate, split};
use super::select::{Edge, order};
use super::{EigenOptions, Eigenpairs, Help, Measured, Progress, Which, not_symmetric};
use crate::dense::{product, symmetric_eigen, thin_qr};
use crate::random::SeedTree;
use crate::vector::{axpy, norm2, scale};
use crate::{Error, LinearOperator, Result, Scalar};
use faer::{Mat, MatMut, MatRef};

/// Columns [X P R] and their images.
struct Block<'a, T> {
    op: &'a dyn LinearOperator<T>,
    options: &'a EigenOptions,
    preconditioner: Option<&'a dyn LinearOperator<T>>,
    n: usize,
    /// Columns of X: more than wanted, so that what follows is seen.
    width: usize,
    /// Columns of P.
    directions: usize,
    basis: Vec<T>,
    images: Vec<T>,
    /// The operator in the basis.
    h: Mat<f64>,
    draws: Draws,
    unit: Unit,
    products: usize,
    norm: f64,
    /// Ritz values of X and the norms of their residuals.
    values: Vec<f64>,
    residuals: Vec<f64>,
}

/// `count` pairs of one end.
pub(super) fn lobpcg<T: Scalar>(
    op: &dyn LinearOperator<T>,
    options: &EigenOptions,
    mut help: Help<'_, T>,
    seed: SeedTree,
) -> Result<Eigenpairs<T>> {
    if !matches!(options.which, Which::Largest | Which::Smallest) {
        return Err(Error::argument(
            "which",
            format!("{:?}", options.which),
            "Largest or Smallest for the method Lobpcg",
        ));
    }
    let given = help.start.as_ref().map_or(0, MatRef::ncols);
    let mut block = Block::new(op, options, help.preconditioner, given, seed)?;
    block.begin(help.start)?;
    let (count, mut refuted) = (options.count, 0);
    loop {
        let settled = block.project()?;
        let spent = block.products + block.width + count > options.max_products;
        let stopped = match &mut help.watch {
            Some(watch) => watch(&block.progress()).is_break(),
            None => false,
        };
        if settled || spent || stopped {
            let measured = block.measure()?;
            let target = options.target::<T>(block.norm);
            if settled && !spent && !stopped && measured.worst() > target && refuted < 3 {
                refuted += 1;
                continue;
            }
            let vectors = &block.basis[..count * block.n];
            return Ok(Eigenpairs {
                complete: settled && measured.worst() <= target,
                products: block.products,
                ..measured.pairs(options, vectors, block.norm, block.unit)
            });
        }
        block.extend()?;
    }
}

impl<'a, T: Scalar> Block<'a, T> {
    fn new(
        op: &'a dyn LinearOperator<T>,
        options: &'a EigenOptions,
        preconditioner: Option<&'a dyn LinearOperator<T>>,
        start: usize,
        seed: SeedTree,
    ) -> Result<Self> {
        let n = op.shape().0;
        let width = if start > 0 {
            start.max(options.count) + options.width()
        } else {
            options.width().max(options.count + 2)
        };
        if let Some(p) = preconditioner
            && p.shape() != (n, n)
        {
            return Err(Error::shape("the preconditioner", p.shape(), (n, n)));
        }
        options.check_products(width + options.count)?;
        Ok(Self {
            op,
            options,
            preconditioner,
            n,
            width,
            directions: 0,
            basis: columns(n, 3 * width)?,
            images: columns(n, 3 * width)?,
            h: Mat::zeros(0, 0),
            draws: Draws::new(seed),
            unit: Unit::default(),
            products: 0,
            norm: 0.0,
            values: Vec::new(),
            residuals: Vec::new(),
        })
    }

    /// The first X: what was given, and random vectors.
    fn begin(&mut self, start: Option<MatRef<'_, T>>) -> Result<()> {
        let (n, width) = (self.n, self.width);
        let given = load(start, &mut self.basis, &mut self.draws, n)?;
        let (given, rest) = self.basis.split_at_mut(given * n);
        split(
            given,
            rest,
            0,
            0.0,
            width - given.len() / n,
            &mut self.draws,
            n,
        )?;
        self.multiply(0, width)
    }

    /// Images of `k` columns from `first`, and their rows of the projected operator.
    fn multiply(&mut self, first: usize, k: usize) -> Result<()> {
        let n = self.n;
        let range = first * n..(first + k) * n;
        let images = &mut self.images[range.clone()];
        (self.unit).apply(self.op, &self.basis[range.clone()], images, n)?;
        self.products += k;
        let m = first + k;
        let along = overlaps(&self.basis[..m * n], &self.images[range], n)?;
        let old = std::mem::replace(&mut self.h, Mat::zeros(m, m));
        let size = along.norm_max().max(self.norm);
        for j in 0..m {
            for i in 0..=j {
                let entry = if j < first {
                    old[(i, j)]
                } else {
                    along[(i, j - first)]
                };
                if i >= first {
                    let mirrored = along[(j, i - first)];
                    let limit = (1e3 * T::EPSILON.sqrt()).min(0.05);
                    if (entry - mirrored).abs() > limit * size {
                        return Err(not_symmetric());
                    }
                }
                (self.h[(i, j)], self.h[(j, i)]) = (entry, entry);
            }
        }
        Ok(())
    }

    /// The Rayleigh-Ritz projection: the new X, and P orthogonal to it. True if the wanted pairs can be trusted.
    fn project(&mut self) -> Result<bool> {
        let (n, width, m) = (self.n, self.width, self.h.nrows());
        let eigen = symmetric_eigen(self.h.as_ref())?;
        self.norm = eigen.values.iter().fold(self.norm, |a, v| a.max(v.abs()));
        let order = order(self.options.which, &eigen.values);
        // The part of X outside the old X is the direction of this step; QR makes it orthogonal to the new X.
        let joined = Mat::from_fn(m, 2 * width, |i, j| {
            let pair = eigen.vectors[(i, order[j % width])];
            if j >= width && i < width { 0.0 } else { pair }
        });
        let turned = thin_qr(joined.as_ref())?.q;
        let turned = Mat::from_fn(m, turned.ncols(), |i, j| {
            if j < width {
                joined[(i, j)]
            } else {
                turned[(i, j)]
            }
        });
        rotate(&mut self.basis[..m * n], turned.as_ref(), n);
        rotate(&mut self.images[..m * n], turned.as_ref(), n);
        let mut half = Mat::zeros(m, turned.ncols());
        product(self.h.as_ref(), turned.as_ref(), half.as_mut());
        let mut h = Mat::zeros(turned.ncols(), turned.ncols());
        product(turned.transpose(), half.as_ref(), h.as_mut());
        self.h = h;
        self.directions = turned.ncols() - width;
        let values: Vec<f64> = order[..width].iter().map(|j| eigen.values[*j]).collect();
        let before = std::mem::replace(&mut self.values, values);
        self.residuals = (0..width)
            .map(|j| {
                let at = j * n..(j + 1) * n;
                residual(&self.basis[at.clone()], &self.images[at], self.values[j])
            })
            .collect();
        Ok(self.is_settled(&before))
    }

    fn is_settled(&self, before: &[f64]) -> bool {
        let (count, target) = (self.options.count, self.options.target::<T>(self.norm));
        let wanted = &self.values[..count];
        let edge = Edge::new(self.options.which, wanted);
        let mut moves = before.iter().zip(wanted).map(|(a, b)| (a - b).abs());
        before.len() == self.width
            && moves.all(|m| m <= target)
            && self.residuals[..count].iter().all(|r| *r <= target)
            && (count..self.width)
                .all(|j| !edge.is_passed_by(self.values[j], self.residuals[j], target))
    }

    /// The preconditioned residuals that have not converged join the basis; random vectors, where nothing is left of them.
    fn extend(&mut self) -> Result<()> {
        let (n, m) = (self.n, self.width + self.directions);
        let floor = 0.05 * self.options.target::<T>(self.norm);
        let mut k = 0;
        for j in (0..self.width).filter(|j| self.residuals[*j] > floor) {
            let at = j * n..(j + 1) * n;
            let (images, rest) = self.images.split_at_mut((m + k) * n);
            let r = &mut rest[..n];
            r.copy_from_slice(&images[at.clone()]);
            axpy(-self.values[j], &self.basis[at], r);
            scale(norm2(r).recip(), r);
            k += 1;
        }
        let range = m * n..(m + k) * n;
        match self.preconditioner {
            None => self.basis[range.clone()].copy_from_slice(&self.images[range]),
            Some(p) => p.apply(
                MatRef::from_column_major_slice(&self.images[range.clone()], n, k),
                MatMut::from_column_major_slice_mut(&mut self.basis[range], n, k),
            )?,
        }
        let (before, rest) = self.basis.split_at_mut(m * n);
        let largest = rest[..k * n].chunks_exact(n).map(norm2).fold(0.0, f64::max);
        let floor = 100.0 * T::EPSILON * largest;
        let width = split(before, rest, k, floor, 1, &mut self.draws, n)?.width;
        self.multiply(m, width)
    }

    /// Measures the wanted pairs with a product of their own. X alone remains, with these images.
    fn measure(&mut self) -> Result<Measured> {
        let (n, count) = (self.n, self.options.count);
        // Rotations add up their rounding.
        split(&[], &mut self.basis, count, 0.0, count, &mut self.draws, n)?;
        let range = 0..count * n;
        let images = &mut self.images[range.clone()];
        (self.unit).apply(self.op, &self.basis[range.clone()], images, n)?;
        self.products += count;
        let width = self.width;
        self.h = overlaps(&self.basis[..width * n], &self.images[..width * n], n)?;
        self.directions = 0;
        Measured::new(&self.basis[range.clone()], &self.images[range], n)
    }

    fn progress(&self) -> Progress {
        let (count, unit) = (self.options.count, self.unit);
        let target = self.options.target::<T>(self.norm);
        let residuals = &self.residuals[..count];
        Progress {
            products: self.products,
            values: (self.values[..count].iter())
                .map(|v| unit.value(*v))
                .collect(),
            residuals: residuals.iter().map(|r| unit.value(*r)).collect(),
            converged: residuals.iter().filter(|r| **r <= target).count(),
            norm: unit.value(self.norm),
        }
    }
}
