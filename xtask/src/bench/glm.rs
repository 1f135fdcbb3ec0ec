//! The suite `glm`: time to a given accuracy on classification and regression sets, beside every solver that people use for
//! them.
//!
//! Each contestant gets the loosest of its own tolerances at which its answer is within the accuracy, by one referee; its
//! time is the median over the repetitions at that tolerance.

use super::contestant::{Answer, Contestant, Where};
use super::jobs::{Job, Loss, jobs};
use super::referee::Referee;
use super::{Size, build_example, duration, markdown, median, memory_rate, python};
use crate::{Result, tools};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Relative suboptimality that everybody must reach.
const ACCURACY: f64 = 1e-8;
const REPETITIONS: usize = 5;
/// A contestant that needs this many times our time (or two seconds) is not waited for.
const PATIENCE: f64 = 20.0;
/// The same on the long sets: enough to tell who is first.
const LONG_PATIENCE: f64 = 1.3;
/// The loosest tolerance of ours that is tried on them, as a power of a tenth.
const LONG_DIGITS: i32 = 6;
/// How long starting and reading may take.
const READING: Duration = Duration::from_secs(600);

/// Someone who takes part.
struct Entrant {
    name: &'static str,
    version: &'static str,
    losses: &'static [Loss],
}

const fn peer(name: &'static str, version: &'static str, losses: &'static [Loss]) -> Entrant {
    Entrant {
        name,
        version,
        losses,
    }
}

const ALL: &[Loss] = &[Loss::Logistic, Loss::Softmax, Loss::Squared];
const CLASSES: &[Loss] = &[Loss::Logistic, Loss::Softmax];
const ONE: &[Loss] = &[Loss::Logistic, Loss::Squared];

const PEERS: &[Entrant] = &[
    peer("scikit-learn lbfgs", "1.9.1", CLASSES),
    peer("scikit-learn newton-cholesky", "1.9.1", CLASSES),
    peer("scikit-learn newton-cg", "1.9.1", CLASSES),
    peer("scikit-learn saga", "1.9.1", CLASSES),
    peer("scikit-learn Ridge cholesky", "1.9.1", &[Loss::Squared]),
    peer("scikit-learn Ridge svd", "1.9.1", &[Loss::Squared]),
    peer("scikit-learn Ridge lsqr", "1.9.1", &[Loss::Squared]),
    peer("liblinear", "2.50.0", &[Loss::Logistic]),
    peer("glum irls-ls", "3.4.1", ONE),
    peer("SciPy trust-ncg", "1.17.1", ONE),
    peer(ARGMIN, "0.11.0", ALL),
];
/// The only peer that is not in Python.
const ARGMIN: &str = "argmin L-BFGS";
const PACKAGES: &[&str] = &[
    "scikit-learn==1.9.1",
    "scipy==1.17.1",
    "liblinear-official==2.50.0",
    "glum==3.4.1",
];
/// Our own methods, of which the one that the default chose is left out.
const OURS: &[&str] = &[
    "newton",
    "trust-region-newton",
    "cubic-newton",
    "regularized-newton",
    "l-bfgs",
];

/// The best time of a contestant on a job.
struct Time {
    seconds: f64,
    passes: f64,
    /// The method that ran, of our own.
    method: Option<String>,
    /// The tolerance asked for, as a power of a tenth.
    digits: i32,
}

