//! Running other programs.

use crate::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies inside the workspace")
        .to_owned()
}

/// True on the continuous integration, where nothing may be skipped.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|v| v == "true")
}

/// Runs cargo in the root and fails if it fails.
pub(crate) fn cargo(arguments: &[&str]) -> Result {
    cargo_with(arguments, &[])
}

/// [`cargo`] with environment variables.
pub(crate) fn cargo_with(arguments: &[&str], environment: &[(&str, &str)]) -> Result {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).envs(environment.iter().copied());
    run(command)
}

/// Runs a command in the root, its output passed through, and fails if it fails.
pub(crate) fn run(mut command: Command) -> Result {
    println!("$ {}", shown(&command));
    let status = command
        .current_dir(root())
        .status()
        .map_err(|e| format!("cannot start `{}`: {e}", shown(&command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{}` ended with {status}", shown(&command)))
    }
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let arguments = command.get_args().map(|a| a.to_string_lossy().into_owned());
    std::iter::once(program)
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

/// True if a program of this name is on the path.
pub(crate) fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|p| p.join(program).is_file())
}

/// The interpreter of a virtual environment in the root with these packages in it, installed if need be.
pub(crate) fn python(folder: &str, packages: &[&str]) -> Result<PathBuf> {
    let venv = root().join(folder);
    let python = venv.join("bin/python");
    if !python.exists() {
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(&venv);
        run(make)?;
    }
    let note = venv.join(format!("{} are installed", packages.join(" ")));
    if !note.exists() {
        let mut install = Command::new(&python);
        install
            .args(["-m", "pip", "install", "--quiet"])
            .args(packages);
        run(install)?;
        std::fs::write(&note, "").map_err(|e| format!("{}: {e}", note.display()))?;
    }
    Ok(python)
}
