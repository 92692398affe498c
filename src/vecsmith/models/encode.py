"""The one driver that turns inputs into vectors; every caller goes through it.

Each distinct input is tokenised and encoded once. Inputs of like length are put together, in rows without padding where
the model is proven for them, else in padded batches under a budget of tokens and a limit of waste. What was cut is
counted and said.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vecsmith.errors import Damaged, DataError, UsageError
from vecsmith.models.batches import plan_batches, plan_rows
from vecsmith.models.recent import Recent
from vecsmith.progress import SILENT, Progress, Task

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = [
    "Backend",
    "Counts",
    "Driver",
    "Encoded",
    "Held",
    "HeldTexts",
    "backend_of",
    "distinct",
    "encode",
    "encode_counted",
    "plan_batches",
    "plan_rows",
]

Float = NDArray[np.float32]
Rows = NDArray[np.int64]

TOKEN_BUDGET = 8_192  # tokens of a padded batch: what 32 inputs of 256 tokens take
PACKED_BUDGET = 2_048  # tokens of a row without padding: more leave the cache and are slower (benchmarks/encode.py)
WASTE_LIMIT = 0.2  # share of a padded batch that may be padding
FLAT_ROWS = 1_024  # inputs of a batch that needs no padding
TRUNCATION = ("warn", "error", "chunk", "cut")

log = logging.getLogger("vecsmith")


class Held(Protocol):
    """Inputs made ready by a backend, so that they are tokenised once."""

    @property
    def counts(self) -> Rows:
        """Tokens of each input before any cut, prompt and special tokens included: int64 [n]."""
        ...

    @property
    def is_packed(self) -> bool:
        """Whether a batch costs the sum of its lengths and may hold inputs of any length."""
        ...

    def embed(self, rows: Rows) -> Float:
        """Vectors of some of the inputs: float32 [len(rows), dimension]."""
        ...


class Backend(Protocol):
    """What the driver needs of a model. One with `hold(texts, prompt, role) -> Held` is asked for that instead."""

    @property
    def dimension(self) -> int: ...

    @property
    def token_limit(self) -> int | None:
        """Tokens after which an input is cut, special tokens included; None: never."""
        ...

    @property
    def is_padded(self) -> bool:
        """Whether a batch costs rows times longest input."""
        ...

    @property
    def is_unit(self) -> bool:
        """Whether vectors have length 1."""
        ...

    def prompt_for(self, role: str | None) -> str: ...

    def count(self, texts: list[str], prompt: str) -> Rows:
        """Tokens of each text before any cut, prompt and special tokens included: int64 [n]."""
        ...

    def embed(self, texts: list[str], prompt: str, role: str | None) -> Float:
        """Vectors of one batch: float32 [n, dimension]."""
        ...

    def pieces(self, text: str, prompt: str) -> list[tuple[str, int]]:
        """A text cut at word borders into pieces that fit, each with its tokens."""
        ...


@dataclass(frozen=True)
class Counts:
    """What an encoding cost and lost. `tokens` and `longest` count before any cut; 0 where nothing can be cut."""

    inputs: int = 0
    distinct: int = 0
    tokens: int = 0
    truncated: int = 0
    longest: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.inputs + other.inputs,
            self.distinct + other.distinct,
            self.tokens + other.tokens,
            self.truncated + other.truncated,
            max(self.longest, other.longest),
        )


@dataclass(frozen=True)
class Encoded:
    """Vectors float32 [n, dimension] in the order of the inputs, and what they cost."""

    vectors: Float
    counts: Counts


def encode(model: "Backend | SentenceTransformer", inputs: Iterable[str], **options: Any) -> Float:
    """Vectors of inputs, float32 [n, dimension], in their order; options as in `encode_counted`."""
    return encode_counted(model, inputs, **options).vectors


def encode_counted(
    model: "Backend | SentenceTransformer",
    inputs: Iterable[str],
    *,
    prompt: str | None = None,
    prompt_text: str | None = None,
    token_budget: int | None = None,
    waste_limit: float = WASTE_LIMIT,
    on_truncation: str = "warn",
    progress: Progress = SILENT,
) -> Encoded:
    """Vectors of inputs and what was cut.

    model          StaticEncoder, any SentenceTransformer, or what `open_encoder` gives
    inputs         a list or any iterable of texts; it is held whole (for more than memory: `encode_to`)
    prompt         role: "query", "document", a prompt's name, or None for the model's default prompt
    prompt_text    the prompt itself instead of `prompt`'s; "" for none
    token_budget   most tokens of a batch; by default 2,048 in rows without padding, 8,192 in padded batches
    waste_limit    largest share of a padded batch that may be padding, 0..1
    on_truncation  "warn" says how many inputs were cut, "cut" does not; "error" refuses; "chunk" encodes the pieces
                   of a long input and takes their mean weighted by tokens, of unit length where the model's vectors are
    raises         DataError: an input that is no text, or (on "error") too long, with its row counted from 1;
                   UsageError: one text instead of a list, or an option out of range; Damaged: a vector with NaN
    """
    backend = backend_of(model)
    before = backend.prompt_for(prompt) if prompt_text is None else prompt_text
    driver = Driver(backend, before, prompt, token_budget, waste_limit, on_truncation)
    texts, places = distinct(inputs)
    with progress.task("encoding", total=len(texts), unit="texts") as task:
        found = driver.run(texts, places, task)
    driver.say_truncated(found.counts, progress)
    return found


def backend_of(model: Any) -> Backend:
    """The driver's view of a model; a SentenceTransformer is wrapped, and torch imported only then."""
    if hasattr(model, "token_limit") and hasattr(model, "embed"):
        return model
    own: Backend | None = getattr(model, "own_backend", None)  # a Model that does not run on torch
    if own is not None:
        return own
    from vecsmith.models.torch_encoder import TorchEncoder

    return TorchEncoder(model)


