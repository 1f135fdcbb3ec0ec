//! Conjugate gradients, Jacobi and Nyström preconditioners against dense f64 oracles.
#![allow(missing_docs, clippy::unwrap_used)]

mod krylov_support;

use faer::Mat;
use krylov_support::*;
use quadric_linalg::algebra::{Dense, Diagonal};
use quadric_linalg::dense::cholesky_in_place;
use quadric_linalg::krylov::{CgOptions, CgStop, CgWorkspace, cg, cg_block};
use quadric_linalg::precond::{Jacobi, NystromPreconditioner};
use quadric_linalg::random::SeedTree;
use quadric_linalg::{LinearOperator, Scalar, apply_vector};

fn tolerance(relative: f64) -> CgOptions {
    CgOptions {
        relative,
        max_iterations: 20_000,
        ..CgOptions::default()
    }
}

/// Solves with CG and checks the reported residual against one computed here, in f64.
fn solve_and_check<T: Scalar>(
    a: &Mat<f64>,
    b: &[f64],
    options: &CgOptions,
) -> (Vec<f64>, CgStop, usize) {
    let op = spd::<T>(a);
    let (a, b_t) = (to_dense(&op), cast::<T>(b));
    let mut x = vec![T::of(7.0); b.len()];
    let report = cg(
        &op,
        0.0,
        None,
        &b_t,
        &mut x,
        options,
        &mut CgWorkspace::new(),
    )
    .unwrap();
    let x: Vec<f64> = x.iter().map(|v| v.to_f64()).collect();
    let b: Vec<f64> = b_t.iter().map(|v| v.to_f64()).collect();
    let true_residual = norm(&minus(&b, &times(&a, &x))) / norm(&b);
    // What a product in this precision can resolve, besides the promised tenth.
    let floor = T::EPSILON * b.len() as f64 * a.norm_max() * norm(&x) / norm(&b);
    assert!(
        true_residual <= 1.1 * report.residual + floor,
        "n = {}: measured {true_residual:e}, claimed {:e}",
        b.len(),
        report.residual
    );
    if report.stop == CgStop::Tolerance {
        assert!(report.residual <= 1.1 * options.relative);
    }
    (x, report.stop, report.iterations)
}

#[test]
fn solves_well_conditioned_systems_of_every_size() {
    for n in SIZES {
        let a = with_spectrum(&geometric(n, 100.0), 1);
        let exact = normals(n, 2);
        let b = times(&a, &exact);
        let (_, stop, iterations) = solve_and_check::<f64>(&a, &b, &tolerance(1e-7));
        assert_eq!(stop, CgStop::Tolerance);
        assert!(iterations <= n + 5, "{n}: {iterations}");
        let (x, stop, _) = solve_and_check::<f64>(&a, &b, &tolerance(1e-12));
        assert_eq!(stop, CgStop::Tolerance);
        assert!(norm(&minus(&x, &exact)) <= 1e-10 * norm(&exact));
        let (x, stop, _) = solve_and_check::<f32>(&a, &b, &tolerance(1e-5));
        assert_eq!(stop, CgStop::Tolerance);
        assert!(norm(&minus(&x, &exact)) <= 2e-3 * norm(&exact));
    }
}

#[test]
fn never_claims_more_than_it_has() {
    for condition in [1.0, 1e4, 1e8, 1e14] {
        for scale in [2f64.powi(-500), 1.0, 2f64.powi(500)] {
            for n in [1, 3, 10, 64] {
                let values: Vec<f64> = geometric(n, condition).iter().map(|v| v * scale).collect();
                let a = with_spectrum(&values, 3);
                let b = normals(n, 4);
                let options = CgOptions {
                    max_iterations: 2000,
                    ..tolerance(1e-10)
                };
                let (x, stop, _) = solve_and_check::<f64>(&a, &b, &options);
                assert!(x.iter().all(|v| v.is_finite()));
                if condition <= 1e4 {
                    assert_eq!(stop, CgStop::Tolerance, "{condition} {scale:e} {n}");
                }
            }
        }
    }
}

