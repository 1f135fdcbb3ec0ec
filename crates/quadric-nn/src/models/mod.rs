//! Ready networks. Parameters are named as in the usual PyTorch code.

mod plain;
mod resnet;

pub use plain::{lenet, mlp};
pub use resnet::{Resnet, resnet};
