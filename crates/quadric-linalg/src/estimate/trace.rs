//! Traces, with intervals, to a wanted accuracy or for a number of products.

use super::eigenspace::{Deflated, Eigenspace};
use super::hutch_plus_plus::HutchPlusPlus;
use super::hutchinson::Hutchinson;
use super::probe::Samples;
use super::student::student_half;
use super::xnystrace::XNysTrace;
use super::xtrace::XTrace;
use super::{Estimate, Probe, check, check_block, check_level};
use crate::random::SeedTree;
use crate::{Error, ErrorKind, LinearOperator, Result, Scalar};
use std::ops::Range;

/// How to come to a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceMethod {
    /// [`TraceMethod::XNysTrace`] for operators known to be positive semidefinite and [`TraceMethod::XTrace`] for others; after
    /// 20 products with [`TraceMethod::Hutchinson`] instead, if its interval would be no wider by now, as it is for flat spectra.
    #[default]
    Auto,
    /// The mean of quadratic forms, even where n products would give the exact trace; all others go over to that.
    Hutchinson,
    /// A third of the products for the large part, the others for the rest; at least 30.
    HutchPlusPlus,
    /// Every test vector for both; two products each, at least 20.
    XTrace,
    /// The same for operators known to be positive semidefinite; one product each, at least 20.
    XNysTrace,
    /// The sum of the diagonal, by n products.
    Exact,
}

/// How a trace is estimated.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceOptions {
    /// The method.
    pub method: TraceMethod,
    /// Probes of [`TraceMethod::Hutchinson`] and [`TraceMethod::HutchPlusPlus`]. The other methods are made for the sphere.
    pub probe: Probe,
    /// Stop when half the length of the interval is at most this part of the estimate; 0 spends all products.
    pub target: f64,
    /// The probability with which the interval shall contain the trace.
    pub level: f64,
    /// Products with single vectors at most. Where that is at least n, the trace may become exact.
    pub max_products: usize,
    /// Vectors per product.
    pub block: usize,
    /// Ranges of coordinates, such as the layers of a network, whose diagonal blocks get a trace each, by the quadratic forms
    /// zᵀHz restricted to them; no further product is needed.
    pub parts: Vec<Range<usize>>,
}

impl Default for TraceOptions {
    /// One per cent at 95 %, with at most 1,000 products.
    fn default() -> Self {
        Self {
            method: TraceMethod::Auto,
            probe: Probe::Rademacher,
            target: 1e-2,
            level: 0.95,
            max_products: 1000,
            block: 16,
            parts: Vec::new(),
        }
    }
}

impl TraceOptions {
    fn validate(&self, n: usize) -> Result<()> {
        check_level(self.level)?;
        check_block(self.block)?;
        if self.target.is_nan() || self.target < 0.0 {
            return Err(Error::argument(
                "target",
                self.target,
                "a number of at least 0",
            ));
        }
        if self.max_products == 0 {
            return Err(Error::argument("max_products", 0, "at least 1"));
        }
        for part in &self.parts {
            if part.start > part.end || part.end > n {
                let found = format!("{}..{}", part.start, part.end);
                let expected = format!("ranges within 0..{n}");
                return Err(Error::argument("parts", found, &expected));
            }
        }
        Ok(())
    }
}

/// A trace.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceReport {
    /// The trace of the operator.
    pub total: Estimate,
    /// The trace of each of [`TraceOptions::parts`].
    pub parts: Vec<Estimate>,
    /// Products with single vectors that were spent.
    pub products: usize,
    /// The diagonal was summed: there is no error but rounding.
    pub exact: bool,
    /// The interval is as short as was asked for; if not, the products ended before.
    pub met: bool,
    /// The method that gave the estimate.
    pub method: TraceMethod,
}

/// An estimate that more products make better.
pub(super) trait Estimator<T> {
    /// Goes on to this number of products, or as many below it as come in one piece.
    fn grow(&mut self, op: &dyn LinearOperator<T>, products: usize) -> Result<()>;
    /// Products so far.
    fn products(&self) -> usize;
    /// Fewer products give no interval.
    fn least(&self) -> usize;
    /// Products come in multiples of this.
    fn granularity(&self) -> usize;
    /// Products, those so far included, after which to look again at an interval that is `excess` times too long.
    fn plan(&self, excess: f64) -> f64;
    /// The trace.
    fn total(&self, level: f64) -> Result<Estimate>;
    /// The quadratic forms of its probes.
    fn samples(&self) -> &Samples;
    /// How many of these were there at the first look.
    fn pilot(&self) -> usize {
        0
    }
}

/// Products before the first look of Hutchinson's estimate, so that the spread is known.
const PILOT: usize = 32;
/// Products before the first look of the other methods.
const FIRST: usize = 20;

