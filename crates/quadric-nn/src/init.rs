//! The values that parameters start from.

use quadric_linalg::Scalar;
use quadric_linalg::random::{SeedTree, Stream};
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
    /// Standard normal in this many entries of each column, 0 elsewhere (Martens 2010); the last axis counts the columns.
    Sparse(usize),
    /// The Euclidean norms of the columns of another parameter of the same layer, whose last axis counts them.
    ColumnNorms {
        /// Its name in the layer.
        of: String,
        /// Entries of each column.
        rows: usize,
        /// What it starts from.
        init: Box<Init>,
    },
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

    /// Writes the values of a parameter with so many columns; they depend on the seed and its name only.
    pub(crate) fn fill<T: Scalar>(
        &self,
        name: &str,
        columns: usize,
        seeds: SeedTree,
        values: &mut [T],
    ) {
        let mut stream = seeds.child(name).stream(0);
        let mut each = |f: &mut dyn FnMut(&mut Stream, usize) -> f64| {
            for (i, v) in values.iter_mut().enumerate() {
                *v = T::of(f(&mut stream, i));
            }
        };
        match self {
            Self::Constant(c) => each(&mut |_, _| *c),
            Self::Uniform(bound) => each(&mut |s, _| bound * (2.0 * s.uniform() - 1.0)),
            Self::Normal(deviation) => each(&mut |s, _| deviation * s.normal()),
            Self::Given(given) => each(&mut |_, i| given[i]),
            Self::Sparse(entries) => {
                let rows = values.len() / columns.max(1);
                values.fill(T::of(0.0));
                for column in 0..columns {
                    for row in stream.permutation(rows).into_iter().take(*entries) {
                        values[row * columns + column] = T::of(stream.normal());
                    }
                }
            }
            Self::ColumnNorms { of, rows, init } => {
                let layer = name.rfind('.').map_or("", |dot| &name[..=dot]);
                let mut other = vec![0.0_f64; rows * values.len()];
                init.fill(&format!("{layer}{of}"), values.len(), seeds, &mut other);
                let columns = values.len();
                for (i, v) in values.iter_mut().enumerate() {
                    let column = other[i..].iter().step_by(columns);
                    *v = T::of(column.map(|x| x * x).sum::<f64>().sqrt());
                }
            }
        }
    }
}
