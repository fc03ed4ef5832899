"""The same training in Python, as one would write it there: read, features, split, fit, score. Started by compare.py.

    reference.py JOB.json         trains, and prints the metric and the rows as JSON
    reference.py JOB.json parts   writes the rows of the test, which are those of sidegate-train's split

A job names the data, its columns, the target, the learner and its parameters.
"""

import json
import sys

import numpy as np
import pandas as pd


def parts(job):
    """What sidegate-train does: a row is of the test where the hash of its number is in the lower part."""
    import xxhash

    below = int(job["test"] * 2.0**64)
    hashes = (xxhash.xxh3_64_intdigest(row.to_bytes(8, "little"), job["seed"]) for row in range(job["rows"]))
    np.save(job["parts"], np.fromiter((number < below for number in hashes), bool))


def read(job):
    columns = [*job["columns"], job["time"], job["target"]]
    if job["data"].endswith(".parquet"):
        frame = pd.read_parquet(job["data"], columns=columns)
    else:
        frame = pd.read_csv(job["data"], usecols=columns, parse_dates=[job["time"]])
    return frame[: job["rows"]]


def features(frame, job, test):
    """Texts as the places of what the training rows hold, parts of the time, all as float32."""
    made = {}
    for name in job["columns"]:
        column = frame[name]
        if not pd.api.types.is_numeric_dtype(column):
            known = np.sort(column[~test].dropna().unique())
            codes = pd.Index(known).get_indexer(column)
            column = np.where(codes < 0, np.nan, codes)
        made[name] = np.asarray(column, dtype=np.float32)
    if job["time"]:
        for part in ("hour", "day_of_week", "month"):
            made[f"{job['time']}_{part}"] = getattr(frame[job["time"]].dt, part).to_numpy(np.float32)
    return pd.DataFrame(made, copy=False)


def lightgbm(job, train, test):
    import lightgbm

    params = dict(job["params"])
    rounds = params.pop("n_estimators")
    objective = "binary" if job["classes"] else "regression"
    fixed = {"objective": objective, "num_threads": job["threads"], "seed": job["seed"], "verbosity": -1}
    model = lightgbm.train({**params, **fixed}, lightgbm.Dataset(*train, params={**params, **fixed}), rounds)
    return model.predict(test, num_threads=job["threads"])


def xgboost(job, train, test):
    import xgboost

    fixed = {"n_jobs": job["threads"], "random_state": job["seed"], "tree_method": "hist"}
    kind = xgboost.XGBClassifier if job["classes"] else xgboost.XGBRegressor
    return predictions(kind(**job["params"], **fixed), job, train, test)


def random_forest(job, train, test):
    from sklearn import ensemble

    kind = ensemble.RandomForestClassifier if job["classes"] else ensemble.RandomForestRegressor
    return predictions(kind(**job["params"], n_jobs=job["threads"], random_state=job["seed"]), job, train, test)


def predictions(model, job, train, test):
    model.fit(*train)
    return model.predict_proba(test)[:, 1] if job["classes"] else model.predict(test)


def main():
    with open(sys.argv[1]) as file:
        job = json.load(file)
    if sys.argv[2:] == ["parts"]:
        return parts(job)
    frame = read(job)
    test = np.load(job["parts"])
    table, target = features(frame, job, test), frame[job["target"]]
    train = table[~test], target[~test]
    fit = {"lightgbm": lightgbm, "xgboost": xgboost, "random_forest": random_forest}[job["learner"]]
    predicted = fit(job, train, table[test])
    from sklearn import metrics

    score = metrics.roc_auc_score if job["classes"] else metrics.root_mean_squared_error
    print(json.dumps({"metric": float(score(target[test], predicted)), "train": len(train[0]), "test": int(test.sum())}))


if __name__ == "__main__":
    main()
