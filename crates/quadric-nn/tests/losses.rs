//! Losses: values in closed form, weights, names, and what is refused. `fixtures.rs` compares them with PyTorch.

mod common;

use common::close;
use quadric_autodiff::{Data, Program};
use quadric_linalg::{ErrorKind, Result};
use quadric_nn::Loss;

/// Values, weights and the mean for outputs and targets of given shapes.
fn losses(loss: Loss, shape: &[usize], outputs: &[f64], targets: Data<'_, f64>) -> [Vec<f64>; 3] {
    let program = Program::trace(|t| {
        let x = t.constant(outputs, shape.iter().copied());
        let port = loss.target(&shape[1..]).expect("an output");
        let of_batch = port.of_batch(shape[0]).shape;
        let targets = match targets {
            Data::Index(v) => t.index_constant(v, of_batch),
            Data::Float(v) => t.constant(v, of_batch),
        };
        let losses = loss.apply(x, targets);
        vec![losses.values, losses.weights, losses.mean()]
    });
    let results = program
        .expect("shapes fit")
        .run::<f64>(&[])
        .expect("no inputs");
    [0, 1, 2].map(|i| results[i].floats().to_vec())
}

#[test]
fn values_in_closed_form() {
    let [values, weights, mean] = losses(
        Loss::Squared,
        &[2, 2],
        &[1.0, 2.0, 3.0, 5.0],
        Data::Float(&[0.0, 0.0, 3.0, 1.0]),
    );
    assert_eq!(values, [2.5, 8.0]);
    assert_eq!((weights, mean), (vec![1.0; 2], vec![5.25]));
    let [values, ..] = losses(
        Loss::MeanSquared,
        &[1, 4],
        &[1.0, 2.0, 3.0, 4.0],
        Data::Float(&[0.0; 4]),
    );
    assert_eq!(values, [7.5]);
    let [values, ..] = losses(
        Loss::Bernoulli,
        &[2, 2],
        &[0.0, 800.0, -800.0, 3.0_f64.ln()],
        Data::Float(&[1.0, 1.0, 0.0, 0.5]),
    );
    // log 2; log 4 less half of log 3.
    let expected = [2.0_f64.ln(), 4.0_f64.ln() - 0.5 * 3.0_f64.ln()];
    close("bernoulli", &values, &expected, 1e-15);
}

/// Two steps of two classes; a label is ignored.
#[test]
fn ignored_labels_do_not_count() {
    let logits = [0.0, 0.0, 0.0, 3.0_f64.ln(), 50.0, 0.0, 0.0, 0.0];
    let labels = [0, 1, -1, -1];
    for (smoothing, first) in [
        (0.0, 2.0_f64.ln() + (4.0_f64 / 3.0).ln()),
        // The second label has probability 3/4, the other 1/4.
        (
            0.5,
            2.0_f64.ln() + 0.75 * (4.0_f64 / 3.0).ln() + 0.25 * 4.0_f64.ln(),
        ),
    ] {
        let loss = Loss::CrossEntropy {
            smoothing,
            ignored: Some(-1),
        };
        let [values, weights, mean] = losses(loss, &[2, 2, 2], &logits, Data::Index(&labels));
        close("values", &values, &[first, 0.0], 1e-15);
        assert_eq!(weights, [2.0, 0.0]);
        close("mean", &mean, &[first / 2.0], 1e-15);
    }
}

#[test]
fn names_are_parsed() {
    for name in Loss::names() {
        let loss: Loss = name.parse().expect("a name");
        assert_eq!((loss.name(), loss.to_string()), (*name, (*name).to_owned()));
    }
    let text = "hinge".parse::<Loss>().expect_err("no name").to_string();
    let expected = "`loss` is hinge; expected cross-entropy, squared, mean-squared, bernoulli";
    assert_eq!(text, expected);
}

fn check(loss: Loss, targets: Data<'_, f64>) -> Result<()> {
    loss.check(targets, 3)
}