/// The trace of a symmetric operator (n, n).
///
/// ```
/// use quadric_linalg::algebra::Diagonal;
/// use quadric_linalg::estimate::{TraceOptions, trace};
/// use quadric_linalg::random::SeedTree;
///
/// let op = Diagonal((1..=500).map(|i| f64::from(i).powi(-2)).collect());
/// let report = trace(&op, &TraceOptions::default(), SeedTree::new(0))?;
/// assert!(report.met && report.products < 100);
/// assert!(report.total.contains(1.642_936_065));
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
///
/// # Errors
/// An operator that is not square, not known to be symmetric or random, one not known to be positive semidefinite for
/// [`TraceMethod::XNysTrace`], options out of range, fewer products than a method needs, products that are not finite, no
/// memory, and those of the operator.
pub fn trace<T: Scalar>(
    op: &dyn LinearOperator<T>,
    options: &TraceOptions,
    seed: SeedTree,
) -> Result<TraceReport> {
    let n = check(op)?;
    options.validate(n)?;
    estimate(op, 0.0, options, seed)
}

/// As [`trace`], where some eigenpairs are known: they count exactly, and the rest is estimated.
///
/// # Errors
/// As [`trace`], and eigenvectors of another length.
pub fn deflated_trace<T: Scalar>(
    op: &dyn LinearOperator<T>,
    known: &Eigenspace<T>,
    options: &TraceOptions,
    seed: SeedTree,
) -> Result<TraceReport> {
    let n = check(op)?;
    options.validate(n)?;
    known.check(n)?;
    let sum: f64 = known.values().iter().sum();
    let rest = Deflated { op, known };
    let mut report = estimate(&rest, sum, options, seed)?;
    let add = |e: &mut Estimate, v: f64| {
        (e.value, e.low, e.high) = (e.value + v, e.low + v, e.high + v);
    };
    add(&mut report.total, sum);
    for (part, estimate) in options.parts.iter().zip(&mut report.parts) {
        for (j, value) in known.values().iter().enumerate() {
            let vector = known.vectors().subrows(part.start, part.len()).col(j);
            let share: f64 = vector.iter().map(|v| v.to_f64().powi(2)).sum();
            add(estimate, value * share);
        }
    }
    Ok(report)
}

/// The trace of `op`, to an accuracy relative to its sum with `known`.
fn estimate<T: Scalar>(
    op: &dyn LinearOperator<T>,
    known: f64,
    options: &TraceOptions,
    seed: SeedTree,
) -> Result<TraceReport> {
    let (n, max) = (op.shape().0, options.max_products);
    let all = options.method == TraceMethod::Exact;
    if all && max < n {
        let expected = format!("at least n = {n} for an exact trace");
        return Err(Error::argument("max_products", max, &expected));
    }
    let switch = n == 0 || options.method != TraceMethod::Hutchinson;
    if all || (switch && n <= max && (n <= FIRST || options.target == 0.0)) {
        return exact(op, options, 0);
    }
    let run = Run { op, known, options };
    let hutchinson = || Box::new(Hutchinson::new(options, seed));
    match options.method {
        TraceMethod::Hutchinson => run.go(options.method, hutchinson(), PILOT),
        TraceMethod::HutchPlusPlus => {
            let method = Box::new(HutchPlusPlus::new(n, options, seed));
            run.go(options.method, method, 30)
        }
        TraceMethod::XTrace => run.go(
            options.method,
            Box::new(XTrace::new(n, options, seed)),
            FIRST,
        ),
        TraceMethod::XNysTrace if !op.properties().psd => Err(Error::new(
            ErrorKind::Capability,
            "XNysTrace needs an operator known to be positive semidefinite",
        )),
        TraceMethod::XNysTrace => run.go(
            options.method,
            Box::new(XNysTrace::new(n, options, seed)),
            FIRST,
        ),
        _ if max < FIRST || n <= FIRST => run.go(TraceMethod::Hutchinson, hutchinson(), PILOT),
        _ => run.choose(seed),
    }
}

/// The sum of the diagonal; `spent` products came before.
fn exact<T: Scalar>(
    op: &dyn LinearOperator<T>,
    options: &TraceOptions,
    spent: usize,
) -> Result<TraceReport> {
    let n = op.shape().0;
    let diagonal = super::diagonal::exact(op, options.block)?;
    let parts = options.parts.iter();
    Ok(TraceReport {
        total: representable(Estimate::exact(diagonal.iter().sum()))?,
        parts: parts
            .map(|part| Estimate::exact(diagonal[part.clone()].iter().sum()))
            .collect(),
        products: spent + n,
        exact: true,
        met: true,
        method: TraceMethod::Exact,
    })
}

