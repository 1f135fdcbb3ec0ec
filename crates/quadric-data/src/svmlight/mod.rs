//! LIBSVM / svmlight text: `label [qid:id] index:value ... [# comment]`, one sample per line.
//!
//! The text is cut at line ends into pieces of a fixed size. A first pass counts lines and colons, which bounds rows and
//! values, so that a second pass parses all pieces at once straight into their place in the final arrays. Pieces and
//! hence results, the first error included, do not depend on the number of threads.

mod line;
mod write;

pub(crate) use write::write;

use crate::dataset::{self, Dataset, numbered_names, prefers_dense};
use crate::options::{IndexBase, ReadOptions};
use crate::trouble::{self, Trouble};
use line::{Fault, Found, Rules, Slots};
use quadric_linalg::parallel::{for_each, map};
use quadric_linalg::{DataMatrix, Error, ErrorKind, Place, Result};

/// Bytes per piece; pieces end at line ends.
const PIECE: usize = 256 << 10;

/// Reads a data set from svmlight text. Lines and columns of errors count bytes from 1.
///
/// # Errors
/// The first line that breaks the format, an index out of range, values that are not finite, an empty file.
pub(crate) fn read(name: &str, text: &[u8], options: &ReadOptions) -> Result<Dataset> {
    let start = if text.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    };
    let file = Text {
        name,
        text,
        pieces: cut(text, start),
    };
    let mut rules = Rules {
        largest: dataset::LARGEST as u32 - 1,
        zero_is_index: options.index_base != IndexBase::One,
        query: line::starts_with_query(&text[start..]),
        merge: options.sum_duplicates,
    };
    let columns = check_columns(options)?;
    if let (Some(d), IndexBase::One) = (columns, options.index_base) {
        rules.largest = d;
    }
    let mut parsed = file.parse(&rules)?;
    let zero_based = match options.index_base {
        IndexBase::Auto => parsed.has_zero,
        IndexBase::Zero => true,
        IndexBase::One => false,
    };
    let used = parsed
        .largest
        .map_or(0, |i| u64::from(i) + u64::from(zero_based));
    if let Some(d) = columns
        && used > u64::from(d)
    {
        // The base is known only now: read again to name the first index that is too large.
        rules.largest = if zero_based { d.wrapping_sub(1) } else { d };
        if d == 0 && zero_based {
            rules.zero_is_index = false;
            rules.largest = 0;
        }
        file.parse(&rules)?;
    }
    if !zero_based {
        for_each(parsed.indices.chunks_mut(PIECE), |_, piece| {
            piece.iter_mut().for_each(|i| *i -= 1);
        });
    }
    let cols = columns.map_or(used as usize, |d| d as usize);
    assemble(name, parsed, cols)
}

/// The column count that was asked for, if it fits 32 bits.
fn check_columns(options: &ReadOptions) -> Result<Option<u32>> {
    let fits = |d: usize| u32::try_from(d).ok().filter(|_| d <= dataset::LARGEST);
    options
        .columns
        .map(|d| fits(d).ok_or_else(|| Error::argument("columns", d, "a number below 2^31")))
        .transpose()
}

/// A text and its pieces.
struct Text<'a> {
    name: &'a str,
    text: &'a [u8],
    pieces: Vec<std::ops::Range<usize>>,
}

/// Everything that a text holds, indices as they are in the file.
struct Parsed {
    labels: Vec<f64>,
    lengths: Vec<u32>,
    indices: Vec<u32>,
    values: Vec<f64>,
    query_ids: Option<Vec<u64>>,
    has_zero: bool,
    largest: Option<u32>,
}

impl Text<'_> {
    /// Parses all pieces at once into arrays that the counts of a first pass bound.
    fn parse(&self, rules: &Rules) -> Result<Parsed> {
        let bounds = map(&self.pieces, |_, piece| count(&self.text[piece.clone()]));
        let rows = bounds.iter().map(|b| b.0).sum();
        let entries = bounds.iter().map(|b| b.1).sum();
        let mut all = Parsed {
            labels: vec![0.0; rows],
            lengths: vec![0; rows],
            indices: vec![0; entries],
            values: vec![0.0; entries],
            query_ids: None,
            has_zero: false,
            largest: None,
        };
        let found = self.parse_pieces(rules, &bounds, &mut all);
        let mut query_ids = Vec::new();
        let (mut to_row, mut to_entry, mut from_row, mut from_entry) = (0, 0, 0, 0);
        for ((piece, bound), found) in self.pieces.iter().zip(&bounds).zip(found) {
            let found = found.map_err(|fault| self.error(piece.start, fault))?;
            all.labels
                .copy_within(from_row..from_row + found.rows, to_row);
            all.lengths
                .copy_within(from_row..from_row + found.rows, to_row);
            let entries = from_entry..from_entry + found.entries;
            if to_entry != from_entry {
                all.indices.copy_within(entries.clone(), to_entry);
                all.values.copy_within(entries, to_entry);
            }
            query_ids.extend(found.query_ids);
            all.has_zero |= found.has_zero;
            all.largest = all.largest.max(found.largest);
            (from_row, from_entry) = (from_row + bound.0, from_entry + bound.1);
            (to_row, to_entry) = (to_row + found.rows, to_entry + found.entries);
        }
        all.labels.truncate(to_row);
        all.lengths.truncate(to_row);
        all.indices.truncate(to_entry);
        all.values.truncate(to_entry);
        all.query_ids = rules.query.then_some(query_ids);
        if to_row == 0 {
            return Err(Error::data_at(
                self.place(self.text.len()),
                "the file holds no rows",
            ));
        }
        Ok(all)
    }

    fn parse_pieces(
        &self,
        rules: &Rules,
        bounds: &[(usize, usize)],
        all: &mut Parsed,
    ) -> Vec<std::result::Result<Found, Fault>> {
        let (mut labels, mut lengths) = (all.labels.as_mut_slice(), all.lengths.as_mut_slice());
        let (mut indices, mut values) = (all.indices.as_mut_slice(), all.values.as_mut_slice());
        let mut jobs = Vec::with_capacity(self.pieces.len());
        for (piece, (rows, entries)) in self.pieces.iter().zip(bounds) {
            let slots = Slots {
                labels: take(&mut labels, *rows),
                lengths: take(&mut lengths, *rows),
                indices: take(&mut indices, *entries),
                values: take(&mut values, *entries),
            };
            jobs.push((&self.text[piece.clone()], slots));
        }
        map(jobs, |_, (text, slots)| line::parse(text, rules, slots))
    }

    fn place(&self, offset: usize) -> Place {
        let before = &self.text[..offset.min(self.text.len())];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |i| i + 1);
        Place {
            file: self.name.to_owned(),
            line: line as u64,
            column: (before.len() - start + 1) as u64,
        }
    }

    fn error(&self, piece: usize, fault: Fault) -> Error {
        let error = Error::data_at(self.place(piece + fault.offset), fault.message);
        match fault.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// The first `n` items, which leave the rest.
fn take<'a, T>(rest: &mut &'a mut [T], n: usize) -> &'a mut [T] {
    let (head, tail) = std::mem::take(rest).split_at_mut(n);
    *rest = tail;
    head
}

