//! The suite `glm`: time to a given accuracy on classification sets, beside every solver that people use for them.
//!
//! Each contestant gets the loosest of its own tolerances at which its answer is within the accuracy, by one referee; its
//! time is the median over the repetitions at that tolerance.

use super::contestant::{Answer, Contestant, Where};
use super::referee::Referee;
use super::{Size, build_example, duration, markdown, median, memory_rate, python};
use crate::{Result, tools};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Relative suboptimality that everybody must reach.
const ACCURACY: f64 = 1e-8;
const REPETITIONS: usize = 5;
/// A contestant that needs this many times our time (or two seconds) is not waited for.
const PATIENCE: f64 = 20.0;
/// Smaller penalties leave most peers without an answer within the time they have.
const LEAST_L2: f64 = 1e-6;
/// How long starting and reading may take.
const READING: Duration = Duration::from_secs(600);
/// Sets that take minutes per fit, measured only when they are named.
const LONG: &[&str] = &["mnist", "news20", "cifar10"];

/// Someone who takes part.
struct Entrant {
    name: &'static str,
    version: &'static str,
    /// True if it can do more than two classes.
    softmax: bool,
}

const fn peer(name: &'static str, version: &'static str, softmax: bool) -> Entrant {
    Entrant {
        name,
        version,
        softmax,
    }
}

const PEERS: &[Entrant] = &[
    peer("scikit-learn lbfgs", "1.9.1", true),
    peer("scikit-learn newton-cholesky", "1.9.1", true),
    peer("scikit-learn newton-cg", "1.9.1", true),
    peer("scikit-learn saga", "1.9.1", true),
    peer("liblinear", "2.50.0", false),
    peer("glum irls-ls", "3.4.1", false),
    peer("SciPy trust-ncg", "1.17.1", false),
];
const PACKAGES: &[&str] = &[
    "scikit-learn==1.9.1",
    "scipy==1.17.1",
    "liblinear-official==2.50.0",
    "glum==3.4.1",
];
/// Our own methods beside the default.
const OURS: &[&str] = &[
    "newton",
    "trust-region-newton",
    "cubic-newton",
    "regularized-newton",
    "l-bfgs",
];

/// One problem.
struct Job {
    set: String,
    file: PathBuf,
    l2: f64,
    optimum: f64,
}

/// The best time of a contestant on a job.
struct Time {
    seconds: f64,
    passes: f64,
}

pub(super) fn measure(size: Size, only: &[String]) -> Result<Vec<Value>> {
    build_example("contestant")?;
    let Some(python) = python(PACKAGES, size)? else {
        return Ok(Vec::new());
    };
    let jobs = jobs(size, only)?;
    let threads = if size == Size::Tiny {
        &[1][..]
    } else {
        &[1, 2][..]
    };
    let mut rows = Vec::new();
    for &threads in threads {
        let place = Where {
            python: &python,
            threads,
        };
        let rate = memory_rate(threads);
        let mut hall = Hall::new();
        for job in &jobs {
            rows.extend(hall.compare(job, &place, rate, size)?);
        }
    }
    Ok(rows)
}

/// The sets with an independent optimum: the embedded ones, and those in the folder that QUADRIC_DATA names.
fn jobs(size: Size, only: &[String]) -> Result<Vec<Job>> {
    let text =
        std::fs::read_to_string(tools::root().join("testdata/reference/classification.toml"))
            .map_err(|e| e.to_string())?;
    let table: toml::Table = text.parse().map_err(|e| format!("the reference: {e}"))?;
    let mut jobs = Vec::new();
    for row in table["optimum"]
        .as_array()
        .ok_or("the reference has no optima")?
    {
        let set = row["set"].as_str().ok_or("an optimum without a set")?;
        let (l2, optimum) = (row["l2"].as_float(), row["objective"].as_float());
        let (Some(l2), Some(optimum)) = (l2, optimum) else {
            return Err(format!("an optimum of {set} without numbers"));
        };
        if l2 < LEAST_L2 {
            continue;
        }
        let wanted = match size {
            Size::Tiny => set == "wdbc" && l2 == 1e-2,
            Size::Full if only.is_empty() => !LONG.contains(&set),
            Size::Full => only.iter().any(|o| o == set),
        };
        if wanted && let Some(file) = converted(set)? {
            jobs.push(Job {
                set: set.to_owned(),
                file,
                l2,
                optimum,
            });
        }
    }
    Ok(jobs)
}

