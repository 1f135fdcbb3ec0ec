//! A program that solves jobs: one line of JSON in, one line out. Ours and the peers' speak the same way.

use crate::Result;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// A solver that can be asked to solve a problem to a tolerance of its own meaning.
pub(super) struct Contestant {
    name: &'static str,
    command: fn(&str, &Where<'_>) -> Command,
    process: Option<Process>,
}

/// What it takes to start one.
pub(super) struct Where<'a> {
    pub(super) python: &'a std::path::Path,
    pub(super) threads: usize,
}

struct Process {
    child: Child,
    jobs: ChildStdin,
    answers: Receiver<String>,
}

/// How a job ended.
pub(super) enum Answer {
    /// The solver's word.
    Solved(Value),
    /// It took longer than it was given and was ended, or failed; the text says which.
    Failed(String),
}

impl Contestant {
    /// The one of this name, started by `command` when it is first asked.
    pub(super) fn new(name: &'static str, command: fn(&str, &Where<'_>) -> Command) -> Self {
        Self {
            name,
            command,
            process: None,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Hands over a job and waits for the answer, at most so long.
    pub(super) fn ask(&mut self, place: &Where<'_>, job: &Value, most: Duration) -> Result<Answer> {
        if self.process.is_none() {
            self.process = Some(Process::start((self.command)(self.name, place))?);
        }
        let process = self.process.as_mut().expect("just started");
        writeln!(process.jobs, "{job}")
            .map_err(|e| format!("{} does not listen: {e}", self.name))?;
        let answer = match process.answers.recv_timeout(most) {
            Ok(line) => serde_json::from_str::<Value>(&line)
                .map_err(|e| format!("the answer of {} to {job}: {e}: {line}", self.name))?,
            Err(RecvTimeoutError::Timeout) => {
                self.process = None;
                return Ok(Answer::Failed(format!("ended after {} s", most.as_secs())));
            }
            Err(RecvTimeoutError::Disconnected) => {
                self.process = None;
                json!({ "error": "ended without an answer" })
            }
        };
        match answer.get("error") {
            Some(e) => Ok(Answer::Failed(e.to_string())),
            None => Ok(Answer::Solved(answer)),
        }
    }
}

impl Process {
    fn start(mut command: Command) -> Result<Self> {
        let shown = crate::tools::shown(&command);
        let mut child = command
            .current_dir(crate::tools::root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot start `{shown}`: {e}"))?;
        let (sender, answers) = channel();
        let output = child.stdout.take().expect("stdout is piped");
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(|l| l.ok()) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let jobs = child.stdin.take().expect("stdin is piped");
        Ok(Self {
            child,
            jobs,
            answers,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
