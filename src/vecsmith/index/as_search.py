"""An index as the judge sees everything: `search(queries, k) -> (rows, scores)`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vecsmith.index.index import Index

__all__ = ["as_search"]

Search = Callable[[list[str], int], tuple[NDArray[np.int64], NDArray[np.float32]]]


def as_search(index: "Index", document_ids: Sequence[str], **options: Any) -> Search:
    """A search whose rows are places in `document_ids`; documents of the index that are not listed are passed over.

    options   of `Index.search_many`: mode, where, weight
    returns   (queries, k) -> rows int64 [q, k], scores float32 [q, k]; -1 and -inf where fewer were found
    """
    places = {name: place for place, name in enumerate(document_ids)}

    def search(queries: list[str], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        extra = max(0, len(index) - len(places))  # so many hits can be passed over
        for number, result in enumerate(index.search_many(queries, k + extra, fields=[], **options)):
            found = [
                (places[name], score) for name, score in zip(result.ids, result.scores, strict=True) if name in places
            ]
            for place, (row, score) in enumerate(found[:k]):
                rows[number, place], scores[number, place] = row, score
        return rows, scores

    return search
