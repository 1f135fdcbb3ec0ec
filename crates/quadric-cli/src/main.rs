//! The `quadric` command: results on stdout, everything else on stderr.

mod args;
mod bar;
mod commands;
mod console;
mod model_file;
mod progress;
mod race;

use args::{Cli, Command};
use clap::Parser;
use quadric::core::{Error, ErrorKind, Result};
use quadric::linalg::parallel;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Of a thread, as large as that of the main thread usually is.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    let json = cli.global.json;
    match run(cli) {
        Ok(code) => code,
        Err(e) if console::is_closed_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            console::report_error(&e, json);
            ExitCode::from(exit_code(e.kind()))
        }
    }
}

/// Help, version and usage errors; with `--json` a usage error is a JSON document too.
fn usage(e: &clap::Error) -> ExitCode {
    if e.use_stderr() && std::env::args().any(|a| a == "--json") {
        let message = e.to_string();
        let first = message
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        console::report_error(&Error::new(ErrorKind::Argument, first), true);
        return ExitCode::from(2);
    }
    // A closed pipe while printing help is nobody's error.
    let _ = e.print();
    ExitCode::from(u8::from(e.use_stderr()) * 2)
}

fn run(cli: Cli) -> Result<ExitCode> {
    start_threads(cli.global.threads)?;
    let interrupt = on_interrupt()?;
    parallel::within(|| dispatch(cli, &interrupt))
}

fn start_threads(threads: Option<usize>) -> Result<()> {
    if threads == Some(0) {
        return Err(Error::argument("threads", 0, "at least 1"));
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.unwrap_or(0))
        .stack_size(STACK)
        .build_global()
        .map_err(|e| Error::new(ErrorKind::Resource, "cannot start the threads").with_source(e))
}

fn dispatch(cli: Cli, interrupt: &Arc<AtomicBool>) -> Result<ExitCode> {
    let global = cli.global;
    match cli.command {
        Command::Fit(a) => commands::fit::run(&a, &global, interrupt),
        Command::Predict(a) => commands::predict::run(&a, &global),
        Command::Minimize(a) => commands::minimize::run(&a, &global, interrupt),
        Command::Compare(a) => commands::compare::run(&a, &global, interrupt),
        Command::Data(a) => commands::data::run(&a, &global),
        Command::Model(a) => commands::model::run(&a, &global),
        Command::Curvature(a) => commands::curvature::run(&a, &global, interrupt),
        Command::Reproduce(a) => commands::reproduce::run(&a, &global, interrupt),
        Command::Report(a) => commands::report::run(&a, &global),
        Command::Methods(a) => commands::methods::run(&a, &global),
        Command::Completions(a) => commands::completions::run(&a),
    }
}

/// The first signal asks the run to stop after the evaluation at hand; the second ends the process at once.
fn on_interrupt() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::SeqCst) {
            #[allow(clippy::exit)]
            std::process::exit(130);
        }
    })
    .map_err(|e| Error::new(ErrorKind::Internal, "cannot watch for Ctrl-C").with_source(e))?;
    Ok(flag)
}

fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Argument | ErrorKind::Capability => 2,
        ErrorKind::Data | ErrorKind::Shape | ErrorKind::NonFinite | ErrorKind::Malformed => 3,
        ErrorKind::Io => 5,
        ErrorKind::Resource => 6,
        ErrorKind::Stopped => 130,
        _ => 1,
    }
}
