"""Texts made ready for a graph: tokenised once, run in groups of equal length, so that nothing is padded."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

__all__ = ["GraphTexts"]

Float = NDArray[np.float32]
Rows = NDArray[np.int64]

AT_ONCE = 1_024  # texts whose tokens exist as Python objects at the same time
GROUP_TOKENS = 4_096  # tokens of one run; more leave the cache


class GraphTexts:
    """What the driver holds of texts for an encoder whose cost is rows times longest.

    counts      int64 [n], tokens before any cut, special tokens included
    is_packed   True: a batch of texts of any lengths costs the sum of their lengths
    """

    is_packed = True

    def __init__(
        self,
        texts: list[str],
        prompt: str,
        *,
        counter: "Tokenizer",
        cutter: "Tokenizer",
        limit: int | None,
        run: Callable[[dict[str, Rows]], Float],
    ) -> None:
        self._run, self._ids, self._types = run, [], {}
        counts: list[int] = []
        for at in range(0, len(texts), AT_ONCE):
            batch = [prompt + text for text in texts[at : at + AT_ONCE]] if prompt else texts[at : at + AT_ONCE]
            for row, encoding in enumerate(counter.encode_batch_fast(batch), start=at):
                counts.append(len(encoding.ids))
                if limit is not None and counts[-1] > limit:
                    encoding = cutter.encode(batch[row - at])
                self._keep(row, encoding)
        self.counts: Rows = np.array(counts, dtype=np.int64)

    _ids: list[NDArray[np.int32]]
    _types: dict[int, Rows]

    def _keep(self, row: int, encoding: "Encoding") -> None:
        self._ids.append(np.array(encoding.ids, dtype=np.int32))
        types = encoding.type_ids
        if any(types):
            self._types[row] = np.array(types, dtype=np.int64)

    def embed(self, rows: Rows) -> Float:
        """Vectors of some of the texts, in the order of `rows`: float32 [len(rows), dimension]."""
        lengths = np.fromiter((len(self._ids[row]) for row in rows), dtype=np.int64, count=len(rows))
        order = np.argsort(lengths, kind="stable")
        found: Float | None = None
        for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
            length = int(lengths[group[0]])
            for part in np.array_split(group, max(1, -(-len(group) * length // GROUP_TOKENS))):
                vectors = self._run(self._features(rows[part], length))
                found = np.empty((len(rows), vectors.shape[1]), dtype=np.float32) if found is None else found
                found[part] = vectors
        assert found is not None  # a batch has a text
        return found

    def _features(self, rows: Rows, length: int) -> dict[str, Rows]:
        # A text without any token still needs a place in the graph; its mask says that there is nothing.
        ids = np.zeros((len(rows), max(1, length)), dtype=np.int64)
        types = np.zeros_like(ids)
        mask = np.full_like(ids, int(length > 0))
        for place, row in enumerate(rows.tolist()):
            ids[place, :length] = self._ids[row]
            if row in self._types:
                types[place, :length] = self._types[row]
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
