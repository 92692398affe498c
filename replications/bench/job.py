"""A running replication: its seeds, its scale, and arms that are computed once and kept, each in a file of its own."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vecsmith.atomic import open_atomic
from vecsmith.progress import SILENT, Progress

__all__ = ["Job", "Measures", "Outcome"]

# What an arm is measured by: a number, or one per query (its mean is the figure).
Measures = Mapping[str, float | NDArray[np.float64]]

SECONDS = "processor_seconds"


@dataclass(frozen=True)
class Job:
    """What a replication is called with.

    key        its folder below `replications/`
    seeds      at least three, unless `quick`
    work       where arms, vectors and models are kept; may be shared by all replications
    quick      a scale so small that only the machinery is tried; nothing of it is committed
    data       folder of data sets, or None
    """

    key: str
    seeds: list[int]
    work: Path
    quick: bool = False
    data: Path | None = None
    progress: Progress = SILENT

    def arm(self, name: str, seed: int, make: Callable[[], Measures]) -> Measures:
        """What `make` returns, computed once: kept in `work/KEY/NAME-SEED.npz` (quick: in a folder of its own).

        An arm whose recipe has changed needs another name, or its file removed.
        """
        file = self.folder / f"{name}-{seed}.npz"
        if file.is_file():
            with np.load(file, allow_pickle=False) as kept:
                return {name: np.asarray(kept[name]) for name in kept.files}
        start = time.process_time()
        with self.progress.task(f"{self.key}: {name}, seed {seed}"):
            found = {name: np.asarray(value, dtype=np.float64) for name, value in make().items()}
        found[SECONDS] = np.asarray(time.process_time() - start)
        file.parent.mkdir(parents=True, exist_ok=True)
        with open_atomic(file) as out:
            np.savez(out, **found)  # type: ignore[arg-type]
        return found

    @property
    def folder(self) -> Path:
        """Where the arms of this replication are kept."""
        return self.work / f"{self.key}-quick" if self.quick else self.work / self.key


@dataclass(frozen=True)
class Outcome:
    """What a replication found.

    results   {arm: [measures of each seed]}, in the order of the table
    values    {name: a number, or one per seed}: mechanisms and exactness, named by the checks of the config
    bed       what the figures were measured on, in a few fields; `other` is true where it is not that of the list
    notes     sentences for the page: what was seen besides
    """

    results: dict[str, list[Measures]]
    values: dict[str, float | list[float]] = field(default_factory=dict)
    bed: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def of_arm(self, arm: str, measure: str) -> NDArray[np.float64]:
        """float64 [seeds, queries]; a number is one query."""
        return np.stack([np.atleast_1d(np.asarray(each[measure], dtype=np.float64)) for each in self.results[arm]])
