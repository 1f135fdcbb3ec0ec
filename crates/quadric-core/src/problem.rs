//! Problems: what is minimised, and what it can be asked. Each trait is one capability; a method names the one it needs.

use crate::{BoxOp, Columns, Result, Scalar, Tolerance, vector};
use quadric_linalg::random::SeedTree;

/// A proven bound on how far a point is from optimal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gap {
    /// `F(x) - F* <= bound`; infinite where nothing can be proven at this point.
    pub bound: f64,
    /// The magnitude of F that a relative tolerance refers to.
    pub scale: f64,
}

macro_rules! queries {
    ($($query:ident $capability:ident),*) => { $(
        /// The problem under one of its capabilities; `None` where it does not offer it.
        fn $query(&self) -> Option<&dyn $capability<T>> { None }
    )* };
}

/// Something with a vector of unknowns. Implementations answer the queries with [`capabilities!`](crate::capabilities).
pub trait Problem<T: Scalar>: Send + Sync {
    /// Number of unknowns.
    fn dim(&self) -> usize;

    /// A name for messages and traces.
    fn name(&self) -> &str {
        "problem"
    }

    /// A proven bound on `F(x) - F*`, for problems that can prove one; `None` if the problem never can.
    ///
    /// # Errors
    /// Those of an evaluation.
    fn gap(&self, _x: &[T]) -> Result<Option<Gap>> {
        Ok(None)
    }

    /// [`Problem::gap`] for who needs no sharper bound than `tolerance`, which may spare work.
    ///
    /// # Errors
    /// Those of an evaluation.
    fn gap_within(&self, x: &[T], _tolerance: Tolerance) -> Result<Option<Gap>> {
        self.gap(x)
    }

    queries!(as_objective Objective, as_smooth Smooth, as_twice_smooth TwiceSmooth,
        as_self_concordant SelfConcordant, as_finite_sum FiniteSum, as_columns Columns);
}

/// A function value. A non-finite value means "the point is outside the domain"; an error means "stop now".
pub trait Objective<T: Scalar>: Problem<T> {
    /// `F(x)`.
    ///
    /// # Errors
    /// Whatever forbids the evaluation.
    fn value(&self, x: &[T]) -> Result<f64>;

    /// Whether `d` is a direction of recession: one along which F never rises, from any point, and falls from some. Then
    /// F has no minimiser, and the text says why in the user's words.
    ///
    /// # Errors
    /// Those of an evaluation.
    fn recession(&self, _d: &[T]) -> Result<Option<String>> {
        Ok(None)
    }
}

/// A function with a gradient.
pub trait Smooth<T: Scalar>: Objective<T> {
    /// `F(x)`, and the gradient written into `g`.
    ///
    /// # Errors
    /// Those of an evaluation.
    fn value_grad(&self, x: &[T], g: &mut [T]) -> Result<f64>;

    /// F along `x + alpha d`, for problems that can restrict themselves to a line and then evaluate trial points for much
    /// less than a full evaluation. [`Line`] falls back to full evaluations.
    ///
    /// # Errors
    /// Those of an evaluation.
    fn restrict(&self, _x: &[T], _d: &[T]) -> Result<Option<Box<dyn LineModel + '_>>> {
        Ok(None)
    }
}

/// A function restricted to a line.
pub trait LineModel: Send {
    /// `F(x + alpha d) - F(x)`, with an error far below the rounding of F itself.
    ///
    /// # Errors
    /// Those of an evaluation.
    fn change(&mut self, alpha: f64) -> Result<f64>;

    /// The derivative of F along d at `x + alpha d`.
    ///
    /// # Errors
    /// Those of an evaluation.
    fn slope(&mut self, alpha: f64) -> Result<f64>;
}

/// A function whose curvature is an operator.
pub trait TwiceSmooth<T: Scalar>: Smooth<T> {
    /// The Hessian at `x`: prepared once, applied to blocks. It may borrow the problem, never the point.
    ///
    /// # Errors
    /// Those of an evaluation.
    fn hessian(&self, x: &[T]) -> Result<BoxOp<'_, T>>;

    /// An operator near `(H(x) + shift I)⁻¹`, symmetric and positive definite, where the problem knows a good one.
    ///
    /// # Errors
    /// Those of an evaluation.
    fn preconditioner(&self, _x: &[T], _shift: f64) -> Result<Option<ApproximateInverse<T>>> {
        Ok(None)
    }

