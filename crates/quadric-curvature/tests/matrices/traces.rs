//! Traces that are known without an estimate, against dense matrices.

use crate::{Problem, agree, images, kind, matrix, problem, trace};
use quadric_core::{Matrix, Model};
use quadric_curvature::{
    At, Block, ExampleSum, ModelTrace, ModelTraceOptions, Saved, Spectrum, SpectrumOptions, blocks,
    model_trace, spectrum,
};
use quadric_linalg::ErrorKind;
use quadric_linalg::estimate::Estimate;
use quadric_nn::layers::{Activation, BatchNorm, Conv2d, Dense, batch_norm, conv2d, dense};
use quadric_nn::models::mlp;
use quadric_nn::{Loss, Mode, Network, Port};
use std::ops::ControlFlow;

/// One layer that is used twice for each example.
fn twice() -> quadric_linalg::Result<Network> {
    Network::new([Port::floats("x", [4])], |scope, x| {
        let h = dense(scope, "same", x[0], 4, &Dense::default()).tanh();
        vec![dense(scope, "same", h, 4, &Dense::default())]
    })
}

fn found(p: &Problem, x: &[f64], matrix: Matrix) -> ModelTrace {
    let options = ModelTraceOptions {
        target: 0.02,
        max_draws: 4000,
        ..ModelTraceOptions::default()
    };
    let found = model_trace(p, x, matrix, &blocks(p.layout()), &options);
    found.expect("a trace").expect("examples stand alone")
}

/// Exact but for the Hessian, whose intervals contain the truth (the seed is fixed).
#[test]
fn traces_of_models_are_those_of_dense_matrices() {
    let mut models = crate::forms::models();
    models.push(("twice", problem(twice(), Loss::CROSS_ENTROPY, 5)));
    for (name, (p, x)) in models {
        for of in [
            Matrix::Hessian,
            Matrix::Functional,
            Matrix::GaussNewton,
            Matrix::Fisher,
            Matrix::SampledFisher { draws: 2, seed: 3 },
            Matrix::EmpiricalFisher,
            Matrix::Covariance,
        ] {
            let dense = matrix(&*p.matrix(&x, of).expect("a matrix"));
            let found = found(&p, &x, of);
            let is_exact = !matches!(of, Matrix::Hessian | Matrix::Functional);
            assert_eq!(found.total.draws == 0, is_exact, "{of:?}");
            let total = found.total.value;
            if is_exact {
                agree(name, total.value, trace(&dense), 1e-11);
            } else {
                let is_short = total.half_width() <= 0.02 * total.value.abs();
                assert_eq!(found.total.met, is_short, "{name} {total:?}");
            }
            let layers = blocks(p.layout());
            let parts = layers.iter().zip(&found.blocks);
            let parts = parts.map(|(layer, part)| {
                let diagonal = layer.range.clone().map(|i| dense[(i, i)]);
                (*part, diagonal.sum::<f64>())
            });
            for (estimate, exact) in parts.chain([(total, trace(&dense))]) {
                // Three times the interval: there are some hundred of them.
                let allowed = 3.0 * estimate.half_width() + 1e-12 * trace(&dense).abs();
                let error = (estimate.value - exact).abs();
                assert!(error <= allowed, "{name} {of:?} {estimate:?} {exact}");
            }
        }
    }
}

/// Over 200 seeds, intervals at 90 % contain the trace as often as they say.
#[test]
fn intervals_of_traces_cover() {
    let (p, x) = problem(mlp(&[5, 6, 3], Activation::Tanh), Loss::CROSS_ENTROPY, 20);
    let exact = trace(&matrix(&*p.matrix(&x, Matrix::Hessian).expect("a matrix")));
    let mut covered = 0;
    for seed in 0..200 {
        let options = ModelTraceOptions {
            target: 0.02,
            level: 0.9,
            max_draws: 1000,
            seed,
        };
        let found = model_trace(&p, &x, Matrix::Hessian, &[], &options).expect("a trace");
        let found = found.expect("examples stand alone").total;
        assert!(found.met, "seed {seed}");
        covered += usize::from(found.value.contains(exact));
    }
    // Three deviations below 180.
    assert!(covered >= 167, "{covered} of 200");
}

const OPTIONS: SpectrumOptions = SpectrumOptions {
    top: 16,
    bottom: 16,
    tolerance: 1e-3,
    eigen_products: 2000,
    trace: 0.02,
    trace_products: 400,
    density: None,
    layer_tops: false,
    level: 0.95,
    dense: 0,
    seed: 0,
};

