//! L-BFGS on columns: each makes the steps that it would make alone, and ends as it would alone.

use crate::support::walk::Walk;
use quadric_core::{
    AnyMethod, Budget, Columns, DataMatrix, Driver, Outcome, Problem, Smooth, Status, Tolerance,
};
use quadric_models::{Glm, GlmBatch, GlmOptions, Loss, OneVsRest};
use quadric_opt::registry::{auto, build, visit};
use serde_json::{Value, json};

/// Five folds under four penalties.
fn folds(set: &str, loss: Loss) -> GlmBatch<f64> {
    let data = quadric_data::embedded(set).unwrap();
    let options = GlmOptions {
        loss,
        ..GlmOptions::default()
    };
    let fold = data.folds(5, 0, loss.is_classifier()).unwrap();
    let all = Glm::<f64>::new(data.x, &data.target, None, &options).unwrap();
    let mut models = Vec::new();
    for held in 0..5 {
        let train = all.only(|i| fold[i] != held).unwrap();
        for l2 in [1.0, 1e-2, 1e-4, 1e-6] {
            models.push(train.with_l2(l2).unwrap());
        }
    }
    GlmBatch::new(models).unwrap()
}

fn batched() -> Box<dyn AnyMethod<f64>> {
    build("batched-l-bfgs", &Value::Null).unwrap()
}

fn steps(
    method: &dyn AnyMethod<f64>,
    count: u64,
    x0: Vec<f64>,
    p: &dyn Problem<f64>,
) -> Outcome<f64> {
    let mut driver = Driver {
        budget: Budget {
            iterations: Some(count),
            ..Budget::default()
        },
        tolerance: Tolerance {
            relative: 0.0,
            absolute: 0.0,
        },
        ..Driver::default()
    };
    method.run(&mut driver, x0, p).unwrap()
}

/// The iterates of a column are those of `l-bfgs` alone on its problem, to rounding. That run searches its lines by
/// differences that do not cancel, the columns by plain ones, so rounding differs; it grows with the number of steps.
#[test]
fn columns_make_the_steps_of_l_bfgs_alone() {
    for (set, loss) in [
        ("german.numer_scale", Loss::Logistic),
        ("iris", Loss::Softmax),
        ("diabetes_lars", Loss::PseudoHuber { delta: 50.0 }),
    ] {
        let batch = folds(set, loss);
        let single = build::<f64>("l-bfgs", &Value::Null).unwrap();
        for (count, tolerance) in [(1, 1e-13), (2, 1e-12), (4, 1e-11), (8, 1e-9), (12, 1e-7)] {
            let together = steps(&*batched(), count, batch.start(), &batch);
            assert_eq!(together.iterations, count);
            for (c, model) in batch.models().iter().enumerate() {
                let alone = steps(&*single, count, model.start(), model);
                let part = &together.x[batch.range(c)];
                let size = alone.x.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                let apart = alone.x.iter().zip(part).map(|(a, b)| (a - b).abs());
                let apart = apart.fold(0.0, f64::max);
                assert!(
                    apart <= tolerance * size,
                    "{set}: column {c} after {count} steps: {:e}",
                    apart / size
                );
            }
        }
    }
}

/// Every column is converged by its own gap, at the optimum that Newton's method finds alone.
#[test]
fn every_column_is_certified_on_its_own() {
    let data = quadric_data::embedded("digits").unwrap();
    let options = GlmOptions {
        l2: 1e-3,
        ..GlmOptions::default()
    };
    let rest = OneVsRest::<f64>::new(data.x, &data.target, None, &options).unwrap();
    let digits = rest.batch();
    for batch in [&folds("german.numer_scale", Loss::Logistic), digits] {
        let (entry, method) = auto::<f64>(batch, &Value::Null).unwrap();
        assert_eq!(entry.name, "batched-l-bfgs");
        let o = method
            .run(&mut Driver::default(), batch.start(), batch)
            .unwrap();
        assert_eq!(o.status, Status::Converged, "{:?}", o.columns);
        assert_eq!(o.columns.len(), batch.columns());
        for (c, (end, model)) in o.columns.iter().zip(batch.models()).enumerate() {
            let (_, newton) = auto::<f64>(model, &Value::Null).unwrap();
            let best = newton
                .run(&mut Driver::default(), model.start(), model)
                .unwrap();
            assert_eq!(best.status, Status::Converged);
            assert_eq!(end.status, Status::Converged);
            assert!(Tolerance::default().met(&end.certificate, 1.0));
            let gap = model.gap(&o.x[batch.range(c)]).unwrap().unwrap();
            assert!(gap.bound <= 1.01e-10 * gap.scale, "{c}: {gap:?}");
            let above = end.value - best.value.unwrap();
            assert!(above.abs() <= 2e-10 * gap.scale, "{c}: {above:e}");
        }
        // Columns that are done are not evaluated again.
        let all = (o.iterations + 1) * batch.columns() as u64;
        assert!(o.counts.gradients < all, "{:?} of {all}", o.counts);
    }
}

