"""Writes networks.json: losses, gradients, Hessian products and a third derivative of four small networks, in double precision by
PyTorch, which must agree with JAX: `python make.py`.

Networks, names and layouts are those of crates/quadric-autodiff/examples/autodiff/programs.rs.
"""

import json
import os
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

jax.config.update("jax_enable_x64", True)
torch.set_default_dtype(torch.float64)

CLASSES = 10
AGREE = 1e-10


def entries(number, shape):
    """Multiples of 2^-20 in [-1/2, 1/2), which only depend on the number of the array and the position in it."""
    k = np.arange(np.prod(shape, dtype=int), dtype=np.uint64) + np.uint64(number * 65536 + 1)
    mask = np.uint64(0xFFFFFFFF)
    k = (k * np.uint64(2654435761)) & mask
    k ^= k >> np.uint64(15)
    k = (k * np.uint64(2246822519)) & mask
    k ^= k >> np.uint64(13)
    return ((k >> np.uint64(12)).astype(np.float64) / 2.0**20 - 0.5).reshape(shape)


def is_scale(name):
    return name.endswith("scale") or (name.endswith("weight") and "norm" in name)


def dense(name, inputs, out):
    return [(f"{name}.weight", (inputs, out)), (f"{name}.bias", (out,))]


class Network:
    """Its third derivative is written, too."""

    third = False


class Mlp(Network):
    third = True
    widths = (5, 7, 4, CLASSES)
    x = (6, 5)

    def parameters(self):
        pairs = enumerate(zip(self.widths, self.widths[1:]))
        return [p for i, (m, n) in pairs for p in dense(str(i), m, n)]

    def torch(self, x, p):
        for i in range(3):
            x = F.linear(x, p[f"{i}.weight"].T, p[f"{i}.bias"])
            x = F.relu(x) if i < 2 else x
        return x

    def jax(self, x, p):
        for i in range(3):
            x = x @ p[f"{i}.weight"] + p[f"{i}.bias"]
            x = jax.nn.relu(x) if i < 2 else x
        return x


