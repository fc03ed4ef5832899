"""Monitoring as others hear of it: a real model, a real Prometheus, a webhook, and Grafana's own types."""

import json
import os
import random
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from prometheus import SCRAPE_SECONDS, Prometheus, Receiver
from sidegate import ROOT, Server, copy_models, onnxruntime, run, take_profile

RULES = ROOT / "config/alerts.yaml"
ROWS = 64
# A pane of the window: what an evaluation comes after.
PANE = 2048 // 16
# Rows a second that are looked at.
RATE = 2000
# From the row that decides to the metric.
GOAL_SECONDS = 2.0
# What polling and the machine add.
SLACK_SECONDS = 0.5
TOKEN = "0123456789abcdef-webhook"
ALERTS = "sidegate_drift_alert"


def flight(rng: random.Random) -> list[float]:
    return [
        rng.choice([-10, -5, 0, 5, 20, 60]),
        rng.randint(200, 2500),
        rng.randint(60, 360),
        rng.randint(6, 21),
        rng.randint(0, 6),
        abs(rng.gauss(0, 8)),
        rng.choice([0, 0, 0, 0.1]),
        rng.uniform(2, 10),
    ]


def windy(row: list[float]) -> list[float]:
    return [*row[:5], row[5] * 1.5 + 2, *row[6:]]


def metres(row: list[float]) -> list[float]:
    return [row[0], row[1] * 1000, *row[2:]]


