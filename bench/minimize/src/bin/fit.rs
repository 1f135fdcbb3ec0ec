//! argmin in `cargo xtask bench glm`: a job per line of standard input, the answer per line of standard output, as
//! bench/contestant.py has them.
//!
//! L-BFGS with the line search of argmin's documentation on the objective a user would write: rows in memory, one pass for the
//! predictors of a point, one for its gradient, one thread.

use argmin::core::{CostFunction, Error, Executor, Gradient, State};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use ndarray::Array1;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::time::Instant;

type Failure = Box<dyn std::error::Error>;
type Vector = Array1<f64>;

const MOST_STEPS: u64 = 100_000;
/// Pairs that L-BFGS remembers.
const MEMORY: usize = 10;
/// Dense where more than this part of the entries is stored.
const DENSE: f64 = 0.25;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    Logistic,
    Softmax,
    Squared,
}

enum Rows {
    Dense(Vec<f64>),
    Sparse {
        starts: Vec<usize>,
        columns: Vec<u32>,
        values: Vec<f64>,
    },
}

struct Data {
    rows: Rows,
    columns: usize,
    /// The value, -1 and +1, or the index of the class.
    targets: Vec<f64>,
    classes: usize,
}

/// Predictors at the point last asked for: argmin wants value and gradient one after the other.
#[derive(Default)]
struct Last {
    at: Vec<f64>,
    eta: Vec<f64>,
}

struct Model<'a> {
    data: &'a Data,
    loss: Loss,
    l2: f64,
    last: RefCell<Last>,
}

impl Rows {
    fn dot(&self, i: usize, w: &[f64]) -> f64 {
        match self {
            Self::Dense(x) => {
                let row = &x[i * w.len()..(i + 1) * w.len()];
                let mut lanes = [0.0; 8];
                let (rows, ends) = row.as_chunks::<8>();
                let (weights, last) = w.as_chunks::<8>();
                for (x, w) in rows.iter().zip(weights) {
                    (0..8).for_each(|l| lanes[l] += x[l] * w[l]);
                }
                let rest = ends.iter().zip(last).map(|(x, w)| x * w);
                lanes.iter().sum::<f64>() + rest.sum::<f64>()
            }
            Self::Sparse {
                starts,
                columns,
                values,
            } => {
                let range = starts[i]..starts[i + 1];
                let entries = columns[range.clone()].iter().zip(&values[range]);
                entries.map(|(j, v)| v * w[*j as usize]).sum()
            }
        }
    }

    /// `g <- g + r x_i`.
    fn add(&self, i: usize, r: f64, g: &mut [f64]) {
        match self {
            Self::Dense(x) => {
                let row = &x[i * g.len()..(i + 1) * g.len()];
                g.iter_mut().zip(row).for_each(|(g, x)| *g += r * x);
            }
            Self::Sparse {
                starts,
                columns,
                values,
            } => {
                let range = starts[i]..starts[i + 1];
                for (j, v) in columns[range.clone()].iter().zip(&values[range]) {
                    g[*j as usize] += r * v;
                }
            }
        }
    }
}

impl Data {
    /// Reads svmlight text; the targets become what the loss wants.
    fn read(path: &str, loss: Loss) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)?;
        let (mut starts, mut columns, mut values, mut targets) =
            (vec![0], Vec::new(), Vec::new(), Vec::new());
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            targets.push(words.next().ok_or("an empty line")?.parse()?);
            for word in words {
                let (index, value) = word.split_once(':').ok_or("no index")?;
                columns.push(index.parse::<u32>()? - 1);
                values.push(value.parse()?);
            }
            starts.push(values.len());
        }
        let width = columns.iter().max().map_or(0, |j| *j as usize + 1);
        let mut distinct: Vec<f64> = targets.clone();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        for y in &mut targets {
            let class = distinct.partition_point(|d| *d < *y) as f64;
            *y = match loss {
                Loss::Squared => *y,
                Loss::Logistic => 2.0 * class - 1.0,
                Loss::Softmax => class,
            };
        }
        let is_dense = values.len() as f64 > DENSE * (width * targets.len()) as f64;
        let sparse = Rows::Sparse {
            starts,
            columns,
            values,
        };
        let rows = if is_dense {
            let mut x = vec![0.0; width * targets.len()];
            for (i, row) in x.chunks_exact_mut(width).enumerate() {
                sparse.add(i, 1.0, row);
            }
            Rows::Dense(x)
        } else {
            sparse
        };
        Ok(Self {
            rows,
            columns: width,
            targets,
            classes: distinct.len(),
        })
    }
}

