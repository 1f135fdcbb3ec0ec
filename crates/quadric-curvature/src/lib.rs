//! What the curvature of a model is: eigenvalues, traces, densities and factors of its Hessian, Gauss-Newton, Fisher and
//! covariance matrices.

mod landscape;
mod layers;
mod noise;
mod repeats;
mod spectrum;
mod watched;

pub use landscape::{Line, Plane, line, plane, scaled_direction, steps};
pub use layers::{DiagonalBlock, Layer, layers};
pub use noise::{Noise, alignment, gradient_noise};
pub use repeats::check_repeats;
pub use spectrum::{
    At, Eigenvalue, LayerSpectrum, Phase, Saved, Spectrum, SpectrumOptions, SpectrumWatch, Trace,
    spectrum,
};
pub use watched::{Watch, Watched};
