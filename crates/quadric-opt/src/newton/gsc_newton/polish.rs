//! The end of a run with a factorised Hessian: steps that cost one pass over the data each.

use super::{Buffers, GscNewton, GscState};
use crate::newton::schedule::Schedule;
use quadric_core::{Context, Line, Result, Scalar, SelfConcordant, vector};

/// Most steps with one factorisation, after the first.
const CHORDS: usize = 8;
/// The gradient must have fallen to this fraction in a Newton step for another one with the same Hessian to be worth it,
/// and to the second one in each of these.
const CONTRACTION: [f64; 2] = [0.12, 0.3];
impl GscNewton {
    /// Further steps with the factorised Hessian of the last point, for one pass over the data each. In the region of
    /// quadratic convergence they take the gradient far below the tolerance, or to its rounding, at a fraction of the price
    /// of a Newton step.
    pub(super) fn polish<T: Scalar>(
        &self,
        p: &dyn SelfConcordant<T>,
        x: &mut [T],
        s: &mut GscState<T>,
        before: f64,
        cx: &mut Context,
    ) -> Result<()> {
        let may = matches!(self.schedule, Schedule::Auto | Schedule::Direct);
        let mut last = before;
        for i in 0..CHORDS {
            let now = vector::max_abs(&s.gradient);
            let contracts = now > cx.goal && now <= CONTRACTION[i.min(1)] * last;
            if !(may && s.system.is_factorised() && contracts) {
                break;
            }
            last = now;
            let work = s.work.get(|| Buffers::new(x.len()));
            s.system
                .factor(x.len())?
                .direction(&s.gradient, &mut work.d);
            let trial = &mut work.trial;
            trial.point.resize(x.len(), T::of(0.0));
            trial.gradient.resize(x.len(), T::of(0.0));
            Line::point(x, &work.d, 1.0, &mut trial.point);
            trial.at = None;
            let value = p.value_grad(&trial.point, &mut trial.gradient)?;
            let rounding = 4.0 * T::EPSILON * s.value.abs();
            // False for NaN as well.
            let improves = vector::max_abs(&trial.gradient) < 0.5 * now;
            if !(improves && value <= s.value + rounding) {
                break;
            }
            x.copy_from_slice(&trial.point);
            std::mem::swap(&mut s.gradient, &mut trial.gradient);
            s.value = value;
            cx.note("polish", 1.0);
        }
        Ok(())
    }
}
