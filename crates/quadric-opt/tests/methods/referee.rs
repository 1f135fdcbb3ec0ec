//! What `Converged` claims, measured again in twice the precision.

use crate::support::functions::Dense;
use faer::Mat;
use quadric_core::random::{SeedTree, Stream};
use quadric_core::{
    BoxOp, Budget, Driver, Objective, Problem, Result, Smooth, Status, Tolerance, TwiceSmooth,
    capabilities,
};
use quadric_opt::registry::registry;
use serde_json::Value;

/// An unevaluated sum of two doubles: 106 bits.
#[derive(Clone, Copy)]
struct Wide(f64, f64);

impl Wide {
    fn sum(a: f64, b: f64) -> Self {
        let s = a + b;
        let z = s - a;
        Self(s, (a - (s - z)) + (b - z))
    }
    fn add(self, o: Self) -> Self {
        let (Self(s, e), Self(t, f)) = (Self::sum(self.0, o.0), Self::sum(self.1, o.1));
        let Self(s, e) = Self::sum(s, e + t);
        Self::sum(s, e + f)
    }
    fn times(self, o: Self) -> Self {
        let p = self.0 * o.0;
        let e = self.0.mul_add(o.0, -p);
        Self::sum(p, e + (self.0 * o.1 + self.1 * o.0))
    }
}

/// `sum c_j r_j²/2 + q_j r_j⁴/4` with `r_j = a_j·x - b_j`: convex, of any conditioning.
struct Quartic {
    a: Vec<Vec<f64>>,
    b: Vec<f64>,
    c: Vec<f64>,
    q: Vec<f64>,
}

impl Quartic {
    /// Up to six unknowns, a few more terms, weights over up to six decades.
    fn random(s: &mut Stream) -> Self {
        let n = 1 + s.below(6);
        let terms = n + s.below(4);
        let decades = 6.0 * s.uniform();
        let mut weights = || {
            (0..terms)
                .map(|_| 10f64.powf(-decades * s.uniform()))
                .collect()
        };
        let (c, q) = (weights(), weights());
        Self {
            a: (0..terms)
                .map(|_| (0..n).map(|_| s.normal()).collect())
                .collect(),
            b: (0..terms).map(|_| s.normal()).collect(),
            c,
            q,
        }
    }

    fn residuals<'a>(&'a self, x: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let dot = move |a: &[f64]| a.iter().zip(x).map(|(a, x)| a * x).sum::<f64>();
        self.a.iter().zip(&self.b).map(move |(a, b)| dot(a) - b)
    }

    /// The largest entry of the gradient, in 106 bits.
    fn wide_norm(&self, x: &[f64]) -> f64 {
        let mut g = vec![Wide(0.0, 0.0); x.len()];
        for (j, a) in self.a.iter().enumerate() {
            let mut r = Wide(-self.b[j], 0.0);
            for (a, x) in a.iter().zip(x) {
                r = r.add(Wide(*a, 0.0).times(Wide(*x, 0.0)));
            }
            let cube = r.times(r).times(r).times(Wide(self.q[j], 0.0));
            let slope = r.times(Wide(self.c[j], 0.0)).add(cube);
            for (g, a) in g.iter_mut().zip(a) {
                *g = g.add(slope.times(Wide(*a, 0.0)));
            }
        }
        g.iter().fold(0.0, |m, g| m.max((g.0 + g.1).abs()))
    }
}

impl Problem<f64> for Quartic {
    fn dim(&self) -> usize {
        self.a[0].len()
    }
    capabilities!(f64: TwiceSmooth);
}

impl Objective<f64> for Quartic {
    fn value(&self, x: &[f64]) -> Result<f64> {
        self.value_grad(x, &mut vec![0.0; x.len()])
    }
}

impl Smooth<f64> for Quartic {
    fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
        g.fill(0.0);
        let mut f = 0.0;
        for (j, r) in self.residuals(x).enumerate() {
            f += self.c[j] * r * r / 2.0 + self.q[j] * r.powi(4) / 4.0;
            let slope = self.c[j] * r + self.q[j] * r.powi(3);
            for (g, a) in g.iter_mut().zip(&self.a[j]) {
                *g += slope * a;
            }
        }
        Ok(f)
    }
}

impl TwiceSmooth<f64> for Quartic {
    fn hessian(&self, x: &[f64]) -> Result<BoxOp<'_, f64>> {
        let mut h = Mat::zeros(x.len(), x.len());
        for (j, r) in self.residuals(x).enumerate() {
            let bend = self.c[j] + 3.0 * self.q[j] * r * r;
            for (i, a) in self.a[j].iter().enumerate() {
                for (k, b) in self.a[j].iter().enumerate() {
                    h[(i, k)] += bend * a * b;
                }
            }
        }
        Ok(Box::new(Dense(h)))
    }
}

/// No run says `Converged` unless the gradient, in extended precision, is within the tolerance.
#[test]
fn t_s08_converged_is_true() {
    let tree = SeedTree::new(8).child("referee");
    println!("seed 8");
    let mut converged = [0; 2];
    for round in 0..5_000 {
        let mut s = tree.stream(round);
        let problem = Quartic::random(&mut s);
        let x0: Vec<f64> = (0..problem.dim()).map(|_| 3.0 * s.normal()).collect();
        let usable: Vec<_> = registry()
            .iter()
            .filter(|e| e.applies::<f64>(&problem))
            .collect();
        let entry = usable[round as usize % usable.len()];
        let tolerance = [1e-4, 1e-8, 1e-10][s.below(3)];
        let mut driver = Driver {
            budget: Budget {
                evaluations: Some(400),
                ..Budget::default()
            },
            tolerance: Tolerance {
                relative: tolerance,
                absolute: 0.0,
            },
            ..Driver::default()
        };
        let method = entry.build::<f64>(&Value::Null).unwrap();
        let o = method.run(&mut driver, x0.clone(), &problem).unwrap();
        let (norm, start) = (problem.wide_norm(&o.x), problem.wide_norm(&x0));
        let label = format!(
            "{}, problem {round}: {:?}, {norm:e} of {start:e}",
            entry.name, o.status
        );
        let claimed = match o.status {
            Status::Converged => tolerance,
            Status::ConvergedReduced => 1e4 * tolerance,
            _ => f64::INFINITY,
        };
        assert!(norm <= 1.01 * claimed * start, "{label}");
        converged[usize::from(o.status == Status::Converged)] += 1;
    }
    println!("{} of 5000 converged", converged[1]);
    assert!(converged[1] > 4_000);
}
