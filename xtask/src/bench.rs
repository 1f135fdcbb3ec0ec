//! `cargo xtask bench fit`: time to a given accuracy beside scikit-learn, on the same data, threads and referee.

use crate::{Result, tools};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SETS: &[&str] = &[
    "wdbc",
    "australian",
    "breast-cancer",
    "german.numer_scale",
    "mushrooms",
    "a9a",
];
const PENALTIES: &[f64] = &[1e-2, 1e-6];
/// Relative suboptimality that everybody must reach.
const ACCURACY: f64 = 1e-8;
const REPETITIONS: usize = 5;

pub(crate) fn run(suite: &str, tiny: bool) -> Result {
    if suite != "fit" {
        return Err(format!("there is no bench suite `{suite}`; there is: fit"));
    }
    tools::cargo(&["build", "--release"])?;
    let Some(python) = python(tiny)? else {
        return Ok(());
    };
    let folder = tools::root().join("target/bench");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let (sets, penalties, threads) = if tiny {
        (&SETS[..1], &PENALTIES[..1], &[1][..])
    } else {
        (SETS, PENALTIES, &[1, 2][..])
    };
    let mut rows = Vec::new();
    for &threads in threads {
        let mut jobs = Vec::new();
        for set in sets {
            for &l2 in penalties {
                jobs.push(job(
                    &folder,
                    set,
                    l2,
                    threads,
                    if tiny { 1 } else { REPETITIONS },
                )?);
            }
        }
        let answers = peers(&python, &jobs, threads)?;
        let rate = memory_rate(threads);
        for (job, answer) in jobs.iter().zip(&answers) {
            rows.extend(compare(job, answer, threads, rate)?);
        }
    }
    print!("{}", table(&rows));
    if tiny { Ok(()) } else { record(&rows) }
}

/// The interpreter of bench/.venv, made with scikit-learn in it if need be.
fn python(tiny: bool) -> Result<Option<PathBuf>> {
    let venv = tools::root().join("bench/.venv");
    let python = venv.join("bin/python");
    if python.exists() {
        return Ok(Some(python));
    }
    if tiny && !tools::is_ci() && !tools::is_installed("python3") {
        println!("skipped: the peers need python3");
        return Ok(None);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&venv);
    tools::run(make)?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "scikit-learn==1.9.1"]);
    tools::run(install)?;
    Ok(Some(python))
}

/// Runs our side of one job: an accurate run for the referee, then the timed ones.
fn job(folder: &Path, set: &str, l2: f64, threads: u64, repetitions: usize) -> Result<Value> {
    let file = folder.join(format!("{set}.svm"));
    let path = file.display().to_string();
    quadric(folder, threads, &["data", "convert", set, &path, "--force"])?;
    let l2_text = format!("{l2:e}");
    let fit = |tol: &str| {
        quadric(
            folder,
            threads,
            &[
                "fit", &path, "--loss", "logistic", "--l2", &l2_text, "--tol", tol,
            ],
        )
    };
    let best = fit("1e-13")?;
    let tol = format!("{ACCURACY:e}");
    let mut runs: Vec<Value> = (0..=repetitions)
        .map(|_| fit(&tol))
        .collect::<Result<_>>()?;
    runs.remove(0); // the warm-up
    let mut seconds: Vec<f64> = runs.iter().filter_map(|r| r["seconds"].as_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    let columns = best["coef"].as_array().map_or(0, Vec::len);
    let about = quadric(folder, threads, &["data", "inspect", &path])?;
    // A value and its column, and the row's start, target, product and residual.
    let bytes = 12.0 * about["nonzeros"].as_f64().unwrap_or(f64::NAN)
        + 28.0 * about["rows"].as_f64().unwrap_or(f64::NAN);
    Ok(json!({
        "set": set, "file": path, "columns": columns, "l2": l2, "repetitions": repetitions, "accuracy": ACCURACY,
        "seconds": seconds[seconds.len() / 2], "passes": runs[0]["passes"], "bytes": bytes, "status": runs[0]["status"],
        "coef": runs[0]["coef"], "intercept": runs[0]["intercept"],
        "best_coef": best["coef"], "best_intercept": best["intercept"],
    }))
}

fn quadric(folder: &Path, threads: u64, arguments: &[&str]) -> Result<Value> {
    let output = Command::new(tools::root().join("target/release/quadric"))
        .args(arguments)
        .args(["--json", "--threads", &threads.to_string()])
        .current_dir(folder)
        .output()
        .map_err(|e| format!("cannot run quadric: {e}"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("quadric {}: {e}", arguments.join(" ")))
}

fn peers(python: &Path, jobs: &[Value], threads: u64) -> Result<Vec<Value>> {
    let threads = threads.to_string();
    let mut child = Command::new(python)
        .arg(tools::root().join("bench/fit_peers.py"))
        .envs(
            ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
                .map(|v| (v, threads.as_str())),
        )
        .env_remove("OPENBLAS_CORETYPE")
        .env_remove("OPENBLAS_L2_SIZE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start the peers: {e}"))?;
    let request = Value::from(jobs.to_vec()).to_string();
    child
        .stdin
        .take()
        .expect("stdin is piped")
        .write_all(request.as_bytes())
        .map_err(|e| e.to_string())?;
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err("the peers failed; see above".into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|l| serde_json::from_str(l).map_err(|e| format!("the peers' answer: {e}")))
        .collect()
}

/// Bytes per second that this many threads read from memory: the best of five passes over 256 MB.
fn memory_rate(threads: u64) -> f64 {
    let values = vec![1.0f64; 32 << 20];
    let parts = values.len() / usize::try_from(threads).unwrap_or(1);
    let pass = |_| {
        let start = std::time::Instant::now();
        let sum: f64 = std::thread::scope(|scope| {
            let tasks: Vec<_> = values
                .chunks(parts)
                .map(|part| scope.spawn(|| sum(part)))
                .collect();
            tasks.into_iter().filter_map(|t| t.join().ok()).sum()
        });
        std::hint::black_box(sum);
        8.0 * values.len() as f64 / start.elapsed().as_secs_f64()
    };
    (0..5).map(pass).fold(0.0, f64::max)
}

fn sum(values: &[f64]) -> f64 {
    let mut lanes = [0.0; 32];
    for chunk in values.as_chunks::<32>().0 {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += v;
        }
    }
    lanes.iter().sum()
}

