//! Checkpoints: the trainings that are finished.

use super::measured::Found;
use crate::console;
use quadric::core::{Container, Error, ErrorKind, Overwrite, Result};
use serde_json::json;
use std::path::PathBuf;

const KIND: &str = "reproduction";

/// A file that is written after each training.
pub(super) struct Checkpoint {
    path: PathBuf,
    /// What the trainings depend on.
    key: String,
}

impl Checkpoint {
    pub(super) fn new(path: PathBuf, key: String) -> Self {
        Self { path, key }
    }

    pub(super) fn write(&self, found: &Found) -> Result<()> {
        let mut container = Container::new(KIND);
        container.metadata.insert("key".into(), self.key.clone());
        let found = json!(found).to_string();
        container.metadata.insert("found".into(), found);
        container.write(&self.path, Overwrite::Replace)
    }

    /// What the file holds; nothing if there is none.
    pub(super) fn read(&self) -> Result<Found> {
        if !self.path.exists() {
            return Ok(Found::default());
        }
        let file = console::printable(&self.path.display().to_string());
        let container = Container::read(&self.path)?;
        if container.kind() != Some(KIND) {
            let text = format!("{file} is no checkpoint of a reproduction");
            return Err(Error::new(ErrorKind::Data, text));
        }
        if container.string("key", &file)? != self.key {
            let text = format!("{file} belongs to a reproduction with other options");
            let hint = "resume with the same options, or delete the file";
            return Err(Error::new(ErrorKind::Data, text).with_hint(hint));
        }
        serde_json::from_str(container.string("found", &file)?)
            .map_err(|e| Error::malformed(&file, format!("the entry `found` cannot be read: {e}")))
    }

    /// Nothing is left to go on from.
    pub(super) fn remove(self) {
        // A file that stays is found to be finished when it is resumed.
        let _ = std::fs::remove_file(self.path);
    }
}
