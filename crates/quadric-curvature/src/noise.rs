//! How noisy gradients are, and where they point.

use crate::watched::{Watch, Watched};
use faer::prelude::ReborrowMut;
use faer::{Mat, MatMut, MatRef};
use quadric_core::random::SeedTree;
use quadric_core::{Error, LinearOperator, Matrix, Model, Properties, Result, Scalar, vector};
use quadric_linalg::check_apply;
use quadric_linalg::estimate::{Estimate, TraceOptions, trace};

/// How noisy the gradient of one random example is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Noise {
    /// The trace of the covariance C of the gradients of the examples.
    pub trace: Estimate,
    /// `tr C / |g|²`: about the batch whose mean gradient has as much noise as signal (McCandlish et al., "An empirical model of
    /// large-batch training", arXiv 1812.06162). `None` where the gradient g is zero.
    pub simple_scale: Option<Estimate>,
    /// `tr HC / gᵀHg`, the same where the Hessian H is taken into account; `None` where `gᵀHg` is not positive.
    pub scale: Option<Estimate>,
    /// Floating-point operations of all products.
    pub work: f64,
}

/// Products with `(HC + CH)/2` at most; fewer parameters make its trace exact.
const PRODUCTS: usize = 60;

/// The noise of the gradient g of a model at a point, to about five per cent. The trace of the covariance is estimated, too, if
/// it is not known. `watch` is called after every product.
///
/// # Errors
/// Those of an evaluation, a model whose examples depend on each other, and a watch that breaks off.
pub fn gradient_noise<T: Scalar>(
    model: &dyn Model<T>,
    x: &[T],
    gradient: &[T],
    known: Option<Estimate>,
    seed: u64,
    watch: &Watch<'_>,
) -> Result<Noise> {
    let seeds = SeedTree::new(seed).child("gradient noise");
    let options = TraceOptions {
        target: 0.05,
        max_products: PRODUCTS,
        ..TraceOptions::default()
    };
    let (covariance, hessian) = (
        model.matrix(x, Matrix::Covariance)?,
        model.matrix(x, Matrix::Hessian)?,
    );
    let c = Watched::new(&*covariance, watch);
    let h = Watched::new(&*hessian, watch);
    let total = match known {
        Some(total) => total,
        None => trace(&c, &options, seeds)?.total,
    };
    let squared = vector::dot(gradient, gradient);
    let mut hg = Mat::<T>::zeros(x.len(), 1);
    let g = MatRef::from_column_major_slice(gradient, x.len(), 1);
    h.apply(g, hg.as_mut())?;
    let pairs = gradient.iter().zip(hg.col(0).iter());
    let along: f64 = pairs.map(|(a, b)| a.to_f64() * b.to_f64()).sum();
    let scale = match along > 0.0 {
        true => {
            let both = Both { h: &h, c: &c };
            let of_product = trace(&both, &options, seeds.child("product"))?.total;
            Some(divided(of_product, along))
        }
        false => None,
    };
    Ok(Noise {
        trace: total,
        simple_scale: (squared > 0.0).then(|| divided(total, squared)),
        scale,
        work: [&c, &h]
            .map(|op| op.products() as f64 * op.cost().product)
            .iter()
            .sum(),
    })
}

fn divided(e: Estimate, by: f64) -> Estimate {
    Estimate {
        value: e.value / by,
        low: e.low / by,
        high: e.high / by,
        ..e
    }
}

/// `(HC + CH)/2`, which is symmetric and has the trace of `HC`.
struct Both<'a, T: Scalar> {
    h: &'a Watched<'a, T>,
    c: &'a Watched<'a, T>,
}

impl<T: Scalar> LinearOperator<T> for Both<'_, T> {
    fn shape(&self) -> (usize, usize) {
        self.h.shape()
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let (n, k) = (x.nrows(), x.ncols());
        let (mut inner, mut other) = (Mat::<T>::zeros(n, k), Mat::<T>::zeros(n, k));
        self.c.apply(x, inner.as_mut())?;
        self.h.apply(inner.as_ref(), y.rb_mut())?;
        self.h.apply(x, inner.as_mut())?;
        self.c.apply(inner.as_ref(), other.as_mut())?;
        for j in 0..k {
            for i in 0..n {
                y[(i, j)] = T::of(0.5 * (y[(i, j)].to_f64() + other[(i, j)].to_f64()));
            }
        }
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties {
            symmetric: true,
            ..Properties::default()
        }
    }
}

/// The share of a gradient, by its squared length, that lies in the span of orthonormal vectors (d, k); 0 for no gradient.
///
/// # Errors
/// Vectors of another length.
pub fn alignment<T: Scalar>(gradient: &[T], vectors: MatRef<'_, T>) -> Result<f64> {
    let n = gradient.len();
    if vectors.nrows() != n {
        let found = (vectors.nrows(), vectors.ncols());
        return Err(Error::shape("the vectors", found, (n, vectors.ncols())));
    }
    let all = vector::dot(gradient, gradient);
    let inside = vectors.col_iter().map(|v| {
        let pairs = v.iter().zip(gradient);
        pairs
            .map(|(a, b)| a.to_f64() * b.to_f64())
            .sum::<f64>()
            .powi(2)
    });
    let inside: f64 = inside.sum();
    Ok(if all > 0.0 {
        (inside / all).min(1.0)
    } else {
        0.0
    })
}
