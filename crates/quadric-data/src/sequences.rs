//! Sequences of vectors, as recurrent networks and transformers read them.

use crate::dataset::{Dataset, numbered_names};
use crate::options::{Format, Missing, ReadOptions, Target};
use crate::trouble::{Trouble, TroubleKind, spell_lines};
use crate::ts::{self, Parsed};
use crate::{reader, source};
use quadric_linalg::{DataMatrix, Error, ErrorKind, Place, Result};
use std::ops::Range;
use std::path::Path;

/// Sequences of vectors of one size, and where there are any, targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequences {
    /// The file as the user named it.
    pub name: String,
    /// Steps of the longest sequence.
    pub steps: usize,
    /// Numbers at each step.
    pub dimensions: usize,
    /// Steps of each sequence (n).
    pub lengths: Vec<usize>,
    /// All numbers (n, steps, dimensions), row-major; zeros after the end of a shorter sequence.
    pub values: Vec<f64>,
    /// Targets (n); for labels the index into `classes`; empty if there are none.
    pub target: Vec<f64>,
    /// The labels that the file announces, in ascending order as text.
    pub classes: Option<Vec<String>>,
    /// What a user should know about the file.
    pub problems: Vec<Trouble>,
}

impl Sequences {
    /// Number of sequences n.
    pub fn count(&self) -> usize {
        self.lengths.len()
    }

    /// A data set of one row per sequence (n, steps * dimensions): the first step, then the second, and so on.
    ///
    /// # Errors
    /// None that is known: the sizes fit.
    pub fn into_dataset(self) -> Result<Dataset> {
        let width = self.steps * self.dimensions;
        Ok(Dataset {
            x: DataMatrix::dense(self.values, self.lengths.len(), width)?,
            name: self.name,
            axes: Some(vec![self.steps, self.dimensions]),
            target: self.target,
            classes: self.classes,
            weights: None,
            feature_names: numbered_names(width),
            query_ids: None,
            problems: self.problems,
            columns: Vec::new(),
        })
    }
}

/// Reads sequences from a `.ts` file of the UCR and UEA archives, plain or compressed.
///
/// Of the options, `missing` says what to do about values that are `?` (`Mean`: the mean of all values of the same
/// dimension), `pad` what to do about sequences of different lengths, and [`Target::None`] leaves targets out.
///
/// # Errors
/// `Io`; `Data` with line and column for what breaks the format or the announcements of the header, for missing values and
/// for different lengths unless the options say otherwise; `Resource` beyond the limits; `Argument` for options of
/// other formats.
pub fn read_sequences(path: &Path, options: &ReadOptions) -> Result<Sequences> {
    reader::check_columns(Format::Ts, options)?;
    let bytes = source::read(path, &options.limits)?;
    read(&path.display().to_string(), &bytes, options)
}

/// Reads sequences from the contents of a `.ts` file.
///
/// # Errors
/// As [`read_sequences`].
pub(crate) fn read(name: &str, text: &[u8], options: &ReadOptions) -> Result<Sequences> {
    let mut parsed = ts::parse(name, text)?;
    let mut problems = missing(name, &mut parsed, options.missing)?;
    if parsed.cases.is_empty() {
        return Err(Error::data(format!("`{name}` holds no rows")));
    }
    let lengths: Vec<usize> = parsed.cases.iter().map(|c| c.steps).collect();
    let steps = lengths.iter().copied().max().unwrap_or(0);
    let short = lengths.iter().position(|l| *l != lengths[0]);
    let mut fill = 0.0;
    if let Some(i) = short.filter(|_| !options.pad) {
        if options.missing != Missing::Report {
            return Err(unequal(name, &parsed, i));
        }
        fill = f64::NAN;
        let least = lengths.iter().min().unwrap_or(&0);
        let message = format!("sequences have {least} to {steps} steps");
        problems.push(Trouble::new(TroubleKind::Lengths, None, message));
    }
    let values = match short {
        None => in_place(&mut parsed, steps),
        Some(_) => {
            let cells = (steps as u64).saturating_mul((lengths.len() * parsed.dimensions) as u64);
            let allowed = source::allowed(text.len(), &options.limits);
            if cells.saturating_mul(8) > allowed {
                return Err(source::too_large(name, allowed));
            }
            padded(&parsed, steps, fill)
        }
    };
    let keep_target = options.target != Target::None;
    let target = match parsed.labelled && keep_target {
        true => parsed.cases.iter().map(|c| c.target).collect(),
        false => Vec::new(),
    };
    Ok(Sequences {
        name: name.to_owned(),
        steps,
        dimensions: parsed.dimensions,
        lengths,
        values,
        target,
        classes: parsed.classes.filter(|_| keep_target),
        problems,
    })
}

