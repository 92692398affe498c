"""Texts to token ids once, exactly as a model's own preprocessing makes them, without padding.

The driver needs lengths before it can make batches and ids when it runs them. Asking a model's `preprocess` for both
tokenises twice. `exact_ids` gives a tokeniser that does it once where that is proven to be the same: the first module
is a plain text Transformer with a fast tokenizer that pads and cuts on the right, and on test inputs (empty, unicode,
prompted, too long) the features are equal to the last number. Every other model goes through its own `preprocess`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import Tokenizer

from vecsmith.contract.probes import PROBES
from vecsmith.models.word_pieces import ids_of

__all__ = ["ExactIds", "Tokens", "exact_ids", "plain_tokenizer"]

Rows = NDArray[np.int64]

AT_ONCE = 1_024  # texts whose ids exist as Python lists at the same time
ENDLESS = 1_000_000  # a limit from here on means none


@dataclass(frozen=True)
class Tokens:
    """Token ids of texts, laid end to end.

    flat     int32 [T], special tokens included, cut to the limit
    starts   int64 [n + 1], where each text begins, and T
    counts   int64 [n], tokens of each text before any cut
    """

    flat: NDArray[np.int32]
    starts: Rows
    counts: Rows

    @property
    def lengths(self) -> Rows:
        """int64 [n], tokens of each text after the cut."""
        return np.diff(self.starts)

    def of(self, rows: Rows) -> list[NDArray[np.int64]]:
        """Ids of some texts, in the order of `rows`."""
        begins, ends = self.starts[rows].tolist(), self.starts[rows + 1].tolist()
        return [self.flat[begin:end].astype(np.int64) for begin, end in zip(begins, ends, strict=True)]


class ExactIds:
    """A model's preprocessing as a function to ids; made by `exact_ids`."""

    def __init__(self, transformer: Transformer, counter: Tokenizer) -> None:
        tokenizer = cast(Any, transformer.tokenizer)
        self.transformer = transformer
        self.ids_of: Callable[[list[str]], list[list[int]]] = ids_of(counter)
        self.before, self.after = _special_tokens(counter)
        self.padding = int(tokenizer.pad_token_id)
        self.names = tuple(tokenizer.model_input_names)

    @property
    def limit(self) -> int:
        found = self.transformer.max_seq_length
        return int(found) if found is not None and found < ENDLESS else ENDLESS

    def tokens(self, texts: Sequence[str], prompt: str) -> Tokens:
        """Ids of texts with the prompt before each."""
        room = max(0, self.limit - len(self.before) - len(self.after))
        added = len(self.before) + len(self.after)
        flat, counts, lengths = [], [], []
        for at in range(0, len(texts), AT_ONCE):
            batch = [prompt + text for text in texts[at : at + AT_ONCE]] if prompt else list(texts[at : at + AT_ONCE])
            found = self.ids_of(batch)
            counts += [len(ids) + added for ids in found]
            whole = [[*self.before, *ids[:room], *self.after] for ids in found]
            lengths += [len(ids) for ids in whole]
            flat.append(np.fromiter(chain.from_iterable(whole), dtype=np.int32, count=sum(map(len, whole))))
        ends = np.cumsum(lengths, dtype=np.int64)
        return Tokens(
            np.concatenate(flat) if flat else np.empty(0, dtype=np.int32),
            np.concatenate([np.zeros(1, dtype=np.int64), ends]),
            np.array(counts, dtype=np.int64),
        )

    def prompt_length(self, model: SentenceTransformer, prompt: str) -> int | None:
        """Tokens of the prompt where the pooling leaves them out; None elsewhere."""
        leaves_out = any(isinstance(module, Pooling) and not module.include_prompt for module in model)
        return self.transformer._get_prompt_length(prompt) if prompt and leaves_out else None

    def padded(self, ids: Sequence[Rows], prompt_length: int | None = None) -> dict[str, Any]:
        """The features that `preprocess` gives, for models that are not packed: int64 [n, longest] each."""
        lengths = torch.tensor([len(each) for each in ids])
        rows = [torch.from_numpy(each) for each in ids]
        whole = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.padding)
        if not whole.shape[1]:  # only texts without a token: attention needs a place, which the mask leaves out
            whole = whole.new_full((len(rows), 1), self.padding)
        mask = (torch.arange(whole.shape[1])[None] < lengths[:, None]).long()
        made = {"input_ids": whole, "attention_mask": mask, "token_type_ids": torch.zeros_like(whole)}
        features: dict[str, Any] = {name: made[name] for name in self.names}
        features["modality"] = "text"
        if prompt_length is not None:
            features["prompt_length"] = prompt_length
        return features


