//! Products of matrices, convolutions and sums by index, as nodes.

use super::super::known::Answer;
use super::nodes::{int, ints, text};
use super::symbolic::{Length, Signature};
use super::translate::fixed;
use super::value::{Tensors, Value};
use quadric_linalg::convolution::Geometry;

/// The axes of images with channels last, in the order of the format, and those of a kernel.
pub(super) const IMAGE: [usize; 4] = [0, 3, 1, 2];
const KERNEL: [usize; 4] = [3, 2, 0, 1];

pub(super) fn matmul(
    tensors: &mut Tensors,
    a: &Value,
    b: &Value,
    signature: &Signature,
) -> Answer<Value> {
    let rank = a.rank();
    // Matrices that are the same for all axes in front are taken alone, if the others have these axes.
    let is_alone = |v: &Value| {
        let mut own = v.axes.clone();
        own.sort_unstable();
        own == [rank - 2, rank - 1]
    };
    let mut side = |v: &Value, other: &Value| match is_alone(v) && !is_alone(other) {
        true => Ok(tensors.aligned(v, &[rank - 2, rank - 1])),
        false => tensors.whole(v),
    };
    let names = [side(a, b)?, side(b, a)?];
    let name = tensors.nodes.add("MatMul", &[&names[0], &names[1]], vec![]);
    Ok(Value::whole(name, signature))
}

/// A product with a bias of the columns.
pub(super) fn gemm(
    tensors: &mut Tensors,
    [a, b, bias]: [&Value; 3],
    signature: &Signature,
) -> Answer<Value> {
    let names = [
        tensors.whole(a)?,
        tensors.whole(b)?,
        tensors.aligned(bias, &[1]),
    ];
    let names = [&names[0][..], &names[1], &names[2]];
    let name = tensors.nodes.add("Gemm", &names, vec![]);
    Ok(Value::whole(name, signature))
}

/// Attributes of windows.
fn windows(g: &Geometry) -> Vec<super::super::proto::Attribute> {
    let mut attributes = vec![ints("kernel_shape", &g.kernel)];
    if g.strides != [1, 1] {
        attributes.push(ints("strides", &g.strides));
    }
    if g.padding != [[0, 0]; 2] {
        attributes.push(ints("pads", &g.padding.concat()));
    }
    attributes
}

fn is_image(signature: &Signature) -> Answer<()> {
    match signature.lengths.len() {
        4 => Ok(()),
        _ => Err("several batches of images at once have no counterpart".to_owned()),
    }
}

/// A convolution, with a bias of the channels.
pub(super) fn convolution(
    tensors: &mut Tensors,
    g: &Geometry,
    [x, kernel]: [&Value; 2],
    bias: Option<&Value>,
    signature: &Signature,
) -> Answer<Value> {
    is_image(signature)?;
    let image = tensors.ordered(x, &IMAGE)?;
    let kernel = tensors.ordered(kernel, &KERNEL)?;
    let mut names = vec![image, kernel];
    names.extend(bias.map(|b| tensors.aligned(b, &[3])));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut attributes = windows(g);
    if g.dilation != [1, 1] {
        attributes.push(ints("dilations", &g.dilation));
    }
    if g.groups != 1 {
        attributes.push(int("group", g.groups as i64));
    }
    let name = tensors.nodes.add("Conv", &names, attributes);
    Ok(Value::with_axes(name, signature, IMAGE.to_vec()))
}

/// Means of windows; zeros of the padding count.
pub(super) fn average_pool(
    tensors: &mut Tensors,
    g: &Geometry,
    x: &Value,
    signature: &Signature,
) -> Answer<Value> {
    let image = tensors.ordered(x, &IMAGE)?;
    let mut attributes = windows(g);
    if g.padding != [[0, 0]; 2] {
        attributes.push(int("count_include_pad", 1));
    }
    let name = tensors.nodes.add("AveragePool", &[&image], attributes);
    Ok(Value::with_axes(name, signature, IMAGE.to_vec()))
}

/// Largest entries of windows.
pub(super) fn max_pool(
    tensors: &mut Tensors,
    g: &Geometry,
    x: &Value,
    signature: &Signature,
) -> Answer<Value> {
    is_image(signature)?;
    let image = tensors.ordered(x, &IMAGE)?;
    let mut attributes = windows(g);
    if g.dilation != [1, 1] {
        attributes.push(ints("dilations", &g.dilation));
    }
    let name = tensors.nodes.add("MaxPool", &[&image], attributes);
    Ok(Value::with_axes(name, signature, IMAGE.to_vec()))
}

/// Sums of rows by index.
pub(super) fn scatter_add(
    tensors: &mut Tensors,
    [indices, updates]: [&Value; 2],
    signature: &Signature,
) -> Answer<Value> {
    if signature
        .lengths
        .iter()
        .any(|l| matches!(l, Length::Batch(_)))
    {
        fixed(&signature.lengths)?;
    }
    let zero = Value::with_axes(tensors.number(0.0), signature, Vec::new());
    let zeros = tensors.whole(&zero)?;
    let rank = indices.rank();
    let indices = tensors.whole(indices)?;
    let axes = tensors.nodes.list(&[rank]);
    let places = tensors.nodes.add("Unsqueeze", &[&indices, &axes], vec![]);
    let updates = tensors.whole(updates)?;
    let add = vec![text("reduction", "add")];
    let inputs = [&zeros[..], &places, &updates];
    let name = tensors.nodes.add("ScatterND", &inputs, add);
    Ok(Value::whole(name, signature))
}
