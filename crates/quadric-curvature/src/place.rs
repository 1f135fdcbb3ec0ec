//! Where the matrix of a layer lies in a flat vector of parameters.

use quadric_core::{Backward, Layout, Model, Tap, Targets};
use quadric_linalg::{Error, ErrorKind, Result, Scalar};
use std::ops::Range;

/// The parameters of a layer as one matrix (outputs, inputs + 1), the bias in the last column, or without bias
/// (outputs, inputs).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    weight: usize,
    bias: Option<usize>,
    transposed: bool,
    outputs: usize,
    inputs: usize,
    weights: Range<usize>,
    biases: Range<usize>,
}

impl Place {
    /// That of the layer of a tap.
    ///
    /// # Errors
    /// A tap that does not fit the layout.
    pub(crate) fn new<T: Scalar>(layout: &Layout, tap: &Tap<'_, T>) -> Result<Self> {
        let segments = layout.segments();
        let range = |i: usize, len: Option<usize>| {
            let found = segments.get(i).filter(|s| Some(s.len()) == len);
            found.map(|s| s.range()).ok_or_else(|| {
                let text = format!("a tap of segment {i} does not fit the parameters");
                Error::new(ErrorKind::Shape, text)
            })
        };
        let inputs = tap.inputs.ncols();
        let outputs = tap.gradients.first().map_or(0, |g| g.ncols());
        let fits = |rows: usize| rows == tap.inputs.nrows();
        let blocks = tap.gradients.iter();
        if tap.shared == 0
            || !tap.inputs.nrows().is_multiple_of(tap.shared)
            || !blocks
                .clone()
                .all(|g| fits(g.nrows()) && g.ncols() == outputs)
        {
            let text = format!("the rows of a tap of segment {} do not fit", tap.weight);
            return Err(Error::new(ErrorKind::Shape, text));
        }
        Ok(Self {
            weight: tap.weight,
            bias: tap.bias,
            transposed: tap.transposed,
            outputs,
            inputs,
            weights: range(tap.weight, inputs.checked_mul(outputs))?,
            biases: tap.bias.map_or(Ok(0..0), |i| range(i, Some(outputs)))?,
        })
    }

    /// Refuses a tap of the same weights that uses them another way.
    pub(crate) fn check<T: Scalar>(&self, layout: &Layout, tap: &Tap<'_, T>) -> Result<()> {
        if Self::new(layout, tap)? == *self {
            return Ok(());
        }
        let name = &layout.segments()[self.weight].name;
        let text = format!("`{name}` is used with different biases, or in both orders");
        Err(Error::new(ErrorKind::Capability, text))
    }

    /// The segment of the weights.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The segment of the bias.
    pub fn bias(&self) -> Option<usize> {
        self.bias
    }

    pub(crate) fn has_bias(&self) -> bool {
        self.bias.is_some()
    }

    /// Rows and columns of the matrix.
    pub fn shape(&self) -> (usize, usize) {
        (self.outputs, self.inputs + usize::from(self.has_bias()))
    }

    /// The position of each entry of the matrix, row after row, in the flat vector.
    pub fn positions(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        let (outputs, inputs, transposed) = (self.outputs, self.inputs, self.transposed);
        let (weights, biases) = (self.weights.start, self.biases.start);
        let columns = self.shape().1;
        (0..outputs * columns).map(move |at| match (at / columns, at % columns) {
            (o, i) if i == inputs => biases + o,
            (o, i) if transposed => weights + o * inputs + i,
            (o, i) => weights + i * outputs + o,
        })
    }
}

/// Those of all layers of a model that multiply with weights, in the order of the evaluation; one gradient.
pub(crate) fn places<T: Scalar>(model: &dyn Model<T>, x: &[T]) -> Result<Vec<Place>> {
    let mut all: Vec<Place> = Vec::new();
    model.taps(x, Backward::Gradient(Targets::Data), &mut |tap| match all
        .iter()
        .find(|p| p.weight == tap.weight)
    {
        Some(known) => known.check(model.layout(), &tap),
        None => {
            all.push(Place::new(model.layout(), &tap)?);
            Ok(())
        }
    })?;
    Ok(all)
}
