//! The header of an NPY file: magic, version, and a Python dictionary literal.

use crate::array::Kind;
use quadric_linalg::{Error, Result};
use std::ops::Range;

/// Longest header that is looked at.
const LONGEST: usize = 1 << 20;

/// Bytes that say how long the header is.
pub(super) const PREFIX: usize = 12;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Bytes per value.
    pub(super) size: usize,
    pub(super) big_endian: bool,
    pub(super) fortran: bool,
    pub(super) shape: Vec<usize>,
    /// Where the values start.
    pub(super) start: usize,
}

impl Header {
    /// Reads the header and checks that exactly the values it announces follow.
    ///
    /// # Errors
    /// `Malformed` for anything that is not an array of plain numbers.
    pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Self> {
        let header = Self::parse(name, bytes)?;
        header.check_length(name, bytes.len() as u64)?;
        Ok(header)
    }

    /// Where the dictionary begins and where it ends, by the first [`PREFIX`] bytes.
    ///
    /// # Errors
    /// `Malformed` if this is no NPY file, or its header is too long.
    pub(super) fn extent(name: &str, bytes: &[u8]) -> Result<Range<usize>> {
        let bad = |what: String| Error::malformed(name, what);
        let rest = bytes
            .strip_prefix(b"\x93NUMPY")
            .ok_or_else(|| bad("this is no NPY file".into()))?;
        let early = || bad("the NPY header ends too early".into());
        let [major, minor, rest @ ..] = rest else {
            return Err(early());
        };
        let (length, width) = match (*major, *minor) {
            (1, 0) => {
                let length = rest.first_chunk::<2>().ok_or_else(early)?;
                (usize::from(u16::from_le_bytes(*length)), 2)
            }
            (2 | 3, 0) => {
                let length = rest.first_chunk::<4>().ok_or_else(early)?;
                (u32::from_le_bytes(*length) as usize, 4)
            }
            _ => return Err(bad(format!("NPY version {major}.{minor} is not known"))),
        };
        if length > LONGEST {
            return Err(bad(format!("an NPY header of {length} bytes is refused")));
        }
        Ok(8 + width..8 + width + length)
    }

    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// As [`read`](Self::read), without a look at what follows.
    pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        let bad = |what: String| Error::malformed(name, what);
        let extent = Self::extent(name, bytes)?;
        let start = extent.end;
        let literal = bytes
            .get(extent)
            .ok_or_else(|| bad("the NPY header ends too early".into()))?;
        let fields = Literal {
            bytes: literal,
            at: 0,
        }
        .dictionary()
        .ok_or_else(|| bad("the NPY header is not the dictionary that it should be".into()))?;
        let (Some(descr), Some(fortran), Some(shape)) =
            (fields.descr, fields.fortran, fields.shape)
        else {
            return Err(bad(
                "the NPY header lacks descr, fortran_order or shape".into()
            ));
        };
        let (kind, size, big_endian) = data_type(&descr).map_err(|what| {
            bad(format!(
                "arrays of {what} (dtype {descr:?}) are not supported"
            ))
            .with_hint("save plain numbers: array.astype(\"float64\")")
        })?;
        Ok(Self {
            kind,
            size,
            big_endian,
            fortran,
            shape,
            start,
        })
    }

    /// Exactly the bytes of all values must follow the header in a file of this length.
    ///
    /// # Errors
    /// `Malformed` if the file is shorter or longer.
    pub(super) fn check_length(&self, name: &str, length: u64) -> Result<()> {
        let found = length.saturating_sub(self.start as u64);
        let bad = |what: String| Err(Error::malformed(name, what));
        // Without axes of length 0, so that no product of some of them overflows either.
        let mut axes = self.shape.iter().filter(|n| **n > 0);
        let extent = axes.try_fold(self.size, |product, n| product.checked_mul(*n));
        let expected = extent.map(|all| if self.shape.contains(&0) { 0 } else { all });
        match expected {
            None => bad(format!("the shape {:?} is beyond all memory", self.shape)),
            Some(expected) if found < expected as u64 => bad(format!(
                "the file ends too early: {expected} bytes of values announced, {found} found"
            )),
            Some(expected) if found > expected as u64 => bad(format!(
                "{} bytes follow the last value",
                found - expected as u64
            )),
            Some(_) => Ok(()),
        }
    }
}

/// The type, bytes per value and byte order of a `descr`, or what it is instead.
fn data_type(descr: &str) -> std::result::Result<(Kind, usize, bool), &'static str> {
    let (order, rest) = match descr.as_bytes() {
        [order @ (b'<' | b'>' | b'|' | b'='), rest @ ..] => (*order, rest),
        rest => (b'=', rest),
    };
    let (letter, size) = rest.split_first().ok_or("an unknown type")?;
    let size = std::str::from_utf8(size)
        .ok()
        .and_then(|s| s.parse::<usize>().ok());
    let kind = match (letter, size) {
        (b'f', Some(4 | 8)) => Kind::Float,
        (b'i', Some(1 | 2 | 4 | 8)) => Kind::Signed,
        (b'u', Some(1 | 2 | 4 | 8)) => Kind::Unsigned,
        (b'b', Some(1)) => Kind::Bool,
        (b'S', Some(1..=64)) => Kind::Bytes,
        (b'O', _) => return Err("Python objects, which are pickled and can run code,"),
        (b'c', _) => return Err("complex numbers"),
        (b'f', _) => return Err("floats of this width"),
        (b'U' | b'S', _) => return Err("text"),
        (b'M' | b'm', _) => return Err("dates"),
        _ => return Err("this type"),
    };
    Ok((kind, size.unwrap_or(1), order == b'>'))
}

