//! Layers one after the other.

use crate::layers::{Activation, Conv2d, Dense, conv2d, dense};
use crate::{Init, Network, Port, Scope};
use quadric_autodiff::{Padding, Tensor, Windows};
use quadric_linalg::{Error, Result};

/// Dense layers `fc1`, `fc2`, ... of the given sizes, the number of inputs first, with an activation after each but the last. The
/// input is `x` (`sizes[0]`), the output (the last size).
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
        vec![stack(
            scope,
            1,
            x[0],
            &outputs,
            activation,
            &Dense::default(),
        )]
    })
}

fn too_few(sizes: &[usize]) -> Error {
    let found = format!("{sizes:?}");
    Error::argument("sizes", found, "at least two, and none of them 0")
}

/// Dense layers `fc`, numbered from `first`, with an activation after each but the last.
#[track_caller]
fn stack<'t>(
    scope: &Scope<'t>,
    first: usize,
    x: Tensor<'t>,
    sizes: &[usize],
    activation: Activation,
    options: &Dense,
) -> Tensor<'t> {
    let mut h = x;
    for (i, &size) in sizes.iter().enumerate() {
        h = dense(scope, &format!("fc{}", first + i), h, size, options);
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
            1,
            flat,
            &sizes,
            Activation::Tanh,
            &Dense::default(),
        )]
    })
}

/// The sizes of Martens (2010) for MNIST, up to the code.
pub const MARTENS: [usize; 5] = [784, 1000, 500, 250, 30];

/// A deep autoencoder: dense layers `fc1`, `fc2`, ... from the first to the last of the sizes and back, logistic except for the
/// code in the middle and the output, which are linear (Hinton and Salakhutdinov 2006). With [`MARTENS`], 2,837,314 parameters.
///
/// Weights start as in Martens (2010): 15 standard normal inputs of each unit, the others and biases 0. The input is `x`
/// (`sizes[0]`); the output, of the same shape, is logits of its pixels.
///
/// # Errors
///
/// With fewer than two sizes, or one that is 0.
pub fn autoencoder(sizes: &[usize]) -> Result<Network> {
    if sizes.len() < 2 || sizes.contains(&0) {
        return Err(too_few(sizes));
    }
    let code = sizes.len() - 1;
    let outputs: Vec<usize> = sizes[1..]
        .iter()
        .chain(sizes[..code].iter().rev())
        .copied()
        .collect();
    let options = Dense {
        init: Some(Init::Sparse(15)),
        ..Dense::default()
    };
    Network::new([Port::floats("x", [sizes[0]])], move |scope, x| {
        let (encoder, decoder) = outputs.split_at(code);
        let code = stack(scope, 1, x[0], encoder, Activation::Sigmoid, &options);
        let first = encoder.len() + 1;
        vec![stack(
            scope,
            first,
            code,
            decoder,
            Activation::Sigmoid,
            &options,
        )]
    })
}
