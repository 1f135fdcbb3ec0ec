//! Replays the seeds of the fuzzer and everything it ever found; see `cargo xtask fuzz`.
#![allow(unreachable_pub, missing_docs)] // The targets are a crate of their own as well.

#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

/// One after another, because the memory of each is measured.
#[test]
fn regressions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/regressions");
    for (name, _) in fuzz::TARGETS {
        let mut files = 0;
        for entry in std::fs::read_dir(folder.join(name)).expect(name) {
            let path = entry.expect("an entry").path();
            println!("{}", path.display());
            fuzz::run(name, &std::fs::read(&path).expect("a file"));
            files += 1;
        }
        assert!(files > 0, "{name} has no seeds");
    }
}