#[test]
fn singular_consistent_systems_give_the_minimum_norm_solution() {
    let mut values = geometric(30, 50.0);
    values.extend([0.0; 10]);
    let a = with_spectrum(&values, 5);
    let range = times(&a, &normals(40, 6));
    let (x, stop, _) = solve_and_check::<f64>(&a, &times(&a, &range), &tolerance(1e-11));
    assert_eq!(stop, CgStop::Tolerance);
    assert!(norm(&minus(&x, &range)) < 1e-8 * norm(&range));
}

#[test]
fn the_error_falls_in_the_energy_norm() {
    let n = 64;
    let a = with_spectrum(&geometric(n, 1e3), 7);
    let exact = normals(n, 8);
    let b = times(&a, &exact);
    let mut before = f64::INFINITY;
    for k in 1..60 {
        let options = CgOptions {
            max_iterations: k,
            ..tolerance(0.0)
        };
        let (x, stop, iterations) = solve_and_check::<f64>(&a, &b, &options);
        assert_eq!((stop, iterations), (CgStop::MaxIterations, k));
        let e = minus(&x, &exact);
        let energy = times(&a, &e)
            .iter()
            .zip(&e)
            .map(|(a, b)| a * b)
            .sum::<f64>()
            .sqrt();
        assert!(
            energy <= before * (1.0 + 1e-12),
            "{k}: {energy} after {before}"
        );
        before = energy;
    }
}

#[test]
fn ritz_values_lie_in_the_spectrum_and_reach_its_ends() {
    let n = 100;
    let values: Vec<f64> = (1..=n).map(|i| i as f64).collect();
    let d = Diagonal(values.clone());
    let b = vec![1.0; n];
    let mut x = vec![0.0; n];
    let mut work = CgWorkspace::new();
    for (k, slack) in [(5, 30.0), (60, 1e-2), (95, 1e-8)] {
        let options = CgOptions {
            max_iterations: k,
            relative: 0.0,
            ..CgOptions::default()
        };
        let report = cg(&d, 0.5, None, &b, &mut x, &options, &mut work).unwrap();
        let (low, high) = report.ritz.unwrap();
        assert!(low >= 1.5 - 1e-9 && low <= 1.5 + slack, "{k}: {low}");
        assert!(high <= 100.5 + 1e-9 && high >= 100.5 - slack, "{k}: {high}");
    }
    // With a perfect preconditioner the spectrum is {1}.
    let p = Jacobi::new(&values, 0.5).unwrap();
    let report = cg(&d, 0.5, Some(&p), &b, &mut x, &tolerance(1e-12), &mut work).unwrap();
    assert_eq!(report.iterations, 1);
    let (low, high) = report.ritz.unwrap();
    assert!((low - 1.0).abs() < 1e-11 && (high - 1.0).abs() < 1e-11);
}

#[test]
fn the_energy_test_estimates_the_energy_error() {
    for (seed, condition) in [(9, 1e2), (10, 1e4), (11, 1e6)] {
        let n = 80;
        let a = with_spectrum(&geometric(n, condition), seed);
        let exact = normals(n, seed);
        let b = times(&a, &exact);
        let options = CgOptions {
            relative: 0.0,
            energy: Some(1.0 / 7.0),
            ..CgOptions::default()
        };
        let mut x = vec![0.0; n];
        let report = cg(
            &spd(&a),
            0.0,
            None,
            &b,
            &mut x,
            &options,
            &mut CgWorkspace::new(),
        )
        .unwrap();
        assert_eq!(report.stop, CgStop::Tolerance);
        let energy = |e: &[f64]| {
            times(&a, e)
                .iter()
                .zip(e)
                .map(|(a, b)| a * b)
                .sum::<f64>()
                .sqrt()
        };
        let relative = energy(&minus(&x, &exact)) / energy(&exact);
        // The Ritz values are inside the spectrum, so the test is an estimate: good to a factor of two here.
        assert!(relative <= 2.0 / 7.0, "seed {seed}: {relative}");
        // curvature and slope are the two terms of the quadratic model.
        let close = |a: f64, b: f64| assert!((a - b).abs() <= 1e-10 * b.abs(), "{a} {b}");
        close(report.curvature, energy(&x).powi(2));
        close(report.slope, x.iter().zip(&b).map(|(x, b)| x * b).sum());
    }
}

