//! `quadric fit`: a data file in, a certified model out.

mod files;
mod plan;
mod rest;
mod select;
mod series;
mod show;

use crate::args::{FitArgs, Global};
use crate::commands::problem;
use crate::model_file::ModelFile;
use crate::{console, progress};
use files::Files;
use plan::Plan;
use quadric::core::{
    AnyMethod, DataMatrix, Driver, Outcome, Problem, Result, Scalar, Status, TraceWriter,
};
use quadric::data::{ColumnKind, Dataset, Target};
use quadric::models::{Glm, LinearModel, OneVsRest};
use select::{Choice, Question};
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a fit works with.
#[derive(Clone, Copy)]
struct Job<'a> {
    plan: &'a Plan,
    data: &'a Dataset,
    files: &'a Files,
    global: &'a Global,
    interrupt: &'a Arc<AtomicBool>,
}

/// What is known after a run, whatever the arithmetic was.
struct Fitted {
    model: LinearModel,
    method: &'static str,
    outcome: Outcome<f64>,
    gradient_norm: f64,
    gradient_norm_at_start: f64,
    accuracy: Option<f64>,
}

pub(crate) fn run(a: &FitArgs, global: &Global, interrupt: &Arc<AtomicBool>) -> Result<ExitCode> {
    let config = plan::configuration(a)?;
    let data = problem::load_with_target(
        &a.data,
        &problem::read_options(&config.data, Target::Guess)?,
    )?;
    problem::warn(&data, global);
    let question = Question::of(config.model.l2.as_ref(), config.select.cv)?;
    let mut plan = plan::plan(config, &data)?;
    let files = Files::new(a, &data.name)?;
    if !global.json && !global.quiet {
        console::note(&format!(
            "{}; {} loss",
            problem::describe(&data),
            plan.loss()
        ));
    }
    if a.dry_run {
        return dry_run(&plan, &data, global);
    }
    let time_limit = plan.solve.budget.time;
    let choice = match &question {
        None => None,
        Some(q) => {
            let job = Job::new(&plan, &data, &files, global, interrupt);
            let choice = choose(q, job)?;
            plan.take(&choice);
            Some(choice)
        }
    };
    if !global.json && !global.quiet {
        console::note(&strength(plan.options.l2, data.rows()));
    }
    let names = Names::of(&data);
    let job = Job::new(&plan, &data, &files, global, interrupt);
    let fitted = match (plan.one_vs_rest, plan.solve.single) {
        (false, false) => solve::<f64>(job)?,
        (false, true) => solve::<f32>(job)?,
        (true, false) => rest::solve::<f64>(job)?,
        (true, true) => rest::solve::<f32>(job)?,
    };
    plan.solve.budget.time = time_limit;
    let config = plan.resolved(fitted.method);
    let saved = ModelFile {
        model: fitted.model.clone(),
        features: names.features,
        classes: names.classes,
        target: names.target,
        weight: names.weight,
        fit: json!({ "config": config, "status": fitted.outcome.status.name(), "objective": fitted.outcome.value }),
    };
    saved.write(&files.model, files.overwrite)?;
    show::show(&fitted, &saved, &config, choice.as_ref(), &files, global)?;
    Ok(ExitCode::from(match fitted.outcome.status {
        Status::Converged => 0,
        Status::Interrupted => 130,
        _ => 4,
    }))
}

/// Judges the penalty on rows held out, and prints what they said.
fn choose(question: &Question, job: Job<'_>) -> Result<Choice> {
    let choice = if job.plan.solve.single {
        question.answer::<f32>(job)?
    } else {
        question.answer::<f64>(job)?
    };
    if !job.global.json {
        console::print(&choice.table())?;
        if !job.global.quiet {
            choice.warn();
        }
    }
    Ok(choice)
}

/// The penalty in our units and in those of scikit-learn.
fn strength(l2: f64, rows: usize) -> String {
    if l2 > 0.0 {
        let c = 1.0 / (rows as f64 * l2);
        format!("l2 = {l2:e}, C = {c:.4e} in scikit-learn")
    } else {
        "l2 = 0: no penalty".to_owned()
    }
}

fn solve<T: Scalar>(job: Job<'_>) -> Result<Fitted> {
    let Job { plan, data, .. } = job;
    let x: DataMatrix<T> = data.x.cast();
    let weights = data.weights.as_deref();
    // Methods that draw rows want them to weigh the same.
    let mut glm = match plan.solve.draws()? {
        true => Glm::<T>::new(x, &data.target, weights, &plan.options)?,
        false => Glm::merged(x, &data.target, weights, &plan.options)?,
    };
    if data.feature_names.len() == data.features() {
        glm = glm.with_feature_names(&data.feature_names)?;
    }
    let (name, method) = plan.solve.method::<T>(&glm)?;
    let start = glm.start();
    let gradient_norm_at_start = glm.gradient_norm(&start)?;
    let outcome = job.run((name, &*method), &glm, start)?;
    let model = glm.model(&outcome.x);
    let accuracy = accuracy(&model, data)?;
    Ok(Fitted {
        gradient_norm: glm.gradient_norm(&outcome.x)?,
        gradient_norm_at_start,
        accuracy,
        model,
        method: name,
        outcome: widened(outcome),
    })
}

