//! The same bits: for any number of threads on data of prime sizes, with or without onlookers, and as they always were.

use crate::support::functions::Function;
use quadric_core::random::SeedTree;
use quadric_core::{
    Budget, CheckpointPolicy, Control, DataMatrix, Driver, Overwrite, Problem, TraceHeader,
    TraceHost, TraceProblem, TraceWriter,
};
use quadric_models::{Glm, GlmOptions, Loss};
use quadric_opt::registry::{Entry, registry};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};

fn methods(problem: &dyn Problem<f64>) -> impl Iterator<Item = &'static Entry> {
    registry().iter().filter(|e| e.applies(problem))
}

fn steps(n: u64) -> Driver<'static> {
    Driver {
        budget: Budget {
            iterations: Some(n),
            ..Budget::default()
        },
        ..Driver::default()
    }
}

/// The point after the run, its value and its counts.
fn bits(driver: &mut Driver<'_>, entry: &Entry, glm: &Glm<f64>) -> (Vec<u64>, u64, u64) {
    let method = entry.build::<f64>(&Value::Null).unwrap();
    let o = method.run(driver, glm.start(), glm).unwrap();
    let x = o.x.iter().map(|v| v.to_bits()).collect();
    (x, o.value.unwrap().to_bits(), o.counts.evaluations())
}

/// Logistic regression on `n` sparse or dense random rows.
fn glm(n: usize, d: usize, per_row: usize) -> Glm<f64> {
    let mut s = SeedTree::new(3).child("determinism").stream(0);
    let x = if per_row < d {
        let (mut starts, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for _ in 0..n {
            let mut columns: Vec<u32> = (0..per_row).map(|_| s.below(d) as u32).collect();
            columns.sort_unstable();
            columns.dedup();
            values.extend(columns.iter().map(|_| s.normal()));
            indices.extend(columns);
            starts.push(indices.len() as u32);
        }
        DataMatrix::sparse(starts, indices, values, n, d)
    } else {
        DataMatrix::dense((0..n * d).map(|_| s.normal()).collect(), n, d)
    };
    let y: Vec<f64> = (0..n).map(|_| s.sign()).collect();
    let options = GlmOptions {
        loss: Loss::Logistic,
        l2: 1e-3,
        ..GlmOptions::default()
    };
    Glm::new(x.unwrap(), &y, None, &options).unwrap()
}

/// The pool is kept busy by another task while the methods run.
#[test]
fn t_d01_any_number_of_threads() {
    for glm in [glm(20_011, 257, 5), glm(3_001, 37, 37)] {
        for entry in methods(&glm) {
            let mut first = None;
            for threads in [1, 2, 3, 8] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let (pool, stop) = (pool.unwrap(), AtomicBool::new(false));
                pool.in_place_scope(|scope| {
                    if threads > 1 {
                        scope.spawn(|_| {
                            while !stop.load(Ordering::Relaxed) {
                                std::thread::yield_now();
                            }
                        });
                    }
                    let found = pool.install(|| bits(&mut steps(3), entry, &glm));
                    let expected = first.get_or_insert_with(|| found.clone());
                    assert!(*expected == found, "{} on {threads} threads", entry.name);
                    stop.store(true, Ordering::Relaxed);
                });
            }
        }
    }
}

/// A trace, a checkpoint after each step and a callback change nothing.
#[test]
fn t_d02_onlookers_change_nothing() {
    let glm = glm(503, 7, 7);
    for entry in methods(&glm) {
        let alone = bits(&mut steps(12), entry, &glm);
        let folder = tempfile::tempdir().unwrap();
        let mut watched = steps(12);
        let header = TraceHeader::new(
            Value::Null,
            0,
            TraceProblem::default(),
            TraceHost::default(),
        );
        let path = folder.path().join("trace.jsonl");
        let trace = TraceWriter::create(&path, Overwrite::Refuse, &header).unwrap();
        watched.callbacks.push(trace.callback());
        watched.callbacks.push(Box::new(|p| {
            assert!(p.value.is_some());
            Ok(Control::Continue)
        }));
        let path = folder.path().join("run.qckpt");
        watched.checkpoint = Some(CheckpointPolicy::every_iterations(path, 1));
        assert_eq!(bits(&mut watched, entry, &glm), alone, "{}", entry.name);
    }
}

/// The first five iterates of every method, as hexadecimal bits: `testdata/golden/methods.json`, which
/// `UPDATE_GOLDEN=1 cargo test -p quadric-opt t_d06` writes anew. A change of it belongs into the changelog.
#[test]
fn t_d06_golden_iterates() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../testdata/golden/methods.json"
    );
    let now = iterates();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text = serde_json::to_string_pretty(&now).unwrap() + "\n";
        std::fs::write(path, text).unwrap();
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    if golden["simd"] == now["simd"] {
        assert_eq!(golden, now);
    }
    // Bits are promised per level of vector instructions; across levels the iterates agree to rounding.
    let (golden, now) = (numbers(&golden["methods"]), numbers(&now["methods"]));
    assert_eq!(golden.len(), now.len());
    for (a, b) in golden.iter().zip(&now) {
        assert!((a - b).abs() <= 1e-9 * a.abs().max(1.0), "{a} is now {b}");
    }
}

fn iterates() -> Value {
    let glm = glm(101, 3, 3);
    let rosenbrock = Function::named("rosenbrock", 2).unwrap();
    let problems: [(&str, &dyn Problem<f64>, Vec<f64>); 2] = [
        ("logistic", &glm, glm.start()),
        ("rosenbrock", &rosenbrock, vec![-1.2, 1.0]),
    ];
    let mut all = serde_json::Map::new();
    for (name, problem, x0) in &problems {
        for entry in methods(*problem) {
            let method = entry.build::<f64>(&Value::Null).unwrap();
            let points: Vec<Vec<String>> = (1..=5)
                .map(|n| {
                    let o = method.run(&mut steps(n), x0.clone(), *problem).unwrap();
                    o.x.iter()
                        .map(|v| format!("{:016x}", v.to_bits()))
                        .collect()
                })
                .collect();
            all.insert(format!("{} on {name}", entry.name), points.into());
        }
    }
    serde_json::json!({"simd": quadric_linalg::simd_level(), "methods": all})
}

/// All numbers of a golden file.
fn numbers(v: &Value) -> Vec<f64> {
    match v {
        Value::String(bits) => vec![f64::from_bits(u64::from_str_radix(bits, 16).unwrap())],
        Value::Array(a) => a.iter().flat_map(numbers).collect(),
        Value::Object(o) => o.values().flat_map(numbers).collect(),
        _ => Vec::new(),
    }
}