    /// An operator near `((1 - smoothing) H(x) + smoothing U)⁻¹`, symmetric and positive definite, where the curvature U of
    /// undecided samples is near the largest that a sample can have; for `smoothing` in [0, 1]. It serves far from `x`, where
    /// samples that are fitted at `x` curve again. None where no sample's curvature fades, or the operator would be a poor one.
    ///
    /// # Errors
    /// Those of an evaluation.
    fn smoothed_preconditioner(
        &self,
        _x: &[T],
        _smoothing: f64,
    ) -> Result<Option<ApproximateInverse<T>>> {
        Ok(None)
    }
}

/// A preconditioner that may outlive the point it was made at.
pub struct ApproximateInverse<T: Scalar> {
    /// Symmetric and positive definite.
    pub operator: BoxOp<'static, T>,
    /// Floating-point operations of its making, counted at the speed of products with the Hessian.
    pub work: f64,
    /// Those of making one elsewhere: more where symmetry at the point saved some.
    pub renewal: f64,
}

/// A generalised self-concordant function: `|∇³F(x)[h, k, k]| <= concordance(h) ∇²F(x)[k, k]` for all x and k.
pub trait SelfConcordant<T: Scalar>: TwiceSmooth<T> {
    /// `sup |g·h|` over the set that bounds the third derivative; 0 for a quadratic.
    ///
    /// # Errors
    /// Those of an evaluation.
    fn concordance(&self, h: &[T]) -> Result<f64>;
}

/// A mean of terms: F is the weighted mean over the rows plus whatever does not depend on rows.
///
/// Law: a batch of all rows is the whole, and a batch offers what the whole offers.
pub trait FiniteSum<T: Scalar>: Smooth<T> {
    /// Number of terms.
    fn terms(&self) -> usize;

    /// The same problem over some of the terms. The mean over equally likely rows is an unbiased estimate of the whole.
    ///
    /// # Errors
    /// A row out of range.
    fn batch(&self, rows: &[usize]) -> Result<Batch<'_, T>>;

    /// A problem of `rows` rows, each a random signed sum of all rows, whose Hessian at `x` estimates that of the whole
    /// without bias. `None` where rows cannot be mixed. Nothing else about it need resemble the whole.
    ///
    /// # Errors
    /// Those of an evaluation, and no rows.
    fn mixed(&self, _x: &[T], _rows: usize, _seeds: SeedTree) -> Result<Option<Batch<'_, T>>> {
        Ok(None)
    }

    /// For terms that depend on `x` through one linear combination of a data row each ("linear models"): the largest
    /// curvature of one term, an upper bound of the Lipschitz constant of any single term's gradient.
    fn term_smoothness(&self) -> Option<f64> {
        None
    }
}

/// A boxed batch.
pub type Batch<'a, T> = Box<dyn FiniteSum<T> + 'a>;

/// Answers the capability queries of [`Problem`]: `capabilities!(f64: TwiceSmooth, FiniteSum);` inside the impl.
/// Supertraits are included.
#[macro_export]
macro_rules! capabilities {
    ($t:ty: $($capability:ident),+) => { $( $crate::capabilities!(@$capability $t); )+ };
    (@Objective $t:ty) => {
        fn as_objective(&self) -> Option<&dyn $crate::Objective<$t>> { Some(self) }
    };
    (@Smooth $t:ty) => {
        $crate::capabilities!(@Objective $t);
        fn as_smooth(&self) -> Option<&dyn $crate::Smooth<$t>> { Some(self) }
    };
    (@TwiceSmooth $t:ty) => {
        $crate::capabilities!(@Smooth $t);
        fn as_twice_smooth(&self) -> Option<&dyn $crate::TwiceSmooth<$t>> { Some(self) }
    };
    (@SelfConcordant $t:ty) => {
        $crate::capabilities!(@TwiceSmooth $t);
        fn as_self_concordant(&self) -> Option<&dyn $crate::SelfConcordant<$t>> { Some(self) }
    };
    (@FiniteSum $t:ty) => {
        fn as_finite_sum(&self) -> Option<&dyn $crate::FiniteSum<$t>> { Some(self) }
    };
    (@Columns $t:ty) => {
        $crate::capabilities!(@Smooth $t);
        fn as_columns(&self) -> Option<&dyn $crate::Columns<$t>> { Some(self) }
    };
}

