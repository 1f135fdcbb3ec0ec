//! Convolutions of signals and images, and how windows lie on them.

use super::super::known::Answer;
use super::super::site::{Site, sizes};
use super::{Entry, Results, entry, one};
use crate::Weighted;
use quadric_autodiff::{Padding, Tensor, Windows};

pub(super) const TABLE: &[Entry] = &[
    entry(
        "Conv",
        &[
            "auto_pad",
            "dilations",
            "group",
            "kernel_shape",
            "pads",
            "strides",
        ],
        conv,
    ),
    entry(
        "ConvTranspose",
        &[
            "auto_pad",
            "dilations",
            "group",
            "kernel_shape",
            "output_padding",
            "output_shape",
            "pads",
            "strides",
        ],
        conv_transpose,
    ),
];

/// How windows lie along height and width; a signal is an image of height 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) input: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) strides: [usize; 2],
    pub(super) dilation: [usize; 2],
    pub(super) before: [usize; 2],
    /// As the node asks for it: windows may need less, or more if the last one is only partly on the image.
    pub(super) after: [usize; 2],
    pub(super) output: [usize; 2],
}

/// One number per axis of an image, of which a signal has the last.
fn pair(given: &[usize], alone: usize) -> Answer<[usize; 2]> {
    match *given {
        [w] => Ok([alone, w]),
        [h, w] => Ok([h, w]),
        _ => Err(format!("{given:?} does not belong to a signal or an image")),
    }
}

