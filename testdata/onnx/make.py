"""Writes small networks as ONNX files beside what PyTorch computes with them, in double precision: `python make.py`.

NAME.onnx is what torch.onnx.export makes of a network, NAME.json holds a batch, the outputs, and for the loss
`sum(outputs²) / 2` its value, its gradient, a direction and the Hessian times the direction, by the names of the parameters.
The batch has another size than that of the export. Versions of what made them are in versions.txt.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.func import functional_call

torch.set_default_dtype(torch.float64)
warnings.simplefilter("ignore")
HERE = Path(__file__).parent
EXAMPLES = 3


def entries(number, shape):
    """Multiples of 2^-20 in [-1/2, 1/2), which only depend on the number of the array and the position in it."""
    k = np.arange(np.prod(shape, dtype=int), dtype=np.uint64) + np.uint64(number * 65536 + 1)
    mask = np.uint64(0xFFFFFFFF)
    k = (k * np.uint64(2654435761)) & mask
    k ^= k >> np.uint64(15)
    k = (k * np.uint64(2246822519)) & mask
    k ^= k >> np.uint64(13)
    return torch.from_numpy(((k >> np.uint64(12)).astype(np.float64) / 2.0**20 - 0.5).reshape(shape))


def mlp():
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4), nn.ReLU(), nn.Linear(4, 1), nn.Sigmoid())


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False)
        self.bn2 = nn.BatchNorm2d(6)
        self.fc = nn.Linear(24, 3)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 2)
        x = nn.functional.avg_pool2d(torch.nn.functional.gelu(self.bn2(self.conv2(x))), 2, ceil_mode=True)
        return torch.log_softmax(self.fc(x.view(x.size(0), -1)), -1)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, padding=1, bias=False)
        self.bn0 = nn.BatchNorm2d(3)
        self.conv1 = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(4)
        self.short = nn.Conv2d(3, 4, 1, stride=2, bias=False)
        self.bn3 = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        x = torch.relu(self.bn0(self.stem(x)))
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        x = torch.relu(y + self.bn3(self.short(x)))
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Block(nn.Module):
    """Two convolutions and a shortcut: every second pixel, and channels of zeros, where a stage begins."""

    def __init__(self, before, channels):
        super().__init__()
        self.stride = 2 if channels > before else 1
        self.conv1 = nn.Conv2d(before, channels, 3, stride=self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            more = (y.shape[1] - x.shape[1]) // 2
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more, more))
        return torch.relu(x + y)


class Resnet20(nn.Module):
    """The twenty layers of He et al. for CIFAR-10, with two channels where they have 16."""

    def __init__(self, width=2):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        sizes = [width] * 4 + [2 * width] * 3 + [4 * width] * 3
        self.blocks = nn.Sequential(*[Block(a, b) for a, b in zip(sizes, sizes[1:])])
        self.fc = nn.Linear(4 * width, 10)

    def forward(self, x):
        x = self.blocks(torch.relu(self.bn(self.stem(x))))
        return self.fc(x.mean((2, 3)))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 3)
        self.lstm = nn.LSTM(3, 4, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, ids):
        y, _ = self.lstm(self.embedding(ids))
        return self.fc(y[:, -1])


class Gru(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 3, num_layers=2, batch_first=True)
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(self.gru(x)[0].mean(1))


class Transformer(nn.Module):
    """With a mask that hides what comes later, or without."""

    def __init__(self, masked=True):
        super().__init__()
        self.masked = masked
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        mask = torch.full((x.shape[1], x.shape[1]), -torch.inf, dtype=x.dtype).triu(1) if self.masked else None
        return self.fc(self.layer(x, src_mask=mask).mean(1))


LEGACY = {"dynamo": False, "training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}

# What an optimising export folds into weights is only compared by its outputs.
NETWORKS = {
    "mlp": (mlp, (5,), {}),
    "cnn": (Cnn, (2, 12, 12), {"optimize": False}),
    "cnn_folded": (Cnn, (2, 12, 12), {"dynamo": False}),
    "cnn_training": (Cnn, (2, 12, 12), LEGACY),
    "residual": (Residual, (1, 8, 8), {**LEGACY, "opset_version": 13}),
    "resnet20": (Resnet20, (3, 16, 16), {**LEGACY, "opset_version": 17}),
    "lstm": (Lstm, 6, {"optimize": False}),
    "lstm_legacy": (Lstm, 6, {**LEGACY, "opset_version": 11}),
    "gru": (Gru, (5, 2), LEGACY),
    "transformer": (Transformer, (4, 8), {"optimize": False}),
    "transformer_folded": (Transformer, (4, 8), {}),
    "transformer_legacy": (lambda: Transformer(False), (4, 8), {**LEGACY, "opset_version": 17}),
}


def filled(build):
    """A network whose parameters and running statistics only depend on their order."""
    net = build()
    state = {}
    for i, (name, value) in enumerate(net.state_dict().items()):
        v = entries(i + 1, tuple(value.shape))
        if name.endswith("running_var") or (("bn" in name or "norm" in name) and name.endswith("weight")):
            v = v + 1.0
        state[name] = v if value.is_floating_point() else value
    net.load_state_dict(state)
    return net


def batch(shape, examples):
    if isinstance(shape, int):
        return (torch.arange(examples * shape) * 7 % 11).reshape(examples, shape)
    return entries(99, (examples, *shape)) * 4.0


def export(name, net, x, options):
    path = HERE / f"{name}.onnx"
    options = {"dynamo": True, **options}
    if options["dynamo"]:
        options.update(dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), external_data=False, verbose=False)
        options.setdefault("optimize", True)
    else:
        options.update(dynamic_axes={"input": {0: "batch"}})
    torch.onnx.export(net, (x,), path, input_names=["input"], output_names=["output"], **options)
    model = onnx.load(path)
    model.doc_string = model.producer_version = ""
    model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del model.graph.value_info[:], model.metadata_props[:], model.graph.metadata_props[:]
    path.write_bytes(model.SerializeToString())


def flat(tensors):
    return {n: v.detach().reshape(-1).tolist() for n, v in tensors.items()}


def write(name, build, shape, options):
    net = filled(build)
    training = name.endswith("training")
    # A path for inference only would leave out what the graph is made of.
    torch.backends.mha.set_fastpath_enabled(False)
    net.train(training)
    export(name, filled(build).train(training), batch(shape, 2), options)
    x = batch(shape, EXAMPLES)
    parameters = dict(net.named_parameters())
    kept = {t.name for t in onnx.load(HERE / f"{name}.onnx").graph.initializer}
    buffers = {n: b.clone() for n, b in net.named_buffers()}

    def loss(p):
        y = functional_call(net, (p, {n: b.clone() for n, b in buffers.items()}), (x,))
        return (y * y).sum() / 2, y

    value, y = loss(parameters)
    gradient = torch.autograd.grad(value, parameters.values(), create_graph=True)
    direction = {n: entries(50 + i, tuple(p.shape)) for i, (n, p) in enumerate(parameters.items())}
    slope = sum((g * d).sum() for g, d in zip(gradient, direction.values()))
    product = torch.autograd.grad(slope, parameters.values(), materialize_grads=True)
    record = {
        "training": training,
        "input": x.reshape(-1).tolist(),
        "output": y.detach().reshape(-1).tolist(),
    }
    if kept.issuperset(parameters):
        record |= {
            "loss": value.item(),
            "gradient": flat(dict(zip(parameters, gradient))),
            "direction": flat(direction),
            "product": flat(dict(zip(parameters, product))),
        }
    (HERE / f"{name}.json").write_text(json.dumps(record, separators=(",", ":")) + "\n")


def main():
    # Of the other kernels PyTorch knows no second derivatives.
    with sdpa_kernel(SDPBackend.MATH):
        for name, (build, shape, options) in NETWORKS.items():
            write(name, build, shape, options)
    (HERE / "versions.txt").write_text(f"torch {torch.__version__}, onnx {onnx.__version__}, numpy {np.__version__}\n")


if __name__ == "__main__":
    main()
