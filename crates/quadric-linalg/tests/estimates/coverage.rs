//! How often the intervals contain the truth, over 200 seeds each. At 95 % a binomial variable falls below 182 once in a hundred.

use super::krylov_support::*;
use super::{N, diagonal, spectra};
use quadric_linalg::LinearOperator;
use quadric_linalg::algebra::{Dense, Diagonal};
use quadric_linalg::estimate::{
    DensityOptions, DiagonalMethod, DiagonalOptions, Eigenspace, Estimate, Probe, TraceMethod,
    TraceOptions, deflated_trace, density, trace,
};
use quadric_linalg::parallel::map;
use quadric_linalg::random::SeedTree;
use std::ops::ControlFlow;

const SEEDS: u64 = 200;
const LEAST: usize = 182;

/// How many of the intervals contain the trace.
fn covered(
    what: &str,
    op: &dyn LinearOperator<f64>,
    exact: f64,
    options: &TraceOptions,
) -> (usize, usize) {
    let found = map(0..SEEDS, |_, seed| {
        let report = trace(op, options, SeedTree::new(seed).child("coverage")).unwrap();
        let rounding = 1e-13 * exact.abs();
        let error = (report.total.value - exact).abs();
        (
            error <= report.total.half_width() + rounding,
            report.products,
        )
    });
    let hits = found.iter().filter(|f| f.0).count();
    let products: usize = found.iter().map(|f| f.1).sum();
    println!(
        "{what}: {hits} of {SEEDS}, {} products",
        products / SEEDS as usize
    );
    (hits, products)
}

const METHODS: [TraceMethod; 4] = [
    TraceMethod::Hutchinson,
    TraceMethod::HutchPlusPlus,
    TraceMethod::XTrace,
    TraceMethod::XNysTrace,
];

