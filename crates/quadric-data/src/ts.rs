//! The `.ts` text of the UCR and UEA archives: lines of `@key value`, the line `@data`, and one sequence a line, its
//! dimensions separated by `:`, their values by `,`, a label last.

use crate::number::{self, BadNumber};
use crate::trouble::quote;
use quadric_linalg::{Error, Place, Result};
use std::ops::Range;

/// Dimensions that a sequence may have.
const DIMENSIONS: usize = 1 << 17;

/// A sequence, by where its numbers are: dimension after dimension.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) line: u64,
    pub(crate) start: usize,
    pub(crate) steps: usize,
    pub(crate) target: f64,
}

impl Case {
    pub(crate) fn values(&self, dimensions: usize) -> Range<usize> {
        self.start..self.start + self.steps * dimensions
    }

    pub(crate) fn dimension(&self, k: usize) -> Range<usize> {
        self.start + k * self.steps..self.start + (k + 1) * self.steps
    }
}

/// All that a file holds; missing values are NaN.
pub(crate) struct Parsed {
    pub(crate) dimensions: usize,
    pub(crate) values: Vec<f64>,
    pub(crate) cases: Vec<Case>,
    pub(crate) labelled: bool,
    pub(crate) classes: Option<Vec<String>>,
    /// Line and column of the first missing value.
    pub(crate) first_missing: (u64, u64),
}

/// What stands at the end of a sequence.
#[derive(Clone, Default)]
enum Label {
    #[default]
    None,
    Number,
    Classes(Vec<String>),
}

/// What the lines before the data announce.
#[derive(Default)]
struct Header {
    seen: Vec<String>,
    univariate: Option<bool>,
    dimensions: Option<usize>,
    equal: Option<bool>,
    steps: Option<usize>,
    label: Label,
}

/// Column, counted from 1 (0 for the whole line), and what is wrong there.
type Fault = (usize, String);
type Found<T> = std::result::Result<T, Fault>;

/// Reads a file. Lines and columns of errors count bytes from 1.
///
/// # Errors
/// The first line that breaks the format or what the header announces.
pub(crate) fn parse(name: &str, text: &[u8]) -> Result<Parsed> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let error = |line: usize, (column, message): Fault| {
        let place = Place {
            file: name.to_owned(),
            line: line as u64,
            column: column as u64,
        };
        Error::data_at(place, message)
    };
    let mut header = Header::default();
    let mut lines = text.split(|b| *b == b'\n').enumerate();
    let mut at = 0;
    let data_line = loop {
        let Some((i, line)) = lines.next() else {
            let text = format!("`{name}` has no line `@data`, after which the sequences begin");
            return Err(Error::data(text));
        };
        at = (at + line.len() + 1).min(text.len());
        if header.line(line).map_err(|fault| error(i + 1, fault))? {
            break i + 1;
        }
    };
    header.check().map_err(|m| error(data_line, (0, m)))?;
    // One number more than there are separators in a line, at most.
    let separators = |b: &&u8| matches!(b, b',' | b':' | b'\n');
    let mut reader = Reader {
        values: Vec::with_capacity(text[at..].iter().filter(separators).count() + 1),
        cases: Vec::new(),
        first_missing: None,
        header,
    };
    for (i, line) in lines {
        let end = line.trim_ascii_end().len();
        let first = line.trim_ascii_start().first();
        if matches!(first, None | Some(b'#' | b'%')) {
            continue;
        }
        let read = reader.case(&line[..end], i as u64 + 1);
        read.map_err(|fault| error(i + 1, fault))?;
    }
    let (labelled, classes) = match reader.header.label {
        Label::None => (false, None),
        Label::Number => (true, None),
        Label::Classes(classes) => (true, Some(classes)),
    };
    Ok(Parsed {
        dimensions: reader.header.dimensions.unwrap_or(1),
        values: reader.values,
        cases: reader.cases,
        labelled,
        classes,
        first_missing: reader.first_missing.unwrap_or_default(),
    })
}

