//! Writes the pages of the tests' made-up numbers into a folder, to look at while changing the templates:
//! `cargo run -p quadric-report --example preview -- folder`.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/curvature.rs"]
mod curvature;

use quadric_report::{write, write_curvature, write_evolution};
use std::path::PathBuf;

fn main() -> quadric_core::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".to_owned()));
    write(&folder.join("race.html"), &common::race(), true)?;
    write_curvature(&folder.join("curvature.html"), &curvature::analysis(), true)?;
    write_evolution(&folder.join("evolution.html"), &curvature::training(), true)
}