impl Model<'_> {
    fn outputs(&self) -> usize {
        match self.loss {
            Loss::Softmax => self.data.classes,
            _ => 1,
        }
    }

    /// Calls `f` with the predictors at `v`: the weights of each output, then the intercepts.
    fn with_predictors<R>(&self, v: &[f64], f: impl FnOnce(&[f64]) -> R) -> R {
        let (n, d, k) = (self.data.targets.len(), self.data.columns, self.outputs());
        let mut last = self.last.borrow_mut();
        if last.at != v {
            last.at = v.to_vec();
            last.eta.resize(n * k, 0.0);
            for (i, eta) in last.eta.chunks_exact_mut(k).enumerate() {
                for (c, eta) in eta.iter_mut().enumerate() {
                    *eta = self.data.rows.dot(i, &v[c * d..(c + 1) * d]) + v[k * d + c];
                }
            }
        }
        f(&last.eta)
    }

    fn value(&self, v: &[f64]) -> f64 {
        let (d, k) = (self.data.columns, self.outputs());
        let sum: f64 = self.with_predictors(v, |eta| {
            let rows = eta.chunks_exact(k).zip(&self.data.targets);
            rows.map(|(eta, y)| loss(self.loss, eta, *y)).sum()
        });
        let squares: f64 = v[..k * d].iter().map(|w| w * w).sum();
        sum / self.data.targets.len() as f64 + 0.5 * self.l2 * squares
    }

    fn gradient(&self, v: &[f64], g: &mut [f64]) {
        let (n, d, k) = (self.data.targets.len(), self.data.columns, self.outputs());
        let (weights, intercepts) = g.split_at_mut(k * d);
        let mut r = vec![0.0; k];
        self.with_predictors(v, |eta| {
            for (i, (eta, y)) in eta.chunks_exact(k).zip(&self.data.targets).enumerate() {
                slopes(self.loss, eta, *y, &mut r);
                for (c, r) in r.iter().enumerate() {
                    let r = r / n as f64;
                    self.data.rows.add(i, r, &mut weights[c * d..(c + 1) * d]);
                    intercepts[c] += r;
                }
            }
        });
        for (g, w) in weights.iter_mut().zip(v) {
            *g += self.l2 * w;
        }
    }
}

fn loss(loss: Loss, eta: &[f64], y: f64) -> f64 {
    match loss {
        Loss::Squared => 0.5 * (y - eta[0]) * (y - eta[0]),
        Loss::Logistic => {
            let margin = y * eta[0];
            (-margin).max(0.0) + (-margin.abs()).exp().ln_1p()
        }
        Loss::Softmax => {
            let most = eta.iter().fold(f64::NEG_INFINITY, |m, e| m.max(*e));
            let sum: f64 = eta.iter().map(|e| (e - most).exp()).sum();
            sum.ln() + most - eta[y as usize]
        }
    }
}

/// Derivatives of the loss by the predictors.
fn slopes(loss: Loss, eta: &[f64], y: f64, out: &mut [f64]) {
    match loss {
        Loss::Squared => out[0] = eta[0] - y,
        Loss::Logistic => out[0] = -y / (1.0 + (y * eta[0]).exp()),
        Loss::Softmax => {
            let most = eta.iter().fold(f64::NEG_INFINITY, |m, e| m.max(*e));
            let mut sum = 0.0;
            for (o, e) in out.iter_mut().zip(eta) {
                *o = (e - most).exp();
                sum += *o;
            }
            out.iter_mut().for_each(|o| *o /= sum);
            out[y as usize] -= 1.0;
        }
    }
}

impl CostFunction for &Model<'_> {
    type Param = Vector;
    type Output = f64;
    fn cost(&self, v: &Vector) -> Result<f64, Error> {
        Ok(self.value(v.as_slice().ok_or(Error::msg("gaps"))?))
    }
}

impl Gradient for &Model<'_> {
    type Param = Vector;
    type Gradient = Vector;
    fn gradient(&self, v: &Vector) -> Result<Vector, Error> {
        let mut g = vec![0.0; v.len()];
        Model::gradient(self, v.as_slice().ok_or(Error::msg("gaps"))?, &mut g);
        Ok(Vector::from(g))
    }
}

fn fit(model: &Model<'_>, tol: f64) -> Result<Vec<f64>, Error> {
    let k = model.outputs();
    let start = Vector::zeros(k * model.data.columns + k);
    let search = MoreThuenteLineSearch::<Vector, Vector, f64>::new();
    let solver = LBFGS::new(search, MEMORY)
        .with_tolerance_grad(tol)?
        .with_tolerance_cost(0.0)?;
    let result = Executor::new(model, solver)
        .configure(|s| s.param(start).max_iters(MOST_STEPS))
        .run()?;
    let best = result.state().get_best_param();
    best.map(Vector::to_vec).ok_or(Error::msg("no answer"))
}

fn answer(job: &Value, loaded: &mut Option<(Value, Data)>) -> Result<Value, Failure> {
    let loss = match job["loss"].as_str() {
        Some("logistic") => Loss::Logistic,
        Some("softmax") => Loss::Softmax,
        Some("squared") => Loss::Squared,
        other => return Err(format!("no loss {other:?}").into()),
    };
    if loaded.as_ref().is_none_or(|(file, _)| *file != job["file"]) {
        let data = Data::read(job["file"].as_str().ok_or("no file")?, loss)?;
        *loaded = Some((job["file"].clone(), data));
    }
    let (_, data) = loaded.as_ref().ok_or("no data")?;
    let (l2, tol) = (job["l2"].as_f64(), job["tol"].as_f64());
    let (l2, tol) = l2.zip(tol).ok_or("no l2 or tol")?;
    let (mut seconds, mut v) = (Vec::new(), Vec::new());
    let model = || Model {
        data,
        loss,
        l2,
        last: RefCell::default(),
    };
    for _ in 0..job["repetitions"].as_u64().ok_or("no repetitions")? {
        let start = Instant::now();
        v = fit(&model(), tol)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let (d, k) = (data.columns, model().outputs());
    let coef: Vec<&[f64]> = v.chunks(d.max(1)).take(k).collect();
    let intercept = v.get(k * d..).unwrap_or_default();
    Ok(json!({ "seconds": seconds, "coef": coef, "intercept": intercept }))
}

fn main() -> Result<(), Failure> {
    let mut loaded = None;
    for line in std::io::stdin().lines() {
        let job: Value = serde_json::from_str(&line?)?;
        let answer = answer(&job, &mut loaded);
        println!(
            "{}",
            answer.unwrap_or_else(|e| json!({ "error": e.to_string() }))
        );
    }
    Ok(())
}
