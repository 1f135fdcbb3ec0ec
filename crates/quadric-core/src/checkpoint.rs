//! Checkpoints: the method's memory and the driver's own, saved in one file, so that a resumed run continues with the very
//! bits of an uninterrupted one.

use crate::files::{Fs, directory, is_missing, remove_stale};
use crate::lock::RunLock;
use crate::memory::Memory;
use crate::{Container, Error, Result, Scalar, SliceMut, State, Tensor, Visitor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What to do when a checkpoint cannot be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Go on and say so in [`Outcome::warnings`](crate::Outcome::warnings); the previous checkpoint stays.
    #[default]
    Warn,
    /// End the run with [`Status::Failed`](crate::Status::Failed).
    Stop,
}

/// Where and when a run saves itself. The end of a run, whatever its reason, is always saved.
#[derive(Clone, Debug)]
pub struct CheckpointPolicy {
    /// The file, replaced in one step each time. `<path>.lock` keeps a second run away.
    pub path: PathBuf,
    /// Save after every so many steps.
    pub every_iterations: Option<u64>,
    /// Save when so much time has passed since the last time. Never changes a number of the run.
    pub every: Option<Duration>,
    /// How many older checkpoints stay beside the newest, as `<stem>-<step>.<extension>`.
    pub keep: usize,
    /// What to do when one cannot be written.
    pub on_error: OnError,
}

impl CheckpointPolicy {
    /// Saves to `path` once a minute.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            every_iterations: None,
            every: Some(Duration::from_secs(60)),
            keep: 0,
            on_error: OnError::Warn,
        }
    }

    /// Saves to `path` after every `steps` steps.
    pub fn every_iterations(path: impl Into<PathBuf>, steps: u64) -> Self {
        Self {
            every_iterations: Some(steps),
            every: None,
            ..Self::new(path)
        }
    }
}

/// What a run is, for refusing the checkpoint of another one.
pub(crate) struct Identity<'a> {
    pub(crate) seed: u64,
    pub(crate) scalar: &'static str,
    pub(crate) problem: &'a str,
    pub(crate) dim: usize,
    /// The user's own entries: hashes of configuration and data, the name of the method.
    pub(crate) entries: &'a BTreeMap<String, String>,
    /// Differences in `entries` are accepted.
    pub(crate) force: bool,
}

const ENTRY: &str = "identity.";
const DRIVER: &str = "driver";
const STATE: &str = "state";

impl Identity<'_> {
    fn describe(&self, metadata: &mut BTreeMap<String, String>) {
        metadata.insert("quadric.version".into(), env!("CARGO_PKG_VERSION").into());
        metadata.insert("seed".into(), self.seed.to_string());
        metadata.insert("scalar".into(), self.scalar.into());
        metadata.insert("problem".into(), self.problem.into());
        metadata.insert("dim".into(), self.dim.to_string());
        for (key, value) in self.entries {
            metadata.insert(format!("{ENTRY}{key}"), value.clone());
        }
    }

    /// Lists everything in which the checkpoint belongs to another run.
    fn check(&self, container: &Container, file: &str) -> Result<()> {
        let mut now = BTreeMap::new();
        self.describe(&mut now);
        let mut differences = Vec::new();
        let binding = ["seed", "scalar", "problem", "dim"];
        let entries = now.keys().chain(container.metadata.keys());
        let mut keys: Vec<&str> = entries
            .map(String::as_str)
            .filter(|k| binding.contains(k) || (!self.force && k.starts_with(ENTRY)))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let (old, new) = (container.metadata.get(key), now.get(key));
            if old != new {
                let quote = |v: Option<&String>| v.map_or("nothing".into(), |v| format!("`{v}`"));
                differences.push(format!(
                    "{} is {} in the checkpoint and {} now",
                    key.strip_prefix(ENTRY).unwrap_or(key),
                    quote(old),
                    quote(new)
                ));
            }
        }
        if differences.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the checkpoint belongs to another run: {}",
            differences.join("; ")
        );
        let place = crate::Place {
            file: file.to_owned(),
            line: 0,
            column: 0,
        };
        Err(Error::data_at(place, message))
    }
}

/// Writes a state into tensors, reusing those that are there.
struct Saver<'a> {
    tensors: &'a mut BTreeMap<String, Tensor>,
    /// A length not yet known to be that of the numbers under the same path.
    pending: Option<(String, usize)>,
}

