//! `cargo xtask test`: every test that this machine can run, with one count at the end.

use crate::{Result, tools};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Something tests need that cargo cannot bring.
struct Need {
    program: &'static str,
    package: &'static str,
    without: &'static str,
}

const NEEDS: &[Need] = &[Need {
    program: "chromium",
    package: "chromium",
    without: "the report is not opened in a headless browser (crates/quadric-report/tests/browser.rs)",
}];

pub(crate) fn run() -> Result {
    let skipped = provide()?;
    let (passed, failed, ok) = counted(&["test", "--workspace", "--no-fail-fast"])?;
    for line in skipped {
        println!("{line}");
    }
    println!("total: {passed} passed, {failed} failed");
    if ok && failed == 0 && passed > 0 {
        Ok(())
    } else {
        Err("tests failed".into())
    }
}

/// Installs what is missing on the continuous integration; elsewhere says what is skipped and how to enable it.
fn provide() -> Result<Vec<String>> {
    let mut skipped = Vec::new();
    for need in NEEDS.iter().filter(|n| !tools::is_installed(n.program)) {
        if !tools::is_ci() {
            let Need {
                package, without, ..
            } = need;
            skipped.push(format!(
                "skipped: {without}; to enable: apt-get install {package}"
            ));
            continue;
        }
        let mut update = Command::new("apt-get");
        update.args(["update", "-qq"]);
        tools::run(update)?;
        let mut install = Command::new("apt-get");
        install.args([
            "install",
            "-y",
            "-qq",
            "--no-install-recommends",
            need.package,
        ]);
        tools::run(install)?;
    }
    Ok(skipped)
}

/// Runs cargo test, passes its output through and adds up its closing lines.
fn counted(arguments: &[&str]) -> Result<(u64, u64, bool)> {
    println!("$ cargo {}", arguments.join(" "));
    let mut child = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(tools::root())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start cargo test: {e}"))?;
    let (mut passed, mut failed) = (0, 0);
    let stdout = child.stdout.take().expect("stdout is piped");
    for line in BufReader::new(stdout).lines() {
        let line = line.map_err(|e| format!("cannot read the test output: {e}"))?;
        println!("{line}");
        if line.starts_with("test result:") {
            passed += count(&line, "passed");
            failed += count(&line, "failed");
        }
    }
    let status = child.wait().map_err(|e| format!("cargo test: {e}"))?;
    Ok((passed, failed, status.success()))
}

/// The number before a word in `test result: ok. 5 passed; 0 failed; ...`.
fn count(line: &str, word: &str) -> u64 {
    line.split([';', '.'])
        .filter_map(|part| part.trim().split_once(' '))
        .find(|(_, what)| *what == word)
        .and_then(|(n, _)| n.parse().ok())
        .unwrap_or(0)
}
