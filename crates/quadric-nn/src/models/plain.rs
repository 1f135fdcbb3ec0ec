//! Layers one after the other.

use crate::layers::{Activation, Conv2d, Dense, conv2d, dense};
use crate::{Network, Port, Scope};
use quadric_autodiff::{Padding, Tensor, Windows};
use quadric_linalg::{Error, Result};

/// Dense layers `fc1`, `fc2`, ... of the given sizes, the number of inputs first, with an activation after each but the last. The
/// input is `x` (sizes[0]), the output (the last size).
///
/// # Errors
///
/// With fewer than two sizes, or one that is 0.
pub fn mlp(sizes: &[usize], activation: Activation) -> Result<Network> {
    let [inputs, outputs @ ..] = sizes else {
        return Err(too_few(sizes));
    };
    if outputs.is_empty() || sizes.contains(&0) {
        return Err(too_few(sizes));
    }
    let outputs = outputs.to_vec();
    Network::new([Port::floats("x", [*inputs])], move |scope, x| {
        vec![stack(scope, x[0], &outputs, activation, &Dense::default())]
    })
}

fn too_few(sizes: &[usize]) -> Error {
    let found = format!("{sizes:?}");
    Error::argument("sizes", found, "at least two, and none of them 0")
}

/// Dense layers `fc1`, `fc2`, ... with an activation after each but the last.
#[track_caller]
pub(super) fn stack<'t>(
    scope: &Scope<'t>,
    x: Tensor<'t>,
    sizes: &[usize],
    activation: Activation,
    options: &Dense,
) -> Tensor<'t> {
    let mut h = x;
    for (i, &size) in sizes.iter().enumerate() {
        h = dense(scope, &format!("fc{}", i + 1), h, size, options);
        if i + 1 < sizes.len() {
            h = activation.apply(h);
        }
    }
    h
}

/// LeNet-5 for images of 28 x 28 pixels and ten classes (LeCun et al. 1998), in today's form: plain average pooling, each map of
/// the second convolution connected to all of the first, a dense last layer. 61,706 parameters. The input is `x` (28, 28, 1).
///
/// # Errors
///
/// None that depends on the caller.
pub fn lenet() -> Result<Network> {
    Network::new([Port::floats("x", [28, 28, 1])], |scope, x| {
        let padded = Conv2d {
            windows: Windows {
                padding: Padding::Zeros([2, 2], [2, 2]),
                ..Windows::default()
            },
            ..Conv2d::default()
        };
        let halves = Windows {
            strides: [2, 2],
            ..Windows::default()
        };
        let h = conv2d(scope, "conv1", x[0], 6, [5, 5], &padded).tanh();
        let h = h.avg_pool([2, 2], halves);
        let h = conv2d(scope, "conv2", h, 16, [5, 5], &Conv2d::default()).tanh();
        let h = h.avg_pool([2, 2], halves);
        let flat = h.reshape([h.dim(0), 5 * 5 * 16]);
        let sizes = [120, 84, 10];
        vec![stack(
            scope,
            flat,
            &sizes,
            Activation::Tanh,
            &Dense::default(),
        )]
    })
}