class Driver:
    """How one call encodes: a backend, the prompt, the limits of a batch, and for streams what was seen lately."""

    def __init__(
        self,
        backend: Backend,
        prompt: str,
        role: str | None,
        token_budget: int | None = None,
        waste_limit: float = WASTE_LIMIT,
        on_truncation: str = "warn",
        recent: Recent | None = None,
    ) -> None:
        if on_truncation not in TRUNCATION:
            raise UsageError(f'on_truncation is "{on_truncation}"; known: {", ".join(TRUNCATION)}')
        if (token_budget is not None and token_budget < 1) or not 0 <= waste_limit <= 1:
            raise UsageError(f"token_budget {token_budget} must be 1 or more, waste_limit {waste_limit} within 0 and 1")
        self.backend, self.prompt, self.role, self.on_truncation = backend, prompt, role, on_truncation
        self.token_budget, self.waste_limit, self.recent = token_budget, waste_limit, recent

    def run(self, texts: list[str], places: Rows, task: Task, first_row: int = 1) -> Encoded:
        """Vectors of `texts[places]`, each of the distinct texts encoded once.

        first_row   what the first of `places` is called in errors
        """
        counts = Counts(len(places), len(texts))
        if not self.backend.is_padded and self.backend.token_limit is None:
            vectors = self._flat(texts, task)
        else:
            held = self._hold(texts)
            tokens = held.counts
            cut = tokens > (self.backend.token_limit or np.iinfo(np.int64).max)
            if cut.any() and self.on_truncation == "error":
                raise self._too_long(tokens, cut, places, first_row)
            vectors = self._vectors(texts, held, cut, task)
            longest, lost = int(tokens.max(initial=0)), int(cut[places].sum())
            counts = Counts(len(places), len(texts), int(tokens[places].sum()), lost, longest)
        task.advance(len(places) - len(texts))
        # The common case, all distinct, must not hold the vectors twice.
        return Encoded(vectors if len(places) == len(texts) else vectors[places], counts)

    def say_truncated(self, counts: Counts, progress: Progress) -> None:
        """Say how many inputs were cut, where that was asked for."""
        if not counts.truncated or self.on_truncation != "warn":
            return
        say: Callable[[str], object] = log.warning if progress is SILENT else progress.say
        say(
            f"{counts.truncated:,} of {counts.inputs:,} inputs are longer than {self.backend.token_limit} tokens (the "
            f'longest has {counts.longest:,}) and were cut. Cut them into passages, or pass on_truncation="chunk"'
        )

    def _too_long(self, tokens: Rows, cut: NDArray[np.bool_], places: Rows, first_row: int) -> DataError:
        place = int(np.flatnonzero(cut[places])[0])
        return DataError(
            f"the input has {int(tokens[places[place]]):,} tokens, the model keeps {self.backend.token_limit}; "
            f"{int(cut[places].sum()):,} inputs are too long. Cut them into passages, or pass "
            'on_truncation="chunk" or "warn"',
            row=place + first_row,
        )

    def _hold(self, texts: list[str]) -> Held:
        make = getattr(self.backend, "hold", None)
        held: Held = (
            make(texts, self.prompt, self.role) if make else HeldTexts(self.backend, texts, self.prompt, self.role)
        )
        return held

    def _vectors(self, texts: list[str], held: Held, cut: NDArray[np.bool_], task: Task) -> Float:
        """Vectors of all texts: those seen lately as they were, the others made."""
        if self.recent is None:
            return self._made(texts, held, np.arange(len(texts)), cut, task)
        vectors = np.empty((len(texts), self.backend.dimension), dtype=np.float32)
        known, found = self.recent.find(texts)
        vectors[known] = found
        task.advance(len(known))
        new = np.setdiff1d(np.arange(len(texts)), known)
        vectors[new] = self._made(texts, held, new, cut[new], task)
        self.recent.add([texts[row] for row in new], vectors[new])
        return vectors

    def _made(self, texts: list[str], held: Held, chosen: Rows, cut: NDArray[np.bool_], task: Task) -> Float:
        """Vectors of the texts at `chosen`, of which those in `cut` are too long."""
        if not (cut.any() and self.on_truncation == "chunk"):
            return self._encode(texts, held, chosen, task)
        vectors = np.empty((len(chosen), self.backend.dimension), dtype=np.float32)
        vectors[~cut] = self._encode(texts, held, chosen[~cut], task)
        vectors[cut] = self._chunked([texts[row] for row in chosen[cut]])
        task.advance(int(cut.sum()))
        return vectors

    def _encode(self, texts: list[str], held: Held, chosen: Rows, task: Task | None = None) -> Float:
        """Vectors of the texts at `chosen`, in its order."""
        if not self.backend.is_padded:
            return self._flat([texts[row] for row in chosen], task)
        limit = self.backend.token_limit
        tokens = held.counts[chosen]
        seen = tokens if limit is None else np.minimum(tokens, limit)
        vectors = np.empty((len(chosen), self.backend.dimension), dtype=np.float32)
        for rows in self._plan(seen, held.is_packed):
            vectors[rows] = _finite(held.embed(chosen[rows]), texts, chosen[rows])
            if task is not None:
                task.advance(len(rows))
        return vectors

    def _plan(self, lengths: Rows, packed: bool) -> list[Rows]:
        if packed:
            return plan_rows(lengths, token_budget=self.token_budget or PACKED_BUDGET)
        return plan_batches(lengths, token_budget=self.token_budget or TOKEN_BUDGET, waste_limit=self.waste_limit)

    def _flat(self, texts: list[str], task: Task | None) -> Float:
        """Batches in the order given, for models whose cost is the sum of lengths."""
        vectors = np.empty((len(texts), self.backend.dimension), dtype=np.float32)
        for at in range(0, len(texts), FLAT_ROWS):
            batch = texts[at : at + FLAT_ROWS]
            found = self.backend.embed(batch, self.prompt, self.role)
            vectors[at : at + len(batch)] = _finite(found, batch, np.arange(len(batch)))
            if task is not None:
                task.advance(len(batch))
        return vectors

    def _chunked(self, texts: list[str]) -> Float:
        """Mean of the vectors of each text's pieces, weighted by tokens: float32 [n, dimension]."""
        cut = [self.backend.pieces(text, self.prompt) for text in texts]
        flat = [piece for pieces in cut for piece, _ in pieces]
        vectors = self._encode(flat, self._hold(flat), np.arange(len(flat)))
        means, start = np.empty((len(texts), self.backend.dimension), dtype=np.float32), 0
        for row, pieces in enumerate(cut):
            weights = np.array([tokens for _, tokens in pieces], dtype=np.float32)
            means[row] = weights @ vectors[start : start + len(pieces)] / weights.sum()
            start += len(pieces)
        if self.backend.is_unit:
            means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        return means


