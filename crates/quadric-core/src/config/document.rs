//! TOML documents as flat lists of settings, each with its line and column.

use super::{Fault, Given, NONFINITE, Source};
use crate::Place;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// More than any configuration needs; a larger file is something else.
const LONGEST: usize = 1 << 20;

/// Reads a document. Every leaf becomes a setting with a dotted key; every syntax error a fault.
pub(super) fn read(text: &str, file: &str, given: &mut Vec<Given>, faults: &mut Vec<Fault>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = Lines::new(text, file);
    let mut fault = |place: Place, message: String| {
        faults.push(Fault {
            place: Some(place),
            origin: None,
            message,
        });
    };
    if text.len() > LONGEST {
        let size = text.len();
        let message = format!("a configuration of {size} bytes; at most {LONGEST} are read");
        return fault(lines.place(0), message);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut broken = BTreeSet::new();
    for e in errors {
        let place = lines.place(e.span().map_or(0, |s| s.start));
        broken.insert(place.line);
        fault(place, e.message().to_owned());
    }
    flatten(table.get_ref(), "", &mut |key, span, value| {
        let place = lines.place(span.start);
        // What the parser made of a line with a syntax error is not what was meant.
        if !broken.contains(&place.line) {
            given.push(Given {
                source: Source::File,
                key,
                value,
                place: Some(place),
                origin: None,
            });
        }
    });
}

fn flatten(table: &DeTable<'_>, prefix: &str, add: &mut impl FnMut(String, Range<usize>, Value)) {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => {
                flatten(inner, &format!("{key}."), add);
            }
            _ => add(key, name.span(), to_json(value)),
        }
    }
}

fn to_json(value: &Spanned<DeValue<'_>>) -> Value {
    match value.get_ref() {
        DeValue::String(s) => Value::String(s.to_string()),
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
            Ok(n) => n.into(),
            // Seeds may use all 64 bits; what is larger still is no setting.
            Err(_) => u64::from_str_radix(i.as_str(), i.radix())
                .map_or_else(|_| i.as_str().into(), Value::from),
        },
        DeValue::Float(f) => finite(f.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Datetime(d) => Value::String(d.to_string()),
        DeValue::Array(a) => a.iter().map(to_json).collect(),
        DeValue::Table(t) => {
            let entries = t.iter().map(|(k, v)| (k.get_ref().to_string(), to_json(v)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

fn finite(v: f64) -> Value {
    serde_json::Number::from_f64(v).map_or_else(|| NONFINITE.into(), Value::Number)
}

/// The value of a flag: TOML where it is TOML (`3`, `1e-8`, `true`, `[1, 2]`, `"text"`), else the text itself.
pub(super) fn loose_value(text: &str) -> Value {
    match DeValue::parse(text) {
        Ok(value) if !value.get_ref().is_datetime() => to_json(&value),
        _ => Value::String(text.to_owned()),
    }
}

/// Where the lines of a text start, so that a place is found without reading the text again.
struct Lines<'a> {
    file: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &str, file: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(i, _)| i + 1)).collect();
        Self { file, starts }
    }

    /// Line and column, from 1.
    fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        Place {
            file: self.file.to_owned(),
            line: line as u64,
            column: (offset - self.starts[line - 1]) as u64 + 1,
        }
    }
}