#[derive(Debug, Default, PartialEq)]
struct FieldValues {
    descr: Option<String>,
    fortran: Option<bool>,
    shape: Option<Vec<usize>>,
}

/// A reader of the little of Python's grammar that headers use.
struct Literal<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Literal<'_> {
    fn blanks(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn take(&mut self, token: u8) -> Option<()> {
        self.blanks();
        (self.bytes.get(self.at) == Some(&token)).then(|| self.at += 1)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.blanks();
        self.bytes[self.at..]
            .starts_with(word)
            .then(|| self.at += word.len())
    }

    fn string(&mut self) -> Option<String> {
        self.blanks();
        let quote = *self
            .bytes
            .get(self.at)
            .filter(|b| matches!(b, b'\'' | b'"'))?;
        let rest = &self.bytes[self.at + 1..];
        let end = rest.iter().position(|b| *b == quote)?;
        self.at += end + 2;
        // No escape is needed in a header; a backslash is a sign of something else.
        let text = std::str::from_utf8(&rest[..end]).ok()?;
        (!text.contains('\\')).then(|| text.to_owned())
    }

    fn integer(&mut self) -> Option<usize> {
        self.blanks();
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        let value = std::str::from_utf8(&self.bytes[start..self.at])
            .ok()?
            .parse()
            .ok()?;
        // Python 2 wrote long integers as 3L.
        let _ = self.take(b'L');
        Some(value)
    }

    fn tuple(&mut self) -> Option<Vec<usize>> {
        self.take(b'(')?;
        let mut items = Vec::new();
        loop {
            if self.take(b')').is_some() {
                return Some(items);
            }
            if items.len() == 32 {
                return None;
            }
            items.push(self.integer()?);
            if self.take(b',').is_none() {
                self.take(b')')?;
                // (3) is a number, not a tuple.
                return (items.len() != 1).then_some(items);
            }
        }
    }

    fn dictionary(&mut self) -> Option<FieldValues> {
        let mut fields = FieldValues::default();
        self.take(b'{')?;
        while self.take(b'}').is_none() {
            let key = self.string()?;
            self.take(b':')?;
            let repeated = match key.as_str() {
                "descr" => fields.descr.replace(self.descr()?).is_some(),
                "fortran_order" => fields.fortran.replace(self.boolean()?).is_some(),
                "shape" => fields.shape.replace(self.tuple()?).is_some(),
                _ => return None,
            };
            if repeated {
                return None;
            }
            if self.take(b',').is_none() {
                self.take(b'}')?;
                break;
            }
        }
        self.blanks();
        (self.at == self.bytes.len()).then_some(fields)
    }

    fn boolean(&mut self) -> Option<bool> {
        match self.word(b"True") {
            Some(()) => Some(true),
            None => self.word(b"False").map(|()| false),
        }
    }

    /// A type string; a list of fields is named so that the message can say what it is.
    fn descr(&mut self) -> Option<String> {
        self.blanks();
        if self.bytes.get(self.at) != Some(&b'[') {
            return self.string();
        }
        let rest = &self.bytes[self.at..];
        self.at += rest.iter().rposition(|b| *b == b']')? + 1;
        Some("structured".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Option<FieldValues> {
        let bytes = text.as_bytes();
        Literal { bytes, at: 0 }.dictionary()
    }

    #[test]
    fn spellings_of_one_header() {
        let same = FieldValues {
            descr: Some("<f8".into()),
            fortran: Some(false),
            shape: Some(vec![2, 3]),
        };
        for text in [
            "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }   \n",
            "{\"shape\":(2,3,),\"descr\":\"<f8\",\"fortran_order\":False}",
            "{ 'fortran_order' : False , 'descr' : '<f8' , 'shape' : ( 2L , 3L ) }",
        ] {
            assert_eq!(literal(text).as_ref(), Some(&same), "{text}");
        }
        assert_eq!(literal("{'shape': (5,)}").unwrap().shape, Some(vec![5]));
        assert_eq!(literal("{'shape': ()}").unwrap().shape, Some(vec![]));
        for text in [
            "",
            "{",
            "{'shape': (2}",
            "{'shape': (-1,)}",
            "{'shape': (3)}",
            "{'other': 1}",
            "{'descr': '<f8'} x",
            "{'descr': '<f8', 'descr': '<f8'}",
            "{'fortran_order': 0}",
            "__import__('os')",
            "{'shape': (99999999999999999999,)}",
        ] {
            assert_eq!(literal(text), None, "{text}");
        }
    }
}
