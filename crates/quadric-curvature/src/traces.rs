//! Traces of the matrices of a model, by its examples.
//!
//! A Fisher matrix is a sum of squares of gradients, so its trace is the sum of their squared lengths: there is nothing to
//! estimate. The Hessian is the Gauss-Newton matrix, which is such a sum, and [`Matrix::Functional`], which is small where the
//! model fits; only the trace of the latter is estimated, with signs of its own for every example.

use crate::blocks::Block;
use crate::factors::walks;
use crate::spectrum::Trace;
use quadric_core::{Error, Matrix, Model, Result, Scalar};
use quadric_linalg::estimate::{Estimate, mean};

/// The trace of a matrix of a model.
#[derive(Clone, PartialEq, Debug)]
pub struct ModelTrace {
    /// Of the whole matrix; its products are draws of [`Model::forms`].
    pub total: Trace,
    /// Of its diagonal blocks.
    pub blocks: Vec<Estimate>,
    /// What all of it took, in gradients of the model, about.
    pub gradients: f64,
}

/// How accurate a trace shall be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ModelTraceOptions {
    /// Half the length of the interval, as a share of the trace.
    pub target: f64,
    /// The probability with which intervals contain the truth.
    pub level: f64,
    /// Draws at most.
    pub max_draws: usize,
    /// What they depend on.
    pub seed: u64,
}

impl Default for ModelTraceOptions {
    /// One per cent at 95 %, with at most 400 draws.
    fn default() -> Self {
        Self {
            target: 1e-2,
            level: 0.95,
            max_draws: 400,
            seed: 0,
        }
    }
}

/// Columns of the square root of a Fisher matrix that are carried back for each example, at most: with more, all of the Hessian
/// is estimated.
pub(crate) const MOST_COLUMNS: usize = 200;
/// Draws before the first look at how they scatter, and steps in which they grow.
const DRAWS: usize = 16;
/// Gradients that a draw and a column cost at most, about.
const OF_DRAW: f64 = 2.0;
const OF_COLUMN: f64 = 1.0;

/// The trace of a matrix at a point, and of its diagonal `blocks`, which consist of whole segments of the layout. Nothing where
/// examples depend on each other.
///
/// # Errors
/// Those of the model, blocks that begin or end within a segment, a level that is none, and traces that are not finite.
pub fn model_trace<T: Scalar>(
    model: &dyn Model<T>,
    x: &[T],
    matrix: Matrix,
    blocks: &[Block],
    options: &ModelTraceOptions,
) -> Result<Option<ModelTrace>> {
    if model.as_finite_sum().is_none() {
        return Ok(None);
    }
    let outputs = model.jacobian(x)?.shape().0 / model.examples().max(1);
    let (squares, forms) = match matrix {
        Matrix::Hessian if outputs <= MOST_COLUMNS => {
            (Some(Matrix::Fisher), Some(Matrix::Functional))
        }
        Matrix::Hessian | Matrix::Functional => (None, Some(matrix)),
        Matrix::GaussNewton => (Some(Matrix::Fisher), None),
        Matrix::Covariance => (Some(Matrix::EmpiricalFisher), None),
        other => (Some(other), None),
    };
    let places = places(model, blocks)?;
    let run = Run {
        model,
        x,
        places: &places,
        blocks: blocks.len(),
    };
    let mut gradients = 0.0;
    let mut known = vec![0.0; 1 + blocks.len()];
    if let Some(squares) = squares {
        let (traces, columns) = run.squares(squares, outputs)?;
        gradients += OF_COLUMN * columns as f64;
        known = traces;
    }
    if matrix == Matrix::Covariance {
        let mut g = vec![T::of(0.0); x.len()];
        model.value_grad(x, &mut g)?;
        let of_segment = |s: &quadric_core::Segment| {
            let squares = g[s.range()].iter().map(|g| g.to_f64().powi(2));
            squares.sum::<f64>()
        };
        let of_segments: Vec<f64> = model.layout().segments().iter().map(of_segment).collect();
        let of_mean = run.collected(&of_segments);
        known.iter_mut().zip(of_mean).for_each(|(k, m)| *k -= m);
        gradients += 1.0;
    }
    let (estimates, draws, met) = match forms {
        Some(forms) => run.estimated(forms, &known, options)?,
        None => (known.iter().map(|v| Estimate::exact(*v)).collect(), 0, true),
    };
    let total = Trace {
        value: estimates[0],
        products: draws,
        met,
    };
    if !total.value.value.is_finite() {
        return Err(Error::non_finite("the trace", 0, total.value.value));
    }
    Ok(Some(ModelTrace {
        total,
        blocks: estimates[1..].to_vec(),
        gradients: gradients + OF_DRAW * draws as f64,
    }))
}

