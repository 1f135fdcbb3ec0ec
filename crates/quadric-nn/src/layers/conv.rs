//! Convolutions of images and of sequences.

use super::weight::{add_bias, weight};
use crate::{Init, Scope, Weighted};
use quadric_autodiff::{Padding, Tensor, Windows};

/// Options of [`conv2d`].
#[derive(Clone, PartialEq, Debug)]
pub struct Conv2d {
    /// Strides, dilation, padding and groups.
    pub windows: Windows,
    /// Whether there is a bias.
    pub bias: bool,
    /// What the kernel starts from, with a bias of 0. By default both are uniform within `±1 / sqrt(inputs)` for the number of
    /// inputs of one output entry, as in PyTorch.
    pub init: Option<Init>,
    /// Whether the kernel of each output is a length times a direction, `g v / |v|` (Salimans and Kingma 2016).
    pub weight_norm: bool,
}

impl Default for Conv2d {
    /// Stride 1, no padding, a bias, PyTorch's start, no weight normalisation.
    fn default() -> Self {
        Self {
            windows: Windows::default(),
            bias: true,
            init: None,
            weight_norm: false,
        }
    }
}

/// Options of [`conv1d`].
#[derive(Clone, PartialEq, Debug)]
pub struct Conv1d {
    /// Distance between neighbouring windows.
    pub stride: usize,
    /// Distance between the entries of a window.
    pub dilation: usize,
    /// Zeros before and after the sequence.
    pub padding: [usize; 2],
    /// Into how many groups the channels are divided that do not mix.
    pub groups: usize,
    /// As in [`Conv2d`].
    pub bias: bool,
    /// As in [`Conv2d`].
    pub init: Option<Init>,
    /// As in [`Conv2d`].
    pub weight_norm: bool,
}

impl Default for Conv1d {
    /// Stride 1, no padding, a bias, PyTorch's start, no weight normalisation.
    fn default() -> Self {
        Self {
            stride: 1,
            dilation: 1,
            padding: [0, 0],
            groups: 1,
            bias: true,
            init: None,
            weight_norm: false,
        }
    }
}

/// Images `(n, h, w, channels)` with a kernel of `size` for each output; gives `(n, oh, ow, outputs)`.
///
/// Parameters: `weight` (kh, kw, channels / groups, outputs), or with weight normalisation `weight_g` (outputs) and `weight_v`;
/// `bias` (outputs).
#[track_caller]
pub fn conv2d<'t>(
    scope: &Scope<'t>,
    name: &str,
    x: Tensor<'t>,
    outputs: usize,
    size: [usize; 2],
    options: &Conv2d,
) -> Tensor<'t> {
    let (scope, init) = (scope.within(name), options.init.as_ref());
    let inner = group_inputs(x, outputs, options.windows.groups, "conv2d");
    let inputs = size[0].saturating_mul(size[1]).saturating_mul(inner);
    let shape = [size[0], size[1], inner, outputs];
    let kernel = weight(&scope, &shape, inputs, init, options.weight_norm);
    let windows = options.windows;
    let y = x.conv2d(kernel, windows);
    let y = if windows.groups > 1 || options.weight_norm {
        y
    } else {
        let patches = || x.patches(size, windows);
        scope.tap(Weighted::usual(options.bias), patches, y)
    };
    if options.bias {
        add_bias(&scope, y, inputs, init)
    } else {
        y
    }
}

/// Sequences `(n, steps, channels)` with a kernel over `size` steps for each output; gives `(n, windows, outputs)`.
///
/// Parameters: `weight` (size, channels / groups, outputs), or with weight normalisation `weight_g` (outputs) and `weight_v`;
/// `bias` (outputs).
#[track_caller]
pub fn conv1d<'t>(
    scope: &Scope<'t>,
    name: &str,
    x: Tensor<'t>,
    outputs: usize,
    size: usize,
    options: &Conv1d,
) -> Tensor<'t> {
    let (scope, init) = (scope.within(name), options.init.as_ref());
    let inner = group_inputs(x, outputs, options.groups, "conv1d");
    let inputs = size.saturating_mul(inner);
    let shape = [size, inner, outputs];
    let kernel = weight(&scope, &shape, inputs, init, options.weight_norm);
    let [before, after] = options.padding;
    let windows = Windows {
        strides: [1, options.stride],
        dilation: [1, options.dilation],
        padding: Padding::Zeros([0, before], [0, after]),
        groups: options.groups,
    };
    let row = x.expand(1);
    let y = row.conv2d(kernel.expand(0), windows);
    let y = y.reshape([y.dim(0), y.dim(2), outputs]);
    let y = if options.groups > 1 || options.weight_norm {
        y
    } else {
        let patches = || row.patches([1, size], windows);
        scope.tap(Weighted::usual(options.bias), patches, y)
    };
    if options.bias {
        add_bias(&scope, y, inputs, init)
    } else {
        y
    }
}

/// Channels of each group.
#[track_caller]
fn group_inputs(x: Tensor<'_>, outputs: usize, groups: usize, what: &str) -> usize {
    let channels = x.dim(-1);
    if groups == 0 || !channels.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
        let message =
            format!("{channels} channels and {outputs} outputs cannot be in {groups} groups");
        x.tracer().fail(what, &message);
    }
    channels / groups
}