/// The set as svmlight text; none if it is neither embedded nor in the folder.
fn converted(set: &str) -> Result<Option<PathBuf>> {
    let folder = tools::root().join("target/bench");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let file = folder.join(format!("{set}.svm"));
    if file.exists() {
        return Ok(Some(file));
    }
    let outside = std::env::var_os("QUADRIC_DATA").map(|f| Path::new(&f).join(set));
    let names = [
        format!("{set}.gz"),
        format!("{set}.csv.gz"),
        format!("{set}.train.tsv.gz"),
        "train-images-idx3-ubyte.gz".into(),
        "train_10k.bin.xz".into(),
    ];
    let found = outside.and_then(|f| names.iter().map(|n| f.join(n)).find(|p| p.exists()));
    let mut convert = Command::new(tools::root().join("target/release/quadric"));
    convert
        .args(["data", "convert"])
        .arg(found.as_deref().unwrap_or(Path::new(set)))
        .arg(&file);
    if set == "higgs_sample" || set == "group_colon" {
        convert.args(["--target", "1"]);
    }
    let output = convert
        .output()
        .map_err(|e| format!("cannot run quadric: {e}"))?;
    if !output.status.success() {
        println!("skipped: {set} is not embedded; name its folder with QUADRIC_DATA");
        return Ok(None);
    }
    Ok(Some(file))
}

/// Everybody, each in a process of its own.
struct Hall {
    ours: Contestant,
    peers: BTreeMap<&'static str, Contestant>,
    data: Option<(PathBuf, Referee)>,
}

impl Hall {
    fn new() -> Self {
        Self {
            ours: Contestant::new("quadric", ours),
            peers: BTreeMap::new(),
            data: None,
        }
    }

    /// The rows of one job.
    fn compare(
        &mut self,
        job: &Job,
        place: &Where<'_>,
        rate: f64,
        size: Size,
    ) -> Result<Vec<Value>> {
        if self.data.as_ref().is_none_or(|(file, _)| *file != job.file) {
            self.data = Some((job.file.clone(), Referee::read(&job.file)?));
        }
        let (_, referee) = self.data.as_ref().expect("just read");
        let repetitions = if size == Size::Tiny { 1 } else { REPETITIONS };
        let trial = Trial {
            job,
            referee,
            repetitions,
        };
        let none = || {
            format!(
                "{}, l2 = {:e}: our own answer is not within {ACCURACY:e}",
                job.set, job.l2
            )
        };
        let own = |who: &mut Contestant| {
            let time = trial.time(who, place, "auto", Duration::from_secs(3600))?;
            time.ok_or_else(none)
        };
        // Before, between and after the others: a busy moment of the machine must not decide all ratios.
        let first = own(&mut self.ours)?;
        let most = Duration::from_secs_f64((PATIENCE * first.seconds).max(2.0));
        let mut times = Vec::new();
        for method in OURS {
            let time = trial.time(&mut self.ours, place, method, most)?;
            let name = format!("quadric {method}");
            times.push((name, env!("CARGO_PKG_VERSION"), time));
        }
        let second = own(&mut self.ours)?;
        for p in PEERS.iter().filter(|p| p.softmax || referee.labels == 2) {
            let contestant = self
                .peers
                .entry(p.name)
                .or_insert_with(|| Contestant::new(p.name, theirs));
            let time = trial.time(contestant, place, p.name, most)?;
            times.push((p.name.to_owned(), p.version, time));
        }
        let third = own(&mut self.ours)?;
        let ours = Time {
            seconds: median(&mut [first.seconds, second.seconds, third.seconds]),
            passes: first.passes,
        };
        // Values with columns, and per row the start, target, product and residual.
        let bytes = (12 * referee.nonzeros() + 28 * referee.rows()) as f64;
        let limit = bytes * ours.passes / rate / ours.seconds;
        let row = |(name, version, time): (String, &str, Option<Time>)| {
            row(job, place.threads, (&name, version), &ours, time, limit)
        };
        Ok(times.into_iter().map(row).collect())
    }
}

/// The row of a contestant, which is shown as well.
fn row(
    job: &Job,
    threads: usize,
    (name, version): (&str, &str),
    ours: &Time,
    theirs: Option<Time>,
    limit: f64,
) -> Value {
    let seconds = theirs.map(|t| t.seconds);
    let ratio = seconds.map(|s| s / ours.seconds);
    let said = seconds.zip(ratio).map_or("never".into(), |(s, ratio)| {
        format!("{} ({ratio:.2})", duration(s))
    });
    let work = format!("{}, l2 = {:e}", job.set, job.l2);
    println!("{work}, {threads} threads: {name}: {said}");
    json!({
        "work": work, "quantity": format!("seconds to {ACCURACY:e} relative suboptimality"), "threads": threads,
        "peer": name, "peer_version": version, "ours_seconds": ours.seconds, "peer_seconds": seconds,
        "ratio": ratio, "limit_ratio": limit,
    })
}

fn ours(_: &str, place: &Where<'_>) -> Command {
    let mut command = Command::new(tools::root().join("target/release/examples/contestant"));
    command.arg(place.threads.to_string());
    command
}

fn theirs(name: &str, place: &Where<'_>) -> Command {
    let mut command = Command::new(place.python);
    command.arg("bench/contestant.py").arg(name);
    for variable in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
        command.env(variable, place.threads.to_string());
    }
    // Settings of this machine that slow the peers' library down.
    command
        .env_remove("OPENBLAS_CORETYPE")
        .env_remove("OPENBLAS_L2_SIZE");
    command
}

