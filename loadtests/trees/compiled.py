"""Compilers of trees: TL2cgen (C, by way of Treelite) and lleaves (LLVM, LightGBM only), one thread.

Both compile for this processor. A compiled model is kept in the model's folder with the time that it took: compilers
take from a second to many minutes, and a second run shall not.
"""

import contextlib
import ctypes
import io
import json
import os
import pickle
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lleaves
import numpy as np
import tl2cgen
import treelite

from measure.programs import say

from . import driver
from .catalog import Model
from .competitor import Competitor, Unfit

# A forest of this many nodes takes TL2cgen's C compiler ten minutes; more is beyond a run's patience. From MANY_NODES on
# only the plain setting is compiled.
MOST_NODES, MANY_NODES = 400_000, 150_000
# With all its trees in one block lleaves makes one function, for which LLVM takes a minute at this size, and much longer
# above.
MOST_INLINED = 12_000
# Functions of this many trees and more are what makes C compilers slow: TL2cgen's own remedy is several files.
NODES_PER_FILE = 4_000


def kept(folder: Path, make: Callable[[Path], None]) -> float:
    """Runs `make` on a fresh folder unless it was done before; the seconds that it took."""
    took = folder / "seconds.json"
    if not took.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        say(f"compiling {folder.parent.name}/{folder.name}")
        start = time.perf_counter()
        make(folder)
        took.write_text(json.dumps(time.perf_counter() - start) + "\n")
    return json.loads(took.read_text())


# === TL2cgen ===


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """Without the chatter, from C++ and from Python: TL2cgen warns that our Treelite is newer than its own."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def imported(model: Model) -> treelite.Model:
    if model.library == "xgboost":
        return treelite.frontend.load_xgboost_model(model.native)
    if model.library == "lightgbm":
        return treelite.frontend.load_lightgbm_model(model.native)
    if model.library == "scikit-learn":
        forest = pickle.loads((model.folder / "model.pickle").read_bytes())
        return treelite.sklearn.import_model(forest)
    raise Unfit("there is only an ONNX file, which Treelite does not read")


class Tl2cgen(Competitor):
    column = "TL2cgen"

    def __init__(self, model: Model, *, quantize: bool, annotate: bool = False) -> None:
        super().__init__(model)
        self.variant = "quantize" if quantize else "annotate" if annotate else "plain"
        self.quantize, self.annotate = quantize, annotate
        if model.nodes > (MOST_NODES if self.variant == "plain" else MANY_NODES):
            raise Unfit(f"{model.nodes:,} nodes are too many to compile")
        imported(model)
        folder = model.folder / f"tl2cgen-{self.variant}"
        self.build_seconds = kept(folder, self._compile)
        (built,) = (folder / "c").glob("*.so")
        library = ctypes.CDLL(str(built))
        self.function = driver.address(library.predict)
        classes = (ctypes.c_int32 * library.get_num_target())()
        library.get_num_class(classes)
        self.scores = max(classes)
        text = (folder / "c" / "header.h").read_text()
        # `union Entry` holds a value or -1 for a missing one.
        self.threshold = np.float64 if "double fvalue" in text else np.float32
        self.result = np.float64 if "double* result" in text else np.float32
        self.library = library
        self.c = driver.library()
        self.data = self._entries()
        self.calls: dict[int, driver.Calls] = {}

    def _compile(self, folder: Path) -> None:
        files = max(1, self.model.nodes // NODES_PER_FILE)
        files = min(files, self.model.trees)
        params = {"quantize": int(self.quantize), "parallel_comp": files}
        with muted():
            forest = imported(self.model)
            if self.annotate:
                rows = self.model.rows()[:2000]
                counts = folder / "counts.json"
                tl2cgen.annotate_branch(forest, tl2cgen.DMatrix(rows), path=counts)
                params["annotate_in"] = str(counts)
            tl2cgen.generate_c_code(forest, dirpath=folder / "c", params=params)
            tl2cgen.create_shared(
                "cc",
                folder / "c",
                options=["-march=native"],
                long_build_time_warning=False,
            )

    def _entries(self) -> np.ndarray:
        rows = self.model.rows(self.threshold)
        words = rows.view(np.int32).reshape(*rows.shape, -1)
        words[np.isnan(rows), 0] = -1
        return rows

    def measure(self, rows: int, seconds: float) -> dict:
        return self._calls(rows).measure(seconds)

    def outputs(self, rows: int, count: int) -> np.ndarray:
        return self._calls(rows).outputs(count)

    def _calls(self, rows: int) -> driver.Calls:
        if rows not in self.calls:
            predict = "predict_tl2cgen" + ("_quantized" if self.quantize else "")
            calls = driver.Calls(self.c, predict, rows, self.data, self.scores)
            calls.results_in(np.zeros((rows, self.scores), self.result))
            calls.structure.function = self.function
            self.calls[rows] = calls
        return self.calls[rows]


# === lleaves ===


class Lleaves(Competitor):
    """The compiled function itself, with the code model that its documentation calls the faster one."""

    column = "lleaves"

    def __init__(self, model: Model, *, block: int | None) -> None:
        super().__init__(model)
        self.variant = "one block" if block is None else f"blocks of {block}"
        if model.library != "lightgbm":
            raise Unfit("it reads LightGBM's files only")
        if block is None and model.nodes > MOST_INLINED:
            raise Unfit("LLVM takes too long for all trees in one function")
        block = block or model.trees
        forest = lleaves.Model(model_file=model.native)
        folder = model.folder / f"lleaves-{block}"

        def compiled(file: Path) -> None:
            forest.compile(cache=file / "cache", fblocksize=block, fcodemodel="small")

        self.build_seconds = kept(folder, compiled)
        compiled(folder)
        self.forest = forest
        # lleaves keeps a callable, not the address.
        self.function = driver.address(forest._c_entry_func)
        self.c = driver.library()
        self.data = model.rows(np.float64)
        self.calls: dict[int, driver.Calls] = {}

    def measure(self, rows: int, seconds: float) -> dict:
        return self._calls(rows).measure(seconds)

    def outputs(self, rows: int, count: int) -> np.ndarray:
        return self._calls(rows).outputs(count)

    def _calls(self, rows: int) -> driver.Calls:
        if rows not in self.calls:
            scores = self.forest.num_model_per_iteration()
            calls = driver.Calls(self.c, "predict_lleaves", rows, self.data, scores)
            calls.structure.function = self.function
            self.calls[rows] = calls
        return self.calls[rows]


def compiler() -> str:
    done = subprocess.run(["cc", "--version"], capture_output=True, text=True)
    return done.stdout.splitlines()[0]
