//! Traces of the matrices of a model, by its examples.
//!
//! A Fisher matrix is a sum of squares of gradients, so its trace is the sum of their squared lengths: there is nothing to
//! estimate. The Hessian is the Gauss-Newton matrix, which is such a sum, and [`Matrix::Functional`], which is small where the
//! model fits; only the trace of the latter is estimated, with signs of its own for every example.

use crate::blocks::Block;
use crate::factors::walks;
use crate::spectrum::Trace;
use quadric_core::{Error, LinearOperator, Matrix, Model, Result, Scalar};
use quadric_linalg::estimate::{Estimate, mean};

/// The trace of a matrix of a model.
#[derive(Clone, PartialEq, Debug)]
pub struct ModelTrace {
    /// Of the whole matrix.
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
    let Some(sum) = ExampleSum::new(model, x, matrix, blocks)? else {
        return Ok(None);
    };
    let mut draws = Draws::default();
    while !sum.step(&mut draws, options)? {}
    sum.found(&draws, options).map(Some)
}

/// A matrix of a model at a point as a sum over examples, for [`spectrum`](crate::spectrum) to take the trace of when it comes
/// to it.
pub struct ExampleSum<'a, T> {
    model: &'a dyn Model<T>,
    x: &'a [T],
    matrix: Matrix,
    places: Vec<Option<usize>>,
    blocks: usize,
    /// Outputs of the model for an example.
    outputs: usize,
}

quadric_core::state! {
    /// What is known of a trace so far.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Draws {
        /// Of the part that is not estimated: of the whole matrix, then of each block.
        known: Vec<f64>,
        /// The draws of the other part, one after the other, in the same order.
        drawn: Vec<f64>,
        /// How many there shall be before the next look.
        goal: u64,
        /// Columns that were carried back for each example.
        columns: u64,
    }
}

impl Draws {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.drawn.len() / self.known.len().max(1)
    }

    /// How many there shall be before the next look.
    pub(crate) fn goal(&self) -> usize {
        self.goal as usize
    }

    /// What all of it took, in gradients of the model, about.
    pub(crate) fn gradients(&self) -> f64 {
        OF_COLUMN * self.columns as f64 + self.gradients_of_draws()
    }

    /// What the draws took of that.
    pub(crate) fn gradients_of_draws(&self) -> f64 {
        OF_DRAW * self.count() as f64
    }
}

