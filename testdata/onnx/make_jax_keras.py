"""Writes what jax2onnx and Keras make of two networks, and the outputs of a batch: `python make_jax_keras.py`, as make.py does.

jax.onnx is in double precision, keras.onnx in single. Neither keeps the names of parameters.
"""

import json
import os
import warnings
from importlib.metadata import version
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["KERAS_BACKEND"] = "torch"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
from jax2onnx import to_onnx  # noqa: E402
from keras import layers  # noqa: E402

warnings.simplefilter("ignore")
jax.config.update("jax_enable_x64", True)
HERE = Path(__file__).parent
SHAPES = {
    "w1": (3, 3, 2, 4), "b1": (4,), "scale": (4,), "shift": (4,), "w2": (4, 5), "b2": (5,),
    "query": (5, 5), "key": (5, 5), "value": (5, 5), "out": (5, 3),
}  # fmt: skip


def network(p, x):
    """A convolution, normalised; attention among its places; a choice; the largest over the places."""
    layout = ("NHWC", "HWIO", "NHWC")
    h = jax.lax.conv_general_dilated(x, p["w1"], (2, 2), "SAME", dimension_numbers=layout) + p["b1"]
    h = jax.nn.standardize(jax.nn.gelu(h), axis=-1, epsilon=1e-5) * p["scale"] + p["shift"]
    h = h.reshape(h.shape[0], -1, 4) @ p["w2"] + p["b2"]
    query, key, value = (h @ p[n] for n in ("query", "key", "value"))
    weights = jax.nn.softmax(jnp.einsum("btc,bsc->bts", query, key) / np.sqrt(5), -1)
    h = jnp.einsum("bts,bsc->btc", weights, value)
    h = jax.nn.silu(h) + jax.nn.softplus(h) * jnp.where(h > 0, h, 0.1 * h)
    return jax.nn.log_softmax(h.max(1) @ p["out"])


def keras_network():
    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((8, 8, 2))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", activation="relu")(x))
    x = layers.DepthwiseConv2D(3)(layers.MaxPooling2D()(x))
    x = layers.Dense(6, activation="elu")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


def write(name, x, y):
    record = {"training": False, "input": x.reshape(-1).tolist(), "output": np.asarray(y).reshape(-1).tolist()}
    (HERE / f"{name}.json").write_text(json.dumps(record, separators=(",", ":")) + "\n")


def main():
    rng = np.random.default_rng(0)
    p = {name: jnp.asarray(rng.normal(size=shape) * 0.4) for name, shape in SHAPES.items()}
    model = to_onnx(lambda x: network(p, x), inputs=[("B", 6, 6, 2)], enable_double_precision=True)
    model.doc_string = model.graph.doc_string = ""
    del model.graph.value_info[:], model.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.save(model, HERE / "jax.onnx")
    x = rng.normal(size=(3, 6, 6, 2))
    write("jax", x, network(p, x))
    net = keras_network()
    x = rng.normal(size=(3, 8, 8, 2)).astype(np.float32)
    y = net(x).detach().numpy()
    net.export(HERE / "keras.onnx", format="onnx", verbose=False)
    write("keras", x, y)
    packages = ("jax", "jax2onnx", "keras", "torch", "onnx", "numpy")
    versions = ", ".join(f"{p} {version(p)}" for p in packages)
    (HERE / "versions_jax_keras.txt").write_text(versions + "\n")


if __name__ == "__main__":
    main()
