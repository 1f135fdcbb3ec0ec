//! Errors of trace estimates.

use super::krylov_support::*;
use super::{diagonal, spectra};
use quadric_linalg::algebra::{Diagonal, Identity};
use quadric_linalg::estimate::{
    Eigenspace, Probe, TraceMethod, TraceOptions, deflated_trace, trace,
};
use quadric_linalg::parallel::map;
use quadric_linalg::random::SeedTree;
use quadric_linalg::vector::dot;

fn fixed(method: TraceMethod, products: usize) -> TraceOptions {
    TraceOptions {
        method,
        probe: Probe::Sphere,
        target: 0.0,
        max_products: products,
        ..TraceOptions::default()
    }
}

/// The root of the mean square of the relative error over 60 seeds.
fn error(method: TraceMethod, values: &[f64]) -> f64 {
    let (op, exact) = (diagonal(values), values.iter().sum::<f64>());
    let errors = map(0..60, |_, seed| {
        let report = trace(&op, &fixed(method, 60), SeedTree::new(seed)).unwrap();
        assert!(!report.exact && report.products == 60);
        report.total.value / exact - 1.0
    });
    (errors.iter().map(|e| e * e).sum::<f64>() / 60.0).sqrt()
}

/// Spectra of order 1,000 that decay fast, slowly, and not at all.
fn large() -> [Vec<f64>; 3] {
    let of = |f: &dyn Fn(f64) -> f64| -> Vec<f64> { (0..1000).map(|i| f(f64::from(i))).collect() };
    [
        of(&|i| 0.7f64.powf(i)),
        of(&|i| (1.0 + i).powi(-2)),
        of(&|i| 3.0 - 2.0 * i / 999.0),
    ]
}

/// Order 1,000 and 60 products: what independent implementations of the methods reach, and half as much again.
#[test]
fn errors_are_those_of_the_methods() {
    let spectra = large();
    let table = [
        (TraceMethod::Hutchinson, [8.0e-2, 1.1e-1, 1.6e-3]),
        (TraceMethod::HutchPlusPlus, [2.3e-4, 1.9e-3, 3.2e-3]),
        (TraceMethod::XTrace, [7.0e-6, 1.0e-3, 2.4e-3]),
    ];
    for (method, expected) in table {
        for (values, expected) in spectra.iter().zip(expected) {
            let found = error(method, values);
            println!("{method:?}: {found:e}, expected {expected:e}");
            let limit = match method {
                TraceMethod::XTrace if expected < 1e-4 => 2e-5,
                TraceMethod::XTrace if expected == 1e-3 => 2e-3,
                _ => 1.5 * expected,
            };
            assert!(found < limit && found > 0.3 * expected);
        }
    }
    for (values, limit) in spectra.iter().zip([1e-6, 1e-3, 3e-3]) {
        let found = error(TraceMethod::XNysTrace, values);
        println!("XNysTrace: {found:e}");
        assert!(found < limit);
    }
}

/// Ten thousand seeds each; the mean within four of its standard errors.
#[test]
fn estimates_have_no_bias() {
    let values: Vec<f64> = (0..60).map(|i| 0.9f64.powi(i) - 0.1).collect();
    let (op, exact) = (diagonal(&values), values.iter().sum::<f64>());
    let squares: Vec<f64> = values.iter().map(|v| v * v).collect();
    let (psd, sum) = (diagonal(&squares), squares.iter().sum::<f64>());
    let larger = large().map(|v| (diagonal(&v), v.iter().sum::<f64>()));
    let mut cases = vec![
        (TraceMethod::Hutchinson, &op, exact, 5),
        (TraceMethod::HutchPlusPlus, &op, exact, 30),
        (TraceMethod::XTrace, &op, exact, 20),
        (TraceMethod::XNysTrace, &psd, sum, 20),
    ];
    cases.extend((larger.iter()).map(|(op, exact)| (TraceMethod::XTrace, op, *exact, 20)));
    for (method, op, exact, products) in cases {
        let errors = map(0..10_000, |_, seed| {
            let seed = SeedTree::new(seed).child("bias");
            let report = trace(op, &fixed(method, products), seed).unwrap();
            report.total.value - exact
        });
        let mean = errors.iter().sum::<f64>() / 1e4;
        let error = errors.iter().map(|e| e * e).sum::<f64>().sqrt() / 1e4;
        println!("{method:?}: {mean:e} with a standard error of {error:e}");
        assert!(mean.abs() < 4.0 * error);
    }
}

/// The variance of one quadratic form: closed forms for each distribution of the probes.
#[test]
fn variances_of_probes() {
    let a = with_spectrum(&(0..20).map(|i| f64::from(i) - 4.0).collect::<Vec<_>>(), 7);
    let op = spd::<f64>(&a);
    let n = 20.0;
    let (square, exact) = (a.squared_norm_l2(), 110.0);
    let own: f64 = (0..20).map(|i| a[(i, i)].powi(2)).sum();
    let table = [
        (Probe::Rademacher, 2.0 * (square - own)),
        (Probe::Gaussian, 2.0 * square),
        (
            Probe::Sphere,
            2.0 * n / (n + 2.0) * (square - exact * exact / n),
        ),
    ];
    for (probe, variance) in table {
        let options = TraceOptions {
            probe,
            ..fixed(TraceMethod::Hutchinson, 20_000)
        };
        let report = trace(&op, &options, SeedTree::new(3)).unwrap();
        // Half the interval is t s/√k, with t = 1.96 for so many.
        let found = (report.total.half_width() / 1.960_1).powi(2) * 20_000.0;
        println!("{probe:?}: {found}, expected {variance}");
        assert!((found / variance - 1.0).abs() < 0.05);
        assert!((report.total.value - exact).abs() < 4.0 * (variance / 20_000.0).sqrt());
    }
}

