#!/usr/bin/env python3
"""Train the dense net of models/digits, the example of a model that is trained elsewhere and imported.

    python3 -m venv .venv
    .venv/bin/pip install -r scripts/make-models.requirements.txt
    .venv/bin/python scripts/make-digits.py OUT.onnx         # or scripts/make-models.sh --python .venv/bin/python
"""

import os
import platform
import sys

# Before numpy: another number of threads, or other kernels, add up in another order.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
if platform.machine() == "x86_64":
    os.environ["OPENBLAS_CORETYPE"] = "Haswell"

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.neural_network import MLPClassifier

DATA = Path(__file__).resolve().parent.parent / "models/_data"
SEED = 20261123
OPSET, IR_VERSION = 18, 8


def table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and digits of a file."""
    rows = np.loadtxt(DATA / name, np.float32, delimiter=",", skiprows=1)
    return rows[:, :-1], rows[:, -1].astype(np.int64)


def dense_net(weights: list[np.ndarray], biases: list[np.ndarray]) -> onnx.ModelProto:
    """Gemm and Relu per layer, then Softmax and ArgMax; the batch dimension is 'N'."""
    nodes, constants, value = [], [], "input"
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        last = layer == len(weights) - 1
        constants += [numpy_helper.from_array(weight, f"weight{layer}"), numpy_helper.from_array(bias, f"bias{layer}")]
        result = "logits" if last else f"dense{layer}"
        nodes.append(helper.make_node("Gemm", [value, f"weight{layer}", f"bias{layer}"], [result]))
        if not last:
            nodes.append(helper.make_node("Relu", [result], [f"relu{layer}"]))
            value = f"relu{layer}"
    nodes += [
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", weights[0].shape[0]])]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", weights[-1].shape[1]]),
    ]
    graph = helper.make_graph(nodes, "digits", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} OUT.onnx")
    x, y = table("digits.csv")
    model = MLPClassifier(hidden_layer_sizes=[64, 32], alpha=0.01, max_iter=400, random_state=SEED)
    model.fit(x / 16, y)
    weights = [w.astype(np.float32) for w in model.coefs_]
    weights[0] /= 16  # pixels are 0..16; by a power of 2, so nothing is lost
    net = dense_net(weights, [b.astype(np.float32) for b in model.intercepts_])
    onnx.checker.check_model(net, full_check=True)
    graph = net.SerializeToString(deterministic=True)

    # The export must say what the training library says, on rows that it has not seen.
    x, y = table("digits-held-out.csv")
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    label, probabilities = session.run(["label", "probabilities"], {"input": x})
    np.testing.assert_allclose(probabilities, model.predict_proba(x / 16), rtol=1e-5, atol=1e-5)
    print(f"{len(graph)} bytes, accuracy {np.mean(label == y):.4f} on {len(y)} rows held out")
    Path(sys.argv[1]).write_bytes(graph)


main()
