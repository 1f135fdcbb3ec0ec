//! Data at the edges of what makes sense: a right answer or a precise error for each (N04, N06, N09, N16).
#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use quadric::core::ErrorKind;
use quadric::linalg::random::SeedTree;
use quadric::prelude::*;
use serde_json::Value;

fn options(loss: Loss, l2: f64) -> GlmOptions {
    GlmOptions {
        loss,
        l2,
        intercept: true,
    }
}

fn matrix(rows: &[&[f64]]) -> DataMatrix<f64> {
    let d = rows.first().map_or(0, |r| r.len());
    DataMatrix::dense(rows.concat(), rows.len(), d).unwrap()
}

fn sparse(values: &[f64], n: usize, d: usize) -> Result<DataMatrix<f64>> {
    let starts = (0..=n).map(|i| (i * d) as u32).collect();
    let indices = (0..n * d).map(|i| (i % d) as u32).collect();
    DataMatrix::sparse(starts, indices, values.to_vec(), n, d)
}

fn solve(problem: &Glm<f64>) -> (Outcome<f64>, LinearModel) {
    let (_, method) = quadric::opt::registry::auto::<f64>(problem, &Value::Null).unwrap();
    let o = method
        .run(&mut Driver::default(), problem.start(), problem)
        .unwrap();
    let model = problem.model(&o.x);
    (o, model)
}

fn close(a: f64, b: f64, what: &str) {
    assert!(
        (a - b).abs() <= 1e-7 * b.abs().max(1e-3),
        "{what}: {a:e} is not {b:e}"
    );
}

/// A value that is not finite is refused before anything is computed, by its place, wherever it is.
#[test]
fn t_n06_values_that_are_not_finite_are_refused_by_place() {
    println!("seed 6");
    let mut s = SeedTree::new(6).child("planted").stream(0);
    let (n, d) = (30, 7);
    let good: Vec<f64> = (0..n * d).map(|_| s.normal()).collect();
    let labels: Vec<f64> = (0..n).map(|i| (i % 2) as f64).collect();
    let logistic = options(Loss::Logistic, 1e-2);
    for round in 0..50 {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let (i, j) = (s.below(n), s.below(d));
            let mut x = good.clone();
            x[i * d + j] = bad;
            let refused = |built: Result<Glm<f64>>, place: &str| {
                let e = built.err().expect("an error");
                assert_eq!(e.kind(), ErrorKind::NonFinite, "round {round}: {e}");
                assert!(
                    e.to_string().contains(place),
                    "round {round}: {e} lacks {place}"
                );
            };
            let place = format!("({i}, {j})");
            for x in [DataMatrix::dense(x.clone(), n, d), sparse(&x, n, d)] {
                let built = x.and_then(|x| Glm::new(x, &labels, None, &logistic));
                refused(built, &place);
            }
            let x = DataMatrix::dense(good.clone(), n, d).unwrap();
            let mut y = labels.clone();
            y[i] = bad;
            refused(Glm::new(x.clone(), &y, None, &logistic), &format!("at {i}"));
            let mut w = vec![1.0; n];
            w[i] = bad;
            refused(
                Glm::new(x.clone(), &labels, Some(&w), &logistic),
                &format!("at {i}"),
            );
            let problem = Glm::new(x, &labels, None, &logistic).unwrap();
            let mut x0 = problem.start();
            x0[j] = bad;
            let (_, method) = quadric::opt::registry::auto::<f64>(&problem, &Value::Null).unwrap();
            let e = method
                .run(&mut Driver::default(), x0, &problem)
                .unwrap_err();
            assert_eq!(e.kind(), ErrorKind::NonFinite);
            assert!(e.to_string().contains(&format!("at {j}")), "{e}");
        }
    }
}

/// Columns that say nothing get no weight, and change nothing for the others.
#[test]
fn t_n09_useless_columns() {
    let plain: Vec<Vec<f64>> = (0..12).map(|i| vec![f64::from(i * 5 % 12)]).collect();
    let y: Vec<f64> = (0..12)
        .map(|i| f64::from(u8::from(i * 7 % 12 > 4)))
        .collect();
    let with = |more: &dyn Fn(&[f64]) -> Vec<f64>, l2: f64| {
        let rows: Vec<Vec<f64>> = plain
            .iter()
            .map(|r| [r.clone(), more(r)].concat())
            .collect();
        let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        let problem = Glm::new(matrix(&rows), &y, None, &options(Loss::Logistic, l2)).unwrap();
        let (o, model) = solve(&problem);
        assert_eq!(o.status, Status::Converged, "{:?}", o.reason);
        (o.value.unwrap(), model.coef[0].clone())
    };
    for l2 in [0.0, 1e-3] {
        let (f, w) = with(&|_| vec![], l2);
        for constant in [0.0, 3.0, -1e9] {
            let (same, wider) = with(&|_| vec![constant], l2);
            close(same, f, "a constant column");
            close(wider[0], w[0], "the weight beside a constant column");
            assert!(l2 == 0.0 || wider[1].abs() < 1e-9, "{wider:?}");
        }
        // Of a weight shared by two columns the penalty sees half the square.
        let (twice, shared) = with(&|r| r.to_vec(), l2);
        let (half, sum) = with(&|_| vec![], l2 / 2.0);
        close(twice, half, "a column twice");
        close(shared[0] + shared[1], sum[0], "the sum of the weights");
        assert!(
            l2 == 0.0 || (shared[0] - shared[1]).abs() < 1e-9,
            "{shared:?}"
        );
    }
}

