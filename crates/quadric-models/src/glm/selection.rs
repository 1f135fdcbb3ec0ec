//! How strong the penalty should be: a path of strengths, judged on rows that were held out.
//!
//! Every fold walks the path from the strongest penalty to the weakest, each fit starting from the last optimum. All folds
//! share the coordinates of the whole data set, so an optimum of one is a start of another. As long as whoever fits wants
//! it so, the folds (of all classes, where each has a model against the rest) walk together, as the columns of one batch.

use super::{Glm, GlmBatch};
use crate::Loss;
use quadric_core::{Counts, Error, Outcome, Result, Scalar, Status};
use std::sync::Arc;

/// One strength of the penalty and how its models did on rows that they had not seen.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOut {
    /// The strength.
    pub l2: f64,
    /// Weighted mean loss over all rows, each under the model that had not seen it, added up over the models of the classes
    /// where each has its own; the penalty is no part of it.
    pub loss: f64,
    /// Standard error of the folds' mean losses about their mean.
    pub standard_error: f64,
    /// Weighted share of the rows classified right; `None` where the target is no class.
    pub accuracy: Option<f64>,
    /// The fits behind it.
    pub folds: Vec<FoldFit>,
}

/// The fit without one fold, or the fits of all classes.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldFit {
    /// Weighted mean loss over the fold.
    pub loss: f64,
    /// Weighted share of the fold classified right.
    pub accuracy: Option<f64>,
    /// How the fit ended, of several the first that did not converge.
    pub status: Status,
    /// The steps.
    pub iterations: u64,
    /// The passes over the data.
    pub passes: f64,
    /// The wall-clock time.
    pub seconds: f64,
}

/// What a cross-validation needs to know of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted<T> {
    /// The point.
    pub x: Vec<T>,
    /// How the run ended, for every column of a batch.
    pub status: Vec<Status>,
    /// Its steps.
    pub iterations: u64,
    /// Its evaluations.
    pub counts: Counts,
    /// Its wall-clock time.
    pub seconds: f64,
}

impl<T: Scalar> From<Outcome<T>> for Fitted<T> {
    fn from(o: Outcome<T>) -> Self {
        let status = if o.columns.is_empty() {
            vec![o.status]
        } else {
            o.columns.iter().map(|column| column.status).collect()
        };
        Self {
            x: o.x,
            status,
            iterations: o.iterations,
            counts: o.counts,
            seconds: o.elapsed.as_secs_f64(),
        }
    }
}

/// Makes the fits of a cross-validation. A function from a problem and a start to an [`Outcome`] fits every fold alone.
pub trait Fits<T: Scalar> {
    /// Minimises a problem from a start.
    ///
    /// # Errors
    /// Whatever forbids the fit, or ends the cross-validation.
    fn alone(&mut self, problem: &Glm<T>, start: Vec<T>) -> Result<Fitted<T>>;

    /// Minimises the folds of one strength (of all classes) together, as far as that is worth it: if a column has not converged, each fold
    /// goes on alone from here, for this strength and all weaker ones. `None` if it is not worth it at all.
    ///
    /// # Errors
    /// Those of [`Fits::alone`].
    fn together(&mut self, _folds: &GlmBatch<T>, _start: Vec<T>) -> Result<Option<Fitted<T>>> {
        Ok(None)
    }
}

impl<T: Scalar, F: FnMut(&Glm<T>, Vec<T>) -> Result<Outcome<T>>> Fits<T> for F {
    fn alone(&mut self, problem: &Glm<T>, start: Vec<T>) -> Result<Fitted<T>> {
        Ok(self(problem, start)?.into())
    }
}

/// Strengths of a path, at most.
const LONGEST: usize = 60;
/// The ends of a path, relative to the largest and smallest curvature of the loss along a column.
const ENDS: (f64, f64) = (10.0, 1e-6);

