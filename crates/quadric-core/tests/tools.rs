//! Traces, configuration and the derivative checker.
#![allow(clippy::unwrap_used)]

mod support;

use faer::{MatMut, MatRef};
use quadric_core::config::{
    Config, Faults, Resolver, Source, Validate, field_table, nearest, resolved_json, resolved_toml,
};
use quadric_core::{
    BoxOp, Certificate, Counts, Driver, ErrorKind, Gap, LinearOperator, Objective, Problem,
    Progress, Properties, Result, SelfConcordant, Smooth, TraceHeader, TraceHost, TraceProblem,
    TraceWriter, TwiceSmooth, Verdict, capabilities, check_derivatives, read_trace,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{HeavyBall, PseudoHuber, Quadratic};

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Buffer {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

fn header() -> TraceHeader {
    let problem = TraceProblem {
        name: "p".into(),
        dim: 3,
        rows: Some(10),
        hash: Some("abc".into()),
        ..TraceProblem::default()
    };
    let host = TraceHost {
        threads: 2,
        simd: "avx2".into(),
    };
    TraceHeader::new(serde_json::json!({"tol": 1e-8}), 3, problem, host)
}

#[test]
fn traces_keep_every_bit() {
    let values = [
        0.1 + 0.2,
        1.0 / 3.0,
        -0.0,
        5e-324,
        f64::MAX,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        123_456_789.123_456_79,
    ];
    let buffer = Buffer::default();
    let trace = TraceWriter::new(buffer.clone(), &header());
    let mut callback = trace.callback();
    for (i, v) in values.iter().enumerate() {
        let certificate = Certificate {
            kind: "gap_bound",
            value: *v,
            scale: 1.0,
        };
        callback(&Progress {
            iteration: i as u64,
            elapsed: Duration::from_millis(i as u64),
            value: Some(*v),
            optimality: (i % 2 == 0).then_some(*v),
            certificate: Some(certificate),
            counts: Counts {
                gradients: i as u64,
                passes: 0.1 * i as f64,
                ..Counts::default()
            },
            notes: &[("note", *v)],
        })
        .unwrap();
    }
    let text = buffer.bytes();
    let read = read_trace(text.as_slice(), "t").unwrap();
    assert_eq!(read.header, header());
    assert_eq!(read.records.len(), values.len());
    for (i, (r, v)) in read.records.iter().zip(values).enumerate() {
        assert_eq!(r.f.unwrap().to_bits(), v.to_bits());
        assert_eq!(r.opt.map(f64::to_bits), (i % 2 == 0).then_some(v.to_bits()));
        assert_eq!(r.gap.unwrap().to_bits(), v.to_bits());
        assert_eq!(r.notes["note"].to_bits(), v.to_bits());
        assert_eq!(r.passes.to_bits(), (0.1 * i as f64).to_bits());
        assert_eq!(r.counts.gradients, i as u64);
    }
    assert!(read.end.is_none());
    // Every line is JSON as the standard has it.
    for line in String::from_utf8(text).unwrap().lines() {
        assert!(!line.contains("NaN,") && !line.contains("inf,"), "{line}");
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn traces_end_with_the_outcome() {
    let buffer = Buffer::default();
    let trace = TraceWriter::new(buffer.clone(), &header());
    let mut driver = Driver::default();
    driver.callbacks.push(trace.callback());
    let bowl = Quadratic {
        a: vec![1.0, 0.5],
        b: vec![1.0, 1.0],
    };
    let ball = HeavyBall {
        lr: 0.9,
        momentum: 0.1,
    };
    let o = driver.run(&ball, vec![0.0; 2], &bowl).unwrap();
    trace.end(&o, "t").unwrap();
    let read = read_trace(buffer.bytes().as_slice(), "t").unwrap();
    let end = read.end.unwrap();
    assert_eq!(
        (end.status, end.objective, end.iterations),
        (o.status, o.value, o.iterations)
    );
    assert_eq!((end.certificate, end.counts), (o.certificate, o.counts));
    assert_eq!(read.records.len() as u64, o.iterations + 1);
    assert!(read.records[1].notes.contains_key("speed"));
}

#[test]
fn malformed_traces_name_the_line() {
    let buffer = Buffer::default();
    let _ = TraceWriter::new(buffer.clone(), &header());
    let head = String::from_utf8(buffer.bytes()).unwrap();
    let record = r#"{"it":1,"t":0,"f":1,"passes":1,"counts":{"values":0,"gradients":0,"hessians":0,"products":0,"dense_hessians":0,"passes":1.0}}"#;
    let good = format!("{head}{record}\n");
    assert_eq!(read_trace(good.as_bytes(), "t").unwrap().records.len(), 1);
    for (bad, line, part) in [
        (format!("{good}{record}\n"), 3, "step 1 follows step 1"),
        (format!("{good}[]\n"), 3, "not a JSON object"),
        (format!("{good}{{}}\n"), 3, "`it`"),
        (format!("{good}nonsense\n"), 3, ""),
        (
            format!("{good}{{\"status\":\"odd\"}}\n"),
            3,
            "unknown status `odd`",
        ),
        (format!("{record}\n"), 1, "header"),
        (
            head.replace("\"schema\":1", "\"schema\":2"),
            1,
            "newer than 1",
        ),
    ] {
        let e = read_trace(bad.as_bytes(), "t").unwrap_err();
        assert_eq!(e.place().unwrap().line, line, "{bad}");
        assert!(e.to_string().contains(part), "{e}");
    }
    assert!(read_trace(&b""[..], "t").is_err());
}

/// Which rule shortens steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Rule {
    /// Halve until it fits.
    #[default]
    Backtracking,
    StrongWolfe,
}

/// The line search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Search {
    /// Which rule shortens steps.
    rule: Rule,
    /// Sufficient decrease, in (0, 1).
    decrease: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Solver {
    /// Relative tolerance.
    tol: f64,
    /// Most steps; none is no limit.
    max_iter: Option<u64>,
    /// Root of the random streams.
    seed: u64,
    /// Sizes to try.
    sizes: Vec<usize>,
    search: Search,
}

impl Default for Solver {
    fn default() -> Self {
        Self {
            tol: 1e-10,
            max_iter: None,
            seed: 0,
            sizes: vec![1, 2],
            search: Search {
                rule: Rule::default(),
                decrease: 1e-4,
            },
        }
    }
}

impl Validate for Search {
    fn validate(&self, faults: &mut Faults) {
        let holds = self.decrease > 0.0 && self.decrease < 1.0;
        faults.check(holds, "decrease", self.decrease, "a number between 0 and 1");
    }
}

impl Validate for Solver {
    fn validate(&self, faults: &mut Faults) {
        faults.check(self.tol >= 0.0, "tol", self.tol, "at least 0");
        faults.nested("search", &self.search);
    }
}

#[test]
fn stronger_sources_win() {
    let mut r = Resolver::default();
    r.set(Source::Flag, "--tol", "tol", "1e-3");
    r.assign(Source::Flag, "--set", "search.rule=strong-wolfe");
    r.set(Source::Environment, "QUADRIC_SEED", "seed", "7");
    r.set(Source::Environment, "QUADRIC_TOL", "tol", "1e-4");
    r.toml(
        "tol = 1e-5\nseed = 5\nmax_iter = 12\nsizes = [3]\n[search]\ndecrease = 0.25\n",
        "f",
    );
    let c: Solver = r.finish().unwrap();
    let expected = Solver {
        tol: 1e-3,
        max_iter: Some(12),
        seed: 7,
        sizes: vec![3],
        search: Search {
            rule: Rule::StrongWolfe,
            decrease: 0.25,
        },
    };
    assert_eq!(c, expected);
    // The resolved configuration gives itself.
    let mut again = Resolver::default();
    again.toml(&resolved_toml(&c).unwrap(), "resolved");
    assert_eq!(again.finish::<Solver>().unwrap(), c);
    assert_eq!(resolved_json(&c).unwrap()["search"]["rule"], "strong-wolfe");
    assert_eq!(
        Resolver::default().finish::<Solver>().unwrap(),
        Solver::default()
    );
}

#[test]
fn t_f08_all_faults_at_once_with_their_places() {
    let text = "toll = 1\ntol = \"small\"\nmax_iter = -3\n\n[search]\n  decrease = 2.0\n  rule = \"wolf\"\nsizes = [1, -1]\nseed = nan\n";
    let mut r = Resolver::default();
    r.toml(text, "run.toml");
    r.set(Source::Flag, "--seed", "seed", "nine");
    r.assign(Source::Flag, "--set", "search");
    let e = r.finish::<Solver>().unwrap_err();
    let all = e.to_string();
    for part in [
        "run.toml:1:1: `toll` is not a setting; did you mean `tol`?",
        "run.toml:2:1: `tol`",
        "run.toml:3:1: `max_iter`",
        "run.toml:6:3: `decrease` is 2; expected a number between 0 and 1",
        "run.toml:7:3: `search.rule`",
        "run.toml:8:1: `search.sizes` is not a setting",
        "run.toml:9:1: `search.seed` is not a setting",
        "--seed: `seed`",
        "--set: `search` is not of the form key=value",
        "9 faults",
    ] {
        assert!(all.contains(part), "{all}\nlacks: {part}");
    }
    assert_eq!(e.kind(), ErrorKind::Data);
}

#[test]
fn single_faults_have_a_place_of_their_own() {
    for (text, line, column, part) in [
        ("tol = 1e-3\nseed = inf\n", 2, 1, "finite"),
        ("tol = \n", 1, 0, ""),
        ("tol = 1\ntol = 2\n", 2, 0, "duplicate key"),
        ("\n[search.rule]\nx = 1\n", 3, 1, "single value"),
        ("seed = 18446744073709551616\n", 1, 1, "seed"),
        ("tol = 1979-05-27\n", 1, 1, "tol"),
    ] {
        let mut r = Resolver::default();
        r.toml(text, "f.toml");
        let e = r.finish::<Solver>().unwrap_err();
        let place = e.place().unwrap_or_else(|| panic!("{e}"));
        assert_eq!(place.line, line, "{e}");
        assert!(column == 0 || place.column == column, "{e}");
        assert!(e.to_string().contains(part), "{e}");
    }
    let deep = format!("tol = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut r = Resolver::default();
    r.toml(&deep, "f.toml");
    assert!(r.finish::<Solver>().is_err());
    let mut r = Resolver::default();
    r.toml(&"#".repeat(2 << 20), "f.toml");
    assert!(r.finish::<Solver>().is_err());
}

#[test]
fn field_tables_document_every_setting() {
    let table = field_table::<Solver>();
    let row = |name: &str| {
        let f = table
            .iter()
            .find(|f| f.name == name)
            .unwrap_or_else(|| panic!("{name}: {table:?}"));
        (f.kind.clone(), f.default.clone(), f.doc.clone())
    };
    let text = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(row("tol"), text("number", "1e-10", "Relative tolerance."));
    assert_eq!(
        row("max_iter"),
        text("integer or none", "none", "Most steps; none is no limit.")
    );
    assert_eq!(
        row("sizes"),
        text("list of integer", "[1,2]", "Sizes to try.")
    );
    assert_eq!(row("search.decrease").1, "0.0001");
    assert_eq!(row("search.rule").0, "one of: strong-wolfe, backtracking");
    assert_eq!(table.len(), 6);
    fn is_config<C: Config>() {}
    is_config::<Solver>();
}

#[test]
fn near_names() {
    let names = ["newton", "l-bfgs", "bfgs", "svrg"];
    assert_eq!(nearest("newtn", names), Some("newton"));
    assert_eq!(nearest("LBFGS", names), Some("l-bfgs"));
    assert_eq!(nearest("nweton", names), Some("newton"));
    assert_eq!(nearest("", names), None);
    assert_eq!(nearest("x", names), None);
    assert_eq!(nearest(&"q".repeat(1 << 20), names), None);
}

fn point(n: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 37 % 11) as f64 - 5.0) / 4.0).collect()
}

#[test]
fn the_checker_passes_right_problems() {
    for n in [1, 2, 13, 40] {
        let report = check_derivatives(&PseudoHuber::new(n), &point(n), 5).unwrap();
        assert!(report.passed(), "{report}");
    }
    let f32s = Quadratic::<f32> {
        a: vec![1.0, 3.0, 0.1],
        b: vec![0.5, 2.0, 1.0],
    };
    let report = check_derivatives(&f32s, &[0.3, -2.0, 7.0], 5).unwrap();
    assert!(report.passed(), "{report}");
    let text = report.to_string();
    assert!(text.contains("pass  gradient against values"), "{text}");
    assert!(text.contains("skip  "), "{text}");
    assert_eq!(
        check_derivatives(&f32s, &[0.0; 2], 5).unwrap_err().kind(),
        ErrorKind::Shape
    );
}

/// `x' A x / 2` with one thing wrong at a time.
struct Wrong(&'static str);

const A: [[f64; 3]; 3] = [[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 3.0]];

fn times(x: &[f64]) -> Vec<f64> {
    A.iter()
        .map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum())
        .collect()
}

struct WrongHessian(&'static str);

impl LinearOperator<f64> for WrongHessian {
    fn shape(&self) -> (usize, usize) {
        (3, 3)
    }
    fn apply(&self, x: MatRef<'_, f64>, mut y: MatMut<'_, f64>) -> Result<()> {
        for j in 0..x.ncols() {
            let column: Vec<f64> = (0..3).map(|i| x[(i, j)]).collect();
            let mut out = times(&column);
            match self.0 {
                "hessian" => out[1] *= 1.001,
                "asymmetric" => out[0] += 0.01 * column[2],
                "negative" => out.iter_mut().for_each(|v| *v = -*v),
                "block" if j == 1 => out[0] += 0.1,
                _ => {}
            }
            for (i, v) in out.into_iter().enumerate() {
                y[(i, j)] = v;
            }
        }
        Ok(())
    }
    fn properties(&self) -> Properties {
        Properties::PSD
    }
}

impl Problem<f64> for Wrong {
    fn dim(&self) -> usize {
        3
    }
    fn gap(&self, x: &[f64]) -> Result<Option<Gap>> {
        let bound = self.value(x)?;
        let bound = if self.0 == "gap" { bound * 0.5 } else { bound };
        Ok(Some(Gap { bound, scale: 1.0 }))
    }
    capabilities!(f64: SelfConcordant);
}
impl Objective<f64> for Wrong {
    fn value(&self, x: &[f64]) -> Result<f64> {
        let quadratic = quadric_core::vector::dot(x, &times(x)) / 2.0;
        Ok(if self.0 == "value" {
            quadratic + 1e-3 * x[0]
        } else if self.0 == "cubic" {
            quadratic + 1e-2 * x[0].powi(3)
        } else {
            quadratic
        })
    }
}
impl Smooth<f64> for Wrong {
    fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
        g.copy_from_slice(&times(x));
        if self.0 == "gradient" {
            g[2] *= 1.0001;
        }
        if self.0 == "cubic" {
            g[0] += 3e-2 * x[0].powi(2);
        }
        self.value(x)
    }
}
impl TwiceSmooth<f64> for Wrong {
    fn hessian(&self, x: &[f64]) -> Result<BoxOp<'_, f64>> {
        if self.0 == "cubic" {
            return Ok(Box::new(support::Diagonal(vec![
                2.0 + 6e-2 * x[0],
                1.0,
                3.0,
            ])));
        }
        Ok(Box::new(WrongHessian(self.0)))
    }
}
impl SelfConcordant<f64> for Wrong {
    fn concordance(&self, _: &[f64]) -> Result<f64> {
        Ok(0.0)
    }
}

