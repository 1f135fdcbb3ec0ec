//! Linear models that are analysed: as `quadric fit` wrote them, or at zero.

use super::super::model::named::is_file;
use super::super::{fitted, problem};
use super::subject::{Kind, Subject, rows, stem};
use crate::args::{CurvatureArgs, L2, ModelArgs};
use crate::model_file::ModelFile;
use quadric::core::{DataMatrix, Error, ErrorKind, Result};
use quadric::data::{Dataset, Target, Value as Number};
use quadric::linalg::Scalar;
use quadric::models::{GlmOptions, Loss, RawGlm};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of a linear model without a file.
const NAME: &str = "glm";

/// Whether the models are linear ones.
///
/// # Errors
/// Some are, and others are not.
pub(super) fn is_linear(a: &CurvatureArgs) -> Result<bool> {
    let linear =
        |name: &String| name == NAME || !is_file(name) && ModelFile::is_model(Path::new(name));
    let count = a.models.iter().filter(|m| linear(m)).count();
    match count {
        0 => Ok(false),
        n if n == a.models.len() => Ok(true),
        _ => {
            let text = "networks and linear models take other data and are not compared";
            Err(Error::new(ErrorKind::Argument, text))
        }
    }
}

pub(super) fn subjects<T: Scalar + Number>(a: &CurvatureArgs) -> Result<Vec<Subject<T>>> {
    refuse_networks(a)?;
    let [data] = &a.data.data[..] else {
        let expected = "one file or embedded set: a linear model has one input";
        return Err(Error::argument("data", a.data.data.len(), expected));
    };
    let files: Vec<PathBuf> = match &a.models[..] {
        [only] if only == NAME => a.weights.clone(),
        _ if a.models.iter().any(|m| m == NAME) => {
            let expected = "alone: its models are the files of --weights";
            return Err(Error::argument("models", NAME, expected));
        }
        _ if !a.weights.is_empty() => {
            let expected = "to be left out: the model files have weights";
            return Err(Error::argument("weights", a.weights.len(), expected));
        }
        files => files.iter().map(PathBuf::from).collect(),
    };
    if files.is_empty() {
        return Ok(vec![at_zero(a, data)?]);
    }
    files.iter().map(|file| of_file(a, data, file)).collect()
}

/// Options that only networks have.
fn refuse_networks(a: &CurvatureArgs) -> Result<()> {
    let reading = &a.named.reading;
    let given = [
        ("sizes", !a.named.sizes.is_empty()),
        ("dim", !reading.dim.is_empty()),
        ("external-data", reading.external_data),
        ("torch", a.torch),
        ("divide", a.data.divide.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((name, _)) => {
            let expected = "to be left out: linear models do not have it";
            Err(Error::argument(name, "given", expected))
        }
    }
}

fn at_zero<T: Scalar + Number>(a: &CurvatureArgs, name: &str) -> Result<Subject<T>> {
    let options = problem::read_options(&a.data.read, Target::Guess)?;
    let data = problem::load_with_target(name, &options)?;
    let data = chosen(a, data)?;
    let model = ModelArgs {
        loss: a.loss.clone(),
        delta: a.delta,
        l2: a.l2.map(L2::One),
        no_intercept: a.no_intercept,
    };
    if problem::is_one_vs_rest(&model) {
        return Err(one_vs_rest());
    }
    let options = problem::glm_options(&model, &data)?;
    let glm = glm(
        data.x.cast(),
        &data.target,
        data.weights.as_deref(),
        &options,
    )?;
    Ok(Subject {
        name: format!("{} model of {} at zero", options.loss, stem(&data.name)),
        parameters: glm.zero(),
        kind: Kind::Linear(glm),
    })
}

fn of_file<T: Scalar + Number>(a: &CurvatureArgs, name: &str, path: &Path) -> Result<Subject<T>> {
    let file = ModelFile::read(path)?;
    let model = &file.model;
    if model.loss == Loss::Logistic && model.classes.as_ref().is_some_and(|c| c.len() > 2) {
        return Err(one_vs_rest());
    }
    let mut data = fitted::read(&file, name, &a.data.read)?;
    if data.target.is_empty() {
        let target = file.target.clone().map_or(Target::Guess, Target::Column);
        let options = problem::read_options(&a.data.read, target)?;
        data = problem::load_with_target(name, &options)?;
    }
    let mut data = chosen(a, data)?;
    let target = data.target.iter().enumerate();
    let target: Result<Vec<f64>> = match &model.classes {
        None => Ok(data.target.clone()),
        Some(_) => target.map(|(i, &y)| class(&file, &data, i, y)).collect(),
    };
    let target = target?;
    let options = options(a, &file)?;
    let x = fitted::aligned(&file, &mut data)?;
    let glm = glm(x.cast(), &target, data.weights.as_deref(), &options)?;
    let parameters = glm
        .point(model)
        .map_err(|e| e.context(path.display().to_string()))?;
    Ok(Subject {
        name: stem(&path.display().to_string()),
        parameters,
        kind: Kind::Linear(glm),
    })
}

/// The objective of the fit, where the command line does not say otherwise.
fn options(a: &CurvatureArgs, file: &ModelFile) -> Result<GlmOptions> {
    let config = &file.fit["config"];
    if let Some(delta) = a.delta {
        let expected = "to be left out: the model file has the loss with its threshold";
        return Err(Error::argument("delta", delta, expected));
    }
    Ok(GlmOptions {
        loss: match &a.loss {
            Some(name) => name.parse()?,
            None => file.model.loss,
        },
        l2: a.l2.or(config["l2"].as_f64()).unwrap_or(0.0),
        intercept: !a.no_intercept && config["intercept"].as_bool() != Some(false),
    })
}

/// The rows that are taken.
fn chosen(a: &CurvatureArgs, data: Dataset) -> Result<Dataset> {
    let rows = rows(a, data.rows())?;
    match rows.len() == data.rows() {
        true => Ok(data),
        false => data.select_rows(&rows),
    }
}

/// The number of a label in the model.
fn class(file: &ModelFile, data: &Dataset, row: usize, y: f64) -> Result<f64> {
    fitted::known_class(file, data, y).ok_or_else(|| {
        let classes = data.classes.as_ref();
        let label = classes.and_then(|c| c.get(y as usize).cloned());
        let (label, row) = (label.unwrap_or_else(|| y.to_string()), row + 1);
        let name = &data.name;
        Error::data(format!(
            "{name}: the target of row {row} is {label}, which is no class of the model"
        ))
    })
}

fn glm<T: Scalar>(
    x: DataMatrix<T>,
    target: &[f64],
    weights: Option<&[f64]>,
    options: &GlmOptions,
) -> Result<Arc<RawGlm<T>>> {
    Ok(Arc::new(RawGlm::new(x, target, weights, options)?))
}

fn one_vs_rest() -> Error {
    let text = "one-vs-rest is a model for each class, and their matrices are not one";
    let hint = "analyse a softmax model";
    Error::new(ErrorKind::Capability, text).with_hint(hint)
}
