"""driver.c for Python: built on first use, and a competitor that is timed by it."""

import ctypes
import hashlib
import subprocess
from ctypes import POINTER, byref, c_char_p, c_double, c_int64, c_void_p
from pathlib import Path

import numpy as np

from measure.programs import cache_dir

SOURCE = Path(__file__).with_name("driver.c")


class Competitor(ctypes.Structure):
    """`struct competitor`."""

    _fields_ = [
        ("predict", c_void_p),
        ("rows", c_int64),
        ("calls", c_int64),
        ("columns", c_int64),
        ("scores", c_int64),
        ("function", c_void_p),
        ("handle", c_void_p),
        ("data", c_void_p),
        ("element", c_int64),
        ("out", c_void_p),
        ("spare", c_void_p),
        ("inputs", POINTER(c_void_p)),
        ("outputs", POINTER(c_void_p)),
        ("names", POINTER(c_char_p)),
        ("output_count", c_int64),
    ]


def library() -> ctypes.CDLL:
    key = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    built = cache_dir() / f"trees-driver-{key}.so"
    if not built.exists():
        command = ["cc", "-O2", "-shared", "-fPIC", str(SOURCE), "-o", str(built)]
        subprocess.run(command, check=True)
    return ctypes.CDLL(str(built))


def address(function: object) -> int:
    """Of a function in a loaded library."""
    return ctypes.cast(function, c_void_p).value


class Calls:
    """All rows cut into calls of `rows`, made by a C function again and again."""

    def __init__(
        self, c: ctypes.CDLL, predict: str, rows: int, data: np.ndarray, scores: int
    ) -> None:
        self.c = c
        self.predict = getattr(c, predict)
        self.data = data
        self.out = np.zeros((rows, scores))
        self.spare = np.zeros(data.shape[1])
        self.at = c_int64(0)
        self.kept: list = []  # what the structure points to
        self.structure = Competitor(
            predict=address(self.predict),
            rows=rows,
            calls=len(data) // rows,
            columns=data.shape[1],
            scores=scores,
            data=data.ctypes.data,
            element=data.itemsize,
            spare=self.spare.ctypes.data,
        )
        self.results_in(self.out)

    def results_in(self, out: np.ndarray) -> None:
        """Where the results of a call are to be found, in the competitor's element type."""
        self.out = out
        self.structure.out = out.ctypes.data

    def measure(self, seconds: float) -> dict:
        result = (c_double * 3)()
        if self.c.measure(
            byref(self.structure), byref(self.at), c_double(seconds), result
        ):
            raise RuntimeError("a call failed")
        return dict(zip(("median_ns", "min_ns", "calls"), result, strict=True))

    def outputs(self, count: int) -> np.ndarray:
        """The results of the first `count` rows, as far as they are whole calls."""
        parts = []
        for call in range(count // self.structure.rows):
            self.out[...] = 0
            if self.predict(byref(self.structure), c_int64(call)):
                raise RuntimeError("a call failed")
            parts.append(self.out.astype(np.float64))
        return np.concatenate(parts)
