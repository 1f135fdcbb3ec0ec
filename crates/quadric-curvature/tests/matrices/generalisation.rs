//! Linear regression, where leverages and singular values say everything.

use crate::{agree, kind, minimised, regression, waves};
use faer::Mat;
use quadric_core::{Matrix, Model, Smooth, Targets};
use quadric_curvature::{DenseBlocks, effective_dimension, generalisation, gradient_noise};
use quadric_linalg::ErrorKind;
use quadric_linalg::algebra::{Dense, Diagonal};
use quadric_linalg::dense::svd;
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
}

/// `tr C / |g|²` and `tr HC / gᵀHg`, with H = Φᵀ Φ / N and the gradients rᵢ Φᵢ.
#[test]
fn noise_of_few_parameters() {
    let (n, d) = (13, 4);
    let (problem, phi, y) = regression(n, d - 1, false);
    let x = waves(d, 0.4);
    let mut g = vec![0.0; d];
    problem.value_grad(&x, &mut g).expect("finite");
    let go_on = |_: usize| ControlFlow::Continue(());
    let found = gradient_noise(&problem, &x, &g, None, 3, &go_on).expect("gradients");
    let residual = |i: usize| (0..d).map(|j| phi[(i, j)] * x[j]).sum::<f64>() - y[i];
    let rows = Mat::from_fn(n, d, |i, j| residual(i) * phi[(i, j)]);
    let count = n as f64;
    let mean = rows.transpose() * Mat::from_fn(n, 1, |_, _| 1.0 / count);
    let c = rows.transpose() * &rows * (1.0 / count) - &mean * mean.transpose();
    let h = phi.transpose() * &phi * (1.0 / count);
    let noise = crate::trace(&c);
    agree("trace", found.trace.value, noise, 1e-9);
    agree(
        "scale",
        found.simple_scale.expect("a gradient").value,
        noise / mean.squared_norm_l2(),
        1e-9,
    );
    let along = (mean.transpose() * &h * &mean)[(0, 0)];
    let expected = crate::trace(&(h * c)) / along;
    let scale = found.scale.expect("curvature along the gradient");
    agree("scale with curvature", scale.value, expected, 1e-9);
    assert_eq!(scale.level, 1.0);
    // What is known is not estimated again.
    let known = gradient_noise(&problem, &x, &g, Some(found.trace), 3, &go_on);
    let known = known.expect("gradients");
    assert_eq!(known.simple_scale, found.simple_scale);
    assert!(known.work < found.work);
    let stop = |_: usize| ControlFlow::Break(());
    assert!(gradient_noise(&problem, &x, &g, None, 3, &stop).is_err());
}

/// Where there are too many parameters for all of them, from random signs: the mean over seeds.
#[test]
fn noise_of_many_parameters() {
    let (n, features) = (30, 240);
    let (problem, phi, y) = regression(n, features, false);
    let x = vec![0.0; features + 1];
    let mut g = vec![0.0; x.len()];
    problem.value_grad(&x, &mut g).expect("finite");
    // Rows Φᵢ, the gradients -yᵢ Φᵢ, and their products.
    let gram = &phi * phi.transpose();
    let hc = (0..n).map(|i| {
        let row = (0..n).map(|j| gram[(i, j)].powi(2)).sum::<f64>();
        y[i].powi(2) * row
    });
    let squares = |v: &dyn Fn(usize) -> f64| (0..n).map(|i| v(i).powi(2)).sum::<f64>();
    let count = n as f64;
    let along = squares(&|i| (0..x.len()).map(|j| phi[(i, j)] * g[j]).sum()) / count;
    let exact = (hc.sum::<f64>() / count.powi(2) - along) / along;
    let go_on = |_: usize| ControlFlow::Continue(());
    let found: Vec<f64> = (0..20)
        .map(|seed| gradient_noise(&problem, &x, &g, None, seed, &go_on).expect("gradients"))
        .map(|noise| noise.scale.expect("curvature along the gradient").value)
        .collect();
    let mean = found.iter().sum::<f64>() / 20.0;
    let spread = found.iter().map(|f| (f - mean).powi(2)).sum::<f64>() / 19.0;
    let error = (spread / 20.0).sqrt();
    assert!(
        error < 0.1 * exact && (mean - exact).abs() < 4.0 * error,
        "{mean} ± {error}, not {exact}"
    );
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
