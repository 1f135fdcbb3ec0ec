//! Rows of an NPY file that is larger than memory, read where they lie.

use super::header::{Header, PREFIX};
use crate::array::{Kind, decode_into};
use crate::source;
use quadric_linalg::{Error, ErrorKind, Result};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

/// Numbers that are decoded at a time.
const PIECE: usize = 2048;

/// A number that rows are read as: `f64`, `f32` or `i32`.
pub trait Value: Copy + sealed::Sealed {
    /// What a number of a file becomes; nothing for one that this type cannot hold.
    fn of(v: f64) -> Option<Self>;
    /// Which numbers it can hold, for messages.
    const HOLDS: &str;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f64 {}
    impl Sealed for f32 {}
    impl Sealed for i32 {}
}

impl Value for f64 {
    const HOLDS: &str = "a finite number";

    fn of(v: f64) -> Option<Self> {
        v.is_finite().then_some(v)
    }
}

impl Value for f32 {
    const HOLDS: &str = "a finite number within the range of 32-bit floats";

    fn of(v: f64) -> Option<Self> {
        Some(v as f32).filter(|v| v.is_finite())
    }
}

impl Value for i32 {
    const HOLDS: &str = "a whole number within the range of 32-bit integers";

    fn of(v: f64) -> Option<Self> {
        let whole = v.fract() == 0.0 && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&v);
        whole.then_some(v as i32)
    }
}

/// An open NPY file, of which rows are read one piece at a time: the entries along its first axis.
///
/// Nothing of the file is kept in memory. Several threads may read at once.
///
/// # Example
/// ```
/// use quadric_data::{NpyRows, encode_npy};
/// let folder = tempfile::tempdir().expect("a folder");
/// let path = folder.path().join("x.npy");
/// std::fs::write(&path, encode_npy(&[3, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])).expect("a file");
/// let file = NpyRows::open(&path)?;
/// let mut last = vec![0.0f32; file.row_len()];
/// file.read(2..3, &mut last)?;
/// assert_eq!(last, [4.0, 5.0]);
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
#[derive(Debug)]
pub struct NpyRows {
    name: String,
    file: File,
    opened: Metadata,
    header: Header,
    rows: usize,
    row_len: usize,
}

