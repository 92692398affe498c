"""Labels of sentence pairs as numbers from 0 to 1: true and false, the three answers of inference, numbers on a scale.

QZhou-Embedding's table (its first README; training data section): {true, false} and {yes, no} are 1 and 0, real scores
stay, {entailment, neutral, contradiction} are the ordinal 2, 1, 0, here divided by 2. The further words are [ours].
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from vecsmith.errors import DataError, UsageError

__all__ = ["LEFT_OUT", "WORDS", "Grading", "parse_labels"]

LEFT_OUT = "skip"

WORDS: dict[str, float] = {
    **dict.fromkeys(("true", "yes", "1", "1.0"), 1.0),
    **dict.fromkeys(("false", "no", "0", "0.0"), 0.0),
    **dict.fromkeys(("entailment", "entails", "entailed", "entail"), 1.0),
    "neutral": 0.5,
    **dict.fromkeys(("contradiction", "contradicts", "contradict"), 0.0),
    **dict.fromkeys(("not_entailment", "not-entailment", "not-entailed", "not_entailed"), 0.0),
    **dict.fromkeys(("duplicate", "paraphrase"), 1.0),
    **dict.fromkeys(("not_duplicate", "not_paraphrase"), 0.0),
}


@dataclass(frozen=True)
class Grading:
    """How a label becomes a grade.

    labels    label -> grade 0..1, or None: its record is left out; these go before WORDS, and are told apart by case
              only where two of them differ in nothing else
    scale     (low, high) of labels that are numbers; None: a number that is no word of WORDS is an error

    >>> Grading().grade("Entailment"), Grading(scale=(0, 5)).grade("4.0"), Grading(labels={"-": None}).grade("-")
    (1.0, 0.8, None)
    """

    labels: Mapping[str, float | None] = field(default_factory=dict)
    scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for label, grade in self.labels.items():
            if grade is not None and not 0 <= grade <= 1:
                raise UsageError(f'label "{label}" is graded {grade}; a grade lies from 0 to 1')
        if self.scale is not None and not (all(map(math.isfinite, self.scale)) and self.scale[0] < self.scale[1]):
            raise UsageError(
                f"the scale {self.scale[0]:g} to {self.scale[1]:g} has no length; say its least and greatest"
            )

    def grade(self, label: str | None, *, file: object = None, row: int | None = None) -> float | None:
        """0..1; None: the record is left out.

        raises    DataError with file, row and the label: one that is not known, or a number off the scale
        """
        label = label or ""
        if label in self.labels:
            return self.labels[label]
        word = label.strip().casefold()
        folded = {name.strip().casefold(): grade for name, grade in self.labels.items()}
        if word in folded:
            return folded[word]
        number = as_number(word)
        if self.scale is not None and number is not None:
            return self._scaled(number, label, file, row)
        if word in WORDS:
            return WORDS[word]
        raise DataError(_unknown(label, number), file=str(file) if file is not None else None, row=row)

    def _scaled(self, number: float, label: str, file: object, row: int | None) -> float:
        low, high = self.scale or (0.0, 1.0)
        if not low <= number <= high:
            raise DataError(
                f'label "{label}" is outside the scale {low:g} to {high:g}; say the whole scale',
                file=str(file) if file is not None else None,
                row=row,
            )
        return (number - low) / (high - low)


def as_number(word: str) -> float | None:
    """The finite number that a word is; None: it is none."""
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _unknown(label: str, number: float | None) -> str:
    shown = label if len(label) <= 60 else f"{label[:57]}..."
    known = "true/false, yes/no, 1/0, entailment/neutral/contradiction, not_entailment, duplicate"
    if not shown:
        return (
            'no label; a pair needs one, or a score. Fill it, or leave such rows out: labels={"": None}, --labels =skip'
        )
    if number is not None:
        return (
            f'label "{shown}" is a number of a scale that nobody declared (known are {known}). '
            'Say the scale: score_range=(low, high) or "found", --score-range 0,5 or found; or what each means: '
            f'labels={{"{shown}": 0.5}}, --labels {shown}=0.5'
        )
    return (
        f'label "{shown}" is none that has a grade (known are {known}). Say what it means, or leave its rows out: '
        f'labels={{"{shown}": 0.5}} or None, --labels {shown}=0.5 or {shown}=skip'
    )


def parse_labels(text: str) -> dict[str, float | None]:
    """`"related=0.5,-=skip"` as label -> grade, or None where it is left out; "=skip" is for rows without one.

    raises    UsageError: another form

    >>> parse_labels("related=0.5, -=skip")
    {'related': 0.5, '-': None}
    """
    found: dict[str, float | None] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        label, sign, value = part.rpartition("=")
        number = as_number(value)
        if not sign or (number is None and value.strip() != LEFT_OUT):
            raise UsageError(f'"{part}" gives no label its grade; it looks like related=0.5 or -=skip')
        found[label.strip()] = number
    return found
