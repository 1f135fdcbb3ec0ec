//! The iteration on a block of right-hand sides: columns own slots of four shared buffers and swap to the end when done.

use super::{CgOptions, CgReport, CgStop, check_system};
use crate::krylov::tridiagonal::factored_extremes;
use crate::krylov::{Rescale, exponent, require_finite, unit};
use crate::vector::{axpy, dot, norm2};
use crate::{Error, ErrorKind, LinearOperator, Result, Scalar};
use faer::{MatMut, MatRef};

/// Iterations after which Ritz values are trusted.
const FEW: usize = 5;
/// Iterations whose gain is looked at together, at least.
const STRETCH: usize = 10;

/// Memory of conjugate gradients: four blocks of the size of b, kept for the next solve.
#[derive(Debug, Default)]
pub struct CgWorkspace<T> {
    /// Column after column; slots `..live` iterate, `live..open` wait for their residual to be measured.
    x: Vec<T>,
    r: Vec<T>,
    p: Vec<T>,
    q: Vec<T>,
    columns: Vec<Column>,
    histories: Vec<History>,
    n: usize,
    live: usize,
    open: usize,
}

/// D and the subdiagonal of L of the tridiagonal matrix L D Lᵀ that the coefficients of CG define.
#[derive(Debug, Default)]
struct History {
    d: Vec<f64>,
    l: Vec<f64>,
    ritz: Option<(f64, f64)>,
    /// Twice what the quadratic model gained by every iteration so far.
    gains: Vec<f64>,
}

impl History {
    fn clear(&mut self) {
        self.d.clear();
        self.l.clear();
        self.ritz = None;
        self.gains.clear();
    }

    fn gained(&mut self, gain: f64) {
        self.gains.push(self.gains.last().unwrap_or(&0.0) + gain);
    }

    /// See [`CgOptions::gain`].
    fn gains_less_than(&self, part: f64) -> bool {
        let count = self.gains.len();
        let before = count.saturating_sub((count / 2).max(STRETCH));
        before > 0 && self.gains[count - 1] - self.gains[before - 1] <= part * self.gains[count - 1]
    }

    /// The extreme Ritz values of all stretches so far.
    fn extremes(&self) -> Option<(f64, f64)> {
        match (self.ritz, factored_extremes(&self.d, &self.l)) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        }
    }

    /// A new stretch begins: its coefficients do not continue the old tridiagonal matrix.
    fn restart(&mut self) {
        self.ritz = self.extremes();
        self.d.clear();
        self.l.clear();
    }
}

/// One right-hand side, in units where it is b 2^-exponent.
#[derive(Clone, Copy, Debug)]
struct Column {
    id: usize,
    exponent: i32,
    rhs: f64,
    /// The least residual that counts as converged.
    target: f64,
    /// The target by [`CgOptions::energy`], with the Ritz values seen so far.
    energy_target: f64,
    rz: f64,
    alpha: f64,
    /// Largest pᵀ(A + shift I)p / rᵀP⁻¹r so far.
    steepest: f64,
    residual: f64,
    /// The measured residual at the last restart.
    measured: f64,
    /// xᵀPx, xᵀPp, pᵀPp for the radius.
    radius: f64,
    xx: f64,
    xp: f64,
    pp: f64,
    iterations: usize,
    stop: CgStop,
    direction_curvature: Option<f64>,
}

/// The system as the iteration sees it.
struct System<'a, T> {
    a: &'a dyn LinearOperator<T>,
    shift: f64,
    precond: Option<&'a dyn LinearOperator<T>>,
    n: usize,
}

impl<T: Scalar> System<'_, T> {
    fn apply(&self, v: &[T], out: &mut [T]) -> Result<()> {
        let k = v.len() / self.n;
        self.a.apply(
            MatRef::from_column_major_slice(v, self.n, k),
            MatMut::from_column_major_slice_mut(out, self.n, k),
        )?;
        if self.shift != 0.0 {
            axpy(self.shift, v, out);
        }
        Ok(())
    }

    /// `z <- P⁻¹ r`.
    fn precondition(&self, r: &[T], z: &mut [T]) -> Result<()> {
        let k = r.len() / self.n;
        match self.precond {
            None => {
                z.copy_from_slice(r);
                Ok(())
            }
            Some(p) => p.apply(
                MatRef::from_column_major_slice(r, self.n, k),
                MatMut::from_column_major_slice_mut(z, self.n, k),
            ),
        }
    }
}

