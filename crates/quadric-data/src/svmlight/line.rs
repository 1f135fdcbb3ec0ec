//! The lines of one piece of svmlight text.

use crate::number::{self, BadNumber};
use crate::trouble::quote;

/// What is allowed in the whole file.
pub(super) struct Rules {
    /// The largest index as it stands in the file.
    pub(super) largest: u32,
    /// Whether the index 0 may occur.
    pub(super) zero_is_index: bool,
    /// Whether every row has a query identifier, or none has.
    pub(super) query: bool,
    /// Whether unsorted and repeated indices are sorted and added up.
    pub(super) merge: bool,
}

/// Where the rows and the values of a piece go; large enough by the counts of lines and colons.
pub(super) struct Slots<'a> {
    pub(super) labels: &'a mut [f64],
    pub(super) lengths: &'a mut [u32],
    pub(super) indices: &'a mut [u32],
    pub(super) values: &'a mut [f64],
}

/// What a piece held.
pub(super) struct Found {
    pub(super) rows: usize,
    pub(super) entries: usize,
    pub(super) query_ids: Vec<u64>,
    pub(super) has_zero: bool,
    pub(super) largest: Option<u32>,
}

/// Why and where (byte of the piece) a piece was refused.
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

fn fault(offset: usize, message: impl Into<String>) -> Fault {
    Fault {
        offset,
        message: message.into(),
        hint: None,
    }
}

const fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

/// True where a token ends.
fn ends(text: &[u8], at: usize) -> bool {
    text.get(at)
        .is_none_or(|b| is_blank(*b) || matches!(b, b'\n' | b'#'))
}

fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(|b| is_blank(*b)) {
        at += 1;
    }
    at
}

/// The token that starts at `at`.
fn token(text: &[u8], at: usize) -> &[u8] {
    let mut end = at;
    while !ends(text, end) {
        end += 1;
    }
    &text[at..end]
}

/// The start of the next line, or the end of the text.
fn next_line(text: &[u8], at: usize) -> usize {
    let rest = &text[at..];
    rest.iter()
        .position(|b| *b == b'\n')
        .map_or(text.len(), |i| at + i + 1)
}

/// True if the first row of a text has a query identifier.
pub(super) fn starts_with_query(text: &[u8]) -> bool {
    let mut at = 0;
    while at < text.len() {
        at = skip_blanks(text, at);
        match text.get(at) {
            Some(b'\n') => at += 1,
            Some(b'#') => at = next_line(text, at),
            Some(_) => {
                let second = skip_blanks(text, at + token(text, at).len());
                return text[second..].starts_with(b"qid:");
            }
            None => break,
        }
    }
    false
}

/// Parses all lines of a piece.
pub(super) fn parse(text: &[u8], rules: &Rules, mut slots: Slots<'_>) -> Result<Found, Fault> {
    let mut found = Found {
        rows: 0,
        entries: 0,
        query_ids: Vec::new(),
        has_zero: false,
        largest: None,
    };
    let mut at = 0;
    while at < text.len() {
        at = skip_blanks(text, at);
        at = match text.get(at) {
            Some(b'\n') => at + 1,
            Some(b'#') => next_line(text, at),
            Some(_) => row(text, at, rules, &mut slots, &mut found)?,
            None => at,
        };
    }
    Ok(found)
}

/// Parses the row that starts at `at` and returns where the next line starts.
fn row(
    text: &[u8],
    at: usize,
    rules: &Rules,
    slots: &mut Slots<'_>,
    found: &mut Found,
) -> Result<usize, Fault> {
    let (label, used) = match number::scan(&text[at..]) {
        Ok((label, used)) if ends(text, at + used) => (label, used),
        Ok(_) => return Err(bad_label(text, at, BadNumber::Syntax)),
        Err(bad) => return Err(bad_label(text, at, bad)),
    };
    let at = identifier(text, skip_blanks(text, at + used), rules, found)?;
    let first = found.entries;
    let (at, sorted) = entries(text, at, rules, slots, found)?;
    if !sorted {
        let row = first..found.entries;
        let kept = merge(&mut slots.indices[row.clone()], &mut slots.values[row]).map_err(|i| {
            let message = format!("the values with index {i} add up to infinity");
            fault(at.saturating_sub(1), message)
        })?;
        found.entries = first + kept;
    }
    slots.labels[found.rows] = label;
    slots.lengths[found.rows] = (found.entries - first) as u32;
    found.rows += 1;
    Ok(at)
}

/// Takes the query identifier at `at`, where there should be one, and returns where it ends.
fn identifier(text: &[u8], at: usize, rules: &Rules, found: &mut Found) -> Result<usize, Fault> {
    match (text[at..].starts_with(b"qid:"), rules.query) {
        (false, false) => Ok(at),
        (true, false) => {
            let message = "this row has a query identifier, but the first row has none";
            Err(fault(at, message))
        }
        (false, true) => {
            let message = "this row has no query identifier (`qid:`), but the first row has one";
            Err(fault(at, message))
        }
        (true, true) => {
            let token = token(text, at);
            let Some(id) = query(token) else {
                let message = format!("{} is not a query identifier below 2^64", quote(token));
                return Err(fault(at, message));
            };
            found.query_ids.push(id);
            Ok(at + token.len())
        }
    }
}