impl Header {
    /// Takes a line; true if the data follow.
    fn line(&mut self, line: &[u8]) -> Found<bool> {
        let blanks = line.len() - line.trim_ascii_start().len();
        let line = line.trim_ascii();
        if matches!(line.first(), None | Some(b'#' | b'%')) {
            return Ok(false);
        }
        if !line.starts_with(b"@") {
            let found = quote(line);
            return Err((blanks + 1, format!("{found} comes before the line `@data`")));
        }
        let end = line
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(line.len());
        let key = String::from_utf8_lossy(&line[1..end]).to_ascii_lowercase();
        let column = blanks + end + 2;
        let value = line[end..].trim_ascii();
        if self.seen.contains(&key) {
            return Err((blanks + 1, format!("`@{key}` occurs twice")));
        }
        let truth = || truth(value).map_err(|m| (column, m));
        let number = || count(value).map_err(|m| (column, m));
        match key.as_str() {
            "data" => return Ok(true),
            "problemname" => {}
            "missing" => drop(truth()?),
            "timestamps" => {
                if truth()? {
                    let text = "sequences with time stamps are not supported";
                    return Err((column, text.to_owned()));
                }
            }
            "univariate" => self.univariate = Some(truth()?),
            "dimensions" | "dimension" => self.dimensions = Some(number()?),
            "equallength" => self.equal = Some(truth()?),
            "serieslength" => self.steps = Some(number()?),
            "classlabel" => self.classes(value, column)?,
            "targetlabel" => {
                if truth()? {
                    self.label(Label::Number, column)?;
                }
            }
            _ => {
                let found = quote(&line[..end]);
                return Err((blanks + 1, format!("the header {found} is not known")));
            }
        }
        self.seen.push(key);
        Ok(false)
    }

    /// `true` and the labels, or `false`.
    fn classes(&mut self, value: &[u8], column: usize) -> Found<()> {
        let mut words = value
            .split(u8::is_ascii_whitespace)
            .filter(|w| !w.is_empty());
        let first = words.next().unwrap_or_default();
        let labelled = truth(first).map_err(|m| (column, m))?;
        let mut classes = Vec::new();
        for word in words {
            let word = std::str::from_utf8(word)
                .map_err(|_| (column, format!("the label {} is not UTF-8", quote(word))))?;
            classes.push(word.to_owned());
        }
        if labelled == classes.is_empty() {
            let text = "`@classLabel` takes `false`, or `true` and the labels";
            return Err((column, text.to_owned()));
        }
        if !labelled {
            return Ok(());
        }
        classes.sort();
        if let Some(twice) = classes.windows(2).find(|w| w[0] == w[1]) {
            let label = quote(twice[0].as_bytes());
            return Err((column, format!("the label {label} occurs twice")));
        }
        self.label(Label::Classes(classes), column)
    }

    fn label(&mut self, label: Label, column: usize) -> Found<()> {
        if !matches!(self.label, Label::None) {
            let text = "a sequence has a class label or a target label, not both";
            return Err((column, text.to_owned()));
        }
        self.label = label;
        Ok(())
    }

    /// The announcements must fit each other.
    fn check(&mut self) -> std::result::Result<(), String> {
        if self.univariate == Some(true) {
            if let Some(d) = self.dimensions.filter(|d| *d != 1) {
                return Err(format!("`@univariate true` and `@dimensions {d}`"));
            }
            self.dimensions = Some(1);
        }
        match self.dimensions {
            Some(d) if d == 0 || d > DIMENSIONS => {
                Err(format!("`@dimensions {d}`; expected 1 to {DIMENSIONS}"))
            }
            _ => Ok(()),
        }
    }
}

fn truth(value: &[u8]) -> std::result::Result<bool, String> {
    match value.to_ascii_lowercase().as_slice() {
        b"true" => Ok(true),
        b"false" => Ok(false),
        _ => Err(format!("{} is neither `true` nor `false`", quote(value))),
    }
}