/// A column without a minimiser says so, with the reason; the others converge.
#[test]
fn a_separable_column_leaves_the_others_alone() {
    let x = DataMatrix::dense(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 8, 1).unwrap();
    let y = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0];
    let all = Glm::<f64>::new(x, &y, None, &GlmOptions::default()).unwrap();
    let separable = all.only(|i| i < 7).unwrap();
    let models = vec![separable.with_l2(1e-3).unwrap(), separable, all];
    let batch = GlmBatch::new(models).unwrap();
    let o = batched()
        .run(&mut Driver::default(), batch.start(), &batch)
        .unwrap();
    let status: Vec<Status> = o.columns.iter().map(|c| c.status).collect();
    use Status::{Converged, Unbounded};
    assert_eq!(status, [Converged, Unbounded, Converged]);
    assert!(
        o.columns[1]
            .reason
            .as_ref()
            .unwrap()
            .contains("column 1 separates")
    );
    assert_eq!(o.status, Unbounded);
    assert!(o.reason.unwrap().contains("2 of 3"));
}

/// What the tolerance asks beyond rounding is not granted, and the run ends all the same.
#[test]
fn columns_that_stall_say_so() {
    let batch = folds("german.numer_scale", Loss::Logistic);
    let mut driver = Driver {
        tolerance: Tolerance {
            relative: 0.0,
            absolute: 0.0,
        },
        ..Driver::default()
    };
    let o = batched().run(&mut driver, batch.start(), &batch).unwrap();
    assert_eq!(o.status, Status::Stalled);
    assert!(o.columns.iter().all(|c| c.status == Status::Stalled));
    // They stalled at the optimum.
    assert!(o.columns.iter().all(|c| c.certificate.relative() < 1e-12));
}

/// Every step can be resumed bit for bit, on any number of threads, and counts what it evaluates.
#[test]
fn steps_resume_on_any_number_of_threads() {
    let batch = folds("german.numer_scale", Loss::Logistic);
    let x0 = batch.start();
    let walk = |threads: usize, resumes| {
        let walk = Walk {
            problem: &batch,
            x0: &x0,
            steps: 25,
            seed: 0,
            resumes,
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let walked = pool
            .unwrap()
            .install(|| visit("batched-l-bfgs", &Value::Null, walk));
        walked.unwrap().unwrap()
    };
    let one = walk(1, true);
    assert_eq!(walk(2, false).x, one.x);
    assert_eq!(walk(3, false).x, one.x);
    let driven = steps(&*batched(), 25, x0.clone(), &batch);
    assert!(driven.counts.gradients >= one.record.gradients);
    for pair in one.values.windows(2) {
        assert!(pair[1] <= pair[0] * (1.0 + 1e-13));
    }
}

/// An evaluation limit counts columns, is never exceeded, and leaves the best point with a certificate of each column.
#[test]
fn limits_count_columns() {
    let batch = folds("iris", Loss::Softmax);
    for limit in [0, 19, 20, 39, 40, 100, 333] {
        let mut driver = Driver {
            budget: Budget {
                evaluations: Some(limit),
                ..Budget::default()
            },
            ..Driver::default()
        };
        let o = batched().run(&mut driver, batch.start(), &batch).unwrap();
        assert!(o.counts.gradients <= limit);
        assert_eq!(o.status, Status::MaxEvaluations);
        assert_eq!(o.columns.len(), 20);
        let start = batch.start();
        let mut g = vec![0.0; start.len()];
        assert!(o.value.unwrap() <= batch.value_grad(&start, &mut g).unwrap());
    }
}

#[test]
fn a_single_problem_has_no_columns() {
    let data = quadric_data::embedded("iris").unwrap();
    let options = GlmOptions {
        loss: Loss::Softmax,
        ..GlmOptions::default()
    };
    let glm = Glm::<f64>::new(data.x, &data.target, None, &options).unwrap();
    let e = batched().run(&mut Driver::default(), glm.start(), &glm);
    assert!(e.err().unwrap().to_string().contains("needs Columns"));
    assert!(build::<f64>("batched-l-bfgs", &json!({"memory": 0})).is_err());
}
