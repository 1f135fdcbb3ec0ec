//! Curvature matrices over a data set, applied to blocks of vectors.

use super::{Job, Supervised};
use faer::{MatMut, MatRef};
use quadric_autodiff::{Data, Executable, Program, Tensor};
use quadric_core::Problem;
use quadric_linalg::{Error, LinearOperator, Properties, Result, Scalar};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Which matrix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Matrix {
    /// Second derivatives.
    Hessian,
    /// `Σ J_nᵀ Λ_n J_n / Σ w_n`, for the Jacobian J of the outputs and the second derivatives Λ of the losses by the outputs
    /// (Schraudolph 2002). For cross-entropy and squared losses it is the Fisher matrix of the network's own distribution.
    GaussNewton,
}

impl Matrix {
    /// The products of the matrix of a batch, not divided by weights, with vectors: rows of the last input and of the output.
    pub(super) fn program<T: Scalar>(
        self,
        problem: &Supervised<T>,
        examples: usize,
        vectors: usize,
    ) -> Result<Program> {
        let one = Program::trace(|t| {
            let s = problem.sums(t, examples);
            let v = t.direction("direction", [problem.dim()]);
            match self {
                Self::Hessian => {
                    let gradient = t.grad(s.value, &[s.parameters])[0];
                    vec![along(gradient, s.parameters, v)]
                }
                Self::GaussNewton => {
                    let moved = along(s.output, s.parameters, v);
                    let slope = t.grad(s.value, &[s.output])[0];
                    let curved = along(slope, s.output, moved);
                    t.vjp(&[s.output], &[s.parameters], &[curved])
                }
            }
        })?;
        one.batch(&["direction"], vectors)
    }
}

/// The derivative of a value by another one along a vector.
fn along<'t>(value: Tensor<'t>, by: Tensor<'t>, vector: Tensor<'t>) -> Tensor<'t> {
    value.tracer().jvp(&[value], &[by], &[vector])[0]
}

/// A matrix at a point.
pub(super) struct Curvature<'p, T> {
    problem: &'p Supervised<T>,
    x: Vec<T>,
    matrix: Matrix,
    weight: f64,
    kept: Mutex<Kept<T>>,
}

/// Programs that have been prepared at the point, by the first example of their batch and the number of vectors.
struct Kept<T> {
    programs: HashMap<(usize, usize), Executable<T>>,
    bytes: usize,
}

impl<'p, T: Scalar> Curvature<'p, T> {
    pub(super) fn new(problem: &'p Supervised<T>, x: &[T], matrix: Matrix) -> Result<Self> {
        Ok(Self {
            problem,
            x: x.to_vec(),
            matrix,
            weight: problem.weight()?,
            kept: Mutex::new(Kept {
                programs: HashMap::new(),
                bytes: 0,
            }),
        })
    }

    /// The product of the matrix of one batch.
    fn product(&self, batch: std::ops::Range<usize>, vectors: &[T], out: &mut [T]) -> Result<()> {
        let k = vectors.len() / self.x.len();
        let (key, n) = ((batch.start, k), batch.len());
        let job = Job::Product(self.matrix, k);
        let point = self.problem.point(&self.x, batch);
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept().programs.remove(&key);
        let is_known = known.is_some();
        let mut executable = match known {
            Some(executable) => executable,
            None => self.problem.take(job, n)?,
        };
        let mut prepared = match is_known {
            true => executable.prepared(&point)?,
            false => executable.prepare(&point)?,
        };
        prepared.apply(&[Data::Float(vectors)], &mut [out])?;
        let mut kept = kept();
        let bytes = executable.memory();
        if is_known {
            kept.programs.insert(key, executable);
        } else if kept.bytes + bytes <= self.problem.memory {
            kept.bytes += bytes;
            kept.programs.insert(key, executable);
        } else {
            drop(kept);
            self.problem.give_back(job, n, executable);
        }
        Ok(())
    }
}

impl<T: Scalar> LinearOperator<T> for Curvature<'_, T> {
    fn shape(&self) -> (usize, usize) {
        (self.x.len(), self.x.len())
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        let (d, k) = (self.x.len(), x.ncols());
        if (x.nrows(), y.nrows(), y.ncols()) != (d, d, k) {
            let found = (x.nrows(), k, y.nrows(), y.ncols());
            return Err(Error::shape("the blocks", found, (d, k, d, k)));
        }
        let mut vectors = vec![T::of(0.0); d * k];
        for (j, v) in vectors.chunks_exact_mut(d.max(1)).enumerate() {
            v.iter_mut().enumerate().for_each(|(i, v)| *v = x[(i, j)]);
        }
        let (mut sums, mut out) = (vec![0.0; d * k], vec![T::of(0.0); d * k]);
        if k > 0 {
            for batch in self.problem.batches() {
                self.product(batch, &vectors, &mut out)?;
                sums.iter_mut()
                    .zip(&out)
                    .for_each(|(s, v)| *s += v.to_f64());
            }
        }
        for (j, s) in sums.chunks_exact(d.max(1)).enumerate() {
            for (i, s) in s.iter().enumerate() {
                y[(i, j)] = T::of(s / self.weight);
            }
        }
        Ok(())
    }

    fn properties(&self) -> Properties {
        // All losses here are convex in the outputs.
        Properties {
            symmetric: true,
            psd: self.matrix == Matrix::GaussNewton,
            random: false,
        }
    }
}