fn count(value: &[u8]) -> std::result::Result<usize, String> {
    let number = std::str::from_utf8(value).ok().and_then(|s| s.parse().ok());
    number.ok_or_else(|| format!("{} is no count", quote(value)))
}

/// Sequences while they are read.
struct Reader {
    header: Header,
    values: Vec<f64>,
    cases: Vec<Case>,
    first_missing: Option<(u64, u64)>,
}

impl Reader {
    /// Reads a line.
    fn case(&mut self, text: &[u8], line: u64) -> Found<()> {
        let labelled = !matches!(self.header.label, Label::None);
        let fields = text.iter().filter(|b| **b == b':').count() + 1;
        let found = fields - usize::from(labelled);
        if found == 0 {
            return Err((0, "no `:` separates the values from the label".to_owned()));
        }
        let expected = *self.header.dimensions.get_or_insert(found);
        if found != expected {
            let text = format!("the sequence has {found} dimensions, expected {expected}");
            return Err((0, text));
        }
        let start = self.values.len();
        let (mut at, mut steps) = (0, None);
        for k in 0..found {
            let rest = &text[at..];
            let end = at + rest.iter().position(|b| *b == b':').unwrap_or(rest.len());
            let count = self.dimension(&text[at..end], at, line)?;
            let steps = *steps.get_or_insert(count);
            if count != steps {
                let text = format!(
                    "dimension {} has {count} values, the first has {steps}",
                    k + 1
                );
                return Err((at + 1, text));
            }
            at = end + 1;
        }
        let steps = steps.unwrap_or(0);
        self.check_length(steps)?;
        let target = match labelled {
            true => self.label(&text[at..], at)?,
            false => f64::NAN,
        };
        self.cases.push(Case {
            line,
            start,
            steps,
            target,
        });
        Ok(())
    }

    /// Reads the values of one dimension, which begins at byte `at` of its line, and returns how many there are.
    fn dimension(&mut self, text: &[u8], mut at: usize, line: u64) -> Found<usize> {
        let mut count = 0;
        for token in text.split(|b| *b == b',') {
            let blanks = token.len() - token.trim_ascii_start().len();
            let (column, value) = (at + blanks + 1, token.trim_ascii());
            let value = match number::parse(value) {
                Ok(v) => v,
                Err(_) if value == b"?" || value.eq_ignore_ascii_case(b"nan") => {
                    self.first_missing.get_or_insert((line, column as u64));
                    f64::NAN
                }
                Err(_) if value.is_empty() => return Err((column, "a value is empty".to_owned())),
                Err(BadNumber::NonFinite) => {
                    let found = quote(value);
                    return Err((
                        column,
                        format!("{found} is infinite or beyond the range of a double"),
                    ));
                }
                Err(BadNumber::Syntax) => {
                    return Err((column, format!("{} is no number", quote(value))));
                }
            };
            self.values.push(value);
            count += 1;
            at += token.len() + 1;
        }
        Ok(count)
    }

    /// The length must be the announced one, or that of the first sequence.
    fn check_length(&self, steps: usize) -> Found<()> {
        if self.header.equal != Some(true) {
            return Ok(());
        }
        let first = self.cases.first().map(|c| c.steps);
        match self.header.steps.or(first) {
            Some(expected) if expected != steps => {
                let text =
                    format!("the sequence has {steps} steps, where all should have {expected}");
                Err((0, text))
            }
            _ => Ok(()),
        }
    }

    /// The target that a label names, at byte `at` of its line.
    fn label(&self, text: &[u8], at: usize) -> Found<f64> {
        let column = at + (text.len() - text.trim_ascii_start().len()) + 1;
        let text = text.trim_ascii();
        match &self.header.label {
            Label::Classes(classes) => match classes.binary_search_by(|c| c.as_bytes().cmp(text)) {
                Ok(k) => Ok(k as f64),
                Err(_) => {
                    let found = quote(text);
                    Err((column, format!("the header announces no label {found}")))
                }
            },
            Label::Number | Label::None => number::parse(text)
                .map_err(|_| (column, format!("the target {} is no number", quote(text)))),
        }
    }
}
