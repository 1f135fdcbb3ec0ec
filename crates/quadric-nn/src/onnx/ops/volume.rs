//! Convolutions and pooling of volumes `(n, c, d, h, w)`: those of images, for each entry of a window along the depth.

use super::super::known::{Answer, small};
use super::super::site::Site;
use super::conv::{Frame, Lists, groups, with_bias};
use super::pool::{counts, lists, sums};
use super::{Results, one};
use quadric_autodiff::Tensor;

/// Entries of a window along the depth, each of which takes operations of its own.
const DEEPEST: usize = 1024;

/// How windows lie along the depth, the first of two axes, and on the images.
struct Windows {
    depth: Frame,
    plane: Frame,
}

impl Windows {
    fn new(lists: &Lists) -> Answer<Self> {
        // Along an axis alone the other one of a pair is trivial, and comes first.
        let turned = |[a, b]: [usize; 2]| [b, a];
        let depth = lists.frame(0..1)?;
        if lists.kernel[0] > DEEPEST {
            return Err(format!(
                "a window that is deeper than {DEEPEST} entries is not supported"
            ));
        }
        Ok(Self {
            depth: Frame {
                input: turned(depth.input),
                kernel: turned(depth.kernel),
                strides: turned(depth.strides),
                dilation: turned(depth.dilation),
                before: turned(depth.before),
                after: turned(depth.after),
                output: turned(depth.output),
            },
            plane: lists.frame(1..3)?,
        })
    }

    /// For each entry of a window along the depth: the images `(n d, h, w, c)` that it lies on for all windows. Around the
    /// volume lies `around`.
    fn taps<'t>(&self, x: Tensor<'t>, around: f64) -> Vec<Tensor<'t>> {
        let Frame {
            kernel,
            strides,
            dilation,
            before,
            input,
            output,
            ..
        } = self.depth;
        let end = (output[0] - 1) * strides[0] + self.depth.reach(0);
        let after = end.saturating_sub(input[0] + before[0]);
        let fill = |n: usize| {
            let mut shape = x.shape();
            shape[2] = n;
            x.tracer().fill(around, shape)
        };
        let padded = match (before[0], after) {
            (0, 0) => x,
            (0, after) => x.concat(&[fill(after)], 2),
            (before, 0) => fill(before).concat(&[x], 2),
            (before, after) => fill(before).concat(&[x, fill(after)], 2),
        };
        let tap = |k: usize| {
            let cut = padded.slice_steps(2, k * dilation[0], output[0], strides[0]);
            let images = cut.permute(&[0, 2, 3, 4, 1]);
            let shape = images.shape();
            images.reshape([shape[0] * shape[1], shape[2], shape[3], shape[4]])
        };
        (0..kernel[0]).map(tap).collect()
    }

    /// Images back as a volume.
    fn volume<'t>(&self, images: Tensor<'t>) -> Tensor<'t> {
        let (shape, depth) = (images.shape(), self.depth.output[0]);
        let split = [shape[0] / depth, depth, shape[1], shape[2], shape[3]];
        images.reshape(split).permute(&[0, 4, 1, 2, 3])
    }
}

fn total<'t>(
    terms: impl Iterator<Item = Tensor<'t>>,
    f: impl Fn(Tensor<'t>, Tensor<'t>) -> Tensor<'t>,
) -> Answer<Tensor<'t>> {
    terms
        .reduce(f)
        .ok_or_else(|| "the kernel is empty".to_owned())
}

pub(super) fn conv<'t>(s: &Site<'_, 't>, x: Tensor<'t>, kernel: Tensor<'t>) -> Results<'t> {
    let (shape, size) = (x.shape(), kernel.shape());
    let windows = Windows::new(&Lists::new(s, &shape[2..], &size[2..], false)?)?;
    let groups = groups(s)?;
    // (out, in, d, h, w) becomes (d, h, w, in, out).
    let kernel = kernel.permute(&[2, 3, 4, 1, 0]);
    let own = [size[3], size[4], size[1], size[0]];
    let taps = windows.taps(x, 0.0).into_iter().enumerate();
    let terms = taps.map(|(k, images)| {
        let kernel = kernel.slice(0, k..k + 1).reshape(own);
        images.conv2d(kernel, windows.plane.windows(groups))
    });
    let sum = total(terms, |a, b| a + b)?;
    one(windows.volume(with_bias(s, sum)?))
}

pub(super) fn max_pool<'t>(s: &Site<'_, 't>, x: Tensor<'t>) -> Results<'t> {
    let windows = Windows::new(&lists(s, x)?)?;
    let depth = windows.depth;
    if [depth.before[0], depth.after[0]]
        .iter()
        .any(|&n| n >= depth.kernel[0])
    {
        return Err("a window lies in the padding, where nothing is the largest".to_owned());
    }
    let taps = windows.taps(x, f64::NEG_INFINITY).into_iter();
    let plane = windows.plane;
    let pooled = taps.map(|images| images.max_pool(plane.kernel, plane.windows(1)));
    one(windows.volume(total(pooled, Tensor::maximum)?))
}

pub(super) fn average_pool<'t>(s: &Site<'_, 't>, x: Tensor<'t>) -> Results<'t> {
    let windows = Windows::new(&lists(s, x)?)?;
    let with_padding = s.flag("count_include_pad", false)?;
    let along = [(windows.depth, 0), (windows.plane, 0), (windows.plane, 1)];
    let mut each = Vec::new();
    for (i, (frame, axis)) in along.into_iter().enumerate() {
        small(&[frame.output[axis], frame.kernel[axis]])?;
        let counts = counts(&frame, axis, with_padding);
        let ones = vec![1; 2 - i];
        each.push(
            s.tracer()
                .constant(&counts, [&[counts.len()][..], &ones].concat()),
        );
    }
    let taps = windows.taps(x, 0.0).into_iter();
    let terms = taps.map(|images| sums(s, images, &windows.plane));
    let sum = windows.volume(total(terms, |a, b| a + b)?);
    one(sum / (each[0] * each[1] * each[2]))
}
