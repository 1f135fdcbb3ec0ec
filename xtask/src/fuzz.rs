//! `cargo xtask fuzz`: searches for inputs that break a reader or a differentiable program, with libFuzzer on the stable toolchain.

use crate::{Result, tools};
use std::process::Command;

/// Coverage counters for libFuzzer, without a sanitizer: what cargo-fuzz passes for `--sanitizer none`.
const COUNTERS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// Longest input in bytes.
const LONGEST: u32 = 1 << 16;

/// Seconds for one input. A second is promised; on a busy machine a process may wait longer than that for its turn.
const PATIENCE: u32 = 5;

/// Seconds for each target unless `--seconds` says otherwise.
const SECONDS: u32 = 60;

/// Runs the targets that are named, else all of them, one after another. What is found stays in `fuzz/regressions`, where the tests replay
/// it; what only widens the coverage goes to `fuzz/corpus`.
pub(crate) fn run(arguments: &[String]) -> Result {
    let (seconds, named) = match arguments.iter().position(|a| a == "--seconds") {
        None => (SECONDS, arguments.to_vec()),
        Some(i) => {
            let value = arguments.get(i + 1).and_then(|s| s.parse().ok());
            let seconds = value.ok_or("--seconds takes a number")?;
            (seconds, [&arguments[..i], &arguments[i + 2..]].concat())
        }
    };
    let all = targets()?;
    if let Some(unknown) = named.iter().find(|n| !all.contains(n)) {
        return Err(format!(
            "no target `{unknown}`; there are {}",
            all.join(", ")
        ));
    }
    let chosen = if named.is_empty() { all } else { named };
    let folder = tools::root().join("fuzz");
    let host = host()?;
    for target in &chosen {
        let mut build = Command::new(env!("CARGO"));
        build
            .args([
                "build",
                "--release",
                "--manifest-path",
                "fuzz/Cargo.toml",
                "--bin",
                target,
            ])
            // Build scripts must not get the counters, hence a target of its own even on the same machine.
            .args(["--target", &host])
            .env("RUSTFLAGS", COUNTERS);
        tools::run(build)?;
        let (corpus, regressions) = (
            folder.join("corpus").join(target),
            folder.join("regressions").join(target),
        );
        std::fs::create_dir_all(&corpus).map_err(|e| format!("{}: {e}", corpus.display()))?;
        let mut fuzzer = Command::new(
            folder
                .join("target")
                .join(&host)
                .join("release")
                .join(target),
        );
        fuzzer
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={LONGEST}"))
            .arg(format!("-timeout={PATIENCE}"))
            .arg("-rss_limit_mb=1024")
            .arg("-print_final_stats=1")
            .arg(format!("-artifact_prefix={}/", regressions.display()))
            .args([&corpus, &regressions])
            .env("RAYON_NUM_THREADS", "1");
        tools::run(fuzzer)?;
    }
    Ok(())
}

/// One per file of `fuzz/fuzz_targets`.
fn targets() -> Result<Vec<String>> {
    let folder = tools::root().join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|e| Some(e.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// The platform that this machine compiles for.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output();
    let output = output.map_err(|e| format!("cannot start rustc: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| "rustc does not name its host".into())
}
