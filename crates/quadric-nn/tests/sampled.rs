//! Targets that a network itself draws: their frequencies, and the covariance of the slopes that come of them.

mod common;

use common::{close, waves};
use quadric_autodiff::{Array, Data, Executable, Program, Tensor};
use quadric_nn::Loss;
use std::ops::Range;

const SEED: u64 = 11;
const SMOOTHED: Loss = Loss::CrossEntropy {
    smoothing: 0.3,
    ignored: Some(-1),
};

/// Two positions of three outputs; the second label of two is ignored where labels are.
const SHAPE: [usize; 2] = [2, 3];

fn targets<'t>(like: Tensor<'t>, loss: Loss) -> Tensor<'t> {
    let t = like.tracer();
    match loss {
        Loss::CrossEntropy { ignored, .. } => {
            let second = ignored.unwrap_or(1);
            let labels = t.index_constant(&[2, second], [2]);
            labels.broadcast_to([like.dim(0), 2])
        }
        _ => like.fill_like(0.25),
    }
}

/// The slopes by outputs of draws for examples that all have the same outputs, from an executable program.
fn slopes(loss: Loss, outputs: &[f64], draw: usize, examples: Range<usize>) -> Vec<f64> {
    let n = examples.len();
    let program = Program::trace(|t| {
        let keys = t.index_input("keys", [n, 2]);
        let x = t.constant(outputs, SHAPE).broadcast_to([n, 2, 3]);
        let losses = loss.sampled(x, targets(x, loss), keys);
        t.grad(losses.values.sum_all(), &[x])
    });
    let program = program.expect("shapes fit");
    let keys = Loss::keys(SEED, draw, examples);
    let mut out = vec![f64::NAN; n * 6];
    let mut compiled = Executable::new(&program).expect("a real output");
    let done = compiled.run(&[Data::Index(&keys)], &mut [&mut out]);
    done.expect("keys");
    let plain = program.run::<f64>(&[Data::Index(&keys)]).expect("keys");
    close("compiled", &out, plain[0].floats(), 1e-12);
    out
}

/// `S Sᵀ`, row-major, from the columns of the root.
fn covariance(loss: Loss, outputs: &[f64]) -> Vec<f64> {
    let program = Program::trace(|t| {
        let x = t.constant(outputs, SHAPE).expand(0);
        let v = t.input("v", [1, 2, 3]);
        vec![loss.root(x, targets(x, loss), v)]
    });
    let program = program.expect("shapes fit");
    let column = |i: usize| {
        let mut unit = [0.0; 6];
        unit[i] = 1.0;
        common::run(&program, &[&unit])
    };
    let columns: Vec<Vec<f64>> = (0..6).map(column).collect();
    let entry = |at: usize| columns.iter().map(|c| c[at / 6] * c[at % 6]).sum();
    (0..36).map(entry).collect()
}

/// The second derivatives of the loss by the outputs.
fn curvature(loss: Loss, outputs: &[f64]) -> Vec<f64> {
    let program = Program::trace(|t| {
        let x = t.input("x", [1, 2, 3]);
        let values = loss.apply(x, targets(x, loss)).values;
        t.grad(values.sum_all(), &[x])
    });
    let program = program.expect("shapes fit").linearize(&["x"]);
    common::columns(&program.expect("an input"), outputs)
}

const LOSSES: [Loss; 5] = [
    Loss::CROSS_ENTROPY,
    SMOOTHED,
    Loss::Squared,
    Loss::MeanSquared,
    Loss::Bernoulli,
];

/// Natural parameters: the covariance of slopes is the curvature, which smoothing does not change.
#[test]
fn roots_of_the_curvature() {
    let outputs = waves(6, 0.4).iter().map(|v| 2.0 * v).collect::<Vec<_>>();
    for loss in LOSSES {
        let found = covariance(loss, &outputs);
        close(
            &format!("{loss:?}"),
            &found,
            &curvature(loss, &outputs),
            1e-14,
        );
        let ignored = loss == SMOOTHED;
        assert_eq!(found[35] == 0.0, ignored, "{loss:?}");
    }
}

/// Mean and mean square of many slopes, within five standard errors.
#[test]
fn slopes_have_mean_zero_and_the_covariance_of_the_roots() {
    let outputs = waves(6, 1.9);
    let n = 20_000;
    for loss in LOSSES {
        let found = slopes(loss, &outputs, 0, 0..n);
        let exact = covariance(loss, &outputs);
        let rows: Vec<&[f64]> = found.chunks_exact(6).collect();
        let mean = |f: &dyn Fn(&[f64]) -> f64| rows.iter().map(|r| f(r)).sum::<f64>() / n as f64;
        let near = |what: &str, f: &dyn Fn(&[f64]) -> f64, expected: f64| {
            let (found, square) = (mean(f), mean(&|r| f(r).powi(2)));
            let error = ((square - found * found).max(0.0) / n as f64).sqrt();
            assert!(
                (found - expected).abs() <= 5.0 * error + 1e-12,
                "{loss:?}, seed {SEED}, {what}: {found}, expected {expected} ± {error}"
            );
        };
        for i in 0..6 {
            near(&format!("mean {i}"), &|r| r[i], 0.0);
            for j in 0..=i {
                let at = format!("covariance {i} {j}");
                near(&at, &|r| r[i] * r[j], exact[6 * i + j]);
            }
        }
    }
}

#[test]
fn draws_do_not_depend_on_batches() {
    let outputs = waves(6, 3.3);
    for loss in LOSSES {
        let all = slopes(loss, &outputs, 2, 0..9);
        let parts = [
            slopes(loss, &outputs, 2, 0..4),
            slopes(loss, &outputs, 2, 4..9),
        ];
        assert_eq!(all, parts.concat(), "{loss:?}");
        assert_ne!(all, slopes(loss, &outputs, 3, 0..9), "{loss:?}");
    }
}

/// Classes of probability 0 or 1, at ends of the unit interval too.
#[test]
fn impossible_classes_are_not_drawn() {
    for (at, sure) in [0, 2, 1].into_iter().enumerate() {
        let mut outputs = [-1e4; 6];
        outputs[sure] = 0.0;
        outputs[3 + sure] = 50.0;
        let found = slopes(Loss::CROSS_ENTROPY, &outputs, at, 0..500);
        assert!(found.iter().all(|v| v.abs() < 1e-15), "class {sure}");
    }
    let program = Program::trace(|t| {
        let x = t.constant(&[f64::NAN, 0.0], [1, 2]);
        let (labels, key) = (
            t.index_constant(&[0], [1]),
            t.index_constant(&[1, 2], [1, 2]),
        );
        vec![Loss::CROSS_ENTROPY.sampled(x, labels, key).values]
    });
    let values: Vec<Array<f64>> = program.expect("shapes fit").run(&[]).expect("no inputs");
    assert!(values[0].floats()[0].is_nan());
}

#[test]
fn wrong_shapes_end_the_trace() {
    let program = Program::trace(|t| {
        let (x, key) = (t.input("x", [4, 3]), t.index_input("key", [4, 2]));
        let labels = t.index_input("y", [3]);
        vec![Loss::CROSS_ENTROPY.sampled(x, labels, key).values]
    });
    let text = program.expect_err("three labels of four").to_string();
    assert!(
        text.contains("targets [3] do not fit outputs [4, 3]"),
        "{text}"
    );
}