/// Refuses a trace that overflows, although the products do not.
fn representable(total: Estimate) -> Result<Estimate> {
    if total.low.is_finite() && total.high.is_finite() {
        return Ok(total);
    }
    Err(Error::new(
        ErrorKind::NonFinite,
        format!("the trace is {:e}, which is too large", total.value),
    ))
}

struct Run<'a, T> {
    op: &'a dyn LinearOperator<T>,
    known: f64,
    options: &'a TraceOptions,
}

impl<T: Scalar> Run<'_, T> {
    /// From the first look to the last.
    fn go(
        &self,
        method: TraceMethod,
        mut estimator: Box<dyn Estimator<T> + '_>,
        first: usize,
    ) -> Result<TraceReport> {
        let max = self.most(method);
        if max < estimator.least() {
            return Err(Error::argument(
                "max_products",
                self.options.max_products,
                &format!(
                    "at least {} for {method:?}, and n above that",
                    estimator.least()
                ),
            ));
        }
        let first = if self.options.target == 0.0 {
            max
        } else {
            first
        };
        estimator.grow(self.op, first.min(max))?;
        self.go_on(method, estimator, 0)
    }

    /// Products that a method can use: the test vectors of those that catch a part of the operator are fewer than n.
    fn most(&self, method: TraceMethod) -> usize {
        let (n, max) = (self.op.shape().0, self.options.max_products);
        match method {
            TraceMethod::Hutchinson => max,
            TraceMethod::HutchPlusPlus => max.min(3 * (n - 1)),
            _ => max.min(n - 1),
        }
    }

    /// Grows the estimate until it is good enough; `spent` products came before it.
    fn go_on(
        &self,
        method: TraceMethod,
        mut estimator: Box<dyn Estimator<T> + '_>,
        spent: usize,
    ) -> Result<TraceReport> {
        let (n, options) = (self.op.shape().0, self.options);
        let max = self.most(method).min(options.max_products - spent);
        loop {
            let total = representable(estimator.total(options.level)?)?;
            let used = estimator.products();
            let met = self.is_met(&total);
            let planned = estimator.plan(self.excess(&total));
            let affordable = spent + used + n <= options.max_products;
            let switch = options.method != TraceMethod::Hutchinson && planned >= n as f64;
            if !met && affordable && switch {
                return exact(self.op, options, spent + used);
            }
            if met || used + estimator.granularity() > max {
                return Ok(TraceReport {
                    total,
                    parts: estimator.samples().parts(estimator.pilot(), options.level),
                    products: spent + used,
                    exact: false,
                    met,
                    method,
                });
            }
            let least = used + estimator.granularity();
            let next = if options.target > 0.0 && planned < max as f64 {
                planned as usize
            } else {
                max
            };
            estimator.grow(self.op, next.max(least))?;
        }
    }

    fn is_met(&self, total: &Estimate) -> bool {
        total.half_width() <= self.options.target * (self.known + total.value).abs()
    }

    /// How many times the interval is too long.
    fn excess(&self, total: &Estimate) -> f64 {
        let wanted = self.options.target * (self.known + total.value).abs();
        total.half_width() / wanted.max(f64::MIN_POSITIVE)
    }

    /// A method that catches the large part of the operator, or, where there is none to catch, Hutchinson's.
    fn choose(&self, seed: SeedTree) -> Result<TraceReport> {
        let (n, options) = (self.op.shape().0, self.options);
        let (method, mut estimator): (_, Box<dyn Estimator<T>>) = if self.op.properties().psd {
            let estimator = XNysTrace::new(n, options, seed);
            (TraceMethod::XNysTrace, Box::new(estimator))
        } else {
            (TraceMethod::XTrace, Box::new(XTrace::new(n, options, seed)))
        };
        estimator.grow(self.op, FIRST)?;
        let total = estimator.total(options.level)?;
        let left = options.max_products - FIRST;
        if self.is_met(&total) || left < PILOT {
            return self.go_on(method, estimator, 0);
        }
        // The quadratic forms of the test vectors tell the interval that Hutchinson's would have after as many products.
        let forms = estimator.samples();
        let share = forms.count() as f64 / estimator.products() as f64;
        let plain = student_half(&forms.totals, 0, options.level) * share.sqrt();
        if total.half_width() < plain {
            return self.go_on(method, estimator, 0);
        }
        let mut estimator: Box<dyn Estimator<T>> = Box::new(Hutchinson::new(options, seed));
        let first = if options.target == 0.0 { left } else { PILOT };
        estimator.grow(self.op, first)?;
        self.go_on(TraceMethod::Hutchinson, estimator, FIRST)
    }
}
