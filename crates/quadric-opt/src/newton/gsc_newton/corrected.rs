//! Before Newton steps whose systems are hard: limited-memory BFGS that corrects an approximate inverse of the Hessian, at one
//! solve and one pass over the data a step.
//!
//! A Newton direction takes tens of products with the Hessian, every one as dear as such a step. What is corrected is the inverse
//! of a smoothed Hessian: where samples are fitted beyond doubt their curvature is gone, and steps that know only the rest go
//! much too far for them. With a share θ of the curvature of undecided samples, a step of decrement δ moves the predictors by about
//! `δ/√θ` in the mean; moves of about 1 are what the model can bear, so that θ = δ². The decrement in turn grows with less
//! smoothing, up to `δ √(θ/θ')`: hence `θ' = δ √θ`. At θ = 1 all samples are alike, and a softmax model has one block to
//! factorise for all its classes.

use super::{Buffers, GscNewton, GscState};
use crate::newton::schedule::Schedule;
use crate::newton::system::Preconditioner;
use crate::quasi_newton::LbfgsState;
use crate::scratch::Scratch;
use crate::search::StrongWolfe;
use quadric_core::{
    ApproximateInverse, Context, Line, LinearOperator, Point, Result, Scalar, SelfConcordant,
    StepRule, vector,
};

/// Secants kept.
const SECANTS: usize = 20;
/// Steps after which an inverse is judged, at least, and as a part of those that are worth another.
const LEAST: usize = 20;
const TRIAL: f64 = 0.5;
/// Steps that are expected of a new inverse.
const EXPECTED: f64 = 50.0;
/// Decrements that are averaged.
const FEW: usize = 5;
/// What is left of the smoothing, at most; and how much more there is after an inverse of steps too long.
const LESS: f64 = 1.0 / 3.0;
const MORE: f64 = 2.0;
/// Decrements are expected to end at this part of those that the tolerance bears.
const SAFELY: f64 = 0.1;
/// Inverses, at most.
const RENEWALS: u64 = 40;

quadric_core::state! {
    /// Limited-memory BFGS on an approximate inverse.
    pub struct Corrected[T: Scalar] {
        /// 0: not asked for yet, 1: under way, 2: over.
        stage: u64,
        /// Where the inverse was made.
        point: Vec<T>,
        smoothing: f64,
        /// Steps that are worth another inverse.
        price: f64,
        /// Inverses so far.
        made: u64,
        /// Decrements of the steps since.
        decrements: Vec<f64>,
        /// Full steps among them that had to be cut.
        cut: u64,
        secants: LbfgsState<T>,
        /// Made again from its point by a run that was resumed.
        inverse: Scratch<Option<ApproximateInverse<T>>>,
    }
}

const BEFORE: u64 = 0;
const UNDER_WAY: u64 = 1;
const OVER: u64 = 2;

impl<T: Scalar> Corrected<T> {
    pub(super) fn new() -> Self {
        Self {
            stage: BEFORE,
            point: Vec::new(),
            smoothing: 1.0,
            price: 0.0,
            made: 0,
            decrements: Vec::new(),
            cut: 0,
            secants: LbfgsState::new(0, 0),
            inverse: Scratch::default(),
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.stage == UNDER_WAY
    }

    fn end(&mut self) {
        *self = Self::new();
        self.stage = OVER;
    }

    /// Makes the inverse for `x` and the smoothing at hand; whether the problem has one.
    fn make(&mut self, p: &dyn SelfConcordant<T>, x: &[T]) -> Result<bool> {
        self.inverse.0 = None;
        let Some(inverse) = p.smoothed_preconditioner(x, self.smoothing)? else {
            return Ok(false);
        };
        let step = p.hessian(x)?.cost().product + inverse.operator.cost().product;
        self.price = inverse.renewal / step;
        self.point.clear();
        self.point.extend_from_slice(x);
        self.inverse.0 = Some(inverse);
        self.made += 1;
        self.decrements.clear();
        self.cut = 0;
        Ok(true)
    }

    /// The geometric mean of the last few decrements before step `end`.
    fn decrement(&self, end: usize) -> f64 {
        let few = &self.decrements[end.saturating_sub(FEW)..end];
        (few.iter().map(|d| d.ln()).sum::<f64>() / few.len() as f64).exp()
    }

    /// True if a new inverse is likely to be worth its price on the way to decrements of `target`.
    fn is_slow(&self, target: f64) -> bool {
        let steps = self.decrements.len();
        if steps < LEAST.max((TRIAL * self.price) as usize) {
            return false;
        }
        let window = steps / 2;
        let now = self.decrement(steps);
        let gain = (self.decrement(steps - window) / now).ln() / window as f64;
        let left = (now / target).ln().max(0.0);
        let reach = gain * (self.price + EXPECTED);
        left > reach || reach.is_nan()
    }

    /// The smoothing of the next inverse.
    fn next_smoothing(&self) -> f64 {
        let steps = self.decrements.len();
        if 2 * self.cut > steps as u64 {
            return (MORE * self.smoothing).min(1.0);
        }
        let even = self.decrement(steps) * self.smoothing.sqrt();
        even.min(LESS * self.smoothing)
    }
}

impl GscNewton {
    /// Takes such a step; false if they are not what this problem needs, or no longer.
    pub(super) fn corrected_step<T: Scalar>(
        &self,
        p: &dyn SelfConcordant<T>,
        x: &mut [T],
        s: &mut GscState<T>,
        cx: &mut Context,
    ) -> Result<bool> {
        let goes_on = match s.corrected.stage {
            BEFORE => self.begin_corrected(p, x, s, cx)?,
            UNDER_WAY => Self::renew_corrected(p, x, s, cx)?,
            _ => return Ok(false),
        };
        if !goes_on || !Self::move_corrected(p, x, s, cx)? {
            s.corrected.end();
            return Ok(false);
        }
        Ok(true)
    }

