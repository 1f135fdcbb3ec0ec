//! Columns of a batch against the models alone, and one-vs-rest against its definition.

use crate::common::{Data, LOSSES, dense, normals, objective, random_data, sparse, stream};
use quadric_core::{Columns, DataMatrix, Gap, Problem, Smooth};
use quadric_models::{Glm, GlmBatch, GlmOptions, LinearModel, Loss, OneVsRest};

/// Folds and penalties of one problem.
fn columns(whole: &Glm<f64>) -> Vec<Glm<f64>> {
    let mut models = Vec::new();
    for held in 0..3 {
        let fold = whole.only(|i| i % 3 != held).unwrap();
        for l2 in [0.0, 1e-3, 10.0] {
            models.push(fold.with_l2(l2).unwrap());
        }
    }
    models
}

fn whole(data: &Data, x: DataMatrix<f64>, loss: Loss) -> Glm<f64> {
    let options = GlmOptions {
        loss,
        l2: 0.0,
        intercept: true,
    };
    Glm::new(x, &data.y, Some(&data.s), &options).unwrap()
}

fn close(a: f64, b: f64, size: f64) -> bool {
    (a - b).abs() <= 1e-11 * size || (a.is_infinite() && a == b)
}

/// Values and gradients of every choice of columns are those of the models alone, others untouched; so are the gaps.
#[test]
fn columns_are_the_models_alone() {
    let mut stream = stream("batch");
    for loss in LOSSES {
        let data = random_data(loss, 300, 7, &mut stream);
        for x in [dense(&data.x), sparse(&data.x)] {
            let batch = GlmBatch::new(columns(&whole(&data, x, loss))).unwrap();
            let at = normals(batch.dim(), 0.1, &mut stream);
            for which in [vec![4], vec![0, 1, 2, 3, 4, 5, 6, 7, 8], vec![1, 2, 5, 8]] {
                let mut values = vec![f64::NAN; batch.columns()];
                let mut g = vec![f64::NAN; batch.dim()];
                batch
                    .values_grads(&which, &at, &mut values, &mut g)
                    .unwrap();
                let gaps = batch.gaps(&which, &at).unwrap();
                for c in 0..batch.columns() {
                    let (own, part) = (&batch.models()[c], batch.range(c));
                    let Some(slot) = which.iter().position(|w| *w == c) else {
                        assert!(values[c].is_nan() && g[part].iter().all(|v| v.is_nan()));
                        continue;
                    };
                    let mut alone = vec![0.0; own.dim()];
                    let value = own.value_grad(&at[part.clone()], &mut alone).unwrap();
                    assert!(close(values[c], value, value.abs().max(1.0)), "{loss} {c}");
                    let size = alone.iter().fold(1.0f64, |m, v| m.max(v.abs()));
                    let same = alone.iter().zip(&g[part.clone()]);
                    assert!(same.clone().all(|(a, b)| close(*a, *b, size)), "{loss} {c}");
                    let gap = own.gap(&at[part]).unwrap().unwrap();
                    assert!(close(gaps[slot].scale, gap.scale, gap.scale), "{loss} {c}");
                    let apart = (gaps[slot].bound - gap.bound).abs();
                    let same = apart <= 1e-9 * gap.bound || gap.bound == gaps[slot].bound;
                    assert!(same, "{loss} {c}: {gap:?} alone, {:?}", gaps[slot]);
                }
            }
        }
    }
}

/// A row of weight zero is as if it were not there: value, gradient and proven gap, at a point near the optimum too.
#[test]
fn a_row_of_weight_zero_says_nothing() {
    let mut stream = stream("silent rows");
    for loss in LOSSES {
        let data = random_data(loss, 200, 4, &mut stream);
        let all = whole(&data, dense(&data.x), loss);
        let rows: Vec<usize> = (0..200).filter(|i| i % 4 != 1).collect();
        for l2 in [0.0, 1e-2] {
            let silent = all.only(|i| i % 4 != 1).unwrap().with_l2(l2).unwrap();
            let mut absent = all.subset(&rows).unwrap();
            absent.set_l2(l2).unwrap();
            let best = crate::common::minimise(&absent);
            for x in [normals(all.dim(), 0.1, &mut stream), best] {
                let (mut a, mut b) = (vec![0.0; x.len()], vec![0.0; x.len()]);
                let values = (
                    silent.value_grad(&x, &mut a).unwrap(),
                    absent.value_grad(&x, &mut b).unwrap(),
                );
                assert!(close(values.0, values.1, values.1.abs().max(1.0)), "{loss}");
                assert!(a.iter().zip(&b).all(|(a, b)| close(*a, *b, 1.0)), "{loss}");
                let gaps = [&silent, &absent].map(|p| p.gap(&x).unwrap().unwrap());
                let finite = gaps.map(|gap| gap.bound.is_finite());
                assert_eq!(finite[0], finite[1], "{loss} {l2}: {gaps:?}");
                let apart = (gaps[0].bound - gaps[1].bound).abs();
                let small = 1e-6 * gaps[1].bound + 1e-18 * gaps[1].scale;
                assert!(!finite[0] || apart <= small, "{loss} {l2}: {gaps:?}");
            }
        }
    }
}