impl<'a> Job<'a> {
    fn new(
        plan: &'a Plan,
        data: &'a Dataset,
        files: &'a Files,
        global: &'a Global,
        interrupt: &'a Arc<AtomicBool>,
    ) -> Self {
        Self {
            plan,
            data,
            files,
            global,
            interrupt,
        }
    }

    /// One run with everything that the command line asks for around it.
    fn run<T: Scalar>(
        &self,
        (name, method): (&'static str, &dyn AnyMethod<T>),
        problem: &dyn Problem<T>,
        start: Vec<T>,
    ) -> Result<Outcome<T>> {
        let (plan, data, files) = (self.plan, self.data, self.files);
        let identity = BTreeMap::from([
            ("data".to_owned(), data.fingerprint()),
            (
                "problem".to_owned(),
                json!([plan.loss(), plan.options.l2, plan.options.intercept]).to_string(),
            ),
            (
                "method".to_owned(),
                json!([plan.solve.method, plan.solve.settings]).to_string(),
            ),
        ]);
        let mut driver = Driver {
            checkpoint: files.checkpoint.clone(),
            resume: files.resume.clone(),
            resume_if_present: true,
            identity,
            ..plan.solve.driver(self.interrupt)
        };
        let trace = files
            .trace
            .as_ref()
            .map(|path| plan.trace(path, name, data, problem.dim(), files))
            .transpose()?;
        let trace_callback = trace.as_ref().map(TraceWriter::callback);
        driver.callbacks.extend(trace_callback);
        let shown = progress::callback(self.global, name, plan.solve.tolerance);
        driver.callbacks.extend(shown);
        let outcome = method.run(&mut driver, start, problem)?;
        drop(driver);
        if let (Some(trace), Some(path)) = (&trace, &files.trace) {
            trace.end(&outcome, &path.display().to_string())?;
        }
        Ok(outcome)
    }
}

/// The outcome in double precision.
fn widened<T: Scalar>(o: Outcome<T>) -> Outcome<f64> {
    Outcome {
        x: o.x.iter().map(|v| v.to_f64()).collect(),
        value: o.value,
        gradient_norm_at_start: o.gradient_norm_at_start,
        gradient_norm: o.gradient_norm,
        status: o.status,
        reason: o.reason,
        certificate: o.certificate,
        columns: o.columns,
        counts: o.counts,
        iterations: o.iterations,
        elapsed: o.elapsed,
        warnings: o.warnings,
        error: o.error,
    }
}

/// Share of the rows that the model classifies right.
fn accuracy(model: &LinearModel, data: &Dataset) -> Result<Option<f64>> {
    if model.classes.is_none() {
        return Ok(None);
    }
    let predicted = model.predict(&data.x)?.predictions;
    let hits = predicted
        .iter()
        .zip(&data.target)
        .filter(|(p, y)| p == y)
        .count();
    Ok(Some(hits as f64 / data.rows() as f64))
}

/// The names that a model keeps of its data.
struct Names {
    features: Vec<String>,
    classes: Option<Vec<String>>,
    target: Option<String>,
    weight: Option<String>,
}

impl Names {
    fn of(data: &Dataset) -> Self {
        let column = |kind| {
            data.columns
                .iter()
                .find(|c| c.kind == kind)
                .map(|c| c.name.clone())
        };
        Self {
            features: if data.columns.is_empty() {
                Vec::new()
            } else {
                data.feature_names.clone()
            },
            classes: data.classes.clone(),
            target: column(ColumnKind::Target),
            weight: column(ColumnKind::Weight),
        }
    }
}

fn dry_run(plan: &Plan, data: &Dataset, global: &Global) -> Result<ExitCode> {
    let (rows, columns) = (data.rows(), data.features());
    let bytes = data.x.stored() * size_of::<f64>();
    let (weights, options) = (data.weights.as_deref(), &plan.options);
    let (name, unknowns, memory) = if plan.one_vs_rest {
        let rest = OneVsRest::<f64>::new(data.x.clone(), &data.target, weights, options)?;
        rest::needs(plan, &rest)?
    } else {
        let glm = Glm::<f64>::new(data.x.clone(), &data.target, weights, options)?;
        let (name, method) = plan.solve.method::<f64>(&glm)?;
        (name, glm.dim(), method.memory(&glm))
    };
    let document = json!({
        "config": plan.resolved(name), "rows": rows, "columns": columns, "unknowns": unknowns,
        "data_bytes": bytes, "method_bytes": memory,
    });
    if global.json {
        console::print_json(&document)?;
    } else {
        console::print(&format!(
            "{name} with {} unknowns: {:.1} MB of data, {:.1} MB for the method\n{:#}",
            unknowns,
            bytes as f64 / 1e6,
            memory as f64 / 1e6,
            plan.resolved(name)
        ))?;
    }
    let refused = plan.solve.budget.memory.is_some_and(|limit| memory > limit);
    Ok(ExitCode::from(if refused { 6 } else { 0 }))
}
