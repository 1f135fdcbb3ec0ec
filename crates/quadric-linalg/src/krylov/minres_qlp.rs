//! MINRES-QLP: (A + shift I) x = b for symmetric A of any inertia, singular or not: the solution of least norm, or the
//! least-squares solution of least norm when b is not in the range.
//!
//! Choi, Paige, Saunders, "MINRES-QLP: a Krylov subspace method for indefinite or singular symmetric systems" (2011); the
//! notation follows Choi, Saunders, "Algorithm 937" (2014). Curvature test after Liu, Roosta, "MINRES: from negative
//! curvature detection to monotonicity properties" (2022). Deviations: always in QLP form (no cheaper first phase), no
//! preconditioner; right-hand sides are scaled by a power of two; the returned residual is measured, and the iteration
//! restarts from it when the recurrence was too optimistic.

use super::{Rescale, exponent, finite, normalise, reflection, require_finite, unit};
use crate::operator::apply_vector;
use crate::vector::{axpy, dot, norm2};
use crate::{Error, ErrorKind, LinearOperator, Result, Scalar};

/// Entries of the factorisation below this many roundoffs of the norm count as zero.
const SINGULAR: f64 = 16.0;
/// At a least-squares solution, diagonal entries up to this many times ‖Ar‖ / ‖r‖ count as zero.
const REVEALED: f64 = 1e3;

/// What ends MINRES-QLP.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinresOptions {
    /// Stop when ‖b - Ax‖ <= relative · ‖b‖.
    pub relative: f64,
    /// Stop when ‖A(b - Ax)‖ <= normal · ‖A‖ · ‖b - Ax‖: a least-squares solution. ‖A‖ is estimated from below.
    pub normal: f64,
    /// Largest number of iterations.
    pub max_iterations: usize,
    /// `x` holds the start; otherwise `x` is set to zero first. With a start, the correction has the least norm.
    pub warm_start: bool,
    /// Stop at the first residual r with rᵀAr <= 0 (for Newton-MR); [`MinresWorkspace::direction`] holds it.
    pub curvature: bool,
}

impl Default for MinresOptions {
    /// Residual to 1e-10 or normal residual to 1e-7 (about what the recurrence can reach without reorthogonalisation)
    /// within 1,000 iterations, from zero, blind to curvature.
    fn default() -> Self {
        Self {
            relative: 1e-10,
            normal: 1e-7,
            max_iterations: 1000,
            warm_start: false,
            curvature: false,
        }
    }
}

/// Why MINRES-QLP ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinresStop {
    /// The residual is as small as [`MinresOptions::relative`] asks.
    Residual,
    /// ‖Ar‖ is as small as [`MinresOptions::normal`] asks: b is not in the range, x is a least-squares solution.
    Normal,
    /// The iteration limit is reached.
    MaxIterations,
    /// A residual r with rᵀAr <= 0 was met; `x` is the iterate with that residual.
    NegativeCurvature,
    /// Restarting from the measured residual no longer helps: the tolerances are below the rounding errors.
    Stagnated,
}

/// How MINRES-QLP ended. Norms are measured at the returned x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinresReport {
    /// Iterations, each with one product.
    pub iterations: usize,
    /// Why the iteration ended.
    pub stop: MinresStop,
    /// ‖b - Ax‖.
    pub residual_norm: f64,
    /// ‖A(b - Ax)‖.
    pub normal_norm: f64,
    /// ‖x‖.
    pub x_norm: f64,
    /// ‖b‖.
    pub rhs_norm: f64,
    /// An estimate of ‖A + shift I‖₂ from below.
    pub operator_norm: f64,
    /// rᵀAr / rᵀr of the residual that ended the iteration by its curvature.
    pub curvature: Option<f64>,
}

