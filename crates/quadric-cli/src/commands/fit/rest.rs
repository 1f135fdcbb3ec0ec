//! Fitting each class against the rest: one class after the other, or all in one batch by the method that is made for it.

use super::plan::Plan;
use super::select::TOGETHER;
use super::series::Series;
use super::{Fitted, Job, accuracy, widened};
use quadric::core::{Budget, Counts, Driver, Error, Outcome, Problem, Result, Scalar, Status};
use quadric::models::{GlmBatch, OneVsRest};
use quadric::opt::registry;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) fn solve<T: Scalar>(job: Job<'_>) -> Result<Fitted> {
    let (plan, data) = (job.plan, job.data);
    let weights = data.weights.as_deref();
    let mut rest = OneVsRest::<T>::new(data.x.cast(), &data.target, weights, &plan.options)?;
    if data.feature_names.len() == data.features() {
        rest = rest.with_feature_names(&data.feature_names)?;
    }
    let batch = rest.batch();
    let (method, outcome) = if plan.solve.method == TOGETHER {
        let method = registry::build(TOGETHER, &plan.solve.settings)?;
        (
            TOGETHER,
            job.run((TOGETHER, &*method), batch, batch.start())?,
        )
    } else {
        one_by_one(job, &rest)?
    };
    let model = rest.model(&outcome.x)?;
    Ok(Fitted {
        gradient_norm: gradient_norm(batch, &outcome.x)?,
        gradient_norm_at_start: gradient_norm(batch, &batch.start())?,
        accuracy: accuracy(&model, data)?,
        model,
        method,
        outcome: widened(outcome),
    })
}

/// The method, the unknowns and the bytes that it holds.
pub(super) fn needs(plan: &Plan, rest: &OneVsRest<f64>) -> Result<(&'static str, usize, usize)> {
    let batch = rest.batch();
    if plan.solve.method == TOGETHER {
        let method = registry::build::<f64>(TOGETHER, &plan.solve.settings)?;
        return Ok((TOGETHER, batch.dim(), method.memory(batch)));
    }
    let (name, method) = plan.solve.method::<f64>(&batch.models()[0])?;
    Ok((name, batch.dim(), method.memory(&batch.models()[0])))
}

fn gradient_norm<T: Scalar>(batch: &GlmBatch<T>, x: &[T]) -> Result<f64> {
    let mut square = 0.0;
    for (c, model) in batch.models().iter().enumerate() {
        square += model.gradient_norm(&x[batch.range(c)])?.powi(2);
    }
    Ok(square.sqrt())
}

/// Fits the classes one after the other; what is stopped keeps its best point.
fn one_by_one<T: Scalar>(job: Job<'_>, rest: &OneVsRest<T>) -> Result<(&'static str, Outcome<T>)> {
    if let Some(path) = &job.files.trace {
        let expected = "to be left out: a trace is of one run, and each class has its own";
        return Err(Error::argument("trace", path.display(), expected)
            .with_hint("--method batched-l-bfgs fits all classes in one run"));
    }
    let question = json!(["one-vs-rest", job.plan.options.l2]);
    let mut series = Series::new("class", job, &question)?;
    let batch = rest.batch();
    let (mut x, mut ends) = (Vec::with_capacity(batch.dim()), Vec::new());
    let mut used = "";
    let (mut counts, mut iterations, mut seconds) = (Counts::default(), 0, 0.0);
    for model in batch.models() {
        let (name, method) = job.plan.solve.method::<T>(model)?;
        let fitted = series.fit(&*method, model, model.start(), |_| {})?;
        used = name;
        x.extend_from_slice(&fitted.x);
        ends.push(fitted.status[0]);
        counts += fitted.counts;
        iterations += fitted.iterations;
        seconds += fitted.seconds;
    }
    series.save(true)?;
    let measured = measure(job, batch, x)?;
    let outcome = Outcome {
        counts,
        iterations,
        elapsed: Duration::from_secs_f64(seconds),
        ..measured
    };
    Ok((used, judge(outcome, &ends, rest.classes())))
}

/// Measures every class afresh: the driver, told to make no step.
fn measure<T: Scalar>(job: Job<'_>, batch: &GlmBatch<T>, x: Vec<T>) -> Result<Outcome<T>> {
    let mut driver = Driver {
        budget: Budget {
            iterations: Some(0),
            ..Budget::default()
        },
        tolerance: job.plan.solve.driver(job.interrupt).tolerance,
        ..Driver::default()
    };
    registry::build::<T>(TOGETHER, &Value::Null)?.run(&mut driver, x, batch)
}

/// A class that did not converge keeps the status of its own fit, and the whole is what the first of those is.
fn judge<T: Scalar>(mut o: Outcome<T>, ends: &[Status], classes: &[f64]) -> Outcome<T> {
    o.status = Status::Converged;
    for (c, (column, end)) in o.columns.iter_mut().zip(ends).enumerate() {
        if column.status == Status::Converged {
            continue;
        }
        if column.status != Status::Unbounded {
            // The fit's own claim of convergence did not stand the measurement.
            column.status = match end {
                Status::Converged => Status::ConvergedReduced,
                other => *other,
            };
        }
        if o.status == Status::Converged {
            o.status = column.status;
            let why = column.reason.clone();
            let why = why.unwrap_or_else(|| column.status.name().replace('_', " "));
            o.reason = Some(format!("class {}: {why}", classes[c]));
        }
    }
    o
}
