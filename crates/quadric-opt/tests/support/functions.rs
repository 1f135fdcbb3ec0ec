//! Classic test functions with hand-written gradients and Hessians. Optima and standard starts: Moré, Garbow, Hillstrom,
//! "Testing unconstrained optimization software", ACM TOMS 7, 1981, unless a function says otherwise.

use faer::{Mat, MatMut, MatRef};
use quadric_core::{
    BoxOp, Error, LinearOperator, Objective, Problem, Properties, Result, Smooth, TwiceSmooth,
    capabilities,
};

/// A function by name, with its value, gradient and dense Hessian.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) dim: usize,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    /// `sum c_i (x_i - 1)² / 2` with c from 1 to the condition number, geometrically spaced.
    Quadratic(f64),
    Rosenbrock,
    PowellSingular,
    Wood,
    Brown,
    /// `sum sqrt(1 + (x_i - i)²)`.
    PseudoHuber,
    /// `sum x_i⁸`.
    Flat,
    /// `|x|`, with a kink at the minimiser.
    Kink,
    /// `7`.
    Constant,
    /// `-x_1`.
    Falling,
    /// `-|x|²`.
    Concave,
    /// `-log(x) - log(1 - x) - x`, NaN outside (0, 1); its minimiser is the golden ratio minus 1.
    Golden,
    Cosine,
    /// `-exp(-x²)`.
    Well,
    /// `sum (exp(a + b x_j) - y_j)²` over x = 0, 4, ..., 40 and y = exp(0.3 + 0.12 x).
    Exponential,
    /// `|x - (1, 2)|²`.
    Offset,
}
use Kind::*;

impl Function {
    /// The function called `name`; `None` for names that are not known.
    pub(crate) fn named(name: &str, dim: usize) -> Option<Self> {
        let kind = match name {
            "quadratic" => Quadratic(1e1),
            "ill-conditioned" => Quadratic(1e8),
            "rosenbrock" => Rosenbrock,
            "powell-singular" => PowellSingular,
            "wood" => Wood,
            "brown" => Brown,
            "pseudo-huber" => PseudoHuber,
            "flat" => Flat,
            "kink" => Kink,
            "constant" => Constant,
            "falling" => Falling,
            "concave" => Concave,
            "golden" => Golden,
            "cosine" => Cosine,
            "well" => Well,
            "exponential" => Exponential,
            "offset" => Offset,
            _ => return None,
        };
        Some(Self {
            name: name.to_owned(),
            dim,
            kind,
        })
    }

