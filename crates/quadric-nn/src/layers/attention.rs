//! Attention, and the encoder of transformers (Vaswani et al., arXiv 1706.03762).

use super::{Activation, Dense, dense, dropout, layer_norm};
use crate::{Init, Scope};
use quadric_autodiff::Tensor;

/// Options of [`self_attention`].
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Attention {
    /// Whether no step sees the steps after it.
    pub causal: bool,
    /// The rate of [`dropout`] of the weights of attention.
    pub dropout: f64,
}

/// A score that leaves no weight, in either precision.
const NEVER: f64 = -1e30;

/// Self-attention with some heads over `(n, steps, width)`: each step the mean of the values of all steps, weighted by the
/// softmax of the products of its query with their keys, divided by the square root of the width of a head.
///
/// Parameters: `qkv.weight` (width, 3 width) and `qkv.bias`, queries, keys and values side by side, each by heads; `out.weight`
/// (width, width) and `out.bias`. They start as in PyTorch: the first uniform after Glorot, the second within
/// `±1 / sqrt(width)`, biases at 0.
#[track_caller]
pub fn self_attention<'t>(
    scope: &Scope<'t>,
    name: &str,
    x: Tensor<'t>,
    heads: usize,
    options: Attention,
) -> Tensor<'t> {
    let (t, scope, shape) = (scope.tracer(), scope.within(name), x.shape());
    let [n, steps, width] = shape[..] else {
        let message = format!("takes (n, steps, width), not {:?}", &shape[..]);
        t.fail("self_attention", &message);
    };
    if heads == 0 || !width.is_multiple_of(heads) {
        let message = format!("a width of {width} cannot be divided among {heads} heads");
        t.fail("self_attention", &message);
    }
    let depth = width / heads;
    let from = |init: Init| Dense {
        init: Some(init),
        ..Dense::default()
    };
    let wide = width.saturating_mul(3);
    let qkv = dense(
        &scope,
        "qkv",
        x,
        wide,
        &from(Init::glorot_uniform(width, wide)),
    );
    let qkv = qkv.reshape([n, steps, 3, heads, depth]);
    let qkv = qkv.permute(&[2, 0, 3, 1, 4]);
    let part = |i: usize| {
        let part = qkv.slice(0, i..i + 1);
        part.reshape([n, heads, steps, depth])
    };
    let mut scores = part(0).matmul(part(1).transpose()) / (depth as f64).sqrt();
    if options.causal {
        let column = t.iota([steps, steps]);
        let seen = column.less_equal(column.transpose());
        scores = seen.select(scores, scores.fill_like(NEVER));
    }
    let weights = dropout(&scope, scores.softmax(-1), options.dropout);
    let mixed = weights.matmul(part(2)).permute(&[0, 2, 1, 3]);
    let mixed = mixed.reshape([n, steps, width]);
    dense(
        &scope,
        "out",
        mixed,
        width,
        &from(Init::fan_in_uniform(width)),
    )
}

/// Options of [`encoder_layer`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EncoderLayer {
    /// Heads of attention.
    pub heads: usize,
    /// Hidden width of the dense layers.
    pub feedforward: usize,
    /// Between the dense layers.
    pub activation: Activation,
    /// The rate of dropout of the weights of attention, between the dense layers, and before each sum.
    pub dropout: f64,
    /// Whether no step sees the steps after it.
    pub causal: bool,
    /// Whether layers are normalised before attention and dense layers, or after the sums as in the paper.
    pub norm_first: bool,
}

impl EncoderLayer {
    /// Normalisation first, GELU, hidden layers four times as wide, no dropout, not causal.
    pub fn new(width: usize, heads: usize) -> Self {
        Self {
            heads,
            feedforward: width.saturating_mul(4),
            activation: Activation::Gelu,
            dropout: 0.0,
            causal: false,
            norm_first: true,
        }
    }
}

/// A layer of an encoder over `(n, steps, width)`: attention, then two dense layers at each step, both added to their input.
///
/// Parameters: those of the [`layer_norm`]s `norm1` and `norm2`, of the [`self_attention`] `attention`, and of the [`dense`]
/// layers `up` and `down`.
#[track_caller]
pub fn encoder_layer<'t>(
    scope: &Scope<'t>,
    name: &str,
    x: Tensor<'t>,
    options: EncoderLayer,
) -> Tensor<'t> {
    let scope = scope.within(name);
    let drop = |y| dropout(&scope, y, options.dropout);
    let attention = Attention {
        causal: options.causal,
        dropout: options.dropout,
    };
    let mix = |x| {
        let y = self_attention(&scope, "attention", x, options.heads, attention);
        drop(y)
    };
    let forward = |x: Tensor<'t>| {
        let hidden = dense(&scope, "up", x, options.feedforward, &Dense::default());
        let hidden = drop(options.activation.apply(hidden));
        drop(dense(&scope, "down", hidden, x.dim(-1), &Dense::default()))
    };
    let norm = |name, x| layer_norm(&scope, name, x);
    if options.norm_first {
        let h = x + mix(norm("norm1", x));
        h + forward(norm("norm2", h))
    } else {
        let h = norm("norm1", x + mix(x));
        norm("norm2", h + forward(h))
    }
}
