//! The samples' side of a linear model: what targets, weights and the loss make of the linear predictors.
//!
//! Predictors come as products `U = Z V`, (n, k) row after row with k = 1, or K - 1 for softmax of K classes (see
//! [`Contrast`]), plus an optional `lift` that is added to every row. Sums run over fixed ranges of rows in f64.

use super::contrast::Contrast;
use super::curve::{Curve, SMALL, with_curve};
use super::numbers::Numbers;
use crate::Loss;
use quadric_core::Scalar;
use quadric_linalg::math::{exp, exp_all, weigh, weigh_all, weighted_sum};
use quadric_linalg::parallel::{for_each, map, map_ranges, ranges, tree_sum};
use std::ops::Range;

/// Rows per task.
const ROWS: usize = 2048;

/// Rows whose elementary functions are computed together.
pub(super) const BLOCK: usize = 256;

/// Classes whose exponentials are computed together.
const CLASSES: usize = 32;

/// Entry c of the lift; an empty one is zero.
#[inline(always)]
fn at(lift: &[f64], c: usize) -> f64 {
    if lift.is_empty() { 0.0 } else { lift[c] }
}

/// `out <- u + lift`.
fn lifted<T: Scalar>(u: &[T], lift: f64, out: &mut [f64]) {
    for (o, u) in out.iter_mut().zip(u) {
        *o = u.to_f64() + lift;
    }
}

/// Subtracts the largest predictor from all.
fn lower(eta: &mut [f64]) {
    let top = eta.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    eta.iter_mut().for_each(|e| *e -= top);
}

/// `e <- exp(e)`.
fn exp_in_place(e: &mut [f64]) {
    let mut from = [0.0; CLASSES];
    for e in e.chunks_mut(CLASSES) {
        let from = &mut from[..e.len()];
        from.copy_from_slice(e);
        exp_all(from, e);
    }
}

/// Targets as the loss wants them.
#[derive(Clone, Debug)]
pub(crate) enum Targets {
    /// A number per sample: the target, or -1 and +1 for two classes.
    Real(Numbers),
    /// The index of the class.
    Class(Vec<u32>),
}

/// Derivatives in a common shift of all predictors.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shifted {
    pub(crate) slope: f64,
    pub(crate) curvature: f64,
    /// The sum of the magnitudes that the slope adds up: what its rounding is relative to.
    pub(crate) magnitude: f64,
}

/// Targets and weights of the samples, and the loss.
#[derive(Clone, Debug)]
pub(crate) struct Samples {
    pub(crate) loss: Loss,
    pub(crate) targets: Targets,
    pub(crate) weights: Numbers,
    /// How many rows of the data each sample stands for; empty where it is one.
    pub(crate) copies: Vec<u32>,
    /// Turns weighted sums into the weighted mean of the whole.
    pub(crate) norm: f64,
    /// For softmax.
    pub(crate) contrast: Contrast,
}

impl Samples {
    pub(crate) fn len(&self) -> usize {
        self.weights.len()
    }

    /// How many rows of the data sample i stands for.
    pub(crate) fn copies(&self, i: usize) -> usize {
        self.copies.get(i).map_or(1, |n| *n as usize)
    }

