//! The problem's own preconditioner, kept from step to step for as long as it serves.
//!
//! Making one may cost as much as hundreds of products, and the Hessian changes little between later steps. It is made
//! anew once the iterations that its age has cost are worth the making: never more than twice the work of the best choice
//! in hindsight. Counts of iterations and operations decide, not a clock.

use crate::scratch::Scratch;
use quadric_core::{ApproximateInverse, LinearOperator, Result, Scalar, TwiceSmooth};

quadric_core::state! {
    /// A preconditioner and how it has served.
    pub struct Kept[T: Scalar] {
        /// Where it was made; empty: there is none.
        point: Vec<T>,
        /// For which multiple of the identity.
        shift: f64,
        /// Operations of its making.
        work: f64,
        /// Operations of an iteration with it.
        iteration: f64,
        /// Iterations per unit of `ln(1 / accuracy)` when it was new; 0: not used yet.
        pace: f64,
        /// Iterations beyond that since.
        excess: f64,
        /// The operator itself, which its point and shift make again.
        operator: Scratch<Option<ApproximateInverse<T>>>,
    }
}

/// Iterations that an old preconditioner may need beyond its pace without being doubted.
const TOLERATED: f64 = 10.0;
/// The directions that a larger shift takes hold of are the ones that a preconditioner for a smaller one exaggerates.
const LARGER: f64 = 10.0;

impl<T: Scalar> Kept<T> {
    pub(super) fn new() -> Self {
        Self {
            point: Vec::new(),
            shift: 0.0,
            work: 0.0,
            iteration: 0.0,
            pace: 0.0,
            excess: 0.0,
            operator: Scratch::default(),
        }
    }

    /// The preconditioner, on loan until [`Kept::give_back`]: the one at hand, or a new one for `x` and `shift`. `None` if
    /// the problem offers none. `product` is the work of a product with the Hessian.
    ///
    /// # Errors
    /// Those of the problem.
    pub(super) fn lend(
        &mut self,
        problem: &dyn TwiceSmooth<T>,
        x: &[T],
        shift: f64,
        product: f64,
    ) -> Result<Option<ApproximateInverse<T>>> {
        let serves = shift <= LARGER * self.shift && self.excess * self.iteration < self.work;
        if !self.point.is_empty() && serves {
            let at_hand = self.operator.0.take();
            // A run that was resumed has the point and not the operator.
            return match at_hand {
                Some(inverse) => Ok(Some(inverse)),
                None => problem.preconditioner(&self.point, self.shift),
            };
        }
        self.discard();
        let made = problem.preconditioner(x, shift)?;
        if let Some(inverse) = &made {
            self.point.extend_from_slice(x);
            self.shift = shift;
            self.work = inverse.work;
            self.iteration = product + inverse.operator.cost().product + 12.0 * x.len() as f64;
        }
        Ok(made)
    }

    /// Takes the preconditioner back after a solve to a relative accuracy.
    pub(super) fn give_back(
        &mut self,
        inverse: ApproximateInverse<T>,
        iterations: usize,
        accuracy: f64,
    ) {
        let (iterations, digits) = (iterations as f64, digits(accuracy));
        if self.pace == 0.0 {
            self.pace = iterations / digits;
        } else {
            self.excess += (iterations - self.pace * digits).max(0.0);
        }
        self.operator.0 = Some(inverse);
    }

    /// True if the preconditioner of the last solve was new.
    pub(super) fn is_new(&self) -> bool {
        self.pace == 0.0
    }

    /// Iterations after which an old preconditioner costs more than a new one.
    pub(super) fn limit(&self, accuracy: f64) -> f64 {
        self.pace * digits(accuracy) + self.work / self.iteration.max(1.0) + TOLERATED
    }

    /// Forgets the preconditioner.
    pub(super) fn discard(&mut self) {
        *self = Self::new();
    }
}

/// Iterations grow with this.
fn digits(accuracy: f64) -> f64 {
    (2.0 / accuracy.clamp(1e-16, 1.0)).ln()
}
