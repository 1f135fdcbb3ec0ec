//! Kronecker factors of the blocks of a Fisher matrix that belong to the layers of a network (Martens, Grosse, arXiv 1503.05671).
//!
//! The weights of a layer and its bias are one matrix (outputs, inputs + 1), whose entries lie row after row; in this order the
//! block of the layer is close to `B ⊗ A`, for the mean square A of its inputs, with a 1 behind them, and that B of the
//! derivatives by its outputs.

use crate::gather::Rows;
use crate::place::Place;
use crate::{Factored, FactoredEigen};
use faer::Mat;
use quadric_core::{Backward, Layout, Matrix, Model, Tap, Targets};
use quadric_linalg::algebra::{Kronecker, KroneckerEigen};
use quadric_linalg::dense::{product, symmetric_eigen};
use quadric_linalg::{Error, ErrorKind, Result, Scalar};

/// What is done with layers that use their weights at many positions of an example (Eschenhagen et al., arXiv 2311.00636).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Sharing {
    /// Every position is an example of its own: for a loss at each position. In deep linear networks it is then exact.
    #[default]
    Expand,
    /// Inputs and derivatives are summed over the positions first: for a loss of what is averaged over them.
    Reduce,
}

/// The factors of a layer.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Where its parameters lie.
    pub place: Place,
    /// The mean square of the inputs, the 1 of the bias last (inputs + 1, inputs + 1), or without bias (inputs, inputs).
    pub a: Mat<f64>,
    /// The mean square of the derivatives (outputs, outputs).
    pub b: Mat<f64>,
}

/// The factors of all layers of a model that multiply with weights.
#[derive(Clone, Debug)]
pub struct Factors {
    pub(crate) layers: Vec<Layer>,
    pub(crate) dim: usize,
    pub(crate) matrix: Matrix,
}

/// Sums over examples for a layer.
struct Sums {
    place: Place,
    a: Mat<f64>,
    b: Mat<f64>,
    /// Examples and rows of the inputs in A.
    examples: usize,
    rows: usize,
}

/// The walks over the examples that give a matrix, and by what the sum of the squares of its gradients is multiplied.
pub(crate) fn walks<T: Scalar>(
    model: &dyn Model<T>,
    matrix: Matrix,
) -> Result<(Vec<Backward>, f64)> {
    let weight = model.weight()?;
    let gradient = Backward::Gradient;
    match matrix {
        Matrix::Fisher => Ok((vec![Backward::Fisher], 1.0 / weight)),
        Matrix::SampledFisher { draws: 0, .. } => {
            Err(Error::argument("draws", 0, "at least one draw"))
        }
        Matrix::SampledFisher { draws, seed } => {
            let walk = |draw| gradient(Targets::Sampled { draw, seed });
            let scale = 1.0 / (weight * draws as f64);
            Ok(((0..draws).map(walk).collect(), scale))
        }
        Matrix::EmpiricalFisher => {
            let scale = model.counting()? / (weight * weight);
            Ok((vec![gradient(Targets::Data)], scale))
        }
        _ => Err(Error::argument(
            "matrix",
            format!("{matrix:?}"),
            "a Fisher matrix: exact, sampled or empirical",
        )),
    }
}

impl Factors {
    /// The factors of a Fisher matrix at a point.
    ///
    /// # Errors
    /// A matrix that is no Fisher matrix, those of the model, entries that are not finite, and a layer that is reduced although
    /// its weights are used in several places.
    pub fn new<T: Scalar>(
        model: &dyn Model<T>,
        x: &[T],
        matrix: Matrix,
        sharing: Sharing,
    ) -> Result<Self> {
        let (walks, scale) = walks(model, matrix)?;
        let layout = model.layout();
        let mut sums: Vec<Sums> = Vec::new();
        for (i, &walk) in walks.iter().enumerate() {
            model.taps(x, walk, &mut |tap| {
                let at = match sums.iter().position(|s| s.place.weight() == tap.weight) {
                    Some(at) => at,
                    None => {
                        sums.push(Sums::new(layout, &tap)?);
                        sums.len() - 1
                    }
                };
                sums[at].place.check(layout, &tap)?;
                sums[at].add(&tap, sharing, i == 0);
                Ok(())
            })?;
        }
        let examples = model.examples();
        let layers = sums
            .into_iter()
            .map(|s| s.layer(layout, examples, sharing, scale));
        Ok(Self {
            layers: layers.collect::<Result<_>>()?,
            dim: layout.len(),
            matrix,
        })
    }

    /// The layers, in the order of the evaluation.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The parameters of the model.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// `B ⊗ A` in the block of each layer, and 0 elsewhere.
    ///
    /// # Errors
    /// None that depends on the caller.
    pub fn operator<T: Scalar>(&self) -> Result<Factored<T>> {
        let blocks = self.layers.iter().map(|l| {
            let cast = |m: &Mat<f64>| Mat::from_fn(m.nrows(), m.ncols(), |i, j| T::of(m[(i, j)]));
            let block = Kronecker::symmetric(cast(&l.b), cast(&l.a), true)?;
            Ok((l.place.clone(), Box::new(block) as _))
        });
        Ok(Factored::new(blocks.collect::<Result<_>>()?, self.dim, 0.0))
    }

