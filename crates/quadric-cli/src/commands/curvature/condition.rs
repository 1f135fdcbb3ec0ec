//! The condition of a matrix plus a damping, as far as its eigenvalues are known.

use quadric::curvature::Spectrum;
use quadric::linalg::estimate::Density;
use quadric::report::{Condition, Knowledge};

/// The smallest and the largest eigenvalue of `A + δ I` in magnitude, if all are known.
fn sizes(density: &Density, damping: f64) -> Option<(f64, f64)> {
    let sizes = || density.known.iter().map(|v| (v + damping).abs());
    density.exact.then(|| {
        (
            sizes().fold(f64::INFINITY, f64::min),
            sizes().fold(0.0, f64::max),
        )
    })
}

/// The largest by the smallest eigenvalue in magnitude, if all are known and none is zero to rounding.
pub(super) fn plain(density: &Density) -> Option<f64> {
    let (least, most) = sizes(density, 0.0)?;
    (least > 1e-12 * most).then(|| most / least)
}

/// The condition of `A + δ I`, if anything is known of it.
pub(super) fn damped<T>(found: &Spectrum<T>, psd: bool, damping: Option<f64>) -> Option<Condition> {
    let damping = damping?;
    if let Some((least, most)) = found.density.as_ref().and_then(|d| sizes(d, damping)) {
        let value = Some(most / least).filter(|v| v.is_finite());
        return Some(Condition {
            known: Knowledge::Exact,
            value: Some(value?),
            ends: None,
        });
    }
    let top = found.top.first().filter(|e| e.converged)?;
    if psd {
        return Some(Condition {
            known: Knowledge::Bound,
            value: Some((top.value + top.residual).max(0.0) / damping + 1.0),
            ends: None,
        });
    }
    let bottom = found.bottom.first().filter(|e| e.converged)?;
    let (largest, smallest) = (top.value + damping, bottom.value + damping);
    if smallest + bottom.residual < 0.0 {
        return Some(Condition {
            known: Knowledge::Indefinite,
            value: None,
            ends: None,
        });
    }
    if smallest <= 0.0 {
        return None;
    }
    let bounded = smallest > bottom.residual;
    let ends = bounded.then(|| {
        let low = (largest - top.residual) / (smallest + bottom.residual);
        let high = (largest + top.residual) / (smallest - bottom.residual);
        [low.max(1.0), high]
    });
    Some(Condition {
        known: Knowledge::Ends,
        value: Some(largest / smallest),
        ends,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use faer::Mat;
    use quadric::curvature::Eigenvalue;

    fn found(top: f64, bottom: Option<f64>) -> Spectrum<f64> {
        let pair = |value: f64| Eigenvalue {
            value,
            residual: 0.1,
            converged: true,
        };
        Spectrum {
            top: vec![pair(top)],
            bottom: bottom.map(pair).into_iter().collect(),
            vectors: Mat::new(),
            trace: None,
            layers: Vec::new(),
            density: None,
            products: 0,
            gradients: 0.0,
            exact: false,
        }
    }

    #[test]
    fn what_both_ends_say() {
        let of = |bottom: Option<f64>, psd: bool| damped(&found(9.0, bottom), psd, Some(1.0));
        let bound = of(None, true).expect("a bound");
        assert_eq!((bound.known, bound.value), (Knowledge::Bound, Some(10.1)));
        assert_eq!(of(None, false), None);
        let both = of(Some(-0.5), false).expect("both ends");
        assert_eq!((both.known, both.value), (Knowledge::Ends, Some(20.0)));
        let [low, high] = both.ends.expect("bounded");
        assert!((low - 9.9 / 0.6).abs() < 1e-12 && (high - 10.1 / 0.4).abs() < 1e-12);
        // The error of the smaller end reaches to 0, over it, and not at all.
        let wide = of(Some(-0.95), false).expect("both ends");
        assert_eq!((wide.known, wide.ends), (Knowledge::Ends, None));
        assert_eq!(of(Some(-1.05), false), None);
        let below = of(Some(-2.0), false).expect("a sign");
        assert_eq!((below.known, below.value), (Knowledge::Indefinite, None));
        let mut open = found(9.0, Some(-0.5));
        open.bottom[0].converged = false;
        assert_eq!(damped(&open, false, Some(1.0)), None);
        assert_eq!(damped(&found(0.0, None), true, None), None);
    }
}
