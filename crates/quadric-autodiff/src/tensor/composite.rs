//! Functions built from the primitives: activations, normalised exponentials, convolution and pooling.

use super::Tensor;
use crate::ops::{Convolution, Gather, Geometry, Role, UNITS, WindowArgmax};
use crate::tracer::{Tracer, fail};
use crate::types::Shape;
use std::panic::Location;

/// What surrounds an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Padding {
    /// Nothing.
    Valid,
    /// As many zeros as make the result as large as the image divided by the stride, rounded up; of an odd number the larger
    /// half comes after the image.
    Same,
    /// So many zeros before and after the image, along height and width.
    Zeros([usize; 2], [usize; 2]),
}

/// How a kernel or window moves over an image; pairs are along height and width.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Windows {
    /// Distance between neighbouring windows.
    pub strides: [usize; 2],
    /// Distance between the entries of a window.
    pub dilation: [usize; 2],
    /// What surrounds the image.
    pub padding: Padding,
    /// Into how many groups the channels are divided that do not mix.
    pub groups: usize,
}

impl Default for Windows {
    /// Stride 1, no dilation, [`Padding::Valid`], one group.
    fn default() -> Self {
        Self {
            strides: [1, 1],
            dilation: [1, 1],
            padding: Padding::Valid,
            groups: 1,
        }
    }
}

impl Windows {
    #[track_caller]
    fn geometry(&self, what: &str, input: [usize; 2], kernel: [usize; 2]) -> Geometry {
        let zero = [self.strides, self.dilation, kernel, [self.groups; 2]]
            .concat()
            .contains(&0);
        if zero {
            let message = format!(
                "kernel {kernel:?}, strides, dilation and groups of {self:?} must not be 0"
            );
            fail(what, &message, Location::caller());
        }
        let same = |axis: usize| {
            let (stride, n) = (self.strides[axis], input[axis]);
            let last = n.div_ceil(stride).saturating_sub(1) * stride;
            let reach = (kernel[axis] - 1).saturating_mul(self.dilation[axis]);
            reach
                .saturating_add(last)
                .saturating_add(1)
                .saturating_sub(n)
        };
        let padding = match self.padding {
            Padding::Valid => [[0, 0], [0, 0]],
            Padding::Zeros(before, after) => [before, after],
            Padding::Same => {
                let total = [same(0), same(1)];
                let before = total.map(|n| n / 2);
                [before, [total[0] - before[0], total[1] - before[1]]]
            }
        };
        let padded =
            |i: usize| input[i].saturating_add(padding[0][i].saturating_add(padding[1][i]));
        // Where there is one window, or one entry in a window, there is no distance.
        let strides = [0, 1].map(|i| self.strides[i].min(padded(i).max(1)));
        let dilation = [0, 1].map(|i| if kernel[i] == 1 { 1 } else { self.dilation[i] });
        Geometry {
            input,
            kernel,
            strides,
            dilation,
            padding,
            groups: self.groups,
        }
    }
}

impl Tracer {
    /// Standard normal numbers (Box, Muller, 1958), made of two calls of [`Tracer::random`].
    #[track_caller]
    pub fn normal<'t>(
        &'t self,
        key: Tensor<'t>,
        shape: impl IntoIterator<Item = usize>,
    ) -> Tensor<'t> {
        let shape: Shape = shape.into_iter().collect();
        let (u, v) = (self.random(key, shape.clone()), self.random(key, shape));
        ((-u).log1p() * -2.0).sqrt() * (v * std::f64::consts::TAU).cos()
    }
}

/// Functions built from others.
impl<'t> Tensor<'t> {
    /// max(x, 0); its derivative at 0 is 0, and NaN stays NaN.
    #[track_caller]
    pub fn relu(self) -> Self {
        let zero = self.fill_like(0.0);
        self.less_equal(zero).select(zero, self)
    }