/// The name under which a length is kept that no tensor implies.
fn length_of(path: &str) -> String {
    format!("{path}#len")
}

impl Saver<'_> {
    fn settle(&mut self, next: Option<(&str, usize)>) {
        if let Some((path, n)) = self.pending.take()
            && next != Some((path.as_str(), n))
        {
            self.tensors
                .insert(length_of(&path), Tensor::u64(vec![n as u64]));
        }
    }

    fn put<V: Copy>(
        &mut self,
        path: &str,
        values: &[V],
        place: impl Fn(&mut Tensor) -> Option<&mut Vec<V>>,
        make: impl Fn(Vec<V>) -> Tensor,
    ) {
        self.settle(Some((path, values.len())));
        match self.tensors.get_mut(path).and_then(place) {
            Some(old) if old.len() == values.len() => old.copy_from_slice(values),
            _ => {
                self.tensors.insert(path.to_owned(), make(values.to_vec()));
            }
        }
    }
}

impl Visitor for Saver<'_> {
    fn len(&mut self, path: &str, n: &mut usize) -> Result<()> {
        self.settle(None);
        self.pending = Some((path.to_owned(), *n));
        Ok(())
    }

    fn floats(&mut self, path: &str, v: SliceMut<'_>) -> Result<()> {
        match v {
            SliceMut::F32(v) => self.put(path, v, as_f32, Tensor::f32),
            SliceMut::F64(v) => self.put(path, v, as_f64, Tensor::f64),
        }
        Ok(())
    }

    fn ints(&mut self, path: &str, v: &mut [u64]) -> Result<()> {
        self.put(path, v, as_u64, Tensor::u64);
        Ok(())
    }
}

fn as_f32(t: &mut Tensor) -> Option<&mut Vec<f32>> {
    match t {
        Tensor::F32 { data, .. } => Some(data),
        _ => None,
    }
}

fn as_f64(t: &mut Tensor) -> Option<&mut Vec<f64>> {
    match t {
        Tensor::F64 { data, .. } => Some(data),
        _ => None,
    }
}

fn as_u64(t: &mut Tensor) -> Option<&mut Vec<u64>> {
    match t {
        Tensor::U64 { data, .. } => Some(data),
        _ => None,
    }
}

/// Reads a state out of tensors, each exactly once.
struct Loader<'a> {
    tensors: &'a mut BTreeMap<String, Tensor>,
    /// No state has more parts than the file has numbers.
    largest: usize,
    file: &'a str,
}

impl Loader<'_> {
    fn take<V>(
        &mut self,
        path: &str,
        out: &mut [V],
        data: impl Fn(&mut Tensor) -> Option<&mut Vec<V>>,
        dtype: &str,
    ) -> Result<()> {
        let mut tensor = self
            .tensors
            .remove(path)
            .ok_or_else(|| self.unlike(path, "is missing"))?;
        let (found, n) = (tensor.dtype(), tensor.len());
        match data(&mut tensor) {
            Some(v) if v.len() == out.len() => {
                for (o, v) in out.iter_mut().zip(v.drain(..)) {
                    *o = v;
                }
                Ok(())
            }
            _ => Err(self.unlike(
                path,
                &format!(
                    "holds {n} values of type {found}; expected {} of type {dtype}",
                    out.len()
                ),
            )),
        }
    }

    fn unlike(&self, path: &str, problem: &str) -> Error {
        Error::malformed(
            self.file,
            format!("`{path}` {problem}: the checkpoint is not one of this method and problem"),
        )
    }
}

impl Visitor for Loader<'_> {
    fn len(&mut self, path: &str, n: &mut usize) -> Result<()> {
        let stored = match self.tensors.remove(&length_of(path)) {
            Some(Tensor::U64 { data, .. }) if data.len() == 1 => usize::try_from(data[0])
                .ok()
                .filter(|n| *n <= self.largest)
                .ok_or_else(|| self.unlike(path, "has an impossible length"))?,
            Some(_) => return Err(self.unlike(path, "has no readable length")),
            None => self
                .tensors
                .get(path)
                .map(Tensor::len)
                .ok_or_else(|| self.unlike(path, "is missing"))?,
        };
        // What a fresh memory holds already has the length that the method counts on.
        if *n != 0 && stored != *n {
            return Err(self.unlike(path, &format!("holds {stored} values; expected {n}")));
        }
        *n = stored;
        Ok(())
    }

    fn floats(&mut self, path: &str, v: SliceMut<'_>) -> Result<()> {
        match v {
            SliceMut::F32(v) => self.take(path, v, as_f32, "F32"),
            SliceMut::F64(v) => self.take(path, v, as_f64, "F64"),
        }
    }

    fn ints(&mut self, path: &str, v: &mut [u64]) -> Result<()> {
        self.take(path, v, as_u64, "U64")
    }
}

