"""Open a teacher by its kind, and score a dataset with it.

cross-encoder   a folder of sentence-transformers' CrossEncoder: reads both texts at once (`cross_encoder.py`)
embedder        any model of `vecsmith.load`: cosine of the two vectors
likelihood      a causal language model: how likely the wished answer is after the candidate (`likelihood.py`)
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsmith.data.teachers import Scorer, teach
from vecsmith.errors import ContractError, DataError, UsageError
from vecsmith.models.encode import encode_counted
from vecsmith.progress import SILENT, Progress

if TYPE_CHECKING:
    from vecsmith.data.dataset import Dataset
    from vecsmith.models.model import Model

__all__ = ["KINDS", "EmbedderScorer", "answers_of", "open_scorer", "score_dataset"]

KINDS = ("cross-encoder", "embedder", "likelihood")


def score_dataset(
    dataset: "Dataset",
    teacher: str | os.PathLike[str],
    *,
    kind: str,
    folder: Path | str,
    how: str = "none",
    answers: Mapping[str, str] | str | None = None,
    progress: Progress = SILENT,
    **options: Any,
) -> "Dataset":
    """The dataset with a teacher's scores; computed once, kept raw in `folder`, resumed after a kill.

    teacher   folder, or a name: of `vecsmith.load` (embedder), "smol" (likelihood)
    kind      cross-encoder, embedder or likelihood
    how       normalisation per list: none, minmax, standard, softmax, rank
    answers   likelihood only: query -> answer, or "positives" (the default: a query's first positive) or "labels"
    options   of the scorer: template, key_tokens, context (likelihood); device, dtype, token_budget
    raises    UsageError, ContractError, DataError, Damaged, MissingExtra, Locked: see the scorers and `teach`
    """
    scorer = open_scorer(teacher, kind=kind, answers=_answers(dataset, kind, answers), **options)
    return teach(dataset, scorer, folder, how=how, progress=progress)


def open_scorer(
    teacher: str | os.PathLike[str], *, kind: str, answers: Mapping[str, str] | None = None, **options: Any
) -> Scorer:
    """A scorer of one kind; options are those of its class. UsageError: unknown kind, answers where none are used."""
    if kind not in KINDS:
        raise UsageError(f'"{kind}" is no kind of teacher; known: {", ".join(KINDS)}')
    if kind == "likelihood":
        from vecsmith.models.language_model import load_language_model
        from vecsmith.models.likelihood import LikelihoodScorer

        if answers is None:
            raise UsageError("a likelihood is one of an answer; give answers: query -> wished answer")
        loading = {name: options.pop(name) for name in ("dtype", "device") if name in options}
        return LikelihoodScorer(load_language_model(teacher, **loading), answers, **options)
    if answers is not None:
        raise UsageError(f"answers belong to the kind likelihood; a teacher of kind {kind} reads pairs alone")
    if kind == "embedder":
        from vecsmith.models.load import load

        return EmbedderScorer(load(teacher, **options), name=str(teacher))
    from vecsmith.models.cross_encoder import CrossEncoderScorer

    return CrossEncoderScorer(teacher, **options)


class EmbedderScorer:
    """Scores pairs by the cosine of their vectors; each distinct text of a side is encoded once and held.

    `cut` counts texts longer than the model reads.

    Queries take the model's query prompt, documents its document prompt. Memory: 4 bytes x width per distinct text.
    """

    def __init__(self, model: "Model", *, name: str) -> None:
        self.model, self.name = model, name
        self.cut = 0
        self._vectors: dict[str, dict[str, np.ndarray]] = {"query": {}, "document": {}}

    @property
    def description(self) -> dict[str, Any]:
        """What scores hang on besides their pair."""
        return {
            "kind": "embedder",
            "name": self.name,
            "fingerprint": self.model.contract.fingerprint,
            "output": "cosine",
        }

    def __call__(self, pairs: list[tuple[str, str]]) -> np.ndarray:
        """float64 [n]: cosines of (query, document). ContractError: a vector of length 0 has no direction."""
        if not pairs:
            return np.empty(0, dtype=np.float64)
        queries = self._of("query", [query for query, _ in pairs])
        documents = self._of("document", [document for _, document in pairs])
        return np.einsum("nd,nd->n", queries, documents)

    def _of(self, role: str, texts: list[str]) -> np.ndarray:
        """Unit vectors of texts, float64 [n, d]."""
        held = self._vectors[role]
        new = list(dict.fromkeys(text for text in texts if text not in held))
        if new:
            found = encode_counted(self.model, new, prompt=role, on_truncation="cut")
            self.cut += found.counts.truncated
            lengths = np.linalg.norm(found.vectors, axis=1, keepdims=True)
            if not lengths.all():
                text = new[int((lengths == 0).argmax())]
                raise ContractError(f'"{text[:60]}" has a vector of length 0, which has no cosine; drop that text')
            held.update(zip(new, found.vectors / lengths, strict=True))
        return np.stack([held[text] for text in texts]).astype(np.float64)


def answers_of(dataset: "Dataset", source: str) -> dict[str, str]:
    """The wished answer of each query of a dataset: query -> answer, the first record's where a query repeats.

    source    "positives": the first positive's text [ours]; "labels": the record's label
    raises    DataError: a record that has none, counted from 1; UsageError: another source
    """
    if source not in ("positives", "labels"):
        raise UsageError(f'answers come from "positives" or "labels", or from query -> answer, not from "{source}"')
    found: dict[str, str] = {}
    records = dataset.records
    columns = (records["query"].to_pylist(), records["positives"].to_pylist(), records["label"].to_pylist())
    for number, (query, positives, label) in enumerate(zip(*columns, strict=True), start=1):
        answer = label if source == "labels" else dataset.text(positives[0]) if positives else None
        if not answer:
            raise DataError(
                f"record {number} of {dataset.name} has no {source[:-1]}, so its likelihood has no answer to be of. "
                "Drop it, or give answers: query -> answer"
            )
        found.setdefault(dataset.text(query), answer)
    return found


def _answers(dataset: "Dataset", kind: str, answers: Mapping[str, str] | str | None) -> Mapping[str, str] | None:
    if kind != "likelihood":
        if answers is not None:
            raise UsageError(f"answers belong to the kind likelihood; a teacher of kind {kind} reads pairs alone")
        return None
    if isinstance(answers, Mapping):
        return answers
    return answers_of(dataset, answers or "positives")