pub(super) fn measure(size: Size, only: &[String]) -> Result<Vec<Value>> {
    build_example("contestant")?;
    let manifest = tools::root().join("bench/minimize/Cargo.toml");
    let mut build = Command::new("cargo");
    build
        .args([
            "build",
            "--quiet",
            "--release",
            "--bin",
            "fit",
            "--manifest-path",
        ])
        .arg(manifest)
        .arg("--target-dir")
        .arg(tools::root().join("target/bench"));
    tools::run(build)?;
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

/// Everybody, each in a process of its own.
struct Hall {
    ours: Contestant,
    peers: BTreeMap<&'static str, Contestant>,
    data: Option<(PathBuf, Referee)>,
}

/// How many times our time a contestant may take.
fn patience(job: &Job) -> f64 {
    if job.long { LONG_PATIENCE } else { PATIENCE }
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
        let once = size == Size::Tiny || job.long;
        let trial = Trial {
            job,
            referee,
            repetitions: if once { 1 } else { REPETITIONS },
        };
        let own = |who: &mut Contestant, digits: i32| {
            let time = trial.time(who, place, "auto", Duration::from_secs(3600), digits)?;
            let (set, l2) = (&job.set, job.l2);
            time.ok_or_else(|| {
                format!("{set}, l2 = {l2:e}: our own answer is not within {ACCURACY:e}")
            })
        };
        // Before, between and after the others: a busy moment of the machine must not decide all ratios.
        let first = own(&mut self.ours, if job.long { LONG_DIGITS } else { 1 })?;
        let most = Duration::from_secs_f64((patience(job) * first.seconds).max(2.0));
        // Looser tolerances did not do, and would take long again.
        let digits = if job.long { first.digits } else { 1 };
        let mut times = Vec::new();
        let others = OURS.iter().filter(|m| first.method.as_deref() != Some(**m));
        for method in others {
            let time = trial.time(&mut self.ours, place, method, most, digits)?;
            let name = format!("quadric {method}");
            times.push((name, env!("CARGO_PKG_VERSION"), time));
        }
        let second = own(&mut self.ours, digits)?;
        times.extend(time_peers(&mut self.peers, &trial, place, most)?);
        let third = own(&mut self.ours, digits)?;
        let ours = Time {
            seconds: median(&mut [first.seconds, second.seconds, third.seconds]),
            ..first
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

/// The times of all peers that solve such problems.
fn time_peers(
    peers: &mut BTreeMap<&'static str, Contestant>,
    trial: &Trial<'_>,
    place: &Where<'_>,
    most: Duration,
) -> Result<Vec<(String, &'static str, Option<Time>)>> {
    let able = PEERS.iter().filter(|p| p.losses.contains(&trial.job.loss));
    able.map(|p| {
        let start = if p.name == ARGMIN { argmin } else { theirs };
        let contestant = peers
            .entry(p.name)
            .or_insert_with(|| Contestant::new(p.name, start));
        let time = trial.time(contestant, place, p.name, most, 1)?;
        Ok((p.name.to_owned(), p.version, time))
    })
    .collect()
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
        "work": work, "loss": job.loss.name(), "quantity": format!("seconds to {ACCURACY:e} relative suboptimality"),
        "threads": threads,
        "peer": name, "peer_version": version, "ours_seconds": ours.seconds, "peer_seconds": seconds,
        "ratio": ratio, "limit_ratio": limit, "patience": patience(job),
    })
}

fn ours(_: &str, place: &Where<'_>) -> Command {
    let mut command = Command::new(tools::root().join("target/release/examples/contestant"));
    command.arg(place.threads.to_string());
    command
}

fn argmin(_: &str, _: &Where<'_>) -> Command {
    Command::new(tools::root().join("target/bench/release/fit"))
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
    /// The median time at the loosest tolerance that suffices, of those from a power of a tenth on; none if none does within
    /// `most`.
    fn time(
        &self,
        who: &mut Contestant,
        place: &Where<'_>,
        solver: &str,
        most: Duration,
        digits: i32,
    ) -> Result<Option<Time>> {
        let good = self.job.optimum + ACCURACY * self.job.optimum.abs();
        let ask = |k: i32, repetitions: usize| {
            json!({ "file": self.job.file, "loss": self.job.loss.name(), "l2": self.job.l2, "solver": solver,
                "tol": 10f64.powi(-k), "repetitions": repetitions })
        };
        // Starting and reading take time that is nobody's.
        who.ask(place, &ask(0, 0), READING)?;
        for k in digits..=15 {
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
            if self.referee.objective(&once, self.job.loss, self.job.l2)? > good {
                continue;
            }
            let all = most * u32::try_from(self.repetitions).unwrap_or(u32::MAX);
            let timed = match self.repetitions {
                1 => once,
                more => match who.ask(place, &ask(k, more), all)? {
                    Answer::Solved(timed) => timed,
                    Answer::Failed(_) => return Ok(None),
                },
            };
            let seconds: Option<Vec<f64>> = timed["seconds"]
                .as_array()
                .and_then(|s| s.iter().map(Value::as_f64).collect());
            let mut seconds = seconds.ok_or_else(|| format!("{} told no times", who.name()))?;
            return Ok(Some(Time {
                seconds: median(&mut seconds),
                passes: timed["passes"].as_f64().unwrap_or(f64::NAN),
                method: timed["method"].as_str().map(str::to_owned),
                digits: k,
            }));
        }
        Ok(None)
    }
}

/// A table for classes and one for regression, each with a line per problem and number of threads: our time, and every
/// peer's as a multiple of it.
pub(super) fn table(rows: &[Value]) -> String {
    let mut text = String::new();
    for (title, losses) in [
        ("Classification", CLASSES),
        ("Regression", &[Loss::Squared]),
    ] {
        let of_these = |r: &&Value| losses.iter().any(|l| r["loss"] == l.name());
        let rows: Vec<&Value> = rows.iter().filter(of_these).collect();
        if !rows.is_empty() {
            let takes = |p: &&Entrant| losses.iter().any(|l| p.losses.contains(l));
            let peers: Vec<&str> = PEERS.iter().filter(takes).map(|p| p.name).collect();
            text += &format!("{title}\n\n{}\n", comparison(&rows, &peers));
        }
    }
    text
}

/// The rows of one problem and number of threads.
struct Contest<'a> {
    work: &'a Value,
    threads: &'a Value,
    rows: Vec<&'a Value>,
}

