//! One command per intention: `cargo xtask {check,test,fuzz,docs,generate,bench,readme,ci}`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod fuzz;
mod generate;
mod readme;
mod tests;
mod tools;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <task>

  check      formatting and lints, warnings denied
  test       every test this machine can run; says what it skips and how to enable it
  fuzz       cargo xtask fuzz [target] [--seconds 60]: search for inputs that break a reader or a program
  docs       API documentation, warnings denied
  generate   write the generated pages under docs/ (with --check: fail if they are out of date)
  bench      cargo xtask bench <suite> [WORK...] [--tiny]: measure, write bench/record/<suite>.json and COMPARE.md's table;
             cargo xtask bench --tables: only write COMPARE.md's tables again
  readme     run the commands that README.md shows
  ci         all but fuzz of the above, as the continuous integration runs it
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| arguments.iter().any(|a| a == name);
    let result = match arguments.first().map(String::as_str) {
        Some("check") => check(),
        Some("test") => tests::run(),
        Some("fuzz") => fuzz::run(&arguments[1..]),
        Some("docs") => docs(),
        Some("generate") => generate::run(flag("--check")),
        Some("bench") if flag("--tables") => bench::tables(),
        Some("bench") => bench(&arguments[1..]),
        Some("readme") => readme::run(),
        Some("ci") => ci(),
        _ => {
            println!("{HELP}");
            return ExitCode::from(if flag("--help") || flag("-h") { 0 } else { 2 });
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e}");
            ExitCode::FAILURE
        }
    }
}

type Result<V = ()> = std::result::Result<V, String>;

fn bench(arguments: &[String]) -> Result {
    let (flags, words): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|a| a.starts_with("--"));
    let size = if flags.iter().any(|f| *f == "--tiny") {
        bench::Size::Tiny
    } else {
        bench::Size::Full
    };
    let (suite, only) = words
        .split_first()
        .ok_or("name a bench suite; see cargo xtask --help")?;
    let only: Vec<String> = only.iter().map(|s| (*s).clone()).collect();
    bench::run(suite, size, &only)
}

fn check() -> Result {
    tools::cargo(&["fmt", "--all", "--check"])?;
    tools::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ])
}

fn docs() -> Result {
    tools::cargo_with(
        &["doc", "--workspace", "--no-deps"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )
}

/// Cheapest check first; the tests last, so that the output ends with their count.
fn ci() -> Result {
    check()?;
    docs()?;
    generate::run(true)?;
    bench::all_tiny()?;
    readme::run()?;
    tests::run()
}
