//! Functions of operators times vectors, against a dense decomposition.

use super::krylov_support::*;
use quadric_linalg::dense::symmetric_eigen;
use quadric_linalg::estimate::{FunctionOptions, apply_function};
use quadric_linalg::{LinearOperator, Scalar};

fn check<T: Scalar>(f: fn(f64) -> f64, options: &FunctionOptions, slack: f64) -> usize {
    let n = 120;
    let a = with_spectrum(&geometric(n, 50.0), 4);
    let eigen = symmetric_eigen(a.as_ref()).unwrap();
    let b = normals(n, 6);
    let coordinates = times(&eigen.vectors.transpose().to_owned(), &b);
    let scaled: Vec<f64> = coordinates
        .iter()
        .zip(&eigen.values)
        .map(|(c, v)| c * f(*v))
        .collect();
    let expected = times(&eigen.vectors, &scaled);
    let mut out = vec![T::of(0.0); n];
    let report = apply_function(&spd::<T>(&a), f, &cast::<T>(&b), &mut out, options).unwrap();
    assert!(report.converged && report.change <= options.tolerance);
    let found: Vec<f64> = out.iter().map(|v| v.to_f64()).collect();
    let error = norm(&minus(&found, &expected)) / norm(&expected);
    assert!(error < slack, "{error:e}");
    report.products
}

#[test]
fn functions_of_a_matrix() {
    let options = FunctionOptions::default();
    for f in [f64::exp, f64::sqrt, f64::ln, |t: f64| 1.0 / t] {
        let products = check::<f64>(f, &options, 1e-7);
        assert!(products < 120);
        let loose = FunctionOptions {
            tolerance: 1e-5,
            ..options
        };
        check::<f32>(f, &loose, 1e-4);
    }
    // A polynomial needs its degree and one more, and a look behind that.
    assert!(check::<f64>(|t| t * t * t - t, &options, 1e-12) <= 8);
}

#[test]
fn ends_of_the_iteration() {
    let op = quadric_linalg::algebra::Diagonal(vec![1.0, 2.0, 4.0]);
    let options = FunctionOptions {
        max_steps: 2,
        ..FunctionOptions::default()
    };
    let mut out = [0.0; 3];
    let report = apply_function(&op, f64::exp, &[1.0; 3], &mut out, &options).unwrap();
    assert!(!report.converged && report.products == 2);
    let options = FunctionOptions::default();
    let report = apply_function(&op, f64::ln, &[1.0; 3], &mut out, &options).unwrap();
    assert!(report.converged && report.change == 0.0 && report.products == 3);
    assert!((out[2] - 4f64.ln()).abs() < 1e-14);
    let report = apply_function(&op, f64::ln, &[0.0; 3], &mut out, &options).unwrap();
    assert!(report.converged && out == [0.0; 3]);
    assert!(apply_function(&op, |t| (t - 3.0).ln(), &[1.0; 3], &mut out, &options).is_err());
    assert!(apply_function(&op, f64::ln, &[1.0; 2], &mut out, &options).is_err());
    let none = FunctionOptions {
        max_steps: 0,
        ..options
    };
    assert!(apply_function(&op, f64::ln, &[1.0; 3], &mut out, &none).is_err());
    let wide = quadric_linalg::algebra::Dense::new(faer::Mat::<f64>::zeros(3, 3));
    assert!(!wide.properties().symmetric);
    assert!(apply_function(&wide, f64::ln, &[1.0; 3], &mut out, &options).is_err());
}
