"""Makes a model of the speed table: train, convert to ONNX, and draw the rows that it is timed on.

Data is drawn from seeded generators: what costs time is the number, depth and balance of the trees, and noise
keeps the last trees as full as the first. Rows are fresh ones of the same kind, never those of training. One thread:
OpenMP's wait for one another, which takes minutes where others use the processors too.
"""

import pickle
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
import onnx
import onnxmltools
import skl2onnx
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.ensemble import RandomForestClassifier

from measure.programs import ROOT

SEED = 20261127
TRAINED_ON = 20_000
COLUMNS = 28
# So many distinct rows take turns that a branch predictor cannot learn them; in all at most MOST_VALUES numbers,
# so that they fit into the last cache.
ROWS, MOST_VALUES = 20_000, 1_000_000
OPSET = {"": 15, "ai.onnx.ml": 3}


@dataclass(frozen=True)
class Made:
    """A trained model in the forms that the competitors take."""

    library: str  # "xgboost", "lightgbm", "scikit-learn", or "" when only the ONNX file exists
    graph: onnx.ModelProto
    rows: np.ndarray
    native: object = None

    def write(self, folder: Path) -> None:
        (folder / "model.onnx").write_bytes(self.graph.SerializeToString())
        (folder / "rows.f32").write_bytes(np.ascontiguousarray(self.rows).tobytes())
        if self.library == "xgboost":
            self.native.save_model(folder / "model.ubj")
        elif self.library == "lightgbm":
            self.native.booster_.save_model(folder / "model.txt")
        elif self.library == "scikit-learn":
            (folder / "model.pickle").write_bytes(pickle.dumps(self.native))


# === data ===


def drawn(count: int, columns: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng((SEED, seed))
    return rng.normal(size=(count, columns)).astype(np.float32)


def signal(x: np.ndarray) -> np.ndarray:
    """Products and waves need depth; the noise is for the last trees."""
    rng = np.random.default_rng(SEED)
    weights = rng.normal(size=x.shape[1] - 4)
    weights /= np.linalg.norm(weights)
    smooth = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) * x[:, 3]
    return smooth + 1.4 * x[:, 4:] @ weights + rng.normal(size=len(x))


