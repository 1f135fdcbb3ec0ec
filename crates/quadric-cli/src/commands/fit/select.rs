//! Choosing the penalty on rows that are held out.

use super::Job;
use super::series::Series;
use crate::args::L2;
use crate::commands::solve::Solve;
use crate::console;
use quadric::core::{Driver, Error, ErrorKind, Result, Scalar};
use quadric::data::Dataset;
use quadric::models::{Fitted, Glm, GlmBatch, GlmOptions, HeldOut, Loss, OneVsRest};
use quadric::opt::registry;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// Folds of a cross-validation that nobody asked for by number.
const FOLDS: usize = 5;
/// Held-out losses need no more digits than this gap leaves them.
const TOLERANCE: f64 = 1e-6;

/// The method that fits folds, or classes, together.
pub(super) const TOGETHER: &str = "batched-l-bfgs";

/// What the rows that were held out said.
pub(super) struct Choice {
    /// From the strongest to the weakest.
    points: Vec<HeldOut>,
    folds: usize,
    /// The strength with the least loss.
    pub(super) l2: f64,
    /// What is left of the time limit.
    pub(super) time_left: Option<Duration>,
}

/// What to choose from: given strengths, or `None` for a path of our own. Nothing if there is no choice to make.
pub(super) struct Question {
    strengths: Option<Vec<f64>>,
    folds: usize,
}

impl Question {
    /// The question that these options ask.
    ///
    /// # Errors
    /// A word that is no path, an empty list, strengths out of range.
    pub(super) fn of(l2: Option<&L2>, folds: Option<usize>) -> Result<Option<Self>> {
        let strengths = match (l2, folds) {
            (None | Some(L2::One(_)), None) => return Ok(None),
            (None, Some(_)) => Some(vec![0.0]),
            (Some(L2::One(v)), Some(_)) => Some(vec![*v]),
            (Some(L2::Several(list)), _) if list.is_empty() => {
                return Err(Error::argument(
                    "l2",
                    "an empty list",
                    "at least one number",
                ));
            }
            (Some(L2::Several(list)), _) => {
                let mut list = list.clone();
                list.sort_by(|a, b| b.total_cmp(a));
                Some(list)
            }
            (Some(L2::Word(word)), _) if word == "path" => None,
            (Some(L2::Word(word)), _) => {
                return Err(Error::argument("l2", word, "a number, a list, or `path`"));
            }
        };
        if let Some(bad) = strengths
            .iter()
            .flatten()
            .find(|v| !(**v >= 0.0 && v.is_finite()))
        {
            return Err(Error::argument("l2", bad, "a finite number of at least 0"));
        }
        let folds = folds.unwrap_or(FOLDS);
        Ok(Some(Self { strengths, folds }))
    }

    /// Answers it.
    ///
    /// # Errors
    /// Folds that the rows do not allow, an interrupt, the time limit, and whatever forbids a fit.
    pub(super) fn answer<T: Scalar>(&self, job: Job<'_>) -> Result<Choice> {
        let (plan, data) = (job.plan, job.data);
        let classes = matches!(plan.options.loss, Loss::Logistic | Loss::Softmax);
        let fold = data.folds(self.folds, plan.solve.seed, classes)?;
        let weights = data.weights.as_deref();
        let counts = |i: &usize| weights.is_none_or(|w| w[*i] > 0.0);
        let fold: Vec<usize> = (0..fold.len()).filter(counts).map(|i| fold[i]).collect();
        let options = GlmOptions {
            l2: 0.0,
            ..plan.options
        };
        let models = Models::<T>::new(plan.one_vs_rest, data, &options)?;
        let path = self.strengths.clone().unwrap_or_else(|| models.l2_path());
        let question = json!([path, self.folds]);
        let mut fits = Fits {
            series: Series::new("fit", job, &question)?,
            solve: &plan.solve,
        };
        let points = match &models {
            Models::One(glm) => glm.cross_validate(&path, &fold, &mut fits)?,
            Models::EachClass(rest) => rest.cross_validate(&path, &fold, &mut fits)?,
        };
        fits.series.save(true)?;
        let time_left = fits.series.time_left();
        let Some(best) = HeldOut::best(&points) else {
            let text = "no strength of the penalty has a finite loss on the rows held out";
            return Err(Error::new(ErrorKind::NonFinite, text));
        };
        Ok(Choice {
            l2: best.l2,
            folds: self.folds,
            points,
            time_left,
        })
    }
}

