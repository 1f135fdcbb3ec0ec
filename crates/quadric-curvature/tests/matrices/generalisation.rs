//! Linear regression, where leverages and singular values say everything.

use crate::{agree, kind, minimised, regression};
use faer::Mat;
use quadric_core::{Matrix, Model, Smooth, Targets};
use quadric_curvature::{DenseBlocks, effective_dimension, generalisation, gradient_noise};
use quadric_linalg::algebra::{Dense, Diagonal};
use quadric_linalg::dense::svd;
use quadric_linalg::{ErrorKind, LinearOperator};
use std::ops::ControlFlow;

#[test]
fn linear_regression() {
    let n = 13;
    let (problem, features, y) = regression(n, 3, false);
    let x = minimised(&problem, 1e-3, vec![0.0; 4]);
    let op = problem.matrix(&x, Matrix::GaussNewton).expect("a matrix");
    let full = DenseBlocks::full(&*op).expect("symmetric");
    let gradients = problem.gradients(&x, Targets::Data).expect("gradients");
    let found = generalisation(&full, &*gradients).expect("gradients");

    let count = n as f64;
    let residual = |i: usize| (0..4).map(|j| features[(i, j)] * x[j]).sum::<f64>() - y[i];
    let residuals: Vec<f64> = (0..n).map(residual).collect();
    let mean: Vec<f64> = (0..4)
        .map(|j| (0..n).map(|i| residuals[i] * features[(i, j)]).sum::<f64>() / count)
        .collect();
    // Rows Φ r minus their mean, in the metric of N (Φᵀ Φ)⁺, by the singular values.
    let parts = svd(features.as_ref()).expect("finite");
    let along = |i: usize, k: usize| -> f64 {
        let row = (0..4).map(|j| (residuals[i] * features[(i, j)] - mean[j]) * parts.v[(j, k)]);
        row.sum()
    };
    let form = |i: usize| -> f64 {
        let terms = (0..4).map(|k| along(i, k).powi(2) / parts.values[k].powi(2));
        terms.sum()
    };
    let forms: Vec<f64> = (0..n).map(form).collect();
    let takeuchi = forms.iter().sum::<f64>() / count;
    agree("Takeuchi", found.takeuchi, takeuchi, 1e-9);
    let spread = forms.iter().map(|f| (f - takeuchi).powi(2)).sum::<f64>() / (count - 1.0);
    agree(
        "its error",
        found.takeuchi_error,
        (spread / count).sqrt(),
        1e-9,
    );

    let squares = |i: usize| (0..4).map(|j| features[(i, j)].powi(2)).sum::<f64>();
    let norm: f64 = mean.iter().map(|m| m * m).sum();
    let noise = (0..n)
        .map(|i| residuals[i].powi(2) * squares(i))
        .sum::<f64>()
        / count
        - norm;
    agree("noise", found.noise, noise, 1e-9);
    let trace = (0..n).map(squares).sum::<f64>() / count;
    agree(
        "ratio",
        found.noise_ratio.expect("curvature"),
        noise / trace,
        1e-9,
    );

    let damping = 0.2;
    let expected = parts
        .values
        .iter()
        .map(|s| s * s / (s * s + count * damping))
        .sum();
    let dimension = effective_dimension(&full, damping).expect("a damping");
    agree("dimension", dimension, expected, 1e-9);

    // Away from the minimum, where the gradient is not 0.
    let mut g = vec![0.0; 4];
    problem.value_grad(&x, &mut g).expect("finite");
    let go_on = |_: usize| ControlFlow::Continue(());
    let scales = gradient_noise(&problem, &x, &g, None, 3, &go_on).expect("gradients");
    agree("trace", scales.trace.value, noise, 1e-9);
    let simple = scales.simple_scale.expect("a gradient");
    agree("scale", simple.value, noise / norm, 1e-6);
    // With the Hessian, from both matrices written down.
    let [h, c] = [Matrix::Hessian, Matrix::Covariance].map(|m| {
        let mut dense = Mat::<f64>::zeros(4, 4);
        let op = problem.matrix(&x, m).expect("a matrix");
        op.dense(dense.as_mut()).expect("a shape");
        dense
    });
    let products = &h * &c;
    let column = Mat::from_fn(4, 1, |i, _| g[i]);
    let along = (column.transpose() * &h * &column)[(0, 0)];
    let expected = (0..4).map(|i| products[(i, i)]).sum::<f64>() / along;
    let scale = scales.scale.expect("a Hessian that is positive");
    agree("scale with the Hessian", scale.value, expected, 1e-9);
    assert_eq!(scale.level, 1.0);
    // What is known is not estimated again.
    let known = gradient_noise(&problem, &x, &g, Some(scales.trace), 3, &go_on);
    let known = known.expect("gradients");
    assert_eq!(known.simple_scale, scales.simple_scale);
    assert!(known.work < scales.work);
    let stop = |_: usize| ControlFlow::Break(());
    assert!(gradient_noise(&problem, &x, &g, None, 3, &stop).is_err());
}

