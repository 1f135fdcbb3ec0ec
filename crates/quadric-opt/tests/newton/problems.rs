//! Small problems written out by hand.

use faer::{Mat, MatMut, MatRef, linalg::matmul::matmul};
use quadric_core::{
    BoxOp, Cost, Gap, LineModel, LinearOperator, Objective, Problem, Properties, Result, Scalar,
    SelfConcordant, Smooth, TwiceSmooth, capabilities, vector,
};

/// A symmetric matrix as an operator that claims a given cost.
pub(crate) struct Symmetric<T: Scalar> {
    pub matrix: Mat<T>,
    pub cost: Cost,
    pub psd: bool,
}

impl<T: Scalar> LinearOperator<T> for Symmetric<T> {
    fn shape(&self) -> (usize, usize) {
        (self.matrix.nrows(), self.matrix.ncols())
    }
    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        let one = T::of(1.0);
        matmul(
            &mut y,
            faer::Accum::Replace,
            &self.matrix,
            x,
            one,
            faer::Par::Seq,
        );
        Ok(())
    }
    fn properties(&self) -> Properties {
        Properties {
            symmetric: true,
            psd: self.psd,
            random: false,
        }
    }
    fn dense(&self, mut out: MatMut<'_, T>) -> Result<()> {
        out.copy_from(&self.matrix);
        Ok(())
    }
    fn cost(&self) -> Cost {
        self.cost
    }
}

/// Mean logistic loss of `y x w` (no intercept) plus `l2/2 ‖w‖²`.
#[derive(Clone)]
pub(crate) struct Logistic<T> {
    /// (n, d), row after row, each row already multiplied by its label.
    pub rows: Vec<T>,
    pub dim: usize,
    pub l2: f64,
    /// Offers a cheap restriction to lines.
    pub cheap: bool,
    /// Claimed cost of the Hessian.
    pub cost: Cost,
}

fn loss(margin: f64) -> f64 {
    (-margin).max(0.0) + (-margin.abs()).exp().ln_1p()
}

/// The logistic function at `-margin`.
fn tail(margin: f64) -> f64 {
    let e = (-margin.abs()).exp();
    if margin >= 0.0 {
        e / (1.0 + e)
    } else {
        1.0 / (1.0 + e)
    }
}

impl<T: Scalar> Logistic<T> {
    pub(crate) fn new(rows: Vec<T>, dim: usize, l2: f64) -> Self {
        let n = (rows.len() / dim) as f64;
        let d = dim as f64;
        let cost = Cost {
            product: 4.0 * n * d,
            dense: n * d * d,
        };
        Self {
            rows,
            dim,
            l2,
            cheap: true,
            cost,
        }
    }

    pub(crate) fn n(&self) -> usize {
        self.rows.len() / self.dim
    }

    pub(crate) fn margins(&self, w: &[T]) -> Vec<f64> {
        let dot = |row: &[T]| {
            row.iter()
                .zip(w)
                .map(|(a, b)| a.to_f64() * b.to_f64())
                .sum()
        };
        self.rows.chunks(self.dim).map(dot).collect()
    }

    fn penalty(&self, w: &[T]) -> f64 {
        0.5 * self.l2 * w.iter().map(|v| v.to_f64().powi(2)).sum::<f64>()
    }

    /// The Hessian at `w`.
    pub(crate) fn matrix(&self, w: &[T]) -> Mat<f64> {
        let (n, d) = (self.n() as f64, self.dim);
        let mut h = Mat::from_fn(d, d, |i, j| if i == j { self.l2 } else { 0.0 });
        for (row, m) in self.rows.chunks(d).zip(self.margins(w)) {
            let weight = tail(m) * tail(-m) / n;
            for i in 0..d {
                for j in 0..d {
                    h[(i, j)] += weight * row[i].to_f64() * row[j].to_f64();
                }
            }
        }
        h
    }
}

impl<T: Scalar> Problem<T> for Logistic<T> {
    fn dim(&self) -> usize {
        self.dim
    }
    fn gap(&self, x: &[T]) -> Result<Option<Gap>> {
        if self.l2 == 0.0 {
            return Ok(None);
        }
        let mut g = x.to_vec();
        let value = self.value_grad(x, &mut g)?;
        let square: f64 = g.iter().map(|g| g.to_f64().powi(2)).sum();
        Ok(Some(Gap {
            bound: square / (2.0 * self.l2),
            scale: value,
        }))
    }
    capabilities!(T: SelfConcordant);
}

impl<T: Scalar> Objective<T> for Logistic<T> {
    fn value(&self, w: &[T]) -> Result<f64> {
        let sum: f64 = self.margins(w).into_iter().map(loss).sum();
        Ok(sum / self.n() as f64 + self.penalty(w))
    }
    fn recession(&self, d: &[T]) -> Result<Option<String>> {
        let margins = self.margins(d);
        let largest = margins.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let falls = largest > 0.0 && margins.iter().all(|m| *m >= -1e-6 * largest);
        Ok((self.l2 == 0.0 && falls).then(|| "the classes are separable".into()))
    }
}