class Resnet(Network):
    """One block a stage, widths 2, 4, 8; images (n, h, w, channels), kernels (h, w, in, out)."""

    x = (2, 8, 8, 3)
    blocks = ((2, 2, 1), (2, 4, 2), (4, 8, 2))

    def parameters(self):
        def conv(name, m, n):
            return [(f"{name}.weight", (3, 3, m, n)), (f"{name}.scale", (n,)), (f"{name}.shift", (n,))]

        all = conv("first", 3, 2)
        for stage, (before, width, _) in enumerate(self.blocks):
            all += conv(f"{stage}.0.a", before, width) + conv(f"{stage}.0.b", width, width)
        return all + dense("last", 8, CLASSES)

    def torch(self, x, p):
        def conv(name, x, stride=1):
            y = F.conv2d(x, p[f"{name}.weight"].permute(3, 2, 0, 1), stride=stride, padding=1)
            return F.batch_norm(y, None, None, p[f"{name}.scale"], p[f"{name}.shift"], training=True, eps=1e-5)

        h = F.relu(conv("first", x.permute(0, 3, 1, 2)))
        for stage, (_, width, stride) in enumerate(self.blocks):
            y = conv(f"{stage}.0.b", F.relu(conv(f"{stage}.0.a", h, stride)))
            if stride == 2:
                h = F.pad(h[:, :, ::2, ::2], (0, 0, 0, 0, width // 4, width // 4))
            h = F.relu(y + h)
        return F.linear(F.adaptive_avg_pool2d(h, 1).flatten(1), p["last.weight"].T, p["last.bias"])

    def jax(self, x, p):
        def conv(name, x, stride=1):
            kernel, layouts = p[f"{name}.weight"], ("NHWC", "HWIO", "NHWC")
            y = jax.lax.conv_general_dilated(x, kernel, (stride, stride), [(1, 1), (1, 1)], dimension_numbers=layouts)
            return jax.nn.standardize(y, axis=(0, 1, 2), epsilon=1e-5) * p[f"{name}.scale"] + p[f"{name}.shift"]

        h = jax.nn.relu(conv("first", x))
        for stage, (_, width, stride) in enumerate(self.blocks):
            y = conv(f"{stage}.0.b", jax.nn.relu(conv(f"{stage}.0.a", h, stride)))
            if stride == 2:
                h = jnp.pad(h[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (width // 4, width // 4)))
            h = jax.nn.relu(y + h)
        return h.mean((1, 2)) @ p["last.weight"] + p["last.bias"]


class Lstm(Network):
    inputs, hidden = 2, 5
    x = (3, 4, 2)

    def parameters(self):
        wide = 4 * self.hidden
        own = [("input.weight", (self.inputs, wide)), ("hidden.weight", (self.hidden, wide)), ("bias", (wide,))]
        return own + dense("last", self.hidden, CLASSES)

    def torch(self, x, p):
        h = c = torch.zeros(x.shape[0], self.hidden)
        bias = p["bias"]
        for t in range(x.shape[1]):
            weights = (p["input.weight"].T, p["hidden.weight"].T, bias, torch.zeros_like(bias))
            h, c = torch.lstm_cell(x[:, t], (h, c), *weights)
        return F.linear(h, p["last.weight"].T, p["last.bias"])

    def jax(self, x, p):
        def step(state, x):
            h, c = state
            i, f, g, o = jnp.split(x @ p["input.weight"] + h @ p["hidden.weight"] + p["bias"], 4, 1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        zero = jnp.zeros((x.shape[0], self.hidden))
        h = jax.lax.scan(step, (zero, zero), x.swapaxes(0, 1))[0][0]
        return h @ p["last.weight"] + p["last.bias"]


class Transformer(Network):
    width, heads = 8, 2
    x = (2, 3, 8)

    def parameters(self):
        def norm(name):
            return [(f"{name}.weight", (self.width,)), (f"{name}.bias", (self.width,))]

        w = self.width
        all = norm("0.norm1") + dense("0.qkv", w, 3 * w) + dense("0.out", w, w)
        all += norm("0.norm2") + dense("0.up", w, 4 * w) + dense("0.down", 4 * w, w)
        return all + dense("last", w, CLASSES)

    def torch(self, h, p):
        def linear(name, x):
            return F.linear(x, p[f"{name}.weight"].T, p[f"{name}.bias"])

        def norm(name, x):
            return F.layer_norm(x, (self.width,), p[f"{name}.weight"], p[f"{name}.bias"], eps=1e-5)

        b, t, w = h.shape
        qkv = linear("0.qkv", norm("0.norm1", h)).reshape(b, t, 3, self.heads, w // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            mixed = F.scaled_dot_product_attention(q, k, v)
        h = h + linear("0.out", mixed.permute(0, 2, 1, 3).reshape(b, t, w))
        h = h + linear("0.down", F.gelu(linear("0.up", norm("0.norm2", h))))
        return linear("last", h.mean(1))

    def jax(self, h, p):
        def linear(name, x):
            return x @ p[f"{name}.weight"] + p[f"{name}.bias"]

        def norm(name, x):
            return jax.nn.standardize(x, epsilon=1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]

        b, t, w = h.shape
        qkv = linear("0.qkv", norm("0.norm1", h)).reshape(b, t, 3, self.heads, w // self.heads)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)
        # Not jax.nn.dot_product_attention, whose softmax is in single precision.
        weights = jax.nn.softmax(q @ k.swapaxes(-1, -2) / (w // self.heads) ** 0.5)
        h = h + linear("0.out", (weights @ v).transpose(0, 2, 1, 3).reshape(b, t, w))
        h = h + linear("0.down", jax.nn.gelu(linear("0.up", norm("0.norm2", h)), approximate=False))
        return linear("last", h.mean(1))


def by_torch(network, x, labels, p, v, u):
    p = {name: torch.tensor(value, requires_grad=True) for name, value in p.items()}
    v, u = ([torch.tensor(d) for d in direction] for direction in (v, u))
    every = list(p.values())
    loss = F.cross_entropy(network.torch(torch.tensor(x), p), torch.tensor(labels))
    gradient = torch.autograd.grad(loss, every, create_graph=True)
    product = torch.autograd.grad(gradient, every, v, create_graph=True)
    sets = [[loss], gradient, product]
    if network.third:
        sets.append(torch.autograd.grad(product, every, u, allow_unused=True, materialize_grads=True))
    return [[a.detach().numpy() for a in s] for s in sets]


def by_jax(network, x, labels, p, v, u):
    names = list(p)

    def loss(values):
        logits = jax.nn.log_softmax(network.jax(x, dict(zip(names, values))))
        return -jnp.take_along_axis(logits, labels[:, None], 1).mean()

    def product(values):
        return jax.jvp(jax.grad(loss), (values,), (v,))[1]

    values = [jnp.array(a) for a in p.values()]
    sets = [[loss(values)], jax.grad(loss)(values), product(values)]
    return sets + [jax.jvp(product, (values,), (u,))[1]] if network.third else sets


def main():
    networks = {}
    for network in (Mlp(), Resnet(), Lstm(), Transformer()):
        name = type(network).__name__.lower()
        shapes = network.parameters()
        x = 2.0 * entries(0, network.x)
        labels = np.arange(network.x[0]) * 3 % CLASSES
        p = {n: entries(i + 1, s) + is_scale(n) for i, (n, s) in enumerate(shapes)}
        v, u = ([entries(i + first, s) for i, (_, s) in enumerate(shapes)] for first in (100, 200))
        found, peer = by_torch(network, x, labels, p, v, u), by_jax(network, x, labels, p, v, u)
        for a, b in zip(found, peer, strict=True):
            most = max(np.abs(entry).max() for entry in a)
            worst = max(np.abs(s - np.asarray(t)).max() for s, t in zip(a, b, strict=True))
            assert most > 0 and worst <= AGREE * most, f"{name}: PyTorch and JAX differ by {worst / most:.1e}"
        flat = [[float(f"{e:.15g}") for part in s for e in part.ravel()] for s in found]
        networks[name] = dict(zip(("loss", "gradient", "product", "third"), flat))
    versions = {"PyTorch": torch.__version__, "JAX": jax.__version__}
    data = json.dumps({"versions": versions, "networks": networks}, separators=(",", ":"))
    Path(__file__).with_name("networks.json").write_text(data.replace("],", "],\n") + "\n")


main()
