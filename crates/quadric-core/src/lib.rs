//! The vocabulary of Quadric: a [`Problem`] gives curvature as a [`LinearOperator`], a [`Method`] consumes it, and a
//! [`Driver`] owns everything else: budgets, callbacks, checkpoints, traces, and the last word on convergence.
//!
//! ```
//! use quadric_core::*;
//!
//! /// Sum of `sqrt(1 + x_i^2)`.
//! struct PseudoHuber(usize);
//! impl Problem<f64> for PseudoHuber {
//!     fn dim(&self) -> usize { self.0 }
//!     capabilities!(f64: Smooth);
//! }
//! impl Objective<f64> for PseudoHuber {
//!     fn value(&self, x: &[f64]) -> Result<f64> { Ok(x.iter().map(|t| t.hypot(1.0)).sum()) }
//! }
//! impl Smooth<f64> for PseudoHuber {
//!     fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
//!         for (g, t) in g.iter_mut().zip(x) { *g = t / t.hypot(1.0); }
//!         self.value(x)
//!     }
//! }
//!
//! state! { struct Gradient { g: Vec<f64> } }
//! struct Descent { rate: f64 }
//! impl Method<f64> for Descent {
//!     type Problem<'p> = dyn Smooth<f64> + 'p;
//!     type State = Gradient;
//!     fn init<'p>(&self, p: &'p Self::Problem<'p>, x: &mut [f64], _: &mut Context) -> Result<(Gradient, Reading)> {
//!         let mut s = Gradient { g: vec![0.0; x.len()] };
//!         let value = p.value_grad(x, &mut s.g)?;
//!         let reading = Reading::at(value, vector::max_abs(&s.g));
//!         Ok((s, reading))
//!     }
//!     fn step<'p>(&self, p: &'p Self::Problem<'p>, x: &mut [f64], s: &mut Gradient, _: &mut Context) -> Result<Reading> {
//!         vector::axpy(-self.rate, &s.g, x);
//!         let value = p.value_grad(x, &mut s.g)?;
//!         Ok(Reading::at(value, vector::max_abs(&s.g)))
//!     }
//! }
//!
//! # fn main() -> Result<()> {
//! let problem = PseudoHuber(3);
//! assert!(check_derivatives(&problem, &[0.5, -1.0, 2.0], 0)?.passed());
//! let outcome = Driver::default().run(&Descent { rate: 0.5 }, vec![3.0; 3], &problem)?;
//! assert_eq!(outcome.status, Status::Converged);
//! assert!(outcome.x.iter().all(|x| x.abs() < 1e-9));
//! # Ok(())
//! # }
//! ```

mod budget;
mod capability;
mod check;
mod checkpoint;
mod columns;
pub mod config;
mod container;
mod driver;
#[cfg(test)]
mod durability;
mod files;
mod hook;
mod layout;
mod lock;
mod memory;
mod meter;
mod method;
mod model;
mod outcome;
mod problem;
mod run;
mod state;
mod trace;

pub use budget::{Budget, Clock, SystemClock, Tolerance};
pub use capability::{Capability, need};
pub use check::{Check, CheckReport, Verdict, check_derivatives};
pub use checkpoint::{CheckpointPolicy, OnError, load_state, save_state};
pub use columns::{ColumnEnd, Columns};
pub use container::{Container, FORMAT, Tensor};
pub use driver::{Callback, Control, Driver, Progress};
pub use files::{Overwrite, read_file, write_atomically};
pub use hook::{Counts, Hook, Hooked, Work};
pub use layout::{Layout, Role, Segment};
pub use method::{AnyMethod, Context, Direction, Exit, Method, Point, Reading, StepRule};
pub use model::{Backward, Matrix, Model, Tap, Targets};
pub use outcome::{Certificate, Outcome, Status};
pub use problem::{
    ApproximateInverse, Batch, FiniteSum, Gap, Line, LineModel, Objective, Problem, SelfConcordant,
    Smooth, Trial, TwiceSmooth,
};
pub use quadric_linalg::{
    BoxOp, Cost, DataMatrix, DenseRows, Error, ErrorKind, LinearOperator, Place, Properties,
    Result, Scalar, SliceMut, random, vector,
};
pub use state::{Ints, State, Visitor};
pub use trace::{
    Record, TRACE_SCHEMA, Trace, TraceEnd, TraceHeader, TraceHost, TraceProblem, TraceWriter,
    read_trace,
};
