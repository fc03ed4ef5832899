"""The prediction log of a real sidegate, read by DuckDB, pandas and polars, as docs/prediction-log.md says."""

import contextlib
import json
import math
import pathlib
import re
import signal
import time
from collections.abc import Iterator

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
import requests
import zstandard

from sidegate import ROOT, Server

FEATURES = ["dep_delay", "distance", "planned_minutes", "hour", "weekday", "wind_speed", "precip", "visib"]
# What stands for an infinity.
LARGEST = 1.7976931348623157e308
FORMATS = ROOT / "tests/fixtures/formats"
PAGE = (ROOT / "docs/prediction-log.md").read_text()


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def unpacked(file: pathlib.Path) -> bytes:
    """A segment's lines, by zstd's own library; it checks the checksum."""
    reader = zstandard.ZstdDecompressor().decompressobj()
    text = reader.decompress(file.read_bytes())
    assert reader.eof and not reader.unused_data, file
    return text


class Log:
    """What was sent and answered: a row for each row, by id and position."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.rows: dict[tuple[str, int], tuple[list[float | None], float | None]] = {}
        self.actuals: dict[tuple[str, int], float] = {}
        self.failed: set[str] = set()


def flight(number: int) -> list[float | None]:
    row: list[float | None] = [float(number % 40 - 10), 700.0 + number, 150.1, 6 + number % 15, number % 7, 0.1 * number, 0.0, 9.9]
    if number % 5 == 0:
        row[5] = None
    return row


def written(server: Server) -> float:
    _, _, body = server.exchange("GET", "/metrics", admin=True)
    found = re.search(r"^sidegate_prediction_log_written_total (.+)$", body.decode(), re.MULTILINE)
    return float(found.group(1)) if found else 0.0


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """Three hundred requests of one to three rows, their outcomes, and penguins with texts."""
    log = Log(tmp_path_factory.mktemp("log"))
    settings = {
        "prediction_log.url": log.folder / "log",
        "prediction_log.segment_ms": 150,
        "prediction_log.redact": "flight-delay:hour,sex",
    }
    with Server(log.folder / "server", settings=settings) as server, requests.Session() as session:
        url = f"{server.url}/v2/models/flight-delay/infer"
        for number in range(300):
            rows = [flight(number * 3 + at) for at in range(1 + number % 3)]
            data = [value for row in rows for value in row]
            tensor = {"name": "input", "shape": [len(rows), 8], "datatype": "FP32", "data": data}
            answer = session.post(url, json={"id": f"{number:05}", "inputs": [tensor]}).json()
            for at, (row, predicted) in enumerate(zip(rows, answer["outputs"][0]["data"], strict=True)):
                log.rows[f"{number:05}", at] = row, predicted
                if number % 2:
                    log.actuals[f"{number:05}", at] = predicted + 2.0
        # Python's json writes this as Infinity.
        wind = [*flight(1)[:5], math.inf, 0.0, math.nan]
        body = json.dumps({"id": "infinite", "inputs": [{**tensor, "shape": [1, 8], "data": wind}]})
        answer = session.post(url, data=body).json()
        log.rows["infinite", 0] = [*wind[:5], LARGEST, 0.0, None], answer["outputs"][0]["data"][0]
        for _ in range(2):
            items = [
                {"id": id, "row": row, "actual": actual, "model": "flight-delay"} for (id, row), actual in log.actuals.items()
            ]
            # The first ones are wrong, and corrected.
            answer = session.post(f"{server.url}/actuals", json=[{**item, "actual": 0} for item in items])
            answer = session.post(f"{server.url}/actuals", json=items)
            assert answer.json()["logged"] == len(items)
        penguins = golden_penguins()
        assert session.post(f"{server.url}/v2/models/penguins/infer", json=penguins).status_code == 200
        deadline = time.monotonic() + 20
        while written(server) < 302 + 4 * len(items) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert written(server) == 302 + 4 * len(items), server.output()
    yield log


def golden_penguins() -> dict:
    case = json.loads((ROOT / "models/penguins/1/golden.json").read_text())["cases"][0]
    return {"id": "penguin", "inputs": case["inputs"]}


def raw(log: Log, pattern: str) -> list[dict]:
    """The lines themselves, by Python's own reader."""
    lines = []
    for file in sorted(log.folder.glob(f"log/{pattern}")):
        lines += [json.loads(line) for line in unpacked(file).splitlines()]
    return lines


