//! CSV and TSV: names, numbers, text, missing values; every error with line and column.

use super::text::{Text, is_missing, trim};
use super::{Column, Table, build};
use crate::dataset::Dataset;
use crate::number::{self, BadNumber};
use crate::options::{Missing, ReadOptions};
use crate::trouble::{Trouble, TroubleKind, quote};
use ::csv::ByteRecord;
use quadric_linalg::{Error, ErrorKind, Result};
use std::collections::{HashMap, HashSet};

/// What the first pass learns about a column.
#[derive(Clone, Default)]
struct Content {
    numbers: usize,
    texts: usize,
    /// Record and line of the first text.
    first_text: (usize, u64),
    /// The first text, cut short.
    sample: String,
}

/// Reads a data set from delimited text.
///
/// # Errors
/// Rows of different lengths, quotes that never close, columns that mix numbers and text, missing values and numbers
/// that are not finite according to the options, no rows, a target or weight that cannot be found.
pub(crate) fn read(
    name: &str,
    bytes: &[u8],
    delimiter: Option<u8>,
    options: &ReadOptions,
) -> Result<Dataset> {
    let text = Text::new(name, bytes, delimiter);
    let mut problems = Vec::new();
    let head = Head::find(&text, options, &mut problems)?;
    let mut reading = Reading {
        forced: build::find_all(&head.columns, &options.categorical)?,
        contents: vec![Content::default(); head.columns.len()],
        columns: head.columns,
        values: Vec::new(),
        rows: 0,
        text: &text,
        options,
        skip: usize::from(head.named),
        last: 0,
        infinite: None,
    };
    reading.first_pass()?;
    reading.classify(&mut problems)?;
    reading.second_pass(&mut problems)?;
    let skip = reading.skip;
    let place = |row: usize, column: usize| {
        let mut at = 0;
        let mut number = 0;
        // Finding a place reads the file again; it happens once, for an error.
        let _ = text.records(|offset, _, _| {
            at = offset;
            number += 1;
            Ok(number <= row + skip)
        });
        text.field_place(at, column)
    };
    let table = Table {
        name,
        columns: reading.columns,
        values: reading.values,
        rows: reading.rows,
        named: head.named,
        place: &place,
        has_lines: true,
    };
    build::build(table, options, problems)
}

/// The names of the columns.
struct Head {
    columns: Vec<Column>,
    named: bool,
}

impl Head {
    fn find(text: &Text<'_>, options: &ReadOptions, problems: &mut Vec<Trouble>) -> Result<Self> {
        let mut first: Vec<(usize, ByteRecord)> = Vec::new();
        text.records(|offset, _, record| {
            first.push((offset, record.clone()));
            Ok(first.len() < 2)
        })?;
        let Some((start, record)) = first.first() else {
            return Err(Error::data_at(
                text.place(text.bytes.len()),
                "the file holds no rows",
            ));
        };
        if record.len() > options.limits.columns {
            return Err(Error::new(
                ErrorKind::Resource,
                format!(
                    "`{}` has {} columns, more than the limit of {}",
                    text.name,
                    record.len(),
                    options.limits.columns
                ),
            ));
        }
        let named = options
            .header
            .unwrap_or_else(|| is_header(record, first.get(1).map(|r| &r.1)));
        let mut columns = vec![Column::default(); record.len()];
        if named {
            for (j, (column, field)) in columns.iter_mut().zip(record).enumerate() {
                column.name = std::str::from_utf8(trim(field))
                    .map_err(|_| {
                        let place = text.field_place(*start, j);
                        Error::data_at(place, format!("the name {} is not UTF-8", quote(field)))
                    })?
                    .to_owned();
            }
            check_names(&mut columns, text.place(*start).line, problems);
        }
        Ok(Self { columns, named })
    }
}

/// True for what may stand in a column of numbers.
pub(super) fn looks_numeric(field: &[u8]) -> bool {
    let field = trim(field);
    is_missing(field) || number::parse(field) != Err(BadNumber::Syntax)
}

