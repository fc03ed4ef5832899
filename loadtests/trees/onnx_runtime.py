"""ONNX Runtime through its C API, at its best: tensors made before the call, in and out; one thread."""

import ctypes
import time
from ctypes import byref, c_char_p, c_int64, c_void_p
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from . import driver
from .catalog import Model
from .competitor import Competitor, Unfit

# ONNX's numbers of element types
TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7, np.dtype(np.float64): 11}


def library() -> Path:
    """The shared library beside the Python module."""
    (found,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    return found


def without_output_shapes(model: Model) -> Path:
    """LightGBM's converter says that there is one label whatever the rows; room made for more would be refused."""
    file = model.folder / "without-output-shapes.onnx"
    if not file.exists():
        graph = onnx.load(model.onnx)
        for output in graph.graph.output:
            output.type.tensor_type.ClearField("shape")
        onnx.save(graph, file)
    return file


class OnnxRuntime(Competitor):
    column = "ONNX Runtime"

    def __init__(self, model: Model, *, arena: bool) -> None:
        super().__init__(model)
        self.variant = "C API, arena" if arena else "C API"
        self.c = driver.library()
        base = ctypes.CDLL(str(library())).OrtGetApiBase
        if self.c.ort_start(base):
            raise Unfit("the C API does not start")
        self.session = c_void_p()
        file = without_output_shapes(model)
        start = time.perf_counter()
        if self.c.ort_session(str(file).encode(), int(arena), byref(self.session)):
            raise Unfit("the C API does not load it")
        self.build_seconds = time.perf_counter() - start
        self.calls: dict[int, driver.Calls] = {}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.python = onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )
        self.data = model.rows()

    def _calls(self, rows: int) -> driver.Calls:
        if rows not in self.calls:
            self.calls[rows] = self._make(rows)
        return self.calls[rows]

    def _make(self, rows: int) -> driver.Calls:
        # Python's session tells what comes out, so that there is room for it.
        (given,) = self.python.get_inputs()
        results = self.python.run(None, {given.name: self.data[:rows]})
        calls = driver.Calls(self.c, "predict_ort", rows, self.data, 1)
        inputs = (c_void_p * calls.structure.calls)()
        size = self.data[:rows].nbytes
        for call in range(len(inputs)):
            at = self.data.ctypes.data + call * size
            self._tensor(at, size, self.data[:rows], inputs, call)
        outputs = (c_void_p * len(results))()
        for index, result in enumerate(results):
            self._tensor(result.ctypes.data, result.nbytes, result, outputs, index)
        names = [each.name.encode() for each in (given, *self.python.get_outputs())]
        calls.structure.handle = self.session
        calls.structure.inputs = ctypes.cast(inputs, ctypes.POINTER(c_void_p))
        calls.structure.outputs = ctypes.cast(outputs, ctypes.POINTER(c_void_p))
        calls.structure.names = (c_char_p * len(names))(*names)
        calls.structure.output_count = len(results)
        calls.results_in(results[-1])
        calls.kept = [inputs, outputs, results]
        return calls

    def _tensor(
        self, at: int, size: int, like: np.ndarray, into: ctypes.Array, index: int
    ) -> None:
        columns = like.shape[1] if like.ndim == 2 else -1
        value = c_void_p()
        if self.c.ort_tensor(
            c_void_p(at), c_int64(size), c_int64(len(like)), c_int64(columns),
            TYPES[like.dtype], byref(value),
        ):  # fmt: skip
            raise Unfit("the C API makes no tensor")
        into[index] = value.value

    def measure(self, rows: int, seconds: float) -> dict:
        return self._calls(rows).measure(seconds)

    def outputs(self, rows: int, count: int) -> np.ndarray:
        return self._calls(rows).outputs(count)

    def close(self) -> None:
        for calls in self.calls.values():
            inputs, outputs, _ = calls.kept
            for value in (*inputs, *outputs):
                self.c.ort_release_value(c_void_p(value))
        self.c.ort_release_session(self.session)
