//! Block Lanczos with thick restarts.
//!
//! Wu, Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems", SIAM J. Matrix Anal. Appl. 22 (2000),
//! with blocks: `A V = V T + P C + E`, where V is orthonormal, T = VᵀAV, and the block P, orthonormal and orthogonal to V, is
//! what the next product multiplies. A restart keeps Ritz vectors, `V <- V S`, `C <- C S`, and the same P. Only V and P are
//! stored. A Ritz pair `T s = θ s` has the residual `‖C s‖`, plus what E adds.
//!
//! Deviations: all overlaps VᵀAP are computed, not only those that are not 0 in exact arithmetic, which is what allows a start
//! of any vectors. E is 0 until a search for further copies begins: it locks pairs whose residuals, `drift`, are then no
//! longer part of P. The last product multiplies the wanted Ritz vectors; if their residuals are not what the estimates said,
//! the search goes on from them, and nothing was lost.

use super::basis::{Draws, Split, Unit, columns, load, rotate, split};
use super::select::{Edge, crowded, order};
use super::{EigenOptions, Eigenpairs, Measured, Progress, not_symmetric};
use crate::dense::symmetric_eigen;
use crate::random::SeedTree;
use crate::vector::norm2;
use crate::{Error, LinearOperator, Result, Scalar};
use faer::{Mat, MatRef};

/// What a search is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Looking for the wanted pairs.
    Pairs,
    /// Looking for further copies, for at least that many more products with blocks.
    Copies(usize),
    /// V holds the wanted Ritz vectors, measured.
    Done,
}

/// A search for eigenpairs between two products: it goes on by [`Search::step`], and can be saved.
pub struct Search<T> {
    pub(super) options: EigenOptions,
    pub(super) n: usize,
    /// Vectors that were given.
    pub(super) start: usize,
    /// V, then P; room for `room` and `widest` columns.
    pub(super) v: Vec<T>,
    /// Images of P.
    pub(super) w: Vec<T>,
    pub(super) room: usize,
    pub(super) widest: usize,
    /// Columns of V and of P.
    pub(super) cols: usize,
    pub(super) pending: usize,
    /// T, in units of the operator.
    pub(super) h: Mat<f64>,
    /// C (pending, cols).
    pub(super) coupling: Mat<f64>,
    /// Norms of the columns of E.
    pub(super) drift: Vec<f64>,
    pub(super) draws: Draws,
    pub(super) unit: Unit,
    pub(super) products: usize,
    /// Products with blocks since the search began, or began anew.
    pub(super) steps: usize,
    /// Steps in a row in which no wanted value moved by more than the tolerance.
    pub(super) calm: usize,
    pub(super) stage: Stage,
    /// Ends of the search that did not bear out their estimates.
    pub(super) refuted: usize,
    pub(super) complete: bool,
    /// Largest absolute Ritz value so far.
    pub(super) norm: f64,
    /// Wanted Ritz values and residuals, in the order of desire, after the last step.
    pub(super) values: Vec<f64>,
    pub(super) residuals: Vec<f64>,
    /// Values that the search for copies began with.
    pub(super) found: Vec<f64>,
}

/// All Ritz pairs of the basis.
struct Ritz {
    values: Vec<f64>,
    vectors: Mat<f64>,
    residuals: Vec<f64>,
}

impl<T: Scalar> Search<T> {
    /// A search that begins with the columns of `start` (n, any number), filled up with random vectors.
    ///
    /// # Errors
    /// As [`super::eigenpairs`]; an operator so small for the options that it should be written down; a start of another
    /// length or with entries that are not finite.
    pub fn new(
        op: &dyn LinearOperator<T>,
        options: &EigenOptions,
        start: Option<MatRef<'_, T>>,
        seed: SeedTree,
    ) -> Result<Self> {
        let n = options.check(op)?;
        let given = start.as_ref().map_or(0, MatRef::ncols);
        options.check_start(given)?;
        let mut search = Self::empty(n, options, given, seed)?;
        search.begin(start)?;
        Ok(search)
    }