/// At the least squares, it is the mean of squared residuals times leverages; a feature twice changes nothing.
#[test]
fn features_that_depend_on_each_other() {
    let (n, features) = (9, 2);
    let (problem, phi, y) = regression(n, features, false);
    let x = minimised(&problem, 1e-14, vec![0.0; 3]);
    let op = problem.matrix(&x, Matrix::GaussNewton).expect("a matrix");
    let gradients = problem.gradients(&x, Targets::Data).expect("gradients");
    let plain = generalisation(&DenseBlocks::full(&*op).expect("symmetric"), &*gradients);
    let plain = plain.expect("gradients");
    let parts = svd(phi.as_ref()).expect("finite");
    let leverage = |i: usize| (0..3).map(|k| parts.u[(i, k)].powi(2)).sum::<f64>();
    let residual = |i: usize| (0..3).map(|j| phi[(i, j)] * x[j]).sum::<f64>() - y[i];
    let terms = (0..n).map(|i| residual(i).powi(2) * leverage(i));
    agree(
        "leverages",
        plain.takeuchi,
        terms.sum::<f64>() / n as f64,
        1e-9,
    );

    // The same model with its first feature twice.
    let column = |j: usize| if j == 3 { 0 } else { j };
    let double = Mat::from_fn(n, 4, |i, j| phi[(i, column(j))]);
    let h = double.transpose() * &double * (1.0 / n as f64);
    let h = Mat::from_fn(4, 4, |i, j| h[(i.max(j), i.min(j))]);
    let g = Mat::from_fn(4, n, |j, i| residual(i) * double[(i, j)]);
    let full = DenseBlocks::full(&Dense::psd(h).expect("symmetric")).expect("finite");
    let twice = generalisation(&full, &Dense::new(g)).expect("gradients");
    agree("twice", twice.takeuchi, plain.takeuchi, 1e-9);
}

#[test]
fn nothing_and_what_means_nothing() {
    let flat = Diagonal(vec![0.0, 0.0]);
    let found = generalisation(&flat, &Diagonal(vec![1.0, 2.0])).expect("gradients");
    assert_eq!((found.takeuchi, found.noise_ratio), (0.0, None));
    assert_eq!(effective_dimension(&flat, 1.0).expect("a damping"), 0.0);
    assert_eq!(
        kind(effective_dimension(&flat, 0.0), "`damping` is 0"),
        ErrorKind::Argument
    );
    let found = generalisation(&flat, &Diagonal(vec![1.0; 3]));
    assert_eq!(kind(found, "the gradients"), ErrorKind::Shape);
    let found = generalisation(&flat, &Dense::new(Mat::<f64>::zeros(2, 0)));
    assert_eq!(kind(found, "`gradients` is none"), ErrorKind::Argument);
    let found = generalisation(&flat, &Diagonal(vec![1.0, f64::NAN]));
    assert_eq!(kind(found, "the gradients"), ErrorKind::NonFinite);
}
