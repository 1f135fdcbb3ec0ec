//! `cargo xtask test`: every test that this machine can run, with one count at the end.

use crate::{Result, tools};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
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

/// What runs the networks that are written.
const ONNX: [&str; 3] = ["onnx==1.23.2", "onnxruntime==1.32.0", "numpy==2.4.6"];

pub(crate) fn run() -> Result {
    let mut skipped = provide()?;
    let python = onnxruntime()?;
    if python.is_none() {
        skipped.push(
            "skipped: networks are not run by onnxruntime (crates/quadric-nn/tests/onnx_write.rs); to enable: \
             QUADRIC_PYTHON=<a Python with `pip install onnx onnxruntime`>"
                .to_owned(),
        );
    }
    let (passed, failed, ok) = counted(
        &["test", "--workspace", "--no-fail-fast"],
        python.as_deref(),
    )?;
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

/// A Python that has onnxruntime: on the continuous integration one of its own.
fn onnxruntime() -> Result<Option<PathBuf>> {
    if tools::is_ci() {
        return tools::python(".venv-onnx", &ONNX).map(Some);
    }
    let python = std::env::var_os("QUADRIC_PYTHON").unwrap_or_else(|| "python3".into());
    let mut ask = Command::new(&python);
    ask.args(["-c", "import onnx, onnxruntime"]);
    let answer = ask.stderr(Stdio::null()).status();
    Ok(answer.is_ok_and(|s| s.success()).then(|| python.into()))
}

/// Runs cargo test, passes its output through and adds up its closing lines.
fn counted(arguments: &[&str], python: Option<&Path>) -> Result<(u64, u64, bool)> {
    println!("$ cargo {}", arguments.join(" "));
    let mut child = Command::new(env!("CARGO"))
        .args(arguments)
        .envs(python.map(|p| ("QUADRIC_PYTHON", p)))
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
