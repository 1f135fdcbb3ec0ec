//! Checkpoints of long analyses: the matrices that are finished, and the one at hand where it is.

use crate::console;
use quadric::core::{
    Container, Error, ErrorKind, Overwrite, Result, Scalar, load_state, save_state,
};
use quadric::curvature::Saved;
use quadric::report::Curvature;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const KIND: &str = "curvature";

/// A file that is written every few seconds.
pub(super) struct Checkpoint {
    path: PathBuf,
    every: Duration,
    last: Instant,
    /// What the analysis depends on.
    key: String,
}

/// What a checkpoint holds.
pub(super) struct Found<T: Scalar> {
    /// Analyses of models before.
    pub(super) finished: Vec<Curvature>,
    /// The one at hand, with the matrices that are finished.
    pub(super) current: Curvature,
    /// The matrix at hand.
    pub(super) saved: Saved<T>,
    /// Eigenvectors of the Hessian, one after the other.
    pub(super) vectors: Vec<T>,
}

impl Checkpoint {
    /// A checkpoint of an analysis that depends on nothing but `key`.
    pub(super) fn new(path: PathBuf, every: f64, key: String) -> Result<Self> {
        if every.is_nan() || every < 0.0 {
            return Err(Error::argument("checkpoint-every", every, "at least 0"));
        }
        Ok(Self {
            path,
            every: Duration::from_secs_f64(every.min(1e9)),
            last: Instant::now(),
            key,
        })
    }

    /// Whether it is time.
    pub(super) fn is_due(&self) -> bool {
        self.last.elapsed() >= self.every
    }

    pub(super) fn write<T: Scalar>(&mut self, found: &mut Found<T>) -> Result<()> {
        let mut container = Container::new(KIND);
        container.metadata.insert("key".into(), self.key.clone());
        container
            .metadata
            .insert("finished".into(), json!(found.finished).to_string());
        container
            .metadata
            .insert("current".into(), json!(found.current).to_string());
        save_state(&mut found.saved, "analysis", &mut container)?;
        save_state(&mut found.vectors, "vectors", &mut container)?;
        container.write(&self.path, Overwrite::Replace)?;
        self.last = Instant::now();
        Ok(())
    }

    /// What the file holds, if there is one.
    pub(super) fn read<T: Scalar>(&self) -> Result<Option<Found<T>>> {
        if !self.path.exists() {
            return Ok(None);
        }
        let file = self.path.display().to_string();
        let mut container = Container::read(&self.path)?;
        if container.kind() != Some(KIND) {
            let text = format!(
                "{} is no checkpoint of an analysis",
                console::printable(&file)
            );
            return Err(Error::new(ErrorKind::Data, text));
        }
        if container.string("key", &file)? != self.key {
            let text = format!("{file} belongs to an analysis with other models, data or options");
            let hint = "resume with the same models, data and options, or delete the file";
            return Err(Error::new(ErrorKind::Data, text).with_hint(hint));
        }
        let parse = |text: &str, name: &str| {
            Error::malformed(&file, format!("the entry `{name}` cannot be read: {text}"))
        };
        let of = |name: &str| container.string(name, &file).map(str::to_owned);
        let finished = serde_json::from_str(&of("finished")?);
        let finished = finished.map_err(|e| parse(&e.to_string(), "finished"))?;
        let current = serde_json::from_str(&of("current")?);
        let current = current.map_err(|e| parse(&e.to_string(), "current"))?;
        let (mut saved, mut vectors) = (Saved::default(), Vec::new());
        load_state(&mut saved, "analysis", &mut container, &file)?;
        load_state(&mut vectors, "vectors", &mut container, &file)?;
        Ok(Some(Found {
            finished,
            current,
            saved,
            vectors,
        }))
    }

    /// Nothing is left to go on from.
    pub(super) fn remove(self) {
        // A file that stays is found to be finished when it is resumed.
        let _ = std::fs::remove_file(self.path);
    }
}
