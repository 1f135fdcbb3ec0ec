//! Matrices with dense blocks on the diagonal: one for everything, for each layer, or for each unit of a layer.

use crate::blocks::Block;
use crate::decomposed::{Decomposed, mapped};
use crate::factored::apply_blocks;
use crate::layer_sums::{LayerSums, layer_sums};
use crate::written::{doubled, symmetric_order, written, zeros};
use faer::{Mat, MatMut, MatRef};
use quadric_core::{Matrix, Model};
use quadric_linalg::algebra::LowRank;
use quadric_linalg::dense::symmetric_eigen;
use quadric_linalg::{BoxOp, Cost, Error, LinearOperator, Properties, Result, Scalar, check_apply};
use std::sync::Arc;

/// Vectors of a product.
const BLOCK: usize = 32;

/// A symmetric matrix (d, d) with dense blocks that share no coordinate, each by its eigenvectors and eigenvalues, and a multiple of
/// the identity for coordinates of no block.
///
/// ```
/// use quadric_curvature::{Decomposed, DenseBlocks};
/// use quadric_linalg::algebra::Diagonal;
///
/// let matrix = DenseBlocks::full(&Diagonal(vec![1.0, 3.0]))?;
/// assert!((matrix.log_det(1.0)? - 8f64.ln()).abs() < 1e-14);
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct DenseBlocks {
    blocks: Vec<(Arc<[usize]>, LowRank<f64>)>,
    dim: usize,
    rest: f64,
}

impl DenseBlocks {
    /// A symmetric operator (d, d), all of it; d products and about 10 d³ operations.
    ///
    /// # Errors
    /// An operator that is not known to be symmetric, no memory, entries that are not finite, and those of the operator.
    pub fn full<T: Scalar>(op: &dyn LinearOperator<T>) -> Result<Self> {
        let d = symmetric_order(op)?;
        let matrix = doubled("the matrix", written(op)?.as_ref())?;
        Self::new(vec![((0..d).collect(), matrix)], d)
    }

    /// The diagonal blocks of a symmetric operator (d, d) that belong to some coordinates, such as the [`blocks`](crate::blocks) of
    /// a layout; a product for each coordinate. 0 for all others.
    ///
    /// # Errors
    /// As [`full`](Self::full), and blocks that overlap or end beyond d.
    pub fn layers<T: Scalar>(op: &dyn LinearOperator<T>, layers: &[Block]) -> Result<Self> {
        let d = symmetric_order(op)?;
        let mut sorted: Vec<&Block> = layers.iter().collect();
        sorted.sort_by_key(|b| b.range.start);
        let mut end = 0;
        for block in sorted {
            if block.range.start < end || block.range.end > d || block.range.is_empty() {
                let found = format!("{:?} of `{}`", block.range, block.name);
                let expected = format!("ranges within 0..{d} that do not overlap");
                return Err(Error::argument("layers", found, &expected));
            }
            end = block.range.end;
        }
        let own = layers.iter().map(|layer| {
            let at: Vec<usize> = layer.range.clone().collect();
            let block = diagonal_block(op, &at);
            let block = block.map_err(|e| e.context(format!("`{}`", layer.name)))?;
            Ok((at.into(), block))
        });
        Self::new(own.collect::<Result<_>>()?, d)
    }

    /// The diagonal blocks that belong to lists of coordinates, none of which is in two of them.
    pub(crate) fn of_coordinates<T: Scalar>(
        op: &dyn LinearOperator<T>,
        lists: Vec<Vec<usize>>,
    ) -> Result<Self> {
        let d = symmetric_order(op)?;
        let own = lists.into_iter().map(|at| {
            let block = diagonal_block(op, &at)?;
            Ok((at.into(), block))
        });
        Self::new(own.collect::<Result<_>>()?, d)
    }