/// Signals `(n, c, w)` or images `(n, c, h, w)` as `(n, h, w, c)`.
pub(super) fn as_images(x: Tensor<'_>) -> Answer<Tensor<'_>> {
    let shape = x.shape();
    let image = match shape[..] {
        [n, c, w] => x.reshape([n, c, 1, w]),
        [_, _, _, _] => x,
        _ => {
            return Err(format!(
                "takes (n, c, w) or (n, c, h, w), not {:?}",
                &shape[..]
            ));
        }
    };
    Ok(image.permute(&[0, 2, 3, 1]))
}

/// Images `(n, h, w, c)` back as what they were made of, with `rank` axes.
pub(super) fn from_images(x: Tensor<'_>, rank: usize) -> Tensor<'_> {
    let image = x.permute(&[0, 3, 1, 2]);
    let shape = image.shape();
    if rank == 4 {
        image
    } else {
        image.reshape([shape[0], shape[1], shape[3]])
    }
}

/// Zeros before and after each axis: those asked for, or what makes the output as large as the input divided by the stride.
fn padding(
    s: &Site<'_, '_>,
    spatial: usize,
    covered: impl Fn(usize) -> usize,
) -> Answer<[Vec<usize>; 2]> {
    let none = vec![0; 2 * spatial];
    let automatic = s.text("auto_pad", "NOTSET")?;
    match automatic {
        "NOTSET" => {
            let given = s.ints("pads")?.map(sizes).transpose()?.unwrap_or(none);
            if given.len() != 2 * spatial {
                return Err(format!("{} paddings for {spatial} axes", given.len()));
            }
            Ok([given[..spatial].to_vec(), given[spatial..].to_vec()])
        }
        "VALID" => Ok([vec![0; spatial], vec![0; spatial]]),
        "SAME_UPPER" | "SAME_LOWER" => {
            let total: Vec<usize> = (0..spatial).map(covered).collect();
            let small: Vec<usize> = total.iter().map(|t| t / 2).collect();
            let large: Vec<usize> = total.iter().zip(&small).map(|(t, s)| t - s).collect();
            let is_lower = automatic == "SAME_LOWER";
            Ok(if is_lower {
                [large, small]
            } else {
                [small, large]
            })
        }
        other => Err(format!("the padding `{other}` is unknown")),
    }
}

/// A list of positive numbers, one per axis; by default 1.
fn positive(s: &Site<'_, '_>, name: &str, spatial: usize) -> Answer<Vec<usize>> {
    let given = s
        .ints(name)?
        .map(sizes)
        .transpose()?
        .unwrap_or_else(|| vec![1; spatial]);
    // Larger ones lie beyond every array; products of them would overflow.
    let fits = |n: &usize| (1..=1 << 20).contains(n);
    if given.len() == spatial && given.iter().all(fits) {
        return Ok(given);
    }
    Err(format!("`{name}` is {given:?} for {spatial} axes"))
}

/// A [`Frame`] along any number of axes.
pub(super) struct Lists {
    pub(super) input: Vec<usize>,
    pub(super) kernel: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) dilation: Vec<usize>,
    pub(super) before: Vec<usize>,
    pub(super) after: Vec<usize>,
    pub(super) output: Vec<usize>,
}

impl Lists {
    /// The windows of a kernel of some size on the spatial axes of an input, whose lengths are given.
    pub(super) fn new(
        s: &Site<'_, '_>,
        input: &[usize],
        kernel: &[usize],
        rounds_up: bool,
    ) -> Answer<Self> {
        let spatial = input.len();
        if kernel.len() != spatial || kernel.iter().any(|&k| !(1..=1 << 20).contains(&k)) {
            return Err(format!("the kernel {kernel:?} does not fit {input:?}"));
        }
        let (strides, dilation) = (
            positive(s, "strides", spatial)?,
            positive(s, "dilations", spatial)?,
        );
        let reach = |i: usize| (kernel[i] - 1) * dilation[i] + 1;
        let covered = |i: usize| {
            let windows = input[i].div_ceil(strides[i]).saturating_sub(1);
            (windows * strides[i] + reach(i)).saturating_sub(input[i])
        };
        let [before, after] = padding(s, spatial, covered)?;
        let mut output = Vec::new();
        for i in 0..spatial {
            let padded = input[i]
                .checked_add(before[i])
                .and_then(|n| n.checked_add(after[i]));
            let padded = padded.ok_or("the padding is too large")?;
            let whole = padded
                .checked_sub(reach(i))
                .map_or(0, |rest| rest / strides[i] + 1);
            // One more that is only partly there, unless it begins behind the image.
            let covered = if whole == 0 {
                0
            } else {
                (whole - 1) * strides[i] + reach(i)
            };
            let begins = whole * strides[i] < input[i] + before[i];
            let windows = whole + usize::from(rounds_up && covered < padded && begins);
            if windows == 0 {
                return Err(format!("no window of {kernel:?} fits on {input:?}"));
            }
            output.push(windows);
        }
        Ok(Self {
            input: input.to_vec(),
            kernel: kernel.to_vec(),
            strides,
            dilation,
            before,
            after,
            output,
        })
    }

    /// Along some of the axes, one or two.
    pub(super) fn frame(&self, axes: std::ops::Range<usize>) -> Answer<Frame> {
        let of = |list: &[usize], alone| pair(&list[axes.clone()], alone);
        Ok(Frame {
            input: of(&self.input, 1)?,
            kernel: of(&self.kernel, 1)?,
            strides: of(&self.strides, 1)?,
            dilation: of(&self.dilation, 1)?,
            before: of(&self.before, 0)?,
            after: of(&self.after, 0)?,
            output: of(&self.output, 1)?,
        })
    }
}

impl Frame {
    /// As [`Lists`], for a signal or an image.
    pub(super) fn new(
        s: &Site<'_, '_>,
        input: &[usize],
        kernel: &[usize],
        rounds_up: bool,
    ) -> Answer<Self> {
        Lists::new(s, input, kernel, rounds_up)?.frame(0..input.len())
    }

    /// How many entries lie from the first of a window to the last.
    pub(super) fn reach(&self, i: usize) -> usize {
        (self.kernel[i] - 1) * self.dilation[i] + 1
    }

    /// For the engine, which takes as much padding as the windows need.
    pub(super) fn windows(&self, groups: usize) -> Windows {
        let needed = |i: usize| {
            let end = (self.output[i] - 1) * self.strides[i] + self.reach(i);
            end.saturating_sub(self.input[i] + self.before[i])
        };
        Windows {
            strides: self.strides,
            dilation: self.dilation,
            padding: Padding::Zeros(self.before, [needed(0), needed(1)]),
            groups,
        }
    }
}

pub(super) fn groups(s: &Site<'_, '_>) -> Answer<usize> {
    let groups = s.int("group", 1)?;
    let found = usize::try_from(groups).ok().filter(|&g| g > 0);
    found.ok_or_else(|| format!("{groups} groups"))
}

/// Refuses a kernel whose shape is not what the attribute says.
fn check_kernel(s: &Site<'_, '_>, kernel: &[usize]) -> Answer<()> {
    match s.ints("kernel_shape")?.map(sizes).transpose()? {
        Some(given) if given != kernel => Err(format!(
            "the kernel is {kernel:?}, the attribute says {given:?}"
        )),
        _ => Ok(()),
    }
}

/// Adds one number per channel to images `(n, h, w, c)` or others whose channels are last.
pub(super) fn with_bias<'t>(s: &Site<'_, 't>, x: Tensor<'t>) -> Answer<Tensor<'t>> {
    let Some(bias) = s.optional_floats(2)? else {
        return Ok(x);
    };
    if bias.shape()[..] != [x.dim(-1)] {
        let (bias, channels) = (bias.shape(), x.dim(-1));
        return Err(format!(
            "the bias {:?} does not belong to {channels} channels",
            &bias[..]
        ));
    }
    Ok(x + bias)
}

