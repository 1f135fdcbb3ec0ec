//! Where PyHessian's rules are wrong: the same call here is right, or says that it is not converged.
//!
//! Each test runs the published rule beside ours (Yao, Gholami, Keutzer, Mahoney, arXiv 1912.07145, and its defaults): eigenvalues by
//! [`EigenMethod::Power`], which has that stop rule and the absolute 1e-6, and a trace that ends where its running mean stays.
//! `crates/quadric-curvature/tests/pyhessian.rs` has the cases of models, such as parameters that nothing depends on.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod krylov_support;

use faer::Mat;
use krylov_support::*;
use quadric_linalg::algebra::{Dense, Diagonal};
use quadric_linalg::estimate::{
    Density, DensityOptions, Kernel, TraceMethod, TraceOptions, TraceReport, density, trace,
};
use quadric_linalg::random::SeedTree;
use quadric_linalg::spectrum::{EigenMethod, EigenOptions, Eigenpairs, Which, eigenpairs};
use quadric_linalg::{LinearOperator, Scalar};
use std::ops::ControlFlow;

#[track_caller]
fn near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance, "{found:?} for {expected:?}");
    }
}

/// A few outliers, of which the second largest is negative, and a bulk of both signs.
fn like_a_hessian(n: usize) -> Vec<f64> {
    let outliers = [1.0, -0.8, 0.6, 0.45, -0.4, 0.3];
    let bulk = normals(n, 5).into_iter().map(|v| 0.02 * v.clamp(-3.0, 3.0));
    outliers.into_iter().chain(bulk).take(n).collect()
}

fn found<T: Scalar>(
    op: &dyn LinearOperator<T>,
    (which, method): (Which, EigenMethod),
    count: usize,
    seed: u64,
) -> Eigenpairs<T> {
    let options = EigenOptions {
        count,
        which,
        method,
        tolerance: 1e-3,
        ..EigenOptions::default()
    };
    eigenpairs(op, &options, SeedTree::new(seed)).unwrap()
}