    fn begin_corrected<T: Scalar>(
        &self,
        p: &dyn SelfConcordant<T>,
        x: &[T],
        s: &mut GscState<T>,
        cx: &mut Context,
    ) -> Result<bool> {
        let suits = matches!(
            self.preconditioner,
            Preconditioner::Auto | Preconditioner::Problem
        );
        // The warm-up has chosen how systems are solved.
        let hard = self.schedule == Schedule::Auto && !s.system.is_factorised();
        if !(suits && hard && s.corrected.make(p, x)?) {
            return Ok(false);
        }
        cx.note("preconditioner", 1.0);
        s.corrected.stage = UNDER_WAY;
        s.corrected.secants = LbfgsState::new(SECANTS, x.len());
        Ok(true)
    }

    /// Makes the inverse anew where the one at hand is slow; false to give up.
    fn renew_corrected<T: Scalar>(
        p: &dyn SelfConcordant<T>,
        x: &[T],
        s: &mut GscState<T>,
        cx: &mut Context,
    ) -> Result<bool> {
        let goal = (cx.tolerance.relative * s.value.abs()).max(cx.tolerance.absolute);
        if !s.corrected.is_slow(SAFELY * goal.sqrt()) {
            if s.corrected.inverse.0.is_none() {
                let at = s.corrected.point.clone();
                s.corrected.inverse.0 = p.smoothed_preconditioner(&at, s.corrected.smoothing)?;
            }
            return Ok(s.corrected.inverse.0.is_some());
        }
        if s.corrected.made >= RENEWALS || Self::recession(p, x, s)?.is_some() {
            return Ok(false);
        }
        s.corrected.smoothing = s.corrected.next_smoothing();
        cx.note("preconditioner", 1.0);
        cx.note("smoothing", s.corrected.smoothing);
        s.corrected.make(p, x)
    }

    /// Moves along the corrected direction; false if there is no progress along it.
    fn move_corrected<T: Scalar>(
        p: &dyn SelfConcordant<T>,
        x: &mut [T],
        s: &mut GscState<T>,
        cx: &mut Context,
    ) -> Result<bool> {
        let square = Self::corrected_direction(x, s)?;
        // False for NaN as well.
        if !(square > 0.0 && square.is_finite()) {
            return Ok(false);
        }
        s.corrected.decrements.push(square.sqrt());
        cx.note("decrement", square.sqrt());
        if Self::take_full_step(p, x, s, square)? {
            cx.note("step", 1.0);
            return Ok(true);
        }
        s.corrected.cut += 1;
        let work = s.work.get(|| Buffers::new(x.len()));
        let trial = std::mem::take(&mut work.trial);
        let mut line = Line::reusing(p, x, &work.d, s.value, trial)?;
        let length = StrongWolfe::default().length(&mut (), &mut line, -square, cx)?;
        work.trial = line.into_trial();
        if length > 0.0 {
            cx.note("step", length);
            Self::advance(p, x, s, length)?;
        }
        Ok(length > 0.0)
    }

    /// Writes the direction into the buffers; returns its squared decrement.
    fn corrected_direction<T: Scalar>(x: &[T], s: &mut GscState<T>) -> Result<f64> {
        let Buffers { rhs, d, .. } = s.work.get(|| Buffers::new(x.len()));
        let inverse = s.corrected.inverse.0.as_ref().expect("made before");
        s.corrected.secants.check(x.len())?;
        let at = Point {
            x,
            f: s.value,
            g: &s.gradient,
        };
        let mut applied = Ok(());
        s.corrected.secants.direction_from(at, d, |q| {
            rhs.copy_from_slice(q);
            applied = quadric_linalg::apply_vector(&*inverse.operator, rhs, q);
        });
        applied?;
        Ok(-vector::dot(&s.gradient, d))
    }
}