/// Memory of MINRES-QLP: nine vectors of the size of b, kept for the next solve.
#[derive(Debug, Default)]
pub struct MinresWorkspace<T> {
    /// Lanczos vectors: last, current, next.
    v: [Vec<T>; 3],
    /// Columns k-2, k-1, k of W = V P, as far as the right reflections have gone.
    w: [Vec<T>; 3],
    /// The solution without its last two terms.
    x: Vec<T>,
    /// The residual.
    r: Vec<T>,
    product: Vec<T>,
}

impl<T: Scalar> MinresWorkspace<T> {
    /// An empty workspace; it grows at the first solve.
    pub fn new() -> Self {
        Self::default()
    }

    /// The last residual, in arbitrary scale. After [`MinresStop::NegativeCurvature`] it is the direction that was found.
    pub fn direction(&self) -> &[T] {
        &self.r
    }

    fn prepare(&mut self, n: usize) {
        let few = [&mut self.x, &mut self.r, &mut self.product];
        for buffer in few.into_iter().chain(&mut self.v).chain(&mut self.w) {
            buffer.clear();
            buffer.resize(n, T::of(0.0));
        }
    }
}

/// Solves (A + shift I) x = b with symmetric A (n, n) and b, x of length n. b = 0 gives x = 0.
///
/// # Errors
/// Shapes that do not fit, an operator not known to be symmetric, negative or non-finite options, b or the start not
/// finite, products that are not finite, and whatever the operator reports.
pub fn minres_qlp<T: Scalar>(
    a: &dyn LinearOperator<T>,
    shift: f64,
    b: &[T],
    x: &mut [T],
    options: &MinresOptions,
    work: &mut MinresWorkspace<T>,
) -> Result<MinresReport> {
    check(a, shift, b, x, options)?;
    let norm = norm2(b);
    let mut e = exponent(norm);
    work.prepare(b.len());
    if options.warm_start && norm > 0.0 {
        require_finite("the start", x.iter().copied())?;
        e = unit::<T>(norm, norm2(x));
        let down = Rescale::by(-e);
        work.x
            .iter_mut()
            .zip(&*x)
            .for_each(|(w, x)| *w = down.entry(*x));
    }
    let system = System { a, shift };
    let mut report = passes(&system, b, e, options, work)?;
    let up = Rescale::by(e);
    x.iter_mut()
        .zip(&work.x)
        .for_each(|(x, w)| *x = up.entry(*w));
    report.x_norm = norm2(x);
    report.rhs_norm = norm;
    report.residual_norm = up.value(report.residual_norm);
    report.normal_norm = up.value(report.normal_norm);
    Ok(report)
}

/// Everything in units of 2^e. Each pass starts from the measured residual, which also judges the pass before.
fn passes<T: Scalar>(
    system: &System<'_, T>,
    b: &[T],
    e: i32,
    options: &MinresOptions,
    work: &mut MinresWorkspace<T>,
) -> Result<MinresReport> {
    let target = options.relative * Rescale::by(-e).value(norm2(b));
    let (mut iterations, mut norm, mut flagged) = (0, 0.0f64, false);
    let mut before: Option<Measured> = None;
    loop {
        let now = system.measure(b, e, work)?;
        if now.residual > 0.0 {
            norm = norm.max(now.normal / now.residual);
        }
        let over = (iterations >= options.max_iterations).then_some(MinresStop::MaxIterations);
        let bent = (flagged && now.curvature <= 0.0).then_some(MinresStop::NegativeCurvature);
        let stop = now
            .within(target, options.normal * norm, before.is_some())
            .or(bent)
            .or(over)
            .or_else(|| now.stagnated(before));
        if let Some(stop) = stop {
            return Ok(MinresReport {
                iterations,
                stop,
                residual_norm: now.residual,
                normal_norm: now.normal,
                x_norm: 0.0,
                rhs_norm: 0.0,
                operator_norm: norm,
                curvature: (stop == MinresStop::NegativeCurvature).then_some(now.curvature),
            });
        }
        before = Some(now);
        let mut qlp = Qlp::new(work)?;
        loop {
            let column = qlp.lanczos(system, work)?;
            qlp.rotate_left(&column);
            norm = norm.max(qlp.norm);
            flagged = options.curvature && qlp.curvature <= 0.0;
            if flagged {
                break;
            }
            iterations += 1;
            let past_best = qlp.past_best(T::EPSILON * norm);
            let least_squares = past_best || qlp.root <= options.normal * norm;
            let tiny = SINGULAR * T::EPSILON * norm;
            let singular = qlp.rotate_right(&column, tiny, work);
            let ended = singular
                || column.beta_next <= tiny
                || qlp.phi <= target
                || iterations >= options.max_iterations
                || (least_squares && qlp.shorten(0.3 * options.normal * qlp.phi, past_best));
            if ended {
                break;
            }
        }
        qlp.finish(work);
    }
}