fn spread<T: Scalar>(op: &dyn LinearOperator<T>, seed: u64) -> Density {
    let options = DensityOptions {
        probes: 2,
        steps: 20,
        dense: 0,
        ..DensityOptions::default()
    };
    density(op, None, &options, SeedTree::new(seed), |_| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

const THEIRS: (Which, EigenMethod) = (Which::LargestMagnitude, EigenMethod::Power);

/// The mean of the quadratic forms of signs until it moves by less than a thousandth of what it was, at most 100 of them.
fn their_trace(a: &Mat<f64>, seed: u64) -> (f64, usize) {
    let n = a.nrows();
    let (mut sum, mut mean) = (0.0, 0.0f64);
    let tree = SeedTree::new(seed).child("signs");
    for probe in 1..=100 {
        let mut stream = tree.stream(probe as u64);
        let z: Vec<f64> = (0..n).map(|_| stream.sign()).collect();
        let image = times(a, &z);
        sum += z.iter().zip(&image).map(|(a, b)| a * b).sum::<f64>();
        let now = sum / probe as f64;
        if (now - mean).abs() / (mean + 1e-6) < 1e-3 {
            return (now, probe);
        }
        mean = now;
    }
    (mean, 100)
}

/// The quotient of a mixture of the vectors of λ and -λ does not move, so their rule is content with it.
fn opposite_ends<T: Scalar>() {
    let mut values: Vec<f64> = (0..300).map(|i| 0.5 * f64::from(i).sin()).collect();
    (values[10], values[20]) = (1.0, -1.0);
    for op in [
        Dense::symmetric(Mat::from_fn(300, 300, |i, j| {
            T::of(if i == j { values[i] } else { 0.0 })
        })),
        Dense::symmetric(cast_mat::<T>(&with_spectrum(&values, 4))),
    ] {
        let op = op.unwrap();
        for seed in 0..5 {
            for which in [Which::LargestMagnitude, Which::BothEnds] {
                for method in [EigenMethod::Auto, EigenMethod::ThickRestart] {
                    let pairs = found(&op, (which, method), 2, seed);
                    assert!(pairs.is_converged());
                    let mut both = pairs.values.clone();
                    both.sort_by(f64::total_cmp);
                    near(&both, &[-1.0, 1.0], 1e-3);
                }
            }
            let theirs = found(&op, THEIRS, 1, seed);
            assert!(theirs.products < 1000, "its rule was content");
            assert!(theirs.values[0].abs() < 0.999 || theirs.residuals[0] > 1e-3);
            assert!(
                !theirs.converged[0] && theirs.residuals[0] > 0.1,
                "{theirs:?}"
            );
        }
    }
}

#[test]
fn equal_ends_of_both_signs() {
    opposite_ends::<f32>();
    opposite_ends::<f64>();
    // Where one value dominates, power iteration finds it, but does not claim that nothing is missing.
    let mut values = vec![1e-3; 300];
    values[10] = 1.0;
    let theirs = found(&Diagonal(values), THEIRS, 1, 3);
    assert!(theirs.converged[0] && !theirs.complete);
    near(&theirs.values, &[1.0], 1e-5);
}

/// What is found of an operator in units of `scale`: ends, trace, and density.
fn scaled<T: Scalar>(scale: f64) {
    let values = like_a_hessian(400);
    let a = with_spectrum(&values, 8);
    let op = Dense::symmetric(Mat::from_fn(400, 400, |i, j| T::of(a[(i, j)] * scale))).unwrap();
    let what = format!("{} in units of {scale:e}", T::NAME);
    for method in [
        EigenMethod::Auto,
        EigenMethod::ThickRestart,
        EigenMethod::Dense,
    ] {
        let pairs = found(&op, (Which::BothEnds, method), 4, 1);
        assert!(pairs.is_converged(), "{what}");
        let ours: Vec<f64> = pairs.values.iter().map(|v| v / scale).collect();
        near(&ours, &[1.0, 0.6, -0.4, -0.8], 1e-3);
    }
    for seed in 0..5 {
        let theirs = found(&op, THEIRS, 3, seed);
        for (value, converged) in theirs.values.iter().zip(&theirs.converged) {
            let error = values.iter().map(|v| (v - value / scale).abs());
            let error = error.fold(f64::INFINITY, f64::min);
            assert!(!converged || error <= 1e-3, "{what}: {value:e}");
        }
        // With 1e-6 beside the norm, vectors vanish and any change is small: it ends at once, with nothing.
        if scale < 1e-6 {
            assert!(
                theirs.products < 12 && theirs.values[0].abs() / scale < 0.9,
                "{what}"
            );
            assert!(!theirs.converged[0], "{what}");
        }
    }
    let exact: f64 = values.iter().sum();
    let report = trace(&op, &TraceOptions::default(), SeedTree::new(2)).unwrap();
    let value = report.total.value / scale;
    assert!(
        report.met && (value / exact - 1.0).abs() < 0.02,
        "{what}: {value}"
    );
    // The width of a smoothed density goes with the spectrum.
    let found = spread(&op, 3);
    let (low, high) = found.extremes().unwrap();
    near(&[low / scale, high / scale], &[-0.8, 1.0], 1e-3);
    let grid = found.grid(2001).unwrap();
    let curve = found.pdf(&grid, Kernel::Gaussian { sigma: None }).unwrap();
    let mass: f64 = curve.iter().map(|v| v * (grid[1] - grid[0])).sum();
    assert!((mass - 1.0).abs() < 1e-2, "{what}: {mass}");
}

#[test]
fn tiny_and_huge_spectra() {
    for scale in [1e-12, 1.0, 1e30] {
        scaled::<f64>(scale);
        scaled::<f32>(scale);
    }
    // Squares of these are no numbers of single precision, and of double precision neither.
    scaled::<f32>(1e-30);
    scaled::<f64>(1e-300);
    scaled::<f64>(1e300);
}

/// Values that are equal, or nearly: all of them are found, as often as they are there.
#[test]
fn clustered_eigenvalues() {
    let cases: [(&[f64], f64); 3] = [
        (&[1.0, 1.0, 1.0, 0.9, 0.9], 1e-3),
        (&[1.0, 0.9999, 0.9998, 0.9997, 0.9996], 1e-6),
        (&[1.0, 1.0 - 1e-9, 1.0 - 2e-9, 0.5, 0.5], 1e-10),
    ];
    for (head, tolerance) in cases {
        let bulk = (0..495).map(|i| 0.3 * f64::from(i).cos());
        let values: Vec<f64> = head.iter().copied().chain(bulk).collect();
        let op = Dense::symmetric(with_spectrum(&values, 2)).unwrap();
        let mut missed = 0;
        for seed in 0..5 {
            for method in [EigenMethod::Auto, EigenMethod::ThickRestart] {
                let options = EigenOptions {
                    count: 5,
                    tolerance,
                    method,
                    ..EigenOptions::default()
                };
                let pairs = eigenpairs(&op, &options, SeedTree::new(seed)).unwrap();
                assert!(pairs.is_converged(), "{head:?}, seed {seed}, {method:?}");
                near(&pairs.values, head, 2.0 * tolerance);
            }
            // Their default: a hundred products for each.
            let options = EigenOptions {
                count: 5,
                which: Which::LargestMagnitude,
                tolerance: 1e-3,
                method: EigenMethod::Power,
                max_products: 505,
                ..EigenOptions::default()
            };
            let theirs = eigenpairs(&op, &options, SeedTree::new(seed)).unwrap();
            for j in 0..5 {
                let (low, high) = theirs.enclosure(j);
                let inside = |v: &&f64| (low..=high).contains(*v);
                assert!(values.iter().any(|v| inside(&v)), "{theirs:?}");
                let norm = theirs.norm;
                assert_eq!(theirs.converged[j], theirs.residuals[j] <= 1e-3 * norm);
            }
            assert!(!theirs.complete);
            let worst = theirs.values.iter().zip(head).map(|(a, b)| (a - b).abs());
            missed += usize::from(worst.fold(0.0, f64::max) > 1e-3);
        }
        println!("{head:?}: {missed} of 5 lists of power iteration are wrong");
    }
}

/// The pairs of each question in its order, whatever is found first; the largest are not those of largest magnitude.
#[test]
fn pairs_in_order() {
    let values = like_a_hessian(400);
    let op = Dense::symmetric(with_spectrum(&values, 6)).unwrap();
    let mut low = values.clone();
    low.sort_by(f64::total_cmp);
    let cases: [(Which, [f64; 4]); 4] = [
        (Which::Largest, [1.0, 0.6, 0.45, 0.3]),
        (Which::Smallest, [-0.8, -0.4, low[2], low[3]]),
        (Which::LargestMagnitude, [1.0, -0.8, 0.6, 0.45]),
        (Which::BothEnds, [1.0, 0.6, -0.4, -0.8]),
    ];
    for seed in 0..5 {
        for (which, expected) in &cases {
            for method in [
                EigenMethod::Auto,
                EigenMethod::ThickRestart,
                EigenMethod::Dense,
            ] {
                let pairs = found(&op, (*which, method), 4, seed);
                assert!(pairs.is_converged(), "{which:?}");
                near(&pairs.values, expected, 2e-3);
                let size = |v: &f64| match which {
                    Which::Smallest => -v,
                    Which::LargestMagnitude => v.abs(),
                    _ => *v,
                };
                assert!(pairs.values.is_sorted_by(|a, b| size(a) >= size(b)));
            }
        }
        // Ten products for each find anything, but it is told in order and with its residuals.
        let options = EigenOptions {
            count: 4,
            which: Which::LargestMagnitude,
            method: EigenMethod::Power,
            tolerance: 1e-3,
            max_products: 44,
            ..EigenOptions::default()
        };
        let theirs = eigenpairs(&op, &options, SeedTree::new(seed)).unwrap();
        assert!(theirs.values.is_sorted_by(|a, b| a.abs() >= b.abs()));
        assert!(!theirs.is_converged());
    }
}

fn traced(op: &dyn LinearOperator<f64>, method: TraceMethod, seed: u64) -> TraceReport {
    let options = TraceOptions {
        method,
        ..TraceOptions::default()
    };
    trace(op, &options, SeedTree::new(seed).child("luck")).unwrap()
}

/// Quadratic forms that take two values only, and those of a negative trace: the running mean stays where it is by luck.
#[test]
fn traces_that_stop_on_luck() {
    let n = 64;
    // The form is n ± 40, after the signs of two coordinates: every other time, two are the same, and 40 off.
    let pair = Mat::from_fn(n, n, |i, j| match (i, j) {
        (0, 1) | (1, 0) => 20.0,
        _ => f64::from(u8::from(i == j)),
    });
    let negative = Mat::from_fn(n, n, |i, j| -pair[(i, j)]);
    for (a, exact) in [(pair, 64.0), (negative, -64.0)] {
        let op = Dense::symmetric(a.clone()).unwrap();
        let off = (0..200).filter(|seed| (their_trace(&a, *seed).0 - exact).abs() > 16.0);
        let off = off.count();
        println!("{off} of 200 of their traces are off by more than a quarter");
        assert!(off > 60);
        for method in [TraceMethod::Auto, TraceMethod::Hutchinson] {
            let (mut covered, mut near) = (0, 0);
            for seed in 0..200 {
                let report = traced(&op, method, seed);
                let error = (report.total.value - exact).abs();
                covered += usize::from(error <= report.total.half_width() + 1e-10);
                near += usize::from(error <= 16.0);
                assert!(
                    !report.met || report.exact || error <= 0.05 * exact.abs(),
                    "{method:?}, seed {seed}: {report:?}"
                );
            }
            println!("{method:?}: {covered} of 200 contain the trace");
            assert!(
                covered >= 182 && near == 200,
                "{method:?}: {covered}, {near}"
            );
        }
    }
}

/// Rows of zeros, as parameters have them that nothing depends on: they change nothing, and their own numbers are 0.
#[test]
fn rows_of_zeros() {
    let values = like_a_hessian(150);
    let inner = with_spectrum(&values, 3);
    let used = |i: usize| i.is_multiple_of(3).then_some(i / 3);
    let a = Mat::from_fn(450, 450, |i, j| match (used(i), used(j)) {
        (Some(i), Some(j)) => inner[(i, j)],
        _ => 0.0,
    });
    let op = Dense::symmetric(a).unwrap();
    for method in [EigenMethod::Auto, EigenMethod::ThickRestart] {
        let pairs = found(&op, (Which::BothEnds, method), 4, 2);
        assert!(pairs.is_converged());
        near(&pairs.values, &[1.0, 0.6, -0.4, -0.8], 1e-3);
        for i in (0..450).filter(|i| used(*i).is_none()) {
            // What is random of a start is far below the tolerance by then.
            let largest = (0..4).map(|j| pairs.vectors[(i, j)].abs());
            assert!(largest.fold(0.0, f64::max) < 1e-3, "row {i}");
        }
    }
    let options = TraceOptions {
        parts: vec![1..2, 4..6, 0..450],
        ..TraceOptions::default()
    };
    let report = trace(&op, &options, SeedTree::new(1)).unwrap();
    for part in &report.parts[..2] {
        assert!(part.value == 0.0 && part.half_width() < 1e-12, "{part:?}");
    }
    let exact: f64 = values.iter().sum();
    assert!((report.total.value / exact - 1.0).abs() < 0.02);
    // More pairs than the rank: the others are 0.
    let mut few = vec![0.0; 300];
    (few[5], few[200]) = (2.0, 1.0);
    for method in [EigenMethod::Auto, EigenMethod::ThickRestart] {
        let pairs = found(&Diagonal(few.clone()), (Which::Largest, method), 5, 1);
        assert!(pairs.is_converged());
        near(&pairs.values, &[2.0, 1.0, 0.0, 0.0, 0.0], 2e-3);
    }
}

fn nothing<T: Scalar>() {
    let op = Diagonal(vec![T::of(0.0); 300]);
    for which in [
        Which::Largest,
        Which::Smallest,
        Which::LargestMagnitude,
        Which::BothEnds,
    ] {
        for method in [
            EigenMethod::Auto,
            EigenMethod::ThickRestart,
            EigenMethod::Dense,
        ] {
            let pairs = found(&op, (which, method), 3, 0);
            assert!(pairs.is_converged());
            assert_eq!((pairs.values, pairs.norm), (vec![0.0; 3], 0.0));
            assert_eq!(pairs.residuals, [0.0; 3]);
        }
    }
    let theirs = found(&op, THEIRS, 3, 0);
    assert_eq!(
        (theirs.values, theirs.residuals),
        (vec![0.0; 3], vec![0.0; 3])
    );
    for method in [TraceMethod::Auto, TraceMethod::Hutchinson] {
        let options = TraceOptions {
            method,
            parts: vec![0..100, 100..300],
            ..TraceOptions::default()
        };
        let report = trace(&op, &options, SeedTree::new(1)).unwrap();
        for estimate in report.parts.iter().chain([&report.total]) {
            assert!(report.met && estimate.value == 0.0 && estimate.half_width() == 0.0);
        }
    }
    let found = spread(&op, 1);
    assert!(found.atoms().iter().all(|a| a.0 == 0.0));
    assert_eq!(found.moment(2).unwrap().value, 0.0);
    assert_eq!((found.cdf(-1e-300).value, found.cdf(0.0).value), (0.0, 1.0));
}

/// A Hessian of zeros, as a linear loss has it: no division by its size.
#[test]
fn zero_operators() {
    nothing::<f32>();
    nothing::<f64>();
}
