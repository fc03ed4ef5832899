"""The prediction log of a real sidegate, read by DuckDB, pandas and polars, as docs/prediction-log.md says."""

import contextlib
import datetime
import json
import math
import pathlib
import re
import signal
import subprocess
import time
from collections.abc import Iterator

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
import requests
import zstandard

from sidegate import ROOT, Server, binary, environment

FEATURES = ["dep_delay", "distance", "planned_minutes", "hour", "weekday", "wind_speed", "precip", "visib"]
# What stands for an infinity.
LARGEST = 1.7976931348623157e308
FORMATS = ROOT / "tests/fixtures/formats"
PAGE = (ROOT / "docs/prediction-log.md").read_text()


# What the page says to put in place of what, where segments are Parquet.
AS_PARQUET = [
    (r"'(log/\S+)\.ndjson\.zst'", r"read_parquet('\1.parquet', union_by_name = true)"),
    (r"pd\.read_json\(file, .*?\)", "pd.read_parquet(file)"),
    (r"pl\.read_ndjson\(file, .*?\)", "pl.read_parquet(file)"),
    (r"\.ndjson\.zst", ".parquet"),
]


def unpacked(file: pathlib.Path) -> bytes:
    """A segment's lines, by zstd's own library; it checks the checksum."""
    reader = zstandard.ZstdDecompressor().decompressobj()
    text = reader.decompress(file.read_bytes())
    assert reader.eof and not reader.unused_data, file
    return text


class Log:
    """What was sent and answered: a row for each row, by id and position."""

    def __init__(self, folder: pathlib.Path, format: str) -> None:
        self.folder = folder
        self.format = format
        self.ending = {"ndjson": ".ndjson.zst", "parquet": ".parquet"}[format]
        self.rows: dict[tuple[str, int], tuple[list[float | None], float | None]] = {}
        self.actuals: dict[tuple[str, int], float] = {}
        self.failed: set[str] = set()

    def fitted(self, text: str) -> str:
        """What reads lines, for the format of this log."""
        for lines, parquet in AS_PARQUET if self.format == "parquet" else []:
            text = re.sub(lines, parquet, text)
        return text

    def snippets(self, language: str) -> list[str]:
        """Those of the page."""
        return [self.fitted(text) for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)]


def flight(number: int) -> list[float | None]:
    row: list[float | None] = [float(number % 40 - 10), 700.0 + number, 150.1, 6 + number % 15, number % 7, 0.1 * number, 0.0, 9.9]
    if number % 5 == 0:
        row[5] = None
    return row