/// Ranges that end at line ends, each but the last at least [`PIECE`] long.
fn cut(text: &[u8], start: usize) -> Vec<std::ops::Range<usize>> {
    let mut pieces = Vec::new();
    let mut at = start;
    while at < text.len() {
        let aim = (at + PIECE).min(text.len());
        let end = match text[aim..].iter().position(|b| *b == b'\n') {
            Some(i) => aim + i + 1,
            None => text.len(),
        };
        pieces.push(at..end);
        at = end;
    }
    pieces
}

/// Upper bounds of the rows and the values in a piece: its lines and its colons.
fn count(piece: &[u8]) -> (usize, usize) {
    let (mut lines, mut colons) = (0, 0);
    // Short blocks let the counters stay in bytes, which the compiler turns into wide instructions.
    for block in piece.chunks(255) {
        let (mut l, mut c) = (0u8, 0u8);
        for b in block {
            l += u8::from(*b == b'\n');
            c += u8::from(*b == b':');
        }
        lines += usize::from(l);
        colons += usize::from(c);
    }
    (
        lines + usize::from(piece.last().is_some_and(|b| *b != b'\n')),
        colons,
    )
}

/// The data set of what was parsed, indices counted from 0.
fn assemble(name: &str, parsed: Parsed, cols: usize) -> Result<Dataset> {
    let rows = parsed.labels.len();
    let entries = parsed.values.len();
    let Ok(total) = u32::try_from(entries) else {
        return Err(Error::new(
            ErrorKind::Resource,
            format!("`{name}` holds {entries} values; at most 2^32 - 1 fit one matrix"),
        ));
    };
    let problems = constant_columns(&parsed, cols);
    let x = if prefers_dense(rows, cols, entries) {
        let mut dense = vec![0.0; rows * cols];
        let mut at = 0;
        for (i, length) in parsed.lengths.iter().enumerate() {
            let end = at + *length as usize;
            for (j, v) in parsed.indices[at..end].iter().zip(&parsed.values[at..end]) {
                dense[i * cols + *j as usize] = *v;
            }
            at = end;
        }
        DataMatrix::dense(dense, rows, cols)?
    } else {
        let mut starts = Vec::with_capacity(rows + 1);
        let mut at = 0;
        starts.push(0);
        starts.extend(parsed.lengths.iter().map(|n| {
            at += n;
            at
        }));
        debug_assert_eq!(at, total);
        dataset::sparse(starts, parsed.indices, parsed.values, rows, cols)?
    };
    Ok(Dataset {
        name: name.to_owned(),
        x,
        axes: None,
        target: parsed.labels,
        classes: None,
        weights: None,
        feature_names: numbered_names(cols),
        query_ids: parsed.query_ids,
        problems,
        columns: Vec::new(),
    })
}

/// Features with the same value in every row, features without any value among them.
fn constant_columns(parsed: &Parsed, cols: usize) -> Vec<Trouble> {
    let rows = parsed.labels.len();
    if cols > Dataset::NAMED || rows < 2 {
        return Vec::new();
    }
    // For each column how often its first value occurred, and whether another one did.
    let mut seen = vec![(0.0, 0usize, true); cols];
    for (j, v) in parsed.indices.iter().zip(&parsed.values) {
        let (first, count, same) = &mut seen[*j as usize];
        if *count == 0 {
            *first = *v;
        }
        *same &= *first == *v;
        *count += 1;
    }
    let same = seen.iter().enumerate();
    trouble::constant(
        cols,
        same.filter(|(_, (_, count, same))| *count == 0 || *count == rows && *same)
            .map(|(j, (v, ..))| (j, *v)),
    )
}
