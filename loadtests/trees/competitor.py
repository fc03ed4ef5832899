"""What takes part in the race: anything that can be timed, and that shows its answers."""

from abc import ABC, abstractmethod

import numpy as np

from .catalog import Model


class Unfit(Exception):
    """This competitor does not run this model; the text says why."""


class Competitor(ABC):
    """One program, or one setting of it, with one model loaded."""

    # The column of the table; of several with the same one, the fastest counts.
    column: str
    # Which setting of it, for the log.
    variant: str = ""
    # From the model in memory or in its file to a function that can be called; None when that means little.
    build_seconds: float | None = None

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def name(self) -> str:
        return f"{self.column} ({self.variant})" if self.variant else self.column

    @abstractmethod
    def measure(self, rows: int, seconds: float) -> dict:
        """Calls of `rows` rows for that long: `median_ns` and `min_ns` of a call."""

    @abstractmethod
    def outputs(self, rows: int, count: int) -> np.ndarray:
        """Scores of the first `count` rows in calls of `rows`, float64, one line per row."""

    def close(self) -> None:  # noqa: B027
        """Gives back what it holds; most hold nothing."""


def normal(scores: np.ndarray) -> np.ndarray:
    """Of two classes only the second: some give both, some one."""
    scores = scores.reshape(len(scores), -1)
    return scores[:, 1:] if scores.shape[1] == 2 else scores