/// Takes the `index:value` tokens from `at` on; returns where the next line starts, and whether the indices ascend.
fn entries(
    text: &[u8],
    mut at: usize,
    rules: &Rules,
    slots: &mut Slots<'_>,
    found: &mut Found,
) -> Result<(usize, bool), Fault> {
    let mut last = -1i64;
    let mut sorted = true;
    let end = loop {
        at = skip_blanks(text, at);
        match text.get(at) {
            None => break at,
            Some(b'\n') => break at + 1,
            Some(b'#') => break next_line(text, at),
            Some(_) => {}
        }
        let (index, value, end) = entry(text, at, rules)?;
        if i64::from(index) <= last {
            if !rules.merge {
                return Err(disorder(text, at, index, last));
            }
            sorted = false;
        }
        last = last.max(i64::from(index));
        found.has_zero |= index == 0;
        if value != 0.0 {
            slots.indices[found.entries] = index;
            slots.values[found.entries] = value;
            found.entries += 1;
        }
        at = end;
    };
    if last >= 0 {
        found.largest = found.largest.max(u32::try_from(last).ok());
    }
    Ok((end, sorted))
}

/// The `index:value` at `at`, and where it ends.
#[inline(always)]
fn entry(text: &[u8], at: usize, rules: &Rules) -> Result<(u32, f64, usize), Fault> {
    let mut colon = at;
    let mut index = 0u64;
    while let Some(digit) = text
        .get(colon)
        .map(|b| b.wrapping_sub(b'0'))
        .filter(|d| *d <= 9)
    {
        index = index.wrapping_mul(10).wrapping_add(u64::from(digit));
        colon += 1;
    }
    let plain = colon > at && colon - at <= 10 && text.get(colon) == Some(&b':');
    if !plain || index > u64::from(rules.largest) || (index == 0 && !rules.zero_is_index) {
        return Err(bad_entry(text, at, rules));
    }
    match number::scan(&text[colon + 1..]) {
        Ok((value, used)) if ends(text, colon + 1 + used) => {
            Ok((index as u32, value, colon + 1 + used))
        }
        _ => Err(bad_entry(text, at, rules)),
    }
}

/// The identifier of `qid:identifier`, all digits kept.
fn query(token: &[u8]) -> Option<u64> {
    let digits = token.strip_prefix(b"qid:")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Sorts a row by index, adds up equal indices in the order of the file, drops zeros; returns how many are left, or the
/// index whose sum is not finite.
fn merge(indices: &mut [u32], values: &mut [f64]) -> Result<usize, u32> {
    let mut pairs: Vec<(u32, f64)> = indices
        .iter()
        .copied()
        .zip(values.iter().copied())
        .collect();
    pairs.sort_by_key(|p| p.0);
    let mut kept = 0;
    for group in pairs.chunk_by(|a, b| a.0 == b.0) {
        let sum: f64 = group.iter().map(|p| p.1).sum();
        if !sum.is_finite() {
            return Err(group[0].0);
        }
        if sum != 0.0 {
            (indices[kept], values[kept]) = (group[0].0, sum);
            kept += 1;
        }
    }
    Ok(kept)
}

#[cold]
fn bad_label(text: &[u8], at: usize, bad: BadNumber) -> Fault {
    let token = token(text, at);
    let shown = quote(token);
    if bad == BadNumber::NonFinite {
        return fault(at, format!("the label {shown} is not a finite number"));
    }
    let mut fault = fault(at, format!("the label {shown} is not a number"));
    if token.contains(&b',') {
        fault.hint = Some(
            "several labels per row and decimal commas are not supported; a table needs --format csv",
        );
    } else if token.contains(&b':') {
        fault.hint = Some("a row starts with its label");
    }
    fault
}

#[cold]
fn disorder(text: &[u8], at: usize, index: u32, last: i64) -> Fault {
    let shown = quote(token(text, at));
    let mut fault = if i64::from(index) == last {
        fault(at, format!("duplicate index in {shown}"))
    } else {
        fault(
            at,
            format!("indices not ascending: {shown} comes after index {last}"),
        )
    };
    fault.hint =
        Some("indices must ascend in each row; --sum-duplicates sorts them and adds up equal ones");
    fault
}

#[cold]
fn bad_entry(text: &[u8], at: usize, rules: &Rules) -> Fault {
    let token = token(text, at);
    let shown = quote(token);
    let Some(colon) = token.iter().position(|b| *b == b':') else {
        let mut fault = fault(at, format!("{shown} has no colon; expected index:value"));
        fault.hint = Some("a table of numbers needs --format csv or tsv");
        return fault;
    };
    let (index, value) = (&token[..colon], &token[colon + 1..]);
    if index == b"qid" {
        return fault(
            at,
            format!("{shown}: a query identifier stands right after the label"),
        );
    }
    if index.is_empty() {
        return fault(at, format!("{shown} has no index before the colon"));
    }
    let digits = index.strip_prefix(b"-").unwrap_or(index);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return fault(at, format!("the index in {shown} is not a whole number"));
    }
    let number = std::str::from_utf8(index)
        .ok()
        .and_then(|s| s.parse::<u32>().ok());
    match number {
        Some(0) if !rules.zero_is_index => fault(
            at,
            format!("index out of range: {shown} in a file whose first index is 1"),
        ),
        Some(i) if i <= rules.largest && index.len() <= 10 => {
            if value.is_empty() {
                fault(at, format!("{shown} has no value after the colon"))
            } else if number::parse(value) == Err(BadNumber::NonFinite) {
                fault(at, format!("the value in {shown} is not a finite number"))
            } else {
                fault(at, format!("the value in {shown} is not a number"))
            }
        }
        _ => {
            let least = u8::from(!rules.zero_is_index);
            fault(
                at,
                format!(
                    "index out of range: {shown}; indices go from {least} to {}",
                    rules.largest
                ),
            )
        }
    }
}
