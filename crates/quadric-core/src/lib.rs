//! The vocabulary of Quadric: a [`Problem`] gives curvature as a [`LinearOperator`], a [`Method`] consumes it, and a
//! [`Driver`] owns everything else: budgets, callbacks, checkpoints, traces, and the last word on convergence.

mod budget;
mod capability;
mod check;
mod checkpoint;
pub mod config;
mod container;
mod driver;
#[cfg(test)]
mod durability;
mod files;
mod hook;
mod lock;
mod memory;
mod meter;
mod method;
mod outcome;
mod problem;
mod run;
mod state;
mod trace;

pub use budget::{Budget, Clock, SystemClock, Tolerance};
pub use capability::{Capability, need};
pub use check::{Check, CheckReport, Verdict, check_derivatives};
pub use checkpoint::{CheckpointPolicy, OnError, load_state, save_state};
pub use container::{Container, FORMAT, Tensor};
pub use driver::{Callback, Control, Driver, Progress};
pub use files::{Overwrite, read_file, write_atomically};
pub use hook::{Counts, Hook, Hooked, Work};
pub use method::{AnyMethod, Context, Direction, Exit, Method, Point, Reading, StepRule};
pub use outcome::{Certificate, Outcome, Status};
pub use problem::{
    Batch, FiniteSum, Gap, Line, LineModel, Objective, Problem, SelfConcordant, Smooth, Trial,
    TwiceSmooth,
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
