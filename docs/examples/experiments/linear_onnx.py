"""Writes a linear model of one tensor as an ONNX file, with nothing but Python.

    python3 docs/examples/experiments/linear_onnx.py rule.onnx 0 1 0 0      bias 0, a weight for each column
"""

import pathlib
import struct
import sys


def field(number, value):
    """A field of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def linear(weights, bias, output="variable"):
    """An ONNX graph: rows · weights + bias."""

    def node(op, inputs, out):
        return b"".join(field(1, name) for name in inputs) + field(2, out) + field(4, op)

    def tensor(name, shape, data):
        return b"".join(field(1, n) for n in shape) + field(2, 1) + field(8, name) + field(9, struct.pack(f"<{len(data)}f", *data))

    def info(name, width):
        dims = field(1, field(2, "N")) + field(1, field(1, width))
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))

    graph = field(1, node("MatMul", ["input", "w"], "m")) + field(1, node("Add", ["m", "b"], output)) + field(2, "g")
    graph += field(5, tensor("w", [len(weights), 1], weights)) + field(5, tensor("b", [1], [bias]))
    graph += field(11, info("input", len(weights))) + field(12, info(output, 1))
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 18))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    bias, *weights = map(float, sys.argv[2:])
    pathlib.Path(sys.argv[1]).write_bytes(linear(weights, bias))