impl<T: Scalar> Smooth<T> for Logistic<T> {
    fn value_grad(&self, w: &[T], g: &mut [T]) -> Result<f64> {
        let n = self.n() as f64;
        let mut sum: Vec<f64> = w.iter().map(|w| self.l2 * w.to_f64()).collect();
        for (row, m) in self.rows.chunks(self.dim).zip(self.margins(w)) {
            let slope = -tail(m) / n;
            sum.iter_mut()
                .zip(row)
                .for_each(|(s, x)| *s += slope * x.to_f64());
        }
        g.iter_mut().zip(sum).for_each(|(g, s)| *g = T::of(s));
        self.value(w)
    }
    fn restrict(&self, w: &[T], d: &[T]) -> Result<Option<Box<dyn LineModel + '_>>> {
        if !self.cheap {
            return Ok(None);
        }
        Ok(Some(Box::new(LogisticLine {
            at: self.margins(w),
            along: self.margins(d),
            penalty: (self.l2 * vector::dot(w, d), self.l2 * vector::dot(d, d)),
        })))
    }
}

struct LogisticLine {
    at: Vec<f64>,
    along: Vec<f64>,
    penalty: (f64, f64),
}

impl LineModel for LogisticLine {
    fn change(&mut self, t: f64) -> Result<f64> {
        // log(1 + e^-(m + u)) - log(1 + e^-m) = log1p(tail(m) (e^-u - 1)), without cancellation for small u.
        let term = |(m, u): (&f64, &f64)| {
            let u = t * u;
            if u.abs() < 1.0 {
                (tail(*m) * (-u).exp_m1()).ln_1p()
            } else {
                loss(m + u) - loss(*m)
            }
        };
        let sum: f64 = self.at.iter().zip(&self.along).map(term).sum();
        let penalty = t * (self.penalty.0 + 0.5 * t * self.penalty.1);
        Ok(sum / self.at.len() as f64 + penalty)
    }
    fn slope(&mut self, t: f64) -> Result<f64> {
        let term = |(m, u): (&f64, &f64)| -u * tail(m + t * u);
        let sum: f64 = self.at.iter().zip(&self.along).map(term).sum();
        Ok(sum / self.at.len() as f64 + self.penalty.0 + t * self.penalty.1)
    }
}

impl<T: Scalar> TwiceSmooth<T> for Logistic<T> {
    fn hessian(&self, w: &[T]) -> Result<BoxOp<'_, T>> {
        let h = self.matrix(w);
        let matrix = Mat::from_fn(self.dim, self.dim, |i, j| T::of(h[(i, j)]));
        Ok(Box::new(Symmetric {
            matrix,
            cost: self.cost,
            psd: true,
        }))
    }
}

impl<T: Scalar> SelfConcordant<T> for Logistic<T> {
    fn concordance(&self, h: &[T]) -> Result<f64> {
        Ok(self.margins(h).into_iter().fold(0.0, |m, v| m.max(v.abs())))
    }
}

/// The breast cancer data of the University of Wisconsin, standardised: (569, 30), each row times its label.
pub(crate) fn wdbc() -> Vec<f64> {
    let data = quadric_data::embedded("wdbc").expect("an embedded set");
    let table: Vec<Vec<f64>> = (0..data.rows())
        .map(|i| {
            let mut row = vec![data.target[i]];
            data.x.for_row(i, |_, v| row.push(v));
            row
        })
        .collect();
    let n = table.len() as f64;
    let mut rows = vec![0.0; table.len() * 30];
    for j in 0..30 {
        let column = || table.iter().map(move |r| r[j + 1]);
        let mean = column().sum::<f64>() / n;
        let deviation = (column().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        for (i, r) in table.iter().enumerate() {
            rows[i * 30 + j] = (2.0 * r[0] - 1.0) * (r[j + 1] - mean) / deviation;
        }
    }
    rows
}

/// A problem defined by its value, gradient and Hessian at a point.
macro_rules! twice_smooth {
    ($name:ident) => {
        impl<T: Scalar> Problem<T> for $name {
            fn dim(&self) -> usize {
                self.size()
            }
            fn name(&self) -> &str {
                stringify!($name)
            }
            capabilities!(T: TwiceSmooth);
        }
        impl<T: Scalar> Objective<T> for $name {
            fn value(&self, x: &[T]) -> Result<f64> {
                let x: Vec<f64> = x.iter().map(|v| v.to_f64()).collect();
                Ok(self.evaluate(&x, &mut vec![0.0; x.len()], &mut |_, _, _| {}))
            }
        }
        impl<T: Scalar> Smooth<T> for $name {
            fn value_grad(&self, x: &[T], g: &mut [T]) -> Result<f64> {
                let x: Vec<f64> = x.iter().map(|v| v.to_f64()).collect();
                let mut wide = vec![0.0; x.len()];
                let value = self.evaluate(&x, &mut wide, &mut |_, _, _| {});
                g.iter_mut().zip(wide).for_each(|(g, w)| *g = T::of(w));
                Ok(value)
            }
        }
        impl<T: Scalar> TwiceSmooth<T> for $name {
            fn hessian(&self, x: &[T]) -> Result<BoxOp<'_, T>> {
                let x: Vec<f64> = x.iter().map(|v| v.to_f64()).collect();
                let mut h = Mat::<f64>::zeros(x.len(), x.len());
                let add = &mut |i: usize, j: usize, v: f64| {
                    h[(i, j)] += v;
                    if i != j {
                        h[(j, i)] += v;
                    }
                };
                self.evaluate(&x, &mut vec![0.0; x.len()], add);
                let matrix = Mat::from_fn(x.len(), x.len(), |i, j| T::of(h[(i, j)]));
                let d = x.len() as f64;
                let cost = Cost { product: 2.0 * d * d, dense: d * d };
                Ok(Box::new(Symmetric { matrix, cost, psd: false }))
            }
        }
    };
}

