//! The command line: every option is a documented field, and the field names are the keys of `--config` files.

mod curvature;
mod networks;
mod reproduce;
mod shapes;

use clap::{Args, Parser, Subcommand};
pub(crate) use curvature::{CurvatureArgs, CurvatureMatrix};
pub(crate) use networks::{
    ExampleArgs, ModelCheckArgs, ModelCommand, ModelExportArgs, ModelFileArgs, ModelReadArgs,
    ModelRunArgs, NamedArgs, NetworkArgs, Precision,
};
pub(crate) use reproduce::{PyhessianArgs, ReproduceArgs, Start, System};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;

/// Optimization beyond first order: fit, compare and inspect with curvature.
#[derive(Parser)]
#[command(
    name = "quadric",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args, Clone)]
pub(crate) struct Global {
    /// Print exactly one JSON document on standard output, also on failure.
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// No progress and no remarks on standard error; errors still show.
    #[arg(long, short, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Threads to use; results do not depend on it. Default: all cores.
    #[arg(long, global = true, value_name = "N", env = "QUADRIC_THREADS")]
    pub(crate) threads: Option<usize>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Fit a generalised linear model to a table of data, to a certified optimum.
    Fit(Box<FitArgs>),
    /// Predict with a fitted model.
    Predict(PredictArgs),
    /// Minimise a classical test problem, or all of them with every method.
    Minimize(MinimizeArgs),
    /// Race first-order against second-order methods on one problem and write a report.
    Compare(CompareArgs),
    /// Inspect, convert, split or generate data files.
    Data(DataArgs),
    /// Inspect, run or check a network in an ONNX file.
    Model(NetworkArgs),
    /// Eigenvalues, traces and densities of the Hessian of a network or a linear model, and of matrices like it.
    Curvature(Box<CurvatureArgs>),
    /// Run the experiment of a paper again at laptop size, with what the paper claims beside what is measured.
    Reproduce(ReproduceArgs),
    /// Turn trace files into one HTML page.
    Report(ReportArgs),
    /// List the methods and their options.
    Methods(MethodsArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
}

/// How a data file is read.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ReadArgs {
    /// Target column, by name or number (from 1). Default: the column named y, target, label or class. Of CIFAR-100:
    /// fine (the default) or coarse.
    #[arg(long, value_name = "COLUMN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    /// Weights of the rows: a column, or a file with one number per row.
    #[arg(long, value_name = "COLUMN|FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sample_weight: Option<String>,
    /// Targets in a file of their own, such as those of NPY and IDX data. Default for IDX images: the file of
    /// labels beside them (train-images-idx3-ubyte: train-labels-idx1-ubyte).
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<PathBuf>,
    /// What to do with missing values: error, drop (the row), mean (of the column).
    #[arg(long, value_name = "POLICY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) missing: Option<String>,
    /// First feature number of svmlight files: auto, 0 or 1.
    #[arg(long, value_name = "BASE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index_base: Option<String>,
    /// Number of features of svmlight files, where the last ones never occur.
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) columns: Option<usize>,
    /// Add up repeated indices of svmlight rows instead of refusing them.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) sum_duplicates: bool,
    /// End shorter sequences of a `.ts` file with zeros instead of refusing the file.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) pad: bool,
    /// Thousands separator inside the numbers of a table, such as ','.
    #[arg(long, value_name = "CHAR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thousands: Option<char>,
    /// Columns of a table that hold categories although they look like numbers, separated by commas.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) categorical: Vec<String>,
    /// Whether the first line of a table holds names: true or false. Default: from the contents.
    #[arg(long, value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) header: Option<bool>,
    /// Format of the file: svmlight, csv, tsv, npy, npz, idx, cifar10, cifar100, ts. Default: from its name and contents.
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<String>,
}

/// What is minimised.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ModelArgs {
    /// Loss of one row: squared, logistic, softmax, poisson, huber, pseudo-huber; or one-vs-rest: a logistic model of each
    /// class against all others. Default: from the target (two values: logistic; text or few integers: softmax; else
    /// squared).
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) loss: Option<String>,
    /// Where the huber losses turn linear.
    #[arg(long, value_name = "DELTA")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delta: Option<f64>,
    /// Penalty l2/2 |w|² on the weights as they apply to the features of the file; the intercept is free. Default: 0.
    /// A list such as 1e-3,1e-2 or the word `path` lets rows that are held out choose.
    #[arg(long, value_name = "L2")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) l2: Option<L2>,
    /// Fit without an intercept.
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) no_intercept: bool,
}