#[test]
fn the_gain_test_stops_where_nothing_is_left_to_gain() {
    let n = 300;
    for (seed, condition) in [(21, 1e4), (22, 1e5), (23, 1e6)] {
        let values = geometric(n, condition);
        let a = Diagonal(values.clone());
        // Most of the energy in the upper half of the spectrum, little in its last decades.
        let z = normals(n, seed);
        let exact: Vec<f64> = z
            .iter()
            .zip(&values)
            .map(|(z, l)| z * l.powf(-0.25))
            .collect();
        let b: Vec<f64> = exact.iter().zip(&values).map(|(x, l)| x * l).collect();
        let energy = |e: &[f64]| -> f64 { e.iter().zip(&values).map(|(e, l)| l * e * e).sum() };
        let solve = |options: CgOptions| {
            let mut x = vec![0.0; n];
            let work = &mut CgWorkspace::new();
            let report = cg(&a, 0.0, None, &b, &mut x, &options, work).unwrap();
            (report, energy(&minus(&x, &exact)) / energy(&exact))
        };
        let options = CgOptions {
            relative: 0.0,
            verify: true,
            ..CgOptions::default()
        };
        let (bound, _) = solve(CgOptions {
            energy: Some(0.1),
            ..options
        });
        let (gain, missing) = solve(CgOptions {
            gain: Some(0.01),
            ..options
        });
        assert_eq!(gain.stop, CgStop::SmallGain);
        assert!(
            missing <= 0.01,
            "seed {seed}: {missing:e} of the model is missing"
        );
        assert!(
            2 * gain.iterations <= bound.iterations,
            "seed {seed}: {} iterations, {} with the bound",
            gain.iterations,
            bound.iterations
        );
    }
    let refused = CgOptions {
        gain: Some(0.1),
        warm_start: true,
        ..CgOptions::default()
    };
    let (d, mut x) = (Diagonal(vec![1.0, 2.0]), [0.0; 2]);
    let e = cg(
        &d,
        0.0,
        None,
        &[1.0; 2],
        &mut x,
        &refused,
        &mut CgWorkspace::new(),
    )
    .unwrap_err();
    assert!(e.to_string().contains("warm_start"), "{e}");
}

#[test]
fn steihaug_stops_on_the_boundary_in_the_norm_of_the_preconditioner() {
    let n = 40;
    let a = with_spectrum(&geometric(n, 1e3), 12);
    let b = normals(n, 13);
    let weights: Vec<f64> = (0..n).map(|i| 1.0 + i as f64).collect();
    let p = Jacobi::new(&weights, 0.0).unwrap();
    let length = |x: &[f64]| {
        x.iter()
            .zip(&weights)
            .map(|(x, w)| x * x * w)
            .sum::<f64>()
            .sqrt()
    };
    let mut work = CgWorkspace::new();
    let mut x = vec![0.0; n];
    cg(
        &spd(&a),
        0.0,
        Some(&p),
        &b,
        &mut x,
        &tolerance(1e-10),
        &mut work,
    )
    .unwrap();
    let free = length(&x);
    for fraction in [1e-6, 0.1, 0.7, 0.999] {
        let options = CgOptions {
            radius: Some(fraction * free),
            ..tolerance(1e-10)
        };
        let report = cg(&spd(&a), 0.0, Some(&p), &b, &mut x, &options, &mut work).unwrap();
        assert_eq!(report.stop, CgStop::Radius);
        assert!(
            (length(&x) / (fraction * free) - 1.0).abs() < 1e-9,
            "{fraction}: {}",
            length(&x)
        );
        // The model falls at least as far as along the (preconditioned) gradient alone.
        assert!(report.slope - 0.5 * report.curvature > 0.0);
    }
    let options = CgOptions {
        radius: Some(2.0 * free),
        ..tolerance(1e-10)
    };
    let report = cg(&spd(&a), 0.0, Some(&p), &b, &mut x, &options, &mut work).unwrap();
    assert_eq!(report.stop, CgStop::Tolerance);
}

