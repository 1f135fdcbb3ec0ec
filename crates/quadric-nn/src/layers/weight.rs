//! The weights of dense and convolutional layers.

use crate::{Init, Scope};
use quadric_autodiff::Tensor;
use quadric_core::Role;

/// The parameter `weight`, of which each entry along the last axis belongs to one output and multiplies `inputs` inputs. By
/// default it starts uniform within `±1 / sqrt(inputs)`.
///
/// With `normalized` it is `g v / |v|` for each output (Salimans and Kingma 2016), made of the parameters `weight_g`, which
/// starts as the norms of `v`, and `weight_v`.
#[track_caller]
pub(super) fn weight<'t>(
    scope: &Scope<'t>,
    shape: &[usize],
    inputs: usize,
    init: Option<&Init>,
    normalized: bool,
) -> Tensor<'t> {
    let init = init
        .cloned()
        .unwrap_or_else(|| Init::fan_in_uniform(inputs));
    if !normalized {
        return scope.parameter("weight", shape, Role::Weight, init);
    }
    let norms = Init::ColumnNorms {
        of: "weight_v".to_owned(),
        rows: shape[..shape.len() - 1].iter().product(),
        init: Box::new(init.clone()),
    };
    let g = scope.parameter("weight_g", &shape[shape.len() - 1..], Role::Scale, norms);
    let v = scope.parameter("weight_v", shape, Role::Weight, init);
    let inner: Vec<isize> = (0..shape.len() as isize - 1).collect();
    v * (g / v.square().sum(&inner).sqrt())
}

/// Adds the parameter `bias`, which starts as weights do by default, or at 0 if they are given an `init`.
#[track_caller]
pub(super) fn add_bias<'t>(
    scope: &Scope<'t>,
    x: Tensor<'t>,
    inputs: usize,
    init: Option<&Init>,
) -> Tensor<'t> {
    let init = match init {
        Some(_) => Init::Constant(0.0),
        None => Init::fan_in_uniform(inputs),
    };
    x + scope.parameter("bias", &[x.dim(-1)], Role::Bias, init)
}
