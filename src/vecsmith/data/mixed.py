"""A batch drawn across datasets: equal texts coincide, what is a dataset's own (classes, groups) stays its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vecsmith.data.batch import Batch, Block, gather_batch
from vecsmith.data.columns import RecordColumns

__all__ = ["Part", "gather_mixed"]

EncodeMixed = Callable[[str, np.ndarray, np.ndarray, list[str] | None], Mapping[str, Any]]


@dataclass(frozen=True)
class Part:
    """The rows of a mixed batch that are of one dataset; see `gather_batch` for the fields."""

    columns: RecordColumns
    rows: np.ndarray
    dataset: int
    teacher: np.ndarray | None = None


def gather_mixed(
    parts: Sequence[Part],
    *,
    in_batch: bool = True,
    progress: float = 0.0,
    seed: int = 0,
    encode: EncodeMixed | None = None,
    lone: bool = True,
) -> Batch:
    """Gather records of several datasets into one batch; rows stand in the order of the parts.

    parts    of one kind; where one has a teacher all have, of one width
    encode   (side, dataset numbers [U], input rows [U], instructions or None) -> features; None leaves them out
    lone     see `gather_batch`

    Inputs with equal content, instruction and class are one; `Block.rows` are rows of the inputs of the dataset that
    `encode` is told. Class and group numbers are shifted so that those of two datasets never coincide. A positive that
    any of the datasets knows is in `known`, for rows of all of them.
    """
    kinds = {part.columns.kind for part in parts}
    if len(kinds) != 1:
        raise ValueError(f"records of the kinds {', '.join(sorted(kinds))}; only datasets of one kind are mixed")
    words: list[dict[str, list[str] | None]] = []
    batches = []
    for part in parts:
        asked: dict[str, list[str] | None] = {}

        def note(side: str, _: np.ndarray, given: list[str] | None, asked: dict[str, Any] = asked) -> dict[str, Any]:
            asked[side] = given
            return {}

        batches.append(
            gather_batch(
                part.columns,
                part.rows,
                in_batch=in_batch,
                dataset=part.dataset,
                seed=seed,
                teacher=part.teacher,
                encode=note,
                lone=lone,
            )
        )
        words.append(asked)
    batches = _own_labels(batches)
    queries, query_places = _merged("query", [each.queries for each in batches], parts, words, encode)
    documents, places = _merged("document", [each.documents for each in batches], parts, words, encode)
    query_index = torch.cat([own[each.query_index] for own, each in zip(query_places, batches, strict=True)])
    positives = _stacked([_moved(each.positives, own) for own, each in zip(places, batches, strict=True)])
    negatives = _stacked([_moved(each.negatives, own) for own, each in zip(places, batches, strict=True)])
    return Batch(
        queries=queries,
        documents=documents,
        query_index=query_index,
        positives=positives,
        negatives=negatives,
        known=_known(parts, queries.keys[query_index].numpy(), documents.keys.numpy()),
        weights=torch.cat([each.weights for each in batches]),
        dataset=torch.cat([each.dataset for each in batches]),
        scores=_scores("scores", batches),
        teacher_scores=_scores("teacher_scores", batches),
        groups=_groups(batches),
        kind=batches[0].kind,
        in_batch=in_batch,
        progress=progress,
        seed=seed,
    )


def _own_labels(batches: Sequence[Batch]) -> list[Batch]:
    """The batches with classes numbered on from one to the next."""
    shifted, shift = [], 0
    for batch in batches:
        sides = {
            side: replace(block, labels=torch.where(block.labels >= 0, block.labels + shift, -1))
            for side in ("queries", "documents")
            if (block := getattr(batch, side)) is not None
        }
        labels = torch.cat([batch.queries.labels, batch.documents.labels])
        shift += int(labels.max()) + 1 if len(labels) else 0
        shifted.append(replace(batch, **sides))
    return shifted


def _merged(
    side: str,
    blocks: Sequence[Block],
    parts: Sequence[Part],
    words: Sequence[Mapping[str, list[str] | None]],
    encode: EncodeMixed | None,
) -> tuple[Block, list[Tensor]]:
    """One block of all, each (content, instruction, class) once, and where each part's entries stand in it."""
    openings: dict[str, int] = {"": 0}
    asked = [given[side] or [""] * len(block) for given, block in zip(words, blocks, strict=True)]
    codes = np.array([openings.setdefault(word, len(openings)) for own in asked for word in own], dtype=np.int64)
    rows = torch.cat([block.rows for block in blocks])
    labels = torch.cat([block.labels for block in blocks])
    content = np.concatenate([p.columns.content[b.rows.numpy()] for p, b in zip(parts, blocks, strict=True)])
    wanted = np.stack([content, codes, labels.numpy()], axis=1)
    _, first, places = np.unique(wanted, axis=0, return_index=True, return_inverse=True)
    datasets = np.repeat([part.dataset for part in parts], [len(block) for block in blocks])
    chosen = torch.from_numpy(first)
    names = list(openings)
    opening = [names[code] for code in codes[first]] if len(names) > 1 else None
    teachers = [block.teacher for block in blocks if block.teacher is not None]
    merged = Block(
        rows=rows[chosen],
        keys=torch.cat([block.keys for block in blocks])[chosen],
        labels=labels[chosen],
        teacher=torch.cat(teachers)[chosen] if len(teachers) == len(blocks) else None,
        features=None if encode is None else encode(side, datasets[first], rows[chosen].numpy(), opening),
    )
    return merged, list(torch.from_numpy(places.reshape(-1)).split([len(block) for block in blocks]))


def _moved(index: Tensor, places: Tensor) -> Tensor:
    """int64 with -1 for absent: from places of a part's block to those of the merged one."""
    return torch.where(index >= 0, torch.cat([places, places.new_zeros(1)])[index.clamp_min(0)], -1)


def _stacked(values: Sequence[Tensor], absent: float = -1) -> Tensor:
    """Tables of different width as one, the narrow ones filled up."""
    width = max(each.shape[1] for each in values)
    filled = [torch.nn.functional.pad(each, (0, width - each.shape[1]), value=absent) for each in values]
    return torch.cat(filled)


def _scores(name: str, batches: Sequence[Batch]) -> Tensor | None:
    """float32 [B, P+N]; positives and negatives are widened each by themselves."""
    if all(getattr(each, name) is None for each in batches):
        return None
    sides: tuple[list[Tensor], list[Tensor]] = ([], [])
    for batch in batches:
        count = batch.positives.shape[1]
        own = getattr(batch, name)
        if own is None:
            own = torch.full((len(batch), count + batch.negatives.shape[1]), torch.nan)
        sides[0].append(own[:, :count])
        sides[1].append(own[:, count:])
    return torch.cat([_stacked(side, torch.nan) for side in sides], dim=1)


def _groups(batches: Sequence[Batch]) -> Tensor | None:
    if all(batch.groups is None for batch in batches):
        return None
    shifted, shift = [], 0
    for batch in batches:
        groups = torch.full((len(batch),), -1) if batch.groups is None else batch.groups
        shifted.append(torch.where(groups >= 0, groups + shift, -1))
        shift += int(groups.max()) + 1
    return torch.cat(shifted)


def _known(parts: Sequence[Part], query_keys: np.ndarray, document_keys: np.ndarray) -> Tensor:
    found = np.concatenate([part.columns.known_keys(query_keys, document_keys) for part in parts])
    return torch.from_numpy(np.unique(found, axis=0))