#[test]
fn negative_curvature_is_found_and_handed_over() {
    let n = 30;
    let mut values = geometric(n, 10.0);
    values[n - 1] = -0.3;
    let a = with_spectrum(&values, 14);
    let op = Dense::symmetric(a.clone()).unwrap();
    let b = normals(n, 15);
    let (mut x, mut work) = (vec![0.0; n], CgWorkspace::new());
    let report = cg(&op, 0.0, None, &b, &mut x, &tolerance(1e-10), &mut work).unwrap();
    assert_eq!(report.stop, CgStop::NegativeCurvature);
    let p = work.direction(0).to_vec();
    let curvature = times(&a, &p)
        .iter()
        .zip(&p)
        .map(|(a, b)| a * b)
        .sum::<f64>()
        / norm(&p).powi(2);
    assert!(curvature < 0.0);
    assert!((report.direction_curvature.unwrap() / curvature - 1.0).abs() < 1e-8);
    let options = CgOptions {
        radius: Some(5.0),
        ..tolerance(1e-10)
    };
    cg(&op, 0.0, None, &b, &mut x, &options, &mut work).unwrap();
    assert!((norm(&x) - 5.0).abs() < 1e-10);
    // A shift beyond the negative eigenvalue makes the same operator definite.
    let report = cg(&op, 0.5, None, &b, &mut x, &tolerance(1e-10), &mut work).unwrap();
    assert_eq!(report.stop, CgStop::Tolerance);
}

#[test]
fn blocks_agree_with_single_columns_and_columns_drop_out() {
    let n = 60;
    let a = with_spectrum(&geometric(n, 1e3), 16);
    let op = spd::<f64>(&a);
    let b = Mat::from_fn(n, 5, |i, j| match j {
        0 => a[(i, 0)],
        2 => 0.0,
        _ => normals(n, j as u64)[i] * 10f64.powi(40 * j as i32 - 80),
    });
    let mut x = Mat::<f64>::zeros(n, 5);
    let mut work = CgWorkspace::new();
    let reports = cg_block(
        &op,
        0.01,
        None,
        b.as_ref(),
        x.as_mut(),
        &tolerance(1e-9),
        &mut work,
    )
    .unwrap();
    for j in 0..5 {
        let column: Vec<f64> = (0..n).map(|i| b[(i, j)]).collect();
        let mut y = vec![0.0; n];
        let report = cg(
            &op,
            0.01,
            None,
            &column,
            &mut y,
            &tolerance(1e-9),
            &mut work,
        )
        .unwrap();
        assert_eq!(report.stop, reports[j].stop);
        assert!(report.iterations.abs_diff(reports[j].iterations) <= 1);
        let x: Vec<f64> = (0..n).map(|i| x[(i, j)]).collect();
        assert!(norm(&minus(&x, &y)) <= 1e-6 * norm(&y), "column {j}");
    }
    assert_eq!(reports[2].iterations, 0);
}

