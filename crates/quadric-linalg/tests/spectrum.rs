//! Eigenpairs at the edges: multiplicities, restarts and starts, operators of any size, liars, and what is built on them.
#![allow(missing_docs, clippy::unwrap_used)]

mod krylov_support;

use faer::{Mat, MatMut, MatRef};
use krylov_support::*;
use quadric_linalg::algebra::{Dense, Diagonal, Identity};
use quadric_linalg::random::SeedTree;
use quadric_linalg::spectrum::{
    EigenMethod, EigenOptions, Eigenpairs, Help, Progress, SavedSearch, Search, Which, eigenpairs,
    eigenpairs_with,
};
use quadric_linalg::{ErrorKind, LinearOperator, Properties, Result, Scalar};
use std::ops::ControlFlow;

fn find(values: &[f64], options: &EigenOptions, seed: u64) -> Eigenpairs<f64> {
    eigenpairs(&Diagonal(values.to_vec()), options, SeedTree::new(seed)).unwrap()
}

fn near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance, "{found:?} for {expected:?}");
    }
}

/// A few outliers, and a bulk of both signs near 0, as the Hessians of networks have it.
fn hessian_like(n: usize) -> Vec<f64> {
    let outliers = [1.0, 0.8, 0.62, 0.5, 0.4, 0.33, 0.27, 0.22, 0.18, 0.15];
    let mut bulk = normals(n, 5);
    for (j, b) in bulk.iter_mut().enumerate() {
        let sign = if j % 4 == 0 { -0.5 } else { 1.0 };
        *b = sign * 0.05 * b.powi(2).min(2.5);
    }
    bulk[..10].copy_from_slice(&outliers);
    bulk
}

#[test]
fn products_on_a_decaying_spectrum() {
    let values = hessian_like(4000);
    let options = EigenOptions {
        count: 5,
        tolerance: 1e-3,
        ..EigenOptions::default()
    };
    let single = EigenOptions {
        method: EigenMethod::ThickRestart,
        verify: false,
        ..options
    };
    for seed in 0..5 {
        let (auto, one) = (find(&values, &options, seed), find(&values, &single, seed));
        println!(
            "seed {seed}: {} in blocks, {} singly",
            auto.products, one.products
        );
        assert!(auto.is_converged() && one.converged.iter().all(|c| *c));
        near(&auto.values, &values[..5], 1e-3);
        near(&one.values, &values[..5], 1e-3);
        // Plain Lanczos needs 24 to 26 before the last product, blocks of four 56 to 60.
        assert!(one.products <= 40, "{}", one.products);
        assert!(auto.products <= 80, "{}", auto.products);
        for j in 0..5 {
            let (low, high) = auto.enclosure(j);
            assert!((low..=high).contains(&values[j]), "pair {j} of seed {seed}");
        }
    }
}

#[test]
fn every_copy_of_a_multiple_eigenvalue() {
    for n in [60, 120, 300] {
        let values: Vec<f64> = (0..n)
            .map(|i| if i < 3 { 1.0 } else { i as f64 - 1.0 })
            .collect();
        for block in [1, 2, 4] {
            for seed in 0..3 {
                let options = EigenOptions {
                    count: 4,
                    which: Which::Smallest,
                    block: Some(block),
                    tolerance: 1e-9,
                    ..EigenOptions::default()
                };
                let pairs = find(&values, &options, seed);
                assert!(pairs.is_converged(), "n = {n}, block {block}, seed {seed}");
                near(&pairs.values, &values[..4], 1e-6);
            }
        }
    }
    // More copies than the block has vectors, with others behind them.
    let values: Vec<f64> = (0..400)
        .map(|i| {
            if i < 20 {
                1.0
            } else {
                0.9 - 0.001 * f64::from(i)
            }
        })
        .collect();
    for (tolerance, seed) in [(1e-3, 0), (1e-3, 1), (1e-8, 2)] {
        let options = EigenOptions {
            count: 22,
            block: Some(4),
            tolerance,
            ..EigenOptions::default()
        };
        let pairs = find(&values, &options, seed);
        assert!(pairs.is_converged(), "tolerance {tolerance}");
        near(&pairs.values, &values[..22], 2.0 * tolerance + 1e-12);
        let hasty = EigenOptions {
            verify: false,
            ..options
        };
        let pairs = find(&values, &hasty, seed);
        assert!(!pairs.complete || (pairs.values[19] - 1.0).abs() < 2.0 * tolerance);
    }
}

