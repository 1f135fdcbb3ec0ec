//! Traces.

use quadric::core::{TraceWriter, read_trace};

/// A trace that can be read is continued without a change to its steps.
pub fn trace(input: &[u8]) {
    let Ok(read) = read_trace(input, "input") else {
        return;
    };
    assert!(read.records.windows(2).all(|w| w[0].it < w[1].it));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("trace.jsonl");
    std::fs::write(&path, input).expect("a file");
    drop(TraceWriter::resume(&path, &read.header).expect("a readable trace goes on"));
    let bytes = std::fs::read(&path).expect("a file");
    assert!(input.starts_with(&bytes));
    let again = read_trace(bytes.as_slice(), "continued").expect("it stays readable");
    assert!(again.end.is_none());
    // NaN differs from itself, its text does not.
    let text = |records| format!("{records:?}");
    assert_eq!(text(&again.records), text(&read.records));
    // The header writes itself down.
    let mut written = Vec::new();
    drop(TraceWriter::new(&mut written, &read.header));
    let header = read_trace(written.as_slice(), "written")
        .expect("a header")
        .header;
    assert_eq!(header, read.header);
}