/// The analysis of a Hessian with its examples; stopped after being told of it `stop` times, what was saved then.
fn analysed(
    (p, x): &(Problem, Vec<f64>),
    saved: Saved<f64>,
    stop: usize,
) -> Result<Spectrum<f64>, Box<Saved<f64>>> {
    let layers = blocks(p.layout());
    let op = p.matrix(x, Matrix::Hessian).expect("a matrix");
    let sum = ExampleSum::new(p, x, Matrix::Hessian, &layers).expect("whole layers");
    let (mut told, mut last) = (0, None);
    let found = spectrum(&*op, &layers, sum.as_ref(), &OPTIONS, saved, &mut |at| {
        told += 1;
        last = Some(Box::new((at.save)()));
        match told < stop {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    });
    found.map_err(|_| last.expect("told before it was stopped"))
}

fn mostly_fitting() -> (Problem, Vec<f64>) {
    problem(mlp(&[30, 16, 3], Activation::Tanh), Loss::CROSS_ENTROPY, 60)
}

/// Few examples with large residuals: the Hessian is of low rank, and its functional part is large.
fn misfit() -> (Problem, Vec<f64>) {
    let network = Network::new([Port::floats("x", [6, 6, 2])], |scope, x| {
        let h = conv2d(scope, "first", x[0], 8, [3, 3], &Conv2d::default()).tanh();
        let h = conv2d(scope, "second", h, 8, [3, 3], &Conv2d::default()).tanh();
        vec![dense(scope, "fc", h.mean(&[1, 2]), 3, &Dense::default())]
    });
    let (p, mut x) = problem(network, Loss::Squared, 1);
    x.iter_mut().for_each(|v| *v *= 3.0);
    (p, x)
}

#[test]
fn analyses_take_traces_from_the_examples() {
    let all = mostly_fitting();
    let run = analysed(&all, Saved::default(), usize::MAX).expect("an analysis");
    let (p, x) = &all;
    let options = ModelTraceOptions {
        target: OPTIONS.trace,
        ..ModelTraceOptions::default()
    };
    let layers = blocks(p.layout());
    let known = model_trace(p, x, Matrix::Hessian, &layers, &options);
    let known = known.expect("a trace").expect("examples stand alone");
    let trace = run.trace.expect("a trace");
    assert!(known.total.met && trace.draws > 0, "{trace:?}");
    assert_eq!(
        (trace.value, trace.draws),
        (known.total.value, known.total.draws)
    );
    let layers_of_run: Vec<Estimate> = run.layers.iter().map(|l| l.trace).collect();
    assert_eq!(layers_of_run, known.blocks);
    assert_eq!(run.gradients, known.gradients);

    let sum = ExampleSum::new(p, x, Matrix::Hessian, &layers[..1]).expect("whole layers");
    let op = p.matrix(x, Matrix::Hessian).expect("a matrix");
    let go = &mut |_: &At<'_, f64>| ControlFlow::Continue(());
    let run = spectrum(&*op, &layers, sum.as_ref(), &OPTIONS, Saved::default(), go);
    assert_eq!(kind(run, "the blocks of the examples"), ErrorKind::Shape);
}

/// Where the draws of examples scatter, the first look at products is gone on with, and costs less.
#[test]
fn analyses_take_traces_by_products_where_these_scatter_less() {
    let all = misfit();
    let (p, x) = &all;
    let exact = trace(&matrix(&*p.matrix(x, Matrix::Hessian).expect("a matrix")));
    let run = analysed(&all, Saved::default(), usize::MAX).expect("an analysis");
    let found = run.trace.expect("a trace");
    assert!(
        found.met && found.value.contains(exact),
        "{found:?} {exact}"
    );
    assert!(found.draws > 0 && found.products > 0, "{found:?}");
    let options = ModelTraceOptions {
        target: OPTIONS.trace,
        max_draws: 4000,
        ..ModelTraceOptions::default()
    };
    let by_draws = model_trace(p, x, Matrix::Hessian, &[], &options).expect("a trace");
    let by_draws = by_draws.expect("examples stand alone");
    // Products cost less than draws.
    assert!(
        found.products + found.draws < by_draws.total.draws / 4,
        "{found:?} {by_draws:?}"
    );
}

/// Stopped anywhere and gone on with, a trace takes the same draws and products.
#[test]
fn traces_go_on_where_they_were_stopped() {
    for all in [mostly_fitting(), misfit()] {
        let expected = analysed(&all, Saved::default(), usize::MAX).expect("an analysis");
        let (mut saved, mut stops) = (Saved::default(), 0);
        let found = loop {
            // A part that cannot be divided goes through at some time.
            match analysed(&all, saved, 1 + stops / 2) {
                Ok(found) => break found,
                Err(now) => (saved, stops) = (*now, stops + 1),
            }
        };
        assert!(stops > 10, "{stops}");
        assert_eq!(found.trace, expected.trace);
        assert_eq!(found.layers, expected.layers);
        assert_eq!(found.products, expected.products);
        assert_eq!(found.gradients, expected.gradients);
    }
}

#[test]
fn there_is_no_trace_where_examples_depend_on_each_other() {
    let (p, x) = problem(images(), Loss::CROSS_ENTROPY, 5);
    let half = [Block {
        name: "half".to_owned(),
        range: 0..3,
    }];
    let options = ModelTraceOptions::default();
    let found = model_trace(&p, &x, Matrix::Fisher, &half, &options);
    assert_eq!(kind(found, "whole segments"), ErrorKind::Argument);
    let normalised = Network::new([Port::floats("x", [3])], |scope, x| {
        let h = dense(scope, "fc", x[0], 3, &Dense::default());
        vec![batch_norm(scope, "norm", h, BatchNorm::default())]
    });
    let (p, x) = problem(normalised, Loss::CROSS_ENTROPY, 6);
    let p = p.with_batch(3).with_mode(Mode::Train, 0);
    let found = model_trace(&p, &x, Matrix::Hessian, &blocks(p.layout()), &options);
    assert!(found.expect("an answer").is_none());
}