impl<T: Scalar> CgWorkspace<T> {
    /// An empty workspace; it grows at the first solve.
    pub fn new() -> Self {
        Self::default()
    }

    /// The last search direction of column `j`, in arbitrary scale. After [`CgStop::NegativeCurvature`] it is the direction
    /// of negative curvature.
    ///
    /// # Panics
    /// If the last solve had no column `j`.
    pub fn direction(&self, j: usize) -> &[T] {
        let s = self.slot(j);
        &self.p[s * self.n..(s + 1) * self.n]
    }

    fn slot(&self, id: usize) -> usize {
        self.columns
            .iter()
            .position(|c| c.id == id)
            .expect("every column of the last solve has a slot")
    }

    pub(super) fn solve(
        &mut self,
        a: &dyn LinearOperator<T>,
        shift: f64,
        precond: Option<&dyn LinearOperator<T>>,
        b: MatRef<'_, T>,
        mut x: MatMut<'_, T>,
        options: &CgOptions,
    ) -> Result<()> {
        options.validate()?;
        check_system(a, shift, precond, b, x.as_ref())?;
        let system = System {
            a,
            shift,
            precond,
            n: b.nrows(),
        };
        self.load(b, x.as_ref(), options)?;
        self.start(&system, b, options)?;
        loop {
            while self.live > 0 {
                self.iterate(&system, options)?;
            }
            if !options.verify || self.open == 0 {
                break;
            }
            self.measure(&system, b, options)?;
        }
        for (s, c) in self.columns.iter().enumerate() {
            let back = Rescale::by(c.exponent);
            for i in 0..self.n {
                x[(i, c.id)] = back.entry(self.x[s * self.n + i]);
            }
        }
        Ok(())
    }

