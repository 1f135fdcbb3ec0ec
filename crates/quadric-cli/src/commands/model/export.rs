//! `quadric model export`: a network of the library, or one with other weights, as an ONNX file.

use crate::args::{Global, ModelExportArgs, Precision};
use crate::console;
use quadric::core::{Error, Overwrite, Result};
use quadric::linalg::Scalar;
use quadric::nn::layers::EncoderLayer;
use quadric::nn::models::{self, EncoderClassifier, Resnet};
use quadric::nn::{AxisOrder, Network, Weights, onnx};
use serde_json::json;
use std::path::Path;

const NAMES: &str =
    "an ONNX file, mlp, autoencoder, lenet, resnet20 (or another depth), lstm or encoder";

pub(super) fn run(a: &ModelExportArgs, global: &Global) -> Result<()> {
    let network = network(a)?;
    match a.dtype {
        Precision::F32 => write::<f32>(a, &network)?,
        Precision::F64 => write::<f64>(a, &network)?,
    }
    let path = a.output.display().to_string();
    let parameters = network.layout().len();
    if global.json {
        return console::print_json(&json!({ "output": path, "parameters": parameters }));
    }
    console::print(&format!(
        "{} {parameters} parameters",
        console::printable(&path)
    ))
}

fn write<T: Scalar>(a: &ModelExportArgs, network: &Network) -> Result<()> {
    let order = match a.torch {
        true => AxisOrder::Torch,
        false => AxisOrder::Own,
    };
    let weights = match &a.weights {
        Some(path) => Weights::<T>::read(network, path, order)?,
        None => Weights::<T>::initial(network, a.seed),
    };
    let policy = match a.force {
        true => Overwrite::Replace,
        false => Overwrite::Refuse,
    };
    onnx::write(&a.output, network, &weights, policy)
}

/// As many sizes as a network takes.
fn exactly<const N: usize>(a: &ModelExportArgs, what: &str) -> Result<[usize; N]> {
    let wrong = |_| Error::argument("sizes", format!("{:?}", a.sizes), what);
    <[usize; N]>::try_from(a.sizes.clone()).map_err(wrong)
}

fn network(a: &ModelExportArgs) -> Result<Network> {
    let is_file = Path::new(&a.network)
        .extension()
        .is_some_and(|e| e == "onnx");
    if is_file {
        exactly::<0>(a, "none for a file")?;
        return onnx::read(&a.network, &onnx::Options::default());
    }
    if let Some(depth) = a.network.strip_prefix("resnet") {
        exactly::<0>(a, "none for a resnet")?;
        let unknown = |_| Error::argument("network", &a.network, NAMES);
        return models::resnet(Resnet {
            depth: depth.parse().map_err(unknown)?,
            ..Resnet::default()
        });
    }
    match a.network.as_str() {
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