/// What is measured at an iterate: ‖r‖, ‖Ar‖, rᵀAr / rᵀr.
#[derive(Clone, Copy)]
struct Measured {
    residual: f64,
    normal: f64,
    curvature: f64,
}

impl Measured {
    /// Is a tolerance met? A measured residual may be a tenth above what the recurrence claimed.
    fn within(self, target: f64, normal: f64, claimed: bool) -> Option<MinresStop> {
        let slack = if claimed { 1.1 } else { 1.0 };
        if self.residual <= slack * target {
            Some(MinresStop::Residual)
        } else if self.normal <= slack * normal * self.residual {
            Some(MinresStop::Normal)
        } else {
            None
        }
    }

    /// Did the pass since `before` fail to halve anything?
    fn stagnated(self, before: Option<Self>) -> Option<MinresStop> {
        before
            .filter(|b| self.residual > 0.5 * b.residual && self.normal > 0.5 * b.normal)
            .map(|_| MinresStop::Stagnated)
    }
}

/// The system as the iteration sees it.
struct System<'a, T> {
    a: &'a dyn LinearOperator<T>,
    shift: f64,
}

impl<T: Scalar> System<'_, T> {
    fn apply(&self, v: &[T], out: &mut [T]) -> Result<()> {
        apply_vector(self.a, v, out)?;
        if self.shift != 0.0 {
            axpy(self.shift, v, out);
        }
        Ok(())
    }
    /// `r <- b 2^-e - A x` and its norms.
    fn measure(&self, b: &[T], e: i32, work: &mut MinresWorkspace<T>) -> Result<Measured> {
        let (down, ar) = (Rescale::by(-e), &mut work.product);
        self.apply(&work.x, ar)?;
        for ((r, b), p) in work.r.iter_mut().zip(b).zip(&*ar) {
            *r = T::of(down.value(b.to_f64()) - p.to_f64());
        }
        let residual = finite(norm2(&work.r))?;
        self.apply(&work.r, ar)?;
        Ok(Measured {
            residual,
            normal: finite(norm2(ar))?,
            curvature: dot(&work.r, ar) / residual / residual,
        })
    }
}

/// One column of the tridiagonal matrix: diagonal, and the entry below it.
struct Lanczos {
    alpha: f64,
    beta_next: f64,
}

/// The scalars of the QLP factorisation of the tridiagonal matrix T: Q T P = L, lower triangular with three diagonals.
/// Index k is the current column, `1` and `2` one and two columns back.
#[derive(Default)]
struct Qlp {
    k: usize,
    beta: f64,
    /// Left reflection of the last column, and what it left in the current one.
    c: f64,
    s: f64,
    delta_next: f64,
    delta: f64,
    epsilon_next: f64,
    /// Right reflections: between columns k-1 and k, and k-2 and k.
    cr1: f64,
    sr1: f64,
    cr2: f64,
    sr2: f64,
    /// Diagonal of L, and its entries one and two left of it.
    gamma: f64,
    gamma1: f64,
    gamma2: f64,
    theta: f64,
    theta1: f64,
    theta2: f64,
    eta: f64,
    eta1: f64,
    eta2: f64,
    /// Right-hand side Q (beta e1).
    tau: f64,
    tau1: f64,
    tau2: f64,
    /// Coordinates of the solution in W.
    u: f64,
    u1: f64,
    u2: f64,
    u3: f64,
    u4: f64,
    /// ‖r‖, by recurrence.
    phi: f64,
    /// ‖A r‖ / ‖r‖ of the residual before this column.
    root: f64,
    /// The smallest of them so far.
    least_root: f64,
    /// rᵀAr / rᵀr of the residual before this column.
    curvature: f64,
    /// An estimate of ‖A‖ from below.
    norm: f64,
}