def written(server: Server) -> float:
    _, _, body = server.exchange("GET", "/metrics", admin=True)
    found = re.search(r"^sidegate_prediction_log_written_total (.+)$", body.decode(), re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def writes_parquet() -> bool:
    """Whether the program was built with the feature."""
    command = [binary(), "check"]
    env = environment() | {"SIDEGATE_PREDICTION_LOG__FORMAT": "parquet"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    refused = "--features parquet" in done.stdout + done.stderr
    # 2 is a wrong configuration.
    assert done.returncode == (2 if refused else 0), done.stdout + done.stderr
    return not refused


@pytest.fixture(scope="module", params=["ndjson", "parquet"])
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """Three hundred requests of one to three rows, their outcomes, and penguins with texts."""
    log = Log(tmp_path_factory.mktemp("log"), request.param)
    if log.format == "parquet" and not writes_parquet():
        pytest.skip("the program was built without the feature parquet")
    settings = {
        "prediction_log.format": log.format,
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
    """The lines themselves, by Python's own reader, or the rows."""
    lines = []
    for file in sorted(log.folder.glob(f"log/{pattern}")):
        if log.format == "parquet":
            lines += pl.read_parquet(file).to_dicts()
        else:
            lines += [json.loads(line) for line in unpacked(file).splitlines()]
    return lines


def by_duckdb(log: Log) -> dict:
    columns = ", ".join(f"unnest(inputs.{name})" for name in FEATURES if name != "hour")
    with contextlib.chdir(log.folder):
        found = duckdb.sql(
            f"SELECT id, row + unnest(range(rows)), {columns}, unnest(outputs.variable)"
            + log.fitted(" FROM 'log/predictions/flight-delay/*/*.ndjson.zst'")
        ).fetchall()
    return {(id, row): (values[:-1], values[-1]) for id, row, *values in found}


def by_pandas(log: Log) -> dict:
    space: dict = {}
    with contextlib.chdir(log.folder):
        exec(log.snippets("python")[0], space)
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
        exec(log.snippets("python")[1], space)
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
    files = list(log.folder.glob("log/predictions/flight-delay/*/*"))
    assert len(files) > 1 and all(file.name.endswith(log.ending) for file in files)
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
        tables = [duckdb.sql(text) for text in log.snippets("sql") if not text.startswith("COPY")]
        [(version, rows, rmse)] = tables[2].fetchall()
        assert (version, rows, rmse) == ("1", *wanted)
        space: dict = {}
        exec(log.snippets("python")[0], space)
        read = space["read"]
        outcomes = pd.concat(map(read, sorted(map(str, pathlib.Path("log/outcomes").glob("*/*")))), ignore_index=True)
        last = outcomes.sort_values("t", kind="stable").groupby(["key", "row"]).actual.last().reset_index()
        joined = space["rows"].merge(last, on=["key", "row"])
        assert (len(joined), round(((joined.variable - joined.actual) ** 2).mean() ** 0.5, 3)) == wanted
        exec(log.snippets("python")[1], space)
        files = sorted(pathlib.Path("log/outcomes").glob("*/*"))
        read = eval(log.fitted("lambda file: pl.read_ndjson(file, infer_schema_length=None)"))
        outcomes = pl.concat(map(read, files), how="diagonal_relaxed")
        last = outcomes.group_by("key", "row", maintain_order=True).agg(pl.col("actual").sort_by("t", maintain_order=True).last())
        joined = space["rows"].join(last, on=["key", "row"])
        rmse = joined.select(((pl.col("variable") - pl.col("actual")) ** 2).mean().sqrt()).item()
        assert (joined.height, round(rmse, 3)) == wanted


def test_every_query_of_the_page_runs_and_parquet_has_the_same(log: Log) -> None:
    with contextlib.chdir(log.folder):
        for text in log.snippets("sql"):
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


def plain(value: object) -> object:
    """What a reader made of a value, as Python's json would have it."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return None if pd.isna(value) else value


def parquet_by_duckdb(file: pathlib.Path) -> list[dict]:
    table = duckdb.sql(f"FROM '{file}'")
    return [dict(zip(table.columns, row, strict=True)) for row in table.fetchall()]


def parquet_by_pandas(file: pathlib.Path) -> list[dict]:
    return pd.read_parquet(file).to_dict("records")


def parquet_by_polars(file: pathlib.Path) -> list[dict]:
    return pl.read_parquet(file).to_dicts()


@pytest.mark.parametrize("reader", [parquet_by_duckdb, parquet_by_pandas, parquet_by_polars])
@pytest.mark.parametrize("name", ["predictions", "outcomes"])
def test_every_reader_finds_the_values_of_lines_in_parquet(name: str, reader) -> None:
    lines = [json.loads(line) for line in (FORMATS / f"{name}.ndjson").read_text().splitlines()]
    rows = plain(reader(FORMATS / f"{name}.parquet"))
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines, strict=True):
        assert row.keys() == line.keys()
        for field, value in line.items():
            found = row[field]
            if isinstance(value, dict):
                # These lines are of several models, each with inputs of its own.
                assert all(item is None for key, item in found.items() if key not in value)
                found = {key: found[key] for key in value}
            assert found == value, field


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
