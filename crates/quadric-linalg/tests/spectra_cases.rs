//! The recorded cases of `testdata/cases/spectra` for operators; `quadric-curvature` runs those of models.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod krylov_support;

use faer::Mat;
use krylov_support::*;
use quadric_linalg::algebra::{Dense, Diagonal};
use quadric_linalg::dense::{svd, symmetric_eigen};
use quadric_linalg::estimate::{
    Density, DensityOptions, TraceMethod, TraceOptions, density, trace,
};
use quadric_linalg::random::SeedTree;
use quadric_linalg::spectrum::{EigenMethod, EigenOptions, Eigenpairs, Which, eigenpairs};
use quadric_linalg::{ErrorKind, LinearOperator, Scalar};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use toml::{Table, Value};

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/cases/spectra")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).unwrap()
}

/// A symmetric matrix of doubles: the order of the entries of a symmetric one does not matter.
fn read_npy(file: &str) -> Mat<f64> {
    let bytes = std::fs::read(folder().join(file)).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert!(bytes.starts_with(b"\x93NUMPY") && bytes[..header].windows(3).any(|w| w == b"<f8"));
    let values: Vec<f64> = (bytes[header..].chunks_exact(8))
        .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
        .collect();
    let n = values.len().isqrt();
    assert_eq!(n * n, values.len());
    Mat::from_fn(n, n, |i, j| values[i * n + j])
}

fn read_csv(file: &str) -> Mat<f64> {
    let text = read(file);
    let rows: Vec<Vec<f64>> = text
        .lines()
        .map(|line| line.split(',').map(|v| v.parse().unwrap()).collect())
        .collect();
    Mat::from_fn(rows.len(), rows[0].len(), |i, j| rows[i][j])
}

fn number(v: &Value) -> f64 {
    v.as_float().or(v.as_integer().map(|i| i as f64)).unwrap()
}

fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(number).collect()
}

#[track_caller]
fn near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{found:?} for {expected:?}");
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance, "{found:?} for {expected:?}");
    }
}

#[test]
fn every_case_has_its_right_answer() {
    let file: Table = read("cases.toml").parse().unwrap();
    let cases = file["case"].as_array().unwrap();
    assert_eq!(cases.len(), 11);
    for case in cases.iter().map(|c| c.as_table().unwrap()) {
        let id = case["id"].as_str().unwrap();
        println!("{id}");
        match id {
            "spec-cycle-graph-multiplicities" => cycle_graph(case),
            "spec-two-distinct-values" => two_distinct_values(case),
            "spec-density-weights-first-row" => density_weights(case),
            "spec-trace-of-indefinite-matrix" => indefinite_trace(case),
            "spec-lobpcg-path-graph" => path_graph(case),
            "spec-small-svd-zoo" => svd_zoo(case),
            "spec-infinite-entry" => infinite_entry(case),
            "spec-more-probes-than-dimension" => more_probes_than_dimension(case),
            "spec-fisher-scale-two-outputs"
            | "spec-unequal-last-batch"
            | "spec-posterior-sample-covariance" => {}
            _ => panic!("no runner for the case {id}"),
        }
    }
}

const METHODS: [EigenMethod; 4] = [
    EigenMethod::Auto,
    EigenMethod::ThickRestart,
    EigenMethod::Block,
    EigenMethod::Lobpcg,
];

/// Pairs of some seeds by each method.
fn by_all(
    op: &dyn LinearOperator<f64>,
    options: EigenOptions,
    seeds: u64,
    check: &dyn Fn(&Eigenpairs<f64>, &str),
) {
    for method in METHODS {
        for seed in 0..seeds {
            let options = EigenOptions { method, ..options };
            let pairs = eigenpairs(op, &options, SeedTree::new(seed)).unwrap();
            check(&pairs, &format!("{method:?}, seed {seed}"));
        }
    }
}