impl Qlp {
    /// Starts with the residual in `work.r`, which is not zero.
    fn new<T: Scalar>(work: &mut MinresWorkspace<T>) -> Result<Self> {
        for v in work.v.iter_mut().chain(&mut work.w) {
            v.fill(T::of(0.0));
        }
        let next = &mut work.v[2];
        next.copy_from_slice(&work.r);
        let beta = normalise(next)?;
        Ok(Self {
            beta,
            phi: beta,
            c: -1.0,
            cr1: -1.0,
            cr2: -1.0,
            least_root: f64::INFINITY,
            ..Self::default()
        })
    }

    /// The next Lanczos vector.
    fn lanczos<T: Scalar>(
        &mut self,
        system: &System<'_, T>,
        work: &mut MinresWorkspace<T>,
    ) -> Result<Lanczos> {
        self.k += 1;
        work.v.rotate_left(1);
        let [last, current, next] = &mut work.v;
        system.apply(current, next)?;
        if self.k > 1 {
            axpy(-self.beta, last, next);
        }
        let alpha = finite(dot(current, next))?;
        axpy(-alpha, current, next);
        let beta_next = normalise(next)?;
        let below = if self.k > 1 { self.beta } else { 0.0 };
        self.norm = self.norm.max(alpha.hypot(beta_next).hypot(below));
        self.beta = beta_next;
        Ok(Lanczos { alpha, beta_next })
    }

    /// The left reflections: the last one applied to the new column, which also tells about the residual so far.
    fn rotate_left(&mut self, column: &Lanczos) {
        let delta_bar = self.delta_next;
        self.delta = self.c * delta_bar + self.s * column.alpha;
        let gamma_bar = self.s * delta_bar - self.c * column.alpha;
        self.delta_next = -self.c * column.beta_next;
        self.root = gamma_bar.hypot(self.delta_next);
        self.least_root = self.least_root.min(self.root);
        self.curvature = -self.c * gamma_bar;
        self.gamma2 = self.gamma1;
        self.gamma1 = self.gamma;
        self.gamma = gamma_bar;
    }

    /// Did ‖Ar‖ / ‖r‖ reach what rounding allows and grow again? `roundoff` is that of the norm of A.
    fn past_best(&self, roundoff: f64) -> bool {
        self.least_root <= (roundoff * self.norm).sqrt() && self.root > 30.0 * self.least_root
    }

    /// At a least-squares solution the last residual is nearly a null vector, and the last coordinate moves along it for
    /// next to nothing: drops the coordinate if that costs no more than `limit` in the residual, or if `forced`. False when
    /// the iteration should go on until it is that cheap.
    fn shorten(&mut self, limit: f64, forced: bool) -> bool {
        if self.gamma.abs() > REVEALED * self.least_root {
            return true;
        }
        let cheap = forced || (self.u * self.gamma).abs() <= limit;
        if cheap {
            self.u = 0.0;
        }
        cheap
    }

