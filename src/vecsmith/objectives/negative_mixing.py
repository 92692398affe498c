"""New hard negatives out of a row's own, mixed on the sphere: two at a time, or all by their nearness to the query.

KaLM-Embedding-V2 (arXiv 2506.20923): online hard-negative mixing. Pair-wise with l ~ Beta(2, 2) as described there; the
list-wise weights are reconstructed [mem?]; how many per query is not published: 1 and 1 are [ours]. The gradient flows
into the parents (holding them fixed did worse here). [ours]: which two and how much of each hang on the keys of the
query and its negatives, never on their places.
"""

import torch
from torch import Tensor

from vecsmith.data.batch import Batch
from vecsmith.objectives.candidates import Candidates, unit
from vecsmith.objectives.draws import beta_2_2, uniform

__all__ = ["mix_list", "mix_pair", "mixed_columns"]


def mixed_columns(table: Candidates, batch: Batch, temperature: float, *, pairs: int, lists: int) -> Candidates:
    """The table with `pairs` + `lists` more columns per row, its own mixed negatives: `mixed`, `mixed_allowed`.

    pairs   mixed from two different negatives each; lists   0 or 1
    raises  ValueError: a number below 0, or more than one list (it has no random part: a second would be a copy)

    Parents are the row's own negatives that no mask removed, each key once. A row with fewer than two has none to mix.
    """
    if pairs < 0 or lists not in (0, 1):
        raise ValueError(f"mix_pairs is {pairs} and mix_lists {lists}; known: mix_pairs 0 or more, mix_lists 0 or 1")
    places = own_parents(table, batch)  # [B, N], -1 where absent
    present = places >= 0
    enough = present.sum(dim=1) >= 2
    if not (pairs or lists) or not bool(enough.any()):
        return table
    parents = table.documents[places.clamp_min(0)]  # [B, N, d]
    own = table.queries[batch.query_index]
    keys = batch.documents.keys[places.clamp_min(0)]
    asked = batch.queries.keys[batch.query_index]
    made = [mix_pair(parents, present, keys, asked, seed=batch.seed, turn=turn) for turn in range(pairs)]
    if lists:
        similarities = table.columns.gather(1, places.clamp_min(0))
        made.append(mix_list(parents, present, similarities, temperature))
    columns = torch.stack([(own * vector).sum(dim=1) for vector in made], dim=1)
    return table.with_mixed(columns, enough[:, None].expand_as(columns))


def mix_pair(parents: Tensor, present: Tensor, keys: Tensor, asked: Tensor, *, seed: int, turn: int = 0) -> Tensor:
    """l a + (1 - l) b at length 1, a and b two different parents of a row, l ~ Beta(2, 2).

    parents   float [B, N, d], rows at length 1; N >= 2
    present   bool [B, N]; a row with fewer than two gets a vector of no meaning
    keys      int64 [B, N], different within a row; asked   int64 [B], keys of the queries
    returns   float [B, d]

    Every parent draws a number; the two smallest are mixed, so every pair is equally likely.
    """
    lots = uniform(seed, asked[:, None], keys, salt=2 * turn).masked_fill(~present, 2.0)
    pair = lots.topk(2, dim=1, largest=False).indices  # [B, 2], smallest first
    chosen = keys.gather(1, pair)
    share = beta_2_2(seed, asked, chosen[:, 0], chosen[:, 1], salt=2 * turn + 1).to(parents.dtype)[:, None]
    rows = torch.arange(len(parents), device=parents.device)
    return unit(share * parents[rows, pair[:, 0]] + (1 - share) * parents[rows, pair[:, 1]])


def mix_list(parents: Tensor, present: Tensor, similarities: Tensor, temperature: float) -> Tensor:
    """sum_k w_k n_k at length 1, w = softmax_k(s(q, n_k) / temperature) over the row's parents.

    parents        float [B, N, d]; present   bool [B, N]
    similarities   float [B, N], of query and parent; the gradient flows through the weights too
    returns        float [B, d]

    Where the parents' mean similarity is at least 0, the mixture's is no lower: the weights lean towards the near ones,
    and the sum is at most of length 1, so that bringing it to 1 lowers nothing.
    """
    lowest = torch.finfo(similarities.dtype).min / 4
    weights = (similarities / temperature).masked_fill(~present, lowest).softmax(dim=1)
    return unit((weights[:, None, :] @ parents)[:, 0])


def own_parents(table: Candidates, batch: Batch) -> Tensor:
    """int64 [B, N]: the row's own negatives that are candidates, each key once, in order of keys; -1 where none."""
    negatives = batch.negatives
    usable = (negatives >= 0) & table.allowed[:, 0].gather(1, negatives.clamp_min(0))
    keys, inputs = (values[negatives.clamp_min(0)] for values in (batch.documents.keys, batch.documents.rows))
    order = torch.arange(negatives.shape[1], device=negatives.device).expand_as(negatives)
    for values in (inputs, keys, ~usable):  # the last sorts first: usable ones, by key, by input row
        order = order.gather(1, values.gather(1, order).argsort(dim=1, stable=True))
    sorted_keys, sorted_usable = keys.gather(1, order), usable.gather(1, order)
    again = torch.zeros_like(usable)
    again[:, 1:] = sorted_keys[:, 1:] == sorted_keys[:, :-1]
    return torch.where(sorted_usable & ~again, negatives.gather(1, order), -1)