/// `rate` is what memory delivers, in bytes per second.
fn compare(job: &Value, answer: &Value, threads: u64, rate: f64) -> Result<Vec<Value>> {
    let off = answer["ours"].as_f64().unwrap_or(f64::INFINITY);
    if off > ACCURACY {
        return Err(format!(
            "{}: our own answer is {off:e} above the optimum, status {}",
            job["set"], job["status"]
        ));
    }
    let ours = job["seconds"].as_f64().ok_or("no time of our own")?;
    let peers = answer["peers"].as_object().ok_or("no peers")?;
    let bytes =
        job["bytes"].as_f64().unwrap_or(f64::NAN) * job["passes"].as_f64().unwrap_or(f64::NAN);
    let limit = bytes / rate / ours;
    let row = |(name, seconds): (&String, &Value)| {
        let ratio = seconds.as_f64().map(|s| s / ours);
        json!({
            "work": format!("{}, l2 = {:e}", job["set"].as_str().unwrap_or_default(), job["l2"].as_f64().unwrap_or(0.0)),
            "quantity": format!("seconds to {ACCURACY:e} relative suboptimality"),
            "threads": threads,
            "peer": format!("scikit-learn {name}"),
            "peer_version": answer["version"],
            "ours_seconds": ours,
            "peer_seconds": seconds,
            "ratio": ratio,
            "limit_ratio": limit,
        })
    };
    Ok(peers.iter().map(row).collect())
}

fn table(rows: &[Value]) -> String {
    let mut text = String::from(
        "| work | threads | peer | ours | peer | ratio | limit |\n|---|---|---|---|---|---|---|\n",
    );
    let seconds = |v: &Value| {
        v.as_f64()
            .map_or_else(|| "never".into(), |s| format!("{:.2} ms", 1e3 * s))
    };
    for r in rows {
        let ratio = r["ratio"]
            .as_f64()
            .map_or_else(|| "-".into(), |r| format!("{r:.1}"));
        let _ = writeln!(
            text,
            "| {} | {} | {} {} | {} | {} | {ratio} | {:.2} |",
            r["work"].as_str().unwrap_or_default(),
            r["threads"],
            r["peer"].as_str().unwrap_or_default(),
            r["peer_version"].as_str().unwrap_or_default(),
            seconds(&r["ours_seconds"]),
            seconds(&r["peer_seconds"]),
            r["limit_ratio"].as_f64().unwrap_or(f64::NAN),
        );
    }
    text
}

/// Writes the record and the table in COMPARE.md.
fn record(rows: &[Value]) -> Result {
    let path = tools::root().join("bench/record/fit.json");
    std::fs::create_dir_all(path.parent().expect("a file in a folder"))
        .map_err(|e| e.to_string())?;
    let text = serde_json::to_string_pretty(rows).map_err(|e| e.to_string())?;
    std::fs::write(&path, text + "\n").map_err(|e| format!("{}: {e}", path.display()))?;
    let page = tools::root().join("COMPARE.md");
    let old = std::fs::read_to_string(&page).map_err(|e| format!("COMPARE.md: {e}"))?;
    let (start, end) = ("<!-- bench:fit -->\n", "<!-- /bench:fit -->");
    let (head, rest) = old
        .split_once(start)
        .ok_or("COMPARE.md has no place for the table")?;
    let (_, tail) = rest
        .split_once(end)
        .ok_or("COMPARE.md has no end of the table")?;
    std::fs::write(&page, format!("{head}{start}{}{end}{tail}", table(rows)))
        .map_err(|e| e.to_string())
}