#[test]
fn the_checker_finds_each_planted_fault() {
    let report = check_derivatives(&Wrong("nothing"), &[0.4, -1.0, 2.0], 1).unwrap();
    assert!(report.passed(), "{report}");
    for (fault, check) in [
        ("value", "gradient against values"),
        ("gradient", "gradient against values"),
        ("hessian", "Hessian against gradients"),
        ("asymmetric", "operator equals its adjoint (pairs)"),
        ("negative", "positive semidefinite as claimed"),
        ("block", "blocks and dense matrix"),
        ("gap", "gap bound against descent"),
        ("cubic", "self-concordance"),
    ] {
        let report = check_derivatives(&Wrong(fault), &[0.4, -1.0, 2.0], 1).unwrap();
        let found = report.failures().any(|c| c.name == check);
        assert!(found, "`{fault}` was not found by `{check}`:\n{report}");
        assert!(
            report
                .checks
                .iter()
                .all(|c| c.verdict != Verdict::Failed || c.error > c.limit)
        );
    }
}

/// `|x|²`, or `|x|²` with a last digit that changes from call to call.
struct Drift(AtomicU64, bool);

impl Problem<f64> for Drift {
    fn dim(&self) -> usize {
        2
    }
    capabilities!(f64: Smooth);
}
impl Objective<f64> for Drift {
    fn value(&self, x: &[f64]) -> Result<f64> {
        let calls = self.0.fetch_add(1, Ordering::Relaxed);
        let noise = f64::EPSILON * (calls % 3) as f64;
        Ok(x.iter().map(|x| x * x).sum::<f64>() * if self.1 { 1.0 + noise } else { 1.0 })
    }
}
impl Smooth<f64> for Drift {
    fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
        for (g, x) in g.iter_mut().zip(x) {
            *g = 2.0 * x;
        }
        self.value(x)
    }
}

#[test]
fn t_d07_two_answers_at_one_point_are_found() {
    for drifts in [false, true] {
        let problem = Drift(AtomicU64::new(0), drifts);
        let report = check_derivatives(&problem, &[0.4, -1.0], 1).unwrap();
        let found = report
            .failures()
            .any(|c| c.name == "two evaluations are equal");
        assert_eq!(found, drifts, "{report}");
    }
}
