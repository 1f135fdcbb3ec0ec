//! `quadric completions`: a completion script for a shell.

use crate::args::{Cli, CompletionsArgs};
use crate::console;
use clap::CommandFactory;
use quadric::core::Result;
use std::process::ExitCode;

pub(crate) fn run(a: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(a.shell, &mut Cli::command(), "quadric", &mut script);
    console::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
