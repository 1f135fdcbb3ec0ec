//! Commands about networks.

use super::ReadArgs;
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
    /// NPY file for the output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Which output, from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) index: usize,
    /// Replace a file that exists.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten, next_help_heading = "Data")]
    pub(crate) examples: ExampleArgs,
}

#[derive(Args)]
pub(crate) struct ModelCheckArgs {
    #[command(flatten)]
    pub(crate) file: ModelFileArgs,
    /// cross-entropy, squared, mean-squared or bernoulli.
    #[arg(long, value_name = "LOSS", default_value = "cross-entropy")]
    pub(crate) loss: String,
    /// Precision.
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    pub(crate) dtype: Precision,
    #[command(flatten, next_help_heading = "Data")]
    pub(crate) examples: ExampleArgs,
}

/// The examples of a network or a linear model.
#[derive(Args)]
pub(crate) struct ExampleArgs {
    /// File of the examples, in any format that `quadric fit` reads, or the name of an embedded set; of a network with several
    /// inputs one for each: in their order, or all as NAME=FILE. NPY arrays may have any number of axes and be larger than the
    /// memory.
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) data: Vec<String>,
    /// Divide the real inputs of a network by this number, such as 255 for pixels.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) divide: Option<f64>,
    /// Examples of a network in memory at a time.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) batch: usize,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
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
