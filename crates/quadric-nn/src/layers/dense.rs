//! Dense layers.

use super::weight::{add_bias, weight};
use crate::{Init, Scope, Weighted};
use quadric_autodiff::Tensor;

/// Options of [`dense`].
#[derive(Clone, PartialEq, Debug)]
pub struct Dense {
    /// Whether there is a bias.
    pub bias: bool,
    /// What the weights start from, with a bias of 0. By default both are uniform within `±1 / sqrt(inputs)`, as in PyTorch.
    pub init: Option<Init>,
    /// Whether the weights of each output are a length times a direction, `g v / |v|` (Salimans and Kingma 2016).
    pub weight_norm: bool,
}

impl Default for Dense {
    /// With a bias, PyTorch's start, no weight normalisation.
    fn default() -> Self {
        Self {
            bias: true,
            init: None,
            weight_norm: false,
        }
    }
}

/// `x W + b` for each row: `(.., inputs)` gives `(.., outputs)`.
///
/// Parameters: `weight` (inputs, outputs), or with weight normalisation `weight_g` (outputs) and `weight_v` (inputs, outputs);
/// `bias` (outputs).
#[track_caller]
pub fn dense<'t>(
    scope: &Scope<'t>,
    name: &str,
    x: Tensor<'t>,
    outputs: usize,
    options: &Dense,
) -> Tensor<'t> {
    let (scope, inputs, init) = (scope.within(name), x.dim(-1), options.init.as_ref());
    let shape = [inputs, outputs];
    let w = weight(&scope, &shape, inputs, init, options.weight_norm);
    // A row alone is a matrix with one row.
    let y = match x.shape().len() {
        1 => x.expand(0).matmul(w).reshape([outputs]),
        _ => x.matmul(w),
    };
    let y = match options.weight_norm {
        true => y,
        false => scope.tap(Weighted::usual(options.bias), || x, y),
    };
    if options.bias {
        add_bias(&scope, y, inputs, init)
    } else {
        y
    }
}
