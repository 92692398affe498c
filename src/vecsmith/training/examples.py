"""The texts of a dataset whose queries carry examples: what the collator tokenises in place of the bare ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from vecsmith.data.in_context import ExamplePool, InContext, TokenRuler, written_query
from vecsmith.errors import RecipeError
from vecsmith.training.collate import TrainingSet

__all__ = ["ExampleTexts", "ruler_of"]

SYMMETRIC = ("pair", "scored", "class")


class ExampleTexts:
    """(side, input rows, seed) -> texts. Documents of retrieval records are bare; those of symmetric records (pair,
    scored, class) carry instruction and suffix, without examples.

    raises   RecipeError: the examples' room is the whole length of the model, so that none would ever fit
    """

    def __init__(self, training_set: TrainingSet, options: InContext, model: SentenceTransformer) -> None:
        self.pool, self.options = ExamplePool(training_set.dataset, training_set.columns), options
        self.ruler, self.kind = ruler_of(model), training_set.columns.kind
        if options.count and self.ruler.max_length is not None and options.room >= self.ruler.max_length:
            raise RecipeError(
                f"in_context of {training_set.columns.name}: room is {options.room}, and the model reads "
                f"{self.ruler.max_length} tokens: no example would ever fit. Lower room, or raise model.max_seq_length"
            )

    def texts(self, side: str, rows: np.ndarray, seed: int, instructions: Sequence[str] | None = None) -> list[str]:
        texts = self.pool.dataset.texts(rows)
        tasks = (
            [word or self.options.task for word in instructions] if instructions else [self.options.task] * len(rows)
        )
        if side == "query":
            return [self._query(int(row), text, seed, task) for row, text, task in zip(rows, texts, tasks, strict=True)]
        if self.kind not in SYMMETRIC:
            return texts
        return [
            written_query(text, [], self.options, self.ruler, task=task)
            for text, task in zip(texts, tasks, strict=True)
        ]

    def _query(self, row: int, text: str, seed: int, task: str) -> str:
        drawn = self.pool.draw(row, seed, self.options.count)
        return written_query(text, [self.pool.example(each) for each in drawn], self.options, self.ruler, task=task)


def ruler_of(model: SentenceTransformer) -> TokenRuler:
    """How the model's own tokenizer counts and cuts; a cut ends where a token ends in the text."""
    tokenizer: Any = model.tokenizer
    if hasattr(tokenizer, "backend_tokenizer"):

        def ends(text: str) -> list[int]:
            found = tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False
            )
            return [end for _, end in found["offset_mapping"]]

        special = tokenizer.num_special_tokens_to_add()
    else:

        def ends(text: str) -> list[int]:
            return [end for _, end in tokenizer.encode(text, add_special_tokens=False).offsets]

        special = 0
    length = model.max_seq_length
    return TokenRuler(
        count=lambda text: len(ends(text)),
        cut=lambda text, limit: text[: found[limit - 1]] if len(found := ends(text)) > limit else text,
        max_length=None if length is None or length > 10**6 else int(length) - special,
    )
