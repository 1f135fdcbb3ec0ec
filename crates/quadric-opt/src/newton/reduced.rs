//! A Hessian reduced once a point, so that many models of steps cost little.

use super::secular::{Minimiser, Spectrum};
use faer::Mat;
use quadric_core::{LinearOperator, Result, Scalar};
use quadric_linalg::dense::symmetric_eigen;
use quadric_linalg::krylov::KrylovSpace;

/// The Hessian at a point, reduced, with the eigenvectors of what it was reduced to.
pub(super) struct Reduced {
    pub spectrum: Spectrum,
    vectors: Mat<f64>,
    /// False if the vectors are coordinates in the Krylov space.
    is_whole: bool,
}

impl Reduced {
    /// From a dense Hessian.
    pub(super) fn whole<T: Scalar>(hessian: &dyn LinearOperator<T>, g: &[T]) -> Result<Self> {
        let n = g.len();
        let mut matrix = Mat::<T>::zeros(n, n);
        hessian.dense(matrix.as_mut())?;
        let matrix = Mat::from_fn(n, n, |i, j| matrix[(i, j)].to_f64());
        let eigen = symmetric_eigen(matrix.as_ref())?;
        let along = |j: usize| (0..n).map(|i| eigen.vectors[(i, j)] * g[i].to_f64()).sum();
        Ok(Self {
            spectrum: Spectrum {
                slopes: (0..n).map(along).collect(),
                values: eigen.values,
            },
            vectors: eigen.vectors,
            is_whole: true,
        })
    }

    /// From the tridiagonal matrix of a Krylov space that begins with a gradient of this norm.
    pub(super) fn tridiagonal<T: Scalar>(space: &KrylovSpace<T>, norm: f64) -> Result<Self> {
        let (diagonal, beside) = (space.diagonal(), space.beside());
        let k = space.dim();
        let matrix = Mat::from_fn(k, k, |i, j| match i.abs_diff(j) {
            0 => diagonal[i],
            1 => beside[i.min(j)],
            _ => 0.0,
        });
        let eigen = symmetric_eigen(matrix.as_ref())?;
        Ok(Self {
            spectrum: Spectrum {
                slopes: (0..k).map(|j| norm * eigen.vectors[(0, j)]).collect(),
                values: eigen.values,
            },
            vectors: eigen.vectors,
            is_whole: false,
        })
    }

    /// The coordinates of a step before the eigenvectors turned them.
    pub(super) fn turn_back(&self, y: &[f64]) -> Vec<f64> {
        let n = self.vectors.nrows();
        let mut out = vec![0.0; n];
        for (j, y) in y.iter().enumerate() {
            for (i, out) in out.iter_mut().enumerate() {
                *out += y * self.vectors[(i, j)];
            }
        }
        out
    }

    /// Writes a step into `d`; the space only matters where the Hessian was reduced to one.
    pub(super) fn write<T: Scalar>(
        &self,
        space: Option<&KrylovSpace<T>>,
        step: &Minimiser,
        d: &mut [T],
    ) {
        let y = self.turn_back(&step.y);
        match space.filter(|_| !self.is_whole) {
            Some(space) => space.vector(&y, d),
            None => d.iter_mut().zip(&y).for_each(|(d, y)| *d = T::of(*y)),
        }
    }
}
