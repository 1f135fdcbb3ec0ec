//! What is worth knowing of one matrix: its ends, its trace, the traces of its layers, its density.

mod run;

use crate::blocks::Block;
use crate::traces::{Draws, ExampleSum};
use faer::Mat;
use quadric_core::{Error, Ints, LinearOperator, Result, Scalar, State, Visitor};
use quadric_linalg::estimate::{Density, DensityOptions, Estimate};
use run::Run;
use std::ops::ControlFlow;

/// What is looked for, and how hard.
#[derive(Clone, Debug, PartialEq)]
pub struct SpectrumOptions {
    /// Eigenpairs at the upper end.
    pub top: usize,
    /// Eigenpairs at the lower end; none for matrices known to be positive semidefinite.
    pub bottom: usize,
    /// Residual of an eigenpair that counts as converged, as a share of the norm of the matrix.
    pub tolerance: f64,
    /// Products with single vectors that the search for eigenpairs may take.
    pub eigen_products: usize,
    /// Half the length of the interval of the trace, as a share of the trace; 0 leaves the trace out.
    pub trace: f64,
    /// Products with single vectors that the trace may take, or draws of [`Model::forms`](quadric_core::Model::forms).
    pub trace_products: usize,
    /// The density; without, there is none.
    pub density: Option<DensityOptions>,
    /// Whether the largest eigenvalue of each layer is looked for, to two digits.
    pub layer_tops: bool,
    /// The probability with which intervals contain the truth.
    pub level: f64,
    /// Up to this many parameters, the matrix is written down and everything is exact.
    pub dense: usize,
    /// What random vectors depend on.
    pub seed: u64,
}

impl Default for SpectrumOptions {
    /// Five eigenpairs at each end to 1e-3 of the norm, the trace to one per cent at 95 % with at most 400 products, a density
    /// of eight starts and 60 steps, no largest eigenvalues of layers, and matrices of up to 2,000 rows written down.
    fn default() -> Self {
        Self {
            top: 5,
            bottom: 5,
            tolerance: 1e-3,
            eigen_products: 2000,
            trace: 1e-2,
            trace_products: 400,
            density: Some(DensityOptions {
                steps: 60,
                ..DensityOptions::default()
            }),
            layer_tops: false,
            level: 0.95,
            dense: 2000,
            seed: 0,
        }
    }
}

/// An eigenvalue.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Eigenvalue {
    /// Its estimate.
    pub value: f64,
    /// An eigenvalue of the matrix lies within this of it.
    pub residual: f64,
    /// Whether the residual is within the tolerance, and no eigenvalue further out was missed.
    pub converged: bool,
}

/// What is known of the block of a layer.
#[derive(Clone, PartialEq, Debug)]
pub struct BlockSpectrum {
    /// Which layer.
    pub block: Block,
    /// The trace of its diagonal block.
    pub trace: Estimate,
    /// The largest eigenvalue of its diagonal block.
    pub top: Option<Eigenvalue>,
}

/// The trace of a matrix.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Trace {
    /// Its estimate.
    pub value: Estimate,
    /// Products with single vectors that it took.
    pub products: usize,
    /// Draws of [`Model::forms`](quadric_core::Model::forms) that it took.
    pub draws: usize,
    /// Whether the interval is as short as was asked for.
    pub met: bool,
}

/// What is known of a matrix.
#[derive(Clone, Debug)]
pub struct Spectrum<T> {
    /// The largest eigenvalues, descending.
    pub top: Vec<Eigenvalue>,
    /// The smallest, ascending.
    pub bottom: Vec<Eigenvalue>,
    /// Orthonormal eigenvectors of `top` in the columns.
    pub vectors: Mat<T>,
    /// The trace.
    pub trace: Option<Trace>,
    /// The layers, if there is a trace.
    pub layers: Vec<BlockSpectrum>,
    /// The spectral density.
    pub density: Option<Density>,
    /// Products with single vectors.
    pub products: usize,
    /// What the trace took beside them, in gradients of the model, about.
    pub gradients: f64,
    /// Whether the matrix was written down, so that nothing is an estimate.
    pub exact: bool,
}

/// A part of the analysis of a matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Writing the matrix down.
    Dense,
    /// The ends of the spectrum.
    Eigenpairs,
    /// The trace.
    Trace,
    /// Largest eigenvalues of layers.
    Layers,
    /// The density.
    Density,
}

impl Phase {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dense => "matrix",
            Self::Eigenpairs => "eigenvalues",
            Self::Trace => "trace",
            Self::Layers => "layers",
            Self::Density => "density",
        }
    }
}

quadric_core::state! {
    /// The parts that are done, and the one at hand where it is.
    #[derive(Clone, Debug)]
    struct Numbers[T: Scalar] {
        /// Parts that are done.
        done: u64,
        /// Products with single vectors so far.
        products: u64,
        search_vectors: Vec<T>,
        search_numbers: Vec<f64>,
        search_counters: Ints,
        vectors: Vec<T>,
        values: Vec<f64>,
        residuals: Vec<f64>,
        converged: Ints,
        trace: Vec<f64>,
        draws: Draws,
        /// Products of the look at a trace by products.
        looked: u64,
        /// Whether that was better.
        by_products: u64,
        gradients: f64,
        tops: Vec<f64>,
        quadrature_done: u64,
        diagonal: Vec<f64>,
        beside: Vec<f64>,
        basis: Vec<T>,
    }
}

