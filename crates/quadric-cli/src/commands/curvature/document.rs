//! What is found of a matrix, as reports have it.

use quadric::core::{Result, Scalar};
use quadric::curvature::{self, BlockSpectrum, Spectrum};
use quadric::linalg::estimate::{Density, Kernel};
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
        density: found.density.as_ref().map(drawn).transpose()?,
        condition: found.density.as_ref().and_then(condition),
    })
}

/// The largest by the smallest eigenvalue in magnitude, if all are known and none is zero to rounding.
fn condition(density: &Density) -> Option<f64> {
    let sizes = || density.known.iter().map(|v| v.abs());
    let (least, most) = (
        sizes().fold(f64::INFINITY, f64::min),
        sizes().fold(0.0, f64::max),
    );
    let is_regular = density.exact && least > 1e-12 * most;
    is_regular.then(|| most / least)
}

/// A density as atoms and as a curve. A spectrum that is one point has no curve.
fn drawn(density: &Density) -> Result<report::Density> {
    let atoms = density.atoms();
    let ends = density.extremes().filter(|(low, high)| high > low);
    let (grid, pdf) = match ends {
        Some(_) => {
            let grid = density.grid(POINTS)?;
            let pdf = density.pdf(&grid, Kernel::Gaussian { sigma: None })?;
            (grid, pdf)
        }
        None => (Vec::new(), Vec::new()),
    };
    Ok(report::Density {
        nodes: atoms.iter().map(|a| a.0).collect(),
        weights: atoms.iter().map(|a| a.1).collect(),
        grid,
        pdf,
        low: Vec::new(),
        high: Vec::new(),
    })
}
