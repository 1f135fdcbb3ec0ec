//! Squares of the gradients of single examples, by segments of the parameters.

use super::Supervised;
use super::taps::Columns;
use super::traced::Job;
use quadric_autodiff::Data;
use quadric_core::Backward;
use quadric_linalg::{Result, Scalar};

impl<T: Scalar> Supervised<T> {
    /// See [`Model::squares`](quadric_core::Model::squares).
    pub(super) fn sums_of_squares(&self, x: &[T], backward: Backward) -> Result<Vec<f64>> {
        self.check_point(x)?;
        self.check_separable("the gradient of an example")?;
        let columns = Columns::new(self.shared.outputs);
        let job = match backward {
            Backward::Gradient(targets) => Job::Squares(targets),
            Backward::Fisher => Job::SquaresOfColumns(columns.chunk),
        };
        let mut sums = vec![0.0; self.shared.network.layout().segments().len()];
        let mut room = Vec::new();
        self.sweep(self.examples_at_a_time(job)?, |start, n, batch| {
            let keys = self.keys(job, start, n);
            let point = self.shared.point(x, batch, &keys);
            let mut executable = self.take(job, n)?;
            let (each, chunks) = match backward {
                Backward::Gradient(_) => (n, 1),
                Backward::Fisher => (n * columns.chunk, columns.chunks()),
            };
            room.resize(each * sums.len(), T::of(0.0));
            let mut prepared = executable.prepare(&point)?;
            for i in 0..chunks {
                let units = columns.units(i);
                let given = [Data::Float(&units)];
                let given = match backward {
                    Backward::Gradient(_) => &given[..0],
                    Backward::Fisher => &given,
                };
                prepared.apply(given, &mut [&mut room])?;
                add_rows(&mut sums, &room);
            }
            self.give_back(job, n, executable);
            Ok(())
        })?;
        Ok(sums)
    }
}

/// Adds numbers for segments of one example after the other to sums for segments.
pub(super) fn add_rows<T: Scalar>(sums: &mut [f64], examples: &[T]) {
    for each in examples.chunks_exact(sums.len()) {
        let pairs = sums.iter_mut().zip(each);
        pairs.for_each(|(s, v)| *s += v.to_f64());
    }
}
