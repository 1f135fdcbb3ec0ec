"""Runs networks in onnxruntime and compares their outputs with those of a record: `python run.py records.json`.

The record is a list of networks: the name of a file beside it, and batches of inputs and outputs.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

TOLERANCE = 1e-5


def array(value):
    kind = np.int64 if value.get("index") else np.float32
    return np.array(value["values"], kind).reshape(value["shape"])


def faults(session, batch):
    inputs = {v["name"]: array(v) for v in batch["inputs"]}
    found = session.run(None, inputs)
    for i, (y, expected) in enumerate(zip(found, map(array, batch["outputs"]), strict=True)):
        if y.shape != expected.shape:
            yield f"output {i} has the shape {y.shape}, not {expected.shape}"
            continue
        error = np.abs(y - expected).max() / max(np.abs(expected).max(), 1e-3)
        if not error <= TOLERANCE:
            yield f"output {i} differs by {error:.1e}"


def main(path):
    records = json.loads(path.read_text())
    wrong = []
    for record in records:
        file = str(path.parent / record["file"])
        try:
            onnx.checker.check_model(onnx.load(file), full_check=True)
            session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
            wrong += [f"{record['file']}: {f}" for b in record["batches"] for f in faults(session, b)]
        except Exception as e:
            wrong.append(f"{record['file']}: {e}")
    print("\n".join(wrong))
    print(len(records) - len({w.split(":")[0] for w in wrong}), "networks agree")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
