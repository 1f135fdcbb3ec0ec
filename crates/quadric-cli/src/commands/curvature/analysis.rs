//! The analysis of one model: matrix after matrix, then what needs the eigenvectors.

use super::saved::{Checkpoint, Found};
use super::subject::Subject;
use super::{condition, document};
use crate::args::{CurvatureArgs, CurvatureMatrix};
use crate::bar::Bar;
use faer::Mat;
use quadric::core::{Error, ErrorKind, LinearOperator, Matrix, Model, Result, Scalar, vector};
use quadric::curvature::{
    Block, ExampleSum, Saved, Spectrum, SpectrumOptions, alignment, blocks, gradient_noise, line,
    plane, spectrum, steps,
};
use quadric::data::Value as Number;
use quadric::linalg::estimate::{DensityOptions, Estimate};
use quadric::report::{self, Curvature, Landscape};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Points of a line, and of one side of a plane.
const POINTS: [usize; 2] = [21, 11];

/// Products of the Hessian that the noise scale takes about at most.
const NOISE: usize = 121;

pub(super) struct Analysis<'a, T: Scalar> {
    pub(super) args: &'a CurvatureArgs,
    pub(super) subject: &'a Subject<T>,
    /// The matrices, the first of which gives the directions.
    pub(super) matrices: &'a [CurvatureMatrix],
    pub(super) interrupt: &'a AtomicBool,
    pub(super) bar: &'a Bar,
    /// Analyses of models before.
    pub(super) finished: &'a [Curvature],
    /// Models in all.
    pub(super) models: usize,
}

/// All that the numbers depend on.
pub(super) fn key(a: &CurvatureArgs) -> String {
    format!(
        "{:?}",
        (
            (
                &a.models,
                &a.weights,
                &a.data.data,
                &a.data.read,
                a.data.divide,
                a.examples
            ),
            (&a.loss, a.delta, a.l2, a.no_intercept),
            (
                &a.matrix,
                a.top,
                a.bottom,
                a.tolerance,
                a.trace,
                a.trace_products,
                a.draws
            ),
            (
                a.density, a.steps, a.layers, a.radius, a.damping, a.dtype, a.seed
            ),
            (&a.named.reading.dim, a.named.reading.external_data),
            (&a.named.sizes, &a.named.activation, a.torch),
            (&a.shape, (!a.shape.shapes.is_empty()).then_some(a.memory)),
        )
    )
}

type Begun<T> = (Curvature, Saved<T>, Vec<T>);

