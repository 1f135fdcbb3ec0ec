//! Traces: what happened in a run, one JSON object a line.
//!
//! The first line is the header, then one record a step, the last line is the outcome. Numbers are written so that reading
//! gives back the same bits; NaN and infinities are `null` with their name under `nonfinite`. A last line torn by a crash
//! is ignored by readers, and a resumed run continues the file without repeating a step.

use crate::files::{self, Overwrite};
use crate::{
    Callback, Certificate, Control, Counts, Error, Outcome, Place, Progress, Result, Scalar, Status,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The newest schema that this version reads and the one it writes.
pub const TRACE_SCHEMA: u64 = 1;

/// First line of a trace: everything needed to run it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceHeader {
    /// Version of the format.
    pub schema: u64,
    /// Version of the library that wrote it.
    pub quadric_version: String,
    /// The resolved configuration.
    pub config: Value,
    /// Root of all random streams.
    pub seed: u64,
    /// What was solved.
    pub problem: TraceProblem,
    /// Where.
    pub host: TraceHost,
}

/// What was solved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceProblem {
    /// The problem's name.
    pub name: String,
    /// Number of unknowns.
    pub dim: usize,
    /// Rows of the data, where there are data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// Columns of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<usize>,
    /// Stored entries of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonzeros: Option<usize>,
    /// Hash of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// The machine, as far as bits may depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceHost {
    /// Threads used; results do not depend on it.
    pub threads: usize,
    /// Level of the vector instructions; bits are promised per level.
    pub simd: String,
}

impl TraceHeader {
    /// A header of this version.
    pub fn new(config: Value, seed: u64, problem: TraceProblem, host: TraceHost) -> Self {
        Self {
            schema: TRACE_SCHEMA,
            quadric_version: env!("CARGO_PKG_VERSION").into(),
            config,
            seed,
            problem,
            host,
        }
    }
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Number of the step; 0 is the start.
    pub it: u64,
    /// Seconds since the start of the run.
    pub t: f64,
    /// `F(x)`.
    pub f: Option<f64>,
    /// Largest absolute entry of the gradient.
    pub opt: Option<f64>,
    /// The newest proven bound on `F(x) - F*`.
    pub gap: Option<f64>,
    /// Passes over the data.
    pub passes: f64,
    /// Evaluations.
    pub counts: Counts,
    /// Numbers that the method noted.
    pub notes: BTreeMap<String, f64>,
}

impl Record {
    /// What a callback sees, as a record.
    pub fn of(p: &Progress<'_>) -> Self {
        let gap = p.certificate.filter(|c| c.kind == "gap_bound");
        Self {
            it: p.iteration,
            t: p.elapsed.as_secs_f64(),
            f: p.value,
            opt: p.optimality,
            gap: gap.map(|c| c.value),
            passes: p.counts.passes,
            counts: p.counts,
            notes: p.notes.iter().map(|(k, v)| ((*k).into(), *v)).collect(),
        }
    }

    fn to_json(&self) -> Value {
        let mut out = Numbers::default();
        out.map.insert("it".into(), self.it.into());
        out.put("t", Some(self.t));
        out.put("f", self.f);
        out.put("opt", self.opt);
        out.put("gap", self.gap);
        out.put("passes", Some(self.passes));
        out.map.insert("counts".into(), json!(self.counts));
        let mut notes = Map::new();
        for (name, value) in &self.notes {
            out.put_into(&mut notes, name, &format!("notes.{name}"), Some(*value));
        }
        out.map.insert("notes".into(), notes.into());
        out.finish()
    }

    fn from_json(value: &Value) -> std::result::Result<Self, String> {
        let numbers = Read::new(value)?;
        let notes = value.get("notes").and_then(Value::as_object);
        let mut record = Self {
            it: numbers.integer("it")?,
            t: numbers.needed("t")?,
            f: numbers.get("f")?,
            opt: numbers.get("opt")?,
            gap: numbers.get("gap")?,
            passes: numbers.needed("passes")?,
            counts: numbers.counts()?,
            notes: BTreeMap::new(),
        };
        for (name, value) in notes.into_iter().flatten() {
            let number = numbers.number(value, &format!("notes.{name}"))?;
            let number = number.ok_or_else(|| format!("the note `{name}` is null"))?;
            record.notes.insert(name.clone(), number);
        }
        Ok(record)
    }
}

