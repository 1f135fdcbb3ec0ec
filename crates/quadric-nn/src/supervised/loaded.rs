//! Batches of examples as they come from their source, checked.

use super::source::Rows;
use super::{Shared, Supervised};
use crate::Port;
use crate::run::clear;
use quadric_autodiff::{Array, Data};
use quadric_linalg::{Error, ErrorKind, Result, Scalar};
use std::sync::PoisonError;

/// A batch: an array for each input, then the targets.
pub(super) struct Loaded<T> {
    arrays: Vec<Array<T>>,
}

impl<T: Scalar> Loaded<T> {
    pub(super) fn data(&self) -> impl Iterator<Item = Data<'_, T>> {
        self.arrays.iter().map(Array::data)
    }

    pub(super) fn targets(&self) -> Data<'_, T> {
        self.arrays.last().expect("targets are the last").data()
    }
}

impl<T: Scalar> Shared<T> {
    /// Reads examples, and refuses what they must not be.
    pub(super) fn load(&self, rows: Rows<'_>) -> Result<Loaded<T>> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let room = rooms.pop();
        drop(rooms);
        let ports = || self.network.inputs().iter().chain([&self.target]);
        let mut loaded = room.unwrap_or_else(|| Loaded {
            arrays: ports().map(Port::room).collect(),
        });
        loaded.arrays.iter_mut().for_each(clear);
        self.source.read(rows, &mut loaded.arrays)?;
        if !self.checked {
            let mut pairs = ports().zip(&loaded.arrays);
            pairs.try_for_each(|(port, array)| port.check_rows(array, rows))?;
            self.loss
                .check(loaded.targets(), self.classes)
                .map_err(|e| e.context(rows))?;
            self.recognise(rows, &loaded)?;
        }
        Ok(loaded)
    }

    pub(super) fn unload(&self, loaded: Loaded<T>) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.push(loaded);
    }

    /// Refuses a batch that is not what it was when it was read before.
    fn recognise(&self, rows: Rows<'_>, loaded: &Loaded<T>) -> Result<()> {
        let Rows::Range(start, end) = rows else {
            return Ok(());
        };
        let print = loaded.data().fold(0, fingerprint);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *seen.entry((start, end)).or_insert(print);
        if before == print {
            return Ok(());
        }
        let last = end - 1;
        let text = format!(
            "examples {start} to {last} are not what they were when they were read before: sums over them would be of no fixed function"
        );
        Err(Error::new(ErrorKind::Data, text))
    }
}

/// A number that differs, with all but certainty, for different entries.
fn fingerprint<T: Scalar>(start: u64, data: Data<'_, T>) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |sum: u64, word: u64| (sum.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    match data {
        Data::Float(v) => v.iter().fold(start, |s, v| mix(s, v.to_f64().to_bits())),
        Data::Index(v) => v.iter().fold(start, |s, &v| mix(s, v as u64)),
    }
}

impl<T: Scalar> Supervised<T> {
    /// Calls `visit` with batches of so many examples: where they start among those of this problem, and what they are.
    pub(super) fn sweep(
        &self,
        batch: usize,
        mut visit: impl FnMut(usize, usize, &Loaded<T>) -> Result<()>,
    ) -> Result<()> {
        let count = self.count();
        for start in (0..count).step_by(batch) {
            let end = (start + batch).min(count);
            let rows = match &self.rows {
                Some(rows) => Rows::List(&rows[start..end]),
                None => Rows::Range(start, end),
            };
            let loaded = self.shared.load(rows)?;
            let done = visit(start, end - start, &loaded);
            self.shared.unload(loaded);
            done?;
        }
        Ok(())
    }
}