    /// A search without vectors, with room for `start` of them.
    pub(super) fn empty(
        n: usize,
        options: &EigenOptions,
        start: usize,
        seed: SeedTree,
    ) -> Result<Self> {
        let (width, room, widest) = (options.width(), options.room(start), options.widest(start));
        if options.is_small(n, start) {
            return Err(Error::argument(
                "operator",
                format!("of order {n}"),
                &format!(
                    "a larger order than {}, or the method Dense",
                    room + 2 * widest
                ),
            ));
        }
        let count = options.count;
        options.check_products((count / width + 1) * width + start + count)?;
        Ok(Self {
            options: *options,
            n,
            start,
            v: columns(n, room + widest)?,
            w: columns(n, widest)?,
            room,
            widest,
            cols: 0,
            pending: 0,
            h: Mat::zeros(room, room),
            coupling: Mat::zeros(0, 0),
            drift: Vec::new(),
            draws: Draws::new(seed),
            unit: Unit::default(),
            products: 0,
            steps: 0,
            calm: 0,
            stage: Stage::Pairs,
            refuted: 0,
            complete: false,
            norm: 0.0,
            values: Vec::new(),
            residuals: Vec::new(),
            found: Vec::new(),
        })
    }

    /// Makes the first block.
    fn begin(&mut self, start: Option<MatRef<'_, T>>) -> Result<()> {
        let (n, draws) = (self.n, &mut self.draws);
        let given = load(start, &mut self.v, draws, n)?;
        // Vectors that were given may miss what random ones show.
        let (given, rest) = self.v.split_at_mut(given * n);
        let random = split(given, rest, 0, 0.0, self.options.width(), draws, n)?.width;
        self.pending = given.len() / n + random;
        Ok(())
    }

    /// One product with a block, after a restart where the basis is full; one more with the wanted vectors where the search
    /// seems to be over. True when it is: the pairs are found, or products ran out.
    ///
    /// # Errors
    /// Products that are not finite or not symmetric, and those of the operator.
    pub fn step(&mut self, op: &dyn LinearOperator<T>) -> Result<bool> {
        if op.shape() != (self.n, self.n) {
            return Err(Error::shape("the operator", op.shape(), (self.n, self.n)));
        }
        if self.stage == Stage::Done || !self.can_afford(self.pending) {
            return Ok(true);
        }
        if self.cols + self.pending > self.room {
            let ritz = self.ritz()?;
            self.restart(&ritz);
        }
        self.multiply(op)?;
        self.absorb()?;
        self.steps += 1;
        if let Stage::Copies(left) = self.stage {
            self.stage = Stage::Copies(left.saturating_sub(1));
        }
        let ritz = self.ritz()?;
        if self.assess(&ritz) {
            self.measure(op, &ritz)?;
            self.judge()?;
        }
        Ok(self.stage == Stage::Done)
    }

    /// Where the search is.
    pub fn progress(&self) -> Progress {
        Progress {
            products: self.products,
            values: self.values.iter().map(|v| self.unit.value(*v)).collect(),
            residuals: (self.residuals.iter())
                .map(|r| self.unit.value(*r))
                .collect(),
            converged: (self.residuals.iter())
                .filter(|r| **r <= self.target())
                .count(),
            norm: self.unit.value(self.norm),
        }
    }

    /// The pairs, with the residuals of a last product if the search was not over.
    ///
    /// # Errors
    /// A search with too few steps to have as many pairs; otherwise as [`Search::step`].
    pub fn finish(mut self, op: &dyn LinearOperator<T>) -> Result<Eigenpairs<T>> {
        let count = self.options.count;
        if self.stage != Stage::Done {
            let ritz = self.ritz()?;
            if ritz.values.len() < count {
                return Err(Error::argument(
                    "steps",
                    self.steps,
                    "enough for as many vectors as pairs",
                ));
            }
            self.measure(op, &ritz)?;
        }
        let measured = Measured {
            values: self.values,
            residuals: self.residuals,
        };
        let vectors = &self.v[..count * self.n];
        Ok(Eigenpairs {
            complete: self.complete,
            products: self.products,
            ..measured.pairs(&self.options, vectors, self.norm, self.unit)
        })
    }

    /// True if there are products left for a block and the last measurement.
    fn can_afford(&self, block: usize) -> bool {
        self.products + block + self.options.count <= self.options.max_products
    }

    fn target(&self) -> f64 {
        self.options.target::<T>(self.norm)
    }