/// What is judged.
enum Models<T: Scalar> {
    One(Glm<T>),
    EachClass(OneVsRest<T>),
}

impl<T: Scalar> Models<T> {
    fn new(one_vs_rest: bool, data: &Dataset, options: &GlmOptions) -> Result<Self> {
        let (x, weights) = (data.x.cast(), data.weights.as_deref());
        Ok(if one_vs_rest {
            Self::EachClass(OneVsRest::new(x, &data.target, weights, options)?)
        } else {
            Self::One(Glm::new(x, &data.target, weights, options)?)
        })
    }

    fn l2_path(&self) -> Vec<f64> {
        match self {
            Self::One(glm) => glm.l2_path(),
            Self::EachClass(rest) => rest.l2_path(),
        }
    }
}

/// The fits of a cross-validation: each fold alone, or the folds of a strength together by the method that is made for it.
struct Fits<'a> {
    series: Series<'a>,
    solve: &'a Solve,
}

fn at_most(driver: &mut Driver<'_>) {
    driver.tolerance.relative = driver.tolerance.relative.max(TOLERANCE);
}

impl<T: Scalar> quadric::models::Fits<T> for Fits<'_> {
    fn alone(&mut self, problem: &Glm<T>, start: Vec<T>) -> Result<Fitted<T>> {
        let (_, method) = if self.solve.method == TOGETHER {
            ("l-bfgs", registry::build("l-bfgs", &self.solve.settings)?)
        } else {
            self.solve.method::<T>(problem)?
        };
        let fitted = self.series.fit(&*method, problem, start, at_most)?;
        self.series.finished(fitted)
    }

    fn together(&mut self, folds: &GlmBatch<T>, start: Vec<T>) -> Result<Option<Fitted<T>>> {
        if self.solve.method != TOGETHER {
            return Ok(None);
        }
        let method = registry::build(TOGETHER, &self.solve.settings)?;
        let fitted = self.series.fit(&*method, folds, start, at_most)?;
        self.series.finished(fitted).map(Some)
    }
}

impl Choice {
    /// For `--json`.
    pub(super) fn json(&self) -> Value {
        let finite = |v: f64| v.is_finite().then_some(v);
        let fit = |f: &quadric::models::FoldFit| {
            json!({ "loss": finite(f.loss), "accuracy": f.accuracy, "status": f.status.name(),
                "iterations": f.iterations, "passes": f.passes, "seconds": f.seconds })
        };
        let point = |p: &HeldOut| {
            json!({ "l2": p.l2, "loss": finite(p.loss), "standard_error": finite(p.standard_error),
                "accuracy": p.accuracy, "fits": p.folds.iter().map(fit).collect::<Vec<_>>() })
        };
        let points: Vec<Value> = self.points.iter().map(point).collect();
        json!({ "folds": self.folds, "l2": self.l2, "points": points })
    }

    /// A table, the best row marked.
    pub(super) fn table(&self) -> String {
        let mut t = String::new();
        let judged = self.points.iter().any(|p| p.accuracy.is_some());
        let title = if judged { "  accuracy" } else { "" };
        let _ = writeln!(
            t,
            "  {:<10}  {:<26}{title}",
            "l2",
            format!("loss held out, {} folds", self.folds)
        );
        for p in &self.points {
            let mark = if p.l2 == self.l2 && self.points.len() > 1 {
                '*'
            } else {
                ' '
            };
            let loss = format!("{:.6} ± {:.6}", p.loss, p.standard_error);
            let share = p
                .accuracy
                .map_or_else(String::new, |a| format!("  {:.2} %", 100.0 * a));
            let ended = p.folds.iter().filter(|f| !f.status.is_converged()).count();
            let ended = if ended > 0 {
                format!("  ({ended} of {} fits not converged)", self.folds)
            } else {
                String::new()
            };
            let _ = writeln!(
                t,
                "{mark} {:<10}  {loss:<26}{share}{ended}",
                format!("{:.3e}", p.l2)
            );
        }
        t
    }

    /// Says so if the choice lies at an end of the path.
    pub(super) fn warn(&self) {
        let ends = [self.points.first(), self.points.last()];
        let at_end = |p: &HeldOut| p.l2 == self.l2;
        if self.points.len() > 2 && ends.into_iter().flatten().any(at_end) {
            console::note(
                "note: the best l2 is at the end of the list; a longer list may hold a better one",
            );
        }
    }
}