fn edges<T: Scalar>() {
    let tolerance = 1e3 * T::EPSILON;
    let options = EigenOptions {
        count: 5,
        tolerance,
        ..EigenOptions::default()
    };
    let seed = SeedTree::new(84);
    let methods = [
        EigenMethod::Auto,
        EigenMethod::ThickRestart,
        EigenMethod::Dense,
        EigenMethod::Lobpcg,
    ];
    for method in methods {
        let options = EigenOptions { method, ..options };
        let zero = eigenpairs(&Diagonal(vec![T::of(0.0); 90]), &options, seed).unwrap();
        assert!(zero.is_converged(), "{method:?}");
        assert_eq!((zero.values, zero.norm), (vec![0.0; 5], 0.0), "{method:?}");
        let equal: Eigenpairs<T> = eigenpairs(&Identity(90), &options, seed).unwrap();
        near(&equal.values, &[1.0; 5], tolerance);
        for power in [-90, 90] {
            let unit = 2f64.powi(power);
            let values: Vec<T> = (1..120).map(|i| T::of(f64::from(i) * unit)).collect();
            let pairs = eigenpairs(&Diagonal(values), &options, seed).unwrap();
            let found: Vec<f64> = pairs.values.iter().map(|v| v / unit).collect();
            assert!(pairs.is_converged(), "{method:?}");
            near(
                &found,
                &[119.0, 118.0, 117.0, 116.0, 115.0],
                119.0 * tolerance,
            );
        }
        let mut values = vec![T::of(1.0); 90];
        values[7] = T::of(f64::NAN);
        let error = eigenpairs(&Diagonal(values), &options, seed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NonFinite, "{method:?}");
    }
    let one = EigenOptions {
        count: 1,
        ..options
    };
    let pairs = eigenpairs(&Diagonal(vec![T::of(-3.0)]), &one, seed).unwrap();
    assert_eq!(
        (pairs.values[0], pairs.residuals[0], pairs.exact),
        (-3.0, 0.0, true)
    );
}

#[test]
fn edges_f64() {
    edges::<f64>();
    let options = EigenOptions::default();
    for power in [-500, 500] {
        let values: Vec<f64> = (1..90).map(|i| f64::from(i) * 2f64.powi(power)).collect();
        let pairs = find(&values, &options, 1);
        assert!((pairs.values[0] * 2f64.powi(-power) - 89.0).abs() < 1e-4);
    }
}

#[test]
fn edges_f32() {
    edges::<f32>();
}

