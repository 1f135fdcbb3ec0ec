//! A loss of one predictor as a contributor would write it; CONTRIBUTING.md shows this file.

use super::curve::Curve;

/// `log cosh(u - y)`: a parabola near the target, a line far from it.
#[derive(Clone, Copy)]
struct LogCosh;

impl Curve for LogCosh {
    fn value_slope(self, y: f64, u: f64) -> (f64, f64) {
        let r = u - y;
        // cosh overflows at 710; this does not.
        let value = r.abs() + (-2.0 * r.abs()).exp().ln_1p() - std::f64::consts::LN_2;
        (value, r.tanh())
    }

    fn curvature(self, y: f64, u: f64) -> f64 {
        (u - y).cosh().powi(-2)
    }

    /// `log (cosh(r + t) / cosh r) = log(1 + (cosh t - 1) + sinh t tanh r)`, so that small steps lose no digits.
    fn change(self, y: f64, u: f64, t: f64) -> f64 {
        if t.abs() < super::curve::SMALL {
            let half = (0.5 * t).sinh();
            return (2.0 * half * half + t.sinh() * (u - y).tanh()).ln_1p();
        }
        self.value_slope(y, u + t).0 - self.value_slope(y, u).0
    }
}

#[test]
fn derivatives_and_changes_of_log_cosh() {
    let h = 1e-5;
    for u in [-800.0, -3.0, -0.2, 0.0, 1e-9, 0.7, 40.0] {
        let y = 0.1;
        let (value, slope) = LogCosh.value_slope(y, u);
        assert!(value.is_finite() && value >= 0.0);
        let central = (LogCosh.change(y, u, h) - LogCosh.change(y, u, -h)) / (2.0 * h);
        assert!((central - slope).abs() < 1e-9, "slope at {u}");
        let bend = (LogCosh.slope(y, u + h) - LogCosh.slope(y, u - h)) / (2.0 * h);
        assert!(
            (bend - LogCosh.curvature(y, u)).abs() < 1e-8,
            "curvature at {u}"
        );
        for t in [-2.0, -0.4, 1e-12, 0.3, 5.0] {
            let plain = LogCosh.value_slope(y, u + t).0 - value;
            let error = (LogCosh.change(y, u, t) - plain).abs();
            assert!(
                error <= 1e-14 * value.max(1.0) * 4.0,
                "change at {u} by {t}: {error:e}"
            );
        }
    }
}
