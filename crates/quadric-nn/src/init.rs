//! The values that parameters start from.

use quadric_linalg::Scalar;
use quadric_linalg::random::SeedTree;
use std::sync::Arc;

/// How a parameter, or a buffer, starts.
#[derive(Clone, PartialEq, Debug)]
pub enum Init {
    /// One value.
    Constant(f64),
    /// Uniform between minus and plus this.
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Given values, row-major.
    Given(Arc<[f64]>),
}

impl Init {
    /// Uniform with the variance `2 / (inputs + outputs)` (Glorot and Bengio 2010).
    pub fn glorot_uniform(inputs: usize, outputs: usize) -> Self {
        Self::Uniform((6.0 / (inputs + outputs).max(1) as f64).sqrt())
    }

    /// Normal with the variance `2 / inputs`, for rectifiers (He et al. 2015).
    pub fn he_normal(inputs: usize) -> Self {
        Self::Normal((2.0 / inputs.max(1) as f64).sqrt())
    }

    /// Uniform between plus and minus `1 / sqrt(inputs)`.
    pub fn fan_in_uniform(inputs: usize) -> Self {
        Self::Uniform(1.0 / (inputs.max(1) as f64).sqrt())
    }

    /// Writes the values of the parameter `name`; they depend on the seed and the name only.
    pub(crate) fn fill<T: Scalar>(&self, name: &str, seeds: SeedTree, values: &mut [T]) {
        let mut stream = seeds.child(name).stream(0);
        for (i, v) in values.iter_mut().enumerate() {
            *v = T::of(match self {
                Self::Constant(c) => *c,
                Self::Uniform(bound) => bound * (2.0 * stream.uniform() - 1.0),
                Self::Normal(deviation) => deviation * stream.normal(),
                Self::Given(given) => given[i],
            });
        }
    }
}
