"""Which records make a batch: every batch from one dataset, the same on every rank, a function of (seed, epoch).

The plan of an epoch: each dataset is shuffled and cut into full global batches, tails are dropped (another tail each
epoch), then the list of batches is shuffled. Ranks do not split it: each takes its share of a batch's inputs. Where a
share is to be mixed, that share of every dataset's rows goes into pools of datasets that agree, which are cut alike.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, isfinite

import numpy as np

from vecsmith.data.cutting import cut
from vecsmith.errors import NotEnoughData

__all__ = ["Draw", "EpochSampler", "Source"]

MOST = 2**63 - 1
MOST_BATCHES = 50_000_000


@dataclass(frozen=True)
class Source:
    """What the sampler knows of a dataset.

    rows        int64 [n], the records that can be rows of a batch
    groups      int64 [n] or None; where given, no two rows of a batch share a group (-1 shares with none)
    weight      how often its batches come, relative to its size; 1.0 is once an epoch
    name        for messages
    batch_size  rows of a global batch of this dataset; None takes the sampler's
    cap         records that an epoch takes of it at most, others in every epoch; None takes all
    buckets     int64 [n] or None; rows of a batch share a bucket
    tokens      int64 [n] or None: what a row costs of `batch_tokens`
    mixes       datasets with equal values may be mixed; None is never mixed
    """

    rows: np.ndarray
    groups: np.ndarray | None = None
    weight: float = 1.0
    name: str = "data"
    batch_size: int | None = None
    cap: int | None = None
    buckets: np.ndarray | None = None
    tokens: np.ndarray | None = None
    mixes: Hashable = None

    @property
    def size(self) -> int:
        """Records an epoch takes at weight 1."""
        return min(len(self.rows), self.cap or len(self.rows))


@dataclass(frozen=True)
class Draw:
    """One global batch and the seed of its random draws.

    dataset   number of the dataset; of a mixed batch that of its first row
    rows      int64 [B], record rows, each within its dataset
    datasets  int64 [B] of a mixed batch, ascending; None for a batch of one dataset
    """

    dataset: int
    rows: np.ndarray
    seed: int
    datasets: np.ndarray | None = None


class EpochSampler:
    """Batches of an epoch, as a torch batch sampler: `len`, iteration, `set_epoch`.

    sources       the datasets
    batch_size    rows of a global batch (all ranks together), at least 1
    seed          with the epoch, the only thing the order hangs on
    temperature   T: a dataset's share of an epoch is as weight x size^T, the epoch as long as the sizes together; 1
                  is by size, 0 gives all alike. None: weight x size, as it is
    mixed_share   that share (0..1) of the rows of datasets that agree (`mixes`) is drawn across them
    batch_tokens  tokens of a global batch, counted as rows x longest row: it has as many rows of similar length as
                  they allow (at most a dataset's own `batch_size`, where it has one); every source needs `tokens`
    raises        NotEnoughData: a dataset with fewer than two usable records
                  ValueError: a weight, temperature or share that is no number in its range; nothing to mix

    Worked by hand: 900 and 100 records in batches of 10, T = 0.5: shares 30 and 10 of 40, hence 75 and 25 batches.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        batch_size: int,
        seed: int,
        temperature: float | None = None,
        mixed_share: float = 0.0,
        batch_tokens: int | None = None,
    ) -> None:
        for source in sources:
            _check(source, batch_size, batch_tokens)
        self.sources, self.batch_size, self.seed, self.epoch = list(sources), batch_size, seed, 0
        self.batch_tokens = batch_tokens
        self._turns = _turns(self.sources, temperature)
        self._streams = self._make_streams(mixed_share)
        # An epoch is as long as its first plan, so that step / length gives the epoch of any step.
        firsts = [self._cut(stream, 0, 0) for stream in self._streams]
        self._first = [sum(len(rows) for _, rows in first) for first in firsts]
        self._counts = [
            max(1, round(len(first) * stream.turns)) for stream, first in zip(self._streams, firsts, strict=True)
        ]
        if sum(self._counts) > MOST_BATCHES:
            raise ValueError(
                f"an epoch of {sum(self._counts):,} batches is more than {MOST_BATCHES:,}; lower the weights"
            )

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(self._counts)

    def __iter__(self) -> Iterator[Draw]:
        yield from self.plan(self.epoch)

    def plan(self, epoch: int) -> list[Draw]:
        """All batches of an epoch, in order."""
        batches = [batch for number in range(len(self._streams)) for batch in self._take(number, epoch)]
        order = np.random.default_rng([self.seed, epoch, 1]).permutation(len(batches))
        draws = []
        for turn, place in enumerate(order):
            datasets, rows = batches[place]
            seed = (self.seed * 1_000_003 + epoch) * 1_000_003 + turn & MOST
            if isinstance(datasets, int):
                draws.append(Draw(datasets, rows, seed))
            else:
                draws.append(Draw(int(datasets[0]), rows, seed, datasets))
        return draws

    def rows_in(self, batches: int) -> int:
        """Rows of the first so many batches, over as many epochs as they take."""
        total, epoch = 0, 0
        while batches > 0:
            sizes = [len(draw.rows) for draw in self.plan(epoch)[:batches]]
            if self.batch_tokens is None and batches >= 2 * len(self):  # epochs of the same sizes
                whole = batches // len(self)
                total, batches, epoch = total + whole * sum(sizes), batches - whole * len(self), epoch + whole
                continue
            total, batches, epoch = total + sum(sizes), batches - len(sizes), epoch + 1
        return total

    def shares(self) -> list[float]:
        """How many times an epoch goes through each dataset: weight, and what temperature makes of it."""
        return list(self._turns)

    def left_out(self) -> int:
        """Records that stand in no batch when an epoch goes once through everything; others in every epoch."""
        return max(0, sum(source.size for source in self.sources) - sum(self._first))

    def _make_streams(self, mixed_share: float) -> list["_Stream"]:
        """A stream of batches for each dataset, and one for each pool of datasets that are mixed."""
        if not 0 <= mixed_share <= 1:
            raise ValueError(f"mixed_share is {mixed_share}; a share is 0 to 1")
        pools: dict[Hashable, list[int]] = {}
        for number, source in enumerate(self.sources):
            if mixed_share and source.mixes is not None:
                pools.setdefault(source.mixes, []).append(number)
        pools = {key: members for key, members in pools.items() if len(members) > 1}
        if mixed_share and not pools:
            raise ValueError(
                f"mixed_share is {mixed_share}, but no two datasets agree in kind, in_batch and teacher; leave it out"
            )
        pooled = {number for members in pools.values() for number in members}
        own = []
        for number, source in enumerate(self.sources):
            mixed = round(mixed_share * source.size) if number in pooled else 0
            if source.size - mixed > 1 or not mixed:
                own.append(_Stream((number,), (0,), (source.size - mixed,), self._turns[number]))
        shared = []
        for members in pools.values():
            sizes = [self.sources[number].size for number in members]
            starts = tuple(size - round(mixed_share * size) for size in sizes)
            shared.append(_Stream(tuple(members), starts, tuple(sizes), 1.0))
        return own + shared

    def _take(self, number: int, epoch: int) -> list["_Batch"]:
        """As many batches of a stream as an epoch has; more than one turn shuffles its rows again."""
        taken: list[_Batch] = []
        turn = 0
        while len(taken) < self._counts[number]:
            taken += self._cut(self._streams[number], epoch, turn)
            turn += 1
        return taken[: self._counts[number]]

    def _cut(self, stream: "_Stream", epoch: int, turn: int) -> list["_Batch"]:
        """The batches of one pass over a stream."""
        if len(stream.members) > 1:
            return self._cut_pool(stream, epoch, turn)
        number = stream.members[0]
        source = self.sources[number]
        places = self._order(number, epoch, turn)[: stream.ends[0]]
        batches = cut(
            places,
            source.batch_size or (len(places) if self.batch_tokens else self.batch_size),
            groups=source.groups,
            buckets=source.buckets,
            tokens=source.tokens,
            budget=self.batch_tokens,
        )
        return [(number, source.rows[batch]) for batch in batches]

    def _cut_pool(self, stream: "_Stream", epoch: int, turn: int) -> list["_Batch"]:
        """The mixed rows of all members, each as often as its weight says, shuffled and cut together."""
        numbers, parts = [], []
        for number, start, end in zip(stream.members, stream.starts, stream.ends, strict=True):
            share = self._turns[number]
            whole = ceil(share)
            orders = [self._order(number, epoch, turn * whole + each)[start:end] for each in range(whole)]
            chosen = np.concatenate(orders)[: round(share * (end - start))]
            parts.append(chosen)
            numbers.append(np.full(len(chosen), number))
        datasets, places = np.concatenate(numbers), np.concatenate(parts)
        order = np.random.default_rng([self.seed, epoch, 3, stream.members[0], turn]).permutation(len(places))
        batches = cut(
            order,
            len(order) if self.batch_tokens else self.batch_size,
            groups=self._pooled_groups(stream.members, parts),
            buckets=self._pooled("buckets", stream.members, parts),
            tokens=self._pooled("tokens", stream.members, parts),
            budget=self.batch_tokens,
        )
        result: list[_Batch] = []
        for batch in batches:
            ordered = batch[np.argsort(datasets[batch], kind="stable")]
            owners = datasets[ordered]
            rows = [self.sources[n].rows[places[ordered[owners == n]]] for n in stream.members]
            result.append((owners, np.concatenate(rows)))
        return result

    def _order(self, number: int, epoch: int, turn: int) -> np.ndarray:
        source = self.sources[number]
        shuffled = np.random.default_rng([self.seed, epoch, 2, number, turn]).permutation(len(source.rows))
        return shuffled[: source.size]

    def _pooled(self, name: str, members: Sequence[int], parts: Sequence[np.ndarray]) -> np.ndarray | None:
        """The values of a field at the chosen places of all members; members without it have zeros."""
        found = [getattr(self.sources[number], name) for number in members]
        if all(values is None for values in found):
            return None
        return np.concatenate(
            [
                np.zeros(len(part), np.int64) if values is None else values[part]
                for values, part in zip(found, parts, strict=True)
            ]
        )

    def _pooled_groups(self, members: Sequence[int], parts: Sequence[np.ndarray]) -> np.ndarray | None:
        """Groups are those of their dataset: equal codes of two datasets are two groups."""
        if all(self.sources[number].groups is None for number in members):
            return None
        shifted, shift = [], 0
        for number, part in zip(members, parts, strict=True):
            groups = self.sources[number].groups
            own = np.full(len(part), -1, np.int64) if groups is None else groups[part]
            shifted.append(np.where(own >= 0, own + shift, -1))
            shift += 0 if groups is None else int(groups.max(initial=-1)) + 1
        return np.concatenate(shifted)