    /// The eigenvectors and eigenvalues of the operator.
    ///
    /// # Errors
    /// An iteration that does not converge.
    pub fn eigen(&self) -> Result<FactoredEigen> {
        let blocks = self.layers.iter().map(|l| {
            let block = Kronecker::symmetric(l.b.clone(), l.a.clone(), true)?;
            Ok((l.place.clone(), block.eigen()?))
        });
        Ok(FactoredEigen::new(blocks.collect::<Result<_>>()?, self.dim))
    }

    /// Inverses of `(A + π √γ I)` and `(B + √γ / π I)` with `π² = mean eigenvalue of A / that of B`, which split the damping γ
    /// between the factors; 1/γ in layers one of whose factors is 0, and for parameters of no layer.
    ///
    /// # Errors
    /// A damping that is not positive and finite, or an iteration that does not converge.
    pub fn split_inverse<T: Scalar>(&self, damping: f64, split: Split) -> Result<Factored<T>> {
        crate::factored::check_damping(damping)?;
        let blocks = self.layers.iter().map(|l| {
            let (b, a) = (
                symmetric_eigen(l.b.as_ref())?,
                symmetric_eigen(l.a.as_ref())?,
            );
            let mean =
                |v: &[f64]| v.iter().map(|v| v.max(0.0)).sum::<f64>() / v.len().max(1) as f64;
            let (of_a, of_b, root) = (mean(&a.values), mean(&b.values), damping.sqrt());
            let is_flat = of_a == 0.0 || of_b == 0.0;
            let ratio = match split {
                Split::Trace if !is_flat => (of_a / of_b).sqrt(),
                _ => 1.0,
            };
            let values = Mat::from_fn(b.values.len(), a.values.len(), |i, j| {
                if is_flat {
                    return 1.0 / damping;
                }
                let (b, a) = (b.values[i].max(0.0), a.values[j].max(0.0));
                1.0 / ((b + root / ratio) * (a + root * ratio))
            });
            let block = KroneckerEigen::new(b.vectors, a.vectors, values)?;
            Ok((l.place.clone(), block))
        });
        FactoredEigen::new(blocks.collect::<Result<_>>()?, self.dim).operator_with(1.0 / damping)
    }
}

/// How the damping is divided between the two factors of a layer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Split {
    /// In proportion to the mean eigenvalues of the factors.
    #[default]
    Trace,
    /// The same to both.
    Plain,
}

pub(crate) fn used_often(layout: &Layout, place: &Place) -> Error {
    let name = &layout.segments()[place.weight()].name;
    let text = format!("`{name}` is used in several places, whose products belong together");
    Error::new(ErrorKind::Capability, text)
}

impl Sums {
    fn new<T: Scalar>(layout: &Layout, tap: &Tap<'_, T>) -> Result<Self> {
        let place = Place::new(layout, tap)?;
        let (p, q) = place.shape();
        Ok(Self {
            place,
            a: Mat::zeros(q, q),
            b: Mat::zeros(p, p),
            examples: 0,
            rows: 0,
        })
    }

    /// Adds the squares of what goes through the layer; `inputs` says whether those of the inputs are not yet there.
    fn add<T: Scalar>(&mut self, tap: &Tap<'_, T>, sharing: Sharing, inputs: bool) {
        let rows = match sharing {
            Sharing::Expand => Rows::All,
            Sharing::Reduce => Rows::Summed,
        };
        if inputs {
            self.examples += tap.inputs.nrows() / tap.shared;
            self.rows += tap.inputs.nrows();
            add_square(&rows.of_inputs(tap, self.place.has_bias()), &mut self.a);
        }
        for &block in tap.gradients {
            add_square(&rows.of_block(tap, block), &mut self.b);
        }
    }

    fn layer(
        self,
        layout: &Layout,
        examples: usize,
        sharing: Sharing,
        scale: f64,
    ) -> Result<Layer> {
        let per_input = match sharing {
            Sharing::Expand => 1.0 / self.rows.max(1) as f64,
            Sharing::Reduce if self.examples != examples => {
                return Err(used_often(layout, &self.place));
            }
            Sharing::Reduce => {
                let shared = self.rows as f64 / examples as f64;
                1.0 / (examples as f64 * shared * shared)
            }
        };
        let name = &layout.segments()[self.place.weight()].name;
        let scaled = |m: &Mat<f64>, by: f64, what: &str| {
            let scaled = symmetric(m, by);
            let bad = (0..m.ncols()).find_map(|j| {
                let i = (0..m.nrows()).find(|&i| !scaled[(i, j)].is_finite())?;
                Some((i, j))
            });
            match bad {
                None => Ok(scaled),
                Some(at) => {
                    let what = format!("the factor {what} of `{name}`");
                    Err(Error::non_finite(&what, at, scaled[at]))
                }
            }
        };
        Ok(Layer {
            a: scaled(&self.a, per_input, "A")?,
            b: scaled(&self.b, scale, "B")?,
            place: self.place,
        })
    }
}

/// A multiple of a symmetric matrix, both triangles with the same bits.
pub(crate) fn symmetric(m: &Mat<f64>, by: f64) -> Mat<f64> {
    Mat::from_fn(m.nrows(), m.ncols(), |i, j| by * m[(i.max(j), i.min(j))])
}

/// Adds `Xᵀ X`.
fn add_square(x: &Mat<f64>, sum: &mut Mat<f64>) {
    let mut square = Mat::zeros(x.ncols(), x.ncols());
    product(x.transpose(), x.as_ref(), square.as_mut());
    *sum += square;
}
