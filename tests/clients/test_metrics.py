"""Metrics as Prometheus reads them, judged by its own tool."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import requests

from prometheus import program
from sidegate import Server

HERE = Path(__file__).parent
ALERTS = HERE.parent.parent / "config/alerts.yaml"
# Of interface.md and the README; the process collector's own are Prometheus's.
FAMILIES = {
    "model_predictions_total": "counter",
    "model_prediction_duration_seconds": "histogram",
    "sidegate_stage_duration_seconds": "histogram",
    "sidegate_prediction_rows_total": "counter",
    "sidegate_model_loads_total": "counter",
    "sidegate_model_info": "gauge",
    "sidegate_registry_up": "gauge",
    "sidegate_registry_staleness_seconds": "gauge",
    "sidegate_inflight_requests": "gauge",
    "sidegate_connections": "gauge",
    "sidegate_build_info": "gauge",
}
GOOD = {"inputs": [{"name": "input", "shape": [2, 13], "datatype": "FP32", "data": [1.0] * 26}]}


def scrape(server: Server) -> str:
    status, headers, body = server.exchange("GET", "/metrics", admin=True)
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    return body.decode()


def value(text: str, series: str) -> float:
    found = re.search(f"^{re.escape(series)} (.+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def traffic(server: Server) -> None:
    with requests.Session() as session:
        for _ in range(4):
            assert session.post(f"{server.url}/v2/models/wine/infer", json=GOOD).status_code == 200
        for body in (b"{", b'{"inputs":[]}'):
            assert session.post(f"{server.url}/v2/models/wine/infer", data=body).status_code == 400
        assert session.post(f"{server.url}/v2/models/nobody-{os.getpid()}/infer", json=GOOD).status_code == 404


def promtool(*arguments: str | Path, given: str = "") -> tuple[int, str, str]:
    said = subprocess.run([program("promtool"), *arguments], input=given, capture_output=True, text=True, timeout=60)
    return said.returncode, said.stdout, said.stderr


def test_promtool_finds_nothing_to_say(server: Server) -> None:
    traffic(server)
    assert promtool("check", "metrics", given=scrape(server)) == (0, "", "")


def test_alerts_fire_for_what_they_are_about_and_for_nothing_else() -> None:
    for arguments in (("check", "rules", ALERTS), ("test", "rules", HERE / "alerts.yml")):
        status, out, err = promtool(*arguments)
        assert (status, err) == (0, "") and "SUCCESS" in out, out + err


def test_alerts_are_about_metrics_that_there_are(server: Server) -> None:
    traffic(server)
    text = scrape(server)
    names = set(re.findall(r"\b(?:model|sidegate)_[a-z_]+", ALERTS.read_text()))
    assert len(names) > 5
    # There while an alert of features is on; tests/it/drift.rs has one.
    names -= {"sidegate_drift_alert"}
    missing = [name for name in names if not re.search(f"^{name}[{{ ]", text, re.MULTILINE)]
    # A histogram is written as its buckets.
    assert [name for name in missing if f"{name}_bucket{{" not in text] == []


def test_every_family_has_its_type_and_help(server: Server) -> None:
    traffic(server)
    text = scrape(server)
    for name, kind in FAMILIES.items():
        assert f"\n# TYPE {name} {kind}\n" in f"\n{text}", name
        assert re.search(f"^# HELP {name} .+", text, re.MULTILINE), name
    assert re.search("^process_resident_memory_bytes [1-9]", text, re.MULTILINE)


def test_traffic_is_counted_where_it_belongs(server: Server) -> None:
    before = scrape(server)
    traffic(server)
    after = scrape(server)
    labels = 'model="wine",version="1"'

    def grown(series: str) -> float:
        return value(after, series) - value(before, series)

    def predictions(outcome: str) -> float:
        return grown(f'model_predictions_total{{model="wine",outcome="{outcome}",variant="",version="1"}}')

    assert predictions("ok") == 4
    assert predictions("client_error") == 2
    assert grown(f"sidegate_prediction_rows_total{{{labels}}}") == 8
    assert grown(f"model_prediction_duration_seconds_count{{{labels}}}") == 4
    assert grown(f'model_prediction_duration_seconds_bucket{{{labels},le="+Inf"}}') == 4
    for stage in ("decode", "infer", "encode"):
        assert grown(f'sidegate_stage_duration_seconds_count{{model="wine",stage="{stage}"}}') == 4
    assert value(after, "sidegate_registry_up") == 1
    # A name that a client made up is no label.
    assert "nobody" not in after


def test_the_ops_port_shows_metrics_and_probes_only(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Server(tmp_path_factory.mktemp("ops"), settings={"ops.listen": "127.0.0.1:0"}) as server:
        _, status = server.get("/status", admin=True)
        ops = f"http://{status['ops']}"
        assert "sidegate_build_info" in requests.get(f"{ops}/metrics").text
        for path, wanted in [("livez", 200), ("readyz", 200), ("startupz", 200), ("models", 404), ("status", 404)]:
            assert requests.get(f"{ops}/{path}").status_code == wanted, path
        assert requests.post(f"{ops}/sync").status_code in (404, 405)
