//! The Krylov space against the operator it came from.
#![allow(missing_docs, clippy::unwrap_used)]

mod krylov_support;

use krylov_support::*;
use quadric_linalg::Scalar;
use quadric_linalg::algebra::Diagonal;
use quadric_linalg::krylov::KrylovSpace;

/// The basis is orthonormal and the operator tridiagonal in it.
fn check<T: Scalar>(n: usize, steps: usize, condition: f64, slack: f64) {
    let a = with_spectrum(&geometric(n, condition), n as u64);
    let op = spd::<T>(&a);
    let a = to_dense(&op);
    let mut space = KrylovSpace::<T>::new();
    let start = cast::<T>(&normals(n, 3));
    let length = space.start(&start).unwrap();
    for _ in 0..steps {
        assert!(space.extend(&op).unwrap());
    }
    let k = space.dim();
    let vector = |j: usize| -> Vec<f64> {
        let mut unit = vec![0.0; k];
        unit[j] = 1.0;
        let mut out = vec![T::of(0.0); n];
        space.vector(&unit, &mut out);
        out.iter().map(|v| v.to_f64()).collect()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for i in 0..k {
        let image = times(&a, &vector(i));
        for j in 0..k {
            let expected = if i == j { 1.0 } else { 0.0 };
            assert!(
                (dot(&vector(i), &vector(j)) - expected).abs() < slack,
                "{n} {i} {j}"
            );
            let entry = match i.abs_diff(j) {
                0 => space.diagonal()[i],
                1 => space.beside()[i.min(j)],
                _ => 0.0,
            };
            assert!(
                (dot(&image, &vector(j)) - entry).abs() < slack,
                "{n} {i} {j}"
            );
        }
    }
    let first: Vec<f64> = start.iter().map(|v| v.to_f64() / length).collect();
    assert!(norm(&minus(&first, &vector(0))) < slack);
}

#[test]
fn the_operator_is_tridiagonal_in_an_orthonormal_basis() {
    for (n, steps) in [(1, 1), (5, 5), (60, 20), (60, 60)] {
        check::<f64>(n, steps, 1e8, 1e-13);
        check::<f32>(n, steps, 1e3, 3e-6);
    }
}

#[test]
fn an_invariant_space_ends() {
    // Three distinct eigenvalues: no start spans more than three dimensions.
    let op = Diagonal(vec![1.0, 2.0, 2.0, 5.0, 5.0, 1.0]);
    let mut space = KrylovSpace::new();
    space.start(&[1.0, -2.0, 0.5, 3.0, 1.0, 1.0]).unwrap();
    while space.extend(&op).unwrap() {}
    assert!(space.is_invariant());
    assert_eq!(space.dim(), 3);
    // Nothing comes of nothing, and a new start forgets the old one.
    assert_eq!(space.start(&[0.0; 6]).unwrap(), 0.0);
    assert!(!space.extend(&op).unwrap() && space.dim() == 0);
    assert!(space.start(&[f64::NAN; 6]).is_err());
    space.start(&[1.0; 5]).unwrap();
    assert!(space.extend(&op).unwrap_err().to_string().contains('6'));
}
