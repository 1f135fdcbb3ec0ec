//! Pooling.

use super::super::known::Answer;
use super::super::site::{Site, sizes};
use super::super::value::signed;
use super::conv::{Frame, Lists, as_images, from_images};
use super::layout::count;
use super::reduce::root;
use super::{Entry, Results, entry, one};
use quadric_autodiff::{Tensor, Windows};

pub(super) const TABLE: &[Entry] = &[
    entry(
        "MaxPool",
        &[
            "auto_pad",
            "ceil_mode",
            "dilations",
            "kernel_shape",
            "pads",
            "storage_order",
            "strides",
        ],
        max_pool,
    ),
    entry(
        "AveragePool",
        &[
            "auto_pad",
            "ceil_mode",
            "count_include_pad",
            "dilations",
            "kernel_shape",
            "pads",
            "strides",
        ],
        average_pool,
    ),
    entry(
        "LpPool",
        &[
            "auto_pad",
            "ceil_mode",
            "dilations",
            "kernel_shape",
            "p",
            "pads",
            "strides",
        ],
        lp_pool,
    ),
    entry("GlobalAveragePool", &[], |s| {
        global(s, |x, axes| x.mean(axes))
    }),
    entry("GlobalMaxPool", &[], |s| global(s, |x, axes| x.max(axes))),
    entry("GlobalLpPool", &["p"], |s| {
        let p = degree(s)?;
        global(s, |x, axes| root(x.abs().powf(p).sum(axes), p))
    }),
];

/// Of the norm in which entries are summed.
fn degree(s: &Site<'_, '_>) -> Answer<f64> {
    match s.int("p", 2)? {
        p if p > 0 => Ok(p as f64),
        p => Err(format!("there is no norm {p}")),
    }
}

pub(super) fn lists(s: &Site<'_, '_>, x: Tensor<'_>) -> Answer<Lists> {
    let shape = x.shape();
    let kernel = s
        .ints("kernel_shape")?
        .ok_or("attribute `kernel_shape` is missing")?;
    let spatial = shape.get(2..).unwrap_or_default();
    Lists::new(s, spatial, &sizes(kernel)?, s.flag("ceil_mode", false)?)
}

fn frame(s: &Site<'_, '_>, x: Tensor<'_>) -> Answer<Frame> {
    let lists = lists(s, x)?;
    lists.frame(0..lists.input.len())
}

fn max_pool<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let x = s.floats(0)?;
    if x.shape().len() == 5 {
        return super::volume::max_pool(s, x);
    }
    let frame = frame(s, x)?;
    let pooled = as_images(x)?.max_pool(frame.kernel, frame.windows(1));
    one(from_images(pooled, x.shape().len()))
}

/// The sums of the windows of images `(n, h, w, c)`.
pub(super) fn sums<'t>(s: &Site<'_, 't>, images: Tensor<'t>, frame: &Frame) -> Tensor<'t> {
    let channels = images.dim(-1);
    let kernel = s
        .tracer()
        .fill(1.0, [frame.kernel[0], frame.kernel[1], 1, channels]);
    let groups = channels;
    images.conv2d(
        kernel,
        Windows {
            groups,
            ..frame.windows(1)
        },
    )
}

/// For each window along an axis how many of its entries lie on the image, or on the padding that was asked for.
pub(super) fn counts(frame: &Frame, axis: usize, with_padding: bool) -> Vec<f64> {
    let image = frame.before[axis]..frame.before[axis] + frame.input[axis];
    let all = 0..image.end + frame.after[axis];
    let inside = if with_padding { all } else { image };
    let counted = |window: usize| {
        let start = window * frame.strides[axis];
        let at = (0..frame.kernel[axis]).map(|k| start + k * frame.dilation[axis]);
        at.filter(|p| inside.contains(p)).count() as f64
    };
    (0..frame.output[axis]).map(counted).collect()
}

fn average_pool<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let x = s.floats(0)?;
    if x.shape().len() == 5 {
        return super::volume::average_pool(s, x);
    }
    let frame = frame(s, x)?;
    let with_padding = s.flag("count_include_pad", false)?;
    super::super::known::small(&[frame.output[0], frame.kernel[0]])?;
    super::super::known::small(&[frame.output[1], frame.kernel[1]])?;
    let [rows, columns] = [0, 1].map(|axis| counts(&frame, axis, with_padding));
    let t = s.tracer();
    let rows = t.constant(&rows, [rows.len(), 1, 1]);
    let columns = t.constant(&columns, [columns.len(), 1]);
    let sums = sums(s, as_images(x)?, &frame);
    one(from_images(sums / (rows * columns), x.shape().len()))
}

fn lp_pool<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let x = s.floats(0)?;
    let frame = frame(s, x)?;
    let p = degree(s)?;
    let sums = sums(s, as_images(x)?.abs().powf(p), &frame);
    one(from_images(root(sums, p), x.shape().len()))
}

/// All of an image is one window.
fn global<'t>(s: &Site<'_, 't>, f: impl FnOnce(Tensor<'t>, &[isize]) -> Tensor<'t>) -> Results<'t> {
    let x = s.floats(0)?;
    let mut shape = x.shape();
    if shape.len() < 3 || count(&shape[2..]) == 0 {
        return Err(format!("takes images, not {:?}", &shape[..]));
    }
    let axes: Vec<usize> = (2..shape.len()).collect();
    shape[2..].fill(1);
    one(f(x, &signed(&axes)).reshape(shape))
}
