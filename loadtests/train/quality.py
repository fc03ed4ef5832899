#!/usr/bin/env python3
"""Whether the learner `builtin` is as good as LightGBM and XGBoost: real tables, the same rows, features and parameters.

    loadtests/train/quality.py                              every table of tables.py, five seeds
    loadtests/train/quality.py --tables housing,cut --seeds 10 --markdown table.md
    loadtests/train/quality.py --trees 300 --leaves 255     other parameters

A seed decides which fifth of the rows is the test. Differences are paired, seed by seed, in percent of the library's metric,
and positive where builtin is worse; ± is half of their 95 % interval (Student's t). The seeds' parts overlap, so that it is
somewhat narrower than new data would make it. Within 0.2 %: `yes` or `no` where the whole interval says so, else what the mean
says, with a question mark. builtin is `sidegate-train run CONFIG --until evaluate`; the libraries have their own defaults
where nothing is said, but XGBoost's: it grows leaf by leaf as well (lossguide), without its L2 penalty, which the others do not
have. At least 20 rows in a leaf are its `min_child_weight` for squares; of classes that bounds hessians, and stays 1.
"""

import argparse
import json
import math
import os
import sys
from pathlib import Path
from statistics import mean, stdev

from compare import ROOT, WORSE, build, environment, measured, say

TEST = 0.2
LEAST_ROWS = 20
# Metrics of a task, the first of which counts; 1: more is worse.
METRICS = {
    "regression": {"rmse": 1},
    "binary": {"auc": -1, "log_loss": 1},
    "multiclass": {"log_loss": 1},
}
SIDES = "builtin", "lightgbm", "xgboost"

CONFIG = """\
name = "quality"
target_column = "{target}"
task = "{task}"
seed = {seed}
threads = {threads}

[data]
source = "file"
path = "{data}"
columns = {columns}

[validation]
missing_threshold = 1.0

[split]
test = {test}
{features}
[model]
type = "builtin"
params = {{ n_estimators = {trees}, learning_rate = {rate}, num_leaves = {leaves}, min_child_samples = {least} }}

[evaluation]
resamples = 0
explained_rows = 0

[registry]
url = "{models}"
"""
TIME = '\n[features.time]\ntype = "time_based"\ndate_column = "{}"\n'
NUMBERED = '\n[features.texts]\ntype = "ordinal"\ncolumns = {}\ncategorical = false\n'


def ours(arguments, table, folder, seed):
    """The metrics of builtin by name, and how many rows each part has."""
    features = TIME.format(table.time) if table.time else ""
    if table.texts() and not table.categories:
        features += NUMBERED.format(json.dumps(table.texts()))
    config = folder / "config.toml"
    values = {
        "target": table.target, "task": "regression" if table.task == "regression" else "classification", "seed": seed,
        "threads": arguments.threads, "data": folder / "rows.parquet", "test": TEST, "features": features,
        "columns": json.dumps([*table.columns(), *([table.time] if table.time else [])]), "trees": arguments.trees,
        "rate": arguments.rate, "leaves": arguments.leaves, "least": LEAST_ROWS, "models": folder / "models",
    }  # fmt: skip
    config.write_text(CONFIG.format(**values))
    text, _ = measured([arguments.binary, "run", config, "--until", "evaluate", "--work", folder / "runs"], {}, folder / "ours")
    told = json.loads(text.splitlines()[-1])["metrics"]
    lines = map(json.loads, (folder / "ours.log").read_text().splitlines())
    split = next(line for line in lines if line.get("step") == "split")
    return {metric: told[f"test_{metric}"] for metric in METRICS[table.task]}, (split["train"], split["test"])


def lightgbm(arguments, task, classes, categories, train, test):
    import lightgbm

    objective = {
        "regression": {},
        "binary": {"objective": "binary"},
        "multiclass": {"objective": "multiclass", "num_class": classes},
    }
    params = {
        "learning_rate": arguments.rate, "num_leaves": arguments.leaves, "min_child_samples": LEAST_ROWS,
        "num_threads": arguments.threads, "verbosity": -1, **objective[task],
    }  # fmt: skip
    rows = lightgbm.Dataset(*train, params=params, categorical_feature=categories)
    return lightgbm.train(params, rows, arguments.trees).predict(test)


def xgboost(arguments, task, classes, categories, train, test):
    import xgboost

    objective = {
        "regression": {"min_child_weight": LEAST_ROWS},
        "binary": {"objective": "binary:logistic"},
        "multiclass": {"objective": "multi:softprob", "num_class": classes},
    }
    params = {
        "learning_rate": arguments.rate, "max_leaves": arguments.leaves, "max_depth": 0, "grow_policy": "lossguide",
        "tree_method": "hist", "reg_lambda": 0, "nthread": arguments.threads, **objective[task],
    }  # fmt: skip
    kinds = ["c" if name in categories else "q" for name in test.columns]
    rows = [xgboost.DMatrix(part[0], *part[1:], feature_types=kinds, enable_categorical=True) for part in (train, (test,))]
    return xgboost.train(params, rows[0], arguments.trees).predict(rows[1])


def score(metric, target, predicted):
    from sklearn import metrics

    by_name = {"rmse": metrics.root_mean_squared_error, "auc": metrics.roc_auc_score, "log_loss": metrics.log_loss}
    return by_name[metric](target, predicted)


