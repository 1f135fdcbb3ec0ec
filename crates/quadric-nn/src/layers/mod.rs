//! Layers: functions that compute with tensors and ask a [`Scope`](crate::Scope) for their parameters.
//!
//! A layer takes the scope, its name, its input, then what has no default, then options. Its parameters are named `name.weight`
//! and so on, as PyTorch names them. Examples lie along the first axis and channels or features along the last: a batch of
//! images is `(n, h, w, channels)`, one of sequences `(n, steps, features)`. A matrix of weights is `(inputs, outputs)`, a kernel
//! `(kh, kw, inputs / groups, outputs)`.
//!
//! What goes through layers can be looked at ([`Model::taps`](quadric_core::Model::taps)): dense, convolutional and recurrent
//! layers tell it of each product with weights ([`Scope::tap`](crate::Scope::tap)), attention being made of dense ones; of a recurrent
//! layer the products with its inputs and those with its states are two. Weight-normalised layers and convolutions in groups
//! have no parameter that is the matrix of their product, and embeddings and normalisations multiply with none: they tell nothing.

mod activation;
mod attention;
mod conv;
mod dense;
mod dropout;
mod embedding;
mod norm;
mod pool;
mod recurrent;
mod weight;

pub use activation::Activation;
pub use attention::{Attention, EncoderLayer, encoder_layer, self_attention};
pub use conv::{Conv1d, Conv2d, conv1d, conv2d};
pub use dense::{Dense, dense};
pub use dropout::dropout;
pub use embedding::embedding;
pub use norm::{BatchNorm, batch_norm, group_norm, layer_norm};
pub use pool::{global_avg_pool, global_max_pool};
pub use recurrent::{Recurrent, gru, lstm, rnn};
