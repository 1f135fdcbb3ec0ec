//! SciPy's methods in a process of their own (`bench/minimize_scipy.py`). The pipe's time is nobody's: a run's time is what Python
//! spent outside of its questions, which Python tells with each one, and what the answers took here.

use crate::{EVALUATIONS, End, Failure, clock, is_over};
use quadric::core::{BoxOp, Smooth, TwiceSmooth};
use quadric::linalg::apply_vector;
use quadric::models::nls::{Effort, Referee, TestProblem};
use serde_json::json;
use std::io::{BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

pub const METHODS: &[&str] = &["BFGS", "L-BFGS-B", "trust-ncg", "trust-krylov"];

/// Unknowns up to which Hessians are written down; beyond, their products are asked for.
const DENSE: usize = 300;

pub struct Scipy {
    child: Child,
    to: BufWriter<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Drop for Scipy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is asked and told, in bytes as `minimize_scipy.py` has them.
const DONE: u8 = 0;
const GRADIENT: u8 = 1;
const HESSIAN: u8 = 2;
const PRODUCT: u8 = 3;
const GO: u8 = 0;
const STOP: u8 = 1;

impl Scipy {
    pub fn start(python: &str) -> Result<Self, Failure> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../minimize_scipy.py");
        let mut child = Command::new(python)
            .arg(script)
            .env("OPENBLAS_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let to = BufWriter::new(child.stdin.take().ok_or("no pipe")?);
        let from = BufReader::with_capacity(1 << 20, child.stdout.take().ok_or("no pipe")?);
        Ok(Self { child, to, from })
    }

    fn floats(&mut self, out: &mut [f64]) -> Result<(), Failure> {
        let mut bytes = [0; 8];
        for v in out {
            self.from.read_exact(&mut bytes)?;
            *v = f64::from_le_bytes(bytes);
        }
        Ok(())
    }

    fn tell(&mut self, values: &[f64]) -> Result<(), Failure> {
        for v in values {
            self.to.write_all(&v.to_le_bytes())?;
        }
        Ok(())
    }

    pub fn run(&mut self, test: &TestProblem, method: &str) -> Result<End, Failure> {
        let n = test.start.len();
        let job = json!({
            "method": method, "n": n, "dense": n <= DENSE, "most": EVALUATIONS,
        });
        writeln!(self.to, "{job}")?;
        self.tell(&test.start)?;
        self.to.flush()?;
        let clock = clock();
        let referee = Referee::new(test, &clock);
        let mut run = Run::new(&referee, n);
        loop {
            let mut op = [0];
            self.from.read_exact(&mut op)?;
            let mut python = [0.0];
            self.floats(&mut python)?;
            if op[0] == DONE {
                return Ok(run.end(python[0]));
            }
            self.floats(&mut run.x)?;
            if op[0] == PRODUCT {
                self.floats(&mut run.v)?;
            }
            run.answer(op[0], python[0])?;
            self.to
                .write_all(&[if run.is_over() { STOP } else { GO }])?;
            if op[0] == GRADIENT {
                self.tell(&[run.value])?;
            }
            self.tell(&run.out)?;
            self.to.flush()?;
        }
    }
}

/// A run as seen from here.
struct Run<'a, 'r> {
    referee: &'a Referee<'r>,
    x: Vec<f64>,
    v: Vec<f64>,
    out: Vec<f64>,
    value: f64,
    best: f64,
    /// The newest Hessian and its point.
    hessian: Option<(Vec<f64>, BoxOp<'a, f64>)>,
    /// Time of the answers.
    answers: Duration,
    reached: Option<Effort>,
}

impl<'a, 'r> Run<'a, 'r> {
    fn new(referee: &'a Referee<'r>, n: usize) -> Self {
        Self {
            referee,
            x: vec![0.0; n],
            v: vec![0.0; n],
            out: Vec::new(),
            value: f64::NAN,
            best: f64::INFINITY,
            hessian: None,
            answers: Duration::ZERO,
            reached: None,
        }
    }

    fn is_over(&self) -> bool {
        self.reached.is_some() || is_over(self.referee)
    }

    fn answer(&mut self, op: u8, python: f64) -> Result<(), Failure> {
        let n = self.x.len();
        let start = Instant::now();
        if op == GRADIENT {
            self.out.resize(n, 0.0);
            self.value = self.referee.value_grad(&self.x, &mut self.out)?;
            if self.value < self.best {
                self.best = self.value;
            }
        } else {
            let is_old = self.hessian.as_ref().is_some_and(|(x, _)| *x == self.x);
            if !is_old {
                let hessian = self.referee.hessian(&self.x)?;
                self.hessian = Some((self.x.clone(), hessian));
            }
            let (_, hessian) = self.hessian.as_ref().ok_or("just made")?;
            if op == HESSIAN {
                self.out.resize(n * n, 0.0);
                let out = faer::MatMut::from_column_major_slice_mut(&mut self.out, n, n);
                hessian.dense(out)?;
            } else {
                self.out.resize(n, 0.0);
                apply_vector(hessian, &self.v, &mut self.out)?;
            }
        }
        self.answers += start.elapsed();
        if self.reached.is_none() {
            self.reached = self.referee.reached().map(|e| self.effort(e, python));
        }
        Ok(())
    }

    fn effort(&self, counted: Effort, python: f64) -> Effort {
        Effort {
            time: self.answers + Duration::from_secs_f64(python.max(0.0)),
            ..counted
        }
    }

    fn end(&self, python: f64) -> End {
        End {
            reached: self.reached,
            spent: self.effort(self.referee.spent(), python),
            value: Some(self.best).filter(|v| v.is_finite()),
            status: if self.reached.is_some() {
                "reached"
            } else if is_over(self.referee) {
                "max_evaluations"
            } else {
                "stopped"
            }
            .to_owned(),
        }
    }
}
