//! Rows of features with a prescribed covariance.

use super::{Options, Spectrum};
use quadric_linalg::random::{SeedTree, Stream};

/// Reflections whose product turns the axes; each one mixes all features.
const REFLECTIONS: usize = 4;

/// A distribution of rows with mean zero and known covariance.
pub(super) struct Design {
    d: usize,
    density: f64,
    correlation: f64,
    /// Square roots of the eigenvalues.
    deviations: Vec<f64>,
    /// Unit vectors v of the reflections I - 2 v vᵀ.
    reflections: Vec<Vec<f64>>,
    /// The last feature is made by the target.
    reserved: bool,
}

impl Design {
    pub(super) fn new(options: &Options, seeds: SeedTree) -> Self {
        let d = options.columns;
        let rotate = options.density == 1.0 && options.condition > 1.0 && d > 1;
        let reflections = (0..if rotate { REFLECTIONS } else { 0 }).map(|k| {
            let mut stream = seeds.stream(k as u64);
            let v: Vec<f64> = (0..d).map(|_| stream.normal()).collect();
            let norm = v.iter().map(|a| a * a).sum::<f64>().sqrt();
            v.iter().map(|a| a / norm).collect()
        });
        Self {
            d,
            density: options.density,
            correlation: options.correlation,
            deviations: deviations(options),
            reflections: reflections.collect(),
            reserved: options.quasi_separable,
        }
    }

    /// Appends the features of one row that are not zero; a dense row has all of them.
    pub(super) fn row(&self, stream: &mut Stream, indices: &mut Vec<u32>, values: &mut Vec<f64>) {
        let start = values.len();
        if self.density < 1.0 {
            self.sparse_row(stream, indices, values);
        } else {
            indices.extend(0..self.d as u32);
            let mut last = 0.0;
            let fresh = (1.0 - self.correlation * self.correlation).sqrt();
            for j in 0..self.d {
                let z = stream.normal();
                last = if j == 0 {
                    z
                } else {
                    self.correlation * last + fresh * z
                };
                values.push(self.deviations[j] * last);
            }
            for v in &self.reflections {
                reflect(v, &mut values[start..]);
            }
        }
        if self.reserved {
            // The target sets the last feature; it must be stored.
            if indices.last() != Some(&(self.d as u32 - 1)) || values.len() == start {
                indices.push(self.d as u32 - 1);
                values.push(0.0);
            }
        }
    }

    /// Skips from one feature that is not zero to the next by a geometric distance.
    fn sparse_row(&self, stream: &mut Stream, indices: &mut Vec<u32>, values: &mut Vec<f64>) {
        let log_rest = libm::log1p(-self.density);
        let mut j = 0usize;
        loop {
            let skip = (libm::log(1.0 - stream.uniform()) / log_rest).floor();
            if skip >= (self.d - j) as f64 {
                return;
            }
            j += skip as usize;
            indices.push(j as u32);
            values.push(self.deviations[j] * stream.normal());
            j += 1;
            if j >= self.d {
                return;
            }
        }
    }

    /// The variance of x·w.
    pub(super) fn variance(&self, w: &[f64]) -> f64 {
        if self.correlation != 0.0 {
            let (mut sum, mut carried) = (0.0, 0.0);
            for (j, wj) in w.iter().enumerate() {
                if j > 0 {
                    carried = self.correlation * (carried + w[j - 1]);
                }
                sum += wj * wj + 2.0 * wj * carried;
            }
            return sum;
        }
        let mut turned = w.to_vec();
        for v in self.reflections.iter().rev() {
            reflect(v, &mut turned);
        }
        let terms = turned
            .iter()
            .zip(&self.deviations)
            .map(|(w, s)| (w * s) * (w * s));
        self.density * terms.sum::<f64>()
    }
}

/// x <- x - 2 v (v·x)
fn reflect(v: &[f64], x: &mut [f64]) {
    let dot: f64 = v.iter().zip(x.iter()).map(|(a, b)| a * b).sum();
    for (a, b) in x.iter_mut().zip(v) {
        *a -= 2.0 * dot * b;
    }
}

fn deviations(options: &Options) -> Vec<f64> {
    let d = options.columns;
    let last = (d - 1).max(1) as f64;
    let log = libm::log(options.condition);
    let eigenvalue = |j: usize| match options.spectrum {
        Spectrum::Geometric => libm::exp(-log * j as f64 / last),
        Spectrum::PowerLaw => {
            libm::exp(-log * libm::log((j + 1) as f64) / libm::log((d as f64).max(2.0)))
        }
        Spectrum::TwoLevels if 2 * j < d => 1.0,
        Spectrum::TwoLevels => 1.0 / options.condition,
    };
    (0..d).map(|j| eigenvalue(j).sqrt()).collect()
}
