//! The Newton family against closed forms, published step counts and known optima.

mod gsc;
mod problems;
