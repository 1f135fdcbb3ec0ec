//! Checkpoints on a file system that crashes, tears and refuses (C01, C03, C11).

use crate::checkpoint::{CheckpointPolicy, Identity, OnError, Resumed, Snapshot, Store};
use crate::files::{Fs, OpenFile};
use crate::memory::Memory;
use crate::{ErrorKind, Result};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Default)]
struct Content {
    data: Vec<u8>,
    synced: Vec<u8>,
}

/// What survives a crash.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Crash {
    /// The process dies, the machine goes on: everything that was written.
    Process,
    /// Power is lost: only what was synced.
    Power,
    /// Power is lost after the journal kept the names but not the data.
    NamesOnly,
}

#[derive(Clone, Default)]
struct Disk {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    operations: usize,
    /// The operation that does not happen any more, nor any after it.
    dies_at: Option<usize>,
    /// How much of the write that dies still arrives.
    torn: f64,
    /// The operation that is refused once.
    refuses_at: Option<(usize, io::ErrorKind)>,
    /// Bytes that can still be written.
    room: Option<(usize, io::ErrorKind)>,
}

impl Disk {
    fn tick(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.dies_at.is_some_and(|k| self.operations >= k) {
            return Err(io::Error::other("the process is dead"));
        }
        match self.refuses_at {
            Some((k, kind)) if k == self.operations => Err(kind.into()),
            _ => Ok(()),
        }
    }

    fn dies_now(&self) -> bool {
        self.dies_at == Some(self.operations)
    }

    fn restart(&mut self, crash: Crash) {
        if crash != Crash::Process {
            for file in &mut self.files {
                file.data = file.synced.clone();
            }
        }
        if crash == Crash::Power {
            self.names = self.durable.clone();
        }
        self.durable = self.names.clone();
        *self = Self {
            files: std::mem::take(&mut self.files),
            names: std::mem::take(&mut self.names),
            durable: std::mem::take(&mut self.durable),
            ..Self::default()
        };
    }
}

#[derive(Clone, Default)]
struct FaultFs(Arc<Mutex<Disk>>);

impl FaultFs {
    fn disk(&self) -> std::sync::MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }
    /// An independent copy.
    fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.disk().clone())))
    }
    fn temps(&self) -> usize {
        let disk = self.disk();
        let is_temp = |p: &&PathBuf| p.to_string_lossy().ends_with(".tmp");
        disk.names.keys().filter(is_temp).count()
    }
}

struct FaultFile {
    fs: FaultFs,
    id: usize,
}

impl Write for FaultFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.fs.disk();
        let alive = disk.tick();
        let mut n = bytes.len();
        if let Err(e) = alive {
            if disk.dies_now() {
                let torn = match disk.torn {
                    t if t < 0.0 => n.saturating_sub(1),
                    t if t <= 1.0 => (t * n as f64) as usize,
                    t => (t as usize).min(n),
                };
                disk.files[self.id].data.extend_from_slice(&bytes[..torn]);
            }
            return Err(e);
        }
        if let Some((room, kind)) = disk.room {
            n = n.min(room);
            if n == 0 {
                return Err(kind.into());
            }
            disk.room = Some((room - n, kind));
        }
        disk.files[self.id].data.extend_from_slice(&bytes[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl OpenFile for FaultFile {
    fn sync_all(&mut self) -> io::Result<()> {
        let mut disk = self.fs.disk();
        disk.tick()?;
        disk.files[self.id].synced = disk.files[self.id].data.clone();
        Ok(())
    }
}

impl Fs for FaultFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let mut disk = self.disk();
        disk.tick()?;
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = disk.files.len();
        disk.files.push(Content::default());
        disk.names.insert(path.to_owned(), id);
        let fs = self.clone();
        Ok(Box::new(FaultFile { fs, id }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.tick()?;
        let id = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.names.insert(to.to_owned(), id);
        Ok(())
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.tick()?;
        let id = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        if disk.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.names.insert(to.to_owned(), id);
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.tick()?;
        disk.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.tick()?;
        disk.durable = disk.names.clone();
        Ok(())
    }
    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        let disk = self.disk();
        let name = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().into_owned();
        Ok(disk.names.keys().map(name).collect())
    }
    fn is_abandoned(&self, _: &Path) -> bool {
        true
    }
    fn exists(&self, path: &Path) -> bool {
        self.disk().names.contains_key(path)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let disk = self.disk();
        let id = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(disk.files[id].data.clone())
    }
}

static NONE: BTreeMap<String, String> = BTreeMap::new();

fn identity() -> Identity<'static> {
    Identity {
        seed: 1,
        scalar: "f64",
        problem: "test",
        dim: 3,
        entries: &NONE,
        force: false,
    }
}

fn snapshot(step: u64) -> Snapshot {
    let mut memory = Memory::new(vec![step as f64; 3], 5);
    memory.iteration = step;
    let mut snapshot = Snapshot::new(&identity());
    snapshot.take(&mut memory, &mut ()).unwrap();
    snapshot
}