#[test]
fn options_out_of_range_are_named() {
    let op = Diagonal((0..200).map(f64::from).collect::<Vec<_>>());
    let base = EigenOptions::default();
    let fails = |options: EigenOptions, words: &[&str]| {
        let error = eigenpairs(&op, &options, SeedTree::new(0)).unwrap_err();
        for word in words {
            assert!(error.to_string().contains(word), "{error}");
        }
    };
    fails(
        EigenOptions { count: 201, ..base },
        &["count", "201", "200"],
    );
    fails(EigenOptions { count: 0, ..base }, &["count"]);
    fails(
        EigenOptions {
            block: Some(0),
            ..base
        },
        &["block"],
    );
    fails(
        EigenOptions {
            tolerance: f64::NAN,
            ..base
        },
        &["tolerance"],
    );
    fails(
        EigenOptions {
            max_products: 3,
            ..base
        },
        &["max_products"],
    );
    fails(
        EigenOptions {
            method: EigenMethod::Power,
            ..base
        },
        &["which"],
    );
    let both = EigenOptions {
        which: Which::BothEnds,
        ..base
    };
    fails(
        EigenOptions {
            method: EigenMethod::Lobpcg,
            ..both
        },
        &["which"],
    );
    let general = Dense::new(Mat::<f64>::identity(3, 3));
    let error = eigenpairs(&general, &base, SeedTree::new(0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Capability);
}

#[test]
fn products_that_run_out_leave_nothing_claimed() {
    let op = Diagonal((0..200).map(f64::from).collect::<Vec<_>>());
    let few = EigenOptions {
        count: 2,
        max_products: 40,
        tolerance: 1e-12,
        ..EigenOptions::default()
    };
    let pairs = eigenpairs(&op, &few, SeedTree::new(0)).unwrap();
    assert!(!pairs.is_converged() && pairs.products <= 40 && !pairs.complete);
}

/// A matrix that calls itself symmetric.
struct Liar(Mat<f64>);

impl LinearOperator<f64> for Liar {
    fn shape(&self) -> (usize, usize) {
        (self.0.nrows(), self.0.ncols())
    }

    fn apply(&self, x: MatRef<'_, f64>, mut y: MatMut<'_, f64>) -> Result<()> {
        y.copy_from(&self.0 * x);
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties {
            symmetric: true,
            ..Properties::default()
        }
    }
}

#[test]
fn liars_are_found_out() {
    let values = normals(150 * 150, 9);
    let liar = Liar(Mat::from_fn(150, 150, |i, j| values[i * 150 + j]));
    for method in [EigenMethod::Auto, EigenMethod::Lobpcg, EigenMethod::Dense] {
        let options = EigenOptions {
            method,
            ..EigenOptions::default()
        };
        let error = eigenpairs(&liar, &options, SeedTree::new(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Numeric, "{method:?}");
    }
}

#[test]
fn a_saved_search_goes_on_with_the_same_bits() {
    let values = hessian_like(900);
    let op = Diagonal(values);
    let options = EigenOptions {
        count: 6,
        tolerance: 1e-10,
        block: Some(3),
        ..EigenOptions::default()
    };
    let seed = SeedTree::new(11);
    let mut plain = Search::new(&op, &options, None, seed).unwrap();
    let mut moved = Search::new(&op, &options, None, seed).unwrap();
    let mut last: SavedSearch<f64>;
    loop {
        let done = plain.step(&op).unwrap();
        assert_eq!(moved.step(&op).unwrap(), done);
        last = moved.save();
        moved = Search::load(&last, &options, seed).unwrap();
        if done {
            break;
        }
    }
    let (a, b) = (plain.finish(&op).unwrap(), moved.finish(&op).unwrap());
    assert!(a.is_converged());
    assert_eq!(
        (&a.values, &a.residuals, a.products),
        (&b.values, &b.residuals, b.products)
    );
    assert_eq!(a.vectors, b.vectors);
    // Whatever is broken is refused.
    let broken = |change: &dyn Fn(&mut SavedSearch<f64>)| {
        let mut saved = last.clone();
        change(&mut saved);
        assert!(Search::load(&saved, &options, seed).is_err());
    };
    broken(&|s| s.vectors.truncate(10));
    broken(&|s| s.numbers.push(0.0));
    broken(&|s| s.numbers[0] = f64::NAN);
    broken(&|s| s.counters.truncate(3));
    broken(&|s| s.counters[0] += 1);
    broken(&|s| s.counters[2] = u64::MAX << 32 | 0x8000_0000);
    for entry in 3..19 {
        broken(&|s| s.counters[entry] = u64::MAX);
    }
    let other = EigenOptions {
        count: 5,
        ..options
    };
    assert!(Search::load(&last, &other, seed).is_err());
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let values = hessian_like(20_011);
    let run = |threads, method| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let options = EigenOptions {
            count: 3,
            tolerance: 1e-3,
            method,
            ..EigenOptions::default()
        };
        pool.install(|| find(&values, &options, 6))
    };
    for method in [EigenMethod::Auto, EigenMethod::Lobpcg] {
        let (one, three) = (run(1, method), run(3, method));
        assert!(one.is_converged());
        assert_eq!((one.values, one.vectors), (three.values, three.vectors));
    }
}

#[test]
fn a_watch_sees_progress_and_stops() {
    let op = Diagonal(hessian_like(900));
    let options = EigenOptions {
        count: 4,
        tolerance: 1e-8,
        ..EigenOptions::default()
    };
    for method in [EigenMethod::Auto, EigenMethod::Lobpcg] {
        let options = EigenOptions { method, ..options };
        let mut seen = Vec::new();
        let mut watch = |progress: &Progress| {
            seen.push(progress.products);
            assert!(progress.converged <= progress.residuals.len());
            if seen.len() == 4 {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let help = Help {
            watch: Some(&mut watch),
            ..Help::default()
        };
        let pairs = eigenpairs_with(&op, &options, help, SeedTree::new(1)).unwrap();
        assert!(seen.is_sorted() && seen.len() == 4, "{seen:?}");
        assert_eq!(pairs.values.len(), 4);
        assert!(!pairs.is_converged(), "{method:?}");
    }
}

#[test]
fn a_start_saves_products_and_hides_nothing() {
    let values = hessian_like(3000);
    let options = EigenOptions {
        count: 5,
        tolerance: 1e-3,
        ..EigenOptions::default()
    };
    // Eigenvectors of an earlier operator: the same with an error of a hundredth.
    let noise = normals(3000 * 5, 3);
    let start = Mat::from_fn(3000, 5, |i, j| {
        f64::from(u8::from(i == j)) + 0.01 * noise[5 * i + j] / 3000f64.sqrt()
    });
    let op = Diagonal(values.clone());
    let warm = |start: &Mat<f64>| {
        let help = Help {
            start: Some(start.as_ref()),
            ..Help::default()
        };
        eigenpairs_with(&op, &options, help, SeedTree::new(4)).unwrap()
    };
    let (near_start, cold) = (warm(&start), find(&values, &options, 4));
    println!(
        "{} products instead of {}",
        near_start.products, cold.products
    );
    assert!(near_start.is_converged() && near_start.products < cold.products);
    near(&near_start.values, &values[..5], 1e-3);
    // Exact eigenvectors of other values span an invariant space.
    let wrong = Mat::from_fn(3000, 5, |i, j| f64::from(u8::from(i == j + 5)));
    let pairs = warm(&wrong);
    assert!(pairs.is_converged());
    near(&pairs.values, &values[..5], 1e-3);
    // Dependent and zero vectors, too.
    let dependent = Mat::from_fn(3000, 4, |i, j| if j < 2 { start[(i, 0)] } else { 0.0 });
    near(&warm(&dependent).values, &values[..5], 1e-3);
    let bad = Mat::from_fn(3000, 1, |_, _| f64::NAN);
    let help = Help {
        start: Some(bad.as_ref()),
        ..Help::default()
    };
    assert!(eigenpairs_with(&op, &options, help, SeedTree::new(4)).is_err());
}

#[test]
fn lobpcg_with_a_preconditioner() {
    let values: Vec<f64> = (0..1500).map(|i| 1.0 + f64::from(i).powi(2)).collect();
    let inverse = Diagonal(values.iter().map(|v| 1.0 / (v + 0.5)).collect::<Vec<_>>());
    let op = Diagonal(values.clone());
    let options = EigenOptions {
        count: 4,
        which: Which::Smallest,
        tolerance: 1e-10,
        max_products: 600,
        method: EigenMethod::Lobpcg,
        ..EigenOptions::default()
    };
    let help = Help {
        preconditioner: Some(&inverse as &dyn LinearOperator<f64>),
        ..Help::default()
    };
    let pairs = eigenpairs_with(&op, &options, help, SeedTree::new(2)).unwrap();
    println!("{} products with a preconditioner", pairs.products);
    assert!(pairs.is_converged());
    near(&pairs.values, &values[..4], 2e-10 * values[1499]);
    let plain = eigenpairs(&op, &options, SeedTree::new(2)).unwrap();
    assert!(!plain.is_converged());
    let small = Identity(3);
    let help = Help {
        preconditioner: Some(&small as &dyn LinearOperator<f64>),
        ..Help::default()
    };
    assert!(eigenpairs_with(&op, &options, help, SeedTree::new(2)).is_err());
}
