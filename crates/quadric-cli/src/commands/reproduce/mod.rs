//! `quadric reproduce`: experiments of papers at laptop size, what is claimed beside what is measured.

mod pyhessian;

use crate::args::{Global, ReproduceArgs, System};
use crate::console;
use quadric::core::Result;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

/// What can be run again: name, paper, what it says in a line.
const SYSTEMS: [[&str; 3]; 1] = [[pyhessian::NAME, pyhessian::PAPER, pyhessian::ABOUT]];

pub(crate) fn run(a: &ReproduceArgs, global: &Global, interrupt: &AtomicBool) -> Result<ExitCode> {
    match &a.system {
        Some(System::Pyhessian(a)) => pyhessian::run(a, global, interrupt),
        None => {
            list(global)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(global: &Global) -> Result<()> {
    if global.json {
        let system = |[name, paper, about]: &[&str; 3]| json!({ "name": name, "paper": paper, "about": about });
        let systems: Vec<Value> = SYSTEMS.iter().map(system).collect();
        return console::print_json(&json!({ "systems": systems }));
    }
    let line = |[name, paper, about]: &[&str; 3]| format!("{name}  {about}\n  {paper}\n");
    let all: String = SYSTEMS.iter().map(line).collect();
    console::print(
        &(all
            + "\n`quadric reproduce NAME` runs one; `quadric reproduce NAME --help` shows its options.\n"),
    )
}
