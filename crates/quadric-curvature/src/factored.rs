//! Matrices with a block for each layer, and functions of them.

use crate::place::Place;
use faer::{Mat, MatMut, MatRef};
use quadric_linalg::algebra::KroneckerEigen;
use quadric_linalg::random::Stream;
use quadric_linalg::{
    BoxOp, Cost, Error, LinearOperator, Properties, Result, Scalar, apply_vector, check_apply,
};

/// A block for each of some layers, and a multiple of the identity for all other parameters.
pub struct Factored<T> {
    blocks: Vec<(Place, BoxOp<'static, T>)>,
    dim: usize,
    rest: f64,
}

impl<T: Scalar> Factored<T> {
    pub(crate) fn new(blocks: Vec<(Place, BoxOp<'static, T>)>, dim: usize, rest: f64) -> Self {
        Self { blocks, dim, rest }
    }

    /// The blocks, each on the entries of its layer's matrix row after row.
    pub fn blocks(&self) -> &[(Place, BoxOp<'static, T>)] {
        &self.blocks
    }
}

/// `Y <- rest X`, but in the coordinates of each block its product with theirs.
pub(crate) fn apply_blocks<'a, T: Scalar, P: Iterator<Item = usize> + Clone>(
    blocks: impl Iterator<Item = (P, &'a (dyn LinearOperator<T> + 'a))>,
    rest: f64,
    x: MatRef<'_, T>,
    mut y: MatMut<'_, T>,
) -> Result<()> {
    let k = x.ncols();
    for j in 0..k {
        for i in 0..x.nrows() {
            y[(i, j)] = T::of(rest * x[(i, j)].to_f64());
        }
    }
    for (positions, block) in blocks {
        let n = block.shape().0;
        let (mut own, mut product) = (Mat::zeros(n, k), Mat::zeros(n, k));
        for (at, from) in positions.clone().enumerate() {
            (0..k).for_each(|j| own[(at, j)] = x[(from, j)]);
        }
        block.apply(own.as_ref(), product.as_mut())?;
        for (at, to) in positions.enumerate() {
            (0..k).for_each(|j| y[(to, j)] = product[(at, j)]);
        }
    }
    Ok(())
}

impl<T: Scalar> LinearOperator<T> for Factored<T> {
    fn shape(&self) -> (usize, usize) {
        (self.dim, self.dim)
    }

    fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let blocks = self.blocks.iter();
        apply_blocks(blocks.map(|(p, b)| (p.positions(), &**b)), self.rest, x, y)
    }

    fn properties(&self) -> Properties {
        Properties {
            symmetric: true,
            psd: self.rest >= 0.0 && self.blocks.iter().all(|b| b.1.properties().psd),
            random: false,
        }
    }

    fn cost(&self) -> Cost {
        let product: f64 = self.blocks.iter().map(|b| b.1.cost().product).sum();
        let product = product + self.dim as f64;
        Cost {
            product,
            dense: product * self.dim as f64,
        }
    }
}

/// A symmetric matrix by its eigenvectors and eigenvalues, in a block for each of some layers; 0 for all other parameters.
#[derive(Clone, Debug)]
pub struct FactoredEigen {
    blocks: Vec<(Place, KroneckerEigen<f64>)>,
    dim: usize,
}

/// Refuses a damping that divides by nothing.
pub(crate) fn check_damping(damping: f64) -> Result<()> {
    match damping.is_finite() && damping > 0.0 {
        true => Ok(()),
        false => Err(Error::argument("damping", damping, "a positive number")),
    }
}

impl FactoredEigen {
    pub(crate) fn new(blocks: Vec<(Place, KroneckerEigen<f64>)>, dim: usize) -> Self {
        Self { blocks, dim }
    }

    /// The blocks, each on the entries of its layer's matrix row after row.
    pub fn blocks(&self) -> &[(Place, KroneckerEigen<f64>)] {
        &self.blocks
    }

    /// The order of the matrix.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// A function of the matrix: that of all eigenvalues, `f(0)` for parameters of no layer.
    ///
    /// # Errors
    /// A value that is not finite, such as the inverse of 0.
    pub fn map<T: Scalar>(&self, f: impl Fn(f64) -> f64) -> Result<Factored<T>> {
        let blocks = self.blocks.iter().map(|(p, b)| Ok((p.clone(), b.map(&f)?)));
        let mapped = Self::new(blocks.collect::<Result<_>>()?, self.dim);
        mapped.operator_with(f(0.0))
    }

    /// The inverse of the matrix plus a damping.
    ///
    /// # Errors
    /// A damping that is not positive and finite.
    pub fn inverse<T: Scalar>(&self, damping: f64) -> Result<Factored<T>> {
        check_damping(damping)?;
        self.map(|v| 1.0 / (v + damping))
    }

    /// The sum of a function of all eigenvalues, with `f(0)` for each parameter of no layer: the trace for the identity, and
    /// `log det (M + δ I)` for `|v| (v + δ).ln()`.
    ///
    /// # Errors
    /// A sum that is not finite.
    pub fn sum(&self, f: impl Fn(f64) -> f64) -> Result<f64> {
        let (mut sum, mut rest) = (0.0, self.dim);
        for (_, block) in &self.blocks {
            sum += block.sum(&f)?;
            rest -= block.shape().0;
        }
        if rest > 0 {
            let each = f(0.0);
            if !each.is_finite() {
                return Err(Error::non_finite("the function", 0, each));
            }
            sum += rest as f64 * each;
        }
        Ok(sum)
    }

    /// A normal vector whose covariance is a function of the matrix, such as `|v| 1.0 / (v + δ)`.
    ///
    /// # Errors
    /// A function with a value that is negative or not finite.
    pub fn sample(&self, covariance: impl Fn(f64) -> f64, stream: &mut Stream) -> Result<Vec<f64>> {
        let root = self.map::<f64>(|v| covariance(v).sqrt())?;
        let noise: Vec<f64> = (0..self.dim).map(|_| stream.normal()).collect();
        let mut out = vec![0.0; self.dim];
        apply_vector(&root, &noise, &mut out)?;
        Ok(out)
    }

    /// The operator, with `rest` times the identity for parameters of no layer.
    pub(crate) fn operator_with<T: Scalar>(&self, rest: f64) -> Result<Factored<T>> {
        if !rest.is_finite() {
            return Err(Error::non_finite("the function", 0, rest));
        }
        let blocks = self.blocks.iter().map(|(place, block)| {
            let (v, u) = block.vectors();
            let cast =
                |m: MatRef<'_, f64>| Mat::from_fn(m.nrows(), m.ncols(), |i, j| T::of(m[(i, j)]));
            let block = KroneckerEigen::new(cast(v), cast(u), block.values().to_owned())?;
            Ok((place.clone(), Box::new(block) as BoxOp<'static, T>))
        });
        Ok(Factored::new(
            blocks.collect::<Result<_>>()?,
            self.dim,
            rest,
        ))
    }
}
