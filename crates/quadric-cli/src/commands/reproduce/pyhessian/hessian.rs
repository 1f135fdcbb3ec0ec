//! What is measured of a network at a moment of its training.

use super::measured::{Measured, OUTER};
use crate::commands::curvature::document;
use quadric::core::{LinearOperator, Model, Result, Smooth, TwiceSmooth, vector};
use quadric::curvature::{Saved, Spectrum, SpectrumOptions, spectrum};
use quadric::linalg::estimate::DensityOptions;
use quadric::nn::Supervised;
use quadric::report::Curvature;
use std::ops::ControlFlow;
use std::time::Instant;

/// Products that measurements take about: both ends and the trace, and with outliers and density.
const PRODUCTS: [f64; 2] = [150.0, 450.0];

/// Called with the share of a measurement that is done.
type Tell<'a> = dyn Fn(f64) -> ControlFlow<()> + Sync + 'a;

/// Whether all is measured: at the end of the first training of a network.
pub(super) fn is_whole(at: &Measured) -> bool {
    at.last && at.seed == 0
}

/// Products that a measurement takes about.
pub(super) fn products(whole: bool) -> f64 {
    PRODUCTS[usize::from(whole)]
}

/// The Hessian of a problem at parameters; `accuracy` is that of the network there.
pub(super) fn measure(
    at: &Measured,
    problem: &Supervised<f32>,
    x: &[f32],
    accuracy: Option<f64>,
    tell: &Tell<'_>,
) -> Result<Curvature> {
    let started = Instant::now();
    let mut gradient = vec![0.0_f32; x.len()];
    let loss = problem.value_grad(x, &mut gradient)?;
    let op = problem.hessian(x)?;
    let found = ends(is_whole(at), &*op, tell)?;
    let work = problem.gradient_work()?;
    Ok(Curvature {
        model: at.variant.to_string(),
        parameters: x.len() as u64,
        examples: problem.examples() as u64,
        loss,
        accuracy,
        gradient_norm: vector::norm2(&gradient),
        hessian: Some(document::spectrum(&found, None)?),
        gradient_equivalents: found.products as f64 * op.cost().product / work + 1.0,
        seconds: started.elapsed().as_secs_f64(),
        ..Curvature::default()
    })
}

/// Both ends and the trace; of the whole also outliers and the density.
fn ends(whole: bool, op: &dyn LinearOperator<f32>, tell: &Tell<'_>) -> Result<Spectrum<f32>> {
    let density = DensityOptions {
        probes: 2,
        steps: 30,
        ..DensityOptions::default()
    };
    let lower = SpectrumOptions {
        top: 0,
        bottom: 1,
        trace: 0.0,
        density: None,
        dense: 0,
        ..SpectrumOptions::default()
    };
    let upper = SpectrumOptions {
        top: if whole { OUTER } else { 1 },
        bottom: usize::from(!whole),
        trace: 0.05,
        trace_products: 64,
        density: Some(density).filter(|_| whole),
        dense: 0,
        ..SpectrumOptions::default()
    };
    let run = |options, before| {
        let (mut phase, mut earlier, mut done) = (None, before, 0);
        spectrum(op, &[], None, options, Saved::default(), &mut |now| {
            if phase != Some(now.phase) {
                (phase, earlier) = (Some(now.phase), earlier + done);
            }
            done = now.products;
            tell(((earlier + done) as f64 / products(whole)).min(1.0))
        })
    };
    let mut found = run(&upper, 0)?;
    if whole {
        let rest = run(&lower, found.products)?;
        found.bottom = rest.bottom;
        found.products += rest.products;
    }
    Ok(found)
}
