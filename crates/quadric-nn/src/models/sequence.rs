//! Classifiers of sequences.

use crate::layers::{Dense, EncoderLayer, dense, dropout, encoder_layer, layer_norm, lstm};
use crate::{Init, Network, Port};
use quadric_core::Role;
use quadric_linalg::{Error, Result};

/// Long short-term memory `lstm` over sequences `x` (steps, features), and a dense layer `linear` on its last state; the output is
/// logits.
///
/// # Errors
///
/// If a length is 0.
pub fn lstm_classifier(
    steps: usize,
    features: usize,
    hidden: usize,
    classes: usize,
) -> Result<Network> {
    let lengths = [steps, features, hidden, classes];
    positive("steps, features, hidden and classes", &lengths)?;
    Network::new([Port::floats("x", [steps, features])], move |scope, x| {
        let last = lstm(scope, "lstm", x[0], hidden).last;
        vec![dense(scope, "linear", last, classes, &Dense::default())]
    })
}

/// Options of [`encoder_classifier`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EncoderClassifier {
    /// Steps of a sequence.
    pub steps: usize,
    /// Features at each step.
    pub features: usize,
    /// Width of the layers.
    pub width: usize,
    /// Number of layers.
    pub layers: usize,
    /// What the layers are.
    pub layer: EncoderLayer,
    /// Number of outputs.
    pub classes: usize,
}

/// The encoder of a transformer over sequences `x` (steps, features): a dense layer `input`, a vector `position` (steps, width) for
/// each step, at first normal with deviation 0.02, layers `layer1`, `layer2`, ..., the layer normalisation `norm` if layers
/// begin with theirs, the mean over the steps, and a dense layer `linear`; the output is logits.
///
/// # Errors
///
/// If a length is 0, or the width no multiple of the number of heads.
pub fn encoder_classifier(options: EncoderClassifier) -> Result<Network> {
    let o = options;
    let lengths = [o.steps, o.features, o.width, o.layers, o.classes];
    positive("steps, features, width, layers and classes", &lengths)?;
    let port = Port::floats("x", [o.steps, o.features]);
    Network::new([port], move |scope, x| {
        let h = dense(scope, "input", x[0], o.width, &Dense::default());
        let (shape, init) = ([o.steps, o.width], Init::Normal(0.02));
        let mut h = h + scope.parameter("position", &shape, Role::Plain, init);
        h = dropout(scope, h, o.layer.dropout);
        for i in 1..=o.layers {
            h = encoder_layer(scope, &format!("layer{i}"), h, o.layer);
        }
        if o.layer.norm_first {
            h = layer_norm(scope, "norm", h);
        }
        let linear = Dense::default();
        vec![dense(scope, "linear", h.mean(&[1]), o.classes, &linear)]
    })
}

fn positive(names: &str, lengths: &[usize]) -> Result<()> {
    if lengths.contains(&0) {
        return Err(Error::argument(names, format!("{lengths:?}"), "no 0"));
    }
    Ok(())
}
