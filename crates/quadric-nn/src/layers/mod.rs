//! Layers: functions that compute with tensors and ask a [`Scope`](crate::Scope) for their parameters.
//!
//! A layer takes the scope, its name, its input, then what has no default, then options. Its parameters are named `name.weight`
//! and so on, as PyTorch names them. Examples lie along the first axis and channels or features along the last: a batch of
//! images is `(n, h, w, channels)`, one of sequences `(n, steps, features)`. A matrix of weights is `(inputs, outputs)`, a kernel
//! `(kh, kw, inputs / groups, outputs)`.

mod activation;
mod conv;
mod dense;
mod norm;
mod weight;

pub use activation::Activation;
pub use conv::{Conv1d, Conv2d, conv1d, conv2d};
pub use dense::{Dense, dense};
pub use norm::{BatchNorm, batch_norm, group_norm, layer_norm};