/// Saves the numbers of a state under `path` into a container.
///
/// # Errors
/// Those of the state's own visit.
pub fn save_state(state: &mut dyn State, path: &str, into: &mut Container) -> Result<()> {
    let mut saver = Saver {
        tensors: &mut into.tensors,
        pending: None,
    };
    state.visit(path, &mut saver)?;
    saver.settle(None);
    Ok(())
}

/// Overwrites a state with the numbers under `path`, which are taken out of the container.
///
/// # Errors
/// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed): a number that is missing, left over, or of another type or length. The state is then unusable.
pub fn load_state(
    state: &mut dyn State,
    path: &str,
    from: &mut Container,
    file: &str,
) -> Result<()> {
    let largest = from.tensors.values().map(Tensor::len).sum();
    let mut loader = Loader {
        tensors: &mut from.tensors,
        largest,
        file,
    };
    state.visit(path, &mut loader)?;
    let below = format!("{path}/");
    match from.tensors.keys().find(|k| k.starts_with(&below)) {
        Some(left) => Err(Error::malformed(
            file,
            format!("`{left}` is not part of this method's memory: the checkpoint is another's"),
        )),
        None => Ok(()),
    }
}

/// The last completed step, always ready to be written.
pub(crate) struct Snapshot {
    container: Container,
    iteration: u64,
}

impl Snapshot {
    pub(crate) fn new(identity: &Identity<'_>) -> Self {
        let mut container = Container::new("checkpoint");
        identity.describe(&mut container.metadata);
        Self {
            container,
            iteration: 0,
        }
    }

    /// The time spent so far, which goes on after the last completed step.
    pub(crate) fn set_elapsed(&mut self, elapsed: Duration) {
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let tensor = Tensor::u64(vec![nanoseconds]);
        self.container
            .tensors
            .insert(format!("{DRIVER}/nanoseconds"), tensor);
    }

    /// Copies the memories in place.
    pub(crate) fn take<T: Scalar>(
        &mut self,
        memory: &mut Memory<T>,
        state: &mut dyn State,
    ) -> Result<()> {
        self.iteration = memory.iteration;
        save_state(memory, DRIVER, &mut self.container)?;
        save_state(state, STATE, &mut self.container)
    }
}

/// Where a run saves itself, and what it would save.
pub(crate) struct Saving {
    /// Keeps a second run away, and what is to be said about it.
    pub(crate) lock: (RunLock, Option<String>),
    pub(crate) store: Store<'static>,
    pub(crate) snapshot: Snapshot,
    /// Whether the snapshot holds a completed step of this sitting.
    pub(crate) has_step: bool,
}

/// A checkpoint read from a file.
pub(crate) struct Resumed {
    container: Container,
    file: String,
}

impl Resumed {
    /// `Ok(None)` for a missing file if that is `allowed`.
    pub(crate) fn read(
        fs: &dyn Fs,
        path: &Path,
        missing_allowed: bool,
        identity: &Identity<'_>,
    ) -> Result<Option<Self>> {
        let container = match Container::read_kind_from(fs, path, "checkpoint") {
            Ok(container) => container,
            Err(e) if missing_allowed && is_missing(&e) => return Ok(None),
            Err(e) => return Err(e),
        };
        let file = path.display().to_string();
        identity.check(&container, &file)?;
        Ok(Some(Self { container, file }))
    }

    pub(crate) fn memory<T: Scalar>(&mut self, memory: &mut Memory<T>) -> Result<()> {
        let dim = memory.x.len();
        load_state(memory, DRIVER, &mut self.container, &self.file)?;
        if memory.x.len() != dim || memory.best.len() != dim {
            return Err(Error::shape(
                &format!("the point in {}", self.file),
                memory.x.len(),
                dim,
            ));
        }
        match memory.is_sound() {
            true => Ok(()),
            false => Err(Error::malformed(
                &self.file,
                "no run leaves such a point or such counts behind",
            )),
        }
    }