fn policy(keep: usize, on_error: OnError) -> CheckpointPolicy {
    CheckpointPolicy {
        keep,
        on_error,
        ..CheckpointPolicy::every_iterations("dir/run.qckpt", 1)
    }
}

fn write(store: &mut Store<'_>, step: u64) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    store.write(&snapshot(step), Duration::ZERO, &mut warnings)?;
    Ok(warnings)
}

/// The step of a checkpoint; `None` if there is no file. A damaged file fails the test.
fn step_of(fs: &FaultFs, path: &str) -> Option<u64> {
    let mut file = Resumed::read(fs, Path::new(path), true, &identity()).unwrap()?;
    let mut memory = Memory::new(vec![0.0_f64; 3], 0);
    file.memory(&mut memory).unwrap();
    assert_eq!(memory.x, [memory.iteration as f64; 3]);
    Some(memory.iteration)
}

/// Runs one checkpoint cycle that dies at operation k, for every k, and looks at what is there afterwards.
fn crash_everywhere(keep: usize, before: u64) {
    let fs = FaultFs::default();
    let mut store = Store::new(&fs, policy(keep, OnError::Stop), Duration::ZERO).unwrap();
    for step in 1..=before {
        write(&mut store, step).unwrap();
    }
    let newest = (before > 0).then_some(before);
    for k in 1.. {
        let mut finished = false;
        for torn in [0.0, 0.5, 1.0, 1.5, -1.0] {
            for crash in [Crash::Process, Crash::Power, Crash::NamesOnly] {
                let fs = fs.fork();
                let start = fs.disk().operations;
                fs.disk().dies_at = Some(start + k);
                fs.disk().torn = torn;
                let mut store = store.on(&fs);
                let written = write(&mut store, before + 1);
                finished = fs.disk().operations < start + k;
                fs.disk().restart(crash);
                let found = step_of(&fs, "dir/run.qckpt");
                let case = format!("operation {k}, torn {torn}, {crash:?}, keep {keep}");
                assert!(
                    found == newest || found == Some(before + 1),
                    "{case}: {found:?}"
                );
                if written.is_ok() {
                    assert_eq!(found, Some(before + 1), "{case}: reported as written");
                }
                // The next sitting cleans up and goes on.
                let mut next =
                    Store::new(&fs, policy(keep, OnError::Stop), Duration::ZERO).unwrap();
                assert_eq!(fs.temps(), 0, "{case}");
                write(&mut next, before + 2).unwrap();
                assert_eq!(step_of(&fs, "dir/run.qckpt"), Some(before + 2), "{case}");
            }
        }
        if finished {
            break;
        }
    }
}

#[test]
fn t_c01_crash_after_every_operation() {
    for keep in [0, 1, 2] {
        for before in [0, 1, 4] {
            crash_everywhere(keep, before);
        }
    }
}

#[test]
fn t_c03_refused_writes_leave_the_previous_checkpoint() {
    use io::ErrorKind::{Other, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let fs = FaultFs::default();
    let mut store = Store::new(&fs, policy(1, OnError::Warn), Duration::ZERO).unwrap();
    write(&mut store, 1).unwrap();
    let size = fs.read(Path::new("dir/run.qckpt")).unwrap().len();
    for kind in [
        StorageFull,
        Other,
        QuotaExceeded,
        ReadOnlyFilesystem,
        PermissionDenied,
    ] {
        for b in 0..50 {
            let fs = fs.fork();
            fs.disk().room = Some((b * size / 50, kind));
            check_refused(&fs, &store, kind);
        }
        for operation in 1..=5 {
            let fs = fs.fork();
            let start = fs.disk().operations;
            fs.disk().refuses_at = Some((start + operation, kind));
            check_refused(&fs, &store, kind);
        }
    }
}

fn check_refused(fs: &FaultFs, store: &Store<'_>, kind: io::ErrorKind) {
    let warnings = write(&mut store.on(fs), 2).unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("dir/run"), "{warnings:?}");
    assert!(warnings[0].contains(&format!("{kind:?}")), "{warnings:?}");
    assert_eq!(step_of(fs, "dir/run.qckpt"), Some(1));
    assert_eq!(fs.temps(), 0, "a temporary file is left");
    let fs = fs.fork();
    fs.disk().room = Some((0, kind));
    let mut strict = Store::new(&fs, policy(0, OnError::Stop), Duration::ZERO).unwrap();
    let error = write(&mut strict, 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn t_c11_pruning_keeps_the_newest() {
    let fs = FaultFs::default();
    let mut store = Store::new(&fs, policy(2, OnError::Stop), Duration::ZERO).unwrap();
    for step in 1..=9 {
        write(&mut store, step).unwrap();
    }
    let names = fs.list(Path::new("dir")).unwrap();
    assert_eq!(
        names,
        [
            "run-000000000007.qckpt",
            "run-000000000008.qckpt",
            "run.qckpt"
        ]
    );
    assert_eq!(step_of(&fs, "dir/run.qckpt"), Some(9));
    assert_eq!(step_of(&fs, "dir/run-000000000007.qckpt"), Some(7));
}
