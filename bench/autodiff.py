"""Times PyTorch, PyHessian and JAX on the networks of the autodiff bench: `python autodiff.py NETWORK THREADS`.

Prints one line of JSON per quantity, in seconds: the median of several runs.
"""

import json
import math
import os
import statistics
import sys
import time

NAME, THREADS = sys.argv[1], int(sys.argv[2])
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(THREADS)
os.environ["JAX_PLATFORMS"] = "cpu"
flags = f"--xla_cpu_multi_thread_eigen={'true' if THREADS > 1 else 'false'} intra_op_parallelism_threads={THREADS}"
os.environ["XLA_FLAGS"] = flags
os.sched_setaffinity(0, set(range(THREADS)))

import torch  # noqa: E402
import torch.nn as nn  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from blocks import Block  # noqa: E402

torch.set_num_threads(THREADS)
torch.manual_seed(1)


def median(f):
    f()
    times, start = [], time.perf_counter()
    while len(times) < 5 or (len(times) < 51 and time.perf_counter() - start < 2):
        begin = time.perf_counter()
        f()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def report(peer, version, quantity, seconds):
    line = {"network": NAME, "peer": peer, "version": version, "quantity": quantity, "seconds": seconds}
    print(json.dumps(line), flush=True)


class Lstm(nn.Module):
    """`fused`: PyTorch's own layer, whose gradient cannot be differentiated again on all versions."""

    def __init__(self, inputs, hidden, fused):
        super().__init__()
        self.fused = fused
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True)
        self.cell = nn.LSTMCell(inputs, hidden)
        (self.cell if fused else self.lstm).requires_grad_(False)
        self.last = nn.Linear(hidden, 10)
        self.hidden = hidden

    def forward(self, x):
        if self.fused:
            return self.last(self.lstm(x)[0][:, -1])
        h = c = torch.zeros(x.shape[0], self.hidden)
        for t in range(x.shape[1]):
            h, c = self.cell(x[:, t], (h, c))
        return self.last(h)


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads = heads

    def forward(self, x):
        b, t, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(b, t, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(width // self.heads), -1)
        x = x + self.out((weights @ v).permute(0, 2, 1, 3).reshape(b, t, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Mean(nn.Module):
    def __init__(self, axes):
        super().__init__()
        self.axes = axes

    def forward(self, x):
        return x.mean(self.axes)


def torch_network(fused=False):
    if NAME == "mlp":
        layers = [nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)]
        return nn.Sequential(*layers), torch.randn(512, 784)
    if NAME == "resnet":
        layers, before = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
        for stage, width in enumerate((16, 32, 64)):
            for block in range(3):
                layers.append(Block(before, width, 2 if stage > 0 and block == 0 else 1))
                before = width
        network = nn.Sequential(*layers, Mean((2, 3)), nn.Linear(64, 10))
        return network, torch.randn(64, 3, 32, 32)
    if NAME == "lstm":
        return Lstm(32, 128, fused), torch.randn(64, 64, 32)
    layers = [Layer(128, 4), Layer(128, 4), Mean(1), nn.Linear(128, 10)]
    return nn.Sequential(*layers), torch.randn(32, 64, 128)


QUANTITIES = ("gradient", "Hessian product", "Gauss-Newton product")


def run_torch(version, network, x, quantities=QUANTITIES):
    parameters = [p for p in network.parameters() if p.requires_grad]
    direction = [torch.randn_like(p) for p in parameters]
    labels = torch.randint(10, (x.shape[0],))

    def loss():
        return F.cross_entropy(network(x), labels)

    def take(quantity, f):
        report("PyTorch" + version, torch.__version__, quantity, median(f))

    take("gradient", lambda: torch.autograd.grad(loss(), parameters))
    if "Hessian product" in quantities:
        gradient = torch.autograd.grad(loss(), parameters, create_graph=True)
        take("Hessian product", lambda: torch.autograd.grad(gradient, parameters, direction, retain_graph=True))
        del gradient
    if "Gauss-Newton product" in quantities:
        products = gauss_newton_torch(network, x, direction)
        check_same(*(f() for f in products))
        fastest = min(products, key=median)
        take("Gauss-Newton product", fastest)


def gauss_newton_torch(network, x, direction):
    """Products with J' (diag p - p p') J / n in two ways that differ in J v; both keep the graph of the point."""
    names, parameters = zip(*((n, p) for n, p in network.named_parameters() if p.requires_grad))
    logits = network(x)
    p = torch.softmax(logits.detach(), 1)

    def pull(moved):
        curved = p * (moved - (p * moved).sum(1, keepdim=True)) / len(p)
        return torch.autograd.grad(logits, parameters, curved, retain_graph=True)

    # J' c is linear in c, so that the transpose of its derivative by c is J.
    c = torch.zeros_like(logits, requires_grad=True)
    pulled = torch.autograd.grad(logits, parameters, c, create_graph=True)

    def model(*values):
        return torch.func.functional_call(network, dict(zip(names, values)), (x,))

    push = torch.func.linearize(model, *(q.detach() for q in parameters))[1]
    return (
        lambda: pull(torch.autograd.grad(pulled, c, direction, retain_graph=True)[0]),
        lambda: pull(push(*direction)),
    )


def check_same(left, right):
    for a, b in zip(left, right):
        assert (a - b).norm() <= 1e-3 * b.norm() + 1e-6, "two ways to one product differ"


def run_pyhessian(network, x):
    """A list as the loader, as in PyHessian's examples: no time goes to the assembly of the batch."""
    import importlib.metadata

    from pyhessian import hessian

    labels = torch.randint(10, (x.shape[0],))
    operator = hessian(network, F.cross_entropy, dataloader=[(x, labels)], cuda=False)
    direction = [torch.randn_like(p) for p in network.parameters()]
    seconds = median(lambda: operator.dataloader_hv_product(direction))
    report("PyHessian", importlib.metadata.version("pyhessian"), "Hessian product", seconds)


def main_torch():
    network, x = torch_network()
    run_torch("", network, x)
    if NAME == "mlp":
        run_pyhessian(network, x)
    if NAME == "resnet":
        network, x = torch_network()
        last = torch.channels_last
        run_torch(" channels-last", network.to(memory_format=last), x.to(memory_format=last))
    if NAME == "lstm":
        network, x = torch_network(fused=True)
        run_torch(" fused layer", network, x, ("gradient",))


def main_jax():
    import jax
    import jax.numpy as jnp

    key = jax.random.key(1)

    def draw(shape, scale=None):
        nonlocal key
        key, own = jax.random.split(key)
        fan = math.prod(shape[:-1])
        return jax.random.normal(own, shape) * (scale or 1 / math.sqrt(max(fan, 1)))

    def dense(p, x):
        return x @ p[0] + p[1]

    def layer(n, m):
        return [draw((n, m)), jnp.zeros(m)]

    def normalise(x, axes):
        x = x - x.mean(axes, keepdims=True)
        return x / jnp.sqrt((x * x).mean(axes, keepdims=True) + 1e-5)

    if NAME == "mlp":
        params, x = [layer(784, 512), layer(512, 512), layer(512, 10)], draw((512, 784), 1)

        def model(p, x):
            return dense(p[2], jax.nn.relu(dense(p[1], jax.nn.relu(dense(p[0], x)))))

    elif NAME == "resnet":
        x = draw((64, 32, 32, 3), 1)

        def conv(n, m):
            return [draw((3, 3, n, m)), jnp.ones(m), jnp.zeros(m)]

        params, before = [conv(3, 16)], 16
        for width in (16, 32, 64):
            for _ in range(3):
                params.append([conv(before, width), conv(width, width)])
                before = width
        params.append(layer(64, 10))

        def apply(p, x, stride=1):
            y = jax.lax.conv_general_dilated(
                x, p[0], (stride, stride), [(1, 1), (1, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            return normalise(y, (0, 1, 2)) * p[1] + p[2]

        def model(p, x):
            h = jax.nn.relu(apply(p[0], x))
            for i in range(9):
                stride = 2 if i in (3, 6) else 1
                y = apply(p[1 + i][1], jax.nn.relu(apply(p[1 + i][0], h, stride)))
                if stride == 2:
                    own = y.shape[-1] // 4
                    h = jnp.pad(h[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (own, own)))
                h = jax.nn.relu(y + h)
            return dense(p[-1], h.mean((1, 2)))

    elif NAME == "lstm":
        x = draw((64, 64, 32), 1)
        params = [draw((32, 512)), draw((128, 512)), jnp.zeros(512), layer(128, 10)]

        def model(p, x):
            def step(state, x):
                i, f, g, o = jnp.split(x @ p[0] + state[0] @ p[1] + p[2], 4, 1)
                cell = jax.nn.sigmoid(f) * state[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
                return (jax.nn.sigmoid(o) * jnp.tanh(cell), cell), None

            zero = jnp.zeros((64, 128))
            return dense(p[3], jax.lax.scan(step, (zero, zero), x.transpose(1, 0, 2))[0][0])

    else:
        x = draw((32, 64, 128), 1)

        def block():
            norms = [jnp.ones(128), jnp.zeros(128)], [jnp.ones(128), jnp.zeros(128)]
            return [*norms, layer(128, 384), layer(128, 128), layer(128, 512), layer(512, 128)]

        params = [block(), block(), layer(128, 10)]

        def model(p, h):
            for n1, n2, qkv, out, up, down in p[:2]:
                y = normalise(h, -1) * n1[0] + n1[1]
                q, k, v = dense(qkv, y).reshape(32, 64, 3, 4, 32).transpose(2, 0, 3, 1, 4)
                weights = jax.nn.softmax(q @ k.swapaxes(-1, -2) / math.sqrt(32))
                h = h + dense(out, (weights @ v).transpose(0, 2, 1, 3).reshape(32, 64, 128))
                y = normalise(h, -1) * n2[0] + n2[1]
                h = h + dense(down, jax.nn.gelu(dense(up, y), approximate=False))
            return dense(p[2], h.mean(1))

    labels = jax.random.randint(key, (x.shape[0],), 0, 10)

    def logits_of(p):
        return model(p, x)

    def loss(p):
        logits = jax.nn.log_softmax(logits_of(p))
        return -jnp.take_along_axis(logits, labels[:, None], 1).mean()

    gradient = jax.jit(jax.value_and_grad(loss))
    product = jax.jit(lambda p, v: jax.jvp(jax.grad(loss), (p,), (v,))[1])
    direction = jax.tree.map(lambda p: draw(p.shape, 1), params)

    # The linear maps carry what they need of the point.
    @jax.jit
    def prepare(p):
        logits, push = jax.linearize(logits_of, p)
        return jax.nn.softmax(logits), push, jax.vjp(logits_of, p)[1]

    @jax.jit
    def gauss_newton(p, push, pull, v):
        moved = push(v)
        return pull(p * (moved - (p * moved).sum(1, keepdims=True)) / len(p))[0]

    prepared = prepare(params)

    # As above with the point kept: a second peer, beside the usual jvp of grad.
    along = jax.jit(lambda p: jax.linearize(jax.grad(loss), p)[1])(params)
    kept = jax.jit(lambda along, v: along(v))

    def take(quantity, f, *arguments, peer="JAX"):
        report(peer, jax.__version__, quantity, median(lambda: jax.block_until_ready(f(*arguments))))

    take("gradient", gradient, params)
    take("Hessian product", product, params, direction)
    take("Hessian product", kept, along, direction, peer="JAX linearize")
    take("Gauss-Newton product", gauss_newton, *prepared, direction)


main_torch()
main_jax()
