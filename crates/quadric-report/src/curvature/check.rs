//! Whether the numbers of an analysis can be shown: finite, and lists of the same length.

use super::{Curvature, Density, Landscape, Line, MATRICES, Plane, Spectrum};
use quadric_core::{Error, Result};

impl Curvature {
    /// Checks the numbers.
    ///
    /// # Errors
    /// `NonFinite` and `Shape`, each with the name of the field.
    pub fn check(&self) -> Result<()> {
        finite("loss", [self.loss])?;
        finite("accuracy", self.accuracy)?;
        finite("gradient_norm", [self.gradient_norm])?;
        for (name, e) in [
            ("noise_scale", self.noise_scale),
            ("hessian_noise_scale", self.hessian_noise_scale),
        ] {
            finite(
                name,
                e.iter().flat_map(|e| [e.value, e.low, e.high, e.level]),
            )?;
        }
        finite("gradient_alignment", self.gradient_alignment)?;
        finite("gradient_equivalents", [self.gradient_equivalents])?;
        finite("seconds", [self.seconds])?;
        for (i, matrix) in self.matrices() {
            matrix.check(MATRICES[i].0)?;
        }
        self.landscape.iter().try_for_each(Landscape::check)
    }
}

impl Spectrum {
    fn check(&self, name: &str) -> Result<()> {
        let field = |part: &str| format!("{name}.{part}");
        for (part, list) in [("top", &self.top), ("bottom", &self.bottom)] {
            finite(
                &field(part),
                list.iter().flat_map(|e| [e.value, e.residual]),
            )?;
        }
        let trace = self
            .trace
            .iter()
            .flat_map(|t| [t.value, t.low, t.high, t.level]);
        finite(&field("trace"), trace)?;
        let layers = self
            .layers
            .iter()
            .flat_map(|l| [l.trace, l.low, l.high].into_iter().chain(l.top));
        finite(&field("layers"), layers)?;
        finite(&field("effective_dimension"), self.effective_dimension)?;
        finite(&field("condition"), self.condition)?;
        self.check_shapes(name)?;
        self.density
            .iter()
            .try_for_each(|d| d.check(&field("density")))
    }
}

impl Density {
    fn check(&self, name: &str) -> Result<()> {
        let grid = self.grid.len();
        for (part, list, length) in [
            ("nodes", &self.nodes, self.nodes.len()),
            ("weights", &self.weights, self.nodes.len()),
            ("grid", &self.grid, grid),
            ("pdf", &self.pdf, grid),
            ("low", &self.low, if self.low.is_empty() { 0 } else { grid }),
            (
                "high",
                &self.high,
                if self.low.is_empty() { 0 } else { grid },
            ),
        ] {
            let name = format!("{name}.{part}");
            same(&name, list.len(), length)?;
            finite(&name, list.iter().copied())?;
        }
        let near = self.near_zero.iter();
        let near = near.flat_map(|e| [e.value, e.low, e.high, e.level]);
        finite(&format!("{name}.near_zero"), near)?;
        finite(&format!("{name}.level"), [self.level])
    }
}

impl Landscape {
    fn check(&self) -> Result<()> {
        self.lines.iter().try_for_each(Line::check)?;
        self.plane.iter().try_for_each(Plane::check)
    }
}

impl Line {
    fn check(&self) -> Result<()> {
        let steps = self.steps.len();
        let field = |part: &str| format!("landscape.lines.{part}");
        same(&field("values"), self.values.len(), steps)?;
        if !self.model.is_empty() {
            same(&field("model"), self.model.len(), steps)?;
        }
        finite(&field("steps"), self.steps.iter().copied())?;
        finite(&field("values"), self.values.iter().copied().flatten())?;
        finite(&field("model"), self.model.iter().copied())
    }
}

impl Plane {
    fn check(&self) -> Result<()> {
        let field = |part: &str| format!("landscape.plane.{part}");
        finite(&field("first"), self.first.iter().copied())?;
        finite(&field("second"), self.second.iter().copied())?;
        same(&field("values"), self.values.len(), self.second.len())?;
        for row in &self.values {
            same(&field("values"), row.len(), self.first.len())?;
            finite(&field("values"), row.iter().copied().flatten())?;
        }
        Ok(())
    }
}

pub(super) fn finite(name: &str, values: impl IntoIterator<Item = f64>) -> Result<()> {
    let mut values = values.into_iter().enumerate();
    match values.find(|(_, v)| !v.is_finite()) {
        Some((i, v)) => Err(Error::non_finite(name, i, v)),
        None => Ok(()),
    }
}

fn same(name: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::shape(name, [found], [expected]))
}