    /// Images of the pending block.
    fn multiply(&mut self, op: &dyn LinearOperator<T>) -> Result<()> {
        let (n, k) = (self.n, self.pending);
        let block = &self.v[self.cols * n..(self.cols + k) * n];
        self.unit.apply(op, block, &mut self.w[..k * n], n)?;
        self.products += k;
        Ok(())
    }

    /// The pending block joins the basis; what its images have beyond the basis is the next block.
    fn absorb(&mut self) -> Result<()> {
        let (n, old, k) = (self.n, self.cols, self.pending);
        let m = old + k;
        let size = (self.w[..k * n].chunks_exact(n).map(norm2)).fold(self.norm, f64::max);
        // What is far below the target need not be followed; it is noted as drift.
        let noise = (n as f64).sqrt().max(10.0) * T::EPSILON * size;
        let floor = noise.max(0.05 * self.options.tolerance * self.norm);
        let least = self.options.width();
        let Split {
            along,
            beyond,
            dropped,
            width,
        } = split(
            &self.v[..m * n],
            &mut self.w,
            k,
            floor,
            least,
            &mut self.draws,
            n,
        )?;
        let slack = (1e3 * T::EPSILON.sqrt()).min(0.05) * size + self.drift.iter().sum::<f64>();
        for j in 0..k {
            for i in 0..m {
                let mirrored = if i < old {
                    self.coupling[(j, i)]
                } else {
                    along[(old + j, i - old)]
                };
                if (along[(i, j)] - mirrored).abs() > slack {
                    return Err(not_symmetric());
                }
                let entry = if i < old {
                    along[(i, j)]
                } else {
                    0.5 * (along[(i, j)] + mirrored)
                };
                (self.h[(i, old + j)], self.h[(old + j, i)]) = (entry, entry);
            }
        }
        self.coupling = Mat::from_fn(
            width,
            m,
            |i, j| {
                if j < old { 0.0 } else { beyond[(i, j - old)] }
            },
        );
        self.drift.extend_from_slice(&dropped);
        self.v[m * n..(m + width) * n].copy_from_slice(&self.w[..width * n]);
        (self.cols, self.pending) = (m, width);
        Ok(())
    }

    fn ritz(&self) -> Result<Ritz> {
        let m = self.cols;
        let eigen = symmetric_eigen(self.h.as_ref().submatrix(0, 0, m, m))?;
        let beyond = &self.coupling * &eigen.vectors;
        let residuals = (0..m).map(|j| {
            let along = self.drift.iter().enumerate();
            let drifted = along.map(|(i, e)| (e * eigen.vectors[(i, j)]).powi(2));
            norm2(beyond.col_as_slice(j)).hypot(drifted.sum::<f64>().sqrt())
        });
        Ok(Ritz {
            residuals: residuals.collect(),
            values: eigen.values,
            vectors: eigen.vectors,
        })
    }

    /// Notes the wanted Ritz values; true if they can be trusted to be what is wanted.
    fn assess(&mut self, ritz: &Ritz) -> bool {
        let (which, count) = (self.options.which, self.options.count);
        let order = order(which, &ritz.values);
        let have = order.len().min(count);
        let at = |list: &[f64]| order[..have].iter().map(|j| list[*j]).collect::<Vec<_>>();
        let (values, residuals) = (at(&ritz.values), at(&ritz.residuals));
        self.norm = ritz.values.iter().fold(self.norm, |m, v| m.max(v.abs()));
        let target = self.target();
        let before = std::mem::replace(&mut self.values, values);
        self.residuals = residuals;
        let locked = self.stage != Stage::Pairs;
        let allowed = if locked { 2.0 * target } else { target };
        let mut moves = before.iter().zip(&self.values).map(|(a, b)| (a - b).abs());
        let still = before.len() == count && moves.all(|m| m <= target);
        self.calm = if still { self.calm + 1 } else { 0 };
        // A value that has not emerged from a random start looks like a small one that stays.
        let settled = self.calm > usize::from(self.options.verify);
        let near = &order[have..order.len().min(count + 2 * self.options.width())];
        let edge = Edge::new(which, &self.values);
        let clear = near
            .iter()
            .all(|j| !edge.is_passed_by(ritz.values[*j], ritz.residuals[*j], target));
        let waiting = matches!(self.stage, Stage::Copies(left) if left > 0);
        settled
            && clear
            && !waiting
            && order.len() > count
            && self.residuals.iter().all(|r| *r <= allowed)
    }