    /// Copies the scaled right-hand sides into r and the scaled starts into x.
    fn load(&mut self, b: MatRef<'_, T>, x: MatRef<'_, T>, options: &CgOptions) -> Result<()> {
        let (n, k) = (b.nrows(), b.ncols());
        self.n = n;
        for buffer in [&mut self.x, &mut self.r, &mut self.p, &mut self.q] {
            buffer.clear();
            buffer.resize(n * k, T::of(0.0));
        }
        self.histories
            .resize_with(k.max(self.histories.len()), History::default);
        self.histories.iter_mut().for_each(History::clear);
        self.columns.clear();
        for j in 0..k {
            let column = |m: MatRef<'_, T>, out: &mut [T]| {
                (0..n).for_each(|i| out[i] = m[(i, j)]);
            };
            let range = j * n..(j + 1) * n;
            let (r, start) = (&mut self.r[range.clone()], &mut self.x[range]);
            column(b, r);
            require_finite(
                format_args!("column {j} of the right-hand side"),
                r.iter().copied(),
            )?;
            let norm = norm2(r);
            let mut e = exponent(norm);
            if options.warm_start && norm > 0.0 {
                column(x, start);
                require_finite(
                    format_args!("column {j} of the start"),
                    start.iter().copied(),
                )?;
                e = unit::<T>(norm, norm2(start));
            }
            let down = Rescale::by(-e);
            r.iter_mut().chain(start).for_each(|v| *v = down.entry(*v));
            self.columns.push(Column::new(j, e, options));
        }
        (self.live, self.open) = (k, k);
        Ok(())
    }

    /// The first residuals, targets and directions.
    fn start(
        &mut self,
        system: &System<'_, T>,
        b: MatRef<'_, T>,
        options: &CgOptions,
    ) -> Result<()> {
        if self.n == 0 {
            (self.live, self.open) = (0, 0);
            return Ok(());
        }
        system.precondition(&self.r, &mut self.q)?;
        for s in (0..self.live).rev() {
            let at = self.range(s);
            let rz = finite(
                dot(&self.r[at.clone()], &self.q[at]),
                "the preconditioner",
                0,
            )?;
            let c = &mut self.columns[s];
            c.rz = rz;
            c.rhs = rz.max(0.0).sqrt();
            c.target = (options.relative * c.rhs).max(c.absolute(options));
        }
        if options.warm_start {
            self.residuals(system, b)?;
        }
        for s in (0..self.live).rev() {
            let at = self.range(s);
            let zero_rhs =
                self.columns[s].rhs == 0.0 && norm2_of_column(b, self.columns[s].id) == 0.0;
            if zero_rhs {
                self.x[at].fill(T::of(0.0));
                self.columns[s].rz = 0.0;
                self.columns[s].stop = CgStop::Tolerance;
                self.settle(s);
            } else if self.begin(s, options)? {
                let at = self.range(s);
                self.p[at.clone()].copy_from_slice(&self.q[at]);
            } else {
                self.retire(s);
            }
        }
        Ok(())
    }

    /// True if column s has a residual to work on; else its stop is set. q holds P⁻¹r.
    fn begin(&mut self, s: usize, options: &CgOptions) -> Result<bool> {
        let at = self.range(s);
        let (x, r, z) = (&self.x[at.clone()], &self.r[at.clone()], &self.q[at]);
        let c = &mut self.columns[s];
        c.rz = finite(dot(r, z), "the preconditioner", c.iterations)?;
        c.residual = c.rz.max(0.0).sqrt();
        (c.xp, c.pp) = (dot(x, r), c.rz);
        if c.rz < 0.0 || (c.rz == 0.0 && norm2(r) > 0.0) {
            c.stop = CgStop::Breakdown;
        } else if c.residual <= c.target.max(c.energy_target) {
            c.stop = CgStop::Tolerance;
        } else if c.iterations >= options.max_iterations {
            c.stop = CgStop::MaxIterations;
        } else {
            return Ok(true);
        }
        Ok(false)
    }

    /// One iteration of every live column.
    fn iterate(&mut self, system: &System<'_, T>, options: &CgOptions) -> Result<()> {
        let len = self.n * self.live;
        system.apply(&self.p[..len], &mut self.q[..len])?;
        for s in (0..self.live).rev() {
            if !self.advance(s)? {
                self.retire(s);
            }
        }
        let len = self.n * self.live;
        if len > 0 {
            system.precondition(&self.r[..len], &mut self.q[..len])?;
        }
        for s in (0..self.live).rev() {
            if !self.turn(s, options)? {
                self.retire(s);
            }
        }
        Ok(())
    }

    /// Moves x and r along p, with q = (A + shift I)p; false when the column ends here.
    fn advance(&mut self, s: usize) -> Result<bool> {
        let at = self.range(s);
        let (p, q) = (&self.p[at.clone()], &self.q[at.clone()]);
        let (x, r) = (&mut self.x[at.clone()], &mut self.r[at]);
        let c = &mut self.columns[s];
        let pq = finite(dot(p, q), "the operator", c.iterations)?;
        c.iterations += 1;
        // The inverse step lies in the spectrum of P⁻¹(A + shift I), up to rounding: what is below its resolution is flat.
        c.steepest = c.steepest.max(pq / c.rz);
        if pq <= T::EPSILON * c.steepest * c.rz {
            let size = norm2(p);
            let flat = pq.abs() <= T::EPSILON * p.len() as f64 * size * norm2(q);
            c.stop = if flat || pq > 0.0 {
                CgStop::Breakdown
            } else {
                CgStop::NegativeCurvature
            };
            c.direction_curvature = Some(pq / size / size);
            if c.radius.is_finite() {
                let tau = c.boundary_step();
                axpy(tau, p, x);
                axpy(-tau, q, r);
            }
            return Ok(false);
        }
        c.alpha = finite(c.rz / pq, "the operator", c.iterations)?;
        let history = &mut self.histories[c.id];
        history.d.push(pq / c.rz);
        history.gained(c.alpha * c.rz);
        if c.radius.is_finite() {
            let ahead = c.xx + c.alpha * (2.0 * c.xp + c.alpha * c.pp);
            if finite(ahead, "the radius", c.iterations)?.sqrt() >= c.radius {
                let tau = c.boundary_step();
                axpy(tau, p, x);
                axpy(-tau, q, r);
                c.stop = CgStop::Radius;
                return Ok(false);
            }
            c.xx = ahead;
        }
        axpy(c.alpha, p, x);
        axpy(-c.alpha, q, r);
        Ok(true)
    }

    /// Tests the new residual, with q = P⁻¹r, and turns the direction; false when the column ends here.
    fn turn(&mut self, s: usize, options: &CgOptions) -> Result<bool> {
        let at = self.range(s);
        let (r, z, x) = (
            &self.r[at.clone()],
            &self.q[at.clone()],
            &self.x[at.clone()],
        );
        let p = &mut self.p[at];
        let c = &mut self.columns[s];
        let rz = finite(dot(r, z), "the preconditioner", c.iterations)?;
        if rz < 0.0 || (rz == 0.0 && norm2(r) > 0.0) {
            c.stop = CgStop::Breakdown;
            return Ok(false);
        }
        c.residual = rz.sqrt();
        let history = &self.histories[c.id];
        let gains_little = options
            .gain
            .is_some_and(|part| history.gains_less_than(part));
        if c.reached(options, history) {
            c.stop = CgStop::Tolerance;
            return Ok(false);
        }
        if gains_little {
            c.stop = CgStop::SmallGain;
            return Ok(false);
        }
        if c.iterations >= options.max_iterations {
            c.stop = CgStop::MaxIterations;
            return Ok(false);
        }
        let beta = rz / c.rz;
        self.histories[c.id].l.push(beta.sqrt());
        for (p, z) in p.iter_mut().zip(z) {
            *p = T::of(beta.mul_add(p.to_f64(), z.to_f64()));
        }
        if c.radius.is_finite() {
            c.xp = dot(x, r) + beta * (c.xp + c.alpha * c.pp);
            c.pp = rz + beta * beta * c.pp;
        }
        c.rz = rz;
        Ok(true)
    }

    /// Measures the residuals of the open columns; those that claimed too much iterate again.
    fn measure(
        &mut self,
        system: &System<'_, T>,
        b: MatRef<'_, T>,
        options: &CgOptions,
    ) -> Result<()> {
        self.residuals(system, b)?;
        self.live = self.open;
        for s in (0..self.open).rev() {
            let (claim, before) = (self.columns[s].stop, self.columns[s].measured);
            let unfinished = self.begin(s, options)?;
            let c = &mut self.columns[s];
            c.measured = c.residual;
            // A tenth above the target is what a recomputed residual may differ by.
            let near = c.residual <= 1.1 * c.target.max(c.energy_target);
            let again = claim == CgStop::Tolerance && unfinished && !near;
            if again && c.residual <= 0.5 * before {
                self.histories[c.id].restart();
                let at = self.range(s);
                self.p[at.clone()].copy_from_slice(&self.q[at]);
                continue;
            }
            c.stop = match claim {
                _ if again => CgStop::Stagnated,
                CgStop::Tolerance if !near => c.stop,
                claim => claim,
            };
            self.settle(s);
        }
        Ok(())
    }

    /// `r <- b - (A + shift I)x` and `q <- P⁻¹r` for the open columns.
    fn residuals(&mut self, system: &System<'_, T>, b: MatRef<'_, T>) -> Result<()> {
        let len = self.n * self.open;
        system.apply(&self.x[..len], &mut self.q[..len])?;
        for s in 0..self.open {
            let (start, c) = (s * self.n, &self.columns[s]);
            let down = Rescale::by(-c.exponent);
            for i in 0..self.n {
                let rhs = down.value(b[(i, c.id)].to_f64());
                self.r[start + i] = T::of(rhs - self.q[start + i].to_f64());
            }
        }
        system.precondition(&self.r[..len], &mut self.q[..len])
    }

    fn range(&self, s: usize) -> std::ops::Range<usize> {
        s * self.n..(s + 1) * self.n
    }

    /// Takes slot s out of the live ones.
    fn retire(&mut self, s: usize) {
        self.live -= 1;
        self.swap(s, self.live);
    }

    /// Takes slot s out of the open ones, its result final.
    fn settle(&mut self, s: usize) {
        self.retire(s);
        self.open -= 1;
        self.swap(self.live, self.open);
    }

    fn swap(&mut self, s: usize, t: usize) {
        if s == t {
            return;
        }
        self.columns.swap(s, t);
        let (low, high) = (s.min(t) * self.n, s.max(t) * self.n);
        for buffer in [&mut self.x, &mut self.r, &mut self.p] {
            let (head, tail) = buffer.split_at_mut(high);
            head[low..low + self.n].swap_with_slice(&mut tail[..self.n]);
        }
    }

    pub(super) fn report(&self, id: usize, b: MatRef<'_, T>) -> CgReport {
        let s = self.slot(id);
        let c = &self.columns[s];
        let (x, r) = (&self.x[self.range(s)], &self.r[self.range(s)]);
        let down = Rescale::by(-c.exponent);
        let slope: f64 = (0..self.n)
            .map(|i| down.value(b[(i, id)].to_f64()) * x[i].to_f64())
            .sum();
        let up = Rescale::by(c.exponent);
        CgReport {
            iterations: c.iterations,
            residual: if c.rhs > 0.0 { c.residual / c.rhs } else { 0.0 },
            rhs_norm: up.value(c.rhs),
            stop: c.stop,
            ritz: self.histories[c.id].extremes(),
            curvature: up.value(up.value(slope - dot(r, x))),
            slope: up.value(up.value(slope)),
            direction_curvature: c.direction_curvature,
        }
    }
}

