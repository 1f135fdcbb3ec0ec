//! The command among signals, full disks, odd files and hostile names (S10, C04, F08, F09, F11, F12).

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test
#![cfg(unix)]

mod support;

use quadric::linalg::random::SeedTree;
use serde_json::Value;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::Quadric;

/// A shell line with `$Q` for the command, in the directory of `q`.
fn shell(q: &Quadric, line: &str) -> Output {
    Command::new("bash")
        .args(["-c", line])
        .env("Q", env!("CARGO_BIN_EXE_quadric"))
        .env_remove("QUADRIC_THREADS")
        .current_dir(q.path())
        .output()
        .unwrap()
}

fn interrupt(child: &std::process::Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill")
        .args(["-INT", &pid])
        .stderr(Stdio::null())
        .status();
    assert!(sent.is_ok());
}

/// Some steps with a checkpoint after each.
const LONG: [&str; 13] = [
    "fit",
    "mushrooms",
    "--l2",
    "1e-8",
    "--method",
    "gradient-descent",
    "--max-iterations",
    "300",
    "--checkpoint-every",
    "0",
    "--resume",
    "run.qckpt",
    "--json",
];

/// Everything that interrupts may not change; standard output is one document.
fn essence(output: &Output) -> [Value; 4] {
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    ["coef", "objective", "iterations", "counts"].map(|k| json[k].clone())
}

/// Ctrl-C at random times: exit code 130, one document, a checkpoint that leads to the bits of the uninterrupted run.
#[test]
fn t_s10_interrupts_at_random_times() {
    let begin = Instant::now();
    let straight = Quadric::new().run(&LONG);
    let mut duration = begin.elapsed();
    println!("seed 10, {duration:?} a run");
    let mut stream = SeedTree::new(10).child("interrupts").stream(0);
    let (mut q, mut stopped, mut trials) = (Quadric::new(), 0, 0);
    while stopped < 9 {
        trials += 1;
        assert!(
            trials < 300,
            "{stopped} of {trials} interrupts fell into a run"
        );
        let begin = Instant::now();
        let mut command = q.command(&again());
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(duration.mul_f64(stream.uniform()));
        interrupt(&child);
        let output = child.wait_with_output().unwrap();
        match output.status.code() {
            Some(130) => stopped += 1,
            // Before the handler was in place the signal ends the process as it ends any other.
            None => assert!(output.stdout.is_empty(), "trial {trials}: {output:?}"),
            // The run was over: begin another one, and aim at earlier instants.
            code => {
                assert!(matches!(code, Some(0 | 4)), "trial {trials}: {output:?}");
                duration = duration.min(begin.elapsed());
                q = Quadric::new();
                continue;
            }
        }
        if output.status.code() == Some(130) && stopped % 3 == 0 {
            let end = q.run(&again());
            assert_eq!(essence(&end), essence(&straight), "trial {trials}");
            q = Quadric::new();
        }
    }
}

/// The same run, whose model may be there already.
fn again() -> Vec<&'static str> {
    [&LONG[..], &["--force"]].concat()
}

