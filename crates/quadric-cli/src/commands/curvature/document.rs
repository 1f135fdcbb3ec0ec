//! What is found of a matrix, as reports have it.

use super::condition;
use quadric::core::{Result, Scalar};
use quadric::curvature::{self, BlockSpectrum, Spectrum};
use quadric::linalg::estimate::{Density, Estimate};
use quadric::report;

/// Points of a density that is drawn.
const POINTS: usize = 400;

/// What is found, as the report has it. Without a damping, the effective dimension has that of a hundredth of the largest
/// eigenvalue.
pub(in crate::commands) fn spectrum<T: Scalar>(
    found: &Spectrum<T>,
    damping: Option<f64>,
) -> Result<report::Spectrum> {
    let pairs = |all: &[curvature::Eigenvalue]| {
        let pair = |e: &curvature::Eigenvalue| report::Eigenvalue {
            value: e.value,
            residual: e.residual,
            converged: e.converged,
        };
        all.iter().map(pair).collect()
    };
    let trace = found.trace.map(|t| report::Trace {
        value: t.value.value,
        low: t.value.low,
        high: t.value.high,
        level: t.value.level,
        products: t.products as u64,
        draws: t.draws as u64,
    });
    let layer = |l: &BlockSpectrum| report::Layer {
        name: l.block.name.clone(),
        parameters: l.block.range.len() as u64,
        trace: l.trace.value,
        low: l.trace.low,
        high: l.trace.high,
        top: l.top.map(|t| t.value),
    };
    let largest = found.top.first().map_or(0.0, |e| e.value);
    let damping = damping.unwrap_or(0.01 * largest);
    let of_density = |d: &Density| d.effective_dimension(damping).ok().map(|e| e.total.value);
    let density = found.density.as_ref().filter(|_| damping > 0.0);
    Ok(report::Spectrum {
        top: pairs(&found.top),
        bottom: pairs(&found.bottom),
        trace: trace.filter(|t| t.low.is_finite() && t.high.is_finite()),
        layers: found.layers.iter().map(layer).collect(),
        effective_dimension: density.and_then(of_density),
        damping: Some(damping).filter(|d| d.is_finite() && *d > 0.0),
        density: found
            .density
            .as_ref()
            .map(|d| drawn(d, largest))
            .transpose()?,
        condition: found.density.as_ref().and_then(condition::plain),
        ..report::Spectrum::default()
    })
}

/// The share of the eigenvalues from -edge to edge. Where it is estimated, the intervals at both ends hold together.
fn near_zero(density: &Density, edge: f64) -> report::Estimate {
    let (above, below) = (density.cdf(edge), density.cdf(-edge));
    report::Estimate {
        value: (above.value - below.value).clamp(0.0, 1.0),
        low: (above.low - below.high).clamp(0.0, 1.0),
        high: (above.high - below.low).clamp(0.0, 1.0),
        level: above.level + below.level - 1.0,
    }
}

/// An estimate, if its interval has ends.
pub(super) fn estimate(e: Estimate) -> Option<report::Estimate> {
    let all = [e.value, e.low, e.high];
    all.iter()
        .all(|v| v.is_finite())
        .then_some(report::Estimate {
            value: e.value,
            low: e.low,
            high: e.high,
            level: e.level,
        })
}

/// A density as atoms and as a curve. A spectrum that is one point has no curve.
fn drawn(density: &Density, largest: f64) -> Result<report::Density> {
    let atoms = density.atoms();
    let ends = density.extremes().filter(|(low, high)| high > low);
    let (grid, places) = match ends {
        Some(_) => {
            let grid = density.grid(POINTS)?;
            let places = density.pdf_with_bands(&grid, None)?;
            (grid, places)
        }
        None => (Vec::new(), Vec::new()),
    };
    // Where nothing is estimated, or nothing is known of the error, there is no band.
    let ends = |end: fn(&Estimate) -> f64| {
        let bounded = places.iter().all(|e| e.high.is_finite());
        let band = places.iter().filter(|_| !density.exact && bounded);
        band.map(end).collect::<Vec<f64>>()
    };
    Ok(report::Density {
        nodes: atoms.iter().map(|a| a.0).collect(),
        weights: atoms.iter().map(|a| a.1).collect(),
        pdf: places.iter().map(|e| e.value).collect(),
        low: ends(|e| e.low),
        high: ends(|e| e.high),
        grid,
        near_zero: Some(near_zero(density, 0.01 * largest)).filter(|_| largest > 0.0),
        level: if density.exact { 1.0 } else { density.level },
        starts: density.rules.len() as u64,
        steps: density.steps as u64,
    })
}
