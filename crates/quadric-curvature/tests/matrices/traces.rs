//! Traces that are known without an estimate, against dense matrices.

use crate::{Problem, agree, images, kind, matrix, problem, trace};
use quadric_core::{Matrix, Model};
use quadric_curvature::{
    At, Block, ModelTrace, ModelTraceOptions, Saved, SpectrumOptions, blocks, model_trace, spectrum,
};
use quadric_linalg::ErrorKind;
use quadric_linalg::estimate::Estimate;
use quadric_nn::layers::{Activation, BatchNorm, Dense, batch_norm, dense};
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
            assert_eq!(found.total.products == 0, is_exact, "{of:?}");
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

#[test]
fn an_analysis_takes_a_trace_as_it_is() {
    let (p, x) = problem(mlp(&[30, 16, 3], Activation::Tanh), Loss::CROSS_ENTROPY, 60);
    let layers = blocks(p.layout());
    let options = SpectrumOptions {
        top: 1,
        bottom: 0,
        density: None,
        dense: 0,
        ..SpectrumOptions::default()
    };
    let go = &mut |_: &At<'_, f64>| ControlFlow::Continue(());
    let (op, known) = (
        p.matrix(&x, Matrix::Hessian).expect("a matrix"),
        found(&p, &x, Matrix::Hessian),
    );
    let run = spectrum(&*op, &layers, Some(&known), &options, Saved::default(), go);
    let run = run.expect("an analysis");
    assert_eq!(run.trace, Some(known.total));
    let layers_of_run: Vec<Estimate> = run.layers.iter().map(|l| l.trace).collect();
    assert_eq!(layers_of_run, known.blocks);
    let run = spectrum(
        &*op,
        &layers[..1],
        Some(&known),
        &options,
        Saved::default(),
        go,
    );
    assert_eq!(kind(run, "the traces of layers"), ErrorKind::Shape);
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