/// Flat spectra go to Hutchinson, decaying ones do not, and small operators become exact.
#[test]
fn the_automatic_choice() {
    for (name, values) in spectra() {
        let options = TraceOptions {
            probe: Probe::Sphere,
            ..TraceOptions::default()
        };
        let report = trace(&diagonal(&values), &options, SeedTree::new(11)).unwrap();
        println!("{name}: {report:?}");
        let expected = match name {
            "linear" | "both signs" => TraceMethod::Hutchinson,
            _ => TraceMethod::XNysTrace,
        };
        let exact = report.exact && report.method == TraceMethod::Exact;
        assert!(report.method == expected || exact, "{name}");
        assert!(report.met && (report.total.value / values.iter().sum::<f64>() - 1.0).abs() < 0.02);
    }
    // Nothing is wasted where n products are as good.
    for n in [0, 1, 2, 20] {
        let op = Diagonal((0..n).map(f64::from).collect());
        let report = trace(&op, &TraceOptions::default(), SeedTree::new(0)).unwrap();
        assert!(report.exact && report.met && report.products == n as usize);
        assert_eq!(report.total.value, f64::from(n * (n - 1).max(0) / 2));
    }
    // A budget that is too small is told.
    let op = diagonal(&spectra()[4].1);
    let options = TraceOptions {
        probe: Probe::Sphere,
        target: 1e-4,
        max_products: 100,
        ..TraceOptions::default()
    };
    let report = trace(&op, &options, SeedTree::new(0)).unwrap();
    assert!(!report.met && !report.exact && report.products <= 100);
    assert!(report.total.half_width() > 1e-4 * report.total.value.abs());
}

/// The traces of diagonal blocks: exact where everything is, and within their intervals elsewhere.
#[test]
fn traces_of_parts() {
    let a = with_spectrum(&geometric(90, 1e4), 5);
    let op = spd::<f64>(&a);
    let parts = vec![0..30, 30..31, 31..90, 40..40];
    let exact: Vec<f64> = parts
        .iter()
        .map(|p| p.clone().map(|i| a[(i, i)]).sum())
        .collect();
    let options = |method, target| TraceOptions {
        method,
        target,
        parts: parts.clone(),
        ..TraceOptions::default()
    };
    let report = trace(&op, &options(TraceMethod::Exact, 0.0), SeedTree::new(0)).unwrap();
    for (part, exact) in report.parts.iter().zip(&exact) {
        assert!((part.value - exact).abs() < 1e-14 && part.half_width() == 0.0);
    }
    let report = trace(
        &op,
        &options(TraceMethod::Hutchinson, 0.02),
        SeedTree::new(1),
    )
    .unwrap();
    let sum: f64 = report.parts.iter().map(|p| p.value).sum();
    assert!((sum - report.total.value).abs() < 1e-12);
    for (part, exact) in report.parts.iter().zip(&exact) {
        assert!((part.value - exact).abs() <= 1.5 * part.half_width() + 1e-14);
    }
    // Known eigenpairs count in the parts, too.
    let eigen = quadric_linalg::dense::symmetric_eigen(a.as_ref()).unwrap();
    let top = eigen.vectors.as_ref().subcols(50, 40).to_owned();
    let known = Eigenspace::new(top, eigen.values[50..].to_vec()).unwrap();
    let hutchinson = options(TraceMethod::Hutchinson, 0.02);
    let deflated = deflated_trace(&op, &known, &hutchinson, SeedTree::new(1)).unwrap();
    assert!(deflated.met && deflated.products < report.products / 4);
    let total: f64 = (0..90).map(|i| a[(i, i)]).sum();
    for (part, exact) in deflated.parts.iter().zip(&exact) {
        assert!((part.value - exact).abs() <= 1.5 * part.half_width() + 1e-14);
    }
    assert!((deflated.total.value - total).abs() <= 1.5 * deflated.total.half_width());
    let all = options(TraceMethod::Exact, 0.0);
    let deflated = deflated_trace(&op, &known, &all, SeedTree::new(1)).unwrap();
    assert!((deflated.total.value - total).abs() < 1e-13 * total);
}

/// On a diagonal matrix signs have no variance at all, and the interval is that of rounding.
#[test]
fn signs_are_exact_on_diagonals() {
    let values = normals(500, 2);
    let op = Diagonal(cast::<f32>(&values));
    let report = trace(
        &op,
        &TraceOptions {
            method: TraceMethod::Hutchinson,
            ..TraceOptions::default()
        },
        SeedTree::new(1),
    )
    .unwrap();
    let exact: f64 = op.0.iter().map(|v| f64::from(*v)).sum();
    assert_eq!(report.products, 32);
    assert!(report.total.contains(exact) && report.total.half_width() < 1e-3);
    let ones = vec![1.0; 100];
    let report = trace::<f64>(&Identity(100), &TraceOptions::default(), SeedTree::new(1)).unwrap();
    assert!(report.total.contains(dot(&ones, &ones)) && report.products <= 100);
}
