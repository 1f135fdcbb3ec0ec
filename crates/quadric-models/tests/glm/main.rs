//! Tests of generalised linear models: derivatives, certificates, invariants.

// Tests panic and print where they have something to say.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod batch;
mod certificates;
mod common;
mod data_units;
mod derivatives;
mod invariants;
mod merge;
mod moments;
mod span;
