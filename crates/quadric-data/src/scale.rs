//! Standardisation: features of mean 0 and standard deviation 1; sparse features keep their zeros.

use crate::dataset::Dataset;
use quadric_linalg::{DataMatrix, Error, ErrorKind, Result};

/// An affine change of every feature: `(x - shift) / scale`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Scaling {
    /// What is subtracted (d); all zero for sparse features.
    pub shift: Vec<f64>,
    /// What is divided by (d), positive; 1 for constant features.
    pub scale: Vec<f64>,
}

impl Scaling {
    /// The scaling that standardises features (n, d) under weights (n, default all 1): shift by the weighted mean, unless
    /// the matrix is sparse, and scale by the weighted standard deviation around the mean.
    ///
    /// # Errors
    /// Weights that are not as many as the rows, or values so large that their spread is not finite.
    pub fn of(x: &DataMatrix<f64>, weights: Option<&[f64]>) -> Result<Self> {
        let (n, d) = (x.rows(), x.cols());
        if let Some(w) = weights
            && w.len() != n
        {
            return Err(Error::shape("weights", w.len(), n));
        }
        let weight = |i: usize| weights.map_or(1.0, |w| w[i]);
        let total: f64 = (0..n).map(weight).sum();
        let (mean, least, greatest) = centres(x, &weight, total);
        // Sums of squares of what is stored; zeros that are not stored are added by their weight.
        let (mut squares, mut stored) = (vec![0.0; d], vec![0.0; d]);
        for i in 0..n {
            let w = weight(i);
            x.for_row(i, |j, v| {
                squares[j] += w * (v - mean[j]) * (v - mean[j]);
                stored[j] += w;
            });
        }
        let mut scaling = Self {
            shift: vec![0.0; d],
            scale: vec![1.0; d],
        };
        let centre = matches!(x, DataMatrix::Dense(_));
        for j in 0..d {
            let variance = (squares[j] + (total - stored[j]).max(0.0) * mean[j] * mean[j]) / total;
            if !variance.is_finite() {
                return Err(Error::new(
                    ErrorKind::Numeric,
                    format!(
                        "the spread of feature {} is beyond the range of a double",
                        j + 1
                    ),
                ));
            }
            let constant = least[j] == greatest[j];
            if centre {
                scaling.shift[j] = if constant { least[j] } else { mean[j] };
            }
            if !constant && variance > 0.0 {
                scaling.scale[j] = variance.sqrt();
            }
        }
        Ok(scaling)
    }

    /// The scaled features.
    ///
    /// # Errors
    /// Another number of features, or a shift of sparse features, which would fill them.
    pub fn apply(&self, x: &DataMatrix<f64>) -> Result<DataMatrix<f64>> {
        if x.cols() != self.scale.len() {
            return Err(Error::shape("features", x.cols(), self.scale.len()));
        }
        match x {
            DataMatrix::Dense(dense) => {
                let mut values = dense.values().to_vec();
                for row in values.chunks_exact_mut(x.cols().max(1)) {
                    for (j, v) in row.iter_mut().enumerate() {
                        *v = (*v - self.shift[j]) / self.scale[j];
                    }
                }
                DataMatrix::dense(values, x.rows(), x.cols())
            }
            DataMatrix::Sparse(sparse) => {
                if self.shift.iter().any(|s| *s != 0.0) {
                    return Err(Error::argument(
                        "shift",
                        "not zero",
                        "zero for sparse features",
                    ));
                }
                let mut scaled = sparse.clone();
                let columns = sparse.symbolic().col_idx();
                for (v, j) in scaled.val_mut().iter_mut().zip(columns) {
                    *v /= self.scale[*j as usize];
                }
                Ok(DataMatrix::Sparse(scaled))
            }
        }
    }
}

