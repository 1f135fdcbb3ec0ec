//! Models: means over examples of losses of outputs, and the matrices that come with them.

use crate::{BoxOp, Layout, Result, Scalar, TwiceSmooth};
use faer::MatRef;
use std::ops::Range;

/// A curvature, information or noise matrix (d, d) of a [`Model`] with N examples, losses `ℓ_n`, outputs `f_n` and weights `w_n`;
/// `F = Σ w_n ℓ_n / Σ w_n`, and an example's weight is 1 unless it has many labels, or labels that do not count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Matrix {
    /// The second derivatives of F.
    Hessian,
    /// `Σ J_nᵀ Λ_n J_n / Σ w_n`, for the Jacobian J of the outputs and the second derivatives Λ of the losses by the outputs
    /// (Schraudolph 2002).
    GaussNewton,
    /// What [`Matrix::Hessian`] adds to [`Matrix::GaussNewton`]: `Σ_n Σ_c (∂ℓ_n/∂f_nc) ∇²f_nc / Σ w_n`, small where the outputs fit
    /// (the functional Hessian of Singh, Bachmann, Hofmann, arXiv 2106.16225).
    Functional,
    /// The covariance of the gradients of targets that the model itself would draw, `Σ J_nᵀ E[s sᵀ] J_n / Σ w_n` for the score s
    /// of the outputs. Equal to the Gauss-Newton matrix where the loss is minus the logarithm of a density in its natural
    /// parameters (Martens 2014).
    Fisher,
    /// [`Matrix::Fisher`] from drawn targets, without bias; the draws are part of the matrix, so that products repeat.
    SampledFisher {
        /// Targets for each example, at least 1.
        draws: usize,
        /// What they depend on.
        seed: u64,
    },
    /// `(1/N) Σ g_n g_nᵀ` for the gradients `g_n` of what the examples add to F, whose mean is that of F. N is the number of
    /// [examples that count](Model::counting).
    EmpiricalFisher,
    /// `(1/N) Σ (g_n - g)(g_n - g)ᵀ`, for the gradient g of F: the covariance of the gradient of one random example.
    Covariance,
}

impl Matrix {
    /// Whether it has no negative eigenvalues, whatever the network; losses here are convex in the outputs.
    pub fn is_psd(self) -> bool {
        !matches!(self, Self::Hessian | Self::Functional)
    }
}

/// Which targets the losses have whose gradients are taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Targets {
    /// Those of the data.
    Data,
    /// Drawn by the model.
    Sampled {
        /// Which draw.
        draw: usize,
        /// What all draws depend on.
        seed: u64,
    },
}

/// Which derivatives by the outputs of a layer a [`Tap`] holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Backward {
    /// Those of the losses with some targets: one block.
    Gradient(Targets),
    /// The columns of `S_n` with `S_n S_nᵀ = E[s sᵀ]`, as in [`Matrix::Fisher`], carried back through the network: one block for
    /// each column.
    Fisher,
}

/// What went through a layer with weights, for some examples.
///
/// Rows are examples, or for layers that use their weights at many positions (steps of a sequence, pixels), the positions of
/// the first example, then those of the second, and so on.
#[derive(Clone, Copy, Debug)]
pub struct Tap<'a, T> {
    /// The segment of the weights.
    pub weight: usize,
    /// Whether the segment holds the weights as (outputs, inputs) and not as (inputs, outputs).
    pub transposed: bool,
    /// The segment of the bias (outputs), if there is one.
    pub bias: Option<usize>,
    /// Rows for each example.
    pub shared: usize,
    /// The inputs (rows, inputs).
    pub inputs: MatRef<'a, T>,
    /// Derivatives by the outputs (rows, outputs), one block for each column of [`Backward`]; not divided by weights.
    pub gradients: &'a [MatRef<'a, T>],
}

/// A mean over examples of losses of outputs.
pub trait Model<T: Scalar>: TwiceSmooth<T> {
    /// The pieces of the parameters.
    fn layout(&self) -> &Layout;

    /// The number of examples.
    fn examples(&self) -> usize;

    /// The sum of the weights of all examples, by which F divides.
    ///
    /// # Errors
    /// Those of reading the examples, and examples none of which counts.
    fn weight(&self) -> Result<f64>;

    /// The number of examples with a weight that is not zero; of a batch, its share of that number.
    ///
    /// # Errors
    /// As [`Model::weight`].
    fn counting(&self) -> Result<f64>;

    /// Floating-point operations of a gradient over all examples, to count others in.
    ///
    /// # Errors
    /// As an evaluation.
    fn gradient_work(&self) -> Result<f64>;

    /// A matrix (d, d) at a point.
    ///
    /// # Errors
    /// Those of an evaluation, and a matrix that the loss or the mode of the model does not have.
    fn matrix(&self, x: &[T], matrix: Matrix) -> Result<BoxOp<'_, T>>;

    /// The derivatives of the outputs of all examples, (N outputs, d): the outputs of the first example, then those of the second.
    ///
    /// # Errors
    /// Those of an evaluation.
    fn jacobian(&self, x: &[T]) -> Result<BoxOp<'_, T>>;

    /// The gradients of the examples in the columns, (d, N). With the targets of the data, their mean over the examples that
    /// [count](Model::counting) is the gradient of F; the others have columns of zeros.
    ///
    /// # Errors
    /// As [`Model::matrix`].
    fn gradients(&self, x: &[T], targets: Targets) -> Result<BoxOp<'_, T>>;

    /// For each segment of the layout `Σ_n ‖∂_segment ℓ_n‖²` over the examples, not divided by weights; for [`Backward::Fisher`]
    /// `Σ_n ‖J_nᵀ S_n‖²_F`, the rows of the segment: so traces of the diagonal blocks of Fisher matrices without an error.
    ///
    /// # Errors
    /// As [`Model::taps`].
    fn squares(&self, x: &[T], backward: Backward) -> Result<Vec<f64>>;

    /// Draws of random numbers whose means are traces: for each of `draws` and each segment of the layout, `Σ_n z_nᵀ A_n z_n`
    /// restricted to the segment, not divided by weights, where `A_n` is what example n adds to `matrix`, [`Matrix::Hessian`] or
    /// [`Matrix::Functional`], and the signs `z_n` of the examples are independent. They scatter less than those of Hutchinson's
    /// estimate, whose signs are the same for all examples. A draw costs about as much as a product.
    ///
    /// # Errors
    /// As [`Model::taps`], and another matrix.
    fn forms(
        &self,
        x: &[T],
        matrix: Matrix,
        draws: Range<usize>,
        seed: u64,
    ) -> Result<Vec<Vec<f64>>>;

    /// Calls `visit` with what went through each layer, batch by batch. Layers come in the order of the evaluation; a layer that
    /// is used many times comes each time. Parameters of other layers (normalisations, embeddings) have none.
    ///
    /// # Errors
    /// As [`Model::matrix`], and those of `visit`.
    fn taps(
        &self,
        x: &[T],
        backward: Backward,
        visit: &mut dyn FnMut(Tap<'_, T>) -> Result<()>,
    ) -> Result<()>;
}
