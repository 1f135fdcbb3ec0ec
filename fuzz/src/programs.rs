//! Differentiable programs.

#[path = "../../crates/quadric-autodiff/tests/common/mod.rs"]
mod common;

/// Bytes become a program, whose transforms agree with each other, with differences, and with the compiled program.
pub fn program(input: &[u8]) {
    common::random::check_bytes(input);
}
