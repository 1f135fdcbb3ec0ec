//! Networks.
//!
//! A [`Network`] is ordinary Rust that computes with tensors and asks a [`Scope`] for its parameters:
//!
//! ```
//! use quadric_core::Role;
//! use quadric_nn::{Init, Network, Port};
//!
//! let network = Network::new([Port::floats("x", [3])], |scope, x| {
//!     let w = scope.parameter("w", &[3, 2], Role::Weight, Init::Uniform(0.5));
//!     vec![x[0].matmul(w).tanh()]
//! })?;
//! assert_eq!(network.layout().len(), 6);
//! # Ok::<(), quadric_linalg::Error>(())
//! ```
//!
//! Networks that other programs have made are read from ONNX files, see [`onnx`].

mod init;
pub mod layers;
mod losses;
pub mod models;
mod network;
pub mod onnx;
mod supervised;
mod weights;

pub use init::Init;
pub use losses::{Loss, Losses};
pub use network::{Call, Mode, Network, Port, Scope, Traced};
pub use supervised::{Examples, Matrix, Supervised};
pub use weights::{AxisOrder, Weights};