impl<T: Scalar> Glm<T> {
    /// The problem with some of the rows only, in the coordinates of the whole, so that unknowns mean the same.
    ///
    /// # Errors
    /// No rows, or rows out of range.
    pub fn subset(&self, rows: &[usize]) -> Result<Self> {
        self.check_rows(rows)?;
        let mut samples = self.samples.select(rows);
        samples.norm = 1.0 / samples.weights.iter().sum::<f64>();
        let mut design = self.design.select(rows);
        design.prepare(samples.outputs());
        Ok(self.with(design, Arc::new(samples)))
    }

    /// Sets the strength of the penalty; the coordinates stay as they are.
    ///
    /// # Errors
    /// A strength that is negative or not finite.
    pub fn set_l2(&mut self, l2: f64) -> Result<()> {
        if !(l2 >= 0.0 && l2.is_finite()) {
            return Err(Error::argument("l2", l2, "a finite number of at least 0"));
        }
        self.l2 = l2;
        Ok(())
    }

    /// The weighted mean loss at the unknowns `x`, without the penalty.
    ///
    /// # Errors
    /// Another number of unknowns.
    pub fn mean_loss(&self, x: &[T]) -> Result<f64> {
        self.check(x, "the point")?;
        Ok(self.samples.value(&self.products(x), &[]))
    }

    /// The weighted share of the rows that the model `x` classifies right; `None` where the target is no class.
    ///
    /// # Errors
    /// Another number of unknowns.
    pub fn accuracy(&self, x: &[T]) -> Result<Option<f64>> {
        self.check(x, "the point")?;
        if !matches!(self.samples.loss, Loss::Logistic | Loss::Softmax) {
            return Ok(None);
        }
        Ok(Some(self.samples.hits(&self.products(x))))
    }

    /// Strengths 1, 3, 10, 30 ... times a power of ten, falling, from one that leaves almost nothing of the model to one that the
    /// data outweigh in every column; powers of ten only where columns differ so much that these would be very many.
    pub fn l2_path(&self) -> Vec<f64> {
        let bend = self.samples.typical_curvature();
        // A column's scale is near one over its spread.
        let scales = self.design.frame.raw_scale().iter();
        let (low, high) = scales.fold((f64::INFINITY, 0.0f64), |(low, high), scale| {
            let curvature = (bend / scale) / scale;
            (low.min(curvature), high.max(curvature))
        });
        let decade = |v: f64| v.log10().clamp(-150.0, 150.0);
        let last = decade(ENDS.1 * low.min(high)).floor() as i32;
        let first = (decade(ENDS.0 * high).ceil() as i32).max(last + 1);
        let leading: &[&str] = if 2 * (first - last) as usize > LONGEST {
            &["1"]
        } else {
            &["3", "1"]
        };
        let strengths = (last..=first).rev().flat_map(|decade| {
            let read = move |digit: &&str| format!("{digit}e{decade}").parse().ok();
            leading.iter().filter_map(read)
        });
        strengths.collect()
    }

    /// Judges the strengths `path` on rows held out: `fold` says for each row of positive weight to which fold it belongs.
    /// The loss of a fit's result counts, whatever its status.
    ///
    /// # Errors
    /// A fold for another number of rows, fewer than two folds, an empty one, strengths out of range, and those of `fits`.
    pub fn cross_validate(
        &self,
        path: &[f64],
        fold: &[usize],
        fits: &mut dyn Fits<T>,
    ) -> Result<Vec<HeldOut>> {
        cross_validate(std::slice::from_ref(self), path, fold, fits)
    }
}

