//! Normalisations, with a scale and a shift for each channel. All divide by the square root of the mean squared deviation plus
//! `epsilon`.

use crate::{Init, Mode, Scope};
use quadric_autodiff::Tensor;
use quadric_core::Role;

/// The `epsilon` of PyTorch's normalisations.
const EPSILON: f64 = 1e-5;

/// Options of [`batch_norm`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BatchNorm {
    /// Added to variances.
    pub epsilon: f64,
    /// The weight of a batch in the running statistics.
    pub momentum: f64,
}

impl Default for BatchNorm {
    /// PyTorch's: 1e-5 and 0.1.
    fn default() -> Self {
        Self {
            epsilon: EPSILON,
            momentum: 0.1,
        }
    }
}

/// Normalises each channel of `(.., channels)` over all other axes (Ioffe and Szegedy 2015).
///
/// In [`Mode::Train`] by mean and variance of the batch; the running statistics move towards them, as in PyTorch with the
/// unbiased variance. In [`Mode::Evaluate`] by the running statistics.
///
/// Parameters: `weight` and `bias` (channels). Buffers: `running_mean` and `running_var` (channels), at first 0 and 1.
#[track_caller]
pub fn batch_norm<'t>(
    scope: &Scope<'t>,
    name: &str,
    x: Tensor<'t>,
    options: BatchNorm,
) -> Tensor<'t> {
    let (scope, shape) = (scope.within(name), x.shape());
    let channels = x.dim(-1);
    let running_mean = scope.buffer("running_mean", &[channels], Init::Constant(0.0));
    let running_var = scope.buffer("running_var", &[channels], Init::Constant(1.0));
    let y = match scope.mode() {
        Mode::Evaluate => (x - running_mean) * (running_var + options.epsilon).powf(-0.5),
        Mode::Train => {
            let outer: Vec<isize> = (0..shape.len() as isize - 1).collect();
            let count: usize = shape[..outer.len()].iter().product();
            if count < 2 {
                let message = format!("{count} values of each channel have no variance");
                scope.tracer().fail("batch_norm", &message);
            }
            let mean = x.mean(&outer);
            let variance = (x - mean).square().mean(&outer);
            let unbiased = variance * (count as f64 / (count as f64 - 1.0));
            let towards = |old: Tensor<'t>, new: Tensor<'t>| {
                old * (1.0 - options.momentum) + new.detach() * options.momentum
            };
            scope.set_buffer("running_mean", towards(running_mean, mean));
            scope.set_buffer("running_var", towards(running_var, unbiased));
            (x - mean) * (variance + options.epsilon).powf(-0.5)
        }
    };
    scale_and_shift(&scope, y)
}

/// Normalises each position of `(.., channels)` over its channels (Ba, Kiros and Hinton 2016).
///
/// Parameters: `weight` and `bias` (channels).
#[track_caller]
pub fn layer_norm<'t>(scope: &Scope<'t>, name: &str, x: Tensor<'t>) -> Tensor<'t> {
    scale_and_shift(&scope.within(name), x.normalize(&[-1], EPSILON))
}

/// Normalises each example of `(n, .., channels)` over all positions and the channels of each of some groups of neighbouring
/// channels (Wu and He 2018).
///
/// Parameters: `weight` and `bias` (channels).
#[track_caller]
pub fn group_norm<'t>(scope: &Scope<'t>, name: &str, x: Tensor<'t>, groups: usize) -> Tensor<'t> {
    let (shape, channels) = (x.shape(), x.dim(-1));
    if shape.len() < 2 || groups == 0 || !channels.is_multiple_of(groups) {
        let message = format!("{:?} has no {groups} groups of channels", &shape[..]);
        scope.tracer().fail("group_norm", &message);
    }
    let positions = shape[1..shape.len() - 1].iter().product();
    let grouped = x.reshape([shape[0], positions, groups, channels / groups]);
    let y = grouped.normalize(&[1, 3], EPSILON).reshape(shape);
    scale_and_shift(&scope.within(name), y)
}

#[track_caller]
fn scale_and_shift<'t>(scope: &Scope<'t>, x: Tensor<'t>) -> Tensor<'t> {
    let channels = [x.dim(-1)];
    let scale = scope.parameter("weight", &channels, Role::Scale, Init::Constant(1.0));
    x * scale + scope.parameter("bias", &channels, Role::Bias, Init::Constant(0.0))
}