def by_duckdb(log: Log) -> dict:
    columns = ", ".join(f"unnest(inputs.{name})" for name in FEATURES if name != "hour")
    found = duckdb.sql(
        f"SELECT id, row + unnest(range(rows)), {columns}, unnest(outputs.variable)"
        f" FROM read_ndjson('{log.folder}/log/predictions/flight-delay/*/*.ndjson.zst')"
    ).fetchall()
    return {(id, row): (values[:-1], values[-1]) for id, row, *values in found}


def by_pandas(log: Log) -> dict:
    space: dict = {}
    with contextlib.chdir(log.folder):
        exec(snippets("python")[0], space)
    ids = space["requests"][["key", "id"]].drop_duplicates().set_index("key").id
    rows = space["rows"]
    assert "hour" not in rows
    values = rows[[name for name in FEATURES if name != "hour"]].astype(float).to_numpy()
    return {
        (ids[key], row): (list(values), predicted)
        for key, row, values, predicted in zip(rows.key, rows.row, values, rows.variable, strict=True)
    }


def by_polars(log: Log) -> dict:
    space: dict = {}
    with contextlib.chdir(log.folder):
        exec(snippets("python")[1], space)
    ids = dict(space["requests"].select("key", "id").iter_rows())
    names = [name for name in FEATURES if name != "hour"]
    rows = space["rows"].select("key", "row", *names, "variable")
    return {(ids[key], row): (values[:-1], values[-1]) for key, row, *values in rows.iter_rows()}


@pytest.mark.parametrize("reader", [by_duckdb, by_pandas, by_polars])
def test_every_reader_finds_what_was_sent_and_answered(log: Log, reader) -> None:
    found = reader(log)
    assert found.keys() == log.rows.keys()
    for at, (sent, predicted) in log.rows.items():
        values, output = found[at]
        sent = [*sent[:3], *sent[4:]]
        for name, one, other in zip([f for f in FEATURES if f != "hour"], sent, values, strict=True):
            missing = other is None or math.isnan(other)
            assert missing == (one is None), (at, name, one, other)
            # 32 bits were sent, and come back.
            same = missing or one == other == LARGEST or np.float32(one) == np.float32(other)
            assert same, (at, name, one, other)
        assert np.float32(output) == np.float32(predicted), at


def test_there_are_several_segments_and_their_lines_are_of_the_format(log: Log) -> None:
    files = list(log.folder.glob("log/predictions/flight-delay/*/*.ndjson.zst"))
    assert len(files) > 1
    lines = raw(log, "predictions/flight-delay/*/*")
    assert {line["format"] for line in lines} == {1}
    known = json.loads((FORMATS / "predictions.ndjson").read_text().splitlines()[0])
    assert {tuple(line) for line in lines} == {tuple(known)}
    known = json.loads((FORMATS / "outcomes.ndjson").read_text().splitlines()[0])
    assert {tuple(line) for line in raw(log, "outcomes/*/*")} == {tuple(known)}


def test_texts_are_kept_and_redacted_ones_are_not(log: Log) -> None:
    [line] = raw(log, "predictions/penguins/*/*")
    case = golden_penguins()
    sent = {tensor["name"]: tensor["data"] for tensor in case["inputs"]}
    assert line["inputs"]["island"] == sent["island"]
    assert line["inputs"]["sex"] is None
    assert [line["id"], line["rows"], line["outcome"]] == ["penguin", 1, "ok"]
    assert {line["inputs"]["hour"] for line in raw(log, "predictions/flight-delay/*/*")} == {None}


