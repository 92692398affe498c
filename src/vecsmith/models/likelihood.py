"""Reward a candidate by how likely a language model finds the wished answer after reading it.

r(key) = mean of log p(token) over the tokens of the answer only, in the sequence template(key, query, answer)
(LLM-Embedder, arXiv 2310.07554, section 3.1; its code cuts keys at 512 tokens and sequences at 1,024).
"""

import inspect
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vecsmith.errors import DataError, UsageError
from vecsmith.models.batches import plan_batches

if TYPE_CHECKING:
    from vecsmith.models.language_model import LanguageModel

__all__ = ["LikelihoodScorer", "Reading", "answer_log_likelihood", "load_template", "read_candidate"]

KEY_TOKENS, CONTEXT = 512, 1_024
TOKEN_BUDGET, WASTE_LIMIT = 2_048, 0.2


def answer_log_likelihood(logits: Tensor, ids: Tensor, answer_mask: Tensor) -> Tensor:
    """Mean log probability of each row's answer tokens: float32 [B].

    logits        float [B, L, V]; the row at place t is what the model expects at t + 1
    ids           int64 [B, L], what stands there
    answer_mask   bool [B, L], true at answer tokens; never at place 0, which nothing predicts
    raises        DataError: a row without an answer token, or with one at place 0

    Two answer tokens of probability 1/2 and 1/8 give (-0.6931 - 2.0794) / 2:

    >>> logits = torch.log(torch.tensor([[[0.5, 0.5], [0.125, 0.875], [0.5, 0.5]]]))
    >>> mask = torch.tensor([[False, True, True]])
    >>> round(float(answer_log_likelihood(logits, torch.tensor([[1, 1, 0]]), mask)), 4)
    -1.3863
    """
    if bool(answer_mask[:, 0].any()) or not bool(answer_mask.any(dim=1).all()):
        row = int((answer_mask[:, 0] | ~answer_mask.any(dim=1)).nonzero()[0, 0])
        raise DataError(f"row {row}: an answer needs a token, and a token before it that predicts it")
    expected = torch.log_softmax(logits[:, :-1].float(), dim=-1)
    found = expected.gather(2, ids[:, 1:, None]).squeeze(2)
    wanted = answer_mask[:, 1:]
    return torch.where(wanted, found, 0.0).sum(dim=1) / wanted.sum(dim=1)


@dataclass(frozen=True)
class Reading:
    """One sequence: token ids, how many at its end are the answer, and what the key lost."""

    ids: list[int]
    answer_tokens: int
    key_was_cut: bool


def read_candidate(
    tokenizer: Any,
    before: str,
    key: str,
    query: str,
    answer: str,
    *,
    key_tokens: int = KEY_TOKENS,
    context: int = CONTEXT,
) -> Reading:
    """Token ids of template(key, query, answer), the answer counted in context.

    before       the template's text before the answer, with {key} and {query}
    key_tokens   most tokens of the key alone, as its text is tokenised by itself
    context      most tokens in all; what is above it is taken from the key's end, never from query or answer
    raises       DataError: an empty answer, or query and answer alone above `context`

    A token belongs to the answer if it covers one of its characters, so that a space which the tokenizer joins to the
    answer's first word is part of it.
    """
    if not answer.strip():
        raise DataError(f'the answer to "{query[:60]}" is empty; its likelihood says nothing')
    cut = _cut_text(tokenizer, key, key_tokens)
    allowed = key_tokens
    while True:
        opening = _filled(before, cut, query)
        read = tokenizer(opening + answer, return_offsets_mapping=True, verbose=False)
        ids, spans = read["input_ids"], read["offset_mapping"]
        last = max(place for place, (start, end) in enumerate(spans) if end > start)  # special tokens cover nothing
        first = next(place for place, (start, end) in enumerate(spans) if end > max(start, len(opening)))
        over = last + 1 - context
        if over <= 0:
            return Reading(ids[: last + 1], last + 1 - first, cut != key)
        if not cut:
            raise DataError(
                f'query "{query[:60]}" and its answer have {last + 1:,} tokens without a candidate, above the '
                f"context of {context:,}. Shorten the answer, or allow more context"
            )
        allowed = max(0, min(allowed, len(_spans(tokenizer, cut))) - over)
        cut = _cut_text(tokenizer, cut, allowed)


def _cut_text(tokenizer: Any, text: str, most: int) -> str:
    """The text up to its `most`-th token."""
    spans = _spans(tokenizer, text)
    if len(spans) <= most:
        return text
    return text[: spans[most - 1][1]] if most else ""


def _spans(tokenizer: Any, text: str) -> list[tuple[int, int]]:
    read = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    spans: list[tuple[int, int]] = read["offset_mapping"]
    return spans


def _filled(before: str, key: str, query: str) -> str:
    """Not str.format: texts may hold braces, and are never looked into."""
    head, tail = before.split("{key}")
    if "{query}" in head:
        left, right = head.split("{query}")
        return left + query + right + key + tail
    left, right = tail.split("{query}")
    return head + key + left + query + right