/// `Σ 100 (x_{i+1} - x_i²)² + (1 - x_i)²`.
pub(crate) struct Rosenbrock(pub(crate) usize);

impl Rosenbrock {
    fn size(&self) -> usize {
        self.0
    }
    fn evaluate(&self, x: &[f64], g: &mut [f64], h: &mut dyn FnMut(usize, usize, f64)) -> f64 {
        let mut sum = 0.0;
        for i in 0..x.len() - 1 {
            let (u, v) = (x[i + 1] - x[i] * x[i], 1.0 - x[i]);
            sum += 100.0 * u * u + v * v;
            g[i] += -400.0 * u * x[i] - 2.0 * v;
            g[i + 1] += 200.0 * u;
            h(i, i, 1200.0 * x[i] * x[i] - 400.0 * x[i + 1] + 2.0);
            h(i + 1, i, -400.0 * x[i]);
            h(i + 1, i + 1, 200.0);
        }
        sum
    }
}
twice_smooth!(Rosenbrock);

/// `x²(x² - 2)/4 + y²/2`.
pub(crate) struct Saddle;

impl Saddle {
    fn size(&self) -> usize {
        2
    }
    fn evaluate(&self, x: &[f64], g: &mut [f64], h: &mut dyn FnMut(usize, usize, f64)) -> f64 {
        let square = x[0] * x[0];
        g[0] = x[0] * (square - 1.0);
        g[1] = x[1];
        h(0, 0, 3.0 * square - 1.0);
        h(1, 1, 1.0);
        0.25 * square * (square - 2.0) + 0.5 * x[1] * x[1]
    }
}
twice_smooth!(Saddle);

/// `½ Σ d_i x_i² + Σ b_i x_i`.
pub(crate) struct Quadratic {
    pub(crate) diagonal: Vec<f64>,
    pub(crate) linear: Vec<f64>,
}

impl Quadratic {
    fn size(&self) -> usize {
        self.diagonal.len()
    }
    fn evaluate(&self, x: &[f64], g: &mut [f64], h: &mut dyn FnMut(usize, usize, f64)) -> f64 {
        let mut sum = 0.0;
        for (i, x) in x.iter().enumerate() {
            let (d, b) = (self.diagonal[i], self.linear[i]);
            sum += x * (0.5 * d * x + b);
            g[i] = d * x + b;
            h(i, i, d);
        }
        sum
    }
}
twice_smooth!(Quadratic);

/// Mean Huber loss of `1 - row·w` plus `l2/2 ‖w‖²`.
pub(crate) struct Huber {
    rows: Vec<f64>,
    dim: usize,
    threshold: f64,
    l2: f64,
}

impl Huber {
    pub(crate) fn new(rows: Vec<f64>, dim: usize, threshold: f64, l2: f64) -> Self {
        Self {
            rows,
            dim,
            threshold,
            l2,
        }
    }
    fn size(&self) -> usize {
        self.dim
    }
    fn evaluate(&self, x: &[f64], g: &mut [f64], h: &mut dyn FnMut(usize, usize, f64)) -> f64 {
        let n = (self.rows.len() / self.dim) as f64;
        let mut sum = 0.0;
        for row in self.rows.chunks(self.dim) {
            let r = vector::dot(row, x) - 1.0;
            let inside = r.abs() <= self.threshold;
            let bounded = r.clamp(-self.threshold, self.threshold);
            sum += bounded * (r - 0.5 * bounded) / n;
            vector::axpy(bounded / n, row, g);
            for i in (0..self.dim).filter(|_| inside) {
                (0..=i).for_each(|j| h(i, j, row[i] * row[j] / n));
            }
        }
        vector::axpy(self.l2, x, g);
        (0..self.dim).for_each(|i| h(i, i, self.l2));
        sum + 0.5 * self.l2 * vector::dot(x, x)
    }
}
twice_smooth!(Huber);
