#!/usr/bin/env python3
"""Make the models of the load tests, as bare <out>/<name>/<version>/model.onnx.

gbt      XGBoost, 100 trees of depth 6 over 28 columns, in three versions that differ
mlp      784-256-128-10 dense net
encoder  6-layer transformer encoder, d=384, 32 token ids in, one embedding out

Sizes and shapes are real, the numbers are not: they come from a seeded generator.

    python3 -m venv .venv
    .venv/bin/pip install -r loadtests/requirements.txt
    .venv/bin/python loadtests/make-models.py --out /tmp/loadmodels --requests
"""

import os

# Before numpy: one thread, so that sums come out in the same order each time.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import xgboost
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

SEED = 20261123
IR_VERSION = 8
GBT_OPSET = 15  # the newest that onnxmltools 1.16 writes
NET_OPSET = 17  # the last in which ReduceMean has its axes as an attribute
GBT_FEATURES = 28
MLP_SIZES = (784, 256, 128, 10)
LAYERS, WIDTH, HEADS, HIDDEN, TOKENS, VOCABULARY = 6, 384, 6, 512, 32, 512

DATATYPES = {np.dtype(np.float32): "FP32", np.dtype(np.int64): "INT64"}


def gbt(seed: int) -> onnx.ModelProto:
    """Gradient-boosted trees on 20,000 rows: enough for the trees to fill up."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(20_000, GBT_FEATURES)).astype(np.float32)
    # Products and waves need depth; the noise keeps the last trees busy as well.
    signal = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) * x[:, 3]
    signal += x[:, 4:12] @ rng.normal(size=8) / 2
    y = (signal + rng.normal(size=len(x)) > 0).astype(np.int64)
    model = xgboost.XGBClassifier(
        n_estimators=100, max_depth=6, tree_method="hist", random_state=seed, n_jobs=1
    )
    model.fit(x, y)
    return convert_xgboost(
        model,
        name="gbt",
        initial_types=[("input", FloatTensorType([None, GBT_FEATURES]))],
        target_opset=GBT_OPSET,
    )


class Graph:
    """Collects nodes and constants; every method returns the name of its result."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: np.ndarray) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, *shape: int) -> str:
        """Random, scaled so that a product with a row of unit variance keeps it."""
        value = self.rng.normal(size=shape) / np.sqrt(shape[0])
        return self.constant(value.astype(np.float32))

    def node(
        self, op: str, *inputs: str, result: str = "", **attributes: object
    ) -> str:
        result = result or f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [result], **attributes))
        return result

    def dense(self, value: str, inputs: int, outputs: int) -> str:
        product = self.node("MatMul", value, self.weight(inputs, outputs))
        return self.node("Add", product, self.weight(outputs))

    def normalize(self, value: str) -> str:
        """LayerNormalization in primitive operators, as exported before opset 17."""
        centred = self.node(
            "Sub", value, self.node("ReduceMean", value, axes=[-1], keepdims=1)
        )
        square = self.node("Mul", centred, centred)
        variance = self.node("ReduceMean", square, axes=[-1], keepdims=1)
        epsilon = self.constant(np.array(1e-5, np.float32))
        deviation = self.node("Sqrt", self.node("Add", variance, epsilon))
        scaled = self.node(
            "Mul",
            self.node("Div", centred, deviation),
            self.constant(np.ones(WIDTH, np.float32)),
        )
        return self.node("Add", scaled, self.constant(np.zeros(WIDTH, np.float32)))

    def model(self, name: str, inputs: list, outputs: list) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(*each) for each in inputs],
            [helper.make_tensor_value_info(*each) for each in outputs],
            self.constants,
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", NET_OPSET)]
        )


def mlp() -> onnx.ModelProto:
    graph = Graph(np.random.default_rng(SEED))
    value = "input"
    for size, following in itertools.pairwise(MLP_SIZES):
        value = graph.node(
            "Gemm", value, graph.weight(size, following), graph.weight(following)
        )
        if following != MLP_SIZES[-1]:
            value = graph.node("Relu", value)
    graph.node("Softmax", value, result="probabilities", axis=1)
    return graph.model(
        "mlp",
        [("input", TensorProto.FLOAT, ["N", MLP_SIZES[0]])],
        [("probabilities", TensorProto.FLOAT, ["N", MLP_SIZES[-1]])],
    )