#[test]
fn bad_input_is_named() {
    let op = Diagonal(vec![1.0, 2.0]);
    let mut work = CgWorkspace::new();
    let mut run = |b: &[f64], shift, options: &CgOptions| {
        let mut x = vec![0.0; b.len()];
        cg(&op, shift, None, b, &mut x, options, &mut work)
            .unwrap_err()
            .to_string()
    };
    let good = CgOptions::default();
    assert!(run(&[1.0, f64::NAN], 0.0, &good).contains("right-hand side at entry 1"));
    assert!(run(&[1.0], 0.0, &good).contains("operator has shape (2, 2)"));
    assert!(run(&[1.0, 1.0], f64::INFINITY, &good).contains("`shift`"));
    let bad = CgOptions {
        relative: -1.0,
        ..good
    };
    assert!(run(&[1.0, 1.0], 0.0, &bad).contains("`relative` is -1"));
    let bad = CgOptions {
        radius: Some(1.0),
        warm_start: true,
        ..good
    };
    assert!(run(&[1.0, 1.0], 0.0, &bad).contains("`warm_start`"));
    let op = Diagonal(vec![1.0, f64::NAN]);
    let e = cg(&op, 0.0, None, &[1.0, 1.0], &mut [0.0; 2], &good, &mut work).unwrap_err();
    assert!(
        e.to_string()
            .contains("the operator gave a product that is not finite"),
        "{e}"
    );
    let op = Dense::new(Mat::<f64>::identity(2, 2));
    assert!(cg(&op, 0.0, None, &[1.0, 1.0], &mut [0.0; 2], &good, &mut work).is_err());
    assert!(
        cg(
            &Diagonal::<f64>(vec![]),
            0.0,
            None,
            &[],
            &mut [],
            &good,
            &mut work
        )
        .is_ok()
    );
}

#[test]
fn diagonals_that_are_refused() {
    assert!(Jacobi::new(&[1.0, 0.0], 0.0).is_err());
    assert!(Jacobi::new(&[1.0, f64::NAN], 0.0).is_err());
    assert!(Jacobi::new(&[1.0, 0.0], 1e-3).is_ok());
    assert!(Jacobi::from_estimate(&[1.0, -0.1], 0.0, 1e-3).is_ok());
}

/// Condition number of P^-1/2 (A + mu I) P^-1/2, from the dense P⁻¹.
fn preconditioned_condition(a: &Mat<f64>, shift: f64, p: &dyn LinearOperator<f64>) -> f64 {
    let n = a.nrows();
    let inverse = to_dense(p);
    let mut l = Mat::from_fn(n, n, |i, j| 0.5 * (inverse[(i, j)] + inverse[(j, i)]));
    cholesky_in_place(l.as_mut()).unwrap();
    let l = Mat::from_fn(n, n, |i, j| if i >= j { l[(i, j)] } else { 0.0 });
    let shifted = Mat::from_fn(n, n, |i, j| a[(i, j)] + if i == j { shift } else { 0.0 });
    let m = l.transpose() * &shifted * &l;
    let values = eigenvalues(&m);
    values[n - 1] / values[0]
}

#[test]
fn nystrom_conditions_the_system_as_promised() {
    let n = 200;
    let values: Vec<f64> = (1..=n).map(|i| (i as f64).powi(-2)).collect();
    let a = with_spectrum(&values, 19);
    let op = spd::<f64>(&a);
    for shift in [1e-1, 1e-2, 1e-3] {
        let effective: f64 = values.iter().map(|v| v / (v + shift)).sum();
        let rank = 2 * (1.5 * effective).ceil() as usize + 1;
        let mut total = 0.0;
        for seed in 0..5 {
            let p = NystromPreconditioner::new(&op, rank, shift, SeedTree::new(seed)).unwrap();
            let condition = preconditioned_condition(&a, shift, &p);
            total += condition;
            // The Nyström approximation is below A, eigenvalue by eigenvalue.
            p.eigenvalues()
                .iter()
                .zip(&values)
                .for_each(|(l, v)| assert!(*l <= v * (1.0 + 1e-9)));
            assert!(p.effective_dimension() <= effective);
        }
        assert!(
            total / 5.0 <= 28.0,
            "shift {shift}: mean condition {}",
            total / 5.0
        );
    }
    let adaptive = NystromPreconditioner::adaptive(&op, 1e-3, n, SeedTree::new(3)).unwrap();
    assert_eq!(adaptive.eigenvalues().len(), 16);
    let adaptive = NystromPreconditioner::adaptive(&op, 1e-5, n, SeedTree::new(3)).unwrap();
    assert!(*adaptive.eigenvalues().last().unwrap() <= 1e-4);
    assert!(adaptive.eigenvalues().len() < n);
    let direct =
        NystromPreconditioner::new(&op, adaptive.eigenvalues().len(), 1e-5, SeedTree::new(3))
            .unwrap();
    for (a, b) in adaptive.eigenvalues().iter().zip(direct.eigenvalues()) {
        assert!(
            (a - b).abs() < 1e-9,
            "growing the sketch must not change it: {a} {b}"
        );
    }
    let reused = adaptive.for_shift(1e-2).unwrap();
    assert!(preconditioned_condition(&a, 1e-2, &reused) < 2.0);
}