impl NpyRows {
    /// Opens a file that is not compressed, of numbers in row-major order, with at least one axis.
    ///
    /// # Errors
    /// `Io` for what is not a readable regular file, `Malformed` for what is no such array, or shorter or longer than it
    /// announces.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let (mut file, opened) = source::open(path)?;
        let mut head = Vec::new();
        let mut read_to = |head: &mut Vec<u8>, length: usize| {
            let more = length.saturating_sub(head.len()) as u64;
            let read = (&mut file).take(more).read_to_end(head);
            read.map_err(|e| Error::io("read", path.display(), e))
        };
        read_to(&mut head, 512)?;
        refuse_packed(&name, &head)?;
        let prefix = &head[..head.len().min(PREFIX)];
        let length = Header::extent(&name, prefix)?.end;
        read_to(&mut head, length)?;
        let header = Header::parse(&name, &head)?;
        header.check_length(&name, opened.len())?;
        let bad = |what: &str, hint: &str| Err(Error::malformed(&name, what).with_hint(hint));
        if header.kind == Kind::Bytes {
            return bad(
                "arrays of text are not supported",
                "save plain numbers: array.astype(\"float64\")",
            );
        }
        let [rows, axes @ ..] = &header.shape[..] else {
            return bad(
                "a single number has no rows",
                "read it with `read_npy`, or save an array with an axis of rows",
            );
        };
        if header.fortran && !axes.is_empty() {
            return bad(
                "the array is in column-major order, where a row does not lie together",
                "save it with numpy.save(path, numpy.ascontiguousarray(array))",
            );
        }
        let (rows, row_len) = (*rows, axes.iter().product());
        Ok(Self {
            name,
            file,
            opened,
            header,
            rows,
            row_len,
        })
    }

    /// The file as it was named.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lengths of all axes; the first is the number of rows.
    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers of one row: the product of the lengths of all axes but the first.
    pub fn row_len(&self) -> usize {
        self.row_len
    }

    /// The type of the numbers in the file, as NumPy names it: `float32`, `int64`, `uint8`, `bool`.
    pub fn dtype(&self) -> String {
        let word = match self.header.kind {
            Kind::Float => "float",
            Kind::Signed => "int",
            Kind::Unsigned | Kind::Bytes => "uint",
            Kind::Bool => return "bool".to_owned(),
        };
        format!("{word}{}", 8 * self.header.size)
    }

    /// Reads the rows with these numbers, one after another, into `out` (`rows.len() * row_len`). Numbers are rounded to
    /// the nearest of the type asked for; integers beyond 2⁵³ to the nearest double first.
    ///
    /// # Errors
    /// `Argument` for rows that do not exist, `Shape` if `out` has another length, `Data` with row and entry for a number
    /// that the type cannot hold, and always for NaN and infinite ones; `Io` if the file cannot be read or has changed since
    /// it was opened. `out` is then partly written.
    pub fn read<T: Value>(&self, rows: Range<usize>, out: &mut [T]) -> Result<()> {
        if rows.start > rows.end || rows.end > self.rows {
            let expected = format!("a range of the {} rows of `{}`", self.rows, self.name);
            return Err(Error::argument("rows", format!("{rows:?}"), &expected));
        }
        // No overflow: these numbers are in the file.
        let length = rows.len() * self.row_len;
        if out.len() != length {
            return Err(Error::shape("out", out.len(), length));
        }
        let Header {
            kind,
            size,
            big_endian,
            start,
            ..
        } = self.header;
        let io = |e| Error::io("read", &self.name, e);
        let (mut bytes, mut values) = ([0; PIECE * 8], [0.0; PIECE]);
        for (piece, out) in out.chunks_mut(PIECE).enumerate() {
            let first = rows.start * self.row_len + piece * PIECE;
            let (bytes, values) = (&mut bytes[..out.len() * size], &mut values[..out.len()]);
            read_at(&self.file, bytes, start as u64 + first as u64 * size as u64).map_err(io)?;
            decode_into(kind, size, big_endian, bytes, values);
            for (i, (out, v)) in out.iter_mut().zip(values).enumerate() {
                *out = T::of(*v).ok_or_else(|| self.refuse::<T>(first + i, *v))?;
            }
        }
        let now = self.file.metadata().map_err(io)?;
        if !source::unchanged(&self.opened, &now) {
            return Err(io(io::Error::other("it has changed since it was opened")));
        }
        Ok(())
    }

    #[cold]
    fn refuse<T: Value>(&self, at: usize, v: f64) -> Error {
        let (row, entry) = (at / self.row_len + 1, at % self.row_len + 1);
        let (name, holds) = (&self.name, T::HOLDS);
        let text = format!("`{name}`: row {row}, entry {entry} is {v}; expected {holds}");
        Error::new(ErrorKind::Data, text)
    }
}

/// Refuses what starts like a compressed or foreign file.
fn refuse_packed(name: &str, head: &[u8]) -> Result<()> {
    if head.starts_with(&[0x1f, 0x8b]) || head.starts_with(b"\xfd7zXZ\0") {
        let text = "the file is compressed; single rows cannot be read from it";
        return Err(Error::malformed(name, text).with_hint("unpack it first"));
    }
    source::refuse_foreign(name, head)
}

/// Fills `bytes` from this place of a file, whatever its cursor.
#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

/// Fills `bytes` from this place of a file; every read names its place, so that threads do not disturb each other.
#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => (bytes, at) = (&mut bytes[n..], at + n as u64),
        }
    }
    Ok(())
}