class HeldTexts:
    """The `Held` of a backend that has none: texts, counted and then embedded."""

    is_packed = False

    def __init__(self, backend: Backend, texts: list[str], prompt: str, role: str | None) -> None:
        self.backend, self.texts, self.prompt, self.role = backend, texts, prompt, role
        found = [backend.count(texts[at : at + FLAT_ROWS], prompt) for at in range(0, len(texts), FLAT_ROWS)]
        self.counts: Rows = np.concatenate(found) if found else np.empty(0, dtype=np.int64)

    def embed(self, rows: Rows) -> Float:
        return self.backend.embed([self.texts[row] for row in rows.tolist()], self.prompt, self.role)


def _finite(vectors: Float, texts: list[str], rows: Rows) -> Float:
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        text = texts[int(rows[int((~finite).argmax())])]
        raise Damaged(
            f"the vector of {text[:60]!r} has NaN or infinity: the weights are broken, or were trained until they "
            "diverged. Load an earlier checkpoint"
        )
    return vectors


def distinct(inputs: Iterable[str], first_row: int = 1) -> tuple[list[str], Rows]:
    """Each text once, in order of appearance, and for each input the place of its text: int64 [n]."""
    if isinstance(inputs, str):
        raise UsageError('inputs is one text; pass a list of texts: ["..."]')
    found: dict[str, int] = {}
    places: list[int] = []
    for row, text in enumerate(inputs, start=first_row):
        check_text(text, row)
        places.append(found.setdefault(text, len(found)))
    return list(found), np.array(places, dtype=np.int64)


def check_text(text: object, row: int) -> None:
    """Raise DataError unless `text` is a text that UTF-8 can hold."""
    if not isinstance(text, str):
        raise DataError(f"a {type(text).__name__} where text is expected; turn it into a str first", row=row)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"character {error.start + 1} is half of a surrogate pair, which no encoding holds; read the file with "
                'its real encoding, or with errors="replace"',
                row=row,
            ) from error


def cut_at_words(
    spans: Sequence[tuple[int, int]], words: Sequence[int | None], size: int
) -> list[tuple[int, int, int]]:
    """Runs of at most `size` tokens that end where a word ends, unless one word is longer: (start, stop, tokens).

    spans     character span of each token
    words     the word each token belongs to
    """
    runs, first = [], 0
    while first < len(spans):
        last = min(first + size, len(spans))
        end = last
        while end < len(spans) and end > first + 1 and words[end] is not None and words[end] == words[end - 1]:
            end -= 1
        if end == first + 1 and size > 1:
            end = last
        runs.append((spans[first][0], spans[end - 1][1], end - first))
        first = end
    return runs
