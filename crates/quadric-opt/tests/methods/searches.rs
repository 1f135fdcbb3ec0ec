//! Accepted steps satisfy their conditions when evaluated again.

use crate::support::functions::Function;
use quadric_core::random::SeedTree;
use quadric_core::{Context, Line, Objective, Problem, Result, Smooth, StepRule, capabilities};
use quadric_opt::search::{Armijo, StrongWolfe};

const STARTS: [(&str, usize); 6] = [
    ("quadratic", 5),
    ("ill-conditioned", 5),
    ("rosenbrock", 4),
    ("pseudo-huber", 3),
    ("wood", 4),
    ("exponential", 2),
];

/// Random points, directions of descent of lengths from 1e-6 to 1e6.
fn lines(mut check: impl FnMut(&Function, &[f64], &[f64], f64, f64)) {
    for (name, dim) in STARTS {
        let f = Function::named(name, dim).unwrap();
        let mut stream = SeedTree::new(11).child("lines").stream(dim as u64);
        for _ in 0..200 {
            let x: Vec<f64> = (0..dim).map(|_| stream.normal()).collect();
            let mut g = vec![0.0; dim];
            let value = f.value_grad(&x, &mut g).unwrap();
            let length = 10f64.powf(12.0 * stream.uniform() - 6.0);
            let norm = g.iter().map(|v| v * v).sum::<f64>().sqrt();
            let d: Vec<f64> = g
                .iter()
                .map(|v| -length * (v / norm + 0.3 * stream.normal() / (dim as f64).sqrt()))
                .collect();
            let slope = d.iter().zip(&g).map(|(a, b)| a * b).sum::<f64>();
            if slope < 0.0 {
                check(&f, &x, &d, value, slope);
            }
        }
    }
}

fn at(f: &Function, x: &[f64], d: &[f64], alpha: f64) -> (f64, f64) {
    let (mut y, mut g) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    Line::point(x, d, alpha, &mut y);
    let value = f.value_grad(&y, &mut g).unwrap();
    (value, d.iter().zip(&g).map(|(a, b)| a * b).sum())
}

#[test]
fn t_ratio_strong_wolfe_holds_afresh() {
    let mut tried = 0;
    for c2 in [0.1, 0.9] {
        let rule = StrongWolfe {
            c2,
            ..StrongWolfe::default()
        };
        lines(|f, x, d, value, slope| {
            let mut line = Line::new(f as &dyn Smooth<f64>, x, d, value).unwrap();
            let mut cx = Context::new(SeedTree::new(0));
            let alpha = rule.length(&mut (), &mut line, slope, &mut cx).unwrap();
            let (end, end_slope) = at(f, x, d, alpha);
            let label = format!("{} {x:?} {d:?}: step {alpha:e}", f.name);
            assert!(alpha > 0.0, "{label}");
            let slack = 64.0 * f64::EPSILON * value.abs();
            assert!(end - value <= rule.c1 * alpha * slope + slack, "{label}");
            assert!(
                end_slope.abs() <= c2 * slope.abs(),
                "{label}: {end_slope:e} of {slope:e}"
            );
            tried += 1;
        });
    }
    assert!(tried > 2000, "{tried}");
}

#[test]
fn t_ratio_armijo_holds_afresh() {
    let rule = Armijo::default();
    lines(|f, x, d, value, slope| {
        let mut line = Line::new(f as &dyn Smooth<f64>, x, d, value).unwrap();
        let mut cx = Context::new(SeedTree::new(0));
        let alpha = rule.length(&mut (), &mut line, slope, &mut cx).unwrap();
        let (end, _) = at(f, x, d, alpha);
        let slack = 64.0 * f64::EPSILON * value.abs();
        assert!(alpha > 0.0 && alpha <= 1.0);
        assert!(end - value <= rule.c1 * alpha * slope + slack);
    });
}

/// `|x|`, a kink that no step satisfies the strong Wolfe conditions on, and a cliff into NaN.
struct Kink;

impl Problem<f64> for Kink {
    fn dim(&self) -> usize {
        1
    }
    capabilities!(f64: Smooth);
}

impl Objective<f64> for Kink {
    fn value(&self, x: &[f64]) -> Result<f64> {
        Ok(if x[0] < -2.0 { f64::NAN } else { x[0].abs() })
    }
}

impl Smooth<f64> for Kink {
    fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
        g[0] = x[0].signum();
        self.value(x)
    }
}

#[test]
fn where_no_step_is_good_the_best_bracket_end_is_returned() {
    let mut cx = Context::new(SeedTree::new(0));
    for length in [1e-3, 1.0, 3.0, 10.0] {
        let d = [-length];
        let mut line = Line::new(&Kink as &dyn Smooth<f64>, &[1.0], &d, 1.0).unwrap();
        let rule = StrongWolfe::default();
        let alpha = rule.length(&mut (), &mut line, -length, &mut cx).unwrap();
        let end = 1.0 - alpha * length;
        assert!((0.0..1.0).contains(&end), "{length}: {end}");
    }
    // Uphill and at the end of the grid of numbers there is no progress.
    let mut line = Line::new(&Kink as &dyn Smooth<f64>, &[1.0], &[1.0], 1.0).unwrap();
    let rule = StrongWolfe::default();
    assert_eq!(rule.length(&mut (), &mut line, -1.0, &mut cx).unwrap(), 0.0);
    let rule = Armijo::default();
    assert_eq!(rule.length(&mut (), &mut line, -1.0, &mut cx).unwrap(), 0.0);
    let mut line = Line::new(&Kink as &dyn Smooth<f64>, &[1.0], &[-1e-20], 1.0).unwrap();
    assert_eq!(
        rule.length(&mut (), &mut line, -1e-20, &mut cx).unwrap(),
        0.0
    );
}

/// The accepted trial is handed over with its gradient: L-BFGS pays one evaluation per trial, none on top.
#[test]
fn an_accepted_trial_is_not_evaluated_again() {
    let f = Function::named("rosenbrock", 2).unwrap();
    let mut trials = 0.0;
    let mut driver = quadric_core::Driver::default();
    driver.callbacks.push(Box::new(|p| {
        let noted = p.notes.iter().find(|(name, _)| *name == "trials");
        trials += noted.map_or(0.0, |(_, v)| *v);
        Ok(quadric_core::Control::Continue)
    }));
    let method = quadric_opt::registry::build::<f64>("l-bfgs", &serde_json::Value::Null).unwrap();
    let o = method.run(&mut driver, vec![-1.2, 1.0], &f).unwrap();
    drop(driver);
    assert_eq!(o.counts.gradients as f64, trials + 1.0);
    assert_eq!(o.counts.values, 0);
}
