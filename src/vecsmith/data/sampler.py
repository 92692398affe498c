"""Which records make a batch: every batch from one dataset, the same on every rank, a function of (seed, epoch).

The plan of an epoch: each dataset is shuffled and cut into full global batches, tails are dropped (another tail each
epoch), then the list of batches is shuffled. Ranks do not split it: each takes its share of a batch's inputs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vecsmith.errors import NotEnoughData

__all__ = ["Draw", "EpochSampler", "Source"]

MOST = 2**63 - 1


@dataclass(frozen=True)
class Source:
    """What the sampler knows of a dataset.

    rows     int64 [n], the records that can be rows of a batch
    groups   int64 [n] or None; where given, no two rows of a batch share a group (-1 shares with none)
    weight   how often its batches come, relative to its size; 1.0 is once an epoch
    name     for messages
    """

    rows: np.ndarray
    groups: np.ndarray | None = None
    weight: float = 1.0
    name: str = "data"


@dataclass(frozen=True)
class Draw:
    """One global batch: record rows int64 [B] of one dataset, and the seed of its random draws."""

    dataset: int
    rows: np.ndarray
    seed: int


class EpochSampler:
    """Task-homogeneous batches, as a torch batch sampler: `len`, iteration, `set_epoch`.

    sources      the datasets
    batch_size   rows of a global batch (all ranks together), at least 2
    seed         with the epoch, the only thing the order hangs on
    raises       NotEnoughData: a dataset with fewer than two usable records
    """

    def __init__(self, sources: Sequence[Source], *, batch_size: int, seed: int) -> None:
        for source in sources:
            if len(source.rows) < 2:
                raise NotEnoughData(f"dataset {source.name}: {len(source.rows)} usable pairs; a batch needs at least 2")
        self.sources, self.batch_size, self.seed, self.epoch = list(sources), batch_size, seed, 0
        # An epoch is as long as its first plan, so that step / length gives the epoch of any step.
        self._counts = [
            max(1, round(len(self._cut(number, 0)) * source.weight)) for number, source in enumerate(self.sources)
        ]

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(self._counts)

    def __iter__(self) -> Iterator[Draw]:
        yield from self.plan(self.epoch)

    def plan(self, epoch: int) -> list[Draw]:
        """All batches of an epoch, in order."""
        batches = [(number, rows) for number in range(len(self.sources)) for rows in self._take(number, epoch)]
        order = np.random.default_rng([self.seed, epoch, 1]).permutation(len(batches))
        draws = []
        for turn, place in enumerate(order):
            number, rows = batches[place]
            draws.append(Draw(number, rows, seed=(self.seed * 1_000_003 + epoch) * 1_000_003 + turn & MOST))
        return draws

    def left_out(self) -> int:
        """Records of one epoch that stand in no full batch."""
        return sum(
            max(0, len(source.rows) - sum(map(len, self._cut(number, 0)))) for number, source in enumerate(self.sources)
        )

    def _take(self, number: int, epoch: int) -> list[np.ndarray]:
        """As many batches of a dataset as an epoch has; a weight above 1 shuffles the dataset again."""
        taken: list[np.ndarray] = []
        turn = 0
        while len(taken) < self._counts[number]:
            taken += self._cut(number, epoch, turn)
            turn += 1
        return taken[: self._counts[number]]

    def _cut(self, number: int, epoch: int, turn: int = 0) -> list[np.ndarray]:
        source = self.sources[number]
        order = np.random.default_rng([self.seed, epoch, 2, number, turn]).permutation(len(source.rows))
        size = min(self.batch_size, len(order))
        if source.groups is None:
            full = len(order) // size
            return [source.rows[part] for part in order[: full * size].reshape(full, size)]
        batches = apart(order, source.groups, size)
        full_batches = [batch for batch in batches if len(batch) == size] or batches[:1]
        return [source.rows[batch] for batch in full_batches]


def apart(order: np.ndarray, groups: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut `order` into batches in which every group stands at most once: each takes the first batch with room.

    order    int64 [n], places of `groups` in the order they are dealt
    groups   int64 [n], -1 for none
    """
    batches: list[list[int]] = []
    first_open = 0
    after: dict[int, int] = {}  # group -> the first batch without it
    for place in order.tolist():
        group = int(groups[place])
        target = max(first_open, after.get(group, 0)) if group >= 0 else first_open
        while target < len(batches) and len(batches[target]) == size:
            target += 1
        if target == len(batches):
            batches.append([])
        batches[target].append(place)
        if group >= 0:
            after[group] = target + 1
        while first_open < len(batches) and len(batches[first_open]) == size:
            first_open += 1
    return [np.array(batch, dtype=np.int64) for batch in batches]