/// The mean of a Poisson model may overflow on a row that weighs nothing.
#[test]
fn an_overflow_on_a_silent_row_is_none() {
    let x = DataMatrix::dense(vec![1.0, 2.0, 1e6], 3, 1).unwrap();
    let options = GlmOptions {
        loss: Loss::Poisson,
        l2: 1e-3,
        intercept: true,
    };
    let all = Glm::<f64>::new(x, &[1.0, 3.0, 0.0], None, &options).unwrap();
    let silent = all.only(|i| i < 2).unwrap();
    let x = silent.point(&LinearModel {
        loss: Loss::Poisson,
        coef: vec![vec![1.0]],
        intercept: vec![-1.0],
        classes: None,
    });
    let x = x.unwrap();
    let batch = GlmBatch::new(vec![silent]).unwrap();
    let mut g = vec![0.0; 2];
    let value = batch.value_grad(&x, &mut g).unwrap();
    let expected = 0.5 * ((1.0 - 0.0) + (1f64.exp() - 3.0)) + 0.5e-3;
    assert!((value - expected).abs() < 1e-12, "{value} {expected}");
    assert!(g.iter().all(|g| g.is_finite()));
    let gap = batch.gap(&x).unwrap().unwrap();
    assert!(gap.bound.is_finite());
}

#[test]
fn the_gap_of_the_whole_is_as_large_as_the_worst() {
    let gap = |bound, scale| Gap { bound, scale };
    let whole = Gap::of_columns(&[gap(1e-6, 1.0), gap(1e-4, 10.0), gap(0.0, 0.0)]);
    assert!((whole.bound / whole.scale - 1e-5).abs() < 1e-17 && whole.scale == 11.0);
    assert_eq!(Gap::of_columns(&[gap(0.0, 2.0)]).bound, 0.0);
    assert!(
        Gap::of_columns(&[gap(f64::INFINITY, 1.0), gap(0.0, 1.0)])
            .bound
            .is_infinite()
    );
    assert!(
        Gap::of_columns(&[gap(1e-9, 0.0), gap(0.0, 1.0)])
            .bound
            .is_infinite()
    );
}

/// One-vs-rest is one logistic problem per class, built by hand from labels of its own.
#[test]
fn one_vs_rest_is_a_model_per_class() {
    let mut stream = stream("one-vs-rest");
    let data = random_data(Loss::Softmax, 120, 5, &mut stream);
    let options = GlmOptions {
        l2: 1e-2,
        ..GlmOptions::default()
    };
    let rest = OneVsRest::<f64>::new(dense(&data.x), &data.y, Some(&data.s), &options).unwrap();
    assert_eq!(rest.classes(), &[1.0, 4.0, 9.0, 10.0]);
    let x = normals(rest.batch().dim(), 0.3, &mut stream);
    let model = rest.model(&x).unwrap();
    let (mut values, mut g) = (vec![0.0; 4], vec![0.0; x.len()]);
    rest.batch()
        .values_grads(&[0, 1, 2, 3], &x, &mut values, &mut g)
        .unwrap();
    for (c, class) in rest.classes().iter().enumerate() {
        let own = Data {
            y: data.y.iter().map(|y| f64::from(y == class)).collect(),
            ..data.clone()
        };
        let coef = vec![model.coef[c].clone()];
        let expected = objective(&own, Loss::Logistic, 1e-2, &coef, &[model.intercept[c]]);
        assert!(close(values[c], expected, expected), "class {class}");
    }
    let said = model.predict(&dense(&data.x)).unwrap();
    for (i, p) in said.probabilities.unwrap().iter().enumerate() {
        let sigmoid = |c: usize| {
            let w = model.coef[c].iter().zip(&data.x[i]);
            let eta = w.map(|(w, x)| w * x).sum::<f64>() + model.intercept[c];
            1.0 / (1.0 + (-eta).exp())
        };
        let sum: f64 = (0..4).map(sigmoid).sum();
        for c in 0..4 {
            assert!((p[c] - sigmoid(c) / sum).abs() < 1e-12, "row {i}");
        }
        let best = (0..4).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap();
        assert_eq!(said.predictions[i], rest.classes()[best]);
    }
    let far = DataMatrix::dense(vec![-1e6; 5], 1, 5).unwrap();
    let far = model.predict(&far).unwrap().probabilities.unwrap();
    assert!((far[0].iter().sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn mistakes_are_named() {
    let x = || dense::<f64>(&[vec![0.0], vec![1.0], vec![3.0]]);
    let options = GlmOptions::default();
    let refuse = |y: &[f64], options: &GlmOptions| {
        let refused = OneVsRest::new(x(), y, None, options).err();
        refused.expect("refused").to_string()
    };
    assert!(refuse(&[0.0, 1.0, 1.0], &options).contains("two classes"));
    assert!(refuse(&[0.0, 1.0, 0.5], &options).contains("row 2"));
    assert!(refuse(&[0.0, 1.0, f64::NAN], &options).contains("target"));
    let softmax = GlmOptions {
        loss: Loss::Softmax,
        ..options
    };
    assert!(refuse(&[0.0, 1.0, 2.0], &softmax).contains("loss"));
    let one = || Glm::<f64>::new(x(), &[0.0, 1.0, 1.0], None, &options).unwrap();
    let strangers = GlmBatch::new(vec![one(), one()]).err().expect("refused");
    assert!(strangers.to_string().contains("model 1"));
    assert!(GlmBatch::<f64>::new(vec![]).is_err());
    assert!(one().only(|_| false).is_err());
    assert!(one().with_l2(f64::NAN).is_err());
    let batch = GlmBatch::new(vec![one()]).unwrap();
    assert!(batch.gap(&[0.0]).is_err());
}
