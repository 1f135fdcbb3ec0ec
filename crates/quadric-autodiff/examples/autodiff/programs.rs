//! The four networks that the engine is measured on, as losses of their parameters: the mean cross-entropy of a batch.
//!
//! Inputs are `x`, `labels`, then the parameters in the order of [`Network::parameters`].

use quadric_autodiff::{Padding, Program, Tensor, Tracer, Windows};
use quadric_linalg::Result;

/// A loss and the names of its parameters.
pub(crate) struct Network {
    pub(crate) loss: Program,
    /// Gauss-Newton products of the loss, with the directions `d name` behind the other inputs.
    pub(crate) gauss_newton: Program,
    pub(crate) parameters: Vec<String>,
}

/// Hands out parameters by name.
struct Parameters<'t> {
    tracer: &'t Tracer,
    names: Vec<String>,
    tensors: Vec<Tensor<'t>>,
}

impl<'t> Parameters<'t> {
    fn get(&mut self, name: &str, shape: &[usize]) -> Tensor<'t> {
        let tensor = self.tracer.input(name, shape.iter().copied());
        self.names.push(name.to_owned());
        self.tensors.push(tensor);
        tensor
    }

    fn dense(&mut self, name: &str, x: Tensor<'t>, out: usize) -> Tensor<'t> {
        let w = self.get(&format!("{name}.weight"), &[x.dim(-1), out]);
        x.matmul(w) + self.get(&format!("{name}.bias"), &[out])
    }

    fn layer_norm(&mut self, name: &str, x: Tensor<'t>) -> Tensor<'t> {
        let width = x.dim(-1);
        let scale = self.get(&format!("{name}.weight"), &[width]);
        x.normalize(&[-1], 1e-5) * scale + self.get(&format!("{name}.bias"), &[width])
    }

    /// Convolution of 3 x 3 without bias, then normalisation over the batch.
    fn conv_norm(&mut self, name: &str, x: Tensor<'t>, out: usize, stride: usize) -> Tensor<'t> {
        let kernel = self.get(&format!("{name}.weight"), &[3, 3, x.dim(-1), out]);
        let windows = Windows {
            strides: [stride, stride],
            padding: Padding::Zeros([1, 1], [1, 1]),
            ..Windows::default()
        };
        let y = x.conv2d(kernel, windows).normalize(&[0, 1, 2], 1e-5);
        let scale = self.get(&format!("{name}.scale"), &[out]);
        y * scale + self.get(&format!("{name}.shift"), &[out])
    }
}

fn network(
    shape: &[usize],
    model: impl for<'t> Fn(&mut Parameters<'t>, Tensor<'t>) -> Tensor<'t>,
) -> Result<Network> {
    let mut names = Vec::new();
    let loss = Program::trace(|t| {
        let (parameters, _, loss) = forward(t, shape, &model);
        names = parameters.names;
        vec![loss]
    })?;
    let gauss_newton = Program::trace(|t| {
        let (parameters, logits, loss) = forward(t, shape, &model);
        gauss_newton(&parameters, logits, loss)
    })?;
    Ok(Network {
        loss,
        gauss_newton,
        parameters: names,
    })
}

/// The parameters, what the model gives for the inputs, and its loss.
fn forward<'t>(
    t: &'t Tracer,
    shape: &[usize],
    model: impl Fn(&mut Parameters<'t>, Tensor<'t>) -> Tensor<'t>,
) -> (Parameters<'t>, Tensor<'t>, Tensor<'t>) {
    let x = t.input("x", shape.iter().copied());
    let labels = t.index_input("labels", [shape[0]]);
    let mut parameters = Parameters {
        tracer: t,
        names: Vec::new(),
        tensors: Vec::new(),
    };
    let logits = model(&mut parameters, x);
    let loss = logits.cross_entropy(labels).mean_all();
    (parameters, logits, loss)
}

/// Jᵀ Λ J v, with the Jacobian J of the logits and the Hessian Λ of the loss in the logits.
fn gauss_newton<'t>(
    parameters: &Parameters<'t>,
    logits: Tensor<'t>,
    loss: Tensor<'t>,
) -> Vec<Tensor<'t>> {
    let (t, wrt) = (parameters.tracer, &parameters.tensors);
    let named = parameters.names.iter().zip(wrt);
    let directions: Vec<Tensor<'t>> = named
        .map(|(name, w)| t.direction(&format!("d {name}"), w.shape()))
        .collect();
    let moved = t.jvp(&[logits], wrt, &directions);
    let curved = t.jvp(&t.grad(loss, &[logits]), &[logits], &moved);
    t.vjp(&[logits], wrt, &curved)
}