    /// The new left reflection, the right reflections, and the next coordinates of the solution; true when the diagonal
    /// entry is at most `tiny`. Then it adds nothing to the solution, which is what makes the solution the shortest.
    fn rotate_right<T: Scalar>(
        &mut self,
        column: &Lanczos,
        tiny: f64,
        work: &mut MinresWorkspace<T>,
    ) -> bool {
        let epsilon_k = self.epsilon_next;
        self.epsilon_next = self.s * column.beta_next;
        (self.c, self.s, self.gamma) = reflection(self.gamma, column.beta_next);
        (self.tau2, self.tau1) = (self.tau1, self.tau);
        self.tau = self.c * self.phi;
        self.phi *= self.s;
        if self.k > 2 {
            (self.cr2, self.sr2, self.gamma2) = reflection(self.gamma2, epsilon_k);
            (self.theta2, self.eta2, self.eta1) = (self.theta1, self.eta1, self.eta);
            self.theta1 = self.cr2 * self.theta + self.sr2 * self.delta;
            self.delta = self.sr2 * self.theta - self.cr2 * self.delta;
            self.eta = self.sr2 * self.gamma;
            self.gamma *= -self.cr2;
        }
        if self.k > 1 {
            (self.cr1, self.sr1, self.gamma1) = reflection(self.gamma1, self.delta);
            self.theta = self.sr1 * self.gamma;
            self.gamma *= -self.cr1;
        }
        (self.u4, self.u3) = (self.u3, self.u2);
        if self.k > 2 {
            let rest = self.tau2 - self.eta2 * self.u4 - self.theta2 * self.u3;
            self.u2 = rest / self.gamma2;
        }
        if self.k > 1 {
            let rest = self.tau1 - self.eta1 * self.u3 - self.theta1 * self.u2;
            self.u1 = rest / self.gamma1;
        }
        let singular = self.gamma.abs() <= tiny;
        self.u = if singular {
            0.0
        } else {
            (self.tau - self.eta * self.u2 - self.theta * self.u1) / self.gamma
        };
        self.update_basis(work);
        singular
    }

    /// W gains a column, and x the term that is final now.
    fn update_basis<T: Scalar>(&self, work: &mut MinresWorkspace<T>) {
        let v = &work.v[1];
        work.w.rotate_left(1);
        let [w2, w1, w] = &mut work.w;
        // w2, w1 hold columns k-2 and k-1 as the last step left them; w is free.
        for i in 0..v.len() {
            let (a, b, c) = (w2[i].to_f64(), w1[i].to_f64(), v[i].to_f64());
            let (a, c) = (self.cr2 * a + self.sr2 * c, self.sr2 * a - self.cr2 * c);
            let (b, c) = (self.cr1 * b + self.sr1 * c, self.sr1 * b - self.cr1 * c);
            (w2[i], w1[i], w[i]) = (T::of(a), T::of(b), T::of(c));
        }
        axpy(self.u2, w2, &mut work.x);
    }

    /// Adds the last two terms of the solution.
    fn finish<T: Scalar>(&self, work: &mut MinresWorkspace<T>) {
        axpy(self.u1, &work.w[1], &mut work.x);
        axpy(self.u, &work.w[2], &mut work.x);
    }
}

fn check<T: Scalar>(
    a: &dyn LinearOperator<T>,
    shift: f64,
    b: &[T],
    x: &[T],
    options: &MinresOptions,
) -> Result<()> {
    if a.shape() != (b.len(), x.len()) || b.len() != x.len() {
        return Err(Error::shape("the operator", a.shape(), (b.len(), x.len())));
    }
    if !a.properties().symmetric {
        return Err(Error::new(
            ErrorKind::Capability,
            "MINRES-QLP needs a symmetric operator",
        ));
    }
    for (name, v) in [("relative", options.relative), ("normal", options.normal)] {
        if !(v >= 0.0 && v.is_finite()) {
            return Err(Error::argument(name, v, "a finite number of at least 0"));
        }
    }
    if !shift.is_finite() {
        return Err(Error::argument("shift", shift, "a finite number"));
    }
    require_finite("the right-hand side", b.iter().copied())
}
