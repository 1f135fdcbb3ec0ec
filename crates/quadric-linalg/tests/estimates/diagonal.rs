//! Diagonals.

use super::krylov_support::*;
use quadric_linalg::estimate::{DiagonalMethod, DiagonalOptions, diagonal};
use quadric_linalg::random::SeedTree;

/// Root mean square error over the entries and 20 seeds, relative to that of the diagonal.
fn error(a: &faer::Mat<f64>, method: DiagonalMethod, products: usize) -> f64 {
    let op = spd::<f64>(a);
    let options = DiagonalOptions {
        method,
        products,
        ..DiagonalOptions::default()
    };
    let (mut sum, mut size) = (0.0, 0.0);
    for seed in 0..20 {
        let report = diagonal(&op, &options, SeedTree::new(seed)).unwrap();
        assert!(!report.exact && report.products == products);
        for (i, v) in report.values.iter().enumerate() {
            sum += (v - a[(i, i)]).powi(2);
            size += a[(i, i)].powi(2);
        }
    }
    (sum / size).sqrt()
}

#[test]
fn decaying_spectra_give_their_diagonal_away() {
    let a = with_spectrum(&(0..150).map(|i| 0.7f64.powi(i)).collect::<Vec<_>>(), 2);
    let plain = error(&a, DiagonalMethod::Hutchinson, 60);
    let better = error(&a, DiagonalMethod::XDiag, 60);
    println!("{plain:e} {better:e}");
    assert!(better < 1e-3 * plain);
    // The variance of the plain estimate, in closed form.
    let off: f64 = (0..150)
        .flat_map(|j| (0..150).map(move |i| (i, j)))
        .filter(|(i, j)| i != j)
        .map(|at| a[at].powi(2))
        .sum();
    let own: f64 = (0..150).map(|i| a[(i, i)].powi(2)).sum();
    let expected = (off / 60.0 / own).sqrt();
    assert!((plain / expected - 1.0).abs() < 0.15, "{plain} {expected}");
}

#[test]
fn enough_products_are_exact() {
    let a = with_spectrum(&geometric(40, 1e3), 2);
    let op = spd::<f64>(&a);
    for method in [
        DiagonalMethod::XDiag,
        DiagonalMethod::Hutchinson,
        DiagonalMethod::Exact,
    ] {
        let options = DiagonalOptions {
            method,
            ..DiagonalOptions::default()
        };
        let report = diagonal(&op, &options, SeedTree::new(0)).unwrap();
        assert!(report.exact && report.products == 40);
        for (i, v) in report.values.iter().enumerate() {
            assert!((v - a[(i, i)]).abs() < 1e-15 && report.half_widths[i] == 0.0);
        }
    }
    // Rank 3: eleven test vectors catch all of it, whichever is left out.
    let mut values = vec![0.0; 60];
    values[..3].copy_from_slice(&[3.0, -2.0, 1.0]);
    let a = with_spectrum(&values, 8);
    let op = quadric_linalg::algebra::Dense::symmetric(a.clone()).unwrap();
    let options = DiagonalOptions {
        products: 22,
        ..DiagonalOptions::default()
    };
    let report = diagonal(&op, &options, SeedTree::new(0)).unwrap();
    for (i, v) in report.values.iter().enumerate() {
        assert!((v - a[(i, i)]).abs() < 1e-13, "{i}");
    }
    for products in [0, 3] {
        let options = DiagonalOptions {
            products,
            ..DiagonalOptions::default()
        };
        assert!(diagonal(&op, &options, SeedTree::new(0)).is_err());
    }
}
