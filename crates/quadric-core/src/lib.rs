//! The vocabulary of Quadric: a [`Problem`] gives curvature as a [`LinearOperator`], a [`Method`] consumes it, and a
//! [`Driver`] owns everything else: budgets, callbacks, checkpoints, traces, and the last word on convergence.

mod capability;
mod driver;
mod hook;
mod method;
mod outcome;
mod problem;
mod state;

pub use capability::{Capability, need};
pub use driver::{Budget, Callback, Clock, Control, Driver, Progress, SystemClock, Tolerance};
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
