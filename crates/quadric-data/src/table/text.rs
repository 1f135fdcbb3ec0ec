//! The raw side of comma-separated text: delimiter, header, places of records and fields.

use csv::{ByteRecord, ReaderBuilder};
use quadric_linalg::{Error, Place, Result};

/// A delimited text without its byte order mark.
pub(super) struct Text<'a> {
    pub(super) name: &'a str,
    pub(super) bytes: &'a [u8],
    /// Bytes of the mark that was taken off, for columns of the first line.
    pub(super) mark: usize,
    pub(super) delimiter: u8,
}

impl<'a> Text<'a> {
    /// A text whose delimiter is given, or found in its first line: the most frequent of comma, semicolon and tab.
    pub(super) fn new(name: &'a str, bytes: &'a [u8], delimiter: Option<u8>) -> Self {
        let mark = if bytes.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        let bytes = &bytes[mark..];
        let delimiter = delimiter.unwrap_or_else(|| find_delimiter(bytes));
        Self {
            name,
            bytes,
            mark,
            delimiter,
        }
    }

    /// Calls `f(offset, line, record)` for every record from `offset` (at line `line`) on, until it breaks off.
    pub(super) fn records(
        &self,
        mut f: impl FnMut(usize, u64, &ByteRecord) -> Result<bool>,
    ) -> Result<()> {
        let mut reader = ReaderBuilder::new()
            .delimiter(self.delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(self.bytes);
        let mut record = ByteRecord::new();
        let (mut counted, mut line) = (0, 1);
        loop {
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(e) => {
                    return Err(
                        Error::data_at(self.place(counted), "the record cannot be read")
                            .with_source(e),
                    );
                }
            }
            let position = record.position().map_or(0, |p| p.byte() as usize);
            let blank = self.bytes[position..]
                .iter()
                .take_while(|b| matches!(b, b'\r' | b'\n'));
            let offset = position + blank.count();
            line += count_lines(&self.bytes[counted..offset]);
            counted = offset;
            if !f(offset, line, &record)? {
                return Ok(());
            }
        }
    }

    /// The place of a byte.
    pub(super) fn place(&self, offset: usize) -> Place {
        let before = &self.bytes[..offset.min(self.bytes.len())];
        let line = count_lines(before) + 1;
        let start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |i| i + 1);
        let mark = if line == 1 { self.mark } else { 0 };
        Place {
            file: self.name.to_owned(),
            line,
            column: (before.len() - start + 1 + mark) as u64,
        }
    }

    /// The place of a field of the record that starts at a byte: its first byte that is not blank.
    pub(super) fn field_place(&self, record: usize, field: usize) -> Place {
        let mut fields = Fields::new(self, record);
        let mut at = record;
        for _ in 0..=field {
            match fields.next_start() {
                Some(start) => at = start,
                None => break,
            }
        }
        let blanks = self.bytes[at..].iter();
        let blanks = blanks.take_while(|b| matches!(b, b' ' | b'\t') && **b != self.delimiter);
        self.place(at + blanks.count())
    }

    /// The place of a quote that opens in the record starting at a byte and never closes.
    pub(super) fn open_quote(&self, record: usize) -> Option<Place> {
        let mut fields = Fields::new(self, record);
        while fields.next_start().is_some() {}
        fields.open.map(|at| self.place(at))
    }
}

/// Walks over the raw fields of one record.
struct Fields<'a> {
    bytes: &'a [u8],
    delimiter: u8,
    next: Option<usize>,
    open: Option<usize>,
}

impl<'a> Fields<'a> {
    fn new(text: &Text<'a>, record: usize) -> Self {
        Self {
            bytes: text.bytes,
            delimiter: text.delimiter,
            next: Some(record),
            open: None,
        }
    }

    /// The start of the next field.
    fn next_start(&mut self) -> Option<usize> {
        let start = self.next?;
        let mut at = start;
        if self.bytes.get(at) == Some(&b'"') {
            at += 1;
            loop {
                match (self.bytes.get(at), self.bytes.get(at + 1)) {
                    (None, _) => {
                        self.open = Some(start);
                        break;
                    }
                    (Some(b'"'), Some(b'"')) => at += 2,
                    (Some(b'"'), _) => {
                        at += 1;
                        break;
                    }
                    _ => at += 1,
                }
            }
        }
        let rest = &self.bytes[at.min(self.bytes.len())..];
        let end = rest
            .iter()
            .position(|b| *b == self.delimiter || matches!(b, b'\r' | b'\n'));
        self.next = match end {
            Some(i) if rest[i] == self.delimiter => Some(at + i + 1),
            _ => None,
        };
        Some(start)
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}

/// Characters that may separate fields, the likeliest first.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// The delimiter that the first two lines have equally often; failing that, the one that the first line has most often.
fn find_delimiter(bytes: &[u8]) -> u8 {
    let (first, end) = count_delimiters(bytes);
    let (second, _) = count_delimiters(&bytes[end..]);
    let agree = (0..DELIMITERS.len())
        .rev()
        .filter(|k| first[*k] == second[*k] && first[*k] > 0);
    let most = agree.max_by_key(|k| first[*k]);
    let most = most.or((0..DELIMITERS.len()).rev().max_by_key(|k| first[*k]));
    DELIMITERS[most.unwrap_or(0)]
}

/// How often each delimiter stands outside of quotes in the first line that is not blank, and where that line ends.
fn count_delimiters(bytes: &[u8]) -> ([usize; 3], usize) {
    let blank = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
    let start = blank.count();
    let (mut counts, mut quoted) = ([0; 3], false);
    for (i, b) in bytes[start..].iter().enumerate() {
        match b {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => return (counts, start + i),
            _ if quoted => {}
            b => {
                if let Some(k) = DELIMITERS.iter().position(|d| d == b) {
                    counts[k] += 1;
                }
            }
        }
    }
    (counts, bytes.len())
}

/// A field without the blanks around it.
pub(super) fn trim(field: &[u8]) -> &[u8] {
    field.trim_ascii()
}

/// True for the spellings of a missing value: nothing, `NA`, `N/A`, `NaN`, `null`, `?`.
pub(super) fn is_missing(field: &[u8]) -> bool {
    match field.len() {
        0 => true,
        1 => field == b"?",
        2..=4 => [b"na".as_slice(), b"n/a", b"nan", b"null"]
            .iter()
            .any(|word| field.eq_ignore_ascii_case(word)),
        _ => false,
    }
}