/// A job under its referee.
struct Trial<'a> {
    job: &'a Job,
    referee: &'a Referee,
    repetitions: usize,
}

impl Trial<'_> {
    /// The median time at the loosest tolerance that suffices; none if none does within `most`.
    fn time(
        &self,
        who: &mut Contestant,
        place: &Where<'_>,
        solver: &str,
        most: Duration,
    ) -> Result<Option<Time>> {
        let good = self.job.optimum + ACCURACY * self.job.optimum.abs();
        let ask = |k: i32, repetitions: usize| {
            json!({ "file": self.job.file, "l2": self.job.l2, "solver": solver,
                "tol": 10f64.powi(-k), "repetitions": repetitions })
        };
        // Starting and reading take time that is nobody's.
        who.ask(place, &ask(0, 0), READING)?;
        for k in 1..=15 {
            let once = match who.ask(place, &ask(k, 1), most)? {
                Answer::Solved(once) => once,
                Answer::Failed(why) => {
                    println!(
                        "{} on {}, l2 = {:e}: {why}",
                        who.name(),
                        self.job.set,
                        self.job.l2
                    );
                    return Ok(None);
                }
            };
            if self.referee.objective(&once, self.job.l2)? > good {
                continue;
            }
            let all = most * u32::try_from(self.repetitions).unwrap_or(u32::MAX);
            let Answer::Solved(timed) = who.ask(place, &ask(k, self.repetitions), all)? else {
                return Ok(None);
            };
            let seconds: Option<Vec<f64>> = timed["seconds"]
                .as_array()
                .and_then(|s| s.iter().map(Value::as_f64).collect());
            let mut seconds = seconds.ok_or_else(|| format!("{} told no times", who.name()))?;
            return Ok(Some(Time {
                seconds: median(&mut seconds),
                passes: timed["passes"].as_f64().unwrap_or(f64::NAN),
            }));
        }
        Ok(None)
    }
}

/// One line per problem and number of threads: our time, and every peer's as a multiple of it.
pub(super) fn table(rows: &[Value]) -> String {
    let names: Vec<&str> = PEERS.iter().map(|p| p.name).collect();
    let mut problems: Vec<(&Value, &Value)> =
        rows.iter().map(|r| (&r["work"], &r["threads"])).collect();
    problems.dedup();
    let mut header = vec!["problem", "threads", "ours", "limit", "best of our own"];
    header.extend(&names);
    let lines = problems.iter().map(|(work, threads)| {
        let of = |name: &str| {
            rows.iter()
                .find(|r| (&r["work"], &r["threads"]) == (work, threads) && r["peer"] == name)
        };
        let ratio = |name: &str| match of(name) {
            None => String::new(),
            Some(r) => r["ratio"]
                .as_f64()
                .map_or("never".into(), |r| format!("{r:.1}")),
        };
        let any = of(&format!("quadric {}", OURS[0])).expect("every problem has our own methods");
        let own = OURS.iter().filter_map(|m| {
            of(&format!("quadric {m}"))?["ratio"]
                .as_f64()
                .map(|r| (r, m))
        });
        let own = own.min_by(|a, b| a.0.total_cmp(&b.0));
        let mut line = vec![
            work.as_str().unwrap_or_default().to_owned(),
            threads.to_string(),
            duration(any["ours_seconds"].as_f64().unwrap_or(f64::NAN)),
            format!("{:.2}", any["limit_ratio"].as_f64().unwrap_or(f64::NAN)),
            own.map_or(String::new(), |(r, m)| format!("{m} {r:.2}")),
        ];
        line.extend(names.iter().map(|n| ratio(n)));
        line
    });
    let mut text = markdown(&header, lines);
    text += &summary(rows, &problems);
    text
}

/// How the default method stands in all: against each problem's best peer.
fn summary(rows: &[Value], problems: &[(&Value, &Value)]) -> String {
    let best = |(work, threads): &(&Value, &Value)| {
        let ratios = rows
            .iter()
            .filter(|r| (&r["work"], &r["threads"]) == (*work, *threads))
            .filter(|r| {
                !r["peer"]
                    .as_str()
                    .unwrap_or_default()
                    .starts_with("quadric ")
            })
            .filter_map(|r| r["ratio"].as_f64());
        ratios.min_by(f64::total_cmp).unwrap_or(PATIENCE)
    };
    let mut ratios: Vec<f64> = problems.iter().map(best).collect();
    if ratios.is_empty() {
        return String::new();
    }
    let middle = median(&mut ratios);
    let ahead = ratios.iter().filter(|r| **r >= 1.0).count();
    format!(
        "\nAgainst the fastest peer of each line: {ahead} of {} times ahead, {middle:.1} times faster in the median, {:.1} at least and {:.1} at most.\n",
        ratios.len(),
        ratios[0],
        ratios[ratios.len() - 1]
    )
}