#[track_caller]
fn refused(loss: Loss, targets: Data<'_, f64>, kind: ErrorKind, text: &str) {
    let error = check(loss, targets).expect_err(text);
    assert_eq!(error.kind(), kind);
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn wrong_targets_are_refused() {
    let ignoring = Loss::CrossEntropy {
        smoothing: 0.0,
        ignored: Some(-1),
    };
    check(Loss::CROSS_ENTROPY, Data::Index(&[0, 2, 1])).expect("classes");
    check(ignoring, Data::Index(&[0, -1, 1])).expect("ignored");
    let argument = ErrorKind::Argument;
    for (labels, text) in [
        ([0, 1, 3], "`target 2` is 3; expected a class from 0 to 2"),
        ([-1, 1, 3], "`target 0` is -1"),
    ] {
        refused(Loss::CROSS_ENTROPY, Data::Index(&labels), argument, text);
    }
    refused(
        ignoring,
        Data::Index(&[-1, -2]),
        argument,
        "`target 1` is -2",
    );
    check(Loss::Bernoulli, Data::Float(&[0.0, 0.5, 1.0])).expect("probabilities");
    check(Loss::Squared, Data::Float(&[-3.0, 7.0])).expect("numbers");
    let numbers = Data::Float(&[0.0, 1.5][..]);
    refused(
        Loss::Bernoulli,
        numbers,
        argument,
        "`target 1` is 1.5; expected a probability",
    );
    for loss in [Loss::Squared, Loss::MeanSquared, Loss::Bernoulli] {
        let bad = Data::Float(&[0.0, f64::NAN][..]);
        refused(loss, bad, ErrorKind::NonFinite, "target at 1 is NaN");
        refused(
            loss,
            Data::Index(&[0]),
            ErrorKind::Data,
            "takes real numbers, not labels",
        );
    }
    let numbers = Data::Float(&[0.0][..]);
    refused(
        Loss::CROSS_ENTROPY,
        numbers,
        ErrorKind::Data,
        "takes labels, not real numbers",
    );
    for smoothing in [-0.1, 1.0, f64::NAN] {
        let loss = Loss::CrossEntropy {
            smoothing,
            ignored: None,
        };
        refused(loss, Data::Index(&[0]), argument, "`smoothing` is");
    }
}

#[test]
fn wrong_shapes_are_refused() {
    let trace = |loss: Loss, outputs: &[usize], targets: &[usize]| {
        let program = Program::trace(|t| {
            let x = t.input("x", outputs.iter().copied());
            let y = match loss {
                Loss::CrossEntropy { .. } => t.index_input("y", targets.iter().copied()),
                _ => t.input("y", targets.iter().copied()),
            };
            vec![loss.apply(x, y).mean()]
        });
        program.map(|_| ()).map_err(|e| e.to_string())
    };
    trace(Loss::CROSS_ENTROPY, &[4, 3], &[4]).expect("a batch");
    for (loss, outputs, targets) in [
        (Loss::CROSS_ENTROPY, &[4, 3][..], &[3][..]),
        (Loss::CROSS_ENTROPY, &[4, 3], &[4, 3]),
        (Loss::CROSS_ENTROPY, &[3], &[]),
        (Loss::Squared, &[4, 1], &[4]),
        (Loss::Squared, &[], &[]),
        (Loss::Bernoulli, &[4, 2], &[2, 2]),
    ] {
        let text = trace(loss, outputs, targets).expect_err("wrong");
        let expected = format!("loss: targets {targets:?} do not fit outputs {outputs:?}");
        assert!(text.contains(&expected), "{text}");
        // The line that called it.
        assert!(text.contains("losses.rs:"), "{text}");
    }
    let text = trace(Loss::MeanSquared, &[4, 0], &[4, 0]).expect_err("no outputs");
    assert!(
        text.contains("loss: there is no mean over no outputs"),
        "{text}"
    );
    let loss = Loss::CrossEntropy {
        smoothing: 2.0,
        ignored: None,
    };
    let text = trace(loss, &[4, 3], &[4]).expect_err("wrong");
    assert!(text.contains("`smoothing` is 2"), "{text}");
    for output in [&[][..], &[3, 0]] {
        let wrong = Loss::CROSS_ENTROPY.target(output).expect_err("no classes");
        assert_eq!(wrong.kind(), ErrorKind::Shape);
    }
}