/// Text only: a header. Numbers only: none. Both: a header if some text stands above a number.
fn is_header(first: &ByteRecord, second: Option<&ByteRecord>) -> bool {
    if first.iter().all(looks_numeric) {
        return false;
    }
    let is_number = |f: &[u8]| number::parse(trim(f)).is_ok();
    let above_number = |(a, b): (&[u8], &[u8])| !looks_numeric(a) && is_number(b);
    !first.iter().any(is_number)
        || second.is_some_and(|second| first.iter().zip(second).any(above_number))
}

/// Numbers columns without a name and renames the later ones of equal names.
fn check_names(columns: &mut [Column], line: u64, problems: &mut Vec<Trouble>) {
    let mut taken: HashSet<String> = HashSet::new();
    let all: HashSet<String> = columns.iter().map(|c| c.name.clone()).collect();
    for (j, column) in columns.iter_mut().enumerate() {
        if column.name.is_empty() {
            column.name = (j + 1).to_string();
            let message = format!("column {} has no name in line {line}", j + 1);
            problems
                .push(Trouble::new(TroubleKind::NoName, Some(&column.name), message).at(&[line]));
        }
        if !taken.insert(column.name.clone()) {
            // The column's number makes the name unique in nearly every case at once.
            let mut name = format!("{}_{}", column.name, j + 1);
            while all.contains(&name) || !taken.insert(name.clone()) {
                name.push('_');
            }
            let message = format!(
                "two columns are called {} in line {line}; column {} is now called {}",
                quote(column.name.as_bytes()),
                j + 1,
                quote(name.as_bytes())
            );
            problems
                .push(Trouble::new(TroubleKind::DuplicateName, Some(&name), message).at(&[line]));
            column.name = name;
        }
    }
}

struct Reading<'a> {
    text: &'a Text<'a>,
    options: &'a ReadOptions,
    columns: Vec<Column>,
    contents: Vec<Content>,
    /// Columns that the caller says are categories.
    forced: Vec<bool>,
    values: Vec<f64>,
    rows: usize,
    /// Records before the first row.
    skip: usize,
    /// Start of the last record.
    last: usize,
    /// The first number that is not finite, when only reporting.
    infinite: Option<(usize, u64)>,
}

