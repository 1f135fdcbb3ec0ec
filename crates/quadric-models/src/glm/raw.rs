//! The gradient in the units of the data.

use super::Glm;
use quadric_core::{Result, Scalar, Smooth};

impl<T: Scalar> Glm<T> {
    /// Euclidean norm of the gradient of the objective in the weights and intercepts of the raw features, at the unknowns
    /// `x`. On columns with a large mean it has a floor far above that of the internal gradient: the entry of such a
    /// weight is the intercept's entry times the mean.
    ///
    /// # Errors
    /// `x` of the wrong length.
    pub fn gradient_norm(&self, x: &[T]) -> Result<f64> {
        let mut gradient = vec![T::of(0.0); x.len()];
        self.value_grad(x, &mut gradient)?;
        let (frame, columns) = (&self.design.frame, self.design.columns());
        let mut raw = Vec::with_capacity(x.len());
        for g in gradient.chunks(columns) {
            let intercept = if frame.intercept {
                g[frame.features].to_f64()
            } else {
                0.0
            };
            let scaled = g.iter().zip(&frame.scale);
            let columns = scaled.map(|(g, scale)| g.to_f64() / scale).collect();
            raw.extend(frame.gradient_of_features(columns, intercept));
            raw.push(intercept);
        }
        Ok(quadric_core::vector::norm2(&raw))
    }
}
