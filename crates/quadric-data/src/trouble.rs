//! What a user should know about a file that could be read all the same.

use std::fmt;

/// The kind of a [`Trouble`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TroubleKind {
    /// Values are missing.
    Missing,
    /// A column has the same value in every row.
    Constant,
    /// Two columns have the same name; the later one was renamed.
    DuplicateName,
    /// A column has no name and is called by its number.
    NoName,
    /// A column holds numbers and text, or text that looks like a number.
    NotNumeric,
    /// A text column has more different values than the limit and was left out.
    TooManyCategories,
    /// A value is infinite or beyond the range of a double.
    NonFinite,
    /// Sequences do not all have the same length.
    Lengths,
    /// No target was found.
    NoTarget,
}

/// Something a user should know about the data, with the column and the lines where it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Trouble {
    /// What it is.
    pub kind: TroubleKind,
    /// The column, where it is about one.
    pub column: Option<String>,
    /// The first lines of the file that show it (at most [`Trouble::LINES`]); empty for files without lines.
    pub lines: Vec<u64>,
    /// The whole sentence.
    pub message: String,
}

impl Trouble {
    /// Most lines that are listed.
    pub const LINES: usize = 32;

    pub(crate) fn new(kind: TroubleKind, column: Option<&str>, message: impl Into<String>) -> Self {
        Self {
            kind,
            column: column.map(str::to_owned),
            lines: Vec::new(),
            message: message.into(),
        }
    }

    pub(crate) fn at(mut self, lines: &[u64]) -> Self {
        self.lines = lines.to_vec();
        self
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Remarks on numbered features with one value in every row, given with these values: those that are zero together, the
/// first of the others one by one.
pub(crate) fn constant(
    features: usize,
    constants: impl Iterator<Item = (usize, f64)>,
) -> Vec<Trouble> {
    let (mut zeros, mut problems) = (0, Vec::new());
    for (j, v) in constants {
        if v == 0.0 {
            zeros += 1;
        } else if problems.len() < Trouble::LINES {
            let column = (j + 1).to_string();
            let message = format!("feature {column} is {v} in every row");
            problems.push(Trouble::new(TroubleKind::Constant, Some(&column), message));
        }
    }
    if zeros > 0 {
        let message = format!("{zeros} of {features} features are zero in every row");
        problems.insert(0, Trouble::new(TroubleKind::Constant, None, message));
    }
    problems
}

/// `lines 3 to 5, 9` for the first of `total` line numbers.
pub(crate) fn spell_lines(lines: &[u64], total: usize) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &line in lines {
        match runs.last_mut() {
            Some((_, last)) if *last == line => {}
            Some((_, last)) if *last + 1 == line => *last = line,
            _ => runs.push((line, line)),
        }
    }
    let shown: Vec<String> = runs
        .iter()
        .take(8)
        .map(|(a, b)| match b - a {
            0 => a.to_string(),
            1 => format!("{a}, {b}"),
            _ => format!("{a} to {b}"),
        })
        .collect();
    let more = if runs.len() > 8 || total > lines.len() {
        " and more"
    } else {
        ""
    };
    let word = if shown.len() == 1 && !shown[0].contains([' ', ',']) {
        "line"
    } else {
        "lines"
    };
    format!("{word} {}{more}", shown.join(", "))
}

/// Bytes of a file as they are shown in a message: short, and without control characters.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(160)]);
    let mut shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().count() > 40 {
        shown.push('…');
    }
    format!("`{shown}`")
}