    /// The rows that count.
    pub(crate) fn weighted_rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.weighted_among(0..self.len())
    }

    pub(crate) fn weighted_among(&self, rows: Range<usize>) -> impl Iterator<Item = usize> + '_ {
        rows.filter(|i| self.weights.get(*i) > 0.0)
    }

    /// The same samples, those that `keep` refuses at weight zero; the mean is over the others.
    pub(crate) fn only(&self, keep: impl Fn(usize) -> bool) -> Self {
        let kept = |i: usize| if keep(i) { self.weights.get(i) } else { 0.0 };
        let weights: Numbers = (0..self.len()).map(kept).collect();
        Self {
            norm: 1.0 / weights.iter().sum::<f64>(),
            weights,
            ..self.clone()
        }
    }

    /// Predictors per sample.
    pub(crate) fn outputs(&self) -> usize {
        match self.loss {
            Loss::Softmax => self.contrast.classes() - 1,
            _ => 1,
        }
    }

    /// Some of the samples, as an estimate of the whole.
    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        let targets = match &self.targets {
            Targets::Real(y) => Targets::Real(rows.iter().map(|&i| y.get(i)).collect()),
            Targets::Class(y) => Targets::Class(rows.iter().map(|&i| y[i]).collect()),
        };
        Self {
            loss: self.loss,
            contrast: self.contrast,
            targets,
            weights: rows.iter().map(|&i| self.weights.get(i)).collect(),
            copies: Vec::new(),
            norm: self.norm * (self.len() as f64 / rows.len().max(1) as f64),
        }
    }

    /// All samples in another order.
    pub(crate) fn ordered(&self, order: &[usize]) -> Self {
        let copies = order.iter().map(|i| self.copies(*i) as u32).collect();
        Self {
            copies,
            norm: self.norm,
            ..self.select(order)
        }
    }

    /// Samples of squared loss and curvature 1 each.
    pub(crate) fn unit(rows: usize) -> Self {
        Self {
            loss: Loss::Squared,
            targets: Targets::Real(Numbers::Same {
                value: 0.0,
                len: rows,
            }),
            weights: Numbers::Same {
                value: 1.0,
                len: rows,
            },
            copies: Vec::new(),
            norm: 1.0,
            contrast: Contrast::new(2),
        }
    }

    pub(crate) fn real(&self, i: usize) -> f64 {
        match &self.targets {
            Targets::Real(y) => y.get(i),
            Targets::Class(y) => f64::from(y[i]),
        }
    }

    pub(crate) fn class(&self, i: usize) -> usize {
        match &self.targets {
            Targets::Real(y) => y.get(i) as usize,
            Targets::Class(y) => y[i] as usize,
        }
    }

    /// Calls `f(rows, targets, predictors)` for blocks of a range of rows, whose elementary functions are computed together;
    /// `u` holds that range only.
    #[inline(always)]
    fn in_blocks<T: Scalar>(
        &self,
        rows: Range<usize>,
        u: &[T],
        lift: f64,
        mut f: impl FnMut(Range<usize>, &[f64], &mut [f64]),
    ) {
        let Targets::Real(targets) = &self.targets else {
            unreachable!("losses of one predictor have real targets");
        };
        let (mut eta, mut room) = ([0.0; BLOCK], targets.room());
        for piece in ranges(rows.len(), BLOCK) {
            let eta = &mut eta[..piece.len()];
            let at_rows = rows.start + piece.start..rows.start + piece.end;
            lifted(&u[piece], lift, eta);
            f(at_rows.clone(), targets.block(at_rows, &mut room), eta);
        }
    }

    /// Calls `f(row, below, exponentials)` for a range of rows of softmax: `below` are the predictors `u + lift` minus the
    /// largest one. `u` holds that range only. Exponentials of several samples are computed together.
    #[inline(always)]
    pub(crate) fn for_classes<T: Scalar>(
        &self,
        rows: Range<usize>,
        u: &[T],
        lift: &[f64],
        mut f: impl FnMut(usize, &[f64], &mut [f64]),
    ) {
        let classes = self.contrast.classes();
        let most = (BLOCK / classes).clamp(1, rows.len().max(1));
        let (mut below, mut e) = (vec![0.0; most * classes], vec![0.0; most * classes]);
        for piece in ranges(rows.len(), most) {
            let entries = piece.len() * classes;
            let (below, e) = (&mut below[..entries], &mut e[..entries]);
            for (i, eta) in piece.clone().zip(below.chunks_exact_mut(classes)) {
                self.predictors(u, lift, i, eta);
                lower(eta);
            }
            exp_all(below, e);
            let samples = below.chunks_exact(classes).zip(e.chunks_exact_mut(classes));
            for (i, (below, e)) in piece.zip(samples) {
                f(rows.start + i, below, e);
            }
        }
    }

    /// Calls `f(rows, losses, slopes)` for blocks of a range of rows; `u` holds that range only.
    #[inline(always)]
    fn for_blocks<T: Scalar>(
        &self,
        curve: impl Curve,
        rows: Range<usize>,
        u: &[T],
        lift: &[f64],
        mut f: impl FnMut(Range<usize>, &[f64], &[f64]),
    ) {
        let (mut value, mut slope) = ([0.0; BLOCK], [0.0; BLOCK]);
        self.in_blocks(rows, u, at(lift, 0), |rows, y, eta| {
            let (value, slope) = (&mut value[..y.len()], &mut slope[..y.len()]);
            curve.values_slopes(y, eta, value, slope);
            f(rows, value, slope);
        });
    }

    /// Sum of `f(range)` over the ranges of rows.
    pub(crate) fn sum(&self, f: impl Fn(Range<usize>) -> f64 + Sync) -> f64 {
        tree_sum(&map_ranges(self.len(), ROWS, |_, rows| f(rows)))
    }

    /// The weighted mean square of the targets.
    pub(crate) fn mean_square(&self) -> f64 {
        let square = |i: usize| weigh(self.weights.get(i), self.real(i).powi(2));
        self.norm * self.sum(|rows| rows.map(square).sum())
    }

    /// The weighted mean loss at predictors `u + lift`.
    pub(crate) fn value<T: Scalar>(&self, u: &[T], lift: &[f64]) -> f64 {
        let total = with_curve!(self.loss, curve => self.sum(|rows| {
            let (mut sum, mut room) = (0.0, self.weights.room());
            self.for_blocks(curve, rows.clone(), &u[rows], lift, |rows, values, _| {
                sum += weighted_sum(self.weights.block(rows, &mut room), values);
            });
            sum
        }), softmax => self.sum(|rows| {
            let k = self.outputs();
            let mut sum = 0.0;
            self.for_classes(rows.clone(), &u[rows.start * k..rows.end * k], lift, |i, below, e| {
                sum += weigh(self.weights.get(i), class_loss(below[self.class(i)], e, self.class(i)));
            });
            sum
        }));
        total * self.norm
    }

    /// Predictors of all classes for sample i.
    #[inline]
    pub(crate) fn predictors<T: Scalar>(&self, u: &[T], lift: &[f64], i: usize, eta: &mut [f64]) {
        let k = eta.len() - 1;
        self.contrast
            .expand(|c| u[i * k + c].to_f64() + at(lift, c), eta);
    }

    /// Weighted derivatives in the predictors for a range of rows; `u` and `r` hold that range only. Returns the weighted
    /// loss of the range, both as parts of the mean.
    pub(crate) fn residuals<T: Scalar>(
        &self,
        rows: Range<usize>,
        u: &[T],
        lift: &[f64],
        r: &mut [T],
    ) -> f64 {
        let start = rows.start;
        let total = with_curve!(self.loss, curve => {
            let (mut sum, mut room) = (0.0, self.weights.room());
            self.for_blocks(curve, rows, u, lift, |rows, values, slopes| {
                let weights = self.weights.block(rows.clone(), &mut room);
                sum += weighted_sum(weights, values);
                let out = &mut r[rows.start - start..rows.end - start];
                weigh_all(weights, self.norm, slopes, out);
            });
            sum
        }, softmax => {
            let k = self.outputs();
            let mut sum = 0.0;
            self.for_classes(rows, u, lift, |i, below, e| {
                let (at, weight) = (i - start, self.weights.get(i) * self.norm);
                sum += weigh(self.weights.get(i), class_loss(below[self.class(i)], e, self.class(i)));
                self.contrast.reduce(e, |c, y| r[at * k + c] = T::of(weigh(weight, y)));
            });
            sum
        });
        total * self.norm
    }

    /// Weighted derivatives of all rows, and the mean loss.
    pub(crate) fn all_residuals<T: Scalar>(&self, u: &[T], lift: &[f64]) -> (Vec<T>, f64) {
        let mut r = vec![T::of(0.0); u.len()];
        let k = self.outputs();
        let pieces = r.chunks_mut(ROWS * k).zip(u.chunks(ROWS * k));
        let losses = map(pieces, |piece, (r, u)| {
            let start = piece * ROWS;
            self.residuals(start..start + r.len() / k, u, lift, r)
        });
        (r, tree_sum(&losses))
    }

    /// Weighted second derivatives (n) for losses of one predictor; the probabilities (n, K) for softmax, without the
    /// weights.
    pub(crate) fn curvatures<T: Scalar>(&self, u: &[T], lift: &[f64]) -> Vec<T> {
        let k = self.outputs();
        let width = if self.loss == Loss::Softmax { k + 1 } else { 1 };
        let mut out = vec![T::of(0.0); self.len() * width];
        for_each(out.chunks_mut(ROWS * width), |piece, out| {
            let start = piece * ROWS;
            with_curve!(self.loss, curve => {
                let rows = start..start + out.len();
                let (mut bend, mut room) = ([0.0; BLOCK], self.weights.room());
                self.in_blocks(rows.clone(), &u[rows], at(lift, 0), |rows, y, eta| {
                    let bend = &mut bend[..y.len()];
                    curve.curvatures(y, eta, bend);
                    let out = &mut out[rows.start - start..rows.end - start];
                    let weights = self.weights.block(rows, &mut room);
                    weigh_all(weights, self.norm, bend, out);
                });
            }, softmax => {
                let rows = start..start + out.len() / width;
                self.for_classes(rows.clone(), &u[rows.start * k..rows.end * k], lift, |i, _, e| {
                    let sum: f64 = e.iter().sum();
                    for (o, e) in out[(i - start) * width..].iter_mut().zip(e) {
                        *o = T::of(*e / sum);
                    }
                });
            });
        });
        out
    }

    /// The derivative in alpha of the mean loss at predictors `u + alpha t`.
    pub(crate) fn slope<T: Scalar>(&self, u: &[T], t: &[T], alpha: f64) -> f64 {
        let total = with_curve!(self.loss, curve => self.sum(|rows| {
            let mut sum = 0.0;
            for i in rows {
                let t = t[i].to_f64();
                sum += weigh(self.weights.get(i), t * curve.slope(self.real(i), u[i].to_f64() + alpha * t));
            }
            sum
        }), softmax => self.sum(|rows| {
            let k = self.contrast.classes();
            let (mut eta, mut step) = (vec![0.0; k], vec![0.0; k]);
            let mut sum = 0.0;
            for i in rows {
                self.predictors(u, &[], i, &mut eta);
                self.predictors(t, &[], i, &mut step);
                for (e, s) in eta.iter_mut().zip(&step) {
                    *e += alpha * s;
                }
                softmax_loss(&mut eta, self.class(i));
                let along: f64 = eta.iter().zip(&step).map(|(y, s)| y * s).sum();
                sum += weigh(self.weights.get(i), along);
            }
            sum
        }));
        total * self.norm
    }

    /// The change of the mean loss when entry e of the predictors `u` rises by `step(e)`, added up sample by sample.
    pub(crate) fn change<T: Scalar>(&self, u: &[T], step: impl Fn(usize) -> f64 + Sync) -> f64 {
        let total = with_curve!(self.loss, curve => self.sum(|rows| {
            let (mut t, mut out) = ([0.0; BLOCK], [0.0; BLOCK]);
            let (mut sum, mut room) = (0.0, self.weights.room());
            self.in_blocks(rows.clone(), &u[rows], 0.0, |rows, y, eta| {
                let (t, out) = (&mut t[..y.len()], &mut out[..y.len()]);
                for (t, i) in t.iter_mut().zip(rows.clone()) {
                    *t = step(i);
                }
                curve.changes(y, eta, t, out);
                sum += weighted_sum(self.weights.block(rows, &mut room), out);
            });
            sum
        }), softmax => self.sum(|rows| {
            let k = self.outputs();
            let mut t = vec![0.0; k + 1];
            let mut sum = 0.0;
            self.for_classes(rows.clone(), &u[rows.start * k..rows.end * k], &[], |i, below, e| {
                self.contrast.expand(|c| step(i * k + c), &mut t);
                sum += weigh(self.weights.get(i), change_of_class(below, e, &mut t, self.class(i)));
            });
            sum
        }));
        total * self.norm
    }

    /// Derivatives of the mean loss in a common shift of all predictors, at `u + shift`; for losses of one predictor.
    pub(crate) fn shifted<T: Scalar>(&self, u: &[T], shift: f64) -> Shifted {
        let parts = with_curve!(self.loss, curve => map_ranges(self.len(), ROWS, |_, rows| {
            let mut part = Shifted::default();
            let (mut slope, mut bend) = ([0.0; BLOCK], [0.0; BLOCK]);
            let mut room = self.weights.room();
            self.in_blocks(rows.clone(), &u[rows], shift, |rows, y, eta| {
                let (slope, bend) = (&mut slope[..y.len()], &mut bend[..y.len()]);
                curve.slopes_curvatures(y, eta, slope, bend);
                let weights = self.weights.block(rows, &mut room);
                part.slope += weighted_sum(weights, slope);
                part.curvature += weighted_sum(weights, bend);
                slope.iter_mut().for_each(|s| *s = s.abs());
                part.magnitude += weighted_sum(weights, slope);
            });
            part
        }), softmax => Vec::new());
        let sum =
            |f: fn(&Shifted) -> f64| self.norm * tree_sum(&parts.iter().map(f).collect::<Vec<_>>());
        Shifted {
            slope: sum(|p| p.slope),
            curvature: sum(|p| p.curvature),
            magnitude: sum(|p| p.magnitude),
        }
    }

    /// The mean of the magnitudes of what the losses add up: larger than the mean loss for the Poisson loss only, which
    /// has terms of both signs.
    pub(crate) fn magnitude<T: Scalar>(&self, u: &[T]) -> f64 {
        if self.loss != Loss::Poisson {
            return self.value(u, &[]).abs();
        }
        let total = self.sum(|rows| {
            rows.map(|i| {
                let u = u[i].to_f64();
                weigh(self.weights.get(i), exp(u) + (self.real(i) * u).abs())
            })
            .sum()
        });
        total * self.norm
    }

    /// The largest move of a predictor among products `t`: the largest magnitude, or for softmax the largest range over
    /// the classes of a sample.
    pub(crate) fn largest_move<T: Scalar>(&self, t: &[T]) -> f64 {
        if self.loss != Loss::Softmax {
            return quadric_core::vector::max_abs(t);
        }
        let mut eta = vec![0.0; self.contrast.classes()];
        (0..self.len()).fold(0.0, |largest: f64, i| {
            self.predictors(t, &[], i, &mut eta);
            let (low, high) = extremes(&eta);
            let range = high - low;
            if range > largest || range.is_nan() {
                range
            } else {
                largest
            }
        })
    }

    /// The curvature of the mean loss in a predictor at a model without coefficients, roughly.
    pub(crate) fn typical_curvature(&self) -> f64 {
        match self.loss {
            Loss::Logistic => 0.25,
            Loss::Softmax => 1.0 / self.contrast.classes() as f64,
            Loss::Poisson => self.mean_target().max(1e-3),
            Loss::Squared | Loss::Huber { .. } | Loss::PseudoHuber { .. } => 1.0,
        }
    }

    /// The weighted share of the samples whose class is the most probable one under the predictors `u`, the first of equals.
    pub(crate) fn hits<T: Scalar>(&self, u: &[T]) -> f64 {
        let mut eta = vec![0.0; self.contrast.classes()];
        let mut hits = 0.0;
        for i in 0..self.len() {
            let right = if self.loss == Loss::Softmax {
                self.predictors(u, &[], i, &mut eta);
                let best =
                    (1..eta.len()).fold(0, |best, c| if eta[c] > eta[best] { c } else { best });
                best == self.class(i)
            } else {
                (u[i].to_f64() > 0.0) == (self.real(i) > 0.0)
            };
            hits += if right { self.weights.get(i) } else { 0.0 };
        }
        self.norm * hits
    }

    /// Weighted mean of the targets.
    pub(crate) fn mean_target(&self) -> f64 {
        self.norm * self.sum(|rows| rows.map(|i| self.weights.get(i) * self.real(i)).sum())
    }
}

