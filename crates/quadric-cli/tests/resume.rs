//! kill -9 at random instants, then `--resume`: the bits of the uninterrupted run.

mod support;

use quadric::linalg::random::SeedTree;
use serde_json::Value;
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::Quadric;

/// Kills, and the seed that places them.
const KILLS: u64 = 50;
const SEED: u64 = 2020;

/// A run of some hundred steps that saves itself after each.
fn arguments(output: &str) -> Vec<&str> {
    vec![
        "fit",
        "mushrooms",
        "--l2",
        "1e-8",
        "--method",
        "l-bfgs",
        "--max-iterations",
        "150",
        "--checkpoint-every",
        "0",
        "--resume",
        "run.qckpt",
        "-o",
        output,
        "--force",
        "--json",
    ]
}

/// Everything that may not depend on interruptions.
fn essence(json: &Value) -> Value {
    let keys = [
        "status",
        "objective",
        "gradient_norm",
        "iterations",
        "passes",
        "certificate",
        "counts",
        "coef",
        "intercept",
    ];
    Value::from(keys.iter().map(|k| json[k].clone()).collect::<Vec<_>>())
}

#[test]
fn resumed_equals_uninterrupted_bit_for_bit() {
    let whole = Quadric::new();
    let start = Instant::now();
    let output = whole.run(&arguments("model"));
    let mut duration = start.elapsed();
    let want: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        want["iterations"].as_u64().unwrap() > 100,
        "too short a run to interrupt: {want:#}"
    );
    println!("seed {SEED}, {KILLS} kills, {duration:?} a run");
    let mut stream = SeedTree::new(SEED).child("kills").stream(0);
    let (mut q, mut kills, mut here, mut runs) = (Quadric::new(), 0, 0, 0);
    while kills < KILLS {
        let wait = duration.mul_f64(stream.uniform());
        let mut child = q
            .command(&arguments("model"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(wait.max(Duration::from_millis(1)));
        let is_over = child.try_wait().unwrap().is_some();
        if !is_over {
            kills += 1;
            here += 1;
        } else if here == 0 {
            // The first run was slower, on a busy machine: aim at earlier instants.
            duration = duration.min(wait);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // Three kills in a run are enough; then let it finish and begin another.
        if is_over || here == 3 {
            finish(&q, &want);
            (q, here) = (Quadric::new(), 0);
            runs += 1;
        }
    }
    finish(&q, &want);
    assert!(runs >= 10);
}

/// Resumes to the end and compares.
fn finish(q: &Quadric, want: &Value) {
    let output = q.run(&arguments("model"));
    let got: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(essence(&got), essence(want));
    let leftovers: Vec<_> = std::fs::read_dir(q.path())
        .expect("the directory of the run")
        .map(|e| {
            e.expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|n| !["run.qckpt", "model"].contains(&n.as_str()))
        .collect();
    assert!(leftovers.is_empty(), "left behind: {leftovers:?}");
}
