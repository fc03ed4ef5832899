"""Everyone in turns: A B C … for each number of rows, and the whole again in every round."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from measure.programs import say

from . import field
from .catalog import Model
from .competitor import Competitor
from .sidegate import Timed


@dataclass(frozen=True)
class Race:
    timer: Path
    sizes: list[int]
    rounds: int
    seconds: float
    # What of a measurement counts: `median_ns`, or `min_ns`.
    figure: str = "median_ns"
    without: str | None = None

    def prepare(self, model: Model) -> None:
        """Compiles what is to be compiled; `run` then finds it."""
        for each in field.enter(model, self.timer, without=self.without):
            each.close()

    def run(self, model: Model) -> dict:
        say(f"{model.name}: {model.entry.title}")
        entrants = field.enter(model, self.timer, without=self.without, quiet=True)
        try:
            return self._run(model, entrants)
        finally:
            for each in entrants:
                each.close()

    def _run(self, model: Model, entrants: list[Competitor]) -> dict:
        equality = field.check(entrants, self.sizes)
        times: dict[tuple[str, int], list[dict]] = {}
        loads: dict[str, list[dict]] = {}
        for turn in range(self.rounds):
            for rows in self.sizes:
                # Another one begins each time, so that nobody always follows the same one.
                first = turn % len(entrants)
                for each in entrants[first:] + entrants[:first]:
                    time = each.measure(rows, self.seconds)
                    times.setdefault((each.name, rows), []).append(time)
            for each in entrants:
                if isinstance(each, Timed) and each.column != "ONNX Runtime":
                    loads.setdefault(each.name, []).append(each.load(3))
        return {
            "model": model.name,
            "title": model.entry.title,
            "columns": model.columns,
            "trees": model.trees,
            "nodes": model.nodes,
            "equality": equality,
            "builds": {
                each.name: each.build_seconds
                for each in entrants
                if each.build_seconds is not None
            },
            "loads": {
                name: {
                    "parse_ms": self._one(load["parse_ns"] for load in each) / 1e6,
                    "build_ms": self._one(load["build_ns"] for load in each) / 1e6,
                    "memory_bytes": each[0]["memory_bytes"],
                }
                for name, each in loads.items()
            },
            "rows": [asdict(self._line(rows, entrants, times)) for rows in self.sizes],
        }

    def _one(self, loads: Iterable[float]) -> float:
        return median(loads) if self.figure == "median_ns" else min(loads)

    def _line(self, rows: int, entrants: list[Competitor], times: dict) -> "Line":
        every = [
            Time(each.column, each.variant, [t[self.figure] for t in times[each.name, rows]])
            for each in entrants
        ]  # fmt: skip
        best: dict[str, Time] = {}
        for time in every:
            if time.column not in best or time.ns < best[time.column].ns:
                best[time.column] = time
        mine = best["sidegate"]
        return Line(
            rows=rows,
            us={column: time.ns / 1e3 for column, time in best.items()},
            variants={column: time.variant for column, time in best.items()},
            over_ort=Ratio.of(mine, [best["ONNX Runtime"]]),
            over_compiled=Ratio.of(mine, [best[c] for c in COMPILED if c in best]),
            native_over_compiled=Ratio.of(
                best.get("sidegate, native file"), [best[c] for c in COMPILED if c in best]
            ),
            every=[asdict(time) for time in every],
        )  # fmt: skip


COMPILED = ("TL2cgen", "lleaves")


@dataclass(frozen=True)
class Time:
    """One competitor's medians, one per round."""

    column: str
    variant: str
    rounds_ns: list[float]

    @property
    def ns(self) -> float:
        return median(self.rounds_ns)


@dataclass(frozen=True)
class Ratio:
    """Ours over theirs: taken within each round, where the machine was the same for both; median and extremes."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, mine: Time | None, others: list[Time]) -> "Ratio | None":
        if mine is None or not others:
            return None
        other = min(others, key=lambda time: time.ns)
        pairs = zip(mine.rounds_ns, other.rounds_ns, strict=True)
        ratios = [ours / theirs for ours, theirs in pairs]
        return cls(median(ratios), min(ratios), max(ratios))


@dataclass(frozen=True)
class Line:
    """One number of rows of one model: the fastest setting of each column."""

    rows: int
    us: dict[str, float]
    variants: dict[str, str]
    over_ort: Ratio
    over_compiled: Ratio | None
    native_over_compiled: Ratio | None
    every: list[dict]