/// One strength of the penalty, or several to choose from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum L2 {
    /// This one.
    One(f64),
    /// The best of these.
    Several(Vec<f64>),
    /// `path`: the best of a range that suits the data.
    Word(String),
}

impl FromStr for L2 {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "path" {
            return Ok(Self::Word("path".to_owned()));
        }
        let numbers: Result<Vec<f64>, _> = text.split(',').map(|v| v.trim().parse()).collect();
        match numbers.as_deref() {
            Ok([one]) => Ok(Self::One(*one)),
            Ok(several) => Ok(Self::Several(several.to_vec())),
            Err(_) => Err("expected a number, numbers separated by commas, or `path`".to_owned()),
        }
    }
}

/// How the penalty is judged.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SelectArgs {
    /// Judge the penalty by cross-validation with this many folds. Default: 5 where there are several to choose from.
    #[arg(long, value_name = "FOLDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cv: Option<usize>,
}

/// How it is minimised.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SolveArgs {
    /// Method; `quadric methods` lists them. Default: auto.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<String>,
    /// An option of the method, such as --set memory=20; repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) set: Vec<String>,
    /// Relative tolerance: the proven gap F(w) - F* is at most tol |F(w)|; where no gap can be proven, the gradient is at most
    /// tol times the first one. Default: 1e-10.
    #[arg(long, value_name = "TOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tol: Option<f64>,
    /// Limit on the steps.
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_iterations: Option<u64>,
    /// Limit on the values and gradients evaluated.
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_evaluations: Option<u64>,
    /// Limit on the wall-clock time of a run, in seconds; of all fits together where a command makes several.
    #[arg(long, value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time_limit: Option<f64>,
    /// Limit on the memory that a method may hold, in megabytes.
    #[arg(long, value_name = "MB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_limit: Option<usize>,
    /// Seed of all random streams. Default: 0.
    #[arg(long, value_name = "SEED")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    /// Arithmetic of data and unknowns: f64 or f32. Default: f64.
    #[arg(long, value_name = "TYPE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dtype: Option<String>,
}

