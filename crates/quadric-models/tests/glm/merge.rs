//! Equal rows with equal targets are one row of their total weight.

use crate::common::*;
use quadric_core::{DataMatrix, FiniteSum, Objective, Problem, Smooth};
use quadric_models::{Glm, GlmOptions, Loss};

/// Data in which every row occurs up to five times, in any order, with weights of its own.
fn repeated_data(loss: Loss) -> Data {
    let mut stream = stream("repeats");
    let few = random_data(loss, 40, 5, &mut stream);
    let picks: Vec<usize> = (0..40).chain((0..80).map(|_| stream.below(40))).collect();
    let order = stream.permutation(picks.len());
    let pick = |at: &usize| picks[*at];
    Data {
        x: order.iter().map(|at| few.x[pick(at)].clone()).collect(),
        y: order.iter().map(|at| few.y[pick(at)]).collect(),
        s: order.iter().map(|_| 0.5 + stream.uniform()).collect(),
    }
}

#[test]
fn merged_rows_are_the_same_problem() {
    for loss in LOSSES {
        let data = repeated_data(loss);
        let options = GlmOptions {
            loss,
            l2: 0.01,
            intercept: true,
        };
        for x in [dense::<f64>(&data.x), sparse::<f64>(&data.x)] {
            let plain = Glm::new(x.clone(), &data.y, Some(&data.s), &options).unwrap();
            let merged = Glm::merged(x.clone(), &data.y, Some(&data.s), &options).unwrap();
            let needs_passes = loss != Loss::Squared || matches!(x, DataMatrix::Sparse(_));
            let rows = if needs_passes { 40 } else { 120 };
            assert_eq!((plain.terms(), merged.terms()), (120, rows), "{loss}");
            let x = normals(plain.dim(), 0.3, &mut stream("repeats: point"));
            let (mut a, mut b) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            let (f, g) = (
                plain.value_grad(&x, &mut a).unwrap(),
                merged.value_grad(&x, &mut b).unwrap(),
            );
            assert!((f - g).abs() <= 1e-13 * f.abs().max(1.0), "{loss}: {f} {g}");
            let largest = quadric_core::vector::max_abs(&a);
            let pairs = a.iter().zip(&b);
            assert!(
                pairs
                    .into_iter()
                    .all(|(a, b)| (a - b).abs() <= 1e-12 * largest),
                "{loss}"
            );
            let (h, k) = (hessian(&plain, &x), hessian(&merged, &x));
            let scale = (0..x.len()).fold(0.0f64, |m, i| m.max(h[(i, i)]));
            for i in 0..x.len() {
                for j in 0..x.len() {
                    assert!((h[(i, j)] - k[(i, j)]).abs() <= 1e-12 * scale, "{loss}");
                }
            }
            let (model, truth) = (
                merged.model(&minimise(&merged)),
                plain.model(&minimise(&plain)),
            );
            for (a, b) in model.coef.concat().iter().zip(truth.coef.concat()) {
                assert!((a - b).abs() <= 1e-7 * (1e-2 + b.abs()), "{loss}: {a} {b}");
            }
        }
    }
}

#[test]
fn rows_that_differ_stay() {
    let data = random_data(Loss::Squared, 60, 4, &mut stream("no repeats"));
    let options = GlmOptions {
        loss: Loss::Squared,
        ..GlmOptions::default()
    };
    let p = Glm::merged(sparse::<f64>(&data.x), &data.y, None, &options).unwrap();
    assert_eq!(p.terms(), 60);
    // Equal features with different targets are different rows, and so are zeros of different sign.
    let x = DataMatrix::dense(vec![1.0, 1.0, 1.0, 1.0, 0.0, -0.0, 0.0, 0.0], 8, 1).unwrap();
    let y = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0];
    let p = Glm::<f64>::merged(
        x,
        &y,
        None,
        &GlmOptions {
            intercept: false,
            ..GlmOptions::default()
        },
    );
    assert_eq!(p.unwrap().terms(), 5);
}

#[test]
fn a_separation_is_told_in_rows_of_the_data() {
    let x = DataMatrix::dense(vec![1.0, 1.0, 1.0, 2.0, 5.0, 5.0, 6.0], 7, 1).unwrap();
    let y = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0];
    let options = GlmOptions::default();
    let plain = Glm::<f64>::new(x.clone(), &y, None, &options).unwrap();
    let merged = Glm::<f64>::merged(x, &y, None, &options).unwrap();
    assert_eq!(merged.terms(), 4);
    // Along the feature from the middle of the data.
    let d = [1.0, 0.0];
    let (a, b) = (plain.recession(&d).unwrap(), merged.recession(&d).unwrap());
    assert_eq!(a, b);
    assert!(a.is_some_and(|why| why.contains("perfectly")));
}

#[test]
fn rows_of_varied_length_are_the_same_problem_in_another_order() {
    let mut stream = stream("varied lengths");
    let (kinds, features) = (60, 40);
    let few: Vec<Vec<f64>> = (0..kinds)
        .map(|i| {
            let filled = |j: usize| if j * kinds < i * features { 1.0 } else { 0.0 };
            (0..features).map(filled).collect()
        })
        .collect();
    let picks: Vec<usize> = (0..300).map(|_| stream.below(kinds)).collect();
    let data = Data {
        x: picks.iter().map(|i| few[*i].clone()).collect(),
        y: picks.iter().map(|i| (i % 2) as f64).collect(),
        s: vec![1.0; picks.len()],
    };
    let options = GlmOptions {
        l2: 0.01,
        ..GlmOptions::default()
    };
    let plain = Glm::<f64>::new(sparse(&data.x), &data.y, None, &options).unwrap();
    let p = Glm::<f64>::merged(sparse(&data.x), &data.y, None, &options).unwrap();
    assert!(plain.terms() == 300 && p.terms() <= kinds);
    for _ in 0..5 {
        let x = normals(p.dim(), 0.5, &mut stream);
        let model = p.model(&x);
        let truth = objective(&data, Loss::Logistic, 0.01, &model.coef, &model.intercept);
        let f = p.value(&x).unwrap();
        assert!((f - truth).abs() <= 1e-12 * truth, "{f} {truth}");
    }
    // A part of the rows keeps their targets and weights.
    let rows: Vec<usize> = (0..p.terms()).collect();
    let x = normals(p.dim(), 0.5, &mut stream);
    let (f, g) = (
        p.value(&x).unwrap(),
        p.batch(&rows).unwrap().value(&x).unwrap(),
    );
    assert!((f - g).abs() <= 1e-12 * f, "{f} {g}");
}
