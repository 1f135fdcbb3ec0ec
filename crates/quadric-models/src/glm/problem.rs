//! A generalised linear model as a problem: what it can be asked.

use super::Glm;
use super::hessian::HessianOp;
use super::line::GlmLine;
use super::samples::Samples;
use crate::Loss;
use faer::MatMut;
use quadric_core::{
    ApproximateInverse, Batch, BoxOp, Error, FiniteSum, Gap, LineModel, Objective, Problem, Result,
    Scalar, SelfConcordant, Smooth, Tolerance, TwiceSmooth, capabilities,
};
use quadric_linalg::random::SeedTree;
use std::sync::Arc;

/// True without coefficients.
pub(super) fn is_zero<T: Scalar>(x: &[T]) -> bool {
    x.iter().all(|v| v.to_f64() == 0.0)
}

impl<T: Scalar> Problem<T> for Glm<T> {
    fn dim(&self) -> usize {
        self.design.columns() * self.samples.outputs()
    }

    fn name(&self) -> &str {
        self.samples.loss.name()
    }

    fn gap(&self, x: &[T]) -> Result<Option<Gap>> {
        self.gap_within(x, Tolerance::EXACT)
    }

    fn gap_within(&self, x: &[T], tolerance: Tolerance) -> Result<Option<Gap>> {
        self.check(x, "the point")?;
        self.gap_at(x, tolerance).map(Some)
    }

    capabilities!(T: TwiceSmooth, FiniteSum);

    fn as_self_concordant(&self) -> Option<&dyn SelfConcordant<T>> {
        self.concordance_factor().map(|_| self as _)
    }
}

impl<T: Scalar> Objective<T> for Glm<T> {
    fn value(&self, x: &[T]) -> Result<f64> {
        self.check(x, "the point")?;
        let sums = self.moments().map(|m| (m, m.value(x)));
        let mean = match sums.filter(|(m, mean)| m.is_sharp(*mean)) {
            Some((_, mean)) => mean,
            None => self.samples.value(&self.products(x), &[]),
        };
        Ok(mean + self.penalty(x))
    }

    fn recession(&self, d: &[T]) -> Result<Option<String>> {
        self.check(d, "the direction")?;
        Ok(self.recedes(d))
    }
}

impl<T: Scalar> Smooth<T> for Glm<T> {
    fn value_grad(&self, x: &[T], g: &mut [T]) -> Result<f64> {
        self.check(x, "the point")?;
        self.check(g, "the gradient")?;
        let mean = match self
            .sums_grad(x, g)
            .or_else(|| self.memo.find_gradient(x, g))
        {
            Some(mean) => mean,
            None => {
                let mean = self.mean_grad(x, g);
                self.memo.keep_gradient(x, mean, g);
                mean
            }
        };
        self.add_penalty_gradient(x, g);
        Ok(mean + self.penalty(x))
    }

    fn restrict(&self, x: &[T], d: &[T]) -> Result<Option<Box<dyn LineModel + '_>>> {
        self.check(x, "the point")?;
        self.check(d, "the direction")?;
        let mut g = vec![T::of(0.0); x.len()];
        if let Some(moments) = self.moments()
            && self.sums_grad(x, &mut g).is_some()
        {
            let mut line = moments.line(&g, d);
            line.slope += self.penalty_along(x, d);
            line.bend += self.penalty_along(d, d);
            return Ok(Some(Box::new(line)));
        }
        Ok(Some(Box::new(GlmLine::new(self, x, d))))
    }
}

impl<T: Scalar> Glm<T> {
    /// The mean loss and its gradient from sums over the rows, if there are any and they have its digits.
    fn sums_grad(&self, x: &[T], g: &mut [T]) -> Option<f64> {
        let moments = self.moments()?;
        Some(moments.value_grad(x, g)).filter(|mean| moments.is_sharp(*mean))
    }

    /// The mean loss and its gradient, by a pass over the rows.
    fn mean_grad(&self, x: &[T], g: &mut [T]) -> f64 {
        let (p, k) = (self.design.columns(), self.samples.outputs());
        let mut products = self.memo.storage(self.samples.len() * k);
        let out = MatMut::from_column_major_slice_mut(g, p, k);
        let mean = if is_zero(x) {
            products.fill(T::of(0.0));
            let (residuals, mean) = self.samples.all_residuals(&products, &[]);
            self.design.multiply_transposed(&residuals, out);
            mean
        } else {
            // A known product is not reused: the fused pass reads the data once either way, and so the gradient has the
            // same bits whatever was asked before.
            let residuals = |rows, u: &[T], r: &mut [T]| self.samples.residuals(rows, u, &[], r);
            self.design
                .fused(self.columns(x), &mut products, residuals, out)
        };
        if self.memo.find(x).is_none() {
            self.memo.keep(x, products);
        }
        mean
    }
}