    /// A Fisher matrix between the weights of one unit of a layer: for each output a block (inputs + 1, inputs + 1), the bias last,
    /// or without bias (inputs, inputs), exact. 0 for parameters of no layer.
    ///
    /// # Errors
    /// A matrix that is no Fisher matrix, those of the model, no memory, entries that are not finite, and a layer whose weights are
    /// used in several places.
    pub fn units<T: Scalar>(model: &dyn Model<T>, x: &[T], matrix: Matrix) -> Result<Self> {
        let LayerSums { layers, scale } = layer_sums(
            model,
            x,
            matrix,
            |place| {
                let (p, q) = place.shape();
                (0..p).map(|_| zeros(q, q)).collect::<Result<Vec<_>>>()
            },
            |gradients, sums| gradients.add_units(sums),
        )?;
        let mut units = Vec::new();
        for layer in layers {
            layer.check(model)?;
            let at: Vec<usize> = layer.place.positions().collect();
            let q = layer.place.shape().1;
            for (mine, sum) in at.chunks(q).zip(layer.sums) {
                units.push((mine.into(), Mat::from_fn(q, q, |i, j| scale * sum[(i, j)])));
            }
        }
        Self::new(units, model.layout().len())
    }

    fn new(blocks: Vec<(Arc<[usize]>, Mat<f64>)>, dim: usize) -> Result<Self> {
        let blocks = blocks.into_iter().map(|(at, matrix)| {
            let eigen = symmetric_eigen(matrix.as_ref())?;
            Ok((at, LowRank::new(eigen.vectors, eigen.values, 0.0)?))
        });
        Ok(Self {
            blocks: blocks.collect::<Result<_>>()?,
            dim,
            rest: 0.0,
        })
    }

    /// The coordinates of each block.
    pub fn coordinates(&self) -> impl Iterator<Item = &[usize]> {
        self.blocks.iter().map(|(at, _)| &**at)
    }
}

/// The rows and columns of some coordinates.
fn diagonal_block<T: Scalar>(op: &dyn LinearOperator<T>, at: &[usize]) -> Result<Mat<f64>> {
    let d = op.shape().0;
    let mut block = zeros::<T>(at.len(), at.len())?;
    for (first, some) in (0..).step_by(BLOCK).zip(at.chunks(BLOCK)) {
        let (mut units, mut images) = (zeros::<T>(d, some.len())?, zeros::<T>(d, some.len())?);
        for (j, &coordinate) in some.iter().enumerate() {
            units[(coordinate, j)] = T::of(1.0);
        }
        op.apply(units.as_ref(), images.as_mut())?;
        for j in 0..some.len() {
            for (i, &from) in at.iter().enumerate() {
                block[(i, first + j)] = images[(from, j)];
            }
        }
    }
    doubled("the matrix", block.as_ref())
}

impl Decomposed for DenseBlocks {
    fn eigenvalues(&self) -> Vec<f64> {
        let own = self.blocks.iter().flat_map(|(_, b)| b.values());
        let mut all: Vec<f64> = own.copied().collect();
        all.resize(self.dim, self.rest);
        all
    }

    fn function(&self, f: &dyn Fn(f64) -> f64) -> Result<BoxOp<'static, f64>> {
        let blocks = self.blocks.iter().map(|(at, block)| {
            let values = mapped(block.values(), f)?;
            Ok((Arc::clone(at), block.reweighted(values, 0.0)?))
        });
        let covered: usize = self.blocks.iter().map(|b| b.0.len()).sum();
        // A function need not be defined where nothing has the value.
        let rest = match covered < self.dim {
            true => mapped(&[self.rest], f)?[0],
            false => 0.0,
        };
        Ok(Box::new(Self {
            blocks: blocks.collect::<Result<_>>()?,
            dim: self.dim,
            rest,
        }))
    }
}

impl LinearOperator<f64> for DenseBlocks {
    fn shape(&self) -> (usize, usize) {
        (self.dim, self.dim)
    }

    fn apply(&self, x: MatRef<'_, f64>, y: MatMut<'_, f64>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let blocks = self.blocks.iter();
        let blocks = blocks.map(|(at, b)| (at.iter().copied(), b as &dyn LinearOperator<f64>));
        apply_blocks(blocks, self.rest, x, y)
    }

    fn properties(&self) -> Properties {
        Properties {
            symmetric: true,
            psd: self.eigenvalues().iter().all(|v| *v >= 0.0),
            random: false,
        }
    }

    fn cost(&self) -> Cost {
        let blocks = self
            .blocks
            .iter()
            .map(|(_, b)| LinearOperator::cost(b).product);
        let product = blocks.sum::<f64>() + self.dim as f64;
        Cost {
            product,
            dense: product * self.dim as f64,
        }
    }
}
