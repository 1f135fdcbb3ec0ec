//! Aligned tables for a terminal.

use crate::format::clean;

/// A table of text: heads, whether their columns are flushed left, and rows with a style each.
#[derive(Default)]
pub(crate) struct Grid {
    heads: Vec<(String, bool)>,
    rows: Vec<(&'static str, Vec<String>)>,
}

impl Grid {
    /// A table with these columns: the head, and whether the column is flushed left.
    pub(crate) fn new(heads: &[(&str, bool)]) -> Self {
        let heads = heads.iter().map(|(head, left)| ((*head).to_owned(), *left));
        Self {
            heads: heads.collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, painted in a style of the terminal (`33` is yellow) or in none.
    pub(crate) fn row(&mut self, style: &'static str, cells: Vec<String>) {
        self.rows.push((style, cells));
    }

    /// The lines of the table, each at most `width` characters long.
    pub(crate) fn text(&self, width: usize, colour: bool) -> String {
        let columns = self.heads.iter().enumerate();
        let widths: Vec<usize> = columns
            .map(|(i, (head, _))| {
                let cells = self.rows.iter().filter_map(|(_, cells)| cells.get(i));
                cells
                    .map(|c| length(c))
                    .max()
                    .unwrap_or(0)
                    .max(length(head))
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded = cells.zip(self.heads.iter().zip(&widths));
            let padded = padded.map(|(cell, ((_, left), width))| pad(cell, *width, *left));
            clean(join(padded).as_str(), width)
        };
        let heads = line(&mut self.heads.iter().map(|(head, _)| head.as_str()));
        let mut out = paint(&heads, "1", colour);
        for (style, cells) in &self.rows {
            out.push('\n');
            let cells = line(&mut cells.iter().map(String::as_str));
            out.push_str(&paint(&cells, style, colour));
        }
        out.push('\n');
        out
    }
}

pub(crate) fn length(text: &str) -> usize {
    text.chars().count()
}

/// Cells side by side.
pub(crate) fn join(cells: impl Iterator<Item = String>) -> String {
    let line = cells.collect::<Vec<_>>().join("  ");
    line.trim_end().to_owned()
}

/// Text with blanks up to a width.
pub(crate) fn pad(text: &str, width: usize, left: bool) -> String {
    let fill = " ".repeat(width.saturating_sub(length(text)));
    if left {
        format!("{text}{fill}")
    } else {
        format!("{fill}{text}")
    }
}

/// Text in a style of the terminal, where colours are wanted.
pub(crate) fn paint(text: &str, style: &str, colour: bool) -> String {
    if colour && !style.is_empty() {
        format!("\u{1b}[{style}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}
