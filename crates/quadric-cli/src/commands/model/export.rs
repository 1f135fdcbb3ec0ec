//! `quadric model export`: a network of the library, or one with other weights, as an ONNX file.

use super::named::named;
use crate::args::{Global, ModelExportArgs, Precision};
use crate::console;
use quadric::core::{Overwrite, Result};
use quadric::linalg::Scalar;
use quadric::nn::{AxisOrder, Network, Weights, onnx};
use serde_json::json;

pub(super) fn run(a: &ModelExportArgs, global: &Global) -> Result<()> {
    let network = named(&a.network, &a.named)?;
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
