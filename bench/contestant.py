"""A peer in `cargo xtask bench glm`: a job per line of standard input, the answer per line of standard output.

    python contestant.py SOLVER

A job is {"file", "loss", "l2", "tol", "repetitions"}; the answer {"seconds", "coef", "intercept"}. Everybody minimises
mean loss + l2/2 |w|^2 with a free intercept (logistic for two labels, softmax for more, half the square for real targets).
The time is that of the fit from arrays in memory; no repetitions only read them. Dense where more than a quarter of the
entries is stored.
"""

import json
import sys
import time
import warnings

import numpy as np
from sklearn.datasets import load_svmlight_file

MOST_STEPS = 100_000


def sklearn_fit(solver):
    from sklearn.linear_model import LogisticRegression

    def fit(x, y, l2, tol):
        model = LogisticRegression(C=1 / (x.shape[0] * l2), solver=solver, tol=tol, max_iter=MOST_STEPS)
        model.fit(x, y)
        return model.coef_, model.intercept_

    return fit


def ridge_fit(solver):
    from sklearn.linear_model import Ridge

    def fit(x, y, l2, tol):
        model = Ridge(alpha=x.shape[0] * l2, solver=solver, tol=tol, max_iter=MOST_STEPS)
        model.fit(x, y)
        return np.atleast_2d(model.coef_), model.intercept_

    return fit


def liblinear_fit(x, y, l2, tol, known={}):
    from liblinear import liblinearutil

    if known.get("x") is not x:
        known.update(x=x, problem=liblinearutil.problem(y, x, 1))
    # -s 0: primal logistic regression; -B 1 -R: a constant column whose weight is not penalised.
    options = f"-s 0 -c {1 / (x.shape[0] * l2):.17g} -e {tol:.17g} -B 1 -R -q"
    model = liblinearutil.train(known["problem"], liblinearutil.parameter(options))
    w, b = model.get_decfun(label_idx=0)
    sign = 1.0 if model.get_labels()[0] == 1 else -1.0
    return sign * np.array([w[: x.shape[1]]]), sign * np.array([b])


def glum_fit(solver):
    from glum import GeneralizedLinearRegressor

    def fit(x, y, l2, tol):
        classes = is_classes(y)
        model = GeneralizedLinearRegressor(
            family="binomial" if classes else "normal", alpha=l2, l1_ratio=0, solver=solver, gradient_tol=tol,
            max_iter=MOST_STEPS, scale_predictors=False,
        )
        model.fit(x, (y + 1) / 2 if classes else y)
        return np.array([model.coef_]), np.array([model.intercept_])

    return fit


def is_classes(y):
    return bool(np.all(np.abs(y) == 1))


def scipy_least_squares(x, y, l2, tol):
    from scipy.optimize import minimize

    n, d = x.shape

    def fun(v):
        r = x @ v[:d] + v[d] - y
        g = r / n
        return 0.5 * (r @ g) + 0.5 * l2 * (v[:d] @ v[:d]), np.append(x.T @ g + l2 * v[:d], g.sum())

    def hessp(v, p):
        r = (x @ p[:d] + p[d]) / n
        return np.append(x.T @ r + l2 * p[:d], r.sum())

    v = minimize(fun, np.zeros(d + 1), jac=True, hessp=hessp, method="trust-ncg", options={"gtol": tol, "maxiter": MOST_STEPS}).x
    return v[None, :d], v[d:]


def scipy_fit(x, y, l2, tol):
    if not is_classes(y):
        return scipy_least_squares(x, y, l2, tol)
    from scipy.optimize import minimize
    from scipy.special import expit

    n, d = x.shape

    def parts(v):
        return y * (x @ v[:d] + v[d])

    def fun(v):
        margin = parts(v)
        loss = np.maximum(-margin, 0) + np.log1p(np.exp(-np.abs(margin)))
        r = -y * expit(-margin) / n
        return loss.mean() + 0.5 * l2 * (v[:d] @ v[:d]), np.append(x.T @ r + l2 * v[:d], r.sum())

    def hessp(v, p):
        s = expit(parts(v))
        r = s * (1 - s) * (x @ p[:d] + p[d]) / n
        return np.append(x.T @ r + l2 * p[:d], r.sum())

    v = minimize(fun, np.zeros(d + 1), jac=True, hessp=hessp, method="trust-ncg", options={"gtol": tol, "maxiter": MOST_STEPS}).x
    return v[None, :d], v[d:]


SOLVERS = {
    "scikit-learn lbfgs": lambda: sklearn_fit("lbfgs"),
    "scikit-learn newton-cholesky": lambda: sklearn_fit("newton-cholesky"),
    "scikit-learn newton-cg": lambda: sklearn_fit("newton-cg"),
    "scikit-learn saga": lambda: sklearn_fit("saga"),
    "scikit-learn Ridge cholesky": lambda: ridge_fit("cholesky"),
    "scikit-learn Ridge svd": lambda: ridge_fit("svd"),
    "scikit-learn Ridge lsqr": lambda: ridge_fit("lsqr"),
    "liblinear": lambda: liblinear_fit,
    "glum irls-ls": lambda: glum_fit("irls-ls"),
    "SciPy trust-ncg": lambda: scipy_fit,
}


def load(file, loss):
    x, y = load_svmlight_file(file)
    if loss != "squared":
        y = np.unique(y, return_inverse=True)[1]
    if loss == "logistic":
        y = 2.0 * y - 1.0
    if x.nnz > 0.25 * x.shape[0] * x.shape[1]:
        x = x.toarray()
    else:
        # Half the indices' memory, and some solvers take no others.
        x.indices, x.indptr = x.indices.astype(np.int32), x.indptr.astype(np.int32)
    return x, y


def main():
    fit = SOLVERS[sys.argv[1]]()
    warnings.simplefilter("ignore")
    file = x = y = None
    for line in sys.stdin:
        job = json.loads(line)
        if job["file"] != file:
            file = job["file"]
            x, y = load(file, job["loss"])
        try:
            times, coef, intercept = [], np.empty(0), 0.0
            for _ in range(job["repetitions"]):
                start = time.perf_counter()
                coef, intercept = fit(x, y, job["l2"], job["tol"])
                times.append(time.perf_counter() - start)
            answer = {"seconds": times, "coef": coef.tolist(), "intercept": np.atleast_1d(intercept).tolist()}
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), flush=True)


main()