    /// Makes the wanted Ritz vectors the basis, with the residuals of a product.
    fn measure(&mut self, op: &dyn LinearOperator<T>, ritz: &Ritz) -> Result<()> {
        let (n, count) = (self.n, self.options.count);
        let order = order(self.options.which, &ritz.values);
        let m = self.cols;
        let wanted = Mat::from_fn(m, count, |i, j| ritz.vectors[(i, order[j])]);
        rotate(&mut self.v[..n * m], wanted.as_ref(), n);
        // In the products of the basis with itself rounding adds up; one more orthonormalisation takes it away.
        let parts = split(&[], &mut self.v, count, 0.0, count, &mut self.draws, n)?;
        debug_assert_eq!(parts.width, count);
        (self.cols, self.pending) = (0, count);
        self.coupling = Mat::zeros(count, 0);
        self.drift.clear();
        self.multiply(op)?;
        let size = n * count;
        let Measured { values, residuals } = Measured::new(&self.v[..size], &self.w[..size], n)?;
        (self.values, self.residuals) = (values, residuals);
        Ok(())
    }

    /// After [`Search::measure`]: the search is over, goes on, or looks for copies.
    fn judge(&mut self) -> Result<()> {
        let target = self.target();
        let worst = self.residuals.iter().fold(0.0, |m: f64, r| m.max(*r));
        if worst > target && self.refuted < 3 && self.can_afford(self.widest) {
            self.refuted += 1;
            self.found.clear();
            self.stage = Stage::Pairs;
            return self.absorb();
        }
        let slack = (2.0 * target).max(100.0 * T::EPSILON * self.norm);
        let edge = Edge::new(self.options.which, &self.values);
        let width = self.options.width();
        let crowded = width == 1 || crowded(edge, &self.values, width, slack);
        let mut moves = self.found.iter().zip(&self.values);
        let same = !self.found.is_empty() && moves.all(|(a, b)| (a - b).abs() <= slack);
        self.complete = !crowded || same;
        let ends = self.complete || !self.options.verify;
        if ends || !self.can_afford(width) {
            self.stage = Stage::Done;
            return Ok(());
        }
        self.look_for_copies()
    }

    /// Locks the measured pairs and begins anew with random vectors orthogonal to them.
    fn look_for_copies(&mut self) -> Result<()> {
        let (n, count) = (self.n, self.options.count);
        self.stage = Stage::Copies(self.steps);
        (self.steps, self.calm) = (0, 0);
        self.found.clone_from(&self.values);
        self.drift.clone_from(&self.residuals);
        for j in 0..count {
            (0..count).for_each(|i| self.h[(i, j)] = 0.0);
            self.h[(j, j)] = self.values[j];
        }
        let (least, draws) = (self.options.width(), &mut self.draws);
        let (locked, rest) = self.v.split_at_mut(count * n);
        let width = split(locked, rest, 0, 0.0, least, draws, n)?.width;
        (self.cols, self.pending) = (count, width);
        self.coupling = Mat::zeros(width, count);
        Ok(())
    }

    /// Keeps the Ritz vectors nearest to the wanted ones, and the pending block.
    fn restart(&mut self, ritz: &Ritz) {
        let (n, m, count) = (self.n, self.cols, self.options.count);
        let keep = (count + (self.room - count) / 3)
            .min(self.room - self.pending)
            .min(m);
        let order = order(self.options.which, &ritz.values);
        let kept = Mat::from_fn(m, keep, |i, j| ritz.vectors[(i, order[j])]);
        rotate(&mut self.v[..n * m], kept.as_ref(), n);
        (self.v).copy_within(m * n..(m + self.pending) * n, keep * n);
        self.coupling = &self.coupling * &kept;
        let drift = (0..keep).map(|j| {
            let along = self.drift.iter().enumerate();
            let squares = along.map(|(i, e)| (e * kept[(i, j)]).powi(2));
            squares.sum::<f64>().sqrt()
        });
        self.drift = drift.collect();
        self.h.fill(0.0);
        for (j, pair) in order[..keep].iter().enumerate() {
            self.h[(j, j)] = ritz.values[*pair];
        }
        self.cols = keep;
    }
}
