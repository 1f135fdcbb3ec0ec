//! LSQR, LSMR and MINRES-QLP against closed forms.
#![allow(missing_docs, clippy::unwrap_used)]

mod krylov_support;

use faer::Mat;
use krylov_support::*;
use quadric_linalg::Scalar;
use quadric_linalg::algebra::{Dense, Diagonal};
use quadric_linalg::krylov::{
    LeastSquaresOptions, LeastSquaresReport, LeastSquaresStop, LeastSquaresWorkspace,
    MinresOptions, MinresStop, MinresWorkspace, minres_qlp,
};

/// A (m, n) with the given singular values, and its pseudo-inverse.
fn rectangular(m: usize, n: usize, values: &[f64], seed: u64) -> (Mat<f64>, Mat<f64>) {
    let (u, v) = (orthogonal(m, seed), orthogonal(n, seed + 1000));
    let build = |rows: &Mat<f64>, cols: &Mat<f64>, f: &dyn Fn(f64) -> f64| {
        Mat::from_fn(rows.nrows(), cols.nrows(), |i, j| {
            values
                .iter()
                .enumerate()
                .map(|(k, s)| rows[(i, k)] * f(*s) * cols[(j, k)])
                .sum()
        })
    };
    let inverse = |s: f64| if s > 0.0 { 1.0 / s } else { 0.0 };
    (build(&u, &v, &|s| s), build(&v, &u, &inverse))
}

fn transposed_times(a: &Mat<f64>, y: &[f64]) -> Vec<f64> {
    times(&a.transpose().to_owned(), y)
}

fn to_f64<T: Scalar>(x: &[T]) -> Vec<f64> {
    x.iter().map(|v| v.to_f64()).collect()
}

/// Norms of the report are those of the returned x.
fn check_norms(
    a: &Mat<f64>,
    damp: f64,
    b: &[f64],
    x: &[f64],
    report: &LeastSquaresReport,
    epsilon: f64,
) {
    let r = minus(b, &times(a, x));
    let g: Vec<f64> = transposed_times(a, &r)
        .iter()
        .zip(x)
        .map(|(g, x)| g - damp * damp * x)
        .collect();
    let scale = a.norm_l2() * norm(x) + norm(b);
    let close = |what: &str, claimed: f64, measured: f64, floor: f64| {
        assert!(
            measured <= 1.1 * claimed + floor && claimed <= 1.1 * measured + floor,
            "{what}: claimed {claimed:e}, measured {measured:e}"
        );
    };
    let floor = 10.0 * epsilon * scale;
    close("residual", report.residual_norm, norm(&r), floor);
    close(
        "damped",
        report.damped_norm,
        norm(&r).hypot(damp * norm(x)),
        floor,
    );
    close(
        "normal",
        report.normal_norm,
        norm(&g),
        floor * (a.norm_l2() + damp),
    );
    close("x", report.x_norm, norm(x), 10.0 * epsilon * norm(x));
}

fn least_squares_of_every_shape<T: Scalar>(accuracy: f64, error: f64) {
    for (name, solver) in solvers::<T>() {
        for n in SIZES.into_iter().filter(|n| *n <= 100) {
            for (m, n) in [(n, n), (2 * n + 1, n), (n, 2 * n + 1)] {
                let (a, inverse) = rectangular(m, n, &geometric(m.min(n), 20.0), 31);
                let b = normals(m, 32);
                let exact = times(&inverse, &b);
                let op = Dense::new(cast_mat::<T>(&a));
                let mut x = vec![T::of(9.0); n];
                let options = LeastSquaresOptions {
                    relative: accuracy,
                    normal: accuracy,
                    ..LeastSquaresOptions::default()
                };
                let report = solver(
                    &op,
                    0.0,
                    &cast::<T>(&b),
                    &mut x,
                    &options,
                    &mut LeastSquaresWorkspace::new(),
                )
                .unwrap();
                let x = to_f64(&x);
                assert!(
                    report.stop.converged(),
                    "{name} ({m}, {n}): {:?}",
                    report.stop
                );
                check_norms(
                    &to_dense(&op),
                    0.0,
                    &to_f64(&cast::<T>(&b)),
                    &x,
                    &report,
                    T::EPSILON * (m + n) as f64,
                );
                let far = norm(&minus(&x, &exact)) / norm(&exact);
                assert!(far < error, "{name} ({m}, {n}): error {far:e}");
            }
        }
    }
}