/// Last line of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceEnd {
    /// How the run ended.
    pub status: Status,
    /// Why, where the status alone does not say it.
    pub reason: Option<String>,
    /// `F(x)` at the returned point.
    pub objective: Option<f64>,
    /// Largest absolute entry of the gradient there.
    pub gradient_norm: Option<f64>,
    /// Evidence of optimality.
    pub certificate: Option<Certificate>,
    /// Steps taken.
    pub iterations: u64,
    /// Evaluations.
    pub counts: Counts,
    /// Seconds spent, of all sittings.
    pub seconds: f64,
}

impl TraceEnd {
    /// The last line for an outcome.
    pub fn of<T: Scalar>(outcome: &Outcome<T>) -> Self {
        Self {
            status: outcome.status,
            reason: outcome.reason.clone(),
            objective: outcome.value,
            gradient_norm: outcome.gradient_norm,
            certificate: outcome.certificate,
            iterations: outcome.iterations,
            counts: outcome.counts,
            seconds: outcome.elapsed.as_secs_f64(),
        }
    }

    fn to_json(&self) -> Value {
        let mut out = Numbers::default();
        out.map.insert("status".into(), self.status.name().into());
        out.map.insert("reason".into(), json!(self.reason));
        out.put("objective", self.objective);
        out.put("gradient_norm", self.gradient_norm);
        let kind = self.certificate.map(|c| c.kind);
        out.map.insert("certificate".into(), json!(kind));
        out.put("certificate_value", self.certificate.map(|c| c.value));
        out.put("certificate_scale", self.certificate.map(|c| c.scale));
        out.map.insert("iterations".into(), self.iterations.into());
        out.map.insert("counts".into(), json!(self.counts));
        out.put("seconds", Some(self.seconds));
        out.finish()
    }

    fn from_json(value: &Value) -> std::result::Result<Self, String> {
        let numbers = Read::new(value)?;
        let text = |key| value.get(key).and_then(Value::as_str);
        let name = text("status").unwrap_or_default();
        let status = Status::from_name(name).ok_or_else(|| format!("unknown status `{name}`"))?;
        let certificate = match text("certificate") {
            None => None,
            Some(kind) => Some(Certificate {
                kind: Certificate::kind_of(kind)
                    .ok_or_else(|| format!("unknown certificate `{kind}`"))?,
                value: numbers.needed("certificate_value")?,
                scale: numbers.needed("certificate_scale")?,
            }),
        };
        Ok(Self {
            status,
            reason: text("reason").map(str::to_owned),
            objective: numbers.get("objective")?,
            gradient_norm: numbers.get("gradient_norm")?,
            certificate,
            iterations: numbers.integer("iterations")?,
            counts: numbers.counts()?,
            seconds: numbers.needed("seconds")?,
        })
    }
}

/// A JSON object whose numbers may be NaN or infinite.
#[derive(Default)]
struct Numbers {
    map: Map<String, Value>,
    nonfinite: Map<String, Value>,
}

impl Numbers {
    fn put(&mut self, key: &str, value: Option<f64>) {
        let mut map = std::mem::take(&mut self.map);
        self.put_into(&mut map, key, key, value);
        self.map = map;
    }

    fn put_into(&mut self, map: &mut Map<String, Value>, key: &str, path: &str, v: Option<f64>) {
        if let Some(v) = v.filter(|v| !v.is_finite()) {
            self.nonfinite.insert(path.into(), v.to_string().into());
        }
        // `json!` writes null for None and for what JSON has no number for.
        map.insert(key.into(), json!(v));
    }

    fn finish(mut self) -> Value {
        if !self.nonfinite.is_empty() {
            self.map.insert("nonfinite".into(), self.nonfinite.into());
        }
        self.map.into()
    }
}

/// The way back.
struct Read<'a> {
    object: &'a Map<String, Value>,
    nonfinite: Option<&'a Map<String, Value>>,
}

impl<'a> Read<'a> {
    fn new(value: &'a Value) -> std::result::Result<Self, String> {
        let object = value.as_object().ok_or("not a JSON object")?;
        let nonfinite = object.get("nonfinite").and_then(Value::as_object);
        Ok(Self { object, nonfinite })
    }