fn unequal(name: &str, parsed: &Parsed, i: usize) -> Error {
    let (first, other) = (&parsed.cases[0], &parsed.cases[i]);
    let place = Place {
        file: name.to_owned(),
        line: other.line,
        column: 0,
    };
    let text = format!(
        "the sequence has {} steps, that of line {} has {}",
        other.steps, first.line, first.steps
    );
    Error::data_at(place, text)
        .with_hint("end shorter sequences with zeros: `--pad`, `ReadOptions::pad`")
}

/// Does what the policy says about missing values, which are NaN.
fn missing(name: &str, parsed: &mut Parsed, policy: Missing) -> Result<Vec<Trouble>> {
    let d = parsed.dimensions;
    let gaps = |values: &[f64]| values.iter().filter(|v| v.is_nan()).count();
    let (mut count, mut lines) = (vec![0; d], vec![Vec::new(); d]);
    for case in &parsed.cases {
        for k in 0..d {
            let found = gaps(&parsed.values[case.dimension(k)]);
            count[k] += found;
            if found > 0 && lines[k].len() < Trouble::LINES {
                lines[k].push(case.line);
            }
        }
    }
    if count.iter().all(|c| *c == 0) {
        return Ok(Vec::new());
    }
    match policy {
        Missing::Error => {
            let (line, column) = parsed.first_missing;
            let place = Place {
                file: name.to_owned(),
                line,
                column,
            };
            Err(Error::data_at(place, "a value is missing")
                .with_hint("leave such sequences out or fill them: missing = drop, mean"))
        }
        Missing::Drop => {
            let values = &parsed.values;
            parsed.cases.retain(|c| gaps(&values[c.values(d)]) == 0);
            Ok(Vec::new())
        }
        Missing::Mean => fill_in(name, parsed, &count).map(|()| Vec::new()),
        Missing::Report => Ok((0..d)
            .filter(|k| count[*k] > 0)
            .map(|k| {
                let s = if count[k] == 1 { "" } else { "s" };
                let places = spell_lines(&lines[k], count[k]);
                let text = format!(
                    "dimension {}: {} missing value{s}, {places}",
                    k + 1,
                    count[k]
                );
                let dimension = (k + 1).to_string();
                Trouble::new(TroubleKind::Missing, Some(&dimension), text).at(&lines[k])
            })
            .collect()),
    }
}

/// Puts the mean of a dimension in where a value of it is missing.
fn fill_in(name: &str, parsed: &mut Parsed, count: &[usize]) -> Result<()> {
    for k in (0..parsed.dimensions).filter(|k| count[*k] > 0) {
        let ranges: Vec<Range<usize>> = parsed.cases.iter().map(|c| c.dimension(k)).collect();
        let present = ranges.iter().map(Range::len).sum::<usize>() - count[k];
        if present == 0 {
            let text = format!("`{name}`: every value of dimension {} is missing", k + 1);
            return Err(Error::new(ErrorKind::Data, text));
        }
        let scale = 1.0 / present as f64;
        let values = ranges.iter().flat_map(|r| &parsed.values[r.clone()]);
        let mean: f64 = values.filter(|v| !v.is_nan()).map(|v| v * scale).sum();
        for range in ranges {
            for v in parsed.values[range].iter_mut().filter(|v| v.is_nan()) {
                *v = mean;
            }
        }
    }
    Ok(())
}

/// The numbers (n, steps, dimensions) of sequences of one length, in the memory of the parsed ones.
fn in_place(parsed: &mut Parsed, steps: usize) -> Vec<f64> {
    let (d, size) = (parsed.dimensions, steps * parsed.dimensions);
    let mut values = std::mem::take(&mut parsed.values);
    let mut own = vec![0.0; size];
    for (i, case) in parsed.cases.iter().enumerate() {
        own.copy_from_slice(&values[case.values(d)]);
        steps_first(&own, steps, &mut values[i * size..(i + 1) * size]);
    }
    values.truncate(parsed.cases.len() * size);
    values
}

/// The numbers (n, steps, dimensions), with `fill` after the end of shorter sequences.
fn padded(parsed: &Parsed, steps: usize, fill: f64) -> Vec<f64> {
    let (d, size) = (parsed.dimensions, steps * parsed.dimensions);
    let mut values = vec![fill; parsed.cases.len() * size];
    for (case, out) in parsed.cases.iter().zip(values.chunks_mut(size)) {
        steps_first(
            &parsed.values[case.values(d)],
            case.steps,
            &mut out[..case.steps * d],
        );
    }
    values
}

/// From dimension after dimension to step after step.
fn steps_first(own: &[f64], steps: usize, out: &mut [f64]) {
    let d = own.len() / steps;
    for (k, dimension) in own.chunks(steps).enumerate() {
        for (out, v) in out[k..].iter_mut().step_by(d).zip(dimension) {
            *out = *v;
        }
    }
}
