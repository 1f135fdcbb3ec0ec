//! Lengths in the metric H⁻¹ of a Hessian, which may be singular where the data are.

use super::design::Design;
use super::samples::Samples;
use faer::{Mat, MatMut};
use quadric_core::{Result, Scalar, vector};
use quadric_linalg::dense::{EquilibratedCholesky, symmetric_eigen};
use quadric_linalg::parallel::map_ranges;

/// Rows that are transformed together.
const ROWS: usize = 64;

/// How hard to look for the longest row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// An upper bound must do.
    Bounds,
    /// Row by row if need be.
    Exact,
}

/// The metric of the inverse of H, or of the inverse on the range of H.
pub(crate) enum Metric<T> {
    Regular(EquilibratedCholesky<T>),
    Singular(Range<T>),
}

/// `S H S = V diag(values) Vᵀ` with a diagonal S that makes the diagonal of H one; split into range and null space.
pub(crate) struct Range<T> {
    scale: Vec<f64>,
    /// Eigenvectors of the range (dim, rank), each divided by the root of its eigenvalue.
    vectors: Mat<T>,
    /// Eigenvectors of the null space.
    null: Mat<T>,
}

impl<T: Scalar> Metric<T> {
    /// The metric of `h`. `None` where H is singular along a direction in which the data are not: curvature has vanished
    /// below rounding, and nothing can be said about it.
    pub(crate) fn new(h: &Mat<T>, design: &Design<T>, outputs: usize) -> Result<Option<Self>> {
        let dim = h.nrows();
        let floor = 100.0 * dim as f64 * T::EPSILON;
        if let Ok(factor) = EquilibratedCholesky::new(h.as_ref(), 0.0)
            && factor.info().smallest_pivot > floor
        {
            return Ok(Some(Self::Regular(factor)));
        }
        if (0..dim).any(|j| !(h[(j, j)].to_f64() >= 0.0 && h[(j, j)].to_f64().is_finite())) {
            return Ok(None);
        }
        let scale: Vec<f64> = (0..dim)
            .map(|j| {
                let bend = h[(j, j)].to_f64();
                if bend > 0.0 { 1.0 / bend.sqrt() } else { 1.0 }
            })
            .collect();
        let scaled = Mat::<T>::from_fn(dim, dim, |i, j| {
            T::of(h[(i, j)].to_f64() * scale[i] * scale[j])
        });
        let eigen = symmetric_eigen(scaled.as_ref())?;
        let top = eigen.values.last().map_or(0.0, |v| v.to_f64());
        let rank = eigen
            .values
            .iter()
            .filter(|v| v.to_f64() > floor * top)
            .count();
        let first = dim - rank;
        let range = Range {
            vectors: Mat::from_fn(dim, rank, |i, c| {
                let root = eigen.values[first + c].to_f64().sqrt();
                T::of(eigen.vectors[(i, first + c)].to_f64() / root)
            }),
            null: eigen.vectors.subcols(0, first).to_owned(),
            scale,
        };
        Ok(range
            .is_null_for(design, outputs)
            .then_some(Self::Singular(range)))
    }

    /// True if H was singular.
    pub(crate) fn is_singular(&self) -> bool {
        matches!(self, Self::Singular(_))
    }

    /// `gᵀ H⁻¹ g`, on the range of H.
    pub(crate) fn square(&self, g: &[T]) -> f64 {
        let mut block = g.to_vec();
        self.lengths(&mut block, g.len()).powi(2)
    }

    /// `H⁻¹ g`.
    pub(crate) fn solve(&self, g: &[T]) -> Vec<T> {
        let mut out = g.to_vec();
        match self {
            Self::Regular(factor) => factor.solve_vector_in_place(&mut out),
            Self::Singular(range) => {
                let parts = range.coordinates(g);
                for (i, o) in out.iter_mut().enumerate() {
                    let sum: f64 = (0..parts.len())
                        .map(|c| range.vectors[(i, c)].to_f64() * parts[c])
                        .sum();
                    *o = T::of(sum * range.scale[i]);
                }
            }
        }
        out
    }

    /// Turns columns of length `dim` into vectors whose Euclidean length is theirs in the metric; returns the largest.
    fn lengths(&self, columns: &mut [T], dim: usize) -> f64 {
        let count = columns.len() / dim;
        match self {
            Self::Regular(factor) => {
                factor
                    .solve_half_in_place(MatMut::from_column_major_slice_mut(columns, dim, count));
            }
            Self::Singular(range) => {
                for column in columns.chunks_exact_mut(dim) {
                    let parts = range.coordinates(column);
                    column.fill(T::of(0.0));
                    for (o, part) in column.iter_mut().zip(parts) {
                        *o = T::of(part);
                    }
                }
            }
        }
        columns
            .chunks_exact(dim)
            .map(vector::norm2)
            .fold(0.0, larger)
    }

