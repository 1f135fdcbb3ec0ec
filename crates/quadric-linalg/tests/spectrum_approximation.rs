//! Low-rank approximations against dense matrices.
#![allow(missing_docs, clippy::unwrap_used)]

mod krylov_support;

use faer::Mat;
use krylov_support::*;
use quadric_linalg::algebra::Dense;
use quadric_linalg::dense::svd;
use quadric_linalg::random::SeedTree;
use quadric_linalg::spectrum::{
    EigenApproximation, EigenOptions, Which, eigenpairs, randomized_svd,
};
use quadric_linalg::{LinearOperator, Scalar};

fn far(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    (a - b).norm_l2()
}

#[test]
fn the_largest_magnitudes_of_an_indefinite_operator() {
    let values: Vec<f64> = (0..150)
        .map(|i| if i % 3 == 1 { -1.0 } else { 1.0 } * 0.7f64.powi(i))
        .collect();
    let a = with_spectrum(&values, 21);
    let op = Dense::symmetric(a.clone()).unwrap();
    let tail: f64 = values[12..].iter().map(|v| v * v).sum::<f64>().sqrt();
    let one = EigenApproximation::randomized(&op, 12, 1, SeedTree::new(1)).unwrap();
    let two = EigenApproximation::randomized(&op, 12, 3, SeedTree::new(1)).unwrap();
    let options = EigenOptions {
        count: 12,
        which: Which::LargestMagnitude,
        ..EigenOptions::default()
    };
    let pairs = eigenpairs(&op, &options, SeedTree::new(1)).unwrap();
    let best = EigenApproximation::from_pairs(pairs).unwrap();
    // Nothing of rank 12 is nearer than the tail.
    for (approximation, factor) in [(one, 1.5), (two, 1.0 + 1e-6), (best, 1.0 + 1e-6)] {
        let error = far(&to_dense(&approximation), &a);
        assert!(
            (0.999999..=factor).contains(&(error / tail)),
            "{}",
            error / tail
        );
    }
}

fn functions<T: Scalar>() {
    let values: Vec<f64> = (0..80)
        .map(|i| if i < 7 { 0.5 + f64::from(i) } else { 0.0 })
        .collect();
    let a = with_spectrum(&values, 22);
    let op = Dense::psd(cast_mat::<T>(&a)).unwrap();
    let tolerance = 2e3 * T::EPSILON;
    for approximation in [
        EigenApproximation::randomized(&op, 7, 2, SeedTree::new(2)).unwrap(),
        EigenApproximation::nystrom(&op, 12, SeedTree::new(2)).unwrap(),
    ] {
        assert!(far(&to_dense(&approximation), &a) <= 10.0 * tolerance);
        for shift in [0.25, 3.0] {
            let shifted = to_dense(&approximation.shifted(shift).unwrap());
            let inverse = to_dense(&approximation.inverse(shift).unwrap());
            let error = far(&(&shifted * &inverse), &Mat::identity(80, 80));
            assert!(error <= 10.0 * tolerance, "{error:e}");
            let exact: f64 = eigenvalues(&shifted).iter().map(|v| v.ln()).sum();
            let found = approximation.log_det(shift).unwrap();
            assert!(
                (found - exact).abs() <= tolerance * 80.0,
                "{found} for {exact}"
            );
        }
        assert!(approximation.inverse(0.0).is_err());
        assert!(approximation.log_det(-1.0).is_err());
        assert!(approximation.shifted(f64::NAN).is_err());
        let pole = -approximation.values()[0];
        assert!(approximation.inverse(pole).is_err());
    }
    assert!(EigenApproximation::randomized(&op, 81, 1, SeedTree::new(0)).is_err());
    assert!(EigenApproximation::randomized(&op, 1, 0, SeedTree::new(0)).is_err());
}

#[test]
fn inverses_and_determinants_f64() {
    functions::<f64>();
}

#[test]
fn inverses_and_determinants_f32() {
    functions::<f32>();
}

#[test]
fn singular_values_of_a_rectangle() {
    for (m, n) in [(90, 60), (60, 90)] {
        let (u, v) = (orthogonal(m, 31), orthogonal(n, 32));
        let a = Mat::from_fn(m, n, |i, j| {
            (0..60)
                .map(|r| 0.6f64.powi(r as i32) * u[(i, r)] * v[(j, r)])
                .sum::<f64>()
        });
        let op = Dense::new(a.clone());
        let found = randomized_svd(&op, 10, 2, SeedTree::new(3)).unwrap();
        let exact = svd(a.as_ref()).unwrap();
        for j in 0..10 {
            assert!(
                (found.values[j] / exact.values[j] - 1.0).abs() < 1e-6,
                "value {j}"
            );
        }
        let scaled = Mat::from_fn(m, 10, |i, j| found.u[(i, j)] * found.values[j]);
        let tail: f64 = exact.values[10..].iter().map(|v| v * v).sum::<f64>().sqrt();
        let ratio = far(&(&scaled * found.v.transpose()), &a) / tail;
        assert!((1.0 - 1e-9..=1.0 + 1e-4).contains(&ratio), "{ratio}");
        assert!(randomized_svd(&op as &dyn LinearOperator<f64>, 61, 1, SeedTree::new(3)).is_err());
    }
}