/// Judges models of the same rows as one: a single model, or those of the classes against the rest.
pub(super) fn cross_validate<T: Scalar>(
    models: &[Glm<T>],
    path: &[f64],
    fold: &[usize],
    fits: &mut dyn Fits<T>,
) -> Result<Vec<HeldOut>> {
    let n = models[0].samples.len();
    if fold.len() != n {
        return Err(Error::shape("the folds", fold.len(), n));
    }
    let count = fold.iter().max().map_or(0, |most| most + 1);
    if count < 2 {
        return Err(Error::argument("folds", count, "at least 2"));
    }
    let part = |held: usize, inside: bool| -> Result<Vec<Glm<T>>> {
        let parts = models.iter();
        parts
            .map(|m| m.only(|i| (fold[i] == held) == inside))
            .collect()
    };
    let folds: Result<Vec<Fold<T>>> = (0..count)
        .map(|held| {
            let train = part(held, false)?;
            Ok(Fold {
                x: train.iter().map(Glm::start).collect(),
                train,
                test: part(held, true)?,
            })
        })
        .collect();
    let mut folds = folds?;
    let mut points: Vec<Vec<FoldFit>> = vec![Vec::with_capacity(count); path.len()];
    let first = walk_together(path, &mut folds, fits, &mut points)?;
    for (held, fold_of_rows) in folds.iter_mut().enumerate() {
        if first == path.len() {
            break;
        }
        let rows: Vec<usize> = (0..n).filter(|&i| fold[i] != held).collect();
        fold_of_rows.train = subsets(models, &rows)?;
        for (l2, point) in path.iter().zip(&mut points).skip(first) {
            point.push(fold_of_rows.alone(*l2, fits)?);
        }
    }
    let weights = folds.iter().map(|fold| &fold.test[0].samples.weights);
    let weights: Vec<f64> = weights.map(|w| w.iter().sum()).collect();
    let points = path.iter().zip(points);
    Ok(points
        .map(|(l2, folds)| HeldOut::of(*l2, folds, &weights))
        .collect())
}

/// [`Glm::subset`] of models that share their data.
fn subsets<T: Scalar>(models: &[Glm<T>], rows: &[usize]) -> Result<Vec<Glm<T>>> {
    let first = models[0].subset(rows)?;
    let rest = models[1..].iter().map(|model| {
        let mut samples = model.samples.select(rows);
        samples.norm = first.samples.norm;
        model.with(first.design.clone(), Arc::new(samples))
    });
    let rest: Vec<Glm<T>> = rest.collect();
    Ok(std::iter::once(first).chain(rest).collect())
}

/// The models of one fold.
struct Fold<T: Scalar> {
    /// Without the fold's rows.
    train: Vec<Glm<T>>,
    /// With them only.
    test: Vec<Glm<T>>,
    /// Where they stand.
    x: Vec<Vec<T>>,
}

impl<T: Scalar> Fold<T> {
    /// Fits the models one after another.
    fn alone(&mut self, l2: f64, fits: &mut dyn Fits<T>) -> Result<FoldFit> {
        let (mut status, mut iterations) = (Status::Converged, 0);
        let (mut passes, mut seconds) = (0.0, 0.0);
        for (model, x) in self.train.iter_mut().zip(&mut self.x) {
            model.set_l2(l2)?;
            let fitted = fits.alone(model, std::mem::take(x))?;
            *x = fitted.x;
            status = first_failure([status, fitted.status[0]]);
            iterations += fitted.iterations;
            passes += fitted.counts.passes;
            seconds += fitted.seconds;
        }
        let (loss, accuracy) = self.judge()?;
        Ok(FoldFit {
            loss,
            accuracy,
            status,
            iterations,
            passes,
            seconds,
        })
    }

    /// Loss and accuracy on the rows held out.
    fn judge(&self) -> Result<(f64, Option<f64>)> {
        let mut loss = 0.0;
        for (model, x) in self.test.iter().zip(&self.x) {
            loss += model.mean_loss(x)?;
        }
        let accuracy = match (self.test.as_slice(), self.x.as_slice()) {
            ([model], [x]) => model.accuracy(x)?,
            (models, x) => Some(hits_of_classes(models, x)),
        };
        Ok((loss, accuracy))
    }
}

