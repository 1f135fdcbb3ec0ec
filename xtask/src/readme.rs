//! Runs the commands that README.md shows, so that they stay true.

use crate::{Result, tools};
use std::process::Command;

/// Lines of ```` ```sh ```` blocks are run in an empty directory with the release build of `quadric` on the path;
/// `cargo` lines are run in the root.
pub(crate) fn run() -> Result {
    let text = std::fs::read_to_string(tools::root().join("README.md"))
        .map_err(|e| format!("README.md: {e}"))?;
    tools::cargo(&["build", "--release"])?;
    let bin = tools::root().join("target/release");
    let directory = tools::root().join("target/readme");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(bin.clone()).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(paths).map_err(|e| e.to_string())?;
    for line in commands(&text) {
        if line.starts_with("cargo xtask") || line.starts_with("cargo install") {
            continue; // this very program, and what writes outside the workspace
        }
        println!("$ {line}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).env("PATH", &path);
        // `cargo run` finds the workspace from below target/readme.
        let status = shell
            .current_dir(&directory)
            .status()
            .map_err(|e| format!("{line}: {e}"))?;
        if !status.success() {
            return Err(format!(
                "README.md shows `{line}`, which ended with {status}"
            ));
        }
    }
    Ok(())
}

/// The lines of the shell blocks, comments left out.
fn commands(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```sh" || line == "```bash";
        } else if inside && !line.trim().is_empty() && !line.starts_with('#') {
            lines.push(line.split(" #").next().unwrap_or(line).trim().to_owned());
        }
    }
    lines
}
