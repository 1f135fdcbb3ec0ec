//! Diagonals and shapes of the matrices that were analysed.

use super::analysis::{Analysis, slot};
use super::saved::{Checkpoint, Found};
use crate::args::{CurvatureArgs, CurvatureMatrix};
use clap::ValueEnum;
use quadric::core::{Error, ErrorKind, Model, Overwrite, Result, Scalar, write_atomically};
use quadric::curvature::{
    Absence, ModelDiagonal, Saved, Shape, ShapeOptions, ShapeReport, Shapes, blocks,
    model_diagonal, shapes,
};
use quadric::data::{Value as Number, encode_npy};
use quadric::linalg::estimate::DiagonalOptions;
use quadric::report::{self, Curvature, Diagonal, Quantiles, Solution};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Up to this many parameters, diagonals and shapes are exact.
const DENSE: usize = 2000;

/// Refuses options that would only be refused after the eigenvalues were found, and files that are there, unless a checkpoint may have
/// written them.
pub(super) fn check(
    a: &CurvatureArgs,
    matrices: &[CurvatureMatrix],
    models: &[String],
) -> Result<()> {
    if let Some(damping) = a.damping.filter(|d| !(d.is_finite() && *d > 0.0)) {
        return Err(Error::argument("damping", damping, "a positive number"));
    }
    let s = &a.shape;
    if !s.shapes.is_empty() && a.top == 0 && a.damping.is_none() {
        let expected = "a positive number: without eigenvalues, shapes have no damping to go by";
        return Err(Error::argument("damping", "none", expected));
    }
    for (name, value, least) in [
        ("rank", s.rank, 1),
        ("shape-probes", s.shape_probes, 2),
        ("shape-products", s.shape_products, 1),
        ("diagonal-products", s.diagonal_products, 4),
    ] {
        if value < least {
            return Err(Error::argument(name, value, &format!("at least {least}")));
        }
    }
    let resumes = a.checkpoint.as_ref().is_some_and(|c| c.exists());
    let files = models.iter().flat_map(|model| {
        let several = Some(model.as_str()).filter(|_| models.len() > 1);
        let file = move |matrix: &CurvatureMatrix| file(a, matrices, *matrix, several);
        matrices.iter().filter_map(file)
    });
    let mut known: Vec<PathBuf> = Vec::new();
    for file in files {
        let name = file.display().to_string();
        if known.contains(&file) {
            let expected = "models of different names, whose diagonals have a file each";
            return Err(Error::argument("save-diagonal", name, expected));
        }
        if file.exists() && !a.force && !resumes {
            let expected = "a file that does not exist; --force replaces it";
            return Err(Error::argument("save-diagonal", name, expected));
        }
        known.push(file);
    }
    Ok(())
}

/// Where the diagonal of a matrix goes; of several models with the name of one.
fn file(
    a: &CurvatureArgs,
    matrices: &[CurvatureMatrix],
    matrix: CurvatureMatrix,
    model: Option<&str>,
) -> Option<PathBuf> {
    let path = a.shape.save_diagonal.as_ref()?;
    let mut parts: Vec<String> = model.map(str::to_owned).into_iter().collect();
    if matrices.len() > 1 {
        let name = matrix.to_possible_value();
        parts.extend(name.map(|n| n.get_name().to_owned()));
    }
    if parts.is_empty() {
        return Some(path.clone());
    }
    let text = |part: Option<&std::ffi::OsStr>| {
        part.map_or_else(String::new, |p| p.to_string_lossy().into_owned())
    };
    let (stem, ending) = (text(path.file_stem()), text(path.extension()));
    parts.insert(0, stem);
    if !ending.is_empty() {
        parts.push(ending);
    }
    Some(path.with_file_name(parts.join(".")))
}