impl Reading<'_> {
    /// Numbers go to their place; text leaves a zero and is counted.
    fn first_pass(&mut self) -> Result<()> {
        let text = self.text;
        let mut number = 0;
        text.records(|offset, line, record| {
            number += 1;
            self.last = offset;
            if number > self.skip {
                self.record(offset, line, record)?;
            }
            Ok(true)
        })?;
        if let Some(place) = text.open_quote(self.last) {
            return Err(Error::data_at(place, "this quote is never closed"));
        }
        if self.rows == 0 {
            let place = text.place(text.bytes.len());
            return Err(Error::data_at(place, "the file holds no rows"));
        }
        Ok(())
    }

    fn record(&mut self, offset: usize, line: u64, record: &ByteRecord) -> Result<()> {
        if record.len() != self.columns.len() {
            let place = match self.text.open_quote(offset) {
                Some(place) => return Err(Error::data_at(place, "this quote is never closed")),
                None => self.text.place(offset),
            };
            return Err(Error::data_at(
                place,
                format!(
                    "this row has {} fields; the first has {}",
                    record.len(),
                    self.columns.len()
                ),
            ));
        }
        self.rows += 1;
        for (j, field) in record.iter().enumerate() {
            let value = self.field(offset, line, j, trim(field))?;
            self.values.push(value);
        }
        Ok(())
    }

    #[inline]
    fn field(&mut self, offset: usize, line: u64, j: usize, field: &[u8]) -> Result<f64> {
        if !self.forced[j] {
            match self.number(field) {
                Ok(v) => {
                    self.contents[j].numbers += 1;
                    return Ok(v);
                }
                Err(BadNumber::NonFinite) if !is_missing(field) => {
                    self.contents[j].numbers += 1;
                    return self.not_finite(offset, line, j, field);
                }
                Err(_) => {}
            }
        }
        if is_missing(field) {
            return self.missing(offset, line, j);
        }
        let content = &mut self.contents[j];
        if content.texts == 0 {
            content.first_text = (offset, line);
            content.sample = String::from_utf8_lossy(&field[..field.len().min(80)]).into_owned();
        }
        content.texts += 1;
        Ok(0.0)
    }

    #[inline]
    fn number(&self, field: &[u8]) -> std::result::Result<f64, BadNumber> {
        match (number::parse(field), self.options.thousands) {
            (Err(BadNumber::Syntax), Some(mark)) => match without_thousands(field, mark) {
                Some(plain) => number::parse(&plain),
                None => Err(BadNumber::Syntax),
            },
            (result, _) => result,
        }
    }

    #[cold]
    fn not_finite(&mut self, offset: usize, line: u64, j: usize, field: &[u8]) -> Result<f64> {
        if self.options.missing == Missing::Report {
            self.infinite.get_or_insert((j, line));
            return Ok(if field.starts_with(b"-") {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            });
        }
        let message = format!(
            "column `{}` holds {}, which is not a finite number",
            self.name(j),
            quote(field)
        );
        Err(Error::data_at(self.text.field_place(offset, j), message))
    }

    fn missing(&mut self, offset: usize, line: u64, j: usize) -> Result<f64> {
        if self.options.missing == Missing::Error {
            let message = format!("column `{}` has no value here", self.name(j));
            return Err(Error::data_at(self.text.field_place(offset, j), message)
                .with_hint("missing values need a policy: --missing drop or --missing mean"));
        }
        let column = &mut self.columns[j];
        column.missing += 1;
        if column.missing_lines.len() < Trouble::LINES {
            column.missing_lines.push(line);
        }
        Ok(f64::NAN)
    }

    fn name(&self, j: usize) -> String {
        match self.columns[j].name.as_str() {
            "" => (j + 1).to_string(),
            name => quote(name.as_bytes()).trim_matches('`').to_owned(),
        }
    }

    /// Decides which columns are text; refuses what mixes numbers and text or only looks like a number.
    fn classify(&mut self, problems: &mut Vec<Trouble>) -> Result<()> {
        if let Some((j, line)) = self.infinite {
            let name = self.name(j);
            let message =
                format!("column {name} holds a value that is not finite, first at line {line}");
            problems.push(Trouble::new(TroubleKind::NonFinite, Some(&name), message).at(&[line]));
        }
        for j in 0..self.columns.len() {
            let content = &self.contents[j];
            if content.texts == 0 {
                continue;
            }
            let disguised = !self.forced[j] && disguise(content.sample.as_bytes()).is_some();
            if content.numbers > 0 || disguised {
                let (offset, line) = content.first_text;
                let name = self.name(j);
                let sample = quote(content.sample.as_bytes());
                if self.options.missing != Missing::Report {
                    let message = format!("column `{name}` is not numeric: it holds {sample}");
                    return Err(Error::data_at(self.text.field_place(offset, j), message)
                        .with_hint(advice(content)));
                }
                let message =
                    format!("column {name} is not numeric, first at line {line}: {sample}");
                let trouble = Trouble::new(TroubleKind::NotNumeric, Some(&name), message);
                problems.push(trouble.at(&[line]));
            }
            self.columns[j].categories = Some(Vec::new());
        }
        Ok(())
    }

    /// Reads the text columns again and numbers their different values in ascending order.
    fn second_pass(&mut self, problems: &mut Vec<Trouble>) -> Result<()> {
        let texts: Vec<usize> = (0..self.columns.len())
            .filter(|j| self.columns[*j].categories.is_some())
            .collect();
        if texts.is_empty() {
            return Ok(());
        }
        let (text, width, limit) = (
            self.text,
            self.columns.len(),
            self.options.limits.categories,
        );
        let mut known: Vec<HashMap<Vec<u8>, u32>> = vec![HashMap::new(); texts.len()];
        let mut number = 0;
        text.records(|offset, _, record| {
            number += 1;
            if number <= self.skip {
                return Ok(true);
            }
            let row = number - self.skip - 1;
            for (known, &j) in known.iter_mut().zip(&texts) {
                let field = trim(&record[j]);
                if is_missing(field) || self.columns[j].dropped {
                    continue;
                }
                let code = match known.get(field) {
                    Some(code) => *code,
                    None if known.len() < limit => {
                        if std::str::from_utf8(field).is_err() {
                            let message = format!("the text {} is not UTF-8", quote(field));
                            return Err(Error::data_at(text.field_place(offset, j), message));
                        }
                        let code = known.len() as u32;
                        known.insert(field.to_vec(), code);
                        code
                    }
                    None => {
                        self.too_many(offset, j, problems)?;
                        continue;
                    }
                };
                self.values[row * width + j] = f64::from(code);
            }
            Ok(true)
        })?;
        for (known, j) in known.into_iter().zip(texts) {
            self.sort_categories(j, known);
        }
        Ok(())
    }

    /// A text column with more values than the limit: an error, or left out with a remark when only reporting.
    fn too_many(&mut self, offset: usize, j: usize, problems: &mut Vec<Trouble>) -> Result<()> {
        let limit = self.options.limits.categories;
        let name = self.name(j);
        if self.options.missing != Missing::Report {
            let message =
                format!("column `{name}` holds text with more than {limit} different values");
            return Err(Error::data_at(self.text.field_place(offset, j), message)
                .with_hint("leave the column out, or raise the limit of categories"));
        }
        self.columns[j].dropped = true;
        let message = format!(
            "column {name} holds text with more than {limit} different values and is left out"
        );
        problems.push(Trouble::new(
            TroubleKind::TooManyCategories,
            Some(&name),
            message,
        ));
        Ok(())
    }

    fn sort_categories(&mut self, j: usize, known: HashMap<Vec<u8>, u32>) {
        let mut names: Vec<(Vec<u8>, u32)> = known.into_iter().collect();
        names.sort_unstable();
        let mut rank = vec![0.0; names.len()];
        for (i, (_, code)) in names.iter().enumerate() {
            rank[*code as usize] = i as f64;
        }
        let width = self.columns.len();
        for v in self.values.iter_mut().skip(j).step_by(width) {
            if !v.is_nan() && !rank.is_empty() {
                *v = rank[*v as usize];
            }
        }
        let names = names.into_iter().map(|(name, _)| {
            String::from_utf8(name).expect("checked when the value was first seen")
        });
        self.columns[j].categories = Some(names.collect());
    }
}