/// A smooth function along a line `x + alpha d`, by the problem's own restriction or by full evaluations.
pub struct Line<'a, T> {
    problem: &'a (dyn Smooth<T> + 'a),
    model: Option<Box<dyn LineModel + 'a>>,
    x: &'a [T],
    d: &'a [T],
    value: f64,
    trial: Trial<T>,
}

/// The newest full evaluation along a [`Line`], and the buffers that it lives in.
#[derive(Clone, Debug, Default)]
pub struct Trial<T> {
    /// Where: the step length, the value and the slope. `None` if `point` and `gradient` hold nothing of use.
    pub at: Option<(f64, f64, f64)>,
    /// `x + alpha d`.
    pub point: Vec<T>,
    /// The gradient there.
    pub gradient: Vec<T>,
}

impl<'a, T: Scalar> Line<'a, T> {
    /// The line through `x` along `d`, where F(x) is `value`.
    ///
    /// # Errors
    /// Those of the problem's restriction.
    pub fn new(
        problem: &'a (dyn Smooth<T> + 'a),
        x: &'a [T],
        d: &'a [T],
        value: f64,
    ) -> Result<Self> {
        Self::reusing(problem, x, d, value, Trial::default())
    }

    /// [`Line::new`] in the buffers of an earlier line, so that nothing is allocated.
    ///
    /// # Errors
    /// Those of the problem's restriction.
    pub fn reusing(
        problem: &'a (dyn Smooth<T> + 'a),
        x: &'a [T],
        d: &'a [T],
        value: f64,
        mut buffers: Trial<T>,
    ) -> Result<Self> {
        let model = problem.restrict(x, d)?;
        buffers.at = None;
        Ok(Self {
            problem,
            model,
            x,
            d,
            value,
            trial: buffers,
        })
    }

    /// True if trial values come from the problem's restriction and cost little.
    pub fn is_cheap(&self) -> bool {
        self.model.is_some()
    }

    /// F at the start of the line.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// True if `x + alpha d` differs from `x` in some entry after rounding.
    pub fn moves(&self, alpha: f64) -> bool {
        self.x
            .iter()
            .zip(self.d)
            .any(|(x, d)| T::of(alpha.mul_add(d.to_f64(), x.to_f64())) != *x)
    }

    /// The newest full evaluation with its buffers, for the caller to take over the point and its gradient.
    pub fn into_trial(self) -> Trial<T> {
        self.trial
    }

    /// `x + alpha d`, each entry rounded once: the point every trial refers to.
    pub fn point(x: &[T], d: &[T], alpha: f64, out: &mut [T]) {
        for ((o, x), d) in out.iter_mut().zip(x).zip(d) {
            *o = T::of(alpha.mul_add(d.to_f64(), x.to_f64()));
        }
    }

    fn move_to(&mut self, alpha: f64) {
        self.trial.at = None;
        self.trial.point.resize(self.x.len(), T::of(0.0));
        Self::point(self.x, self.d, alpha, &mut self.trial.point);
    }

    /// `F(x + alpha d) - F(x)`.
    ///
    /// # Errors
    /// Those of an evaluation.
    pub fn change(&mut self, alpha: f64) -> Result<f64> {
        if let Some(model) = &mut self.model {
            return model.change(alpha);
        }
        self.move_to(alpha);
        Ok(self.problem.value(&self.trial.point)? - self.value)
    }

    /// The derivative along d at `x + alpha d`.
    ///
    /// # Errors
    /// Those of an evaluation.
    pub fn slope(&mut self, alpha: f64) -> Result<f64> {
        match &mut self.model {
            Some(model) => model.slope(alpha),
            None => Ok(self.change_and_slope(alpha)?.1),
        }
    }

    /// `F(x + alpha d) - F(x)` and the derivative along d there.
    ///
    /// # Errors
    /// Those of an evaluation.
    pub fn change_and_slope(&mut self, alpha: f64) -> Result<(f64, f64)> {
        if let Some(model) = &mut self.model {
            return Ok((model.change(alpha)?, model.slope(alpha)?));
        }
        self.move_to(alpha);
        self.trial.gradient.resize(self.x.len(), T::of(0.0));
        let value = self
            .problem
            .value_grad(&self.trial.point, &mut self.trial.gradient)?;
        let slope = vector::dot(&self.trial.gradient, self.d);
        self.trial.at = Some((alpha, value, slope));
        Ok((value - self.value, slope))
    }
}
