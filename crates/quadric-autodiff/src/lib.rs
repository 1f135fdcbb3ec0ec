//! Differentiable programs.
//!
//! A model is traced once into a [`Program`] over arrays; derivatives of any order are programs, too, and so is the same
//! computation for many directions at once.
//!
//! ```
//! use quadric_autodiff::Program;
//!
//! let loss = Program::trace(|t| {
//!     let (x, w) = (t.input("x", [2, 3]), t.input("w", [3, 1]));
//!     vec![x.matmul(w).tanh().square().mean_all()]
//! })?;
//! let gradient = loss.grad(&["w"])?;
//! // One more input, the direction; the program is linear in it.
//! let product = gradient.linearize(&["w"])?;
//! assert_eq!(product.inputs().last().unwrap().name(), "d w");
//! # Ok::<(), quadric_linalg::Error>(())
//! ```

mod array;
mod exec;
mod graph;
mod inspect;
mod interpret;
mod ops;
mod program;
mod tensor;
mod tracer;
mod transform;
mod types;

pub use array::{Array, Data};
pub use exec::{Executable, Prepared};
pub use inspect::{Operation, Step};
pub use program::{Input, Program};
pub use tensor::{Padding, Tensor, Windows};
pub use tracer::Tracer;
pub use types::{Kind, Shape, Type};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/engine.md")]
struct Engine;
