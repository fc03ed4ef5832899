#!/usr/bin/env python3
"""River's ADWIN and Page-Hinkley, and tumbling KS and PSI, on the streams of drift_proof.

    cargo run --release --example drift_proof -- streams STREAMS 200
    python loadtests/drift/run.py STREAMS

Each is set to 1.5 alarms per 100,000 values without change first, on streams of its own; where a detector is quieter than
that whatever is asked of it, its own figure stands. Needs what requirements.txt beside this file names.
"""

import csv
import importlib
import pathlib
import struct
import sys

import numpy as np
from scipy import stats

# river 0.26 wants what Python has from 3.12 on.
if not hasattr(csv.DictReader, "__class_getitem__"):
    csv.DictReader.__class_getitem__ = classmethod(lambda cls, _: cls)
drift = importlib.import_module("river.drift")

RATE = 1.5
WINDOW = 500
LEARNED = 2000


def adwin(learned, values, delta):
    detector = drift.ADWIN(delta=delta)
    for value in learned:
        detector.update(value)
    for at, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            yield at


def page_hinkley(learned, values, threshold):
    detector = drift.PageHinkley(threshold=threshold, min_instances=30, delta=0.1, alpha=1.0)
    for value in learned:
        detector.update(value)
    for at, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            yield at


def tumbling(score):
    def detect(learned, values, threshold):
        for end in range(WINDOW, len(values) + 1, WINDOW):
            if score(learned, values[end - WINDOW : end]) > threshold:
                yield end - 1

    return detect


def ks(learned, window):
    # The larger the rarer; only the order counts, as thresholds come from streams without change.
    return stats.ks_2samp(learned, window, method="asymp").statistic


def psi(learned, window):
    edges = np.quantile(learned, np.arange(1, 10) / 10)
    share = [np.maximum(np.bincount(np.searchsorted(edges, x), minlength=10) / len(x), 1e-4) for x in (learned, window)]
    return float(((share[1] - share[0]) * np.log(share[1] / share[0])).sum())


DETECTORS = {
    "river ADWIN": (adwin, [0.002, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7]),
    "river Page-Hinkley": (page_hinkley, [200, 150, 100, 80, 60, 50, 40, 30, 25, 20]),
    f"tumbling KS, {WINDOW}": (tumbling(ks), np.arange(0.12, 0.05, -0.002)),
    f"tumbling PSI, {WINDOW}": (tumbling(psi), np.arange(0.2, 0.02, -0.002)),
}


def rate(detect, setting, streams=40, length=50_000):
    rng = np.random.default_rng(123)
    alarms = 0
    for _ in range(streams):
        learned = rng.standard_normal(LEARNED)
        alarms += sum(1 for _ in detect(learned, rng.standard_normal(length), setting))
    return alarms / (streams * length) * 1e5


def settled(detect, settings):
    """The most sensitive setting within the rate."""
    best = (settings[0], rate(detect, settings[0]))
    for setting in settings[1:]:
        now = rate(detect, setting)
        if now > RATE:
            break
        best = (setting, now)
    return best


def changes(path):
    data = memoryview(pathlib.Path(path).read_bytes())
    at = 0
    while at < len(data):
        end = bytes(data[at : at + 200]).index(b"\n") + at
        name = bytes(data[at:end]).decode()
        (count,) = struct.unpack_from("<I", data, end + 1)
        at = end + 5
        streams = []
        for _ in range(count):
            change, length = struct.unpack_from("<II", data, at)
            values = np.frombuffer(data, "<f4", LEARNED + length, at + 8).astype(float)
            streams.append((change, values[:LEARNED], values[LEARNED:]))
            at += 8 + 4 * (LEARNED + length)
        yield name, streams


def main():
    settings = {}
    for name, (detect, choices) in DETECTORS.items():
        settings[name] = settled(detect, list(choices))
        print(f"{name}: {settings[name][0]:.4g}, {settings[name][1]:.2f} alarms per 100,000 values", flush=True)
    print(f"\n| change | {' | '.join(DETECTORS)} |\n|---|{'---|' * len(DETECTORS)}")
    for change, streams in changes(sys.argv[1]):
        cells = []
        for name, (detect, _) in DETECTORS.items():
            delays, early = [], 0
            for at, learned, values in streams:
                alarms = detect(learned, values, settings[name][0])
                first = next(alarms, None)
                early += first is not None and first < at
                while first is not None and first < at:
                    first = next(alarms, None)
                delays.append(np.inf if first is None else first + 1 - at)
            median = np.median(delays)
            shown = f"{median:.0f}" if np.isfinite(median) else "–"
            missed = 100 * np.mean(~np.isfinite(delays))
            cells.append(f"{shown} ({missed:.0f} % missed, {100 * early / len(streams):.0f} % early)")
        print(f"| {change} | {' | '.join(cells)} |", flush=True)


main()