    fn number(&self, value: &Value, path: &str) -> std::result::Result<Option<f64>, String> {
        match value {
            Value::Null => match self.nonfinite.and_then(|n| n.get(path)) {
                None => Ok(None),
                Some(name) => match name.as_str() {
                    Some("NaN") => Ok(Some(f64::NAN)),
                    Some("inf") => Ok(Some(f64::INFINITY)),
                    Some("-inf") => Ok(Some(f64::NEG_INFINITY)),
                    _ => Err(format!("`{path}` is neither finite, NaN nor infinite")),
                },
            },
            _ => value
                .as_f64()
                .map(Some)
                .ok_or_else(|| format!("`{path}` is not a number")),
        }
    }

    fn get(&self, key: &str) -> std::result::Result<Option<f64>, String> {
        self.number(self.object.get(key).unwrap_or(&Value::Null), key)
    }

    fn needed(&self, key: &str) -> std::result::Result<f64, String> {
        self.get(key)?.ok_or_else(|| format!("`{key}` is missing"))
    }

    fn integer(&self, key: &str) -> std::result::Result<u64, String> {
        let number = self.object.get(key).and_then(Value::as_u64);
        number.ok_or_else(|| format!("`{key}` is not a whole number"))
    }

    fn counts(&self) -> std::result::Result<Counts, String> {
        let counts = self.object.get("counts").cloned().unwrap_or_default();
        serde_json::from_value(counts).map_err(|e| format!("`counts`: {e}"))
    }
}

/// A whole trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// What was run.
    pub header: TraceHeader,
    /// The steps, in order.
    pub records: Vec<Record>,
    /// The outcome; `None` if the run has not ended or was killed.
    pub end: Option<TraceEnd>,
}

/// Reads a trace; `file` is its name for messages. A last line without its newline is what a crash leaves, and is ignored.
///
/// # Errors
/// A line that is not what the format says, a step number that does not grow, a newer schema: all with the line's number.
pub fn read_trace(reader: impl BufRead, file: &str) -> Result<Trace> {
    Ok(scan(reader, file)?.0)
}

/// The trace, and the length in bytes of its header and complete records.
fn scan(mut reader: impl BufRead, file: &str) -> Result<(Trace, u64)> {
    let mut line = Vec::new();
    let mut trace: Option<Trace> = None;
    let mut kept = 0;
    let mut position = 0;
    for number in 1.. {
        line.clear();
        let n = reader
            .read_until(b'\n', &mut line)
            .map_err(|e| Error::io("read", file, e))?;
        if line.last() != Some(&b'\n') {
            break;
        }
        position += n as u64;
        let place = |e: String| {
            let place = Place {
                file: file.to_owned(),
                line: number,
                column: 0,
            };
            Error::data_at(place, e)
        };
        let value = serde_json::from_slice(&line).map_err(|e| place(e.to_string()))?;
        match &mut trace {
            None => trace = Some(start(value).map_err(place)?),
            Some(trace) => add(trace, &value).map_err(place)?,
        }
        if trace.as_ref().is_some_and(|t| t.end.is_none()) {
            kept = position;
        }
    }
    let trace = trace.ok_or_else(|| Error::data(format!("{file}: a trace without a header")))?;
    Ok((trace, kept))
}

fn start(value: Value) -> std::result::Result<Trace, String> {
    let schema = value.get("schema").and_then(Value::as_u64);
    match schema {
        Some(1..=TRACE_SCHEMA) => {}
        Some(newer) if newer > TRACE_SCHEMA => {
            return Err(format!(
                "schema {newer} is newer than {TRACE_SCHEMA}, the newest that this version reads"
            ));
        }
        _ => return Err("the first line of a trace is its header, with a `schema`".into()),
    }
    Ok(Trace {
        header: serde_json::from_value(value).map_err(|e| e.to_string())?,
        records: Vec::new(),
        end: None,
    })
}

fn add(trace: &mut Trace, value: &Value) -> std::result::Result<(), String> {
    if trace.end.is_some() {
        return Err("a line after the outcome".into());
    }
    if value.get("status").is_some() {
        trace.end = Some(TraceEnd::from_json(value)?);
        return Ok(());
    }
    let record = Record::from_json(value)?;
    if let Some(last) = trace.records.last()
        && record.it <= last.it
    {
        return Err(format!("step {} follows step {}", record.it, last.it));
    }
    trace.records.push(record);
    Ok(())
}

