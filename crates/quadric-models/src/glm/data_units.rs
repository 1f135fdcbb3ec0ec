//! A generalised linear model in the units of the data, as a [`Model`] with all of its matrices.
//!
//! [`Glm`](super::Glm) is made to be minimised: its unknowns are scaled and centred. Curvature is asked for in the units of the
//! file, where the unknowns are the entries of a [`LinearModel`].

mod operators;
mod taps;

use super::build::{self, GlmOptions};
use super::numbers::Numbers;
use super::samples::{Samples, Targets as Labels, softmax};
use super::spread::check_values;
use super::{Contrast, LinearModel};
use crate::Loss;
use faer::{Mat, MatMut, MatRef};
use operators::{Each, Gradients, Jacobian, RowForm};
use quadric_core::random::SeedTree;
use quadric_core::{
    Backward, BoxOp, DataMatrix, Error, ErrorKind, Layout, Matrix, Model, Objective, Problem,
    Result, Role, Scalar, Smooth, Tap, Targets, TwiceSmooth, capabilities, vector,
};
use quadric_linalg::kernels;
use quadric_linalg::math::sigmoid;
use std::ops::Range;

/// `F(w, b) = (1/Σs) Σ s_i loss(y_i, x_i·w + b) + (l2/2)‖w‖²` in the units of the data.
///
/// The unknowns are the coefficients (outputs, features), row-major, then the intercepts (outputs) if there are any; softmax has
/// an output for each class, in ascending order. Its Gauss-Newton matrix is its Hessian, penalty included; Fisher matrices are
/// of the losses alone. The gradient of an example includes that of the penalty, so that their mean is the gradient of F. Rows
/// of weight zero are left out.
///
/// ```
/// use quadric_core::{DataMatrix, Matrix, Model};
/// use quadric_models::{GlmOptions, RawGlm};
///
/// let x = DataMatrix::dense(vec![0.0, 1.0, 2.0, 4.0], 4, 1)?;
/// let glm = RawGlm::<f64>::new(x, &[0.0, 1.0, 0.0, 1.0], None, &GlmOptions::default())?;
/// assert_eq!(glm.matrix(&glm.zero(), Matrix::Hessian)?.shape(), (2, 2));
/// # Ok::<(), quadric_core::Error>(())
/// ```
pub struct RawGlm<T: Scalar> {
    /// The data, with a last column of ones where there are intercepts.
    z: DataMatrix<T>,
    samples: Samples,
    classes: Option<Vec<f64>>,
    l2: f64,
    features: usize,
    layout: Layout,
}

impl<T: Scalar> RawGlm<T> {
    /// The problem that [`Glm::new`](super::Glm::new) makes of the same arguments.
    ///
    /// # Errors
    /// As there.
    pub fn new(
        x: DataMatrix<T>,
        target: &[f64],
        weights: Option<&[f64]>,
        options: &GlmOptions,
    ) -> Result<Self> {
        check_values(&x)?;
        let prepared = build::prepare(&x, target, weights, options)?;
        let (features, rows) = (x.cols(), prepared.rows);
        let x = match rows.len() == x.rows() {
            true => x,
            false => x.select_rows(&rows),
        };
        let (ones, none) = (vec![1.0; features], vec![0.0; features]);
        let z = x.affine(&ones, &none, &vec![false; features], options.intercept)?;
        let outputs = prepared.classes.as_ref().map_or(1, Vec::len);
        let outputs = match options.loss {
            Loss::Softmax => outputs,
            _ => 1,
        };
        let mut pieces = vec![("coefficients", vec![outputs, features], Role::Weight)];
        if options.intercept {
            pieces.push(("intercept", vec![outputs], Role::Bias));
        }
        let pieces = pieces.into_iter().map(|(n, s, r)| (n.to_owned(), s, r));
        Ok(Self {
            z,
            samples: prepared.samples,
            classes: prepared.classes,
            l2: options.l2,
            features,
            layout: Layout::new(pieces)?,
        })
    }

    /// No coefficients and no intercepts.
    pub fn zero(&self) -> Vec<T> {
        vec![T::of(0.0); self.dim()]
    }

    /// The unknowns that are a model.
    ///
    /// # Errors
    /// A model of another loss, other classes, another number of features, or with an intercept where this problem has none;
    /// coefficients that are not finite, also in the precision of the unknowns.
    pub fn point(&self, model: &LinearModel) -> Result<Vec<T>> {
        let intercept = self.has_intercept();
        let own = (self.samples.loss, self.classes.as_deref());
        build::check_model(model, own, self.features, intercept)?;
        let intercepts = model.intercept.iter().filter(|_| intercept);
        let all = model.coef.iter().flatten().chain(intercepts);
        let x: Vec<T> = all.map(|&v| T::of(v)).collect();
        match x.iter().position(|v| !v.to_f64().is_finite()) {
            None => Ok(x),
            Some(i) => Err(Error::non_finite("the unknowns", i, x[i].to_f64())),
        }
    }