    /// x Φ(x), with the distribution function Φ of the normal distribution (Hendrycks, Gimpel, arXiv 1606.08415).
    #[track_caller]
    pub fn gelu(self) -> Self {
        self * 0.5 * ((self * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0)
    }

    /// The approximation x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2 of [`gelu`](Self::gelu).
    #[track_caller]
    pub fn gelu_tanh(self) -> Self {
        let scale = (2.0 / std::f64::consts::PI).sqrt();
        let inner = (self + self * self.square() * 0.044715) * scale;
        self * 0.5 * (inner.tanh() + 1.0)
    }

    /// x / (1 + e⁻ˣ).
    #[track_caller]
    pub fn silu(self) -> Self {
        self * self.sigmoid()
    }

    /// The entries less the logarithm of the sum of their exponentials along an axis.
    #[track_caller]
    pub fn log_softmax(self, axis: isize) -> Self {
        let shape = self.shape();
        let at = self.axis("log_softmax", axis, shape.len()) as isize;
        let shifted = self - self.detach().max(&[at]).expand(at);
        shifted - shifted.exp().sum(&[at]).log().expand(at)
    }

    /// Exponentials divided by their sum along an axis.
    #[track_caller]
    pub fn softmax(self, axis: isize) -> Self {
        let at = self.axis("softmax", axis, self.shape().len()) as isize;
        let exp = (self - self.detach().max(&[at]).expand(at)).exp();
        exp / exp.sum(&[at]).expand(at)
    }

    /// The logarithm of the sum of the exponentials along an axis, which vanishes.
    #[track_caller]
    pub fn log_sum_exp(self, axis: isize) -> Self {
        let at = self.axis("log_sum_exp", axis, self.shape().len()) as isize;
        let most = self.detach().max(&[at]);
        (self - most.expand(at)).exp().sum(&[at]).log() + most
    }

    /// For indices: 1 at the position that the index names along a new last axis of length `size`, else 0.
    #[track_caller]
    pub fn one_hot(self, size: usize) -> Self {
        let shape = self.shape();
        let wide = shape.iter().copied().chain([size]);
        let positions = self.tracer.iota(wide.clone());
        self.expand(-1).broadcast_to(wide).equal(positions)
    }

    /// For logits `(.., classes)` and indices `(..)`: minus the logarithm of the probability of each label.
    #[track_caller]
    pub fn cross_entropy(self, labels: Self) -> Self {
        let classes = self.dim(-1);
        let picked = self.log_softmax(-1) * labels.one_hot(classes);
        -picked.sum(&[-1])
    }

    /// The entries less their mean, divided by the square root of their variance plus `epsilon`, along some axes.
    #[track_caller]
    pub fn normalize(self, axes: &[isize], epsilon: f64) -> Self {
        let mut kept = self.shape();
        for &a in axes {
            let at = self.axis("normalize", a, kept.len());
            kept[at] = 1;
        }
        let centred = self - self.mean(axes).reshape(kept.clone());
        let variance = centred.square().mean(axes);
        centred * (variance + epsilon).powf(-0.5).reshape(kept)
    }

    /// Convolution of images `(n, h, w, in)` with a kernel `(kh, kw, in / groups, out)`; gives `(n, oh, ow, out)`.
    #[track_caller]
    pub fn conv2d(self, kernel: Self, windows: Windows) -> Self {
        let (x, k) = (self.shape(), kernel.shape());
        let ([_, h, w, channels], [kh, kw, inputs, _]) = (&x[..], &k[..]) else {
            let message = format!(
                "takes (n, h, w, in) and (kh, kw, in, out), not {:?} and {:?}",
                &x[..],
                &k[..]
            );
            fail("conv2d", &message, Location::caller());
        };
        let geometry = windows.geometry("conv2d", [*h, *w], [*kh, *kw]);
        if inputs.checked_mul(windows.groups) != Some(*channels) {
            let message = format!(
                "images {:?} have {channels} channels, the kernel {:?} takes {inputs} in each of {} groups",
                &x[..],
                &k[..],
                windows.groups
            );
            fail("conv2d", &message, Location::caller());
        }
        let role = Role::Output;
        self.tracer
            .emit(Convolution { role, geometry }, &[self, kernel])
    }

    /// Each entry with probability `1 - rate` divided by that, else 0 (Srivastava et al., JMLR 15, 2014). The probability is
    /// rounded up to a multiple of 2⁻²⁴. What is dropped depends on the key as [`Tracer::random`] says; with rate 0 nothing is.
    #[track_caller]
    pub fn dropout(self, rate: f64, key: Self) -> Self {
        if !(0.0..1.0).contains(&rate) {
            let message = format!("the rate is {rate}; it must be at least 0 and less than 1");
            fail("dropout", &message, Location::caller());
        }
        let draws = self.tracer.random(key, self.shape());
        if rate == 0.0 {
            return self;
        }
        let kept = ((1.0 - rate) * UNITS).ceil() / UNITS;
        self * (draws.less(self.fill_like(kept)) / kept)
    }

    #[track_caller]
    fn image(self, what: &str) -> [usize; 4] {
        let shape = self.shape();
        let Ok(image) = <[usize; 4]>::try_from(&shape[..]) else {
            let message = format!("takes images (n, h, w, channels), not {:?}", &shape[..]);
            fail(what, &message, Location::caller());
        };
        image
    }

    /// The largest entry of each window of images `(n, h, w, channels)`; the derivative goes to the first of equal ones.
    #[track_caller]
    pub fn max_pool(self, size: [usize; 2], windows: Windows) -> Self {
        let [n, h, w, channels] = self.image("max_pool");
        let windows = windows.geometry("max_pool", [h, w], size);
        let at = self.tracer.emit(WindowArgmax { windows }, &[self.detach()]);
        let flat = self.reshape([n * h * w * channels]);
        self.tracer.emit(Gather { batch: 0 }, &[flat, at])
    }

    /// What a kernel of some size sees of images `(n, h, w, channels)`: `(n, oh, ow, kh kw channels)`, of which the product with
    /// a kernel `(kh, kw, channels, out)` as a matrix is [`conv2d`](Self::conv2d). All channels are in one group.
    #[track_caller]
    pub fn patches(self, size: [usize; 2], windows: Windows) -> Self {
        let [_, h, w, _] = self.image("patches");
        let g = Windows {
            groups: 1,
            ..windows
        }
        .geometry("patches", [h, w], size);
        let (Some(oh), Some(ow)) = (g.output(0), g.output(1)) else {
            let message = format!("no window of {size:?} fits on images of {:?}", [h, w]);
            fail("patches", &message, Location::caller());
        };
        let [before, after] = g.padding;
        let image = self.pad(1, before[0], after[0]).pad(2, before[1], after[1]);
        let mut seen = Vec::new();
        for at in 0..size[0] * size[1] {
            let (y, x) = (at / size[1] * g.dilation[0], at % size[1] * g.dilation[1]);
            let rows = image.slice_steps(1, y, oh, g.strides[0]);
            seen.push(rows.slice_steps(2, x, ow, g.strides[1]));
        }
        seen[0].concat(&seen[1..], -1)
    }

    /// The mean of each window of images `(n, h, w, channels)`; zeros of the padding count.
    #[track_caller]
    pub fn avg_pool(self, size: [usize; 2], windows: Windows) -> Self {
        let channels = self.image("avg_pool")[3];
        let weight = 1.0 / (size[0] as f64 * size[1] as f64);
        let kernel = self.tracer.fill(weight, [size[0], size[1], 1, channels]);
        let groups = channels;
        self.conv2d(kernel, Windows { groups, ..windows })
    }
}
