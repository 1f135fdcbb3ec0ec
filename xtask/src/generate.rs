//! Pages under docs/ that are written by the program they describe.

use crate::{Result, tools};
use std::process::Command;

/// Page, and the arguments of `quadric` that print it.
const PAGES: &[(&str, &[&str])] = &[("docs/methods.md", &["methods", "--markdown"])];

pub(crate) fn run(check: bool) -> Result {
    for (page, arguments) in PAGES {
        let output = Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--package", "quadric-cli", "--"])
            .args(*arguments)
            .current_dir(tools::root())
            .output()
            .map_err(|e| format!("cannot run quadric: {e}"))?;
        if !output.status.success() {
            return Err(format!(
                "quadric {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        let path = tools::root().join(page);
        let old = std::fs::read(&path).unwrap_or_default();
        if check && old != output.stdout {
            return Err(format!("{page} is out of date; run `cargo xtask generate`"));
        }
        if old != output.stdout {
            std::fs::write(&path, &output.stdout).map_err(|e| format!("{page}: {e}"))?;
            println!("wrote {page}");
        }
    }
    Ok(())
}
