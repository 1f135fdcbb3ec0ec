//! Arguments of `quadric reproduce`.

use clap::{Args, Subcommand};
use serde::Serialize;
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
/// pixels; the Hessian of the loss is measured along the training, with the running statistics. As in the paper: batches of 128, momentum
/// 0.9, weight decay 5e-4. Unlike there, each network takes the best of several rates: deep ones without batch normalisation do not
/// train at those that suit the others.
#[derive(Args)]
pub(crate) struct PyhessianArgs {
    /// Passes through the examples; the rate falls to a tenth after 4/9 and again after 6/9 of them.
    #[arg(long, value_name = "N", default_value_t = 18)]
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
    /// Rates of the first epochs, separated by commas. The first training of each network is run at each of them; the one with
    /// the least training loss in the last epoch is measured, and the other trainings of this network take its rate.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "0.1,0.03,0.01"
    )]
    pub(crate) rates: Vec<f64>,
    /// Initial weights of convolutions without batch normalisation.
    #[arg(long, value_enum, default_value_t = Start::Scaled)]
    pub(crate) start: Start,
    /// Train on so many of the examples. Default: all.
    #[arg(long, value_name = "N")]
    pub(crate) examples: Option<usize>,
    /// The Hessian is that of the mean loss over so many of them.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) hessian_examples: usize,
    /// Write a page with the course of the first training of each network.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace a file that exists.
    #[arg(long)]
    pub(crate) force: bool,
    /// Save each training that is finished in this file, and go on from it if it is there. It is removed at the end.
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
}

/// Initial weights of convolutions without batch normalisation.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Start {
    /// Those of the same network with it, each convolution divided by the size of its results there: signals begin equally large.
    Scaled,
    /// Those of the same network with it, as they are: with shortcuts signals grow with depth, without them they vanish.
    He,
}
