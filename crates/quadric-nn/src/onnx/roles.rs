//! What initializers are used for: whether they are trained, and as what.

use super::graph::{Graph, Id};
use quadric_core::Role;

/// How a value is used.
#[derive(Clone, Debug)]
pub(super) struct Usage {
    /// By any node.
    pub(super) read: bool,
    /// Only where entries must be known when tracing.
    pub(super) known: bool,
    /// As running mean or variance.
    pub(super) statistics: bool,
    /// Where a layer has parameters, so that even a single number is one.
    pub(super) in_layer: bool,
    /// As what first.
    pub(super) role: Role,
}

/// Operators that only rearrange: what is done with their result is done with their first argument; with any for `Concat`.
const REARRANGE: [&str; 10] = [
    "Cast",
    "Concat",
    "Expand",
    "Flatten",
    "Identity",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// The role of an argument of an operator, if it is one that layers have.
fn layer_role(op: &str, argument: usize) -> Option<Role> {
    match (op, argument) {
        ("Gemm" | "MatMul", 0 | 1) | ("Conv" | "ConvTranspose", 1) => Some(Role::Weight),
        ("LSTM" | "GRU" | "RNN", 1 | 2) | ("Einsum", _) => Some(Role::Weight),
        ("Gemm" | "Conv" | "ConvTranspose", 2) | ("LSTM" | "GRU" | "RNN", 3) => Some(Role::Bias),
        ("BatchNormalization" | "LayerNormalization", 1 | 2)
        | ("InstanceNormalization" | "GroupNormalization", 1 | 2)
        | ("RMSNormalization", 1) => Some(if argument == 1 {
            Role::Scale
        } else {
            Role::Bias
        }),
        ("PRelu", 1) | ("LSTM", 7) | ("Gather", 0) => Some(Role::Plain),
        _ => None,
    }
}

/// Arguments whose entries must be known when tracing.
fn must_be_known(op: &str, argument: usize) -> bool {
    matches!(
        (op, argument),
        ("OneHot", 2) | ("Range", _) | ("Resize", 1..=3)
    )
}

/// How each value is used.
pub(super) fn uses(graph: &Graph) -> Vec<Usage> {
    let none = Usage {
        read: false,
        known: true,
        statistics: false,
        in_layer: false,
        role: Role::Plain,
    };
    let mut all = vec![none; graph.names.len()];
    let mut maker = vec![None; graph.names.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        node.outputs
            .iter()
            .flatten()
            .for_each(|&id| maker[id] = Some(i));
    }
    let is_product = |id: Id| {
        maker[id].is_some_and(|i: usize| matches!(graph.nodes[i].entry.name, "MatMul" | "Einsum"))
    };
    // From the end, so that what a rearranged value is used for is known before it is asked.
    for node in graph.nodes.iter().rev() {
        let op = node.entry.name;
        for (argument, id) in node.inputs.iter().enumerate() {
            let Some(id) = *id else { continue };
            let passes = REARRANGE.contains(&op) && (argument == 0 || op == "Concat");
            let result = node.outputs.first().copied().flatten();
            if let (true, Some(result)) = (passes, result) {
                let result = all[result].clone();
                let here = &mut all[id];
                here.known &= result.known && result.read;
                here.in_layer |= result.in_layer;
                if result.role != Role::Plain {
                    here.role = result.role;
                }
            } else {
                let added = op == "Add"
                    && node
                        .inputs
                        .iter()
                        .flatten()
                        .any(|&o| o != id && is_product(o));
                let role = layer_role(op, argument);
                let here = &mut all[id];
                here.known &= must_be_known(op, argument);
                here.in_layer |= added || role.is_some();
                here.statistics |= op == "BatchNormalization" && argument > 2;
                let role = role.or((op == "Add").then_some(Role::Bias));
                if role.is_some_and(|r| r != Role::Plain) {
                    here.role = role.unwrap_or(Role::Plain);
                }
            }
            all[id].read = true;
        }
    }
    all
}
