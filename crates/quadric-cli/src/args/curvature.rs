//! Arguments of `quadric curvature`.

use super::shapes::ShapeArgs;
use super::{ExampleArgs, NamedArgs, Precision};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct CurvatureArgs {
    /// ONNX files, or linear models that `quadric fit` wrote, which are compared if there are several; or one network of the library,
    /// whose weights --weights gives: mlp, autoencoder, lenet, resnet20 (or another depth), lstm or encoder; or glm: a linear
    /// model with the weights of --weights, else at zero.
    #[arg(required = true, value_name = "MODEL")]
    pub(crate) models: Vec<String>,
    /// Safetensors files of weights for the one MODEL (of glm: model files): each is analysed, such as the checkpoints of a
    /// training.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) weights: Vec<PathBuf>,
    /// The axes of the weights are in PyTorch's order.
    #[arg(long, requires = "weights")]
    pub(crate) torch: bool,
    #[command(flatten)]
    pub(crate) named: NamedArgs,
    #[command(flatten, next_help_heading = "Data")]
    pub(crate) data: ExampleArgs,
    /// Take so many examples, drawn by the seed. Default: all.
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub(crate) examples: Option<usize>,
    /// Of a network cross-entropy (the default), squared, mean-squared or bernoulli. Of a linear model as for `quadric fit`;
    /// default: that of the model file, else from the target.
    #[arg(long, value_name = "LOSS", help_heading = "Model")]
    pub(crate) loss: Option<String>,
    /// Where the huber losses turn linear.
    #[arg(long, value_name = "DELTA", help_heading = "Model")]
    pub(crate) delta: Option<f64>,
    /// Penalty l2/2 |w|² of a linear model. Default: that of the model file, else 0.
    #[arg(long, value_name = "L2", help_heading = "Model")]
    pub(crate) l2: Option<f64>,
    /// A linear model without an intercept. Model files know whether they have one.
    #[arg(long, help_heading = "Model")]
    pub(crate) no_intercept: bool,
    /// The matrices, separated by commas: hessian, ggn (Gauss-Newton), fisher, sampled-fisher (of targets that the model draws),
    /// empirical-fisher (of the targets of the data), covariance (of the gradients of examples; with the noise scales). Default:
    /// hessian,ggn; of linear models, where both are the same, hessian.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        help_heading = "Analysis"
    )]
    pub(crate) matrix: Vec<CurvatureMatrix>,
    /// Targets that sampled-fisher draws for each example.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Analysis")]
    pub(crate) draws: usize,
    /// Largest eigenvalues of each matrix.
    #[arg(long, value_name = "K", default_value_t = 5, help_heading = "Analysis")]
    pub(crate) top: usize,
    /// Smallest eigenvalues of the Hessian.
    #[arg(long, value_name = "K", default_value_t = 5, help_heading = "Analysis")]
    pub(crate) bottom: usize,
    /// Residual of a converged eigenpair, as a share of the norm of the matrix.
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 1e-3,
        help_heading = "Analysis"
    )]
    pub(crate) tolerance: f64,
    /// Half the length of the 95 % interval of the trace, as a share of the trace; 0 leaves out traces, also of layers.
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 1e-2,
        help_heading = "Analysis"
    )]
    pub(crate) trace: f64,
    /// Products that a trace may take before it is reported as it is.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 400,
        help_heading = "Analysis"
    )]
    pub(crate) trace_products: usize,
    /// Random starts of the spectral density; 0 leaves it out.
    #[arg(long, value_name = "N", default_value_t = 8, help_heading = "Analysis")]
    pub(crate) density: usize,
    /// Lanczos steps of the density.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 60,
        help_heading = "Analysis"
    )]
    pub(crate) steps: usize,
    /// Look for the largest eigenvalue of each layer, too.
    #[arg(long, help_heading = "Analysis")]
    pub(crate) layers: bool,
    /// Radius of the loss landscape along the top eigenvectors, in units of their length 1; 0 leaves it out.
    #[arg(
        long,
        value_name = "LENGTH",
        default_value_t = 0.5,
        help_heading = "Analysis"
    )]
    pub(crate) radius: f64,
    /// Damping δ of the effective dimension, the trace of A (A + δ I)⁻¹, of the condition of A + δ I, and of shapes. Default: a
    /// hundredth of the largest eigenvalue.
    #[arg(long, value_name = "DELTA", help_heading = "Analysis")]
    pub(crate) damping: Option<f64>,
    #[command(flatten, next_help_heading = "Granularity")]
    pub(crate) shape: ShapeArgs,
    /// Precision. Default: f32 for networks, f64 for linear models.
    #[arg(long, value_enum, help_heading = "Resources")]
    pub(crate) dtype: Option<Precision>,
    /// Megabytes (2²⁰ bytes) that programs of the network may take; batches shrink until they fit. A shape may take as much.
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 2048,
        help_heading = "Resources"
    )]
    pub(crate) memory: usize,
    /// What random vectors depend on.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        help_heading = "Resources"
    )]
    pub(crate) seed: u64,
    /// Write a page with all numbers and pictures.
    #[arg(long, short, value_name = "FILE", help_heading = "Files")]
    pub(crate) output: Option<PathBuf>,
    /// Replace a file that exists.
    #[arg(long, help_heading = "Files")]
    pub(crate) force: bool,
    /// Save the state of the analysis in this file, and go on from it if it is there. It is removed at the end.
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Seconds between two checkpoints.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30.0,
        help_heading = "Files"
    )]
    pub(crate) checkpoint_every: f64,
}

/// A matrix of a model.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CurvatureMatrix {
    Hessian,
    Ggn,
    Fisher,
    SampledFisher,
    EmpiricalFisher,
    Covariance,
}