/// Weighted mean, least and greatest value of every feature, zeros that are not stored included.
fn centres(
    x: &DataMatrix<f64>,
    weight: &dyn Fn(usize) -> f64,
    total: f64,
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let d = x.cols();
    let mut mean = vec![0.0; d];
    let (mut least, mut greatest) = (vec![f64::INFINITY; d], vec![f64::NEG_INFINITY; d]);
    let mut seen = vec![0usize; d];
    for i in 0..x.rows() {
        let w = weight(i) / total;
        x.for_row(i, |j, v| {
            mean[j] += w * v;
            least[j] = least[j].min(v);
            greatest[j] = greatest[j].max(v);
            seen[j] += 1;
        });
    }
    for j in (0..d).filter(|j| seen[*j] < x.rows()) {
        least[j] = least[j].min(0.0);
        greatest[j] = greatest[j].max(0.0);
    }
    (mean, least, greatest)
}

impl Dataset {
    /// The data set with standardised features, and the scaling that did it. Sample weights count; sparse features are
    /// scaled but not shifted.
    ///
    /// # Errors
    /// Values so large that their spread is not finite.
    ///
    /// # Example
    /// ```
    /// let (wine, scaling) = quadric_data::embedded("wine_recognition")?.standardised()?;
    /// assert_eq!(scaling.scale.len(), wine.features());
    /// # Ok::<(), quadric_linalg::Error>(())
    /// ```
    pub fn standardised(&self) -> Result<(Self, Scaling)> {
        let scaling = Scaling::of(&self.x, self.weights.as_deref())?;
        let mut scaled = self.clone();
        scaled.x = scaling.apply(&self.x)?;
        Ok((scaled, scaling))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded;

    #[test]
    fn moments_after_scaling() {
        for name in ["wdbc", "breast-cancer", "a9a"] {
            let (data, _) = embedded(name).unwrap().standardised().unwrap();
            let sparse = matches!(data.x, DataMatrix::Sparse(_));
            let again = Scaling::of(&data.x, None).unwrap();
            for j in 0..data.features() {
                assert!(
                    (again.scale[j] - 1.0).abs() < 1e-9,
                    "{name} {j} {}",
                    again.scale[j]
                );
                assert!(sparse || again.shift[j].abs() < 1e-9, "{name} {j}");
            }
        }
    }

    #[test]
    fn weights_are_repeats_and_constants_stay() {
        let x = DataMatrix::dense(vec![1.0, 7.0, 2.0, 7.0, 4.0, 7.0], 3, 2).unwrap();
        let repeated =
            DataMatrix::dense(vec![1.0, 7.0, 2.0, 7.0, 2.0, 7.0, 4.0, 7.0], 4, 2).unwrap();
        let a = Scaling::of(&x, Some(&[1.0, 2.0, 1.0])).unwrap();
        let b = Scaling::of(&repeated, None).unwrap();
        assert!((a.scale[0] - b.scale[0]).abs() < 1e-15 && (a.shift[0] - b.shift[0]).abs() < 1e-15);
        assert_eq!((a.scale[1], a.shift[1]), (1.0, 7.0));
        assert!(Scaling::of(&x, Some(&[1.0])).is_err());
        let huge = DataMatrix::dense(vec![1e300, -1e300], 2, 1).unwrap();
        assert_eq!(
            Scaling::of(&huge, None).unwrap_err().kind(),
            ErrorKind::Numeric
        );
    }

    #[test]
    fn sparse_and_dense_have_the_same_spread() {
        let dense = DataMatrix::dense(vec![0.0, 3.0, 0.0, 0.0, 0.0, 5.0], 6, 1).unwrap();
        let sparse =
            DataMatrix::sparse(vec![0, 0, 1, 1, 1, 1, 2], vec![0, 0], vec![3.0, 5.0], 6, 1)
                .unwrap();
        let (a, b) = (
            Scaling::of(&dense, None).unwrap(),
            Scaling::of(&sparse, None).unwrap(),
        );
        assert!((a.scale[0] - b.scale[0]).abs() < 1e-15);
        assert_eq!(b.shift, [0.0]);
        assert!(a.apply(&sparse).is_err());
    }
}
