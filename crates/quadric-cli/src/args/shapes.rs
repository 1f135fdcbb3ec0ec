//! Arguments of `quadric curvature` about the granularity of matrices.

use clap::Args;
use clap::builder::PossibleValuesParser;
use quadric::curvature::Shape;
use std::path::PathBuf;

#[derive(Args, Clone, PartialEq, Debug)]
pub(crate) struct ShapeArgs {
    /// Compare each matrix with shapes of it, separated by commas: full, layers (a block for each layer), kronecker (a pair of factors
    /// for each, of Gauss-Newton and Fisher matrices), ekfac (these with corrected eigenvalues), units (a block for each output of a
    /// layer), diagonal, low-rank; or all. Of each the page and the text of a single model have what it takes in numbers and gradients,
    /// trace, largest eigenvalue, log-determinant, error in the Frobenius norm, and the cosine of its damped natural gradient with
    /// the true one. Shapes that need more than --memory or --shape-products are named and left out.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = shape_names())]
    pub(crate) shapes: Vec<String>,
    /// Eigenpairs of the shape low-rank.
    #[arg(long, value_name = "K", default_value_t = 16)]
    pub(crate) rank: usize,
    /// Random vectors that the errors of shapes are estimated from. Up to 2,000 parameters, errors are exact.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) shape_probes: usize,
    /// Products with the matrix, or gradients, that a shape may take, and as many for the true natural gradient.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub(crate) shape_products: usize,
    /// Find the diagonal of each matrix; the page and the text have its quantiles in each layer. Those of the Hessian of networks with
    /// more than 2,000 parameters are estimated.
    #[arg(long)]
    pub(crate) diagonal: bool,
    /// Products for a diagonal that is estimated.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) diagonal_products: usize,
    /// Find the diagonals and write them as an NPY array (parameters, 2): entries, and half the lengths of their 95 % intervals, 0 where
    /// they are exact. Parameters are in the order of `quadric model inspect`, the last axis of each the fastest. Of several matrices each
    /// has a file with its name before the ending, as in FILE.ggn.npy; of several models with the name of the model, too.
    #[arg(long, value_name = "FILE")]
    pub(crate) save_diagonal: Option<PathBuf>,
}

/// The names that shapes are chosen by.
fn shape_names() -> PossibleValuesParser {
    let names = Shape::ALL.map(Shape::name);
    names
        .into_iter()
        .chain([ALL_SHAPES])
        .collect::<Vec<_>>()
        .into()
}

/// All shapes.
const ALL_SHAPES: &str = "all";

impl ShapeArgs {
    /// The shapes that are asked for, each once, from the finest.
    pub(crate) fn chosen(&self) -> Vec<Shape> {
        let has = |name: &str| self.shapes.iter().any(|n| n == name);
        let all = Shape::ALL.into_iter();
        all.filter(|s| has(s.name()) || has(ALL_SHAPES)).collect()
    }
}
