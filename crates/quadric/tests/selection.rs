//! Cross-validation against the same thing done by hand.
#![allow(missing_docs, clippy::unwrap_used)]

use quadric::core::Columns;
use quadric::data::{Dataset, embedded};
use quadric::models::{Fits, Fitted, GlmBatch, HeldOut, OneVsRest};
use quadric::opt::registry;
use quadric::prelude::*;
use serde_json::Value;

const STRENGTHS: [f64; 3] = [1e-1, 1e-3, 1e-5];

fn fit(problem: &Glm<f64>, start: Vec<f64>) -> Result<quadric::core::Outcome<f64>> {
    let (_, method) = registry::auto::<f64>(problem, &Value::Null)?;
    method.run(&mut Driver::default(), start, problem)
}

fn options(loss: Loss, l2: f64) -> GlmOptions {
    GlmOptions {
        loss,
        l2,
        ..GlmOptions::default()
    }
}

/// Losses and accuracies of the folds, from problems built on the rows of each fold alone.
fn by_hand(data: &Dataset, loss: Loss, l2: f64, fold: &[usize], held: usize) -> (f64, Option<f64>) {
    let rows = |inside: bool| -> Vec<usize> {
        (0..data.rows())
            .filter(|&i| (fold[i] == held) == inside)
            .collect()
    };
    let train = data.select_rows(&rows(false)).unwrap();
    let test = data.select_rows(&rows(true)).unwrap();
    let problem = Glm::<f64>::new(train.x, &train.target, None, &options(loss, l2)).unwrap();
    let outcome = fit(&problem, problem.start()).unwrap();
    assert_eq!(outcome.status, Status::Converged);
    let model = problem.model(&outcome.x);
    let said = model.predict(&test.x).unwrap();
    let mean =
        |of: &dyn Fn(usize) -> f64| (0..test.rows()).map(of).sum::<f64>() / test.rows() as f64;
    let Some(probabilities) = &said.probabilities else {
        let square = |i: usize| 0.5 * (said.predictions[i] - test.target[i]).powi(2);
        return (mean(&square), None);
    };
    let classes = model.classes.unwrap();
    let class = |i: usize| classes.iter().position(|c| *c == test.target[i]).unwrap();
    let surprise = mean(&|i| -probabilities[i][class(i)].ln());
    let hit = mean(&|i| f64::from(u8::from(said.predictions[i] == test.target[i])));
    (surprise, Some(hit))
}

#[test]
fn cross_validation_is_what_one_does_by_hand() {
    for (name, loss) in [
        ("wdbc", Loss::Logistic),
        ("iris", Loss::Softmax),
        ("diabetes_lars", Loss::Squared),
    ] {
        let data = embedded(name).unwrap();
        let fold = data.folds(4, 7, loss != Loss::Squared).unwrap();
        let problem = Glm::<f64>::new(data.x.clone(), &data.target, None, &options(loss, 0.0));
        let points = problem
            .unwrap()
            .cross_validate(&STRENGTHS, &fold, &mut fit)
            .unwrap();
        for (point, l2) in points.iter().zip(STRENGTHS) {
            assert_eq!(point.l2, l2);
            let mut losses = Vec::new();
            for (held, ours) in point.folds.iter().enumerate() {
                let (expected, hits) = by_hand(&data, loss, l2, &fold, held);
                let error = (ours.loss - expected).abs();
                assert!(
                    error <= 1e-5 * expected,
                    "{name} {l2} {held}: {error:e} of {expected}"
                );
                assert_eq!(ours.accuracy.is_some(), hits.is_some());
                let apart = (ours.accuracy.unwrap_or(0.0) - hits.unwrap_or(0.0)).abs();
                assert!(apart < 1e-12, "{name} {l2} {held}");
                losses.push(expected);
            }
            let mean = losses.iter().sum::<f64>() / 4.0;
            let spread: f64 = losses.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / 3.0;
            assert!((point.standard_error / (spread / 4.0).sqrt() - 1.0).abs() < 1e-3);
        }
        let best = HeldOut::best(&points).unwrap();
        assert!(points.iter().all(|p| p.loss >= best.loss));
    }
}

/// Fits all folds and classes of a strength in one batch.
struct Together;

impl Fits<f64> for Together {
    fn alone(&mut self, problem: &Glm<f64>, start: Vec<f64>) -> Result<Fitted<f64>> {
        Ok(fit(problem, start)?.into())
    }

    fn together(&mut self, all: &GlmBatch<f64>, start: Vec<f64>) -> Result<Option<Fitted<f64>>> {
        assert_eq!(all.columns(), 12, "four folds of three classes");
        let method = registry::build::<f64>("batched-l-bfgs", &Value::Null)?;
        let outcome = method.run(&mut Driver::default(), start, all)?;
        Ok(Some(outcome.into()))
    }
}