fn cycle_graph(case: &Table) {
    let op = Dense::symmetric(read_npy("cycle24.npy")).unwrap();
    let tolerance = number(&case["tolerance"]["value_abs"]);
    for (which, key) in [(Which::Largest, "top"), (Which::Smallest, "bottom")] {
        let expected = numbers(&case["expect"][key]);
        let options = EigenOptions {
            count: 5,
            which,
            tolerance: 1e-9,
            ..EigenOptions::default()
        };
        by_all(&op, options, 20, &|pairs, what| {
            assert!(pairs.is_converged(), "{what}");
            near(&pairs.values, &expected, tolerance);
        });
    }
    // A longer cycle, which is not written down: each value comes twice, and from its neighbours by less and less.
    let n = 300;
    let value = |k: usize| 1.0 - (std::f64::consts::TAU * k as f64 / n as f64).cos();
    let neighbour = |i: usize, j: usize| i.abs_diff(j) == 1 || i.abs_diff(j) == n - 1;
    let entry = |i: usize, j: usize| match i == j {
        true => 1.0,
        false => -0.5 * f64::from(u8::from(neighbour(i, j))),
    };
    let op = Dense::symmetric(Mat::from_fn(n, n, entry)).unwrap();
    for count in [5, 6] {
        let options = EigenOptions {
            count,
            which: Which::Smallest,
            tolerance: 1e-6,
            ..EigenOptions::default()
        };
        let expected: Vec<f64> = (0..count).map(|i| value(i.div_ceil(2))).collect();
        by_all(&op, options, 4, &|pairs, what| {
            if pairs.is_converged() {
                near(&pairs.values, &expected, 4e-6);
            } else {
                assert!(what.starts_with("Lobpcg"), "{what}");
            }
        });
    }
}

