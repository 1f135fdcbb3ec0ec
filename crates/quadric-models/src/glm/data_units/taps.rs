//! A linear model as one dense layer: what goes through it.

use super::RawGlm;
use crate::Loss;
use faer::{Mat, MatRef};
use quadric_core::{Backward, Result, Scalar, Tap, Targets};
use std::ops::Range;

/// Rows that are visited at a time.
const ROWS: usize = 1024;

impl<T: Scalar> RawGlm<T> {
    /// Calls `visit` with rows and the derivatives by their predictors. Those of the data carry the weight of a row, others its
    /// root, as the matrices ask.
    pub(super) fn visit_taps(
        &self,
        x: &[T],
        backward: Backward,
        visit: &mut dyn FnMut(Tap<'_, T>) -> Result<()>,
    ) -> Result<()> {
        let u = self.products(x);
        let slopes = match backward {
            Backward::Gradient(targets) => self.slopes(&u, targets)?,
            Backward::Fisher => {
                self.check_density()?;
                self.samples.curvatures(&u, &[])
            }
        };
        for start in (0..self.samples.len()).step_by(ROWS) {
            let rows = start..(start + ROWS).min(self.samples.len());
            let mut inputs = Mat::zeros(rows.len(), self.features);
            for (at, i) in rows.clone().enumerate() {
                self.z.for_row(i, |j, v| {
                    if j < self.features {
                        inputs[(at, j)] = v;
                    }
                });
            }
            let blocks = match backward {
                Backward::Gradient(targets) => vec![self.gradient(&slopes, targets, rows)],
                Backward::Fisher => self.roots(&slopes, rows),
            };
            let gradients: Vec<MatRef<'_, T>> = blocks.iter().map(Mat::as_ref).collect();
            visit(Tap {
                weight: 0,
                transposed: true,
                bias: self.has_intercept().then_some(1),
                shared: 1,
                inputs: inputs.as_ref(),
                gradients: &gradients,
            })?;
        }
        Ok(())
    }

    /// What [`Model::squares`](quadric_core::Model::squares) asks for.
    pub(super) fn squares_of_segments(&self, x: &[T], backward: Backward) -> Result<Vec<f64>> {
        let mut sums = vec![0.0; self.layout.segments().len()];
        self.visit_taps(x, backward, &mut |tap| {
            for i in 0..tap.inputs.nrows() {
                let square = tap.inputs.row(i).squared_norm_l2().to_f64();
                for g in tap.gradients {
                    let g = g.row(i).squared_norm_l2().to_f64();
                    sums[0] += g * square;
                    sums[1..].iter_mut().for_each(|sum| *sum += g);
                }
            }
            Ok(())
        })?;
        Ok(sums)
    }

    /// For each segment the trace of what the losses add to the Hessian, times the sum of the weights.
    pub(super) fn traces_of_segments(&self, x: &[T]) -> Vec<f64> {
        let samples = &self.samples;
        let curvatures = samples.curvatures(&self.products(x), &[]);
        let mut sums = vec![0.0; self.layout.segments().len()];
        for i in 0..samples.len() {
            let of_row = &curvatures[i * self.outputs()..(i + 1) * self.outputs()];
            let bend = match samples.loss {
                Loss::Softmax => {
                    let spread = of_row.iter().map(|p| p.to_f64() * (1.0 - p.to_f64()));
                    samples.weights.get(i) * spread.sum::<f64>()
                }
                _ => of_row[0].to_f64() / samples.norm,
            };
            let mut square = 0.0;
            self.z.for_row(i, |j, v| {
                if j < self.features {
                    square += v.to_f64().powi(2);
                }
            });
            sums[0] += bend * square;
            sums[1..].iter_mut().for_each(|sum| *sum += bend);
        }
        sums
    }

    /// Derivatives (rows, outputs) from slopes (n, k), which are parts of the mean.
    fn gradient(&self, slopes: &[T], targets: Targets, rows: Range<usize>) -> Mat<T> {
        let (k, outputs) = (self.samples.outputs(), self.outputs());
        let mut g = Mat::zeros(rows.len(), outputs);
        let mut all = vec![0.0; outputs];
        for (at, i) in rows.enumerate() {
            let own = &slopes[i * k..(i + 1) * k];
            match outputs == k {
                true => all[0] = own[0].to_f64(),
                false => self.contrast().expand(|c| own[c].to_f64(), &mut all),
            }
            let scale = match targets {
                Targets::Data => 1.0,
                Targets::Sampled { .. } => self.samples.weights.get(i).sqrt().recip(),
            };
            for (c, v) in all.iter().enumerate() {
                g[(at, c)] = T::of(v * scale / self.samples.norm);
            }
        }
        g
    }

    /// The columns of a root of the second derivatives, one block for each: `√p_c (e_c - p)` for probabilities p.
    fn roots(&self, curvatures: &[T], rows: Range<usize>) -> Vec<Mat<T>> {
        let (outputs, samples) = (self.outputs(), &self.samples);
        let block = |c: usize| {
            Mat::from_fn(rows.len(), outputs, |at, e| {
                let i = rows.start + at;
                if samples.loss != Loss::Softmax {
                    return T::of((curvatures[i].to_f64() / samples.norm).sqrt());
                }
                let p = |c: usize| curvatures[i * outputs + c].to_f64();
                let unit = f64::from(u8::from(c == e));
                T::of((samples.weights.get(i) * p(c)).sqrt() * (unit - p(e)))
            })
        };
        (0..outputs).map(block).collect()
    }
}
