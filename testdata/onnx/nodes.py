"""Writes nodes.bin: the node tests of the onnx package for the operators that are supported here: `python nodes.py`.

Inputs become initializers of the models. The file is a list of records: name; reason why it was left out, empty if it was not;
the model; the number of outputs; and for each output the bytes of a number, the number of axes, their lengths, and the entries.
Texts and models have their length in front, all sizes are 32-bit, everything is little-endian.
"""

import re
import struct
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

warnings.simplefilter("ignore")
HERE = Path(__file__).parent
OPS = HERE / "../../crates/quadric-nn/src/onnx/ops"
# Bytes of a case of one operator, and of one in which others compute what a newer operator does.
LARGEST, LARGEST_EXPANDED = 30_000, 6_000
TYPES = {"float16", "float32", "float64", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bfloat16"}


def supported():
    """Names of the operators, as the source lists them."""
    return {name for f in OPS.glob("*.rs") for name in re.findall(r'entry\(\s*"(\w+)"', f.read_text())}


def as_array(value):
    """A tensor of the format as an array; other values as they are."""
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def arrays(values):
    return all(isinstance(v, (np.ndarray, np.generic)) and v.dtype.name in TYPES for v in values)


def reason(case, inputs, outputs):
    if not arrays(inputs) or not arrays(outputs):
        return "types that are not supported"
    size = case.model.ByteSize() + sum(v.nbytes for v in [*inputs, *outputs])
    limit = LARGEST if len(case.model.graph.node) == 1 else LARGEST_EXPANDED
    return "too large for this file" if size > limit else ""


def with_constants(case, inputs):
    """The model with its inputs as initializers."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for value, array in zip(model.graph.input, inputs):
        model.graph.initializer.append(numpy_helper.from_array(array, value.name))
    del model.graph.input[:], model.graph.value_info[:]
    model.doc_string = model.graph.doc_string = model.producer_name = ""
    for opset in model.opset_import:
        # Operators that are as old have not changed since.
        opset.version = max(opset.version, 13) if opset.domain == "" else opset.version
    return model.SerializeToString()


def text(data):
    return struct.pack("<I", len(data)) + data


def numbers(array):
    kind = "<f4" if array.dtype.name in ("float32", "float16", "bfloat16") else "<f8"
    shape = struct.pack(f"<{array.ndim}I", *array.shape)
    return struct.pack("<II", int(kind[2]), array.ndim) + shape + array.astype(kind).tobytes()


def main():
    names, records, left_out = supported(), [], 0
    for case in collect_testcases(None):
        ops = {n.op_type for n in case.model.graph.node}
        domains = {n.domain for n in case.model.graph.node}
        if not ops <= names or not domains <= {"", "ai.onnx"}:
            continue
        inputs, outputs = ([as_array(v) for v in values] for values in case.data_sets[0])
        why = reason(case, inputs, outputs)
        left_out += bool(why)
        record = text(case.name.encode()) + text(why.encode())
        if not why:
            record += text(with_constants(case, inputs)) + struct.pack("<I", len(outputs))
            record += b"".join(numbers(v) for v in outputs)
        records.append(record)
    (HERE / "nodes.bin").write_bytes(b"".join(records))
    print(len(records), "cases,", left_out, "left out")


if __name__ == "__main__":
    main()