impl<'a> Contest<'a> {
    fn all(rows: &[&'a Value]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for row in rows {
            let (work, threads) = (&row["work"], &row["threads"]);
            match all
                .iter_mut()
                .find(|c| (c.work, c.threads) == (work, threads))
            {
                Some(contest) => contest.rows.push(row),
                None => all.push(Self {
                    work,
                    threads,
                    rows: vec![row],
                }),
            }
        }
        all
    }

    fn of(&self, name: &str) -> Option<&'a Value> {
        self.rows.iter().find(|r| r["peer"] == name).copied()
    }

    /// The time of a contestant in units of ours.
    fn ratio(&self, name: &str) -> Option<f64> {
        self.of(name)?["ratio"].as_f64()
    }

    /// Our fastest method but the default's.
    fn own(&self) -> Option<(f64, &'static str)> {
        let times = OURS
            .iter()
            .filter_map(|m| Some((self.ratio(&format!("quadric {m}"))?, *m)));
        times.min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// How long a contestant was waited for, in units of our time.
    fn patience(&self) -> f64 {
        self.rows[0]["patience"].as_f64().unwrap_or(PATIENCE)
    }

    /// The fastest peer; one that never gets there counts as the patience with it.
    fn best_peer(&self) -> f64 {
        let is_peer = |r: &&&Value| {
            !r["peer"]
                .as_str()
                .unwrap_or_default()
                .starts_with("quadric ")
        };
        let ratios = self.rows.iter().filter(is_peer);
        let ratios = ratios.filter_map(|r| r["ratio"].as_f64());
        ratios.min_by(f64::total_cmp).unwrap_or(self.patience())
    }
}

fn comparison(rows: &[&Value], peers: &[&str]) -> String {
    let contests = Contest::all(rows);
    let mut header = vec!["problem", "threads", "ours", "limit", "best of our own"];
    header.extend(peers);
    let lines = contests.iter().map(|c| {
        let any = c.rows[0];
        let mut line = vec![
            c.work.as_str().unwrap_or_default().to_owned(),
            c.threads.to_string(),
            duration(any["ours_seconds"].as_f64().unwrap_or(f64::NAN)),
            format!("{:.2}", any["limit_ratio"].as_f64().unwrap_or(f64::NAN)),
            c.own()
                .map_or(String::new(), |(r, m)| format!("{m} {r:.2}")),
        ];
        line.extend(peers.iter().map(|name| match c.of(name) {
            None => String::new(),
            Some(r) => r["ratio"].as_f64().map_or_else(
                || match c.patience() {
                    PATIENCE => "never".into(),
                    patience => format!("> {patience}"),
                },
                |r| format!("{r:.1}"),
            ),
        }));
        line
    });
    let mut text = markdown(&header, lines);
    text += &summary(&contests);
    text
}

/// How the default method stands in all: against each problem's best peer, and against the best of our own.
fn summary(contests: &[Contest<'_>]) -> String {
    let mut ratios: Vec<f64> = contests.iter().map(Contest::best_peer).collect();
    let middle = median(&mut ratios);
    let ahead = ratios.iter().filter(|r| **r >= 1.0).count();
    let own = contests.iter().filter_map(Contest::own);
    let close = own.filter(|(r, _)| *r >= 1.0 / 1.3).count();
    format!(
        "\nAgainst the fastest peer of each line: {ahead} of {all} times ahead, {middle:.1} times faster in the median, {:.2} at \
         least and {:.1} at most. Within 1.3 times the best of our own {close} of {all} times.\n",
        ratios[0],
        ratios[ratios.len() - 1],
        all = ratios.len(),
    )
}
