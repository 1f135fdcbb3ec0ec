//! What the curvature of a model is: eigenvalues, traces, densities and factors of its Hessian, Gauss-Newton, Fisher and
//! covariance matrices.

mod blocks;
mod factors;
mod gather;
mod landscape;
mod noise;
mod place;
mod repeats;
mod spectral;
mod spectrum;
mod watched;

pub use blocks::{Block, DiagonalBlock, blocks};
pub use factors::{Factors, Layer, Sharing, Split};
pub use landscape::{Line, Plane, line, plane, scaled_direction, steps};
pub use noise::{Noise, alignment, gradient_noise};
pub use place::Place;
pub use repeats::check_repeats;
pub use spectral::{Factored, Spectral};
pub use spectrum::{
    At, BlockSpectrum, Eigenvalue, Phase, Saved, Spectrum, SpectrumOptions, SpectrumWatch, Trace,
    spectrum,
};
pub use watched::{Watch, Watched};
