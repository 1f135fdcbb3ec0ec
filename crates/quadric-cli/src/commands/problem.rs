//! From command-line options to data and problem options, for every command that reads data.

use crate::args::{Global, L2, ModelArgs, ReadArgs};
use crate::console;
use quadric::core::{Error, ErrorKind, Result};
use quadric::data::{self, Dataset, Format, IndexBase, Missing, ReadOptions, Target};
use quadric::models::{GlmOptions, Loss};
use std::path::{Path, PathBuf};

/// Reads a data file, or an embedded set of that name.
///
/// # Errors
/// Neither exists; whatever the reader reports.
pub(crate) fn load(name: &str, options: &ReadOptions) -> Result<Dataset> {
    let path = Path::new(name);
    if !path.exists() && data::embedded_sets().iter().any(|s| s.name == name) {
        refuse_options(name, options)?;
        return data::embedded(name);
    }
    data::read(path, options).map_err(|e| {
        if path.exists() || name.contains(['.', '/']) {
            return e;
        }
        let names: Vec<&str> = data::embedded_sets().iter().map(|s| s.name).collect();
        e.with_hint(format!("the embedded sets are: {}", names.join(", ")))
    })
}

/// An embedded set is what it is: options that say how to read a file would do nothing.
fn refuse_options(name: &str, options: &ReadOptions) -> Result<()> {
    let plain = ReadOptions {
        target: match &options.target {
            Target::Column(_) => Target::Guess,
            target => target.clone(),
        },
        missing: options.missing,
        limits: options.limits,
        ..ReadOptions::default()
    };
    if *options == plain {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Argument,
        format!(
            "the embedded set `{name}` takes no options of files, such as --target or --labels"
        ),
    )
    .with_hint("`quadric data convert` writes it to a file, which takes them"))
}

/// [`load`] for commands that need a target.
///
/// # Errors
/// As [`load`], and data without a target.
pub(crate) fn load_with_target(name: &str, options: &ReadOptions) -> Result<Dataset> {
    let data = load(name, options)?;
    if data.target.is_empty() {
        return Err(
            Error::new(ErrorKind::Argument, format!("`{name}` has no target"))
                .with_hint("name it with --target COLUMN, or its file with --labels FILE"),
        );
    }
    Ok(data)
}

/// The reader's options; `target` says what happens when no target column was named.
///
/// # Errors
/// A word that is none of the choices.
pub(crate) fn read_options(a: &ReadArgs, target: Target) -> Result<ReadOptions> {
    let mut options = ReadOptions {
        target,
        ..ReadOptions::default()
    };
    if let Some(column) = &a.target {
        options.target = Target::Column(column.clone());
    }
    if let Some(weight) = &a.sample_weight {
        if Path::new(weight).is_file() {
            options.sample_weight_file = Some(PathBuf::from(weight));
        } else {
            options.weight = Some(weight.clone());
        }
    }
    options.labels = a.labels.clone();
    options.columns = a.columns;
    options.sum_duplicates = a.sum_duplicates;
    options.pad = a.pad;
    options.thousands = a.thousands;
    options.categorical = a.categorical.clone();
    options.header = a.header;
    if let Some(word) = &a.missing {
        options.missing = match word.as_str() {
            "error" => Missing::Error,
            "drop" => Missing::Drop,
            "mean" => Missing::Mean,
            _ => return Err(Error::argument("missing", word, "error, drop or mean")),
        };
    }
    if let Some(word) = &a.index_base {
        options.index_base = match word.as_str() {
            "auto" => IndexBase::Auto,
            "0" | "zero" => IndexBase::Zero,
            "1" | "one" => IndexBase::One,
            _ => return Err(Error::argument("index-base", word, "auto, 0 or 1")),
        };
    }
    options.format = a.format.as_deref().map(Format::from_name).transpose()?;
    Ok(options)
}

/// The loss that is one logistic problem per class.
pub(crate) const ONE_VS_REST: &str = "one-vs-rest";

/// Whether each class is to be told from the rest.
pub(crate) fn is_one_vs_rest(a: &ModelArgs) -> bool {
    a.loss.as_deref() == Some(ONE_VS_REST)
}

/// The problem that the options and the target ask for; the options of each class where they ask for one-vs-rest.
///
/// # Errors
/// An unknown loss, a penalty that is no penalty.
pub(crate) fn glm_options(a: &ModelArgs, data: &Dataset) -> Result<GlmOptions> {
    let mut loss = match &a.loss {
        Some(_) if is_one_vs_rest(a) => Loss::Logistic,
        Some(name) => name.parse::<Loss>()?,
        None => guess(data),
    };
    if let Some(value) = a.delta {
        match &mut loss {
            Loss::Huber { delta } | Loss::PseudoHuber { delta } => *delta = value,
            other => {
                return Err(
                    Error::argument("delta", value, "to be left out").with_hint(format!(
                        "the loss is {other}; only the huber losses have a delta"
                    )),
                );
            }
        }
    }
    Ok(GlmOptions {
        loss,
        l2: match a.l2 {
            Some(L2::One(l2)) => l2,
            _ => 0.0,
        },
        intercept: !a.no_intercept,
    })
}

/// Two values: logistic; text or few integers: softmax; else squared.
fn guess(data: &Dataset) -> Loss {
    const MOST_CLASSES: usize = 20;
    let mut values: Vec<f64> = Vec::new();
    for &y in &data.target {
        if !values.contains(&y) {
            values.push(y);
        }
        if values.len() > MOST_CLASSES {
            break;
        }
    }
    let integers = values.iter().all(|v| v.fract() == 0.0);
    match values.len() {
        2 => Loss::Logistic,
        n if data.classes.is_some() || (3..=MOST_CLASSES).contains(&n) && integers => Loss::Softmax,
        _ => Loss::Squared,
    }
}

/// One line about the data, for the person at the terminal.
pub(crate) fn describe(data: &Dataset) -> String {
    let (rows, columns, stored) = (data.x.rows(), data.x.cols(), data.x.stored());
    let storage = if matches!(data.x, quadric::core::DataMatrix::Sparse(_)) {
        format!("{stored} non-zeros, sparse")
    } else {
        "dense".to_owned()
    };
    format!("{}: {rows} rows, {columns} columns ({storage})", data.name)
}

/// Says on standard error what the reader noticed.
pub(crate) fn warn(data: &Dataset, global: &Global) {
    if global.quiet || global.json {
        return;
    }
    for problem in &data.problems {
        console::note(&format!("note: {problem}"));
    }
}