    /// Whether nothing that a sample can contribute to a third derivative is longer than `ceiling`, as far as the effort
    /// shows: z_i for one predictor; z_i times the difference of two classes for softmax.
    pub(crate) fn rows_are_within(
        &self,
        ceiling: f64,
        design: &Design<T>,
        samples: &Samples,
        effort: Effort,
    ) -> bool {
        let (n, outputs) = (samples.len(), samples.outputs());
        // A few rows refute most points far from the optimum at once, and a bound from the columns confirms most near it.
        let few = samples.weighted_rows().step_by(n.div_ceil(ROWS).max(1));
        if self.longest_row(&few.collect::<Vec<_>>(), design, outputs) > ceiling {
            return false;
        }
        let pays = design.columns() <= n;
        if pays && self.rows_bound(design, samples) <= ceiling {
            return true;
        }
        effort == Effort::Exact
            && map_ranges(n, 16 * ROWS, |_, rows| {
                let rows: Vec<usize> = samples.weighted_among(rows).collect();
                self.longest_row(&rows, design, outputs) <= ceiling
            })
            .into_iter()
            .all(|within| within)
    }

    /// An upper bound of what [`Metric::longest_row`] finds, from the lengths of the unit vectors and of the centre by the
    /// triangle inequality: `‖z‖ <= ‖centre‖ + Σ |z_j| ‖e_j‖` over the stored entries. In coordinates of the contrasts, the
    /// difference of two classes has length √2.
    fn rows_bound(&self, design: &Design<T>, samples: &Samples) -> f64 {
        let (p, centre, outputs) = (design.columns(), design.centre(), samples.outputs());
        let units = map_ranges(p, ROWS, |_, range| {
            let unit = |at: usize, column: &mut [T]| column[range.start + at] = T::of(1.0);
            self.lengths_over_contrasts(range.len(), p, outputs, unit)
        });
        let units = units.concat();
        let centre = self.lengths_over_contrasts(1, p, outputs, |_, column| {
            for (o, m) in column.iter_mut().zip(centre) {
                *o = T::of(*m);
            }
        })[0];
        let parts = map_ranges(samples.len(), 16 * ROWS, |_, rows| {
            samples.weighted_among(rows).fold(0.0, |longest, i| {
                let mut sum = centre;
                design.for_stored(i, |j, v| sum += v.abs() * units[j]);
                larger(longest, sum)
            })
        });
        parts.into_iter().fold(0.0, larger)
    }

    /// For each of `count` vectors of length p, which `fill` writes into zeros: the root of the sum of its squared lengths as
    /// the part of every contrast, times √2 if there are several.
    fn lengths_over_contrasts(
        &self,
        count: usize,
        p: usize,
        outputs: usize,
        fill: impl Fn(usize, &mut [T]),
    ) -> Vec<f64> {
        let dim = p * outputs;
        let mut columns = vec![T::of(0.0); count * outputs * dim];
        for (at, column) in columns.chunks_exact_mut(dim).enumerate() {
            let c = at % outputs;
            fill(at / outputs, &mut column[c * p..(c + 1) * p]);
        }
        self.lengths(&mut columns, dim);
        let factor = if outputs == 1 { 1.0 } else { 2.0 };
        let square = |v: &[T]| v.iter().map(|v| v.to_f64().powi(2)).sum::<f64>();
        columns
            .chunks_exact(dim * outputs)
            .map(|v| (factor * square(v)).sqrt())
            .collect()
    }

    fn longest_row(&self, rows: &[usize], design: &Design<T>, outputs: usize) -> f64 {
        let p = design.columns();
        let dim = p * outputs;
        let mut longest = 0.0f64;
        for rows in rows.chunks(ROWS.div_ceil(outputs)) {
            let mut columns = vec![T::of(0.0); rows.len() * outputs * dim];
            for (at, i) in rows.iter().enumerate() {
                for c in 0..outputs {
                    let column = &mut columns[(at * outputs + c) * dim..][..dim];
                    design.write_row(*i, &mut column[c * p..(c + 1) * p]);
                }
            }
            let single = self.lengths(&mut columns, dim);
            let samples = columns.chunks_exact(dim * outputs);
            let longest_here = if outputs == 1 {
                single
            } else {
                samples
                    .map(|v| longest_difference(v, dim, outputs))
                    .fold(0.0, larger)
            };
            longest = larger(longest, longest_here);
        }
        longest
    }
}

/// The larger number; NaN if either is.
fn larger(a: f64, b: f64) -> f64 {
    // A NaN on the left compares false and stays.
    if b > a || b.is_nan() { b } else { a }
}