/// For each segment the block that it belongs to, if any.
fn places<T: Scalar>(model: &dyn Model<T>, blocks: &[Block]) -> Result<Vec<Option<usize>>> {
    let segments = model.layout().segments().iter();
    let place = |segment: &quadric_core::Segment| {
        let own = segment.range();
        let meets = |b: &Block| b.range.start < own.end && own.start < b.range.end;
        let Some(at) = blocks.iter().position(meets) else {
            return Ok(None);
        };
        let range = &blocks[at].range;
        if range.start <= own.start && own.end <= range.end {
            return Ok(Some(at));
        }
        let found = format!("{range:?} of `{}`", blocks[at].name);
        let expected = format!("whole segments; `{}` is {own:?}", segment.name);
        Err(Error::argument("blocks", found, &expected))
    };
    segments.map(place).collect()
}

struct Run<'a, T> {
    model: &'a dyn Model<T>,
    x: &'a [T],
    places: &'a [Option<usize>],
    blocks: usize,
}

impl<T: Scalar> Run<'_, T> {
    /// Numbers for segments, summed over all and over each block.
    fn collected(&self, of_segments: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; 1 + self.blocks];
        for (value, place) in of_segments.iter().zip(self.places) {
            sums[0] += value;
            if let Some(at) = place {
                sums[1 + at] += value;
            }
        }
        sums
    }

    /// The trace of a Fisher matrix and those of its blocks, and the columns that were carried back.
    fn squares(&self, matrix: Matrix, outputs: usize) -> Result<(Vec<f64>, usize)> {
        let (walks, scale) = walks(self.model, matrix)?;
        let mut sums = vec![0.0; self.places.len()];
        for &walk in &walks {
            let squares = self.model.squares(self.x, walk)?;
            sums.iter_mut()
                .zip(squares)
                .for_each(|(s, v)| *s += scale * v);
        }
        let columns = match matrix {
            Matrix::Fisher => outputs,
            _ => walks.len(),
        };
        Ok((self.collected(&sums), columns))
    }

    /// What is known and the means of quadratic forms, the number of draws, and whether the interval is as short as it shall be.
    fn estimated(
        &self,
        matrix: Matrix,
        known: &[f64],
        options: &ModelTraceOptions,
    ) -> Result<(Vec<Estimate>, usize, bool)> {
        let weight = self.model.weight()?;
        let mut draws: Vec<Vec<f64>> = Vec::new();
        let mut count = DRAWS.min(options.max_draws.max(2));
        loop {
            let range = draws.len()..count;
            for form in self.model.forms(self.x, matrix, range, options.seed)? {
                let form: Vec<f64> = form.iter().map(|v| v / weight).collect();
                draws.push(self.collected(&form));
            }
            let estimate = |i: usize| {
                let values: Vec<f64> = draws.iter().map(|d| known[i] + d[i]).collect();
                mean(&values, DRAWS, options.level)
            };
            let total = estimate(0)?;
            let excess = total.half_width() / (options.target * total.value.abs());
            let met = excess <= 1.0;
            if met || count >= options.max_draws {
                let all = (0..known.len()).map(estimate);
                return Ok((all.collect::<Result<_>>()?, count, met));
            }
            let needed = (1.05 * count as f64 * excess * excess / DRAWS as f64).ceil();
            let needed = needed.min(options.max_draws as f64) as usize * DRAWS;
            count = needed.clamp(count + 1, options.max_draws);
        }
    }
}
