//! What the curvature of a model is: eigenvalues, traces, densities and factors of its Hessian, Gauss-Newton, Fisher and
//! covariance matrices.

mod blocks;
mod decomposed;
mod dense_blocks;
mod diagonals;
mod evidence;
mod factored;
mod factors;
mod gather;
mod generalisation;
mod gram;
mod in_double;
mod influence;
mod inverse;
mod landscape;
mod laplace;
mod layer_sums;
mod noise;
mod place;
mod refine;
mod repeats;
mod shapes;
mod spectrum;
mod traces;
mod watched;
mod written;

pub use blocks::{Block, DiagonalBlock, blocks};
pub use decomposed::Decomposed;
pub use dense_blocks::DenseBlocks;
pub use diagonals::{ModelDiagonal, model_diagonal};
pub use evidence::{Evidence, Likelihood};
pub use factored::{Factored, FactoredEigen};
pub use factors::{Factors, Layer, Sharing, Split};
pub use generalisation::{Generalisation, effective_dimension, generalisation};
pub use gram::gram;
pub use influence::{influence, mean_damping, self_influence};
pub use inverse::{Inverse, Solver};
pub use landscape::{Line, Plane, line, plane, scaled_direction, steps};
pub use laplace::{Laplace, probit_sigmoid, probit_softmax};
pub use layer_sums::fisher_diagonal;
pub use noise::{Noise, alignment, gradient_noise};
pub use place::Place;
pub use repeats::check_repeats;
pub use shapes::{Absence, Shape, ShapeNumbers, ShapeOptions, ShapeReport, Shapes, shapes};
pub use spectrum::{
    At, BlockSpectrum, Eigenvalue, Phase, Saved, Spectrum, SpectrumOptions, SpectrumWatch, Trace,
    spectrum,
};
pub use traces::{ExampleSum, ModelTrace, ModelTraceOptions, model_trace};
pub use watched::{Watch, Watched};
