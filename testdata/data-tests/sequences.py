"""Writes sequences.json: the text of `.ts` files, and what the reader of aeon makes of them.

Numbers are kept as text, which every reader rounds in the same way.

Run with aeon 1.6.0: python sequences.py
"""

import json
import math
import tempfile
from pathlib import Path

import numpy as np
from aeon.datasets import load_from_ts_file

HEADER = "# A comment.\n@problemName {name}\n@timeStamps false\n@missing {missing}\n@univariate {univariate}\n"


def number(rng):
    """A number in one of the spellings that files have."""
    v = float(rng.normal() * 10.0 ** rng.integers(-4, 5))
    return [repr(v), f"{v:.6f}", f"{v:e}", str(int(v))][rng.integers(4)]


def make(rng, name, lengths, dimensions, labels, gaps=False, regression=False):
    equal = len(set(lengths)) == 1
    text = HEADER.format(name=name, missing=str(gaps).lower(), univariate=str(dimensions == 1).lower())
    if dimensions > 1:
        text += f"@dimensions {dimensions}\n"
    text += f"@equalLength {str(equal).lower()}\n"
    if equal:
        text += f"@seriesLength {lengths[0]}\n"
    text += "@targetlabel true\n" if regression else f"@classLabel true {' '.join(labels)}\n"
    text += "@data\n"
    for length in lengths:
        channels = [[number(rng) for _ in range(length)] for _ in range(dimensions)]
        if gaps:
            channels[rng.integers(dimensions)][rng.integers(length)] = "?"
        target = number(rng) if regression else str(rng.choice(labels))
        text += ":".join(",".join(c) for c in channels) + f":{target}\n"
    return text


def read(text, regression):
    """Values (n, steps, dimensions) with null where there is none, lengths, and targets."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.ts"
        path.write_text(text)
        x, y = load_from_ts_file(str(path))
    cases = [np.asarray(case, dtype=np.float64) for case in x]
    steps = max(case.shape[1] for case in cases)
    values = []
    for case in cases:
        padded = np.full((case.shape[0], steps), math.nan)
        padded[:, : case.shape[1]] = case
        values.append([[None if math.isnan(v) else repr(v) for v in row] for row in padded.T.tolist()])
    targets = [repr(float(v)) if regression else str(v) for v in y]
    return {"values": values, "lengths": [case.shape[1] for case in cases], "targets": targets}


def main():
    rng = np.random.default_rng(2026)
    letters, digits = ["walking", "badminton", "2_x"], ["1", "2", "10"]
    cases = {
        "univariate": (make(rng, "univariate", [7] * 5, 1, digits), False),
        "multivariate": (make(rng, "multivariate", [4] * 6, 3, letters), False),
        "unequal": (make(rng, "unequal", [5, 2, 9, 3], 2, letters), False),
        "gaps": (make(rng, "gaps", [6] * 5, 2, digits, gaps=True), False),
        "regression": (make(rng, "regression", [3] * 4, 2, [], regression=True), True),
    }
    out = [{"name": name, "text": text, **read(text, regression)} for name, (text, regression) in cases.items()]
    path = Path(__file__).with_name("sequences.json")
    path.write_text("[\n" + ",\n".join(json.dumps(case) for case in out) + "\n]\n")


main()
