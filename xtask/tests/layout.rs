//! The shape of the workspace: who may call whom, and how long a file may be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The arrows of DESIGN.md: a crate and the crates of ours that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("quadric-linalg", &[]),
    ("quadric-autodiff", &["quadric-linalg"]),
    ("quadric-core", &["quadric-linalg"]),
    ("quadric-curvature", &["quadric-core", "quadric-linalg"]),
    ("quadric-data", &["quadric-core", "quadric-linalg"]),
    (
        "quadric-models",
        &["quadric-core", "quadric-linalg", "quadric-data"],
    ),
    (
        "quadric-nn",
        &[
            "quadric-autodiff",
            "quadric-core",
            "quadric-data",
            "quadric-linalg",
        ],
    ),
    ("quadric-opt", &["quadric-core", "quadric-linalg"]),
    ("quadric-report", &["quadric-core"]),
    (
        "quadric",
        &[
            "quadric-autodiff",
            "quadric-core",
            "quadric-curvature",
            "quadric-data",
            "quadric-linalg",
            "quadric-models",
            "quadric-nn",
            "quadric-opt",
            "quadric-report",
        ],
    ),
    ("quadric-cli", &["quadric"]),
    ("xtask", &[]),
];

/// Lines of a source file, tests included.
const LONGEST_FILE: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the root")
        .to_owned()
}

#[test]
fn crates_use_only_what_lies_below_them() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let crates = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|e| e.unwrap().path());
    let mut seen = 0;
    for folder in crates.chain([root().join("xtask")]) {
        let text = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        let name = manifest["package"]["name"].as_str().unwrap();
        let allowed = allowed
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not in the table of arrows"));
        let uses = manifest
            .get("dependencies")
            .and_then(toml::Value::as_table)
            .into_iter()
            .flatten();
        for (used, _) in uses.filter(|(used, _)| used.starts_with("quadric")) {
            assert!(
                allowed.contains(&used.as_str()),
                "{name} must not use {used}"
            );
        }
        seen += 1;
    }
    assert_eq!(seen, ARROWS.len(), "a crate in the table does not exist");
}

#[test]
fn no_source_file_is_too_long() {
    let mut long = Vec::new();
    let mut folders = ["crates", "xtask", "fuzz/src"]
        .map(|f| root().join(f))
        .to_vec();
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs" || e == "py") {
                files += 1;
                let lines = std::fs::read_to_string(&path).unwrap().lines().count();
                if lines > LONGEST_FILE {
                    long.push(format!("{}: {lines} lines", path.display()));
                }
            }
        }
    }
    assert!(files > 50, "only {files} source files were found");
    assert!(
        long.is_empty(),
        "over {LONGEST_FILE} lines, split by concept:\n{}",
        long.join("\n")
    );
}

/// Sums of floating-point numbers must not depend on how a thread pool splits them.
#[test]
fn no_parallel_float_reduction() {
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let flat: String = text.split_whitespace().collect();
                for banned in ["par_bridge(", ".reduce_with("] {
                    assert!(
                        !flat.contains(banned),
                        "{}: {banned}) regroups sums",
                        path.display()
                    );
                }
                if flat.contains("par_iter()")
                    || flat.contains("into_par_iter()")
                    || flat.contains("par_chunks")
                {
                    let parallel = flat.split("par_").skip(1);
                    for chain in parallel {
                        let chain: &str = chain.split(';').next().unwrap_or_default();
                        assert!(
                            !chain.contains(".sum::<f"),
                            "{}: a parallel float sum",
                            path.display()
                        );
                    }
                }
            }
        }
    }
}

/// The code that CONTRIBUTING.md shows is the code that is compiled and run.
#[test]
fn contributing_shows_what_is_tested() {
    let page = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let mut shown = 0;
    for block in page.split("```rust\n// ").skip(1) {
        let (path, rest) = block.split_once('\n').unwrap();
        let code = rest.split("```\n").next().unwrap();
        let file = std::fs::read_to_string(root().join(path)).unwrap();
        assert!(
            file == code,
            "CONTRIBUTING.md shows another version of {path}"
        );
        shown += 1;
    }
    assert_eq!(shown, 3);
}

/// Every id of the reliability suite has a row in docs/dev/reliability.md, and every test that the page names exists.
#[test]
fn the_reliability_page_names_real_tests() {
    let page = std::fs::read_to_string(root().join("docs/dev/reliability.md")).unwrap();
    let ids = |letter: char, last: u32| (1..=last).map(move |n| format!("{letter}{n:02}"));
    let wanted = ids('N', 17)
        .chain(ids('D', 8))
        .chain(ids('S', 13))
        .chain(ids('F', 12))
        .chain(ids('C', 11));
    for id in wanted {
        let start = format!("| {id} |");
        assert!(
            page.lines().any(|l| l.starts_with(&start)),
            "no row for {id}"
        );
    }
    let mut named = 0;
    for row in page.lines().filter(|l| l.starts_with("| ")) {
        let shown = row.split('|').nth(2).unwrap_or_default();
        let mut text = String::new();
        // Files are followed by the tests in them, all in backticks.
        for name in shown.split('`').skip(1).step_by(2) {
            if name.ends_with(".rs") {
                text = std::fs::read_to_string(root().join(name))
                    .unwrap_or_else(|e| panic!("{name}: {e}"));
                continue;
            }
            named += 1;
            // Tests of tables are closures with a name in quotes.
            let exists =
                text.contains(&format!("fn {name}(")) || text.contains(&format!("\"{name}\""));
            assert!(exists, "there is no test `{name}` where {row} says");
        }
    }
    assert!(named > 60, "only {named} tests are named");
}