    /// Value, and where asked for, gradient and Hessian.
    fn evaluate(&self, x: &[f64], g: &mut [f64], h: Option<&mut Mat<f64>>) -> f64 {
        let n = self.dim;
        let mut none = Mat::zeros(0, 0);
        let wants = h.is_some();
        let h = h.unwrap_or(&mut none);
        g.fill(0.0);
        let mut bend = |i: usize, j: usize, v: f64| {
            if wants {
                h[(i, j)] += v;
                if i != j {
                    h[(j, i)] += v;
                }
            }
        };
        match self.kind {
            Quadratic(condition) => (0..n)
                .map(|i| {
                    let c = condition.powf(i as f64 / (n.max(2) - 1) as f64);
                    g[i] = c * (x[i] - 1.0);
                    bend(i, i, c);
                    0.5 * c * (x[i] - 1.0).powi(2)
                })
                .sum(),
            Rosenbrock => (0..n - 1)
                .map(|i| {
                    let (r, s) = (x[i + 1] - x[i] * x[i], 1.0 - x[i]);
                    g[i] += -400.0 * x[i] * r - 2.0 * s;
                    g[i + 1] += 200.0 * r;
                    bend(i, i, -400.0 * (r - 2.0 * x[i] * x[i]) + 2.0);
                    bend(i, i + 1, -400.0 * x[i]);
                    bend(i + 1, i + 1, 200.0);
                    100.0 * r * r + s * s
                })
                .sum(),
            PowellSingular => {
                let a = x[0] + 10.0 * x[1];
                let b = x[2] - x[3];
                let c = x[1] - 2.0 * x[2];
                let d = x[0] - x[3];
                let (c3, d3) = (4.0 * c.powi(3), 40.0 * d.powi(3));
                g[0] = 2.0 * a + d3;
                g[1] = 20.0 * a + c3;
                g[2] = 10.0 * b - 2.0 * c3;
                g[3] = -10.0 * b - d3;
                let (c2, d2) = (12.0 * c * c, 120.0 * d * d);
                for (i, j, v) in [
                    (0, 0, 2.0 + d2),
                    (0, 1, 20.0),
                    (0, 3, -d2),
                    (1, 1, 200.0 + c2),
                    (1, 2, -2.0 * c2),
                    (2, 2, 10.0 + 4.0 * c2),
                    (2, 3, -10.0),
                    (3, 3, 10.0 + d2),
                ] {
                    bend(i, j, v);
                }
                a * a + 5.0 * b * b + c.powi(4) + 10.0 * d.powi(4)
            }
            Wood => {
                let (r, s) = (x[1] - x[0] * x[0], x[3] - x[2] * x[2]);
                let (u, v) = (x[1] - 1.0, x[3] - 1.0);
                g[0] = -400.0 * x[0] * r - 2.0 * (1.0 - x[0]);
                g[1] = 200.0 * r + 20.2 * u + 19.8 * v;
                g[2] = -360.0 * x[2] * s - 2.0 * (1.0 - x[2]);
                g[3] = 180.0 * s + 20.2 * v + 19.8 * u;
                for (i, j, w) in [
                    (0, 0, -400.0 * (r - 2.0 * x[0] * x[0]) + 2.0),
                    (0, 1, -400.0 * x[0]),
                    (1, 1, 220.2),
                    (1, 3, 19.8),
                    (2, 2, -360.0 * (s - 2.0 * x[2] * x[2]) + 2.0),
                    (2, 3, -360.0 * x[2]),
                    (3, 3, 200.2),
                ] {
                    bend(i, j, w);
                }
                100.0 * r * r
                    + (1.0 - x[0]).powi(2)
                    + 90.0 * s * s
                    + (1.0 - x[2]).powi(2)
                    + 10.1 * (u * u + v * v)
                    + 19.8 * u * v
            }
            Brown => {
                let (a, b, c) = (x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2.0);
                g[0] = 2.0 * a + 2.0 * c * x[1];
                g[1] = 2.0 * b + 2.0 * c * x[0];
                bend(0, 0, 2.0 + 2.0 * x[1] * x[1]);
                bend(0, 1, 4.0 * x[0] * x[1] - 4.0);
                bend(1, 1, 2.0 + 2.0 * x[0] * x[0]);
                a * a + b * b + c * c
            }
            PseudoHuber => (0..n)
                .map(|i| {
                    let t = x[i] - i as f64;
                    let r = t.hypot(1.0);
                    g[i] = t / r;
                    bend(i, i, r.powi(-3));
                    r
                })
                .sum(),
            Flat => (0..n)
                .map(|i| {
                    g[i] = 8.0 * x[i].powi(7);
                    bend(i, i, 56.0 * x[i].powi(6));
                    x[i].powi(8)
                })
                .sum(),
            Kink => {
                let r = x.iter().map(|x| x * x).sum::<f64>().sqrt();
                if r > 0.0 {
                    for i in 0..n {
                        g[i] = x[i] / r;
                        for j in i..n {
                            let own = if i == j { 1.0 / r } else { 0.0 };
                            bend(i, j, own - (x[i] / r) * (x[j] / r) / r);
                        }
                    }
                }
                r
            }
            Constant => 7.0,
            Falling => {
                g[0] = -1.0;
                -x[0]
            }
            Concave => (0..n)
                .map(|i| {
                    g[i] = -2.0 * x[i];
                    bend(i, i, -2.0);
                    -x[i] * x[i]
                })
                .sum(),
            Golden => {
                let t = x[0];
                // Infinities at the ends and NaN beyond, as logarithms give them.
                g[0] = -1.0 / t + 1.0 / (1.0 - t) - 1.0;
                bend(0, 0, t.powi(-2) + (1.0 - t).powi(-2));
                -t.ln() - (1.0 - t).ln() - t
            }
            Cosine => {
                g[0] = -x[0].sin();
                bend(0, 0, -x[0].cos());
                x[0].cos()
            }
            Well => {
                let e = (-x[0] * x[0]).exp();
                g[0] = 2.0 * x[0] * e;
                bend(0, 0, (2.0 - 4.0 * x[0] * x[0]) * e);
                -e
            }
            Exponential => (0..=10)
                .map(|j| {
                    let t = 4.0 * f64::from(j);
                    let (e, y) = ((x[0] + x[1] * t).exp(), (0.3 + 0.12 * t).exp());
                    g[0] += 2.0 * (e - y) * e;
                    g[1] += 2.0 * (e - y) * e * t;
                    let c = 2.0 * e * (2.0 * e - y);
                    bend(0, 0, c);
                    bend(0, 1, c * t);
                    bend(1, 1, c * t * t);
                    (e - y).powi(2)
                })
                .sum(),
            Offset => {
                g[0] = 2.0 * (x[0] - 1.0);
                g[1] = 2.0 * (x[1] - 2.0);
                bend(0, 0, 2.0);
                bend(1, 1, 2.0);
                (x[0] - 1.0).powi(2) + (x[1] - 2.0).powi(2)
            }
        }
    }
}

impl Problem<f64> for Function {
    fn dim(&self) -> usize {
        self.dim
    }
    fn name(&self) -> &str {
        &self.name
    }
    capabilities!(f64: TwiceSmooth);
}

impl Objective<f64> for Function {
    fn value(&self, x: &[f64]) -> Result<f64> {
        Ok(self.evaluate(x, &mut vec![0.0; self.dim], None))
    }
}

impl Smooth<f64> for Function {
    fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
        Ok(self.evaluate(x, g, None))
    }
}

impl TwiceSmooth<f64> for Function {
    fn hessian(&self, x: &[f64]) -> Result<BoxOp<'_, f64>> {
        let mut h = Mat::zeros(self.dim, self.dim);
        self.evaluate(x, &mut vec![0.0; self.dim], Some(&mut h));
        Ok(Box::new(Dense(h)))
    }
}

/// A symmetric matrix as an operator.
pub(crate) struct Dense(pub(crate) Mat<f64>);

impl LinearOperator<f64> for Dense {
    fn shape(&self) -> (usize, usize) {
        (self.0.nrows(), self.0.ncols())
    }
    fn apply(&self, x: MatRef<'_, f64>, mut y: MatMut<'_, f64>) -> Result<()> {
        if x.nrows() != self.0.ncols() || y.nrows() != self.0.nrows() || x.ncols() != y.ncols() {
            return Err(Error::shape("a block", x.shape(), self.0.shape()));
        }
        for c in 0..x.ncols() {
            for i in 0..y.nrows() {
                y[(i, c)] = (0..x.nrows()).map(|j| self.0[(i, j)] * x[(j, c)]).sum();
            }
        }
        Ok(())
    }
    fn properties(&self) -> Properties {
        Properties {
            symmetric: true,
            ..Properties::default()
        }
    }
}
