//! The model file: weights with everything that a prediction needs, in the container that checkpoints use too.

use quadric::core::{Container, Error, Overwrite, Result, Tensor};
use quadric::models::{LinearModel, Loss};
use serde_json::Value;
use std::path::Path;

const KIND: &str = "model";

/// A fitted model with the names that tie it to its data.
pub(crate) struct ModelFile {
    pub(crate) model: LinearModel,
    /// One name per feature; empty when they are numbered.
    pub(crate) features: Vec<String>,
    /// Names of the classes, for text targets.
    pub(crate) classes: Option<Vec<String>>,
    /// Name of the target column, for tables.
    pub(crate) target: Option<String>,
    /// Name of the weight column, for tables.
    pub(crate) weight: Option<String>,
    /// How the model was fitted.
    pub(crate) fit: Value,
}

impl ModelFile {
    /// Number of features.
    pub(crate) fn dim(&self) -> usize {
        self.model.coef.first().map_or(0, Vec::len)
    }

    /// Writes the file, complete or not at all.
    ///
    /// # Errors
    /// It exists and may not be replaced; the operating system refuses.
    pub(crate) fn write(&self, path: &Path, overwrite: Overwrite) -> Result<()> {
        self.to_container()?.write(path, overwrite)
    }

    pub(crate) fn to_container(&self) -> Result<Container> {
        let mut c = Container::new(KIND);
        let (rows, columns) = (self.model.coef.len(), self.dim());
        let coef = self.model.coef.iter().flatten().copied().collect();
        c.tensors.insert(
            "coef".into(),
            Tensor::F64 {
                shape: vec![rows, columns],
                data: coef,
            },
        );
        c.tensors.insert(
            "intercept".into(),
            Tensor::f64(self.model.intercept.clone()),
        );
        if let Some(classes) = &self.model.classes {
            c.tensors
                .insert("classes".into(), Tensor::f64(classes.clone()));
        }
        c.metadata.insert("loss".into(), json(&self.model.loss)?);
        c.metadata.insert("features".into(), json(&self.features)?);
        c.metadata
            .insert("class_names".into(), json(&self.classes)?);
        c.metadata.insert("target".into(), json(&self.target)?);
        c.metadata.insert("weight".into(), json(&self.weight)?);
        c.metadata.insert("fit".into(), json(&self.fit)?);
        c.metadata
            .insert("quadric".into(), env!("CARGO_PKG_VERSION").into());
        Ok(c)
    }

    /// Reads a file that [`ModelFile::write`] wrote.
    ///
    /// # Errors
    /// It cannot be read, is another kind of file, or contradicts itself.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Self::from_container(
            &Container::read_kind(path, KIND)?,
            &path.display().to_string(),
        )
    }

    /// The model in a container; `file` is its name for messages.
    ///
    /// # Errors
    /// It contradicts itself.
    pub(crate) fn from_container(c: &Container, file: &str) -> Result<Self> {
        let floats = |name: &str| match c.tensor(name, file)? {
            Tensor::F64 { shape, data } => Ok((shape.clone(), data.clone())),
            other => Err(Error::malformed(
                file,
                format!("`{name}` is {}, not f64", other.dtype()),
            )),
        };
        let (shape, coef) = floats("coef")?;
        let (_, intercept) = floats("intercept")?;
        let classes = if c.tensors.contains_key("classes") {
            Some(floats("classes")?.1)
        } else {
            None
        };
        let loss: Loss = parse(c, "loss", file)?;
        let features: Vec<String> = parse(c, "features", file)?;
        let class_names: Option<Vec<String>> = parse(c, "class_names", file)?;
        let [rows, columns] = shape[..] else {
            return Err(Error::malformed(
                file,
                format!("`coef` has shape {shape:?}; expected two axes"),
            ));
        };
        if intercept.len() != rows || !(features.is_empty() || features.len() == columns) {
            return Err(Error::malformed(
                file,
                "weights, intercepts and names do not fit together",
            ));
        }
        let coef = if columns == 0 {
            vec![Vec::new(); rows]
        } else {
            coef.chunks(columns).map(<[f64]>::to_vec).collect()
        };
        Ok(Self {
            model: LinearModel {
                loss,
                coef,
                intercept,
                classes,
            },
            features,
            classes: class_names,
            target: parse(c, "target", file)?,
            weight: parse(c, "weight", file)?,
            fit: parse(c, "fit", file)?,
        })
    }

    /// Whether a file may be replaced without asking: it is one of ours.
    pub(crate) fn is_model(path: &Path) -> bool {
        Container::read_kind(path, KIND).is_ok()
    }
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(quadric::core::ErrorKind::Internal, e.to_string()))
}

fn parse<V: serde::de::DeserializeOwned>(c: &Container, name: &str, file: &str) -> Result<V> {
    serde_json::from_str(c.string(name, file)?)
        .map_err(|e| Error::malformed(file, format!("`{name}`: {e}")))
}