fn quadrature(op: &dyn LinearOperator<f64>, probes: usize, steps: usize, seed: u64) -> Density {
    let options = DensityOptions {
        probes,
        steps,
        dense: 0,
        ..DensityOptions::default()
    };
    density(op, None, &options, SeedTree::new(seed), |_| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

fn two_distinct_values(case: &Table) {
    let a = read_npy("two_values40.npy");
    let op = Dense::symmetric(a).unwrap();
    let (expect, tolerance) = (&case["expect"], &case["tolerance"]);
    for (which, key) in [(Which::Largest, "top"), (Which::Smallest, "bottom")] {
        let options = EigenOptions {
            count: 5,
            which,
            tolerance: 1e-9,
            ..EigenOptions::default()
        };
        by_all(&op, options, 20, &|pairs, what| {
            assert!(pairs.is_converged(), "{what}");
            let expected = numbers(&expect[key]);
            near(&pairs.values, &expected, number(&tolerance["value_abs"]));
        });
    }
    let exact = number(&expect["trace"]);
    for method in [TraceMethod::Auto, TraceMethod::XTrace, TraceMethod::Exact] {
        let options = TraceOptions {
            method,
            target: 1e-10,
            ..TraceOptions::default()
        };
        let report = trace(&op, &options, SeedTree::new(3)).unwrap();
        near(
            &[report.total.value],
            &[exact],
            number(&tolerance["trace_abs"]),
        );
    }
    let options = TraceOptions {
        method: TraceMethod::Hutchinson,
        ..TraceOptions::default()
    };
    assert!(
        trace(&op, &options, SeedTree::new(3))
            .unwrap()
            .total
            .contains(exact)
    );
    for seed in 0..20 {
        let found = quadrature(&op, 8, 20, seed);
        let mut weights = [0.0; 2];
        for (node, weight) in found.atoms() {
            let near = [-1.0, 3.0].map(|v: f64| (node - v).abs() <= 1e-8);
            assert!(near[0] || near[1] || weight <= 1e-8, "{node} {weight}");
            weights[usize::from(near[1])] += weight;
        }
        let below = found.cdf(0.0);
        assert!(
            below.contains(0.375) && (below.value - weights[0]).abs() < 1e-12,
            "seed {seed}: {below:?}"
        );
    }
}

fn density_weights(case: &Table) {
    let values: Vec<f64> = (read("diag10.csv").lines().skip(1))
        .map(|v| v.parse().unwrap())
        .collect();
    let (expect, tolerance) = (&case["expect"], &case["tolerance"]);
    // Signs, as the case says; our own starts are uniform on the sphere.
    for seed in 0..20 {
        let mut stream = SeedTree::new(seed).child("signs").stream(0);
        let state = quadric_linalg::estimate::QuadratureState {
            vectors: (0..10).map(|_| stream.sign() / 10f64.sqrt()).collect(),
            ..Default::default()
        };
        for store_basis in [true, false] {
            let options = DensityOptions {
                probes: 1,
                steps: 8,
                dense: 0,
                store_basis,
                ..DensityOptions::default()
            };
            let op = Diagonal(values.clone());
            let start = quadric_linalg::estimate::LanczosQuadrature::resume(
                &op,
                None,
                &options,
                state.clone(),
            );
            let mut run = start.unwrap();
            while run.step().unwrap() {}
            let rule = &run.density().unwrap().rules[0];
            let (nodes, weights) = (numbers(&expect["nodes"]), numbers(&expect["weights"]));
            if store_basis {
                near(&rule.nodes, &nodes, number(&tolerance["node_abs"]));
                near(&rule.weights, &weights, number(&tolerance["weight_abs"]));
            }
            // Without the basis, copies share a weight, and what lies between has none.
            for (node, weight) in nodes.iter().zip(&weights) {
                let found = rule.sum(|t| f64::from(u8::from((t - node).abs() < 0.01)));
                near(&[found], &[*weight], number(&tolerance["weight_abs"]));
            }
            for (j, moment) in numbers(&expect["moments"]).iter().enumerate() {
                let found = rule.sum(|t| t.powi(j as i32));
                let error = (found / moment - 1.0).abs();
                assert!(error <= number(&tolerance["moment_rel"]), "{j}: {found}");
            }
        }
    }
}

fn indefinite_trace(case: &Table) {
    let a = read_csv("indefinite12.csv");
    let op = Dense::symmetric(a.clone()).unwrap();
    let (expect, tolerance) = (&case["expect"], &case["tolerance"]);
    let exact = number(&expect["trace"]);
    let own: f64 = (0..12).map(|i| a[(i, i)].powi(2)).sum();
    assert_eq!(a.squared_norm_l2(), number(&expect["frobenius_squared"]));
    let variance = 2.0 * (a.squared_norm_l2() - own);
    assert_eq!(variance, number(&expect["hutchinson_variance_per_probe"]));
    near(
        &eigenvalues(&a),
        &numbers(&expect["dense_eigenvalues"]),
        1e-12,
    );
    let methods = [
        (TraceMethod::Hutchinson, 400),
        (TraceMethod::Hutchinson, 40),
        (TraceMethod::HutchPlusPlus, 400),
        (TraceMethod::XTrace, 400),
        (TraceMethod::Auto, 400),
        (TraceMethod::Auto, 11),
    ];
    for (method, max_products) in methods {
        let mut covered = 0;
        for seed in 0..200 {
            let options = TraceOptions {
                method,
                max_products,
                ..TraceOptions::default()
            };
            let report = trace(&op, &options, SeedTree::new(seed)).unwrap();
            // Nothing is met by luck: it would take a million probes.
            assert!(report.exact || !report.met, "{method:?}, seed {seed}");
            if report.exact {
                near(
                    &[report.total.value],
                    &[exact],
                    number(&tolerance["exact_abs"]),
                );
            }
            let slack = 1e-12;
            let (low, high) = (report.total.low - slack, report.total.high + slack);
            covered += usize::from((low..=high).contains(&exact));
        }
        println!("{method:?}, {max_products}: {covered}");
        let least = 200.0 * number(&tolerance["coverage_min"]);
        assert!(covered as f64 >= least, "{method:?}: {covered}");
    }
}

fn path_graph(case: &Table) {
    let (a, expected) = (read_npy("path10.npy"), numbers(&case["expect"]["values"]));
    let (op, tolerance) = (
        Dense::psd(a.clone()).unwrap(),
        number(&case["tolerance"]["value_abs"]),
    );
    let options = EigenOptions {
        count: 2,
        which: Which::Smallest,
        tolerance: 1e-8,
        ..EigenOptions::default()
    };
    let check = |a: &Mat<f64>, pairs: &Eigenpairs<f64>, what: &str| {
        for j in 0..2 {
            let v: Vec<f64> = (0..a.nrows()).map(|i| pairs.vectors[(i, j)]).collect();
            let shifted: Vec<f64> = v.iter().map(|v| pairs.values[j] * v).collect();
            let residual = norm(&minus(&times(a, &v), &shifted));
            let is_within = residual <= 1e-8 * pairs.norm + 1e-14;
            assert!(is_within || !pairs.converged[j], "{what}: {residual:e}");
        }
    };
    by_all(&op, options, 20, &|pairs, what| {
        check(&a, pairs, what);
        assert!(pairs.is_converged(), "{what}");
        near(&pairs.values, &expected, tolerance);
    });
    // A path that is too long to be written down, where ten iterations are not enough.
    let n = 200;
    let long = Mat::from_fn(n, n, |i, j| match i.abs_diff(j) {
        0 if i == 0 || i == n - 1 => 1.0,
        0 => 2.0,
        1 => -1.0,
        _ => 0.0,
    });
    let op = Dense::psd(long.clone()).unwrap();
    for max_products in [40, 4000] {
        let options = EigenOptions {
            max_products,
            ..options
        };
        by_all(&op, options, 4, &|pairs, what| {
            check(&long, pairs, what);
            assert!(max_products > 40 || !pairs.is_converged(), "{what}");
        });
    }
}

fn svd_zoo(case: &Table) {
    let zoo: serde_json::Value = serde_json::from_str(&read("svd_zoo.json")).unwrap();
    let started = Instant::now();
    for matrix in zoo.as_array().unwrap() {
        let name = matrix["name"].as_str().unwrap();
        let rows = matrix["a"].as_array().unwrap();
        let entry = |i: usize, j: usize| rows[i][j].as_f64().unwrap();
        let a = Mat::from_fn(rows.len(), rows[0].as_array().unwrap().len(), entry);
        let expected = numbers(&case["expect"]["singular_values"][name]);
        for (key, single) in [
            ("abs_times_largest", false),
            ("f32_abs_times_largest", true),
        ] {
            let tolerance = number(&case["tolerance"][key]) * expected[0];
            let found = match single {
                false => singular::<f64>(&a),
                true => singular::<f32>(&a),
            };
            near(&found, &expected, tolerance);
            if a.nrows() == a.ncols() && a == a.transpose() {
                let mut sizes: Vec<f64> = match single {
                    false => eigen::<f64>(&a),
                    true => eigen::<f32>(&a),
                };
                sizes.iter_mut().for_each(|v| *v = v.abs());
                sizes.sort_by(|a, b| b.total_cmp(a));
                near(&sizes, &expected, tolerance);
            }
        }
    }
    let limit = number(&case["expect"]["seconds_max"]);
    assert!(started.elapsed() < Duration::from_secs_f64(limit));
}

fn singular<T: Scalar>(a: &Mat<f64>) -> Vec<f64> {
    let values = svd(cast_mat::<T>(a).as_ref()).unwrap().values;
    values.iter().map(|v| v.to_f64()).collect()
}

fn eigen<T: Scalar>(a: &Mat<f64>) -> Vec<f64> {
    let values = symmetric_eigen(cast_mat::<T>(a).as_ref()).unwrap().values;
    values.iter().map(|v| v.to_f64()).collect()
}

fn infinite_entry(case: &Table) {
    let a = read_csv("with_inf.csv");
    let started = Instant::now();
    let whole = svd(a.as_ref()).unwrap_err();
    // The place counts from 0, that of the case from 1.
    let expected = &case["expect"]["error"];
    let place = ["line", "column"].map(|key| number(&expected[key]) as usize - 1);
    assert!(
        whole
            .to_string()
            .contains(&format!("({}, {})", place[0], place[1])),
        "{whole}"
    );
    let symmetric = Mat::from_fn(3, 3, |i, j| a[(i.max(j), i.min(j))]);
    let mut with_inf = symmetric.clone();
    (with_inf[(1, 0)], with_inf[(0, 1)]) = (f64::INFINITY, f64::INFINITY);
    let mut errors = vec![whole, symmetric_eigen(with_inf.as_ref()).unwrap_err()];
    let op = Dense::symmetric(with_inf.clone());
    let diagonal = Diagonal(vec![1.0, f64::INFINITY, 1.0]);
    match op {
        Err(error) => errors.push(error),
        Ok(op) => {
            errors.push(eigenpairs(&op, &EigenOptions::default(), SeedTree::new(0)).unwrap_err());
        }
    }
    errors.push(eigenpairs(&diagonal, &EigenOptions::default(), SeedTree::new(0)).unwrap_err());
    errors.push(trace(&diagonal, &TraceOptions::default(), SeedTree::new(0)).unwrap_err());
    errors.push(
        density(
            &diagonal,
            None,
            &DensityOptions::default(),
            SeedTree::new(0),
            |_| ControlFlow::Continue(()),
        )
        .unwrap_err(),
    );
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NonFinite, "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(1));
}

/// A trace that is exact where the products suffice, honest where they do not, or refused where they are too few for the method.
fn more_probes(op: &dyn LinearOperator<f64>, exact: f64, tolerance: f64, options: &TraceOptions) {
    let (n, max_products) = (op.shape().0, options.max_products);
    let what = format!("{:?}, n = {n}, {max_products} products", options.method);
    let report = match trace(op, options, SeedTree::new(7)) {
        Ok(report) => report,
        Err(error) => {
            assert!(max_products < 30 && max_products < n, "{what}: {error}");
            assert_eq!(error.kind(), ErrorKind::Argument);
            return;
        }
    };
    let (error, half) = (
        (report.total.value - exact).abs(),
        report.total.half_width(),
    );
    // Forty-one test vectors see everything without one of them.
    let sees_all = options.method == TraceMethod::XTrace && report.products >= 84;
    let limit = match (max_products >= n, sees_all) {
        (true, _) => tolerance,
        (false, true) => 20.0 * tolerance,
        _ => {
            assert!(error <= 3.0 * half, "{what}: {report:?}");
            return;
        }
    };
    assert!(error <= limit && half <= limit, "{what}: {report:?}");
}

fn more_probes_than_dimension(case: &Table) {
    let a = read_csv("rank2_of6.csv");
    let op = Dense::symmetric(a.clone()).unwrap();
    let (exact, tolerance) = (
        number(&case["expect"]["trace"]),
        number(&case["tolerance"]["abs"]),
    );
    // Positive semidefinite of the same rank, for the method that needs it.
    let square = Dense::psd(&a * &a).unwrap();
    let squared = a.squared_norm_l2();
    // Twenty copies: the dimension is 120, and rank 40 is met by the test vectors of some budgets.
    let many = Mat::from_fn(120, 120, |i, j| match i / 6 == j / 6 {
        true => a[(i % 6, j % 6)],
        false => 0.0,
    });
    let large = Dense::symmetric(many).unwrap();
    let methods = [
        TraceMethod::Auto,
        TraceMethod::XTrace,
        TraceMethod::HutchPlusPlus,
        TraceMethod::XNysTrace,
    ];
    for method in methods {
        let is_psd = method == TraceMethod::XNysTrace;
        for (op, exact) in match is_psd {
            true => vec![(&square, squared)],
            false => vec![(&op, exact), (&square, squared), (&large, 20.0 * exact)],
        } {
            for max_products in [4, 6, 12, 40, 100, 119, 240] {
                let options = TraceOptions {
                    method,
                    target: 0.0,
                    max_products,
                    ..TraceOptions::default()
                };
                more_probes(op, exact, tolerance, &options);
            }
        }
    }
}
