//! What goes to the terminal, and nothing else does.

use quadric::core::{Error, Result};
use serde_json::{Value, json};
use std::error::Error as _;
use std::io::Write;

/// Writes a result to stdout.
///
/// # Errors
/// Stdout is closed or full.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let ends = if text.ends_with('\n') { "" } else { "\n" };
    write!(out, "{text}{ends}")
        .and_then(|()| out.flush())
        .map_err(|e| Error::io("write to", "standard output", e))
}

/// Writes one JSON document to stdout.
///
/// # Errors
/// Stdout is closed or full.
pub(crate) fn print_json(value: &Value) -> Result<()> {
    print(&format!("{value:#}"))
}

/// A remark for the person at the terminal. Where it cannot be written there is nobody to tell.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable(text));
}

/// The reader of our pipe went away: end quietly.
pub(crate) fn is_closed_pipe(e: &Error) -> bool {
    e.source()
        .and_then(|s| s.downcast_ref::<std::io::Error>())
        .is_some_and(|s| s.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Reports an error: a sentence on stderr, or a JSON document on stdout.
pub(crate) fn report_error(e: &Error, as_json: bool) {
    if as_json {
        // If stdout is gone as well there is nobody left to tell.
        let _ = print_json(&json!({ "error": error_json(e) }));
        return;
    }
    note(&format!("error: {e}"));
    let mut cause = e.source();
    while let Some(c) = cause {
        note(&format!("  because: {c}"));
        cause = c.source();
    }
}

/// An error as JSON: kind, message, context (file, line, column, hint, cause).
pub(crate) fn error_json(e: &Error) -> Value {
    let mut context = serde_json::Map::new();
    if let Some(place) = e.place() {
        context.insert("file".into(), json!(place.file));
        if place.line > 0 {
            context.insert("line".into(), json!(place.line));
        }
        if place.column > 0 {
            context.insert("column".into(), json!(place.column));
        }
    }
    if let Some(hint) = e.hint() {
        context.insert("hint".into(), json!(hint));
    }
    if let Some(cause) = e.source() {
        context.insert("cause".into(), json!(cause.to_string()));
    }
    json!({ "kind": e.kind().name(), "message": e.message(), "context": context })
}

/// Text from files and names, without the control characters that could drive a terminal.
pub(crate) fn printable(text: &str) -> String {
    let hidden = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    text.chars()
        .map(|c| if hidden(c) { '\u{fffd}' } else { c })
        .collect()
}
