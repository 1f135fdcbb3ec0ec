//! What is analysed: networks and linear models at points, and the examples.

use super::super::examples::Opened;
use super::super::model::named::{is_file, named};
use super::linear;
use crate::args::CurvatureArgs;
use quadric::core::{Error, ErrorKind, Model, Result};
use quadric::data::Value as Number;
use quadric::linalg::Scalar;
use quadric::linalg::random::SeedTree;
use quadric::models::RawGlm;
use quadric::nn::{
    AxisOrder, FileExamples, Loss, Mode, Network, Selected, Source, Supervised, Weights,
};
use std::path::Path;
use std::sync::Arc;

/// A model at a point.
pub(super) struct Subject<T: Scalar> {
    pub(super) name: String,
    pub(super) parameters: Vec<T>,
    pub(super) kind: Kind<T>,
}

/// What it is a point of.
pub(super) enum Kind<T: Scalar> {
    Network(Box<Examined<T>>),
    Linear(Arc<RawGlm<T>>),
}

/// A network with all that its loss depends on beside the parameters.
pub(super) struct Examined<T> {
    network: Network,
    buffers: Vec<T>,
    loss: Loss,
    examples: Selected<FileExamples>,
}

/// The models of all files, or one model with the weights of all files.
pub(super) fn subjects<T: Scalar + Number>(a: &CurvatureArgs) -> Result<Vec<Subject<T>>> {
    match linear::is_linear(a)? {
        true => linear::subjects(a),
        false => networks(a),
    }
}

fn networks<T: Scalar + Number>(a: &CurvatureArgs) -> Result<Vec<Subject<T>>> {
    refuse_penalties(a)?;
    let loss: Loss = a.loss.as_deref().unwrap_or("cross-entropy").parse()?;
    let mut opened = Opened::new(&a.data)?;
    let mut points: Vec<(String, Network, Vec<T>, Vec<T>)> = Vec::new();
    if a.weights.is_empty() {
        for name in &a.models {
            let network = known(name, a)?;
            if !is_file(name) {
                let text = format!("the network {name} has no weights of its own");
                let hint = "give a safetensors file with --weights";
                return Err(Error::new(ErrorKind::Argument, text).with_hint(hint));
            }
            let (x, buffers) = (network.initial(0), network.initial_buffers());
            points.push((stem(name), network, x, buffers));
        }
    } else {
        let [only] = &a.models[..] else {
            let expected = "one model, whose weights are in the files of --weights";
            return Err(Error::argument("models", a.models.len(), expected));
        };
        let network = known(only, a)?;
        let order = match a.torch {
            true => AxisOrder::Torch,
            false => AxisOrder::Own,
        };
        for path in &a.weights {
            let weights = Weights::read(&network, path, order)?;
            let name = stem(&path.display().to_string());
            let (x, buffers) = (weights.parameters, weights.buffers);
            points.push((name, network.clone(), x, buffers));
        }
    }
    let subject = |(name, network, parameters, buffers): (String, Network, Vec<T>, Vec<T>)| {
        let program = network.program(1, Mode::Evaluate)?;
        let target = loss.target(&program.output_type(0).shape[1..])?;
        let files = opened.examples(&network, Some(&target))?;
        let rows = rows(a, Source::<T>::count(&files))?;
        Ok(Subject {
            name,
            parameters,
            kind: Kind::Network(Box::new(Examined {
                network,
                buffers,
                loss,
                examples: Selected::new::<T>(files, rows)?,
            })),
        })
    };
    points.into_iter().map(subject).collect()
}

/// The network of a name.
fn known(name: &str, a: &CurvatureArgs) -> Result<Network> {
    let hint = "or a linear model: a file that `quadric fit` wrote, or the word glm";
    named(name, &a.named).map_err(|e| match e.kind() {
        ErrorKind::Argument if e.hint().is_none() && !is_file(name) => e.with_hint(hint),
        _ => e,
    })
}

/// Options that only linear models have.
fn refuse_penalties(a: &CurvatureArgs) -> Result<()> {
    let given = [
        ("l2", a.l2.map(|v| v.to_string())),
        ("delta", a.delta.map(|v| v.to_string())),
        ("no-intercept", a.no_intercept.then(|| "given".to_owned())),
    ];
    match given.into_iter().find_map(|(name, v)| Some((name, v?))) {
        None => Ok(()),
        Some((name, value)) => {
            let expected = "to be left out: networks do not have it, only linear models";
            Err(Error::argument(name, value, expected))
        }
    }
}

/// The examples that are taken, of so many.
pub(super) fn rows(a: &CurvatureArgs, all: usize) -> Result<Vec<usize>> {
    match a.examples {
        None => Ok((0..all).collect()),
        Some(0) => Err(Error::argument("examples", 0, "at least 1")),
        Some(n) => {
            let mut stream = SeedTree::new(a.seed).child("examples").stream(0);
            let mut rows = stream.permutation(all);
            rows.truncate(n);
            rows.sort_unstable();
            Ok(rows)
        }
    }
}

/// The name of a file without folders and endings.
pub(super) fn stem(path: &str) -> String {
    let stem = Path::new(path).file_stem();
    let stem = stem.map_or_else(|| path.to_owned(), |s| s.to_string_lossy().into_owned());
    match stem.strip_suffix(".model") {
        Some(short) if !short.is_empty() => short.to_owned(),
        _ => stem,
    }
}

impl<T: Scalar + Number> Subject<T> {
    /// The objective.
    pub(super) fn problem(&self, a: &CurvatureArgs) -> Result<Arc<dyn Model<T>>> {
        match &self.kind {
            Kind::Linear(glm) => Ok(Arc::clone(glm) as _),
            Kind::Network(of) => {
                let (network, examples) = (of.network.clone(), of.examples.clone());
                let problem = Supervised::streaming(network, of.loss, examples)?
                    .with_batch(a.data.batch)
                    .with_memory(a.memory << 20);
                Ok(Arc::new(problem.with_buffers(of.buffers.clone())?))
            }
        }
    }

    /// The share of right answers, if there are labels.
    pub(super) fn accuracy(&self, a: &CurvatureArgs) -> Result<Option<f64>> {
        match &self.kind {
            Kind::Linear(glm) => glm.accuracy(&self.parameters),
            Kind::Network(of) => {
                let (x, batch) = (&self.parameters, a.data.batch);
                of.network
                    .accuracy(x, &of.buffers, &of.examples, of.loss, batch)
            }
        }
    }
}