_known: "WeakKeyDictionary[torch.nn.Module, tuple[tuple[Any, ...], ExactIds | None]]" = WeakKeyDictionary()
_plain: "WeakKeyDictionary[torch.nn.Module, tuple[tuple[int, int], Tokenizer]]" = WeakKeyDictionary()


def exact_ids(model: SentenceTransformer) -> ExactIds | None:
    """A model's exact tokeniser, None where its own `preprocess` must be asked.

    Tried once per model, and again after its tokenizer or its settings change.
    """
    first = model[0]
    if type(first) is not Transformer or first.tokenizer is None:
        return None
    state = _settings(cast(Transformer, first))
    kept = _known.get(first)
    if kept is None or kept[0] != state:
        kept = (state, _make(model))
        _known[first] = kept
    return kept[1]


def plain_tokenizer(model: SentenceTransformer) -> Tokenizer | None:
    """A copy of the model's tokenizer that neither cuts nor pads, kept with the model; its own keeps its settings."""
    tokenizer = getattr(model, "tokenizer", None)
    own = tokenizer if isinstance(tokenizer, Tokenizer) else getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(own, Tokenizer):
        return None
    state = (id(own), own.get_vocab_size())
    kept = _plain.get(model[0])
    if kept is None or kept[0] != state:
        copy = Tokenizer.from_str(own.to_str())
        copy.no_truncation()
        copy.no_padding()
        kept = (state, copy)
        _plain[model[0]] = kept
    return kept[1]


def _settings(first: Transformer) -> tuple[Any, ...]:
    tokenizer = cast(Any, first.tokenizer)
    own = getattr(tokenizer, "backend_tokenizer", None)
    return (
        id(own),
        own.get_vocab_size() if own is not None else 0,
        getattr(tokenizer, "padding_side", None),
        getattr(tokenizer, "truncation_side", None),
        repr(first.processing_kwargs),
        first.query_length,
        first.document_length,
        first.query_expansion is None,
        first.can_flatten_inputs,
    )


def _make(model: SentenceTransformer) -> ExactIds | None:
    first, counter = cast(Transformer, model[0]), plain_tokenizer(model)
    tokenizer = cast(Any, first.tokenizer)
    fits = (
        counter is not None
        and tokenizer.padding_side == tokenizer.truncation_side == "right"
        and tokenizer.pad_token_id is not None
        and set(tokenizer.model_input_names) <= {"input_ids", "attention_mask", "token_type_ids"}
        and "input_ids" in tokenizer.model_input_names
        and "message" not in first.modality_config
        and not first.processing_kwargs
        and first.query_length is None
        and first.document_length is None
        and first.query_expansion is None
        and not first.can_flatten_inputs
    )
    if not fits or counter is None:
        return None
    try:
        found = ExactIds(first, counter)
        return found if _agrees(model, found) else None
    except (TypeError, ValueError, KeyError, IndexError, RuntimeError, AttributeError):
        return None  # a tokenizer with ways of its own: the model's preprocess knows them


def _special_tokens(counter: Tokenizer) -> tuple[list[int], list[int]]:
    """The ids before and after every text.

    raises    ValueError: there is no such thing
    """
    text = "a plain text"
    whole, inner = counter.encode(text).ids, counter.encode(text, add_special_tokens=False).ids
    for start in range(len(whole) - len(inner) + 1):
        if inner and whole[start : start + len(inner)] == inner:
            return whole[:start], whole[start + len(inner) :]
    raise ValueError("the tokenizer puts special tokens inside the text")


def _agrees(model: SentenceTransformer, found: ExactIds) -> bool:
    texts = [text for _, text, _ in PROBES]
    if found.limit < ENDLESS:
        texts = [*texts, "one word and " * (found.limit // 3 + 8)]
    for prompt in ("", "query: "):
        expected = model.preprocess(texts, prompt=prompt or None)
        tokens = found.tokens(texts, prompt)
        made = found.padded(tokens.of(np.arange(len(texts))))
        tensors = {name for name, value in expected.items() if isinstance(value, torch.Tensor)}
        if tensors != {name for name, value in made.items() if isinstance(value, torch.Tensor)}:
            return False
        if expected.get("modality", "text") != "text" or not all(torch.equal(expected[n], made[n]) for n in tensors):
            return False
    return True
