"""Batches for the tests of objectives: shared documents, doubled keys, classes, groups, ragged lists."""

from types import SimpleNamespace

import pytest
import torch

from vecsmith.data.batch import Batch, Block


def block(count, keys, labels=None, teacher=None):
    labels = torch.full((count,), -1) if labels is None else labels
    return Block(rows=torch.arange(count), keys=keys, labels=labels, teacher=teacher)


def trap_batch(seed, *, rows=6, in_batch=True, width=5, negatives=4, distinct_queries=False, doubled=True):
    """(queries, documents, batch) in float64, with guide vectors of width 3; the keys are many or, doubled, few."""
    rng = torch.Generator().manual_seed(seed)

    def draw(low, high, shape):
        return torch.randint(low, high, shape, generator=rng)

    asked, found = rows if distinct_queries else rows - 1, 3 * rows
    keys = draw(0, 40, (found,)) if doubled else draw(-(2**62), 2**62, (found,))
    positives, others = draw(0, found, (rows, 2)), draw(-1, found, (rows, negatives))
    positives[1:, 1] = torch.where(draw(0, 2, (rows - 1,)) == 0, -1, positives[1:, 1])
    positives[:, 1] = torch.where(positives[:, 1] == positives[:, 0], -1, positives[:, 1])
    for row in range(rows):  # a declared negative is none of the row's positives
        for place in range(negatives):
            if others[row, place] in positives[row]:
                others[row, place] = -1
    teachers = [torch.randn(count, 3, generator=rng, dtype=torch.float64) for count in (asked, found)]
    labels = [draw(-1, 8, (count,)) for count in (asked, found)]
    batch = Batch(
        queries=block(asked, torch.randperm(90, generator=rng)[:asked] - 45, labels[0], teachers[0]),
        documents=block(found, keys, labels[1], teachers[1]),
        query_index=torch.arange(rows) if distinct_queries else draw(0, asked, (rows,)),
        positives=positives,
        negatives=others,
        known=torch.stack([draw(0, rows, (4,)), draw(0, found, (4,))], dim=1),
        weights=torch.rand(rows, generator=rng) + 0.1,
        dataset=torch.zeros(rows, dtype=torch.int64),
        groups=draw(-1, 5, (rows,)),
        in_batch=in_batch,
        seed=seed,
    )
    vectors = [torch.randn(count, width, generator=rng, dtype=torch.float64) for count in (asked, found)]
    return *vectors, batch


def plain_batch(rows, negatives=0):
    """Every row its own query, positive and `negatives` negatives; all keys different, no class, no group."""
    count = rows * (1 + negatives)
    own = torch.arange(count).reshape(rows, 1 + negatives)
    return Batch(
        queries=block(rows, 100_000 + torch.arange(rows)),
        documents=block(count, torch.arange(count)),
        query_index=torch.arange(rows),
        positives=own[:, :1].clone(),
        negatives=own[:, 1:].clone(),
        known=torch.zeros(0, 2, dtype=torch.int64),
        weights=torch.ones(rows),
        dataset=torch.zeros(rows, dtype=torch.int64),
    )


@pytest.fixture(scope="session")
def batches():
    """`trap(seed, ...)` -> (queries, documents, batch); `plain(rows, negatives)` -> batch."""
    return SimpleNamespace(trap=trap_batch, plain=plain_batch)
