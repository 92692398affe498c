"""What a language model has to answer: one JSON object of a step's schema, and what makes an answer unusable.

A model's words are foreign input: their size is bounded, they are parsed as JSON and held to a schema, and nothing in
them is ever more than a text.
"""

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from vecsmith.data.inputs import content_key
from vecsmith.errors import DataError

__all__ = [
    "SCHEMAS",
    "BadAnswer",
    "Choice",
    "NewPair",
    "NewPairs",
    "Texts",
    "Unavailable",
    "is_looping",
    "parse_answer",
    "usable_texts",
]

MOST_CHARACTERS = 8_000  # of one text in an answer
MOST_ANSWER = 200_000  # characters of a whole answer


class BadAnswer(DataError):
    """An answer that cannot be used; `reason` is a few words that are counted."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        super().__init__(f"{reason}{f': {detail}' if detail else ''}")


class Unavailable(DataError):
    """The endpoint does not answer now: a timeout, a busy server, a broken connection. Later it may."""


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class Paraphrases(_Answer):
    """Answer of `paraphrase`."""

    texts: list[Text] = Field(alias="paraphrases", min_length=1)


class Negatives(_Answer):
    """Answer of `hard-negatives`."""

    texts: list[Text] = Field(alias="negatives", min_length=1)


class Queries(_Answer):
    """Answer of `queries`."""

    texts: list[Text] = Field(alias="queries", min_length=1)


class NewPair(_Answer):
    """A query and the passage that answers it."""

    query: Text
    passage: Text


class NewPairs(_Answer):
    """Answer of `augment`."""

    pairs: list[NewPair] = Field(min_length=1)


class Choice(_Answer):
    """Answer of `relabel`: numbers of passages, counted from 1."""

    best: int
    negative: int | None = None


Texts = Paraphrases | Negatives | Queries
SCHEMAS: dict[str, type[_Answer]] = {
    "paraphrase": Paraphrases,
    "augment": NewPairs,
    "hard-negatives": Negatives,
    "queries": Queries,
    "relabel": Choice,
}
Schema = TypeVar("Schema", bound=BaseModel)

_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)


def parse_answer(text: str, schema: type[Schema]) -> Schema:
    """The JSON object in an answer, held to a schema; thinking aloud, fences and words around it are passed over.

    raises    BadAnswer: empty, too long, looping, no JSON, or not as asked

    >>> parse_answer('Sure! ```json\\n{"queries": ["reset the router"]}\\n```', Queries).texts
    ['reset the router']
    """
    if len(text) > MOST_ANSWER:
        raise BadAnswer("too long", f"{len(text):,} characters")
    said = _THINKING.sub(" ", text).strip()
    if not said:
        raise BadAnswer("empty")
    found = _json_in(said)
    if found is None:
        raise BadAnswer("repeats itself" if is_looping(said[:MOST_CHARACTERS]) else "no JSON", _short(said))
    if has_half_a_pair(found):
        raise BadAnswer("half of a surrogate pair")
    try:
        return schema.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the object"
        raise BadAnswer("not as asked", f"{place}: {first['msg'].lower()}") from None


def usable_texts(
    texts: list[str], *, count: int, forbidden: set[int], key: Callable[[str], int] = content_key
) -> list[str]:
    """The first `count` texts that can be used, each key once.

    forbidden    keys that an answer must not have: of its source, of what it must not be a negative of
    raises       BadAnswer: none is left, with the first reason

    >>> usable_texts(["b", "b", "a", "c"], count=2, forbidden={content_key("a")})
    ['b', 'c']
    """
    kept: dict[int, str] = {}
    reasons: list[str] = []
    for text in texts:
        if (reason := fault_of(text)) is not None:
            reasons.append(reason)
        elif key(text) in forbidden:
            reasons.append("equals its source")
        elif key(text) not in kept and len(kept) < count:
            kept[key(text)] = text
    if not kept:
        raise BadAnswer(reasons[0])
    return list(kept.values())


def fault_of(text: str) -> str | None:
    """Why a text of an answer is unusable by itself; None: it is not."""
    if not text or text.isspace():
        return "empty"
    if len(text) > MOST_CHARACTERS:
        return "too long"
    return "repeats itself" if is_looping(text) else None


def has_half_a_pair(found: Any) -> bool:
    """Whether a text in an answer holds what no UTF-8 can: JSON's \\ud800 without its other half."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def is_looping(text: str) -> bool:
    """Whether a text goes round in circles, as models do that have lost their way: of its runs of four words (eight
    characters where there are few spaces), under a third are distinct. [ours]

    >>> is_looping("the answer is that " * 20), is_looping("Hold the button for ten seconds, then let it go.")
    (True, False)
    """
    words: Any = text.split()
    size = 4
    if len(words) < len(text) / 20:
        words, size = text, 8
    runs = [tuple(words[place : place + size]) for place in range(len(words) - size + 1)]
    return len(runs) >= 24 and len(set(runs)) < len(runs) / 3


def _json_in(text: str) -> Any:
    """The first JSON object in a text: whole, in a fence, or between braces; None: there is none."""
    candidates = [text, *_FENCE.findall(text), text[text.find("{") : text.rfind("}") + 1]]
    for candidate in candidates:
        try:
            found = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return None


def _short(text: str) -> str:
    return repr(" ".join(text.split())[:80])
