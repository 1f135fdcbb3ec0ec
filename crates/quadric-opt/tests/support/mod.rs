//! Test problems with known optima, wrappers that watch and disturb them, and a loop that steps a method by hand.
#![allow(dead_code)] // Each test binary uses its own part.

pub(crate) mod functions;
pub(crate) mod snapshot;
pub(crate) mod sums;
pub(crate) mod table;
pub(crate) mod walk;
pub(crate) mod watched;