fn first_failure(ends: impl IntoIterator<Item = Status>) -> Status {
    let mut failures = ends.into_iter().filter(|s| *s != Status::Converged);
    failures.next().unwrap_or(Status::Converged)
}

/// The weighted share of the rows whose own class, of one model each, has the largest predictor, the first of equals.
fn hits_of_classes<T: Scalar>(models: &[Glm<T>], x: &[Vec<T>]) -> f64 {
    let products = models.iter().zip(x).map(|(model, x)| model.products(x));
    let products: Vec<_> = products.collect();
    let samples = &models[0].samples;
    let is_hit = |i: usize| {
        let predictor = |c: usize| products[c][i].to_f64();
        let best = (1..models.len()).fold(0, |best, c| {
            if predictor(c) > predictor(best) {
                c
            } else {
                best
            }
        });
        models[best].samples.real(i) > 0.0
    };
    let hits = samples.weighted_rows().filter(|i| is_hit(*i));
    samples.norm * hits.map(|i| samples.weights.get(i)).sum::<f64>()
}

/// Walks down the path with all folds at once, as far as that goes. Returns the first strength that remains.
fn walk_together<T: Scalar>(
    path: &[f64],
    folds: &mut [Fold<T>],
    fits: &mut dyn Fits<T>,
    points: &mut [Vec<FoldFit>],
) -> Result<usize> {
    let each = folds[0].train.len();
    for (at, l2) in path.iter().enumerate() {
        let models = folds.iter().flat_map(|fold| &fold.train);
        let models: Result<Vec<_>> = models.map(|model| model.with_l2(*l2)).collect();
        let batch = GlmBatch::new(models?)?;
        let starts = folds.iter().flat_map(|fold| fold.x.concat());
        let Some(fitted) = fits.together(&batch, starts.collect())? else {
            return Ok(at);
        };
        for (c, x) in folds.iter_mut().flat_map(|fold| &mut fold.x).enumerate() {
            x.copy_from_slice(&fitted.x[batch.range(c)]);
        }
        if first_failure(fitted.status.iter().copied()) != Status::Converged {
            return Ok(at);
        }
        // Passes and time of a batch are shared.
        let share = each as f64 / fitted.status.len() as f64;
        for fold in &*folds {
            let (loss, accuracy) = fold.judge()?;
            points[at].push(FoldFit {
                loss,
                accuracy,
                status: Status::Converged,
                iterations: fitted.iterations,
                passes: fitted.counts.passes * share,
                seconds: fitted.seconds * share,
            });
        }
    }
    Ok(path.len())
}

impl HeldOut {
    fn of(l2: f64, folds: Vec<FoldFit>, weights: &[f64]) -> Self {
        let total: f64 = weights.iter().sum();
        let mean = |of: &dyn Fn(&FoldFit) -> f64| {
            let parts = folds.iter().zip(weights);
            parts.map(|(fold, w)| w * of(fold)).sum::<f64>() / total
        };
        let loss = mean(&|fold| fold.loss);
        let accuracy = folds[0]
            .accuracy
            .map(|_| mean(&|fold| fold.accuracy.unwrap_or(0.0)));
        let count = folds.len() as f64;
        let centre = folds.iter().map(|f| f.loss).sum::<f64>() / count;
        let square: f64 = folds.iter().map(|f| (f.loss - centre).powi(2)).sum();
        Self {
            l2,
            loss,
            standard_error: (square / (count - 1.0) / count).sqrt(),
            accuracy,
            folds,
        }
    }

    /// The strength with the least loss, the strongest of equals; `None` where no loss is finite.
    pub fn best(points: &[Self]) -> Option<&Self> {
        let finite = points.iter().filter(|p| p.loss.is_finite());
        finite.reduce(|best, p| {
            let better = p.loss < best.loss || (p.loss == best.loss && p.l2 > best.l2);
            if better { p } else { best }
        })
    }
}
