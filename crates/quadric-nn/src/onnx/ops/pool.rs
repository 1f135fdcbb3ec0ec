//! Pooling.

use super::super::known::{Answer, Element, small};
use super::super::site::{Site, sizes};
use super::super::value::{Value, signed};
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

/// Positions up to which single precision is exact.
const LARGEST_PLACE: usize = 1 << 24;

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
    let images = as_images(x)?;
    let pooled = images.max_pool(frame.kernel, frame.windows(1));
    let rank = x.shape().len();
    let mut results = vec![from_images(pooled, rank).into()];
    if s.node.outputs.get(1).copied().flatten().is_some() {
        let columns_first = s.flag("storage_order", false)?;
        let places = places(images.detach(), pooled.detach(), &frame, columns_first)?;
        results.push(Value::Real(from_images(places, rank), Element::Integer));
    }
    Ok(results)
}

/// Where in the flat array `(n, c, h, w)`, or `(n, c, w, h)`, the first of the largest entries of each window is.
fn places<'t>(
    images: Tensor<'t>,
    pooled: Tensor<'t>,
    frame: &Frame,
    columns_first: bool,
) -> Answer<Tensor<'t>> {
    let (t, shape) = (images.tracer(), images.shape());
    let [n, h, w, channels] = [shape[0], shape[1], shape[2], shape[3]];
    if count(&shape) > LARGEST_PLACE {
        return Err(format!(
            "positions among {} entries are not exact in single precision",
            count(&shape)
        ));
    }
    let padded = (0..2).fold(images, |x, i| {
        let axis = i as isize + 1;
        let fill = |n: usize| {
            let mut shape = x.shape();
            shape[i + 1] = n;
            t.fill(f64::NEG_INFINITY, shape)
        };
        let end = (frame.output[i] - 1) * frame.strides[i] + frame.reach(i);
        let after = end.saturating_sub(frame.input[i] + frame.before[i]);
        fill(frame.before[i]).concat(&[x, fill(after)], axis)
    });
    let mut found = pooled.fill_like(0.0);
    let mut places = found;
    let [ky, kx] = frame.kernel;
    small(&[frame.output[0], frame.output[1], ky, kx])?;
    for tap in (0..ky).flat_map(|y| (0..kx).map(move |x| [y, x])) {
        let start = [0, 1].map(|i| tap[i] * frame.dilation[i]);
        let seen = (0..2).fold(padded, |x, i| {
            x.slice_steps(i as isize + 1, start[i], frame.output[i], frame.strides[i])
        });
        let here = |i: usize, at: usize| {
            let along = (at * frame.strides[i] + start[i]) as f64;
            along - frame.before[i] as f64
        };
        let [oh, ow] = frame.output;
        let place = |at: usize| match [here(0, at / ow), here(1, at % ow)] {
            [y, x] if columns_first => x * h as f64 + y,
            [y, x] => y * w as f64 + x,
        };
        let table: Vec<f64> = (0..oh * ow).map(place).collect();
        let first = seen.equal(pooled) * (1.0 - found);
        places = places + first * t.constant(&table, [oh, ow, 1]);
        found = found + first;
    }
    let image = t.iota([n]).to_float().reshape([n, 1, 1, 1]) * channels as f64;
    let plane = (image + t.iota([channels]).to_float()) * (h * w) as f64;
    Ok(places + plane)
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
    small(&[frame.output[0], frame.kernel[0]])?;
    small(&[frame.output[1], frame.kernel[1]])?;
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
