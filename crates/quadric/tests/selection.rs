//! Cross-validation against the same thing done by hand.
#![allow(missing_docs, clippy::unwrap_used)]

use quadric::data::{Dataset, embedded};
use quadric::models::HeldOut;
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