_Batch = tuple[int | np.ndarray, np.ndarray]  # dataset, or the dataset of each row; record rows


@dataclass(frozen=True)
class _Stream:
    """Where batches come from: datasets, and which part of each one's shuffled order is for it."""

    members: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    turns: float


def _check(source: Source, batch_size: int, batch_tokens: int | None) -> None:
    if len(source.rows) < 2 or source.size < 2:
        raise NotEnoughData(f"dataset {source.name}: {source.size} usable pairs; a batch needs at least 2")
    if not (isfinite(source.weight) and source.weight > 0):
        raise ValueError(f"dataset {source.name}: its weight is {source.weight}; a number above 0 was expected")
    if (size := batch_size if source.batch_size is None else source.batch_size) < 1:
        raise ValueError(f"dataset {source.name}: batches of {size} rows; give at least 1")
    if batch_tokens is not None and (source.tokens is None or batch_tokens < 1):
        raise ValueError(f"dataset {source.name}: batch_tokens is {batch_tokens}; give at least 1, and `tokens`")


def _turns(sources: Sequence[Source], temperature: float | None) -> list[float]:
    """How many times an epoch goes through each dataset."""
    weights = np.array([source.weight for source in sources])
    if temperature is None:
        return weights.tolist()
    if not (isfinite(temperature) and temperature >= 0):
        raise ValueError(f"temperature is {temperature}; a number of at least 0 was expected (1 is by size)")
    sizes = np.array([source.size for source in sources], dtype=np.float64)
    logs = temperature * np.log(sizes)
    shares = np.exp(logs - logs.max())  # size^T, scaled so that no power overflows
    turns: list[float] = (weights * shares / shares.sum() * sizes.sum() / sizes).tolist()
    return turns