/// An image has a batch, channels, and at least one more axis, and its kernel as many.
fn check_ranks(shape: &[usize], kernel: &[usize]) -> Answer<()> {
    if shape.len() < 3 || shape.len() != kernel.len() {
        return Err(format!("{shape:?} and the kernel {kernel:?} do not fit"));
    }
    Ok(())
}

/// (out, in, h, w) becomes (h, w, in, out).
fn as_kernel<'t>(kernel: Tensor<'t>, [h, w]: [usize; 2]) -> Tensor<'t> {
    let (outputs, inputs) = (kernel.dim(0), kernel.dim(1));
    kernel
        .reshape([outputs, inputs, h, w])
        .permute(&[2, 3, 1, 0])
}

/// What windows see, `(n, oh, ow, positions channels)`, in the order channels, positions.
fn channels_first(seen: Tensor<'_>, channels: usize) -> Tensor<'_> {
    let shape = seen.shape();
    let (places, all) = (shape[..3].iter().product(), shape[3]);
    let split = seen.reshape([places, all / channels.max(1), channels]);
    split.transpose().reshape(shape)
}

fn conv<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let (x, kernel) = (s.floats(0)?, s.floats(1)?);
    let (shape, size) = (x.shape(), kernel.shape());
    check_ranks(&shape, &size)?;
    check_kernel(s, &size[2..])?;
    if shape.len() == 5 {
        return super::volume::conv(s, x, kernel);
    }
    let frame = Frame::new(s, &shape[2..], &size[2..], false)?;
    let (images, windows) = (as_images(x)?, frame.windows(groups(s)?));
    let kernel = as_kernel(kernel, frame.kernel);
    let result = images.conv2d(kernel, windows);
    let result = match s.used(1) {
        Some(used) if windows.groups == 1 => {
            let layer = Weighted {
                weight: used.name,
                transposed: !used.exchanged,
                bias: s.used_bias(2, result.dim(-1)),
            };
            let inputs = || {
                let seen = images.patches(frame.kernel, windows);
                match used.exchanged {
                    true => seen,
                    false => channels_first(seen, images.dim(-1)),
                }
            };
            s.scope.tap(layer, inputs, result)
        }
        _ => result,
    };
    one(from_images(with_bias(s, result)?, shape.len()))
}

