//! Sums over the gradients of single examples by the weights of each layer, from what goes through it.

use crate::factors::{used_often, walks};
use crate::gather::Rows;
use crate::place::Place;
use crate::written::zeros;
use faer::Mat;
use quadric_core::{Matrix, Model, Tap};
use quadric_linalg::algebra::Diagonal;
use quadric_linalg::dense::product;
use quadric_linalg::{Error, Result, Scalar};

/// Sums for all layers of a model that multiply with weights.
pub(crate) struct LayerSums<S> {
    pub(crate) layers: Vec<LayerSum<S>>,
    /// By what the sum of the squares of the gradients is multiplied to give the matrix.
    pub(crate) scale: f64,
}

/// What was summed for a layer.
pub(crate) struct LayerSum<S> {
    pub(crate) place: Place,
    pub(crate) sums: S,
    /// Whether each gradient was seen as a whole, since the weights are used in one place only.
    whole: bool,
}

impl<S> LayerSum<S> {
    /// Refuses a layer whose gradients came in parts.
    pub(crate) fn check<T: Scalar>(&self, model: &dyn Model<T>) -> Result<()> {
        match self.whole {
            true => Ok(()),
            false => Err(used_often(model.layout(), &self.place)),
        }
    }
}

/// The gradients of some examples by the matrix of a layer: `Σ d aᵀ` over the positions of an example.
pub(crate) struct LayerGradients {
    /// Inputs (rows, inputs + 1), or without bias (rows, inputs).
    inputs: Mat<f64>,
    /// Derivatives by the outputs (rows, outputs).
    outputs: Mat<f64>,
    /// Rows for each example.
    shared: usize,
}

impl LayerGradients {
    /// Adds the squares of the entries to `sums` (outputs, inputs + 1).
    pub(crate) fn add_squares(&self, sums: &mut Mat<f64>) {
        let mut part = Mat::zeros(sums.nrows(), sums.ncols());
        if self.shared == 1 {
            // The square of a product is the product of squares.
            let [d, a] = [&self.outputs, &self.inputs]
                .map(|m| Mat::from_fn(m.nrows(), m.ncols(), |i, j| m[(i, j)].powi(2)));
            product(d.transpose(), a.as_ref(), part.as_mut());
            *sums += part;
            return;
        }
        for first in (0..self.inputs.nrows()).step_by(self.shared) {
            let [d, a] = [&self.outputs, &self.inputs].map(|m| m.subrows(first, self.shared));
            product(d.transpose(), a, part.as_mut());
            for j in 0..part.ncols() {
                (0..part.nrows()).for_each(|i| sums[(i, j)] += part[(i, j)].powi(2));
            }
        }
    }

    /// Adds `Σ g gᵀ` over the examples to the sum (inputs + 1, inputs + 1) of each output, for the row g of its gradient.
    pub(crate) fn add_units(&self, sums: &mut [Mat<f64>]) {
        let (examples, q) = (self.inputs.nrows() / self.shared, self.inputs.ncols());
        let mut square = Mat::zeros(q, q);
        for (o, sum) in sums.iter_mut().enumerate() {
            let row = |n: usize, i: usize| {
                let rows = n * self.shared..(n + 1) * self.shared;
                let terms = rows.map(|r| self.outputs[(r, o)] * self.inputs[(r, i)]);
                terms.sum::<f64>()
            };
            let rows = Mat::from_fn(examples, q, row);
            product(rows.transpose(), rows.as_ref(), square.as_mut());
            *sum += &square;
        }
    }
}

/// Walks over the gradients of all examples whose squares make a Fisher matrix.
pub(crate) fn layer_sums<T: Scalar, S>(
    model: &dyn Model<T>,
    x: &[T],
    matrix: Matrix,
    new: impl Fn(&Place) -> Result<S>,
    add: impl Fn(&LayerGradients, &mut S),
) -> Result<LayerSums<S>> {
    let (walks, scale) = walks(model, matrix)?;
    let layout = model.layout();
    let mut layers: Vec<(Place, S, usize)> = Vec::new();
    for &walk in &walks {
        model.taps(x, walk, &mut |tap: Tap<'_, T>| {
            let at = match layers.iter().position(|s| s.0.weight() == tap.weight) {
                Some(at) => at,
                None => {
                    let place = Place::new(layout, &tap)?;
                    let sums = new(&place)?;
                    layers.push((place, sums, 0));
                    layers.len() - 1
                }
            };
            let (place, sums, examples) = &mut layers[at];
            place.check(layout, &tap)?;
            *examples += tap.inputs.nrows() / tap.shared;
            let mut gradients = LayerGradients {
                inputs: Rows::All.of_inputs(&tap, place.has_bias()),
                outputs: Mat::new(),
                shared: tap.shared,
            };
            for &block in tap.gradients {
                gradients.outputs = Rows::All.of_block(&tap, block);
                add(&gradients, sums);
            }
            Ok(())
        })?;
    }
    let all = model.examples() * walks.len();
    let layers = layers.into_iter().map(|(place, sums, examples)| LayerSum {
        place,
        sums,
        whole: examples == all,
    });
    Ok(LayerSums {
        layers: layers.collect(),
        scale,
    })
}

/// The diagonal of a Fisher matrix (d, d), exactly: in layers from what goes through them, which costs about two gradients for each
/// column of the scores; for parameters of no layer, and layers that use their weights in several places, a product each.
///
/// # Errors
/// A matrix that is no Fisher matrix, those of the model, and entries that are not finite.
pub fn fisher_diagonal<T: Scalar>(
    model: &dyn Model<T>,
    x: &[T],
    matrix: Matrix,
) -> Result<Diagonal<f64>> {
    let LayerSums { layers, scale } = layer_sums(
        model,
        x,
        matrix,
        |place| zeros(place.shape().0, place.shape().1),
        LayerGradients::add_squares,
    )?;
    let mut diagonal = vec![None; model.layout().len()];
    for layer in layers.iter().filter(|l| l.whole) {
        let q = layer.place.shape().1;
        for (at, to) in layer.place.positions().enumerate() {
            diagonal[to] = Some(scale * layer.sums[(at / q, at % q)]);
        }
    }
    let others: Vec<usize> = (0..diagonal.len())
        .filter(|&i| diagonal[i].is_none())
        .collect();
    let op = model.matrix(x, matrix)?;
    for some in others.chunks(32) {
        let d = diagonal.len();
        let mut units = zeros::<T>(d, some.len())?;
        for (j, &i) in some.iter().enumerate() {
            units[(i, j)] = T::of(1.0);
        }
        let mut products = zeros::<T>(d, some.len())?;
        op.apply(units.as_ref(), products.as_mut())?;
        for (j, &i) in some.iter().enumerate() {
            diagonal[i] = Some(products[(i, j)].to_f64());
        }
    }
    let entries = diagonal.into_iter().map(|v| v.expect("all were found"));
    let entries: Vec<f64> = entries.collect();
    match entries.iter().position(|v| !v.is_finite()) {
        None => Ok(Diagonal(entries)),
        Some(i) => Err(Error::non_finite("the diagonal", i, entries[i])),
    }
}
