"""A loss of sentence-transformers over our batch: its rigid columns cut out of rows of any shape, the cuts counted."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vecsmith.data.batch import Batch
from vecsmith.errors import NotEnoughData
from vecsmith.objectives.candidates import unit
from vecsmith.objectives.draws import uniform
from vecsmith.objectives.loss import Loss
from vecsmith.objectives.stock_catalogue import Stock, made_loss, stock_of

__all__ = ["stock_loss"]

NEEDS = {"stock_loss": ()}  # by its name: stock_catalogue.stock_needs

SALT = 101  # this draw's own


def stock_loss(
    queries: Tensor,
    documents: Tensor,
    batch: Batch,
    *,
    name: str,
    options: Mapping[str, Any] | None = None,
    unit_length: bool = True,
) -> Loss:
    """The loss `name` of sentence-transformers on columns (query, positive, negative, ...) of the batch.

    queries, documents   float [Uq, d], [Ud, d], before any Normalize module
    name         a class of `sentence_transformers.losses` that computes from embeddings; `stock_catalogue.RUN`
    options      its arguments; functions by name: similarity_fct, distance_metric: cosine, dot, euclidean, manhattan
    unit_length  vectors at length 1, as a model with a Normalize module gives them; False leaves them as they are
    returns      its value; parts `cut_positives`, `cut_negatives`, `left_out` (rows), and the terms of a sum
    raises       RecipeError: a loss or option that cannot run (also said before training, `check_stock_loss`)
                 ValueError: weights that differ, grades that are not 0 and 1 where it wants those, no in-batch
                 negatives where it takes them, teacher vectors of another width
                 NotEnoughData: no row has what it needs

    A row gives one positive, drawn by (seed, key), and as many negatives as the row that has fewest; batches of rows
    with equally many cut none (`Source.buckets`). Losses of classes get every labelled text of the batch once. Nothing
    is masked: a document that is a row's positive and another's candidate stays a negative, as it does there.
    """
    stock, loss = stock_of(name), made_loss(name, options)
    if stock.compares and not batch.in_batch:
        raise ValueError(f'{name} takes other rows\' texts as negatives; its data say "in_batch: false"')
    if not bool((batch.weights == batch.weights[0]).all()):
        raise ValueError(f"{name} knows no weights of rows, and these differ; leave them out, or use info_nce")
    with torch.autocast(queries.device.type, enabled=False):
        if unit_length:
            sides = unit(queries), unit(documents)
        else:
            sides = queries.float(), documents.float()
            if queries.dtype == torch.float64:
                sides = queries, documents
        pick = _texts if stock.labels == "classes" else _columns
        columns, labels, parts = pick(*sides, batch, stock, name)
        if name == "MegaBatchMarginLoss":
            value = loss.calculate_loss([[column] for column in columns])
        elif name == "GlobalOrthogonalRegularizationLoss":
            terms = loss.compute_loss_from_embeddings(columns)
            parts.update({each: float(term.detach()) for each, term in terms.items()})
            value = torch.stack(list(terms.values())).sum()
        else:
            value = loss.compute_loss_from_embeddings(columns, labels)
    return Loss(value, parts)


Picked = tuple[list[Tensor], Any, dict[str, float]]


def _columns(queries: Tensor, documents: Tensor, batch: Batch, stock: Stock, name: str) -> Picked:
    """[query, positive, negative, ...] each [b, d], labels for them, and what was cut."""
    positive = drawn_positives(batch)
    places, negatives = torch.where(positive >= 0, positive, 0), batch.negatives >= 0
    usable = torch.ones_like(positive, dtype=torch.bool) if stock.labels == "vectors" else positive >= 0
    width = batch.positives.shape[1]
    labels = {"grades": batch.scores, "binary": batch.scores, "rewards": batch.teacher_scores}.get(stock.labels or "")
    if stock.labels in ("grades", "binary", "rewards"):
        if labels is None or not width:
            raise NotEnoughData(f"{name} needs {'teacher_scores' if stock.labels == 'rewards' else 'scores'}")
        usable = usable & torch.isfinite(labels.gather(1, places[:, None])[:, 0])
        if stock.labels == "rewards":
            negatives = negatives & torch.isfinite(labels[:, width:])
    if stock.required:
        usable = usable & negatives.any(dim=1)
    rows = (usable & (batch.weights > 0)).nonzero()[:, 0]
    if not len(rows):
        raise NotEnoughData(f"{name}: none of {len(batch)} rows has what it needs: {_wanted(stock)}")
    counts = negatives[rows].sum(dim=1)
    kept = {"all": int(counts.min()), "one": 1, "none": 0}[stock.negatives]
    order = (~negatives[rows]).long().argsort(dim=1, stable=True)[:, :kept]  # [b, kept], present ones, in order
    index = batch.query_index[rows]
    columns, taken = [queries[index]], [batch.queries.teacher[index]] if batch.queries.teacher is not None else []
    chosen = torch.cat([places[rows, None], width + order], dim=1)  # [b, 1 + kept], places among positives, negatives
    if bool((positive[rows] >= 0).all()):
        found = torch.cat([batch.positives, batch.negatives], dim=1)[rows].gather(1, chosen)
        columns += list(documents[found].unbind(1))
        if batch.documents.teacher is not None:
            taken += list(batch.documents.teacher[found].unbind(1))
    parts = {
        "cut_positives": float((batch.positives[rows] >= 0).sum() - (positive[rows] >= 0).sum()),
        "cut_negatives": float(counts.sum() - kept * len(rows)),
        "left_out": float(len(batch) - len(rows)),
    }
    if stock.labels == "vectors":
        return columns, _vectors(taken, columns, name), parts
    if labels is None:
        return columns, None, parts
    made = labels[rows].gather(1, chosen if stock.labels == "rewards" else chosen[:, :1]).to(queries.dtype)
    if stock.labels == "binary" and bool(((made != 0) & (made != 1)).any()):
        raise ValueError(f"{name} takes scores of 0 and 1; found {made[(made != 0) & (made != 1)][0]:g}")
    return columns, made if stock.labels == "rewards" else made[:, 0], parts


def _texts(queries: Tensor, documents: Tensor, batch: Batch, stock: Stock, name: str) -> Picked:
    """[every labelled text of the batch, each key once, in order of keys], and its classes."""
    positive = drawn_positives(batch)
    rows = (batch.weights > 0).nonzero()[:, 0]
    found = batch.positives[rows, positive[rows].clamp_min(0)] if batch.positives.shape[1] else positive[rows]
    found = found[(positive[rows] >= 0) & (found >= 0)]
    index = batch.query_index[rows]
    vectors = torch.cat([queries[index], documents[found]])
    keys = torch.cat([batch.queries.keys[index], batch.documents.keys[found]])
    labels = torch.cat([batch.queries.labels[index], batch.documents.labels[found]])
    vectors, keys, labels = vectors[labels >= 0], keys[labels >= 0], labels[labels >= 0]
    order = keys.argsort(stable=True)
    first = torch.ones_like(order, dtype=torch.bool)
    first[1:] = keys[order][1:] != keys[order][:-1]
    order = order[first]
    if len(order) < 2:
        raise NotEnoughData(f"{name} needs texts with classes; the batch has {len(order)}")
    cut = (batch.positives[rows] >= 0).sum() - len(found)
    return [vectors[order]], labels[order], {"cut_positives": float(cut), "cut_negatives": 0.0, "left_out": 0.0}


def drawn_positives(batch: Batch) -> Tensor:
    """int64 [B]: the place of one positive of each row, every one equally likely, by (seed, keys); -1 where none."""
    if not batch.positives.shape[1]:
        return torch.full_like(batch.query_index, -1)
    present = batch.positives >= 0
    keys = batch.documents.keys[batch.positives.clamp_min(0)] if len(batch.documents) else batch.positives
    lots = uniform(batch.seed, batch.queries.keys[batch.query_index][:, None], keys, salt=SALT)
    return torch.where(present.any(dim=1), lots.masked_fill(~present, 2.0).argmin(dim=1), -1)


def _vectors(taken: list[Tensor], columns: list[Tensor], name: str) -> list[Tensor]:
    if len(taken) != len(columns):
        raise NotEnoughData(f'{name} needs a teacher\'s vectors (Block.teacher); name it at the data: "teacher: MODEL"')
    if taken[0].shape[1] != columns[0].shape[1]:
        raise ValueError(
            f"{name} compares vectors number by number: the teacher's have {taken[0].shape[1]}, the model's "
            f"{columns[0].shape[1]}; use similarity_distillation, which takes any widths"
        )
    return taken


def _wanted(stock: Stock) -> str:
    words = ["a positive", "a negative"] if stock.required else ["a positive"]
    scores = {"grades": "a score", "binary": "a score", "rewards": "teacher scores"}.get(stock.labels or "")
    return ", ".join([*words, scores] if scores else words)
