"""Times scikit-learn's solvers on the jobs that `cargo xtask bench fit` hands over on standard input.

A job has the data (svmlight), l2, repetitions and accuracy, and the weights that Quadric found. One referee function
judges everybody: F(w, b) = mean log(1 + exp(-y (x w + b))) + l2/2 |w|^2. Each peer gets the loosest tolerance at which its
answer is within `accuracy` (relative) of the best value known; its time is the median over the repetitions at that
tolerance, or null where no tolerance gets there.
"""

import json
import statistics
import sys
import time
import warnings

import numpy as np
import sklearn
from sklearn.datasets import load_svmlight_file
from sklearn.linear_model import LogisticRegression

SOLVERS = ["lbfgs", "newton-cholesky", "newton-cg"]
TOLERANCES = [10.0**-k for k in range(3, 15)]
LONGEST = 20.0  # seconds that one fit may take before the peer counts as not getting there


def objective(x, y, l2, w, b):
    margin = y * (x @ w + b)
    loss = np.maximum(-margin, 0) + np.log1p(np.exp(-np.abs(margin)))
    return loss.mean() + 0.5 * l2 * (w @ w)


def fit(x, y, l2, solver, tol):
    model = LogisticRegression(C=1 / (x.shape[0] * l2), solver=solver, tol=tol, max_iter=20_000)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y)
    return time.perf_counter() - start, model.coef_[0], model.intercept_[0]


def measure(x, y, job, solver, best):
    good = best + job["accuracy"] * abs(best)
    for tol in TOLERANCES:
        seconds, w, b = fit(x, y, job["l2"], solver, tol)
        if objective(x, y, job["l2"], w, b) <= good:
            times = [fit(x, y, job["l2"], solver, tol)[0] for _ in range(job["repetitions"])]
            return statistics.median(times)
        if seconds > LONGEST:
            return None
    return None


def main():
    for job in json.load(sys.stdin):
        x, labels = load_svmlight_file(job["file"], n_features=job["columns"])
        y = np.where(labels == labels.max(), 1.0, -1.0)
        if x.nnz > 0.25 * x.shape[0] * x.shape[1]:
            x = x.toarray()
        ours = objective(x, y, job["l2"], np.array(job["coef"]), job["intercept"])
        best = objective(x, y, job["l2"], np.array(job["best_coef"]), job["best_intercept"])
        row = {"set": job["set"], "version": sklearn.__version__, "ours": (ours - best) / abs(best), "peers": {}}
        for solver in SOLVERS:
            row["peers"][solver] = measure(x, y, job, solver, best)
        print(json.dumps(row), flush=True)


main()
