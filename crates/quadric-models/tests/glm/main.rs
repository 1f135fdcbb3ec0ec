//! Tests of generalised linear models: derivatives, certificates, invariants.

mod certificates;
mod common;
mod derivatives;
mod invariants;
