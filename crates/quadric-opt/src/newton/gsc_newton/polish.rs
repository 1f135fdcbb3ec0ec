//! Steps with a factorised Hessian of an earlier point, which cost one pass over the data each.
//!
//! The factor is the matrix that the secants of the steps since then correct, as in limited-memory BFGS. Near the optimum
//! that converges nearly as fast as Newton's method; far from it, several such steps cost less than one factorisation.

use super::{Buffers, GscNewton, GscState};
use crate::newton::schedule::Schedule;
use quadric_core::{Context, Line, Point, Result, Scalar, SelfConcordant, vector};

/// Secants kept.
pub(super) const SECANTS: usize = 10;
/// Most steps with one factorisation, after the first.
const STEPS: usize = 30;
/// What a Newton step is expected to do to the decrement: a step with the old factor must do as much for its price.
const NEWTON: f64 = 0.03;
/// Steps that do this to the decrement are worth it for digits that nobody asked for: up to this part of the goal.
const FAST: f64 = 0.1;
const FURTHER: f64 = 0.01;
/// Passes of a Newton step besides the factorisation.
const PASSES: f64 = 2.5;
/// Fraction of the guaranteed decrease that a step must reach.
const DECREASE: f64 = 1e-4;

/// What a step of one pass must do to the decrement to be worth as much as Newton's steps, whose factorisations cost this many
/// products.
pub(super) fn contraction(price: f64) -> f64 {
    NEWTON.powf(1.0 / (price + PASSES))
}

impl GscNewton {
    /// Whether steps with the present factor may follow a Newton step of this length.
    pub(super) fn may_polish<T: Scalar>(&self, s: &GscState<T>, length: f64) -> bool {
        let may = matches!(self.schedule, Schedule::Auto | Schedule::Direct);
        may && s.system.is_factorised() && s.path.mu == 0.0 && length == 1.0
    }

    /// Remembers the point where the Hessian was factorised.
    pub(super) fn begin_polish<T: Scalar>(x: &[T], s: &mut GscState<T>) {
        let secants = &mut s.work.get(|| Buffers::new(x.len())).secants;
        secants.reset();
        let at = Point {
            x,
            f: s.value,
            g: &s.gradient,
        };
        secants.visit_point(at);
    }

    /// Further steps with the factor at hand, as long as they are worth it, after a Newton step whose squared decrement was
    /// `square`. In the region of quadratic convergence they take the gradient far below the tolerance, or to its rounding,
    /// at a fraction of the price of a Newton step.
    pub(super) fn polish<T: Scalar>(
        p: &dyn SelfConcordant<T>,
        x: &mut [T],
        s: &mut GscState<T>,
        square: f64,
        cx: &mut Context,
    ) -> Result<()> {
        let contraction = contraction(s.system.price());
        let (mut last, mut ratio) = (square, 1.0);
        for _ in 0..STEPS {
            let now = vector::max_abs(&s.gradient);
            let goal = if ratio < FAST {
                FURTHER * cx.goal
            } else {
                cx.goal
            };
            if now <= goal {
                break;
            }
            let factor = s.system.factor(x.len())?;
            let work = s.work.get(|| Buffers::new(x.len()));
            let at = Point {
                x,
                f: s.value,
                g: &s.gradient,
            };
            let base = |q: &mut [T]| factor.solve_vector_in_place(q);
            work.secants.direction_from(at, &mut work.d, base);
            let square = -vector::dot(&s.gradient, &work.d);
            ratio = (square / last).sqrt();
            // False for NaN as well.
            if !(square > 0.0 && ratio <= contraction) {
                break;
            }
            last = square;
            if !Self::take_full_step(p, x, s, square)? {
                break;
            }
            cx.note("polish", 1.0);
        }
        Ok(())
    }

    /// Moves along the direction at hand, of this squared decrement, if F falls enough; whether it does.
    pub(super) fn take_full_step<T: Scalar>(
        p: &dyn SelfConcordant<T>,
        x: &mut [T],
        s: &mut GscState<T>,
        square: f64,
    ) -> Result<bool> {
        let work = s.work.get(|| Buffers::new(x.len()));
        let trial = &mut work.trial;
        trial.point.resize(x.len(), T::of(0.0));
        trial.gradient.resize(x.len(), T::of(0.0));
        Line::point(x, &work.d, 1.0, &mut trial.point);
        trial.at = None;
        let value = p.value_grad(&trial.point, &mut trial.gradient)?;
        let rounding = 4.0 * T::EPSILON * s.value.abs();
        let falls = value <= s.value - DECREASE * square + rounding;
        let now = vector::max_abs(&s.gradient);
        let improves = value < s.value - rounding || vector::max_abs(&trial.gradient) < now;
        if falls && improves {
            x.copy_from_slice(&trial.point);
            std::mem::swap(&mut s.gradient, &mut trial.gradient);
            s.value = value;
        }
        Ok(falls && improves)
    }
}
