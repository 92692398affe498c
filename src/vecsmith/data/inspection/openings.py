"""Boilerplate: what many texts begin or end with, such as a prompt that was left in, or a footer."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Opening", "shared_ends"]

STEM = 16  # characters that must agree before texts are taken to share an end
SHARE, FEWEST = 0.1, 20


@dataclass(frozen=True)
class Opening:
    """`text` stands at the "beginning" or "end" of `texts` of `of` texts that were looked at."""

    where: str
    text: str
    texts: int
    of: int


def shared_ends(texts: Sequence[str], most: int = 2) -> list[Opening]:
    """Beginnings and ends that a tenth of the distinct texts share, the longest that all of those have.

    Only texts longer than the shared part are counted, since a text is no boilerplate of itself.

    >>> texts = [f"Represent this sentence: {n * n}" for n in range(40)]
    >>> shared_ends(texts)[0].text
    'Represent this sentence: '
    """
    found = _beginnings(texts, "beginning", most)
    for opening in _beginnings([text[::-1] for text in texts], "end", most):
        found.append(Opening("end", opening.text[::-1], opening.texts, opening.of))
    return found


def _beginnings(texts: Sequence[str], where: str, most: int) -> list[Opening]:
    counts = Counter(text[:STEM] for text in texts if len(text) > STEM)
    found = []
    for stem, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:most]:
        if count >= max(FEWEST, SHARE * len(texts)) and len(set(stem)) > 2:
            sharing = sorted(text for text in texts if len(text) > STEM and text.startswith(stem))
            found.append(Opening(where, _common(sharing[0], sharing[-1]), count, len(texts)))
    return found


def _common(one: str, other: str) -> str:
    """What two texts both begin with."""
    length = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    return one[: min(len(one), len(other)) if length is None else length]