impl<T: Scalar + Number> Analysis<'_, T> {
    pub(super) fn run(
        &self,
        begun: Option<Begun<T>>,
        mut checkpoint: Option<&mut Checkpoint>,
    ) -> Result<Curvature> {
        let (started, x) = (Instant::now(), &self.subject.parameters);
        let problem = self.subject.problem(self.args)?;
        let problem = &*problem;
        let mut gradient = vec![<T as Scalar>::of(0.0); x.len()];
        let loss = problem.value_grad(x, &mut gradient)?;
        quadric::curvature::check_repeats(problem, x, loss, &gradient)?;
        let (mut all, mut saved, mut vectors) = match begun {
            Some(begun) => begun,
            None => {
                let all = self.nothing_yet(problem, loss, &gradient)?;
                (all, Saved::default(), Vec::new())
            }
        };
        if !loss.is_finite() {
            let text = format!("the loss of {} is {loss}", self.subject.name);
            return Err(Error::new(ErrorKind::NonFinite, text));
        }
        let before = all.seconds;
        let work = problem.gradient_work()?;
        for &matrix in self.matrices {
            if slot(&mut all, matrix).is_some() {
                continue;
            }
            let op = problem.matrix(x, self.of(matrix))?;
            let layers = blocks(problem.layout());
            let examples = ExampleSum::new(problem, x, self.of(matrix), &layers)?;
            let found = self.spectrum(
                &*op,
                matrix,
                (std::mem::take(&mut saved), &all, &vectors),
                checkpoint.as_deref_mut(),
                (&layers, examples.as_ref()),
            )?;
            all.gradient_equivalents += found.products as f64 * op.cost().product / work + 1.0;
            all.gradient_equivalents += found.gradients;
            if matrix == self.matrices[0] {
                vectors = columns(&found.vectors);
            }
            let mut described = document::spectrum(&found, self.args.damping)?;
            let psd = op.properties().psd;
            described.damped_condition = condition::damped(&found, psd, described.damping);
            *slot(&mut all, matrix) = Some(described);
            all.seconds = before + started.elapsed().as_secs_f64();
        }
        self.granularities(problem, &mut all, &vectors, checkpoint)?;
        self.directions(problem, &gradient, &vectors, &mut all)?;
        if self.matrices.contains(&CurvatureMatrix::Covariance) {
            self.noise(problem, &gradient, &mut all)?;
        }
        all.seconds = before + started.elapsed().as_secs_f64();
        Ok(all)
    }

    /// What is known before any matrix.
    fn nothing_yet(&self, problem: &dyn Model<T>, loss: f64, gradient: &[T]) -> Result<Curvature> {
        Ok(Curvature {
            model: self.subject.name.clone(),
            parameters: gradient.len() as u64,
            examples: problem.examples() as u64,
            loss,
            accuracy: self.subject.accuracy(self.args)?,
            gradient_norm: vector::norm2(gradient),
            gradient_equivalents: 1.0,
            ..Curvature::default()
        })
    }

    /// The noise scales, the first with the trace of the covariance that is known.
    fn noise(&self, problem: &dyn Model<T>, gradient: &[T], all: &mut Curvature) -> Result<()> {
        let x = &self.subject.parameters;
        let known = all.covariance.as_ref().and_then(|m| m.trace);
        let known = known.map(|t| Estimate {
            value: t.value,
            low: t.low,
            high: t.high,
            level: t.level,
        });
        let part = format!("{}: noise", self.subject.name);
        let watch = self.watch(part, NOISE);
        let noise = gradient_noise(problem, x, gradient, known, self.args.seed, &watch)?;
        all.noise_scale = noise.simple_scale.and_then(document::estimate);
        all.hessian_noise_scale = noise.scale.and_then(document::estimate);
        all.gradient_equivalents += noise.work / problem.gradient_work()?;
        Ok(())
    }

    pub(super) fn of(&self, matrix: CurvatureMatrix) -> Matrix {
        match matrix {
            CurvatureMatrix::Hessian => Matrix::Hessian,
            CurvatureMatrix::Ggn => Matrix::GaussNewton,
            CurvatureMatrix::Fisher => Matrix::Fisher,
            CurvatureMatrix::SampledFisher => Matrix::SampledFisher {
                draws: self.args.draws,
                seed: self.args.seed,
            },
            CurvatureMatrix::EmpiricalFisher => Matrix::EmpiricalFisher,
            CurvatureMatrix::Covariance => Matrix::Covariance,
        }
    }

    fn options(&self) -> SpectrumOptions {
        let a = self.args;
        let density = DensityOptions {
            probes: a.density,
            steps: a.steps,
            ..DensityOptions::default()
        };
        SpectrumOptions {
            top: a.top,
            bottom: a.bottom,
            tolerance: a.tolerance,
            trace: a.trace,
            trace_products: a.trace_products,
            density: (a.density > 0).then_some(density),
            layer_tops: a.layers,
            seed: a.seed,
            ..SpectrumOptions::default()
        }
    }

    fn spectrum(
        &self,
        op: &dyn LinearOperator<T>,
        matrix: CurvatureMatrix,
        (saved, all, vectors): (Saved<T>, &Curvature, &[T]),
        mut checkpoint: Option<&mut Checkpoint>,
        (layers, examples): (&[Block], Option<&ExampleSum<'_, T>>),
    ) -> Result<Spectrum<T>> {
        let name = matrix.name();
        let mut failed = None;
        let found = spectrum(op, layers, examples, &self.options(), saved, &mut |at| {
            let part = format!("{}: {name}, {}", self.subject.name, at.phase.name());
            self.bar.tell(&part, at.products, at.of);
            let stopped = self.interrupt.load(Ordering::SeqCst);
            if let Some(checkpoint) = checkpoint.as_deref_mut().filter(|c| c.is_due() || stopped) {
                let mut found = Found {
                    finished: self.finished.to_vec(),
                    current: all.clone(),
                    saved: (at.save)(),
                    vectors: vectors.to_vec(),
                };
                failed = checkpoint.write(&mut found).err();
            }
            match stopped || failed.is_some() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        match (failed, found) {
            (Some(failed), _) => Err(failed),
            (None, found) => found.map_err(|e| self.hinted(e)),
        }
    }

    /// The share of the gradient in the top eigenvectors of the first matrix, and the loss along these.
    fn directions(
        &self,
        problem: &dyn Model<T>,
        gradient: &[T],
        vectors: &[T],
        all: &mut Curvature,
    ) -> Result<()> {
        let (x, n) = (&self.subject.parameters, gradient.len());
        let count = vectors.len() / n.max(1);
        if count == 0 {
            return Ok(());
        }
        let block = faer::MatRef::from_column_major_slice(vectors, n, count);
        all.gradient_alignment = Some(alignment(gradient, block)?);
        if self.args.radius == 0.0 {
            return Ok(());
        }
        let vector = |j: usize| &vectors[j * n..(j + 1) * n];
        let first = slot(all, self.matrices[0]).as_ref();
        let values: Vec<f64> =
            first.map_or(Vec::new(), |m| m.top.iter().map(|e| e.value).collect());
        let along = steps(self.args.radius, POINTS[0])?;
        let mut landscape = Landscape::default();
        for (j, curvature) in values.iter().enumerate().take(2) {
            let found = line(problem, x, vector(j), &along)?;
            let slope = vector::dot(gradient, vector(j));
            let model = along
                .iter()
                .map(|t| all.loss + t * slope + t * t * curvature / 2.0);
            landscape.lines.push(report::Line {
                direction: format!("eigenvector {}", j + 1),
                values: found.values.iter().map(|&v| finite(v)).collect(),
                model: model.collect(),
                steps: found.steps,
            });
        }
        if count > 1 {
            let along = steps(self.args.radius, POINTS[1])?;
            let found = plane(problem, x, [vector(0), vector(1)], &along)?;
            let row = |row: &Vec<f64>| row.iter().map(|&v| finite(v)).collect();
            landscape.plane = Some(report::Plane {
                directions: ["eigenvector 1".to_owned(), "eigenvector 2".to_owned()],
                values: found.values.iter().map(row).collect(),
                first: found.first,
                second: found.second,
            });
        }
        all.landscape = Some(landscape);
        Ok(())
    }
}

fn finite(v: f64) -> Option<f64> {
    Some(v).filter(|v| v.is_finite())
}

fn columns<T: Scalar>(vectors: &Mat<T>) -> Vec<T> {
    let columns = vectors.col_iter();
    columns
        .flat_map(|c| c.iter().copied().collect::<Vec<T>>())
        .collect()
}

/// The place of a matrix in a report.
pub(super) fn slot(all: &mut Curvature, matrix: CurvatureMatrix) -> &mut Option<report::Spectrum> {
    match matrix {
        CurvatureMatrix::Hessian => &mut all.hessian,
        CurvatureMatrix::Ggn => &mut all.ggn,
        CurvatureMatrix::Fisher => &mut all.fisher,
        CurvatureMatrix::SampledFisher => &mut all.sampled_fisher,
        CurvatureMatrix::EmpiricalFisher => &mut all.empirical_fisher,
        CurvatureMatrix::Covariance => &mut all.covariance,
    }
}
