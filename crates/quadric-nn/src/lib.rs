//! Networks.
//!
//! A [`Network`] is ordinary Rust that computes with tensors and asks a [`Scope`] for its parameters, by itself or through layers:
//!
//! ```
//! use quadric_nn::layers::{Dense, dense};
//! use quadric_nn::{Network, Port};
//!
//! let network = Network::new([Port::floats("x", [3])], |scope, x| {
//!     let h = dense(scope, "fc1", x[0], 5, &Dense::default()).tanh();
//!     vec![dense(scope, "fc2", h, 2, &Dense::default())]
//! })?;
//! assert_eq!(network.layout().len(), 3 * 5 + 5 + 5 * 2 + 2);
//! assert_eq!(network.layout().segments()[0].name, "fc1.weight");
//! # Ok::<(), quadric_linalg::Error>(())
//! ```
//!
//! [`layers`] and [`models`] are made of such functions; [`Loss`] turns outputs and targets into losses, [`Weights`] reads and
//! writes parameters, [`onnx`] reads networks of other programs,
//! [`Supervised`] makes a network and examples a problem, and [`Training`] trains a network by plain stochastic gradients.

mod files;
mod init;
pub mod layers;
mod losses;
pub mod models;
mod network;
pub mod onnx;
mod run;
mod supervised;
mod training;
mod weights;

pub use files::{ExampleFile, FileExamples};
pub use init::Init;
pub use losses::{Loss, Losses};
pub use network::{Call, Mode, Network, Port, Scope, Traced, Weighted};
pub use run::Output;
pub use supervised::{Examples, Rows, Selected, Source, Supervised};
pub use training::{SgdOptions, Training};
pub use weights::{AxisOrder, Weights};