/// An analysis that has not ended, as plain numbers for a checkpoint.
#[derive(Clone, Debug)]
pub struct Saved<T: Scalar>(Numbers<T>);

impl<T: Scalar> State for Saved<T> {
    fn visit(&mut self, path: &str, v: &mut dyn Visitor) -> Result<()> {
        self.0.visit(path, v)
    }
}

impl<T: Scalar> Default for Saved<T> {
    /// An analysis that has not begun.
    fn default() -> Self {
        Self(Numbers {
            done: 0,
            products: 0,
            search_vectors: Vec::new(),
            search_numbers: Vec::new(),
            search_counters: Ints::default(),
            vectors: Vec::new(),
            values: Vec::new(),
            residuals: Vec::new(),
            converged: Ints::default(),
            trace: Vec::new(),
            draws: Draws::default(),
            looked: 0,
            by_products: 0,
            gradients: 0.0,
            tops: Vec::new(),
            quadrature_done: 0,
            diagonal: Vec::new(),
            beside: Vec::new(),
            basis: Vec::new(),
        })
    }
}

/// Where an analysis is.
pub struct At<'a, T: Scalar> {
    /// The part at hand.
    pub phase: Phase,
    /// Products with single vectors of this part.
    pub products: usize,
    /// How many it takes at most.
    pub of: usize,
    /// What a checkpoint needs to go on from here, or from the beginning of a part that cannot be divided.
    pub save: &'a dyn Fn() -> Saved<T>,
}

/// Called after every product; a break ends the analysis with an error.
pub type SpectrumWatch<'a, T> = dyn FnMut(&At<'_, T>) -> ControlFlow<()> + Send + 'a;

/// Analyses a symmetric operator (d, d) whose coordinates belong to layers, from the beginning or from where an earlier analysis
/// with the same options was saved. Where the matrix is a sum over the `examples` of a model, its trace and those of the layers
/// can be known from these ([`model_trace`](crate::model_trace)); where such draws scatter much, both they and products are looked
/// at, and the better are gone on with.
///
/// ```
/// use quadric_curvature::{Block, Saved, SpectrumOptions, spectrum};
/// use quadric_linalg::algebra::Diagonal;
/// use std::ops::ControlFlow;
///
/// let matrix = Diagonal((0..3000).map(|i| 0.9f64.powi(i)).collect());
/// let half = |name: &str, range| Block { name: name.to_owned(), range };
/// let layers = [half("first", 0..1500), half("second", 1500..3000)];
/// let options = SpectrumOptions::default();
/// let found = spectrum(&matrix, &layers, None, &options, Saved::default(), &mut |_| ControlFlow::Continue(()))?;
/// assert!(found.top[0].converged && (found.top[0].value - 1.0).abs() < 1e-3);
/// assert!(found.trace.expect("a trace").value.contains(10.0));
/// assert!(found.layers[1].trace.high < 0.1);
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
///
/// # Errors
/// Options out of range, an operator that is not symmetric, examples with other layers, products that are not finite, those of the
/// operator, numbers that do not go with it or the options, and [`Stopped`](quadric_core::ErrorKind::Stopped) where the watch breaks off.
pub fn spectrum<T: Scalar>(
    op: &dyn LinearOperator<T>,
    layers: &[Block],
    examples: Option<&ExampleSum<'_, T>>,
    options: &SpectrumOptions,
    saved: Saved<T>,
    watch: &mut SpectrumWatch<'_, T>,
) -> Result<Spectrum<T>> {
    let n = op.shape().0;
    if n == 0 {
        return Err(Error::argument("parameters", 0, "at least 1"));
    }
    if let Some(layer) = layers.iter().find(|l| l.range.end > n) {
        let found = format!("{:?} of `{}`", layer.range, layer.name);
        return Err(Error::argument("layers", found, &format!("within 0..{n}")));
    }
    if let Some(sum) = examples.filter(|s| s.blocks() != layers.len()) {
        return Err(Error::shape(
            "the blocks of the examples",
            sum.blocks(),
            layers.len(),
        ));
    }
    if n <= options.smallest() {
        let (dense, products) = run::written(op, watch)?;
        let still = &mut |_: &At<'_, T>| ControlFlow::Continue(());
        let saved = Saved::default();
        let mut found = Run::new(&dense, layers, options, saved, still, true)?.finish(None)?;
        found.products = products;
        return Ok(found);
    }
    Run::new(op, layers, options, saved, watch, false)?.finish(examples)
}

impl SpectrumOptions {
    /// Operators of an order up to this are written down.
    fn smallest(&self) -> usize {
        self.dense.max(16 * self.top.max(self.bottom) + 256)
    }
}
