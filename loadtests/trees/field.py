"""Who runs: every competitor and every setting of it that may be the fastest somewhere."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from measure.programs import say

from . import compiled, libraries, onnx_runtime, sidegate
from .catalog import Model
from .competitor import Competitor, Unfit, normal

# Two classes at 1e-5, as everywhere in the project: |a - b| ≤ 1e-5 · max(1, |b|).
TOLERANCE = 1e-5
# Rows that are compared, in calls of every size.
COMPARED = 1000


def enter(
    model: Model, timer: Path, *, without: str | None = None, quiet: bool = False
) -> list[Competitor]:
    """Everyone that runs this model; says who does not, and why. `without` is a pattern of names to leave out."""
    library = onnx_runtime.library()
    makers: dict[str, Callable[[], Competitor]] = {
        "sidegate": lambda: sidegate.Trees(model, timer, library),
        "sidegate, native file": lambda: sidegate.Native(model, timer, library),
        "ONNX Runtime (engine `ort`)": lambda: sidegate.Ort(model, timer, library),
        "ONNX Runtime (C API)": lambda: onnx_runtime.OnnxRuntime(model, arena=False),
        "ONNX Runtime (C API, arena)": lambda: onnx_runtime.OnnxRuntime(
            model, arena=True
        ),
        "TL2cgen (plain)": lambda: compiled.Tl2cgen(model, quantize=False),
        "TL2cgen (quantize)": lambda: compiled.Tl2cgen(model, quantize=True),
        "TL2cgen (annotate)": lambda: compiled.Tl2cgen(
            model, quantize=False, annotate=True
        ),
        "lleaves (one block)": lambda: compiled.Lleaves(model, block=None),
        "lleaves (blocks of 34)": lambda: compiled.Lleaves(model, block=34),
        "lleaves (blocks of 10)": lambda: compiled.Lleaves(model, block=10),
        "LightGBM": lambda: libraries.LightGBM(model),
        "XGBoost": lambda: libraries.XGBoost(model),
        "scikit-learn": lambda: libraries.ScikitLearn(model),
    }
    field = []
    for name, make in makers.items():
        if without and re.search(without, name):
            continue
        try:
            field.append(make())
        except Unfit as why:
            if not quiet:
                say(f"{model.name}: without {name}: {why}")
    return field


def check(field: list[Competitor], sizes: list[int]) -> list[dict]:
    """Compares everyone's answers, in calls of every size, with ONNX Runtime's (the same file) and the library's own."""
    answers = {
        (each.name, rows): normal(each.outputs(rows, COMPARED))
        for each in field
        for rows in sizes
    }
    references = {
        "ONNX Runtime": next(c.name for c in field if c.column == "ONNX Runtime"),
        "own predict": next((c.name for c in field if c.column == "own predict"), None),
    }
    findings = []
    for (name, rows), mine in answers.items():
        finding = {"competitor": name, "rows": rows}
        for label, reference in references.items():
            if reference is not None:
                theirs = answers[reference, rows]
                finding[label] = different(mine, theirs)
        findings.append(finding)
    return findings


def different(mine: np.ndarray, theirs: np.ndarray) -> int:
    """How many rows differ."""
    if mine.shape != theirs.shape:
        return max(len(mine), len(theirs))
    near = np.abs(mine - theirs) <= TOLERANCE * np.maximum(1, np.abs(theirs))
    return int((~near.all(axis=1)).sum())