    pub(crate) fn state(&mut self, state: &mut dyn State) -> Result<()> {
        load_state(state, STATE, &mut self.container, &self.file)
    }
}

/// Decides when to write, writes, and keeps older files.
pub(crate) struct Store<'a> {
    fs: &'a dyn Fs,
    policy: CheckpointPolicy,
    last_time: Duration,
    /// Step of the file at `policy.path`, once one of this run is there.
    on_disk: Option<u64>,
}

impl<'a> Store<'a> {
    pub(crate) fn new(fs: &'a dyn Fs, policy: CheckpointPolicy, now: Duration) -> Result<Self> {
        if policy.every_iterations == Some(0) {
            return Err(Error::argument("every_iterations", 0, "at least 1"));
        }
        remove_stale(fs, &policy.path);
        Ok(Self {
            fs,
            policy,
            last_time: now,
            on_disk: None,
        })
    }

    /// The same store on another file system.
    #[cfg(test)]
    pub(crate) fn on<'b>(&self, fs: &'b dyn Fs) -> Store<'b> {
        Store {
            fs,
            policy: self.policy.clone(),
            last_time: self.last_time,
            on_disk: self.on_disk,
        }
    }

    pub(crate) fn is_due(&self, iteration: u64, now: Duration) -> bool {
        let by_step = self.policy.every_iterations;
        let by_time = self.policy.every;
        by_step.is_some_and(|n| iteration.is_multiple_of(n) && iteration > 0)
            || by_time.is_some_and(|d| now.saturating_sub(self.last_time) >= d)
    }

    /// Writes the snapshot; a failure is an error or a warning, as the policy says.
    pub(crate) fn write(
        &mut self,
        snapshot: &Snapshot,
        now: Duration,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        self.last_time = now;
        let kept = self.keep_previous(snapshot.iteration);
        let written = kept.and_then(|()| snapshot.container.write_to(self.fs, &self.policy.path));
        match (written, self.policy.on_error) {
            (Ok(()), _) => {
                self.on_disk = Some(snapshot.iteration);
                self.prune();
                Ok(())
            }
            (Err(e), OnError::Warn) => {
                warnings.push(format!(
                    "no checkpoint at step {}: {e:?}",
                    snapshot.iteration
                ));
                Ok(())
            }
            (Err(e), OnError::Stop) => Err(e),
        }
    }

    /// Gives the newest file a second name before it is replaced; at no instant is there no complete checkpoint.
    fn keep_previous(&self, next: u64) -> Result<()> {
        match self.on_disk {
            Some(step) if self.policy.keep > 0 && step != next => {
                let old = self.policy.path.with_file_name(self.kept_name(step));
                match self.fs.link(&self.policy.path, &old) {
                    Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                        Err(Error::io("keep", old.display(), e))
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// What stands before and after the twelve digits of a kept file's name.
    fn around_step(&self) -> (String, String) {
        let part =
            |p: Option<&std::ffi::OsStr>| p.unwrap_or_default().to_string_lossy().into_owned();
        let stem = part(self.policy.path.file_stem());
        let extension = part(self.policy.path.extension());
        (format!("{stem}-"), format!(".{extension}"))
    }

    fn kept_name(&self, step: u64) -> String {
        let (before, after) = self.around_step();
        format!("{before}{step:012}{after}")
    }

    /// Removes the oldest kept files beyond `keep`; the newest checkpoint is never among them.
    fn prune(&self) {
        if self.policy.keep == 0 {
            return;
        }
        let dir = directory(&self.policy.path);
        let (before, after) = self.around_step();
        let is_kept = |name: &String| {
            name.strip_prefix(&before)
                .and_then(|rest| rest.strip_suffix(&after))
                .is_some_and(|step| step.len() == 12 && step.bytes().all(|b| b.is_ascii_digit()))
        };
        let names = self.fs.list(dir).unwrap_or_default();
        let kept: Vec<String> = names.into_iter().filter(is_kept).collect();
        for name in kept.iter().rev().skip(self.policy.keep) {
            // One that cannot be removed now is found again after the next checkpoint.
            let _ = self.fs.remove(&dir.join(name));
        }
    }
}
