//! Ready networks. Parameters are named as in the usual PyTorch code.

mod plain;
mod resnet;
mod sequence;

pub use plain::{MARTENS, autoencoder, lenet, mlp};
pub use resnet::{Resnet, resnet};
pub use sequence::{EncoderClassifier, encoder_classifier, lstm_classifier};
