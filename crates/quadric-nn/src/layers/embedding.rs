//! Tables of vectors.

use crate::{Init, Scope};
use quadric_autodiff::Tensor;
use quadric_core::Role;

/// The rows of a table that indices name: `(..)` gives `(.., width)`. An index that names none of the `rows` is an error when the
/// program runs.
///
/// Parameter: `weight` (rows, width), at first standard normal, as in PyTorch.
#[track_caller]
pub fn embedding<'t>(
    scope: &Scope<'t>,
    name: &str,
    indices: Tensor<'t>,
    rows: usize,
    width: usize,
) -> Tensor<'t> {
    let scope = scope.within(name);
    let table = scope.parameter("weight", &[rows, width], Role::Plain, Init::Normal(1.0));
    table.gather(indices)
}