#[test]
fn nystrom_cuts_the_iterations() {
    let n = 257;
    let values: Vec<f64> = (0..n).map(|i| 0.8f64.powi(i as i32)).collect();
    let a = with_spectrum(&values, 20);
    let b = normals(n, 21);
    let shift = 1e-8;
    let op = spd::<f64>(&a);
    let p = NystromPreconditioner::adaptive(&op, shift, 200, SeedTree::new(22)).unwrap();
    let (mut x, mut work) = (vec![0.0; n], CgWorkspace::new());
    let plain = cg(&op, shift, None, &b, &mut x, &tolerance(1e-8), &mut work).unwrap();
    let better = cg(
        &op,
        shift,
        Some(&p),
        &b,
        &mut x,
        &tolerance(1e-8),
        &mut work,
    )
    .unwrap();
    assert_eq!(better.stop, CgStop::Tolerance);
    println!(
        "rank {}, {} against {} iterations",
        p.eigenvalues().len(),
        better.iterations,
        plain.iterations
    );
    assert!(better.iterations <= 15 && plain.iterations > 5 * better.iterations);
    // Single precision: the preconditioner stays definite and still helps.
    let op = spd::<f32>(&a);
    let p = NystromPreconditioner::<f32>::adaptive(&op, 1e-4, 200, SeedTree::new(22)).unwrap();
    let mut x = vec![0.0f32; n];
    let report = cg(
        &op,
        1e-4,
        Some(&p),
        &cast::<f32>(&b),
        &mut x,
        &tolerance(1e-4),
        &mut CgWorkspace::new(),
    )
    .unwrap();
    assert_eq!(report.stop, CgStop::Tolerance);
    assert!(report.iterations <= 20, "{}", report.iterations);
}

#[test]
fn nystrom_of_zero_low_rank_and_bad_operators() {
    let zero = Diagonal(vec![0.0; 20]);
    let p = NystromPreconditioner::adaptive(&zero, 1.0, 20, SeedTree::new(1)).unwrap();
    let mut y = vec![0.0; 20];
    apply_vector(&p, &[3.0; 20], &mut y).unwrap();
    assert!(minus(&y, &[3.0; 20]).iter().all(|v| v.abs() < 1e-13));
    let mut values = vec![0.0; 50];
    values[..3].copy_from_slice(&[5.0, 1.0, 0.2]);
    let a = with_spectrum(&values, 23);
    let p = NystromPreconditioner::new(&spd::<f64>(&a), 10, 1e-6, SeedTree::new(2)).unwrap();
    assert!(preconditioned_condition(&a, 1e-6, &p) < 1.001);
    (0..3).for_each(|i| assert!((p.eigenvalues()[i] - values[i]).abs() < 1e-12));
    let seed = SeedTree::new(3);
    assert!(NystromPreconditioner::new(&Dense::symmetric(a).unwrap(), 10, 1.0, seed).is_err());
    let liar = Dense::psd(with_spectrum(&[-1.0, -2.0, -3.0], 24)).unwrap();
    assert!(NystromPreconditioner::new(&liar, 3, 1.0, seed).is_err());
    assert!(NystromPreconditioner::new(&zero, 0, 1.0, seed).is_err());
    assert!(NystromPreconditioner::new(&zero, 3, 0.0, seed).is_err());
    assert!(NystromPreconditioner::new(&Diagonal(vec![1.0, f64::INFINITY]), 2, 1.0, seed).is_err());
}
