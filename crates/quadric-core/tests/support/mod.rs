//! Small problems and methods with known answers.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use faer::{MatMut, MatRef};
use quadric_core::{
    BoxOp, Context, Error, ErrorKind, Exit, FiniteSum, LinearOperator, Method, Objective, Problem,
    Properties, Reading, Result, Scalar, Smooth, TwiceSmooth, capabilities, state, vector,
};
use std::sync::atomic::{AtomicU64, Ordering};

/// A diagonal matrix.
pub struct Diagonal(pub Vec<f64>);

impl LinearOperator<f64> for Diagonal {
    fn shape(&self) -> (usize, usize) {
        (self.0.len(), self.0.len())
    }
    fn apply(&self, x: MatRef<'_, f64>, mut y: MatMut<'_, f64>) -> Result<()> {
        for j in 0..x.ncols() {
            for (i, d) in self.0.iter().enumerate() {
                y[(i, j)] = d * x[(i, j)];
            }
        }
        Ok(())
    }
    fn properties(&self) -> Properties {
        Properties {
            symmetric: true,
            psd: self.0.iter().all(|d| *d >= 0.0),
            random: false,
        }
    }
}

/// Mean over rows i of `sqrt(1 + (x_i - i/n)^2)` times `weight_i`: minimum at `x_i = i/n`, a row per unknown.
pub struct PseudoHuber {
    pub weights: Vec<f64>,
    pub rows: Vec<usize>,
}

impl PseudoHuber {
    pub fn new(n: usize) -> Self {
        Self {
            weights: (0..n).map(|i| 1.0 + (i % 7) as f64).collect(),
            rows: (0..n).collect(),
        }
    }
    fn target(&self, i: usize) -> f64 {
        i as f64 / self.weights.len() as f64
    }
    fn scale(&self) -> f64 {
        1.0 / self.rows.len() as f64
    }
}

impl Problem<f64> for PseudoHuber {
    fn dim(&self) -> usize {
        self.weights.len()
    }
    fn name(&self) -> &str {
        "pseudo-huber"
    }
    capabilities!(f64: TwiceSmooth, FiniteSum);
}

impl Objective<f64> for PseudoHuber {
    fn value(&self, x: &[f64]) -> Result<f64> {
        let terms = self.rows.iter();
        let sum: f64 = terms
            .map(|&i| self.weights[i] * (x[i] - self.target(i)).hypot(1.0))
            .sum();
        Ok(sum * self.scale())
    }
}

impl Smooth<f64> for PseudoHuber {
    fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
        g.fill(0.0);
        for &i in &self.rows {
            let t = x[i] - self.target(i);
            g[i] += self.scale() * self.weights[i] * t / t.hypot(1.0);
        }
        self.value(x)
    }
}

impl TwiceSmooth<f64> for PseudoHuber {
    fn hessian(&self, x: &[f64]) -> Result<BoxOp<'_, f64>> {
        let mut d = vec![0.0; x.len()];
        for &i in &self.rows {
            let t = (x[i] - self.target(i)).hypot(1.0);
            d[i] += self.scale() * self.weights[i] * t.powi(-3);
        }
        Ok(Box::new(Diagonal(d)))
    }
}

impl FiniteSum<f64> for PseudoHuber {
    fn terms(&self) -> usize {
        self.rows.len()
    }
    fn batch(&self, rows: &[usize]) -> Result<Box<dyn FiniteSum<f64> + '_>> {
        if let Some(row) = rows.iter().find(|r| **r >= self.rows.len()) {
            return Err(Error::argument("row", row, "a row of the problem"));
        }
        Ok(Box::new(Self {
            weights: self.weights.clone(),
            rows: rows.iter().map(|&r| self.rows[r]).collect(),
        }))
    }
}

/// `x' A x / 2 - b' x` with a diagonal A, in either scalar type.
pub struct Quadratic<T> {
    pub a: Vec<T>,
    pub b: Vec<T>,
}

macro_rules! quadratic {
    ($t:ty) => {
        impl Problem<$t> for Quadratic<$t> {
            fn dim(&self) -> usize {
                self.a.len()
            }
            fn name(&self) -> &str {
                "quadratic"
            }
            capabilities!($t: Smooth);
        }
        impl Objective<$t> for Quadratic<$t> {
            fn value(&self, x: &[$t]) -> Result<f64> {
                let terms = x.iter().zip(&self.a).zip(&self.b);
                Ok(terms.map(|((x, a), b)| f64::from((a * x / 2.0 - b) * x)).sum())
            }
        }
        impl Smooth<$t> for Quadratic<$t> {
            fn value_grad(&self, x: &[$t], g: &mut [$t]) -> Result<f64> {
                for (g, ((x, a), b)) in g.iter_mut().zip(x.iter().zip(&self.a).zip(&self.b)) {
                    *g = a * x - b;
                }
                self.value(x)
            }
        }
    };
}
quadratic!(f64);
quadratic!(f32);

state! {
    /// Velocity and gradient.
    pub struct Velocity[T: Scalar] { v: Vec<T>, g: Vec<T> }
}

/// Gradient steps with momentum.
#[derive(Clone, Copy)]
pub struct HeavyBall {
    pub lr: f64,
    pub momentum: f64,
}

impl<T: Scalar> Method<T> for HeavyBall {
    type Problem<'p> = dyn Smooth<T> + 'p;
    type State = Velocity<T>;

