//! Residual networks for small images (He et al., arXiv 1512.03385, section 4.2).

use crate::layers::{BatchNorm, Conv2d, Dense, batch_norm, conv2d, dense};
use crate::{Init, Network, Port, Scope};
use quadric_autodiff::{Padding, Tensor, Windows};
use quadric_linalg::{Error, Result};

/// Options of [`resnet`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resnet {
    /// Layers with weights: 6 n + 2 for n blocks of two convolutions in each of three stages; the paper has 20, 32, 44, 56, 110.
    pub depth: usize,
    /// Height, width and channels of an image.
    pub image: [usize; 3],
    /// Channels of the first stage; each of the others has twice as many as the one before.
    pub width: usize,
    /// Number of outputs.
    pub classes: usize,
    /// Whether convolutions are followed by batch normalisation. Without it nothing takes its place.
    pub batch_norm: bool,
    /// Whether blocks have shortcuts.
    pub residual: bool,
}

impl Default for Resnet {
    /// ResNet-20 for CIFAR-10, with 269,722 parameters.
    fn default() -> Self {
        Self {
            depth: 20,
            image: [32, 32, 3],
            width: 16,
            classes: 10,
            batch_norm: true,
            residual: true,
        }
    }
}

/// A residual network with shortcuts of type A: where a stage begins, every second pixel, and channels of zeros on both sides.
/// Convolutions have no bias; weights start normal with variance `2 / inputs` (He et al. 2015). The input is `x`, the image; the
/// output is logits.
///
/// # Errors
///
/// If the depth is not 6 n + 2 between 8 and 1202, or a length is 0.
pub fn resnet(options: Resnet) -> Result<Network> {
    let depth = options.depth;
    if !(8..=1202).contains(&depth) || depth % 6 != 2 {
        return Err(Error::argument("depth", depth, "6 n + 2, from 8 to 1202"));
    }
    let lengths = [&options.image[..], &[options.width, options.classes]].concat();
    if lengths.contains(&0) {
        let expected = "image, width and classes without 0";
        return Err(Error::argument("options", format!("{options:?}"), expected));
    }
    Network::new([Port::floats("x", options.image)], move |scope, x| {
        vec![body(scope, x[0], options)]
    })
}

fn body<'t>(scope: &Scope<'t>, x: Tensor<'t>, options: Resnet) -> Tensor<'t> {
    let blocks = (options.depth - 2) / 6;
    let mut h = conv_norm(scope, "1", x, options.width, 1, options).relu();
    for stage in 0..3 {
        let width = options.width.saturating_mul(1 << stage);
        for block in 0..blocks {
            let scope = scope.within(format!("layer{}.{block}", stage + 1));
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let y = conv_norm(&scope, "1", h, width, stride, options).relu();
            let y = conv_norm(&scope, "2", y, width, 1, options);
            h = if options.residual {
                y + shortcut(h, width, stride)
            } else {
                y
            };
            h = h.relu();
        }
    }
    let last = Dense {
        init: Some(Init::he_normal(h.dim(-1))),
        ..Dense::default()
    };
    dense(scope, "linear", h.mean(&[1, 2]), options.classes, &last)
}

/// The convolution `conv` and the normalisation `bn` of a number.
fn conv_norm<'t>(
    scope: &Scope<'t>,
    number: &str,
    x: Tensor<'t>,
    width: usize,
    stride: usize,
    options: Resnet,
) -> Tensor<'t> {
    let conv = Conv2d {
        windows: Windows {
            strides: [stride, stride],
            padding: Padding::Zeros([1, 1], [1, 1]),
            ..Windows::default()
        },
        bias: false,
        init: Some(Init::he_normal(9 * x.dim(-1))),
        ..Conv2d::default()
    };
    let y = conv2d(scope, &format!("conv{number}"), x, width, [3, 3], &conv);
    if options.batch_norm {
        batch_norm(scope, &format!("bn{number}"), y, BatchNorm::default())
    } else {
        y
    }
}

/// The input of a block in the shape of its output.
fn shortcut(x: Tensor<'_>, width: usize, stride: usize) -> Tensor<'_> {
    if stride == 1 {
        return x;
    }
    let [height, along] = [x.dim(1).div_ceil(2), x.dim(2).div_ceil(2)];
    let missing = width - x.dim(-1);
    x.slice_steps(1, 0, height, 2)
        .slice_steps(2, 0, along, 2)
        .pad(-1, missing / 2, missing - missing / 2)
}