/// The largest length of `Σ_c (B_a - B_b)_c v_c` over pairs of classes, from the vectors v of one sample.
fn longest_difference<T: Scalar>(vectors: &[T], dim: usize, outputs: usize) -> f64 {
    let v = |c: usize| &vectors[c * dim..(c + 1) * dim];
    // See `Contrast`: e_a - e_b among the first classes, e_a + tau 1 against the last one.
    let tau = 1.0 / (1.0 + (outputs as f64 + 1.0).sqrt());
    let mut sum = vec![T::of(0.0); dim];
    for c in 0..outputs {
        vector::axpy(tau, v(c), &mut sum);
    }
    let mut longest = 0.0f64;
    let mut difference = vec![T::of(0.0); dim];
    for a in 0..outputs {
        difference.copy_from_slice(v(a));
        vector::axpy(1.0, &sum, &mut difference);
        longest = larger(longest, vector::norm2(&difference));
        for b in 0..a {
            difference.copy_from_slice(v(a));
            vector::axpy(-1.0, v(b), &mut difference);
            longest = larger(longest, vector::norm2(&difference));
        }
    }
    longest
}

impl<T: Scalar> Range<T> {
    /// Coordinates of u whose Euclidean length is its length in the metric.
    fn coordinates(&self, u: &[T]) -> Vec<f64> {
        let w = &self.vectors;
        (0..w.ncols())
            .map(|c| {
                (0..u.len())
                    .map(|i| w[(i, c)].to_f64() * self.scale[i] * u[i].to_f64())
                    .sum()
            })
            .collect()
    }

    /// Whether no sample sees the null space: `z_i · v = 0` for every null vector v, up to rounding.
    fn is_null_for(&self, design: &Design<T>, outputs: usize) -> bool {
        let p = design.columns();
        let count = self.null.ncols() * outputs;
        if count == 0 {
            return true;
        }
        let v = Mat::<T>::from_fn(p, count, |j, c| {
            let at = c % outputs * p + j;
            T::of(self.null[(at, c / outputs)].to_f64() * self.scale[at])
        });
        let mut seen = vec![T::of(0.0); design.rows() * count];
        design.multiply(v.as_ref(), &mut seen);
        let largest = |j: usize| (0..count).fold(0.0f64, |m, c| m.max(v[(j, c)].to_f64().abs()));
        let largest: Vec<f64> = (0..p).map(largest).collect();
        let is_null = |i: usize| {
            // The products are small against the terms that they add up.
            let mut size = 0.0f64;
            design.for_row(i, |j, z| size = size.max((z * largest[j]).abs()));
            let product = vector::max_abs(&seen[i * count..(i + 1) * count]);
            product <= T::EPSILON.sqrt() * size
        };
        map_ranges(design.rows(), 16 * ROWS, |_, mut rows| rows.all(is_null))
            .into_iter()
            .all(|null| null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Glm, GlmOptions, Loss};
    use quadric_core::random::SeedTree;
    use quadric_core::{DataMatrix, LinearOperator, TwiceSmooth};

    #[test]
    fn the_bound_from_the_columns_holds_and_is_of_use() {
        let (n, d) = (60, 5);
        for (loss, classes) in [(Loss::Logistic, 2), (Loss::Softmax, 3)] {
            for seed in 0..20 {
                let mut stream = SeedTree::new(seed).stream(0);
                let values: Vec<f64> = (0..n * d).map(|_| 3.0 * stream.normal() + 1.0).collect();
                let target: Vec<f64> = (0..n).map(|i| (i % classes) as f64).collect();
                let x = if seed % 2 == 0 {
                    DataMatrix::dense(values, n, d).unwrap()
                } else {
                    let starts = (0..=n).map(|i| (i * d) as u32).collect();
                    let indices = (0..n * d).map(|at| (at % d) as u32).collect();
                    DataMatrix::sparse(starts, indices, values, n, d).unwrap()
                };
                let options = GlmOptions {
                    loss,
                    l2: 1e-3,
                    intercept: true,
                };
                let glm = Glm::<f64>::new(x, &target, None, &options).unwrap();
                let outputs = classes - 1;
                let mut h = Mat::<f64>::zeros((d + 1) * outputs, (d + 1) * outputs);
                glm.hessian(&glm.start())
                    .unwrap()
                    .dense(h.as_mut())
                    .unwrap();
                let metric = Metric::new(&h, &glm.design, outputs).unwrap().unwrap();
                let all: Vec<usize> = (0..n).collect();
                let exact = metric.longest_row(&all, &glm.design, outputs);
                let bound = metric.rows_bound(&glm.design, &glm.samples);
                assert!(
                    exact <= bound * (1.0 + 1e-12),
                    "seed {seed}: {exact} {bound}"
                );
                assert!(bound <= 10.0 * exact, "seed {seed}: {exact} {bound}");
            }
        }
    }
}