#[test]
fn least_squares_of_every_shape_f64() {
    least_squares_of_every_shape::<f64>(1e-12, 1e-9);
}

#[test]
fn least_squares_of_every_shape_f32() {
    least_squares_of_every_shape::<f32>(1e-5, 5e-3);
}

#[test]
fn rank_deficient_least_squares_ends_at_the_minimum_norm() {
    let mut values = geometric(20, 30.0);
    values.extend([0.0; 10]);
    let (a, inverse) = rectangular(50, 30, &values, 33);
    let b = normals(50, 34);
    let exact = times(&inverse, &b);
    let op = Dense::new(a);
    for (name, solver) in solvers::<f64>() {
        let mut x = vec![0.0; 30];
        let report = solver(
            &op,
            0.0,
            &b,
            &mut x,
            &LeastSquaresOptions::default(),
            &mut LeastSquaresWorkspace::new(),
        )
        .unwrap();
        assert_eq!(report.stop, LeastSquaresStop::Normal, "{name}");
        assert!(norm(&minus(&x, &exact)) < 1e-7 * norm(&exact), "{name}");
    }
}

#[test]
fn least_squares_at_the_ends_of_the_range() {
    for (power_a, power_b) in [
        (500, 0),
        (-500, 0),
        (0, 900),
        (0, -900),
        (400, -400),
        (-400, 400),
    ] {
        let scale = 2f64.powi(power_a);
        let (a, inverse) = rectangular(12, 8, &geometric(8, 10.0), 35);
        let b: Vec<f64> = normals(12, 36)
            .iter()
            .map(|v| v * 2f64.powi(power_b))
            .collect();
        let exact = times(&inverse, &b);
        let op = Dense::new(Mat::from_fn(12, 8, |i, j| a[(i, j)] * scale));
        for (name, solver) in solvers::<f64>() {
            let mut x = vec![0.0; 8];
            let report = solver(
                &op,
                0.0,
                &b,
                &mut x,
                &LeastSquaresOptions::default(),
                &mut LeastSquaresWorkspace::new(),
            )
            .unwrap();
            assert_eq!(
                report.stop,
                LeastSquaresStop::Normal,
                "{name} {power_a} {power_b}"
            );
            let unscale = |v: f64| v * 2f64.powi(-power_b / 2) * 2f64.powi(-power_b / 2) * scale;
            let (x, exact): (Vec<f64>, Vec<f64>) = (
                x.iter().map(|v| unscale(*v)).collect(),
                exact.iter().map(|v| unscale(*v) / scale).collect(),
            );
            assert!(
                norm(&minus(&x, &exact)) < 1e-8 * norm(&exact),
                "{name} {power_a} {power_b}"
            );
        }
    }
}

#[test]
fn minres_solves_definite_and_indefinite_systems() {
    fn run<T: Scalar>(accuracy: f64, error: f64) {
        for n in SIZES {
            for signs in [1.0, -1.0] {
                let values: Vec<f64> = geometric(n, 30.0)
                    .iter()
                    .enumerate()
                    .map(|(i, v)| if i % 2 == 0 { *v } else { signs * v })
                    .collect();
                let a = with_spectrum(&values, 41);
                let exact = normals(n, 42);
                let b = times(&a, &exact);
                let op = Dense::symmetric(cast_mat::<T>(&a)).unwrap();
                let mut x = vec![T::of(5.0); n];
                let options = MinresOptions {
                    relative: accuracy,
                    ..MinresOptions::default()
                };
                let report = minres_qlp(
                    &op,
                    0.0,
                    &cast::<T>(&b),
                    &mut x,
                    &options,
                    &mut MinresWorkspace::new(),
                )
                .unwrap();
                assert_eq!(report.stop, MinresStop::Residual, "n = {n}");
                let x = to_f64(&x);
                let measured = norm(&minus(&to_f64(&cast::<T>(&b)), &times(&to_dense(&op), &x)));
                assert!(
                    measured
                        <= 1.1 * report.residual_norm + 10.0 * T::EPSILON * n as f64 * norm(&x)
                );
                assert!(norm(&minus(&x, &exact)) <= error * norm(&exact), "n = {n}");
            }
        }
    }
    run::<f64>(1e-12, 1e-9);
    run::<f32>(1e-5, 5e-3);
}