impl Column {
    fn new(id: usize, exponent: i32, options: &CgOptions) -> Self {
        let radius = options.radius.unwrap_or(f64::INFINITY);
        Self {
            id,
            exponent,
            rhs: 0.0,
            target: 0.0,
            energy_target: 0.0,
            rz: 0.0,
            alpha: 0.0,
            steepest: 0.0,
            residual: 0.0,
            measured: f64::INFINITY,
            radius: Rescale::by(-exponent).value(radius),
            xx: 0.0,
            xp: 0.0,
            pp: 0.0,
            iterations: 0,
            stop: CgStop::Tolerance,
            direction_curvature: None,
        }
    }

    fn absolute(&self, options: &CgOptions) -> f64 {
        Rescale::by(-self.exponent).value(options.absolute)
    }

    /// The positive τ with ‖x + τp‖ = radius in the norm of P.
    fn boundary_step(&self) -> f64 {
        let gap = self.radius * self.radius - self.xx;
        let root = self.xp.mul_add(self.xp, self.pp * gap).max(0.0).sqrt();
        // The form without cancellation.
        if self.xp > 0.0 {
            gap / (self.xp + root)
        } else {
            (root - self.xp) / self.pp
        }
    }

    /// Is the residual small enough? Ritz values only spread, so the last energy target bounds the next from above.
    fn reached(&mut self, options: &CgOptions, history: &History) -> bool {
        if self.residual <= self.target {
            return true;
        }
        let Some(energy) = options.energy else {
            return false;
        };
        let bound = if self.energy_target > 0.0 {
            self.energy_target
        } else {
            energy * self.rhs
        };
        if self.residual > bound {
            return false;
        }
        let Some((low, high)) = history.extremes() else {
            return false;
        };
        self.energy_target = energy * (low / high).sqrt() * self.rhs;
        // A few Ritz values show little of the spectrum.
        let trust = if self.iterations < FEW { 0.03 } else { 1.0 };
        self.residual <= trust * self.energy_target
    }
}

/// A product that is not finite is an error that says whose it is.
fn finite(value: f64, whose: &str, iteration: usize) -> Result<f64> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(Error::new(
        ErrorKind::NonFinite,
        format!(
            "{whose} gave a product that is not finite in iteration {iteration} of conjugate gradients"
        ),
    ))
}

fn norm2_of_column<T: Scalar>(b: MatRef<'_, T>, j: usize) -> f64 {
    (0..b.nrows()).fold(0.0, |m: f64, i| m.max(b[(i, j)].to_f64().abs()))
}
