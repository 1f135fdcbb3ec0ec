//! What goes through the layers of a network, recorded for those who ask.

use super::Scope;
use quadric_autodiff::{Shape, Tensor};

/// The parameters of a product `x W + b`, by their names in the scope.
#[derive(Clone, Copy, Debug)]
pub struct Weighted<'a> {
    /// The weights, `(inputs.., outputs)`; axes of inputs are taken for one.
    pub weight: &'a str,
    /// Whether they are `(outputs, inputs..)` instead.
    pub transposed: bool,
    /// What is added, `(outputs)`.
    pub bias: Option<&'a str>,
}

impl Weighted<'_> {
    /// The parameters `weight` and, with a bias, `bias`.
    pub(crate) fn usual(bias: bool) -> Self {
        Self {
            weight: "weight",
            transposed: false,
            bias: bias.then_some("bias"),
        }
    }
}

/// A product with weights in a trace.
pub(crate) struct Tapped<'t> {
    /// The segment of the weights.
    pub(crate) weight: usize,
    /// As in [`Weighted`].
    pub(crate) transposed: bool,
    /// The segment of the bias.
    pub(crate) bias: Option<usize>,
    /// What is multiplied `(rows, inputs)`.
    pub(crate) inputs: Tensor<'t>,
    /// Zeros `(.., outputs)`, as many rows, that are added to the product; so derivatives by them are those by the product.
    pub(crate) probe: Tensor<'t>,
}

/// The products that were recorded.
pub(super) struct Taps<'t> {
    /// A number that is 0, which nothing in the trace knows.
    pub(super) zero: Tensor<'t>,
    /// Number of probes made.
    pub(super) probes: usize,
    pub(super) found: Vec<Tapped<'t>>,
}

impl<'t> Taps<'t> {
    pub(super) fn new(zero: Tensor<'t>) -> Self {
        Self {
            zero,
            probes: 0,
            found: Vec::new(),
        }
    }
}

/// All axes but the last taken for one.
pub(crate) fn rows(x: Tensor<'_>) -> Tensor<'_> {
    let shape = x.shape();
    let Some((&last, front)) = shape.split_last() else {
        x.tracer().fail("tap", "a single number has no rows");
    };
    x.reshape([front.iter().product(), last])
}

/// Layers say what they multiply with their weights, for methods such as K-FAC that look at it ([`Model::taps`]).
///
/// [`Model::taps`]: quadric_core::Model::taps
impl<'t> Scope<'t> {
    /// Says that `outputs` `(.., outputs)` are `inputs` `(.., inputs)` times weights, before a bias is added; rows that belong
    /// together have the same place. Returns what to take for `outputs` from here on. `inputs` is asked only if somebody looks.
    #[track_caller]
    pub fn tap(
        &self,
        layer: Weighted<'_>,
        inputs: impl FnOnce() -> Tensor<'t>,
        outputs: Tensor<'t>,
    ) -> Tensor<'t> {
        let Some(probe) = self.probe(outputs.shape()) else {
            return outputs;
        };
        self.record(layer, inputs(), probe);
        outputs + probe
    }

    /// Zeros to be added to a product, for the body of a scan, where [`tap`](Self::tap) does not reach; to be
    /// [recorded](Self::record) afterwards. None if nobody looks.
    pub(crate) fn probe(&self, shape: Shape) -> Option<Tensor<'t>> {
        let mut store = self.store.borrow_mut();
        let taps = store.taps.as_mut()?;
        taps.probes += 1;
        // Different multiples, so that no two probes are the same value.
        Some((taps.zero * taps.probes as f64).broadcast_to(shape))
    }

    /// Records a product to which a probe was added.
    #[track_caller]
    pub(crate) fn record(&self, layer: Weighted<'_>, inputs: Tensor<'t>, probe: Tensor<'t>) {
        let (inputs, outputs) = (rows(inputs), rows(probe).shape());
        if inputs.dim(0) != outputs[0] {
            let (m, n) = (inputs.dim(0), outputs[0]);
            let message = format!("{m} rows of inputs and {n} rows of outputs");
            self.tracer.fail("tap", &message);
        }
        let entries = inputs.dim(1).saturating_mul(outputs[1]);
        let tapped = Tapped {
            weight: self.segment(layer.weight, entries),
            transposed: layer.transposed,
            bias: layer.bias.map(|name| self.segment(name, outputs[1])),
            inputs,
            probe,
        };
        if let Some(taps) = &mut self.store.borrow_mut().taps {
            taps.found.push(tapped);
        }
    }

    /// The number of a parameter, which has so many entries.
    #[track_caller]
    fn segment(&self, name: &str, entries: usize) -> usize {
        let name = format!("{}{name}", self.prefix);
        let store = self.store.borrow();
        let known = store.parameters.known.as_ref();
        let segments = known.map_or(&[][..], |(layout, _)| layout.segments());
        let found = segments.iter().position(|s| s.name == name);
        let fits = found.filter(|&i| segments[i].len() == entries);
        fits.unwrap_or_else(|| {
            let message = format!("there is no parameter `{name}` of {entries} entries");
            self.tracer.fail("tap", &message)
        })
    }
}
