//! The operator algebra against dense matrices, bounds of spectra, and the bits of Krylov methods.
#![allow(missing_docs, clippy::unwrap_used)]

mod krylov_support;

use faer::Mat;
use krylov_support::*;
use quadric_linalg::algebra::{
    Adjoint, DataOperator, Dense, Diagonal, Identity, LowRank, Product, Scaled, Shifted, Sum,
};
use quadric_linalg::krylov::{
    CgOptions, CgWorkspace, LeastSquaresOptions, LeastSquaresWorkspace, cg, lanczos_bounds, lsmr,
};
use quadric_linalg::precond::NystromPreconditioner;
use quadric_linalg::random::SeedTree;
use quadric_linalg::spectrum::{EigenOptions, eigenpairs};
use quadric_linalg::{DataMatrix, LinearOperator, Properties, Scalar, dense_by_columns};

fn matrix(m: usize, n: usize, seed: u64) -> Mat<f64> {
    let values = normals(m * n, seed);
    Mat::from_fn(m, n, |i, j| values[i * n + j])
}

/// Every promise of an operator: products on blocks in any layout, the adjoint, the dense form, the properties.
fn check<T: Scalar>(op: &dyn LinearOperator<T>, expected: &Mat<f64>) {
    let (m, n) = op.shape();
    assert_eq!((m, n), (expected.nrows(), expected.ncols()));
    let tolerance = 20.0 * T::EPSILON * (1.0 + expected.norm_l2()) * (m + n) as f64;
    let near = |found: &Mat<f64>, wanted: &Mat<f64>| {
        let far = (found - wanted).norm_max();
        assert!(far <= tolerance, "off by {far:e}");
    };
    near(&to_dense(op), expected);
    let mut columns = Mat::<T>::zeros(m, n);
    dense_by_columns(op, columns.as_mut()).unwrap();
    near(
        &Mat::from_fn(m, n, |i, j| columns[(i, j)].to_f64()),
        expected,
    );
    for k in [1, 3] {
        let (x, y) = (matrix(n, k, 71), matrix(m, k, 72));
        let widen = |a: &Mat<T>| Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)].to_f64());
        let mut out = Mat::<T>::zeros(m, k);
        op.apply(cast_mat(&x).as_ref(), out.as_mut()).unwrap();
        near(&widen(&out), &(expected * &x));
        // The same from and into row-major storage.
        let (rows, mut turned) = (
            cast_mat::<T>(&x.transpose().to_owned()),
            Mat::<T>::zeros(k, m),
        );
        op.apply(rows.transpose(), turned.as_mut().transpose_mut())
            .unwrap();
        near(&widen(&turned.transpose().to_owned()), &(expected * &x));
        let mut out = Mat::<T>::zeros(n, k);
        op.apply_adjoint(cast_mat(&y).as_ref(), out.as_mut())
            .unwrap();
        near(&widen(&out), &(expected.transpose() * &y));
        let mut wrong = Mat::<T>::zeros(m + 1, k);
        assert!(op.apply(cast_mat(&x).as_ref(), wrong.as_mut()).is_err());
    }
    let properties = op.properties();
    if properties.symmetric {
        near(&expected.transpose().to_owned(), expected);
    }
    if properties.psd {
        assert!(eigenvalues(expected)[0] >= -tolerance);
    }
    assert!(op.cost().product >= 0.0 && op.cost().dense >= 0.0);
}