/// The second signal does not wait for the evaluation at hand.
#[test]
fn t_s10_a_second_interrupt_ends_at_once() {
    let q = Quadric::new();
    // Read from standard input would wait for ever; a data set that takes long to fit does for seconds.
    let arguments = [
        "fit",
        "digits",
        "--l2",
        "1e-10",
        "--method",
        "gradient-descent",
        "--tol",
        "0",
    ];
    let child = q
        .command(&arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    interrupt(&child);
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert!(
        matches!(output.status.code(), Some(130) | None),
        "{output:?}"
    );
}

/// A file that may not grow: exit code 5, the file and the system's reason are named, nothing half written stays.
#[test]
fn t_c04_no_room_for_files() {
    let q = Quadric::new();
    let limited = |arguments: &str| {
        // The limit is told by an error instead of a signal.
        shell(
            &q,
            &format!("trap '' XFSZ; ulimit -f 1; exec $Q {arguments} --json"),
        )
    };
    let left = || {
        let names = fs::read_dir(q.path())
            .unwrap()
            .map(|e| e.unwrap().file_name());
        names
            .map(|n| n.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
    };
    for (arguments, file) in [
        (
            "fit digits --l2 1e-2 -o model.safetensors",
            "model.safetensors",
        ),
        ("fit iris --l2 1e-2 -o m --trace trace.jsonl", "trace.jsonl"),
        ("data convert digits digits.csv", "digits.csv"),
        ("compare iris --l2 1e-2 -o report.html", "report.html"),
    ] {
        let output = limited(arguments);
        let json: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{arguments}: {e}: {output:?}"));
        assert_eq!(output.status.code(), Some(5), "{arguments}: {json:#}");
        let text = json["error"].to_string();
        assert!(
            text.contains(file) && text.contains("large"),
            "{arguments}: {text}"
        );
        let left = left();
        assert!(
            left.iter().all(|n| n == "trace.jsonl" || n == "m"),
            "{arguments}: {left:?}"
        );
    }
    // A checkpoint that cannot be written is a warning; the run goes on.
    let output =
        limited("fit digits --l2 1e-2 -o /dev/null --checkpoint run.qckpt --checkpoint-every 0");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &json["status"]),
        (Some(0), &"converged".into()),
        "{json:#}"
    );
    let said = format!("{json}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("run.qckpt"), "{said}");
}

/// Every fault of a configuration file at once, with its place.
#[test]
fn t_f08_all_faults_of_a_configuration_file() {
    let q = Quadric::new();
    let text = "[model]\nlos = \"logistic\"\ndelta = \"wide\"\n[solve]\nmax_iterations = -3\n[solv]\ntol = 1\n";
    fs::write(q.path().join("run.toml"), text).unwrap();
    let (code, json) = q.json(&["fit", "iris", "--config", "run.toml"]);
    assert_eq!(code, 3, "{json:#}");
    let all = json["error"].to_string();
    for part in [
        "run.toml:2:1",
        "loss",
        "run.toml:3:1",
        "run.toml:5:1",
        "solv.tol",
    ] {
        assert!(all.contains(part), "{all} lacks {part}");
    }
    fs::write(q.path().join("twice.toml"), "[model]\nl2 = 1\nl2 = 2\n").unwrap();
    let (code, json) = q.json(&["fit", "iris", "--config", "twice.toml"]);
    assert_eq!(code, 3, "{json:#}");
    assert!(json["error"].to_string().contains("duplicate"), "{json:#}");
    fs::write(q.path().join("latin.toml"), b"# \xfc\n").unwrap();
    let (code, _) = q.json(&["fit", "iris", "--config", "latin.toml"]);
    assert_eq!(code, 3);
}

/// Pipes, devices and directories in the place of every file that is read: an error in bounded time.
#[test]
fn t_f11_odd_files() {
    let q = Quadric::new();
    fs::write(q.path().join("few.csv"), "a,b\n1,2\n3,4\n").unwrap();
    let made = shell(&q, "mkfifo pipe && ln -s loop loop");
    assert!(made.status.success());
    for odd in ["pipe", "/dev/zero", ".", "loop", "missing"] {
        for arguments in [
            vec!["fit", odd],
            vec!["fit", "iris", "--config", odd],
            vec!["fit", "few.csv", "--labels", odd],
            vec!["predict", odd, "iris"],
            vec!["report", odd, "-o", "report.html"],
            vec!["fit", "iris", "--l2", "1", "--resume", odd, "-o", "model"],
        ] {
            let (code, json) = q.json(&arguments);
            let fresh = odd == "missing" && arguments.contains(&"--resume");
            assert_eq!(code, if fresh { 0 } else { 5 }, "{arguments:?}: {json:#}");
        }
    }
}

/// Names from a file reach the screen, a report and other files without what steers a terminal or a browser.
#[test]
fn t_f09_hostile_names() {
    let q = Quadric::new();
    let long = "n".repeat(1 << 20);
    let names = [
        "<script>alert(1)</script>",
        "\x1b[31mred\x07",
        "\u{202e}rtl",
        "\"\"; rm -rf",
        &long,
    ];
    let header: Vec<String> = names.iter().map(|n| format!("\"{n}\"")).collect();
    let mut text = format!("{},y\n", header.join(","));
    for i in 0..12 {
        text += &format!(
            "{},{},{},{},{},{}\n",
            i,
            i * 7 % 5,
            i % 3,
            i * i % 7,
            i % 4,
            i % 2
        );
    }
    fs::write(q.path().join("names.csv"), text).unwrap();
    for arguments in [
        vec!["fit", "names.csv", "--l2", "1e-2", "--loss", "logistic"],
        vec!["data", "inspect", "names.csv"],
        vec!["predict", "names.model.safetensors", "names.csv"],
        vec![
            "compare",
            "names.csv",
            "--l2",
            "1e-2",
            "--loss",
            "logistic",
            "-o",
            "report.html",
        ],
    ] {
        let output = q.run(&arguments);
        let shown = [output.stdout, output.stderr].concat();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&shown)
        );
        let shown = String::from_utf8(shown).unwrap();
        for bad in ["\x1b", "\x07", "\u{202e}"] {
            assert!(!shown.contains(bad), "{arguments:?} shows {bad:?}");
        }
        assert!(
            shown.len() < 1 << 16,
            "{arguments:?} shows {} bytes",
            shown.len()
        );
    }
    let page = fs::read_to_string(q.path().join("report.html")).unwrap();
    assert!(!page.contains("<script>alert"));
    let mut files: Vec<_> = fs::read_dir(q.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(
        files,
        ["names.csv", "names.model.safetensors", "report.html"]
    );
}

/// Closed and full streams: no panic, no endless wait, and what could not be written is said.
#[test]
fn t_f12_closed_and_full_streams() {
    let q = Quadric::new();
    for (line, code) in [
        ("$Q fit iris --l2 1 -o a --json <&-", 0),
        ("$Q fit iris --l2 1 -o b --json > /dev/full", 5),
        ("$Q data inspect iris > /dev/full", 5),
        ("$Q fit iris --l2 1 -o c 2> /dev/full", 0),
        ("$Q fit iris --l2 1 -o d --trace /dev/full", 5),
        ("$Q fit iris --l2 1 -o /dev/full", 5),
    ] {
        let output = shell(&q, line);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {text}");
        assert!(!text.contains("panicked"), "{line}: {text}");
    }
}
