//! Where the results of a fit go.

use crate::args::FitArgs;
use crate::model_file::ModelFile;
use quadric::core::{CheckpointPolicy, Error, Overwrite, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where results go, checked before the work begins.
pub(super) struct Files {
    pub(super) model: PathBuf,
    pub(super) overwrite: Overwrite,
    /// What happens to other files that exist.
    pub(super) replace: Overwrite,
    pub(super) trace: Option<PathBuf>,
    pub(super) checkpoint: Option<CheckpointPolicy>,
    pub(super) resume: Option<PathBuf>,
}

impl Files {
    pub(super) fn new(a: &FitArgs, name: &str) -> Result<Self> {
        let stem = stem(name);
        let (model, overwrite) = match &a.output {
            Some(path) => (
                path.clone(),
                if a.force {
                    Overwrite::Replace
                } else {
                    Overwrite::Refuse
                },
            ),
            None => {
                let path = PathBuf::from(format!("{stem}.model.safetensors"));
                let ours = a.force || ModelFile::is_model(&path);
                (
                    path,
                    if ours {
                        Overwrite::Replace
                    } else {
                        Overwrite::Refuse
                    },
                )
            }
        };
        for path in a
            .trace
            .iter()
            .chain((overwrite == Overwrite::Refuse).then_some(&model))
        {
            if path.exists()
                && !a.force
                && a.resume.is_none()
                && path.metadata().is_ok_and(|m| m.is_file())
            {
                return Err(Error::argument(
                    "output",
                    path.display(),
                    "a file that does not exist yet",
                )
                .with_hint("--force replaces it"));
            }
        }
        let resume = a.resume.as_ref().map(|r| {
            r.clone()
                .unwrap_or_else(|| PathBuf::from(format!("{stem}.qckpt")))
        });
        let every = a.checkpoint_every.unwrap_or(10.0);
        let every = Duration::try_from_secs_f64(every).map_err(|_| {
            Error::argument(
                "checkpoint-every",
                every,
                "a number of seconds, not negative",
            )
        })?;
        let checkpoint = a.checkpoint.clone().or_else(|| resume.clone()).map(|path| {
            if every.is_zero() {
                CheckpointPolicy::every_iterations(path, 1)
            } else {
                CheckpointPolicy {
                    every: Some(every),
                    ..CheckpointPolicy::new(path)
                }
            }
        });
        let replace = if a.force {
            Overwrite::Replace
        } else {
            Overwrite::Refuse
        };
        Ok(Self {
            model,
            overwrite,
            replace,
            trace: a.trace.clone(),
            checkpoint,
            resume,
        })
    }
}

/// `runs/a9a.svm.gz` gives `a9a`.
fn stem(name: &str) -> String {
    let file = Path::new(name)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let stem = file.split('.').next().unwrap_or_default();
    if stem.is_empty() || stem == "-" {
        "model".into()
    } else {
        stem.into()
    }
}