/// What is cut off before and after lengths without padding, and what is left: what is wanted, or what the padding leaves.
fn cut(s: &Site<'_, '_>, full: &[usize], wanted: Option<Vec<usize>>) -> Answer<[Vec<usize>; 3]> {
    let spatial = full.len();
    let Some(output) = wanted else {
        let [before, after] = padding(s, spatial, |_| 0)?;
        let rest = |i: usize| full[i].checked_sub(before[i])?.checked_sub(after[i]);
        let output: Option<Vec<usize>> = (0..spatial).map(rest).collect();
        return Ok([
            before,
            after,
            output.ok_or("nothing is left without the padding")?,
        ]);
    };
    // What is larger than all windows ends without entries.
    let total = full.iter().zip(&output).map(|(n, m)| n.saturating_sub(*m));
    let total: Vec<usize> = total.collect();
    let small: Vec<usize> = total.iter().map(|t| t / 2).collect();
    let large: Vec<usize> = total.iter().map(|t| t - t / 2).collect();
    Ok(match s.text("auto_pad", "NOTSET")? {
        "SAME_UPPER" => [small, large, output],
        _ => [large, small, output],
    })
}

/// The paddings of the transposed convolution, and the lengths of its result.
fn transposed_frame(s: &Site<'_, '_>, input: &[usize], kernel: &[usize]) -> Answer<Frame> {
    let spatial = input.len();
    if kernel.len() != spatial || kernel.contains(&0) || input.contains(&0) {
        return Err(format!("the kernel {kernel:?} does not fit {input:?}"));
    }
    let (strides, dilation) = (
        positive(s, "strides", spatial)?,
        positive(s, "dilations", spatial)?,
    );
    let extra = s.ints("output_padding")?.map(sizes).transpose()?;
    let extra = extra.unwrap_or_else(|| vec![0; spatial]);
    let wanted = s.ints("output_shape")?.map(sizes).transpose()?;
    let lists = [Some(&extra), wanted.as_ref()];
    if lists.into_iter().flatten().any(|l| l.len() != spatial) {
        return Err(format!(
            "`output_padding` or `output_shape` does not have {spatial} numbers"
        ));
    }
    // Without padding.
    let full = |i: usize| {
        let kernel = (kernel[i] - 1).checked_mul(dilation[i])?;
        let stretched = (input[i] - 1).checked_mul(strides[i])?;
        let covered = stretched.checked_add(kernel)?.checked_add(extra[i])?;
        covered.checked_add(1)
    };
    let full: Option<Vec<usize>> = (0..spatial).map(full).collect();
    let full = full.ok_or("the result is too large")?;
    let is_same = s.text("auto_pad", "NOTSET")?.starts_with("SAME");
    let same = || (0..spatial).map(|i| input[i] * strides[i]).collect();
    let wanted = wanted.or_else(|| is_same.then(same));
    let [before, after, output] = cut(s, &full, wanted)?;
    Ok(Frame {
        input: pair(&output, 1)?,
        kernel: pair(kernel, 1)?,
        strides: pair(&strides, 1)?,
        dilation: pair(&dilation, 1)?,
        before: pair(&before, 0)?,
        after: pair(&after, 0)?,
        output: pair(input, 1)?,
    })
}

/// The transpose of the convolution that takes the result's shape to that of the input.
fn conv_transpose<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let (x, kernel) = (s.floats(0)?, s.floats(1)?);
    let (shape, size) = (x.shape(), kernel.shape());
    check_ranks(&shape, &size)?;
    check_kernel(s, &size[2..])?;
    let frame = transposed_frame(s, &shape[2..], &size[2..])?;
    let groups = groups(s)?;
    let images = as_images(x)?;
    // The input's channels are the outputs of the convolution.
    let kernel = as_kernel(kernel, frame.kernel);
    let channels = size[1].checked_mul(groups).ok_or("too many channels")?;
    let [oh, ow] = frame.input;
    let at = s.tracer().fill(0.0, [shape[0], oh, ow, channels]);
    // What the padding needs is what was taken off behind; windows that reach less far leave the rest without entries.
    let windows = Windows {
        padding: Padding::Zeros(frame.before, frame.after),
        ..frame.windows(groups)
    };
    let forward = at.conv2d(kernel, windows);
    if forward.shape() != images.shape() {
        let (forward, images) = (forward.shape(), images.shape());
        return Err(format!(
            "{:?} does not lead back to {:?}",
            &forward[..],
            &images[..]
        ));
    }
    let back = s.tracer().vjp(&[forward], &[at], &[images])[0];
    one(from_images(with_bias(s, back)?, shape.len()))
}