/// The sum over the classes of the mean logistic losses held out, and the share of rows that the model of all classes gets
/// right, from models that have only seen the other rows.
#[test]
fn classes_against_the_rest_are_judged_as_one_does_by_hand() {
    let data = embedded("wine_recognition").unwrap();
    let fold = data.folds(4, 3, true).unwrap();
    let rest = OneVsRest::<f64>::new(
        data.x.clone(),
        &data.target,
        None,
        &options(Loss::Logistic, 0.0),
    )
    .unwrap();
    assert!(rest.l2_path().len() > 3);
    let alone = rest.cross_validate(&STRENGTHS, &fold, &mut fit).unwrap();
    let together = rest
        .cross_validate(&STRENGTHS, &fold, &mut Together)
        .unwrap();
    for (s, l2) in STRENGTHS.into_iter().enumerate() {
        for held in 0..4 {
            let rows = |inside: bool| -> Vec<usize> {
                let of_fold = |i: &usize| (fold[*i] == held) == inside;
                (0..data.rows()).filter(of_fold).collect()
            };
            let train = data.select_rows(&rows(false)).unwrap();
            let test = data.select_rows(&rows(true)).unwrap();
            let (mut loss, mut scores) = (0.0, vec![Vec::new(); test.rows()]);
            for class in rest.classes() {
                let against = |target: &[f64]| -> Vec<f64> {
                    target
                        .iter()
                        .map(|y| f64::from(u8::from(y == class)))
                        .collect()
                };
                let labels = against(&train.target);
                let own = options(Loss::Logistic, l2);
                let problem = Glm::<f64>::new(train.x.clone(), &labels, None, &own).unwrap();
                let x = fit(&problem, problem.start()).unwrap().x;
                let said = problem.model(&x).predict(&test.x).unwrap();
                for (i, y) in against(&test.target).into_iter().enumerate() {
                    let p = said.probabilities.as_ref().unwrap()[i][1];
                    scores[i].push(p);
                    let own = if y == 1.0 { p } else { 1.0 - p };
                    loss -= own.ln() / test.rows() as f64;
                }
            }
            let is_hit = |i: &usize| {
                let best = (0..3).max_by(|a, b| scores[*i][*a].total_cmp(&scores[*i][*b]));
                rest.classes()[best.unwrap()] == test.target[*i]
            };
            let hits = (0..test.rows()).filter(is_hit).count() as f64 / test.rows() as f64;
            for points in [&alone, &together] {
                let ours = &points[s].folds[held];
                assert_eq!(ours.status, Status::Converged);
                let error = (ours.loss - loss).abs();
                assert!(error <= 1e-5 * loss, "{l2} {held}: {error:e} of {loss}");
                let apart = (ours.accuracy.unwrap() - hits).abs();
                assert!(apart < 1e-12, "{l2} {held}: {apart:e}");
            }
        }
    }
}

#[test]
fn a_path_spans_from_no_model_to_no_penalty() {
    let data = embedded("wdbc").unwrap();
    let mut problem =
        Glm::<f64>::new(data.x, &data.target, None, &options(Loss::Logistic, 0.0)).unwrap();
    let path = problem.l2_path();
    assert!(
        path.windows(2).all(|w| w[0] > w[1]) && path.len() <= 60,
        "{path:?}"
    );
    let empty = problem.mean_loss(&problem.start()).unwrap();
    problem.set_l2(path[0]).unwrap();
    let x = fit(&problem, problem.start()).unwrap().x;
    let shares: f64 = 212.0 / 569.0;
    let constant = -shares * shares.ln() - (1.0 - shares) * (1.0 - shares).ln();
    let strongest = problem.mean_loss(&x).unwrap();
    assert!(
        strongest < empty && strongest > 0.5 * constant,
        "{strongest} {constant}"
    );
}

#[test]
fn bad_folds_are_named() {
    let data = embedded("iris").unwrap();
    let problem = Glm::<f64>::new(
        data.x.clone(),
        &data.target,
        None,
        &options(Loss::Softmax, 1.0),
    )
    .unwrap();
    let refuse = |fold: &[usize]| problem.cross_validate(&[1.0], fold, &mut fit).unwrap_err();
    assert!(refuse(&[0, 1]).to_string().contains("folds"));
    assert!(refuse(&[0; 150]).to_string().contains("folds"));
    let mut gap = vec![0; 150];
    gap[3] = 2;
    assert!(refuse(&gap).to_string().contains("rows"));
    assert!(
        data.folds(1, 0, false)
            .unwrap_err()
            .to_string()
            .contains("folds")
    );
    assert!(
        data.folds(151, 0, false)
            .unwrap_err()
            .to_string()
            .contains("150")
    );
    assert!(
        problem
            .subset(&[150])
            .err()
            .unwrap()
            .to_string()
            .contains("rows")
    );
}