/// Dense layers of the given widths, with tanh or rectified linear units between them.
pub(crate) fn mlp(batch: usize, widths: &[usize]) -> Result<Network> {
    network(&[batch, widths[0]], |p, x| {
        let last = widths.len() - 1;
        let layers = widths[1..].iter().enumerate();
        layers.fold(x, |h, (i, &width)| {
            let z = p.dense(&format!("{i}"), h, width);
            if i + 1 == last { z } else { z.relu() }
        })
    })
}

/// ResNet of depth 6 n + 2 for 32 x 32 images (He et al., arXiv 1512.03385, section 4.2, where the first width is 16), shortcuts
/// of type A, batch normalisation with the statistics of the batch.
pub(crate) fn resnet(batch: usize, size: usize, n: usize, first: usize) -> Result<Network> {
    network(&[batch, size, size, 3], |p, x| {
        let mut h = p.conv_norm("first", x, first, 1).relu();
        for (stage, width) in [first, 2 * first, 4 * first].into_iter().enumerate() {
            for block in 0..n {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let name = format!("{stage}.{block}");
                let y = p.conv_norm(&format!("{name}.a"), h, width, stride).relu();
                let y = p.conv_norm(&format!("{name}.b"), y, width, 1);
                if stride == 2 {
                    let half = h.dim(1).div_ceil(2);
                    let own = width / 4;
                    h = h
                        .slice_steps(1, 0, half, 2)
                        .slice_steps(2, 0, half, 2)
                        .pad(-1, own, own);
                }
                h = (y + h).relu();
            }
        }
        p.dense("last", h.mean(&[1, 2]), 10)
    })
}

/// One layer of long short-term memory (Hochreiter, Schmidhuber 1997; gates in the order input, forget, cell, output) over
/// `(batch, steps, inputs)`, and a dense layer on the last hidden state.
pub(crate) fn lstm(batch: usize, steps: usize, inputs: usize, hidden: usize) -> Result<Network> {
    network(&[batch, steps, inputs], |p, x| {
        let w = p.get("input.weight", &[inputs, 4 * hidden]);
        let u = p.get("hidden.weight", &[hidden, 4 * hidden]);
        let b = p.get("bias", &[4 * hidden]);
        let t = p.tracer;
        let zero = t.fill(0.0, [batch, hidden]);
        let (last, _) = t.scan(&[zero, zero], &[x.permute(&[1, 0, 2])], |state, x| {
            let z = x[0].matmul(w) + state[0].matmul(u) + b;
            let part = |i: usize| z.slice(1, i * hidden..(i + 1) * hidden);
            let cell = part(1).sigmoid() * state[1] + part(0).sigmoid() * part(2).tanh();
            (vec![part(3).sigmoid() * cell.tanh(), cell], vec![])
        });
        p.dense("last", last[0], 10)
    })
}

/// Encoder layers (Vaswani et al., arXiv 1706.03762) with normalisation before each part and GELU, over `(batch, steps, width)`,
/// the mean over the steps, and a dense layer.
pub(crate) fn transformer(
    batch: usize,
    steps: usize,
    width: usize,
    heads: usize,
    layers: usize,
) -> Result<Network> {
    network(&[batch, steps, width], |p, x| {
        let mut h = x;
        let depth = width / heads;
        for layer in 0..layers {
            let y = p.layer_norm(&format!("{layer}.norm1"), h);
            let qkv = p.dense(&format!("{layer}.qkv"), y, 3 * width);
            let qkv = qkv
                .reshape([batch, steps, 3, heads, depth])
                .permute(&[2, 0, 3, 1, 4]);
            let part = |i: usize| qkv.slice(0, i..i + 1).reshape([batch, heads, steps, depth]);
            let scores = part(0).matmul(part(1).transpose()) / (depth as f64).sqrt();
            let mixed = scores.softmax(-1).matmul(part(2));
            let mixed = mixed.permute(&[0, 2, 1, 3]).reshape([batch, steps, width]);
            h = h + p.dense(&format!("{layer}.out"), mixed, width);
            let y = p.layer_norm(&format!("{layer}.norm2"), h);
            let y = p.dense(&format!("{layer}.up"), y, 4 * width).gelu();
            h = h + p.dense(&format!("{layer}.down"), y, width);
        }
        p.dense("last", h.mean(&[1]), 10)
    })
}