/// Smallest and largest value.
pub(crate) fn extremes(v: &[f64]) -> (f64, f64) {
    v.iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
            (low.min(*v), high.max(*v))
        })
}

/// The loss of class y at predictors `eta`; turns the predictors into the derivatives `probability - [c = y]`.
///
/// Loss and derivative of a sample that is almost surely right keep their relative accuracy: neither is a difference.
fn softmax_loss(eta: &mut [f64], y: usize) -> f64 {
    lower(eta);
    let below = eta[y];
    exp_in_place(eta);
    class_loss(below, eta, y)
}

/// The same from the exponentials of the predictors minus the largest one, which become the derivatives; `below` is that of
/// class y before the exponential.
pub(crate) fn class_loss(below: f64, e: &mut [f64], y: usize) -> f64 {
    let rest = e.iter().enumerate().filter(|(c, _)| *c != y);
    let others: f64 = rest.map(|(_, e)| e).sum();
    let sum = others + e[y];
    for e in e.iter_mut() {
        *e /= sum;
    }
    e[y] = -others / sum;
    if below == 0.0 {
        others.ln_1p()
    } else {
        sum.ln() - below
    }
}

/// Turns predictors into probabilities.
pub(crate) fn softmax(eta: &mut [f64]) {
    lower(eta);
    exp_in_place(eta);
    let sum: f64 = eta.iter().sum();
    for e in eta.iter_mut() {
        *e /= sum;
    }
}

/// The change of the loss of class y when predictors rise by `step`, from the predictors minus the largest one and their
/// exponentials; overwrites the last two.
fn change_of_class(below: &[f64], e: &mut [f64], step: &mut [f64], y: usize) -> f64 {
    let own = step[y];
    let largest = step.iter().fold(0.0f64, |m, s| m.max((s - own).abs()));
    if largest >= SMALL {
        for (s, b) in step.iter_mut().zip(below) {
            *s += b;
        }
        return softmax_loss(step, y) - class_loss(below[y], e, y);
    }
    let sum: f64 = e.iter().sum();
    let terms = e.iter().zip(step.iter());
    let terms = terms.map(|(e, s)| e / sum * (s - own).exp_m1());
    terms.sum::<f64>().ln_1p()
}
