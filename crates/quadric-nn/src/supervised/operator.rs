//! Linear maps over a data set, applied to blocks of vectors batch by batch.

use super::Supervised;
use super::loaded::Loaded;
use super::traced::{Job, Map, Side};
use faer::prelude::ReborrowMut;
use faer::{MatMut, MatRef};
use quadric_autodiff::{Data, Executable};
use quadric_core::Targets;
use quadric_linalg::{Cost, LinearOperator, Properties, Result, Scalar, check_apply};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Vectors that go through a network together at most.
const WIDTH: usize = 32;

/// A map at a point: a sum over examples, or one row or column for each.
pub(super) struct Mapped<'p, T: Scalar> {
    problem: &'p Supervised<T>,
    x: Vec<T>,
    forward: Map,
    /// Its adjoint; the same for symmetric matrices.
    adjoint: Map,
    /// What results are multiplied with.
    scale: f64,
    psd: bool,
    kept: Mutex<Kept<T>>,
}

/// Programs that have been prepared at the point, by the first example of their batch, and rooms for vectors.
struct Kept<T> {
    /// With the number of examples they are for.
    programs: HashMap<(Job, usize), (usize, Executable<T>)>,
    bytes: usize,
    rooms: Vec<Rooms<T>>,
}

/// What a product needs besides programs.
#[derive(Default)]
struct Rooms<T> {
    vectors: Vec<T>,
    results: Vec<T>,
    sums: Vec<f64>,
}

impl<'p, T: Scalar> Mapped<'p, T> {
    pub(super) fn new(
        problem: &'p Supervised<T>,
        x: &[T],
        maps: (Map, Map),
        scale: f64,
        psd: bool,
    ) -> Self {
        Self {
            problem,
            x: x.to_vec(),
            forward: maps.0,
            adjoint: maps.1,
            scale,
            psd,
            kept: Mutex::new(Kept {
                programs: HashMap::new(),
                bytes: 0,
                rooms: Vec::new(),
            }),
        }
    }

    /// Entries of a vector, for each example of a batch or once for all.
    fn entries(&self, side: Side) -> usize {
        match side {
            Side::Parameters => self.x.len(),
            Side::Examples => 1,
            Side::Outputs => self.problem.shared.outputs,
        }
    }

