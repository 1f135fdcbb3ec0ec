"""SciPy's methods in `cargo xtask bench minimize`: jobs on standard input, questions about F on standard output.

A job is a line of JSON {"method", "n", "dense", "most"} and the start as n doubles. A question is a byte (1: value and gradient,
2: Hessian, 3: its product with a vector), the seconds spent so far outside of questions, the point and, for 3, the vector. The
answer is a byte (1: stop) and the doubles. A byte 0 and the seconds end a run.
"""

import json
import struct
import sys
import time
import warnings

import numpy as np
from scipy.optimize import minimize

DONE, GRADIENT, HESSIAN, PRODUCT = range(4)


class Stop(Exception):
    pass


class Pipe:
    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.start = self.pipe = 0.0

    def begin(self):
        self.pipe = 0.0
        self.start = time.perf_counter()

    def own(self):
        return time.perf_counter() - self.start - self.pipe

    def ask(self, what, count, *vectors):
        asked = time.perf_counter()
        head = struct.pack("<Bd", what, asked - self.start - self.pipe)
        self.sink.write(head + b"".join(np.ascontiguousarray(v, dtype="<f8").tobytes() for v in vectors))
        self.sink.flush()
        stop = self.source.read(1)[0]
        answer = np.frombuffer(self.source.read(8 * count), dtype="<f8").copy()
        self.pipe += time.perf_counter() - asked
        if stop:
            raise Stop
        return answer


OPTIONS = {
    "BFGS": lambda most: {"gtol": 1e-10, "maxiter": most},
    "L-BFGS-B": lambda most: {"ftol": 0, "gtol": 1e-10, "maxiter": most, "maxfun": most},
    "trust-ncg": lambda most: {"gtol": 1e-10, "maxiter": most},
    "trust-krylov": lambda most: {"gtol": 1e-10, "maxiter": most},
}


def run(pipe, job, x):
    n = job["n"]

    def value_grad(x):
        answer = pipe.ask(GRADIENT, n + 1, x)
        return answer[0], answer[1:]

    curvature = {}
    if job["method"].startswith("trust"):
        if job["dense"]:
            curvature["hess"] = lambda x: pipe.ask(HESSIAN, n * n, x).reshape(n, n)
        else:
            curvature["hessp"] = lambda x, v: pipe.ask(PRODUCT, n, x, v)
    options = OPTIONS[job["method"]](job["most"])
    pipe.begin()
    try:
        minimize(value_grad, x, jac=True, method=job["method"], options=options, **curvature)
    except (Stop, np.linalg.LinAlgError, ValueError, OverflowError, ZeroDivisionError):
        # A method that fails has said all it has to say.
        pass
    return pipe.own()


def main():
    warnings.simplefilter("ignore")
    pipe = Pipe(sys.stdin.buffer, sys.stdout.buffer)
    # Nothing else may write where the questions go.
    sys.stdout = sys.stderr
    for line in pipe.source:
        job = json.loads(line)
        start = np.frombuffer(pipe.source.read(8 * job["n"]), dtype="<f8").copy()
        seconds = run(pipe, job, start)
        pipe.sink.write(struct.pack("<Bd", DONE, seconds))
        pipe.sink.flush()


main()