    fn init<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        _: &mut Context,
    ) -> Result<(Velocity<T>, Reading)> {
        let mut s = Velocity {
            v: vec![T::of(0.0); x.len()],
            g: x.to_vec(),
        };
        let at = Reading::at(p.value_grad(x, &mut s.g)?, vector::max_abs(&s.g));
        Ok((s, at))
    }

    fn step<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [T],
        s: &mut Velocity<T>,
        cx: &mut Context,
    ) -> Result<Reading> {
        for (v, g) in s.v.iter_mut().zip(&s.g) {
            *v = T::of(self.momentum * v.to_f64() - self.lr * g.to_f64());
        }
        vector::axpy(1.0, &s.v, x);
        cx.note("speed", vector::norm2(&s.v));
        Ok(Reading::at(
            p.value_grad(x, &mut s.g)?,
            vector::max_abs(&s.g),
        ))
    }

    fn recover(&self, s: &mut Velocity<T>) -> bool {
        s.v.fill(T::of(0.0));
        true
    }
}

state! {
    /// A running mean of gradients, and how many are in it.
    pub struct Averages { mean: Vec<f64>, seen: u64, nested: Tail }
}
state! {
    /// A part of a state, with a vector that grows.
    pub struct Tail { values: Vec<f64>, flag: bool }
}

/// Stochastic gradient steps on random batches; evaluates nothing but batches and reports no optimality.
#[derive(Clone, Copy)]
pub struct Sgd {
    pub lr: f64,
    pub batch: usize,
}

impl Method<f64> for Sgd {
    type Problem<'p> = dyn FiniteSum<f64> + 'p;
    type State = Averages;

    fn init<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [f64],
        _: &mut Context,
    ) -> Result<(Averages, Reading)> {
        let state = Averages {
            mean: vec![0.0; x.len()],
            seen: 0,
            nested: Tail {
                values: Vec::new(),
                flag: false,
            },
        };
        let reading = Reading {
            value: Some(p.value(x)?),
            ..Reading::default()
        };
        Ok((state, reading))
    }

    fn step<'p>(
        &self,
        p: &'p Self::Problem<'p>,
        x: &mut [f64],
        s: &mut Averages,
        cx: &mut Context,
    ) -> Result<Reading> {
        let mut stream = cx.seeds.child("batches").stream(cx.it);
        let rows: Vec<usize> = (0..self.batch).map(|_| stream.below(p.terms())).collect();
        let batch = p.batch(&rows)?;
        let mut g = vec![0.0; x.len()];
        let value = batch.value_grad(x, &mut g)?;
        s.seen += 1;
        for (m, g) in s.mean.iter_mut().zip(&g) {
            *m += (g - *m) / s.seen as f64;
        }
        s.nested.flag = !s.nested.flag;
        if s.nested.flag {
            s.nested.values.push(value);
        }
        let noise = 1e-3 * stream.normal();
        for ((x, g), m) in x.iter_mut().zip(&g).zip(&s.mean) {
            *x -= self.lr * (0.9 * g + 0.1 * m) + self.lr * noise;
        }
        Ok(Reading {
            value: Some(p.value(x)?),
            ..Reading::default()
        })
    }
}

/// Claims to have finished or stalled at once, wherever it is.
pub struct Liar(pub Exit);

impl Method<f64> for Liar {
    type Problem<'p> = dyn Smooth<f64> + 'p;
    type State = ();

    fn init<'p>(
        &self,
        _: &'p Self::Problem<'p>,
        _: &mut [f64],
        _: &mut Context,
    ) -> Result<((), Reading)> {
        Ok(((), Reading::at(0.0, 1.0)))
    }
    fn step<'p>(
        &self,
        _: &'p Self::Problem<'p>,
        _: &mut [f64],
        (): &mut (),
        _: &mut Context,
    ) -> Result<Reading> {
        Ok(Reading::at(-1.0, 0.0).exit(self.0.clone()))
    }
}

/// What a hostile problem does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trick {
    Value(f64),
    Fail,
    Panic,
    FlipGradient,
    HugeGradient,
}

/// Behaves like the inner problem but for the k-th gradient (from 1) and, if `forever`, all later ones.
pub struct Chaos<P> {
    pub inner: P,
    pub trick: Trick,
    pub at: u64,
    pub forever: bool,
    pub seen: AtomicU64,
}

impl<P> Chaos<P> {
    pub fn new(inner: P, trick: Trick, at: u64) -> Self {
        Self {
            inner,
            trick,
            at,
            forever: false,
            seen: AtomicU64::new(0),
        }
    }
    fn strikes(&self) -> bool {
        let k = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        k == self.at || (self.forever && k > self.at)
    }
}

impl<P: Smooth<f64>> Problem<f64> for Chaos<P> {
    fn dim(&self) -> usize {
        self.inner.dim()
    }
    capabilities!(f64: Smooth);
}

impl<P: Smooth<f64>> Objective<f64> for Chaos<P> {
    fn value(&self, x: &[f64]) -> Result<f64> {
        self.inner.value(x)
    }
}

impl<P: Smooth<f64>> Smooth<f64> for Chaos<P> {
    fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
        let strikes = self.strikes();
        let value = self.inner.value_grad(x, g)?;
        if !strikes {
            return Ok(value);
        }
        match self.trick {
            Trick::Value(v) => return Ok(v),
            Trick::Fail => return Err(Error::new(ErrorKind::Numeric, "the evaluation broke down")),
            Trick::Panic => panic!("the user's own panic"),
            Trick::FlipGradient => vector::scale(-1.0, g),
            Trick::HugeGradient => vector::scale(1e6, g),
        }
        Ok(value)
    }
}

/// A directory for files that need not survive anything: in memory where the system has such a place, because the tests
/// sync thousands of times.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}
