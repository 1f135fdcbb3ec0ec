//! What the methods promise beyond the conformance table.
#![allow(clippy::unwrap_used)] // A test that cannot go on fails.

#[path = "../support/mod.rs"]
mod support;

mod batched;
mod cases;
mod determinism;
mod hostile;
mod options;
mod quasi_newton;
mod referee;
mod searches;
mod stochastic;
