//! Values, gradients, lines and gaps.

use super::{Bench, Worst, best_pair, moved, normal, sweep};
use crate::{Line, Result, Scalar, Smooth, vector};

impl<T: Scalar> Bench<'_, T> {
    /// Two evaluations at one point give the same bits, and both ways to the value agree.
    pub(super) fn determinism(&mut self) -> Result<()> {
        let Some(objective) = self.problem.as_objective() else {
            return Ok(());
        };
        let (a, b) = (objective.value(self.x)?, objective.value(self.x)?);
        let mut worst = Worst::default();
        worst.see(f64::from(a.to_bits() != b.to_bits()), || {
            format!("two values at one point: {a:e}, {b:e}")
        });
        let mut agreement = Worst::default();
        if let Some(smooth) = self.problem.as_smooth() {
            let mut g = vec![T::of(0.0); self.x.len()];
            let mut again = g.clone();
            let value = smooth.value_grad(self.x, &mut g)?;
            smooth.value_grad(self.x, &mut again)?;
            worst.see(f64::from(g != again), || {
                "two gradients at one point differ".into()
            });
            let error = (value - a).abs() / value.abs().max(a.abs()).max(f64::MIN_POSITIVE);
            agreement.see(error, || {
                format!("value() is {a:e}, value_grad() says {value:e}")
            });
        }
        self.add("two evaluations are equal", worst, 0.0);
        self.add(
            "value and value_grad agree",
            agreement,
            100.0 * self.rounding(),
        );
        Ok(())
    }

    pub(super) fn gradient(&mut self) -> Result<()> {
        let name = "gradient against values";
        let Some(smooth) = self.problem.as_smooth() else {
            self.skip(name, "the problem does not offer Smooth");
            return Ok(());
        };
        let n = self.x.len();
        let mut g = vec![T::of(0.0); n];
        smooth.value_grad(self.x, &mut g)?;
        let mut stream = self.stream("gradient");
        let mut worst = Worst::default();
        for k in 0..5 {
            let d = normal::<T>(n, &mut stream);
            let error = slope_error(smooth, self.x, &g, &d, self.scale())?;
            worst.see(error, || format!("in random direction {k}"));
        }
        // Single entries too: a wrong one hides in a long random direction.
        for _ in 0..n.min(20) {
            let i = stream.below(n);
            let mut d = vec![T::of(0.0); n];
            d[i] = T::of(1.0);
            let error = slope_error(smooth, self.x, &g, &d, self.scale())?;
            worst.see(error, || {
                format!("in entry {i}, which is {:e}", g[i].to_f64())
            });
        }
        self.add(name, worst, if T::EPSILON < 1e-10 { 1e-6 } else { 2e-2 });
        Ok(())
    }

    /// The restriction to a line is the function on the line.
    pub(super) fn line(&mut self) -> Result<()> {
        let name = "line restriction against values";
        let Some(smooth) = self.problem.as_smooth() else {
            self.skip(name, "the problem does not offer Smooth");
            return Ok(());
        };
        let n = self.x.len();
        let d = normal::<T>(n, &mut self.stream("line"));
        let mut g = vec![T::of(0.0); n];
        let value = smooth.value_grad(self.x, &mut g)?;
        let mut line = Line::new(smooth, self.x, &d, value)?;
        if !line.is_cheap() {
            self.skip(name, "the problem does not restrict itself to lines");
            return Ok(());
        }
        let mut worst = Worst::default();
        let mut trial = vec![T::of(0.0); n];
        for alpha in [0.0, 1e-3, 0.3, 1.0] {
            let (change, slope) = line.change_and_slope(alpha)?;
            Line::point(self.x, &d, alpha, &mut trial);
            let full = smooth.value_grad(&trial, &mut g)?;
            // Rounding of the trial point moves the value by its gradient, rounding of F by its size.
            let size = full.abs().max(value.abs())
                + vector::max_abs(&g) * vector::max_abs(&trial) * n as f64;
            let error = (change - (full - value)).abs() / size.max(f64::MIN_POSITIVE);
            worst.see(error, || format!("change at {alpha}: {change:e}"));
            let exact = vector::dot(&g, &d);
            let size = vector::norm2(&g) * vector::norm2(&d) + size;
            let error = (slope - exact).abs() / size.max(f64::MIN_POSITIVE);
            worst.see(error, || {
                format!("slope at {alpha}: {slope:e}, not {exact:e}")
            });
        }
        let limit = 1e4 * self.rounding();
        self.add(name, worst, limit);
        Ok(())
    }

    /// A proven bound on the gap is not below a decrease that a step along the negative gradient achieves.
    pub(super) fn gap(&mut self) -> Result<()> {
        let name = "gap bound against descent";
        let (Some(gap), Some(smooth)) = (self.problem.gap(self.x)?, self.problem.as_smooth())
        else {
            self.skip(name, "the problem proves no gap");
            return Ok(());
        };
        let mut g = vec![T::of(0.0); self.x.len()];
        let value = smooth.value_grad(self.x, &mut g)?;
        let norm = vector::norm2(&g).max(f64::MIN_POSITIVE);
        let mut worst = Worst::default();
        let negative = f64::from(gap.bound.is_nan() || gap.bound < 0.0);
        worst.see(negative, || format!("the bound is {:e}", gap.bound));
        for k in 0..40 {
            let h = 4.0 * self.scale() * 0.5_f64.powi(k);
            let below = smooth.value(&moved(self.x, &g, -h / norm))?;
            let excess = (value - below - gap.bound) / value.abs().max(f64::MIN_POSITIVE);
            if below.is_finite() {
                worst.see(excess, || {
                    format!(
                        "F falls by {:e}, the bound is {:e}",
                        value - below,
                        gap.bound
                    )
                });
            }
        }
        let limit = 100.0 * self.rounding();
        self.add(name, worst, limit);
        Ok(())
    }
}

/// How far the slope along `d` is from central differences, relative to the slope or to what is typical for a gradient
/// of this length.
fn slope_error<T: Scalar>(
    smooth: &dyn Smooth<T>,
    x: &[T],
    g: &[T],
    d: &[T],
    scale: f64,
) -> Result<f64> {
    let length = vector::norm2(d).max(f64::MIN_POSITIVE);
    let typical = vector::norm2(g) / (x.len() as f64).sqrt();
    let mut errors = Vec::new();
    for step in sweep::<T>() {
        let h = step * scale / length;
        let (plus, minus) = (moved(x, d, h), moved(x, d, -h));
        let (up, down) = (smooth.value(&plus)?, smooth.value(&minus)?);
        // The way that was really gone, after rounding of both points.
        let way: Vec<f64> = plus
            .iter()
            .zip(&minus)
            .map(|(p, m)| p.to_f64() - m.to_f64())
            .collect();
        let gone = vector::norm2(&way);
        let exact = g.iter().zip(&way).map(|(g, w)| g.to_f64() * w).sum::<f64>();
        let size = exact.abs().max(typical * gone).max(f64::MIN_POSITIVE);
        // Values this close together are all rounding; at a stationary point nothing else is left.
        let noise = 4.0 * f64::EPSILON * up.abs().max(down.abs());
        let difference = ((up - down) - exact).abs();
        errors.push(if difference <= noise {
            0.0
        } else {
            difference / size
        });
    }
    // Lengths so short that everything is noise prove nothing.
    let informative: Vec<f64> = errors.iter().copied().take_while(|e| *e != 0.0).collect();
    Ok(if informative.len() >= 2 {
        best_pair(&informative)
    } else {
        best_pair(&errors)
    })
}