def test_outcomes_join_the_same_by_every_reader(log: Log) -> None:
    wanted = len(log.actuals), 2.0
    with contextlib.chdir(log.folder):
        tables = [duckdb.sql(text) for text in snippets("sql") if not text.startswith("COPY")]
        [(version, rows, rmse)] = tables[2].fetchall()
        assert (version, rows, rmse) == ("1", *wanted)
        space: dict = {}
        exec(snippets("python")[0], space)
        read = space["read"]
        outcomes = pd.concat(map(read, sorted(map(str, pathlib.Path("log/outcomes").glob("*/*")))), ignore_index=True)
        last = outcomes.sort_values("t", kind="stable").groupby(["key", "row"]).actual.last().reset_index()
        joined = space["rows"].merge(last, on=["key", "row"])
        assert (len(joined), round(((joined.variable - joined.actual) ** 2).mean() ** 0.5, 3)) == wanted
        exec(snippets("python")[1], space)
        files = sorted(pathlib.Path("log/outcomes").glob("*/*"))
        outcomes = pl.concat([pl.read_ndjson(file, infer_schema_length=None) for file in files], how="diagonal_relaxed")
        last = outcomes.group_by("key", "row", maintain_order=True).agg(pl.col("actual").sort_by("t", maintain_order=True).last())
        joined = space["rows"].join(last, on=["key", "row"])
        rmse = joined.select(((pl.col("variable") - pl.col("actual")) ** 2).mean().sqrt()).item()
        assert (joined.height, round(rmse, 3)) == wanted


def test_every_query_of_the_page_runs_and_parquet_has_the_same(log: Log) -> None:
    with contextlib.chdir(log.folder):
        for text in snippets("sql"):
            table = duckdb.sql(text)
            if table is not None and not text.startswith("COPY"):
                assert table.fetchall(), text
        [(count, rows)] = duckdb.sql("SELECT count(*), sum(rows) FROM 'flight-delay.parquet'").fetchall()
        assert (count, rows) == (301, len(log.rows))
        assert pl.read_parquet("flight-delay.parquet")["rows"].sum() == len(log.rows)


def test_every_format_that_was_ever_written_is_read(tmp_path: pathlib.Path) -> None:
    for name, count in [("predictions", 3), ("outcomes", 4)]:
        text = (FORMATS / f"{name}.ndjson").read_bytes()
        file = tmp_path / f"{name}.ndjson.zst"
        file.write_bytes(zstandard.compress(text))
        lines = [json.loads(line) for line in text.splitlines()]
        [(by_duckdb,)] = duckdb.sql(f"SELECT count(*) FROM '{file}' WHERE key = 'e6c632b61e964e1f'").fetchall()
        by_pandas = pd.read_json(file, lines=True, dtype=False, precise_float=True)
        by_polars = pl.read_ndjson(file, infer_schema_length=None)
        assert len(lines) == len(by_pandas) == by_polars.height == count
        assert by_duckdb == count - 1 == (by_pandas.key == "e6c632b61e964e1f").sum()
        for line, row in zip(lines, by_polars.iter_rows(named=True), strict=True):
            assert all(row[field] == value for field, value in line.items() if not isinstance(value, dict))


def test_a_killed_process_leaves_whole_segments(tmp_path: pathlib.Path) -> None:
    settings = {"prediction_log.url": tmp_path / "log", "prediction_log.segment_ms": 100}
    server = Server(tmp_path / "server", settings=settings)
    tensor = {"name": "input", "shape": [1, 8], "datatype": "FP32", "data": [1.0] * 8}
    try:
        with requests.Session() as session:
            # The log gets what others leave of the processor, which on a busy machine may take a while.
            until = time.monotonic() + 30
            while len(list(tmp_path.glob("log/predictions/*/*/*.ndjson.zst"))) <= 3 and time.monotonic() < until:
                time.sleep(0.002)
                session.post(f"{server.url}/v2/models/flight-delay/infer", json={"inputs": [tensor]})
    finally:
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.uds.unlink(missing_ok=True)
    files = sorted(map(str, tmp_path.glob("log/predictions/*/*/*.ndjson.zst")))
    assert len(files) > 3
    lines = [len(unpacked(pathlib.Path(file)).splitlines()) for file in files]
    [(count,)] = duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/log/predictions/*/*/*.ndjson.zst'").fetchall()
    assert count == sum(lines) == sum(pl.read_ndjson(file).height for file in files)
