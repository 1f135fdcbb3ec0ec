"""Certifies a softmax model independently of what fitted it: mean loss + l2/2 |w|^2 in f64 with the features as they are in
the file, and the bound |grad_w F|^2 / (2 l2) on F - F* after the intercepts have been re-minimised. For sets too large for
the dense Newton method of make.py; whatever the model's origin, F* lies within the printed gap below the objective.

    python certify.py news20.gz news20.model.safetensors 1e-6
"""
import gzip
import json
import lzma
import struct
import sys

import numpy as np
import scipy.sparse as sp


def load(path):
    if "idx3" in path:
        raw = gzip.open(path).read()
        n, rows, columns = struct.unpack(">III", raw[4:16])
        x = np.frombuffer(raw, np.uint8, offset=16).reshape(n, rows * columns)
        labels = gzip.open(path.replace("images-idx3", "labels-idx1")).read()
        return sp.csr_matrix(x, dtype=float), np.frombuffer(labels, np.uint8, offset=8).astype(float)
    if path.endswith(".bin.xz"):
        raw = np.frombuffer(lzma.open(path).read(), np.uint8).reshape(-1, 3073)
        return raw[:, 1:].astype(float), raw[:, 0].astype(float)
    from sklearn.datasets import load_svmlight_file

    return load_svmlight_file(path)


def model(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        body = file.read()

    def tensor(name):
        at = header[name]
        start, end = at["data_offsets"]
        return np.frombuffer(body[start:end], np.float64).reshape(at["shape"])

    return tensor("coef"), tensor("intercept")


def residuals(predictors, own):
    """Probabilities minus indicators, the loss of each row, without cancellation for rows that are surely right."""
    n = len(own)
    rows = np.arange(n)
    margin = predictors - predictors[rows, own][:, None]
    margin[rows, own] = -np.inf
    top = np.maximum(margin.max(1), 0)
    others = np.exp(margin - top[:, None]).sum(1)
    loss = np.where(top > 0, top + np.log(np.exp(-top) + others), np.log1p(others))
    r = np.exp(margin - loss[:, None])
    r[rows, own] = -r.sum(1)
    return r, loss


def main():
    x, y = load(sys.argv[1])
    w, b = model(sys.argv[2])
    l2 = float(sys.argv[3])
    classes = np.unique(y)
    own = np.searchsorted(classes, y)
    k, n = len(classes), len(y)
    products, b = x @ w.T, b.copy()
    for _ in range(50):
        r, _ = residuals(products + b, own)
        p = r.copy()
        p[np.arange(n), own] += 1
        hessian = np.diag(p.mean(0)) - p.T @ p / n + 1.0 / k
        step = np.linalg.lstsq(hessian, r.mean(0), rcond=1e-14)[0]
        b -= np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-14:
            break
    r, loss = residuals(products + b, own)
    gradient = (x.T @ r).T / n + l2 * w
    objective = float(loss.astype(np.longdouble).mean() + np.longdouble(l2) / 2 * (w.astype(np.longdouble) ** 2).sum())
    gap = float((gradient**2).sum()) / (2 * l2)
    print(f"rows {n} columns {x.shape[1]} classes {k} l2 {l2:g} objective {objective:.15e} relative gap {gap / objective:.2e}")


main()
