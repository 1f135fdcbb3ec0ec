//! Networks by name: of ONNX files, and of the library.

use super::load;
use crate::args::NamedArgs;
use quadric::core::{Error, Result};
use quadric::nn::Network;
use quadric::nn::layers::EncoderLayer;
use quadric::nn::models::{self, EncoderClassifier, Resnet};
use std::path::Path;

const NAMES: &str =
    "an ONNX file, mlp, autoencoder, lenet, resnet20 (or another depth), lstm or encoder";

/// Whether a name is that of an ONNX file.
pub(crate) fn is_file(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == "onnx")
}

/// As many sizes as a network takes.
fn exactly<const N: usize>(a: &NamedArgs, what: &str) -> Result<[usize; N]> {
    let wrong = |_| Error::argument("sizes", format!("{:?}", a.sizes), what);
    <[usize; N]>::try_from(a.sizes.clone()).map_err(wrong)
}

/// The network that a name means.
///
/// # Errors
/// A name that means none, sizes that do not go with it, a file that cannot be read.
pub(crate) fn named(name: &str, a: &NamedArgs) -> Result<Network> {
    if is_file(name) {
        exactly::<0>(a, "none for a file")?;
        return load(Path::new(name), &a.reading);
    }
    if let Some(depth) = name.strip_prefix("resnet") {
        exactly::<0>(a, "none for a resnet")?;
        let unknown = |_| Error::argument("network", name, NAMES);
        return models::resnet(Resnet {
            depth: depth.parse().map_err(unknown)?,
            ..Resnet::default()
        });
    }
    match name {
        "mlp" => models::mlp(&a.sizes, a.activation.parse()?),
        "autoencoder" => models::autoencoder(&a.sizes),
        "lenet" => {
            exactly::<0>(a, "none for lenet")?;
            models::lenet()
        }
        "lstm" => {
            let [steps, features, hidden, classes] =
                exactly(a, "steps, features, hidden and classes")?;
            models::lstm_classifier(steps, features, hidden, classes)
        }
        "encoder" => {
            let [steps, features, width, layers, heads, classes] =
                exactly(a, "steps, features, width, layers, heads and classes")?;
            models::encoder_classifier(EncoderClassifier {
                steps,
                features,
                width,
                layers,
                layer: EncoderLayer::new(width, heads),
                classes,
            })
        }
        other => Err(Error::argument("network", other, NAMES)),
    }
}
