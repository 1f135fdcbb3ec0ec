//! `quadric curvature`: what the Hessian of a network or a linear model, and matrices like it, look like.

mod analysis;
mod condition;
pub(super) mod document;
mod granularity;
mod linear;
mod saved;
mod subject;

use crate::args::{CurvatureArgs, CurvatureMatrix, Global, Precision};
use crate::bar::Bar;
use crate::console;
use analysis::Analysis;
use quadric::core::{Result, Scalar};
use quadric::data::Value as Number;
use quadric::report::{
    self, Checkpoint as Moment, Curvature, Evolution, curvature_text, evolution_text,
};
use saved::{Checkpoint, Found};
use serde_json::json;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

pub(crate) fn run(a: &CurvatureArgs, global: &Global, interrupt: &AtomicBool) -> Result<ExitCode> {
    let is_linear = linear::is_linear(a)?;
    let dtype = a.dtype.unwrap_or(match is_linear {
        true => Precision::F64,
        false => Precision::F32,
    });
    let matrices = match (&a.matrix[..], is_linear) {
        ([], true) => &[CurvatureMatrix::Hessian][..],
        ([], false) => &[CurvatureMatrix::Hessian, CurvatureMatrix::Ggn],
        (chosen, _) => chosen,
    };
    let all = match dtype {
        Precision::F32 => analyses::<f32>(a, matrices, global, interrupt)?,
        Precision::F64 => analyses::<f64>(a, matrices, global, interrupt)?,
    };
    show(a, global, &all)?;
    let converged = all.iter().all(|(_, c)| is_converged(c));
    Ok(ExitCode::from(if converged { 0 } else { 4 }))
}

/// Whether every eigenvalue that was asked for converged.
fn is_converged(c: &Curvature) -> bool {
    let matrices = [
        &c.hessian,
        &c.ggn,
        &c.fisher,
        &c.sampled_fisher,
        &c.empirical_fisher,
        &c.covariance,
    ];
    let pairs = |m: &report::Spectrum| m.top.iter().chain(&m.bottom).all(|e| e.converged);
    matrices.into_iter().flatten().all(pairs)
}

/// The analyses of all models, with the names of these.
fn analyses<T: Scalar + Number>(
    a: &CurvatureArgs,
    matrices: &[CurvatureMatrix],
    global: &Global,
    interrupt: &AtomicBool,
) -> Result<Vec<(String, Curvature)>> {
    let subjects = subject::subjects::<T>(a)?;
    let names: Vec<String> = subjects.iter().map(|s| s.name.clone()).collect();
    granularity::check(a, matrices, &names)?;
    let checkpoint = a.checkpoint.clone().map(|path| {
        let key = analysis::key(a);
        Checkpoint::new(path, a.checkpoint_every, key)
    });
    let mut checkpoint = checkpoint.transpose()?;
    let found = match &checkpoint {
        Some(checkpoint) => checkpoint.read::<T>()?,
        None => None,
    };
    let (mut finished, mut begun) = match found {
        Some(Found {
            finished,
            current,
            saved,
            vectors,
        }) => (finished, Some((current, saved, vectors))),
        None => (Vec::new(), None),
    };
    if begun.is_some() && !global.json && !global.quiet {
        console::note("going on from the checkpoint");
    }
    let bar = Bar::new(global);
    for subject in subjects.iter().skip(finished.len()) {
        let analysis = Analysis {
            args: a,
            subject,
            matrices,
            interrupt,
            bar: &bar,
            finished: &finished,
            models: subjects.len(),
        };
        let done = analysis.run(begun.take(), checkpoint.as_mut())?;
        finished.push(done);
    }
    if let Some(checkpoint) = checkpoint {
        checkpoint.remove();
    }
    Ok(names.into_iter().zip(finished).collect())
}

fn show(a: &CurvatureArgs, global: &Global, all: &[(String, Curvature)]) -> Result<()> {
    let terminal = std::io::stdout().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none();
    if let [(_, only)] = all {
        if let Some(path) = &a.output {
            report::write_curvature(path, only, a.force)?;
        }
        match global.json {
            true => console::print_json(&json!(only))?,
            false => console::print(&curvature_text(only, None, colour)?)?,
        }
    } else {
        let checkpoint = |(name, report): &(String, Curvature)| Moment {
            name: name.clone(),
            step: None,
            report: report.clone(),
        };
        let evolution = Evolution {
            title: "Curvature".to_owned(),
            subtitle: format!("{} models", all.len()),
            axis: "model".to_owned(),
            checkpoints: all.iter().map(checkpoint).collect(),
        };
        if let Some(path) = &a.output {
            report::write_evolution(path, &evolution, a.force)?;
        }
        match global.json {
            true => console::print_json(&json!({ "models": evolution.checkpoints }))?,
            false => console::print(&evolution_text(&evolution, None, colour)?)?,
        }
    }
    if let Some(path) = a.output.as_ref().filter(|_| !global.json && !global.quiet) {
        console::note(&format!("wrote {}", path.display()));
    }
    Ok(())
}

impl CurvatureMatrix {
    fn name(self) -> &'static str {
        match self {
            Self::Hessian => "Hessian",
            Self::Ggn => "Gauss-Newton",
            Self::Fisher => "Fisher",
            Self::SampledFisher => "sampled Fisher",
            Self::EmpiricalFisher => "empirical Fisher",
            Self::Covariance => "covariance",
        }
    }
}