/// `1,234.5` without its marks, if they stand where thousands are separated.
fn without_thousands(field: &[u8], mark: char) -> Option<Vec<u8>> {
    let mark = u8::try_from(mark).ok()?;
    let sign = usize::from(matches!(field.first(), Some(b'+' | b'-')));
    let end = field
        .iter()
        .position(|b| *b == b'.' && mark != b'.')
        .unwrap_or(field.len());
    let mut groups = field[sign..end].split(|b| *b == mark);
    let first = groups.next()?;
    let digits = |g: &[u8]| g.iter().all(u8::is_ascii_digit);
    let rest: Vec<&[u8]> = groups.collect();
    let proper = (1..=3).contains(&first.len())
        && digits(first)
        && !rest.is_empty()
        && rest.iter().all(|g| g.len() == 3 && digits(g));
    proper.then(|| field.iter().copied().filter(|b| *b != mark).collect())
}

/// What text that is meant as a number looks like.
fn disguise(text: &[u8]) -> Option<&'static str> {
    if without_thousands(text, ',').is_some() {
        return Some(
            "it looks like a number with thousands separators; name them with --thousands ,",
        );
    }
    let hex = text.strip_prefix(b"0x").or(text.strip_prefix(b"0X"));
    if hex.is_some_and(|h| !h.is_empty() && h.iter().all(u8::is_ascii_hexdigit)) {
        return Some("hexadecimal numbers are not supported");
    }
    let comma = text.iter().position(|b| *b == b',')?;
    let (a, b) = (&text[..comma], &text[comma + 1..]);
    let decimal = number::parse(a).is_ok() && !b.is_empty() && b.iter().all(u8::is_ascii_digit);
    decimal.then_some("it looks like a number with a decimal comma; write decimal points")
}

fn advice(content: &Content) -> &'static str {
    disguise(content.sample.as_bytes()).unwrap_or(
        "a column holds numbers or text; if the numbers are names of categories, say --categorical COLUMN",
    )
}