impl<'a, T: Scalar> ExampleSum<'a, T> {
    /// The sum, with the diagonal `blocks` that get a trace each; they consist of whole segments of the layout. Nothing where
    /// examples depend on each other. Nothing is computed yet.
    ///
    /// # Errors
    /// Those of the model, and blocks that begin or end within a segment.
    pub fn new(
        model: &'a dyn Model<T>,
        x: &'a [T],
        matrix: Matrix,
        blocks: &[Block],
    ) -> Result<Option<Self>> {
        if model.as_finite_sum().is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            model,
            x,
            matrix,
            places: places(model, blocks)?,
            blocks: blocks.len(),
            outputs: model.jacobian(x)?.shape().0 / model.examples().max(1),
        }))
    }

    /// How many blocks get a trace.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Gradients of the model that a product with an operator costs, about.
    pub(crate) fn of_product(&self, op: &dyn LinearOperator<T>) -> Result<f64> {
        Ok(op.cost().product / self.model.gradient_work()?)
    }

    /// The part whose trace is a sum of squares, and the part that is estimated.
    fn parts(&self) -> (Option<Matrix>, Option<Matrix>) {
        match self.matrix {
            Matrix::Hessian if self.outputs <= MOST_COLUMNS => {
                (Some(Matrix::Fisher), Some(Matrix::Functional))
            }
            Matrix::Hessian | Matrix::Functional => (None, Some(self.matrix)),
            Matrix::GaussNewton => (Some(Matrix::Fisher), None),
            Matrix::Covariance => (Some(Matrix::EmpiricalFisher), None),
            other => (Some(other), None),
        }
    }

    /// One part of the work, and whether it was the last.
    pub(crate) fn step(&self, draws: &mut Draws, options: &ModelTraceOptions) -> Result<bool> {
        let (_, estimated) = self.parts();
        if draws.known.is_empty() {
            (draws.known, draws.columns) = self.known()?;
            draws.goal = match estimated {
                Some(_) => DRAWS.min(options.max_draws.max(2)) as u64,
                None => 0,
            };
            return Ok(estimated.is_none());
        }
        let Some(estimated) = estimated else {
            return Ok(true);
        };
        let (count, goal) = (draws.count(), draws.goal());
        if count < goal {
            let weight = self.model.weight()?;
            let range = count..goal.min(count + DRAWS);
            for form in self.model.forms(self.x, estimated, range, options.seed)? {
                let form: Vec<f64> = form.iter().map(|v| v / weight).collect();
                draws.drawn.extend(self.collected(&form));
            }
        }
        let count = draws.count();
        if count < goal {
            return Ok(false);
        }
        let total = self.found(draws, options)?.total;
        if total.met || count >= options.max_draws {
            return Ok(true);
        }
        let excess = total.value.half_width() / (options.target * total.value.value.abs());
        let needed = (1.05 * count as f64 * excess * excess / DRAWS as f64).ceil();
        let needed = needed.min(options.max_draws as f64) as usize * DRAWS;
        draws.goal = needed.clamp(count + 1, options.max_draws) as u64;
        Ok(false)
    }

    /// What the draws so far tell.
    pub(crate) fn found(&self, draws: &Draws, options: &ModelTraceOptions) -> Result<ModelTrace> {
        let (known, count) = (&draws.known, draws.count());
        let estimate = |i: usize| match count {
            0 => Ok(Estimate::exact(known[i])),
            _ => {
                let all = draws.drawn.chunks_exact(known.len());
                let values: Vec<f64> = all.map(|d| known[i] + d[i]).collect();
                mean(&values, DRAWS, options.level)
            }
        };
        let value = estimate(0)?;
        if !value.value.is_finite() {
            return Err(Error::non_finite("the trace", 0, value.value));
        }
        let wanted = options.target * value.value.abs();
        let blocks = (1..known.len()).map(estimate);
        Ok(ModelTrace {
            total: Trace {
                value,
                products: 0,
                draws: count,
                met: value.half_width() <= wanted,
            },
            blocks: blocks.collect::<Result<_>>()?,
            gradients: draws.gradients(),
        })
    }

    /// The trace of the part that is a sum of squares, those of its blocks, and how many columns were carried back.
    fn known(&self) -> Result<(Vec<f64>, u64)> {
        let (Some(squares), _) = self.parts() else {
            return Ok((vec![0.0; 1 + self.blocks], 0));
        };
        let (mut known, mut columns) = self.squares(squares)?;
        if self.matrix == Matrix::Covariance {
            let mut g = vec![T::of(0.0); self.x.len()];
            self.model.value_grad(self.x, &mut g)?;
            let of_segment = |s: &quadric_core::Segment| {
                let squares = g[s.range()].iter().map(|g| g.to_f64().powi(2));
                squares.sum::<f64>()
            };
            let segments = self.model.layout().segments().iter();
            let of_mean = self.collected(&segments.map(of_segment).collect::<Vec<f64>>());
            known.iter_mut().zip(of_mean).for_each(|(k, m)| *k -= m);
            columns += 1;
        }
        Ok((known, columns))
    }

    /// The trace of a Fisher matrix and those of its blocks, and the columns that were carried back.
    fn squares(&self, matrix: Matrix) -> Result<(Vec<f64>, u64)> {
        let (walks, scale) = walks(self.model, matrix)?;
        let mut sums = vec![0.0; self.places.len()];
        for &walk in &walks {
            let squares = self.model.squares(self.x, walk)?;
            sums.iter_mut()
                .zip(squares)
                .for_each(|(s, v)| *s += scale * v);
        }
        let columns = match matrix {
            Matrix::Fisher => self.outputs,
            _ => walks.len(),
        };
        Ok((self.collected(&sums), columns as u64))
    }

    /// Numbers for segments, summed over all and over each block.
    fn collected(&self, of_segments: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; 1 + self.blocks];
        for (value, place) in of_segments.iter().zip(&self.places) {
            sums[0] += value;
            if let Some(at) = place {
                sums[1 + at] += value;
            }
        }
        sums
    }
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
