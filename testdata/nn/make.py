"""Writes layers.json: outputs, gradients, running statistics and losses of the layers of PyTorch in double precision: `python make.py`.

Names and shapes of parameters are those of crates/quadric-nn/src/layers. The loss of a layer is half the squared distance of its
outputs to targets, the mean over the examples.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

torch.set_default_dtype(torch.float64)

TARGET = 50


def entries(number, shape):
    """Multiples of 2^-20 in [-1/2, 1/2), which only depend on the number of the array and the position in it."""
    k = np.arange(np.prod(shape, dtype=int), dtype=np.uint64) + np.uint64(number * 65536 + 1)
    mask = np.uint64(0xFFFFFFFF)
    k = (k * np.uint64(2654435761)) & mask
    k ^= k >> np.uint64(15)
    k = (k * np.uint64(2246822519)) & mask
    k ^= k >> np.uint64(13)
    return torch.tensor(((k >> np.uint64(12)).astype(np.float64) / 2.0**20 - 0.5).reshape(shape))


def is_scale(name):
    return name.endswith("weight_g") or (name.endswith("weight") and "norm" in name)


def call(module, weights, *x, **options):
    return torch.func.functional_call(module, weights, x, options)


def numbers(*tensors):
    return [float(f"{v:.15g}") for t in tensors for v in t.detach().numpy().ravel()]


def kernel(weight):
    """From (.., inputs, outputs) to (outputs, inputs, ..)."""
    axes = range(weight.dim())
    return weight.permute(axes[-1], axes[-2], *axes[:-2])


def first(x):
    """Channels behind the examples."""
    return x.movedim(-1, 1)


def last(x):
    return x.movedim(1, -1)


def recurrent(module, gates, candidate=False):
    inputs, hidden = 3, 4

    def shapes():
        all = [("input.weight", (inputs, gates * hidden)), ("hidden.weight", (hidden, gates * hidden))]
        all.append(("bias", (gates * hidden,)))
        return all + [("candidate.bias", (hidden,))] * candidate

    def forward(x, p):
        own = torch.zeros((gates - candidate) * hidden)
        weights = {"weight_ih_l0": p["input.weight"].T, "weight_hh_l0": p["hidden.weight"].T}
        weights["bias_ih_l0"] = p["bias"]
        weights["bias_hh_l0"] = torch.cat([own, p["candidate.bias"]]) if candidate else own
        states, end = call(module(inputs, hidden), weights, x)
        end = end[0] if isinstance(end, tuple) else end
        return torch.cat([states, end.movedim(0, 1)], 1)

    return (2, 5, inputs), shapes(), forward


def conv2d():
    module = nn.Conv2d(4, 6, (2, 3), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)

    def forward(x, p):
        return last(call(module, {"weight": kernel(p["weight"]), "bias": p["bias"]}, first(x)))

    return (2, 5, 6, 4), [("weight", (2, 3, 2, 6)), ("bias", (6,))], forward


def conv1d():
    module = nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)

    def forward(x, p):
        return last(call(module, {"weight": kernel(p["weight"]), "bias": p["bias"]}, first(x)))

    return (2, 7, 4), [("weight", (3, 2, 6)), ("bias", (6,))], forward


def weight_norm():
    module = nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 3, 2))

    def forward(x, p):
        weights = {
            "parametrizations.weight.original0": p["weight_g"].reshape(3, 1, 1, 1),
            "parametrizations.weight.original1": kernel(p["weight_v"]),
            "bias": p["bias"],
        }
        return last(call(module, weights, first(x)))

    return (2, 3, 4, 2), [("weight_g", (3,)), ("weight_v", (2, 2, 2, 3)), ("bias", (3,))], forward


def dense():
    def forward(x, p):
        return call(nn.Linear(3, 4), {"weight": p["weight"].T, "bias": p["bias"]}, x)

    return (2, 5, 3), [("weight", (3, 4)), ("bias", (4,))], forward


def norm(module, shape, channels_first):
    channels = shape[-1]

    def forward(x, p):
        y = call(module, {"weight": p["norm.weight"], "bias": p["norm.bias"]}, first(x) if channels_first else x)
        return last(y) if channels_first else y

    return shape, [("norm.weight", (channels,)), ("norm.bias", (channels,))], forward


def attention_weights(p):
    names = {"in_proj_weight": "qkv.weight", "in_proj_bias": "qkv.bias", "out_proj.weight": "out.weight"}
    names["out_proj.bias"] = "out.bias"
    return {theirs: p[own].T if p[own].dim() == 2 else p[own] for theirs, own in names.items()}


def attention_shapes(width):
    own = [("qkv.weight", (width, 3 * width)), ("qkv.bias", (3 * width,))]
    return own + [("out.weight", (width, width)), ("out.bias", (width,))]


def later(steps):
    """True where a step lies after another."""
    return torch.ones(steps, steps, dtype=torch.bool).triu(1)


def attention(causal):
    width, steps = 6, 4
    module = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(x, p):
        mask = later(steps) if causal else None
        return call(module, attention_weights(p), x, x, x, need_weights=False, attn_mask=mask)[0]

    return (2, steps, width), attention_shapes(width), forward


def encoder(norm_first, activation, causal):
    width, hidden, steps = 6, 5, 4
    module = nn.TransformerEncoderLayer(
        width, 2, hidden, dropout=0.0, activation=activation, batch_first=True, norm_first=norm_first
    )
    inner = [(f"attention.{name}", shape) for name, shape in attention_shapes(width)]
    dense = [("up.weight", (width, hidden)), ("up.bias", (hidden,))]
    dense += [("down.weight", (hidden, width)), ("down.bias", (width,))]

    def norms(name):
        return [(f"{name}.weight", (width,)), (f"{name}.bias", (width,))]

    # In the order in which the parts are used.
    shapes = norms("norm1") + inner + norms("norm2") + dense
    if not norm_first:
        shapes = inner + norms("norm1") + dense + norms("norm2")

    def forward(x, p):
        own = attention_weights({name.removeprefix("attention."): value for name, value in p.items()})
        weights = {f"self_attn.{name}": value for name, value in own.items()}
        weights |= {name: value for name, value in p.items() if name.startswith("norm")}
        for theirs, name in (("linear1", "up"), ("linear2", "down")):
            weights |= {f"{theirs}.weight": p[f"{name}.weight"].T, f"{theirs}.bias": p[f"{name}.bias"]}
        return call(module, weights, x, src_mask=later(steps) if causal else None)

    return (2, steps, width), shapes, forward


LAYERS = {
    "dense": dense(),
    "conv2d": conv2d(),
    "conv1d": conv1d(),
    "weight_norm": weight_norm(),
    "rnn": recurrent(lambda m, n: nn.RNN(m, n, batch_first=True), 1),
    "rnn relu": recurrent(lambda m, n: nn.RNN(m, n, nonlinearity="relu", batch_first=True), 1),
    "gru": recurrent(lambda m, n: nn.GRU(m, n, batch_first=True), 3, candidate=True),
    "lstm": recurrent(lambda m, n: nn.LSTM(m, n, batch_first=True), 4),
    "layer_norm": norm(nn.LayerNorm(4), (2, 3, 4), False),
    "group_norm": norm(nn.GroupNorm(2, 4), (2, 3, 5, 4), True),
    "batch_norm": norm(nn.BatchNorm2d(4), (2, 3, 5, 4), True),
    "attention": attention(False),
    "causal attention": attention(True),
    "encoder": encoder(True, "gelu", False),
    "encoder of the paper": encoder(False, "relu", True),
}


def layer(shape, shapes, forward):
    x = 2.0 * entries(0, shape)
    p = {n: (entries(i + 1, s) + is_scale(n)).requires_grad_() for i, (n, s) in enumerate(shapes)}
    output = forward(x, p)
    loss = (output - entries(TARGET, output.shape)).square().sum() / (2 * shape[0])
    gradient = torch.autograd.grad(loss, list(p.values()))
    return {"shape": shape, "output": numbers(output), "gradient": numbers(*gradient)}


def running_statistics():
    """Two batches of training, then an evaluation."""
    module = nn.BatchNorm2d(4)
    for number in range(2):
        module(first(2.0 * entries(number, (2, 3, 5, 4)) + number))
    evaluated = module.eval()(first(entries(2, (2, 3, 5, 4))))
    return {"running": numbers(module.running_mean, module.running_var), "output": numbers(last(evaluated))}


def losses():
    def of(shape, f):
        output = (4.0 * entries(0, shape)).requires_grad_()
        value = f(output)
        return {"shape": shape, "loss": numbers(value), "gradient": numbers(*torch.autograd.grad(value, output))}

    def cross(labels, **options):
        labels = torch.tensor(labels)
        return lambda x: F.cross_entropy(x.movedim(-1, 1), labels, **options)

    labels = [0, 2, 1, 2, 0]
    many = [[0, 2, -100], [-100, -100, -100], [1, 1, 2]]
    probabilities = entries(1, (3, 4)) + 0.5
    return {
        "cross-entropy": of((5, 3), cross(labels)),
        "smoothed": of((5, 3), cross(labels, label_smoothing=0.1)),
        "ignored": of((5, 3), cross(labels, ignore_index=2)),
        "smoothed, ignored, sequences": of((3, 3, 4), cross(many, label_smoothing=0.2)),
        "mean-squared": of((3, 4), lambda x: F.mse_loss(x, probabilities)),
        "bernoulli": of((3, 4), lambda x: F.binary_cross_entropy_with_logits(x, probabilities, reduction="sum") / 3),
    }


def main():
    data = {
        "versions": {"PyTorch": torch.__version__},
        "layers": {name: layer(*case) for name, case in LAYERS.items()},
        "running statistics": running_statistics(),
        "losses": losses(),
    }
    text = json.dumps(data, separators=(",", ":"))
    Path(__file__).with_name("layers.json").write_text(text.replace("],", "],\n") + "\n")


main()
