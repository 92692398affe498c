"""What a record costs of a token budget: an estimate from bytes, so that a million records take no tokenising."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from vecsmith.training.collate import TrainingSet

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from vecsmith.data.columns import Ragged

__all__ = ["row_tokens", "with_tokens"]

SAMPLE = 512


def with_tokens(
    sets: Sequence[TrainingSet], model: "SentenceTransformer", prompts: Mapping[str, str]
) -> list[TrainingSet]:
    """The training sets with the tokens of each record; see `row_tokens`."""
    return [replace(each, tokens=row_tokens(each, model, prompts)) for each in sets]


def row_tokens(
    training_set: TrainingSet, model: "SentenceTransformer", prompts: Mapping[str, str] | None = None
) -> np.ndarray:
    """int64 [records]: tokens of a record's query, positives and negatives together, estimated.

    Tokens per byte of UTF-8 are counted with the model's tokenizer on 512 inputs of the dataset, evenly spread; a text
    then has its bytes times that, at least 1, at most `model.max_seq_length`. The same data and model always give the
    same numbers. [ours]
    """
    dataset, columns = training_set.dataset, training_set.columns
    sizes = np.concatenate([np.asarray(pc.binary_length(part).fill_null(0)) for part in dataset.inputs["text"].chunks])
    rate = _tokens_per_byte(training_set, sizes, model)
    most = model.max_seq_length or np.iinfo(np.int64).max

    def tokens(inputs: np.ndarray, opening: np.ndarray | int) -> np.ndarray:
        return np.clip(np.ceil((sizes[inputs] + opening) * rate), 1, most).astype(np.int64)

    openings = _openings(training_set, prompts or {})
    if training_set.in_context:  # a query carries half of the most examples on average
        shown = [sizes[each].mean() for each in (columns.query, columns.positives.values) if len(each)]
        openings["query"] = openings["query"] + int(sum(shown) * training_set.in_context.count / 2)
    total = tokens(columns.query, openings["query"])
    if columns.kind == "class":  # its positive is another text of the class, not known yet
        return total * 2
    for lists in (columns.positives, columns.negatives):
        total = total + _summed(lists, tokens, openings["document"])
    return total


def _summed(lists: "Ragged", tokens: object, opening: np.ndarray) -> np.ndarray:
    """Tokens of each list's inputs."""
    counts = np.diff(lists.offsets)
    each = tokens(lists.values, np.repeat(opening, counts))  # type: ignore[operator]
    ends = np.concatenate([[0], np.cumsum(each)])
    found: np.ndarray = ends[lists.offsets[1:]] - ends[lists.offsets[:-1]]
    return found


def _openings(training_set: TrainingSet, prompts: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Bytes that stand in front of each record's texts, by side: its instruction, else the prompt."""
    instructions, count = training_set.columns.instructions, len(training_set.columns)
    result = {}
    for side in ("query", "document"):
        prompt = len((prompts.get(side) or "").encode("utf-8", "surrogatepass"))
        own = np.zeros(count, np.int64)
        if instructions:
            words = np.array([len(word.encode("utf-8", "surrogatepass")) for word in instructions.words])
            own = words[getattr(instructions, side)]
        result[side] = np.where(own > 0, own, prompt)
    return result


def _tokens_per_byte(training_set: TrainingSet, sizes: np.ndarray, model: "SentenceTransformer") -> float:
    """Of a sample; texts that the model cuts say too little and count only where all are cut."""
    rows = np.unique(np.linspace(0, len(sizes) - 1, min(SAMPLE, len(sizes))).astype(np.int64))
    features = model.preprocess(training_set.dataset.texts(rows))
    if "attention_mask" in features:
        counts = np.asarray(features["attention_mask"].sum(dim=1))
    else:
        ends = np.append(np.asarray(features["offsets"]), len(features["input_ids"]))
        counts = np.diff(ends)
    whole = counts < (model.max_seq_length or np.iinfo(np.int64).max)
    chosen = whole if whole.any() else np.ones(len(rows), bool)
    return float(counts[chosen].sum() / max(int(sizes[rows][chosen].sum()), 1))