def encoder() -> onnx.ModelProto:
    graph = Graph(np.random.default_rng(SEED))
    head = WIDTH // HEADS
    to_heads = graph.constant(np.array([0, TOKENS, HEADS, head], np.int64))
    to_rows = graph.constant(np.array([0, TOKENS, WIDTH], np.int64))
    scale = graph.constant(np.array(head**-0.5, np.float32))

    def heads(value: str, perm: list[int]) -> str:
        split = graph.node("Reshape", graph.dense(value, WIDTH, WIDTH), to_heads)
        return graph.node("Transpose", split, perm=perm)

    def layer(value: str) -> str:
        query = heads(value, [0, 2, 1, 3])
        key = heads(value, [0, 2, 3, 1])
        content = heads(value, [0, 2, 1, 3])
        scores = graph.node("Mul", graph.node("MatMul", query, key), scale)
        mixed = graph.node("MatMul", graph.node("Softmax", scores, axis=-1), content)
        joined = graph.node(
            "Reshape", graph.node("Transpose", mixed, perm=[0, 2, 1, 3]), to_rows
        )
        value = graph.normalize(
            graph.node("Add", value, graph.dense(joined, WIDTH, WIDTH))
        )
        hidden = graph.node("Relu", graph.dense(value, WIDTH, HIDDEN))
        return graph.normalize(
            graph.node("Add", value, graph.dense(hidden, HIDDEN, WIDTH))
        )

    words = graph.node("Gather", graph.weight(VOCABULARY, WIDTH), "input_ids", axis=0)
    value = graph.normalize(graph.node("Add", words, graph.weight(TOKENS, WIDTH)))
    for _ in range(LAYERS):
        value = layer(value)
    graph.node("ReduceMean", value, result="embedding", axes=[1], keepdims=0)
    return graph.model(
        "encoder",
        [("input_ids", TensorProto.INT64, ["N", TOKENS])],
        [("embedding", TensorProto.FLOAT, ["N", WIDTH])],
    )


def write_model(
    out: Path, name: str, version: int, proto: onnx.ModelProto, rows: np.ndarray
) -> None:
    """Check the graph, run it once, write it."""
    proto.ir_version = IR_VERSION
    onnx.checker.check_model(proto, full_check=True)
    graph = proto.SerializeToString(deterministic=True)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    for output in session.run(None, {proto.graph.input[0].name: rows}):
        assert len(output) == len(rows)
        assert np.isfinite(output).all()
    folder = out / name / str(version)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(graph)
    print(f"{folder / 'model.onnx'}  {len(graph):,} bytes")


def write_request(
    out: Path, stem: str, name: str, rows: np.ndarray, *, binary: bool
) -> None:
    """A body for POST /v2/models/<name>/infer in JSON, and if asked in binary form."""
    head = {"name": name, "shape": list(rows.shape), "datatype": DATATYPES[rows.dtype]}
    # str of a float32 is its shortest form that reads back the same
    number = int if rows.dtype == np.int64 else float
    data = [number(str(value)) for value in rows.reshape(-1)]
    (out / f"{stem}.json").write_text(json.dumps({"inputs": [head | {"data": data}]}))
    if binary:
        header = {
            "parameters": {"binary_data_output": True},
            "inputs": [head | {"parameters": {"binary_data_size": rows.nbytes}}],
        }
        text = json.dumps(header, separators=(",", ":")).encode()
        (out / f"{stem}.bin").write_bytes(text + rows.tobytes())
        # The value of the header Inference-Header-Content-Length
        (out / f"{stem}.bin.json").write_text(
            json.dumps({"header_length": len(text)}) + "\n"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument(
        "--requests", action="store_true", help="write request bodies as well"
    )
    arguments = parser.parse_args()
    out = arguments.out

    rng = np.random.default_rng(SEED)
    tabular = rng.normal(size=(1, GBT_FEATURES)).astype(np.float32)
    images = rng.random(size=(64, MLP_SIZES[0])).astype(np.float32)
    tokens = rng.integers(VOCABULARY, size=(1, TOKENS))

    for version in (1, 2, 3):
        write_model(out, "gbt", version, gbt(SEED + version), tabular)
    write_model(out, "mlp", 1, mlp(), images)
    write_model(out, "encoder", 1, encoder(), tokens)

    if arguments.requests:
        write_request(out, "gbt", "input", tabular, binary=True)
        write_request(out, "mlp.1", "input", images[:1], binary=True)
        write_request(out, "mlp.64", "input", images, binary=True)
        write_request(out, "encoder", "input_ids", tokens, binary=False)


if __name__ == "__main__":
    main()
