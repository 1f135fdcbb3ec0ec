"""Writes what PyHessian and curvlinops say of the Hessian of a small ResNet-20, in double precision: `python make.py`.

The network is that of `../onnx/resnet20.onnx` in evaluation mode, with the weights of its last layer divided by 64, so that no
class has all the probability; the loss is the mean cross-entropy of twelve images. resnet20.json holds

- `images`, in units of 2^-18, channels first, and `labels`; the `loss`;
- `start`: signs for each parameter, in PyTorch's order of its entries, the first probe that PyHessian draws from its seed;
- `pyhessian`: the five eigenvalues of largest magnitude by power iteration, where each stopped moving by more than `tolerance`
  of itself (vectors that it normalises are shorter than 1 by 1e-6); the quadratic form of `start`, mean and standard error of
  200 of them; nodes and weights of `start` in 30 steps;
- `curvlinops`: the five eigenvalues at each end by ARPACK on its operator, to the precision of the machine; the sum of the
  diagonal for each parameter, and in all, by a product with each unit vector; nodes and weights of `start` in 8 steps. From the
  tenth on it finds the largest eigenvalue twice, since it does not orthogonalise.

Versions of what made it are in versions.txt.
"""

import importlib.metadata
import json
import math
import statistics
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from scipy.sparse.linalg import eigsh

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "onnx"))
from make import Resnet20, batch, filled  # noqa: E402

EXAMPLES, SEED, PAIRS = 12, 5, 5
torch.set_num_threads(1)


def network():
    net = filled(Resnet20).eval()
    with torch.no_grad():
        net.fc.weight /= 64
    return net


def signs(net):
    torch.manual_seed(SEED)
    return [2 * torch.randint_like(p, high=2) - 1 for p in net.parameters()]


def by_pyhessian(x, y):
    import pyhessian

    # Versions of PyTorch of today lack what its density calls.
    def eig(t, eigenvectors):
        values, vectors = torch.linalg.eigh(t)
        return torch.stack([values, torch.zeros_like(values)], 1), vectors

    torch.eig = eig
    op, tolerance = pyhessian.hessian(network(), F.cross_entropy, data=(x, y), cuda=False), 1e-6
    torch.manual_seed(SEED)
    values, _ = op.eigenvalues(maxIter=5000, tol=tolerance, top_n=PAIRS)
    torch.manual_seed(SEED)
    forms = op.trace(maxIter=200, tol=-math.inf)
    torch.manual_seed(SEED)
    nodes, weights = op.density(iter=30, n_v=1)
    return {
        "values": values,
        "tolerance": tolerance,
        "form": forms[0],
        "mean": statistics.mean(forms),
        "error": statistics.stdev(forms) / math.sqrt(len(forms)),
        "nodes": [float(v) for v in nodes[0]],
        "weights": [float(v) for v in weights[0]],
    }


def by_curvlinops(x, y):
    from curvlinops import HessianLinearOperator
    from curvlinops.papyan2020traces import spectrum

    net = network()
    parameters = dict(net.named_parameters())
    op = HessianLinearOperator(net, torch.nn.CrossEntropyLoss(), list(parameters.values()), [(x, y)])
    n = op.shape[0]
    ends = [eigsh(op.to_scipy(), PAIRS, which=end, return_eigenvectors=False) for end in ("LA", "SA")]
    diagonal = []
    for first in range(0, n, 64):
        unit = torch.eye(n)[:, first : first + 64]
        diagonal.append(((op @ unit) * unit).sum(0))
    parts = torch.cat(diagonal).split([p.numel() for p in parameters.values()])
    start = torch.cat([s.ravel() for s in signs(net)])
    spectrum.randn = lambda *_, **__: start.clone()
    nodes, vectors = spectrum.fast_lanczos(op, 8)
    return {
        "largest": sorted(ends[0].tolist(), reverse=True),
        "smallest": sorted(ends[1].tolist()),
        "trace": torch.cat(diagonal).sum().item(),
        "parameters": {name: part.sum().item() for name, part in zip(parameters, parts)},
        "nodes": nodes.tolist(),
        "weights": (vectors[0] ** 2).tolist(),
    }


def main():
    net, x, y = network(), batch((3, 16, 16), EXAMPLES), torch.arange(EXAMPLES) * 7 % 10
    record = {
        "images": [round(v * 2**18) for v in x.reshape(-1).tolist()],
        "labels": y.tolist(),
        "loss": F.cross_entropy(net(x), y).item(),
        "start": {
            name: "".join("-+"[int(v > 0)] for v in s.ravel())
            for (name, _), s in zip(net.named_parameters(), signs(net))
        },
        "pyhessian": by_pyhessian(x, y),
        "curvlinops": by_curvlinops(x, y),
    }
    assert torch.equal(torch.tensor(record["images"]) / 2**18, x.reshape(-1))
    (HERE / "resnet20.json").write_text(json.dumps(record, separators=(",", ":")) + "\n")
    packages = ["torch", "pyhessian", "curvlinops-for-pytorch", "scipy", "numpy"]
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages)
    (HERE / "versions.txt").write_text(versions + "\n")


if __name__ == "__main__":
    main()