impl<T: Scalar> TwiceSmooth<T> for Glm<T> {
    fn hessian(&self, x: &[T]) -> Result<BoxOp<'_, T>> {
        self.check(x, "the point")?;
        Ok(Box::new(HessianOp::at(self, || self.products(x), &[])))
    }

    fn preconditioner(&self, x: &[T], shift: f64) -> Result<Option<ApproximateInverse<T>>> {
        self.check(x, "the point")?;
        self.approximate_inverse(x, shift)
    }

    fn smoothed_preconditioner(
        &self,
        x: &[T],
        smoothing: f64,
    ) -> Result<Option<ApproximateInverse<T>>> {
        self.check(x, "the point")?;
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(Error::argument(
                "smoothing",
                smoothing,
                "a number in [0, 1]",
            ));
        }
        self.smoothed_inverse(x, smoothing)
    }
}

impl<T: Scalar> SelfConcordant<T> for Glm<T> {
    fn concordance(&self, h: &[T]) -> Result<f64> {
        self.check(h, "the direction")?;
        let factor = self.concordance_factor().unwrap_or(f64::INFINITY);
        if factor == 0.0 {
            return Ok(0.0);
        }
        Ok(factor * self.samples.largest_move(&self.products(h)))
    }
}

impl<T: Scalar> FiniteSum<T> for Glm<T> {
    fn terms(&self) -> usize {
        self.samples.len()
    }

    fn batch(&self, rows: &[usize]) -> Result<Batch<'_, T>> {
        Ok(Box::new(self.part(rows)?))
    }

    fn mixed(&self, x: &[T], rows: usize, seeds: SeedTree) -> Result<Option<Batch<'_, T>>> {
        self.check(x, "the point")?;
        if rows == 0 {
            return Err(Error::argument("rows", rows, "at least one row"));
        }
        if self.samples.loss == Loss::Softmax {
            return Ok(None);
        }
        let curvatures = self.samples.curvatures(&self.products(x), &[]);
        let design = self.design.mixed(&curvatures, rows, seeds)?;
        let mixed = self.with(design, Arc::new(Samples::unit(rows)));
        Ok(Some(Box::new(mixed)))
    }

    fn term_smoothness(&self) -> Option<f64> {
        let bend = match self.samples.loss {
            Loss::Squared | Loss::Huber { .. } | Loss::PseudoHuber { .. } => 1.0,
            Loss::Logistic => 0.25,
            Loss::Softmax => 0.5,
            Loss::Poisson => return None,
        };
        let terms = self.terms() as f64;
        let data = self.design.largest_square(&self.samples.weights);
        let penalty = (0..self.features()).map(|j| self.penalty_curvature(j));
        Some(terms * self.samples.norm * bend * data + penalty.fold(0.0, f64::max))
    }
}

impl<T: Scalar> Glm<T> {
    /// The problem of some of the rows, weighted as they are in the whole.
    fn part(&self, rows: &[usize]) -> Result<Self> {
        self.check_rows(rows)?;
        Ok(self.with(
            self.design.select(rows),
            Arc::new(self.samples.select(rows)),
        ))
    }

    pub(super) fn check_rows(&self, rows: &[usize]) -> Result<()> {
        let n = self.samples.len();
        if let Some(row) = rows.iter().find(|&&i| i >= n) {
            return Err(Error::argument("rows", row, &format!("rows below {n}")));
        }
        if rows.is_empty() {
            return Err(Error::argument("rows", "empty", "at least one row"));
        }
        Ok(())
    }

    pub(super) fn add_penalty_gradient(&self, x: &[T], g: &mut [T]) {
        if self.l2 == 0.0 {
            return;
        }
        let p = self.design.columns();
        for c in 0..self.samples.outputs() {
            for j in 0..self.features() {
                let i = c * p + j;
                // l2 scale (scale v): no product of two extreme factors before the third evens them out.
                let slope = self.l2 * self.design.frame.scale[j] * self.raw(x, c, j);
                g[i] = T::of(g[i].to_f64() + slope);
            }
        }
    }

    /// The constant c of `|loss'''| <= c loss''`; `None` if there is none.
    pub(super) fn concordance_factor(&self) -> Option<f64> {
        match self.samples.loss {
            Loss::Squared => Some(0.0),
            Loss::Logistic | Loss::Poisson | Loss::Softmax => Some(1.0),
            Loss::PseudoHuber { delta } => Some(1.5 / delta),
            Loss::Huber { .. } => None,
        }
    }
}
