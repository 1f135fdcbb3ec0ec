"""PyHessian and curvlinops on the cases of the curvature bench, and their referee.

`python curvature.py TASK FOLDER THREADS SEED`, where FOLDER is what `examples/curvature make` wrote and TASK is

- `reference`: eigenvalues, trace and density of the Hessian in double precision, from long runs of plain algorithms, to
  `reference.json`, unless they are there;
- `pyhessian`, `curvlinops`: prints one line of JSON per quantity. What is asked for to an accuracy is searched in the first
  call; later ones start at the setting that was found there;
- `judge`: copies lines from the standard input, ours too, with `error` in the place of what was found.
"""

import hashlib
import importlib.metadata
import json
import math
import os
import statistics
import sys
import time
from collections import OrderedDict
from pathlib import Path

TASK, FOLDER, THREADS, SEED = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(THREADS)
os.sched_setaffinity(0, set(range(THREADS)))

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn as nn  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from blocks import Block  # noqa: E402
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh  # noqa: E402

torch.set_num_threads(THREADS)
torch.manual_seed(SEED)
CASE = json.loads((FOLDER / "case.json").read_text())
EFFORT = CASE["effort"]
PAIRS, BLOCK = 5, 16
# Where products take long, only what is the default of each.
DEFAULTS_ONLY = not EFFORT["ladder"]