    /// The weighted share of the rows whose class is the most probable one, the first of equals; `None` without classes.
    ///
    /// # Errors
    /// A point of another length.
    pub fn accuracy(&self, x: &[T]) -> Result<Option<f64>> {
        self.check(x, "the point")?;
        let hits = || self.samples.hits(&self.products(x));
        Ok(self.classes.as_ref().map(|_| hits()))
    }

    fn has_intercept(&self) -> bool {
        self.z.cols() > self.features
    }

    /// Predictors of a row: one for each class of softmax.
    fn outputs(&self) -> usize {
        match self.samples.loss {
            Loss::Softmax => self.contrast().classes(),
            _ => 1,
        }
    }

    fn contrast(&self) -> Contrast {
        self.samples.contrast
    }

    fn check(&self, x: &[T], what: &str) -> Result<()> {
        match x.len() == self.dim() {
            true => Ok(()),
            false => Err(Error::shape(what, x.len(), self.dim())),
        }
    }

    /// The unknown that output c multiplies column j of the data with.
    fn place(&self, c: usize, j: usize) -> usize {
        match j < self.features {
            true => c * self.features + j,
            false => self.outputs() * self.features + c,
        }
    }

    /// Vectors of unknowns (dim, m) as coefficients of the data (columns, k m): the k predictors of each vector side by side, those
    /// of softmax without their common part.
    fn reduced(&self, x: MatRef<'_, T>) -> Mat<T> {
        let (p, k, outputs) = (self.z.cols(), self.samples.outputs(), self.outputs());
        let mut v = Mat::zeros(p, k * x.ncols());
        let mut all = vec![0.0; outputs];
        for (i, x) in x.col_iter().enumerate() {
            for j in 0..p {
                for (c, a) in all.iter_mut().enumerate() {
                    *a = x[self.place(c, j)].to_f64();
                }
                match outputs == k {
                    true => v[(j, i)] = T::of(all[0]),
                    false => self
                        .contrast()
                        .reduce(&all, |c, a| v[(j, i * k + c)] = T::of(a)),
                }
            }
        }
        v
    }

    /// The adjoint of [`Self::reduced`].
    fn expand(&self, v: MatRef<'_, T>, mut y: MatMut<'_, T>) {
        let (p, k, outputs) = (self.z.cols(), self.samples.outputs(), self.outputs());
        let mut all = vec![0.0; outputs];
        for i in 0..y.ncols() {
            for j in 0..p {
                match outputs == k {
                    true => all[0] = v[(j, i)].to_f64(),
                    false => self
                        .contrast()
                        .expand(|c| v[(j, i * k + c)].to_f64(), &mut all),
                }
                for (c, a) in all.iter().enumerate() {
                    y[(self.place(c, j), i)] = T::of(*a);
                }
            }
        }
    }

    /// The predictors (n, k) at a point.
    fn products(&self, x: &[T]) -> Vec<T> {
        let mut u = vec![T::of(0.0); self.samples.len() * self.samples.outputs()];
        let v = self.reduced(MatRef::from_column_major_slice(x, x.len(), 1));
        kernels::multiply(&self.z, v.as_ref(), &mut u);
        u
    }

    /// The mean loss without the penalty, and its gradient.
    fn losses(&self, x: &[T], g: &mut [T]) -> f64 {
        let (p, k, d) = (self.z.cols(), self.samples.outputs(), x.len());
        let v = self.reduced(MatRef::from_column_major_slice(x, d, 1));
        let mut u = vec![T::of(0.0); self.samples.len() * k];
        let mut sums = Mat::zeros(p, k);
        let slopes = |rows, u: &[T], r: &mut [T]| self.samples.residuals(rows, u, &[], r);
        let value = kernels::fused(&self.z, None, v.as_ref(), &mut u, slopes, sums.as_mut());
        let out = MatMut::from_column_major_slice_mut(g, d, 1);
        self.expand(sums.as_ref(), out);
        value
    }

    /// The coefficients, which are penalised.
    fn penalised(&self) -> usize {
        self.outputs() * self.features
    }

