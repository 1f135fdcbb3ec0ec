//! Test problems for general minimisation, from formulas written once.
//!
//! A formula is ordinary Rust over [`Jet`], a number that carries its derivatives, so gradients and Hessians are exact. A
//! function is a [`TermSum`]: terms over few unknowns each.

mod cutest;
mod jet;
mod mgh;
mod mgh_data;
mod problem;
mod referee;
mod sum;

pub use jet::Jet;
pub use problem::{Answer, Collection, Sizes, TestProblem, test_problem, test_problems};
pub use referee::{Effort, Referee};
pub use sum::TermSum;
