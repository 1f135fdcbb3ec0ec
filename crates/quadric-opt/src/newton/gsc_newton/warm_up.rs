//! Before the first Newton step: limited-memory BFGS, as long as it gains as much for a pass over the data as Newton steps
//! would.
//!
//! An easy problem ends here and never pays for a Hessian. A hard one loses a few passes, which bring it nearer; but where
//! most samples are fitted by then, their curvature is gone, and Newton's steps are longer from the start.

use super::{Buffers, GscNewton, GscState, polish};
use crate::newton::schedule::Schedule;
use crate::newton::system::EASY;
use quadric_core::{Context, Point, Result, Scalar, SelfConcordant, vector};

/// A Newton system that costs fewer products is not worth avoiding.
const PRICE: f64 = 3.0;
/// Steps over which the gain is measured; the decrement of a single one says little.
const WINDOW: usize = 3;
/// A value of this part of that at the start is of samples that are fitted.
const FITTED: f64 = 0.2;
/// Most steps.
const STEPS: usize = 60;

impl GscNewton {
    /// Returns the number of steps.
    pub(super) fn warm_up<T: Scalar>(
        &self,
        p: &dyn SelfConcordant<T>,
        x: &mut [T],
        s: &mut GscState<T>,
        cx: &mut Context,
    ) -> Result<usize> {
        if self.schedule != Schedule::Auto {
            return Ok(0);
        }
        let hessian = p.hessian(x)?;
        let cost = hessian.cost();
        let price = if s.system.is_direct(&self.settings(), cost, x.len()) {
            cost.factorisation(x.len())
        } else {
            EASY as f64
        };
        if price < PRICE {
            return Ok(0);
        }
        let work = s.work.get(|| Buffers::new(x.len()));
        quadric_linalg::apply_vector(&hessian, &s.gradient, &mut work.d)?;
        // It may be as large as the rows are many.
        drop(hessian);
        let slope = vector::dot(&s.gradient, &s.gradient);
        let length = slope / vector::dot(&s.gradient, &work.d);
        if !(length > 0.0 && length.is_finite()) {
            return Ok(0);
        }
        // The best step along the gradient.
        for (d, g) in work.d.iter_mut().zip(&s.gradient) {
            *d = T::of(-length * g.to_f64());
        }
        let start = (x.to_vec(), s.gradient.clone(), s.value);
        let least = polish::contraction(price).powi(2 * WINDOW as i32);
        let (steps, slow) = Self::quasi_newton(p, x, s, cx, (length * slope, least))?;
        let fitted = s.value.abs() <= FITTED * start.2.abs();
        // Along a direction of recession there is no end.
        if steps > 0 && ((slow && fitted) || Self::recession(p, x, s)?.is_some()) {
            x.copy_from_slice(&start.0);
            (s.gradient, s.value) = (start.1, start.2);
        }
        Ok(steps)
    }

    /// Limited-memory BFGS from the direction at hand, of squared decrement `square`, while the square falls to `least` of itself
    /// within a window. Returns the number of steps, and whether they became slow.
    fn quasi_newton<T: Scalar>(
        p: &dyn SelfConcordant<T>,
        x: &mut [T],
        s: &mut GscState<T>,
        cx: &mut Context,
        (square, least): (f64, f64),
    ) -> Result<(usize, bool)> {
        let mut squares = vec![square];
        Self::begin_polish(x, s);
        for steps in 0..STEPS {
            let square = squares[steps];
            if !Self::take_full_step(p, x, s, square)? && !Self::take_shorter_step(p, x, s, square)?
            {
                return Ok((steps, false));
            }
            cx.note("warm_up", 1.0);
            if vector::max_abs(&s.gradient) <= cx.enough {
                return Ok((steps + 1, false));
            }
            let work = s.work.get(|| Buffers::new(x.len()));
            let at = Point {
                x,
                f: s.value,
                g: &s.gradient,
            };
            work.secants.direction(at, &mut work.d);
            let square = -vector::dot(&s.gradient, &work.d);
            let before = (steps + 1).checked_sub(WINDOW).map(|i| squares[i]);
            // False for NaN as well.
            if !(square > 0.0 && before.is_none_or(|b| square <= least * b)) {
                return Ok((steps + 1, true));
            }
            squares.push(square);
        }
        Ok((STEPS, false))
    }

    /// After a full step that went too far: one to where the slope along it vanishes, were it linear.
    fn take_shorter_step<T: Scalar>(
        p: &dyn SelfConcordant<T>,
        x: &mut [T],
        s: &mut GscState<T>,
        square: f64,
    ) -> Result<bool> {
        let work = s.work.get(|| Buffers::new(x.len()));
        let slope = vector::dot(&work.trial.gradient, &work.d);
        // False for NaN as well.
        if !(slope > 0.0 && slope.is_finite()) {
            return Ok(false);
        }
        let length = square / (square + slope);
        vector::scale(length, &mut work.d);
        Self::take_full_step(p, x, s, length * square)
    }
}