class Resnet(nn.Module):
    def __init__(self, width, blocks):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        before = width
        for stage in range(3):
            layers = []
            for block in range(blocks):
                layers.append(Block(before, width << stage, 2 if stage > 0 and block == 0 else 1))
                before = width << stage
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.linear = nn.Linear(before, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def mlp(shapes):
    layers = OrderedDict()
    for i, shape in enumerate(shapes, 1):
        layers[f"fc{i}"] = nn.Linear(*shape)
        if i < len(shapes):
            layers[f"tanh{i}"] = nn.Tanh()
    return nn.Sequential(layers)


def turned(array):
    """Weights as PyTorch has them: (.., inputs, outputs) to (outputs, inputs, ..)."""
    axes = list(range(array.ndim))
    return np.transpose(array, [axes[-1], axes[-2], *axes[:-2]]) if array.ndim > 1 else array


def read_safetensors(path):
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        low, high = entry["data_offsets"]
        assert entry["dtype"] == "F32", entry
        arrays[name] = np.frombuffer(data[start + low : start + high], np.float32).reshape(entry["shape"])
    return arrays


def load(dtype):
    """The network in evaluation mode, inputs and labels."""
    weights = read_safetensors(FOLDER / "weights.safetensors")
    x = torch.tensor(np.load(FOLDER / "x.npy"), dtype=dtype)
    if CASE["network"] == "mlp":
        network = mlp([s for n, s in CASE["layout"] if n.endswith("weight")])
    else:
        blocks = sum(n.startswith("layer1.") and n.endswith("conv1.weight") for n, _ in CASE["layout"])
        network = Resnet(weights["conv1.weight"].shape[-1], blocks)
        side = math.isqrt(x.shape[1] // 3)
        x = x.reshape(-1, side, side, 3).permute(0, 3, 1, 2).contiguous()
    state = {name: torch.tensor(turned(array).copy()) for name, array in weights.items()}
    found = network.load_state_dict(state, strict=False)
    assert not found.unexpected_keys and all("num_batches" in n for n in found.missing_keys), found
    labels = torch.tensor(np.load(FOLDER / "labels.npy")).long()
    return network.to(dtype).eval(), x, labels


def flat(network, own):
    """A vector in our order of entries as PyTorch's."""
    parts, at = {}, 0
    for name, shape in CASE["layout"]:
        size = math.prod(shape)
        parts[name] = turned(own[at : at + size].reshape(shape)).ravel()
        at += size
    return np.concatenate([parts[name] for name, _ in network.named_parameters()])


def hessian_product():
    """Products of the Hessian in double precision, with a kept graph of the gradient."""
    network, x, labels = load(torch.float64)
    parameters = list(network.parameters())
    gradient = torch.autograd.grad(F.cross_entropy(network(x), labels), parameters, create_graph=True)
    sizes = [p.numel() for p in parameters]

    def product(v):
        v = torch.tensor(np.asarray(v, np.float64).ravel()).split(sizes)
        v = [part.reshape(p.shape) for part, p in zip(v, parameters)]
        out = torch.autograd.grad(gradient, parameters, v, retain_graph=True)
        return torch.cat([o.ravel() for o in out]).numpy()

    return network, product, sum(sizes)


def columns(product, block):
    return np.stack([product(v) for v in block.T], 1)


def reference():
    path, effort = FOLDER / "reference.json", EFFORT["reference"]
    files = [FOLDER / n for n in ("case.json", "weights.safetensors", "x.npy", "labels.npy")]
    digest = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()
    if path.exists() and json.loads(path.read_text())["digest"] == digest:
        return
    _, product, n = hessian_product()
    rng = np.random.default_rng(7)
    ends = 2 * (PAIRS + 1)
    op = LinearOperator((n, n), product, dtype=np.float64)
    values = eigsh(op, ends, which="BE", tol=1e-5, return_eigenvectors=False, ncv=3 * ends)
    # The trace on the span of random products, and Hutchinson's estimate on the rest.
    k = effort["trace"]
    q = np.linalg.qr(columns(product, rng.standard_normal((n, k))))[0]
    inner = np.sum(q * columns(product, q))
    rest = []
    for _ in range(effort["forms"]):
        z = rng.choice([-1.0, 1.0], n)
        z -= q @ (q.T @ z)
        rest.append(z @ product(z))
    rest = np.array(rest)
    error = float(rest.std(ddof=1) / math.sqrt(len(rest)))
    del q
    atoms = []
    for _ in range(effort["starts"]):
        v = rng.standard_normal(n)
        atoms.append(gauss_rule(product, v / np.linalg.norm(v), effort["steps"]))
    found = {
        "digest": digest,
        "values": sorted(map(float, values), reverse=True),
        "trace": float(inner + rest.mean()),
        "trace_error": error,
        "atoms": merged(atoms) if atoms else [],
    }
    path.write_text(json.dumps(found))
    print(json.dumps({k: v for k, v in found.items() if k != "atoms"}))


def gauss_rule(product, v, steps):
    """Nodes and weights of Lanczos steps with full orthogonalisation."""
    basis, diagonal, beside = [v], [], []
    for j in range(steps):
        w = product(basis[-1])
        diagonal.append(w @ basis[-1])
        q = np.array(basis)
        for _ in range(2):
            w = w - q.T @ (q @ w)
        beta = np.linalg.norm(w)
        if beta < 1e-10 * max(map(abs, diagonal)):
            break
        beside.append(beta)
        basis.append(w / beta)
    m = len(diagonal)
    t = np.diag(diagonal) + np.diag(beside[: m - 1], 1) + np.diag(beside[: m - 1], -1)
    nodes, vectors = np.linalg.eigh(t)
    return nodes, vectors[0] ** 2


def merged(rules):
    pairs = [(float(t), float(w) / len(rules)) for nodes, weights in rules for t, w in zip(nodes, weights)]
    return sorted(pairs)


def wasserstein(a, b):
    """The integral of the difference of two distribution functions."""
    t = np.array([p[0] for p in a] + [p[0] for p in b])
    w = np.array([p[1] for p in a] + [-p[1] for p in b])
    order = np.argsort(t)
    return float(np.sum(np.abs(np.cumsum(w[order])[:-1]) * np.diff(t[order])))


def judge():
    found = json.loads((FOLDER / "reference.json").read_text())
    network, product, _ = hessian_product()
    norm = max(map(abs, found["values"]))
    for line in map(json.loads, sys.stdin):
        if "vectors" in line:
            vectors, own = np.load(FOLDER / line.pop("vectors")), line.get("peer") is None
            vectors = [flat(network, v) if own else v for v in vectors]
            line["error"] = max(missed(line.pop("values"), found["values"]), residual(product, vectors)) / norm
        elif "estimate" in line:
            line["error"] = abs(line["estimate"] - found["trace"]) / abs(found["trace"])
            line["reference_error"] = found["trace_error"] / abs(found["trace"])
        elif "atoms" in line:
            atoms = sorted(map(tuple, line.pop("atoms")))
            if found["atoms"]:
                # The distance is how far eigenvalues are away in the mean; relative to their mean size.
                size = sum(w * abs(t) for t, w in found["atoms"])
                line["error"] = wasserstein(atoms, found["atoms"]) / size
        print(json.dumps(line), flush=True)


def missed(values, reference):
    """The largest error of a value, against the largest eigenvalues or those of largest magnitude."""
    values = sorted(values, reverse=True)
    wanted = [reference[:PAIRS], sorted(sorted(reference, key=abs, reverse=True)[:PAIRS], reverse=True)]
    return min(max(abs(a - b) for a, b in zip(values, w)) for w in wanted)


def residual(product, vectors):
    worst = 0.0
    for v in vectors:
        v = v / np.linalg.norm(v)
        w = product(v)
        worst = max(worst, np.linalg.norm(w - (w @ v) * v))
    return worst


class Peer:
    """Prints lines, counts products, and remembers settings that were searched for."""

    def __init__(self, name, package):
        self.head = {"peer": name, "version": importlib.metadata.version(package)}
        self.products = 0
        self.path = FOLDER / f"{TASK}-{THREADS}.json"
        self.plan = json.loads(self.path.read_text()) if SEED > 0 and self.path.exists() else {}

    def line(self, quantity, seconds, products, rung="", **more):
        line = {**self.head, "quantity": quantity, "rung": rung, "seconds": seconds, "products": products, "met": True}
        print(json.dumps({**line, **more}), flush=True)

    def timed(self, f):
        self.products, start = 0, time.perf_counter()
        found = f()
        return time.perf_counter() - start, found

    def median(self, f):
        f()
        times, start = [], time.perf_counter()
        while len(times) < 5 or (len(times) < 51 and time.perf_counter() - start < 2):
            times.append(self.timed(f)[0])
        return statistics.median(times)

    def settings(self, quantity, candidates):
        """The candidates, from the one on that an earlier call found."""
        start = candidates.index(self.plan[quantity]) if quantity in self.plan else 0
        return candidates[start:]

    def found(self, quantity, setting):
        self.plan[quantity] = setting
        self.path.write_text(json.dumps(self.plan))

    def pairs(self, quantity, rung, f, name):
        """Times pairs of values and vectors, and looks at the residuals in single precision."""
        seconds, (values, vectors) = self.timed(f)
        products = self.products
        np.save(FOLDER / name, np.array([np.asarray(v, np.float32) for v in vectors]))
        worst = residual(self.product, vectors) / max(map(abs, values))
        is_met = bool(quantity.endswith("default") or worst <= 1e-3)
        self.line(quantity, seconds, products, rung, values=list(map(float, values)), vectors=name, met=is_met)
        return is_met


def run_pyhessian():
    import pyhessian

    # Versions of PyTorch of today lack what its density calls.
    def eig(t, eigenvectors):
        values, vectors = torch.linalg.eigh(t)
        return torch.stack([values, torch.zeros_like(values)], 1), vectors

    torch.eig = eig
    peer, module = Peer("PyHessian", "pyhessian"), sys.modules["pyhessian.hessian"]
    plain = module.hessian_vector_product

    def counted(*arguments):
        peer.products += 1
        return plain(*arguments)

    module.hessian_vector_product = counted
    network, x, labels = load(torch.float32)

    def operator():
        network.zero_grad()
        return pyhessian.hessian(network, F.cross_entropy, data=(x, labels), cuda=False)

    op = operator()
    parts = [p.shape for p in op.params]
    sizes = [p.numel() for p in op.params]

    def split(v):
        v = torch.as_tensor(np.asarray(v, np.float32)).split(sizes)
        return [part.reshape(shape) for part, shape in zip(v, parts)]

    def joined(vectors):
        return torch.cat([v.ravel() for v in vectors]).numpy()

    peer.product = lambda v: joined(plain(op.gradsH, op.params, split(v))).astype(np.float64)
    direction = split(np.random.default_rng(SEED).standard_normal(sum(sizes)))
    one = peer.median(lambda: counted(op.gradsH, op.params, direction))
    peer.line("Hessian product", one, 1)
    peer.line("Hessian product of 16", BLOCK * one, BLOCK)

    def pairs(quantity, rung, name, **options):
        def run():
            values, vectors = operator().eigenvalues(top_n=PAIRS, **options)
            return values, [joined(v) for v in vectors]

        return peer.pairs(quantity, rung, run, name)

    def density(quantity, rung, steps, starts):
        seconds, rules = peer.timed(lambda: operator().density(iter=steps, n_v=starts))
        peer.line(quantity, seconds, peer.products, rung, atoms=merged(list(zip(*rules))))

    pairs("top 5, default", "", f"pyhessian-{THREADS}-default.npy")
    density("density, default", "", 100, 1)
    if DEFAULTS_ONLY:
        return
    quantity = "top 5 to 1e-3"
    for tolerance in peer.settings(quantity, [1e-3, 1e-4, 1e-5, 1e-6, 1e-7]):
        name = f"pyhessian-{THREADS}-{tolerance}.npy"
        if pairs(quantity, f"tol {tolerance:g}", name, tol=tolerance, maxIter=2000):
            peer.found(quantity, tolerance)
            break

    def trace(quantity, rung="", met=True, **options):
        seconds, forms = peer.timed(lambda: operator().trace(**options))
        peer.line(quantity, seconds, peer.products, rung, estimate=float(np.mean(forms)), met=met)

    trace("trace, default")
    quantity = "trace to 1 %"
    if quantity not in peer.plan:
        # The standard error of a mean tells how many products it takes; no difference is below minus infinity.
        forms = operator().trace(maxIter=100, tol=-math.inf)
        spread = np.std(forms, ddof=1) / abs(np.mean(forms))
        peer.found(quantity, max(2, math.ceil((spread / 0.01) ** 2)))
    count = min(peer.plan[quantity], EFFORT["products"])
    trace(quantity, f"{count} products", count == peer.plan[quantity], maxIter=count, tol=-math.inf)
    for steps in EFFORT["ladder"]:
        density("density of 16 starts", f"{steps} steps", steps, BLOCK)


def run_curvlinops():
    import curvlinops
    from curvlinops._torch_base import PyTorchLinearOperator
    from curvlinops.papyan2020traces.spectrum import approximate_boundaries, fast_lanczos

    peer = Peer("curvlinops", "curvlinops-for-pytorch")
    network, x, labels = load(torch.float32)
    parameters = [p for p in network.parameters() if p.requires_grad]

    class Counted(PyTorchLinearOperator):
        """Counts products, and takes at most some columns at a time through the network, for memory."""

        SELF_ADJOINT = True

        def __init__(self):
            self.op = curvlinops.HessianLinearOperator(
                network, nn.CrossEntropyLoss(), parameters, [(x, labels)], check_deterministic=False
            )
            super().__init__([p.shape for p in parameters], [p.shape for p in parameters])

        def _matmat(self, block):
            width = block[0].shape[-1]
            peer.products += width
            parts = zip(*(b.split(EFFORT["columns"], -1) for b in block))
            done = [self.op._matmat([p.contiguous() for p in part]) for part in parts]
            return [torch.cat(part, -1) for part in zip(*done)]

        device, dtype = torch.device("cpu"), torch.float32

    op = Counted()
    n = op.shape[0]
    peer.product = lambda v: (op @ torch.as_tensor(np.asarray(v, np.float32))).numpy().astype(np.float64)
    block = torch.randn(n, BLOCK)
    peer.line("Hessian product", peer.median(lambda: op @ block[:, 0].contiguous()), 1)
    peer.line("Hessian product of 16", peer.median(lambda: op @ block), BLOCK)

    def pairs(quantity, tolerance):
        def run():
            try:
                values, vectors = eigsh(Counted().to_scipy(), PAIRS, which="LA", tol=tolerance)
            except ArpackNoConvergence as e:
                values, vectors = e.eigenvalues, e.eigenvectors
            return values, vectors.T

        return peer.pairs(quantity, f"tol {tolerance:g}", run, f"curvlinops-{THREADS}-{tolerance:g}.npy")

    def density(quantity, rung, steps, starts):
        def run():
            a = Counted()
            approximate_boundaries(a)
            return [fast_lanczos(a, steps) for _ in range(starts)]

        seconds, rules = peer.timed(run)
        rules = [(nodes.numpy(), vectors[0].numpy() ** 2) for nodes, vectors in rules]
        peer.line(quantity, seconds, peer.products, rung, atoms=merged(rules))

    pairs("top 5, default", 1e-3)
    density("density, default", "", 100, 1)
    if DEFAULTS_ONLY:
        return
    quantity = "top 5 to 1e-3"
    for tolerance in peer.settings(quantity, [1e-2, 1e-3, 1e-4]):
        if pairs(quantity, tolerance):
            peer.found(quantity, tolerance)
            break

    estimators = {"Hutch++": curvlinops.hutchpp_trace, "XTrace": curvlinops.xtrace}

    def trace(quantity, rung, f, count):
        seconds, found = peer.timed(lambda: float(f(Counted(), num_matvecs=count)))
        peer.line(quantity, seconds, peer.products, rung, estimate=found)

    trace("trace, default", "Hutchinson 100", curvlinops.hutchinson_trace, min(100, n - 1))
    quantity = "trace to 1 %"
    truth = json.loads((FOLDER / "reference.json").read_text())["trace"]
    if quantity not in peer.plan:
        peer.found(quantity, search_trace(estimators, Counted, truth, n))
    setting = peer.plan[quantity]
    if setting:
        name, count = setting
        trace(quantity, f"{name} {count}", estimators[name], count)

    for steps in EFFORT["ladder"]:
        density("density of 16 starts", f"{steps} steps", steps, BLOCK)


def search_trace(estimators, operator, truth, n):
    """The estimator and the number of products at which errors come down to one per cent in the root of the mean square; none if
    no number of the ladder does."""
    seeds = EFFORT["seeds"]
    for count in (c for c in EFFORT["counts"] if c < n):
        for name, f in estimators.items():
            errors = [float(f(operator(), num_matvecs=count)) / truth - 1 for _ in range(seeds)]
            if np.sqrt(np.mean(np.square(errors))) <= 0.01:
                return [name, count]
    return None


{"reference": reference, "judge": judge, "pyhessian": run_pyhessian, "curvlinops": run_curvlinops}[TASK]()