@lru_cache
def _templates() -> Mapping[str, Mapping[str, str]]:
    with open(Path(__file__).with_name("reward_templates.toml"), "rb") as file:
        return tomllib.load(file)


def load_template(name_or_text: str) -> str:
    """The text before the answer: of a named template, or the text itself.

    name_or_text   question, continuation, example; or a text with {key} and {query} once each
    raises         UsageError: neither; the names are in the message
    """
    text = _templates()[name_or_text]["before"] if name_or_text in _templates() else name_or_text
    if text.count("{key}") != 1 or text.count("{query}") != 1:
        raise UsageError(
            f'"{name_or_text[:60]}" is no template: names are {", ".join(_templates())}; a text needs {{key}} and '
            "{query} once each, and the answer follows it"
        )
    return text


class LikelihoodScorer:
    """Scores (query, key) by the mean log likelihood of the query's answer; `cut` counts keys that were cut.

    Sequences of like length share a batch, filled up on the left, each with its own positions and mask: alone or in
    company, a pair gets the same score within 1e-4.
    """

    def __init__(
        self,
        model: "LanguageModel",
        answers: Mapping[str, str],
        *,
        template: str = "question",
        key_tokens: int = KEY_TOKENS,
        context: int = CONTEXT,
        token_budget: int = TOKEN_BUDGET,
    ) -> None:
        """A scorer of the queries that have an answer.

        answers        query -> wished answer, one each
        template       see `load_template`
        key_tokens     most tokens of a candidate
        context        most tokens of a sequence; the model's own limit where that is less
        token_budget   most tokens of a batch, padding included
        raises         UsageError: a template or a number that cannot be
        """
        if key_tokens < 0 or context < 2 or token_budget < 1:
            raise UsageError(f"key_tokens {key_tokens}, context {context}, token_budget {token_budget}: too small")
        self.model, self.answers, self.before = model, answers, load_template(template)
        self.key_tokens, self.context = key_tokens, min(context, model.context)
        self.token_budget, self.cut = token_budget, 0
        self._keeps = "logits_to_keep" in inspect.signature(model.model.forward).parameters

    @property
    def description(self) -> dict[str, Any]:
        """What scores hang on besides their pair and answer."""
        return {
            "kind": "likelihood",
            "name": self.model.name,
            "fingerprint": self.model.fingerprint,
            "dtype": str(self.model.model.dtype).removeprefix("torch."),
            "template": self.before,
            "key_tokens": self.key_tokens,
            "context": self.context,
        }

    def given(self, query: str) -> str:
        """The answer of a query. DataError: it has none."""
        if query not in self.answers:
            raise DataError(f'query "{query[:80]}" has no answer; a likelihood is one of an answer. Give it one')
        return self.answers[query]

    def __call__(self, pairs: list[tuple[str, str]]) -> np.ndarray:
        """float64 [n]: mean log likelihood per answer token, at most 0, for (query, key) pairs."""
        before, tokenizer = self.before, self.model.tokenizer
        limits = {"key_tokens": self.key_tokens, "context": self.context}
        readings = [read_candidate(tokenizer, before, key, query, self.given(query), **limits) for query, key in pairs]
        lengths = np.array([len(reading.ids) for reading in readings], dtype=np.int64)
        self.cut += sum(reading.key_was_cut for reading in readings)
        scores = np.empty(len(pairs), dtype=np.float64)
        for rows in plan_batches(lengths, token_budget=self.token_budget, waste_limit=WASTE_LIMIT):
            scores[rows] = self._batch([readings[row] for row in rows.tolist()])
        return scores

    def _batch(self, readings: list[Reading]) -> np.ndarray:
        width = max(len(reading.ids) for reading in readings)
        answer = max(reading.answer_tokens for reading in readings)
        ids = torch.zeros((len(readings), width), dtype=torch.long)
        there = torch.zeros_like(ids)
        wanted = torch.zeros_like(ids, dtype=torch.bool)
        for row, reading in enumerate(readings):
            ids[row, width - len(reading.ids) :] = torch.tensor(reading.ids)
            there[row, width - len(reading.ids) :] = 1
            wanted[row, width - reading.answer_tokens :] = True
        kept = min(width, answer + 1)  # answers end their rows, so the last places are all that is asked for
        ids, there, wanted = (tensor.to(self.model.model.device) for tensor in (ids, there, wanted))
        options: dict[str, Any] = {"logits_to_keep": kept} if self._keeps else {}
        positions = (there.cumsum(dim=1) - 1).clamp(min=0)
        with torch.inference_mode():
            read = self.model.model(
                input_ids=ids, attention_mask=there, position_ids=positions, use_cache=False, **options
            )
            found = answer_log_likelihood(read.logits[:, -kept:], ids[:, -kept:], wanted[:, -kept:])
        return found.double().cpu().numpy()
