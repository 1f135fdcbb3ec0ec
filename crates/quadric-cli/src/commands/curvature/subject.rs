//! What is analysed: networks with their parameters, and the examples.

use super::super::model::examples;
use super::super::model::named::{is_file, named};
use crate::args::CurvatureArgs;
use quadric::core::{Error, ErrorKind, Result};
use quadric::data::Value as Number;
use quadric::linalg::Scalar;
use quadric::linalg::random::SeedTree;
use quadric::nn::{
    AxisOrder, Loss, Mode, Network, NpyExamples, Selected, Source, Supervised, Weights,
};
use std::path::{Path, PathBuf};

/// A network at a point.
pub(super) struct Subject<T> {
    pub(super) name: String,
    network: Network,
    pub(super) parameters: Vec<T>,
    buffers: Vec<T>,
}

/// The networks of all files, or one network with the weights of all files.
pub(super) fn subjects<T: Scalar>(a: &CurvatureArgs) -> Result<Vec<Subject<T>>> {
    if a.weights.is_empty() {
        let of = |name: &String| {
            let network = named(name, &a.named)?;
            if !is_file(name) {
                let text = format!("the network {name} has no weights of its own");
                let hint = "give a safetensors file with --weights";
                return Err(Error::new(ErrorKind::Argument, text).with_hint(hint));
            }
            Ok(Subject {
                name: stem(name),
                parameters: network.initial(0),
                buffers: network.initial_buffers(),
                network,
            })
        };
        return a.models.iter().map(of).collect();
    }
    let [only] = &a.models[..] else {
        let expected = "one model, whose weights are in the files of --weights";
        return Err(Error::argument("models", a.models.len(), expected));
    };
    let network = named(only, &a.named)?;
    let order = match a.torch {
        true => AxisOrder::Torch,
        false => AxisOrder::Own,
    };
    let of = |path: &PathBuf| {
        let weights = Weights::read(&network, path, order)?;
        Ok(Subject {
            name: stem(&path.display().to_string()),
            network: network.clone(),
            parameters: weights.parameters,
            buffers: weights.buffers,
        })
    };
    a.weights.iter().map(of).collect()
}

/// The name of a file without folders and ending.
fn stem(path: &str) -> String {
    let stem = Path::new(path).file_stem();
    stem.map_or_else(|| path.to_owned(), |s| s.to_string_lossy().into_owned())
}

impl<T: Scalar + Number> Subject<T> {
    /// The mean loss over the examples, and whether some were left out.
    pub(super) fn problem(&self, a: &CurvatureArgs, loss: Loss) -> Result<Supervised<T>> {
        let source = self.source(a, loss)?;
        let problem = Supervised::streaming(self.network.clone(), loss, source)?
            .with_batch(a.batch)
            .with_memory(a.memory << 20);
        problem.with_buffers(self.buffers.clone())
    }

    fn source(&self, a: &CurvatureArgs, loss: Loss) -> Result<Selected<NpyExamples>> {
        let program = self.network.program(1, Mode::Evaluate)?;
        let target = loss.target(&program.output_type(0).shape[1..])?;
        let files = examples(&self.network, &a.data)?;
        let files = files.with_targets(&target, &a.labels)?;
        let all = Source::<T>::count(&files);
        let rows = match a.examples {
            None => (0..all).collect(),
            Some(0) => return Err(Error::argument("examples", 0, "at least 1")),
            Some(n) => {
                let mut stream = SeedTree::new(a.seed).child("examples").stream(0);
                let mut rows = stream.permutation(all);
                rows.truncate(n);
                rows.sort_unstable();
                rows
            }
        };
        Selected::new::<T>(files, rows)
    }

    /// The share of right answers, if there are labels.
    pub(super) fn accuracy(&self, a: &CurvatureArgs, loss: Loss) -> Result<Option<f64>> {
        let source = self.source(a, loss)?;
        self.network
            .accuracy(&self.parameters, &self.buffers, &source, loss, a.batch)
    }
}