/// Indefinite and singular: eigenvalues of both signs and `zeros` zeros.
fn singular(n: usize, zeros: usize, seed: u64) -> (Mat<f64>, Mat<f64>) {
    let mut values: Vec<f64> = geometric(n - zeros, 20.0)
        .iter()
        .enumerate()
        .map(|(i, v)| if i % 3 == 0 { -v } else { *v })
        .collect();
    values.extend(vec![0.0; zeros]);
    let inverse: Vec<f64> = values
        .iter()
        .map(|v| if *v == 0.0 { 0.0 } else { 1.0 / v })
        .collect();
    (with_spectrum(&values, seed), with_spectrum(&inverse, seed))
}

#[test]
fn minres_finds_the_shortest_solution_of_singular_systems() {
    for (n, zeros) in [(2, 1), (3, 1), (10, 3), (33, 1), (64, 20), (100, 5)] {
        for seed in 50..53 {
            let (a, inverse) = singular(n, zeros, seed);
            let op = Dense::symmetric(a.clone()).unwrap();
            let mut work = MinresWorkspace::new();
            // In the range: a solution exists.
            let b = times(&a, &normals(n, seed));
            let mut x = vec![0.0; n];
            let report =
                minres_qlp(&op, 0.0, &b, &mut x, &MinresOptions::default(), &mut work).unwrap();
            assert_eq!(report.stop, MinresStop::Residual, "n = {n}, seed {seed}");
            let exact = times(&inverse, &b);
            let far = norm(&minus(&x, &exact)) / norm(&exact);
            assert!(far < 1e-7, "consistent, n = {n}, seed {seed}: {far:e}");
            // Outside: the shortest least-squares solution.
            let b = normals(n, seed + 100);
            let report =
                minres_qlp(&op, 0.0, &b, &mut x, &MinresOptions::default(), &mut work).unwrap();
            assert_eq!(report.stop, MinresStop::Normal, "n = {n}, seed {seed}");
            let exact = times(&inverse, &b);
            let far = norm(&minus(&x, &exact)) / norm(&exact);
            assert!(
                far < 1e-5,
                "inconsistent, n = {n}, seed {seed}: {far:e} after {}",
                report.iterations
            );
        }
    }
}

#[test]
fn minres_detects_negative_curvature() {
    let n = 40;
    let mut values = geometric(n, 50.0);
    let mut work = MinresWorkspace::new();
    let options = MinresOptions {
        curvature: true,
        ..MinresOptions::default()
    };
    let b = normals(n, 61);
    let mut x = vec![0.0; n];
    let definite = Dense::symmetric(with_spectrum(&values, 60)).unwrap();
    let report = minres_qlp(&definite, 0.0, &b, &mut x, &options, &mut work).unwrap();
    assert_eq!(
        (report.stop, report.curvature),
        (MinresStop::Residual, None)
    );
    values[n - 1] = -0.5;
    let a = with_spectrum(&values, 60);
    let op = Dense::symmetric(a.clone()).unwrap();
    let report = minres_qlp(&op, 0.0, &b, &mut x, &options, &mut work).unwrap();
    assert_eq!(report.stop, MinresStop::NegativeCurvature);
    let r = minus(&b, &times(&a, &x));
    let curvature = r
        .iter()
        .zip(times(&a, &r))
        .map(|(r, ar)| r * ar)
        .sum::<f64>()
        / norm(&r).powi(2);
    assert!(curvature <= 0.0);
    assert!((report.curvature.unwrap() / curvature - 1.0).abs() < 1e-6);
    let cosine = r
        .iter()
        .zip(work.direction())
        .map(|(a, b)| a * b)
        .sum::<f64>()
        / norm(&r)
        / norm(work.direction());
    assert!(cosine > 1.0 - 1e-9);
    // The shift makes it definite again.
    let report = minres_qlp(&op, 1.0, &b, &mut x, &options, &mut work).unwrap();
    assert_eq!(report.stop, MinresStop::Residual);
}