    fn penalty(&self, x: &[T]) -> f64 {
        let w = &x[..self.penalised()];
        match self.l2 > 0.0 {
            true => 0.5 * self.l2 * vector::dot(w, w),
            false => 0.0,
        }
    }

    fn add_penalty_gradient(&self, x: &[T], g: &mut [T]) {
        if self.l2 > 0.0 {
            for (g, w) in g.iter_mut().zip(&x[..self.penalised()]) {
                *g = T::of(g.to_f64() + self.l2 * w.to_f64());
            }
        }
    }

    /// The second derivatives of the mean loss, with those of the penalty or without.
    fn curvature(&self, x: &[T], l2: f64) -> RowForm<'_, T> {
        let curvatures = self.samples.curvatures(&self.products(x), &[]);
        RowForm::new(self, Each::Curvatures(curvatures), l2)
    }

    /// Refuses what the loss does not have because it is minus the logarithm of no density.
    fn check_density(&self) -> Result<()> {
        match self.samples.loss {
            Loss::Huber { .. } | Loss::PseudoHuber { .. } => {
                let loss = self.samples.loss;
                let text = format!(
                    "the loss {loss} has no Fisher matrix: it is robust to targets, no model of them"
                );
                Err(Error::new(ErrorKind::Capability, text))
            }
            _ => Ok(()),
        }
    }

    /// The same rows with targets that the model itself draws at the predictors `u`.
    fn drawn(&self, u: &[T], draw: usize, seed: u64) -> Result<Samples> {
        self.check_density()?;
        let (n, k) = (self.samples.len(), self.samples.outputs());
        let seeds = SeedTree::new(seed).child("targets");
        let seeds = seeds.child(&draw.to_string());
        let at = |i: usize| (u[i].to_f64(), seeds.stream(i as u64));
        let targets = match self.samples.loss {
            Loss::Logistic => Labels::Real(Numbers::from_iter((0..n).map(|i| {
                let (u, mut stream) = at(i);
                match stream.uniform() < sigmoid(u) {
                    true => 1.0,
                    false => -1.0,
                }
            }))),
            Loss::Softmax => {
                let mut p = vec![0.0; k + 1];
                let draw = |i: usize| {
                    self.samples.predictors(u, &[], i, &mut p);
                    softmax(&mut p);
                    let mut left = seeds.stream(i as u64).uniform();
                    let class = p.iter().position(|p| {
                        left -= p;
                        left < 0.0
                    });
                    class.unwrap_or(k) as u32
                };
                Labels::Class((0..n).map(draw).collect())
            }
            Loss::Squared => Labels::Real(Numbers::from_iter((0..n).map(|i| {
                let (u, mut stream) = at(i);
                u + stream.normal()
            }))),
            loss => {
                let text = format!("targets of the loss {loss} are not drawn");
                let hint = "its exact Fisher matrix costs no more";
                return Err(Error::new(ErrorKind::Capability, text).with_hint(hint));
            }
        };
        Ok(Samples {
            targets,
            ..self.samples.clone()
        })
    }

    /// Derivatives by the predictors (n, k), as parts of the mean, with some targets.
    fn slopes(&self, u: &[T], targets: Targets) -> Result<Vec<T>> {
        let (slopes, _) = match targets {
            Targets::Data => self.samples.all_residuals(u, &[]),
            Targets::Sampled { draw, seed } => self.drawn(u, draw, seed)?.all_residuals(u, &[]),
        };
        Ok(slopes)
    }

    fn outer(&self, x: &[T], centred: bool) -> Result<RowForm<'_, T>> {
        let slopes = self.slopes(&self.products(x), Targets::Data)?;
        let each = Each::Slopes {
            slopes,
            scale: self.samples.len() as f64,
        };
        let mut form = RowForm::new(self, each, 0.0);
        let mut mean = self.zero();
        self.losses(x, &mut mean);
        if !centred && self.l2 > 0.0 {
            // For a_n without and g_n = a_n + q with the penalty: Σ g_n g_nᵀ / N = Σ a_n a_nᵀ / N - a aᵀ + g gᵀ.
            let mut whole = mean.clone();
            self.add_penalty_gradient(x, &mut whole);
            form.add(1.0, whole);
        }
        if centred || self.l2 > 0.0 {
            form.add(-1.0, mean);
        }
        Ok(form)
    }
}

impl<T: Scalar> Problem<T> for RawGlm<T> {
    fn dim(&self) -> usize {
        self.layout.len()
    }

    fn name(&self) -> &str {
        self.samples.loss.name()
    }

    capabilities!(T: TwiceSmooth);
}

