"""The frozen-feature protocol: a small residual head over frozen vectors, trained with vecsmith's own objectives.

A head 384-256-384 that starts as the identity, AdamW at 1e-3, batches of 64, 600 steps. Batches come from vecsmith's
sampler and `gather_batch`, losses from its `StageObjective`: what is replicated is what ships.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vecsmith.data.batch import Batch, gather_batch
from vecsmith.data.columns import RecordColumns
from vecsmith.data.dataset import Dataset
from vecsmith.data.mixed import Part, gather_mixed
from vecsmith.data.sampler import Draw, EpochSampler, Source
from vecsmith.objectives.loss import Loss
from vecsmith.training.objective import StageObjective

__all__ = ["Head", "Phase", "Step", "apply_head", "new_head", "train_head"]

Float = NDArray[np.float32]
Step = Callable[[int, Batch, Loss, "Head"], None]

HIDDEN, RATE, ROWS, STEPS = 256, 1e-3, 64, 600


class Head(nn.Module):
    """x + W2 relu(W1 x + b1) + b2, W2 and b2 zero at the start: float [n, d] -> [n, d]."""

    def __init__(self, width: int, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, hidden), nn.Linear(hidden, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        moved: Tensor = vectors + self.outer(torch.relu(self.inner(vectors)))
        return moved


@dataclass(frozen=True)
class Phase:
    """One stage of training.

    datasets     records whose texts are of the bed
    vectors      float32 [inputs, d] of each
    objective    {kind: [{name: options}]}, as a recipe has it
    shares       of the batches, how large a part comes of each dataset; None by size
    mixed_share  share of the rows drawn across datasets that are alike
    """

    datasets: Sequence[Dataset]
    vectors: Sequence[Float]
    objective: dict[str, list[dict[str, dict[str, object]]]]
    steps: int = STEPS
    rows: int = ROWS
    rate: float = RATE
    shares: Sequence[float] | None = None
    mixed_share: float = 0.0
    in_batch: bool = True


def new_head(width: int, seed: int) -> Head:
    """A head of its own random start."""
    torch.manual_seed(seed)
    return Head(width)


def train_head(phases: Sequence[Phase], *, seed: int, head: Head | None = None, on_step: Step | None = None) -> Head:
    """Train a head by phases in order; the optimiser starts anew in each.

    seed      of the head's start, the order of the batches and the objectives' draws
    on_step   called after the backward pass of each step, before the optimiser's: (step, batch, loss, head)
    """
    head = head or new_head(phases[0].vectors[0].shape[1], seed)
    for number, phase in enumerate(phases):
        _train(phase, head, seed * 1_000 + number, on_step)
    return head


def apply_head(head: Head, vectors: Float) -> Float:
    """The head's vectors at length 1, float32 [n, d]."""
    with torch.no_grad():
        moved = head(torch.from_numpy(np.ascontiguousarray(vectors)))
    units: Float = nn.functional.normalize(moved, dim=1).numpy()
    return units


def _train(phase: Phase, head: Head, seed: int, on_step: Step | None) -> None:
    columns = [RecordColumns(dataset) for dataset in phase.datasets]
    held = [torch.from_numpy(vectors) for vectors in phase.vectors]
    sizes = [len(each.usable) for each in columns]
    shares = phase.shares or [size / sum(sizes) for size in sizes]
    sources = [
        Source(
            each.usable,
            weight=share * sum(sizes) / len(each.usable),
            name=each.name,
            mixes=each.kind if phase.mixed_share else None,
        )
        for each, share in zip(columns, shares, strict=True)
    ]
    sampler = EpochSampler(sources, batch_size=phase.rows, seed=seed, mixed_share=phase.mixed_share)
    objective, state = StageObjective(phase.objective), {}
    optimiser = torch.optim.AdamW(head.parameters(), lr=phase.rate)
    for step, draw in enumerate(_draws(sampler, phase.steps)):
        batch, queries, documents = _gathered(columns, held, draw, phase.in_batch)
        batch = replace(batch, progress=step / phase.steps, state=state)
        loss = objective(head(queries), head(documents), batch)
        optimiser.zero_grad(set_to_none=True)
        loss.value.backward()
        if on_step is not None:
            on_step(step, batch, loss, head)
        optimiser.step()


def _draws(sampler: EpochSampler, steps: int) -> list[Draw]:
    draws: list[Draw] = []
    epoch = 0
    while len(draws) < steps:
        draws += sampler.plan(epoch)
        epoch += 1
    return draws[:steps]


def _gathered(
    columns: Sequence[RecordColumns], held: Sequence[Tensor], draw: Draw, in_batch: bool
) -> tuple[Batch, Tensor, Tensor]:
    """A draw as a batch, and the frozen vectors of its two blocks."""
    if draw.datasets is None:
        number = draw.dataset
        batch = gather_batch(columns[number], draw.rows, in_batch=in_batch, dataset=number, seed=draw.seed)
        return batch, held[number][batch.queries.rows], held[number][batch.documents.rows]

    def encode(side: str, datasets: np.ndarray, rows: np.ndarray, words: list[str] | None) -> dict[str, Tensor]:
        return {"vectors": torch.stack([held[number][row] for number, row in zip(datasets, rows, strict=True)])}

    parts = [Part(columns[n], draw.rows[draw.datasets == n], n) for n in np.unique(draw.datasets).tolist()]
    batch = gather_mixed(parts, in_batch=in_batch, seed=draw.seed, encode=encode)
    assert batch.queries.features is not None
    assert batch.documents.features is not None
    return batch, batch.queries.features["vectors"], batch.documents.features["vectors"]