#[test]
fn minres_starts_where_it_is_told_and_scales() {
    let n = 20;
    let a = with_spectrum(&geometric(n, 10.0), 62);
    let exact = normals(n, 63);
    for power in [-900, -300, 0, 300, 900] {
        let b: Vec<f64> = times(&a, &exact)
            .iter()
            .map(|v| v * 2f64.powi(power))
            .collect();
        let op = Dense::symmetric(a.clone()).unwrap();
        let mut x: Vec<f64> = exact.iter().map(|v| v * 2f64.powi(power)).collect();
        let options = MinresOptions {
            warm_start: true,
            ..MinresOptions::default()
        };
        let report =
            minres_qlp(&op, 0.0, &b, &mut x, &options, &mut MinresWorkspace::new()).unwrap();
        assert_eq!((report.stop, report.iterations), (MinresStop::Residual, 0));
        let mut x = vec![0.0; n];
        let report =
            minres_qlp(&op, 0.0, &b, &mut x, &options, &mut MinresWorkspace::new()).unwrap();
        assert_eq!(report.stop, MinresStop::Residual);
        for (x, e) in x.iter().zip(&exact) {
            assert!((x * 2f64.powi(-power) - e).abs() < 1e-8);
        }
    }
}

#[test]
fn too_much_accuracy_is_refused_aloud() {
    let a = with_spectrum(&geometric(50, 1e6), 64);
    let b = normals(50, 65);
    let mut x = vec![0.0; 50];
    let options = MinresOptions {
        relative: 1e-17,
        normal: 0.0,
        ..MinresOptions::default()
    };
    let op = Dense::symmetric(a).unwrap();
    let report = minres_qlp(&op, 0.0, &b, &mut x, &options, &mut MinresWorkspace::new()).unwrap();
    assert!(matches!(
        report.stop,
        MinresStop::Stagnated | MinresStop::MaxIterations
    ));
    for (name, solver) in solvers::<f64>() {
        let options = LeastSquaresOptions {
            relative: 1e-17,
            normal: 0.0,
            ..LeastSquaresOptions::default()
        };
        let report = solver(
            &op,
            0.0,
            &b,
            &mut x,
            &options,
            &mut LeastSquaresWorkspace::new(),
        )
        .unwrap();
        assert!(!report.stop.converged(), "{name}: {:?}", report.stop);
    }
}

#[test]
fn bad_input_is_named() {
    let op = Diagonal(vec![1.0, 2.0]);
    let mut x = [0.0; 2];
    for (_, solver) in solvers::<f64>() {
        let mut work = LeastSquaresWorkspace::new();
        let good = LeastSquaresOptions::default();
        let e = solver(&op, 0.0, &[1.0, f64::INFINITY], &mut x, &good, &mut work).unwrap_err();
        assert!(e.to_string().contains("right-hand side at entry 1"), "{e}");
        let e = solver(&op, -1.0, &[1.0, 1.0], &mut x, &good, &mut work).unwrap_err();
        assert!(e.to_string().contains("`damp` is -1"), "{e}");
        let e = solver(&op, 0.0, &[1.0], &mut x, &good, &mut work).unwrap_err();
        assert!(e.to_string().contains("shape"), "{e}");
        let e = solver(
            &Diagonal(vec![1.0, f64::NAN]),
            0.0,
            &[1.0; 2],
            &mut x,
            &good,
            &mut work,
        )
        .unwrap_err();
        assert!(e.to_string().contains("not finite"), "{e}");
    }
    let mut work = MinresWorkspace::new();
    let good = MinresOptions::default();
    let e = minres_qlp(
        &Dense::new(Mat::<f64>::identity(2, 2)),
        0.0,
        &[1.0; 2],
        &mut x,
        &good,
        &mut work,
    )
    .unwrap_err();
    assert!(e.to_string().contains("symmetric"), "{e}");
    let e = minres_qlp(&op, f64::NAN, &[1.0; 2], &mut x, &good, &mut work).unwrap_err();
    assert!(e.to_string().contains("`shift`"), "{e}");
}
