//! What further walks over the examples make of factors: better eigenvalues, or better factors.

use crate::factored::FactoredEigen;
use crate::factors::{Factors, Layer, symmetric, used_often, walks};
use crate::gather::Rows;
use crate::place::Place;
use faer::{Mat, MatRef};
use quadric_core::{Model, Tap};
use quadric_linalg::algebra::KroneckerEigen;
use quadric_linalg::dense::product;
use quadric_linalg::{Error, ErrorKind, Result, Scalar};

impl Factors {
    /// The same eigenvectors with the curvature along them for eigenvalues: the best in the basis (George et al.,
    /// arXiv 1806.03884). Their sum in the block of a layer is the trace of that block of the matrix itself.
    ///
    /// # Errors
    /// Those of the model, and a layer whose weights are used in several places.
    pub fn corrected<T: Scalar>(&self, model: &dyn Model<T>, x: &[T]) -> Result<FactoredEigen> {
        let eigen = self.eigen()?;
        let mut sums: Vec<Mat<f64>> = Vec::new();
        for (place, _) in eigen.blocks() {
            let (p, q) = place.shape();
            sums.push(Mat::zeros(p, q));
        }
        let scale = self.walk(model, x, |i, tap| {
            let (place, block) = &eigen.blocks()[i];
            add_squares(tap, place, block, &mut sums[i]);
        })?;
        let blocks = eigen
            .blocks()
            .iter()
            .zip(&sums)
            .map(|((place, block), sum)| {
                let values = Mat::from_fn(sum.nrows(), sum.ncols(), |i, j| scale * sum[(i, j)]);
                Ok((place.clone(), block.with_values(values)?))
            });
        Ok(FactoredEigen::new(blocks.collect::<Result<_>>()?, self.dim))
    }

    /// Factors whose product is nearer to the block of each layer, in the Frobenius norm: each pass over the examples gives one
    /// factor, B first, that is the best for the other. The pair goes to the nearest of all (Koroko et al., arXiv 2201.10285, after
    /// Van Loan and Pitsianis 1993), as the power method does. A factor that is 0 stays.
    ///
    /// # Errors
    /// Those of the model, entries that are not finite, and a layer whose weights are used in several places.
    pub fn nearer<T: Scalar>(&self, model: &dyn Model<T>, x: &[T], passes: usize) -> Result<Self> {
        let mut factors = self.clone();
        for pass in 0..passes {
            factors.improve(model, x, pass % 2 == 0)?;
        }
        Ok(factors)
    }

    /// Replaces B, or else A, by the best for the other.
    fn improve<T: Scalar>(&mut self, model: &dyn Model<T>, x: &[T], is_b: bool) -> Result<()> {
        let changed = |l: &Layer| if is_b { l.b.nrows() } else { l.a.nrows() };
        let sizes = self.layers.iter().map(changed);
        let mut sums: Vec<Mat<f64>> = sizes.map(|n| Mat::zeros(n, n)).collect();
        let scale = self.walk(model, x, |i, tap| {
            let layer = &self.layers[i];
            let inputs = Rows::All.of_inputs(tap, layer.place.has_bias());
            for &block in tap.gradients {
                let gradients = Rows::All.of_block(tap, block);
                match is_b {
                    true => add_seen(&gradients, &inputs, &layer.a, tap.shared, &mut sums[i]),
                    false => add_seen(&inputs, &gradients, &layer.b, tap.shared, &mut sums[i]),
                }
            }
        })?;
        for (layer, sum) in self.layers.iter_mut().zip(&sums) {
            let norm = if is_b {
                layer.a.squared_norm_l2()
            } else {
                layer.b.squared_norm_l2()
            };
            if norm == 0.0 {
                continue;
            }
            let best = symmetric(sum, scale / norm);
            if !best.norm_max().is_finite() {
                let text = "a factor that is nearer is not finite";
                return Err(Error::new(ErrorKind::NonFinite, text));
            }
            *(if is_b { &mut layer.b } else { &mut layer.a }) = best;
        }
        Ok(())
    }

    /// Calls `visit` with the number of a layer and what goes through it; returns by what sums of squares are multiplied.
    fn walk<T: Scalar>(
        &self,
        model: &dyn Model<T>,
        x: &[T],
        mut visit: impl FnMut(usize, &Tap<'_, T>),
    ) -> Result<f64> {
        let (walks, scale) = walks(model, self.matrix)?;
        let mut examples = vec![0; self.layers.len()];
        for walk in &walks {
            model.taps(x, *walk, &mut |tap| {
                let is = |l: &Layer| l.place.weight() == tap.weight;
                let i = self.layers.iter().position(is).ok_or_else(|| {
                    let text = "the model has a layer that has no factors";
                    Error::new(ErrorKind::Argument, text)
                })?;
                self.layers[i].place.check(model.layout(), &tap)?;
                examples[i] += tap.inputs.nrows() / tap.shared;
                visit(i, &tap);
                Ok(())
            })?;
        }
        let expected = model.examples() * walks.len();
        match examples.iter().position(|&n| n != expected) {
            None => Ok(scale),
            Some(i) => Err(used_often(model.layout(), &self.layers[i].place)),
        }
    }
}

/// `X Y`.
fn times(x: &Mat<f64>, y: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(x.nrows(), y.ncols());
    product(x.as_ref(), y, out.as_mut());
    out
}

/// Adds `(Vᵀ G U)²` entry by entry, for the gradients G of all examples and blocks of a tap.
fn add_squares<T: Scalar>(
    tap: &Tap<'_, T>,
    place: &Place,
    block: &KroneckerEigen<f64>,
    sums: &mut Mat<f64>,
) {
    let (v, u) = block.vectors();
    let inputs = times(&Rows::All.of_inputs(tap, place.has_bias()), u);
    let mut inside = Mat::zeros(v.nrows(), u.nrows());
    for &gradients in tap.gradients {
        let gradients = times(&Rows::All.of_block(tap, gradients), v);
        for first in (0..inputs.nrows()).step_by(tap.shared) {
            let [d, a] = [&gradients, &inputs].map(|m| m.subrows(first, tap.shared));
            product(d.transpose(), a, inside.as_mut());
            for j in 0..inside.ncols() {
                for i in 0..inside.nrows() {
                    sums[(i, j)] += inside[(i, j)] * inside[(i, j)];
                }
            }
        }
    }
}

/// Adds `Σ Xᵀ (Y F Yᵀ) X` for the rows X and Y of each example, which has `shared` of them.
fn add_seen(x: &Mat<f64>, y: &Mat<f64>, f: &Mat<f64>, shared: usize, sum: &mut Mat<f64>) {
    let through = times(y, f.as_ref());
    let (mut mixed, mut inner) = (Mat::zeros(x.nrows(), x.ncols()), Mat::zeros(shared, shared));
    for first in (0..x.nrows()).step_by(shared) {
        let rows = |m: &Mat<f64>| m.subrows(first, shared).to_owned();
        product(rows(&through).as_ref(), rows(y).transpose(), inner.as_mut());
        let out = mixed.subrows_mut(first, shared);
        product(inner.as_ref(), rows(x).as_ref(), out);
    }
    *sum += times(&x.transpose().to_owned(), mixed.as_ref());
}
