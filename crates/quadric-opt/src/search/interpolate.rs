//! Minimisers of interpolating polynomials on a line.

/// A point of a function on a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Step length.
    pub(crate) alpha: f64,
    /// Change of the value since the start of the line.
    pub(crate) change: f64,
    /// Derivative.
    pub(crate) slope: f64,
}

/// The minimiser of the cubic that fits values and slopes of two points; `None` if it has none or rounding hides it.
pub(crate) fn cubic(a: Sample, b: Sample) -> Option<f64> {
    let width = b.alpha - a.alpha;
    let theta = 3.0 * (a.change - b.change) / width + a.slope + b.slope;
    // Scaling keeps the discriminant from overflowing.
    let scale = theta.abs().max(a.slope.abs()).max(b.slope.abs());
    if !(scale > 0.0 && scale.is_finite()) {
        return None;
    }
    let inside = (theta / scale).powi(2) - (a.slope / scale) * (b.slope / scale);
    if inside < 0.0 {
        return None;
    }
    let gamma = scale * inside.sqrt() * width.signum();
    let fraction = (gamma - a.slope + theta) / (2.0 * gamma - a.slope + b.slope);
    let alpha = a.alpha + fraction * width;
    alpha.is_finite().then_some(alpha)
}

/// The zero of the line through two slopes; `None` if they do not cross zero upwards.
pub(crate) fn secant(a: Sample, b: Sample) -> Option<f64> {
    let rise = (b.slope - a.slope) / (b.alpha - a.alpha);
    let alpha = a.alpha - a.slope / rise;
    (rise > 0.0 && alpha.is_finite()).then_some(alpha)
}

/// The minimiser of the parabola with slope `a.slope` at `a` and value `b.change` at `b`.
pub(crate) fn quadratic(a: Sample, b_alpha: f64, b_change: f64) -> Option<f64> {
    let width = b_alpha - a.alpha;
    let bend = b_change - a.change - a.slope * width;
    let alpha = a.alpha - a.slope * width * width / (2.0 * bend);
    (bend > 0.0 && alpha.is_finite()).then_some(alpha)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_minimised_exactly() {
        // f(t) = t³ - 3t has its minimum at 1, f(t) = (t - 2)² at 2.
        let f = |t: f64| Sample {
            alpha: t,
            change: t * t * t - 3.0 * t,
            slope: 3.0 * t * t - 3.0,
        };
        assert!((cubic(f(0.0), f(3.0)).unwrap() - 1.0).abs() < 1e-14);
        assert!((cubic(f(3.0), f(0.5)).unwrap() - 1.0).abs() < 1e-14);
        let q = |t: f64| Sample {
            alpha: t,
            change: t * t - 4.0 * t,
            slope: 2.0 * t - 4.0,
        };
        assert_eq!(secant(q(0.0), q(1.0)), Some(2.0));
        assert_eq!(quadratic(q(0.0), 1.0, -3.0), Some(2.0));
        assert_eq!(quadratic(q(0.0), 1.0, -4.0), None);
        assert_eq!(secant(q(1.0), q(1.0)), None);
    }
}