    fn length(&self, side: Side) -> usize {
        match side {
            Side::Parameters => self.x.len(),
            _ => self.entries(side) * self.problem.count(),
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The results of a job for one batch. A program that has been prepared for it stays, as far as the memory allows.
    fn run(
        &self,
        job: Job,
        start: usize,
        n: usize,
        batch: &Loaded<T>,
        rooms: &mut Rooms<T>,
    ) -> Result<()> {
        let problem = self.problem;
        let known = self.kept().programs.remove(&(job, start));
        let is_known = known.is_some();
        let mut executable = match known {
            Some((_, executable)) => executable,
            None => problem.take(job, n)?,
        };
        let keys = problem.keys(job, start, n);
        let point = problem.shared.point(&self.x, batch, &keys);
        let mut prepared = match is_known {
            true => executable.prepared(&point)?,
            false => executable.prepare(&point)?,
        };
        prepared.apply(&[Data::Float(&rooms.vectors)], &mut [&mut rooms.results])?;
        let mut kept = self.kept();
        let bytes = executable.memory();
        if is_known {
            kept.programs.insert((job, start), (n, executable));
        } else if kept.bytes + bytes <= problem.shared.memory {
            kept.bytes += bytes;
            kept.programs.insert((job, start), (n, executable));
        } else {
            drop(kept);
            problem.give_back(job, n, executable);
        }
        Ok(())
    }

    /// `Y <- A X` for a few columns.
    fn columns(&self, map: Map, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        let k = x.ncols();
        let job = Job::Map(map, k);
        let (from, to) = map.sides();
        let (inner, outer) = (self.entries(from), self.entries(to));
        let size = self.problem.examples_at_a_time(job)?;
        let mut rooms = self.kept().rooms.pop().unwrap_or_default();
        // A single batch is its own sum.
        let sums_up = to == Side::Parameters && size < self.problem.count();
        rooms.sums.clear();
        rooms.sums.resize(if sums_up { outer * k } else { 0 }, 0.0);
        if from == Side::Parameters {
            gather(x, &mut rooms.vectors);
        }
        self.problem.sweep(size, |start, n, batch| {
            if from != Side::Parameters {
                let rows = x.subrows(start * inner, n * inner);
                gather(rows, &mut rooms.vectors);
            }
            let each = match to {
                Side::Parameters => outer,
                _ => n * outer,
            };
            rooms.results.resize(each * k, T::of(0.0));
            self.run(job, start, n, batch, &mut rooms)?;
            if sums_up {
                let pairs = rooms.sums.iter_mut().zip(&rooms.results);
                pairs.for_each(|(s, r)| *s += r.to_f64());
                return Ok(());
            }
            let mut rows = match to {
                Side::Parameters => y.rb_mut(),
                _ => y.rb_mut().subrows_mut(start * outer, each),
            };
            for (j, result) in rooms.results.chunks_exact(each.max(1)).enumerate() {
                for (i, r) in result.iter().enumerate() {
                    rows[(i, j)] = T::of(r.to_f64() * self.scale);
                }
            }
            Ok(())
        })?;
        if sums_up {
            for (j, sums) in rooms.sums.chunks_exact(outer.max(1)).enumerate() {
                for (i, s) in sums.iter().enumerate() {
                    y[(i, j)] = T::of(s * self.scale);
                }
            }
        }
        self.kept().rooms.push(rooms);
        Ok(())
    }

    fn product(&self, map: Map, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        let (from, to) = map.sides();
        check_apply((self.length(to), self.length(from)), &x, &y)?;
        for start in (0..x.ncols()).step_by(WIDTH) {
            let k = WIDTH.min(x.ncols() - start);
            let y = y.rb_mut().subcols_mut(start, k);
            self.columns(map, x.subcols(start, k), y)?;
        }
        Ok(())
    }

    /// The gradients of all examples in the columns.
    fn gradients(&self, targets: Targets, mut out: MatMut<'_, T>) -> Result<()> {
        let (job, d) = (Job::Each(targets), self.x.len());
        let size = self.problem.examples_at_a_time(job)?;
        let mut results = Vec::new();
        self.problem.sweep(size, |start, n, batch| {
            results.resize(n * d, T::of(0.0));
            let mut executable = self.problem.take(job, n)?;
            let keys = self.problem.keys(job, start, n);
            let point = self.problem.shared.point(&self.x, batch, &keys);
            executable.run(&point, &mut [&mut results])?;
            self.problem.give_back(job, n, executable);
            for (j, gradient) in results.chunks_exact(d.max(1)).enumerate() {
                for (i, g) in gradient.iter().enumerate() {
                    out[(i, start + j)] = T::of(g.to_f64() * self.scale);
                }
            }
            Ok(())
        })
    }
}

/// Other operators need not compile the programs again.
impl<T: Scalar> Drop for Mapped<'_, T> {
    fn drop(&mut self) {
        let programs = std::mem::take(&mut self.kept().programs);
        for ((job, _), (n, executable)) in programs {
            self.problem.give_back(job, n, executable);
        }
    }
}

/// The columns of a block, one after the other.
fn gather<T: Scalar>(x: MatRef<'_, T>, into: &mut Vec<T>) {
    into.clear();
    for column in x.col_iter() {
        into.extend(column.iter().copied());
    }
}

impl<T: Scalar> LinearOperator<T> for Mapped<'_, T> {
    fn shape(&self) -> (usize, usize) {
        let (from, to) = self.forward.sides();
        (self.length(to), self.length(from))
    }

    fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()> {
        self.product(self.forward, x, y)
    }

    fn apply_adjoint(&self, y: MatRef<'_, T>, x: MatMut<'_, T>) -> Result<()> {
        self.product(self.adjoint, y, x)
    }

    fn properties(&self) -> Properties {
        Properties {
            symmetric: self.forward == self.adjoint,
            psd: self.psd,
            random: false,
        }
    }

    fn cost(&self) -> Cost {
        let (m, n) = self.shape();
        let of_one = self.problem.program(Job::Map(self.forward, 1), 1);
        let flops = of_one.map_or(2 * m as u64, |p| p.flops_along_directions());
        let product = flops as f64 * self.problem.count() as f64;
        Cost {
            product,
            dense: product * n as f64,
        }
    }

    fn dense(&self, out: MatMut<'_, T>) -> Result<()> {
        match self.forward {
            Map::Combine(targets) => {
                let (found, shape) = ((out.nrows(), out.ncols()), self.shape());
                if found != shape {
                    return Err(quadric_linalg::Error::shape(
                        "the dense matrix",
                        found,
                        shape,
                    ));
                }
                self.gradients(targets, out)
            }
            _ => quadric_linalg::dense_by_columns(self, out),
        }
    }
}

/// `A - g gᵀ`.
pub(super) struct Centred<'p, T: Scalar> {
    pub(super) uncentred: Mapped<'p, T>,
    pub(super) mean: Vec<T>,
}

impl<T: Scalar> LinearOperator<T> for Centred<'_, T> {
    fn shape(&self) -> (usize, usize) {
        self.uncentred.shape()
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        self.uncentred.apply(x, y.rb_mut())?;
        for (x, y) in x.col_iter().zip(y.col_iter_mut()) {
            let terms = x.iter().zip(&self.mean);
            let along: f64 = terms.map(|(x, m)| x.to_f64() * m.to_f64()).sum();
            for (y, m) in y.iter_mut().zip(&self.mean) {
                *y = T::of(along.mul_add(-m.to_f64(), y.to_f64()));
            }
        }
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties::PSD
    }

    fn cost(&self) -> Cost {
        self.uncentred.cost()
    }
}