/// One row, one feature, more features than rows: the closed form of ridge regression.
#[test]
fn t_n09_few_rows() {
    let fit = |rows: &[&[f64]], y: &[f64], l2: f64| {
        let problem = Glm::new(matrix(rows), y, None, &options(Loss::Squared, l2)).unwrap();
        let (o, model) = solve(&problem);
        assert_eq!(o.status, Status::Converged, "{:?}", o.reason);
        (model.coef[0].clone(), model.intercept[0])
    };
    let (w, b) = fit(&[&[2.0, -3.0]], &[5.0], 1e-2);
    assert!(
        w.iter().all(|w| w.abs() < 1e-9),
        "the intercept fits one row: {w:?}"
    );
    close(b, 5.0, "one row");
    let (w, b) = fit(&[&[1.0], &[3.0]], &[1.0, 2.0], 0.0);
    close(w[0], 0.5, "one feature");
    close(b, 0.5, "one feature");
    // Centred x is ±(1, 2, 2), centred y ±1: w = x / (|x|² + l2), as F has a half and a mean.
    let (w, _) = fit(&[&[1.0, 2.0, 2.0], &[-1.0, -2.0, -2.0]], &[1.0, -1.0], 1.0);
    for (w, x) in w.iter().zip([1.0, 2.0, 2.0]) {
        close(*w, x / 10.0, "more features than rows");
    }
}

/// What has no answer is an error that says why.
#[test]
fn t_n09_no_answer() {
    let two: &[&[f64]] = &[&[1.0], &[2.0]];
    let build = |x: DataMatrix<f64>, y: &[f64], w: Option<&[f64]>, loss| {
        let e = Glm::new(x, y, w, &options(loss, 1e-2))
            .err()
            .expect("an error");
        assert_eq!(e.kind(), ErrorKind::Data, "{e}");
        e.to_string()
    };
    for loss in [Loss::Logistic, Loss::Softmax] {
        let text = build(matrix(two), &[1.0, 1.0], None, loss);
        assert!(text.contains("every row has the label 1"), "{text}");
    }
    let text = build(matrix(&[]), &[], None, Loss::Squared);
    assert!(text.contains("no rows"), "{text}");
    let text = build(matrix(two), &[0.0, 1.0], Some(&[0.0, 0.0]), Loss::Logistic);
    assert!(text.contains("all sample weights are zero"), "{text}");
    let text = build(matrix(two), &[-1.0, 1.0], None, Loss::Poisson);
    assert!(text.contains("row 0 is -1"), "{text}");
}

/// Predictors of any size give probabilities; those that overflow give an error, never a NaN.
#[test]
fn t_n04_predictions_of_large_logits() {
    let model = |coef: Vec<f64>, classes: usize| LinearModel {
        loss: Loss::Softmax,
        intercept: vec![0.0; classes],
        coef: coef.into_iter().map(|w| vec![w]).collect(),
        classes: Some((0..classes).map(|c| c as f64).collect()),
    };
    let probabilities = |m: &LinearModel, x: f64| {
        let p = m.predict(&matrix(&[&[x]])).unwrap();
        p.probabilities.unwrap()[0].clone()
    };
    assert_eq!(
        probabilities(&model(vec![1e4, 0.0, -1e4], 3), 1.0),
        [1.0, 0.0, 0.0]
    );
    for p in probabilities(&model(vec![1e308; 4], 4), 1.0) {
        assert_eq!(p, 0.25);
    }
    let many = probabilities(&model(vec![1.0; 100_000], 100_000), 7.0);
    assert!((many.iter().sum::<f64>() - 1.0).abs() < 1e-10);
    let shifted = |by: f64| probabilities(&model(vec![0.25 + by, by, by - 0.5], 3), 1.0);
    for (a, b) in shifted(0.0).iter().zip(shifted(1024.0)) {
        assert!((a - b).abs() <= 2.0 * f64::EPSILON * a, "{a} {b}");
    }
    for weights in [[1e308, 0.0], [-1e308, 1.0]] {
        let overflowing = model(weights.to_vec(), 2);
        let e = overflowing
            .predict(&matrix(&[&[1.0], &[10.0]]))
            .unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NonFinite);
        assert!(e.to_string().contains("(1, 0)"), "{e}");
    }
}

/// Features below the smallest normal number are numbers like any other.
#[test]
fn t_n16_subnormal_features() {
    let fit = |unit: f64| {
        let rows = [0.0, 64.0, 19.0, 38.0].map(|x| [x * unit]);
        let rows: Vec<&[f64]> = rows.iter().map(|r| &r[..]).collect();
        let y = [0.0, 1.0, 1.0, 0.0];
        let problem = Glm::new(matrix(&rows), &y, None, &options(Loss::Logistic, 0.0)).unwrap();
        let (o, _) = solve(&problem);
        assert_eq!(o.status, Status::Converged, "{unit:e}: {:?}", o.reason);
        o.value.unwrap()
    };
    let usual = fit(1.0);
    for unit in [1e-300, 2f64.powi(-1060), 2f64.powi(-1074)] {
        close(fit(unit), usual, &format!("features of {unit:e}"));
    }
}