def fresh(columns: int) -> np.ndarray:
    return drawn(min(ROWS, MOST_VALUES // columns), columns, seed=2)


# === XGBoost ===


def _from_xgboost(model: xgboost.XGBModel, columns: int) -> Made:
    types = [("input", FloatTensorType([None, columns]))]
    graph = onnxmltools.convert_xgboost(model, initial_types=types, target_opset=15)
    return Made("xgboost", graph, fresh(columns), model)


def _xgboost(kind: type, trees: int, depth: int) -> xgboost.XGBModel:
    return kind(
        n_estimators=trees,
        max_depth=depth,
        tree_method="hist",
        random_state=SEED,
        n_jobs=1,
    )


def xgboost_binary(trees: int) -> Made:
    x = drawn(TRAINED_ON, COLUMNS, seed=1)
    model = _xgboost(xgboost.XGBClassifier, trees, 6)
    model.fit(x, (signal(x) > 0).astype(int))
    return _from_xgboost(model, COLUMNS)


def xgboost_regression(trees: int, depth: int = 6, columns: int = COLUMNS) -> Made:
    x = drawn(TRAINED_ON, columns, seed=1)
    model = _xgboost(xgboost.XGBRegressor, trees, depth)
    # The default of 0.3 would have nothing left to learn after a few hundred trees.
    model.set_params(learning_rate=min(0.3, 30 / trees))
    model.fit(x, signal(x))
    return _from_xgboost(model, columns)


def xgboost_classes(classes: int, rounds: int) -> Made:
    x = drawn(TRAINED_ON, COLUMNS, seed=1)
    y = signal(x)
    edges = np.quantile(y, np.linspace(0, 1, classes + 1)[1:-1])
    model = _xgboost(xgboost.XGBClassifier, rounds, 6)
    model.fit(x, np.searchsorted(edges, y))
    return _from_xgboost(model, COLUMNS)


# === LightGBM ===


def _from_lightgbm(model: lightgbm.LGBMModel, rows: np.ndarray) -> Made:
    types = [("input", FloatTensorType([None, rows.shape[1]]))]
    graph = onnxmltools.convert_lightgbm(
        model, initial_types=types, target_opset=15, zipmap=False
    )
    return Made("lightgbm", graph, rows, model)


def lightgbm_regression(trees: int, leaves: int = 31) -> Made:
    x = drawn(TRAINED_ON, COLUMNS, seed=1)
    model = lightgbm.LGBMRegressor(
        n_estimators=trees,
        num_leaves=leaves,
        n_jobs=1,
        deterministic=True,
        verbose=-1,
    )
    model.fit(x, signal(x))
    return _from_lightgbm(model, fresh(COLUMNS))


def lightgbm_mixed() -> Made:
    """Four columns of categories, and a tenth of the other values missing."""
    sizes = (4, 8, 16, 24)

    def mixed(x: np.ndarray, seed: int) -> np.ndarray:
        rng = np.random.default_rng((SEED, seed))
        x = np.where(rng.random(x.shape) < 0.1, np.float32(np.nan), x)
        for column, size in enumerate(sizes):
            x[:, column] = rng.integers(size, size=len(x))
        return x

    x = drawn(TRAINED_ON, COLUMNS, seed=1)
    y = signal(x) + x[:, 0]
    seen = mixed(x, seed=3)
    rng = np.random.default_rng(SEED)
    for column, size in enumerate(sizes):
        y += rng.normal(size=size)[seen[:, column].astype(int)] / 2
    model = lightgbm.LGBMClassifier(
        n_estimators=100, n_jobs=1, deterministic=True, verbose=-1
    )
    model.fit(seen, (y > 0).astype(int), categorical_feature=list(range(len(sizes))))
    return _from_lightgbm(model, mixed(fresh(COLUMNS), seed=4))


# === scikit-learn, and what the repository has ===


def random_forest(depth: int | None) -> Made:
    x = drawn(TRAINED_ON // 2, COLUMNS, seed=1)
    model = RandomForestClassifier(
        n_estimators=100, max_depth=depth, random_state=SEED, n_jobs=1
    )
    model.fit(x, (signal(x) > 0).astype(int))
    graph = skl2onnx.to_onnx(
        model,
        initial_types=[
            ("input", skl2onnx.common.data_types.FloatTensorType([None, COLUMNS]))
        ],
        options={"zipmap": False},
        target_opset=OPSET,
    )
    return Made("scikit-learn", graph, fresh(COLUMNS), model)


def shipped(name: str) -> Made:
    """A model of the repository; its rows are drawn around its own thresholds, so that all branches are taken."""
    graph = onnx.load(ROOT / "models" / name / "1" / "model.onnx")
    columns = graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    forest = ensemble(graph)
    features, values = (
        np.array(forest[key]) for key in ("nodes_featureids", "nodes_values")
    )
    leaves = np.array([mode == b"LEAF" for mode in forest["nodes_modes"]])
    rng = np.random.default_rng(SEED)
    rows = np.zeros((ROWS, columns))
    for column in range(columns):
        known = values[(features == column) & ~leaves]
        if len(known):
            spread = known.std() / 10 + 1e-6
            rows[:, column] = rng.choice(known, ROWS) + rng.normal(0, spread, ROWS)
    if any(forest.get("nodes_missing_value_tracks_true", ())):
        rows[rng.random(rows.shape) < 0.05] = np.nan
    return Made("", graph, rows.astype(np.float32))


def ensemble(graph: onnx.ModelProto) -> dict:
    """The attributes of the graph's one tree ensemble."""
    (node,) = [n for n in graph.graph.node if n.op_type.startswith("TreeEnsemble")]
    return {
        attribute.name: onnx.helper.get_attribute_value(attribute)
        for attribute in node.attribute
    }
