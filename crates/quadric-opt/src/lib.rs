//! Methods that minimise: gradients, quasi-Newton, Newton. [`registry`] lists them all.

pub mod config;
pub mod descent;
pub mod first_order;
pub mod newton;
pub mod quasi_newton;
pub mod registry;
mod scratch;
pub mod search;