/// Seeds 0 to 199, a fixed number of products.
#[test]
fn a_fixed_number_of_products() {
    let mut missed = Vec::new();
    for (name, values) in spectra() {
        let exact = values.iter().sum();
        for method in METHODS {
            if method == TraceMethod::XNysTrace && values.iter().any(|v| *v < 0.0) {
                continue;
            }
            for products in [36, 99] {
                let options = TraceOptions {
                    method,
                    probe: Probe::Sphere,
                    target: 0.0,
                    max_products: products,
                    ..TraceOptions::default()
                };
                let what = format!("{method:?} {name} {products}");
                let hits = covered(&what, &diagonal(&values), exact, &options).0;
                if hits < LEAST {
                    missed.push((what, hits));
                }
            }
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

/// Seeds 0 to 199, and as many products as the accuracy takes.
#[test]
fn stopping_at_an_accuracy() {
    let mut missed = Vec::new();
    for (name, values) in spectra() {
        let exact = values.iter().sum();
        for method in [TraceMethod::Auto].into_iter().chain(METHODS) {
            if method == TraceMethod::XNysTrace && values.iter().any(|v| *v < 0.0) {
                continue;
            }
            for target in [0.1, 0.03] {
                let options = TraceOptions {
                    method,
                    probe: Probe::Sphere,
                    target,
                    max_products: 2 * N,
                    ..TraceOptions::default()
                };
                let what = format!("{method:?} {name} to {target}");
                let hits = covered(&what, &diagonal(&values), exact, &options).0;
                if hits < LEAST {
                    missed.push((what, hits));
                }
            }
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

/// The case that is hardest for the estimates that leave a test vector out: as many large eigenvalues as test vectors.
#[test]
fn a_gap_at_the_number_of_test_vectors() {
    let values: Vec<f64> = (0..N).map(|i| if i < 20 { 1.0 } else { 1e-3 }).collect();
    for (method, products) in [(TraceMethod::XTrace, 40), (TraceMethod::XNysTrace, 20)] {
        let options = TraceOptions {
            method,
            target: 0.0,
            max_products: products,
            ..TraceOptions::default()
        };
        let exact = values.iter().sum();
        let hits = covered(&format!("{method:?}"), &diagonal(&values), exact, &options).0;
        assert!(hits >= 160);
    }
    // To an accuracy, the next look tells.
    let options = TraceOptions {
        target: 0.01,
        ..TraceOptions::default()
    };
    let hits = covered("Auto", &diagonal(&values), values.iter().sum(), &options).0;
    assert!(hits >= LEAST);
}

/// Signs on a matrix that is not diagonal, in total and in parts.
#[test]
fn signs_and_parts() {
    let values: Vec<f64> = (0..60).map(|i| 1.0 + f64::from(i) / 30.0).collect();
    let a = with_spectrum(&values, 9);
    let op = Dense::symmetric(a.clone()).unwrap();
    for probe in [Probe::Rademacher, Probe::Gaussian] {
        let options = TraceOptions {
            method: TraceMethod::Hutchinson,
            probe,
            target: 0.02,
            parts: vec![0..20, 20..60],
            ..TraceOptions::default()
        };
        let exact = values.iter().sum();
        let hits = covered(&format!("{probe:?}"), &op, exact, &options).0;
        assert!(hits >= LEAST);
        let parts = map(0..SEEDS, |_, seed| {
            trace(&op, &options, SeedTree::new(seed)).unwrap().parts
        });
        for (l, part) in options.parts.iter().enumerate() {
            let exact: f64 = part.clone().map(|i| a[(i, i)]).sum();
            let hits = parts.iter().filter(|p| p[l].contains(exact)).count();
            println!("{probe:?}, part {l}: {hits}");
            assert!(hits >= LEAST);
        }
    }
}

/// The entries of a diagonal: the mean over them of the part of the seeds whose interval contains the entry.
#[test]
fn diagonals() {
    for (name, values) in spectra() {
        let a = with_spectrum(&values, 3);
        let op = Dense::symmetric(a.clone()).unwrap();
        for method in [DiagonalMethod::XDiag, DiagonalMethod::Hutchinson] {
            let options = DiagonalOptions {
                method,
                products: 40,
                ..DiagonalOptions::default()
            };
            let hits = map(0..SEEDS, |_, seed| {
                let seed = SeedTree::new(seed);
                let report = quadric_linalg::estimate::diagonal(&op, &options, seed).unwrap();
                let entries = report.values.iter().zip(&report.half_widths).enumerate();
                let inside = entries.filter(|(i, (v, h))| (*v - a[(*i, *i)]).abs() <= **h + 1e-13);
                inside.count()
            });
            let part = hits.iter().sum::<usize>() as f64 / (SEEDS as usize * N) as f64;
            println!("{method:?} {name}: {part}");
            assert!(part > 0.92, "{method:?} {name}: {part}");
        }
    }
}

/// The distribution function at nine places, and three traces of functions.
#[test]
fn densities() {
    let (n, probes) = (400, 6);
    let values: Vec<f64> = (0..n)
        .map(|i| {
            if i < 4 {
                5.0 + f64::from(i)
            } else {
                f64::from(i) / f64::from(n)
            }
        })
        .collect();
    let op = diagonal(&values);
    let options = DensityOptions {
        probes,
        steps: 24,
        dense: 0,
        ..DensityOptions::default()
    };
    let places = [0.1, 0.3, 0.5, 0.9, 0.99, 2.0, 5.5, 6.5, 7.5];
    type Functions = [fn(f64) -> f64; 3];
    let functions: Functions = [|t| (t + 0.5).ln(), |t| t / (t + 0.1), |t| t * t];
    let found: Vec<Vec<Estimate>> = map(0..SEEDS, |_, seed| {
        let density = density(&op, None, &options, SeedTree::new(seed), |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
        let cdf = places.iter().map(|t| density.cdf(*t));
        let traces = functions.iter().map(|f| density.trace_of(f).unwrap().total);
        cdf.chain(traces).collect()
    });
    let below = |t: f64| values.iter().filter(|v| **v <= t).count() as f64 / f64::from(n);
    let cdf = places.iter().map(|t| below(*t));
    let traces = functions.iter().map(|f| values.iter().map(|v| f(*v)).sum());
    for (k, exact) in cdf.chain(traces).enumerate() {
        let hits = found.iter().filter(|f| f[k].contains(exact)).count();
        println!("{k}: {hits}");
        assert!(hits >= LEAST, "{k}: {hits}");
    }
}

/// Where eigenpairs are known, and in single precision.
#[test]
fn deflated_traces() {
    let values: Vec<f64> = (0..N).map(|i| 1.0 / (1.0 + i as f64)).collect();
    let exact: f64 = values.iter().sum();
    let op = Diagonal(values.iter().map(|v| *v as f32).collect());
    let known = Eigenspace::new(faer::Mat::<f32>::identity(N, 8), values[..8].to_vec()).unwrap();
    for method in [TraceMethod::Auto, TraceMethod::Hutchinson] {
        let options = TraceOptions {
            method,
            probe: Probe::Gaussian,
            target: 0.02,
            ..TraceOptions::default()
        };
        let found = map(0..SEEDS, |_, seed| {
            let plain = trace(&op, &options, SeedTree::new(seed)).unwrap();
            let report = deflated_trace(&op, &known, &options, SeedTree::new(seed)).unwrap();
            assert!(report.met);
            (
                report.total.contains(exact),
                report.products,
                plain.products,
            )
        });
        let hits = found.iter().filter(|f| f.0).count();
        let fewer = found.iter().filter(|f| 2 * f.1 < f.2).count();
        println!("{method:?}: {hits}, less than half the products in {fewer}");
        assert!(hits >= LEAST);
        // What is known spares Hutchinson's estimate most; the others find it themselves.
        assert!(fewer > if method == TraceMethod::Auto { 50 } else { 190 });
    }
}