impl<T: Scalar> Objective<T> for RawGlm<T> {
    fn value(&self, x: &[T]) -> Result<f64> {
        self.check(x, "the point")?;
        Ok(self.samples.value(&self.products(x), &[]) + self.penalty(x))
    }
}

impl<T: Scalar> Smooth<T> for RawGlm<T> {
    fn value_grad(&self, x: &[T], g: &mut [T]) -> Result<f64> {
        self.check(x, "the point")?;
        self.check(g, "the gradient")?;
        let value = self.losses(x, g);
        self.add_penalty_gradient(x, g);
        Ok(value + self.penalty(x))
    }
}

impl<T: Scalar> TwiceSmooth<T> for RawGlm<T> {
    fn hessian(&self, x: &[T]) -> Result<BoxOp<'_, T>> {
        self.matrix(x, Matrix::Hessian)
    }
}

impl<T: Scalar> Model<T> for RawGlm<T> {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn examples(&self) -> usize {
        self.samples.len()
    }

    fn weight(&self) -> Result<f64> {
        Ok(self.samples.norm.recip())
    }

    fn counting(&self) -> Result<f64> {
        Ok(self.samples.len() as f64)
    }

    fn gradient_work(&self) -> Result<f64> {
        Ok(self.pass())
    }

    fn matrix(&self, x: &[T], matrix: Matrix) -> Result<BoxOp<'_, T>> {
        self.check(x, "the point")?;
        let form = match matrix {
            // The predictors are linear in the unknowns.
            Matrix::Hessian | Matrix::GaussNewton => self.curvature(x, self.l2),
            Matrix::Functional => {
                let slopes = vec![T::of(0.0); self.samples.len() * self.samples.outputs()];
                RowForm::new(self, Each::Slopes { slopes, scale: 0.0 }, 0.0)
            }
            Matrix::Fisher => {
                self.check_density()?;
                self.curvature(x, 0.0)
            }
            Matrix::SampledFisher { draws, seed } => {
                if draws == 0 {
                    return Err(Error::argument("draws", 0, "at least 1"));
                }
                let u = self.products(x);
                let of = |draw| self.slopes(&u, Targets::Sampled { draw, seed });
                let slopes: Vec<Vec<T>> = (0..draws).map(of).collect::<Result<_>>()?;
                RowForm::new(self, Each::Drawn(slopes), 0.0)
            }
            Matrix::EmpiricalFisher => self.outer(x, false)?,
            Matrix::Covariance => self.outer(x, true)?,
        };
        Ok(Box::new(form))
    }

    fn jacobian(&self, x: &[T]) -> Result<BoxOp<'_, T>> {
        self.check(x, "the point")?;
        Ok(Box::new(Jacobian(self)))
    }

    fn gradients(&self, x: &[T], targets: Targets) -> Result<BoxOp<'_, T>> {
        self.check(x, "the point")?;
        let mut penalty = self.zero();
        if targets == Targets::Data {
            self.add_penalty_gradient(x, &mut penalty);
        }
        Ok(Box::new(Gradients {
            glm: self,
            slopes: self.slopes(&self.products(x), targets)?,
            penalty,
        }))
    }

    fn squares(&self, x: &[T], backward: Backward) -> Result<Vec<f64>> {
        self.check(x, "the point")?;
        self.squares_of_segments(x, backward)
    }

    /// The exact traces in place of every draw: the losses have few second derivatives. Without the penalty.
    fn forms(&self, x: &[T], matrix: Matrix, draws: Range<usize>, _: u64) -> Result<Vec<Vec<f64>>> {
        self.check(x, "the point")?;
        let traces = match matrix {
            Matrix::Hessian => self.traces_of_segments(x),
            Matrix::Functional => vec![0.0; self.layout.segments().len()],
            other => {
                let expected = "the Hessian or what it adds to the Gauss-Newton matrix";
                return Err(Error::argument("matrix", format!("{other:?}"), expected));
            }
        };
        Ok(vec![traces; draws.len()])
    }

    fn taps(
        &self,
        x: &[T],
        backward: Backward,
        visit: &mut dyn FnMut(Tap<'_, T>) -> Result<()>,
    ) -> Result<()> {
        self.check(x, "the point")?;
        self.visit_taps(x, backward, visit)
    }
}

impl<T: Scalar> RawGlm<T> {
    /// Floating-point operations of a pass over the data.
    fn pass(&self) -> f64 {
        let (n, k) = (self.samples.len() as f64, self.samples.outputs() as f64);
        k * (4.0 * self.z.stored() as f64 + 8.0 * n)
    }
}