#[derive(Args)]
pub(crate) struct FitArgs {
    /// Data file, or the name of an embedded set (`quadric data inspect --list`).
    pub(crate) data: String,
    #[command(flatten, next_help_heading = "Data")]
    pub(crate) read: ReadArgs,
    #[command(flatten, next_help_heading = "Model")]
    pub(crate) model: ModelArgs,
    #[command(flatten, next_help_heading = "Model")]
    pub(crate) select: SelectArgs,
    #[command(flatten, next_help_heading = "Method")]
    pub(crate) solve: SolveArgs,
    /// Take options from a TOML file; flags win.
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub(crate) config: Option<PathBuf>,
    /// Where the model goes. Default: DATA.model.safetensors here, which replaces an older model of that name.
    #[arg(long, short, value_name = "FILE", help_heading = "Files")]
    pub(crate) output: Option<PathBuf>,
    /// Replace files that exist.
    #[arg(long, help_heading = "Files")]
    pub(crate) force: bool,
    /// Write one line per step to this JSONL file.
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub(crate) trace: Option<PathBuf>,
    /// Save the state of the run in this file, from the beginning; the finished fits of a cross-validation, or of the
    /// classes one by one, beside it (FILE.fits).
    #[arg(long, value_name = "FILE", help_heading = "Files")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Seconds between two checkpoints; 0 saves after every step. Default: 10.
    #[arg(long, value_name = "SECONDS", help_heading = "Files")]
    pub(crate) checkpoint_every: Option<f64>,
    /// Go on from the state in this file (default: DATA.qckpt) if there is one, and keep saving there.
    #[arg(long, value_name = "FILE", num_args = 0..=1, help_heading = "Files")]
    pub(crate) resume: Option<Option<PathBuf>>,
    /// Check the input and print the resolved configuration, sizes and memory; fit nothing.
    #[arg(long, help_heading = "Output")]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct PredictArgs {
    /// The model file, then the data file (in either order).
    #[arg(num_args = 2, value_names = ["MODEL", "DATA"], required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten, next_help_heading = "Data")]
    pub(crate) read: ReadArgs,
    /// Write the predictions to this CSV file instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace files that exist.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args)]
pub(crate) struct MinimizeArgs {
    /// A test problem by name or number, or a collection (mgh, cutest, all): every problem with every method, or with
    /// those given.
    #[arg(required_unless_present = "list")]
    pub(crate) problem: Option<String>,
    /// List the problems.
    #[arg(long)]
    pub(crate) list: bool,
    /// Where to start, as numbers separated by commas. Default: the published start.
    #[arg(
        long,
        visible_alias = "x0",
        value_name = "X",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    pub(crate) start: Vec<f64>,
    /// Number of unknowns, where a problem has a choice. Default: the usual one.
    #[arg(long, value_name = "N")]
    pub(crate) size: Option<usize>,
    /// Methods that run over a collection, separated by commas. Default: all that apply.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) methods: Vec<String>,
    /// Write performance and data profiles of a collection to this HTML file; an older report there is replaced.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Method")]
    pub(crate) solve: SolveArgs,
}

#[derive(Args)]
pub(crate) struct CompareArgs {
    /// Data file, or the name of an embedded set.
    #[arg(default_value = "a9a")]
    pub(crate) data: String,
    #[command(flatten, next_help_heading = "Data")]
    pub(crate) read: ReadArgs,
    #[command(flatten, next_help_heading = "Model")]
    pub(crate) model: ModelArgs,
    /// Methods to race, separated by commas. Default: all that apply.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) methods: Vec<String>,
    /// Time limit of each method, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 6.0)]
    pub(crate) time_limit: f64,
    /// Seed of all random streams.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Where the report goes; an older report there is replaced.
    #[arg(long, short, value_name = "FILE", default_value = "report.html")]
    pub(crate) output: PathBuf,
}

#[derive(Args)]
pub(crate) struct DataArgs {
    #[command(subcommand)]
    pub(crate) command: DataCommand,
}

#[derive(Subcommand)]
pub(crate) enum DataCommand {
    /// Describe a data file: rows, columns, target, missing values, problems.
    Inspect(InspectArgs),
    /// Write a data file in another format (from the name of OUT: .svm, .csv, .npy; .gz compresses).
    Convert(ConvertArgs),
    /// Split a data file in two by rows.
    Split(SplitArgs),
    /// Generate data with a known difficulty.
    Synth(SynthArgs),
}

#[derive(Args)]
pub(crate) struct InspectArgs {
    /// Data file, or the name of an embedded set.
    #[arg(required_unless_present = "list")]
    pub(crate) data: Option<String>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// List the embedded sets.
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Args)]
pub(crate) struct ConvertArgs {
    /// Data file, or the name of an embedded set.
    pub(crate) data: String,
    /// The new file.
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// Replace a file that exists.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args)]
pub(crate) struct SplitArgs {
    /// Data file, or the name of an embedded set.
    pub(crate) data: String,
    /// File of the first part.
    pub(crate) train: PathBuf,
    /// File of the second part.
    pub(crate) test: PathBuf,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
    /// Share of the rows in the second part.
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    pub(crate) test_share: f64,
    /// Keep the shares of the classes in both parts.
    #[arg(long)]
    pub(crate) stratify: bool,
    /// Seed of the shuffle.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Replace files that exist.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args)]
pub(crate) struct SynthArgs {
    /// The new file.
    pub(crate) out: PathBuf,
    /// Rows.
    #[arg(long, default_value_t = 1000)]
    pub(crate) rows: usize,
    /// Columns.
    #[arg(long, default_value_t = 20)]
    pub(crate) columns: usize,
    /// Target: logistic, softmax, poisson, regression.
    #[arg(long, default_value = "logistic")]
    pub(crate) kind: String,
    /// Condition number of the covariance of the features.
    #[arg(long, default_value_t = 100.0)]
    pub(crate) condition: f64,
    /// Share of non-zeros; below 1 the data are sparse.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) density: f64,
    /// Make the classes separable by a hyperplane.
    #[arg(long)]
    pub(crate) separable: bool,
    /// Consecutive columns that form a group; columns of a group share whether they matter.
    #[arg(long, default_value_t = 1)]
    pub(crate) group_size: usize,
    /// Share of the groups that matter.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) active: f64,
    /// Seed.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Replace a file that exists.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args)]
pub(crate) struct ReportArgs {
    /// Trace files (JSONL), as `fit --trace` writes them.
    #[arg(required = true)]
    pub(crate) traces: Vec<PathBuf>,
    /// Where the report goes.
    #[arg(long, short, value_name = "FILE", default_value = "report.html")]
    pub(crate) output: PathBuf,
    /// Replace a file that exists.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args)]
pub(crate) struct MethodsArgs {
    /// Show the options of one method.
    pub(crate) name: Option<String>,
    /// Print the page docs/methods.md.
    #[arg(long, hide = true)]
    pub(crate) markdown: bool,
}

#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}