/// Writes a trace while a run goes on: push [`TraceWriter::callback`] to the driver's callbacks, call
/// [`TraceWriter::end`] with the outcome.
///
/// Every line is flushed at once. A line that cannot be written ends the trace, not the run; `end` reports it.
pub struct TraceWriter<'w> {
    inner: Arc<Mutex<Inner<'w>>>,
}

struct Inner<'w> {
    sink: Box<dyn Write + Send + 'w>,
    /// The last step in the file.
    last: Option<u64>,
    failed: Option<io::Error>,
}

impl Inner<'_> {
    fn write(&mut self, value: &Value) {
        if self.failed.is_some() {
            return;
        }
        let line = format!("{value}\n");
        let written = self.sink.write_all(line.as_bytes());
        self.failed = written.and_then(|()| self.sink.flush()).err();
    }

    fn record(&mut self, progress: &Progress<'_>) {
        // A run resumed from an older checkpoint repeats steps that are in the file already, bit for bit.
        if self.last.is_none_or(|last| progress.iteration > last) {
            self.last = Some(progress.iteration);
            self.write(&Record::of(progress).to_json());
        }
    }
}

impl<'w> TraceWriter<'w> {
    /// A new trace: writes the header.
    pub fn new(sink: impl Write + Send + 'w, header: &TraceHeader) -> Self {
        let writer = Self::append(sink, None);
        let header = json!(header);
        writer.lock().write(&header);
        writer
    }

    /// Goes on with a trace whose last step is `last`.
    pub fn append(sink: impl Write + Send + 'w, last: Option<u64>) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                sink: Box::new(sink),
                last,
                failed: None,
            })),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner<'w>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The driver's callback.
    pub fn callback(&self) -> Callback<'w> {
        let inner = self.inner.clone();
        Box::new(move |progress| {
            let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.record(progress);
            Ok(Control::Continue)
        })
    }

    /// Writes the outcome. `name` is the sink's name for messages.
    ///
    /// # Errors
    /// The first line that could not be written, of the whole trace.
    pub fn end<T: Scalar>(&self, outcome: &Outcome<T>, name: &str) -> Result<()> {
        let mut inner = self.lock();
        inner.write(&TraceEnd::of(outcome).to_json());
        match inner.failed.take() {
            Some(e) => Err(Error::io("write the trace", name, e)),
            None => Ok(()),
        }
    }
}

impl TraceWriter<'static> {
    /// A new trace file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io): the file exists (unless it may be replaced) or cannot be written.
    pub fn create(path: &Path, overwrite: Overwrite, header: &TraceHeader) -> Result<Self> {
        let mut line = json!(header).to_string();
        line.push('\n');
        files::write_atomically(path, overwrite, |out| out.write_all(line.as_bytes()))?;
        let file = OpenOptions::new().append(true).open(path);
        let file = file.map_err(|e| Error::io("write", path.display(), e))?;
        Ok(Self::append(file, None))
    }

    /// Continues the trace of an earlier sitting, without its torn last line and its outcome; starts a new one if there is
    /// no file.
    ///
    /// # Errors
    /// A file that cannot be read or written, or whose seed or problem differ from the header's. Configurations may differ:
    /// a resumed run often has another budget, and everything else in them is for the checkpoint's identity to compare.
    pub fn resume(path: &Path, header: &TraceHeader) -> Result<Self> {
        let failed = |e| Error::io("continue the trace", path.display(), e);
        let bytes = match files::read_file(path) {
            Err(e) if files::is_missing(&e) => {
                return Self::create(path, Overwrite::Refuse, header);
            }
            read => read?,
        };
        let name = path.display().to_string();
        let (trace, kept) = scan(bytes.as_slice(), &name)?;
        refuse_another_run(&trace.header, header, &name)?;
        let file = cut(path, kept).map_err(failed)?;
        Ok(Self::append(file, trace.records.last().map(|r| r.it)))
    }
}

/// Cuts a file and opens it for what follows.
fn cut(path: &Path, length: u64) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

fn refuse_another_run(old: &TraceHeader, new: &TraceHeader, file: &str) -> Result<()> {
    let differences: Vec<&str> = [
        ("seed", old.seed != new.seed),
        ("problem", old.problem != new.problem),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect();
    if differences.is_empty() {
        return Ok(());
    }
    let list = differences.join(", ");
    Err(Error::data(format!(
        "{file}: the trace belongs to another run; these differ: {list}"
    )))
}
