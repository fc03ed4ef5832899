"""The training libraries' own predict, one thread.

LightGBM through its C API (with the prepared call for single rows). XGBoost and scikit-learn as their users call them,
from Python: for one row the call itself is most of it, and the table says so.
"""

import ctypes
import itertools
import pickle
import time
from abc import abstractmethod
from ctypes import byref, c_char_p, c_int, c_int32, c_void_p
from pathlib import Path

import lightgbm
import numpy as np
import xgboost

from . import driver
from .catalog import Model
from .competitor import Competitor, Unfit

FLOAT32 = 0  # C_API_DTYPE_FLOAT32


class LightGBM(Competitor):
    column = "own predict"

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        if model.library != "lightgbm":
            raise Unfit("not its model")
        (file,) = (Path(lightgbm.__file__).parent / "lib").glob("lib_lightgbm.so")
        self.library = ctypes.CDLL(str(file))
        self.booster, trees = c_void_p(), c_int()
        name = c_char_p(str(model.native).encode())
        self._check(
            self.library.LGBM_BoosterCreateFromModelfile(
                name, byref(trees), byref(self.booster)
            )
        )
        classes = c_int()
        self._check(
            self.library.LGBM_BoosterGetNumClasses(self.booster, byref(classes))
        )
        self.scores = classes.value
        self.c = driver.library()
        self.data = model.rows()
        self.calls: dict[int, driver.Calls] = {}

    def _check(self, status: int) -> None:
        if status:
            self.library.LGBM_GetLastError.restype = c_char_p
            raise Unfit(self.library.LGBM_GetLastError().decode())

    def _calls(self, rows: int) -> driver.Calls:
        if rows not in self.calls:
            single = rows == 1
            predict = "predict_lightgbm" + ("_single" if single else "")
            calls = driver.Calls(self.c, predict, rows, self.data, self.scores)
            calls.structure.handle = self.booster
            name = "LGBM_BoosterPredictForMat"
            if single:
                prepared = c_void_p()
                self._check(
                    self.library.LGBM_BoosterPredictForMatSingleRowFastInit(
                        self.booster, 0, 0, -1, FLOAT32,
                        c_int32(self.data.shape[1]), b"num_threads=1", byref(prepared),
                    )
                )  # fmt: skip
                calls.structure.handle = prepared
                name += "SingleRowFast"
            calls.structure.function = driver.address(getattr(self.library, name))
            self.calls[rows] = calls
        return self.calls[rows]

    def measure(self, rows: int, seconds: float) -> dict:
        return self._calls(rows).measure(seconds)

    def outputs(self, rows: int, count: int) -> np.ndarray:
        return self._calls(rows).outputs(count)


class FromPython(Competitor):
    """Timed by a loop in Python."""

    column = "own predict"
    variant = "Python"

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.rows = model.rows()
        self.at = 0

    @abstractmethod
    def predict(self, rows: np.ndarray) -> np.ndarray: ...

    def measure(self, rows: int, seconds: float) -> dict:
        starts = itertools.cycle(range(0, len(self.rows) - rows + 1, rows))
        starts = itertools.islice(starts, self.at, None)
        until = time.perf_counter() + seconds / 5
        while time.perf_counter() < until:
            self.predict(self.rows[:rows])
        samples = []
        until = time.perf_counter() + seconds
        while len(samples) < 3 or time.perf_counter() < until:
            at = next(starts)
            start = time.perf_counter_ns()
            self.predict(self.rows[at : at + rows])
            samples.append(time.perf_counter_ns() - start)
        self.at += len(samples)
        samples.sort()
        return {"median_ns": samples[len(samples) // 2], "min_ns": samples[0]}

    def outputs(self, rows: int, count: int) -> np.ndarray:
        starts = range(0, count - rows + 1, rows)
        return np.concatenate([self.predict(self.rows[s : s + rows]) for s in starts])


class XGBoost(FromPython):
    def __init__(self, model: Model) -> None:
        super().__init__(model)
        if model.library != "xgboost":
            raise Unfit("not its model")
        self.booster = xgboost.Booster({"nthread": 1}, model_file=model.native)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.booster.inplace_predict(rows)


class ScikitLearn(FromPython):
    def __init__(self, model: Model) -> None:
        super().__init__(model)
        if model.library != "scikit-learn":
            raise Unfit("not its model")
        self.forest = pickle.loads((model.folder / "model.pickle").read_bytes())

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.forest.predict_proba(rows)