impl<T: Scalar + Number> Analysis<'_, T> {
    /// The diagonals and shapes that are asked for and not there yet.
    pub(super) fn granularities(
        &self,
        problem: &dyn Model<T>,
        all: &mut Curvature,
        vectors: &[T],
        mut checkpoint: Option<&mut Checkpoint>,
    ) -> Result<()> {
        let (began, before) = (Instant::now(), all.seconds);
        let s = &self.args.shape;
        let diagonals = s.diagonal || s.save_diagonal.is_some();
        for &matrix in self.matrices {
            for part in [Part::Diagonal, Part::Shapes] {
                let Some(found) = slot(all, matrix) else {
                    continue;
                };
                let wanted = match part {
                    Part::Diagonal => diagonals && found.diagonal.is_none(),
                    Part::Shapes => !s.shapes.is_empty() && found.shapes.is_empty(),
                };
                if !wanted {
                    continue;
                }
                let done = match part {
                    Part::Diagonal => self.diagonal(problem, matrix, found),
                    Part::Shapes => self.shapes(problem, matrix, found),
                };
                all.seconds = before + began.elapsed().as_secs_f64();
                let stopped = done.as_ref().is_err_and(Error::is_stopped);
                if let Ok(gradients) = &done {
                    all.gradient_equivalents += gradients;
                }
                if let Some(c) = checkpoint.as_deref_mut().filter(|c| stopped || c.is_due()) {
                    c.write(&mut Found {
                        finished: self.finished.to_vec(),
                        current: all.clone(),
                        saved: Saved::default(),
                        vectors: vectors.to_vec(),
                    })?;
                }
                done.map_err(|e| self.hinted(e))?;
            }
        }
        Ok(())
    }

    /// What to do about an analysis that was stopped.
    pub(super) fn hinted(&self, e: Error) -> Error {
        match (e.kind(), &self.args.checkpoint) {
            (ErrorKind::Stopped, Some(_)) => {
                e.with_hint("the same command goes on from the checkpoint")
            }
            (ErrorKind::Stopped, None) => {
                e.with_hint("with --checkpoint FILE it would go on from there")
            }
            _ => e,
        }
    }

    /// Tells the bar of products, and ends on an interrupt.
    pub(super) fn watch(
        &self,
        part: String,
        of: usize,
    ) -> impl Fn(usize) -> ControlFlow<()> + Sync {
        move |products| {
            self.bar.tell(&part, products, of.max(products));
            match self.interrupt.load(Ordering::SeqCst) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
    }

    /// Finds, describes and writes a diagonal; what it took in gradients.
    fn diagonal(
        &self,
        problem: &dyn Model<T>,
        matrix: CurvatureMatrix,
        found: &mut report::Spectrum,
    ) -> Result<f64> {
        let (x, name) = (&self.subject.parameters, matrix.name());
        let products = match x.len() <= DENSE {
            true => x.len(),
            false => self.args.shape.diagonal_products,
        };
        let options = DiagonalOptions {
            products,
            ..DiagonalOptions::default()
        };
        let part = format!("{}: {name}, diagonal", self.subject.name);
        let (of, seed) = (self.of(matrix), self.args.seed);
        let watch = self.watch(part, products);
        let diagonal = model_diagonal(problem, x, of, &options, seed, &watch)?;
        let several = (self.models > 1).then_some(self.subject.name.as_str());
        if let Some(path) = file(self.args, self.matrices, matrix, several) {
            write(&path, &diagonal)?;
        }
        found.diagonal = Some(quantiles(problem, &diagonal, options.level));
        Ok(diagonal.gradients)
    }

    /// Finds and describes shapes; what they took in gradients.
    fn shapes(
        &self,
        problem: &dyn Model<T>,
        matrix: CurvatureMatrix,
        found: &mut report::Spectrum,
    ) -> Result<f64> {
        let (a, x) = (self.args, &self.subject.parameters);
        let which = a.shape.chosen();
        let Some(damping) = found.damping else {
            let why = "the largest eigenvalue is not positive, so there is no damping to go by; --damping gives one";
            let absent = |shape: &Shape| report::Shape {
                shape: shape.name().to_owned(),
                absent: Some(why.to_owned()),
                ..report::Shape::default()
            };
            found.shapes = which.iter().map(absent).collect();
            return Ok(0.0);
        };
        let options = ShapeOptions {
            rank: a.shape.rank,
            probes: a.shape.shape_probes,
            dense: DENSE,
            products: a.shape.shape_products,
            diagonal_products: a.shape.diagonal_products,
            memory: (a.memory as u64) << 20,
            seed: a.seed,
            ..ShapeOptions::new(damping)
        };
        let part = format!("{}: {}, shapes", self.subject.name, matrix.name());
        // About: the matrix or random vectors, a linear system, blocks.
        let of = match x.len() <= DENSE {
            true => x.len(),
            false => a.shape.shape_probes + 2 * a.shape.shape_products,
        };
        let watch = self.watch(part, of);
        let all = shapes(problem, x, self.of(matrix), &which, &options, &watch)?;
        found.solution = Some(solution(&all));
        found.shapes = all.reports.iter().map(|r| described(r, a)).collect();
        Ok(all.gradients)
    }
}