fn algebra<T: Scalar>() {
    let a = matrix(7, 4, 1);
    let b = matrix(7, 4, 2);
    let s = with_spectrum(&[3.0, 1.0, 0.5, 0.1], 3);
    let dense = |a: &Mat<f64>| Dense::new(cast_mat::<T>(a));
    let eye = Mat::<f64>::identity(4, 4);
    check::<T>(&Identity(4), &eye);
    let d = Diagonal(cast::<T>(&[1.0, 2.0, 0.0, 4.0]));
    assert_eq!(LinearOperator::<T>::properties(&d), Properties::PSD);
    check::<T>(
        &d,
        &Mat::from_fn(
            4,
            4,
            |i, j| if i == j { [1.0, 2.0, 0.0, 4.0][i] } else { 0.0 },
        ),
    );
    assert!(!Diagonal(vec![1.0, -1.0]).properties().psd);
    check::<T>(&dense(&a), &a);
    check::<T>(&spd::<T>(&s), &s);
    check::<T>(
        &Scaled {
            factor: -2.5,
            op: dense(&a),
        },
        &Mat::from_fn(7, 4, |i, j| -2.5 * a[(i, j)]),
    );
    assert!(
        !Scaled {
            factor: -1.0,
            op: spd::<T>(&s)
        }
        .properties()
        .psd
    );
    check::<T>(&Sum::new(dense(&a), dense(&b)).unwrap(), &(&a + &b));
    assert!(
        Sum::new(spd::<T>(&s), Identity(4))
            .unwrap()
            .properties()
            .psd
    );
    check::<T>(&Product::new(dense(&a), spd::<T>(&s)).unwrap(), &(&a * &s));
    let shifted = Shifted::new(spd::<T>(&s), 0.25).unwrap();
    assert!(shifted.properties().psd);
    check::<T>(
        &shifted,
        &Mat::from_fn(4, 4, |i, j| s[(i, j)] + 0.25 * eye[(i, j)]),
    );
    check::<T>(&Adjoint(dense(&a)), &a.transpose().to_owned());
    let u = matrix(9, 2, 4);
    let low = LowRank::new(cast_mat::<T>(&u), vec![2.0, 0.5], 0.1).unwrap();
    assert!(low.properties().psd);
    let lowered = Mat::from_fn(9, 9, |i, j| {
        2.0 * u[(i, 0)] * u[(j, 0)] + 0.5 * u[(i, 1)] * u[(j, 1)] + if i == j { 0.1 } else { 0.0 }
    });
    check::<T>(&low, &lowered);
    // Boxes, references and nesting: 2 (A + B)ᵀ A.
    let nested: Box<dyn LinearOperator<T>> = Box::new(Scaled {
        factor: 2.0,
        op: Product::new(Adjoint(Sum::new(dense(&a), dense(&b)).unwrap()), dense(&a)).unwrap(),
    });
    let plain = (&a + &b).transpose() * &a;
    check::<T>(&nested, &Mat::from_fn(4, 4, |i, j| 2.0 * plain[(i, j)]));
    // Data matrices, dense and sparse.
    let flat: Vec<T> = (0..7)
        .flat_map(|i| (0..4).map(move |j| (i, j)))
        .map(|(i, j)| T::of(a[(i, j)]))
        .collect();
    check::<T>(&DataOperator(&DataMatrix::dense(flat, 7, 4).unwrap()), &a);
    let sparse = DataMatrix::sparse(
        vec![0, 2, 2, 3],
        vec![0, 2, 1],
        cast::<T>(&[1.5, -2.0, 3.0]),
        3,
        3,
    )
    .unwrap();
    let mut expected = Mat::<f64>::zeros(3, 3);
    (expected[(0, 0)], expected[(0, 2)], expected[(2, 1)]) = (1.5, -2.0, 3.0);
    check::<T>(&DataOperator(&sparse), &expected);
}

#[test]
fn algebra_f64() {
    algebra::<f64>();
}

#[test]
fn algebra_f32() {
    algebra::<f32>();
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let a = Dense::new(matrix(3, 2, 5));
    assert!(Sum::new(&a, Identity(3)).is_err());
    assert!(Product::new(&a, &a).is_err());
    assert!(Shifted::new(&a, 1.0).is_err());
    assert!(LowRank::new(matrix(3, 2, 5), vec![1.0], 0.0).is_err());
    let e = Dense::symmetric(Mat::from_fn(2, 2, |i, j| (i + 2 * j) as f64)).unwrap_err();
    assert!(e.to_string().contains("not symmetric at (0, 1)"), "{e}");
}

// ---- Bounds ----

#[test]
fn cheap_bounds_enclose_the_spectrum_nearly() {
    let values: Vec<f64> = (0..300).map(|i| -1.0 + 0.01 * f64::from(i)).collect();
    for seed in 0..5 {
        let (low, high) =
            lanczos_bounds(&Diagonal(values.clone()), 12, SeedTree::new(seed)).unwrap();
        assert!((-1.5..=-0.9).contains(&low), "{low}");
        assert!((1.89..=2.5).contains(&high), "{high}");
    }
    assert!(
        lanczos_bounds(
            &Identity(3) as &dyn LinearOperator<f64>,
            0,
            SeedTree::new(0)
        )
        .is_err()
    );
}

// ---- Bits ----

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let (n, d) = (20_011, 57);
    let data = DataMatrix::dense(normals(n * d, 91), n, d).unwrap();
    let big = spd::<f64>(&with_spectrum(&geometric(1100, 100.0), 92));
    let b = normals(n, 93);
    let run = || {
        let x = DataOperator(&data);
        let mut w = vec![0.0; d];
        lsmr(
            &x,
            0.5,
            &b,
            &mut w,
            &LeastSquaresOptions::default(),
            &mut LeastSquaresWorkspace::new(),
        )
        .unwrap();
        let p = NystromPreconditioner::new(&big, 20, 0.01, SeedTree::new(1)).unwrap();
        let mut y = vec![0.0; 1100];
        cg(
            &big,
            0.01,
            Some(&p),
            &b[..1100],
            &mut y,
            &CgOptions::default(),
            &mut CgWorkspace::new(),
        )
        .unwrap();
        let options = EigenOptions {
            block: Some(2),
            tolerance: 1e-4,
            ..EigenOptions::default()
        };
        let pairs = eigenpairs(&big, &options, SeedTree::new(2)).unwrap();
        let all = w
            .iter()
            .chain(&y)
            .chain(&pairs.values)
            .chain(pairs.vectors.col_as_slice(0));
        all.map(|v| v.to_bits()).collect::<Vec<u64>>()
    };
    let pool = |threads| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    };
    let one = pool(1).install(run);
    for threads in [2, 3, 8] {
        assert_eq!(pool(threads).install(run), one, "{threads} threads");
    }
}
