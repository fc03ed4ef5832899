"""What sidegate, Evidently and NannyML alert of the same replay: the weeks in which they do, and how often."""

import functools
import json
import logging
import pathlib
import subprocess
import tempfile
import warnings

import nannyml
import pandas as pd
from evidently import Report
from evidently.metrics import DriftedColumnsCount

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
# It tells its makers who uses it, where that is not turned off.
nannyml.disable_usage_logging()
# As pandas names it.
WEEK = "W"
ROOT = pathlib.Path(__file__).resolve().parents[2]


def sidegate(replay, only=None):
    """Weeks in which an alert is on, of any kind and of any feature or of one only; as many alerts as are raised."""
    reference, rest = replay.frames()
    table = pd.concat([reference, rest])
    table.insert(0, "millis", table.pop("time").astype("datetime64[ms]").astype("int64"))
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        table[["millis", *replay.columns]].to_csv(file.name, index=False)
        program = [ROOT / "target/release/examples/drift_replay", file.name, str(len(reference))]
        lines = subprocess.run(program, check=True, capture_output=True, text=True).stdout.splitlines()
    on, spans, raised = {}, [], 0
    for line in map(json.loads, lines):
        if only not in (None, line["feature"]):
            continue
        key, time = (line["feature"], line["kind"]), pd.Timestamp(line["time"], unit="ms")
        if line["change"] == "raised":
            on[key], raised = time, raised + 1
        else:
            spans.append((on.pop(key), time))
    spans += [(since, rest["time"].iloc[-1]) for since in on.values()]
    alerting = set()
    for since, until in spans:
        alerting |= set(pd.period_range(since, until, freq=WEEK))
    return alerting, raised


def evidently(replay):
    """Weeks whose data set drifts by the limit of its DataDriftPreset, half of the columns.

    It is the metric with which that preset decides; the charts beside it take most of the preset's time.
    """
    reference, rest = replay.frames()
    alerting = set()
    for week, rows in rest.groupby(rest["time"].dt.to_period(WEEK)):
        report = Report([DriftedColumnsCount()])
        (drifted,) = report.run(current_data=rows[replay.columns], reference_data=reference[replay.columns]).dict()["metrics"]
        if drifted["value"]["share"] >= drifted["config"]["drift_share"]:
            alerting.add(week)
    return alerting, len(alerting)


def nannyml_univariate(replay):
    """Weeks in which any column is beyond the default limit."""
    reference, rest = replay.frames()
    calculator = nannyml.UnivariateDriftCalculator(replay.columns, timestamp_column_name="time", chunk_period=WEEK)
    return flagged(calculator.fit(reference).calculate(rest), lambda found: found.xs("alert", axis=1, level=2).any(axis=1))


def nannyml_estimate(replay):
    """Weeks whose estimated performance (CBPE's accuracy, DLE's mean absolute error) is worse than the default limit."""
    reference, rest = replay.frames(actuals=True)
    if replay.classes:
        for frame in (reference, rest):
            frame["label"] = (frame["prediction"] > 0.5).astype(int)
        metric, worse = "accuracy", "lower_threshold"
        estimator = nannyml.CBPE(
            metrics=[metric], y_pred="label", y_pred_proba="prediction", y_true="y",
            problem_type="classification_binary", timestamp_column_name="time", chunk_period=WEEK,
        )  # fmt: skip
    else:
        metric, worse = "mae", "upper_threshold"
        estimator = nannyml.DLE(
            feature_column_names=replay.columns[:-1], y_pred="prediction", y_true="y", metrics=[metric],
            timestamp_column_name="time", chunk_period=WEEK,
        )  # fmt: skip
    sign = -1 if replay.classes else 1

    def beyond(found):
        of = found[metric]
        return (sign * of["value"]).astype(float) > sign * of[worse].astype(float)

    return flagged(estimator.fit(reference).estimate(rest), beyond)


def flagged(result, beyond):
    found = result.filter(period="analysis").to_df()
    keys = next(found[column] for column in found.columns if column[-1] == "key")
    alerting = {pd.Period(key, freq=WEEK) for key in keys[beyond(found).to_numpy()]}
    return alerting, len(alerting)


DETECTORS = {
    "sidegate": sidegate,
    "sidegate, of predictions": functools.partial(sidegate, only="prediction"),
    "Evidently": evidently,
    "NannyML, univariate": nannyml_univariate,
    "NannyML, CBPE or DLE": nannyml_estimate,
}