#[derive(Clone, Copy)]
enum Part {
    Diagonal,
    Shapes,
}

fn write(path: &Path, diagonal: &ModelDiagonal) -> Result<()> {
    let report = &diagonal.report;
    let rows = report.values.iter().zip(&report.half_widths);
    let rows: Vec<f64> = rows.flat_map(|(v, half)| [*v, *half]).collect();
    let bytes = encode_npy(&[report.values.len(), 2], &rows);
    // What was there was looked at before the analysis began.
    write_atomically(path, Overwrite::Replace, |out| out.write_all(&bytes))
}

fn quantiles<T: Scalar>(problem: &dyn Model<T>, found: &ModelDiagonal, level: f64) -> Diagonal {
    let report = &found.report;
    let sorted = |values: &[f64]| {
        let mut all = values.to_vec();
        all.sort_by(f64::total_cmp);
        all
    };
    // The smallest entry that this share of all does not exceed.
    let at = |all: &[f64], share: f64| {
        let rank = (share * all.len() as f64).ceil() as usize;
        all[rank.clamp(1, all.len()) - 1]
    };
    let layers = blocks(problem.layout()).into_iter().map(|layer| {
        let values = sorted(&report.values[layer.range.clone()]);
        let errors = sorted(&report.half_widths[layer.range.clone()]);
        Quantiles {
            name: layer.name,
            parameters: values.len() as u64,
            min: at(&values, 0.0),
            q05: at(&values, 0.05),
            median: at(&values, 0.5),
            q95: at(&values, 0.95),
            max: at(&values, 1.0),
            error: at(&errors, 0.5),
        }
    });
    Diagonal {
        exact: report.exact,
        level: if report.exact { 1.0 } else { level },
        layers: layers.collect(),
    }
}

fn solution(all: &Shapes) -> Solution {
    Solution {
        residual: all.solution.as_ref().ok().copied(),
        unknown: all.solution.as_ref().err().cloned(),
    }
}

/// A shape as the report has it.
fn described(report: &ShapeReport, a: &CurvatureArgs) -> report::Shape {
    let shape = report.shape.name().to_owned();
    let absent = |why: String, bytes: Option<u64>| report::Shape {
        shape: shape.clone(),
        absent: Some(why),
        bytes,
        ..report::Shape::default()
    };
    match &report.found {
        Err(Absence::Undefined(why)) => absent(why.clone(), None),
        Err(Absence::Memory(bytes)) => {
            let (needed, allowed) = (bytes.div_ceil(1 << 20), a.memory);
            let why = format!("more memory ({needed} MiB) than --memory allows ({allowed} MiB)");
            absent(why, Some(*bytes))
        }
        Err(Absence::Products(products)) => {
            let allowed = a.shape.shape_products;
            let why = format!(
                "more products or gradients ({products}) than --shape-products allows ({allowed})"
            );
            absent(why, None)
        }
        Ok(n) => report::Shape {
            numbers: Some(n.numbers),
            gradients: Some(n.gradients),
            trace: Some(n.trace),
            largest: Some(n.largest),
            log_det: n.log_det,
            error: n.error.and_then(super::document::estimate),
            cosine: n.cosine,
            without: n.without.clone(),
            shape,
            ..report::Shape::default()
        },
    }
}
