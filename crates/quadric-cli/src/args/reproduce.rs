//! Arguments of `quadric reproduce`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct ReproduceArgs {
    #[command(subcommand)]
    pub(crate) system: Option<System>,
}

/// A system, by its paper.
#[derive(Subcommand)]
pub(crate) enum System {
    /// Batch normalisation, residual connections and the Hessian (Yao et al., arXiv 1912.07145).
    Pyhessian(PyhessianArgs),
}

/// Small residual networks with and without batch normalisation and residual connections are trained on the digits of 8 x 8
/// pixels; the Hessian of the loss is measured along the training, with the running statistics.
#[derive(Args)]
pub(crate) struct PyhessianArgs {
    /// Passes through the examples; the rate falls to a tenth after 4/9 and again after 6/9 of them.
    #[arg(long, value_name = "N", default_value_t = 9)]
    pub(crate) epochs: usize,
    /// Trainings of each network, which differ in initial values and in the order of the examples.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) seeds: u64,
    /// Depths of the networks, 6 n + 2 each, separated by commas.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "8,14,20"
    )]
    pub(crate) depths: Vec<usize>,
    /// Channels of the first stage.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) width: usize,
    /// The rate of the first epochs.
    #[arg(long, value_name = "RATE", default_value_t = 0.02)]
    pub(crate) rate: f64,
    /// Train on so many of the examples. Default: all.
    #[arg(long, value_name = "N")]
    pub(crate) examples: Option<usize>,
    /// The Hessian is that of the mean loss over so many of them.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) hessian_examples: usize,
    /// Write a page with the course of the first training of each network.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace a file that exists.
    #[arg(long)]
    pub(crate) force: bool,
}