def contest(arguments, name, table):
    """Metric by metric, side by side, a figure of each seed."""
    import numpy as np
    from reference import features, parts

    folder = arguments.folder / name
    (folder / "models").mkdir(parents=True, exist_ok=True)
    table.frame.to_parquet(folder / "rows.parquet", index=False)
    target = table.frame[table.target]
    if table.task == "multiclass":
        target = target.astype("category").cat.codes
    results = {metric: {side: [] for side in SIDES} for metric in METRICS[table.task]}
    for seed in range(1, arguments.seeds + 1):
        say(f"{name}: seed {seed} of {arguments.seeds}")
        found, split = ours(arguments, table, folder, seed)
        job = {"test": TEST, "rows": len(target), "seed": seed, "parts": str(folder / "parts.npy")}
        parts(job)
        test = np.load(job["parts"])
        if split != (int((~test).sum()), int(test.sum())):
            sys.exit(f"{name}: the parts differ: {split} in sidegate-train, {int(test.sum())} of {len(test)} in Python")
        matrix = features(table.frame, {"columns": table.columns(), "time": table.time}, test)
        categories = table.texts() if table.categories else []
        for metric, figure in found.items():
            results[metric]["builtin"].append(figure)
        for side, fit in (("lightgbm", lightgbm), ("xgboost", xgboost)):
            train = matrix[~test], target[~test]
            predicted = fit(arguments, table.task, target.nunique(), categories, train, matrix[test])
            for metric, sides in results.items():
                sides[side].append(float(score(metric, target[test], predicted)))
    return results


def worse(sign, one, other):
    """By what share the one is worse, the mean over seeds, and half of its 95 % interval."""
    from scipy import stats

    shares = [sign * (a / b - 1) for a, b in zip(one, other)]
    if len(shares) < 2:
        return shares[0], math.inf
    return mean(shares), stats.t.ppf(0.975, len(shares) - 1) * stdev(shares) / math.sqrt(len(shares))


def verdict(share, half):
    sure = share + half <= WORSE or share - half > WORSE
    return ("yes" if share <= WORSE else "no") + ("" if sure else "?")


HEADER = (
    "table", "rows", "task", "metric", "builtin", "LightGBM", "XGBoost", "spread of seeds", "worse than LightGBM; within 0.2 %",
    "worse than the better; within 0.2 %",
)  # fmt: skip


def cells(name, rows, task, metric, sides):
    sign = METRICS[task][metric]
    means = {side: mean(sides[side]) for side in SIDES}
    better = min(SIDES[1:], key=lambda side: sign * means[side])
    yield from (name, f"{rows:,}", task, metric)
    yield from (f"{means[side]:.5g}" for side in SIDES)
    yield f"{stdev(sides['builtin']) / means['builtin']:.2%}" if len(sides["builtin"]) > 1 else "–"
    for side in ("lightgbm", better):
        share, half = worse(sign, sides["builtin"], sides[side])
        # Nothing is shown as nothing: no -0.00%, and no interval of a single seed.
        yield f"{round(share, 4) + 0.0:+.2%} ± {half:.2%}; {verdict(share, half)}".replace("inf%", "?")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--tables", metavar="NAME,NAME", help="(default: all)")
    add("--seeds", type=int, default=5, metavar="N", help="(default %(default)s)")
    add("--trees", type=int, default=100, help="(default %(default)s)")
    add("--leaves", type=int, default=31, help="(default %(default)s)")
    add("--rate", type=float, default=0.1, help="learning rate (default %(default)s)")
    add("--threads", type=int, default=2, help="(default %(default)s)")
    add("--binary", type=Path, help="a sidegate-train that is there already, built with `parquet`")
    add("--profile", default="release", help="how it is built otherwise (default %(default)s)")
    add("--markdown", type=Path, metavar="FILE", help="write the table there as well")
    add("--json", type=Path, metavar="FILE", help="write every figure of every seed")
    add("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.folder = ROOT / "target" / "train-quality"
    if arguments.seeds < 1:
        parser.error("--seeds must be 1 or more")
    return arguments, parser


def main():
    arguments, parser = parse()
    if not arguments.inside:
        # The packages are in an environment of their own, where this script goes on.
        binary = (arguments.binary or build(arguments.profile)).resolve()
        python = environment()
        os.execv(python, [str(python), __file__, *sys.argv[1:], "--inside", "--binary", str(binary)])
    from tables import TABLES

    names = arguments.tables.split(",") if arguments.tables else list(TABLES)
    if strange := [name for name in names if name not in TABLES]:
        parser.error(f"there is no {strange[0]}; there are {', '.join(TABLES)}")
    lines, figures = [HEADER, ["---"] * len(HEADER)], {}
    for name in names:
        table = TABLES[name]()
        figures[name] = contest(arguments, name, table)
        lines += [list(cells(name, len(table.frame), table.task, metric, sides)) for metric, sides in figures[name].items()]
        say(f"| {' | '.join(lines[-1])} |")
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    print(f"{arguments.trees} trees of {arguments.leaves} leaves, rate {arguments.rate}, {arguments.seeds} seeds\n\n{text}")
    if arguments.markdown:
        arguments.markdown.write_text(f"{text}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
