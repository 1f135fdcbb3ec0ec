//! The examples of networks: NPY arrays that are read where they lie, and every file that `quadric fit` reads.

use super::problem;
use crate::args::{ExampleArgs, ReadArgs};
use quadric::core::{Error, ErrorKind, Result};
use quadric::data::{self, Format, NpyRows, ReadOptions, Target};
use quadric::nn::{ExampleFile, FileExamples, Network, Port};
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Files of examples, each opened once.
pub(crate) struct Opened<'a> {
    args: &'a ExampleArgs,
    known: HashMap<String, ExampleFile>,
}

impl<'a> Opened<'a> {
    /// No file yet.
    ///
    /// # Errors
    /// Options that networks do not have.
    pub(crate) fn new(args: &'a ExampleArgs) -> Result<Self> {
        if let Some(weight) = &args.read.sample_weight {
            let expected = "to be left out: all examples of a network weigh the same";
            return Err(Error::argument("sample-weight", weight, expected));
        }
        Ok(Self {
            args,
            known: HashMap::new(),
        })
    }

    /// The inputs of a network, in their order or as `name=file`, and the targets if a port of them is given.
    ///
    /// # Errors
    /// Files that cannot be read or have another shape; no targets where there should be some, and the reverse.
    pub(crate) fn examples(
        &mut self,
        network: &Network,
        target: Option<&Port>,
    ) -> Result<FileExamples> {
        let (args, ports) = (self.args, network.inputs().iter());
        let mut names: Vec<&str> = args.data.iter().map(String::as_str).collect();
        for (i, port) in ports.enumerate().take(names.len()) {
            let prefix = format!("{}=", port.name);
            if let Some(named) = args.data.iter().find_map(|f| f.strip_prefix(&prefix)) {
                names[i] = named;
            }
        }
        let files = names
            .into_iter()
            .map(|name| self.input(name, target.is_some()));
        let mut examples = FileExamples::new(network, &files.collect::<Result<Vec<_>>>()?)?;
        if let Some(by) = args.divide {
            examples = examples.divided(by)?;
        }
        match (target, &args.read.labels) {
            (None, None) => Ok(examples),
            (None, Some(path)) => {
                let expected = "to be left out: outputs do not depend on targets";
                Err(Error::argument("labels", path.display(), expected))
            }
            (Some(port), None) => examples.with_own_targets(port),
            (Some(port), Some(path)) => examples.with_targets(port, &targets(path, port)?),
        }
    }

    fn input(&mut self, name: &str, labelled: bool) -> Result<ExampleFile> {
        if let Some(known) = self.known.get(name) {
            return Ok(known.clone());
        }
        let opened = input(name, &self.args.read, labelled)?;
        self.known.insert(name.to_owned(), opened.clone());
        Ok(opened)
    }
}

/// A file of examples; where no targets are wanted, or others, it need not have any.
fn input(name: &str, a: &ReadArgs, labelled: bool) -> Result<ExampleFile> {
    let path = Path::new(name);
    let plain = ReadArgs {
        labels: a.labels.clone(),
        format: a.format.clone(),
        ..ReadArgs::default()
    };
    if *a == plain && is_array(path, a.format.as_deref())? {
        return Ok(ExampleFile::Npy(Arc::new(NpyRows::open(path)?)));
    }
    let own = ReadArgs {
        labels: None,
        ..a.clone()
    };
    let read = |target| problem::load(name, &problem::read_options(&own, target)?);
    let data = match (labelled, &a.labels) {
        (true, None) => read(Target::Guess)?,
        _ => read(Target::Guess).or_else(|e| read(Target::None).map_err(|_| e))?,
    };
    Ok(ExampleFile::Table(Arc::new(data)))
}

/// Whether a file is an NPY array that is not compressed: by its format, its name, or how it begins.
fn is_array(path: &Path, format: Option<&str>) -> Result<bool> {
    if let Some(name) = format {
        return Ok(Format::from_name(name)? == Format::Npy);
    }
    if path.extension().is_some_and(|e| e == "npy") {
        return Ok(true);
    }
    if Format::from_path(path).is_some() || !path.is_file() {
        return Ok(false);
    }
    let mut head = [0; 6];
    let begun = std::fs::File::open(path).and_then(|mut f| f.read_exact(&mut head));
    Ok(begun.is_ok() && head == *b"\x93NUMPY")
}

/// A file of targets alone: one column, or as many as the network has outputs.
fn targets(path: &Path, port: &Port) -> Result<ExampleFile> {
    if is_array(path, None)? {
        return Ok(ExampleFile::Npy(Arc::new(NpyRows::open(path)?)));
    }
    let is_one = port.shape.iter().product::<usize>() == 1;
    let options = ReadOptions {
        format: Format::from_path(path).or(Some(Format::Csv)),
        target: match is_one {
            true => Target::Column("1".to_owned()),
            false => Target::None,
        },
        ..ReadOptions::default()
    };
    let data = data::read(path, &options)?;
    if is_one && data.features() > 0 {
        let (name, found) = (path.display(), data.features() + 1);
        let text = format!("{name} has {found} columns; `{}` is {port}", port.name);
        return Err(Error::new(ErrorKind::Shape, text));
    }
    Ok(ExampleFile::Table(Arc::new(data)))
}