class Sky:
    """Sends flights, no faster than they are looked at."""

    def __init__(self, server: Server) -> None:
        self.rng = random.Random(1)
        self.server = server
        self.session = requests.Session()
        self.slowest = 0.0

    def send(self, rows: int, edit=lambda row: row) -> float:
        """Returns when the last answer was there."""
        for _ in range(rows // ROWS):
            body = self.body(ROWS, edit)
            asked = time.monotonic()
            answer = self.session.post(f"{self.server.url}/v2/models/flight-delay/infer", json=body)
            assert answer.status_code == 200, answer.text
            self.slowest = max(self.slowest, time.monotonic() - asked)
            time.sleep(ROWS / RATE)
        return time.time()

    def body(self, rows: int, edit=lambda row: row) -> dict:
        data = [value for _ in range(rows) for value in edit(flight(self.rng))]
        return {"inputs": [{"name": "input", "shape": [rows, 8], "datatype": "FP32", "data": data}]}

    def alerts(self) -> set[tuple[str, str]]:
        """Feature and kind of those that /metrics has."""
        _, _, text = self.server.exchange("GET", "/metrics", admin=True)
        return set(re.findall(f'^{ALERTS}{{feature="([^"]*)",kind="([^"]*)".*}} 1$', text.decode(), re.MULTILINE))

    def until(self, alert: tuple[str, str], edit, rows: int, most: int) -> tuple[float, float, str]:
        """Sends so many rows at a time until the alert is on: when the last ones were there, how long after that it was
        told, and what that took."""
        began = time.time()
        for sent in range(rows, most + 1, rows):
            at = self.send(rows, edit)
            while time.time() < at + 0.6:
                if alert in self.alerts():
                    return at, time.time() - at, f"{sent} rows in {time.time() - began:.1f} s"
                time.sleep(0.01)
        raise AssertionError(f"no {alert} after {most} rows: {self.server.get('/drift/flight-delay', admin=True)}")


class Watched(NamedTuple):
    server: Server
    prometheus: Prometheus
    receiver: Receiver
    sky: Sky


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    onnxruntime()
    folder = tmp_path_factory.mktemp("monitoring")
    models = copy_models(folder / "models", "flight-delay", "wine")
    take_profile(models, "flight-delay")
    run(folder, "registry", "register", "wine", models / "wine/1", "--registry", models)
    (folder / "token").write_text(TOKEN + "\n")
    # The first event is taken at its third attempt, and every answer takes its time.
    with Receiver([503, 503], seconds=0.7) as receiver:
        config = f"""
            [monitor]
            webhook_url = "{receiver.url}/events"
            webhook_token_file = "{folder / "token"}"
            performance = true
            [experiments.halves]
            model = "wine"
            unit = "header:x-user"
            variants = {{ control = "production", candidate = "2" }}
            shadow = {{ check = "production" }}
            """
        with Server(folder, models, config=config) as server, Prometheus(folder, server.admin, RULES) as prometheus:
            prometheus.wait('up{job="sidegate"} == 1', 30)
            yield Watched(server, prometheus, receiver, Sky(server))


def told(found: list[dict]) -> set[tuple[str, str]]:
    return {(one["metric"]["feature"], one["metric"]["kind"]) for one in found}


def first_scrape(prometheus: Prometheus, series: str) -> float:
    """When Prometheus first had a series."""
    prometheus.wait(series, 30)
    [found] = prometheus.query(f"{series}[5m]")
    return float(found["values"][0][0])


def test_a_shift_is_an_alert_on_its_feature_and_a_broken_unit_is_named(watched: Watched) -> None:
    server, prometheus, receiver, sky = watched
    sky.send(6016)
    # A look by a human, or by Prometheus, later.
    prometheus.wait("data_drift_score", 10, lambda found: len(found) == 9)
    assert (prometheus.query(ALERTS), sky.alerts(), receiver.events) == ([], set(), [])

    at, seconds, took = sky.until(("wind_speed", "drift"), windy, PANE, 2048)
    scraped = first_scrape(prometheus, f'{ALERTS}{{feature="wind_speed",kind="drift"}}') - at
    print(f"drift of wind_speed: after {took}, told {seconds:.2f} s and scraped {scraped:.2f} s after the last")
    assert seconds < GOAL_SECONDS and scraped < GOAL_SECONDS + SCRAPE_SECONDS + SLACK_SECONDS, server.output()
    # The detector has seen it before the window has.
    moved = {("wind_speed", "drift"), ("wind_speed", "change")}
    assert told(prometheus.query(ALERTS)) == sky.alerts() == moved
    found = 'sidegate_drift_p_value{feature="wind_speed"} < 1e-6 and on (feature) data_drift_score > 0.1'
    prometheus.wait(found, 10)

    at, seconds, took = sky.until(("distance", "unit"), metres, PANE, 512)
    scraped = first_scrape(prometheus, f'{ALERTS}{{feature="distance",kind="unit"}}') - at
    print(f"unit of distance: after {took}, told {seconds:.2f} s and scraped {scraped:.2f} s after the last")
    assert seconds < GOAL_SECONDS and scraped < GOAL_SECONDS + SCRAPE_SECONDS + SLACK_SECONDS, server.output()
    # While few rows of two panes are wrong, they are beyond the range.
    broken = {("distance", "unit"), ("distance", "range")}
    # Predictions of broken rows are others.
    follows = {("prediction", "change")}
    assert told(prometheus.query(ALERTS)) - broken - follows == sky.alerts() - broken - follows == moved

    # What is broken is told at once, drift when it lasts.
    for rule, state, alert in (
        ("SidegateDataBroken", "firing", ("distance", "unit")),
        ("SidegateDrift", "pending", ("wind_speed", "drift")),
    ):
        found = prometheus.wait(f'ALERTS{{alertname="{rule}"}}', 10, lambda found, alert=alert: alert in told(found))
        assert told(found) <= moved | broken | follows and {one["metric"]["alertstate"] for one in found} == {state}, found


def test_the_webhook_hears_of_each_alert_once_however_often_it_is_tried(watched: Watched) -> None:
    server, prometheus, receiver, sky = watched
    alerts = sky.alerts()
    delivered = 'sidegate_webhook_total{result="delivered"}'
    prometheus.wait(delivered, 30, lambda found: float(found[0]["value"][1]) == len(alerts))
    assert prometheus.query('sidegate_webhook_total{result!="delivered"} > 0') == []
    first, second, third, *others = receiver.events
    assert first == second == third
    events = [event for _, event in (first, *others)]
    assert len({event["id"] for event in events}) == len(events) == len(alerts)
    assert {(event["data"]["feature"], event["data"]["kind"]) for event in events} == alerts
    for head, event in (first, *others):
        assert head["path"] == "/events" and head["authorization"] == f"Bearer {TOKEN}"
        assert head["content-type"] == "application/cloudevents+json"
        assert event["specversion"] == "1.0" and event["type"] == "io.sidegate.drift.alert.raised"
        data = event["data"]
        assert event["subject"] == f"flight-delay/1/{data['feature']}" and event["source"].startswith("/sidegate/")
        assert (data["model"], data["version"]) == ("flight-delay", "1")
    # Neither its failures nor its slowness were anybody's but the webhook's.
    assert sky.slowest < 0.5, sky.slowest
    assert server.output().count("an alert was raised") == len(alerts)


def dashboard(folder: Path) -> dict:
    file = folder / "dashboard.json"
    run(folder, "dashboard", "grafana", "flight-delay", "--out", file)
    return json.loads(file.read_text())


def test_every_panel_of_the_dashboard_shows_something(watched: Watched, folder: Path) -> None:
    server, prometheus, _, sky = watched
    wine = {"inputs": [{"name": "input", "shape": [1, 13], "datatype": "FP32", "data": [1.0] * 13}]}
    for user in range(20):
        headers = {"x-user": str(user)}
        assert sky.session.post(f"{server.url}/v2/models/wine/infer", json=wine, headers=headers).status_code == 200
    # What comes true of the last flights, a second later.
    answers = [sky.session.post(f"{server.url}/v2/models/flight-delay/infer", json=sky.body(ROWS)).json() for _ in range(4)]
    time.sleep(1)
    actuals = [
        {"id": answer["id"], "actual": [value + sky.rng.gauss(0, 5) for value in answer["outputs"][0]["data"]]}
        for answer in answers
    ]
    assert sky.session.post(f"{server.url}/actuals", json=actuals).json()["counts"] == {"ok": 4}
    assert sky.session.post(f"{server.url}/actuals", json={"id": "nobody", "actual": 1}).status_code in (200, 202)
    board = dashboard(folder)
    queries = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", [])]
    assert len(queries) > 30
    shown = 0
    for title, query in queries:
        expression = query.replace("$__rate_interval", "1m").replace("$instance", server.admin)
        assert "$" not in expression, title
        prometheus.wait(expression, 15)
        shown += 1
    assert shown >= len(queries) - 3
    [_, sidecars] = board["templating"]["list"]
    series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", sidecars["query"]["query"]).groups()
    assert {one["metric"][label] for one in prometheus.query(series)} == {server.admin}


def held(part: object, whole: object, path: str = "$") -> list[str]:
    """Where `whole` lacks what `part` has."""
    if isinstance(part, dict) and isinstance(whole, dict):
        lacking = [f"{path}.{key}" for key in part if key not in whole]
        return lacking + [at for key in part if key in whole for at in held(part[key], whole[key], f"{path}.{key}")]
    if isinstance(part, list) and isinstance(whole, list) and len(part) == len(whole):
        return [at for n, pair in enumerate(zip(part, whole)) for at in held(*pair, f"{path}[{n}]")]
    return [] if part == whole else [f"{path}: {part!r} became {whole!r}"]


def test_grafana_s_own_types_take_the_whole_dashboard(folder: Path) -> None:
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    board = dashboard(folder)
    # What these types do not know they drop.
    read = Dashboard.from_json(json.loads(json.dumps(board)))
    written = json.loads(JSONEncoder(sort_keys=True).encode(read))
    assert held(board, written) == []
    assert {panel["type"] for panel in board["panels"]} == {"row", "stat", "timeseries", "heatmap", "table"}


def test_the_types_of_the_current_grafana_take_it_too(folder: Path) -> None:
    types = os.environ.get("SIDEGATE_TEST_GRAFANA_TYPES")
    if not types:
        pytest.skip("SIDEGATE_TEST_GRAFANA_TYPES names no folder of @grafana/schema: NOT checked by the current types")
    board = dashboard(folder)
    wrong = {**board, "graphTooltip": 7}
    (folder / "node_modules").symlink_to(Path(types) / "node_modules")
    for name, one in (("board", board), ("wrong", wrong)):
        source = (Path(__file__).parent / "grafana.ts").read_text() + f"export const board = {json.dumps(one)} satisfies Board;\n"
        (folder / f"{name}.ts").write_text(source)
    options = "--noEmit --strict --skipLibCheck --target es2022 --module esnext --moduleResolution bundler --preserveSymlinks"
    tsc = [str(folder / "node_modules/.bin/tsc"), *options.split()]
    said = [subprocess.run([*tsc, f"{name}.ts"], cwd=folder, capture_output=True, text=True) for name in ("board", "wrong")]
    assert (said[0].returncode, said[0].stdout) == (0, "")
    assert said[1].returncode != 0 and "'7' is not assignable" in said[1].stdout
