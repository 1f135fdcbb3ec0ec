//! Commands about networks.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct NetworkArgs {
    #[command(subcommand)]
    pub(crate) command: ModelCommand,
}

#[derive(Subcommand)]
pub(crate) enum ModelCommand {
    /// Show inputs, outputs, parameters and the number of operations.
    Inspect(ModelFileArgs),
    /// Compute the outputs for an array of examples.
    Run(ModelRunArgs),
    /// Measure loss and accuracy, and compare Hessian products with differences of gradients.
    Check(ModelCheckArgs),
    /// Write a network with its weights as an ONNX file.
    Export(ModelExportArgs),
}

#[derive(Args)]
pub(crate) struct ModelFileArgs {
    /// ONNX file, of opset 11 or later.
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) reading: ModelReadArgs,
}

/// How an ONNX file is read.
#[derive(Args)]
pub(crate) struct ModelReadArgs {
    /// Length of a symbolic axis that is not that of the examples.
    #[arg(long, value_name = "NAME=SIZE")]
    pub(crate) dim: Vec<String>,
    /// Read tensors from other files in the directory of the model.
    #[arg(long)]
    pub(crate) external_data: bool,
}

#[derive(Args)]
pub(crate) struct ModelRunArgs {
    #[command(flatten)]
    pub(crate) file: ModelFileArgs,
    /// NPY file of an input, once for each input: in their order, or all as NAME=FILE.
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) data: Vec<String>,
    /// NPY file for the output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Which output, from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) index: usize,
    /// Examples in memory at a time.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) batch: usize,
    /// Replace a file that exists.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args)]
pub(crate) struct ModelCheckArgs {
    #[command(flatten)]
    pub(crate) file: ModelFileArgs,
    /// NPY file of an input, once for each input: in their order, or all as NAME=FILE.
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) data: Vec<String>,
    /// NPY file of the targets: labels for cross-entropy, numbers for the other losses.
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: PathBuf,
    /// cross-entropy, squared, mean-squared or bernoulli.
    #[arg(long, value_name = "LOSS", default_value = "cross-entropy")]
    pub(crate) loss: String,
    /// Precision.
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    pub(crate) dtype: Precision,
    /// Examples in memory at a time.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) batch: usize,
}

/// Which network a name means.
#[derive(Args)]
pub(crate) struct NamedArgs {
    #[command(flatten)]
    pub(crate) reading: ModelReadArgs,
    /// Sizes of mlp and autoencoder: layers from the input on; of lstm: steps, features, hidden, classes; of encoder: steps, features,
    /// width, layers, heads, classes.
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    pub(crate) sizes: Vec<usize>,
    /// Activation of an mlp.
    #[arg(long, value_name = "NAME", default_value = "relu")]
    pub(crate) activation: String,
}

#[derive(Args)]
pub(crate) struct ModelExportArgs {
    /// ONNX file, or a network of the library: mlp, autoencoder, lenet, resnet20 (or another depth), lstm or encoder.
    pub(crate) network: String,
    #[command(flatten)]
    pub(crate) named: NamedArgs,
    /// Safetensors file of the weights. Without one they are those of the file, or drawn by the seed.
    #[arg(long, value_name = "FILE")]
    pub(crate) weights: Option<PathBuf>,
    /// The axes of the weights are in PyTorch's order.
    #[arg(long, requires = "weights")]
    pub(crate) torch: bool,
    /// Seed of the weights that are drawn.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Precision.
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    pub(crate) dtype: Precision,
    /// Where the network goes.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Replace a file that exists.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Single or double precision.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
pub(crate) enum Precision {
    F32,
    F64,
}

#[derive(Args)]
pub(crate) struct CurvatureArgs {
    /// ONNX files, which are compared if there are several; or one network of the library, whose weights --weights gives: mlp,
    /// autoencoder, lenet, resnet20 (or another depth), lstm or encoder.
    #[arg(required = true, value_name = "MODEL")]
    pub(crate) models: Vec<String>,
    /// Safetensors files of weights for the one MODEL: each is analysed, such as the checkpoints of a training.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) weights: Vec<PathBuf>,
    /// The axes of the weights are in PyTorch's order.
    #[arg(long, requires = "weights")]
    pub(crate) torch: bool,
    #[command(flatten)]
    pub(crate) named: NamedArgs,
    /// NPY file of an input, once for each input: in their order, or all as NAME=FILE.
    #[arg(long, value_name = "FILE", required = true, help_heading = "Data")]
    pub(crate) data: Vec<String>,
    /// NPY file of the targets: labels for cross-entropy, numbers for the other losses.
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    pub(crate) labels: PathBuf,
    /// cross-entropy, squared, mean-squared or bernoulli.
    #[arg(
        long,
        value_name = "LOSS",
        default_value = "cross-entropy",
        help_heading = "Data"
    )]
    pub(crate) loss: String,
    /// Take so many examples, drawn by the seed. Default: all.
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub(crate) examples: Option<usize>,
    /// The matrices, separated by commas: hessian, ggn (Gauss-Newton), fisher, covariance (of the gradients of examples).
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "hessian,ggn",
        help_heading = "Analysis"
    )]
    pub(crate) matrix: Vec<CurvatureMatrix>,
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
    /// Damping δ of the effective dimension, the trace of A (A + δ I)⁻¹. Default: a hundredth of the largest eigenvalue.
    #[arg(long, value_name = "DELTA", help_heading = "Analysis")]
    pub(crate) damping: Option<f64>,
    /// Precision.
    #[arg(long, value_enum, default_value_t = Precision::F32, help_heading = "Resources")]
    pub(crate) dtype: Precision,
    /// Examples in memory at a time.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 256,
        help_heading = "Resources"
    )]
    pub(crate) batch: usize,
    /// Megabytes (2²⁰ bytes) that programs of the network may take; batches shrink until they fit.
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

/// A matrix of a network.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CurvatureMatrix {
    Hessian,
    Ggn,
    Fisher,
    Covariance,
}
