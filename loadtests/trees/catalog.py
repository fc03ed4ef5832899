"""What the speed table measures, one line per model, and the folder in which each is kept."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from measure.programs import cache_dir, say

from . import models
from .models import Made


@dataclass(frozen=True)
class Entry:
    """A model of the table, made on demand."""

    name: str
    title: str
    make: Callable[[], Made]
    quick: bool = False


# fmt: off
ENTRIES = (
    Entry("gbt", "XGBoost, 2 classes, 100 trees of depth 6", partial(models.xgboost_binary, 100), quick=True),
    Entry("xgb-100", "XGBoost, regression, 100 trees of depth 6", partial(models.xgboost_regression, 100)),
    Entry("xgb-500", "XGBoost, regression, 500 trees of depth 6", partial(models.xgboost_regression, 500)),
    Entry("xgb-1000", "XGBoost, regression, 1,000 trees of depth 6", partial(models.xgboost_regression, 1000), quick=True),
    Entry("xgb-deep", "XGBoost, regression, 100 trees of depth 8", partial(models.xgboost_regression, 100, depth=8)),
    Entry("xgb-wide", "XGBoost, regression, 100 trees of depth 6", partial(models.xgboost_regression, 100, columns=200)),
    Entry("xgb-3", "XGBoost, 3 classes, 300 trees of depth 6", partial(models.xgboost_classes, 3, 100)),
    Entry("xgb-10", "XGBoost, 10 classes, 500 trees of depth 6", partial(models.xgboost_classes, 10, 50)),
    Entry("lgb-100", "LightGBM, regression, 100 trees of 31 leaves", partial(models.lightgbm_regression, 100), quick=True),
    Entry("lgb-500", "LightGBM, regression, 500 trees of 31 leaves", partial(models.lightgbm_regression, 500)),
    Entry("lgb-1000", "LightGBM, regression, 1,000 trees of 31 leaves", partial(models.lightgbm_regression, 1000)),
    Entry("lgb-255", "LightGBM, regression, 100 trees of 255 leaves", partial(models.lightgbm_regression, 100, leaves=255)),
    Entry("lgb-mixed", "LightGBM, 2 classes, 100 trees of 31 leaves, categories, missing values", models.lightgbm_mixed),
    Entry("rf-16", "scikit-learn forest, 2 classes, 100 trees of depth 16", partial(models.random_forest, 16)),
    Entry("rf-full", "scikit-learn forest, 2 classes, 100 trees without a limit", partial(models.random_forest, None)),
    Entry("breast-cancer", "`models/breast-cancer`: XGBoost, 2 classes, 80 trees", partial(models.shipped, "breast-cancer")),
    Entry("flight-delay", "`models/flight-delay`: LightGBM, regression, 80 trees, missing values", partial(models.shipped, "flight-delay")),
    Entry("wine", "`models/wine`: random forest, 3 classes, 60 trees", partial(models.shipped, "wine")),
)
# fmt: on


@dataclass(frozen=True)
class Model:
    """A made model, in its folder."""

    entry: Entry
    folder: Path
    library: str
    columns: int
    trees: int
    nodes: int
    same_row: bool = False

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def onnx(self) -> Path:
        return self.folder / "model.onnx"

    @property
    def native(self) -> Path | None:
        """The library's own file, where there is one that other programs read."""
        files = [self.folder / "model.ubj", self.folder / "model.txt"]
        return next((file for file in files if file.exists()), None)

    @property
    def rows_file(self) -> Path:
        return self.folder / ("same.f32" if self.same_row else "rows.f32")

    def rows(self, dtype: type = np.float32) -> np.ndarray:
        rows = np.fromfile(self.rows_file, np.float32).reshape(-1, self.columns)
        return np.ascontiguousarray(rows, dtype)


def store() -> Path:
    """One folder for each state of what makes the models: a change makes new ones."""
    here = Path(__file__).parent
    made_by = [here / name for name in ("requirements.txt", "models.py")]
    text = b"\0".join(file.read_bytes() for file in made_by)
    return cache_dir() / f"trees-{hashlib.sha256(text).hexdigest()[:12]}"


def get(entry: Entry, *, same_row: bool = False) -> Model:
    """The model, made if it is not there; `same_row`: with one row over and over, which a branch predictor learns."""
    folder = store() / entry.name
    facts = folder / "facts.json"
    if not facts.exists():
        say(f"making {entry.name}: {entry.title}")
        folder.mkdir(parents=True, exist_ok=True)
        made = entry.make()
        made.write(folder)
        first = np.ascontiguousarray(made.rows[:1])
        (folder / "same.f32").write_bytes(first.tobytes() * len(made.rows))
        # Written last: it says that the model is whole.
        facts.write_text(json.dumps(_facts(made)) + "\n")
    return Model(entry, folder, same_row=same_row, **json.loads(facts.read_text()))


def _facts(made: Made) -> dict:
    forest = models.ensemble(made.graph)
    return {
        "library": made.library,
        "columns": made.rows.shape[1],
        "trees": len(set(forest["nodes_treeids"])),
        "nodes": len(forest["nodes_treeids"]),
    }
