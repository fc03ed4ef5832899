"""Small ONNX models that hand back what they were given, for every datatype of the protocol."""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Opset and IR version that ONNX Runtime has known for years.
OPSETS = [helper.make_opsetid("", 17)]
IR_VERSION = 9

# Protocol name → ONNX element type.
DATATYPES = {
    "BOOL": TensorProto.BOOL,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}
# Those that JSON can carry.
JSON_DATATYPES = [name for name in DATATYPES if name not in ("FP16", "BF16")]


def save(graph: onnx.GraphProto, path: pathlib.Path) -> None:
    """Writes a graph as a model, whole or not at all."""
    model = helper.make_model(graph, opset_imports=OPSETS, ir_version=IR_VERSION, producer_name="sidegate-tests")
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(model.SerializeToString())
    part.rename(path)


def identity(path: pathlib.Path, shapes: dict[str, tuple[int, list[object]]]) -> None:
    """An output `NAME_out` for every input `NAME`, with the same value. `shapes` maps names to (type, shape)."""
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in shapes]
    inputs = [helper.make_tensor_value_info(name, *spec) for name, spec in shapes.items()]
    outputs = [helper.make_tensor_value_info(f"{name}_out", *spec) for name, spec in shapes.items()]
    save(helper.make_graph(nodes, "identity", inputs, outputs), path)


def times(path: pathlib.Path, factor: float) -> None:
    """`y = x · factor`, so that an answer tells which version made it."""
    nodes = [helper.make_node("Mul", ["x", "factor"], ["y"])]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])]
    constants = [numpy_helper.from_array(np.array(factor, np.float32), "factor")]
    save(helper.make_graph(nodes, "times", inputs, outputs, constants), path)


def repository(folder: pathlib.Path) -> pathlib.Path:
    """A bare repository with a model per datatype, scalars, and one model with all datatypes at once."""
    for name, kind in DATATYPES.items():
        identity(folder / f"rows-{name.lower()}/1/model.onnx", {"x": (kind, ["n", 3])})
        identity(folder / f"scalar-{name.lower()}/1/model.onnx", {"x": (kind, [])})
    everything = {name.lower(): (DATATYPES[name], ["n", 2]) for name in JSON_DATATYPES}
    identity(folder / "everything/1/model.onnx", everything)
    # Names as exporters really make them.
    odd = {"serving_default_input:0": (TensorProto.FLOAT, ["n"]), "a/b c": (TensorProto.FLOAT, ["n"]), "4195": (TensorProto.FLOAT, ["n"])}
    identity(folder / "odd-names/1/model.onnx", odd)
    return folder
