//! Influence scores against models that are fitted again without an example.

use crate::{Problem, agree, golden, kind, logistic, matrix, minimised, regression, same};
use faer::Mat;
use quadric_core::{FiniteSum, Matrix, Model, Targets, TwiceSmooth};
use quadric_curvature::{
    Decomposed, DenseBlocks, Factors, Inverse, Sharing, Solver, influence, mean_damping,
    self_influence,
};
use quadric_linalg::ErrorKind;
use quadric_linalg::algebra::Diagonal;
use quadric_linalg::krylov::{CgOptions, MinresOptions};

fn without(n: usize, left_out: usize) -> Vec<usize> {
    (0..n).filter(|i| *i != left_out).collect()
}

/// The losses of single examples.
fn losses(problem: &Problem, x: &[f64]) -> Vec<f64> {
    let n = problem.examples();
    let one = |i: usize| {
        problem
            .batch(&[i])
            .and_then(|b| b.value(x))
            .expect("finite")
    };
    (0..n).map(one).collect()
}

/// For squares the change of a prediction is the score over the residual, divided by one minus the leverage.
#[test]
fn linear_models_are_exact() {
    let (n, l2) = (11, 0.05);
    let (problem, features, y) = regression(n, 3, false);
    let x = minimised(&problem, l2, vec![0.0; 4]);
    let (queries, at, targets) = regression(6, 3, true);
    let op = problem.hessian(&x).expect("a matrix");
    let inverse = DenseBlocks::full(&*op)
        .expect("symmetric")
        .inverse(l2)
        .expect("a damping");
    let gradients = problem.gradients(&x, Targets::Data).expect("gradients");
    let asked = queries.gradients(&x, Targets::Data).expect("gradients");
    let scores = influence(&*inverse, &*asked, &*gradients).expect("scores");
    let own = self_influence(&*inverse, &*gradients).expect("scores");
    let predict =
        |row: &Mat<f64>, i: usize, x: &[f64]| -> f64 { (0..4).map(|j| row[(i, j)] * x[j]).sum() };
    for left_out in 0..n {
        let rest = problem.batch(&without(n, left_out)).expect("rows");
        // The others keep the weight 1/N beside the penalty.
        let again = minimised(&*rest, l2 * n as f64 / (n - 1) as f64, vec![0.0; 4]);
        let residual = predict(&features, left_out, &x) - y[left_out];
        let leverage = own[left_out] / residual.powi(2) / n as f64;
        for q in 0..6 {
            let change = predict(&at, q, &again) - predict(&at, q, &x);
            let expected = (predict(&at, q, &x) - targets[q]) * change * (1.0 - leverage);
            agree("change", -scores[(q, left_out)] / n as f64, expected, 1e-9);
        }
    }
}

/// For a logistic model, the losses of others change as the scores say, to first order in 1/N.
#[test]
fn leaving_out_an_example() {
    let (n, l2) = (60, 0.02);
    let problem = logistic(n, 0.3);
    let queries = logistic(8, 2.0);
    let x = minimised(&problem, l2, vec![0.0; 3]);
    let op = problem.hessian(&x).expect("a matrix");
    let options = CgOptions {
        relative: 1e-12,
        ..CgOptions::default()
    };
    let inverse = Inverse::new(&*op, l2, Solver::ConjugateGradients(options)).expect("a damping");
    let gradients = problem.gradients(&x, Targets::Data).expect("gradients");
    let asked = queries.gradients(&x, Targets::Data).expect("gradients");
    let scores = influence(&inverse, &*asked, &*gradients).expect("scores");
    let before = losses(&queries, &x);
    let (mut errors, mut changes) = (0.0, 0.0);
    for left_out in 0..n {
        let rest = problem.batch(&without(n, left_out)).expect("rows");
        let again = minimised(&*rest, l2 * n as f64 / (n - 1) as f64, x.clone());
        for (q, after) in losses(&queries, &again).into_iter().enumerate() {
            let change = after - before[q];
            errors += (change + scores[(q, left_out)] / n as f64).powi(2);
            changes += change.powi(2);
        }
    }
    let error = (errors / changes).sqrt();
    assert!(changes > 1e-6 && error < 0.15, "{error}");
}

/// Inverses by factors, by iterations and by dense algebra give the same kind of scores.
#[test]
fn every_inverse() {
    let (problem, x) = golden();
    let gradients = problem.gradients(&x, Targets::Data).expect("gradients");
    let g = matrix(&*gradients);
    let factors = Factors::new(&problem, &x, Matrix::Fisher, Sharing::Expand).expect("factors");
    let corrected = factors.corrected(&problem, &x).expect("eigenvalues");
    let damping = mean_damping(&corrected, 0.1).expect("curvature");
    // The traces of the blocks are exact.
    agree("damping", damping, 0.1 * 3.101_813_415_562_81 / 43.0, 1e-11);
    let inverse = corrected.inverse::<f64>(damping).expect("a damping");
    let scores = influence(&inverse, &*gradients, &*gradients).expect("scores");
    let expected = g.transpose() * matrix(&inverse) * &g * -1.0;
    same("factors", &scores, &expected, 1e-12);
    let own = self_influence(&inverse, &*gradients).expect("scores");
    for (n, score) in own.iter().enumerate() {
        agree("own", *score, -scores[(n, n)], 1e-12);
    }

    let op = problem.hessian(&x).expect("a matrix");
    let options = MinresOptions {
        relative: 1e-12,
        ..MinresOptions::default()
    };
    let inverse = Inverse::new(&*op, damping, Solver::MinimumResidual(options));
    let scores = influence(&inverse.expect("a damping"), &*gradients, &*gradients).expect("scores");
    let dense = DenseBlocks::full(&*op)
        .expect("symmetric")
        .inverse(damping)
        .expect("a damping");
    let expected = g.transpose() * matrix(&*dense) * &g * -1.0;
    same("iterations", &scores, &expected, 1e-8);
}

#[test]
fn what_means_nothing_is_refused() {
    let inverse = Diagonal(vec![1.0, 2.0]);
    let three = Diagonal(vec![1.0; 3]);
    let found = influence(&inverse, &three, &inverse);
    assert_eq!(kind(found, "of the queries"), ErrorKind::Shape);
    let found = influence(&inverse, &inverse, &three);
    assert_eq!(kind(found, "of the examples"), ErrorKind::Shape);
    assert_eq!(
        kind(self_influence(&inverse, &three), "of the examples"),
        ErrorKind::Shape
    );
    let hollow = Diagonal(vec![1.0, f64::NAN]);
    assert_eq!(
        kind(influence(&inverse, &inverse, &hollow), "the scores"),
        ErrorKind::NonFinite
    );
    assert_eq!(
        kind(self_influence(&inverse, &hollow), "the scores"),
        ErrorKind::NonFinite
    );
    assert_eq!(
        kind(mean_damping(&inverse, 0.0), "`share` is 0"),
        ErrorKind::Argument
    );
    assert_eq!(
        kind(mean_damping(&Diagonal(vec![0.0]), 0.1), "no damping"),
        ErrorKind::Numeric
    );
}
